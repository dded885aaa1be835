//! A queue that counts what is sent and what is done: the count is exact whoever is killed, nobody joins before as many are
//! done as were sent, and where no worker dies everybody who joins is told in the end.

use super::bare::{AT_ONCE, LANE, Outcome, fault};
use super::queues::{
    self, NAME, SEATS, any_patience, came_to_nothing, come, go, is_late, keep_receiving, keep_sending,
    note_sent,
};
use super::{Part, RECEIVER, SENDER, Scenario, locks};
use crate::actor::{Actor, Fault};
use crate::board::{Call, Phase};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::queue::{DoneError, JoinError, Message};
use ringway::{Error, Options, RecvError, SendError, TallyQueue};
use std::time::Duration;

mod figures;

use figures::{Figures, Moment, Promised, bump};

pub(super) struct Tallies;

const JOINER: Part =
    Part { name: "joiner", only_sends: false, drains: true, ends: 0, is_spared: false, is_free: false };

fn capacity(plan: &Plan) -> usize {
    plan.pick("capacity", &[1, 2, 3, 7, 64])
}

fn max_held(plan: &Plan) -> usize {
    if is_a_chain(plan) { 6 } else { plan.pick("held", &[1, 4, 16]) }
}

/// Whether nobody says that something is done before he has sent another, or promised to. So there is no instant at which
/// all are done, from the first one on.
fn is_a_chain(plan: &Plan) -> bool {
    plan.once_in(2, "chain")
}

/// Whether workers promise what has no room. What the dead have promised nobody waits for.
fn has_promises(plan: &Plan) -> bool {
    plan.once_in(2, "promises")
}

/// Whether no worker is killed, so that everything is done in the end.
fn has_safe_workers(plan: &Plan) -> bool {
    plan.once_in(2, "safe")
}

/// Whether their senders say that some messages are done before anybody has received them. In a chain that would be too early,
/// and a killed sender would leave it to nobody.
fn has_early_ends(plan: &Plan) -> bool {
    !is_a_chain(plan) && !has_safe_workers(plan) && plan.once_in(2, "early")
}

fn is_done_early(plan: &Plan, id: u64) -> bool {
    has_early_ends(plan) && id.is_multiple_of(4)
}

fn sizes(plan: &Plan) -> Sizes {
    let usual = plan.pick("usual", &[16, 100, 1000]);
    Sizes { usual, rarely: 8, most: plan.pick("most", &[usual, 4096, 100_000]) }
}

fn options(plan: &Plan) -> Options<TallyQueue> {
    let Sizes { usual, most, .. } = sizes(plan);
    let options = TallyQueue::options().capacity(capacity(plan)).participants(SEATS).message_size(usual);
    let large = if most > 64 << 10 { most as u64 * 3 + 4096 } else { 0 };
    options.max_held(max_held(plan)).max_bytes(large)
}

fn open(actor: &mut Actor) -> impl FnOnce() -> Result<TallyQueue, Error> + use<> {
    let options = options(&actor.plan).wait(actor.any_wait());
    move || options.open_or_create(NAME)
}

impl Scenario for Tallies {
    fn name(&self) -> &'static str {
        "tally"
    }

    fn about(&self) -> &'static str {
        "a queue that counts; senders and workers die, others join, and the count stays exact"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        let (senders, workers) = plan.pick("cast", &[(1, 1), (2, 1), (1, 2), (1, 3)]);
        let worker = Part { is_spared: has_safe_workers(plan), ..RECEIVER };
        [vec![SENDER; senders], vec![worker; workers], vec![JOINER]].concat()
    }

    fn sizes(&self, plan: &Plan) -> Sizes {
        sizes(plan)
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn is_gentle(&self, plan: &Plan) -> bool {
        locks::is_gentle(plan)
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        Promised::forget(actor);
        let part = self.cast(&actor.plan)[actor.part];
        let open = open(actor);
        let queue = come(actor, part.only_sends, open)?;
        let result = if part.only_sends {
            keep_sending(actor, |actor| send_some(actor, &queue))
        } else if part.name == JOINER.name {
            actor.wants(None, None);
            keep_joining(actor, &queue)
        } else {
            work(actor, &queue)
        };
        go(actor, queue);
        result
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let queue = open(judge)().map_err(|error| fault("the judge's queue", error))?;
        // A wait looks around for the dead.
        while receive(judge, &queue, Duration::from_millis(20))?.0.is_some() {}
        let unfinished = count(judge, &queue)?.ok_or("something moves, and there is nobody")?;
        queues::is_tallied(unfinished)?;
        for _ in 0..unfinished {
            end_one(judge, &queue)?;
        }
        nothing_to_do(judge, &queue)?;
        queues::nothing_is_left(judge)?;
        fill(&queue, capacity(&judge.plan))?;
        nothing_to_do(judge, &queue)?;
        queues::nothing_is_left(judge)?;
        queue.close();
        match queue.recv() {
            Err(RecvError::Closed) => {}
            other => return Err(format!("{other:?} instead of Closed")),
        }
        drop(queue);
        queues::remove()
    }
}

/// As many are done as were sent, and it says so.
fn nothing_to_do(judge: &Actor, queue: &TallyQueue) -> Result<(), Fault> {
    match queue.task_done() {
        Err(DoneError::TooMany) => {}
        other => return Err(format!("{other:?}, when everything was done")),
    }
    if queue.unfinished() != 0 || !join(judge, queue, AT_ONCE)? {
        return Err(format!("everything is done, and it says that {} are not", queue.unfinished()));
    }
    Ok(())
}

/// Fills the queue, and empties it, each done before anything was received, or all after that.
fn fill(queue: &TallyQueue, capacity: usize) -> Result<(), Fault> {
    for ends_early in [true, false] {
        for at in 0..capacity {
            queue.try_send(&at.to_le_bytes()).map_err(|error| fault("fill the queue", error))?;
        }
        match queue.try_send(&[]) {
            Err(SendError::Full) => {}
            other => return Err(format!("{other:?} instead of Full")),
        }
        if queue.unfinished() != capacity as u64 {
            return Err(format!("{} are unfinished of {capacity}", queue.unfinished()));
        }
        let end = || (0..capacity).try_for_each(|_| queue.task_done().map_err(|error| fault("done", error)));
        if ends_early {
            end()?;
        }
        for at in 0..capacity {
            let message = queue.try_recv().map_err(|error| fault("empty the queue", error))?;
            if *message != at.to_le_bytes() {
                return Err(format!("message {at} of a full queue is {:x?}", &*message));
            }
        }
        if !ends_early {
            end()?;
        }
    }
    Ok(())
}

fn send_one(actor: &mut Actor, queue: &TallyQueue, may_block: bool) -> Result<Outcome, Fault> {
    let mut message = Vec::new();
    let Some(id) = actor.draft(LANE, &mut message) else { return Ok(Outcome::Exhausted) };
    let timeout = actor.any_timeout();
    bump(actor, Figures::SENDING);
    let result = match actor.random.below(if may_block { 4 } else { 3 }) {
        0 => actor.call(Call::Send, || queue.try_send(&message)),
        1 => actor.timed(Call::Send, timeout, is_late, |deadline| queue.send_deadline(&message, deadline))?,
        2 => actor.timed(Call::Send, timeout, is_late, |deadline| {
            let mut loan = queue.reserve_deadline(message.len(), deadline)?;
            loan.copy_from_slice(&message);
            loan.commit_deadline(deadline).map_err(|refused| refused.error)
        })?,
        _ => actor.call(Call::Send, || queue.send(&message)),
    };
    bump(actor, if result.is_ok() { Figures::SENT } else { Figures::REFUSED });
    let was_sent = result.is_ok();
    let outcome = note_sent(actor, id, result)?;
    if was_sent && is_done_early(&actor.plan, id) {
        end_one(actor, queue)?;
    }
    Ok(outcome)
}

fn send_some(actor: &mut Actor, queue: &TallyQueue) -> Result<Outcome, Fault> {
    Moment::respect(actor);
    if is_a_chain(&actor.plan) {
        // A few are enough, or one.
        return if queue.unfinished() > actor.plan.pick("links", &[0, 2]) {
            Ok(Outcome::Not)
        } else {
            send_one(actor, queue, false)
        };
    }
    for _ in 0..actor.random.between(1, 30) {
        match send_one(actor, queue, true)? {
            Outcome::Went => {}
            other => return Ok(other),
        }
    }
    // So that now and then everything is done.
    if actor.random.one_in(4) {
        actor.idle(3000);
    }
    Ok(Outcome::Went)
}

/// What a worker has received: so many it still has to say to be done, and these it holds on to.
struct InHand<'q> {
    owed: u64,
    held: Vec<(u64, Message<'q>)>,
}

fn work(actor: &mut Actor, queue: &TallyQueue) -> Result<(), Fault> {
    let mut hand = InHand { owed: 0, held: Vec::new() };
    keep_receiving(actor, |actor| {
        Moment::respect(actor);
        let outcome = work_some(actor, queue, &mut hand)?;
        Ok(if hand.owed > 0 && outcome == Outcome::Not { Outcome::Went } else { outcome })
    })?;
    while hand.owed > 0 {
        end_in_turn(actor, queue, &mut hand)?;
    }
    hand.held.into_iter().try_for_each(|(id, message)| actor.still_whole(id, &message))
}

fn work_some<'q>(actor: &mut Actor, queue: &'q TallyQueue, hand: &mut InHand<'q>) -> Result<Outcome, Fault> {
    while hand.held.len() > 3 || !hand.held.is_empty() && actor.random.one_in(3) {
        let at = actor.random.below(hand.held.len() as u64) as usize;
        let (id, message) = hand.held.swap_remove(at);
        actor.still_whole(id, &message)?;
    }
    // In a chain, the fewer, the more looks like nothing to who joins.
    let most = if is_a_chain(&actor.plan) { 0 } else { 4 };
    for _ in 0..actor.random.between(1, 20) {
        while hand.owed > most || hand.owed > 0 && actor.random.one_in(2) {
            end_in_turn(actor, queue, hand)?;
        }
        let patience = if hand.owed == 0 { any_patience(actor) } else { actor.any_timeout() };
        let (received, outcome) = receive(actor, queue, patience)?;
        let Some((id, message)) = received else {
            // Perhaps the others wait for what we hold.
            hand.held.clear();
            if hand.owed > 0 {
                end_in_turn(actor, queue, hand)?;
            }
            return Ok(outcome);
        };
        hand.owed += u64::from(!is_done_early(&actor.plan, id));
        match message {
            Some(message) if hand.held.len() < most as usize => hand.held.push((id, message)),
            _ => {}
        }
        if actor.random.one_in(30) {
            actor.idle(1000);
        }
    }
    Ok(Outcome::Went)
}

/// Says that one more is done; in a chain only when there is another instead.
fn end_in_turn<'q>(actor: &mut Actor, queue: &'q TallyQueue, hand: &mut InHand<'q>) -> Result<(), Fault> {
    let mut promised = None;
    if is_a_chain(&actor.plan) && has_promises(&actor.plan) && actor.random.one_in(3) {
        promised = Some(Promised::make(actor, queue)?);
        end_one(actor, queue)?;
        actor.idle(500);
    }
    while is_a_chain(&actor.plan) && actor.board.phase() == Phase::Run {
        if send_one(actor, queue, false)? == Outcome::Went {
            break;
        }
        if promised.is_none() && has_promises(&actor.plan) {
            promised = Some(Promised::make(actor, queue)?);
            end_one(actor, queue)?;
        }
        // To make room.
        let received = receive(actor, queue, Duration::ZERO)?.0;
        hand.owed += u64::from(received.is_some());
    }
    match promised {
        Some(promised) => promised.keep(actor, queue)?,
        None => end_one(actor, queue)?,
    }
    hand.owed -= 1;
    Ok(())
}

/// Says that one more is done. There is one.
fn end_one(actor: &mut Actor, queue: &TallyQueue) -> Result<(), Fault> {
    bump(actor, Figures::ENDING);
    loop {
        match actor.call(Call::Other, || queue.task_done()) {
            Ok(()) => break,
            Err(DoneError::Overtaken) => actor.wait(100),
            Err(error) => return Err(fault("done", error)),
        }
    }
    bump(actor, Figures::ENDED);
    Ok(())
}

type One<'q> = (Option<(u64, Option<Message<'q>>)>, Outcome);

/// Receives a message: where it lies, or a copy of it.
fn receive<'q>(actor: &mut Actor, queue: &'q TallyQueue, patience: Duration) -> Result<One<'q>, Fault> {
    actor.may_lose(LANE, 1);
    bump(actor, Figures::RECEIVING);
    let received = if actor.random.one_in(3) {
        let mut copy = Vec::new();
        let late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
        let received =
            actor.timed(Call::Receive, patience, late, |deadline| queue.recv_into(&mut copy, deadline))?;
        received.map(|_| (None, copy))
    } else {
        let late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
        let received =
            actor.timed(Call::Receive, patience, late, |deadline| queue.recv_deadline(deadline))?;
        received.map(|message| (Some(message), Vec::new()))
    };
    let one = match received {
        Ok((message, copy)) => {
            let id = actor.took_perhaps_late(LANE, message.as_deref().unwrap_or(&copy))?;
            Ok((Some((id, message)), Outcome::Went))
        }
        Err(error) => Ok((None, came_to_nothing(error)?)),
    };
    bump(actor, Figures::RECEIVED);
    actor.is_safe();
    one
}

fn keep_joining(actor: &mut Actor, queue: &TallyQueue) -> Result<(), Fault> {
    let is_gentle = locks::is_gentle(&actor.plan);
    while !actor.must_leave() && actor.board.phase() != Phase::Drain {
        if actor.random.one_in(3) {
            let moment = Moment::ask_for(actor);
            let counted = count(actor, queue);
            moment.end(actor);
            counted?;
        } else if is_gentle && actor.random.one_in(4) {
            // In the end everything is done, and that nobody tells him is noticed, because that stage does not end.
            join(actor, queue, Duration::MAX)?;
        } else {
            let timeout = actor.any_timeout();
            join(actor, queue, timeout)?;
        }
        if !is_a_chain(&actor.plan) {
            actor.idle(2000);
        }
    }
    if actor.must_leave() || !is_gentle && !has_safe_workers(&actor.plan) {
        return Ok(());
    }
    // All that was sent is being done, but for what workers did not see coming before they left.
    while !join(actor, queue, Duration::from_millis(20))? {
        while let Some((id, _)) = receive(actor, queue, Duration::from_millis(1))?.0 {
            if !is_done_early(&actor.plan, id) {
                end_one(actor, queue)?;
            }
        }
    }
    Ok(())
}

/// Joins, and says whether everything was done. At that moment as many were done as had been sent.
fn join(actor: &Actor, queue: &TallyQueue, timeout: Duration) -> Result<bool, Fault> {
    let sent = Figures::look(actor).sent();
    let promised = Promised::all(actor);
    let result = if timeout == Duration::MAX {
        actor.call(Call::Receive, || queue.join())
    } else {
        let late = |result: &Result<_, _>| matches!(result, Err(JoinError::Timeout));
        actor.timed(Call::Other, timeout, late, |deadline| queue.join_deadline(deadline))?
    };
    match result {
        Ok(()) => {}
        Err(JoinError::Timeout) => return Ok(false),
        Err(error) => return Err(fault("join", error)),
    }
    let ended = Figures::look(actor).ending();
    if ended < sent {
        return Err(format!("joined when {sent} had been sent, and {ended} were done at most"));
    }
    if let Some(promised) = promised.into_iter().flatten().find(|promised| promised.still_stands(actor)) {
        return Err(format!("joined, although there was {promised:?} all the while"));
    }
    let always_some =
        is_a_chain(&actor.plan) && (has_safe_workers(&actor.plan) || !has_promises(&actor.plan));
    if always_some && sent > 0 && actor.board.phase() == Phase::Run {
        return Err("joined, although there was always something to be done".to_owned());
    }
    Ok(true)
}

/// Counts what is unfinished, if there was a moment without motion.
fn count(actor: &Actor, queue: &TallyQueue) -> Result<Option<u64>, Fault> {
    let before = Figures::look(actor);
    let unfinished = actor.call(Call::Other, || queue.unfinished());
    if Figures::look(actor) != before {
        return Ok(None);
    }
    let possible = before.unfinished();
    if possible.contains(&unfinished) {
        Ok(Some(unfinished))
    } else {
        Err(format!("{unfinished} are said to be unfinished, and that is between {possible:?}: {before:?}"))
    }
}

//! A queue of tasks whose workers are killed with tasks in their hands: none may be lost, none come again once it is
//! done, and whoever joins must not be told so too early.

use super::bare::{LANE, Outcome, fault};
use super::queues::{
    self, NAME, SEATS, any_patience, came_to_nothing, come, go, is_late, keep_receiving, keep_sending,
    note_sent,
};
use super::{Part, RECEIVER, SENDER, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{Call, Phase};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::queue::{JoinError, Task};
use ringway::{Deadline, Error, JoinableQueue, Options, RecvError, SendError};
use std::time::Duration;

type Jobs = JoinableQueue<[u8]>;

pub(super) struct Tasks;

const JOINER: Part =
    Part { name: "joiner", only_sends: false, drains: false, ends: 0, is_spared: false, is_free: false };

const LARGEST_CHUNK: usize = 64 << 10;

fn capacity(plan: &Plan) -> usize {
    plan.pick("capacity", &[1, 2, 3, 7, 64])
}

fn max_held(plan: &Plan) -> usize {
    if is_a_chain(plan) { 6 } else { plan.pick("held", &[1, 4, 16]) }
}

/// Whether nobody is done with a task before he has sent another. So there is no instant at which all are done, from the
/// first one on, and none at which somebody may have joined.
fn is_a_chain(plan: &Plan) -> bool {
    plan.once_in(2, "chain")
}

fn sizes(plan: &Plan) -> Sizes {
    let usual = plan.pick("usual", &[16, 100, 1000]);
    Sizes { usual, rarely: 8, most: plan.pick("most", &[usual, 4096, 100_000]) }
}

fn max_bytes(plan: &Plan) -> u64 {
    let most = sizes(plan).most;
    if most > LARGEST_CHUNK { most as u64 * 3 + 4096 } else { 0 }
}

fn options(plan: &Plan) -> Options<Jobs> {
    let options = Jobs::options().capacity(capacity(plan)).participants(SEATS);
    options.message_size(sizes(plan).usual).max_held(max_held(plan)).max_bytes(max_bytes(plan))
}

fn open(actor: &mut Actor) -> impl FnOnce() -> Result<Jobs, Error> + use<> {
    let options = options(&actor.plan).wait(actor.any_wait());
    move || options.open_or_create(NAME)
}

impl Scenario for Tasks {
    fn name(&self) -> &'static str {
        "tasks"
    }

    fn about(&self) -> &'static str {
        "a queue of tasks; workers die with some in hand, send while they work, and others join"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        let (senders, workers) = plan.pick("cast", &[(1, 1), (2, 1), (1, 2), (1, 3)]);
        [vec![SENDER; senders], vec![RECEIVER; workers], vec![JOINER]].concat()
    }

    fn sizes(&self, plan: &Plan) -> Sizes {
        sizes(plan)
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn has_tasks(&self) -> bool {
        true
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let part = self.cast(&actor.plan)[actor.part];
        let open = open(actor);
        let jobs = come(actor, part.only_sends, open)?;
        let result = if part.only_sends {
            keep_sending(actor, |actor| send_some(actor, &jobs))
        } else if part.drains {
            let mut held = Vec::new();
            keep_receiving(actor, |actor| work_some(actor, &jobs, &mut held))
        } else {
            actor.wants(None, None);
            keep_joining(actor, &jobs)
        };
        go(actor, jobs);
        result
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let jobs = open(judge)().map_err(|error| fault("the judge's queue", error))?;
        // A wait looks around for the dead.
        while let Some((id, task)) = receive(judge, &jobs, Duration::from_millis(20))?.0 {
            end(judge, id, task)?;
        }
        join(judge, &jobs, super::bare::AT_ONCE)?
            .then_some(())
            .ok_or("join says that there is something left, and there is nothing")?;
        queues::nothing_is_left(judge)?;
        let capacity = capacity(&judge.plan);
        fill(&jobs, capacity, max_held(&judge.plan))?;
        queues::nothing_is_left(judge)?;
        jobs.close();
        for end in [jobs.recv(), jobs.recv_until_finished(Deadline::NEVER)] {
            match end {
                Err(RecvError::Closed) => {}
                other => return Err(format!("{other:?} instead of Closed")),
            }
        }
        drop(jobs);
        queues::remove()
    }
}

/// Holds as many tasks as may be held, and fills the queue besides.
fn fill(jobs: &Jobs, capacity: usize, max_held: usize) -> Result<(), Fault> {
    let number = |at: usize| at.to_le_bytes();
    let mut held = Vec::new();
    for at in 0..max_held {
        jobs.try_send(&number(at)).map_err(|error| fault("send a task to be held", error))?;
        held.push(jobs.try_recv().map_err(|error| fault("hold a task", error))?);
    }
    for at in 0..capacity {
        jobs.try_send(&number(max_held + at)).map_err(|error| fault("fill the queue", error))?;
    }
    match jobs.try_send(&[]) {
        Err(SendError::Full) => {}
        other => return Err(format!("{other:?} instead of Full")),
    }
    if jobs.unfinished() != capacity + max_held {
        return Err(format!("{} unfinished of {}", jobs.unfinished(), capacity + max_held));
    }
    held.into_iter().for_each(drop);
    let mut seen = Vec::new();
    while let Ok(task) = jobs.try_recv() {
        let place = usize::from_le_bytes(*task.first_chunk().ok_or("a short task")?);
        let returned = place < max_held;
        if task.deliveries() != u8::from(returned) {
            return Err(format!("task {place} has {} deliveries", task.deliveries()));
        }
        seen.push(place);
        task.done().map_err(|error| fault("done", error))?;
    }
    seen.sort_unstable();
    if seen.iter().copied().eq(0..capacity + max_held) {
        Ok(())
    } else {
        Err(format!("of a full queue came {seen:?}"))
    }
}

fn send_one(actor: &mut Actor, jobs: &Jobs, may_block: bool) -> Result<Outcome, Fault> {
    let mut message = Vec::new();
    let Some(id) = actor.draft(LANE, &mut message) else { return Ok(Outcome::Exhausted) };
    let timeout = actor.any_timeout();
    let result = match actor.random.below(if may_block { 4 } else { 3 }) {
        0 => actor.call(Call::Send, || jobs.try_send(&message)),
        1 => actor.timed(Call::Send, timeout, is_late, |deadline| jobs.send_deadline(&message, deadline))?,
        2 => actor.timed(Call::Send, timeout, is_late, |deadline| {
            let mut loan = jobs.reserve(message.len(), deadline)?;
            loan.copy_from_slice(&message);
            loan.commit_deadline(deadline).map_err(|refused| refused.error)
        })?,
        _ => actor.call(Call::Send, || jobs.send(&message)),
    };
    note_sent(actor, id, result)
}

fn send_some(actor: &mut Actor, jobs: &Jobs) -> Result<Outcome, Fault> {
    if is_a_chain(&actor.plan) {
        // A few are enough.
        return if jobs.unfinished() > 2 { Ok(Outcome::Not) } else { send_one(actor, jobs, false) };
    }
    for _ in 0..actor.random.between(1, 30) {
        match send_one(actor, jobs, true)? {
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

/// Tasks in hand, with their ids.
type InHand<'q> = Vec<(u64, Task<'q, [u8]>)>;

fn work_some<'q>(actor: &mut Actor, jobs: &'q Jobs, held: &mut InHand<'q>) -> Result<Outcome, Fault> {
    // The fewer, the more looks like nothing to who joins.
    let most = if is_a_chain(&actor.plan) { 0 } else { 4 };
    while held.len() > 3 || !held.is_empty() && actor.random.one_in(3) {
        let at = actor.random.below(held.len() as u64) as usize;
        let task = held.swap_remove(at);
        leave(actor, jobs, task, held)?;
    }
    for _ in 0..actor.random.between(1, 20) {
        let patience = if held.is_empty() { any_patience(actor) } else { actor.any_timeout() };
        let (task, outcome) = receive(actor, jobs, patience)?;
        let Some(task) = task else {
            // Perhaps the others wait for what we hold.
            while let Some(task) = held.pop() {
                leave(actor, jobs, task, held)?;
            }
            return Ok(outcome);
        };
        if held.len() < most && actor.random.one_in(3) {
            held.push(task);
        } else {
            leave(actor, jobs, task, held)?;
        }
    }
    Ok(Outcome::Went)
}

/// Works on a task, perhaps for a while, perhaps sending another one, and ends it or gives it back.
fn leave<'q>(
    actor: &mut Actor,
    jobs: &'q Jobs,
    (id, task): (u64, Task<'q, [u8]>),
    held: &mut InHand<'q>,
) -> Result<(), Fault> {
    if actor.random.one_in(30) {
        actor.idle(2000);
    }
    if actor.may_send() && !is_a_chain(&actor.plan) && actor.random.one_in(6) {
        send_one(actor, jobs, false)?;
    }
    actor.still_whole(id, &task)?;
    let task = if actor.random.one_in(4) { task.detach() } else { task };
    if is_a_chain(&actor.plan) && actor.board.phase() == Phase::Run {
        while send_one(actor, jobs, false)? != Outcome::Went && actor.board.phase() == Phase::Run {
            if task.deliveries() < 20 {
                actor.call(Call::Other, || drop(task));
                return Ok(());
            }
            // To make room.
            held.extend(receive(actor, jobs, Duration::ZERO)?.0);
        }
    }
    // Not what came back often: after 63 times nobody could tell.
    if actor.random.one_in(5) && task.deliveries() < 20 {
        actor.call(Call::Other, || drop(task));
        return Ok(());
    }
    end(actor, id, task)
}

fn end(actor: &mut Actor, id: u64, task: Task<'_, [u8]>) -> Result<(), Fault> {
    actor.is_about_to_be_done(id);
    actor.call(Call::Other, || task.done()).map_err(|error| fault("done", error))?;
    actor.is_done(id);
    Ok(())
}

type One<'q> = (Option<(u64, Task<'q, [u8]>)>, Outcome);

fn receive<'q>(actor: &mut Actor, jobs: &'q Jobs, patience: Duration) -> Result<One<'q>, Fault> {
    let late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
    let result = actor.timed(Call::Receive, patience, late, |deadline| jobs.recv_deadline(deadline))?;
    match result {
        Ok(task) => {
            let id = actor.took_delivered(LANE, &task, task.deliveries())?;
            Ok((Some((id, task)), Outcome::Went))
        }
        Err(error) => Ok((None, came_to_nothing(error)?)),
    }
}

fn keep_joining(actor: &mut Actor, jobs: &Jobs) -> Result<(), Fault> {
    while actor.may_send() {
        let timeout = actor.any_timeout();
        join(actor, jobs, timeout)?;
        if !is_a_chain(&actor.plan) {
            actor.idle(2000);
        }
    }
    Ok(())
}

/// Joins, and says whether everything was done. That must be true of all that had been sent before.
fn join(actor: &mut Actor, jobs: &Jobs, timeout: Duration) -> Result<bool, Fault> {
    let before = actor.unfinished();
    let late = |result: &Result<_, _>| matches!(result, Err(JoinError::Timeout));
    let result = actor.timed(Call::Other, timeout, late, |deadline| jobs.join_deadline(deadline))?;
    match result {
        Ok(()) if is_a_chain(&actor.plan) && !before.is_empty() && actor.board.phase() == Phase::Run => {
            Err("joined, although there was always something to be done".to_owned())
        }
        Ok(()) => actor.must_be_finished(&before).map(|()| true),
        Err(JoinError::Timeout) => Ok(false),
        Err(error) => Err(fault("join", error)),
    }
}

//! A queue of messages of any length, which receivers hold on to and drop in any order.

use super::bare::{LANE, Outcome, fault};
use super::queues::{
    self, NAME, SEATS, any_patience, brim, came_to_nothing, come, go, is_late, keep_receiving, keep_sending,
    note_sent,
};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::Call;
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::queue::Message;
use ringway::{Deadline, Error, Options, RecvError, SendError};
use std::time::Duration;

type Queue = ringway::Queue<[u8]>;

pub(super) struct Blobs;

const LARGEST_CHUNK: usize = 64 << 10;

/// How many messages receivers may hold together, beside those in the queue.
fn max_held(plan: &Plan) -> usize {
    plan.pick("held", &[0, 1, 4, 16])
}

fn capacity(plan: &Plan) -> usize {
    plan.pick("capacity", &[1, 2, 3, 7, 64])
}

pub(super) fn sizes(plan: &Plan) -> Sizes {
    let usual = plan.pick("usual", &[40, 100, 1000]);
    let most = plan.pick("most", &[usual, 4096, LARGEST_CHUNK, 100_000, 300_000]);
    Sizes { usual, rarely: 8, most }
}

/// Room for a few of the longest.
pub(super) fn max_bytes(plan: &Plan) -> u64 {
    let most = sizes(plan).most;
    if most > LARGEST_CHUNK { most as u64 * plan.pick("room", &[1, 2, 5]) + 4096 } else { 0 }
}

/// How many extents there are.
pub(super) fn extents(plan: &Plan) -> u64 {
    if max_bytes(plan) > 0 { (capacity(plan) + max_held(plan)).min(64) as u64 } else { 0 }
}

fn options(plan: &Plan) -> Options<Queue> {
    let options = Queue::options().capacity(capacity(plan)).participants(SEATS);
    options.message_size(sizes(plan).usual).max_held(max_held(plan)).max_bytes(max_bytes(plan))
}

fn open(actor: &mut Actor) -> impl FnOnce() -> Result<Queue, Error> + use<> {
    let options = options(&actor.plan).wait(actor.any_wait());
    move || options.open_or_create(NAME)
}

impl Scenario for Blobs {
    fn name(&self) -> &'static str {
        "blobs"
    }

    fn about(&self) -> &'static str {
        "a queue of messages of up to 300 kB; receivers hold some and drop them in any order"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        queues::cast(plan)
    }

    fn sizes(&self, plan: &Plan) -> Sizes {
        sizes(plan)
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let sends = self.cast(&actor.plan)[actor.part].only_sends;
        let open = open(actor);
        let queue = come(actor, sends, open)?;
        let result = if sends {
            keep_sending(actor, |actor| send_some(actor, &queue))
        } else {
            let mut held = Vec::new();
            keep_receiving(actor, |actor| receive_some(actor, &queue, &mut held))
        };
        go(actor, queue);
        result
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let queue = open(judge)().map_err(|error| fault("the judge's queue", error))?;
        // A wait looks around for the dead.
        while let Some(message) = receive_one(judge, &queue, Duration::from_millis(20))?.0 {
            drop(message);
        }
        queues::nothing_is_left(judge)?;
        queue.trim();
        if queue.large_bytes() != 0 {
            return Err(format!("{} bytes are reserved after a trim", queue.large_bytes()));
        }
        queues::reserve_everything(extents(&judge.plan), |len| queue.try_reserve(len))?;
        brim(
            capacity(&judge.plan),
            |number| queue.try_send(&[number.to_le_bytes(); 8].concat()),
            |patience| {
                queue
                    .recv_timeout(patience)
                    .map(|message| u64::from_le_bytes(*message.first_chunk().unwrap()))
            },
        )?;
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

fn send_some(actor: &mut Actor, queue: &Queue) -> Result<Outcome, Fault> {
    let way = actor.random.weighted(&[3, 3, 3, 3, 3, 1]);
    let mut message = Vec::new();
    for _ in 0..actor.random.between(1, 30) {
        let Some(id) = actor.draft(LANE, &mut message) else { return Ok(Outcome::Exhausted) };
        let timeout = actor.any_timeout();
        let result = match way {
            0 => actor.call(Call::Send, || queue.try_send(&message)),
            1 => actor.call(Call::Send, || queue.send(&message)),
            2 => actor
                .timed(Call::Send, timeout, is_late, |deadline| queue.send_deadline(&message, deadline))?,
            3 => actor.call(Call::Send, || {
                let mut loan = queue.reserve(message.len())?;
                loan.copy_from_slice(&message);
                loan.commit()
            }),
            // Reserved for more than is sent, and not waited for.
            4 => actor.call(Call::Send, || {
                let room = (message.len() + 20).min(queue.max_message() as usize);
                let mut loan = queue.try_reserve(room)?;
                loan[..message.len()].copy_from_slice(&message);
                loan.truncate(message.len());
                loan.commit_deadline(Deadline::NOW).map_err(|refused| refused.error)
            }),
            _ => actor.call(Call::Send, || {
                let mut loan = queue.try_reserve(message.len())?;
                loan.copy_from_slice(&message);
                drop(loan);
                Err(SendError::Full)
            }),
        };
        match note_sent(actor, id, result)? {
            Outcome::Went => {}
            _ if way == 5 => return Ok(Outcome::Went),
            other => return Ok(other),
        }
    }
    if actor.random.one_in(300) {
        actor.call(Call::Other, || queue.trim());
    }
    Ok(Outcome::Went)
}

/// A message that is held, and its id.
type Held<'q> = Vec<(u64, Message<'q>)>;

fn receive_some<'q>(actor: &mut Actor, queue: &'q Queue, held: &mut Held<'q>) -> Result<Outcome, Fault> {
    // Whoever holds all memory must not wait for another message for long.
    while held.len() > 3 || !held.is_empty() && actor.random.one_in(3) {
        let at = actor.random.below(held.len() as u64) as usize;
        let (id, message) = held.swap_remove(at);
        actor.still_whole(id, &message)?;
        actor.call(Call::Other, || drop(message));
    }
    if actor.random.one_in(4) {
        let mut buffer = vec![1; 3];
        actor.may_lose(LANE, 1);
        let timeout = actor.any_timeout();
        let late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
        let result =
            actor.timed(Call::Receive, timeout, late, |deadline| queue.recv_into(&mut buffer, deadline))?;
        let outcome = match result {
            Ok(_) => actor.took_perhaps_late(LANE, &buffer).map(|_| Outcome::Went),
            Err(error) => came_to_nothing(error),
        };
        actor.is_safe();
        return outcome;
    }
    for _ in 0..actor.random.between(1, 30) {
        let patience = if held.is_empty() { any_patience(actor) } else { actor.any_timeout() };
        let (message, outcome) = receive_one(actor, queue, patience)?;
        let Some((id, message)) = message else {
            // Perhaps we hold what the senders wait for.
            held.clear();
            return Ok(outcome);
        };
        match actor.random.below(4) {
            0 if held.len() < 4 => held.push((id, message)),
            1 => actor.call(Call::Other, || drop(message.detach())),
            _ => actor.call(Call::Other, || drop(message)),
        }
    }
    Ok(Outcome::Went)
}

type One<'q> = (Option<(u64, Message<'q>)>, Outcome);

fn receive_one<'q>(actor: &mut Actor, queue: &'q Queue, patience: Duration) -> Result<One<'q>, Fault> {
    actor.may_lose(LANE, 1);
    let late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
    let result = actor.timed(Call::Receive, patience, late, |deadline| queue.recv_deadline(deadline))?;
    let one = match result {
        Ok(message) => {
            let id = actor.took_delivered(LANE, &message, message.deliveries())?;
            (Some((id, message)), Outcome::Went)
        }
        Err(error) => (None, came_to_nothing(error)?),
    };
    actor.is_safe();
    Ok(one)
}

//! What the scenarios of queues have in common: processes that come, send or receive for a while, and go.

use super::bare::{AT_ONCE, LANE, Outcome, fault};
use super::{Part, RECEIVER, SENDER};
use crate::actor::{Actor, Fault};
use crate::board::{COUNT, Call, Repair};
use crate::plan::Plan;
use ringway::inspect::{self, Detail};
use ringway::queue::Loan;
use ringway::{Error, RecvError, SendError};
use std::time::Duration;

pub(super) const NAME: &str = "queue";

/// As many processes can be attached as take part at once: a place that is not given back is missed.
pub(super) const SEATS: u16 = 6;

/// The longest wait of a receiver: nobody tells it that all are gone.
const LONG: Duration = Duration::from_secs(1);

pub(super) fn cast(plan: &Plan) -> Vec<Part> {
    let (senders, receivers) = plan.pick("cast", &[(1, 1), (2, 1), (1, 2), (2, 2), (2, 2)]);
    [vec![SENDER; senders], vec![RECEIVER; receivers]].concat()
}

/// Attaches.
pub(super) fn come<Q>(
    actor: &mut Actor,
    sends: bool,
    open: impl FnOnce() -> Result<Q, Error>,
) -> Result<Q, Fault> {
    let queue = actor.call(Call::Open, open).map_err(|error| fault("open the queue", error))?;
    actor.attached(true);
    if sends {
        actor.wants(Some(LANE), None);
        actor.board.arrivals[LANE].fetch_add(1, COUNT);
    } else {
        actor.wants(None, Some(LANE));
    }
    Ok(queue)
}

pub(super) fn go<Q>(actor: &Actor, queue: Q) {
    actor.attached(false);
    actor.call(Call::Close, || drop(queue));
}

/// Sends by `act` until it is time to go.
pub(super) fn keep_sending(
    actor: &mut Actor,
    mut act: impl FnMut(&mut Actor) -> Result<Outcome, Fault>,
) -> Result<(), Fault> {
    while actor.may_send() {
        match act(actor)? {
            Outcome::Went if actor.random.one_in(60) => actor.idle(4000),
            Outcome::Went => {}
            Outcome::Not => actor.wait(200),
            Outcome::Closed => return Err("Closed, and nobody has closed it".to_owned()),
            Outcome::Exhausted => break,
        }
    }
    Ok(())
}

/// Receives by `act` until it is time to go.
pub(super) fn keep_receiving(
    actor: &mut Actor,
    mut act: impl FnMut(&mut Actor) -> Result<Outcome, Fault>,
) -> Result<(), Fault> {
    while !actor.must_leave() {
        let all_sent = actor.nobody_sends();
        match act(actor)? {
            Outcome::Not if all_sent => break,
            Outcome::Not => actor.wait(100),
            Outcome::Went if actor.random.one_in(100) => actor.idle(4000),
            Outcome::Went | Outcome::Exhausted => {}
            Outcome::Closed => return Err("Closed, and nobody has closed it".to_owned()),
        }
    }
    Ok(())
}

/// How long to wait for a message: now and then long.
pub(super) fn any_patience(actor: &mut Actor) -> Duration {
    if actor.random.one_in(4) { LONG } else { actor.any_timeout() }
}

/// Notes what became of a message that was to be sent.
pub(super) fn note_sent(actor: &mut Actor, id: u64, result: Result<(), SendError>) -> Result<Outcome, Fault> {
    match &result {
        Ok(()) => actor.sent(LANE, id),
        Err(_) => actor.not_sent(id),
    }
    match result {
        Ok(()) => Ok(Outcome::Went),
        Err(SendError::Full | SendError::Timeout) => Ok(Outcome::Not),
        Err(SendError::Closed) => Ok(Outcome::Closed),
        Err(error) => Err(fault("send", error)),
    }
}

pub(super) fn is_late(result: &Result<(), SendError>) -> bool {
    matches!(result, Err(SendError::Timeout))
}

pub(super) fn came_to_nothing(error: RecvError) -> Result<Outcome, Fault> {
    super::bare::outcome(error)
}

/// What is known of the queue from outside.
fn look() -> Result<inspect::Queue, Fault> {
    match inspect::stat(NAME).map_err(|error| fault("look at the queue", error))?.detail {
        Detail::Queue(queue) => Ok(*queue),
        other => Err(format!("no queue: {other:?}")),
    }
}

/// Everything was received, so nothing is in use; and what the survivors have repaired.
pub(super) fn nothing_is_left(judge: &Actor) -> Result<(), Fault> {
    let queue = look()?;
    let used = queue.chunks.map_or(0, |chunks| chunks.used + chunks.corrupt);
    if queue.held > 0 || queue.orphans > 0 || !queue.in_hand.is_empty() || used > 0 {
        return Err(format!("not all is free: {queue:?}"));
    }
    judge.repaired(Repair::Skipped, queue.skipped);
    Ok(())
}

/// The books of a queue that counts say so too.
pub(super) fn is_tallied(unfinished: u64) -> Result<(), Fault> {
    let tally = look()?.tally.ok_or("a queue that counts has no counts")?;
    if tally.unfinished == unfinished && tally.taken.wrapping_sub(tally.done) == unfinished {
        Ok(())
    } else {
        Err(format!("{unfinished} are unfinished, and from outside it is {tally:?}"))
    }
}

/// Reserves all there is at once: as much as of a new queue.
pub(super) fn reserve_everything<'q>(
    extents: u64,
    reserve: impl Fn(usize) -> Result<Loan<'q>, SendError>,
) -> Result<(), Fault> {
    let total = look()?.chunks.map_or(0, |chunks| chunks.total);
    let mut loans = Vec::new();
    loop {
        match reserve(64) {
            Ok(loan) => loans.push(loan),
            Err(SendError::Full) => break,
            Err(error) => return Err(fault("reserve", error)),
        }
    }
    if loans.len() as u64 == total - extents {
        Ok(())
    } else {
        Err(format!("{} chunks can be reserved of {total}, {extents} of them extents", loans.len()))
    }
}

/// Removes the queue, which nobody uses any more.
pub(super) fn remove() -> Result<(), Fault> {
    match ringway::unlink_unused(NAME) {
        Ok(true) => {}
        other => return Err(format!("unlink_unused of a queue that nobody uses: {other:?}")),
    }
    match ringway::clean() {
        Ok(names) if names.is_empty() => Ok(()),
        other => Err(format!("clean, when nothing is left: {other:?}")),
    }
}

/// Fills a queue twice, so that each place is used, and empties it.
pub(super) fn brim(
    capacity: usize,
    send: impl Fn(u64) -> Result<(), SendError>,
    receive: impl Fn(Duration) -> Result<u64, RecvError>,
) -> Result<(), Fault> {
    for round in 0..2 {
        let mut count = 0;
        while send(round << 32 | count).is_ok() {
            count += 1;
        }
        if count != capacity as u64 {
            return Err(format!("{count} messages fill a queue of {capacity}"));
        }
        for at in 0..count {
            match receive(AT_ONCE) {
                Ok(found) if found == round << 32 | at => {}
                other => return Err(format!("message {at} of a full queue is {other:x?}")),
            }
        }
    }
    Ok(())
}

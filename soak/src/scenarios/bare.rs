//! What the scenarios of the two bare rings have in common: one producer and one consumer at a time, and others who
//! want to be it.

use super::{Part, RECEIVER, SENDER};
use crate::actor::{Actor, Fault, Side};
use crate::board::{COUNT, Call, Repair};
use crate::plan::Plan;
use ringway::inspect::{self, Detail, Holder, RoleState};
use ringway::{Error, RecvError};
use std::time::Duration;

/// The lane of a ring.
pub(super) const LANE: usize = 0;
pub(super) const NAME: &str = "ring";

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Something was done.
    Went,
    /// Not now.
    Not,
    /// The other side is gone.
    Closed,
    /// There are no more messages to send in this episode.
    Exhausted,
}

/// As many processes can be attached as take part at once: a place that is not given back is missed.
pub(super) const SEATS: u16 = 4;

/// The sending end of a ring, as a process of the cast uses it.
pub(super) trait Tx: Sized {
    fn take(actor: &mut Actor) -> Result<Self, Error>;

    /// Sends a message in one of the ways there are. [`Outcome::Went`]: it was sent.
    fn send(&mut self, actor: &mut Actor, message: &[u8], way: Way) -> Result<Outcome, Fault>;

    /// Sends as many of these as fit, all at once.
    fn send_batch(&mut self, actor: &mut Actor, messages: &[Vec<u8>]) -> Result<usize, Fault>;
}

/// How to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Push,
    Send,
    SendTimeout,
    Reserve,
    ReserveAndDrop,
}

/// The receiving end.
pub(super) trait Rx: Sized {
    fn take(actor: &mut Actor) -> Result<Self, Error>;

    /// Receives in one of the ways there are, and records what came.
    fn receive(&mut self, actor: &mut Actor) -> Result<Outcome, Fault>;
}

/// One of the two, and what to do with it.
trait End: Sized {
    const SIDE: Side;
    fn take(actor: &mut Actor) -> Result<Self, Error>;
    fn act(&mut self, actor: &mut Actor) -> Result<Outcome, Fault>;
}

struct Sending<T>(T);
struct Receiving<R>(R);

impl<T: Tx> End for Sending<T> {
    const SIDE: Side = Side::First;

    fn take(actor: &mut Actor) -> Result<Self, Error> {
        T::take(actor).map(Sending)
    }

    fn act(&mut self, actor: &mut Actor) -> Result<Outcome, Fault> {
        if actor.random.one_in(5) {
            return send_batch(&mut self.0, actor);
        }
        let ways = [Way::Push, Way::Send, Way::SendTimeout, Way::Reserve, Way::ReserveAndDrop];
        let way = ways[actor.random.weighted(&[4, 4, 4, 4, 1])];
        let mut message = Vec::new();
        for _ in 0..actor.random.between(1, 100) {
            let Some(id) = actor.draft(LANE, &mut message) else { return Ok(Outcome::Exhausted) };
            let outcome = self.0.send(actor, &message, way)?;
            if outcome == Outcome::Went {
                actor.sent(LANE, id)
            } else {
                actor.not_sent(id)
            }
            if outcome != Outcome::Went {
                return Ok(if way == Way::ReserveAndDrop { Outcome::Went } else { outcome });
            }
        }
        Ok(Outcome::Went)
    }
}

fn send_batch(tx: &mut impl Tx, actor: &mut Actor) -> Result<Outcome, Fault> {
    let mut ids = Vec::new();
    let mut messages = Vec::new();
    for _ in 0..actor.random.between(1, 20) {
        let mut message = Vec::new();
        let Some(id) = actor.draft(LANE, &mut message) else { return Ok(Outcome::Exhausted) };
        ids.push(id);
        messages.push(message);
    }
    let count = tx.send_batch(actor, &messages)?;
    for (at, &id) in ids.iter().enumerate() {
        if at < count { actor.sent(LANE, id) } else { actor.not_sent(id) }
    }
    Ok(if count > 0 { Outcome::Went } else { Outcome::Not })
}

impl<R: Rx> End for Receiving<R> {
    const SIDE: Side = Side::Second;

    fn take(actor: &mut Actor) -> Result<Self, Error> {
        R::take(actor).map(Receiving)
    }

    fn act(&mut self, actor: &mut Actor) -> Result<Outcome, Fault> {
        self.0.receive(actor)
    }
}

/// A process that sends.
pub(super) fn send<T: Tx>(actor: &mut Actor) -> Result<(), Fault> {
    play::<Sending<T>>(actor)
}

/// A process that receives.
pub(super) fn receive<R: Rx>(actor: &mut Actor) -> Result<(), Fault> {
    play::<Receiving<R>>(actor)
}

pub(super) fn cast(plan: &Plan) -> Vec<Part> {
    let senders = 1 + plan.draw("senders") as usize % 2;
    let receivers = 1 + plan.draw("receivers") as usize % 2;
    [vec![SENDER; senders], vec![RECEIVER; receivers]].concat()
}

/// What went wrong that must not.
pub(super) fn fault(what: &str, error: impl std::fmt::Display) -> Fault {
    format!("{what}: {error}")
}

/// Takes the role again and again, and does something with it.
fn play<E: End>(actor: &mut Actor) -> Result<(), Fault> {
    let sends = E::SIDE == Side::First;
    loop {
        if sends && !actor.may_send() || actor.must_leave() {
            return Ok(());
        }
        if sends {
            actor.wants(Some(LANE), None)
        } else {
            actor.wants(None, Some(LANE))
        }
        let of_the_dead = holder_is_dead(E::SIDE);
        let taken = E::take(actor);
        let mut end = match taken {
            Ok(end) => end,
            Err(Error::RoleTaken { .. }) => {
                actor.wait(1000);
                continue;
            }
            Err(error) => return Err(fault("take the role", error)),
        };
        actor.attached(true);
        actor.holds(E::SIDE);
        if of_the_dead {
            actor.repaired(Repair::Role, 1);
        }
        if sends {
            actor.takes_fresh_ids();
            actor.board.arrivals[LANE].fetch_add(1, COUNT);
        }
        let stays = work(&mut end, actor, sends);
        actor.lets_go();
        actor.attached(false);
        actor.call(Call::Close, || drop(end));
        let stays = stays?;
        if !stays {
            return Ok(());
        }
        actor.idle(300);
    }
}

/// Works with the role until it is time to give it up; whether to take it again afterwards.
fn work(end: &mut impl End, actor: &mut Actor, sends: bool) -> Result<bool, Fault> {
    let side = if sends { Side::First } else { Side::Second };
    loop {
        if sends && !actor.may_send() || actor.must_leave() {
            return Ok(false);
        }
        let all_sent = !sends && actor.nobody_sends();
        let witness = actor.witness(side.other());
        match end.act(actor)? {
            Outcome::Went if actor.random.one_in(400) => actor.idle(4000),
            Outcome::Went => {}
            Outcome::Exhausted => return Ok(false),
            Outcome::Not if all_sent && !actor.somebody_came(LANE) => return Ok(false),
            Outcome::Not => actor.wait(200),
            Outcome::Closed => {
                actor.nobody_was_there(&witness)?;
                if all_sent {
                    return Ok(false);
                }
                actor.wait(500);
            }
        }
        if actor.random.one_in(2000) {
            return Ok(true);
        }
    }
}

/// Whether the role belongs to somebody who died.
fn holder_is_dead(side: Side) -> bool {
    let Ok(object) = inspect::stat(NAME) else { return false };
    let Detail::Ring(ring) = object.detail else { return false };
    let RoleState { holder, .. } = if side == Side::First { ring.producer } else { ring.consumer };
    match holder {
        Holder::Held(process) => !process.alive,
        Holder::Died { .. } => true,
        _ => false,
    }
}

/// What waiting for a message came to.
pub(super) fn outcome(error: RecvError) -> Result<Outcome, Fault> {
    match error {
        RecvError::Empty | RecvError::Timeout => Ok(Outcome::Not),
        RecvError::Closed => Ok(Outcome::Closed),
        other => Err(fault("receive", other)),
    }
}

/// Whether a receiver may wait for ever: there was a producer, so the end will be told.
pub(super) fn may_wait_for_ever(actor: &mut Actor) -> bool {
    actor.somebody_came(LANE) && actor.random.one_in(2)
}

/// How long the judge waits for what must come at once.
pub(super) const AT_ONCE: Duration = Duration::from_secs(10);

/// Removes the ring, which nobody uses any more.
pub(super) fn remove() -> Result<(), Fault> {
    match ringway::unlink_unused(NAME) {
        Ok(true) => {}
        Ok(false) => return Err("unlink_unused says that somebody uses the ring, and nobody does".into()),
        Err(error) => return Err(fault("unlink_unused", error)),
    }
    match ringway::clean() {
        Ok(names) if names.is_empty() => Ok(()),
        Ok(names) => Err(format!("clean found {names:?}")),
        Err(error) => Err(fault("clean", error)),
    }
}

//! A typed ring whose producers and consumers are killed and replaced.

use super::bare::{self, AT_ONCE, LANE, NAME, Outcome, Rx, SEATS, Tx, Way, fault};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::Call;
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::spsc::{Consumer, Producer, PushError, SendError};
use ringway::{Error, PopError, RecvError};

/// What is sent: 40 bytes, so that slots straddle cache lines.
type Typed = [u64; 5];

pub(super) struct Spsc;

impl Scenario for Spsc {
    fn name(&self) -> &'static str {
        "spsc"
    }

    fn about(&self) -> &'static str {
        "a typed ring; producers and consumers take over from the dead"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        bare::cast(plan)
    }

    fn sizes(&self, _: &Plan) -> Sizes {
        Sizes::only(size_of::<Typed>())
    }

    fn is_in_order(&self) -> bool {
        true
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        if self.cast(&actor.plan)[actor.part].only_sends {
            bare::send::<Producer<Typed>>(actor)
        } else {
            bare::receive::<Consumer<Typed>>(actor)
        }
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let mut rx =
            <Consumer<Typed> as Rx>::take(judge).map_err(|error| fault("the judge's consumer", error))?;
        loop {
            match rx.pop() {
                Ok(message) => judge.took(LANE, bytemuck::bytes_of(&message), true)?,
                Err(PopError::Empty) => break,
                Err(error) => return Err(fault("drain", error)),
            };
        }
        let mut tx =
            <Producer<Typed> as Tx>::take(judge).map_err(|error| fault("the judge's producer", error))?;
        // Twice round, so that each slot has been used.
        for round in 0..2 {
            let mut count = 0;
            while tx.push([round, count, 1, 2, 3]).is_ok() {
                count += 1;
            }
            let capacity = capacity(&judge.plan) as u64;
            if count != capacity {
                return Err(format!("{count} messages fill a ring of {capacity}"));
            }
            for at in 0..count {
                match rx.recv_timeout(AT_ONCE) {
                    Ok(message) if message == [round, at, 1, 2, 3] => {}
                    other => return Err(format!("message {at} of a full ring is {other:?}")),
                }
            }
        }
        drop(tx);
        match rx.recv_timeout(AT_ONCE) {
            Err(RecvError::Closed) => {}
            other => return Err(format!("{other:?} instead of Closed")),
        }
        drop(rx);
        bare::remove()
    }
}

fn capacity(plan: &Plan) -> usize {
    plan.pick("capacity", &[1, 2, 3, 7, 64, 1000])
}

impl Tx for Producer<Typed> {
    fn take(actor: &mut Actor) -> Result<Self, Error> {
        let options =
            Self::options().capacity(capacity(&actor.plan)).participants(SEATS).wait(actor.any_wait());
        actor.call(Call::Open, || options.open_or_create(NAME))
    }

    fn send(&mut self, actor: &mut Actor, message: &[u8], way: Way) -> Result<Outcome, Fault> {
        let message: Typed = bytemuck::pod_read_unaligned(message);
        let result = match way {
            Way::Push => match actor.call(Call::Send, || self.push(message)) {
                Err(PushError::Full(_)) => return Ok(Outcome::Not),
                Err(error) => return Err(fault("push", error)),
                Ok(()) => Ok(()),
            },
            Way::Send => actor.call(Call::Send, || self.send(message)),
            Way::SendTimeout => {
                let is_late = |result: &Result<_, _>| matches!(result, Err(SendError::Timeout(_)));
                let timeout = actor.any_timeout();
                actor.timed(Call::Send, timeout, is_late, |deadline| self.send_deadline(message, deadline))?
            }
            Way::Reserve | Way::ReserveAndDrop => {
                let reserved = actor.call(Call::Send, || {
                    let mut slot = self.reserve()?;
                    *slot = message;
                    (way == Way::Reserve).then(|| slot.commit())
                });
                return Ok(if reserved.is_some() { Outcome::Went } else { Outcome::Not });
            }
        };
        match result {
            Ok(()) => Ok(Outcome::Went),
            Err(SendError::Timeout(_)) => Ok(Outcome::Not),
            Err(SendError::Closed(_)) => Ok(Outcome::Closed),
            Err(error) => Err(fault("send", error)),
        }
    }

    fn send_batch(&mut self, actor: &mut Actor, messages: &[Vec<u8>]) -> Result<usize, Fault> {
        let messages: Vec<Typed> = messages.iter().map(|bytes| bytemuck::pod_read_unaligned(bytes)).collect();
        actor.call(Call::Send, || self.push_slice(&messages)).map_err(|error| fault("push_slice", error))
    }
}

impl Rx for Consumer<Typed> {
    fn take(actor: &mut Actor) -> Result<Self, Error> {
        let options =
            Self::options().capacity(capacity(&actor.plan)).participants(SEATS).wait(actor.any_wait());
        actor.call(Call::Open, || options.open_or_create(NAME))
    }

    fn receive(&mut self, actor: &mut Actor) -> Result<Outcome, Fault> {
        match actor.random.weighted(&[4, 4, 3, 4, 1, 3, 3]) {
            0 => {
                for _ in 0..actor.random.between(1, 100) {
                    actor.may_lose(LANE, 1);
                    let result = actor.call(Call::Receive, || self.pop());
                    match take(actor, result.map_err(RecvError::from))? {
                        Outcome::Went => {}
                        other => return Ok(other),
                    }
                }
                Ok(Outcome::Went)
            }
            1 if bare::may_wait_for_ever(actor) => {
                actor.may_lose(LANE, 1);
                let result = actor.call(Call::Receive, || self.recv());
                take(actor, result)
            }
            1 | 2 => {
                actor.may_lose(LANE, 1);
                let is_late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
                let timeout = actor.any_timeout();
                let receive = |deadline| self.recv_deadline(deadline);
                let result = actor.timed(Call::Receive, timeout, is_late, receive)?;
                take(actor, result)
            }
            way @ (3 | 4) => {
                let Some(slot) = actor.call(Call::Receive, || self.peek()) else { return Ok(Outcome::Not) };
                if way == 4 {
                    let message = *slot;
                    slot.keep();
                    actor.may_lose(LANE, 1);
                    return match actor.call(Call::Receive, || self.pop()) {
                        Ok(again) if again == message => take(actor, Ok(again)),
                        other => Err(format!("{message:x?} was kept, and now there is {other:x?}")),
                    };
                }
                actor.may_repeat(LANE, bytemuck::bytes_of(&*slot), 1);
                actor.took(LANE, bytemuck::bytes_of(&*slot), true)?;
                actor.call(Call::Receive, || drop(slot));
                actor.is_safe();
                Ok(Outcome::Went)
            }
            5 => {
                let mut messages = [[0; 5]; 16];
                actor.may_lose(LANE, messages.len());
                let popped = actor.call(Call::Receive, || self.pop_slice(&mut messages));
                let count = popped.map_err(|error| fault("pop_slice", error))?;
                for message in &messages[..count] {
                    actor.took(LANE, bytemuck::bytes_of(message), true)?;
                }
                actor.is_safe();
                Ok(if count > 0 { Outcome::Went } else { Outcome::Not })
            }
            _ => {
                let most = actor.random.between(1, 40) as usize;
                let mut drain = self.drain();
                let mut outcome = Outcome::Not;
                for _ in 0..most {
                    let Some(message) = actor.call(Call::Receive, || drain.next()) else { break };
                    if outcome == Outcome::Not {
                        actor.may_repeat(LANE, bytemuck::bytes_of(&message), most);
                    }
                    actor.took(LANE, bytemuck::bytes_of(&message), true)?;
                    outcome = Outcome::Went;
                }
                actor.call(Call::Receive, || drop(drain));
                actor.is_safe();
                Ok(outcome)
            }
        }
    }
}

/// Records what was received.
fn take(actor: &mut Actor, result: Result<Typed, RecvError>) -> Result<Outcome, Fault> {
    let outcome = match result {
        Ok(message) => actor.took(LANE, bytemuck::bytes_of(&message), true).map(|_| Outcome::Went),
        Err(error) => bare::outcome(error),
    };
    actor.is_safe();
    outcome
}

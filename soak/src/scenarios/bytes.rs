//! A byte ring whose producers and consumers are killed and replaced.

use super::bare::{self, AT_ONCE, LANE, NAME, Outcome, Rx, SEATS, Tx, Way, fault};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::Call;
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::bytes::{Consumer, Producer};
use ringway::{Error, PopError, RecvError, SendError};

pub(super) struct Bytes;

impl Scenario for Bytes {
    fn name(&self) -> &'static str {
        "bytes"
    }

    fn about(&self) -> &'static str {
        "a byte ring, records up to its size; producers and consumers take over from the dead"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        bare::cast(plan)
    }

    fn sizes(&self, plan: &Plan) -> Sizes {
        Sizes { usual: plan.pick("usual", &[16, 100, 1000]), rarely: 32, most: capacity(plan) - 8 }
    }

    fn is_in_order(&self) -> bool {
        true
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        if self.cast(&actor.plan)[actor.part].only_sends {
            bare::send::<Producer>(actor)
        } else {
            bare::receive::<Consumer>(actor)
        }
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let mut rx = <Consumer as Rx>::take(judge).map_err(|error| fault("the judge's consumer", error))?;
        loop {
            match rx.pop() {
                Ok(message) => judge.took(LANE, &message, true)?,
                Err(PopError::Empty) => break,
                Err(error) => return Err(fault("drain", error)),
            };
        }
        let mut tx = <Producer as Tx>::take(judge).map_err(|error| fault("the judge's producer", error))?;
        // A record takes 8 bytes more than its length: these fill the ring to the last byte.
        let record = |at: usize| [at as u8; 56];
        let capacity = capacity(&judge.plan);
        for _ in 0..2 {
            let mut count = 0;
            while tx.push(&record(count)).is_ok() {
                count += 1;
            }
            if count != capacity / 64 {
                return Err(format!("{count} records of 64 bytes fill a ring of {capacity}"));
            }
            for at in 0..count {
                match rx.recv_timeout(AT_ONCE) {
                    Ok(found) if found == record(at) => {}
                    other => return Err(format!("record {at} of a full ring is {other:x?}")),
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
    plan.pick("capacity", &[4096, 4096, 16 * 1024, 128 * 1024])
}

impl Tx for Producer {
    fn take(actor: &mut Actor) -> Result<Self, Error> {
        let options =
            Self::options().capacity(capacity(&actor.plan)).participants(SEATS).wait(actor.any_wait());
        actor.call(Call::Open, || options.open_or_create(NAME))
    }

    fn send(&mut self, actor: &mut Actor, message: &[u8], way: Way) -> Result<Outcome, Fault> {
        let is_late = |result: &Result<(), SendError>| matches!(result, Err(SendError::Timeout));
        let timeout = actor.any_timeout();
        let result = match way {
            Way::Push => actor.call(Call::Send, || self.push(message)),
            Way::Send => actor.call(Call::Send, || self.send(message)),
            Way::SendTimeout => {
                actor.timed(Call::Send, timeout, is_late, |deadline| self.send_deadline(message, deadline))?
            }
            Way::Reserve | Way::ReserveAndDrop => {
                // Perhaps more than is used of it in the end.
                let len = (message.len() + actor.random.below(20) as usize).min(self.max_len());
                actor.timed(Call::Send, timeout, is_late, |deadline| {
                    let mut loan = self.reserve_deadline(len, deadline)?;
                    loan[..message.len()].copy_from_slice(message);
                    match way {
                        Way::Reserve => loan.commit_len(message.len()),
                        _ => return Err(SendError::Full),
                    }
                    Ok(())
                })?
            }
        };
        match result {
            Ok(()) => Ok(Outcome::Went),
            Err(SendError::Full | SendError::Timeout) => Ok(Outcome::Not),
            Err(SendError::Closed) => Ok(Outcome::Closed),
            Err(error) => Err(fault("send", error)),
        }
    }

    fn send_batch(&mut self, actor: &mut Actor, messages: &[Vec<u8>]) -> Result<usize, Fault> {
        let drops = actor.random.one_in(8);
        actor.call(Call::Send, || {
            let mut batch = self.batch();
            let mut count = 0;
            for message in messages {
                match batch.push(message) {
                    Ok(()) => count += 1,
                    Err(SendError::Full) => break,
                    Err(error) => return Err(fault("push to a batch", error)),
                }
            }
            if drops {
                return Ok(0);
            }
            batch.commit();
            Ok(count)
        })
    }
}

impl Rx for Consumer {
    fn take(actor: &mut Actor) -> Result<Self, Error> {
        let options =
            Self::options().capacity(capacity(&actor.plan)).participants(SEATS).wait(actor.any_wait());
        actor.call(Call::Open, || options.open_or_create(NAME))
    }

    fn receive(&mut self, actor: &mut Actor) -> Result<Outcome, Fault> {
        let timeout = actor.any_timeout();
        match actor.random.weighted(&[4, 4, 3, 4, 3]) {
            0 => {
                let mut buffer = Vec::new();
                for _ in 0..actor.random.between(1, 100) {
                    actor.may_lose(LANE, 1);
                    let result = actor.call(Call::Receive, || self.pop_into(&mut buffer));
                    match take(actor, result.map(|_| &buffer).map_err(RecvError::from))? {
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
                let result =
                    actor.timed(Call::Receive, timeout, is_late, |deadline| self.recv_deadline(deadline))?;
                take(actor, result)
            }
            3 => {
                let is_late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
                match actor.timed(Call::Receive, timeout, is_late, |deadline| self.peek_deadline(deadline))? {
                    Ok(view) if actor.random.one_in(8) => {
                        view.keep();
                        Ok(Outcome::Went)
                    }
                    Ok(view) => {
                        actor.may_repeat(LANE, &view, 1);
                        actor.took(LANE, &view, true)?;
                        actor.call(Call::Receive, || drop(view));
                        actor.is_safe();
                        Ok(Outcome::Went)
                    }
                    Err(error) => bare::outcome(error),
                }
            }
            _ => {
                let most = actor.random.between(1, 40) as usize;
                let mut drain = self.drain();
                let mut outcome = Outcome::Not;
                for _ in 0..most {
                    let Some(message) = actor.call(Call::Receive, || drain.next()) else { break };
                    if outcome == Outcome::Not {
                        actor.may_repeat(LANE, message, most);
                    }
                    actor.took(LANE, message, true)?;
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
fn take(actor: &mut Actor, result: Result<impl AsRef<[u8]>, RecvError>) -> Result<Outcome, Fault> {
    let outcome = match result {
        Ok(message) => actor.took(LANE, message.as_ref(), true).map(|_| Outcome::Went),
        Err(error) => bare::outcome(error),
    };
    actor.is_safe();
    outcome
}

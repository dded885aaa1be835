//! A queue of plain values between processes that are killed and replaced.

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
use ringway::{Deadline, Error, RecvError};
use std::time::Duration;

/// What is sent: 40 bytes.
type Typed = [u64; 5];
type Values = ringway::Queue<Typed>;

pub(super) struct Queue;

fn capacity(plan: &Plan) -> usize {
    plan.pick("capacity", &[1, 2, 3, 7, 64, 1000])
}

fn open(actor: &mut Actor) -> impl FnOnce() -> Result<Values, Error> + use<> {
    let options = Values::options().capacity(capacity(&actor.plan)).participants(SEATS);
    let options = options.wait(actor.any_wait());
    move || options.open_or_create(NAME)
}

impl Scenario for Queue {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn about(&self) -> &'static str {
        "a queue of plain values; several processes send, several receive"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        queues::cast(plan)
    }

    fn sizes(&self, _: &Plan) -> Sizes {
        Sizes::only(size_of::<Typed>())
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
            keep_receiving(actor, |actor| receive_some(actor, &queue))
        };
        go(actor, queue);
        result
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let queue = open(judge)().map_err(|error| fault("the judge's queue", error))?;
        // A wait looks around for the dead.
        while let Outcome::Went = receive_one(judge, &queue, Duration::from_millis(20))? {}
        queues::nothing_is_left(judge)?;
        brim(
            capacity(&judge.plan),
            |number| queue.try_send([number, 1, 2, 3, 4]),
            |patience| queue.recv_timeout(patience).map(|value| value[0]),
        )?;
        queue.close();
        match queue.recv() {
            Err(RecvError::Closed) => {}
            other => return Err(format!("{other:?} instead of Closed")),
        }
        drop(queue);
        queues::remove()
    }
}

fn send_some(actor: &mut Actor, queue: &Values) -> Result<Outcome, Fault> {
    if actor.random.one_in(5) {
        return send_batch(actor, queue);
    }
    let way = actor.random.weighted(&[3, 3, 3]);
    let mut message = Vec::new();
    for _ in 0..actor.random.between(1, 50) {
        let Some(id) = actor.draft(LANE, &mut message) else { return Ok(Outcome::Exhausted) };
        let value: Typed = bytemuck::pod_read_unaligned(&message);
        let timeout = actor.any_timeout();
        let result = match way {
            0 => actor.call(Call::Send, || queue.try_send(value)),
            1 => actor.call(Call::Send, || queue.send(value)),
            _ => {
                actor.timed(Call::Send, timeout, is_late, |deadline| queue.send_deadline(value, deadline))?
            }
        };
        match note_sent(actor, id, result)? {
            Outcome::Went => {}
            other => return Ok(other),
        }
    }
    Ok(Outcome::Went)
}

fn send_batch(actor: &mut Actor, queue: &Values) -> Result<Outcome, Fault> {
    let (mut ids, mut values) = (Vec::new(), Vec::<Typed>::new());
    let mut message = Vec::new();
    for _ in 0..actor.random.between(1, 10) {
        let Some(id) = actor.draft(LANE, &mut message) else { return Ok(Outcome::Exhausted) };
        ids.push(id);
        values.push(bytemuck::pod_read_unaligned(&message));
    }
    let deadline = Deadline::after(actor.any_timeout());
    let result = actor.call(Call::Send, || queue.send_many_deadline(&values, deadline));
    let (count, error) = match result {
        Ok(()) => (values.len(), None),
        Err(unsent) => (unsent.sent, Some(unsent.error)),
    };
    ids[..count].iter().for_each(|&id| actor.sent(LANE, id));
    ids[count..].iter().for_each(|&id| actor.not_sent(id));
    match (error, ids.get(count)) {
        (Some(error), Some(&id)) => note_sent(actor, id, Err(error)),
        _ => Ok(Outcome::Went),
    }
}

fn receive_some(actor: &mut Actor, queue: &Values) -> Result<Outcome, Fault> {
    match actor.random.below(3) {
        0 => {
            let mut values = Vec::new();
            let most = actor.random.between(1, 20) as usize;
            let deadline = Deadline::after(actor.any_timeout());
            actor.may_lose(LANE, most);
            let result = actor.call(Call::Receive, || queue.recv_many(&mut values, most, deadline));
            for value in &values {
                // It does not tell how often it was delivered.
                actor.took_perhaps_late(LANE, bytemuck::bytes_of(value))?;
            }
            actor.is_safe();
            result.map_or_else(came_to_nothing, |_| Ok(Outcome::Went))
        }
        1 => {
            for _ in 0..actor.random.between(1, 50) {
                let patience = any_patience(actor);
                match receive_one(actor, queue, patience)? {
                    Outcome::Went => {}
                    other => return Ok(other),
                }
            }
            Ok(Outcome::Went)
        }
        _ => {
            actor.may_lose(LANE, 1);
            let result = actor.call(Call::Receive, || queue.try_recv());
            let outcome = match result {
                Ok(value) => actor.took_perhaps_late(LANE, bytemuck::bytes_of(&value)).map(|_| Outcome::Went),
                Err(error) => came_to_nothing(error),
            };
            actor.is_safe();
            outcome
        }
    }
}

fn receive_one(actor: &mut Actor, queue: &Values, patience: Duration) -> Result<Outcome, Fault> {
    actor.may_lose(LANE, 1);
    let late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
    let result = actor.timed(Call::Receive, patience, late, |deadline| queue.recv_with_id(deadline))?;
    let outcome = match result {
        Ok(received) => {
            let message = bytemuck::bytes_of(&received.value);
            actor.took_delivered(LANE, message, received.deliveries).map(|_| Outcome::Went)
        }
        Err(error) => came_to_nothing(error),
    };
    actor.is_safe();
    outcome
}

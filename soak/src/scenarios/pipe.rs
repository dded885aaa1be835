//! Pipes in one direction and in both, whose ends are shared by processes that are killed and replaced.

use super::bare::Outcome;
use super::{Part, Props, Scenario, pipes};
use crate::actor::{Actor, Fault, Side};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::{Connection, Error, Options};

/// A pipe of the soak.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) duplex: bool,
    /// Messages of up to so many times the pipe's size.
    pub(super) long: usize,
}

pub(super) const SIMPLEX: Shape = Shape {
    name: "pipe",
    about: "a simplex pipe, named or not; several processes send, several receive",
    duplex: false,
    long: 0,
};

pub(super) const DUPLEX: Shape = Shape {
    name: "duplex",
    about: "a duplex pipe, named or not; two processes at each end send and receive",
    duplex: true,
    long: 0,
};

pub(super) const STREAM: Shape = Shape {
    name: "stream",
    about: "messages up to five times as large as the pipe they go through",
    duplex: false,
    long: 5,
};

const FIRST: Part =
    Part { name: "first end", only_sends: false, drains: false, ends: 1, is_spared: false, is_free: false };
const SECOND: Part =
    Part { name: "second end", only_sends: false, drains: false, ends: 2, is_spared: false, is_free: false };

impl Shape {
    fn capacity(&self, plan: &Plan) -> usize {
        plan.pick("capacity", &[4096, 4096, 16 * 1024, 64 * 1024])
    }

    fn options(&self, plan: &Plan) -> Options<Connection> {
        pipes::options(self.capacity(plan), !self.duplex)
    }
}

impl Scenario for Shape {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        if self.duplex { vec![FIRST, SECOND, FIRST, SECOND] } else { pipes::simplex_cast(plan) }
    }

    fn sizes(&self, plan: &Plan) -> Sizes {
        let capacity = self.capacity(plan);
        let usual = plan.pick("usual", &[16, 100, 1000]);
        match self.long {
            0 => Sizes { usual, rarely: 16, most: capacity / 2 },
            times => Sizes { usual, rarely: 4, most: capacity * times },
        }
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn tells_the_end(&self, plan: &Plan) -> bool {
        !self.duplex && pipes::tells_the_end(plan)
    }

    fn props(&self, plan: &Plan) -> Result<Props, Error> {
        pipes::props(plan, &self.options(plan))
    }

    fn names(&self, plan: &Plan) -> Vec<String> {
        pipes::names(plan)
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let options = self.options(&actor.plan);
        match self.cast(&actor.plan)[actor.part].name {
            "sender" => pipes::send(actor, &options),
            "receiver" => pipes::receive(actor, &options),
            "first end" => converse(actor, &options, Side::First),
            _ => converse(actor, &options, Side::Second),
        }
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        pipes::judge(judge, &self.options(&judge.plan), self.tells_the_end(&judge.plan))
    }
}

/// A process that sends and receives in turns.
fn converse(actor: &mut Actor, options: &Options<Connection>, side: Side) -> Result<(), Fault> {
    let connection = pipes::take(actor, options, side)?;
    let result = take_turns(actor, &connection, side);
    pipes::close(actor, connection);
    result
}

fn take_turns(actor: &mut Actor, connection: &Connection, side: Side) -> Result<(), Fault> {
    let (out, back) = (side.lane(), side.other().lane());
    while actor.may_send() {
        let witness = actor.witness(side.other());
        actor.wants(Some(out), None);
        match pipes::send_some(actor, connection, out, false)? {
            Outcome::Closed => actor.nobody_was_there(&witness)?,
            Outcome::Exhausted => break,
            Outcome::Went | Outcome::Not => {}
        }
        let witness = actor.witness(side.other());
        actor.wants(None, Some(back));
        match pipes::receive_some(actor, connection, back, false)?.outcome {
            Outcome::Closed => actor.nobody_was_there(&witness)?,
            Outcome::Went if actor.random.one_in(40) => actor.idle(4000),
            _ => {}
        }
        actor.wants(None, None);
    }
    // What is left is for the judge.
    Ok(())
}

//! Receivers that poll a descriptor, as event loops do.

use super::bare::{Outcome, fault};
use super::{Part, Props, Scenario, pipes};
use crate::actor::{Actor, Fault, Side};
use crate::board::{BLOCK, Call, READ, SLOTS};
use crate::message::Sizes;
use crate::plan::Plan;
use crate::sys;
use ringway::{Connection, Error, Options, RecvError};
use std::os::fd::AsRawFd;
use std::time::Duration;

pub(super) struct Bell;

const LANE: usize = 0;
/// How long a receiver polls, in nanoseconds for which nobody is stopped. A message that lay there all the while must
/// have been told.
const POLL: u64 = 100_000_000;

impl Bell {
    fn options(&self, plan: &Plan) -> Options<Connection> {
        pipes::options(plan.pick("capacity", &[4096, 64 * 1024]), true)
    }
}

impl Scenario for Bell {
    fn name(&self) -> &'static str {
        "bell"
    }

    fn about(&self) -> &'static str {
        "a simplex pipe, named or not, whose receivers poll its descriptor"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        pipes::simplex_cast(plan)
    }

    fn sizes(&self, plan: &Plan) -> Sizes {
        Sizes { usual: plan.pick("usual", &[16, 300]), rarely: 50, most: 10_000 }
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn tells_the_end(&self, plan: &Plan) -> bool {
        pipes::tells_the_end(plan)
    }

    fn props(&self, plan: &Plan) -> Result<Props, Error> {
        pipes::props(plan, &self.options(plan))
    }

    fn names(&self, plan: &Plan) -> Vec<String> {
        pipes::names(plan)
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let options = self.options(&actor.plan);
        if self.cast(&actor.plan)[actor.part].only_sends {
            return pipes::send(actor, &options);
        }
        actor.wants(None, Some(LANE));
        let connection = pipes::take(actor, &options, Side::Second)?;
        let result = listen(actor, &connection);
        pipes::close(actor, connection);
        result
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        pipes::judge(judge, &self.options(&judge.plan), self.tells_the_end(&judge.plan))
    }
}

/// What had been sent when a receiver began to poll.
struct Before {
    sent: [u64; SLOTS],
    clock: u64,
}

impl Before {
    fn look(actor: &Actor) -> Self {
        let slots = &actor.board.slots;
        let sent = std::array::from_fn(|at| slots[at].last_sent[LANE].load(READ));
        Before { sent, clock: actor.board.clock.load(READ) }
    }

    /// For how long nobody was stopped since.
    fn elapsed(&self, actor: &Actor) -> u64 {
        actor.board.clock.load(READ) - self.clock
    }

    /// Whether this message lay there. Its sender had returned, so that it was killed since is no excuse.
    fn knew(&self, actor: &Actor, id: u64) -> bool {
        let owner = usize::from(actor.board.owners[id as usize / BLOCK].load(READ)) - 1;
        id < self.sent[owner]
    }
}

/// Polls, takes all there is, and polls again.
fn listen(actor: &mut Actor, connection: &Connection) -> Result<(), Fault> {
    let ready = actor.call(Call::Other, || connection.readiness().map(|fd| fd.as_raw_fd()));
    let fd = ready.map_err(|error| fault("readiness", error))?;
    let told = pipes::is_named(&actor.plan) || pipes::tells_the_end(&actor.plan);
    let mut tries_to_leave = 0;
    loop {
        let before = Before::look(actor);
        let witness = actor.witness(Side::First);
        let mut readable = false;
        actor.call(Call::Receive, || {
            while !readable && before.elapsed(actor) < POLL && !actor.must_leave() {
                readable = sys::is_readable(fd, 10);
            }
        });
        // The end of a named pipe whose last sender was killed is not told by the descriptor: that is what timers
        // are for, and for a message whose sender was killed before it rang.
        let timer = Duration::from_millis(if readable { 0 } else { 20 });
        let waited = before.elapsed(actor);
        let (outcome, first) = take_all(actor, connection, timer)?;
        if let (Some(id), false) = (first, readable)
            && before.knew(actor, id)
            && waited >= POLL
        {
            return Err(format!("message {id:#x} lay there, and the descriptor did not tell it"));
        }
        let is_over = actor.nobody_sends();
        match outcome {
            Outcome::Closed => {
                actor.nobody_was_there(&witness)?;
                if is_over {
                    return Ok(());
                }
                actor.wait(2000);
            }
            _ if is_over && first.is_none() && (!told || !actor.somebody_came(LANE)) => return Ok(()),
            _ if actor.random.one_in(40) => actor.idle(4000),
            _ => {}
        }
        // Whoever leaves in the middle of a message takes it along: only if it will not end.
        if actor.must_leave() {
            tries_to_leave += 1;
            let midway = outcome == Outcome::Not;
            if midway && tries_to_leave > 20 {
                actor.gives_up(LANE, connection.capacity());
            }
            if !midway || tries_to_leave > 20 {
                return Ok(());
            }
        }
    }
}

/// Receives until nothing is left, or it is to leave: what it ended with, and the first message.
fn take_all(
    actor: &mut Actor,
    connection: &Connection,
    mut timer: Duration,
) -> Result<(Outcome, Option<u64>), Fault> {
    let mut first = None;
    loop {
        actor.may_lose(LANE, 1);
        let is_late = |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout));
        let result = match timer {
            Duration::ZERO => actor.call(Call::Receive, || connection.try_recv()),
            time => {
                actor.timed(Call::Receive, time, is_late, |deadline| connection.recv_deadline(deadline))?
            }
        };
        timer = Duration::ZERO;
        let outcome = match result {
            Ok(message) => {
                let id = actor.took(LANE, &message, false)?;
                actor.is_safe();
                first.get_or_insert(id);
                if actor.must_leave() {
                    return Ok((Outcome::Went, first));
                }
                continue;
            }
            Err(RecvError::Empty | RecvError::Timeout) => {
                actor.got_nothing(connection.capacity());
                return Ok((Outcome::Not, first));
            }
            Err(RecvError::Closed) => Outcome::Closed,
            Err(RecvError::Torn { .. }) => continue,
            Err(error) => return Err(fault("receive", error)),
        };
        actor.is_safe();
        return Ok((outcome, first));
    }
}

//! Names that come and go: objects of all kinds are created, opened, used, unlinked and cleaned up under a few names by
//! processes that are killed meanwhile.

use super::bare::fault;
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{Call, Repair};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::{Connection, End, Error, Options, Pipe, RecvError, SendError, bytes, inspect, spsc};
use std::time::Duration;

pub(super) struct Names;

/// As many as there are processes: each has one handle at a time, so a place is always free.
const SEATS: u16 = 4;
const NAMES: [&str; 3] = ["a", "b", "c"];
const LANE: usize = 0;
const LEN: usize = 40;

const WALKER: Part =
    Part { name: "walker", only_sends: false, drains: false, ends: 0, is_spared: false, is_free: false };

/// In a gentle episode nobody removes a name that somebody uses, so it stays what it is.
fn is_gentle(plan: &Plan) -> bool {
    plan.once_in(2, "gentle")
}

impl Scenario for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn about(&self) -> &'static str {
        "objects of all kinds created, opened, unlinked and cleaned under a few names"
    }

    fn cast(&self, _: &Plan) -> Vec<Part> {
        vec![WALKER; usize::from(SEATS)]
    }

    fn sizes(&self, _: &Plan) -> Sizes {
        Sizes::only(LEN)
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        NAMES.map(str::to_owned).to_vec()
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        while actor.may_send() {
            let name = NAMES[actor.random.below(NAMES.len() as u64) as usize];
            match actor.random.below(12) {
                0 => tidy(actor, name)?,
                1 => look_around(actor)?,
                _ => visit(actor, name)?,
            }
            if actor.random.one_in(4) {
                actor.idle(500);
            }
        }
        Ok(())
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        for name in NAMES {
            match inspect::stat(name) {
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(fault("look at what is left", error)),
                Ok(object) if object.participants.iter().any(|process| process.alive) => {
                    return Err(format!("{name}: nobody is left, and there is {:?}", object.participants));
                }
                Ok(object) => judge.repaired(Repair::Name, u64::from(!object.participants.is_empty())),
            }
        }
        ringway::clean().map_err(|error| fault("clean", error))?;
        match inspect::list() {
            Ok(left) if left.is_empty() => Ok(()),
            other => Err(format!("after clean there is {other:?}")),
        }
    }
}

/// Removes what may be removed.
fn tidy(actor: &mut Actor, name: &str) -> Result<(), Fault> {
    // Whoever has left a row there without living has died.
    let was_of_the_dead = inspect::stat(name).is_ok_and(|object| {
        !object.participants.is_empty() && object.participants.iter().all(|process| !process.alive)
    });
    let removed = match actor.random.below(if is_gentle(&actor.plan) { 2 } else { 3 }) {
        0 => actor.call(Call::Other, ringway::clean).map(|names| names.iter().any(|removed| removed == name)),
        1 => actor.call(Call::Other, || ringway::unlink_unused(name)),
        _ => actor.call(Call::Other, || ringway::unlink(name)).map(|()| true),
    };
    match removed {
        Ok(removed) => actor.repaired(Repair::Name, u64::from(removed && was_of_the_dead)),
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(fault("tidy up", error)),
    }
    Ok(())
}

/// Whatever has a name is complete.
fn look_around(actor: &mut Actor) -> Result<(), Fault> {
    let listed = actor.call(Call::Other, inspect::list).map_err(|error| fault("list", error))?;
    for entry in listed {
        if let Err(error) = entry.object {
            return Err(format!("{} is no object: {error}", entry.name));
        }
    }
    Ok(())
}

/// How to come by an object.
#[derive(Debug, Clone, Copy)]
enum How {
    Create,
    Open,
    OpenOrCreate,
}

/// Comes by an object of some kind under this name, uses it, and leaves it.
fn visit(actor: &mut Actor, name: &str) -> Result<(), Fault> {
    let how = [How::Create, How::Open, How::OpenOrCreate][actor.random.below(3) as usize];
    let ephemeral = actor.random.one_in(2);
    let wait = actor.any_wait();
    actor.begins_anew();
    match actor.random.below(6) {
        0 => {
            let options = spsc::Producer::<[u64; 5]>::options().capacity(64);
            come(actor, how, name, options.ephemeral(ephemeral).wait(wait))
        }
        1 => {
            let options = spsc::Consumer::<[u64; 5]>::options().capacity(64);
            come(actor, how, name, options.ephemeral(ephemeral).wait(wait))
        }
        2 => {
            come(actor, how, name, bytes::Producer::options().capacity(4096).ephemeral(ephemeral).wait(wait))
        }
        3 => {
            come(actor, how, name, bytes::Consumer::options().capacity(4096).ephemeral(ephemeral).wait(wait))
        }
        end => {
            let end = if end == 4 { End::First } else { End::Second };
            let options = Pipe::options().capacity(4096).simplex(true).end(end);
            come(actor, how, name, options.ephemeral(ephemeral).wait(wait))
        }
    }
}

fn come<H: Handle>(actor: &mut Actor, how: How, name: &str, options: Options<H>) -> Result<(), Fault> {
    let options = options.participants(SEATS);
    let mut handle = match actor.call(Call::Open, || H::come(&options, how, name)) {
        Ok(handle) => handle,
        Err(Error::AlreadyExists { .. }) if matches!(how, How::Create) => return Ok(()),
        Err(Error::NotFound { .. }) if matches!(how, How::Open) => return Ok(()),
        Err(Error::WrongKind { .. } | Error::RoleTaken { .. }) if !matches!(how, How::Create) => {
            return Ok(());
        }
        Err(error) => return Err(fault(&format!("{how:?} {name}"), error)),
    };
    check_the_name(actor, name, &handle)?;
    for _ in 0..actor.random.below(20) {
        handle.work(actor)?;
    }
    check_the_name(actor, name, &handle)?;
    if !is_gentle(&actor.plan) && actor.random.one_in(4) {
        match actor.call(Call::Other, || handle.unlink()) {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(fault("unlink by handle", error)),
        }
        if !handle.is_retired() {
            return Err(format!("{name} was unlinked and does not know it"));
        }
    }
    actor.call(Call::Close, || drop(handle));
    Ok(())
}

/// While we use an object its name means it, or it knows that it does not any more.
fn check_the_name(actor: &Actor, name: &str, handle: &impl Handle) -> Result<(), Fault> {
    let me = Some(std::process::id());
    let seen = actor.call(Call::Other, || inspect::stat(name));
    let is_ours = match &seen {
        Ok(object) => object.participants.iter().any(|process| process.alive && process.pid == me),
        Err(Error::NotFound { .. }) => false,
        Err(error) => return Err(fault("look at our own object", error)),
    };
    let retired = handle.is_retired();
    if is_gentle(&actor.plan) && retired {
        return Err(format!("{name} was removed while we use it"));
    }
    if !is_ours && !retired {
        let seen = seen.map(|object| object.participants);
        return Err(format!(
            "{name} means another object than the one we use, which does not know it: {seen:?}"
        ));
    }
    Ok(())
}

/// What a process has in its hand.
trait Handle: Sized {
    fn come(options: &Options<Self>, how: How, name: &str) -> Result<Self, Error>;
    fn unlink(&self) -> Result<(), Error>;
    fn is_retired(&self) -> bool;

    /// Sends a message or receives one, if that goes soon.
    fn work(&mut self, actor: &mut Actor) -> Result<(), Fault>;
}

macro_rules! handle {
    ($type:ty, $work:expr) => {
        impl Handle for $type {
            fn come(options: &Options<Self>, how: How, name: &str) -> Result<Self, Error> {
                match how {
                    How::Create => options.create(name),
                    How::Open => options.open(name),
                    How::OpenOrCreate => options.open_or_create(name),
                }
            }

            fn unlink(&self) -> Result<(), Error> {
                self.unlink()
            }

            fn is_retired(&self) -> bool {
                self.is_retired()
            }

            fn work(&mut self, actor: &mut Actor) -> Result<(), Fault> {
                let work: fn(&mut Self, &mut Actor) -> Result<(), Fault> = $work;
                work(self, actor)
            }
        }
    };
}

handle!(spsc::Producer<[u64; 5]>, |tx, actor| send(actor, |message| {
    let message = bytemuck::pod_read_unaligned(message);
    match tx.send_timeout(message, SOON) {
        Ok(()) => Ok(true),
        Err(spsc::SendError::Timeout(_) | spsc::SendError::Closed(_)) => Ok(false),
        Err(error) => Err(fault("send", error)),
    }
}));
handle!(spsc::Consumer<[u64; 5]>, |rx, actor| receive(actor, || {
    rx.recv_timeout(SOON).map(|message| bytemuck::bytes_of(&message).to_vec())
}));
handle!(bytes::Producer, |tx, actor| send(actor, |message| sent(tx.send_timeout(message, SOON))));
handle!(bytes::Consumer, |rx, actor| receive(actor, || rx.recv_timeout(SOON)));
handle!(Connection, |pipe, actor| {
    if pipe.is_writable() {
        return send(actor, |message| sent(pipe.send_timeout(message, SOON)));
    }
    // Its descriptor makes a FIFO beside the object, which must go with it.
    if actor.random.one_in(8) {
        actor.call(Call::Other, || pipe.readiness().map(drop)).map_err(|error| fault("readiness", error))?;
    }
    receive(actor, || pipe.recv_timeout(SOON))
});

/// Nobody may be there: then it is not worth waiting long.
const SOON: Duration = Duration::from_millis(1);

fn sent(result: Result<(), SendError>) -> Result<bool, Fault> {
    match result {
        Ok(()) => Ok(true),
        Err(SendError::Timeout | SendError::Closed) => Ok(false),
        Err(error) => Err(fault("send", error)),
    }
}

/// Sends a message. Whether it arrives nobody knows: objects vanish here, and messages with them.
fn send(actor: &mut Actor, send: impl FnOnce(&[u8]) -> Result<bool, Fault>) -> Result<(), Fault> {
    let mut message = Vec::new();
    let Some(id) = actor.draft(LANE, &mut message) else { return Ok(()) };
    if !actor.call(Call::Send, || send(&message))? {
        actor.not_sent(id);
    }
    Ok(())
}

/// Receives a message: it is whole, was sent, and comes once.
fn receive(actor: &mut Actor, receive: impl FnOnce() -> Result<Vec<u8>, RecvError>) -> Result<(), Fault> {
    actor.may_lose(LANE, 1);
    match actor.call(Call::Receive, receive) {
        Ok(message) => actor.took(LANE, &message, false).map(drop)?,
        Err(RecvError::Timeout | RecvError::Closed) => {}
        Err(error) => return Err(fault("receive", error)),
    }
    actor.is_safe();
    Ok(())
}

//! What is soaked. A new primitive joins with a file here and a line in `ALL`.

use crate::actor::{Actor, Fault, SIDES};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::{Connection, Error};
use std::process::Command;

mod arena;
mod bare;
mod barrier;
mod bell;
mod blobs;
mod bytes;
mod locks;
mod map;
mod mutex;
mod names;
mod permits;
mod pipe;
mod pipes;
mod queue;
mod queues;
mod spsc;
mod tally;
mod tasks;
mod token;
mod turns;

/// Every scenario.
pub(crate) const ALL: &[&dyn Scenario] = &[
    &spsc::Spsc,
    &bytes::Bytes,
    &pipe::SIMPLEX,
    &pipe::DUPLEX,
    &pipe::STREAM,
    &bell::Bell,
    &names::Names,
    &queue::Queue,
    &blobs::Blobs,
    &tasks::Tasks,
    &tally::Tallies,
    &mutex::Mutexes,
    &permits::Permits,
    &turns::Turns,
    &token::Tokens,
    &barrier::Barriers,
    &arena::Arena,
    &map::Maps,
];

/// One kind of company.
pub(crate) trait Scenario: Sync {
    fn name(&self) -> &'static str;

    /// One line for `--list`.
    fn about(&self) -> &'static str;

    /// Who takes part.
    fn cast(&self, plan: &Plan) -> Vec<Part>;

    /// How long the messages are.
    fn sizes(&self, plan: &Plan) -> Sizes;

    /// Whether a lane has one receiver at a time, so that what a killed one can lose, or leave to be received again,
    /// are the next messages and no others.
    fn is_in_order(&self) -> bool;

    /// Whether messages are tasks: they may come several times until they are done, and none may be lost.
    fn has_tasks(&self) -> bool {
        false
    }

    /// Whether nobody is killed, only stopped and held. Then nobody has to find out himself what the dead left him, and in a
    /// build with instruments sleeps last until somebody wakes the sleeper: a wake-up that is lost is a hang.
    fn is_gentle(&self, _: &Plan) -> bool {
        false
    }

    /// What the supervisor must make before anybody starts.
    ///
    /// # Errors
    /// What the library says.
    fn props(&self, _: &Plan) -> Result<Props, Error> {
        Ok(Props::default())
    }

    /// Whether the supervisor lets go of the first end when all who only send are gone, so that receivers are told so.
    fn tells_the_end(&self, _: &Plan) -> bool {
        false
    }

    /// The names of the objects, to be looked at from outside.
    fn names(&self, plan: &Plan) -> Vec<String>;

    /// What a process does, from its start until it leaves. It may be killed anywhere.
    ///
    /// # Errors
    /// Whatever must not be.
    fn play(&self, actor: &mut Actor) -> Result<(), Fault>;

    /// What a fresh process does when all others are gone: takes what is left, sees that the object is as good as new,
    /// and removes it.
    ///
    /// # Errors
    /// Whatever must not be.
    fn judge(&self, judge: &mut Actor) -> Result<(), Fault>;
}

/// A process of the cast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// It only sends: when no more is to be sent, it goes first and is not replaced.
    pub(crate) only_sends: bool,
    /// It is needed until all who only send are gone.
    pub(crate) drains: bool,
    /// Which ends it is handed, where they have no name: see `Side::bit`.
    pub(crate) ends: u32,
    /// It is stopped and held, but never killed.
    pub(crate) is_spared: bool,
    /// Its calls wait for nobody: it goes on while others are stopped, and they are stopped until it has.
    pub(crate) is_free: bool,
}

pub(crate) const SENDER: Part =
    Part { name: "sender", only_sends: true, drains: false, ends: 1, is_spared: false, is_free: false };
pub(crate) const RECEIVER: Part =
    Part { name: "receiver", only_sends: false, drains: true, ends: 2, is_spared: false, is_free: false };
pub(crate) const JUDGE: Part =
    Part { name: "judge", only_sends: false, drains: false, ends: 3, is_spared: false, is_free: false };

/// What the supervisor keeps for the others.
#[derive(Default)]
pub(crate) struct Props {
    /// Both ends of an anonymous pipe.
    pub(crate) ends: [Option<Connection>; 2],
}

/// Under which key an end is handed over.
pub(crate) const KEYS: [&str; 2] = ["FIRST", "SECOND"];

impl Props {
    /// Hands over what there is of these ends: whoever has a copy of an end holds it, whether it takes it or not.
    ///
    /// # Errors
    /// What the library says.
    pub(crate) fn give(&self, command: &mut Command, ends: u32) -> Result<(), Error> {
        for (side, (end, key)) in SIDES.iter().zip(self.ends.iter().zip(KEYS)) {
            if let Some(end) = end.as_ref().filter(|_| ends & side.bit() != 0) {
                end.inherit(command, key)?;
            }
        }
        Ok(())
    }

    /// Which ends there are, as bits.
    pub(crate) fn bits(&self) -> u32 {
        let there = SIDES.iter().zip(&self.ends).filter(|(_, end)| end.is_some());
        there.fold(0, |bits, (side, _)| bits | side.bit())
    }
}

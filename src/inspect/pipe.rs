//! What can be seen of a pipe.

use super::{Participant, Traffic};
use crate::error::Corrupt;

/// The inside of a [`Pipe`](crate::Pipe).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pipe {
    /// Whether only the first end sends.
    pub simplex: bool,
    /// The end that [`Pipe::create`](crate::Pipe::create) takes.
    pub first: PipeEnd,
    /// The end that [`Pipe::open`](crate::Pipe::open) takes.
    pub second: PipeEnd,
    /// What goes from the first end to the second.
    pub forth: Lane,
    /// What goes the other way; `None` in a simplex pipe.
    pub back: Option<Lane>,
}

/// Who comes and goes at one end of a pipe.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PipeEnd {
    /// How often it was taken; 0 if nobody has come yet.
    pub arrivals: u64,
    /// How often it was closed. A process that died counts once for all it held, when somebody has noticed.
    pub departures: u64,
    /// How many processes died holding it, as far as anybody has noticed.
    pub deaths: u64,
    /// The processes that hold it, and those that died holding it and were not noticed yet.
    pub holders: Vec<Holding>,
}

impl PipeEnd {
    /// How many living processes hold it.
    pub fn living(&self) -> usize {
        self.holders.iter().filter(|holding| holding.participant.alive).count()
    }
}

/// A process at one end of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holding {
    /// The process.
    pub participant: Participant,
    /// How many connections to this end it has.
    pub connections: u32,
}

/// One direction of a pipe.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lane {
    /// Records written since it was made: messages, or pieces of long ones. One too high
    /// for each sender killed just then.
    pub written: u64,
    /// Records read since it was made. One too high for each receiver killed just then.
    pub read: u64,
    /// Bytes written since it was made, with the records' headers and padding.
    pub written_bytes: u64,
    /// Bytes read since it was made, with the records' headers and padding.
    pub read_bytes: u64,
    /// Records in it now.
    pub held: u64,
    /// Bytes in it now, with the records' headers and padding.
    pub held_bytes: u64,
    /// How its indices contradict each other, if a process wrote them against the rules.
    pub corrupt: Option<Corrupt>,
    /// Whose turn it is to send.
    pub sending: Lock,
    /// Whose turn it is to receive.
    pub receiving: Lock,
    /// Receivers waiting for messages.
    pub items: Traffic,
    /// Senders waiting for space.
    pub space: Traffic,
    /// Senders waiting for their turn.
    pub turns_to_send: Traffic,
    /// Receivers waiting for their turn.
    pub turns_to_receive: Traffic,
}

/// Who has a lock: one of a pipe, or a mutex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lock {
    /// Nobody has it.
    Free,
    /// This process has it. If it is dead, the next one to come takes it over.
    Held(Participant),
    /// This process keeps it between two calls, in the middle of a message in pieces.
    Kept(Participant),
    /// Its holder died, and nobody has taken it since.
    Died,
    /// What it protects was given up for lost: nobody gets it again.
    NotRecoverable,
    /// The word means nothing; a process wrote it against the rules.
    Nonsense,
}

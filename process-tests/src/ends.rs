//! The two ends of a ring, typed or of bytes, under one face.

use crate::message::{self, Fixed, Sizes};
use ringway::{Deadline, Error, Options, RecvError, Wait, bytes, spsc};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

/// Which ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// [`spsc`] of [`Fixed`].
    Typed,
    /// [`bytes`] with records of these sizes.
    Bytes(Sizes),
}

/// Both rings, with messages that carry their numbers.
pub const BOTH: [Ring; 2] = [Ring::Typed, Ring::Bytes(Sizes::Numbered)];
/// All ways to wait.
pub const WAITS: [Wait; 3] = [Wait::Spin, Wait::Adaptive, Wait::Park];

/// How to get at a ring.
#[derive(Debug)]
pub enum How<'a> {
    /// Make it under this name, with this capacity.
    Create(&'a str, usize),
    /// Open this name.
    Open(&'a str),
    /// Make it without a name, with this capacity.
    Anonymous(usize),
    /// From this descriptor.
    Fd(OwnedFd),
    /// As handed over by our parent under this key.
    Inherited(&'a str),
}

/// Why something was not sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named like the errors they stand for")]
pub enum Refusal {
    Timeout,
    Closed,
    Forked,
    Corrupt,
    /// Full or empty.
    Not,
    /// A message that should not be there.
    Wrong(String),
}

/// A producer.
#[derive(Debug)]
#[allow(missing_docs, reason = "named like the rings")]
pub enum Tx {
    Typed(Box<spsc::Producer<Fixed>>),
    Bytes(Box<bytes::Producer>, Sizes, Vec<u8>),
}

/// A consumer.
#[derive(Debug)]
#[allow(missing_docs, reason = "named like the rings")]
pub enum Rx {
    Typed(Box<spsc::Consumer<Fixed>>),
    Bytes(Box<bytes::Consumer>, Sizes, Vec<u8>),
}

macro_rules! attach {
    ($options:expr, $how:expr, $wait:expr, $trusted:expr) => {{
        let options = $options.wait($wait);
        let options = match $trusted {
            Some(trusted) => options.trusted(trusted),
            None => options,
        };
        match $how {
            How::Create(name, capacity) => options.capacity(capacity).create(name),
            How::Open(name) => options.open(name),
            How::Anonymous(capacity) => options.capacity(capacity).anonymous(),
            How::Fd(fd) => options.from_fd(fd),
            How::Inherited(key) => options.inherited(key),
        }
    }};
}

impl Tx {
    /// Takes the producer's role.
    ///
    /// # Errors
    /// Those of the ring.
    pub fn attach(ring: Ring, how: How<'_>, wait: Wait, trusted: Option<bool>) -> Result<Self, Error> {
        Ok(match ring {
            Ring::Typed => {
                let options: Options<spsc::Producer<Fixed>> = spsc::Producer::options();
                Tx::Typed(Box::new(attach!(options, how, wait, trusted)?))
            }
            Ring::Bytes(sizes) => {
                let producer = attach!(bytes::Producer::options(), how, wait, trusted)?;
                Tx::Bytes(Box::new(producer), sizes, Vec::new())
            }
        })
    }

    /// Sends the message of this number. Every fourth is written in place, if there is space.
    ///
    /// # Errors
    /// Those of the ring.
    pub fn send(&mut self, number: u64, deadline: Deadline) -> Result<(), Refusal> {
        match self {
            Tx::Typed(tx) => {
                let message = Fixed::new(number);
                if number.is_multiple_of(4)
                    && let Some(mut slot) = tx.reserve()
                {
                    *slot = message;
                    slot.commit();
                    return Ok(());
                }
                tx.send_deadline(message, deadline).map_err(|error| match error {
                    spsc::SendError::Timeout(back) if back == message => Refusal::Timeout,
                    spsc::SendError::Closed(back) if back == message => Refusal::Closed,
                    spsc::SendError::Forked(back) if back == message => Refusal::Forked,
                    spsc::SendError::Corrupt(back, _) if back == message => Refusal::Corrupt,
                    other => Refusal::Wrong(format!("{other:?}")),
                })
            }
            Tx::Bytes(tx, sizes, record) => {
                message::fill(record, number, *sizes, tx.max_len());
                if number.is_multiple_of(4)
                    && let Some(mut loan) = tx.reserve(record.len())
                {
                    loan.copy_from_slice(record);
                    loan.commit();
                    return Ok(());
                }
                tx.send_deadline(record, deadline).map_err(|error| match error {
                    ringway::SendError::Timeout => Refusal::Timeout,
                    ringway::SendError::Closed => Refusal::Closed,
                    ringway::SendError::Forked => Refusal::Forked,
                    ringway::SendError::Corrupt(_) => Refusal::Corrupt,
                    other => Refusal::Wrong(format!("{other:?}")),
                })
            }
        }
    }

    /// Sends messages from this number on until the ring refuses; returns the first number not sent.
    pub fn fill(&mut self, from: u64) -> (u64, Refusal) {
        let mut number = from;
        loop {
            match self.send(number, Deadline::NOW) {
                Ok(()) => number += 1,
                Err(refusal) => return (number, refusal),
            }
        }
    }

    /// Messages in the ring.
    pub fn held(&self) -> usize {
        match self {
            Tx::Typed(tx) => tx.len(),
            Tx::Bytes(tx, ..) => tx.len(),
        }
    }

    /// Hands the ring to a child.
    ///
    /// # Errors
    /// Those of the ring.
    pub fn inherit(&self, command: &mut Command, key: &str) -> Result<(), Error> {
        match self {
            Tx::Typed(tx) => tx.inherit(command, key),
            Tx::Bytes(tx, ..) => tx.inherit(command, key),
        }
    }
}

impl Rx {
    /// Takes the consumer's role.
    ///
    /// # Errors
    /// Those of the ring.
    pub fn attach(ring: Ring, how: How<'_>, wait: Wait, trusted: Option<bool>) -> Result<Self, Error> {
        Ok(match ring {
            Ring::Typed => {
                let options: Options<spsc::Consumer<Fixed>> = spsc::Consumer::options();
                Rx::Typed(Box::new(attach!(options, how, wait, trusted)?))
            }
            Ring::Bytes(sizes) => {
                let consumer = attach!(bytes::Consumer::options(), how, wait, trusted)?;
                Rx::Bytes(Box::new(consumer), sizes, Vec::new())
            }
        })
    }

    /// Receives a message and returns its number. `next` is the number it must have, if that is known; it has to
    /// be for records of any size. Every third is read in place.
    ///
    /// # Errors
    /// Those of the ring, or [`Refusal::Wrong`].
    pub fn recv(&mut self, next: Option<u64>, deadline: Deadline) -> Result<u64, Refusal> {
        let in_place = next.unwrap_or(0) % 3 == 1;
        let number = match self {
            Rx::Typed(rx) => {
                if in_place && let Some(message) = rx.peek() {
                    message.check().map_err(Refusal::Wrong)?
                } else {
                    rx.recv_deadline(deadline).map_err(refusal)?.check().map_err(Refusal::Wrong)?
                }
            }
            Rx::Bytes(rx, sizes, record) => {
                if in_place && let Ok(view) = rx.peek_deadline(deadline) {
                    record.clear();
                    record.extend_from_slice(&view);
                } else {
                    rx.recv_into(record, deadline).map_err(refusal)?;
                }
                check(record, *sizes, rx.max_len(), next)?
            }
        };
        match next {
            Some(next) if next != number => Err(Refusal::Wrong(format!("{number:#x} instead of {next:#x}"))),
            _ => Ok(number),
        }
    }

    /// Looks at the next message without taking it.
    ///
    /// # Errors
    /// Those of the ring, or [`Refusal::Wrong`].
    pub fn look(&mut self) -> Result<u64, Refusal> {
        match self {
            Rx::Typed(rx) => {
                let message = rx.peek().ok_or(Refusal::Not)?;
                let number = message.check().map_err(Refusal::Wrong);
                message.keep();
                number
            }
            Rx::Bytes(rx, sizes, record) => {
                let max = rx.max_len();
                let view = rx.peek().ok_or(Refusal::Not)?;
                record.clear();
                record.extend_from_slice(&view);
                view.keep();
                check(record, *sizes, max, None)
            }
        }
    }

    /// Receives until the ring refuses, each message following the one before; returns the last one.
    pub fn drain(&mut self, mut last: Option<u64>, deadline: Deadline) -> (Option<u64>, Refusal) {
        loop {
            match self.recv(None, deadline) {
                Ok(number) if message::follows(last, number) => last = Some(number),
                Ok(number) => {
                    return (last, Refusal::Wrong(format!("{number:#x} after {last:#x?}")));
                }
                Err(refusal) => return (last, refusal),
            }
        }
    }
}

impl AsFd for Tx {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Tx::Typed(tx) => tx.as_fd(),
            Tx::Bytes(tx, ..) => tx.as_fd(),
        }
    }
}

impl AsFd for Rx {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Rx::Typed(rx) => rx.as_fd(),
            Rx::Bytes(rx, ..) => rx.as_fd(),
        }
    }
}

/// The number of a whole record.
fn check(record: &[u8], sizes: Sizes, max: usize, next: Option<u64>) -> Result<u64, Refusal> {
    let number = match (sizes, next, record.first_chunk()) {
        (Sizes::Any, Some(next), _) => next,
        (Sizes::Numbered, _, Some(number)) => u64::from_le_bytes(*number),
        _ => return Err(Refusal::Wrong(format!("a record of {} bytes without a number", record.len()))),
    };
    let mut right = Vec::new();
    message::fill(&mut right, number, sizes, max);
    if right == record {
        Ok(number)
    } else {
        Err(Refusal::Wrong(format!("torn: record {number:#x} of {} bytes", record.len())))
    }
}

fn refusal(error: RecvError) -> Refusal {
    match error {
        RecvError::Timeout => Refusal::Timeout,
        RecvError::Closed => Refusal::Closed,
        RecvError::Forked => Refusal::Forked,
        RecvError::Corrupt(_) => Refusal::Corrupt,
        RecvError::Empty => Refusal::Not,
        other => Refusal::Wrong(format!("{other:?}")),
    }
}

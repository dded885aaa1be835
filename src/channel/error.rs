//! Why an operation on an open object did nothing.

use crate::error::{Corrupt, Error};
use crate::ring::{ReadError, WriteError};
use std::{error, fmt};

/// Why [`pop`](crate::spsc::Consumer::pop) and its kin returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PopError {
    /// Nothing is there now.
    Empty,
    /// This handle was inherited by `fork` and the role stayed with the parent.
    Forked,
    /// A peer wrote to the shared memory against the rules.
    Corrupt(Corrupt),
}

impl fmt::Display for PopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PopError::Empty => f.write_str("the ring is empty"),
            PopError::Forked => f.write_str(FORKED),
            PopError::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl error::Error for PopError {}

impl From<ReadError> for PopError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Empty => PopError::Empty,
            ReadError::Corrupt(corrupt) => PopError::Corrupt(corrupt),
        }
    }
}

/// Why bytes were not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// There is no space now.
    Full,
    /// The deadline passed before there was space. Of a message nothing was sent.
    Timeout,
    /// Nobody is left to receive.
    Closed,
    /// The message can never fit.
    TooLarge {
        /// Its length in bytes.
        len: u64,
        /// The largest possible length in bytes.
        max: u64,
    },
    /// The file system has no room for a message so large.
    NoSpace {
        /// The bytes that were to be reserved.
        needed: u64,
    },
    /// This end only receives.
    NotWritable,
    /// This handle was inherited by `fork` and the role stayed with the parent.
    Forked,
    /// A peer wrote to the shared memory against the rules.
    Corrupt(Corrupt),
    /// A forked child could not become a participant of its own.
    Attach(Error),
    /// The operating system refused to reserve space.
    Os(std::io::Error),
    /// The value cannot be encoded.
    Encode(Box<dyn error::Error + Send + Sync>),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Full => f.write_str("there is no space now"),
            SendError::Timeout => f.write_str("timed out waiting for space"),
            SendError::Closed => f.write_str("nobody is left to receive"),
            SendError::TooLarge { len, max } => {
                write!(f, "a message of {len} bytes can never fit, at most {max} can")
            }
            SendError::NoSpace { needed } => write!(f, "no space for a message of {needed} bytes"),
            SendError::NotWritable => f.write_str("this end only receives"),
            SendError::Forked => f.write_str(FORKED),
            SendError::Corrupt(corrupt) => corrupt.fmt(f),
            SendError::Attach(error) => error.fmt(f),
            SendError::Encode(error) => write!(f, "the value cannot be encoded: {error}"),
            SendError::Os(error) => write!(f, "cannot reserve space for the message: {error}"),
        }
    }
}

impl error::Error for SendError {}

impl From<WriteError> for SendError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => SendError::Full,
            WriteError::TooLarge { len, max } => SendError::TooLarge { len, max },
            WriteError::Corrupt(corrupt) => SendError::Corrupt(corrupt),
        }
    }
}

/// Why nothing was received.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// Nothing is there now.
    Empty,
    /// The deadline passed before anything came.
    Timeout,
    /// Nothing is left, and nobody who could send more.
    Closed,
    /// A long message broke off: its sender died, or gave up without space to say so, and nobody else is left.
    /// The rest of the stream is whole.
    Torn {
        /// The bytes of it that had arrived; they are dropped.
        received: u64,
    },
    /// The message is longer than [`max_message`](crate::Options::max_message); it was dropped.
    TooLong {
        /// The largest length this end accepts, in bytes.
        max: u64,
    },
    /// This end only sends.
    NotReadable,
    /// This handle was inherited by `fork` and the role stayed with the parent.
    Forked,
    /// A peer wrote to the shared memory against the rules.
    Corrupt(Corrupt),
    /// A forked child could not become a participant of its own.
    Attach(Error),
    /// The message is no encoded value of that type; it was dropped.
    Decode(Box<dyn error::Error + Send + Sync>),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Empty => f.write_str("nothing is there now"),
            RecvError::Timeout => f.write_str("timed out waiting for a message"),
            RecvError::Closed => f.write_str("nothing is left and nobody who could send more"),
            RecvError::Torn { received } => {
                write!(f, "the sender of a message died after {received} bytes of it")
            }
            RecvError::TooLong { max } => write!(f, "the message is longer than {max} bytes"),
            RecvError::NotReadable => f.write_str("this end only sends"),
            RecvError::Forked => f.write_str(FORKED),
            RecvError::Corrupt(corrupt) => corrupt.fmt(f),
            RecvError::Attach(error) => error.fmt(f),
            RecvError::Decode(error) => write!(f, "the message is no value of that type: {error}"),
        }
    }
}

impl error::Error for RecvError {}

impl From<ReadError> for RecvError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Empty => RecvError::Empty,
            ReadError::Corrupt(corrupt) => RecvError::Corrupt(corrupt),
        }
    }
}

pub(super) const FORKED: &str = "the handle belongs to the parent process: open the object anew after a fork";

impl From<PopError> for RecvError {
    fn from(error: PopError) -> Self {
        match error {
            PopError::Empty => RecvError::Empty,
            PopError::Forked => RecvError::Forked,
            PopError::Corrupt(corrupt) => RecvError::Corrupt(corrupt),
        }
    }
}

//! The rings: pure algorithms over memory that two processes share.
//!
//! Nothing here allocates, does I/O, reads a clock, waits or makes a system call. Each ring takes the shared
//! header and the storage as pointers and keeps its private state in a small writer or reader; mapping files,
//! claiming roles and sleeping are the business of the layers above.
//!
//! Three rules hold everywhere:
//!
//! - **Positions run freely.** They are `u64`s that only grow and wrap after 2⁶⁴; the place of a position is
//!   `position & mask`. So full and empty differ without a wasted slot.
//! - **A message exists once the tail has moved past it.** Whatever a process did before that store never
//!   happened if it dies, and whatever it reads is redelivered until the head has moved.
//! - **A word another process can write is read once, checked, and then only the copy is used.** A check that
//!   fails is [`Corrupt`]; no index or length from memory ever leads outside the storage.

#[cfg(not(loom))]
mod copy;

pub(crate) mod bytes;
pub(crate) mod region;
pub(crate) mod spsc;

use core::fmt;

/// Shared memory says something that no honest peer can have written.
///
/// It is found before the value is used: nothing was read or written outside the ring, and the private state is
/// unchanged, so that the same call says the same again until somebody repairs the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt {
    /// What was read, as a noun: `"tail"`, `"head"`, `"record length"`.
    pub(crate) what: &'static str,
    /// What was found. For an index: how far it moved since it was last seen, in the ring's unit (messages or
    /// bytes); a step backwards is near 2⁶⁴. For a length: the length.
    pub(crate) found: u64,
    /// The largest value that could have been right.
    pub(crate) limit: u64,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corrupt { what, found, limit } = self;
        write!(f, "the ring's {what} is corrupt: found {found}, at most {limit} is possible")
    }
}

impl core::error::Error for Corrupt {}

/// Why nothing could be claimed or reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// No space now; the reader makes some.
    Full,
    /// No space ever: the record is larger than the whole ring can hold.
    TooLarge {
        /// The length asked for, in bytes.
        len: u64,
        /// The largest possible length, in bytes.
        max: u64,
    },
    /// The reader's index is impossible.
    Corrupt(Corrupt),
}

impl From<Corrupt> for WriteError {
    fn from(corrupt: Corrupt) -> Self {
        WriteError::Corrupt(corrupt)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Full => f.write_str("the ring is full"),
            WriteError::TooLarge { len, max } => {
                write!(f, "a record of {len} bytes does not fit, the ring holds at most {max}")
            }
            WriteError::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl core::error::Error for WriteError {}

/// Why nothing could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// Nothing is there now; the writer brings more.
    Empty,
    /// The writer's index or a record's length is impossible.
    Corrupt(Corrupt),
}

impl From<Corrupt> for ReadError {
    fn from(corrupt: Corrupt) -> Self {
        ReadError::Corrupt(corrupt)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Empty => f.write_str("the ring is empty"),
            ReadError::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl core::error::Error for ReadError {}

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
//!   fails is [`Corrupt`]: nothing was read or written outside the ring and the private state is unchanged, so the
//!   same call says the same again until the memory is repaired. Its `found` is, for an index, how far that moved
//!   since it was last seen (a step backwards is near 2⁶⁴), and `limit` how far it could.

#[cfg(not(loom))]
pub(crate) mod copy;

pub(crate) mod bytes;
pub(crate) mod mpmc;
pub(crate) mod pace;
pub(crate) mod region;
pub(crate) mod spsc;

use core::fmt;

use bytemuck::AnyBitPattern;

use crate::error::Corrupt;
use crate::sync::Slot;

/// Copies the value in a slot out, as [`Slot::read`] does, but a large one by wide words.
///
/// # Safety
/// As for [`Slot::read`].
#[inline(always)]
unsafe fn read<T: AnyBitPattern>(slot: &Slot<T>) -> T {
    #[cfg(not(loom))]
    // SAFETY: readable by the caller's promise, and any bits are a `T`.
    return unsafe { copy::value(slot.as_ptr()) };
    #[cfg(loom)]
    // SAFETY: the caller's promise, passed on.
    return unsafe { slot.read() };
}

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

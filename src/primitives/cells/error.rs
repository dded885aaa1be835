//! Why an operation did nothing.

use crate::error::{Corrupt, Error};
use core::fmt;
use std::error;

/// Why a [`Value`](crate::Value) or an [`Array`](crate::Array) was not read or not changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CellError {
    /// There is no such element.
    OutOfRange {
        /// The first element that was asked for and is not there.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// Another process has been in the middle of a write for as long as the
    /// [options](crate::Options::<crate::Value<u64>>::write_timeout) say: it was stopped.
    Timeout,
    /// Others changed it so often meanwhile that an `update` has given up.
    Overtaken,
    /// The guard is a copy in a forked child: the lock belongs to the parent.
    NotHeld,
    /// This process has no memory for a copy.
    NoMemory {
        /// The bytes needed.
        needed: usize,
    },
    /// A peer wrote to the shared memory against the rules.
    Corrupt(Corrupt),
    /// A forked child could not become a participant of its own.
    Attach(Error),
}

impl fmt::Display for CellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CellError::OutOfRange { index, len } => {
                write!(f, "there is no element {index} in an array of {len}")
            }
            CellError::Timeout => f.write_str("timed out waiting for another write to end"),
            CellError::Overtaken => f.write_str("others changed it again and again meanwhile"),
            CellError::NotHeld => f.write_str("the lock belongs to the process this one was forked from"),
            CellError::NoMemory { needed } => write!(f, "no memory for a copy of {needed} bytes"),
            CellError::Corrupt(corrupt) => corrupt.fmt(f),
            CellError::Attach(error) => error.fmt(f),
        }
    }
}

impl error::Error for CellError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            CellError::Corrupt(corrupt) => Some(corrupt),
            CellError::Attach(error) => Some(error),
            _ => None,
        }
    }
}

//! Why an operation did nothing.

use crate::error::{Corrupt, Error};
use core::fmt;
use std::error;

/// Why a [`Map`](crate::Map) was not read or not changed. What was there before is there still.
#[derive(Debug)]
#[non_exhaustive]
pub enum MapError {
    /// There are as many items as there can be.
    Full {
        /// How many.
        items: usize,
    },
    /// The key and the value do not fit beside the others.
    NoMemory {
        /// How many bytes they have together.
        needed: u64,
        /// How many more bytes the keys and the values can have, once what this one would replace is gone. Can be more than is
        /// needed: then the old value and the new one do not fit beside each other.
        free: u64,
    },
    /// Another process has had the lock for as long as the [options](crate::Options::<crate::Map>::write_timeout) or the
    /// caller said.
    Timeout,
    /// Somebody has the lock now.
    WouldBlock,
    /// This process has no memory for a copy.
    NoMemoryForCopy {
        /// The bytes needed.
        needed: usize,
    },
    /// A peer wrote to the shared memory against the rules. The next one to write throws away what makes no sense.
    Corrupt(Corrupt),
    /// A forked child could not become a participant of its own.
    Attach(Error),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::Full { items } => write!(f, "the map has {items} items, and cannot have more"),
            MapError::NoMemory { needed, free } => {
                write!(f, "the map has no room for {needed} bytes: {free} are free")
            }
            MapError::Timeout => f.write_str("timed out waiting for the lock of the map"),
            MapError::WouldBlock => f.write_str("the lock of the map is held now"),
            MapError::NoMemoryForCopy { needed } => write!(f, "no memory for a copy of {needed} bytes"),
            MapError::Corrupt(corrupt) => corrupt.fmt(f),
            MapError::Attach(error) => error.fmt(f),
        }
    }
}

impl error::Error for MapError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            MapError::Corrupt(corrupt) => Some(corrupt),
            MapError::Attach(error) => Some(error),
            _ => None,
        }
    }
}

/// What `field` is, and is no more than `limit` among honest processes.
#[cold]
pub(super) fn corrupt(field: &'static str, found: u64, limit: u64) -> MapError {
    MapError::Corrupt(Corrupt { field, found, limit, place: None })
}

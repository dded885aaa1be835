//! Why a message was not pushed or sent.

use crate::channel::error::FORKED;
use crate::error::Corrupt;
use core::fmt;

/// Why a message was not pushed; it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// There is no space now.
    Full(T),
    /// This handle was inherited by `fork` and the role stayed with the parent.
    Forked(T),
    /// The consumer wrote to the shared memory against the rules.
    Corrupt(T, Corrupt),
}

/// Why a message was not sent; it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The deadline passed before there was space.
    Timeout(T),
    /// There was a consumer and it is gone.
    Closed(T),
    /// This handle was inherited by `fork` and the role stayed with the parent.
    Forked(T),
    /// The consumer wrote to the shared memory against the rules.
    Corrupt(T, Corrupt),
}

impl<T> PushError<T> {
    /// The message that was not pushed.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(value) | PushError::Forked(value) | PushError::Corrupt(value, _) => value,
        }
    }
}

impl<T> SendError<T> {
    /// The message that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Timeout(value)
            | SendError::Closed(value)
            | SendError::Forked(value)
            | SendError::Corrupt(value, _) => value,
        }
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PushError::Full(_) => f.write_str("the ring is full"),
            PushError::Forked(_) => f.write_str(FORKED),
            PushError::Corrupt(_, corrupt) => corrupt.fmt(f),
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Timeout(_) => f.write_str("timed out waiting for space"),
            SendError::Closed(_) => f.write_str("nobody is left to receive"),
            SendError::Forked(_) => f.write_str(FORKED),
            SendError::Corrupt(_, corrupt) => corrupt.fmt(f),
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushError({self})")
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendError({self})")
    }
}

impl<T> std::error::Error for PushError<T> {}
impl<T> std::error::Error for SendError<T> {}

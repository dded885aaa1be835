//! Why an operation did nothing.

use crate::error::{Corrupt, Error};
use core::fmt;
use std::error;

/// Why [`Mutex::lock`](crate::Mutex::lock) and its kin did not simply grant the lock.
///
/// In the first case it *is* held, and `G` is what it is held by: see [`Inherited`](crate::Inherited). With `?` that
/// guard is dropped, which gives the data up for lost, and what is left is a `LockError` without a guard.
///
/// ```
/// use ringway::{LockError, Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mutex = Mutex::anonymous(0_u64)?;
/// let mut guard = match mutex.lock() {
///     Ok(guard) => guard,
///     Err(LockError::OwnerDied(inherited)) => inherited.recover(|value| *value = 0),
///     Err(other) => return Err(other.into()),
/// };
/// *guard += 1;
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub enum LockError<G = ()> {
    /// The lock is held, but whoever had it died with it, or left it by a panic: the data may be half changed.
    OwnerDied(G),
    /// Somebody who got the lock of a dead owner could not repair the data. Nobody gets the lock again.
    NotRecoverable,
    /// The deadline passed.
    Timeout,
    /// Somebody has it now.
    WouldBlock,
    /// This very thread has it, so waiting would be for ever.
    WouldDeadlock,
    /// A peer wrote to the shared memory against the rules.
    Corrupt(Corrupt),
    /// A forked child could not become a participant of its own.
    Attach(Error),
}

impl<G> LockError<G> {
    /// The same without the guard, if there is one: it is dropped.
    pub fn without_guard(self) -> LockError {
        self.map(drop)
    }

    /// The same with another guard.
    pub(super) fn map<H>(self, change: impl FnOnce(G) -> H) -> LockError<H> {
        match self {
            LockError::OwnerDied(guard) => LockError::OwnerDied(change(guard)),
            LockError::NotRecoverable => LockError::NotRecoverable,
            LockError::Timeout => LockError::Timeout,
            LockError::WouldBlock => LockError::WouldBlock,
            LockError::WouldDeadlock => LockError::WouldDeadlock,
            LockError::Corrupt(corrupt) => LockError::Corrupt(corrupt),
            LockError::Attach(error) => LockError::Attach(error),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::OwnerDied(_) => f.write_str("the lock's last owner died with it"),
            LockError::NotRecoverable => f.write_str("what the lock protects was given up for lost"),
            LockError::Timeout => f.write_str("timed out waiting for the lock"),
            LockError::WouldBlock => f.write_str("the lock is held now"),
            LockError::WouldDeadlock => f.write_str("this thread holds the lock already"),
            LockError::Corrupt(corrupt) => corrupt.fmt(f),
            LockError::Attach(error) => error.fmt(f),
        }
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::OwnerDied(_) => f.write_str("OwnerDied(..)"),
            LockError::NotRecoverable => f.write_str("NotRecoverable"),
            LockError::Timeout => f.write_str("Timeout"),
            LockError::WouldBlock => f.write_str("WouldBlock"),
            LockError::WouldDeadlock => f.write_str("WouldDeadlock"),
            LockError::Corrupt(corrupt) => f.debug_tuple("Corrupt").field(corrupt).finish(),
            LockError::Attach(error) => f.debug_tuple("Attach").field(error).finish(),
        }
    }
}

/// Only of the error without a guard: one with a guard borrows the lock, and could not be passed on.
impl error::Error for LockError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            LockError::Corrupt(corrupt) => Some(corrupt),
            LockError::Attach(error) => Some(error),
            _ => None,
        }
    }
}

/// `?` in a function that fails with a `LockError`, or with any error: drops the guard.
macro_rules! passes_on {
    ([$($generics:tt)*], $guard:ty) => {
        impl<$($generics)*> From<LockError<$guard>> for LockError {
            fn from(error: LockError<$guard>) -> Self {
                error.without_guard()
            }
        }

        impl<$($generics)*> From<LockError<$guard>> for Box<dyn error::Error> {
            fn from(error: LockError<$guard>) -> Self {
                error.without_guard().into()
            }
        }

        impl<$($generics)*> From<LockError<$guard>> for Box<dyn error::Error + Send + Sync> {
            fn from(error: LockError<$guard>) -> Self {
                error.without_guard().into()
            }
        }
    };
}

passes_on!([T: bytemuck::Pod], crate::Inherited<'_, T>);
passes_on!([T: bytemuck::Pod], crate::ReentrantInherited<'_, T>);
passes_on!([T: bytemuck::Pod], crate::ValueInherited<'_, T>);
passes_on!([T: bytemuck::Pod], crate::ArrayInherited<'_, T>);

/// Why a semaphore gave no permit.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcquireError {
    /// There are not so many permits now.
    WouldBlock,
    /// The deadline passed.
    Timeout,
    /// So many permits there can never be.
    TooMany {
        /// How many were asked for.
        asked: u32,
        /// How many there can be.
        bound: u32,
    },
    /// A peer wrote to the shared memory against the rules.
    Corrupt(Corrupt),
    /// A forked child could not become a participant of its own; or there can be no thread to wait in a future's stead.
    Attach(Error),
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcquireError::WouldBlock => f.write_str("there is no permit now"),
            AcquireError::Timeout => f.write_str("timed out waiting for a permit"),
            AcquireError::TooMany { asked, bound } => {
                write!(f, "{asked} permits there can never be, at most {bound}")
            }
            AcquireError::Corrupt(corrupt) => corrupt.fmt(f),
            AcquireError::Attach(error) => error.fmt(f),
        }
    }
}

impl error::Error for AcquireError {}

/// Why a semaphore took no permit back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// There would be more permits than there may be: it was released too many times.
    TooMany {
        /// How many there may be.
        bound: u32,
    },
    /// The semaphore is gone from its arena: nobody held it, before this forked child came to use it.
    Gone,
    /// A peer wrote to the shared memory against the rules.
    Corrupt(Corrupt),
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReleaseError::TooMany { bound } => {
                write!(f, "the semaphore was released too many times, it has {bound} permits at most")
            }
            ReleaseError::Gone => Error::Gone.fmt(f),
            ReleaseError::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl error::Error for ReleaseError {}

/// Why the parties of a barrier did not meet.
#[derive(Debug)]
#[non_exhaustive]
pub enum BarrierError {
    /// It is broken: one of the parties died or was late, or somebody called [`abort`](crate::Barrier::abort) or
    /// [`reset`](crate::Barrier::reset).
    Broken,
    /// The deadline passed before all had come; that has broken the barrier.
    Timeout,
    /// A peer wrote to the shared memory against the rules.
    Corrupt(Corrupt),
    /// A forked child could not become a participant of its own.
    Attach(Error),
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BarrierError::Broken => f.write_str("the barrier is broken"),
            BarrierError::Timeout => f.write_str("timed out waiting for the other parties"),
            BarrierError::Corrupt(corrupt) => corrupt.fmt(f),
            BarrierError::Attach(error) => error.fmt(f),
        }
    }
}

impl error::Error for BarrierError {}

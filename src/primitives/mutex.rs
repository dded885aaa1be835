//! A lock and the value it protects.

use super::guard::{Inherited, MutexGuard};
use super::handle::handle;
use super::holding::{self, Holding};
use super::site::{Block, Needs, Primitive, Site, only_one};
use super::value;
use crate::LockError;
use crate::error::{Error, Kind};
use crate::options::{Options, Settings};
use crate::wait::{Deadline, Wait};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::sync::Arc;

/// A value that one thread of one process at a time may use; whoever dies with it leaves it to the next, who is told.
///
/// Taking and giving back costs no system call while nobody waits. The handle is cheap to clone, and may be shared by
/// threads.
///
/// ```
/// use ringway::{LockError, Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("doc-mutex-{}", std::process::id());
/// let counter = Mutex::open_or_create(&name, 0_u64)?; // in each process
/// *counter.lock()? += 1;
/// assert_eq!(*counter.lock()?, 1);
/// # ringway::unlink(&name)?;
/// # Ok(())
/// # }
/// ```
///
/// # When a process dies
/// Whoever is waiting, or comes next, gets the mutex as [`LockError::OwnerDied`], which holds it: the value may be half
/// changed, and only [`recover`](crate::Inherited::recover) makes an ordinary guard of it. That stays so over a second
/// death. A process that dies after it finished its work but before the mutex was given back looks the same. So does a
/// panic. Somebody who waits learns of a death after a tenth of a second at most; who comes later, at once.
///
/// # What it does not do
/// It is not fair: who comes along when it is given back may be faster than who was woken. A process that is merely
/// *stopped* keeps it. A thread that has it and locks it again is told
/// [`WouldDeadlock`](LockError::WouldDeadlock); see [`ReentrantMutex`](crate::ReentrantMutex).
pub struct Mutex<T: Pod> {
    holding: Arc<Holding>,
    value: PhantomData<fn(T) -> T>,
}

/// What [`Mutex::lock`] and its kin return.
type Locked<'a, T> = Result<MutexGuard<'a, T>, LockError<Inherited<'a, T>>>;

handle!(
    [T: Pod], Mutex<T>, "mutex", (value: T), |options| options.value(value),
    " `value` is what it protects, if it is new."
);

impl<T: Pod> Mutex<T> {
    pub(super) fn site(&self) -> &Site {
        self.holding.site()
    }

    #[cfg(test)]
    pub(super) fn holding(&self) -> &Arc<Holding> {
        &self.holding
    }

    /// Takes the mutex, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`], which holds it; [`LockError::NotRecoverable`]; [`LockError::WouldDeadlock`].
    #[inline]
    pub fn lock(&self) -> Locked<'_, T> {
        self.lock_when(Some(Deadline::NEVER))
    }

    /// Takes the mutex if nobody has it now.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`]; else as [`lock`](Self::lock). That the owner died is noticed a few milliseconds late
    /// if it was alive when this was called just before.
    #[inline]
    pub fn try_lock(&self) -> Locked<'_, T> {
        self.lock_when(None)
    }

    /// Takes the mutex, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// [`LockError::Timeout`]; else as [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Locked<'_, T> {
        self.lock_deadline(Deadline::after(timeout))
    }

    /// Takes the mutex, waiting until `deadline` for it.
    ///
    /// # Errors
    /// [`LockError::Timeout`]; else as [`lock`](Self::lock).
    #[inline]
    pub fn lock_deadline(&self, deadline: Deadline) -> Locked<'_, T> {
        self.lock_when(Some(deadline))
    }

    #[inline(always)]
    fn lock_when(&self, deadline: Option<Deadline>) -> Locked<'_, T> {
        match self.holding.try_lock_simply() {
            Some(taken) => Ok(MutexGuard::new(&self.holding, taken)),
            // Taken apart, so that what the slow way returns through memory does not keep the fast way's guard there.
            None => match self.lock_slowly(deadline) {
                Ok(guard) => Ok(guard),
                Err(error) => Err(error),
            },
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_slowly(&self, deadline: Option<Deadline>) -> Locked<'_, T> {
        match self.holding.lock(deadline) {
            Ok(taken) => Ok(MutexGuard::new(&self.holding, taken)),
            Err(error) => Err(error.map(|taken| Inherited::new(&self.holding, taken))),
        }
    }

    /// Another handle to the same mutex with another way of waiting.
    #[must_use]
    pub fn with_wait(&self, wait: Wait) -> Self {
        Mutex { holding: self.holding.with_wait(wait), value: PhantomData }
    }
}

impl<T: Pod> Clone for Mutex<T> {
    fn clone(&self) -> Self {
        Mutex { holding: Arc::clone(&self.holding), value: PhantomData }
    }
}

impl<T: Pod> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("name", &self.site().segment().name())
            .field("word", &self.holding.words().gate.word().read())
            .finish_non_exhaustive()
    }
}

impl<T: Pod> Primitive for Mutex<T> {
    const KIND: Kind = Kind::Mutex;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        only_one(settings)?;
        value::needs_for::<T>()
    }

    fn initialise(block: Block, settings: &Settings) -> Result<(), Error> {
        value::initialise::<T>(block, settings);
        Ok(())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        Ok(Mutex { holding: Holding::new(site, settings), value: PhantomData })
    }

    fn sweep(block: Block, dead: u16) {
        holding::sweep(block, dead);
    }
}

impl<T: Pod> Options<Mutex<T>> {
    /// What a new mutex protects; zeros, unless this says otherwise.
    pub fn value(mut self, value: T) -> Self {
        self.settings.initial = Some(bytemuck::bytes_of(&value).into());
        self
    }

    /// Whether this handle writes down when it takes the mutex, so that [`inspect`](crate::inspect) can tell for how long
    /// it is held. Off: looking at the clock would cost as much as taking the mutex does.
    pub fn timed(mut self, yes: bool) -> Self {
        self.settings.timed = yes;
        self
    }
}

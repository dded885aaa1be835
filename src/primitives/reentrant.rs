//! A lock that its thread may take again, and the value it protects.

use super::error::LockError;
use super::handle::handle;
use super::holding::{self, Holding};
use super::reentry::Reentry;
use super::site::{Block, Needs, Primitive, Site, only_one};
use super::value;
use crate::error::{Error, Kind};
use crate::options::{Options, Settings};
use crate::wait::{Deadline, Wait};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::sync::Arc;

/// A [`Mutex`](crate::Mutex) that the thread which has it may lock again, as often as it likes; it is given back with
/// the last of its guards.
///
/// A thread can have several guards at once, so none of them lends out references: the value is read and written as that of
/// a [`Cell`](core::cell::Cell).
///
/// ```
/// use ringway::ReentrantMutex;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("doc-reentrant-{}", std::process::id());
/// let level = ReentrantMutex::open_or_create(&name, 0_u64)?; // in each process
/// let outer = level.lock()?;
/// let inner = level.lock()?;
/// inner.set(7);
/// assert_eq!((outer.get(), inner.depth()), (7, 2));
/// # ringway::unlink(&name)?;
/// # Ok(())
/// # }
/// ```
///
/// What happens when a process dies, or panics, is told at [`Mutex`](crate::Mutex).
pub struct ReentrantMutex<T: Pod> {
    holding: Arc<Holding>,
    value: PhantomData<fn(T) -> T>,
}

/// What [`ReentrantMutex::lock`] and its kin return.
type Locked<'a, T> = Result<ReentrantMutexGuard<'a, T>, LockError<ReentrantInherited<'a, T>>>;

handle!(
    [T: Pod], ReentrantMutex<T>, "mutex", (value: T), |options| options.value(value),
    " `value` is what it protects, if it is new."
);

impl<T: Pod> ReentrantMutex<T> {
    fn site(&self) -> &Site {
        self.holding.site()
    }

    /// Takes the mutex, waiting for it as long as it takes. If this thread has it already, it has it once more.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`], which holds it; [`LockError::NotRecoverable`].
    #[inline]
    pub fn lock(&self) -> Locked<'_, T> {
        self.lock_when(Some(Deadline::NEVER))
    }

    /// Takes the mutex if nobody else has it now.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`]; else as [`lock`](Self::lock).
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
    pub fn lock_deadline(&self, deadline: Deadline) -> Locked<'_, T> {
        self.lock_when(Some(deadline))
    }

    #[inline(always)]
    fn lock_when(&self, deadline: Option<Deadline>) -> Locked<'_, T> {
        match Reentry::lock(&self.holding, deadline) {
            Ok(entry) => Ok(ReentrantMutexGuard::new(entry)),
            Err(error) => {
                Err(error.map(|entry| ReentrantInherited { guard: ReentrantMutexGuard::new(entry) }))
            }
        }
    }

    /// Another handle to the same mutex with another way of waiting.
    #[must_use]
    pub fn with_wait(&self, wait: Wait) -> Self {
        ReentrantMutex { holding: self.holding.with_wait(wait), value: PhantomData }
    }
}

impl<T: Pod> Clone for ReentrantMutex<T> {
    fn clone(&self) -> Self {
        ReentrantMutex { holding: Arc::clone(&self.holding), value: PhantomData }
    }
}

impl<T: Pod> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReentrantMutex")
            .field("name", &self.site().segment().name())
            .field("word", &self.holding.words().gate.word().read())
            .finish_non_exhaustive()
    }
}

/// A [`ReentrantMutex`] that is held; it is given back with the last guard of its thread, in whatever order they go.
///
/// Leaked, it keeps the mutex until the thread ends or the handle is dropped. In a child forked meanwhile it does nothing.
#[must_use = "the mutex is given back at once if the guard is not kept"]
pub struct ReentrantMutexGuard<'a, T: Pod> {
    entry: Reentry<'a>,
    value: PhantomData<&'a T>,
}

impl<'a, T: Pod> ReentrantMutexGuard<'a, T> {
    #[inline(always)]
    fn new(entry: Reentry<'a>) -> Self {
        ReentrantMutexGuard { entry, value: PhantomData }
    }

    /// A copy of the value.
    #[inline]
    pub fn get(&self) -> T {
        value::read(self.entry.holding())
    }

    /// Replaces the value.
    #[inline]
    pub fn set(&self, value: T) {
        if self.entry.is_ours() {
            value::write_back(self.entry.holding(), &value);
        }
    }

    /// Replaces the value by what `change` makes of it, and returns that.
    pub fn update(&self, change: impl FnOnce(T) -> T) -> T {
        let value = change(self.get());
        self.set(value);
        value
    }

    /// How often this thread has the mutex.
    pub fn depth(&self) -> u32 {
        self.entry.depth()
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReentrantMutexGuard").field("value", &self.get()).finish_non_exhaustive()
    }
}

/// A [`ReentrantMutex`] that is held, and whose last owner died with it.
///
/// [`recover`](Self::recover) makes an ordinary guard of it. If the thread gives the mutex back without having done so
/// by any of its guards, what it protects is given up for lost.
#[must_use = "dropping it gives what the mutex protects up for lost"]
pub struct ReentrantInherited<'a, T: Pod> {
    guard: ReentrantMutexGuard<'a, T>,
}

impl<'a, T: Pod> ReentrantInherited<'a, T> {
    /// A copy of the value, which may be half changed.
    pub fn get(&self) -> T {
        self.guard.get()
    }

    /// Replaces the value by what `repair` makes of it, and goes on as if nothing had happened. If this process dies before
    /// that is done, the next one to come has to do it.
    pub fn recover(self, repair: impl FnOnce(T) -> T) -> ReentrantMutexGuard<'a, T> {
        let guard = self.guard;
        guard.update(repair);
        guard.entry.recovered();
        guard
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for ReentrantInherited<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReentrantInherited").field(&self.get()).finish()
    }
}

impl<T: Pod> Primitive for ReentrantMutex<T> {
    const KIND: Kind = Kind::ReentrantMutex;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        only_one(settings)?;
        value::needs_for::<T>()
    }

    fn initialise(block: Block, settings: &Settings) -> Result<(), Error> {
        value::initialise::<T>(block, settings);
        Ok(())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        Ok(ReentrantMutex { holding: Holding::new(site, settings), value: PhantomData })
    }

    fn sweep(block: Block, dead: u16) {
        holding::sweep(block, dead);
    }
}

impl<T: Pod> Options<ReentrantMutex<T>> {
    /// What a new mutex protects; zeros, unless this says otherwise.
    pub fn value(mut self, value: T) -> Self {
        self.settings.initial = Some(bytemuck::bytes_of(&value).into());
        self
    }

    /// Whether this handle writes down when it takes the mutex; see [`timed`](Options::<crate::Mutex<T>>::timed).
    pub fn timed(mut self, yes: bool) -> Self {
        self.settings.timed = yes;
        self
    }
}

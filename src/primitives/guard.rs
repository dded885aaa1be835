//! What a mutex hands out: the way to its value, for as long as it is held.

use super::error::LockError;
use super::holding::{Holding, Taken};
use super::value;
use crate::wait::Deadline;
use bytemuck::Pod;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr;
use std::thread::panicking;

/// A [`Mutex`](crate::Mutex) that is held; dropping this gives it back.
///
/// It leads to the value in shared memory itself. If the handle does not [trust](crate::Options#trust) its peers, it leads
/// to a private copy that is written back when the mutex is given back.
///
/// Dropped by a panic, it leaves the mutex as a dead owner does: the next one to come is told. Leaked (by
/// [`forget`](core::mem::forget)), it keeps the mutex until the thread ends or the handle is dropped; if its value was
/// looked at in shared memory, until the handle is, because until then somebody may still be looking. In a child forked meanwhile it does nothing, and leads to a
/// copy.
#[must_use = "the mutex is given back at once if the guard is not kept"]
pub struct MutexGuard<'a, T: Pod> {
    holding: &'a Holding,
    taken: Taken,
    /// A box of our own with the value, because the handle does not trust its peers, or because this is a child of the
    /// holder; null if the value is where it belongs.
    copy: Cell<*mut T>,
    /// Not 0 if the thread was panicking already when it took the mutex. A whole word: the processor hands on what was
    /// written just now only if it is read in the same pieces.
    in_panic: usize,
    /// The mutex is held by a thread.
    thread: PhantomData<(*const (), &'a mut T)>,
}

impl<'a, T: Pod> MutexGuard<'a, T> {
    /// The guard of what was just taken.
    #[inline(always)]
    pub(super) fn new(holding: &'a Holding, taken: Taken) -> Self {
        let copy = if holding.is_trusting() { ptr::null_mut() } else { leaked_copy(holding) };
        MutexGuard {
            holding,
            taken,
            copy: Cell::new(copy),
            in_panic: panicking().into(),
            thread: PhantomData,
        }
    }

    /// Lets go of the mutex by `how`, which waits for something, and takes it again. What is not ours, because the process
    /// was forked meanwhile, is only taken.
    pub(super) fn let_go_for(
        self,
        how: impl FnOnce(&Holding, Taken) -> bool,
    ) -> (Result<Self, LockError<Inherited<'a, T>>>, bool) {
        let guard = ManuallyDrop::new(self);
        let holding = guard.holding;
        // SAFETY: the guard is not dropped, and not used again.
        let done = unsafe { end(holding, guard.taken, guard.copy.get(), how) }.unwrap_or(false);
        let retaken = match holding.lock(Some(Deadline::NEVER)) {
            Ok(taken) => Ok(MutexGuard::new(holding, taken)),
            Err(error) => Err(error.map(|taken| Inherited::new(holding, taken))),
        };
        (retaken, done)
    }

    /// Where the value is, about to be lent out; see [`Holding::lend`]. A child of the holder gets a copy.
    #[inline(always)]
    fn lend(&self) -> *mut T {
        let copy = self.copy.get();
        if !copy.is_null() {
            return copy;
        }
        if self.holding.is_ours(self.taken) {
            self.holding.lend();
            return value::place_of::<T>(self.holding).as_ptr();
        }
        let copy = leaked_copy(self.holding);
        self.copy.set(copy);
        copy
    }
}

/// The end of a guard: gives the mutex back by `how`, if it is ours. By value, so that guards stay in registers.
///
/// # Safety
/// The guard had these, and is not used any more.
unsafe fn end<T: Pod, R>(
    holding: &Holding,
    taken: Taken,
    copy: *mut T,
    how: impl FnOnce(&Holding, Taken) -> R,
) -> Option<R> {
    let is_ours = holding.is_ours(taken);
    if !copy.is_null() {
        // SAFETY: a box that was leaked for this guard, by whose only end it ends too.
        let copy = unsafe { Box::from_raw(copy) };
        if is_ours {
            value::write_back::<T>(holding, &copy);
        }
    }
    is_ours.then(|| how(holding, taken))
}

/// The end of most guards. A call by value and nothing else, so that it is worth inlining wherever a guard is dropped, and
/// the guard stays in registers.
///
/// # Safety
/// As for [`end`].
#[inline(never)]
unsafe fn end_by_drop<T: Pod>(holding: &Holding, taken: Taken, copy: *mut T, in_panic: usize) {
    if copy.is_null() && !panicking() && holding.is_ours(taken) {
        holding.unlock(taken);
    } else {
        // SAFETY: the caller's promise.
        unsafe { end_slowly(holding, taken, copy, in_panic != 0) };
    }
}

/// The end of a guard that is not as simple as most.
///
/// # Safety
/// As for [`end`].
#[cold]
#[inline(never)]
unsafe fn end_slowly<T: Pod>(holding: &Holding, taken: Taken, copy: *mut T, in_panic: bool) {
    let how = if panicking() && !in_panic { Holding::leave_behind } else { Holding::unlock };
    // SAFETY: the caller's promise.
    unsafe { end(holding, taken, copy, how) };
}

/// A copy of the value, for [`end`] to end. As it cannot unwind (where there is no memory the process ends), a guard need
/// not lie in memory to be found there.
#[cold]
#[inline(never)]
extern "C" fn leaked_copy<T: Pod>(holding: &Holding) -> *mut T {
    Box::into_raw(value::copy_out::<T>(holding))
}

impl<T: Pod> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the mutex is held, and honest peers leave what it protects alone; where they need not be honest, or we
        // are not the holder, this is a box of our own.
        unsafe { &*self.lend() }
    }
}

impl<T: Pod> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lend() }
    }
}

impl<T: Pod> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this is the end.
        unsafe { end_by_drop(self.holding, self.taken, self.copy.get(), self.in_panic) };
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Pod + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A [`Mutex`](crate::Mutex) that is held, and whose last owner died with it: what it protects may be half changed.
///
/// [`recover`](Self::recover) makes an ordinary guard of it. Dropped without that, it gives the value up for lost: nobody
/// gets the mutex again, and everybody who waits for it, or comes later, is told
/// [`NotRecoverable`](crate::LockError::NotRecoverable).
#[must_use = "dropping it gives what the mutex protects up for lost"]
pub struct Inherited<'a, T: Pod> {
    /// Ended by `drop`, or moved out by `recover`.
    guard: ManuallyDrop<MutexGuard<'a, T>>,
}

impl<'a, T: Pod> Inherited<'a, T> {
    pub(super) fn new(holding: &'a Holding, taken: Taken) -> Self {
        Inherited { guard: ManuallyDrop::new(MutexGuard::new(holding, taken)) }
    }

    /// Repairs the value by `repair`, and goes on as if nothing had happened. If this process dies before that is done,
    /// the next one to come has to do it; if `repair` panics, the value is given up for lost.
    pub fn recover(mut self, repair: impl FnOnce(&mut T)) -> MutexGuard<'a, T> {
        repair(&mut self);
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, and not used again.
        let mut guard = unsafe { ManuallyDrop::take(&mut this.guard) };
        let holding = guard.holding;
        if holding.is_ours(guard.taken) {
            let copy = guard.copy.get();
            // SAFETY: null, or a box of our own until the guard ends.
            if let Some(copy) = unsafe { copy.as_ref() } {
                // The repair is of use to the next one only if it is there.
                value::write_back(holding, copy);
            }
            guard.taken = holding.recovered(guard.taken);
        }
        guard
    }
}

impl<T: Pod> Deref for Inherited<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: Pod> DerefMut for Inherited<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: Pod> Drop for Inherited<'_, T> {
    fn drop(&mut self) {
        let guard = &self.guard;
        // SAFETY: this is the end, and the guard itself is not dropped.
        unsafe { end(guard.holding, guard.taken, guard.copy.get(), Holding::abandon) };
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Inherited<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inherited").field(&**self).finish()
    }
}

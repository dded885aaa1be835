//! What a mutex hands out: the way to its value, for as long as it is held.

use super::error::LockError;
use super::holding::{Holding, Taken};
use super::value;
use crate::wait::Deadline;
use bytemuck::Pod;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
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
    /// `None` once it is given back.
    taken: Option<Taken>,
    /// Where the value is: in shared memory, or in a box of our own.
    value: Cell<NonNull<T>>,
    /// Whether it is in a box: because the handle does not trust its peers, or because this is a child of the holder.
    is_private: Cell<bool>,
    /// Whether the thread was panicking already when it took the mutex.
    in_panic: bool,
    /// The mutex is held by a thread.
    thread: PhantomData<(*const (), &'a mut T)>,
}

impl<'a, T: Pod> MutexGuard<'a, T> {
    /// The guard of what was just taken.
    #[inline(always)]
    pub(super) fn new(holding: &'a Holding, taken: Taken) -> Self {
        let guard = MutexGuard {
            holding,
            taken: Some(taken),
            value: Cell::new(value::place_of::<T>(holding)),
            is_private: Cell::new(false),
            in_panic: panicking(),
            thread: PhantomData,
        };
        if !holding.is_trusting() {
            guard.copy();
        }
        guard
    }

    /// Gives the mutex back by `how`; what else the guard has goes with it.
    #[inline(always)]
    fn give_back(&mut self, how: impl FnOnce(&Holding, Taken)) {
        let Some(taken) = self.taken.take() else { return };
        let is_ours = self.holding.is_ours(&taken);
        if self.is_private.get() {
            self.end_copy(is_ours);
        }
        if is_ours {
            how(self.holding, taken);
        }
    }

    /// From now on the value is a box of our own.
    #[cold]
    fn copy(&self) {
        self.value.set(NonNull::from(Box::leak(value::copy_out::<T>(self.holding))));
        self.is_private.set(true);
    }

    #[cold]
    fn end_copy(&mut self, is_ours: bool) {
        // SAFETY: leaked by `copy`, and ended only here, once: `taken` was there.
        let copy = unsafe { Box::from_raw(self.value.get().as_ptr()) };
        if is_ours {
            value::write_back::<T>(self.holding, &copy);
        }
    }

    /// Lets go of the mutex by `how`, which waits for something, and takes it again. What is not ours, because the process
    /// was forked meanwhile, is only taken.
    pub(super) fn let_go_for(
        mut self,
        how: impl FnOnce(&Holding, Taken) -> bool,
    ) -> (Result<Self, LockError<Inherited<'a, T>>>, bool) {
        let mut done = false;
        self.give_back(|holding, taken| done = how(holding, taken));
        let holding = self.holding;
        drop(self);
        let retaken = match holding.lock(Some(Deadline::NEVER)) {
            Ok(taken) => Ok(MutexGuard::new(holding, taken)),
            Err(error) => Err(error.map(|taken| Inherited::new(holding, taken))),
        };
        (retaken, done)
    }

    /// Where the value is, about to be lent out; see [`Holding::lend`]. A child of the holder gets a copy.
    #[inline(always)]
    fn lend(&self) -> NonNull<T> {
        if !self.is_private.get() {
            if self.taken.as_ref().is_some_and(|taken| self.holding.is_ours(taken)) {
                self.holding.lend();
            } else {
                self.copy();
            }
        }
        self.value.get()
    }
}

impl<T: Pod> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the mutex is held, and honest peers leave what it protects alone; where they need not be honest, or we
        // are not the holder, this is a box of our own.
        unsafe { self.lend().as_ref() }
    }
}

impl<T: Pod> DerefMut for MutexGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { self.lend().as_mut() }
    }
}

impl<T: Pod> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if panicking() && !self.in_panic {
            self.give_back(Holding::leave_behind);
        } else {
            self.give_back(Holding::unlock);
        }
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
    /// `None` once it was recovered.
    guard: Option<MutexGuard<'a, T>>,
}

impl<'a, T: Pod> Inherited<'a, T> {
    pub(super) fn new(holding: &'a Holding, taken: Taken) -> Self {
        Inherited { guard: Some(MutexGuard::new(holding, taken)) }
    }

    /// Repairs the value by `repair`, and goes on as if nothing had happened. If this process dies before that is done,
    /// the next one to come has to do it; if `repair` panics, the value is given up for lost.
    pub fn recover(mut self, repair: impl FnOnce(&mut T)) -> MutexGuard<'a, T> {
        repair(&mut self);
        let Some(mut guard) = self.guard.take() else { unreachable!("only this and `drop` take it") };
        let holding = guard.holding;
        if let Some(taken) = guard.taken.take_if(|taken| holding.is_ours(taken)) {
            // The repair is of use to the next one only if it is there.
            if guard.is_private.get() {
                // SAFETY: a box of our own, until the guard ends.
                value::write_back(holding, unsafe { guard.value.get().as_ref() });
            }
            guard.taken = Some(holding.recovered(taken));
        }
        guard
    }
}

impl<T: Pod> Deref for Inherited<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        let Some(guard) = &self.guard else { unreachable!("taken by value only") };
        guard
    }
}

impl<T: Pod> DerefMut for Inherited<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        let Some(guard) = &mut self.guard else { unreachable!("taken by value only") };
        guard
    }
}

impl<T: Pod> Drop for Inherited<'_, T> {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.give_back(Holding::abandon);
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Inherited<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inherited").field(&**self).finish()
    }
}

//! What any thread may use and any thread may close.

use super::lineage::Thread;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A value that is dropped when it is closed and nobody uses it any more.
///
/// Threads that wait in a call use it while it is closed; they are told. A forked child has none of its parent's threads but
/// the one that forked, so what the others were using is nobody's there, and its descriptors close when the child says so.
pub(super) struct Handle<T> {
    /// Locked for moments only, by threads that hold the interpreter's lock: so never at a fork.
    state: Mutex<State<T>>,
    is_closed: AtomicBool,
}

struct State<T> {
    /// `None` when closed.
    value: Option<Arc<T>>,
    /// Who uses it for longer than a moment: each has a reference of its own.
    guests: Vec<Thread>,
}

/// A value in use.
pub(super) struct Guest<'a, T> {
    handle: &'a Handle<T>,
    thread: Thread,
    /// The last reference closes it. It goes after this is out of the list, and not under the lock.
    value: Arc<T>,
}

impl<T> Handle<T> {
    pub(super) fn new(value: T) -> Self {
        let state = State { value: Some(Arc::new(value)), guests: Vec::new() };
        Handle { state: Mutex::new(state), is_closed: AtomicBool::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses it for a moment, in which nothing of Python runs. `None` if it is closed.
    #[inline]
    pub(super) fn now<R>(&self, use_it: impl FnOnce(&T) -> R) -> Option<R> {
        self.state().value.as_deref().map(use_it)
    }

    /// Uses it for as long as the guest lives. `None` if it is closed.
    pub(super) fn enter(&self) -> Option<Guest<'_, T>> {
        let mut state = self.state();
        let value = Arc::clone(state.value.as_ref()?);
        let thread = Thread::current();
        state.guests.push(thread);
        Some(Guest { handle: self, thread, value })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Drops the value as soon as nobody uses it. Who does is to look at [`is_closed`](Self::is_closed) now and then.
    pub(super) fn close(&self) {
        let mut state = self.state();
        self.is_closed.store(true, Ordering::Relaxed);
        let value = state.value.take();
        let before = state.guests.len();
        state.guests.retain(|guest| !guest.stayed_behind());
        let ghosts = before - state.guests.len();
        drop(state);
        let Some(value) = value else { return };
        for _ in 0..ghosts {
            // SAFETY: each guest has a reference, and those of threads that are not in this process are never used or
            // dropped: they were counted here, once, because they left the list.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&value)) };
        }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> Deref for Guest<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Guest<'_, T> {
    fn drop(&mut self) {
        let mut state = self.handle.state();
        if let Some(place) = state.guests.iter().position(|guest| *guest == self.thread) {
            state.guests.swap_remove(place);
        }
    }
}

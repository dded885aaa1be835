//! Waits that somebody else may end: an interpreter whose signal handlers are due.

use core::cell::Cell;
use core::ptr::NonNull;

/// Asked at the end of each slice of a sleep, and after each signal: whether to give up.
type Hook = dyn FnMut() -> bool;

std::thread_local! {
    /// That of the innermost [`interruptible`] call on this thread.
    static HOOK: Cell<Option<NonNull<Hook>>> = const { Cell::new(None) };
    /// Whether it has said yes.
    static GAVE_UP: Cell<bool> = const { Cell::new(false) };
}

/// Makes `call`; whenever it has slept for some time (10 to 100 ms) or a signal has interrupted its sleep, asks `hook`
/// whether to give up. If so the wait ends as if its deadline had passed: with the error that says so, even if it was to
/// wait for ever, and nothing is lost.
///
/// For bindings to interpreters, which must run the handlers of signals on the thread that waits. Calls of this library
/// that `hook` makes have no hook.
///
/// ```
/// use ringway::{Queue, RecvError};
///
/// let queue = Queue::<u64>::anonymous(8)?;
/// let mut asked = 0;
/// let given_up = || { asked += 1; asked == 2 };
/// let received = ringway::interruptible(given_up, || queue.recv());
/// assert!(matches!(received, Err(RecvError::Timeout)));
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn interruptible<R>(mut hook: impl FnMut() -> bool, call: impl FnOnce() -> R) -> R {
    let hook: &mut (dyn FnMut() -> bool + '_) = &mut hook;
    let hook = NonNull::from(hook);
    // SAFETY: only the lifetime changes; `Restore` takes the pointer back before the hook goes, also over a panic.
    let hook = unsafe { core::mem::transmute::<NonNull<dyn FnMut() -> bool + '_>, NonNull<Hook>>(hook) };
    let _restore = Restore(HOOK.replace(Some(hook)), GAVE_UP.replace(false));
    call()
}

/// Puts the hook back that was there before.
struct Restore(Option<NonNull<Hook>>, bool);

impl Drop for Restore {
    fn drop(&mut self) {
        HOOK.set(self.0);
        GAVE_UP.set(self.1);
    }
}

/// A last try at the end of a wait; none if the call was given up, whose caller has something else to say than that it went
/// well after all.
#[cold]
pub(crate) fn unless_given_up<R>(last: impl FnOnce() -> Option<R>) -> Option<R> {
    if GAVE_UP.try_with(Cell::get).unwrap_or(false) { None } else { last() }
}

/// Whether this thread's wait is to end.
#[cold]
pub(super) fn is_asked_for() -> bool {
    // A thread that is ending has no hook any more.
    let Ok(Some(mut hook)) = HOOK.try_with(Cell::take) else { return false };
    let mut restore = Restore(Some(hook), GAVE_UP.get());
    // SAFETY: it was set by an `interruptible` call that is still running, and which owns the hook; nobody else calls it,
    // since it was taken out.
    let gives_up = unsafe { hook.as_mut()() };
    restore.1 |= gives_up;
    gives_up
}

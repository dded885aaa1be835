//! Waits that somebody else may end: an interpreter whose signal handlers are due.

use super::TimedOut;
use core::cell::Cell;
use core::ptr::NonNull;

/// Asked at the end of each slice of a sleep, and after each signal: whether to give up.
type Hook = dyn FnMut() -> bool;

std::thread_local! {
    /// That of the innermost [`interruptible`] call on this thread.
    static HOOK: Cell<Option<NonNull<Hook>>> = const { Cell::new(None) };
    /// Whether that hook has said yes.
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
    let _restore = Restore(HOOK.replace(Some(hook)));
    let _forget = Forget(GAVE_UP.replace(false));
    call()
}

/// What a wait has brought, or else one more try: its last patrol may have changed something. But whoever was asked to give
/// up takes nothing, because his caller has something else to say, and would drop it.
pub(crate) fn or_a_last_try<R>(
    outcome: Result<R, TimedOut>,
    attempt: impl FnOnce() -> Option<R>,
) -> Option<R> {
    match outcome {
        Ok(done) => Some(done),
        Err(TimedOut) if GAVE_UP.try_with(Cell::get).unwrap_or(false) => None,
        Err(TimedOut) => attempt(),
    }
}

/// Puts the hook back that was there before.
struct Restore(Option<NonNull<Hook>>);

impl Drop for Restore {
    fn drop(&mut self) {
        HOOK.set(self.0);
    }
}

/// Puts back whether the call around this one was given up.
struct Forget(bool);

impl Drop for Forget {
    fn drop(&mut self) {
        GAVE_UP.set(self.0);
    }
}

/// Whether this thread's wait is to end.
#[cold]
pub(super) fn is_asked_for() -> bool {
    // A thread that is ending has no hook any more.
    let Ok(Some(mut hook)) = HOOK.try_with(Cell::take) else { return false };
    let _restore = Restore(Some(hook));
    // SAFETY: it was set by an `interruptible` call that is still running, and which owns the hook; nobody else calls it,
    // since it was taken out.
    let gives_up = unsafe { hook.as_mut()() };
    if gives_up {
        GAVE_UP.set(true);
    }
    gives_up
}

//! Being called when a thread ends, after the destructors of all its thread-local values.

use core::cell::Cell;
use core::ffi::c_void;
use std::sync::OnceLock;

std::thread_local! {
    /// What to call; without a destructor, so that it is there to the very end.
    static LAST_ACT: Cell<Option<fn()>> = const { Cell::new(None) };
    /// Whether the destructors of the C library's keys have been called once.
    static IS_SECOND_ROUND: Cell<bool> = const { Cell::new(false) };
}

/// Has `act` called by this thread when it ends: after the destructors of all `thread_local!` values, whether they were
/// registered before or are yet to be. Of several calls by one thread the last one counts. Returns whether it will be: there
/// are only so many keys in a process. `act` must not panic.
///
/// A `thread_local!` value cannot do that: of several, the one that was touched last goes first.
pub(crate) fn call_at_the_end(act: fn()) -> bool {
    let Some(key) = key() else { return false };
    LAST_ACT.set(Some(act));
    arm(key)
}

/// The key whose destructor makes the calls, one for the process.
fn key() -> Option<libc::pthread_key_t> {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` is a place for one; the destructor takes any value.
        let error = unsafe { libc::pthread_key_create(&mut key, Some(end)) };
        (error == 0).then_some(key)
    })
}

/// Has the destructor called, once more.
fn arm(key: libc::pthread_key_t) -> bool {
    // SAFETY: the key was created and is never deleted; the value, which only has to be other than null, is not followed.
    unsafe { libc::pthread_setspecific(key, core::ptr::dangling::<u8>().cast()) == 0 }
}

/// The destructors of keys come after those of `thread_local!` values, or, where the C library knows no others (musl), those
/// stand behind a key themselves. So this waits for the second round, of which POSIX promises four.
extern "C" fn end(_: *mut c_void) {
    if !IS_SECOND_ROUND.replace(true)
        && let Some(key) = key()
        && arm(key)
    {
        return;
    }
    if let Some(act) = LAST_ACT.take() {
        act();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::sync::Mutex;

    static LOG: Mutex<Vec<&str>> = Mutex::new(Vec::new());

    struct Noted(&'static str);

    impl Drop for Noted {
        fn drop(&mut self) {
            LOG.lock().unwrap().push(self.0);
        }
    }

    std::thread_local! {
        static EARLY: RefCell<Option<Noted>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<Noted>> = const { RefCell::new(None) };
    }

    #[test]
    fn it_comes_after_whatever_was_touched_before_and_after() {
        let ended = std::thread::spawn(|| {
            EARLY.set(Some(Noted("early")));
            assert!(call_at_the_end(|| LOG.lock().unwrap().push("the end")));
            LATE.set(Some(Noted("late")));
        });
        ended.join().unwrap();
        assert_eq!(*LOG.lock().unwrap(), ["late", "early", "the end"]);
    }
}

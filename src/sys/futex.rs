//! The futex, shared between processes, with deadlines on the monotonic clock.

use super::clock;
use crate::sync::AtomicU32;

/// No deadline.
pub(crate) const FOR_EVER: u64 = u64::MAX;

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    /// A [`wake`] reached this sleeper.
    Woken,
    /// The word was not, or no longer, the expected one; there was no sleep.
    Changed,
    /// The deadline passed.
    TimedOut,
    /// A signal was handled by this thread.
    Interrupted,
}

/// Sleeps while `word` holds `expected`, until [`wake`]d or until `until` (nanoseconds of [`clock::now`]).
///
/// The comparison and the falling asleep are one step for every waker: it wakes either nobody, and the word
/// it changed before is seen here, or this sleeper.
pub(crate) fn wait(word: &AtomicU32, expected: u32, until: u64) -> Slept {
    let deadline = clock::timespec(until);
    let timeout = if until == FOR_EVER { core::ptr::null() } else { &raw const deadline };
    // Not FUTEX_PRIVATE_FLAG: the other side is another process. WAIT_BITSET takes an absolute deadline.
    // SAFETY: the kernel reads the word, which the reference keeps mapped, and the deadline, which lives
    // until the call returns; it writes neither.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            expected,
            timeout,
            core::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    if outcome == 0 {
        return Slept::Woken;
    }
    match errno() {
        libc::EAGAIN => Slept::Changed,
        libc::ETIMEDOUT => Slept::TimedOut,
        libc::EINTR => Slept::Interrupted,
        // A filter forbids futexes, or a peer turned the word into another kind of lock. The caller looks
        // again and comes back, so poll gently instead of spinning through a call that fails at once.
        _ => {
            clock::pause(POLL.min(until.saturating_sub(clock::now())));
            Slept::TimedOut
        }
    }
}

/// Wakes up to `count` sleepers on `word`; returns how many it woke.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> u32 {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: the kernel uses the word's address, which the reference keeps mapped, and touches no memory.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
    u32::try_from(woken).unwrap_or(0)
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

const POLL: u64 = 1_000_000;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn a_changed_word_does_not_sleep() {
        let word = AtomicU32::new(7);
        assert_eq!(wait(&word, 6, FOR_EVER), Slept::Changed);
    }

    #[test]
    fn a_deadline_ends_a_sleep_and_not_before() {
        let word = AtomicU32::new(7);
        let until = clock::now() + 3_000_000;
        assert_eq!(wait(&word, 7, until), Slept::TimedOut);
        assert!(clock::now() >= until);
        assert_eq!(wait(&word, 7, 0), Slept::TimedOut, "a deadline in the past");
    }

    #[test]
    fn a_wake_counts_whom_it_reached() {
        let word = AtomicU32::new(0);
        assert_eq!(wake(&word, 1), 0, "nobody sleeps");
        std::thread::scope(|scope| {
            let sleepers = [(); 3].map(|()| scope.spawn(|| wait(&word, 0, FOR_EVER)));
            let mut woken = 0;
            while woken < 2 {
                woken += wake(&word, 2 - woken);
                std::thread::yield_now();
            }
            // A third may still be on its way; a changed word turns it back, a wake reaches it.
            word.store(1, Ordering::SeqCst);
            woken += wake(&word, u32::MAX);
            let ends = sleepers.map(|sleeper| sleeper.join().unwrap());
            assert_eq!(ends.iter().filter(|&&end| end == Slept::Woken).count(), woken as usize, "{ends:?}");
        });
    }

    #[test]
    fn a_signal_interrupts() {
        let word = AtomicU32::new(0);
        assert_eq!(interrupted(move || wait(&word, 0, FOR_EVER)), Slept::Interrupted);
    }
}

/// Runs `body` on a thread of its own and sends that one signals until it has ended.
#[cfg(test)]
pub(crate) fn interrupted<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    extern "C" fn ignore(_: i32) {}
    // SAFETY: all-zero is a valid sigaction: no flags (so no SA_RESTART), an empty mask.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    action.sa_sigaction = ignore as *const () as usize;
    // SAFETY: `action` is valid and its handler does nothing; SIGURG has no other use here.
    assert_eq!(unsafe { libc::sigaction(libc::SIGURG, &raw const action, core::ptr::null_mut()) }, 0);
    std::thread::scope(|scope| {
        let (send, receive) = std::sync::mpsc::channel();
        let sleeper = scope.spawn(move || {
            // SAFETY: asks for the calling thread's own handle.
            send.send(unsafe { libc::pthread_self() }).unwrap();
            body()
        });
        let thread = receive.recv().unwrap();
        while !sleeper.is_finished() {
            // SAFETY: the scope has not joined the thread, so its handle is valid.
            unsafe { libc::pthread_kill(thread, libc::SIGURG) };
            std::thread::yield_now();
        }
        sleeper.join().unwrap()
    })
}

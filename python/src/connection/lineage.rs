//! Which process this is, among forks, and which of its threads came along.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts the forks between this process and the one that loaded this library.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The thread that made the last fork: the only one that came along.
static SURVIVOR: AtomicUsize = AtomicUsize::new(0);

/// A thread of a process. A fork's only thread is the same one in both processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    generation: u64,
    handle: usize,
}

fn this_handle() -> usize {
    // SAFETY: no preconditions.
    let handle = unsafe { libc::pthread_self() };
    handle as usize
}

/// The number of this process in its line of descent.
pub(super) fn generation() -> u64 {
    static WATCHED: Once = Once::new();
    extern "C" fn count() {
        // A child has one thread when it is counted.
        GENERATION.fetch_add(1, Ordering::Relaxed);
        SURVIVOR.store(this_handle(), Ordering::Relaxed);
    }
    if !WATCHED.is_completed() {
        // SAFETY: the handler makes two stores, and does nothing else.
        WATCHED.call_once(|| _ = unsafe { libc::pthread_atfork(None, None, Some(count)) });
    }
    GENERATION.load(Ordering::Relaxed)
}

impl Thread {
    /// The running one.
    pub(super) fn current() -> Thread {
        Thread { generation: generation(), handle: this_handle() }
    }

    /// Whether it did not come along when this process was forked. `false` may be wrong if yet another thread of this process
    /// has got its handle.
    pub(super) fn stayed_behind(self) -> bool {
        self.generation != generation() && self.handle != SURVIVOR.load(Ordering::Relaxed)
    }
}

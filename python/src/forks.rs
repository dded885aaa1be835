//! Forks: how many there were, and what is done before and after each.

use crate::pins;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the forks between this process and the one that loaded this library.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// How many forks this process is away from the one that loaded this library.
pub(crate) fn generation() -> u64 {
    static WATCHED: Once = Once::new();
    if !WATCHED.is_completed() {
        WATCHED.call_once(watch);
    }
    // Relaxed: a child has one thread when it is counted.
    GENERATION.load(Ordering::Relaxed)
}

/// The C library's handlers, not Python's: between these and the fork no other thread of Python runs.
fn watch() {
    extern "C" fn before() {
        pins::before_fork();
    }
    extern "C" fn in_parent() {
        pins::after_fork();
    }
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        pins::after_fork_in_child();
    }
    // SAFETY: handlers of this library, which is never unloaded; they call nothing that could fork.
    let code = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    debug_assert_eq!(code, 0, "there is memory for a handler");
}

//! A clock that stands still until a model moves it.

use std::cell::Cell;

std::thread_local! {
    // loom runs all threads of a model on one OS thread.
    static NOW: Cell<u64> = const { Cell::new(1) };
}

/// Nanoseconds on the model's clock.
pub(crate) fn now() -> u64 {
    NOW.get()
}

/// Moves the clock on. Not an event for loom: a model that depends on the instant expires a futex too.
pub(crate) fn advance(nanos: u64) {
    NOW.set(NOW.get().saturating_add(nanos));
}

pub(super) fn reset() {
    NOW.set(1);
}

pub(crate) fn pause(_nanos: u64) {
    loom::thread::yield_now();
}

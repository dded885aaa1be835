//! How a handle waits: what it was told, and what its waits have taught it.

use crate::wait::{Wait, Waiter};
use std::sync::Mutex;

/// Shared by the threads of a handle, without their waiting for each other: who finds it in use does without.
#[derive(Debug)]
pub(super) struct Learnt {
    wait: Wait,
    kept: Mutex<Waiter>,
}

impl Learnt {
    pub(super) fn new(wait: Wait) -> Self {
        Learnt { wait, kept: Mutex::new(Waiter::new(wait)) }
    }

    pub(super) fn wait(&self) -> Wait {
        self.wait
    }

    /// Waits by `wait`, and remembers what that taught. Never blocks by itself: a forked child may have inherited it
    /// locked.
    pub(super) fn use_for<R>(&self, wait: impl FnOnce(&mut Waiter) -> R) -> R {
        let mut waiter = self.kept.try_lock().map_or_else(|_| Waiter::new(self.wait), |waiter| *waiter);
        let result = wait(&mut waiter);
        if let Ok(mut kept) = self.kept.try_lock() {
            *kept = waiter;
        }
        result
    }
}

//! How a handle waits: what it was told, and what its waits have taught it.

use super::site::Site;
use crate::wait::{Barrier, Wait, Waiter};
use crate::watch::Watched;
use std::sync::{Arc, Mutex};

/// A handle to an object that nobody owns.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) site: Site,
    pub(super) barrier: Barrier,
    pub(super) learnt: Learnt,
    /// For those kinds that event loops and futures can wait for.
    pub(super) watched: Watched,
}

impl Attachment {
    pub(super) fn new(site: Site, wait: Wait) -> Arc<Self> {
        let watched = Watched::new(site.segment().generation());
        Arc::new(Attachment { site, barrier: Barrier::of_this_process(), learnt: Learnt::new(wait), watched })
    }

    /// Another handle to the same object, which waits in another way.
    pub(super) fn with_wait(&self, wait: Wait) -> Arc<Self> {
        Attachment::new(self.site.clone(), wait)
    }
}

/// Shared by the threads of a handle, without their waiting for each other: who finds it in use does without.
#[derive(Debug)]
pub(super) struct Learnt {
    wait: Wait,
    /// `None` before the first wait: a new one asks the kernel for its processors, which costs more than making a handle.
    kept: Mutex<Option<Waiter>>,
}

impl Learnt {
    pub(super) fn new(wait: Wait) -> Self {
        Learnt { wait, kept: Mutex::new(None) }
    }

    /// Waits by `wait`, and remembers what that taught. Never blocks by itself: a forked child may have inherited it
    /// locked.
    pub(super) fn use_for<R>(&self, wait: impl FnOnce(&mut Waiter) -> R) -> R {
        let mut waiter =
            self.kept.try_lock().ok().and_then(|kept| *kept).unwrap_or_else(|| Waiter::new(self.wait));
        let result = wait(&mut waiter);
        if let Ok(mut kept) = self.kept.try_lock() {
            *kept = Some(waiter);
        }
        result
    }
}

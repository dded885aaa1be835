//! How those who spin for a lock keep out of its holder's way.

use crate::sync::spin_loop;

/// Pauses between one's looks at a lock, which grow longer from look to look.
///
/// Each look takes the lock's cache line from its holder, who has to fetch it back for his next store. So whoever looks
/// all the time makes him slower for whom he waits.
#[derive(Debug)]
pub(super) struct Backoff {
    pauses: u32,
}

/// The longest pause, in [`spin_loop`]s: some 0.2 µs, less than the lock takes to be passed on asleep by a factor of 20.
/// The models have no caches: nothing is to be gained there, and each pause doubles their work.
const LONGEST: u32 = if cfg!(loom) { 0 } else { 8 };

impl Backoff {
    /// The first look is at once.
    #[inline]
    pub(super) fn new() -> Self {
        Backoff { pauses: 0 }
    }

    /// Comes before each look.
    #[inline]
    pub(super) fn pause(&mut self) {
        for _ in 0..self.pauses {
            spin_loop();
        }
        self.pauses = (2 * self.pauses + 1).min(LONGEST);
    }
}

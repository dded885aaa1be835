//! A condition to be told of while one lets go of a lock.

use crate::sync::{AtomicU64, Ordering, mutated};
use crate::wait::{Barrier, Deadline, EventCount, TimedOut, Waiter};

/// The part of a condition variable that is not its lock. All-zero bytes are one that nobody waits for.
///
/// Whoever tells counts; whoever waits waits for the count to move from what it was while he still had the lock. So
/// nothing told after he let go is lost, no waiter is written down anywhere, and a dead one is in nobody's way: the wake
/// it took along reaches the others at the end of their slice, because the count has moved for them too.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Condition {
    /// How often it was told. All accesses are Relaxed: the order of things comes from the lock. Who waits has read it
    /// before he let go, so that of anybody who had the lock later he sees the telling as a move.
    told: AtomicU64,
    waiting: EventCount,
}

impl Condition {
    /// One that nobody waits for.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Condition { told: AtomicU64::new(0), waiting: EventCount::new() }
    }

    /// Lets go of the lock by `unlock`, and waits until told.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(crate) fn wait(
        &self,
        unlock: impl FnOnce(),
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        let mut before = self.told.load(Ordering::Relaxed);
        unlock();
        if mutated!("condition.look_before_unlock") {
            before = self.told.load(Ordering::Relaxed);
        }
        let attempt = || (self.told.load(Ordering::Relaxed) != before).then_some(());
        waiter.wait(&self.waiting, barrier, deadline, attempt, || None, || false)
    }

    /// Tells up to `count` of those who wait; perhaps more.
    #[inline]
    pub(crate) fn tell(&self, count: u32, barrier: Barrier) {
        if !mutated!("condition.moves") {
            self.told.fetch_add(1, Ordering::Relaxed);
        }
        if !mutated!("condition.wakes") {
            self.waiting.wake(count, barrier);
        }
    }

    /// How often it was told, for `stat`.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// The eventcount, for `stat`.
    pub(crate) fn waiting(&self) -> &EventCount {
        &self.waiting
    }
}

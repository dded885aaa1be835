//! A flag that can be waited for.

use crate::sync::{AtomicU64, Ordering, mutated, order};
use crate::wait::{ALL, Barrier, Deadline, EventCount, TimedOut, Waiter};

/// Something that has happened, or not. All-zero bytes are a flag that is not set.
///
/// ```text
/// settings:63 | SET:1     moved by anybody, by compare-and-swap
/// ```
///
/// Each setting is counted, also of a flag that is set already: so whoever waited when it was set knows, even if it was
/// cleared again before he looked; and each setter's writes are visible to whoever sees its setting.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Flag {
    word: AtomicU64,
    waiting: EventCount,
}

const SET: u64 = 1;
const SETTING: u64 = 2;

/// An honest compare-and-swap loses only to another that succeeds. This many losses in a row are a peer that scribbles.
const PATIENCE: u32 = 1000;

/// How often a flag had been set when somebody began to wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun(u64);

impl Flag {
    /// One that is not set.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Flag { word: AtomicU64::new(0), waiting: EventCount::new() }
    }

    /// Sets it, and wakes all who wait. Makes no more than a few atomic accesses and at most one system call, so that a
    /// signal handler may do it at any moment.
    pub(crate) fn set(&self, barrier: Barrier) {
        self.count_setting();
        if !mutated!("flag.wakes") {
            let count = if mutated!("flag.wakes_all") { 1 } else { ALL };
            self.waiting.wake(count, barrier);
        }
    }

    fn count_setting(&self) {
        let mut seen = self.word.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            let next = seen.wrapping_add(SETTING) | SET;
            // Release: pairs with the Acquire in `look` and in `clear`: who sees it set sees what we wrote before.
            match self.word.compare_exchange(seen, next, order!(Release, "flag.set"), Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
        // The peer that keeps changing it may change this too.
        self.word.store(seen.wrapping_add(SETTING) | SET, Ordering::Release);
    }

    /// Clears it. Returns whether it was set.
    pub(crate) fn clear(&self) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            if seen & SET == 0 {
                return false;
            }
            // Acquire: pairs with the Release in `set`: what was set before is cleared with all that came before it.
            match self.word.compare_exchange(
                seen,
                seen & !SET,
                order!(Acquire, "flag.clear"),
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Whether it is set.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.look() & SET != 0
    }

    /// Where a wait begins.
    #[inline]
    pub(crate) fn begin(&self) -> Begun {
        Begun(self.look() / SETTING)
    }

    /// Waits until it is set, or has been set since `begun`.
    ///
    /// # Errors
    /// [`TimedOut`].
    #[inline]
    pub(crate) fn wait(
        &self,
        begun: Begun,
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
    ) -> Result<(), TimedOut> {
        let attempt = || {
            let word = self.look();
            let was_set = !mutated!("flag.pulse") && word / SETTING != begun.0;
            (word & SET != 0 || was_set).then_some(())
        };
        // Nobody can be in the way, and whoever sets it wakes all.
        waiter.wait(&self.waiting, barrier, deadline, attempt, || None, || false)
    }

    /// How often it was set, for `stat`.
    pub(crate) fn settings(&self) -> u64 {
        self.look() / SETTING
    }

    /// The eventcount, for `stat`.
    pub(crate) fn waiting(&self) -> &EventCount {
        &self.waiting
    }

    #[inline]
    fn look(&self) -> u64 {
        // Acquire: pairs with the Release in `set`.
        self.word.load(order!(Acquire, "flag.look"))
    }
}

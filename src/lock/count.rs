//! A count of permits that can be waited for.

use super::backoff::Backoff;
use crate::sync::{AtomicU32, AtomicU64, Ordering, mutated, order};
use crate::wait::{ALL, Barrier, Deadline, EventCount, Waiter};

/// The permits of a semaphore that anybody may give. All-zero bytes are none.
///
/// Each operation is one compare-and-swap of the count: whoever dies has done it or has not.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Count {
    permits: AtomicU64,
    /// Not 0 once somebody has waited for several at once. Then a single permit does not help whoever is woken first,
    /// and givers wake all.
    several: AtomicU32,
    _reserved: AtomicU32,
    waiting: EventCount,
}

/// Why [`Count::take`] or [`Count::give`] did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountError {
    /// There are not so many now.
    TooFew,
    /// There would be more than the bound.
    TooMany,
    /// The deadline passed.
    TimedOut,
    /// More than the bound, found in the shared memory.
    Corrupt(u64),
}

/// An honest compare-and-swap loses only to another that succeeds. This many losses in a row are a peer that scribbles.
const PATIENCE: u32 = 1000;

impl Count {
    /// `permits` of them.
    #[cfg(loom)]
    pub(crate) fn new(permits: u64) -> Self {
        Count {
            permits: AtomicU64::new(permits),
            several: AtomicU32::new(0),
            _reserved: AtomicU32::new(0),
            waiting: EventCount::new(),
        }
    }

    /// Puts the first permits into a new one, which nobody else can see yet.
    pub(crate) fn initialise(&self, permits: u64) {
        self.permits.store(permits, Ordering::Relaxed);
    }

    /// Takes `wanted` of at most `bound` permits, if there are so many.
    ///
    /// # Errors
    /// [`CountError::TooFew`], [`CountError::Corrupt`].
    #[inline]
    pub(crate) fn try_take(&self, wanted: u64, bound: u64) -> Result<(), CountError> {
        let mut seen = self.permits.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            if seen > bound {
                return Err(CountError::Corrupt(seen));
            }
            let Some(left) = seen.checked_sub(wanted) else { return Err(CountError::TooFew) };
            // Acquire: pairs with the Release in `give`: who gets a permit sees what its giver wrote before.
            match self.permits.compare_exchange(seen, left, order!(Acquire, "count.take"), Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
        Err(CountError::TooFew)
    }

    /// Takes `wanted` permits at once, waiting until `deadline`.
    ///
    /// # Errors
    /// [`CountError::TimedOut`], [`CountError::Corrupt`].
    pub(crate) fn take(
        &self,
        wanted: u64,
        bound: u64,
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
    ) -> Result<(), CountError> {
        self.expect(wanted);
        let mut backoff = Backoff::new();
        let attempt = || {
            backoff.pause();
            match self.try_take(wanted, bound) {
                Err(CountError::TooFew) => None,
                done => Some(done),
            }
        };
        let more = || self.available() > 0;
        let outcome = waiter.wait(&self.waiting, barrier, deadline, attempt, || None, more);
        outcome.unwrap_or(Err(CountError::TimedOut))
    }

    /// Somebody is about to wait for `wanted` permits at once.
    pub(crate) fn expect(&self, wanted: u64) {
        if wanted > 1 && !mutated!("count.several") {
            // Before the arming: a giver that finds us armed finds this too.
            self.several.store(1, Ordering::Relaxed);
        }
    }

    /// Gives `count` permits, unless there are more than `bound` then.
    ///
    /// # Errors
    /// [`CountError::TooMany`], [`CountError::Corrupt`].
    #[inline]
    pub(crate) fn give(&self, count: u64, bound: u64, barrier: Barrier) -> Result<(), CountError> {
        let mut seen = self.permits.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            if seen > bound {
                return Err(CountError::Corrupt(seen));
            }
            let more = seen.checked_add(count).filter(|&more| more <= bound).ok_or(CountError::TooMany)?;
            // Release: pairs with the Acquire in `try_take`.
            match self.permits.compare_exchange(seen, more, order!(Release, "count.give"), Ordering::Relaxed)
            {
                Ok(_) => {
                    self.wake(count, barrier);
                    return Ok(());
                }
                Err(now) => seen = now,
            }
        }
        Err(CountError::Corrupt(seen))
    }

    #[inline]
    fn wake(&self, count: u64, barrier: Barrier) {
        if mutated!("count.wakes") {
            return;
        }
        barrier.before_wake();
        if self.waiting.is_awaited() {
            // Relaxed: whoever armed for several wrote it before, and the pair of fences that shows its arming shows this.
            let several = self.several.load(Ordering::Relaxed) != 0;
            let count = u32::try_from(count).unwrap_or(ALL);
            self.waiting.wake(if several { ALL } else { count }, barrier);
        }
    }

    /// How many there are.
    #[inline]
    pub(crate) fn available(&self) -> u64 {
        self.permits.load(Ordering::Relaxed)
    }

    /// The eventcount, for `stat`.
    pub(crate) fn waiting(&self) -> &EventCount {
        &self.waiting
    }
}

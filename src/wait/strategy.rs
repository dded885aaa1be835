//! How to wait: the user's choice, and how long the adaptive one spins.

use crate::sys::cpus;

/// How an endpoint waits for what is not there yet.
///
/// | strategy | reacts in | costs while waiting | for |
/// |---|---|---|---|
/// | [`Spin`](Wait::Spin) | 0.1 µs | one processor | peers that own a processor each |
/// | [`Adaptive`](Wait::Adaptive) | 0.1 µs while traffic is dense, else as `Park` | at most 20 µs of spinning a sleep | everything else |
/// | [`Park`](Wait::Park) | 5–20 µs | nothing | many waiters, few processors |
///
/// It is a private matter of each endpoint: peers may choose differently, and a publisher never pays for a
/// sleeper that is not there.
///
/// ```
/// # use ringway::Wait;
/// assert_eq!(Wait::default(), Wait::Adaptive);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Never sleep. On a thread with one processor to itself or to share, give way regularly, because the peer
    /// may need that very processor.
    Spin,
    /// Spin for up to 20 µs if spinning has paid off lately, then sleep.
    #[default]
    Adaptive,
    /// Sleep at once.
    Park,
}

/// How long to spin before sleeping, in nanoseconds, learnt from what the last waits were like.
///
/// A hit draws the budget towards a few times the time it took. A miss halves it, down to nothing. From nothing
/// it comes back when sleeps turn out so short that spinning would have caught them; and since that is also
/// what it looks like when both sides share one processor, where spinning never pays, each miss in a row
/// doubles the number of short sleeps it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    nanos: u32,
    /// Misses since the last hit, up to `MOST_MISSES`.
    misses: u8,
    /// Short sleeps since the budget was last raised.
    short_sleeps: u8,
}

/// The most that spinning may cost: about what a sleep and a wake-up cost.
const MOST: u32 = 20_000;
/// Below this a spin is not worth its bookkeeping.
const LEAST: u32 = 1_000;
/// A wait that ended within this would have been caught by spinning, given what the wake-up itself takes.
const SHORT_WAIT: u64 = 30_000;
const MOST_MISSES: u8 = 6;

impl Budget {
    pub(super) fn new() -> Self {
        // Unless this thread is bound to one processor that its peer may need, begin with some hope.
        let nanos = if cpus::usable() > 1 { MOST / 2 } else { 0 };
        Budget { nanos, misses: 0, short_sleeps: 0 }
    }

    /// What the next wait may spend; 0 is not to spin at all.
    #[inline]
    pub(super) fn nanos(&self) -> u64 {
        u64::from(self.nanos)
    }

    /// The spin was rewarded after `after` nanoseconds.
    #[inline]
    pub(super) fn hit(&mut self, after: u64) {
        let after = u32::try_from(after).unwrap_or(MOST);
        let target = after.saturating_mul(4).saturating_add(2 * LEAST).min(MOST);
        self.nanos = (self.nanos / 8 * 7 + target / 8).clamp(LEAST, MOST);
        self.misses = 0;
        self.short_sleeps = 0;
    }

    /// The wait ended with a sleep, `total` nanoseconds after it began; `spun` if it had spun before.
    pub(super) fn slept(&mut self, total: u64, spun: bool) {
        if spun {
            self.nanos = if self.nanos / 2 < LEAST { 0 } else { self.nanos / 2 };
            self.misses = (self.misses + 1).min(MOST_MISSES);
        }
        if total < SHORT_WAIT {
            self.short_sleeps += 1;
            if self.short_sleeps >= 1 << self.misses {
                self.short_sleeps = 0;
                // A machine with one processor has nobody to spin for.
                self.nanos = if cpus::online() > 1 { MOST } else { 0 };
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn fresh() -> Budget {
        Budget { nanos: MOST / 2, misses: 0, short_sleeps: 0 }
    }

    #[test]
    fn long_sleeps_end_the_spinning() {
        let mut budget = fresh();
        for _ in 0..10 {
            budget.slept(1_000_000, budget.nanos() > 0);
        }
        assert_eq!(budget.nanos(), 0);
    }

    #[test]
    fn short_sleeps_bring_it_back_if_there_is_a_second_processor() {
        let mut budget = Budget { nanos: 0, misses: 0, short_sleeps: 0 };
        budget.slept(8_000, false);
        assert_eq!(budget.nanos(), if cpus::online() > 1 { u64::from(MOST) } else { 0 });
    }

    #[test]
    fn hits_keep_it_near_what_they_took() {
        let mut budget = fresh();
        for _ in 0..100 {
            budget.hit(200);
        }
        assert!((2_000..4_000).contains(&budget.nanos()), "{budget:?}");
        for _ in 0..100 {
            budget.hit(u64::MAX);
        }
        assert!(budget.nanos() > u64::from(MOST) / 10 * 9 && budget.nanos() <= u64::from(MOST), "{budget:?}");
    }

    /// Both sides on one processor: every sleep is short, no spin ever pays.
    #[test]
    fn on_a_shared_processor_little_is_wasted() {
        let mut budget = fresh();
        let mut spent = 0;
        for _ in 0..10_000 {
            let spin = budget.nanos();
            spent += spin;
            budget.slept(spin + 5_000, spin > 0);
        }
        assert!(spent / 10_000 < 1_000, "{} ns a wait", spent / 10_000);
    }
}

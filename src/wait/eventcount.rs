//! One condition that processes wait for, and the word they meet at.

use super::Barrier;
use crate::sync::{AtomicU32, AtomicU64, Ordering, mutated};
use crate::sys::futex::{self, Slept};

/// As many as there are.
pub(crate) const ALL: u32 = u32::MAX;

/// The word at which sleepers and wakers of one condition meet. All-zero bytes are a valid one.
///
/// ```text
/// word:  seq:30 | WOKE:1 | WAITERS:1
///
/// WAITERS  somebody may be asleep, or about to be: wakers must act
/// WOKE     a waker has passed since the last arming: who arms now takes a new value
/// seq      counts armings after a waker, and wakers; who sleeps, sleeps on one exact value
///
///             arm                    wake                          the kernel woke fewer than asked for
/// s|-|-  ──────────────>  s+1|-|W  ──────────────>  s+2|WOKE|W  ──────────────────────────────>  s+2|-|-
///                          │    ^                    │  │    ^
///                          └────┘ arm                │  └────┘ wake (s+1)
///                                                    └──> s+3|-|W  arm
/// ```
///
/// - A waker moves the word **before** it calls the kernel, so that whoever is between arming and sleeping does
///   not fall asleep; and it leaves WAITERS up, for those it did not reach.
/// - It takes WAITERS down only when the kernel says that fewer were asleep than it asked for, and only from
///   the exact value it left, so that it never hides somebody who armed later.
/// - Who arms after a waker takes a **new** value. On the waker's own value it would be hidden by the taking
///   down. Those with no waker between them share one value: a new one each time would send all others round.
///
/// Every access is Relaxed. The word carries no data: what orders a publication against it is the pair of
/// fences in [`Barrier`], and the kernel compares it under the lock of its queue.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct EventCount {
    /// Written by sleepers (arming) and wakers, by compare-and-swap; read by every publisher.
    word: AtomicU32,
    _reserved: AtomicU32,
    /// Wakes that found WAITERS up, for `stat`. Written by wakers in their slow path.
    wakes: AtomicU64,
    /// Sleeps, for `stat`. Written by sleepers.
    sleeps: AtomicU64,
}

const WAITERS: u32 = 1;
const WOKE: u32 = 2;
const FLAGS: u32 = WAITERS | WOKE;
const STEP: u32 = 4;

/// An honest compare-and-swap loses to another only if that one arms or wakes, each at the price of a system
/// call. This many losses in a row are a peer scribbling over the word.
const PATIENCE: u32 = 1000;

/// The value a sleeper armed with and will sleep on.
#[derive(Clone, Copy, Debug)]
#[must_use = "an armed sleeper tries once more and then sleeps"]
pub(crate) struct Ticket(u32);

impl EventCount {
    /// A condition nobody waits for.
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Self {
        EventCount {
            word: AtomicU32::new(0),
            _reserved: AtomicU32::new(0),
            wakes: AtomicU64::new(0),
            sleeps: AtomicU64::new(0),
        }
    }

    /// Wakes up to `count` sleepers. Call it after the store that makes the condition true.
    #[inline(always)]
    pub(crate) fn wake(&self, count: u32, barrier: Barrier) {
        // Orders the caller's store before the load, against `heavy` between `arm` and the last try.
        barrier.before_wake();
        let seen = self.word.load(Ordering::Relaxed);
        if seen & WAITERS != 0 {
            self.wake_sleepers(count, seen);
        }
    }

    /// Whether somebody may be asleep. Between the store that makes the condition true and this goes
    /// [`Barrier::before_wake`].
    #[inline(always)]
    pub(crate) fn is_awaited(&self) -> bool {
        self.word.load(Ordering::Relaxed) & WAITERS != 0
    }

    #[cold]
    #[inline(never)]
    fn wake_sleepers(&self, count: u32, mut seen: u32) {
        if mutated!("eventcount.bump_first") {
            if futex::wake(&self.word, count) < count {
                let cleared = (seen & !FLAGS).wrapping_add(STEP);
                let _ = self.word.compare_exchange(seen, cleared, Ordering::Relaxed, Ordering::Relaxed);
            }
            return;
        }
        for _ in 0..PATIENCE {
            if seen & WAITERS == 0 {
                // Another waker found nobody asleep since. Whoever arms after it, fences and tries after it,
                // and finds what our caller published.
                return;
            }
            let keep = if mutated!("eventcount.keep_flag") { 0 } else { WAITERS };
            let bumped = (seen & !FLAGS).wrapping_add(STEP) | WOKE | keep;
            match self.word.compare_exchange(seen, bumped, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return self.call_kernel(count, bumped),
                Err(now) => seen = now,
            }
        }
        // The peer that keeps changing the word lets nobody sleep by it; those asleep already are reached so.
        futex::wake(&self.word, count);
    }

    fn call_kernel(&self, count: u32, bumped: u32) {
        self.count_wake();
        let woken = futex::wake(&self.word, count);
        if woken < count || mutated!("eventcount.clear_if_fewer") {
            // Nobody is left asleep on an older value. Who armed since has changed the word, and stays.
            if mutated!("eventcount.clear_exactly") {
                self.word.fetch_and(!FLAGS, Ordering::Relaxed);
            } else {
                let quiet = bumped & !FLAGS;
                let _ = self.word.compare_exchange(bumped, quiet, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Announces a sleeper. Between this and [`sleep`](Self::sleep) go [`Barrier::heavy`] and one more try.
    pub(crate) fn arm(&self) -> Ticket {
        if mutated!("eventcount.arm_anew") {
            return Ticket(self.word.fetch_or(WAITERS, Ordering::Relaxed) | WAITERS);
        }
        let mut seen = self.word.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            let armed =
                if seen & FLAGS == WAITERS { seen } else { (seen & !FLAGS).wrapping_add(STEP) | WAITERS };
            match self.word.compare_exchange(seen, armed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ticket(armed),
                Err(now) => seen = now,
            }
        }
        // A peer keeps changing the word. The sleep will end at once, or at its slice.
        Ticket(seen)
    }

    /// Sleeps unless a waker has passed since `ticket`, until woken or until `until`.
    pub(crate) fn sleep(&self, ticket: Ticket, until: u64) -> Slept {
        self.count_sleep();
        futex::wait(&self.word, ticket.0, until)
    }

    /// Wakes that found somebody waiting, and sleeps, since the segment was made: a figure for `stat`. Any
    /// process can write them, so nothing may depend on them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.wakes.load(Ordering::Relaxed), self.sleeps.load(Ordering::Relaxed))
    }

    // Counting is left out of the models: it decides nothing and would multiply their executions.
    fn count_wake(&self) {
        #[cfg(not(loom))]
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }

    fn count_sleep(&self) {
        #[cfg(not(loom))]
        self.sleeps.fetch_add(1, Ordering::Relaxed);
    }

    /// The word itself, for models that let a sleep expire and tests that scribble.
    #[cfg(any(loom, test))]
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<EventCount>() == 24 && align_of::<EventCount>() == 8);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_wake_for_nobody_leaves_the_word_alone() {
        let ec = EventCount::new();
        ec.wake(1, Barrier::of_this_process());
        assert_eq!(ec.word.load(Ordering::Relaxed), 0);
        assert_eq!(ec.counts(), (0, 0));
    }

    #[test]
    fn armings_without_a_waker_between_them_share_a_value() {
        let ec = EventCount::new();
        let (a, b) = (ec.arm(), ec.arm());
        assert_eq!(a.0, b.0);
        ec.wake(1, Barrier::Fence);
        assert_ne!(ec.arm().0, a.0);
    }

    #[test]
    fn a_waker_that_finds_nobody_asleep_takes_the_flag_down() {
        let ec = EventCount::new();
        let ticket = ec.arm();
        ec.wake(1, Barrier::Fence);
        assert_eq!(ec.word.load(Ordering::Relaxed) & FLAGS, 0);
        assert_eq!(ec.sleep(ticket, futex::FOR_EVER), Slept::Changed);
        assert_eq!(ec.counts(), (1, 1));
    }

    #[test]
    fn the_sequence_wraps() {
        let ec = EventCount::new();
        ec.word.store(!FLAGS, Ordering::Relaxed);
        assert_eq!(ec.arm().0, WAITERS);
        ec.word.store(u32::MAX, Ordering::Relaxed);
        ec.wake(1, Barrier::Fence);
        assert_eq!(ec.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_scribbling_peer_ends_nothing_but_itself() {
        let ec = EventCount::new();
        let stop = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut noise = 1_u32;
                while stop.load(Ordering::Relaxed) == 0 {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ec.word.store(noise, Ordering::Relaxed);
                }
            });
            for _ in 0..10_000 {
                let ticket = ec.arm();
                ec.wake(1, Barrier::Fence);
                let _ = ec.sleep(ticket, 1);
            }
            stop.store(1, Ordering::Relaxed);
        });
    }
}

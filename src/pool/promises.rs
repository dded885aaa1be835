//! Messages that are to be sent and have no room yet: they count as sent, for as long as whoever promised them lives.
//!
//! Whoever has a message without room says so before he goes on to other things, above all before he says that something
//! else is done. Then he sends it, and only then takes his word back. So it counts all the time, and at times twice.
//!
//! | store | pairs with | what it carries |
//! |---|---|---|
//! | `redeem`, Release | `total`, Acquire | that the message was sent: whoever sees no promise sees it in the ring, or counted |

use crate::sync::{AtomicU64, Ordering, mutated, order};

/// What each participant has promised. All-zero bytes are nothing.
///
/// ```text
/// version:40 | count:24      by the participant of that index, counted up with each change; to 0, once it is dead
/// ```
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Promises([AtomicU64; PROMISERS]);

/// Participants with a higher index cannot promise anything.
const PROMISERS: usize = if cfg!(loom) { 3 } else { 512 };

const COUNT_BITS: u32 = 24;
const MOST: u64 = (1 << COUNT_BITS) - 1;

/// Only threads of one process change a row while it lives. This many losses in a row are a peer that scribbles.
const PATIENCE: u32 = if cfg!(loom) { 10 } else { 10_000 };

const fn count(row: u64) -> u64 {
    row & MOST
}

/// The row with another count. No value recurs (within 2⁴⁰ changes), so who took it for a dead one's is too late.
const fn step(row: u64, count: u64) -> u64 {
    ((row >> COUNT_BITS).wrapping_add(1) << COUNT_BITS) | count
}

impl Promises {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Promises(core::array::from_fn(|_| AtomicU64::new(0)))
    }

    fn change(&self, me: u16, how: impl Fn(u64) -> Option<u64>) -> bool {
        let Some(row) = self.0.get(usize::from(me)) else { return false };
        let mut seen = row.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            let Some(next) = how(count(seen)) else { return false };
            // Release: pairs with the Acquire in `total`.
            let order = order!(Release, "promises.redeem");
            match row.compare_exchange(seen, step(seen, next), order, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// The participant `me` will send one more message. `false` if it cannot promise that.
    pub(crate) fn promise(&self, me: u16) -> bool {
        mutated!("promises.promise") || self.change(me, |count| (count < MOST).then_some(count + 1))
    }

    /// It has sent one, or never will.
    pub(crate) fn redeem(&self, me: u16) {
        // Nothing to redeem: a peer has taken it away against the rules.
        self.change(me, |count| count.checked_sub(1));
    }

    /// How many messages are promised.
    pub(crate) fn total(&self) -> u64 {
        let count = |row: &AtomicU64| {
            // Acquire: pairs with the Release in `change`.
            count(row.load(order!(Acquire, "promises.total")))
        };
        self.0.iter().map(count).sum()
    }

    /// What the participant `index` has promised is void if it is dead, which is asked after its row was read. Returns whether
    /// there was something.
    pub(crate) fn forget(&self, index: u16, is_dead: impl Fn(u16) -> bool) -> bool {
        let Some(row) = self.0.get(usize::from(index)) else { return false };
        let seen = row.load(Ordering::Relaxed);
        if count(seen) == 0 || !is_dead(index) || mutated!("promises.forget") {
            return false;
        }
        row.compare_exchange(seen, step(seen, 0), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn none() -> Promises {
        Promises(core::array::from_fn(|_| AtomicU64::new(0)))
    }

    #[test]
    fn what_is_promised_counts_until_it_is_redeemed() {
        let promises = none();
        assert!(promises.promise(1) && promises.promise(1) && promises.promise(7));
        assert_eq!(promises.total(), 3);
        promises.redeem(1);
        promises.redeem(7);
        promises.redeem(7);
        assert_eq!(promises.total(), 1, "nobody redeems what he has not promised");
    }

    #[test]
    fn the_dead_promise_nothing() {
        let promises = none();
        assert!(promises.promise(3) && promises.promise(4));
        assert!(promises.forget(3, |who| who == 3));
        assert!(!promises.forget(3, |_| true) && !promises.forget(4, |_| false));
        assert_eq!(promises.total(), 1);
    }

    #[test]
    fn who_is_late_voids_no_promise_of_the_next_one_of_that_index() {
        let promises = none();
        assert!(promises.promise(3));
        let voided = promises.forget(3, |_| {
            assert!(promises.forget(3, |_| true), "the next one swept");
            promises.promise(3)
        });
        assert!(!voided && promises.total() == 1);
    }

    #[test]
    fn an_index_beyond_the_table_cannot_promise() {
        let promises = none();
        assert!(!promises.promise(PROMISERS as u16) && !promises.forget(u16::MAX, |_| true));
        promises.redeem(u16::MAX);
    }
}

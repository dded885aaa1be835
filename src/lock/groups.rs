//! Those who wait for a condition, by when they came.

use crate::wait::ALL;

/// How many wait, in one word; nobody is named.
///
/// ```text
/// generation:16 | old:16 | permits:16 | young:16
///
/// young        came in this generation
/// old          came in the last one, and were neither let go nor have left
/// permits      how many of the old may go: fewer than all of them
/// ```
///
/// Whoever came in an older generation than the last is told, all of them. So each notification goes to the old first;
/// once all of those are told the generation moves on, and the young are the old. That is why there are groups at all: a
/// permit must not go to one who came after it was given, or he and his like could take those of others, who were told and
/// sleep on. And no group waits for another to go: which is told as a whole needs no permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Groups {
    pub(super) generation: u16,
    pub(super) old: u16,
    pub(super) permits: u16,
    pub(super) young: u16,
}

/// What a notification did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// How many may go by it.
    pub(super) count: u32,
    /// How many of those to wake who were the old, and the young, when it came.
    pub(super) wake_old: u32,
    pub(super) wake_young: u32,
}

impl Groups {
    pub(super) fn from_bits(bits: u64) -> Self {
        Groups {
            generation: (bits >> 48) as u16,
            old: (bits >> 32) as u16,
            permits: (bits >> 16) as u16,
            young: bits as u16,
        }
    }

    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 48
            | u64::from(self.old) << 32
            | u64::from(self.permits) << 16
            | u64::from(self.young)
    }

    /// Whether all are told who came in `generation`.
    pub(super) fn are_told(self, generation: u16) -> bool {
        self.generation.wrapping_sub(generation) >= 2
    }

    /// Whether those who came in `generation` are the old.
    pub(super) fn are_old(self, generation: u16) -> bool {
        self.generation.wrapping_sub(generation) == 1
    }

    fn untold_old(self) -> u32 {
        // Saturating, here and below, because a peer may write what it likes.
        self.old.saturating_sub(self.permits).into()
    }

    /// How many wait and are not told.
    pub(super) fn untold(self) -> u32 {
        self.untold_old() + u32::from(self.young)
    }

    /// One more has come; `None` if there is no room to count him.
    pub(super) fn with_one_more(self) -> Option<Self> {
        Some(Groups { young: self.young.checked_add(1)?, ..self })
    }

    /// One of the old goes by a permit.
    pub(super) fn with_one_let_go(self) -> Self {
        Groups { old: self.old.saturating_sub(1), permits: self.permits.saturating_sub(1), ..self }
    }

    /// One of the old leaves who was not told. There are no permits then.
    pub(super) fn with_one_old_less(self) -> Self {
        Groups { old: self.old.saturating_sub(1), ..self }
    }

    /// One of the young leaves who was not told.
    pub(super) fn with_one_young_less(self) -> Self {
        Groups { young: self.young.saturating_sub(1), ..self }
    }

    /// Up to `count` more of them may go.
    pub(super) fn with_some_told(self, count: u32) -> (Self, Told) {
        let old = self.untold_old();
        if count < old {
            // Fits: fewer than `old`, which had 16 bits.
            let permits = self.permits + count as u16;
            return (Groups { permits, ..self }, Told { count, wake_old: count, wake_young: 0 });
        }
        let wake_old = if self.old > 0 { ALL } else { 0 };
        let (rest, young) = (count - old, u32::from(self.young));
        let next =
            Groups { generation: self.generation.wrapping_add(1), old: self.young, permits: 0, young: 0 };
        if rest < young {
            let next = Groups { permits: rest as u16, ..next };
            return (next, Told { count: old + rest, wake_old, wake_young: rest });
        }
        let next = Groups { generation: next.generation.wrapping_add(1), old: 0, ..next };
        (next, Told { count: old + young, wake_old, wake_young: if young > 0 { ALL } else { 0 } })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn groups(generation: u16, old: u16, permits: u16, young: u16) -> Groups {
        Groups { generation, old, permits, young }
    }

    fn told(count: u32, wake_old: u32, wake_young: u32) -> Told {
        Told { count, wake_old, wake_young }
    }

    #[test]
    fn the_first_to_come_are_told_first() {
        assert_eq!(groups(7, 0, 0, 10).with_some_told(3), (groups(8, 10, 3, 0), told(3, 0, 3)));
        assert_eq!(groups(8, 10, 3, 5).with_some_told(6), (groups(8, 10, 9, 5), told(6, 6, 0)));
        assert_eq!(groups(8, 10, 3, 5).with_some_told(7), (groups(9, 5, 0, 0), told(7, ALL, 0)));
        assert_eq!(groups(8, 10, 3, 5).with_some_told(9), (groups(9, 5, 2, 0), told(9, ALL, 2)));
        assert_eq!(groups(8, 10, 3, 5).with_some_told(ALL), (groups(10, 0, 0, 0), told(12, ALL, ALL)));
        assert_eq!(groups(u16::MAX, 0, 0, 1).with_some_told(1), (groups(1, 0, 0, 0), told(1, 0, ALL)));
    }

    /// From every state that a few can reach: who is told goes, and nobody else.
    #[test]
    fn no_permit_is_lost_or_made() {
        // Each waiter: in which generation he came.
        fn check(state: Groups, waiting: &[u16], depth: u32) {
            let may_take = |came: u16| state.are_old(came) && state.permits > 0;
            assert!(state.permits < state.old || state.old == 0);
            let untold = waiting.iter().filter(|&&came| !state.are_told(came)).count();
            assert_eq!(untold as u32, state.untold() + u32::from(state.permits));
            if depth == 0 {
                return;
            }
            if waiting.len() < 4 {
                let more = [waiting, &[state.generation]].concat();
                check(state.with_one_more().unwrap(), &more, depth - 1);
            }
            for (at, &came) in waiting.iter().enumerate() {
                let others = [&waiting[..at], &waiting[at + 1..]].concat();
                let next = if state.are_told(came) {
                    state
                } else if may_take(came) {
                    state.with_one_let_go()
                } else if state.are_old(came) {
                    state.with_one_old_less()
                } else {
                    state.with_one_young_less()
                };
                check(next, &others, depth - 1);
            }
            for count in 1..=4 {
                let (next, told) = state.with_some_told(count);
                assert_eq!(told.count, count.min(state.untold()));
                assert_eq!(next.untold(), state.untold() - told.count);
                check(next, waiting, depth - 1);
            }
        }
        check(groups(u16::MAX - 1, 0, 0, 0), &[], 6);
    }

    #[test]
    fn nonsense_ends_nothing() {
        let mut bits = 1_u64;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let state = Groups::from_bits(bits);
            assert_eq!(state.to_bits(), bits);
            let count = (bits >> 13) as u32 % 100_000;
            let (_, told) = state.with_some_told(count);
            assert!(told.count <= count && told.count <= state.untold());
            let _ = (state.with_one_more(), state.with_one_let_go());
            let _ = (state.with_one_old_less(), state.with_one_young_less());
        }
    }
}

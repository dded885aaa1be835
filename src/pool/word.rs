//! What a chunk's word says.

use crate::sync::mutated;

/// What a chunk is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Anybody may have it.
    Free = 0,
    /// Its owner is filling it, or has sent it: a sender's death tells the two apart, see `sweep`.
    Loaned = 1,
    /// It was sent by somebody who died since; a slot of the ring refers to it.
    Queued = 2,
    /// Its owner received it for good: it is gone if that process dies.
    Kept = 3,
    /// Its owner received it to work on: it is delivered again if that process dies.
    Task = 4,
    /// A task that came back. The owner is whoever made it one, and owes the others a hint.
    Orphan = 5,
}

/// A task that came back this often is counted no further.
pub(crate) const MAX_DELIVERIES: u8 = 63;

const OWNER_BITS: u32 = 16;
const STATE_BITS: u32 = 4;
const DELIVERY_BITS: u32 = 6;
const VERSION_AT: u32 = OWNER_BITS + STATE_BITS + DELIVERY_BITS;

/// The word of a chunk.
///
/// ```text
/// version:38 | deliveries:6 | state:4 | owner:16
///
/// from                                  to         by whom
/// ------------------------------------  ---------  -------------------------------------------------------
/// FREE                                  LOANED(P)  a sender                                          (CAS)
/// LOANED(P)                             FREE       P, which drops its loan                         (store)
/// LOANED(x), QUEUED, KEPT/TASK(dead x)  KEPT(C)    a receiver that has the slot in READING(C)        (CAS)
///                                       TASK(C)    the same, to work on it                           (CAS)
/// KEPT(C)                               FREE       C, which drops the message                      (store)
/// TASK(C)                               FREE       C, which is done with it                          (CAS)
///                                       ORPHAN(C)  C, which gives it back; one delivery more         (CAS)
///                                       KEPT(C)    anybody, once C has counted it: see `tally`       (CAS)
/// ORPHAN(x)                             TASK(D)    a receiver                                        (CAS)
///
/// LOANED, KEPT, TASK(dead x), referenced by a slot   QUEUED      anybody                             (CAS)
/// LOANED, KEPT(dead x), not referenced               FREE        anybody                             (CAS)
/// TASK(dead x), not referenced                       ORPHAN(me)  anybody; one delivery more          (CAS)
/// QUEUED, not referenced                             FREE        anybody                             (CAS)
/// ```
///
/// Every step counts `version` up, so **no value ever recurs** (within 2³⁸ steps of one chunk: hours at full speed),
/// and the exchange of one who was stalled after he judged the word fails. Counting only the frees would not do: a chunk
/// that its dead receiver had and the next holder of the same index receives again would have the same word.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    /// The word after the next step.
    #[inline(always)]
    pub(crate) const fn to(self, state: State, owner: u16, deliveries: u8) -> Self {
        let rest = (deliveries as u64 & 63) << (OWNER_BITS + STATE_BITS) | (state as u64) << OWNER_BITS;
        Word(self.version().wrapping_add(1) << VERSION_AT | rest | owner as u64)
    }

    /// The same, for a test that breaks the counting.
    #[inline(always)]
    pub(super) fn step(self, state: State, owner: u16, deliveries: u8) -> Self {
        let next = self.to(state, owner, deliveries);
        if mutated!("pool.count") && state != State::Free {
            return Word(next.0.wrapping_sub(1 << VERSION_AT));
        }
        next
    }

    /// `None` if no honest process writes such a word.
    #[inline(always)]
    pub(crate) const fn state(self) -> Option<State> {
        Some(match self.0 >> OWNER_BITS & 15 {
            0 => State::Free,
            1 => State::Loaned,
            2 => State::Queued,
            3 => State::Kept,
            4 => State::Task,
            5 => State::Orphan,
            _ => return None,
        })
    }

    #[inline(always)]
    pub(crate) const fn is_free(self) -> bool {
        self.0 >> OWNER_BITS & 15 == State::Free as u64
    }

    /// The participant index of whoever has it; 0 is nobody.
    #[inline(always)]
    pub(crate) const fn owner(self) -> u16 {
        self.0 as u16
    }

    /// How many receivers died with the message or gave it back.
    #[inline(always)]
    pub(crate) const fn deliveries(self) -> u8 {
        (self.0 >> (OWNER_BITS + STATE_BITS) & 63) as u8
    }

    /// The deliveries of the next attempt.
    pub(crate) const fn one_delivery_more(self) -> u8 {
        if self.deliveries() < MAX_DELIVERIES { self.deliveries() + 1 } else { MAX_DELIVERIES }
    }

    /// Counts the steps.
    #[inline(always)]
    pub(crate) const fn version(self) -> u64 {
        self.0 >> VERSION_AT
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (state, owner, deliveries) = (self.state(), self.owner(), self.deliveries());
        match state {
            Some(state) => write!(f, "{state:?}")?,
            None => write!(f, "?{}", self.0 >> OWNER_BITS & 15)?,
        }
        write!(f, "(version {}, {deliveries} deliveries, owner {owner})", self.version())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const STATES: [State; 6] =
        [State::Free, State::Loaned, State::Queued, State::Kept, State::Task, State::Orphan];

    #[test]
    fn a_word_says_what_it_was_made_to_say() {
        for state in STATES {
            for owner in [0, 1, 9, u16::MAX] {
                for deliveries in [0, 1, 62, 63] {
                    let word = Word(0).to(state, owner, deliveries);
                    assert_eq!(word.state(), Some(state));
                    assert_eq!((word.owner(), word.deliveries(), word.version()), (owner, deliveries, 1));
                    assert_eq!(word.is_free(), state == State::Free);
                }
            }
        }
        assert_eq!(format!("{:?}", Word(0).to(State::Task, 7, 2)), "Task(version 1, 2 deliveries, owner 7)");
        assert!(format!("{:?}", Word(u64::MAX)).starts_with("?15("));
    }

    #[test]
    fn every_step_counts_and_the_count_wraps_into_nothing_else() {
        let mut word = Word(((1 << 38) - 3) << VERSION_AT);
        for (step, state) in STATES.iter().cycle().take(12).enumerate() {
            let next = word.step(*state, 3, 5);
            assert_eq!(next.version(), (word.version() + 1) % (1 << 38), "step {step}");
            assert_eq!((next.state(), next.owner(), next.deliveries()), (Some(*state), 3, 5));
            word = next;
        }
    }

    #[test]
    fn deliveries_end_at_their_largest_number() {
        assert_eq!(Word(0).to(State::Task, 1, 0).one_delivery_more(), 1);
        assert_eq!(Word(0).to(State::Task, 1, 62).one_delivery_more(), 63);
        assert_eq!(Word(0).to(State::Task, 1, 63).one_delivery_more(), 63);
    }

    #[test]
    fn words_nobody_writes_have_no_state() {
        for state in 6..16 {
            assert_eq!(Word(state << OWNER_BITS).state(), None);
        }
    }
}

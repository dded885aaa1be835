//! Whether all that was sent has been worked on.

use super::Pool;
use super::word::{State, Word};
use crate::ring::mpmc::{Slots, State as SlotState, Word as SlotWord};
use crate::sync::{Ordering, fence, mutated, order};
use crate::wait::{ALL, Barrier, EventCount};

/// Whether there was an instant, during this call, at which no message was in the ring and none in the hands of a worker
/// or on its way back.
///
/// A message moves from slot to chunk while we look, so a single pass can miss it, in whatever order it goes: it reads
/// the free slot, the message comes, is taken into a chunk that was read already, and so on. Two passes that find the very
/// same words cannot: no word recurs, so between the passes nothing had moved. Words only grow, so their sum tells
/// whether any has.
pub(crate) fn is_finished(slots: &Slots, pool: &Pool) -> bool {
    match (collect(slots, pool), mutated!("join.twice")) {
        (None, _) => false,
        (Some(_), true) => true,
        (first, false) => collect(slots, pool) == first,
    }
}

/// Tells those who wait for the end, after a task was done, unless it was certainly not the last: while a message is in
/// the ring, whoever takes it tells them later. So a long queue is not worked off at the price of a system call a task.
///
/// Whoever takes the last place sees all before it taken; and if he was done before the sleeper armed, the sleeper's
/// barrier shows his claim to us too. So of those who are done last, one sees an empty ring.
#[inline(always)]
pub(crate) fn tell(slots: &Slots, finished: &EventCount, barrier: Barrier) {
    // Between the done word and the look at the sleepers.
    barrier.before_wake();
    if finished.is_awaited() {
        tell_late(slots, finished, barrier);
    }
}

#[cold]
fn tell_late(slots: &Slots, finished: &EventCount, barrier: Barrier) {
    // SeqCst: the look below is no older than the sleeper's arming. Pairs with the heavy barrier behind that.
    fence(Ordering::SeqCst);
    if slots.look().is_err() && !mutated!("join.tell") {
        finished.wake(ALL, barrier);
    }
}

/// Adds up all words, or `None` if one of them says that something is unfinished.
fn collect(slots: &Slots, pool: &Pool) -> Option<u64> {
    let mut sum = 0_u64;
    for index in 0..slots.geometry().capacity() {
        // observe_slot. Acquire: pairs with the Release by which a receiver frees the slot: its chunk is seen stamped.
        let word = SlotWord(slots.stamp(index).word.load(order!(Acquire, "join.observe_slot")));
        if matches!(word.state(), SlotState::Ready | SlotState::Reading) {
            return None;
        }
        // Without the owner, which grows with nothing.
        sum = sum.wrapping_add(word.0 >> 16);
    }
    for (_, entry) in pool.each() {
        // observe. Acquire: pairs with the Release in `done`: what the worker sent before is seen by the second pass.
        let word = Word(entry.word.load(order!(Acquire, "join.observe")));
        if matches!(word.state(), Some(State::Task | State::Orphan)) {
            return None;
        }
        sum = sum.wrapping_add(word.version());
    }
    Some(sum)
}

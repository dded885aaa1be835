//! How many messages were handed out, and how many somebody has said to be done with: exact, whoever is killed wherever.
//!
//! A message that lies in the ring or is on its way out of it counts by being there. When it is handed out, it stops being
//! there and is counted in the very same instant: the count names the chunk it came in, and while it does so, that chunk
//! is handed out, whatever its own word still says. Whoever comes along writes the one and then clears the other, in the
//! stead of one who was killed or stopped. So nobody ever waits here, and there is nothing to be repaired.
//!
//! ```text
//! chunk   TASK(C) ───────────────────────> TASK(C) ──stamp──> KEPT(C) ──────────────> KEPT(C)      the message is C's
//! count   n, nobody ──begin (C, CAS)──> n+1, chunk ───────> n+1, chunk ──settle──> n+1, nobody
//!                                     (both by whoever sees it, CAS)
//! ```
//!
//! Who dies before `begin` has taken nothing: the message is delivered again. Who dies after it has been given the message.
//!
//! | store | pairs with | what it carries |
//! |---|---|---|
//! | `begin`: count, Release | `look`: count, Acquire | that the message is not in the ring any more |
//! | `stamp`: chunk, Release | `observe_chunk`, Acquire | that it was counted |
//! | `settle`: count, Release | `look`: count, Acquire | that the chunk was stamped |
//! | `done`: done, Release | `observe_done`, Acquire | what the worker did before, above all what it sent |
//! | the slot's freeing, Release | `observe_slot`, Acquire | that the chunk is a task |

use super::Pool;
use super::chunk::{Held, Kept, Task, judge};
use super::promises::Promises;
use super::tag::Chunk;
use super::through::is_referenced;
use super::word::{State, Word};
use crate::ring::mpmc::{Slots, State as SlotState, Word as SlotWord};
use crate::sync::{AtomicU64, Ordering, fence, mutated, order, spin_loop};
use crate::wait::{ALL, Barrier, EventCount};

/// The counts. Memory of all zeros is right.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Tally {
    /// How many messages were handed out; see [`Count`]. By whoever receives one.
    taken: AtomicU64,
    /// How many are done. By whoever says so, never more than were sent.
    done: AtomicU64,
    /// Those that have no room yet.
    promises: Promises,
}

#[cfg(loom)]
impl Tally {
    pub(crate) fn new() -> Self {
        Tally { taken: AtomicU64::new(0), done: AtomicU64::new(0), promises: Promises::new() }
    }
}

impl Tally {
    /// How many were handed out and how many are done, for onlookers: not of one instant.
    #[cfg(not(loom))]
    pub(crate) fn figures(&self) -> (u64, u64) {
        let taken = Count(self.taken.load(Ordering::Relaxed)).taken();
        (taken, self.done.load(Ordering::Relaxed))
    }

    pub(crate) fn promises(&self) -> &Promises {
        &self.promises
    }

    /// How many messages are unfinished, if nobody was handed so many of them: for onlookers.
    #[cfg(not(loom))]
    pub(crate) fn unfinished(&self, unclaimed: u64) -> u64 {
        let (taken, done) = self.figures();
        left(taken.wrapping_add(unclaimed + self.promises.total()), done).max(0) as u64
    }

    /// What a peer may write.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn scribble(&self, taken: u64, done: u64) {
        self.taken.store(taken, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    fn read(&self) -> Count {
        // look. Acquire: pairs with the Releases of `begin` and `settle`: what was counted is seen neither in the ring nor
        // in its chunk.
        Count(self.taken.load(order!(Acquire, "tally.look")))
    }
}

/// The most chunks a pool may have to be counted.
pub(crate) const MAX_ENTRIES: u32 = (1 << CHUNK_BITS) - 1;

const CHUNK_BITS: u32 = 26;

/// What `taken` says.
///
/// ```text
/// taken:38 | chunk:26       the number of the chunk that is just being handed out, and 1; or 0
/// ```
///
/// Every `begin` counts, so no value recurs (within 2³⁸ messages: a day at full speed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count(u64);

impl Count {
    const fn taken(self) -> u64 {
        self.0 >> CHUNK_BITS
    }

    /// The number of the chunk being handed out.
    const fn chunk(self) -> Option<u32> {
        (self.0 as u32 & MAX_ENTRIES).checked_sub(1)
    }

    const fn begin(self, number: u32) -> Self {
        Count((self.taken().wrapping_add(1) << CHUNK_BITS) | (number as u64 + 1))
    }

    const fn settled(self) -> Self {
        Count(self.taken() << CHUNK_BITS)
    }
}

/// How many more were handed out than are done; below zero if some were done early. Both counts wrap at 38 bits.
const fn left(taken: u64, done: u64) -> i64 {
    (taken.wrapping_sub(done) << CHUNK_BITS) as i64 >> CHUNK_BITS
}

/// An honest exchange here loses only to another that succeeds. This many losses in a row are a peer that scribbles.
const PATIENCE: u32 = if cfg!(loom) { 10 } else { 10_000 };

/// So often a look is repeated if something moved meanwhile.
const LOOKS: u32 = if cfg!(loom) { 1 } else { 64 };

/// Why nothing more was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DoneRefused {
    /// As many are done as were sent.
    TooMany,
    /// Things moved during each look.
    Overtaken,
}

/// A pool with its ring and its counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Books<'a> {
    pool: &'a Pool,
    slots: &'a Slots,
    tally: &'a Tally,
}

/// What was seen in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pass {
    taken: u64,
    done: u64,
    /// Messages that have no room yet.
    promised: u64,
    /// Messages in the ring.
    in_ring: u64,
    /// All of the ring's words, added up. They only grow.
    ring: u64,
}

impl Pass {
    /// No fewer messages than so many are unfinished.
    const fn at_least(self) -> i64 {
        left(self.taken.wrapping_add(self.in_ring).wrapping_add(self.promised), self.done)
    }
}

impl<'a> Books<'a> {
    /// `None` if the pool has no counts.
    #[inline(always)]
    pub(crate) fn of(pool: &'a Pool, slots: &'a Slots) -> Option<Self> {
        Some(Books { pool, slots, tally: pool.tally()? })
    }

    /// Hands a message out, and counts it: TASK → KEPT.
    ///
    /// # Errors
    /// The task, if a peer keeps changing the count against the rules.
    pub(crate) fn keep(&self, task: Task) -> Result<Kept, Task> {
        match self.begin(&task) {
            Some(begun) => {
                self.pool.settle(self.tally, begun);
                let Held { chunk, word, len, position } = task.0;
                Ok(Kept(Held { chunk, word: handed_out(word), len, position }))
            }
            None => Err(task),
        }
    }

    /// From here on the message is counted, and its receiver's.
    fn begin(&self, task: &Task) -> Option<Count> {
        let number = self.pool.number(task.chunk())?;
        for _ in 0..PATIENCE {
            let seen = self.settled()?;
            let begun = seen.begin(number);
            // begin. Release: pairs with the Acquire in `read`: whoever sees it counted sees its slot free.
            let order = order!(Release, "tally.begin");
            if self.tally.taken.compare_exchange(seen.0, begun.0, order, Ordering::Relaxed).is_ok() {
                return Some(begun);
            }
            spin_loop();
        }
        None
    }

    /// The same, and no more: a receiver that dies there.
    #[cfg(loom)]
    pub(crate) fn begin_only(&self, task: &Task) {
        self.begin(task).expect("nobody scribbles");
    }

    /// The count while nothing is being handed out.
    fn settled(&self) -> Option<Count> {
        for _ in 0..PATIENCE {
            let seen = self.tally.read();
            if seen.chunk().is_none() {
                return Some(seen);
            }
            self.pool.settle(self.tally, seen);
        }
        None
    }

    /// Says that one more message is done: whichever, also one that is still in the ring.
    ///
    /// # Errors
    /// [`DoneRefused`].
    pub(crate) fn done(&self) -> Result<(), DoneRefused> {
        for _ in 0..PATIENCE {
            let taken = self.tally.read().taken();
            // Relaxed: the exchange is from exactly this value.
            let done = self.tally.done.load(Ordering::Relaxed);
            // Usually somebody has been handed what he is done with.
            if left(taken, done) > 0 {
                if self.one_more(done) {
                    return Ok(());
                }
                continue;
            }
            match self.is_owed(done) {
                Some(true) if self.one_more(done) => return Ok(()),
                Some(false) => return Err(DoneRefused::TooMany),
                Some(true) | None => spin_loop(),
            }
        }
        Err(DoneRefused::Overtaken)
    }

    fn one_more(&self, done: u64) -> bool {
        let more = done.wrapping_add(1);
        let done = if mutated!("tally.exactly") { self.tally.done.load(Ordering::Relaxed) } else { done };
        // done. Release: pairs with the Acquire in `pass`: what the worker did before, above all what it sent, is visible to
        // whoever sees it done.
        let order = order!(Release, "tally.done");
        self.tally.done.compare_exchange(done, more, order, Ordering::Relaxed).is_ok()
    }

    /// Whether more messages were sent than `done`, while that is how many are; `None` if it cannot be told.
    #[cold]
    fn is_owed(&self, done: u64) -> Option<bool> {
        let first = self.pass().filter(|pass| pass.done == done)?;
        // What is in the ring after the count was read was not in that count. There can be no fewer later.
        if first.at_least() > 0 {
            return Some(true);
        }
        Some(self.confirm(first)? > 0)
    }

    /// How many messages there are, sent and not done, at one instant during this call; `None` if something moved.
    ///
    /// Below zero only if a peer broke the rules, or if a message for which somebody was done early has been given up since.
    pub(crate) fn look(&self) -> Option<i64> {
        self.confirm(self.pass()?)
    }

    /// Whether there was an instant, during this call, at which as many were done as had been sent.
    pub(crate) fn is_finished(&self) -> bool {
        for _ in 0..LOOKS {
            if self.left() > 0 {
                return false;
            }
            if let Some(unfinished) = self.look() {
                return unfinished <= 0;
            }
            spin_loop();
        }
        false
    }

    /// The same as a number that was about right a moment ago.
    pub(crate) fn unfinished(&self) -> u64 {
        let exact = (0..LOOKS).find_map(|_| self.look());
        let about = || self.pass().map_or(0, |pass| pass.at_least() + self.on_their_way() as i64);
        exact.unwrap_or_else(about).max(0) as u64
    }

    fn left(&self) -> i64 {
        // The count first: then at least so many were left when the other was read.
        let taken = self.tally.read().taken();
        left(taken, self.tally.done.load(Ordering::Relaxed))
    }

    /// The word that counts what was handed out, for an error.
    pub(crate) fn taken(&self) -> u64 {
        self.tally.read().0
    }

    /// Reads what is done, then what is promised, handed out, and in the ring: on its way a message is seen at least once.
    fn pass(&self) -> Option<Pass> {
        // observe_done. Acquire: pairs with the Release in `one_more`.
        let done = self.tally.done.load(order!(Acquire, "tally.observe_done"));
        let promised = self.tally.promises.total();
        let taken = self.settled()?.taken();
        let mut pass = Pass { taken, done, promised, in_ring: 0, ring: 0 };
        for index in 0..self.slots.geometry().capacity() {
            // observe_slot. Acquire: pairs with the Release by which a receiver frees the slot: its chunk is seen stamped.
            let word = self.slots.stamp(index).word.load(order!(Acquire, "tally.observe_slot"));
            let word = SlotWord(word);
            pass.in_ring += u64::from(matches!(word.state(), SlotState::Ready | SlotState::Reading));
            // Without the owner, which grows with nothing.
            pass.ring = pass.ring.wrapping_add(word.0 >> 16);
        }
        Some(pass)
    }

    /// How many messages are out of the ring and not handed out: just being received, or to be delivered again.
    fn on_their_way(&self) -> u64 {
        let chunks = self.pool.each().filter(|(chunk, entry)| {
            // observe_chunk. Acquire: pairs with the Release of `stamp`: what is not there any more is seen counted.
            let word = Word(entry.word.load(order!(Acquire, "tally.observe_chunk")));
            let is_out = matches!(word.state(), Some(State::Task | State::Orphan));
            // Relaxed: written before the message was sent, which whoever made it a task has seen.
            let position = entry.pos.load(Ordering::Relaxed);
            // One that is still in its slot counts there.
            is_out && (mutated!("tally.referenced") || !is_referenced(self.slots, *chunk, position))
        });
        chunks.count() as u64
    }

    /// Adds what is on its way to what was seen, if nothing has moved.
    ///
    /// A message is in the ring, then on its way, then counted, each overlapping the next. Between two passes that found the
    /// same, nothing was counted and nothing left its slot. So whatever is on its way between them was so all the time since
    /// the first pass, and was seen by this look at the chunks, which lies behind it: nothing more, nothing twice.
    fn confirm(&self, first: Pass) -> Option<i64> {
        let on_their_way = self.on_their_way();
        let same = mutated!("tally.twice") || self.pass() == Some(first);
        same.then(|| first.at_least().saturating_add_unsigned(on_their_way))
    }

    /// Tells those who wait for the end, after a message was done or handed out, unless it was certainly not the last: while
    /// one that was handed out is not done, or one is in the ring and none was done early, who ends that tells them.
    ///
    /// Who is done last has counted as many as were sent, and finds no more handed out. If he finds a message in the ring,
    /// it was sent since: who sees all others counted sees them gone from the ring. A receiver tells because he may have
    /// disturbed a look that would have found all done early.
    #[inline(always)]
    pub(crate) fn tell(&self, finished: &EventCount, barrier: Barrier) {
        // Between the count and the look at the sleepers.
        barrier.before_wake();
        if finished.is_awaited() {
            self.tell_late(finished, barrier);
        }
    }

    #[cold]
    fn tell_late(&self, finished: &EventCount, barrier: Barrier) {
        // SeqCst: the looks below are no older than the sleeper's arming. Pairs with the heavy barrier behind that.
        fence(Ordering::SeqCst);
        let left = self.left();
        let others_will = left > 0 || left == 0 && self.slots.look().is_ok();
        if !others_will && !mutated!("tally.tell") {
            finished.wake(ALL, barrier);
        }
    }
}

/// The word of a task after it was handed out.
fn handed_out(task: Word) -> Word {
    task.step(State::Kept, task.owner(), task.deliveries())
}

impl Pool {
    /// Ends what whoever left `seen` in the count began, and may not have lived to end.
    fn settle(&self, tally: &Tally, seen: Count) {
        // A number that cannot be: there is nothing to stamp.
        if let Some(number) = seen.chunk().filter(|&number| number < self.layout().entries()) {
            let entry = self.entry_at(number);
            let word = judge(entry);
            // Relaxed: who reads the word of a later task has seen through it that the count has moved on.
            let still = tally.taken.load(Ordering::Relaxed) == seen.0 || mutated!("tally.still");
            if still && word.state() == Some(State::Task) {
                let kept = handed_out(word);
                // stamp. Release: pairs with the Acquire in `on_their_way`. Who fails was too late.
                let order = order!(Release, "tally.stamp");
                let _ = entry.word.compare_exchange(word.0, kept.0, order, Ordering::Relaxed);
            }
        }
        // settle. Release: pairs with the Acquire in `Tally::read`: whoever sees that nothing is being handed out sees the
        // chunk stamped, by whomever.
        let order = order!(Release, "tally.settle");
        let _ = tally.taken.compare_exchange(seen.0, seen.settled().0, order, Ordering::Relaxed);
    }

    /// Ends what somebody began, if anything is being counted now.
    pub(super) fn settle_all(&self) {
        if let Some(tally) = self.tally() {
            let count = tally.read();
            if count.chunk().is_some() && !mutated!("tally.sweep") {
                self.settle(tally, count);
            }
        }
    }

    /// The word of a chunk once nothing is being counted of what its owner did, who was dead after `seen` was read. Nobody
    /// but he could have begun to hand that message out.
    pub(super) fn settle_of_dead(&self, chunk: Chunk, seen: Word) -> Word {
        let Some(tally) = self.tally() else { return seen };
        let count = tally.read();
        if count.chunk().is_none() || count.chunk() != self.number(chunk) || mutated!("tally.sweep") {
            return seen;
        }
        self.settle(tally, count);
        if seen.state() == Some(State::Task) { handed_out(seen) } else { seen }
    }

    /// The number of the chunk's entry.
    fn number(&self, chunk: Chunk) -> Option<u32> {
        Some(self.layout().class(chunk.class())?.first + chunk.index())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_count_says_what_it_was_made_to_say() {
        let none = Count(0);
        assert_eq!((none.taken(), none.chunk()), (0, None));
        for number in [0, 1, 77, MAX_ENTRIES - 1] {
            let begun = none.begin(number);
            assert_eq!((begun.taken(), begun.chunk()), (1, Some(number)));
            assert_eq!(begun.settled(), Count(1 << CHUNK_BITS));
            assert_eq!(begun.settled().begin(number).taken(), 2);
        }
        let last = Count(!u64::from(MAX_ENTRIES));
        assert_eq!(last.begin(5).taken(), 0, "it wraps into nothing else");
        assert_eq!(last.begin(5).chunk(), Some(5));
    }

    #[test]
    fn what_is_left_survives_the_wrapping_of_the_counts() {
        let most = (1 << 38) - 1;
        assert_eq!([left(5, 3), left(3, 5), left(4, 4)], [2, -2, 0]);
        assert_eq!([left(0, most), left(most, 0), left(1, most)], [1, -1, 2]);
        // The count of those done is wider.
        assert_eq!(left(7 & most, (3 << 38) + 5), 2);
    }
}

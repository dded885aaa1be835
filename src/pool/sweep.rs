//! Ending what the dead began, and counting what there is.

use super::chunk::judge;
use super::orphan::maker;
use super::tag::Chunk;
use super::through::is_referenced;
use super::word::{State, Word};
use super::{Entry, Pool};
use crate::ring::mpmc::Slots;
use crate::sync::{Ordering, mutated, order};

/// What a sweep has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Chunks that are free again.
    pub(crate) freed: u64,
    /// Messages whose senders died, and which now belong to the ring.
    pub(crate) queued: u64,
    /// Tasks that will be delivered again.
    pub(crate) orphaned: u64,
}

impl Swept {
    pub(crate) fn is_any(self) -> bool {
        self != Swept::default()
    }
}

/// How many chunks there are of each kind, not all of one instant.
#[cfg(any(test, loom))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) free: u64,
    /// Being filled, or on their way through the ring.
    pub(crate) loaned: u64,
    /// On their way through the ring, from senders that died.
    pub(crate) queued: u64,
    pub(crate) kept: u64,
    pub(crate) tasks: u64,
    pub(crate) orphans: u64,
    /// Words that no honest process writes: nobody gets these chunks any more.
    pub(crate) corrupt: u64,
}

#[cfg(any(test, loom))]
impl Census {
    /// Counts one more.
    pub(crate) fn add(&mut self, word: Word) {
        *match word.state() {
            Some(State::Free) => &mut self.free,
            Some(State::Loaned) => &mut self.loaned,
            Some(State::Queued) => &mut self.queued,
            Some(State::Kept) => &mut self.kept,
            Some(State::Task) => &mut self.tasks,
            Some(State::Orphan) => &mut self.orphans,
            None => &mut self.corrupt,
        } += 1;
    }
}

/// How many of the living are remembered at once.
const PLACES: usize = 16;

/// Remembers whom it found alive. An answer "alive" may be old, that only leaves something to the next sweep; "dead" is
/// true only of a word that was read before the question, so it is asked anew each time.
struct Living<F> {
    is_dead: F,
    known: [u16; PLACES],
}

impl<F: FnMut(u16) -> bool> Living<F> {
    fn new(is_dead: F) -> Self {
        Living { is_dead, known: [0; PLACES] }
    }

    fn is_dead(&mut self, owner: u16) -> bool {
        let place = &mut self.known[usize::from(owner) % PLACES];
        if *place == owner && owner != 0 {
            return false;
        }
        let dead = (self.is_dead)(owner);
        if !dead {
            *place = owner;
        }
        dead
    }
}

impl Pool {
    /// Ends what the dead began with chunks: each that belongs to one goes on through the ring if a slot refers to it,
    /// else it is free again, or if it was a task, delivered again. `me` is who does it: at the taking of an index, that
    /// index itself. Repair the slots first, so that nothing stays behind for another sweep.
    ///
    /// `is_dead` is asked after the word that names the owner was read, and the exchange is of exactly that word. So any
    /// number may sweep at once, be stalled anywhere, and die: nothing is left half done.
    #[cold]
    pub(crate) fn sweep(&self, me: u16, slots: &Slots, is_dead: impl FnMut(u16) -> bool) -> Swept {
        // So that what those who are dead by now have counted is theirs when its word is read.
        self.settle_all();
        let mut living = Living::new(is_dead);
        let mut done = Swept::default();
        // Of those that the dead can have got: a look at the others would bring their pages into being.
        self.each_grown().for_each(|(chunk, entry)| {
            let seen = judge(entry);
            let dead = match seen.state() {
                Some(State::Free) | None => false,
                Some(State::Queued) => true,
                Some(State::Loaned | State::Kept | State::Task | State::Orphan) => {
                    living.is_dead(seen.owner())
                }
            };
            if dead {
                let seen = if mutated!("pool.ask_after") { judge(entry) } else { seen };
                let seen = self.settle_of_dead(chunk, seen);
                self.end(me, slots, chunk, entry, seen, &mut done);
            }
        });
        done
    }

    /// Ends what the owner of a chunk began, who was dead after `seen` was read.
    #[cold]
    fn end(&self, me: u16, slots: &Slots, chunk: Chunk, entry: &Entry, seen: Word, done: &mut Swept) {
        // Relaxed: whoever wrote it is dead, or seen through the word. A newer one means that the word has moved.
        let referenced = is_referenced(slots, chunk, entry.pos.load(Ordering::Relaxed));
        let same = seen.deliveries();
        match (seen.state(), referenced) {
            (Some(State::Loaned | State::Kept | State::Task), true) => {
                done.queued += u64::from(self.exchange(chunk, seen, seen.step(State::Queued, 0, same)));
            }
            (Some(State::Loaned | State::Kept | State::Queued), false) => {
                done.freed += u64::from(self.exchange(chunk, seen, seen.step(State::Free, 0, 0)));
            }
            (Some(State::Task), false) => {
                let orphan = seen.step(State::Orphan, maker(me), seen.one_delivery_more());
                if self.exchange(chunk, seen, orphan) {
                    self.announce();
                    done.orphaned += 1;
                }
            }
            // Perhaps he died before he told.
            (Some(State::Orphan), _) => self.announce(),
            (Some(State::Queued), true) | (Some(State::Free) | None, _) => {}
        }
    }

    /// Exchanges exactly the word that was judged.
    pub(super) fn exchange(&self, chunk: Chunk, seen: Word, next: Word) -> bool {
        let word = &self.entry(chunk).word;
        let seen = if mutated!("pool.sweep_exactly") { word.load(Ordering::Relaxed) } else { seen.0 };
        // sweep. Release: pairs with the Acquires in `loan`, `find_orphan` and `judge`: what the dead one did is visible
        // to us, because the kernel said so after its last instruction, and so to whoever reads the new word.
        word.compare_exchange(seen, next.0, order!(Release, "pool.sweep"), Ordering::Relaxed).is_ok()
    }

    /// Every chunk's word, for `stat`: who has how much.
    pub(crate) fn words(&self) -> impl Iterator<Item = (Chunk, Word)> {
        self.each().map(|(chunk, entry)| (chunk, judge(entry)))
    }

    /// Counts the chunks by what they are doing.
    #[cfg(any(test, loom))]
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        self.words().for_each(|(_, word)| census.add(word));
        census
    }
}

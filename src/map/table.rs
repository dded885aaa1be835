//! The entries, the chains that lead to them, and how they are read.

use super::bits::Bits;
use super::books::{Books, FLOOR, PATIENCE, Sum};
use super::word::Word;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence, mutated, order, spin_loop};

/// A place for one item. All-zero bytes are a free one.
///
/// ```text
/// word            written by                                  read by
/// --------------  ------------------------------------------  -------------------------------
/// word            the holder of the lock; see `Word`          everybody
/// order, hash     the same, before the word gets a chunk      everybody, before the word is looked at again
/// next            the same                                    who follows a chain; 0 ends it, else an entry plus one
/// ```
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) word: AtomicU64,
    /// By which change it was made: entries are in the order of these.
    pub(super) order: AtomicU64,
    pub(super) hash: AtomicU32,
    pub(super) next: AtomicU32,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Entry>() == 24);

/// All there is of a table, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    pub(crate) books: &'a Books,
    pub(crate) entries: &'a [Entry],
    /// Where the chain of each hash begins: an entry plus one, or 0. As many as a power of two.
    pub(crate) heads: &'a [AtomicU32],
    /// Which entries are taken.
    pub(crate) taken: Bits<'a>,
    /// Which units of memory are.
    pub(crate) units: Bits<'a>,
    /// Where a model may have a writer die.
    #[cfg(loom)]
    pub(crate) breathe: &'a dyn Fn(),
}

/// What a reader finds in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look<R> {
    /// What he looks for.
    This(R),
    /// Something else.
    Other,
    /// Nothing that an honest process leaves there.
    Nonsense,
}

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// There was a change during each try.
    Overtaken,
    /// Nothing that an honest process leaves there: this unit of memory.
    Nonsense(u32),
}

impl Entry {
    /// A free one.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        let [word, order] = [0; 2].map(AtomicU64::new);
        let [hash, next] = [0; 2].map(AtomicU32::new);
        Entry { word, order, hash, next }
    }

    /// By which change it was made. Only for the holder of the lock.
    #[inline]
    pub(super) fn order(&self) -> u64 {
        self.order.load(Ordering::Relaxed)
    }

    /// The hash of its key. Only for the holder of the lock.
    #[inline]
    pub(super) fn hash(&self) -> u32 {
        self.hash.load(Ordering::Relaxed)
    }

    #[inline]
    fn word(&self) -> Word {
        // Acquire: pairs with the Release in `put`: the chunk, the order and the hash are there; and whoever finds an entry
        // emptied finds the floor raised, if it was for that.
        Word::from_bits(self.word.load(order!(Acquire, "map.word")))
    }

    /// The same for who has executed an Acquire fence, or holds the lock.
    #[inline]
    pub(super) fn word_now(&self) -> Word {
        Word::from_bits(self.word.load(Ordering::Relaxed))
    }

    /// The change happens.
    #[inline]
    pub(super) fn put(&self, word: Word) {
        // Release: pairs with the Acquire in `word`.
        self.word.store(word.to_bits(), order!(Release, "map.commit"));
    }
}

impl Table<'_> {
    /// A place where a model may have a writer die.
    #[inline(always)]
    pub(super) fn step(&self) {
        #[cfg(loom)]
        (self.breathe)();
    }

    #[inline]
    pub(super) fn head(&self, hash: u32) -> &AtomicU32 {
        &self.heads[hash as usize & (self.heads.len() - 1)]
    }

    /// Looks for the item whose hash is `hash`, and of which `look`, given its entry and the first unit of its chunk, says that
    /// it is the one. What `look` reads may be changing; then its answer does not count, and it is asked again.
    ///
    /// Waits for nobody. That there is none is said only if there was none at some moment since the call began.
    ///
    /// # Errors
    /// [`Unread`]; overtaken only by changes of that very item.
    #[inline]
    pub(crate) fn find<R>(
        &self,
        hash: u32,
        mut look: impl FnMut(u32, u32) -> Look<R>,
    ) -> Result<Option<R>, Unread> {
        let first = self.books.turn();
        for _ in 0..PATIENCE {
            let turn = self.books.turn();
            if turn.is_mending() && !mutated!("map.mending") {
                break;
            }
            match self.walk(hash, first.number(), &mut look)? {
                Walk::Found(found) => return Ok(Some(found)),
                Walk::Lost => break,
                Walk::Ended => {}
            }
            // Acquire: pairs with the Release fence in `move_turn`. Who followed a link that a later change had made
            // sees that the turn has moved.
            if !mutated!("map.ended_fence") {
                fence(Ordering::Acquire);
            }
            if self.books.turn_now() == turn || mutated!("map.ended_recheck") {
                return Ok(None);
            }
            spin_loop();
        }
        self.scan(hash, first.number(), &mut look)
    }

    /// Follows the chain of `hash`. Every entry that is there and stays there is in its chain all the time; but the chain may
    /// lead astray who stands on an entry that is freed and made part of another.
    fn walk<R>(
        &self,
        hash: u32,
        since: u64,
        look: &mut impl FnMut(u32, u32) -> Look<R>,
    ) -> Result<Walk<R>, Unread> {
        // Acquire: pairs with the Release in `link`: where this entry's link leads.
        let mut next = self.head(hash).load(order!(Acquire, "map.head"));
        for _ in 0..=self.entries.len() {
            let Some(at) = next.checked_sub(1) else { return Ok(Walk::Ended) };
            let Some(entry) = self.entries.get(at as usize) else { return Ok(Walk::Lost) };
            if let Some(found) = self.examine(at, entry, hash, since, look)? {
                return Ok(Walk::Found(found));
            }
            // Relaxed: what it leads to was part of this chain before this entry was, or the turn moves.
            next = entry.next.load(Ordering::Relaxed);
        }
        Ok(Walk::Lost)
    }

    /// Looks at all entries. An item that is there all the time is in one and the same entry, so it is met.
    #[cold]
    #[inline(never)]
    fn scan<R>(
        &self,
        hash: u32,
        since: u64,
        look: &mut impl FnMut(u32, u32) -> Look<R>,
    ) -> Result<Option<R>, Unread> {
        for (at, entry) in self.entries.iter().enumerate() {
            if let Some(found) = self.examine(at as u32, entry, hash, since, look)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whether it is this one.
    #[inline]
    fn examine<R>(
        &self,
        at: u32,
        entry: &Entry,
        hash: u32,
        since: u64,
        look: &mut impl FnMut(u32, u32) -> Look<R>,
    ) -> Result<Option<R>, Unread> {
        for _ in 0..PATIENCE {
            let word = entry.word();
            let Some(unit) = word.unit() else { return Ok(None) };
            // Relaxed, here and below: they count only if the word stays. If it is the hash of a later item, this one has gone.
            if entry.hash.load(Ordering::Relaxed) != hash {
                return Ok(None);
            }
            let order = entry.order.load(Ordering::Relaxed);
            let seen = look(at, unit);
            // Acquire: pairs with the Release fence in `move_turn`. Who has read what a later change wrote sees that the word
            // has changed before.
            if !mutated!("map.recheck_fence") {
                fence(Ordering::Acquire);
            }
            // In 2³² changes a word may recur: so long nobody is believed to look.
            let is_old = self.books.turn_now().number().wrapping_sub(since) >> 31 != 0;
            if (entry.word_now() != word || is_old) && !mutated!("map.recheck") {
                if is_old {
                    return Err(Unread::Overtaken);
                }
                spin_loop();
                continue;
            }
            let is_there = order >= self.books.floor();
            return match seen {
                Look::This(found) if is_there => Ok(Some(found)),
                Look::Nonsense if is_there => Err(Unread::Nonsense(unit)),
                _ => Ok(None),
            };
        }
        Err(Unread::Overtaken)
    }

    /// Shows `visit` all items as of one moment, by entry, order and first unit of the chunk; it may end that by `false`. What it
    /// reads of the chunks may be changing: all of it counts only if this ends well. Those that are below the floor which is
    /// returned are gone.
    ///
    /// # Errors
    /// There was another change meanwhile.
    pub(crate) fn collect(&self, mut visit: impl FnMut(u32, u64, u32) -> bool) -> Result<u64, Unread> {
        let turn = self.books.turn();
        let mut floor = if mutated!("map.floor_last") { self.books.floor() } else { 0 };
        for (at, entry) in self.entries.iter().enumerate() {
            // Relaxed: it counts only if the turn stays.
            if let Some(unit) = entry.word().unit()
                && !visit(at as u32, entry.order.load(Ordering::Relaxed), unit)
            {
                break;
            }
        }
        // After all words: who clears raises it before he empties them.
        if !mutated!("map.floor_last") {
            floor = self.books.floor();
        }
        // Acquire: pairs with the Release fence in `move_turn`. Only the change of that turn can have happened meanwhile, which
        // is one store: all others were over before or come after.
        if !mutated!("map.collect_fence") {
            fence(Ordering::Acquire);
        }
        if self.books.turn_now().number() == turn.number() || mutated!("map.collect_recheck") {
            Ok(floor)
        } else {
            Err(Unread::Overtaken)
        }
    }

    /// How much there is.
    ///
    /// # Errors
    /// There was another change during each try.
    #[inline]
    pub(crate) fn sum(&self) -> Result<Sum, Unread> {
        let value = |at| match at {
            FLOOR => Some(self.books.floor()),
            at => Some(self.entries.get(usize::try_from(at).ok()?)?.word().to_bits()),
        };
        self.books.sum(value).ok_or(Unread::Overtaken)
    }
}

/// How following a chain ends.
enum Walk<R> {
    Found(R),
    Ended,
    /// It leads nowhere, or round in circles.
    Lost,
}

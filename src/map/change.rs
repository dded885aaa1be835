//! How the holder of the lock changes a table.
//!
//! Each change is announced, happens by one store, and is settled when the chains and what is taken agree with it. Nothing that
//! a change frees is used again by the same one.

use super::books::{FLOOR, Named, Sum};
use super::table::Table;
use super::word::Word;
use crate::sync::{Ordering, mutated, order};

/// Some units of memory in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) unit: u32,
    pub(crate) len: u32,
}

/// What there is before a change, and after it.
pub(crate) type Sums = [Sum; 2];

/// Which [`low`](super::Books::low) is whose.
const UNITS: usize = 0;
const ENTRIES: usize = 1;

/// All of this is only for who holds the lock, of a table that [is settled](super::Books::is_settled).
impl Table<'_> {
    /// Free units in a row, so many. They are free until a change takes them.
    #[inline]
    pub(crate) fn find_units(&self, len: u32) -> Option<Piece> {
        let low = self.low(UNITS);
        let from_start = || (low > 0).then(|| self.units.find(0, len)).flatten();
        let unit = self.units.find(low, len).or_else(from_start)?;
        Some(Piece { unit, len })
    }

    /// A free entry.
    #[inline]
    pub(crate) fn find_entry(&self) -> Option<u32> {
        let low = self.low(ENTRIES);
        self.taken.find(low, 1).or_else(|| (low > 0).then(|| self.taken.find(0, 1)).flatten())
    }

    /// The entry that was made last, and the first unit of its chunk. Looks at all that are taken.
    pub(crate) fn last(&self) -> Option<(u32, u32)> {
        let floor = self.books.floor();
        let there = self.taken.taken().filter_map(|at| {
            let entry = self.entries.get(at as usize)?;
            let unit = entry.word_now().unit()?;
            (entry.order() >= floor).then_some((entry.order(), at, unit))
        });
        there.max().map(|(_, at, unit)| (at, unit))
    }

    fn low(&self, which: usize) -> u32 {
        self.books.low(which).load(Ordering::Relaxed) as u32
    }

    fn take_units(&self, piece: Piece) {
        self.units.take(piece.unit, piece.len);
        if self.low(UNITS) == piece.unit {
            self.books.low(UNITS).store(u64::from(piece.unit) + u64::from(piece.len), Ordering::Relaxed);
        }
    }

    fn free_units(&self, piece: Piece) {
        self.units.free(piece.unit, piece.len);
        let low = self.low(UNITS).min(piece.unit);
        self.books.low(UNITS).store(low.into(), Ordering::Relaxed);
    }

    /// Makes a new item in a free entry and a free piece of memory, which `fill` fills.
    #[inline]
    pub(crate) fn insert(&self, entry: u32, hash: u32, new: Piece, sums: Sums, fill: impl FnOnce()) {
        let number = self.books.next();
        let word = Word::chunk(new.unit, number);
        self.step();
        self.announce(entry, word, sums);
        self.step();
        self.taken.take(entry, 1);
        self.books.low(ENTRIES).store(u64::from(entry) + 1, Ordering::Relaxed);
        self.take_units(new);
        let place = &self.entries[entry as usize];
        if mutated!("map.commit_first") {
            place.put(word);
        }
        self.step();
        fill();
        // Relaxed, both: published with the word.
        place.order.store(number, Ordering::Relaxed);
        place.hash.store(hash, Ordering::Relaxed);
        if !mutated!("map.link_first") {
            self.link(entry, hash);
            self.step();
        }
        place.put(word);
        self.step();
        if mutated!("map.link_first") {
            self.link(entry, hash);
        }
        self.books.settle(number);
    }

    /// Gives the item of an entry, which has the piece `old`, a new one, which `fill` fills.
    #[inline]
    pub(crate) fn replace(&self, entry: u32, old: Piece, new: Piece, sums: Sums, fill: impl FnOnce()) {
        let number = self.books.next();
        let word = Word::chunk(new.unit, number);
        self.step();
        self.announce(entry, word, sums);
        self.step();
        self.take_units(new);
        fill();
        self.step();
        self.entries[entry as usize].put(word);
        self.step();
        self.free_units(old);
        self.books.settle(number);
    }

    /// Removes the item of an entry, which has the piece `old`.
    #[inline]
    pub(crate) fn remove(&self, entry: u32, old: Piece, sums: Sums) {
        let number = self.books.next();
        let word = Word::empty(number);
        self.step();
        self.announce(entry, word, sums);
        self.step();
        let place = &self.entries[entry as usize];
        place.put(word);
        self.step();
        let is_whole = self.unlink(entry, place.hash.load(Ordering::Relaxed));
        self.step();
        self.taken.free(entry, 1);
        let low = self.low(ENTRIES).min(entry);
        self.books.low(ENTRIES).store(low.into(), Ordering::Relaxed);
        self.free_units(old);
        // If a peer has scribbled over the chain, the next one mends it.
        if is_whole {
            self.books.settle(number);
        }
    }

    /// Removes all.
    pub(crate) fn clear(&self, before: Sum) {
        let number = self.books.next();
        self.step();
        self.books.announce(Named { at: FLOOR, new: number }, before, Sum::default());
        self.step();
        self.books.raise_floor(number);
        self.step();
        for entry in self.entries {
            if entry.word_now().unit().is_some() {
                entry.put(Word::empty(number));
                self.step();
            }
        }
        self.wipe();
        self.books.settle(number);
    }

    /// Nothing is taken, and no chain leads anywhere.
    pub(super) fn wipe(&self) {
        for head in self.heads {
            // Relaxed: who loses his way by this is told by the turn.
            head.store(0, Ordering::Relaxed);
        }
        self.taken.wipe();
        self.units.wipe();
        (0..2).for_each(|which| self.books.low(which).store(0, Ordering::Relaxed));
    }

    fn announce(&self, entry: u32, word: Word, [before, after]: Sums) {
        self.books.announce(Named { at: entry.into(), new: word.to_bits() }, before, after);
    }

    /// Makes an entry the first of its chain.
    pub(super) fn link(&self, entry: u32, hash: u32) {
        let head = self.head(hash);
        let next = head.load(Ordering::Relaxed);
        // Relaxed: published with the head. Who stands on this entry since it was part of another chain is told by the turn.
        self.entries[entry as usize].next.store(next, Ordering::Relaxed);
        // Release: pairs with the Acquire in `walk`.
        head.store(entry + 1, order!(Release, "map.link"));
    }

    /// Takes an entry out of its chain. It keeps its own link, for those who stand on it. Returns whether it was there.
    fn unlink(&self, entry: u32, hash: u32) -> bool {
        let mut link = self.head(hash);
        for _ in 0..=self.entries.len() {
            let next = link.load(Ordering::Relaxed);
            let Some(place) = next.checked_sub(1).and_then(|at| self.entries.get(at as usize)) else {
                return false;
            };
            if next == entry + 1 {
                // Relaxed: what it leads to was part of the chain before.
                link.store(place.next.load(Ordering::Relaxed), Ordering::Relaxed);
                return true;
            }
            link = &place.next;
        }
        false
    }
}

//! How the holder of the lock rebuilds what is derived, after somebody died in the middle of a change.

use super::books::{FLOOR, Named, Sum};
use super::change::Piece;
use super::table::{Entry, Table};
use super::word::{Turn, Word};
use crate::sync::mutated;

impl Table<'_> {
    /// Makes the chains, and what is taken, anew from the words. `measure` tells, by the first unit of a chunk, how long it is
    /// and how many bytes of keys and values it has; nothing if no honest process leaves such a chunk. What makes no sense is
    /// thrown away, so this always ends well. Readers see all items meanwhile. Only for who holds the lock; who dies of it
    /// leaves it to the next.
    pub(crate) fn mend(&self, mut measure: impl FnMut(u32) -> Option<(u32, u64)>) -> Sum {
        let turn = self.sane_turn();
        // The number stays: so does the record, by which the last change has happened or not.
        self.books.move_turn(if mutated!("map.mending") { turn } else { turn.mending() });
        self.step();
        self.wipe();
        self.step();
        // No change has a later number than the last one.
        if self.books.floor() > turn.number() {
            self.books.raise_floor(0);
        }
        let (floor, mut sum) = (self.books.floor(), Sum::default());
        for (at, entry) in self.entries.iter().enumerate() {
            let word = entry.word_now();
            let Some(unit) = word.unit() else { continue };
            let is_there = (floor..=turn.number()).contains(&entry.order());
            let measured = if is_there { measure(unit) } else { None };
            let (len, bytes) = match measured {
                Some((len, bytes)) if self.units.are_free(unit, len) => (len, bytes),
                _ => {
                    // Gone already if below the floor; else it makes no sense.
                    entry.put(Word::empty(turn.number()));
                    continue;
                }
            };
            let piece = Piece { unit, len };
            self.units.take(piece.unit, piece.len);
            self.taken.take(at as u32, 1);
            self.link(at as u32, entry.hash());
            self.step();
            sum.items += 1;
            sum.bytes = sum.bytes.saturating_add(bytes);
        }
        // Another number than before: who looked before all this must not believe that nothing has happened.
        let number = self.books.next();
        self.books.announce(Named { at: FLOOR, new: 0 }, sum, sum);
        self.step();
        self.books.settle(number);
        sum
    }

    /// The turn; if so many changes there never were, that of the last one of which there is a trace.
    fn sane_turn(&self) -> Turn {
        const MOST: u64 = 1 << 62;
        let turn = self.books.turn_now();
        if turn.number() < MOST {
            return turn;
        }
        let orders = self.entries.iter().map(Entry::order).filter(|&order| order < MOST);
        Turn::new(orders.max().unwrap_or(0))
    }
}

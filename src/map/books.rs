//! Which change is going on, and how much there is before and after it.

use super::word::Turn;
use crate::sync::{AtomicU64, Ordering, fence, mutated, order, spin_loop};

/// The words in front of a table. All-zero bytes are those of an empty one.
///
/// ```text
/// turn      which change was begun last. From then on the record of that change counts, and nothing that an earlier change
///           freed is what it was
/// settled   which change was ended last: another number than that of the turn tells that its writer died, and that
///           what is derived must be mended
/// floor     entries that were made by an earlier change than this one are gone: `clear` in one store
/// low       where the search for free units, and for a free entry, begins: hints
/// records   the change with an even number, and that with an odd one
/// ```
///
/// Everything is written by the holder of the lock only.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Books {
    turn: AtomicU64,
    settled: AtomicU64,
    floor: AtomicU64,
    low: [AtomicU64; 2],
    records: [Record; 2],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Books>() == 120);

/// What a change does to the sum of all: once the word `at` is `new`, it has happened.
#[repr(C)]
#[derive(Debug)]
struct Record {
    /// An entry, or [`FLOOR`].
    at: AtomicU64,
    new: AtomicU64,
    /// `before:32 | after:32`.
    items: AtomicU64,
    before: AtomicU64,
    after: AtomicU64,
}

/// What [`Named::at`] is if the change is one of the floor.
pub(crate) const FLOOR: u64 = u64::MAX;

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    pub(crate) items: u32,
    /// Of keys and values together.
    pub(crate) bytes: u64,
}

/// The store by which a change happens, as a record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) at: u64,
    pub(crate) new: u64,
}

/// So often a reader tries before he gives up.
pub(super) const PATIENCE: u32 = if cfg!(loom) { 2 } else { 16 };

impl Record {
    fn new() -> Self {
        let [at, new, items, before, after] = [0; 5].map(AtomicU64::new);
        Record { at, new, items, before, after }
    }
}

impl Books {
    /// Those of an empty table.
    #[cfg_attr(not(loom), allow(dead_code, reason = "for the models: others find them in memory"))]
    pub(crate) fn new() -> Self {
        let [turn, settled, floor, low, other] = [0; 5].map(AtomicU64::new);
        Books { turn, settled, floor, low: [low, other], records: [Record::new(), Record::new()] }
    }

    /// The turn, for who begins to read.
    #[inline]
    pub(crate) fn turn(&self) -> Turn {
        // Acquire: pairs with the Release in `announce`, so that the record is there, and with the same one at the end of
        // mending, so that the chains are.
        Turn::from_bits(self.turn.load(order!(Acquire, "map.turn")))
    }

    /// The turn, for who has read, and has executed an Acquire fence since; and for the holder of the lock.
    #[inline]
    pub(crate) fn turn_now(&self) -> Turn {
        Turn::from_bits(self.turn.load(Ordering::Relaxed))
    }

    /// The number of the next change. Only for the holder of the lock.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.turn_now().number().wrapping_add(1)
    }

    /// Which changes entries must be made by, at the least, to be there.
    #[inline]
    pub(crate) fn floor(&self) -> u64 {
        // Relaxed: it only grows, and stands for itself. Who has seen that an entry is gone because of it has acquired that
        // entry's word, which was emptied after it was raised.
        self.floor.load(Ordering::Relaxed)
    }

    /// From here on all that was there is gone.
    pub(super) fn raise_floor(&self, number: u64) {
        self.floor.store(number, Ordering::Relaxed);
    }

    /// Begins the change number [`next`](Self::next), which happens when the word `named` gets its new value.
    #[inline]
    pub(super) fn announce(&self, named: Named, before: Sum, after: Sum) {
        let number = self.next();
        // The record of the last change stays: it counts until the turn moves.
        let record = &self.records[(number & 1) as usize];
        // Relaxed: they are part of what the turn publishes, and who reads them looks at the turn again.
        record.at.store(named.at, Ordering::Relaxed);
        record.new.store(named.new, Ordering::Relaxed);
        record.items.store(u64::from(before.items) << 32 | u64::from(after.items), Ordering::Relaxed);
        record.before.store(before.bytes, Ordering::Relaxed);
        record.after.store(after.bytes, Ordering::Relaxed);
        self.move_turn(Turn::new(number));
    }

    /// From here on readers know of it: whatever is written after this, nobody reads without seeing that the turn has moved.
    #[inline]
    pub(super) fn move_turn(&self, turn: Turn) {
        // Release: pairs with the Acquire in `turn`.
        self.turn.store(turn.to_bits(), order!(Release, "map.announce"));
        // Release: pairs with the Acquire fences of readers. Who has read a byte, a link or a record that was written after
        // this finds the turn moved, and the word of the entry that had these bytes before changed.
        if !mutated!("map.change_fence") {
            fence(Ordering::Release);
        }
    }

    /// Ends the change: what is derived is as it should be.
    #[inline]
    pub(super) fn settle(&self, number: u64) {
        // Relaxed: for the next holder of the lock.
        self.settled.store(number, Ordering::Relaxed);
    }

    /// Whether the last change was ended. Only for the holder of the lock.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        let turn = self.turn_now();
        let settled = self.settled.load(Ordering::Relaxed);
        turn == Turn::new(settled) || mutated!("map.settled")
    }

    /// Where to look first: for units (0), or an entry (1).
    #[inline]
    pub(super) fn low(&self, which: usize) -> &AtomicU64 {
        &self.low[which]
    }

    /// How much there is, by what the record of the last change says. `value` tells what the word has that the record names.
    ///
    /// # Errors
    /// There was another change during each try.
    #[inline]
    pub(crate) fn sum(&self, value: impl Fn(u64) -> Option<u64>) -> Option<Sum> {
        for _ in 0..PATIENCE {
            let turn = self.turn();
            let (named, [before, after]) = self.record(turn);
            let is_done = before == after || value(named.at) == Some(named.new);
            // Acquire: pairs with the Release fence in `move_turn`. Who has read of a record that is being written anew sees
            // here that the turn has moved.
            if !mutated!("map.sum_fence") {
                fence(Ordering::Acquire);
            }
            // Mending changes nothing of all this.
            if self.turn_now().number() == turn.number() || mutated!("map.sum_recheck") {
                return Some(if is_done { after } else { before });
            }
            spin_loop();
        }
        None
    }

    fn record(&self, turn: Turn) -> (Named, [Sum; 2]) {
        let parity = if mutated!("map.record") { 0 } else { turn.number() & 1 };
        let record = &self.records[parity as usize];
        let items = record.items.load(Ordering::Relaxed);
        let before = Sum { items: (items >> 32) as u32, bytes: record.before.load(Ordering::Relaxed) };
        let after = Sum { items: items as u32, bytes: record.after.load(Ordering::Relaxed) };
        let named = Named { at: record.at.load(Ordering::Relaxed), new: record.new.load(Ordering::Relaxed) };
        (named, [before, after])
    }
}

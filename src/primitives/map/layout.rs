//! How a map lies in memory.

use super::heap::UNIT;
use crate::map::{Bits, Books, Entry, Table, words_for};
use crate::primitives::layout::Words;
use crate::sync::{AtomicU32, AtomicU64};
use core::mem::size_of;
use core::ptr::NonNull;

/// The words in front of a map.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Body {
    /// The lock of those who write.
    pub(crate) words: Words,
    /// How many bytes the keys and values may have; written once, before anybody else can see it.
    pub(crate) max_bytes: AtomicU64,
    pub(crate) books: Books,
    /// The secret of the hash; written once, as above.
    pub(crate) secret: [AtomicU64; 2],
}

const _: () = assert!(size_of::<Body>() == 200);

/// Where everything is in the table.
///
/// ```text
/// 0            the entries
/// heads_at     where the chains begin
/// taken_at     which entries are taken
/// units_at     which units of memory are
/// heap_at      the units
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) items: u32,
    buckets: u32,
    pub(crate) units: u32,
    heads_at: usize,
    taken_at: usize,
    units_at: usize,
    pub(crate) heap_at: usize,
    /// All of it.
    pub(crate) len: usize,
}

/// The most items there can be.
pub(super) const MOST_ITEMS: u64 = 1 << 30;
/// The most bytes their keys and values can have: units are numbered by 32 bits, and there are two for each.
pub(super) const MOST_BYTES: u64 = 1 << 35;

/// An item takes no more than so many bytes beside those of its key and value: the header, what fills up the key, and
/// what fills up the last unit.
const BESIDE: u64 = 8 + 7 + UNIT as u64 - 1;

impl Layout {
    /// So many bytes apart are the entries, which begin with their words.
    pub(crate) const ENTRY: u64 = size_of::<Entry>() as u64;

    /// That of a map of so many items and bytes. `None` if there can be none.
    pub(crate) fn of(max_items: u64, max_bytes: u64) -> Option<Self> {
        if !(1..=MOST_ITEMS).contains(&max_items) || !(1..=MOST_BYTES).contains(&max_bytes) {
            return None;
        }
        let items = max_items as u32;
        let buckets = items.next_power_of_two();
        // What fits in any case; and as much again, so that after all was moved together there is as much in a row as was free.
        // (An item may stay behind a gap that is too small for it: so they lie within twice their own length.)
        let enough = (max_bytes + BESIDE * max_items).div_ceil(UNIT as u64);
        let units = u32::try_from(2 * enough).ok().filter(|&units| units < u32::MAX)?;
        let heads_at = (items as usize * size_of::<Entry>()).next_multiple_of(64);
        let taken_at = (heads_at + buckets as usize * size_of::<AtomicU32>()).next_multiple_of(64);
        let units_at = (taken_at + words_for(items) * 8).next_multiple_of(64);
        let heap_at = (units_at + words_for(units) * 8).next_multiple_of(64);
        let len = heap_at + units as usize * UNIT;
        Some(Layout { items, buckets, units, heads_at, taken_at, units_at, heap_at, len })
    }

    /// The table.
    ///
    /// # Safety
    /// At `table` there are so many bytes as the layout says, at a multiple of 64, and at `body` there is a body: mapped for
    /// `'a`, and accessed by atomics only.
    #[inline(always)]
    pub(crate) unsafe fn table<'a>(self, body: NonNull<Body>, table: NonNull<u8>) -> Table<'a> {
        // SAFETY: the caller's promise, here and below.
        let body = unsafe { body.as_ref() };
        let part = |at: usize| table.as_ptr().wrapping_add(at);
        // SAFETY: as many entries are there, by the layout.
        let entries = unsafe { core::slice::from_raw_parts(part(0).cast::<Entry>(), self.items as usize) };
        // SAFETY: as many heads.
        let heads = unsafe { core::slice::from_raw_parts(part(self.heads_at).cast(), self.buckets as usize) };
        // SAFETY: a bit for each entry.
        let taken = unsafe { core::slice::from_raw_parts(part(self.taken_at).cast(), words_for(self.items)) };
        // SAFETY: a bit for each unit.
        let units = unsafe { core::slice::from_raw_parts(part(self.units_at).cast(), words_for(self.units)) };
        Table {
            books: &body.books,
            entries,
            heads,
            taken: Bits::new(taken, self.items),
            units: Bits::new(units, self.units),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::heap::units_for;
    use super::*;

    #[test]
    fn the_parts_do_not_overlap() {
        for (items, bytes) in
            [(1, 1), (2, 100), (1000, 1 << 20), (65, 3), (1 << 20, 1 << 30), (1, MOST_BYTES)]
        {
            let it = Layout::of(items, bytes).unwrap();
            assert!(it.items as usize * size_of::<Entry>() <= it.heads_at);
            assert!(it.heads_at + it.buckets as usize * 4 <= it.taken_at);
            assert!(it.taken_at + words_for(it.items) * 8 <= it.units_at);
            assert!(it.units_at + words_for(it.units) * 8 <= it.heap_at);
            assert_eq!(it.heap_at + it.units as usize * UNIT, it.len);
            assert!(it.buckets >= it.items && it.buckets.is_power_of_two());
        }
        for (items, bytes) in [(0, 1), (1, 0), (MOST_ITEMS + 1, 1), (1, MOST_BYTES + 1)] {
            assert_eq!(Layout::of(items, bytes), None);
        }
        assert_eq!(Layout::of(u64::MAX, u64::MAX), None);
    }

    #[test]
    fn what_is_promised_fits_twice() {
        for (items, key, value) in
            [(1_u64, 1_u64, 0_u64), (10, 0, 0), (7, 1, 24), (7, 9, 33), (100, 8, 17), (3, 31, 1001)]
        {
            let layout = Layout::of(items, (items * (key + value)).max(1)).unwrap();
            let units = u64::from(units_for(key as usize, value as usize).unwrap()) * items;
            assert!(2 * units <= layout.units.into(), "{items} of {key} + {value}");
        }
    }
}

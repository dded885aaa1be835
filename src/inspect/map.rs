//! What can be seen of maps.

use super::primitives::{Block, Mutex, lock_of};
use super::{Shared, Table, read_exactly};
use crate::error::{Corrupt, Error};
use crate::map::{FLOOR, Sum};
use crate::primitives::layout::{MapBody, MapLayout};
use crate::sync::Ordering;
use std::os::fd::BorrowedFd;

/// The inside of a [`Map`](crate::Map).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Map {
    /// How many items there are.
    pub items: u64,
    /// How many bytes their keys and values have together.
    pub bytes: u64,
    /// How many bytes they can have.
    pub max_bytes: u64,
    /// How many changes there were since it was made.
    pub changes: u64,
    /// Whether a change is going on. If so though nobody has the lock, its writer died in the middle: it has happened or it has
    /// not, and the next one to write puts the books in order.
    pub unsettled: bool,
    /// How the figures contradict each other, if a process wrote them against the rules.
    pub corrupt: Option<Corrupt>,
    /// The lock of those who write; its `value` is empty.
    pub lock: Mutex,
}

// SAFETY: a lock, numbers and records of numbers, all of atomic integers.
unsafe impl Shared for MapBody {}

pub(super) fn look(fd: BorrowedFd<'_>, block: Block, table: &Table<'_>) -> Result<Map, Error> {
    let body: MapBody = block.read(fd)?;
    let (capacity, max_bytes) = (block.capacity(), body.max_bytes.load(Ordering::Relaxed));
    let bad = Error::BadGeometry { field: "capacity", found: capacity, expected: max_bytes };
    let layout = MapLayout::of(capacity, max_bytes).ok_or(bad)?;
    let entry = |at: u64| {
        let mut word = [0; 8];
        let place = (at < layout.items.into()).then(|| block.table_at(at * MapLayout::ENTRY))?;
        read_exactly(fd, &mut word, place).ok()?;
        Some(u64::from_ne_bytes(word))
    };
    let value = |at| if at == FLOOR { Some(body.books.floor()) } else { entry(at) };
    // Of the copy, whose turn stays; the entry may be later than that, so the figure may be that of the moment before.
    let Sum { items, bytes } = body.books.sum(value).unwrap_or_default();
    let turn = body.books.turn_now();
    let corrupt = if u64::from(items) > capacity {
        Some(Corrupt { field: "the number of items", found: items.into(), limit: capacity, place: None })
    } else if bytes > max_bytes {
        Some(Corrupt { field: "the bytes of all items", found: bytes, limit: max_bytes, place: None })
    } else {
        None
    };
    Ok(Map {
        items: items.into(),
        bytes,
        max_bytes,
        changes: turn.number(),
        unsettled: !body.books.is_settled(),
        corrupt,
        lock: lock_of(&body.words, table, Box::default()),
    })
}

//! What takes the lock.

use super::error::{MapError, corrupt};
use super::heap::{Chunk, units_for};
use super::{Item, Map};
use crate::map::{Piece, Sum};

/// An item that was found.
#[derive(Debug, Clone, Copy)]
struct Found {
    entry: u32,
    chunk: Chunk,
}

impl Map {
    /// Gives `key` this value. Returns whether it had one; if so, it keeps its place in the order.
    ///
    /// # Errors
    /// [`MapError::Full`] and [`MapError::NoMemory`] if it does not fit; [`MapError::Timeout`] if another one has the lock;
    /// [`MapError::Corrupt`], and in a forked child [`MapError::Attach`]. Then nothing has changed.
    pub fn insert(&self, key: &[u8], value: &[u8]) -> Result<bool, MapError> {
        let _guard = self.enter()?;
        self.put(key, value, self.seek(key)?)
    }

    /// Gives `key` this value if it has none. Returns whether it had one, which is kept.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_if_absent(&self, key: &[u8], value: &[u8]) -> Result<bool, MapError> {
        // Who finds one need not keep others from writing.
        if self.contains(key)? {
            return Ok(true);
        }
        let _guard = self.enter()?;
        match self.seek(key)? {
            Some(_) => Ok(true),
            None => self.put(key, value, None),
        }
    }

    /// Removes the item with this key, and copies its value in place of what `into` holds, if that is given. Returns whether
    /// there was one.
    ///
    /// # Errors
    /// [`MapError::NoMemoryForCopy`]; else as [`insert`](Self::insert). Then nothing has changed.
    pub fn remove(&self, key: &[u8], into: Option<&mut Vec<u8>>) -> Result<bool, MapError> {
        let _guard = self.enter()?;
        let Some(found) = self.seek(key)? else { return Ok(false) };
        if let Some(into) = into {
            self.heap().copy_value(found.chunk, into)?;
        }
        self.take_out(found)?;
        Ok(true)
    }

    /// Gives `key` the value that `change` makes of its old one; nothing is no value, before and after. Returns whether it has
    /// one now. Nobody else writes meanwhile. If `change` panics, or the process dies in it, the old one stays.
    ///
    /// `change` may use the map itself.
    ///
    /// # Errors
    /// [`MapError::NoMemoryForCopy`]; else as [`insert`](Self::insert). Then nothing has changed.
    pub fn update(
        &self,
        key: &[u8],
        change: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<bool, MapError> {
        let _guard = self.enter()?;
        let mut old = Vec::new();
        let there = self.get(key, &mut old)?;
        let new = change(there.then_some(&old[..]));
        // Not as it was found before: `change` may have changed that.
        match (self.seek(key)?, new) {
            (found, Some(value)) => {
                self.put(key, &value, found)?;
                Ok(true)
            }
            (Some(found), None) => {
                self.take_out(found)?;
                Ok(false)
            }
            (None, None) => Ok(false),
        }
    }

    /// Removes the item that was inserted last, and returns it.
    ///
    /// Takes longer the more items there are, and keeps others from writing so long: no list leads from an item to the one
    /// before it, so that inserting and removing by key do not cost more. Where items go in and out in the order of time, a
    /// [`Queue`](crate::Queue) is the thing.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn pop_last(&self) -> Result<Option<Item>, MapError> {
        let _guard = self.enter()?;
        let heap = self.heap();
        let Some((entry, unit)) = self.table().last() else { return Ok(None) };
        let Some(chunk) = heap.chunk(unit) else { return Err(self.broken()) };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        heap.copy_key(chunk, &mut key)?;
        heap.copy_value(chunk, &mut value)?;
        self.take_out(Found { entry, chunk })?;
        Ok(Some((key, value)))
    }

    /// Removes all items, at one moment.
    ///
    /// # Errors
    /// [`MapError::Timeout`], [`MapError::Corrupt`], and in a forked child [`MapError::Attach`].
    pub fn clear(&self) -> Result<(), MapError> {
        let _guard = self.enter()?;
        let sum = self.total()?;
        self.table().clear(sum);
        Ok(())
    }

    // From here on: only for who has the lock.

    fn seek(&self, key: &[u8]) -> Result<Option<Found>, MapError> {
        match self.find(key, |entry, chunk| Found { entry, chunk }) {
            Err(MapError::Corrupt(_)) => {
                // What makes no sense is thrown away.
                self.mend();
                self.find(key, |entry, chunk| Found { entry, chunk })
            }
            done => done,
        }
    }

    /// How much there is; counted anew if what is written there cannot be.
    fn total(&self) -> Result<Sum, MapError> {
        let sane = |sum: &Sum| sum.items <= self.max_items && sum.bytes <= self.max_bytes;
        let sum = || self.table().sum().ok().filter(sane);
        sum()
            .or_else(|| {
                self.mend();
                sum()
            })
            .ok_or_else(|| corrupt("the bytes of all items", u64::MAX, self.max_bytes))
    }

    /// What was found is as it was, as long as only honest processes write: only then this is called.
    #[cold]
    fn broken(&self) -> MapError {
        self.mend();
        corrupt("what is taken", 0, 0)
    }

    fn put(&self, key: &[u8], value: &[u8], found: Option<Found>) -> Result<bool, MapError> {
        let before = self.total()?;
        let needed = (key.len() as u64).saturating_add(value.len() as u64);
        let old = found.map_or(0, |found| found.chunk.bytes());
        let others = before.bytes.saturating_sub(old);
        let free = self.max_bytes.saturating_sub(others);
        let no_memory = || MapError::NoMemory { needed, free };
        if needed > free {
            return Err(no_memory());
        }
        let units = units_for(key.len(), value.len()).ok_or_else(no_memory)?;
        if found.is_none() && before.items >= self.max_items {
            return Err(MapError::Full { items: before.items as usize });
        }
        let table = self.table();
        let bytes = others + needed;
        let (new, found) = match (table.find_units(units), found) {
            (Some(piece), found) => (piece, found),
            (None, None) => (self.make_room(units)?.ok_or_else(no_memory)?, None),
            (None, Some(_)) => {
                let piece = self.make_room(units)?.ok_or_else(no_memory)?;
                // That may have moved the old one.
                (piece, Some(self.seek(key)?.ok_or_else(|| self.broken())?))
            }
        };
        let fill = || self.heap().fill(new, key, value);
        match found {
            Some(Found { entry, chunk }) => {
                let after = Sum { bytes, ..before };
                table.replace(entry, chunk.piece(), new, [before, after], fill);
            }
            None => {
                let Some(entry) = table.find_entry() else { return Err(self.broken()) };
                let after = Sum { items: before.items + 1, bytes };
                table.insert(entry, self.hash(key), new, [before, after], fill);
            }
        }
        Ok(found.is_some())
    }

    fn take_out(&self, Found { entry, chunk }: Found) -> Result<(), MapError> {
        let before = self.total()?;
        let after =
            Sum { items: before.items.saturating_sub(1), bytes: before.bytes.saturating_sub(chunk.bytes()) };
        self.table().remove(entry, chunk.piece(), [before, after]);
        Ok(())
    }

    /// Moves chunks down into gaps, until there are so many free units in a row. Each move is a change of its own that changes
    /// nothing: who dies here has moved some.
    #[cold]
    #[inline(never)]
    fn make_room(&self, units: u32) -> Result<Option<Piece>, MapError> {
        let (table, heap) = (self.table(), self.heap());
        let mut chunks = Vec::<(u32, u32)>::new();
        let mut no_memory = false;
        let note = |entry, _, unit| {
            no_memory |= chunks.try_reserve(1).is_err();
            if !no_memory {
                chunks.push((unit, entry));
            }
            !no_memory
        };
        table.collect(note).map_err(|why| self.unread(why))?;
        if no_memory {
            return Err(MapError::NoMemoryForCopy { needed: 8 * self.max_items as usize });
        }
        chunks.sort_unstable();
        for (unit, entry) in chunks {
            let Some(from) = heap.chunk(unit).map(Chunk::piece) else { return Err(self.broken()) };
            // Below it, and apart from it even if what is said to be free is not.
            let below = |to: &Piece| u64::from(to.unit) + u64::from(to.len) <= from.unit.into();
            let Some(to) = table.find_units(from.len).filter(below) else { continue };
            let sum = self.total()?;
            table.replace(entry, from, to, [sum, sum], || heap.relocate(from, to));
            if let Some(piece) = table.find_units(units) {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

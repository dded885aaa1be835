//! What never waits for anybody.

use super::error::{MapError, corrupt};
use super::heap::Chunk;
use super::{Item, Map};
use crate::map::{Look, Sum, Unread};
use crate::wait::Deadline;
use core::time::Duration;

/// So often a reader of all tries before he asks for the lock.
const TRIES: u32 = 4;
/// So long he waits for it before he tries again: its holder may have been stopped, and then nothing changes.
const BETWEEN: Duration = Duration::from_millis(1);

impl Map {
    /// Copies the value of `key` in place of what `into` holds. Returns whether there is one; else `into` is empty then.
    ///
    /// # Errors
    /// [`MapError::NoMemoryForCopy`]; [`MapError::Corrupt`]; if the value changes all the time, what
    /// [`insert`](Self::insert) returns.
    #[inline]
    pub fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<bool, MapError> {
        let heap = self.heap();
        match self.find(key, |_, chunk| heap.copy_value(chunk, into))? {
            Some(copied) => copied.map(|()| true),
            None => {
                into.clear();
                Ok(false)
            }
        }
    }

    /// Whether there is an item with this key.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool, MapError> {
        self.find(key, |_, _| ()).map(|found| found.is_some())
    }

    /// How many items there are.
    ///
    /// ```
    /// let map = ringway::Map::anonymous(10, 1000)?;
    /// map.insert(b"a", b"1")?;
    /// assert_eq!(map.len()?, 1); // others may change that at any time
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn len(&self) -> Result<usize, MapError> {
        self.sum().map(|sum| sum.items as usize)
    }

    /// Whether there is no item.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool, MapError> {
        self.len().map(|len| len == 0)
    }

    /// How many bytes the keys and values have together.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn used_bytes(&self) -> Result<u64, MapError> {
        self.sum().map(|sum| sum.bytes)
    }

    fn sum(&self) -> Result<Sum, MapError> {
        self.keep()?;
        let sum = self.insist(|| self.table().sum())?;
        if sum.items > self.max_items {
            return Err(corrupt("the number of items", sum.items.into(), self.max_items.into()));
        }
        if sum.bytes > self.max_bytes {
            return Err(corrupt("the bytes of all items", sum.bytes, self.max_bytes));
        }
        Ok(sum)
    }

    /// All keys of one moment, in the order in which they were inserted. A value that is replaced keeps its place.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, MapError> {
        let heap = self.heap();
        self.collect(|chunk| {
            let mut key = Vec::new();
            heap.copy_key(chunk, &mut key).map(|()| key)
        })
    }

    /// All keys and values of one moment, in the order in which the keys were inserted. A value that is replaced keeps its
    /// place.
    ///
    /// # Errors
    /// [`MapError::NoMemoryForCopy`]; [`MapError::Corrupt`]; if there are changes all the time, what
    /// [`insert`](Self::insert) returns.
    pub fn snapshot(&self) -> Result<Vec<Item>, MapError> {
        let heap = self.heap();
        self.collect(|chunk| {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            heap.copy_key(chunk, &mut key)?;
            heap.copy_value(chunk, &mut value)?;
            Ok((key, value))
        })
    }

    /// What `copy` makes of all items of one moment, in their order.
    fn collect<R>(&self, mut copy: impl FnMut(Chunk) -> Result<R, MapError>) -> Result<Vec<R>, MapError> {
        self.keep()?;
        let (table, heap) = (self.table(), self.heap());
        let mut items = self.insist(|| {
            let (mut items, mut bytes, mut failed) = (Vec::<(u64, R)>::new(), 0_u64, None);
            let mut take = |order, unit| {
                let chunk = heap.chunk(unit).ok_or_else(|| nonsense(unit, self.heap_units()))?;
                bytes += chunk.bytes();
                if bytes > self.max_bytes {
                    return Err(corrupt("the bytes of all items", bytes, self.max_bytes));
                }
                let copied = copy(chunk)?;
                let no_memory = |_| MapError::NoMemoryForCopy { needed: size_of::<(u64, R)>() };
                items.try_reserve(1).map_err(no_memory)?;
                items.push((order, copied));
                Ok(())
            };
            let floor = table.collect(|_, order, unit| match take(order, unit) {
                Ok(()) => true,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            })?;
            items.retain(|&(order, _)| order >= floor);
            Ok(match failed {
                Some(error) => Err(error),
                None => Ok(items),
            })
        })??;
        items.sort_unstable_by_key(|&(order, _)| order);
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }

    /// What `read` makes of the chunk of `key`, given its entry too; nothing if there is none. It may be called several times:
    /// the last one counts.
    #[inline]
    pub(super) fn find<R>(
        &self,
        key: &[u8],
        mut read: impl FnMut(u32, Chunk) -> R,
    ) -> Result<Option<R>, MapError> {
        self.keep()?;
        let (table, heap, hash) = (self.table(), self.heap(), self.hash(key));
        let mut look = |entry, unit| match heap.chunk(unit) {
            None => Look::Nonsense,
            Some(chunk) if heap.has_key(chunk, key) => Look::This(read(entry, chunk)),
            Some(_) => Look::Other,
        };
        match table.find(hash, &mut look) {
            Ok(found) => Ok(found),
            Err(Unread::Nonsense(unit)) => Err(nonsense(unit, self.heap_units())),
            Err(Unread::Overtaken) => self.insist_slowly(|| table.find(hash, &mut look)),
        }
    }

    /// A forked child takes part in an arena before it relies on what lies there.
    #[inline]
    fn keep(&self) -> Result<(), MapError> {
        self.site().keep().map_err(MapError::Attach)
    }

    fn heap_units(&self) -> u32 {
        self.parts.layout.units
    }

    /// Reads until nobody comes between.
    fn insist<R>(&self, mut read: impl FnMut() -> Result<R, Unread>) -> Result<R, MapError> {
        for _ in 0..TRIES {
            match read() {
                Err(Unread::Overtaken) => {}
                done => return done.map_err(|why| self.unread(why)),
            }
        }
        self.insist_slowly(read)
    }

    /// The same with the lock, or while its holder does nothing.
    #[cold]
    #[inline(never)]
    fn insist_slowly<R>(&self, mut read: impl FnMut() -> Result<R, Unread>) -> Result<R, MapError> {
        let deadline = Deadline::after(self.patience);
        loop {
            match self.lock_timeout(BETWEEN.min(self.patience)) {
                Ok(guard) => {
                    let done = read().map_err(|why| self.unread(why));
                    drop(guard);
                    return done;
                }
                Err(MapError::Timeout) => {}
                Err(other) => return Err(other),
            }
            match read() {
                Err(Unread::Overtaken) if !deadline.has_passed() => {}
                Err(Unread::Overtaken) => return Err(MapError::Timeout),
                done => return done.map_err(|why| self.unread(why)),
            }
        }
    }

    #[cold]
    pub(super) fn unread(&self, why: Unread) -> MapError {
        match why {
            Unread::Nonsense(unit) => nonsense(unit, self.heap_units()),
            // Not while we have the lock, among honest processes.
            Unread::Overtaken => corrupt("the turn", self.table().books.turn_now().number(), 0),
        }
    }
}

#[cold]
fn nonsense(unit: u32, limit: u32) -> MapError {
    corrupt("a chunk", unit.into(), limit.into())
}

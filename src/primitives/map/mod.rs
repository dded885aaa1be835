//! A dictionary: [`Map`].
//!
//! | file | what it holds |
//! |---|---|
//! | `layout` | how it lies in memory |
//! | `heap` | chunks: a key and a value each |
//! | `error` | why an operation did nothing |
//! | `reads` | what never waits |
//! | `writes` | what takes the lock |
//! | `section` | the lock, for several operations |
//! | `handle` | how one comes about |
//!
//! The protocol is in `map/`, where the models see it. Here it is given memory, the lock, and types that cannot be misused.

mod error;
mod handle;
mod heap;
mod layout;
mod reads;
mod section;
mod writes;

pub use error::MapError;
pub(crate) use layout::{Body, Layout};
pub use section::MapGuard;

use super::holding::Holding;
use super::site::Site;
use crate::map::{self, Table};
use crate::wait::Wait;
use core::fmt;
use core::ptr::NonNull;
use core::time::Duration;
use heap::Heap;
use std::sync::Arc;

/// A dictionary in shared memory: from keys to values, both any bytes.
///
/// ```
/// use ringway::Map;
///
/// # let name = format!("doc-map-{}", std::process::id());
/// let map = Map::open_or_create(&name, 1000, 1 << 20)?; // in each process
/// map.insert(b"colour", b"blue")?;
/// let mut value = Vec::new();
/// assert!(map.get(b"colour", &mut value)?);
/// assert_eq!(value, b"blue");
/// map.update(b"visits", |old| {
///     let old = old.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
///     Some((old + 1).to_le_bytes().into())
/// })?;
/// assert_eq!(map.keys()?, [b"colour".to_vec(), b"visits".to_vec()]); // in the order in which they came
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Reading
/// [`get`](Self::get), [`contains`](Self::contains), [`len`](Self::len), [`keys`](Self::keys) and
/// [`snapshot`](Self::snapshot) take no lock and wait for nobody: not for a writer at work, nor for one that was stopped or
/// killed in the middle. A value is copied out as one writer wrote it; a snapshot has all items of one moment. (Only a reader
/// who is overtaken again and again, because the same value changes faster than it can be copied, or any while a snapshot is
/// taken, asks for the lock in the end, so that he ends.)
///
/// # Writing
/// One process writes at a time, under a lock that survives its owner. It waits for others who write, at most ten seconds
/// unless [`Options`](crate::Options::<Map>::write_timeout) say otherwise, and for whoever holds the lock for several operations
/// by [`lock`](Self::lock).
///
/// # When a process dies
/// Whatever it did has happened as a whole or not at all, for all at once. Memory that it had begun to use is free again for the
/// next one who writes. A lock that it held for several operations goes to the next one, who
/// [is told](MapGuard::was_inherited).
///
/// # How much fits
/// `max_items` items, whose keys and values have together up to `max_bytes` bytes: that much fits in any case, however the memory
/// was used before. The segment takes more than twice as much, because a value that is replaced is there until the new one is.
/// If there is hardly any room left a value can be refused though it would fit once the old one is gone.
///
/// Keys are found by a keyed hash with a secret of the map: nobody can choose keys that collide.
pub struct Map {
    holding: Arc<Holding>,
    parts: Parts,
    secret: map::Key,
    /// What was asked for, and cannot be exceeded.
    max_items: u32,
    max_bytes: u64,
    /// How long to wait for the lock.
    patience: Duration,
}

/// A key and its value.
type Item = (Vec<u8>, Vec<u8>);

/// Where everything lies in this process.
#[derive(Debug, Clone, Copy)]
struct Parts {
    body: NonNull<Body>,
    table: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the addresses are of memory that `holding` keeps mapped, and that is accessed by atomics only.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    pub(in crate::primitives) fn site(&self) -> &Site {
        self.holding.site()
    }

    #[inline(always)]
    fn table(&self) -> Table<'_> {
        // SAFETY: as laid out, in the block of `holding`, which is mapped as long as this is borrowed.
        unsafe { self.parts.layout.table(self.parts.body, self.parts.table) }
    }

    #[inline(always)]
    fn heap(&self) -> Heap {
        let at = self.parts.layout.heap_at;
        // SAFETY: the table has the heap there, as the layout says.
        let base = unsafe { self.parts.table.add(at) };
        Heap::new(base, self.parts.layout.units)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u32 {
        map::hash(self.secret, key)
    }

    /// How many items there can be.
    pub fn max_items(&self) -> usize {
        self.max_items as usize
    }

    /// How many bytes the keys and the values can have together.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Another handle to the same map with another way of waiting.
    #[must_use]
    pub fn with_wait(&self, wait: Wait) -> Self {
        Map { holding: self.holding.with_wait(wait), ..self.clone() }
    }
}

impl Clone for Map {
    fn clone(&self) -> Self {
        Map { holding: Arc::clone(&self.holding), ..*self }
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("name", &self.site().segment().name()).finish_non_exhaustive()
    }
}

//! The lock of a map: for one operation, or for several.

use super::super::error::LockError;
use super::super::reentry::Reentry;
use super::Map;
use super::error::{MapError, corrupt};
use crate::wait::Deadline;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;

/// A [`Map`] whose lock is held: nobody else changes it meanwhile. It is given back with the last guard of its thread, in whatever
/// order they go.
///
/// All methods of the map can be called by it. Each is a change of its own: who reads sees the steps between, and if the
/// process dies between two steps, so it stays. In a child forked meanwhile it does nothing.
///
/// ```
/// let map = ringway::Map::anonymous(10, 1000)?;
/// map.insert(b"here", b"something")?;
/// let guard = map.lock()?;
/// let mut value = Vec::new();
/// if guard.remove(b"here", Some(&mut value))? {
///     guard.insert(b"there", &value)?;
/// }
/// # drop(guard);
/// # assert_eq!(map.keys()?, [b"there"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct MapGuard<'a> {
    map: &'a Map,
    entry: Reentry<'a>,
    inherited: bool,
}

impl MapGuard<'_> {
    /// Whether whoever had the lock last died with it, or left it by a panic. Every change is whole then too, but that one may
    /// have wanted to go on. Only the next one to take the lock is told, and every single operation that writes takes it.
    pub fn was_inherited(&self) -> bool {
        self.inherited
    }
}

impl Deref for MapGuard<'_> {
    type Target = Map;

    fn deref(&self) -> &Map {
        self.map
    }
}

impl fmt::Debug for MapGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapGuard").field("depth", &self.entry.depth()).finish_non_exhaustive()
    }
}

impl Map {
    /// Takes the lock of the map, waiting for it as long as it takes. If this thread has it already, it has it once more.
    ///
    /// # Errors
    /// [`MapError::Corrupt`], and in a forked child [`MapError::Attach`].
    pub fn lock(&self) -> Result<MapGuard<'_>, MapError> {
        self.lock_when(Some(Deadline::NEVER))
    }

    /// Takes the lock if nobody else has it now.
    ///
    /// # Errors
    /// [`MapError::WouldBlock`]; else as [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<MapGuard<'_>, MapError> {
        self.lock_when(None)
    }

    /// Takes the lock, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// [`MapError::Timeout`]; else as [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MapGuard<'_>, MapError> {
        self.lock_when(Some(Deadline::after(timeout)))
    }

    /// Takes the lock, waiting until `deadline` for it.
    ///
    /// # Errors
    /// [`MapError::Timeout`]; else as [`lock`](Self::lock).
    pub fn lock_deadline(&self, deadline: Deadline) -> Result<MapGuard<'_>, MapError> {
        self.lock_when(Some(deadline))
    }

    /// Takes the lock for one operation.
    #[inline]
    pub(super) fn enter(&self) -> Result<MapGuard<'_>, MapError> {
        match self.lock_when(None) {
            // Only now it is worth looking at the clock.
            Err(MapError::WouldBlock) => self.lock_timeout(self.patience),
            done => done,
        }
    }

    /// Whoever gets the lock finds the books in order, or puts them in order.
    #[inline]
    fn lock_when(&self, deadline: Option<Deadline>) -> Result<MapGuard<'_>, MapError> {
        let (entry, inherited) = match Reentry::lock(&self.holding, deadline) {
            Ok(entry) => (entry, false),
            Err(LockError::OwnerDied(entry)) => (entry, true),
            Err(error) => return Err(refused(error)),
        };
        if !self.table().books.is_settled() {
            self.mend();
        }
        if inherited {
            entry.recovered();
        }
        Ok(MapGuard { map: self, entry, inherited })
    }

    /// Rebuilds what can be derived; see [`Table::mend`](crate::map::Table::mend). Only for who holds the lock.
    #[cold]
    pub(in crate::primitives) fn mend(&self) {
        let (heap, mut left) = (self.heap(), self.max_bytes);
        self.table().mend(|unit| {
            let chunk = heap.chunk(unit)?;
            left = left.checked_sub(chunk.bytes())?;
            Some((chunk.piece().len, chunk.bytes()))
        });
    }
}

#[cold]
fn refused(error: LockError<Reentry<'_>>) -> MapError {
    match error {
        LockError::Timeout => MapError::Timeout,
        LockError::WouldBlock => MapError::WouldBlock,
        LockError::Corrupt(corrupt) => MapError::Corrupt(corrupt),
        LockError::Attach(error) => MapError::Attach(error),
        // Nobody honest gives it up, and who has it may have it again.
        LockError::NotRecoverable | LockError::WouldDeadlock | LockError::OwnerDied(_) => {
            corrupt("the lock's word", 0, 0)
        }
    }
}

//! Many values of one type.

use super::super::handle::handle;
use super::super::holding::{self, Holding};
use super::super::reentry::Reentry;
use super::super::site::{Block, Needs, Primitive, Site};
use super::PATIENCE;
use super::error::CellError;
use super::lockable::lockable;
use super::small::{self, is_word};
use super::twin::{Body, Twin};
use crate::LockError;
use crate::error::{Error, Kind};
use crate::lock::Version;
use crate::options::{Options, Settings};
use crate::wait::{Barrier, Deadline, Wait};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{align_of, size_of};
use core::ops::{Bound, Deref, Range, RangeBounds};
use core::time::Duration;
use std::sync::Arc;
use std::vec;

/// A number of values of one type in shared memory, which any process may read and replace at any time.
///
/// ```
/// use ringway::Array;
///
/// # let name = format!("doc-array-{}", std::process::id());
/// let counts = Array::<u64>::open_or_create(&name, 4)?; // in each process: four zeros
/// counts.fetch_add(2, 5)?;
/// counts.write_slice(0, &[7, 8])?; // both at once
/// assert_eq!(counts.snapshot()?, [7, 8, 5, 0]);
/// counts.update(.., |counts| counts.sort())?;
/// assert_eq!(counts.get(3)?, 8);
/// assert!(counts.get(4).is_err());
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # As a whole
/// [`set`](Self::set), [`write_slice`](Self::write_slice) and [`update`](Self::update), with and without the lock, are *writes*:
/// each happens as a whole, at one moment. [`get`](Self::get), [`read_slice`](Self::read_slice) and
/// [`snapshot`](Self::snapshot) have the elements as they were at one moment between two writes. Readers never wait
/// for a writer, not even for one that was stopped or killed. Writers wait for each other, for the time of two
/// copies; for one that was stopped just then, ten seconds, unless [`Options`](Options::write_timeout) say otherwise. For
/// that the elements lie there twice, and the array takes twice the memory.
///
/// Numbers have *lone operations* as well ([`load`](Self::load), [`store`](Self::store), [`fetch_add`](Self::fetch_add) …), which
/// change one element in one step, are an order of magnitude faster, and take part in none of this: a snapshot has each
/// element as it was at some moment while the snapshot was taken, but of two elements changed one after the other perhaps
/// only the second. A lone operation on an element while a write to that element is going on may be overwritten by it.
///
/// # The lock
/// There is a lock for whoever wants others to keep out for more than one operation: [`lock`](Self::lock). It keeps out
/// those who take it too, and nobody else: the other methods do not ask for it. Its thread may take it several times.
///
/// # When a process dies
/// Its last write is there as a whole or not at all, for all at once. A lock it held goes to the next one, as
/// [`LockError::OwnerDied`]. Every write is whole then too, but the dead one may have wanted to go on: see
/// [`ArrayInherited`].
pub struct Array<T: Pod> {
    holding: Arc<Holding>,
    pub(super) twin: Arc<Twin>,
    len: usize,
    value: PhantomData<fn(T) -> T>,
}

handle!(
    [T: Pod], Array<T>, "array", (len: usize), |options| options.capacity(len),
    " It has `len` elements, all of them zeros if it is new; one that exists with another number is refused."
);
lockable!(Array, ArrayGuard, ArrayInherited, "array");

#[allow(clippy::len_without_is_empty, reason = "it never is")]
impl<T: Pod> Array<T> {
    /// How many elements there are; at least one.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where the elements from `start` to before `end` are, in bytes.
    #[inline(always)]
    pub(super) fn bytes(&self, start: usize, count: usize) -> Result<Range<usize>, CellError> {
        match start.checked_add(count) {
            // No product overflows: the whole length in bytes is an `isize`.
            Some(end) if end <= self.len => Ok(start * size_of::<T>()..end * size_of::<T>()),
            _ => Err(CellError::OutOfRange { index: start.max(self.len), len: self.len }),
        }
    }

    /// The elements of any kind of range.
    fn elements(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>, CellError> {
        let out = |index| CellError::OutOfRange { index, len: self.len };
        let start = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at.checked_add(1).ok_or(out(at))?,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&at) => at.checked_add(1).ok_or(out(at))?,
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.len,
        };
        if start > self.len || end > self.len {
            return Err(out(start.max(self.len)));
        }
        Ok(start..end.max(start))
    }

    /// Element `index`.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`]; [`CellError::Corrupt`]; and where hundreds of others write at the same time and one of them
    /// is stopped, what [`set`](Self::set) returns.
    #[inline]
    pub fn get(&self, index: usize) -> Result<T, CellError> {
        let bytes = self.bytes(index, 1)?;
        if is_word::<T>() && !self.twin.is_open() {
            // SAFETY: inside the elements, as was just checked.
            let place = unsafe { self.twin.main().add(bytes.start) };
            // SAFETY: an element that is a word, at a multiple of its size, mapped as long as we live.
            return Ok(unsafe { small::read(place) });
        }
        let mut element = T::zeroed();
        self.read_slice(index, core::slice::from_mut(&mut element))?;
        Ok(element)
    }

    /// Replaces element `index`.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`]; [`CellError::Timeout`] if another writer was stopped in the middle;
    /// [`CellError::Corrupt`], and in a forked child [`CellError::Attach`]. Then nothing was written.
    #[inline]
    pub fn set(&self, index: usize, value: T) -> Result<(), CellError> {
        self.write_slice(index, core::slice::from_ref(&value))
    }

    /// Fills `into` with the elements from `start` on, all of one moment.
    ///
    /// # Errors
    /// As [`get`](Self::get). Then what `into` holds is worth nothing.
    #[inline]
    pub fn read_slice(&self, start: usize, into: &mut [T]) -> Result<(), CellError> {
        let bytes = self.bytes(start, into.len())?;
        // SAFETY: so many bytes are there, as was just checked; the slice is the caller's, and any bits are a valid Pod.
        unsafe { self.twin.read(bytes.start, bytes.len(), into.as_mut_ptr().cast()) }?;
        Ok(())
    }

    /// Replaces the elements from `start` on, all at one moment.
    ///
    /// # Errors
    /// As [`set`](Self::set). Then nothing was written.
    #[inline]
    pub fn write_slice(&self, start: usize, from: &[T]) -> Result<(), CellError> {
        let bytes = self.bytes(start, from.len())?;
        self.twin.write(bytes.start, bytemuck::cast_slice(from), None)
    }

    /// All elements, of one moment.
    ///
    /// # Errors
    /// [`CellError::NoMemory`]; else as [`get`](Self::get).
    pub fn snapshot(&self) -> Result<Vec<T>, CellError> {
        self.copy_of(0..self.len).map(|(elements, _)| elements)
    }

    /// A private copy of some elements, all of one moment.
    fn copy_of(&self, range: Range<usize>) -> Result<(Vec<T>, Version), CellError> {
        let bytes = self.bytes(range.start, range.len())?;
        let mut copy = Vec::<T>::new();
        copy.try_reserve_exact(range.len()).map_err(|_| CellError::NoMemory { needed: bytes.len() })?;
        // SAFETY: so many bytes are there, as was just checked, and room for them was just reserved.
        let version = unsafe { self.twin.read(bytes.start, bytes.len(), copy.as_mut_ptr().cast()) }?;
        // SAFETY: so many elements were just copied, and any bits are a valid Pod.
        unsafe { copy.set_len(range.len()) };
        Ok((copy, version))
    }

    /// Replaces some elements by what `change` makes of them, all at one moment. `change` is given a private copy. If others
    /// write meanwhile, to any element, it is called again with what is there then: no update is lost.
    ///
    /// # Errors
    /// [`CellError::Overtaken`] if that happened a hundred thousand times in a row; [`CellError::NoMemory`]; else as
    /// [`set`](Self::set).
    pub fn update(
        &self,
        range: impl RangeBounds<usize>,
        mut change: impl FnMut(&mut [T]),
    ) -> Result<(), CellError> {
        let range = self.elements(range)?;
        for _ in 0..PATIENCE {
            let (mut copy, version) = self.copy_of(range.clone())?;
            change(&mut copy);
            let at = range.start * size_of::<T>();
            match self.twin.write(at, bytemuck::cast_slice(&copy), Some(version)) {
                Err(CellError::Overtaken) => {}
                done => return done,
            }
        }
        Err(CellError::Overtaken)
    }

    /// Another handle to the same array with another way of waiting.
    #[must_use]
    pub fn with_wait(&self, wait: Wait) -> Self {
        Array { holding: self.holding.with_wait(wait), twin: self.twin.with_wait(wait), ..*self }
    }

    /// Where the elements are in this process, for foreign code. Valid as long as a handle is.
    ///
    /// Others access them by atomic operations at any time, and so must whoever does by this pointer; such accesses are *lone
    /// operations*, see [above](Self#as-a-whole).
    pub fn as_ptr(&self) -> *mut T {
        self.twin.main().as_ptr().cast()
    }
}

impl<T: Pod> Clone for Array<T> {
    fn clone(&self) -> Self {
        Array { holding: Arc::clone(&self.holding), twin: Arc::clone(&self.twin), ..*self }
    }
}

/// An [`Array`] whose lock is held; it is given back with the last guard of its thread, in whatever order they go.
///
/// Each call is a write or a read of its own: who does not ask for the lock sees the steps between. Dropped by a panic, the
/// guard leaves the lock as a dead owner does. In a child forked meanwhile it does nothing.
///
/// ```
/// let array = ringway::Array::<[u32; 2]>::anonymous(3)?;
/// let guard = array.lock()?;
/// for (index, element) in guard.iter()?.enumerate() {
///     guard.set(index, [element[0] + 1, index as u32])?;
/// }
/// guard.update(1.., |rest| rest.reverse())?;
/// assert_eq!(guard.snapshot()?, [[1, 0], [1, 2], [1, 1]]);
/// # drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct ArrayGuard<'a, T: Pod> {
    cell: &'a Array<T>,
    entry: Reentry<'a>,
}

impl<T: Pod> ArrayGuard<'_, T> {
    /// Element `index`.
    ///
    /// # Errors
    /// As [`Array::get`].
    pub fn get(&self, index: usize) -> Result<T, CellError> {
        self.cell.get(index)
    }

    /// Replaces element `index`.
    ///
    /// # Errors
    /// [`CellError::NotHeld`] in a forked child; else as [`Array::set`].
    pub fn set(&self, index: usize, value: T) -> Result<(), CellError> {
        self.check_ours()?;
        self.cell.set(index, value)
    }

    /// Fills `into` with the elements from `start` on.
    ///
    /// # Errors
    /// As [`Array::read_slice`].
    pub fn read_slice(&self, start: usize, into: &mut [T]) -> Result<(), CellError> {
        self.cell.read_slice(start, into)
    }

    /// Replaces the elements from `start` on, all at one moment.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn write_slice(&self, start: usize, from: &[T]) -> Result<(), CellError> {
        self.check_ours()?;
        self.cell.write_slice(start, from)
    }

    /// All elements.
    ///
    /// # Errors
    /// As [`Array::snapshot`].
    pub fn snapshot(&self) -> Result<Vec<T>, CellError> {
        self.cell.snapshot()
    }

    /// The elements one by one, as they are now.
    ///
    /// # Errors
    /// As [`Array::snapshot`].
    pub fn iter(&self) -> Result<vec::IntoIter<T>, CellError> {
        self.snapshot().map(Vec::into_iter)
    }

    /// Replaces some elements by what `change` makes of them, all at one moment. `change` is given a private copy: if the
    /// process dies meanwhile, nothing has changed. What others write meanwhile, without the lock, is overwritten.
    ///
    /// # Errors
    /// As [`set`](Self::set); [`CellError::NoMemory`].
    pub fn update<R>(
        &self,
        range: impl RangeBounds<usize>,
        change: impl FnOnce(&mut [T]) -> R,
    ) -> Result<R, CellError> {
        self.check_ours()?;
        let range = self.cell.elements(range)?;
        let (mut copy, _) = self.cell.copy_of(range.clone())?;
        let result = change(&mut copy);
        self.write_slice(range.start, &copy)?;
        Ok(result)
    }
}

/// An [`Array`] whose lock is held, and whose last owner died with it.
///
/// Every write is whole, but the dead one may have wanted to go on. [`recover`](Self::recover) makes an ordinary guard of it. If
/// the thread gives the lock back without having done so by any of its guards, nobody gets the lock again.
#[must_use = "dropping it gives the lock up for lost"]
pub struct ArrayInherited<'a, T: Pod> {
    guard: ArrayGuard<'a, T>,
}

impl<'a, T: Pod> ArrayInherited<'a, T> {
    /// Repairs what there is to repair, and goes on as if nothing had happened. If this process dies before that is done, the
    /// next one to come has to do it.
    ///
    /// # Errors
    /// Those of `repair`; the lock is given up for lost then.
    pub fn recover<E>(
        self,
        repair: impl FnOnce(&ArrayGuard<'a, T>) -> Result<(), E>,
    ) -> Result<ArrayGuard<'a, T>, E> {
        let guard = self.guard;
        repair(&guard)?;
        guard.entry.recovered();
        Ok(guard)
    }
}

impl<'a, T: Pod> Deref for ArrayInherited<'a, T> {
    type Target = ArrayGuard<'a, T>;

    fn deref(&self) -> &ArrayGuard<'a, T> {
        &self.guard
    }
}

/// How many bytes the elements take once; the second time they begin at the next multiple of 64.
fn length<T>(capacity: u64) -> Option<u64> {
    let most = (isize::MAX as u64 - 64) / 2;
    capacity.checked_mul(size_of::<T>() as u64).filter(|&len| len > 0 && len <= most)
}

fn table_len(length: u64) -> u64 {
    length.next_multiple_of(64) + length
}

impl<T: Pod> Primitive for Array<T> {
    const KIND: Kind = Kind::Array;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
        if align > 64 || size == 0 {
            return Err(Error::BadElement { size, align });
        }
        // Whoever opens one takes the number as found; whoever creates one is asked by `initialise`.
        let capacity = settings.capacity.map_or(1, |len| len as u64);
        let length = length::<T>(capacity).ok_or(Error::BadCapacity {
            asked: capacity,
            min: 1,
            max: (isize::MAX as u64 - 64) / 2 / size,
        })?;
        Ok(Needs { element: (size, align), capacity, table_len: table_len(length), ..Needs::body::<Body>() })
    }

    fn initialise(block: Block, settings: &Settings) -> Result<(), Error> {
        if settings.capacity.is_none() {
            return Err(Error::BadCapacity { asked: 0, min: 1, max: isize::MAX as u64 });
        }
        if let Some(initial) = &settings.initial {
            let table = block.table_bytes(initial.len() as u64)?;
            // SAFETY: so many bytes are there, as was just checked, and nobody else can see them yet.
            unsafe { core::ptr::copy_nonoverlapping(initial.as_ptr(), table.as_ptr(), initial.len()) };
        }
        Ok(())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        let (block, capacity) = (site.block(), site.block().capacity());
        let bad = || Error::BadGeometry { field: "capacity", found: capacity, expected: isize::MAX as u64 };
        let length = length::<T>(capacity).ok_or_else(bad)?;
        let main = block.table_bytes(table_len(length))?;
        let (len, count) = (length as usize, capacity as usize);
        // SAFETY: the table has room for both, as was just checked.
        let log = unsafe { main.add(len.next_multiple_of(64)) };
        // SAFETY: the body of an array is that; both places are inside the table, apart, and at multiples of 64.
        let twin = unsafe { Twin::new(site.clone(), settings, main, log, len) };
        Ok(Array { holding: Holding::new(site, settings), twin, len: count, value: PhantomData })
    }

    fn sweep(block: Block, dead: u16) {
        holding::sweep(block, dead);
        // SAFETY: the body of an array is that, all of it atomic; the caller's segment is mapped.
        let body = unsafe { block.body::<Body>() };
        body.ledger.gate.sweep(dead, Barrier::of_this_process());
    }
}

impl<T: Pod> Options<Array<T>> {
    /// What a new one holds at first, and thereby how many elements it has.
    pub fn values(mut self, values: &[T]) -> Self {
        self.settings.initial = Some(bytemuck::cast_slice(values).into());
        self.capacity(values.len())
    }
}

//! One value.

use super::super::handle::handle;
use super::super::holding::{self, Holding, WORDS};
use super::super::reentry::Reentry;
use super::super::site::{Block, Needs, Primitive, Site, only_one};
use super::PATIENCE;
use super::atomic::{Atomic, Integer};
use super::error::CellError;
use super::lockable::lockable;
use super::small::{self, is_small};
use super::twin::{BODY, Body, Twin};
use crate::LockError;
use crate::error::{Error, Kind};
use crate::options::{Options, Settings};
use crate::sync::Lone;
use crate::wait::{Barrier, Deadline, Wait};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr::NonNull;
use core::time::Duration;
use std::sync::Arc;

/// A value in shared memory that any process may read and replace at any time.
///
/// ```
/// use ringway::Value;
///
/// # let name = format!("doc-value-{}", std::process::id());
/// let hits = Value::open_or_create(&name, 0_u64)?; // in each process
/// hits.fetch_add(1);
/// assert_eq!(hits.load(), 1);
/// # ringway::unlink(&name)?;
///
/// let place = Value::anonymous([0.0_f64; 3])?; // any plain type: never half of one and half of another
/// place.write([1.0, 2.0, 3.0])?;
/// place.update(|[x, y, z]| [x + 1.0, y, z])?;
/// assert_eq!(place.read()?, [2.0, 2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # As a whole
/// [`read`](Self::read) has what one [`write`](Self::write) wrote, never parts of two. A value of up to eight bytes is one word,
/// read and written by one instruction. A larger one lies there twice: whoever writes it puts the new one beside the old
/// first. Readers never wait for a writer, not even for one that was stopped or killed. Writers wait for each other, for the
/// time of two copies; for one that was stopped just then, ten seconds, unless [`Options`](Options::write_timeout) say
/// otherwise.
///
/// # The lock
/// There is a lock for whoever wants others to keep out for more than one operation: [`lock`](Self::lock). It keeps out
/// those who take it too, and nobody else: the other methods do not ask for it. Its thread may take it several times.
///
/// # When a process dies
/// Its last write is there as a whole or not at all, for all at once. A lock it held goes to the next one, as
/// [`LockError::OwnerDied`]. The value is whole then too, but may be that of a step in between: see [`ValueInherited`].
pub struct Value<T: Pod> {
    holding: Arc<Holding>,
    /// Where a small value is, and a large one whenever nobody writes.
    place: NonNull<u8>,
    /// `None` for a small value.
    twin: Option<Arc<Twin>>,
    value: PhantomData<fn(T) -> T>,
}

// SAFETY: `place` is memory that `holding` keeps mapped, and that is accessed by atomics only; values are plain.
unsafe impl<T: Pod> Send for Value<T> {}
// SAFETY: as above.
unsafe impl<T: Pod> Sync for Value<T> {}

handle!(
    [T: Pod], Value<T>, "value", (value: T), |options| options.value(value),
    " `value` is what it is at first, if it is new."
);
lockable!(Value, ValueGuard, ValueInherited, "value");

/// Where a large value lies in its block, and where it lies a second time. A small one lies right behind the lock.
const fn places<T>() -> (usize, usize) {
    let align = if align_of::<T>() > 8 { align_of::<T>() } else { 8 };
    let main = BODY.next_multiple_of(align);
    (main, (main + size_of::<T>()).next_multiple_of(align))
}

const fn place<T>() -> usize {
    if is_small::<T>() { WORDS } else { places::<T>().0 }
}

impl<T: Pod> Value<T> {
    /// The value, as one writer wrote it.
    ///
    /// # Errors
    /// Never for a type of up to eight bytes. For others [`CellError::Corrupt`]; and where hundreds of others write at the same
    /// time and one of them is stopped, what [`write`](Self::write) returns.
    #[inline]
    pub fn read(&self) -> Result<T, CellError> {
        match &self.twin {
            // SAFETY: the word behind the lock, mapped as long as we live; there is no twin because the type is small.
            None => Ok(unsafe { small::read(self.place) }),
            Some(twin) => self.read_large(twin).map(|(value, _)| value),
        }
    }

    fn read_large(&self, twin: &Twin) -> Result<(T, crate::lock::Version), CellError> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the twin is as long as the type, and the copy is our own.
        let version = unsafe { twin.read(0, size_of::<T>(), value.as_mut_ptr().cast()) }?;
        // SAFETY: every byte was just copied, and any bits are a valid Pod.
        Ok((unsafe { value.assume_init() }, version))
    }

    /// Replaces the value.
    ///
    /// # Errors
    /// Never for a type of up to eight bytes. For others [`CellError::Timeout`] if another writer was stopped in the middle;
    /// [`CellError::Corrupt`], and in a forked child [`CellError::Attach`]. Then nothing was written.
    #[inline]
    pub fn write(&self, value: T) -> Result<(), CellError> {
        match &self.twin {
            None => {
                // SAFETY: as in `read`.
                unsafe { small::write(self.place, value) };
                Ok(())
            }
            Some(twin) => twin.write(0, bytemuck::bytes_of(&value), None),
        }
    }

    /// Replaces the value by what `change` makes of it, and returns that. If others write meanwhile, `change` is called again
    /// with what they wrote: no update is lost.
    ///
    /// # Errors
    /// [`CellError::Overtaken`] if that happened a hundred thousand times in a row; else as [`write`](Self::write).
    pub fn update(&self, mut change: impl FnMut(T) -> T) -> Result<T, CellError> {
        let Some(twin) = &self.twin else {
            // SAFETY: as in `read`.
            return unsafe { small::update(self.place, change) };
        };
        for _ in 0..PATIENCE {
            let (value, version) = self.read_large(twin)?;
            let value = change(value);
            match twin.write(0, bytemuck::bytes_of(&value), Some(version)) {
                Err(CellError::Overtaken) => {}
                done => return done.map(|()| value),
            }
        }
        Err(CellError::Overtaken)
    }

    /// Another handle to the same value with another way of waiting.
    #[must_use]
    pub fn with_wait(&self, wait: Wait) -> Self {
        Value {
            holding: self.holding.with_wait(wait),
            twin: self.twin.as_ref().map(|twin| twin.with_wait(wait)),
            ..*self
        }
    }

    /// Where the value is in this process, for foreign code. Valid as long as a handle is.
    ///
    /// Others access it by atomic operations at any time, and so must whoever does by this pointer. What is written by it is
    /// not written [as a whole](Self#as-a-whole) if it is longer than eight bytes.
    pub fn as_ptr(&self) -> *mut T {
        self.place.as_ptr().cast()
    }
}

impl<T: Atomic> Value<T> {
    #[inline(always)]
    fn lone(&self) -> &Lone<T> {
        const { assert!(size_of::<T>() <= 8 && size_of::<T>().is_power_of_two()) };
        // SAFETY: the word behind the lock: mapped as long as we live, at a multiple of eight, accessed by atomics.
        unsafe { Lone::at(self.place.cast()) }
    }

    /// The number.
    #[inline]
    pub fn load(&self) -> T {
        T::load(self.lone())
    }

    /// Replaces the number.
    #[inline]
    pub fn store(&self, value: T) {
        T::store(self.lone(), value);
    }

    /// Replaces the number, and returns the old one.
    #[inline]
    pub fn swap(&self, value: T) -> T {
        T::swap(self.lone(), value)
    }

    /// Replaces the number by `new` if it is `seen`, and returns the old one. Floating-point numbers are compared by their
    /// bits.
    ///
    /// # Errors
    /// The number, if it is another one.
    #[inline]
    pub fn compare_exchange(&self, seen: T, new: T) -> Result<T, T> {
        T::compare_exchange(self.lone(), seen, new)
    }

    /// Adds to the number, and returns the old one. Integers wrap around.
    #[inline]
    pub fn fetch_add(&self, value: T) -> T {
        T::add(self.lone(), value)
    }

    /// Subtracts from the number, and returns the old one. Integers wrap around.
    #[inline]
    pub fn fetch_sub(&self, value: T) -> T {
        T::sub(self.lone(), value)
    }
}

impl<T: Integer> Value<T> {
    /// Replaces the number by its bitwise "and" with `value`, and returns the old one.
    #[inline]
    pub fn fetch_and(&self, value: T) -> T {
        T::and(self.lone(), value)
    }

    /// Replaces the number by its bitwise "or" with `value`, and returns the old one.
    #[inline]
    pub fn fetch_or(&self, value: T) -> T {
        T::or(self.lone(), value)
    }

    /// Replaces the number by its bitwise "exclusive or" with `value`, and returns the old one.
    #[inline]
    pub fn fetch_xor(&self, value: T) -> T {
        T::xor(self.lone(), value)
    }

    /// Replaces the number by `value` if that is larger, and returns the old one.
    #[inline]
    pub fn fetch_max(&self, value: T) -> T {
        T::max(self.lone(), value)
    }

    /// Replaces the number by `value` if that is smaller, and returns the old one.
    #[inline]
    pub fn fetch_min(&self, value: T) -> T {
        T::min(self.lone(), value)
    }
}

impl<T: Pod> Clone for Value<T> {
    fn clone(&self) -> Self {
        Value { holding: Arc::clone(&self.holding), twin: self.twin.clone(), ..*self }
    }
}

/// A [`Value`] whose lock is held; it is given back with the last guard of its thread, in whatever order they go.
///
/// Each [`set`](Self::set) is a [`write`](Value::write) of its own: who does not ask for the lock sees the steps between.
/// Dropped by a panic, the guard leaves the lock as a dead owner does. In a child forked meanwhile it does nothing.
#[must_use = "the lock is given back at once if the guard is not kept"]
pub struct ValueGuard<'a, T: Pod> {
    cell: &'a Value<T>,
    entry: Reentry<'a>,
}

impl<T: Pod> ValueGuard<'_, T> {
    /// The value.
    ///
    /// # Errors
    /// As [`Value::read`].
    pub fn get(&self) -> Result<T, CellError> {
        self.cell.read()
    }

    /// Replaces the value.
    ///
    /// # Errors
    /// [`CellError::NotHeld`] in a forked child; else as [`Value::write`].
    pub fn set(&self, value: T) -> Result<(), CellError> {
        self.check_ours()?;
        self.cell.write(value)
    }

    /// Replaces the value by what `change` makes of it, and returns that. What others write meanwhile, without the lock, is
    /// overwritten.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn update(&self, change: impl FnOnce(T) -> T) -> Result<T, CellError> {
        let value = change(self.get()?);
        self.set(value)?;
        Ok(value)
    }
}

/// A [`Value`] whose lock is held, and whose last owner died with it.
///
/// The value is whole, but the dead one may have been between two steps. [`recover`](Self::recover) makes an ordinary guard of
/// it. If the thread gives the lock back without having done so by any of its guards, nobody gets the lock again.
#[must_use = "dropping it gives the lock up for lost"]
pub struct ValueInherited<'a, T: Pod> {
    guard: ValueGuard<'a, T>,
}

impl<'a, T: Pod> ValueInherited<'a, T> {
    /// The value.
    ///
    /// # Errors
    /// As [`Value::read`].
    pub fn get(&self) -> Result<T, CellError> {
        self.guard.get()
    }

    /// Replaces the value by what `repair` makes of it, and goes on as if nothing had happened. If this process dies before
    /// that is done, the next one to come has to do it.
    ///
    /// # Errors
    /// As [`ValueGuard::set`].
    pub fn recover(self, repair: impl FnOnce(T) -> T) -> Result<ValueGuard<'a, T>, CellError> {
        let guard = self.guard;
        guard.update(repair)?;
        guard.entry.recovered();
        Ok(guard)
    }
}

impl<T: Pod> Primitive for Value<T> {
    const KIND: Kind = Kind::Value;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        only_one(settings)?;
        let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
        if align > 64 || size > 1 << 40 {
            return Err(Error::BadElement { size, align });
        }
        let body_len = if is_small::<T>() { WORDS + 8 } else { places::<T>().1 + size_of::<T>() };
        Ok(Needs { element: (size, align), capacity: 1, body_len: body_len as u64, table_len: 0 })
    }

    fn initialise(block: Block, settings: &Settings) -> Result<(), Error> {
        if let Some(initial) = &settings.initial {
            let place = block.value(place::<T>(), initial.len());
            // SAFETY: the block has room for it, as `value` checked, and nobody else can see it yet.
            unsafe { core::ptr::copy_nonoverlapping(initial.as_ptr(), place.as_ptr(), initial.len()) };
        }
        Ok(())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        let block = site.block();
        let place = block.value(place::<T>(), size_of::<T>());
        let twin = (!is_small::<T>()).then(|| {
            let log = block.value(places::<T>().1, size_of::<T>());
            // SAFETY: the body of a value that is not small begins so, and has these two places, which are apart and at
            // multiples of eight, as it lies at one of 64.
            unsafe { Twin::new(site.clone(), settings, place, log, size_of::<T>()) }
        });
        Ok(Value { holding: Holding::new(site, settings), place, twin, value: PhantomData })
    }

    fn sweep(block: Block, dead: u16) {
        holding::sweep(block, dead);
        if !is_small::<T>() {
            // SAFETY: the body of a value that is not small begins so, all of it atomic; the caller's segment is mapped.
            let body = unsafe { block.body::<Body>() };
            body.ledger.gate.sweep(dead, Barrier::of_this_process());
        }
    }
}

impl<T: Pod> Options<Value<T>> {
    /// What a new one is at first; zeros, unless this says otherwise.
    pub fn value(mut self, value: T) -> Self {
        self.settings.initial = Some(bytemuck::bytes_of(&value).into());
        self
    }
}

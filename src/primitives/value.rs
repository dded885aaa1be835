//! The value that a lock protects, behind the lock's own words.

use super::holding::{Holding, WORDS};
use super::site::{Block, Needs};
use crate::error::Error;
use crate::options::Settings;
use crate::ring::copy;
use bytemuck::Pod;
use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr::NonNull;

/// The memory of a lock with a value.
pub(super) fn needs_for<T: Pod>() -> Result<Needs, Error> {
    let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    if align > 64 || size > 1 << 40 {
        return Err(Error::BadElement { size, align });
    }
    let body_len = (at::<T>() + size_of::<T>()) as u64;
    Ok(Needs { element: (size, align), capacity: 1, body_len, table_len: 0 })
}

/// Where the value is in the block.
const fn at<T>() -> usize {
    WORDS.next_multiple_of(align_of::<T>())
}

/// Puts the first value into a new object.
pub(super) fn initialise<T: Pod>(block: Block, settings: &Settings) {
    if let Some(initial) = &settings.initial {
        let place = block.value(at::<T>(), initial.len());
        // SAFETY: the block has room for it, as `value` checked, and nobody else can see it yet.
        unsafe { core::ptr::copy_nonoverlapping(initial.as_ptr(), place.as_ptr(), initial.len()) };
    }
}

/// Where the value is in shared memory.
#[inline(always)]
pub(super) fn place_of<T: Pod>(holding: &Holding) -> NonNull<T> {
    holding.value(at::<T>())
}

/// A copy of the value, for the holder of the lock.
pub(super) fn read<T: Pod>(holding: &Holding) -> T {
    let mut copy = MaybeUninit::<T>::uninit();
    let from = place_of::<T>(holding).as_ptr();
    // SAFETY: as in `copy_out`.
    unsafe { copy::contended(from.cast(), copy.as_mut_ptr().cast(), size_of::<T>()) };
    // SAFETY: filled above, and any bits are a valid Pod.
    unsafe { copy.assume_init() }
}

/// The same in a box.
#[cold]
pub(super) fn copy_out<T: Pod>(holding: &Holding) -> Box<T> {
    let mut copy = Box::new(MaybeUninit::<T>::uninit());
    let from = place_of::<T>(holding).as_ptr();
    // SAFETY: so many bytes are in the block; the copy is private. Whoever writes the former against the rules makes the
    // bytes wrong, no more.
    unsafe { copy::contended(from.cast(), copy.as_mut_ptr().cast(), size_of::<T>()) };
    // SAFETY: filled above, and any bits are a valid Pod.
    unsafe { copy.assume_init() }
}

/// Puts a copy back, for the holder of the lock.
pub(super) fn write_back<T: Pod>(holding: &Holding, copy: &T) {
    let (from, to): (*const T, _) = (copy, place_of::<T>(holding).as_ptr());
    // SAFETY: as above, the other way.
    unsafe { copy::contended(from.cast(), to.cast(), size_of::<T>()) };
}

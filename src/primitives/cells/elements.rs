//! Lone operations on single elements of an array.

use super::array::Array;
use super::atomic::{Atomic, Integer};
use super::error::CellError;
use crate::sync::Lone;
use core::mem::size_of;

impl<T: Atomic> Array<T> {
    /// Element `index`, about to be changed. What a dead writer has left of its last write to do is done first, so that it
    /// does not overwrite this later.
    #[inline(always)]
    fn lone(&self, index: usize) -> Result<&Lone<T>, CellError> {
        let bytes = self.bytes(index, 1)?;
        let _ = self.twin.is_open();
        Ok(self.at(bytes.start))
    }

    #[inline(always)]
    fn at(&self, byte: usize) -> &Lone<T> {
        const { assert!(size_of::<T>() <= 8 && size_of::<T>().is_power_of_two()) };
        // SAFETY: inside the elements, as the caller has checked.
        let place = unsafe { self.twin.main().add(byte) };
        // SAFETY: mapped as long as we live, a multiple of its size, as the elements begin at one of 64; accessed by
        // atomics.
        unsafe { Lone::at(place.cast()) }
    }

    /// Element `index`, by a lone operation; see [above](Self#as-a-whole).
    ///
    /// # Errors
    /// [`CellError::OutOfRange`]; [`CellError::Corrupt`].
    #[inline]
    pub fn load(&self, index: usize) -> Result<T, CellError> {
        let bytes = self.bytes(index, 1)?;
        if self.twin.is_open() {
            return self.get(index);
        }
        Ok(T::load(self.at(bytes.start)))
    }

    /// Replaces element `index` by a lone operation; see [above](Self#as-a-whole).
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn store(&self, index: usize, value: T) -> Result<(), CellError> {
        T::store(self.lone(index)?, value);
        Ok(())
    }

    /// Replaces element `index` by `new` if it is `seen`, and returns whether: the old one in either case. Floating-point
    /// numbers are compared by their bits.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn compare_exchange(&self, index: usize, seen: T, new: T) -> Result<Result<T, T>, CellError> {
        Ok(T::compare_exchange(self.lone(index)?, seen, new))
    }

    /// Replaces element `index`, and returns the old one.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn swap(&self, index: usize, value: T) -> Result<T, CellError> {
        Ok(T::swap(self.lone(index)?, value))
    }

    /// Adds to element `index`, and returns the old one. Integers wrap around.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn fetch_add(&self, index: usize, value: T) -> Result<T, CellError> {
        Ok(T::add(self.lone(index)?, value))
    }

    /// Subtracts from element `index`, and returns the old one. Integers wrap around.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn fetch_sub(&self, index: usize, value: T) -> Result<T, CellError> {
        Ok(T::sub(self.lone(index)?, value))
    }
}

impl<T: Integer> Array<T> {
    /// Replaces element `index` by its bitwise "and" with `value`, and returns the old one.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn fetch_and(&self, index: usize, value: T) -> Result<T, CellError> {
        Ok(T::and(self.lone(index)?, value))
    }

    /// Replaces element `index` by its bitwise "or" with `value`, and returns the old one.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn fetch_or(&self, index: usize, value: T) -> Result<T, CellError> {
        Ok(T::or(self.lone(index)?, value))
    }

    /// Replaces element `index` by its bitwise "exclusive or" with `value`, and returns the old one.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn fetch_xor(&self, index: usize, value: T) -> Result<T, CellError> {
        Ok(T::xor(self.lone(index)?, value))
    }

    /// Replaces element `index` by `value` if that is larger, and returns the old one.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn fetch_max(&self, index: usize, value: T) -> Result<T, CellError> {
        Ok(T::max(self.lone(index)?, value))
    }

    /// Replaces element `index` by `value` if that is smaller, and returns the old one.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`].
    #[inline]
    pub fn fetch_min(&self, index: usize, value: T) -> Result<T, CellError> {
        Ok(T::min(self.lone(index)?, value))
    }
}

//! The storage of a byte ring: a power of two of bytes that lies in memory twice in a row.
//!
//! ```text
//!   base            base + size        base + 2 * size
//!   | 0 1 2 ... N-1 | 0 1 2 ... N-1    |       both halves are the same pages
//!            ^ position & (N-1); every record is one contiguous slice from here
//! ```
//!
//! Under loom it is an array of words, one loom cell each, and the mirror is done by masking. To ThreadSanitizer the two
//! halves are different memory, so of a race between them only the models tell.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

#[cfg(not(loom))]
use super::copy;
#[cfg(loom)]
use crate::sync::Slot;

/// What the storage consists of.
#[cfg(not(loom))]
pub(crate) type Unit = u8;
/// What the storage consists of.
#[cfg(loom)]
pub(crate) type Unit = Slot<u64>;

/// Where the storage lies in this process, and how large it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    base: NonNull<Unit>,
    size: u64,
}

// SAFETY: an address and a number; who may use what lies there is decided by the ring's roles.
unsafe impl Send for Region {}
// SAFETY: as for Send; every access is an unsafe function that demands the role.
unsafe impl Sync for Region {}

impl Region {
    /// The smallest storage: a page.
    pub(crate) const MIN_SIZE: u64 = if cfg!(loom) { 16 } else { 4096 };

    /// The largest storage: twice as much is still a small part of the address space.
    pub(crate) const MAX_SIZE: u64 = 1 << 44;

    /// Whether a storage may have `size` bytes: a power of two from [`MIN_SIZE`](Self::MIN_SIZE) to
    /// [`MAX_SIZE`](Self::MAX_SIZE).
    pub(crate) const fn is_valid_size(size: u64) -> bool {
        size.is_power_of_two() && size >= Self::MIN_SIZE && size <= Self::MAX_SIZE
    }

    /// Names a storage of `size` bytes, or `None` if that is [no valid size](Self::is_valid_size).
    ///
    /// # Safety
    /// As long as this value or a copy of it is used, `base` is aligned to 8 and `2 * size` bytes from there are
    /// mapped and writable, and the second half is a mirror of the first: the same memory again. (Under loom:
    /// `size / 8` initialised slots.) Their *content* may be anything at any time.
    pub(crate) const unsafe fn new(base: NonNull<Unit>, size: u64) -> Option<Self> {
        if Self::is_valid_size(size) { Some(Region { base, size }) } else { None }
    }

    /// The number of different bytes.
    #[inline(always)]
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }
}

#[cfg(not(loom))]
impl Region {
    /// The address of `position`; `size` bytes from there are mapped.
    #[inline(always)]
    pub(crate) fn address(&self, position: u64) -> NonNull<u8> {
        let offset = (position & (self.size - 1)) as usize;
        // SAFETY: offset < size, and `new` was promised 2 * size mapped bytes.
        unsafe { self.base.add(offset) }
    }

    /// The address of the word at `position`, which counts as rounded down to a multiple of 8.
    #[inline(always)]
    fn word(&self, position: u64) -> *mut u64 {
        let offset = (position & (self.size - 8)) as usize;
        // SAFETY: offset <= size - 8, and `new` was promised 2 * size mapped bytes.
        unsafe { self.base.add(offset) }.as_ptr().cast()
    }

    /// Loads the word at `position`, a multiple of 8.
    ///
    /// # Safety
    /// By the ring's indices no thread of this process writes it now.
    #[inline(always)]
    pub(crate) unsafe fn load(&self, position: u64) -> u64 {
        crate::sync::access();
        // SAFETY: mapped and aligned (`word`); volatile, so that a process that writes it against the rules
        // changes the value but cannot make it differ from one use to the next.
        unsafe { self.word(position).read_volatile() }
    }

    /// Stores the word at `position`, a multiple of 8.
    ///
    /// # Safety
    /// By the ring's indices the word is the caller's alone.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, position: u64, word: u64) {
        crate::sync::access();
        // SAFETY: mapped and aligned (`word`), and the caller's alone.
        unsafe { self.word(position).write_volatile(word) }
    }

    /// Copies `bytes` to `position` and behind.
    ///
    /// # Safety
    /// `bytes.len() <= size`, and by the ring's indices the place is the caller's alone.
    #[inline(always)]
    pub(crate) unsafe fn copy_in(&self, position: u64, bytes: &[u8]) {
        // SAFETY: from `address` on `size` bytes are mapped; `bytes` is private memory and overlaps nothing.
        unsafe { copy::contended(bytes.as_ptr(), self.address(position).as_ptr(), bytes.len()) }
    }

    /// Copies from `position` and behind to `bytes`, all of which are initialised then.
    ///
    /// # Safety
    /// `bytes.len() <= size`, and by the ring's indices no thread of this process writes the place now.
    #[inline(always)]
    pub(crate) unsafe fn copy_out(&self, position: u64, bytes: &mut [MaybeUninit<u8>]) {
        // SAFETY: as in `copy_in`; a process that writes against the rules makes the bytes wrong, no more.
        unsafe { copy::contended(self.address(position).as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) }
    }
}

#[cfg(loom)]
impl Region {
    fn word(&self, position: u64) -> &Slot<u64> {
        let index = (position & (self.size - 8)) / 8;
        // SAFETY: index < size / 8, and `new` was promised so many slots.
        unsafe { self.base.add(index as usize).as_ref() }
    }

    /// See the real one.
    pub(crate) unsafe fn load(&self, position: u64) -> u64 {
        // SAFETY: initialised as promised to `new`; loom reports a racing writer.
        unsafe { self.word(position).read() }
    }

    /// See the real one.
    pub(crate) unsafe fn store(&self, position: u64, word: u64) {
        // SAFETY: loom reports anybody else.
        unsafe { self.word(position).write(word) }
    }

    /// See the real one.
    pub(crate) unsafe fn copy_in(&self, position: u64, bytes: &[u8]) {
        for (place, byte) in (position..).zip(bytes) {
            let shift = place % 8 * 8;
            // SAFETY: as for the caller.
            let word = unsafe { self.load(place) };
            // SAFETY: as for the caller.
            unsafe { self.store(place, word & !(0xff << shift) | u64::from(*byte) << shift) };
        }
    }

    /// See the real one.
    pub(crate) unsafe fn copy_out(&self, position: u64, bytes: &mut [MaybeUninit<u8>]) {
        for (place, byte) in (position..).zip(bytes) {
            // SAFETY: as for the caller.
            byte.write((unsafe { self.load(place) } >> (place % 8 * 8)) as u8);
        }
    }
}

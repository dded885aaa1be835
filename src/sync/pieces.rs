//! Moving bytes to, from and within memory that others read and write at the same time.
//!
//! By relaxed atomic words as wide as the shared address allows. So whatever has a size of 1, 2, 4 or 8 bytes and lies at a
//! multiple of it is moved whole, the compiler knows that others are at work, and so does ThreadSanitizer. What is
//! larger may come torn: whether it did, the caller finds out by other means.

#![allow(clippy::disallowed_types, reason = "part of the file the ban points to")]

use super::{Ordering, access};
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// What is moved at once.
trait Piece: Copy {
    /// # Safety
    /// Mapped, and a multiple of its size.
    unsafe fn get(shared: *mut u8) -> Self;
    /// # Safety
    /// As for `get`.
    unsafe fn put(self, shared: *mut u8);
}

macro_rules! pieces {
    ($($int:ident $atomic:ident),*) => {$(
        impl Piece for $int {
            #[inline(always)]
            unsafe fn get(shared: *mut u8) -> Self {
                // SAFETY: the caller's promise; shared memory is accessed by atomics.
                unsafe { $atomic::from_ptr(shared.cast()) }.load(Ordering::Relaxed)
            }
            #[inline(always)]
            unsafe fn put(self, shared: *mut u8) {
                // SAFETY: as above.
                unsafe { $atomic::from_ptr(shared.cast()) }.store(self, Ordering::Relaxed);
            }
        }
    )*};
}
pieces!(u8 AtomicU8, u16 AtomicU16, u32 AtomicU32, u64 AtomicU64);

/// A way to move the piece that lies so many bytes in.
trait Mover {
    /// # Safety
    /// A whole `P` is there on both sides, on the shared side at a multiple of its size.
    unsafe fn step<P: Piece>(&self, at: usize);
}

/// Cuts `len` bytes at the address `shared` into pieces.
///
/// # Safety
/// As many bytes are on both sides of `mover`, the shared side of which is at `shared`.
#[inline(always)]
unsafe fn by_pieces(shared: usize, len: usize, mover: &impl Mover) {
    access();
    let mut at = 0;
    if shared & 1 != 0 && len >= 1 {
        // SAFETY: a byte is left.
        unsafe { mover.step::<u8>(at) };
        at += 1;
    }
    if (shared + at) & 2 != 0 && len - at >= 2 {
        // SAFETY: two bytes are left, and the address is even.
        unsafe { mover.step::<u16>(at) };
        at += 2;
    }
    if (shared + at) & 4 != 0 && len - at >= 4 {
        // SAFETY: four bytes are left, and the address is a multiple of four.
        unsafe { mover.step::<u32>(at) };
        at += 4;
    }
    // Where a step above was left out for want of bytes, fewer than eight are left.
    while len - at >= 8 {
        // SAFETY: eight bytes are left, and the address is a multiple of eight by now.
        unsafe { mover.step::<u64>(at) };
        at += 8;
    }
    if len - at >= 4 {
        // SAFETY: four bytes are left at a multiple of eight, as no step above was left out.
        unsafe { mover.step::<u32>(at) };
        at += 4;
    }
    if len - at >= 2 {
        // SAFETY: two bytes are left, at a multiple of four.
        unsafe { mover.step::<u16>(at) };
        at += 2;
    }
    if len > at {
        // SAFETY: a byte is left.
        unsafe { mover.step::<u8>(at) };
    }
}

struct Out(*mut u8, *mut u8);
struct In(*const u8, *mut u8);
struct Within(*mut u8, *mut u8);

impl Mover for Out {
    #[inline(always)]
    unsafe fn step<P: Piece>(&self, at: usize) {
        // SAFETY: in bounds and aligned, by the caller's promise.
        let piece = unsafe { P::get(self.0.wrapping_add(at)) };
        // SAFETY: in bounds, by the caller's promise.
        unsafe { self.1.wrapping_add(at).cast::<P>().write_unaligned(piece) };
    }
}

impl Mover for In {
    #[inline(always)]
    unsafe fn step<P: Piece>(&self, at: usize) {
        // SAFETY: in bounds, by the caller's promise.
        let piece = unsafe { self.0.wrapping_add(at).cast::<P>().read_unaligned() };
        // SAFETY: in bounds and aligned, by the caller's promise.
        unsafe { piece.put(self.1.wrapping_add(at)) };
    }
}

impl Mover for Within {
    #[inline(always)]
    unsafe fn step<P: Piece>(&self, at: usize) {
        // SAFETY: in bounds and aligned, by the caller's promise.
        let piece = unsafe { P::get(self.0.wrapping_add(at)) };
        // SAFETY: as above: both sides are aligned alike.
        unsafe { piece.put(self.1.wrapping_add(at)) };
    }
}

/// Copies `len` bytes out of shared memory.
///
/// # Safety
/// They are mapped at `shared`, where others access them by atomics only, and at `to` they are the caller's to write.
#[inline]
pub(crate) unsafe fn copy_out(shared: *mut u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { by_pieces(shared.addr(), len, &Out(shared, to)) };
}

/// Copies `len` bytes into shared memory.
///
/// # Safety
/// As for [`copy_out`], the other way.
#[inline]
pub(crate) unsafe fn copy_in(from: *const u8, shared: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { by_pieces(shared.addr(), len, &In(from, shared)) };
}

/// Copies `len` bytes within shared memory.
///
/// # Safety
/// As for [`copy_out`], on both sides; their addresses differ by a multiple of eight, and they do not overlap.
#[inline]
pub(crate) unsafe fn copy_within(from: *mut u8, to: *mut u8, len: usize) {
    debug_assert!((from.addr() ^ to.addr()) & 7 == 0);
    // SAFETY: the caller's promise.
    unsafe { by_pieces(to.addr(), len, &Within(from, to)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_moved_once_and_no_other() {
        let mut shared = [0_u64; 8];
        let base = shared.as_mut_ptr().cast::<u8>();
        let source: Vec<u8> = (1..=64).collect();
        for at in 0..16 {
            for len in 0..=40 {
                // SAFETY: 64 bytes are there.
                unsafe { base.write_bytes(0, 64) };
                // SAFETY: at + len < 64, and no other thread knows the place.
                unsafe { copy_in(source.as_ptr(), base.wrapping_add(at), len) };
                let mut out = [0_u8; 64];
                // SAFETY: as above.
                unsafe { copy_out(base, out.as_mut_ptr(), 64) };
                assert_eq!(out[at..at + len], source[..len]);
                assert!(out[..at].iter().chain(&out[at + len..]).all(|&byte| byte == 0));
                let mut part = [0_u8; 40];
                // SAFETY: as above.
                unsafe { copy_out(base.wrapping_add(at), part.as_mut_ptr(), len) };
                assert_eq!(part[..len], source[..len]);
                if len <= 20 {
                    let to = base.wrapping_add(at + 24);
                    // SAFETY: 24 bytes apart, no more than 20 of them; inside, as at + 24 + 20 < 64.
                    unsafe { copy_within(base.wrapping_add(at), to, len) };
                    // SAFETY: as above.
                    unsafe { copy_out(to, part.as_mut_ptr(), len) };
                    assert_eq!(part[..len], source[..len]);
                }
            }
        }
    }

    /// What has the size of a word is moved by one word, wherever it begins.
    #[test]
    fn words_are_moved_whole() {
        struct Whole<'a>(&'a core::cell::RefCell<Vec<(usize, usize)>>);
        impl Mover for Whole<'_> {
            unsafe fn step<P: Piece>(&self, at: usize) {
                self.0.borrow_mut().push((at, size_of::<P>()));
            }
        }
        for size in [1_usize, 2, 4, 8] {
            for first in 0..16 / size {
                for count in 0..20 {
                    let pieces = core::cell::RefCell::new(vec![]);
                    // SAFETY: this mover touches nothing.
                    unsafe { by_pieces(first * size, count * size, &Whole(&pieces)) };
                    let mut next = 0;
                    for (at, len) in pieces.into_inner() {
                        assert_eq!((at, at % size, len % size), (next, 0, 0));
                        assert!((first * size + at).is_multiple_of(len));
                        next += len;
                    }
                    assert_eq!(next, count * size);
                }
            }
        }
    }
}

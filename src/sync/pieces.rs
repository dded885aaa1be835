//! Moving bytes to, from and within memory that others read and write at the same time.
//!
//! By relaxed atomic words as wide as the shared address allows, and where that is known to be as good, by vectors, in
//! assembly that the compiler cannot look into. So whatever has a size of 1, 2, 4 or 8 bytes and lies at a multiple of it
//! is moved whole, and nobody assumes that the memory is quiet. What is larger may come torn: whether it did, the
//! caller finds out by other means.

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

    /// From where to where it moves.
    fn sides(&self) -> (*const u8, *mut u8);
}

/// What [`vectors`] move at once.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const VECTOR: usize = 16;

/// Moves `len` bytes, a multiple of [`VECTOR`] other than zero. No x86-64 processor moves a vector in pieces that cut an
/// aligned word of eight bytes apart: those with AVX promise more, the others move halves.
///
/// # Safety
/// So many bytes may be read at `from` and written at `to`.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
unsafe fn vectors(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: by the caller's promise for each of the vectors, of which there is at least one: the index counts from `-len` up
    // to zero, by the size of what was moved. The string flag, the stack and the other registers are left alone.
    unsafe {
        core::arch::asm!(
            "test {at:l}, 63",
            "jz 3f",
            // One by one, until a multiple of four is left.
            "2:",
            "movdqu {a}, [{from} + {at}]",
            "movdqu [{to} + {at}], {a}",
            "add {at}, 16",
            "test {at:l}, 63",
            "jnz 2b",
            "test {at}, {at}",
            "jz 4f",
            "3:",
            "movdqu {a}, [{from} + {at}]",
            "movdqu {b}, [{from} + {at} + 16]",
            "movdqu {c}, [{from} + {at} + 32]",
            "movdqu {d}, [{from} + {at} + 48]",
            "movdqu [{to} + {at}], {a}",
            "movdqu [{to} + {at} + 16], {b}",
            "movdqu [{to} + {at} + 32], {c}",
            "movdqu [{to} + {at} + 48], {d}",
            "add {at}, 64",
            "jnz 3b",
            "4:",
            from = in(reg) from.wrapping_add(len),
            to = in(reg) to.wrapping_add(len),
            at = inout(reg_abcd) len.wrapping_neg() => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack),
        );
    }
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
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if len - at >= VECTOR {
        let wide = (len - at) & !(VECTOR - 1);
        let (from, to) = mover.sides();
        // SAFETY: so many bytes are left, on both sides; the address of the shared one is a multiple of eight by now.
        unsafe { vectors(from.wrapping_add(at), to.wrapping_add(at), wide) };
        at += wide;
    }
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

    #[inline(always)]
    fn sides(&self) -> (*const u8, *mut u8) {
        (self.0.cast_const(), self.1)
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

    #[inline(always)]
    fn sides(&self) -> (*const u8, *mut u8) {
        (self.0, self.1)
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

    #[inline(always)]
    fn sides(&self) -> (*const u8, *mut u8) {
        (self.0.cast_const(), self.1)
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

    #[test]
    fn long_stretches() {
        let source: Vec<u8> = (0..2000_u32).map(|number| (number % 251) as u8 + 1).collect();
        for len in (0..300).chain([511, 512, 1000, 1024, 1999]) {
            for at in [0, 1, 4, 8] {
                let mut shared = vec![0_u64; 256];
                let base = shared.as_mut_ptr().cast::<u8>();
                // SAFETY: at + len <= 2048, and no other thread knows the place.
                unsafe { copy_in(source.as_ptr(), base.wrapping_add(at), len) };
                let mut out = vec![0_u8; 2048];
                // SAFETY: as above.
                unsafe { copy_out(base, out.as_mut_ptr(), 2048) };
                assert_eq!(out[at..at + len], source[..len]);
                assert!(out[..at].iter().chain(&out[at + len..]).all(|&byte| byte == 0));
            }
        }
    }

    /// What has the size of a word is moved by one word, wherever it begins; by vectors only from a multiple of eight on.
    #[test]
    fn words_are_moved_whole() {
        struct Whole<'a>(&'a core::cell::RefCell<Vec<(usize, usize)>>, &'a mut [u8], usize);
        impl Mover for Whole<'_> {
            fn sides(&self) -> (*const u8, *mut u8) {
                // Whoever asks moves vectors next.
                let at = self.0.borrow().iter().map(|(_, len)| len).sum::<usize>();
                self.0.borrow_mut().push((at, (self.2 - at) & !15));
                (self.1.as_ptr(), self.1.as_ptr().cast_mut())
            }

            unsafe fn step<P: Piece>(&self, at: usize) {
                self.0.borrow_mut().push((at, size_of::<P>()));
            }
        }
        for size in [1_usize, 2, 4, 8] {
            for first in 0..16 / size {
                for count in 0..20 {
                    let pieces = core::cell::RefCell::new(vec![]);
                    let mut bytes = [0; 200];
                    let mover = Whole(&pieces, &mut bytes, count * size);
                    // SAFETY: this mover touches only `bytes`, of which there are as many.
                    unsafe { by_pieces(first * size, count * size, &mover) };
                    let mut next = 0;
                    for (at, len) in pieces.into_inner() {
                        assert_eq!((at, at % size, len % size), (next, 0, 0));
                        assert!((first * size + at).is_multiple_of(len.min(8)));
                        next += len;
                    }
                    assert_eq!(next, count * size);
                }
            }
        }
    }
}

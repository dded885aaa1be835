//! Copying bytes to and from memory that a hostile process may be writing at the same time.
//!
//! A plain `memcpy` of such memory is undefined in the language, because the compiler may assume that nobody
//! else writes it. Here every access to it is either a volatile word or happens inside assembly that the compiler
//! cannot look into. So a racing writer can make the *bytes* wrong, which the reader of a hostile peer must
//! reckon with anyhow, but not the program.

use bytemuck::AnyBitPattern;
use core::mem::MaybeUninit;

/// Up to here words are faster than a call.
const INLINE_MAX: usize = 128;

/// What the processor moves at once without asking for more than its baseline.
#[cfg(all(target_arch = "x86_64", not(miri)))]
type Wide = core::arch::x86_64::__m128i;
#[cfg(any(not(target_arch = "x86_64"), miri))]
type Wide = u64;

/// A word at any address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Loose<T>(T);

/// Copies out a value that another process may be writing meanwhile, by the widest words there are.
///
/// # Safety
/// `src` is a readable `T` that no thread of *this* process writes; any bits are a `T`.
#[inline(always)]
pub(crate) unsafe fn value<T: AnyBitPattern>(src: *const T) -> T {
    match size_of::<T>() {
        // SAFETY: eight bytes, and else as the caller promises.
        8 => unsafe { one_word::<u64, T>(src) },
        // SAFETY: four bytes, and else as the caller promises.
        4 => unsafe { one_word::<u32, T>(src) },
        len => {
            let mut value = MaybeUninit::<T>::uninit();
            // SAFETY: the caller's promise, and the value is our own.
            unsafe { contended(src.cast(), value.as_mut_ptr().cast(), len) };
            // SAFETY: every byte was just copied, and any bits are a `T`.
            unsafe { value.assume_init() }
        }
    }
}

/// Reads a `T` of one word, through a register: volatile, because another process may write it meanwhile.
///
/// # Safety
/// `W` and `T` have the same size, any bits are a `T`, and one may be read at `src`.
#[inline(always)]
unsafe fn one_word<W: Copy, T>(src: *const T) -> T {
    crate::sync::access();
    // SAFETY: readable by the caller's promise, of alignment 1, and integers have no invalid bits.
    let word = unsafe { src.cast::<Loose<W>>().read_volatile() };
    // SAFETY: as long as the word, of which any bits are good, by the caller's promise.
    unsafe { core::mem::transmute_copy(&word) }
}

/// Copies `len` bytes from `src` to `dst`, either of which may be written by another process meanwhile.
///
/// # Safety
/// `len` bytes at `src` are readable and `len` bytes at `dst` writable and no thread of *this* process writes
/// either, or reads the latter; the two do not overlap.
#[inline]
pub(crate) unsafe fn contended(src: *const u8, dst: *mut u8, len: usize) {
    crate::sync::access();
    if len > INLINE_MAX {
        // SAFETY: the caller's promise, passed on.
        return unsafe { large(src, dst, len) };
    }
    if len >= size_of::<Wide>() {
        // SAFETY: the caller's promise, and len is at least a step.
        unsafe { steps::<Wide>(src, dst, len) };
    } else if len >= 8 {
        // SAFETY: as above.
        unsafe { steps::<u64>(src, dst, len) };
    } else if len >= 4 {
        // SAFETY: len >= 4.
        unsafe { step::<u32>(src, dst, 0) };
        // SAFETY: as above.
        unsafe { step::<u32>(src, dst, len - 4) };
    } else {
        for at in 0..len {
            // SAFETY: at < len.
            unsafe { step::<u8>(src, dst, at) };
        }
    }
}

/// Moves `len` bytes, at least one `T`, by `T`s. The last may overlap the one before: its bytes are then read
/// twice, and either reading is right.
///
/// # Safety
/// As for [`contended`].
#[inline(always)]
unsafe fn steps<T: Copy>(src: *const u8, dst: *mut u8, len: usize) {
    let last = len - size_of::<T>();
    let mut at = 0;
    while at < last {
        // SAFETY: at < last, so a whole `T` is inside.
        unsafe { step::<T>(src, dst, at) };
        at += size_of::<T>();
    }
    // SAFETY: `last` is a whole `T` before the end.
    unsafe { step::<T>(src, dst, last) };
}

/// Moves one `T`, `at` bytes in.
///
/// # Safety
/// At both addresses `at + size_of::<T>()` bytes are the caller's to read and write.
#[inline(always)]
unsafe fn step<T: Copy>(src: *const u8, dst: *mut u8, at: usize) {
    // SAFETY: in bounds by the caller's promise.
    let src = unsafe { src.add(at) }.cast::<Loose<T>>();
    // SAFETY: in bounds by the caller's promise.
    let dst = unsafe { dst.add(at) }.cast::<Loose<T>>();
    // SAFETY: readable by the caller's promise, of alignment 1, and integers have no invalid bits.
    let word = unsafe { src.read_volatile() };
    // SAFETY: writable by the caller's promise, of alignment 1.
    unsafe { dst.write_volatile(word) };
}

/// The C library's `memcpy`, called from assembly: the compiler sees a call it knows nothing about, and the
/// processor the best copy for its kind.
///
/// # Safety
/// As for [`contended`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
unsafe fn large(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: `memcpy` follows the C calling convention, for which the stack is aligned at the entry of an asm
    // block and every register it may change is named; its arguments are good by the caller's promise. It only
    // moves bytes, so bytes that change meanwhile change nothing else.
    unsafe {
        core::arch::asm!(
            "call {memcpy}",
            memcpy = sym libc::memcpy,
            inout("rdi") dst => _,
            inout("rsi") src => _,
            inout("rdx") len => _,
            clobber_abi("C"),
        );
    }
}

/// Volatile words, where there is no assembly for the processor.
///
/// # Safety
/// As for [`contended`].
#[cfg(any(not(target_arch = "x86_64"), miri))]
#[inline]
unsafe fn large(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: the caller's promise, and len is above INLINE_MAX.
    unsafe { steps::<u64>(src, dst, len) };
}

#[cfg(test)]
mod tests;

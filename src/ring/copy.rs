//! Copying bytes to and from memory that a hostile process may be writing at the same time.
//!
//! A plain `memcpy` of such memory is undefined in the language, because the compiler may assume that nobody
//! else writes it. Here every access to it is either a volatile word or happens inside assembly that the compiler
//! cannot look into. So a racing writer can make the *bytes* wrong, which the reader of a hostile peer must
//! reckon with anyhow, but not the program.

/// Up to here words are faster than a call.
const INLINE_MAX: usize = 128;

/// A word at any address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Loose<T>(T);

/// Copies `len` bytes from `src` to `dst`, either of which may be written by another process meanwhile.
///
/// # Safety
/// `len` bytes at `src` are readable and `len` bytes at `dst` writable and no thread of *this* process writes
/// either, or reads the latter; the two do not overlap.
#[inline]
pub(super) unsafe fn contended(src: *const u8, dst: *mut u8, len: usize) {
    if len > INLINE_MAX {
        // SAFETY: the caller's promise, passed on.
        return unsafe { large(src, dst, len) };
    }
    if len >= 8 {
        let mut at = 0;
        while at + 8 < len {
            // SAFETY: at + 8 < len.
            unsafe { step::<u64>(src, dst, at) };
            at += 8;
        }
        // The last word may overlap the one before: its bytes are then read twice and either reading is right.
        // SAFETY: len >= 8, so the last 8 bytes are inside.
        unsafe { step::<u64>(src, dst, len - 8) };
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
    let mut at = 0;
    while at + 8 < len {
        // SAFETY: at + 8 < len.
        unsafe { step::<u64>(src, dst, at) };
        at += 8;
    }
    // SAFETY: `large` gets more than INLINE_MAX bytes, so the last 8 are inside.
    unsafe { step::<u64>(src, dst, len - 8) };
}

#[cfg(test)]
mod tests;

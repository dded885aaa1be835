//! One page that belongs to this process alone: the kernel wipes it in every forked child, however it was made
//! (`MADV_WIPEONFORK`, Linux 4.14).
//!
//! `pthread_atfork` does not see `_Fork` or a raw `clone`, so whatever must not survive a fork lives here: who we
//! are, and who is just now keeping forks out.

use super::fork;
use crate::error::Error;
use crate::sync::{AtomicU64, Ordering};
use core::ptr;

/// What lies in the page. All zeroes, as the kernel leaves it in a child, is "nothing known yet".
#[derive(Debug)]
#[repr(C)]
pub(super) struct OwnPage {
    /// See [`Generation`](super::fork::Generation).
    pub(super) generation: AtomicU64,
    /// See [`NoForks`](super::fork::NoForks).
    pub(super) gate: AtomicU64,
    /// See [`ProcessId::own`](super::identity::ProcessId::own).
    pub(super) identity: Remembered<3>,
    /// See [`boot_id`](super::identity::boot_id).
    pub(super) boot: Remembered<2>,
}

const _: () = assert!(size_of::<OwnPage>() <= PAGE_BYTES);

const PAGE_BYTES: usize = 4096;

/// Address of the page; 0 until the first use. Set once by compare-and-swap, so that a fork at any moment leaves
/// either none or a usable one, and never a lock held by a thread that is not there.
static PAGE: AtomicU64 = AtomicU64::new(0);

/// The page, made if this is the first call in this line of descent.
#[inline]
pub(super) fn get() -> Result<&'static OwnPage, Error> {
    match existing() {
        Some(page) => Ok(page),
        None => make(),
    }
}

/// The page, unless nobody has asked for it yet.
#[inline]
pub(super) fn existing() -> Option<&'static OwnPage> {
    // Acquire: pairs with the Release of the exchange in `make`: the page is mapped and all zero.
    let address = PAGE.load(Ordering::Acquire) as *const OwnPage;
    // SAFETY: PAGE is 0 or the address of a page that stays mapped, and holds only atomics, until the end.
    unsafe { address.as_ref() }
}

#[cold]
fn make() -> Result<&'static OwnPage, Error> {
    let fresh = map()?;
    // Before the page can be seen, so that nobody keeps forks out with handlers that are not there yet. Two
    // threads that come here together register twice, which the handlers do not mind.
    fork::register_handlers();
    // Release: pairs with the Acquire in `existing`; the mapping comes before. Who loses looks again there.
    if PAGE.compare_exchange(0, fresh as u64, Ordering::Release, Ordering::Relaxed).is_err() {
        // SAFETY: we mapped it just now and nobody else has seen it.
        unsafe { libc::munmap(fresh.cast(), PAGE_BYTES) };
    }
    existing().ok_or(Error::Unsupported { what: "a page of one's own" })
}

fn map() -> Result<*mut OwnPage, Error> {
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(Error::last_os("map the page that tells forks apart"));
    }
    // SAFETY: the page is ours, mapped above.
    if unsafe { libc::madvise(page, PAGE_BYTES, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; nobody else knows the page.
        unsafe { libc::munmap(page, PAGE_BYTES) };
        return Err(Error::Unsupported { what: "MADV_WIPEONFORK (Linux 4.14)" });
    }
    Ok(page.cast())
}

/// Words that stay the same as long as the process lives, so that asking the kernel once is enough.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Remembered<const N: usize> {
    known: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Remembered<N> {
    pub(super) fn recall(&self) -> Option<[u64; N]> {
        // Acquire: pairs with the Release in `remember`: the words are there.
        let known = self.known.load(Ordering::Acquire) != 0;
        // Relaxed: they never change once they are known.
        known.then(|| core::array::from_fn(|at| self.words[at].load(Ordering::Relaxed)))
    }

    /// Several threads may come here at once; they bring the same words.
    pub(super) fn remember(&self, words: [u64; N]) {
        for (place, word) in self.words.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `recall`.
        self.known.store(1, Ordering::Release);
    }
}

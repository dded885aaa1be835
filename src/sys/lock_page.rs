//! The page that says "this address space is alive".
//!
//! A write lock of an open file description lives as long as the description, and a mapping made through a
//! description keeps it alive after its descriptor is closed. So one unreadable page, never inherited by a
//! forked child, ties the lock of one byte to this address space: the kernel drops it when the process
//! exits, is killed or calls `exec`, and at no other time. Closing all descriptors does not, nor does a
//! daemon's double fork in a library. (The trick is measured in ARCHITECTURE.md.)

use super::file;
use super::fork::{Generation, NoForks};
use crate::error::Error;
use core::ptr::{self, NonNull};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

const PAGE_BYTES: usize = 4096;

/// Byte 2⁶² + index of the segment's file; far behind any data, which locks do not mind.
const FIRST_BYTE: i64 = 1 << 62;

/// The lock of one participant index, held until this is dropped or the address space ends.
#[derive(Debug)]
pub(crate) struct LockPage {
    page: NonNull<libc::c_void>,
    generation: u64,
    index: u16,
}

// SAFETY: the page is never accessed, only mapped and unmapped.
unsafe impl Send for LockPage {}
// SAFETY: as above.
unsafe impl Sync for LockPage {}

impl LockPage {
    /// Takes the first free index of `1..=limit`; `None` if all are held by living processes.
    ///
    /// `description` must be an open file description that nobody else uses; it is closed on return, and the
    /// page keeps it alive.
    pub(crate) fn take(description: OwnedFd, limit: u16) -> Result<Option<Self>, Error> {
        let generation = Generation::get()?.current();
        for index in 1..=limit {
            match set_lock(&description, index) {
                Ok(()) => return pin(description, generation, index).map(Some),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::EACCES) => {}
                    Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
                        return Err(Error::Unsupported { what: "locks of open file descriptions" });
                    }
                    _ => return Err(Error::Os { action: "lock a participant index", source: error }),
                },
            }
        }
        Ok(None)
    }

    pub(crate) fn index(&self) -> u16 {
        self.index
    }
}

impl Drop for LockPage {
    fn drop(&mut self) {
        // In a forked child the page was never mapped, and its address may be somebody else's by now.
        if Generation::get().is_ok_and(|now| now.is(self.generation)) {
            // SAFETY: this address space mapped the page in `pin`, and nothing refers into it.
            unsafe { libc::munmap(self.page.as_ptr(), PAGE_BYTES) };
        }
    }
}

/// Whether some living address space holds `index`, asked through a description that holds no lock itself.
pub(crate) fn is_held(fd: BorrowedFd<'_>, index: u16) -> io::Result<bool> {
    is_range_held(fd, index, 1)
}

/// Whether any of `count` indices from `first` on is held.
pub(crate) fn is_range_held(fd: BorrowedFd<'_>, first: u16, count: u16) -> io::Result<bool> {
    let mut lock = byte_range(first, count);
    // SAFETY: `lock` is a valid request and a valid place for the answer.
    let answer = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) };
    if answer == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Maps the page between two forks: a child that inherited it would keep the lock of its parent.
///
/// A raw `clone` in another thread during these two system calls is not held back. Its child then counts as
/// part of its parent until it ends, which delays a repair and breaks nothing.
fn pin(description: OwnedFd, generation: u64, index: u16) -> Result<LockPage, Error> {
    let _no_forks = NoForks::hold();
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        libc::mmap(ptr::null_mut(), PAGE_BYTES, libc::PROT_NONE, libc::MAP_SHARED, description.as_raw_fd(), 0)
    };
    let Some(mapped) = NonNull::new(page).filter(|_| page != libc::MAP_FAILED) else {
        return Err(Error::last_os("map the lock page"));
    };
    // From here on dropping `pinned` unmaps.
    let pinned = LockPage { page: mapped, generation, index };
    // SAFETY: the page is ours, mapped above.
    if unsafe { libc::madvise(page, PAGE_BYTES, libc::MADV_DONTFORK) } != 0 {
        return Err(Error::last_os("keep the lock page from forked children"));
    }
    Ok(pinned)
}

fn set_lock(description: &OwnedFd, index: u16) -> io::Result<()> {
    let lock = byte_range(index, 1);
    // SAFETY: `lock` is a valid request.
    match unsafe { libc::fcntl(description.as_raw_fd(), libc::F_OFD_SETLK, &lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn byte_range(first: u16, count: u16) -> libc::flock {
    // SAFETY: all zeroes is a valid `flock`; the process field must be 0 for these commands.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = FIRST_BYTE + i64::from(first);
    lock.l_len = i64::from(count);
    lock
}

/// A description of `file` that nobody else uses, for [`LockPage::take`].
pub(crate) fn private_description(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    file::reopen(file, libc::O_RDWR | libc::O_NONBLOCK)
}

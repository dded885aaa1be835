//! The page that says "this address space is alive", and the locks it holds.
//!
//! A write lock of an open file description lives as long as the description, and a mapping made through a
//! description keeps it alive after its descriptor is closed. So one unreadable page, never inherited by a
//! forked child, ties the lock of one byte to this address space: the kernel drops it when the process
//! exits, is killed or calls `exec`, and at no other time. Closing all descriptors does not, nor does a
//! daemon's double fork in a library. (The trick is measured in ARCHITECTURE.md.)
//!
//! ```text
//! byte 2^62        the right to remove the segment's name, held for a few system calls
//! byte 2^62 + i    participant index i, held by a living address space
//! ```
//!
//! Whoever may remove a name only while nobody is attached takes all of these bytes at once: then nobody is, and
//! nobody can be until it is done.

use super::file::{self, FileId, Stat};
use super::fork::{Generation, NoForks};
use crate::error::Error;
use core::ptr::{self, NonNull};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const PAGE_BYTES: usize = 4096;

/// Far behind any data, which locks do not mind.
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

/// Why [`LockPage::take`] came back without one.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// Every candidate is locked: by living processes, or all at once by somebody who is removing the name.
    Full,
    /// The description could not be opened, or is one of another file (`None`).
    NotOpened(Option<io::Error>),
    /// Anything else.
    Failed(Error),
}

impl LockPage {
    /// Takes the first of the `candidates` that is free in `file`.
    ///
    /// `open` must give an open file description that nobody else uses; it must not allocate. No fork gets
    /// through from before it is opened until only the page keeps it: a child that inherited the descriptor or
    /// the page would keep the lock of its parent. A raw `clone` in another thread during these few system
    /// calls is not held back. Its child then counts as part of its parent until it ends or calls `exec`, which
    /// delays a repair and breaks nothing.
    pub(crate) fn take(
        open: impl FnOnce() -> io::Result<OwnedFd>,
        file: FileId,
        candidates: impl Iterator<Item = u16>,
    ) -> Result<Self, NotTaken> {
        let generation = Generation::get().map_err(NotTaken::Failed)?.current();
        let no_forks = NoForks::hold().map_err(NotTaken::Failed)?;
        let description = open().map_err(|error| NotTaken::NotOpened(Some(error)))?;
        let found = Stat::of(&description).map_err(|error| NotTaken::NotOpened(Some(error)))?;
        if found.id() != file {
            return Err(NotTaken::NotOpened(None));
        }
        let taken = take_through(&description, generation, candidates);
        // In this order: forks may go on once the page alone keeps the lock.
        drop(description);
        drop(no_forks);
        taken
    }

    pub(crate) fn index(&self) -> u16 {
        self.index
    }
}

fn take_through(
    description: &OwnedFd,
    generation: u64,
    candidates: impl Iterator<Item = u16>,
) -> Result<LockPage, NotTaken> {
    for index in candidates {
        match try_lock(description.as_fd(), index, 1) {
            Ok(true) => return pin(description, generation, index).map_err(NotTaken::Failed),
            Ok(false) => {}
            Err(error) => return Err(NotTaken::Failed(refusal(error, "lock a participant index"))),
        }
    }
    Err(NotTaken::Full)
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

/// Maps the page. Forks are held back by the caller.
fn pin(description: &OwnedFd, generation: u64, index: u16) -> Result<LockPage, Error> {
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

/// Whether some living address space holds `index`, asked through a description that holds no lock itself.
pub(crate) fn is_held(fd: BorrowedFd<'_>, index: u16) -> io::Result<bool> {
    Ok(holder(fd, index, 1)?.is_some())
}

/// Whether anybody holds an index of `1..=limit`: a participant, or just now who removes the name.
pub(crate) fn is_any_held(fd: BorrowedFd<'_>, limit: u16) -> io::Result<bool> {
    Ok(holder(fd, 1, limit)?.is_some())
}

/// Whether somebody is just now removing the name of a segment that nobody is attached to.
pub(crate) fn is_being_removed(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(holder(fd, 0, 1)?.is_some_and(|lock| lock.l_len > 1))
}

/// Takes the right to remove the segment's name, which goes with the description; `false` if somebody has it.
pub(crate) fn try_lock_name(own_description: BorrowedFd<'_>) -> io::Result<bool> {
    try_lock(own_description, 0, 1)
}

/// The same, and at once all indices up to `limit`; `false` if anybody is attached.
pub(crate) fn try_lock_unused(own_description: BorrowedFd<'_>, limit: u16) -> io::Result<bool> {
    try_lock(own_description, 0, limit.saturating_add(1))
}

/// Gives the right up, with the indices up to `limit`. Closing the description is not enough: a child forked
/// meanwhile has it, too.
pub(crate) fn unlock_name(own_description: BorrowedFd<'_>, limit: u16) {
    let mut lock = byte_range(0, limit.saturating_add(1));
    lock.l_type = libc::F_UNLCK as libc::c_short;
    // SAFETY: `lock` is a valid request.
    unsafe { libc::fcntl(own_description.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
}

/// What a failed lock means.
pub(crate) fn refusal(error: io::Error, action: &'static str) -> Error {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
            Error::Unsupported { what: "locks of open file descriptions" }
        }
        _ => Error::Os { action, source: error },
    }
}

fn try_lock(fd: BorrowedFd<'_>, first: u16, count: u16) -> io::Result<bool> {
    let lock = byte_range(first, count);
    // SAFETY: `lock` is a valid request.
    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &lock) } != -1 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        error => Err(error),
    }
}

/// A lock that somebody else holds in this range.
fn holder(fd: BorrowedFd<'_>, first: u16, count: u16) -> io::Result<Option<libc::flock>> {
    let mut lock = byte_range(first, count);
    // SAFETY: `lock` is a valid request and a valid place for the answer.
    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock))
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

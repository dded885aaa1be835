//! Mapping a segment's file.

use crate::error::Error;
use core::ptr::{self, NonNull};
use memmap2::{Advice, MmapOptions, MmapRaw};
use std::os::fd::{AsRawFd, BorrowedFd};

/// How the pages of a mapping come into being.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageOptions {
    /// Touch every page now, so that no operation meets a page fault later (about 5 µs each).
    pub(crate) prefault: bool,
    /// Ask for transparent huge pages.
    pub(crate) huge: bool,
}

/// A shared, writable mapping of a segment; unmapped on drop.
///
/// Never turned into a reference except to atomics: other processes write to it.
#[derive(Debug)]
pub(crate) enum Mapping {
    /// The file as it is.
    Plain(MmapRaw),
    /// The file with each data area mapped twice in a row.
    Mirrored(Mirrored),
}

impl Mapping {
    /// Maps `len` bytes of `file`, which has that many.
    pub(crate) fn plain(file: BorrowedFd<'_>, len: usize, pages: PageOptions) -> Result<Self, Error> {
        let map = MmapOptions::new()
            .len(len)
            .map_raw(file.as_raw_fd())
            .map_err(|source| Error::Os { action: "map the segment", source })?;
        // Secrets in transit do not belong into core files. Failing to say so harms nobody.
        let _ = map.advise(Advice::DontDump);
        let mapping = Mapping::Plain(map);
        mapping.prepare(pages)?;
        Ok(mapping)
    }

    /// Maps `head` bytes once, then each of `areas` stretches of `area` bytes twice in a row. All lengths
    /// are multiples of the page size, and the file has `head + areas * area` bytes.
    pub(crate) fn mirrored(
        file: BorrowedFd<'_>,
        head: usize,
        area: usize,
        areas: usize,
        pages: PageOptions,
    ) -> Result<Self, Error> {
        let mapping = Mapping::Mirrored(Mirrored::new(file, head, area, areas)?);
        mapping.prepare(pages)?;
        Ok(mapping)
    }

    #[inline]
    pub(crate) fn base(&self) -> NonNull<u8> {
        match self {
            // A successful mapping is never at address 0.
            Mapping::Plain(map) => NonNull::new(map.as_mut_ptr()).unwrap_or(NonNull::dangling()),
            Mapping::Mirrored(map) => map.base,
        }
    }

    /// The length in address space, mirrors included.
    pub(crate) fn len(&self) -> usize {
        match self {
            Mapping::Plain(map) => map.len(),
            Mapping::Mirrored(map) => map.len,
        }
    }

    fn prepare(&self, pages: PageOptions) -> Result<(), Error> {
        let (base, len) = (self.base().as_ptr().cast(), self.len());
        // SAFETY: advice on a whole mapping of ours; it changes no content.
        if pages.huge && unsafe { libc::madvise(base, len, libc::MADV_HUGEPAGE) } != 0 {
            return Err(Error::Unsupported { what: "transparent huge pages for shared memory" });
        }
        // SAFETY: as above: populating leaves every byte as it is.
        if pages.prefault && unsafe { libc::madvise(base, len, libc::MADV_POPULATE_WRITE) } != 0 {
            return Err(Error::last_os("prefault the segment"));
        }
        Ok(())
    }
}

/// See [`Mapping::mirrored`].
#[derive(Debug)]
pub(crate) struct Mirrored {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: plain memory; who may touch which part of it is the business of the rings on top.
unsafe impl Send for Mirrored {}
// SAFETY: as above.
unsafe impl Sync for Mirrored {}

impl Mirrored {
    fn new(file: BorrowedFd<'_>, head: usize, area: usize, areas: usize) -> Result<Self, Error> {
        let len = area
            .checked_mul(2)
            .and_then(|twice| twice.checked_mul(areas))
            .and_then(|doubled| doubled.checked_add(head))
            .ok_or(Error::BadCapacity { asked: area as u64, min: 1, max: usize::MAX as u64 / 4 })?;
        // Reserve the whole stretch first, so that the fixed mappings below can only replace our own pages.
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0)
        };
        let Some(base) = NonNull::new(start.cast::<u8>()).filter(|_| start != libc::MAP_FAILED) else {
            return Err(Error::last_os("reserve address space"));
        };
        let mirrored = Mirrored { base, len }; // unmaps on every way out
        if areas == 0 {
            mirrored.place(file, 0, 0, head)?;
        }
        for index in 0..areas {
            // The head and the first area are neighbours in the file as well: one mapping for both.
            let lead = if index == 0 { head } else { 0 };
            let offset = head + index * area;
            let at = head + 2 * index * area;
            mirrored.place(file, at - lead, offset - lead, lead + area)?;
            mirrored.place(file, at + area, offset, area)?;
        }
        // SAFETY: advice on a whole mapping of ours; it changes no content, and failing harms nobody.
        unsafe { libc::madvise(start, len, libc::MADV_DONTDUMP) };
        Ok(mirrored)
    }

    fn place(&self, file: BorrowedFd<'_>, at: usize, offset: usize, len: usize) -> Result<(), Error> {
        debug_assert!(at + len <= self.len);
        // SAFETY: `at` lies within our own reservation.
        let target = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: `at..at + len` lies within our own reservation, where nothing else lives.
        let placed = unsafe {
            libc::mmap(
                target.cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_FIXED,
                file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if placed == libc::MAP_FAILED { Err(Error::last_os("map the segment")) } else { Ok(()) }
    }
}

impl Drop for Mirrored {
    fn drop(&mut self) {
        // SAFETY: the stretch is ours alone, and whoever holds pointers into it holds this mapping too.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

//! Mapping a segment's file.

use crate::error::Error;
use crate::sync::{AtomicU32, Ordering};
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
    #[cfg(test)]
    pub(crate) fn plain(file: BorrowedFd<'_>, len: usize, pages: PageOptions) -> Result<Self, Error> {
        Self::with_tail(file, len, 0, pages)
    }

    /// Maps `solid` bytes of `file` and the `tail` bytes behind them, which are a hole in it: nothing is promised for
    /// them, and prefaulting leaves them alone.
    pub(crate) fn with_tail(
        file: BorrowedFd<'_>,
        solid: usize,
        tail: usize,
        pages: PageOptions,
    ) -> Result<Self, Error> {
        let mut options = MmapOptions::new();
        options.len(solid.saturating_add(tail));
        if tail > 0 {
            options.no_reserve_swap();
        }
        let map = options
            .map_raw(file.as_raw_fd())
            .map_err(|source| Error::Os { action: "map the segment", source })?;
        // Secrets in transit do not belong into core files. Failing to say so harms nobody.
        let _ = map.advise(Advice::DontDump);
        let mapping = Mapping::Plain(map);
        mapping.prepare(pages, solid)?;
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
        mapping.prepare(pages, mapping.len())?;
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

    /// Does to the pages what was asked for; only the first `solid` bytes may come into being by that.
    fn prepare(&self, pages: PageOptions, solid: usize) -> Result<(), Error> {
        let (base, len) = (self.base().as_ptr().cast(), self.len());
        debug_assert!(solid <= len);
        // SAFETY: advice on a whole mapping of ours; it changes no content.
        if pages.huge && unsafe { libc::madvise(base, len, libc::MADV_HUGEPAGE) } != 0 {
            return Err(Error::Unsupported { what: "transparent huge pages for shared memory" });
        }
        // SAFETY: as above: populating leaves every byte as it is.
        if pages.prefault && unsafe { libc::madvise(base, solid, libc::MADV_POPULATE_WRITE) } != 0 {
            match std::io::Error::last_os_error() {
                // Before Linux 5.14.
                error if error.raw_os_error() == Some(libc::EINVAL) => self.touch(solid),
                source => return Err(Error::Os { action: "prefault the segment", source }),
            }
        }
        Ok(())
    }

    /// Writes to every page of the first `len` bytes without changing anything, whoever else may be writing there.
    fn touch(&self, len: usize) {
        for at in (0..len.min(self.len())).step_by(4096) {
            // SAFETY: `at` is inside the mapping.
            let word = unsafe { self.base().add(at) };
            // SAFETY: the first word of a mapped page, aligned; an atomic may be shared with anybody.
            let word: &AtomicU32 = unsafe { word.cast().as_ref() };
            word.fetch_or(0, Ordering::Relaxed);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file;
    use std::os::fd::AsFd;

    fn resident(mapping: &Mapping) -> usize {
        let mut pages = vec![0u8; mapping.len() / 4096];
        let (base, len) = (mapping.base().as_ptr().cast(), mapping.len());
        // SAFETY: one byte of answer for each page of the mapping.
        assert_eq!(unsafe { libc::mincore(base, len, pages.as_mut_ptr()) }, 0);
        pages.iter().filter(|&&page| page & 1 == 1).count()
    }

    #[test]
    fn touching_changes_nothing_and_reaches_every_page() {
        let fd = file::memfd(c"test").unwrap();
        let len = 8 * 4096;
        // A hole, not reserved: only touching makes its pages.
        file::write_at(fd.as_fd(), &[7], len - 1).unwrap();
        let mapping = Mapping::plain(fd.as_fd(), len as usize, PageOptions::default()).unwrap();
        assert_eq!(resident(&mapping), 1);
        mapping.touch(len as usize / 2);
        assert_eq!(resident(&mapping), 5);
        mapping.touch(len as usize);
        assert_eq!(resident(&mapping), 8);
        let mut content = vec![1; len as usize];
        file::read_at(fd.as_fd(), &mut content, 0).unwrap();
        assert_eq!(content.iter().map(|&byte| usize::from(byte)).sum::<usize>(), 7);
    }

    #[test]
    fn prefaulting_reaches_every_page() {
        let fd = file::memfd(c"test").unwrap();
        file::write_at(fd.as_fd(), &[7], 4 * 4096 - 1).unwrap();
        let pages = PageOptions { prefault: true, huge: false };
        assert_eq!(resident(&Mapping::plain(fd.as_fd(), 4 * 4096, pages).unwrap()), 4);
        // Of a tail only what is asked for.
        let tailed = Mapping::with_tail(fd.as_fd(), 2 * 4096, 2 * 4096, pages).unwrap();
        assert_eq!(tailed.len(), 4 * 4096);
        // Mirrors are the same pages again.
        assert_eq!(resident(&Mapping::mirrored(fd.as_fd(), 4096, 4096, 3, pages).unwrap()), 7);
    }

    #[test]
    fn mirrors_show_the_same_bytes() {
        let fd = file::memfd(c"test").unwrap();
        let (head, area) = (4096, 8192);
        file::allocate(fd.as_fd(), (head + 2 * area) as u64).unwrap();
        let mapping = Mapping::mirrored(fd.as_fd(), head, area, 2, PageOptions::default()).unwrap();
        assert_eq!(mapping.len(), head + 4 * area);
        let word = |at: usize| -> &AtomicU32 {
            // SAFETY: inside the mapping.
            let word = unsafe { mapping.base().add(at) };
            // SAFETY: aligned, mapped as long as the test runs, and an atomic.
            unsafe { word.cast().as_ref() }
        };
        for (number, offset) in (1..).zip((0..area).step_by(256)) {
            for (index, mark) in [(0, number), (1, 1000 + number)] {
                let first = head + 2 * index * area + offset;
                word(first).store(mark, Ordering::Relaxed);
                assert_eq!(word(first + area).load(Ordering::Relaxed), mark);
                word(first + area).store(mark + 5000, Ordering::Relaxed);
                assert_eq!(word(first).load(Ordering::Relaxed), mark + 5000);
                let mut bytes = [0; 4];
                file::read_at(fd.as_fd(), &mut bytes, (head + index * area + offset) as u64).unwrap();
                assert_eq!(u32::from_ne_bytes(bytes), mark + 5000, "area {index} is where the file has it");
            }
        }
        assert_eq!(word(0).load(Ordering::Relaxed), 0, "the head is not part of any mirror");
    }
}

//! How long a file is, and what the file system has put by for it.

use super::{FileSystem, check, retry};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reserves the first `len` bytes, so that writing to a mapping of them can never meet a full disk.
pub(crate) fn allocate(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    allocate_range(fd, 0, len)
}

/// The end of a stretch of a file, unless that is more than this process may make a file long.
fn end_of(at: u64, len: u64) -> io::Result<i64> {
    let end = at.checked_add(len).and_then(|end| i64::try_from(end).ok());
    // Going beyond the limit would not only fail but raise SIGXFSZ, which ends most processes.
    end.filter(|&end| end as u64 <= file_size_limit()).ok_or(io::Error::from_raw_os_error(libc::EFBIG))
}

/// Gives a file its length. What it grows by is a hole.
pub(crate) fn set_len(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    let len = end_of(0, len)?;
    // SAFETY: no memory is involved.
    retry(|| unsafe { libc::ftruncate(fd.as_raw_fd(), len) }).map(drop)
}

/// Gives a stretch of a file back to the file system: it is a hole again, and reads as zeros. Whole pages only.
pub(crate) fn punch(fd: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    let end = end_of(at, len)?;
    let (at, mode) = (at as i64, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE);
    if at == end {
        return Ok(());
    }
    // SAFETY: no memory is involved.
    retry(|| unsafe { libc::fallocate(fd.as_raw_fd(), mode, at, end - at) }).map(drop)
}

/// Reserves `len` bytes from `at` on, so that writing to a mapping of them can never meet a full disk. What fails has
/// reserved nothing, or some of it.
pub(crate) fn allocate_range(fd: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    let end = end_of(at, len)?;
    // Memory gives until there is none left, and then the kernel kills somebody.
    if FileSystem::of(fd)?.is_memory() && len > all_memory() {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    // In pieces: a signal undoes the whole call, so a large one would never end under a profiler's timer.
    let (mut done, mut piece) = (at as i64, LARGEST_PIECE);
    while done < end {
        let next = piece.min(end - done);
        // SAFETY: no memory is involved.
        match check(unsafe { libc::fallocate(fd.as_raw_fd(), 0, done, next) }) {
            Ok(_) => {
                done += next;
                piece = (piece * 2).min(LARGEST_PIECE);
            }
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {
                piece = (piece / 2).max(SMALLEST_PIECE)
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const LARGEST_PIECE: i64 = 64 << 20;
const SMALLEST_PIECE: i64 = 64 << 10;

fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    match unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } {
        0 => limit.rlim_cur,
        _ => u64::MAX,
    }
}

/// The bytes of memory and swap that this machine has, free or not.
fn all_memory() -> u64 {
    // SAFETY: all zeroes is a valid `sysinfo`.
    let mut info: libc::sysinfo = unsafe { core::mem::zeroed() };
    // SAFETY: `info` is a valid place for the answer.
    match unsafe { libc::sysinfo(&mut info) } {
        0 => (info.totalram as u64)
            .saturating_add(info.totalswap as u64)
            .saturating_mul(u64::from(info.mem_unit)),
        _ => u64::MAX,
    }
}

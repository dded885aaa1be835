//! Locks on single bytes of a file, which go with an open file description: as long as anybody has it open.

use std::{
    fs::{File, OpenOptions},
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

/// A description of a file of our own, by which bytes of it can be locked. A child that keeps it open keeps what it locks.
#[derive(Debug)]
pub(crate) struct Bytes {
    file: File,
}

impl Bytes {
    /// Another description of the file behind `fd`, with no locks yet.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<Bytes> {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Ok(Bytes { file: OpenOptions::new().read(true).write(true).open(path)? })
    }

    /// Locks the byte at `at`; `false` if another description has it.
    pub(crate) fn try_lock(&self, at: u64) -> io::Result<bool> {
        match self.ask(libc::F_OFD_SETLK, libc::F_WRLCK, at, 1) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the byte at `at` back, whoever else has the description open.
    pub(crate) fn unlock(&self, at: u64) -> io::Result<()> {
        self.ask(libc::F_OFD_SETLK, libc::F_UNLCK, at, 1).map(drop)
    }

    /// Whether another description has a lock on one of the `count` bytes from `at` on.
    pub(crate) fn is_any_locked(&self, at: u64, count: u64) -> io::Result<bool> {
        let found = self.ask(libc::F_OFD_GETLK, libc::F_WRLCK, at, count)?;
        Ok(found != libc::F_UNLCK)
    }

    /// What a child is to keep open.
    pub(crate) fn raw(&self) -> RawFd {
        self.file.as_fd().as_raw_fd()
    }

    fn ask(&self, what: libc::c_int, kind: libc::c_int, at: u64, count: u64) -> io::Result<libc::c_int> {
        // SAFETY: flock is plain data of integers.
        let mut lock: libc::flock = unsafe { mem::zeroed() };
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        let beyond = |_| io::Error::from_raw_os_error(libc::EOVERFLOW);
        lock.l_start = libc::off_t::try_from(at).map_err(beyond)?;
        lock.l_len = libc::off_t::try_from(count).map_err(beyond)?;
        // SAFETY: the descriptor is open, and the kernel reads and fills `lock`, a live flock.
        match unsafe { libc::fcntl(self.raw(), what, &raw mut lock) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(lock.l_type.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_exclude_each_other_and_their_copies_do_not() {
        let memory = ringway::Event::anonymous().unwrap();
        let [one, other] = [(); 2].map(|()| Bytes::of(memory.as_fd()).unwrap());
        assert!(one.try_lock(5).unwrap() && one.try_lock(5).unwrap());
        assert!(!other.try_lock(5).unwrap() && other.try_lock(6).unwrap());
        assert!(other.is_any_locked(0, 6).unwrap() && !other.is_any_locked(0, 5).unwrap());
        let copy = one.file.try_clone().unwrap();
        drop(one);
        assert!(!other.try_lock(5).unwrap(), "the copy keeps it");
        Bytes { file: copy }.unlock(5).unwrap();
        assert!(other.try_lock(5).unwrap());
        assert!(other.try_lock(u64::MAX).is_err(), "no such place");
    }
}

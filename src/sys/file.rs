//! Files, descriptors and directories.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What tells one file from another on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// What `fstat` says of a descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat(libc::stat);

impl Stat {
    pub(crate) fn of(fd: impl AsFd) -> io::Result<Self> {
        // SAFETY: all zeroes is a valid `stat`.
        let mut stat: libc::stat = unsafe { core::mem::zeroed() };
        // SAFETY: the descriptor is open and `stat` is a valid place for the answer.
        check(unsafe { libc::fstat(fd.as_fd().as_raw_fd(), &mut stat) })?;
        Ok(Stat(stat))
    }

    pub(crate) fn id(&self) -> FileId {
        FileId { device: self.0.st_dev, inode: self.0.st_ino }
    }

    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    pub(crate) fn owner(&self) -> u32 {
        self.0.st_uid
    }

    /// The permission bits alone.
    pub(crate) fn mode(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    pub(crate) fn links(&self) -> u64 {
        self.0.st_nlink
    }

    /// `None` for a regular file, else what it is.
    pub(crate) fn special(&self) -> Option<&'static str> {
        match self.0.st_mode & libc::S_IFMT {
            libc::S_IFREG => None,
            libc::S_IFDIR => Some("a directory"),
            libc::S_IFIFO => Some("a FIFO"),
            libc::S_IFSOCK => Some("a socket"),
            libc::S_IFCHR | libc::S_IFBLK => Some("a device"),
            libc::S_IFLNK => Some("a symbolic link"),
            _ => Some("a special file"),
        }
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats a call that a signal handler interrupted.
fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<libc::c_int> {
    loop {
        match check(call()) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            other => return other,
        }
    }
}

fn own(fd: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel just returned this descriptor to us, so nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// `openat`, always close-on-exec.
pub(crate) fn open_at(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: `path` is a C string and outlives the call.
    retry(|| unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC, mode) }).map(own)
}

/// Opens a path from the root or the working directory.
pub(crate) fn open(path: &CStr, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: `path` is a C string and outlives the call.
    retry(|| unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }).map(own)
}

/// The same file through an open file description of its own, which a duplicated descriptor is not.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: i32) -> io::Result<OwnedFd> {
    open(&proc_path(fd), flags)
}

/// A file in `dir` that has no name yet (`O_TMPFILE`).
pub(crate) fn unnamed(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    open_at(dir, c".", libc::O_TMPFILE | libc::O_RDWR, 0o600)
}

/// Gives an unnamed file its name; fails with `EEXIST` if the name is taken.
pub(crate) fn link(fd: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let from = proc_path(fd);
    // SAFETY: both paths are C strings and outlive the call.
    let linked = unsafe {
        libc::linkat(libc::AT_FDCWD, from.as_ptr(), dir.as_raw_fd(), name.as_ptr(), libc::AT_SYMLINK_FOLLOW)
    };
    check(linked).map(drop)
}

/// Moves a name; fails with `EEXIST` if the new one is taken.
pub(crate) fn rename_new(dir: BorrowedFd<'_>, from: &CStr, to: &CStr) -> io::Result<()> {
    let dir = dir.as_raw_fd();
    // SAFETY: both names are C strings and outlive the call.
    let renamed = unsafe { libc::renameat2(dir, from.as_ptr(), dir, to.as_ptr(), libc::RENAME_NOREPLACE) };
    check(renamed).map(drop)
}

pub(crate) fn unlink_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is a C string and outlives the call.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

pub(crate) fn make_dir(path: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: `path` is a C string and outlives the call.
    check(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(drop)
}

pub(crate) fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), mode) }).map(drop)
}

/// Reserves `len` bytes, so that writing to a mapping of them can never meet a full disk.
pub(crate) fn allocate(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    let len = i64::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    // SAFETY: no memory is involved.
    retry(|| unsafe { libc::fallocate(fd.as_raw_fd(), 0, 0, len) }).map(drop)
}

/// An anonymous file that may be sealed.
pub(crate) fn memfd(name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a C string and outlives the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    check(fd).map(own)
}

/// The seals that keep a peer from shrinking memory under our feet.
pub(crate) const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;

pub(crate) fn seal(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, SEALS) }).map(drop)
}

/// Which of [`SEALS`] a descriptor lacks; all of them if it cannot be sealed.
pub(crate) fn missing_seals(fd: BorrowedFd<'_>) -> i32 {
    // SAFETY: no memory is involved.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) } {
        -1 => SEALS,
        found => SEALS & !found,
    }
}

/// Reads at most `buffer.len()` bytes at `offset`; fewer only at the end of the file.
pub(crate) fn read_at(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        // SAFETY: `rest` is writable for its length.
        let got = unsafe {
            libc::pread(fd.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len(), (offset + done as u64) as i64)
        };
        match got {
            0 => break,
            -1 => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EINTR) => {}
                error => return Err(error),
            },
            got => done += got as usize,
        }
    }
    Ok(done)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_at(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
    // SAFETY: `bytes` is readable for its length.
    let put = unsafe { libc::pwrite(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), offset as i64) };
    match put {
        -1 => Err(io::Error::last_os_error()),
        put if put as usize == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Waits for the exclusive `flock` of a file or directory; dropping the descriptor gives it up.
pub(crate) fn lock_exclusively(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is involved.
    retry(|| unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX) }).map(drop)
}

/// Whether nobody holds the `flock` of a file just now. Takes and drops it.
pub(crate) fn is_unlocked(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// The name of the file system if its mappings or locks are not those of one kernel.
pub(crate) fn foreign_file_system(fd: BorrowedFd<'_>) -> io::Result<Option<&'static str>> {
    // SAFETY: all zeroes is a valid `statfs`.
    let mut stat: libc::statfs = unsafe { core::mem::zeroed() };
    // SAFETY: `stat` is a valid place for the answer.
    check(unsafe { libc::fstatfs(fd.as_raw_fd(), &mut stat) })?;
    Ok(match stat.f_type as u64 & 0xffff_ffff {
        0x6969 => Some("segments on NFS"),
        0xff53_4d42 => Some("segments on CIFS"),
        0xfe53_4d42 => Some("segments on SMB"),
        0x0102_1997 => Some("segments on 9p"),
        0x6573_5546 => Some("segments on FUSE"),
        _ => None,
    })
}

/// Keeps a descriptor open over `exec`. Async-signal-safe: meant for the moment between fork and exec.
///
/// Checks first that the number still means `file`, so that a number reused since hands over nothing.
pub(crate) fn keep_over_exec(fd: i32, file: FileId) -> io::Result<()> {
    // SAFETY: the number may be stale, which `fstat` answers with EBADF; nothing is closed.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    if Stat::of(fd)?.id() != file {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: no memory is involved.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }).map(drop)
}

/// Takes a descriptor that was handed over by number and makes it close-on-exec. It must be `file`, and not
/// close-on-exec yet: whatever else has the number by now, or took it already, is not ours to own.
pub(crate) fn adopt(fd: i32, file: FileId) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved; a stale number is answered with EBADF.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    // SAFETY: the number is open, and nothing is closed through this.
    let found = Stat::of(unsafe { BorrowedFd::borrow_raw(fd) })?.id();
    if flags & libc::FD_CLOEXEC != 0 || found != file {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: no memory is involved.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(own(fd))
}

fn proc_path(fd: BorrowedFd<'_>) -> std::ffi::CString {
    std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default()
}

//! Files, descriptors and directories.

mod space;

pub(crate) use space::{allocate, allocate_range, punch, set_len};

use core::mem::MaybeUninit;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

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

    /// What `name` in `dir` is, without following a symbolic link.
    pub(crate) fn at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Self> {
        // SAFETY: all zeroes is a valid `stat`.
        let mut stat: libc::stat = unsafe { core::mem::zeroed() };
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        // SAFETY: `name` is a C string that outlives the call, and `stat` is a valid place for the answer.
        check(unsafe { libc::fstatat(dir.as_raw_fd(), name.as_ptr(), &mut stat, flags) })?;
        Ok(Stat(stat))
    }

    pub(crate) fn id(&self) -> FileId {
        FileId { device: self.0.st_dev, inode: self.0.st_ino }
    }

    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    /// How many bytes the file takes, holes left out.
    pub(crate) fn allocated(&self) -> u64 {
        u64::try_from(self.0.st_blocks).unwrap_or(0).saturating_mul(512)
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
///
/// Does not allocate, as [`LockPage::take`](super::lock_page::LockPage::take) demands.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: i32) -> io::Result<OwnedFd> {
    open(ProcPath::new(fd).as_c_str(), flags)
}

/// A file in `dir` that has no name yet (`O_TMPFILE`).
pub(crate) fn unnamed(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    open_at(dir, c".", libc::O_TMPFILE | libc::O_RDWR, 0o600)
}

/// Gives an unnamed file its name; fails with `EEXIST` if the name is taken.
pub(crate) fn link(fd: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let from = ProcPath::new(fd);
    let (from, here) = (from.as_c_str().as_ptr(), libc::AT_FDCWD);
    // SAFETY: both paths are C strings and outlive the call.
    let linked = unsafe { libc::linkat(here, from, dir.as_raw_fd(), name.as_ptr(), libc::AT_SYMLINK_FOLLOW) };
    check(linked).map(drop)
}

/// Moves a name; fails with `EEXIST` if the new one is taken.
pub(crate) fn rename_new(dir: BorrowedFd<'_>, from: &CStr, to: &CStr) -> io::Result<()> {
    let dir = dir.as_raw_fd();
    let (call, flags) = (libc::SYS_renameat2, libc::RENAME_NOREPLACE);
    // By number: musl has had no function for it until lately.
    // SAFETY: both names are C strings and outlive the call.
    let renamed = unsafe { libc::syscall(call, dir, from.as_ptr(), dir, to.as_ptr(), flags) };
    check(renamed as libc::c_int).map(drop)
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

/// An anonymous file that may be sealed.
pub(crate) fn memfd(name: &CStr) -> io::Result<OwnedFd> {
    let make = |more| {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | more;
        // SAFETY: `name` is a C string and outlives the call.
        check(unsafe { libc::memfd_create(name.as_ptr(), flags) }).map(own)
    };
    // Hardened systems refuse memory that could be executed; kernels before 6.3 do not know the flag.
    match make(libc::MFD_NOEXEC_SEAL) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => make(0),
        other => other,
    }
}

/// The seals that keep a peer from shrinking memory under our feet.
pub(crate) const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;

/// Sets [`SEALS`] and keeps others from adding more: one against writing would lock out the next to attach.
pub(crate) fn seal(fd: BorrowedFd<'_>) -> io::Result<()> {
    let seals = SEALS | libc::F_SEAL_SEAL;
    // SAFETY: no memory is involved.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
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
    // SAFETY: bytes are as good uninitialised as they are, and reading only initialises.
    let buffer = unsafe { &mut *(buffer as *mut [u8] as *mut [MaybeUninit<u8>]) };
    read_new_at(fd, buffer, offset)
}

/// The same where nothing is yet: so many bytes are initialised.
pub(crate) fn read_new_at(
    fd: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
    offset: u64,
) -> io::Result<usize> {
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
    let mut done = 0;
    while done < bytes.len() {
        let (rest, at) = (&bytes[done..], (offset + done as u64) as i64);
        // SAFETY: `rest` is readable for its length.
        match unsafe { libc::pwrite(fd.as_raw_fd(), rest.as_ptr().cast(), rest.len(), at) } {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            -1 => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EINTR) => {}
                error => return Err(error),
            },
            put => done += put as usize,
        }
    }
    Ok(())
}

/// Takes the exclusive `flock` of a file, which goes with the description; `false` if somebody has it.
pub(crate) fn try_lock_exclusively(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// Takes the shared `flock` of a file, which goes with the description; `false` if somebody has the exclusive one.
pub(crate) fn try_lock_with_others(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) == 0 }
}

/// What is known of the file system behind a descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileSystem(u32);

impl FileSystem {
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: all zeroes is a valid `statfs`.
        let mut stat: libc::statfs = unsafe { core::mem::zeroed() };
        // SAFETY: `stat` is a valid place for the answer.
        check(unsafe { libc::fstatfs(fd.as_raw_fd(), &mut stat) })?;
        // The numbers have 32 bits; where the field is signed and wider, some come sign-extended.
        Ok(FileSystem(stat.f_type as u32))
    }

    /// What to say of it if its mappings or locks are not those of this one kernel.
    pub(crate) fn foreign(self) -> Option<&'static str> {
        Some(match self.0 {
            0x0000_6969 => "segments on NFS",
            0xff53_4d42 => "segments on CIFS",
            0xfe53_4d42 | 0x0000_517b => "segments on SMB",
            0x0102_1997 => "segments on 9p",
            0x6573_5546 => "segments on FUSE",
            0x5346_414f | 0x6b41_4653 => "segments on AFS",
            0x7375_7245 => "segments on Coda",
            0x00c3_6400 => "segments on Ceph",
            0x0bd0_0bd0 => "segments on Lustre",
            0x4750_4653 => "segments on GPFS",
            0x0116_1970 => "segments on GFS2",
            0x7461_636f => "segments on OCFS2",
            0x786f_4256 => "segments on VirtualBox shared folders",
            0xbacb_acbc => "segments on VMware shared folders",
            _ => return None,
        })
    }

    /// Whether its files are memory, and say exactly how much of it.
    pub(crate) fn is_tmpfs(self) -> bool {
        self.0 == 0x0102_1994
    }

    /// Whether its files cannot outlive the boot they were made in.
    pub(crate) fn is_memory(self) -> bool {
        matches!(self.0, 0x0102_1994 | 0x8584_58f6 | 0x9584_58f6) // tmpfs, ramfs, hugetlbfs
    }
}

/// The names in a directory, without `.` and `..`.
pub(crate) fn entries(dir: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    // A description of its own: `fdopendir` takes it over, and its position is nobody else's business.
    let own = open_at(dir, c".", libc::O_DIRECTORY | libc::O_RDONLY, 0)?;
    // SAFETY: the descriptor is a directory's, and the stream becomes its owner if the call succeeds.
    let stream = unsafe { libc::fdopendir(own.as_raw_fd()) };
    if stream.is_null() {
        return Err(io::Error::last_os_error());
    }
    let _ = own.into_raw_fd();
    let stream = Stream(stream);
    let mut names = Vec::new();
    loop {
        // A null entry is the end only if errno stays 0.
        // SAFETY: touches no memory of ours.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: this thread's errno is always there.
        unsafe { *errno = 0 };
        // SAFETY: the stream is open, and ours alone.
        let entry = unsafe { libc::readdir(stream.0) };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(0) { Ok(names) } else { Err(error) };
        }
        // SAFETY: the entry is valid until the next call.
        let name = unsafe { &raw const (*entry).d_name };
        // SAFETY: as above, and its name ends with a NUL.
        let name = unsafe { CStr::from_ptr(name.cast()) };
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
}

/// An open directory stream.
struct Stream(*mut libc::DIR);

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: opened by `entries`, which does not use it afterwards. Closes the descriptor, too.
        unsafe { libc::closedir(self.0) };
    }
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

/// The path of a descriptor under /proc, on the stack.
struct ProcPath([u8; 32]);

impl ProcPath {
    fn new(fd: BorrowedFd<'_>) -> Self {
        use io::Write;
        let mut path = [0; 32];
        // 14 bytes and at most 10 digits: they fit, and at least one NUL stays behind them.
        let _ = write!(&mut path[..31], "/proc/self/fd/{}", fd.as_raw_fd());
        ProcPath(path)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_other_machines_are_known() {
        let foreign = |number| FileSystem(number).foreign();
        assert_eq!(foreign(0x6969), Some("segments on NFS"));
        assert_eq!(foreign(0xff53_4d42), Some("segments on CIFS"));
        assert_eq!(foreign(0xfe53_4d42), Some("segments on SMB"));
        assert_eq!(foreign(0x0102_1997), Some("segments on 9p"));
        assert_eq!(foreign(0x6573_5546), Some("segments on FUSE"));
        assert_eq!(foreign(0x0bd0_0bd0), Some("segments on Lustre"));
        for local in [0x0102_1994, 0xef53, 0x5846_5342, 0x9123_683e, 0x794c_7630] {
            assert_eq!(foreign(local), None, "{local:#x} is tmpfs, ext4, xfs, btrfs or overlayfs");
        }
    }

    #[test]
    fn shared_memory_is_memory_and_proc_is_not() {
        let of =
            |path| FileSystem::of(open(path, libc::O_RDONLY | libc::O_DIRECTORY).unwrap().as_fd()).unwrap();
        assert!(of(c"/dev/shm").is_memory());
        assert_eq!(of(c"/dev/shm").foreign(), None);
        assert!(!of(c"/proc").is_memory());
    }

    #[test]
    fn the_longest_descriptor_has_a_path() {
        // SAFETY: nothing is done with the descriptor.
        let fd = unsafe { BorrowedFd::borrow_raw(i32::MAX) };
        assert_eq!(ProcPath::new(fd).as_c_str(), c"/proc/self/fd/2147483647");
    }

    #[test]
    fn entries_are_all_there_and_nothing_else() {
        let path = format!("/dev/shm/ringway-entries-{}", std::process::id());
        std::fs::create_dir(&path).unwrap();
        for name in ["b", "a", ".c"] {
            std::fs::write(format!("{path}/{name}"), "").unwrap();
        }
        let dir = open(&CString::new(path.clone()).unwrap(), libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        for _ in 0..2 {
            let mut names = entries(dir.as_fd()).unwrap();
            names.sort();
            assert_eq!(names, [c".c", c"a", c"b"].map(CStr::to_owned));
        }
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn memory_is_sealed_against_resizing_and_further_seals() {
        let fd = memfd(c"test").unwrap();
        assert_eq!(missing_seals(fd.as_fd()), SEALS);
        allocate(fd.as_fd(), 8192).unwrap();
        seal(fd.as_fd()).unwrap();
        assert_eq!(missing_seals(fd.as_fd()), 0);
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), 0) }, -1);
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_FUTURE_WRITE) }, -1);
        assert_eq!(Stat::of(&fd).unwrap().len(), 8192);
    }
}

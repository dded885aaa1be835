//! Descriptors that say that there is something to receive: a pair of connected sockets, or a FIFO.
//!
//! Both carry one byte, always the same. A socket is also the witness of the other end: the kernel hangs it up
//! when the last copy of its partner is closed, by whatever death.

use super::clock;
use super::file::{self, Stat};
use super::identity;
use crate::error::Error;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The one value that a bell's byte has. Anything else on the socket is somebody else's traffic.
pub(crate) const BYTE: u8 = 0xb7;

/// Two connected stream sockets, both close-on-exec.
///
/// Not `O_NONBLOCK`: the flag belongs to the open file that forked processes and other languages share. The calls
/// here ask not to wait one by one.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors that the kernel writes.
    let made = unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr())
    };
    if made == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor to us, so nobody else owns it.
    let one = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    // SAFETY: as above.
    let other = unsafe { OwnedFd::from_raw_fd(fds[1]) };
    Ok((one, other))
}

/// One end of a [`pair`]: what is put here arrives at the partner, and what is taken here the partner put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a>(BorrowedFd<'a>);

impl<'a> Line<'a> {
    pub(crate) fn new(fd: BorrowedFd<'a>) -> Self {
        Line(fd)
    }

    /// Sends one byte to the partner; `false` if its buffer is full or nobody is there.
    pub(crate) fn put(self) -> bool {
        loop {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            // SAFETY: the byte is readable and outlives the call.
            let sent = unsafe { libc::send(self.0.as_raw_fd(), core::ptr::from_ref(&BYTE).cast(), 1, flags) };
            if sent == 1 {
                return true;
            }
            if errno() != libc::EINTR {
                return false;
            }
        }
    }

    /// Whether a bell's byte is the next thing to be read here.
    pub(crate) fn is_there(self) -> bool {
        self.peek().0
    }

    /// Takes one bell's byte if that is the next thing to be read, and nothing else. Returns whether another
    /// one seems to be behind it.
    ///
    /// Whoever reads other traffic here keeps away from bell bytes, and whoever takes those holds the receive lock
    /// of the end: so the byte taken is the one looked at.
    pub(crate) fn take(self) -> bool {
        let (ours, more) = self.peek();
        if !ours {
            return false;
        }
        let mut byte = 0_u8;
        // SAFETY: `byte` is a place for the one byte asked for.
        let got = unsafe { libc::recv(self.0.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) };
        got == 1 && more
    }

    /// Looks at the next two bytes, if they are there, and leaves them there. Says whether the first one is a
    /// bell's, and whether the second one looks the same.
    ///
    /// Other traffic is told apart by its first byte, or by being a single byte that carries descriptors.
    fn peek(self) -> (bool, bool) {
        let mut bytes = [0_u8; 2];
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: all zeroes is a valid `msghdr`: no address, no parts, no control data.
        let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        // SAFETY: `message` names one part, which has room for its length, and both outlive the call.
        let got = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, flags) };
        // Without room for control data the kernel only notes that it met some, and installs no descriptor. It
        // looks on behind the bytes asked for, but stops behind those that carry some: so a note and one byte
        // mean that this one does, while a note and two leave the first one alone.
        let carries = got == 1 && message.msg_flags & libc::MSG_CTRUNC != 0;
        (got >= 1 && bytes[0] == BYTE && !carries, got == 2 && bytes[1] == BYTE)
    }
}

/// How a look at a descriptor, or a sleep by it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Something is there to be read.
    Readable,
    /// The other end is gone for good: closed or killed, every copy of it. Something may still be there.
    HungUp,
    /// The deadline passed.
    TimedOut,
    /// A signal was handled by this thread.
    Interrupted,
}

/// Whether every copy of the other end is closed.
///
/// A number that is not open any more counts as hung up too: somebody closed it behind our back, and nothing will
/// ever be heard through it.
pub(crate) fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    listen(fd, 0) == Heard::HungUp
}

/// Sleeps until `fd` is readable or hung up, or until `until` (nanoseconds of [`clock::now`]; `u64::MAX` is never).
/// With a deadline in the past it only looks.
pub(crate) fn listen(fd: BorrowedFd<'_>, until: u64) -> Heard {
    let left = if until == 0 { 0 } else { until.saturating_sub(clock::now()) };
    let time = clock::timespec(left);
    let timeout = if until == u64::MAX { core::ptr::null() } else { &raw const time };
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN | libc::POLLRDHUP, revents: 0 };
    // SAFETY: `poll` is one entry for the kernel to fill, the timeout outlives the call, and a null mask leaves
    // the signals alone.
    let ready = unsafe { libc::ppoll(&raw mut poll, 1, timeout, core::ptr::null()) };
    // The kernel reports a partner that is gone as a hang-up, one that went with our bytes unread as an error, and
    // one that only stopped sending as a read hang-up: in each case a read ends with 0 or ECONNRESET.
    let gone = libc::POLLHUP | libc::POLLERR | libc::POLLRDHUP | libc::POLLNVAL;
    match ready {
        0 => Heard::TimedOut,
        -1 if errno() == libc::EINTR => Heard::Interrupted,
        -1 => {
            // No memory in the kernel, or a filter. The caller looks again: poll gently instead of spinning.
            clock::pause(left.min(1_000_000));
            Heard::TimedOut
        }
        _ if poll.revents & gone != 0 => Heard::HungUp,
        _ => Heard::Readable,
    }
}

/// A FIFO beside a named object: each process opens it by name, and each can both put and take.
///
/// It never hangs up, because every opener is a writer too.
#[derive(Debug)]
pub(crate) struct Fifo(OwnedFd);

impl Fifo {
    /// Opens the FIFO `name` in `dir`, and makes it, with `mode`, if it is not there.
    ///
    /// # Errors
    /// [`Error::NotRegular`] if the name means something else than a FIFO, [`Error::ForeignOwner`] and
    /// [`Error::TooPermissive`] if somebody else made it or could open it.
    pub(crate) fn open(dir: BorrowedFd<'_>, name: &CStr, mode: u32, owner: u32) -> Result<Self, Error> {
        for _ in 0..PATIENCE {
            let fifo = match Fifo::open_once(dir, name, mode, owner) {
                // Removed between making and opening it.
                Err(Error::Os { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => continue,
                result => result?,
            };
            // The lock says that the FIFO is in use, for as long as it is open. Only who got it while the name still
            // meant this FIFO shares it with those who open it later: see `remove_unused`.
            let is_named = || Some(Stat::at(dir, name).ok()?.id() == Stat::of(&fifo.0).ok()?.id());
            if file::try_lock_with_others(fifo.as_fd()) && is_named() == Some(true) {
                return Ok(fifo);
            }
            clock::pause(50_000);
        }
        let source = io::ErrorKind::TimedOut.into();
        Err(Error::Os { action: "wait for the process that is removing the FIFO of the object", source })
    }

    /// Removes the FIFO `name` if no process has it open.
    ///
    /// # Errors
    /// What the operating system refuses; also if the name means something else than a FIFO.
    pub(crate) fn remove_unused(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let fd = file::open_at(dir, name, flags, 0)?;
        if Stat::of(&fd)?.special() != Some("a FIFO") || !file::try_lock_exclusively(fd.as_fd()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Who opens it now does not get its lock until we are done, and then finds the name gone.
        if Stat::at(dir, name)?.id() == Stat::of(&fd)?.id() { file::unlink_at(dir, name) } else { Ok(()) }
    }

    fn open_once(dir: BorrowedFd<'_>, name: &CStr, mode: u32, owner: u32) -> Result<Self, Error> {
        let failed = |source| Error::Os { action: "open the FIFO of the object", source };
        // SAFETY: `name` is a C string and outlives the call.
        let made = unsafe { libc::mkfifoat(dir.as_raw_fd(), name.as_ptr(), 0o600) } == 0;
        if !made && errno() != libc::EEXIST {
            return Err(failed(io::Error::last_os_error()));
        }
        let what_is_there = || name.to_string_lossy().into_owned();
        // O_RDWR: opening waits for nobody, nobody's leaving is an end of file, and the bytes stay while anyone
        // has it open.
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let fd = file::open_at(dir, name, flags, 0).map_err(|source| match source.raw_os_error() {
            Some(libc::ELOOP) => Error::NotRegular { name: what_is_there(), what: "a symbolic link" },
            Some(libc::EISDIR) => Error::NotRegular { name: what_is_there(), what: "a directory" },
            Some(libc::ENXIO) => Error::NotRegular { name: what_is_there(), what: "a socket or a device" },
            _ => failed(source),
        })?;
        let stat = Stat::of(&fd).map_err(failed)?;
        if stat.special() != Some("a FIFO") {
            let what = stat.special().unwrap_or("a regular file");
            return Err(Error::NotRegular { name: what_is_there(), what });
        }
        if stat.owner() != owner && stat.owner() != identity::effective_user() {
            return Err(Error::ForeignOwner { owner: stat.owner(), expected: owner });
        }
        if made && mode != 0o600 {
            // Past the umask, as the object's own file.
            file::set_mode(fd.as_fd(), mode).map_err(failed)?;
        } else if stat.mode() & 0o077 & !mode != 0 {
            return Err(Error::TooPermissive { mode: stat.mode(), allowed: mode });
        }
        Ok(Fifo(fd))
    }

    /// Puts one byte in; `false` only if that is impossible. A full FIFO holds nothing but bell bytes.
    pub(crate) fn put(&self) -> bool {
        loop {
            // SAFETY: the byte is readable and outlives the call.
            let put = unsafe { libc::write(self.0.as_raw_fd(), core::ptr::from_ref(&BYTE).cast(), 1) };
            if put == 1 {
                return true;
            }
            match errno() {
                libc::EINTR => {}
                error => return error == libc::EAGAIN,
            }
        }
    }

    /// Whether a byte is there.
    pub(crate) fn is_there(&self) -> bool {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int, to a place of ours.
        let asked = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        asked == 0 && bytes > 0
    }

    /// Takes one byte out, if there is one. Returns whether another one is there.
    pub(crate) fn take(&self) -> bool {
        let mut byte = 0_u8;
        // SAFETY: `byte` is a place for the one byte asked for; the descriptor does not wait.
        let got = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut byte).cast(), 1) };
        got == 1 && self.is_there()
    }
}

/// Looks, 50 µs apart, for the end of a removal of a few system calls.
const PATIENCE: u32 = 100;

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[cfg(all(test, not(loom)))]
mod tests;

//! What the standard library does not offer.

use std::io;
use std::time::Duration;

/// Nanoseconds of the monotonic clock, the same for all processes.
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The calling thread sleeps; a signal may end it early.
pub(crate) fn nap(time: Duration) {
    let time = libc::timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    // SAFETY: `time` is valid, and the rest is not wanted.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

/// Sends a signal to a child that was not waited for yet.
pub(crate) fn signal(pid: u32, number: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid as i32, number) };
}

/// Has the kernel kill this process when its parent dies.
pub(crate) fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // It may have died before.
    if std::os::unix::process::parent_id() == parent { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Lets children inherit a descriptor.
pub(crate) fn keep_over_exec(fd: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
}

/// Out of the way of Ctrl-C and of a closed terminal.
pub(crate) fn detach() {
    // SAFETY: no memory is involved; it fails if this is a group leader already, and then nothing is wrong.
    unsafe { libc::setsid() };
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: to ignore a signal runs no code of ours.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
}

/// Whether a descriptor is readable, waiting at most `millis` for it.
pub(crate) fn is_readable(fd: i32, millis: i32) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut poll, 1, millis) == 1 }
}

//! The command's system calls: pinning, the clock, child processes, the terminal, one shared page.
//!
//! All unsafe code of the command is here.

mod byte_lock;

pub(crate) use byte_lock::Bytes;

use std::{
    fmt, io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    os::unix::process::CommandExt,
    process::Command,
    ptr::{self, NonNull},
    time::Duration,
};

/// The CPUs this process may run on, in ascending order.
pub(crate) fn usable_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: cpu_set_t is an array of integers; all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes at most size_of(cpu_set_t) bytes into `set`, which is that large.
    if unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set), &mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: CPU_ISSET reads bit `cpu` of `set`, and CPU_SETSIZE bits is what it has.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Keeps the calling thread, and what it starts later, on one CPU.
pub(crate) fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: as in `usable_cpus`, all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `cpu` was checked against the size of the set just above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel only reads size_of(cpu_set_t) bytes of `set`.
    match unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Nanoseconds on the clock that all processes of the machine share (`CLOCK_MONOTONIC`).
#[inline]
pub(crate) fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills `time`; CLOCK_MONOTONIC exists on every Linux, so it cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Lets the program that `command` starts keep `fds` open across `exec`, and die when the calling thread
/// does.
pub(crate) fn hand_over(command: &mut Command, fds: Vec<RawFd>) {
    keep_open(command, fds);
    die_with_us(command);
}

/// Lets the program that `command` starts keep `fds` open across `exec`. The flags change in the child alone, so nothing
/// else that this process starts inherits them.
pub(crate) fn keep_open(command: &mut Command, fds: Vec<RawFd>) {
    let prepare = move || {
        for &fd in &fds {
            // SAFETY: fcntl with F_SETFD touches no memory; a bad fd is an error return.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes only async-signal-safe calls (fcntl), reads a vector that was
    // built before the fork, and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Lets the program that `command` starts be killed when the calling thread ends.
pub(crate) fn die_with_us(command: &mut Command) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // A parent that died before the prctl sends no signal any more.
        // SAFETY: getppid has no preconditions.
        if unsafe { libc::getppid() } as u32 != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes only async-signal-safe calls (prctl, getppid) and allocates
    // nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Gives the program that `command` starts the signals as we found them, and lets it die when the calling thread does:
/// what it works on is given to another then.
pub(crate) fn in_our_stead(command: &mut Command, mask: Mask) {
    give_signals_back(command, mask);
    die_with_us(command);
}

/// Gives the program that `command` starts the signals as we found them.
pub(crate) fn give_signals_back(command: &mut Command, mask: Mask) {
    let prepare = move || {
        // SAFETY: the kernel only reads the mask, a copy of the closure's own; the old one is not asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask.0, ptr::null_mut()) } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    };
    // SAFETY: between fork and exec the closure makes that one call, which is async-signal-safe.
    unsafe { command.pre_exec(prepare) };
}

/// Something that becomes readable when child `pid`, which is not reaped yet, has ended.
pub(crate) fn watch_for_end(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call touches no memory.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: pidfd_open has just returned this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw as RawFd) })
}

/// Takes over a descriptor this process was started with.
///
/// # Safety
/// `fd` must be open and owned by nothing else in this process.
pub(crate) unsafe fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller vouches for `fd`.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Whether `fd` names an open descriptor.
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD touches no memory; a closed fd is an error return.
    (unsafe { libc::fcntl(fd, libc::F_GETFD) }) != -1
}

/// Sends SIGKILL. The caller must not have reaped `pid` yet, or it may belong to somebody else by now.
pub(crate) fn kill(pid: u32) {
    send_signal(pid, libc::SIGKILL);
}

/// Sends a signal; to whom is as for [`kill`].
pub(crate) fn send_signal(pid: u32, signal: libc::c_int) {
    // SAFETY: kill touches no memory. Its only error here is that the process is gone, and needs no signal.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// Waits until child `pid` has ended and leaves it unreaped, so that its number stays its own.
pub(crate) fn await_exit(pid: u32) -> io::Result<()> {
    loop {
        match look_for_exit(pid, 0) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            waited => return waited.map(drop),
        }
    }
}

/// Whether child `pid` has ended; it is left unreaped too.
pub(crate) fn has_exited(pid: u32) -> io::Result<bool> {
    look_for_exit(pid, libc::WNOHANG)
}

fn look_for_exit(pid: u32, flags: libc::c_int) -> io::Result<bool> {
    // SAFETY: siginfo_t is plain data of integers and pointers for which all zeroes is a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel fills `info`, which is a live siginfo_t.
    let done = unsafe { libc::waitid(libc::P_PID, pid, &mut info, libc::WEXITED | libc::WNOWAIT | flags) };
    match done {
        // Without an end to tell of the number stays zero.
        // SAFETY: waitid fills the variant with the number, and all zeroes is a value of it too.
        0 => Ok(unsafe { info.si_pid() } != 0),
        _ => Err(io::Error::last_os_error()),
    }
}

/// From here on writing to `fd` does not wait for space.
pub(crate) fn make_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: fcntl with F_GETFL touches no memory; a bad fd is an error return.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: nor does it with F_SETFL.
    if flags == -1 || unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Waits up to `slice` until the other side of one of the two pipes is closed; tells for each whether it is.
pub(crate) fn poll_hangup(fds: [RawFd; 2], slice: Duration) -> [bool; 2] {
    // No events asked for: poll reports hang-ups and errors all the same, and data does not wake it.
    poll(fds, 0, slice)
}

/// Waits up to `slice` until one of the two has something to read or is closed on the other side; tells for each.
pub(crate) fn poll_input(fds: [RawFd; 2], slice: Duration) -> [bool; 2] {
    poll(fds, libc::POLLIN, slice)
}

/// Waits up to `slice` until `fd` takes more, or nobody reads it any more; tells whether.
pub(crate) fn poll_output(fd: RawFd, slice: Duration) -> bool {
    poll([fd], libc::POLLOUT, slice) == [true]
}

/// Whether nobody reads any more what is written to `fd`, a pipe or a socket.
pub(crate) fn is_unread(fd: RawFd) -> bool {
    poll([fd], 0, Duration::ZERO) == [true]
}

fn poll<const N: usize>(fds: [RawFd; N], events: libc::c_short, slice: Duration) -> [bool; N] {
    let mut polled = fds.map(|fd| libc::pollfd { fd, events, revents: 0 });
    let millis = slice.as_millis().min(i32::MAX as u128) as libc::c_int;
    // SAFETY: `polled` is a live array of exactly N entries.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), N as libc::nfds_t, millis) };
    if ready <= 0 { [false; N] } else { polled.map(|entry| entry.revents != 0) }
}

/// The major and minor number of a device.
pub(crate) fn numbers_of_device(device: u64) -> (u32, u32) {
    (libc::major(device), libc::minor(device))
}

/// The width of the terminal on standard output in columns, or `None` if it is none.
pub(crate) fn terminal_width(fd: RawFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills one winsize, which `size` is.
    let answer = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &mut size) };
    (answer == 0 && size.ws_col > 0).then_some(size.ws_col as usize)
}

/// Whether this process may write to the terminal `fd` without disturbing others: it belongs to the group in the
/// foreground, or the terminal is not the one that controls it.
pub(crate) fn is_in_foreground(fd: RawFd) -> bool {
    // SAFETY: the call touches no memory; a descriptor that is no controlling terminal is an error return.
    let group = unsafe { libc::tcgetpgrp(fd) };
    // SAFETY: getpgrp has no preconditions.
    group == -1 || group == unsafe { libc::getpgrp() }
}

/// The signals by which a user ends a program, as something to be waited for.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: OwnedFd,
    /// Those that were held back before.
    before: Mask,
}

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mask").finish_non_exhaustive()
    }
}

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caught {
    pub(crate) signal: libc::c_int,
    /// It came from the terminal, which sends it to all processes of the group.
    pub(crate) by_terminal: bool,
}

impl Signals {
    /// From here on they do not end this program by themselves. To be called before any thread is started. Those
    /// that whoever started us has told us to ignore stay ignored.
    pub(crate) fn take() -> io::Result<Signals> {
        Signals::take_these(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
    }

    /// The same, and those that a command run in our stead may want to have.
    pub(crate) fn take_for_a_command() -> io::Result<Signals> {
        Signals::take_these(&[
            libc::SIGINT,
            libc::SIGTERM,
            libc::SIGHUP,
            libc::SIGQUIT,
            libc::SIGUSR1,
            libc::SIGUSR2,
        ])
    }

    fn take_these(signals: &[libc::c_int]) -> io::Result<Signals> {
        // SAFETY: sigset_t is an array of integers.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: `set` is a live sigset_t.
        unsafe { libc::sigemptyset(&mut set) };
        for &signal in signals {
            // SAFETY: sigaction is plain data of integers and an optional function for which all zeroes is a value.
            let mut action: libc::sigaction = unsafe { mem::zeroed() };
            // SAFETY: without a new action the call only fills `action`.
            let known = unsafe { libc::sigaction(signal, ptr::null(), &mut action) } == 0;
            if known && action.sa_sigaction != libc::SIG_IGN {
                // SAFETY: `set` is a live sigset_t and `signal` is one.
                unsafe { libc::sigaddset(&mut set, signal) };
            }
        }
        // SAFETY: sigset_t is an array of integers.
        let mut before: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: the kernel only reads `set`, and fills `before`, a live sigset_t.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: the kernel only reads `set`.
        let raw = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just returned this descriptor to us alone.
        Ok(Signals { fd: unsafe { OwnedFd::from_raw_fd(raw) }, before: Mask(before) })
    }

    /// Readable when there is one.
    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Those that were held back before, and are to be held back in children.
    pub(crate) fn before(&self) -> Mask {
        self.before
    }

    /// The next one, if there is one.
    pub(crate) fn next(&self) -> Option<Caught> {
        // SAFETY: signalfd_siginfo is plain data of integers.
        let mut info: libc::signalfd_siginfo = unsafe { mem::zeroed() };
        let len = mem::size_of_val(&info);
        // SAFETY: the kernel writes at most `len` bytes, the size of `info`.
        let got = unsafe { libc::read(self.fd(), (&raw mut info).cast(), len) };
        let by_terminal = info.ssi_code == libc::SI_KERNEL;
        (got == len as isize).then_some(Caught { signal: info.ssi_signo as libc::c_int, by_terminal })
    }
}

/// Ends this process as `signal` would have done, so that whoever started it sees the reason.
pub(crate) fn die_of(signal: libc::c_int) -> ! {
    // SAFETY: back to the default action; no handler of ours is involved.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: sigset_t is an array of integers.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is a live sigset_t.
    unsafe { libc::sigemptyset(&mut set) };
    // SAFETY: `set` is a live sigset_t and `signal` is one.
    unsafe { libc::sigaddset(&mut set, signal) };
    // SAFETY: the kernel only reads `set`.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut()) };
    // SAFETY: sends the signal to this very thread, whose default action ends the process.
    unsafe { libc::raise(signal) };
    // The first process of a container is immune to signals it has no handler for.
    std::process::exit(128 + signal)
}

/// One page of memory that two processes share: a memfd, mapped.
#[derive(Debug)]
pub(crate) struct SharedPage {
    base: NonNull<u8>,
    fd: OwnedFd,
}

impl SharedPage {
    /// Bytes in the page that may be used.
    pub(crate) const LEN: usize = 4096;

    /// A fresh page, all zeroes.
    pub(crate) fn create() -> io::Result<SharedPage> {
        // SAFETY: the name is a NUL-terminated literal; the call has no other precondition.
        let raw = unsafe { libc::memfd_create(c"ringway-floor".as_ptr(), libc::MFD_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: memfd_create has just returned this descriptor to us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: ftruncate touches no memory of ours, and nothing has mapped the file yet.
        if unsafe { libc::ftruncate(fd.as_raw_fd(), Self::LEN as libc::off_t) } != 0 {
            return Err(io::Error::last_os_error());
        }
        SharedPage::map(fd)
    }

    /// The page behind a descriptor that [`SharedPage::create`] made, in this or another process.
    pub(crate) fn map(fd: OwnedFd) -> io::Result<SharedPage> {
        // SAFETY: a new shared mapping at an address the kernel chooses overlaps nothing of ours.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                Self::LEN,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(at.cast()).expect("mmap without MAP_FIXED never returns address zero");
        Ok(SharedPage { base, fd })
    }

    /// The descriptor to hand to the other process.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The page seen as one `T`. `T` must be made of atomics alone: the other process writes at any time.
    ///
    /// # Safety
    /// Every bit pattern must be a value of `T`, and all of its bytes must lie inside atomics.
    pub(crate) unsafe fn view<T: Sync>(&self) -> &T {
        const { assert!(size_of::<T>() <= Self::LEN && align_of::<T>() <= Self::LEN) };
        // SAFETY: the mapping is page-aligned, at least size_of::<T>() long (asserted above), lives as long as
        // `self`, and the caller vouches that any bytes are a `T` and that racing writes hit atomics only.
        unsafe { self.base.cast::<T>().as_ref() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: `base` is our own mapping of LEN bytes, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), Self::LEN) };
    }
}

/// Sleeps while the word holds `seen`. May return for no reason: the caller looks again.
pub(crate) fn futex_wait(word: *const u32, seen: u32) -> io::Result<()> {
    // SAFETY: a bad address is an EFAULT return; the kernel only reads the word; no time-out is given.
    let answer = unsafe {
        libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, seen, ptr::null::<libc::timespec>())
    };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Ok(()),
        _ => Err(error),
    }
}

/// Wakes at most one process that sleeps on the word.
pub(crate) fn futex_wake(word: *const u32) -> io::Result<()> {
    // SAFETY: FUTEX_WAKE uses the address as a key only; a bad one is an EFAULT return.
    match unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_cpu_is_usable_and_the_clock_goes_forward() {
        assert!(!usable_cpus().unwrap().is_empty());
        let before = now_ns();
        assert!(now_ns() >= before);
    }

    #[test]
    fn pinning_to_a_cpu_beyond_the_set_is_an_error() {
        assert!(pin_to(libc::CPU_SETSIZE as usize).is_err());
    }

    #[test]
    fn hangup_is_told_apart_from_data() {
        let (quiet_rx, mut quiet_tx) = std::io::pipe().unwrap();
        let (gone_rx, gone_tx) = std::io::pipe().unwrap();
        io::Write::write_all(&mut quiet_tx, b"data").unwrap();
        let fds = [quiet_rx.as_raw_fd(), gone_rx.as_raw_fd()];
        assert_eq!(poll_hangup(fds, Duration::ZERO), [false, false]);
        drop(gone_tx);
        assert_eq!(poll_hangup(fds, Duration::from_secs(5)), [false, true]);
    }
}

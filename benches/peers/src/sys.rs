//! The system calls of the measurement that the standard library does not have.

use std::{
    ffi::CStr,
    fs::File,
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr::{self, NonNull},
};

/// The result of a call that returns -1 on failure.
pub(crate) fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The CPUs this process may run on, in ascending order.
pub(crate) fn usable_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: cpu_set_t is an array of integers; all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes at most size_of(cpu_set_t) bytes into `set`, which is that large.
    checked(unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set), &mut set) })?;
    // SAFETY: CPU_ISSET reads bit `cpu` of `set`, which has CPU_SETSIZE bits.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Keeps the calling thread on one CPU.
pub(crate) fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: as in `usable_cpus`, all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `cpu` was checked against the size of the set just above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel only reads size_of(cpu_set_t) bytes of `set`.
    checked(unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) }).map(drop)
}

/// Nanoseconds on the clock that all processes of the machine share.
#[inline]
pub(crate) fn now_ns() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds for which the calling thread has had a processor. Costs a system call.
pub(crate) fn busy_ns() -> u64 {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

#[inline]
fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills `time`; the clocks named here exist on every Linux, so it cannot fail.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Has this process killed when the thread that started it ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) }).map(drop)
}

/// The two processes after a fork.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The one that forked, with the child's number.
    Parent(libc::pid_t),
    /// The new one. It is killed when its parent dies.
    Child,
}

/// Makes a second process of this one.
///
/// # Safety
/// This process has one thread.
pub(crate) unsafe fn fork() -> io::Result<Forked> {
    // SAFETY: with one thread nothing is cut off in the middle: the child is a whole copy.
    match checked(unsafe { libc::fork() })? {
        0 => {
            die_with_parent()?;
            Ok(Forked::Child)
        }
        pid => Ok(Forked::Parent(pid)),
    }
}

/// From here on this process ends as soon as a child of it does so with another code than 0.
pub(crate) fn end_with_child() -> io::Result<()> {
    extern "C" fn ended(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: with SA_SIGINFO the kernel hands over a live siginfo_t.
        let info = unsafe { &*info };
        // SAFETY: of a SIGCHLD the status is the active member.
        let status = unsafe { info.si_status() };
        if info.si_code != libc::CLD_EXITED || status != 0 {
            leave(1); // async-signal-safe
        }
    }
    // SAFETY: sigaction is plain data of integers and an optional function for which all zeroes is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = ended as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_NOCLDSTOP;
    // SAFETY: the handler has the form that SA_SIGINFO asks for and makes async-signal-safe calls only.
    checked(unsafe { libc::sigaction(libc::SIGCHLD, &action, ptr::null_mut()) }).map(drop)
}

/// Ends this process at once: nothing is dropped or flushed, which is what a forked copy wants.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Waits for a child and reaps it.
pub(crate) fn reap(pid: libc::pid_t) -> io::Result<()> {
    // SAFETY: without a place for the status the call touches no memory.
    checked(unsafe { libc::waitpid(pid, ptr::null_mut(), 0) }).map(drop)
}

/// Kills a process group that we have made and whose leader we have not reaped yet.
pub(crate) fn kill_group(leader: u32) {
    // SAFETY: touches no memory. Its only error here is that nobody is left, which is what we want.
    unsafe { libc::kill(-(leader as libc::pid_t), libc::SIGKILL) };
}

/// Waits up to `millis` until something can be read from the pipe or its other side is closed.
pub(crate) fn await_input(fd: RawFd, millis: i32) -> io::Result<bool> {
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `polled` is one live entry.
    match checked(unsafe { libc::poll(&mut polled, 1, millis) }) {
        Ok(ready) => Ok(ready > 0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// An unnamed file in memory.
pub(crate) fn memory_file(name: &CStr) -> io::Result<File> {
    // SAFETY: the name ends with NUL; the call has no other precondition.
    let raw = checked(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: memfd_create has just returned this descriptor to us alone.
    Ok(unsafe { File::from_raw_fd(raw) })
}

/// A pair of connected sockets that keep messages apart.
pub(crate) fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two integers into `fds`.
    checked(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    // SAFETY: socketpair has just returned both descriptors to us alone.
    let [a, b] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    Ok((a, b))
}

/// Gives a pipe room for `bytes`, or for as much as the system allows.
pub(crate) fn widen_pipe(fd: &impl AsRawFd, bytes: usize) {
    let most = std::fs::read_to_string("/proc/sys/fs/pipe-max-size");
    let most = most.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(65536);
    let bytes = bytes.clamp(65536, most.max(65536)) as libc::c_int;
    // SAFETY: F_SETPIPE_SZ touches no memory. If it fails the pipe keeps the room it has.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// A page of memory that this process and those forked from it share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedPage(NonNull<u8>);

// SAFETY: an address that stays mapped as long as the process lives; only atomics are reached through it.
unsafe impl Send for SharedPage {}

impl SharedPage {
    const LEN: usize = 4096;

    /// A fresh page, all zeroes. It is never unmapped: a measuring process has one or two and then ends.
    pub(crate) fn new() -> io::Result<SharedPage> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: a new mapping at an address the kernel chooses overlaps nothing of ours.
        let at = unsafe { libc::mmap(ptr::null_mut(), Self::LEN, protection, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(at.cast()).map(SharedPage).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// The page seen as one `T` that is not made of atomics.
    ///
    /// # Safety
    /// All zeroes is a `T`, what is in it that can change is in an `UnsafeCell`, and nothing else is seen in this page.
    pub(crate) unsafe fn place<T>(self) -> &'static T {
        const { assert!(size_of::<T>() <= Self::LEN && align_of::<T>() <= Self::LEN) };
        // SAFETY: page-aligned, long enough (asserted above), mapped for good; the rest is the caller's word.
        unsafe { self.0.cast::<T>().as_ref() }
    }

    /// The page seen as one `T`.
    ///
    /// # Safety
    /// `T` is made of atomics alone, for which every bit pattern is a value.
    pub(crate) unsafe fn view<T: Sync>(&self) -> &'static T {
        const { assert!(size_of::<T>() <= Self::LEN && align_of::<T>() <= Self::LEN) };
        // SAFETY: page-aligned, long enough (asserted above), mapped for good, and by the caller's word any
        // bytes are a `T` that others may write to.
        unsafe { self.0.cast::<T>().as_ref() }
    }
}

/// The place of some numbers in a page that all users share, for whoever has the lock that protects them.
#[derive(Debug)]
pub(crate) struct Numbers<const N: usize>(NonNull<[u64; N]>);

impl<const N: usize> Clone for Numbers<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<const N: usize> Copy for Numbers<N> {}

// SAFETY: an address that stays mapped as long as the process lives; whoever uses what is there has the lock.
unsafe impl<const N: usize> Send for Numbers<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Numbers<N> {}

/// Zeroes, in a page of their own.
pub(crate) fn numbers<const N: usize>() -> io::Result<Numbers<N>> {
    const { assert!(size_of::<[u64; N]>() <= SharedPage::LEN) };
    Ok(Numbers(SharedPage::new()?.0.cast()))
}

impl<const N: usize> Numbers<N> {
    /// The numbers.
    ///
    /// # Safety
    /// The caller has the lock that protects them, and keeps it for as long as what this returns is used.
    #[inline]
    pub(crate) unsafe fn lend<'a>(self) -> &'a mut [u64; N] {
        let mut place = self.0;
        // SAFETY: a page's beginning, long enough (asserted in `numbers`) and mapped for good; nobody else uses it, by
        // the caller's word.
        unsafe { place.as_mut() }
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

/// Wakes at most one that sleeps on the word.
pub(crate) fn futex_wake(word: *const u32) -> io::Result<()> {
    // SAFETY: FUTEX_WAKE uses the address as a key only; a bad one is an EFAULT return.
    match unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

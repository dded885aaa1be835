//! The other processes of a scenario, and how long to wait for something.

use crate::log::{self, Entry};
use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

thread_local! {
    /// What this process is called in messages. Processes here have one thread.
    static ROLE: Cell<&'static str> = const { Cell::new("the harness") };
    static PATIENCE: Cell<u64> = const { Cell::new(20) };
}

/// How long a survivor waits for what it must get; then that is a violation. (It must get it within a fraction of a
/// second, but the machine may be busy.)
pub fn patience() -> Duration {
    Duration::from_secs(PATIENCE.get())
}

/// Sets it, for this process and its children.
pub fn set_patience(seconds: u64) {
    PATIENCE.set(seconds);
}

/// The directory of plain names: empty when a stage begins, and when it ends.
pub(crate) fn place() -> PathBuf {
    std::env::var_os(PLACE).map(PathBuf::from).unwrap_or_default()
}

/// The variable by which the library finds it.
pub(crate) const PLACE: &str = "RINGWAY_DIR";

pub(crate) fn role() -> &'static str {
    ROLE.get()
}

/// A child process. Dies with its parent.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    result: Option<File>,
}

impl Process {
    /// Forks a process that runs `body` under this name; its result is for [`join`](Self::join).
    ///
    /// # Panics
    /// If there can be no child.
    pub fn start(name: &'static str, body: impl FnOnce() -> Vec<u64>) -> Self {
        let mut fds = [-1; 2];
        // SAFETY: `fds` is a valid place for two descriptors.
        assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0, "no pipe");
        // SAFETY: the kernel just returned these descriptors to us.
        let [from, to] = fds.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        let pid = fork(name, move || {
            let result: Vec<u8> = body().into_iter().flat_map(u64::to_le_bytes).collect();
            { to }.write_all(&result).expect("the result is wanted");
        });
        Process { pid, result: Some(from) }
    }

    /// Waits until it sleeps in the kernel: for what it waits for, if nothing else can make it sleep.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn until_asleep(&self) {
        loop {
            match state_of(self.pid) {
                'S' => return,
                'Z' | 'X' => panic!("a process ended instead of falling asleep"),
                _ => give_way(),
            }
        }
    }

    /// Stops it, in its sleep for one.
    pub fn stop(&self) {
        // SAFETY: no memory is involved; the child has not been reaped, so the number is its own.
        unsafe { libc::kill(self.pid, libc::SIGSTOP) };
        while !matches!(state_of(self.pid), 'T' | 'Z') {
            give_way();
        }
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        // SAFETY: as in `stop`.
        unsafe { libc::kill(self.pid, libc::SIGCONT) };
    }

    /// Lets it go on until it sleeps again, or ends.
    pub fn go_on_for_a_while(&self) {
        self.go_on();
        while !matches!(state_of(self.pid), 'S' | 'Z') {
            give_way();
        }
        self.stop();
    }

    /// Waits for its end, and its result.
    ///
    /// # Panics
    /// If it ended otherwise; it has said why.
    pub fn join(mut self) -> Vec<u64> {
        let mut bytes = Vec::new();
        if let Some(mut from) = self.result.take() {
            from.read_to_end(&mut bytes).expect("a pipe can be read");
        }
        let status = wait(self.pid);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "a process failed: {status:#x}");
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect()
    }

    /// Kills it and waits until it is gone.
    pub fn kill(self) {
        kill(self.pid);
    }
}

/// Runs `body` in another process, which ends with it.
pub fn elsewhere(body: impl FnOnce() -> Vec<u64>) -> Vec<u64> {
    Process::start("another process", body).join()
}

/// Runs `body` in another process, which is killed where `body` ends, with all it has then.
///
/// # Panics
/// If it does not come that far.
pub fn killed_elsewhere<R>(body: impl FnOnce() -> R) {
    let mut fds = [-1; 2];
    // SAFETY: `fds` is a valid place for two descriptors.
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0, "no pipe");
    // SAFETY: the kernel just returned these descriptors to us.
    let [from, to] = fds.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    let pid = fork("one that dies before", move || {
        let _held = body();
        { to }.write_all(b".").expect("its end is awaited");
        loop {
            pause();
        }
    });
    let mut done = [0];
    let came = { from }.read(&mut done).expect("a pipe can be read");
    kill(pid);
    assert_eq!(came, 1, "a process ended before it could be killed");
}

/// Forks. The child runs `body`, exits, and dies with us.
///
/// # Panics
/// If there can be no child.
pub(crate) fn fork(name: &'static str, body: impl FnOnce()) -> i32 {
    let parent = std::process::id();
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no child");
    if pid > 0 {
        return pid;
    }
    ROLE.set(name);
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: no memory is involved.
    if unsafe { libc::getppid() } as u32 == parent {
        body();
    }
    exit(0)
}

/// Ends this process at once, without its parent's destructors.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

/// Waits for a child to end, or to stop if it is traced by us.
pub fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the answer.
    while unsafe { libc::waitpid(pid, &mut status, libc::__WALL) } != pid {}
    status
}

pub(crate) fn kill(pid: i32) {
    // SAFETY: no memory is involved; the child has not been reaped, so the number is its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    wait(pid);
}

/// The state of a process: `R`unning, a`S`leep, `t`raced, `Z`ombie …
pub(crate) fn state_of(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('X')
}

/// Reads these parts of a process's memory, one behind the other. `false` if that cannot be done.
pub(crate) fn read_memory(pid: i32, places: &[std::ops::Range<u64>], out: &mut [u8]) -> bool {
    let part = |place: &std::ops::Range<u64>| libc::iovec {
        iov_base: place.start as *mut libc::c_void,
        iov_len: (place.end - place.start) as usize,
    };
    let from: Vec<_> = places.iter().map(part).collect();
    let to = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
    // SAFETY: `out` takes as many bytes as it says; what is not mapped there is an error.
    let read = unsafe { libc::process_vm_readv(pid, &to, 1, from.as_ptr(), from.len() as libc::c_ulong, 0) };
    read == out.len() as isize
}

/// Lets others have the processor.
pub(crate) fn give_way() {
    // SAFETY: no memory is involved.
    unsafe { libc::sched_yield() };
}

/// Sleeps until a signal comes.
pub(crate) fn pause() {
    // SAFETY: no memory is involved.
    unsafe { libc::pause() };
}

/// From here on a panic in this process or its children is a violation, and ends the process at once: nothing is
/// unwound, because what would be dropped then may be what is broken.
pub fn turn_panics_into_violations() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let literal = payload.downcast_ref::<&str>().copied();
        let text =
            literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic");
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        log::write(&Entry::Violation(format!("{}: {text}{}", role(), place.unwrap_or_default())));
        exit(101);
    }));
}

/// Makes this process the parent of what its children leave behind, and binds it to one processor.
///
/// # Errors
/// If there is no such processor.
pub fn settle_on(processor: usize) -> std::io::Result<()> {
    // SAFETY: no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    // SAFETY: the set is ours, and checks the number itself.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the set is ours and as long as we say.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The processors we may use.
pub fn processors() -> Vec<usize> {
    // SAFETY: all zeroes is an empty set.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    // SAFETY: the set is ours and as long as we say.
    unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    // SAFETY: the set is ours, and checks the number itself.
    (0..libc::CPU_SETSIZE as usize).filter(|&number| unsafe { libc::CPU_ISSET(number, &set) }).collect()
}

/// Reaps what ended after its parent did.
pub(crate) fn reap_orphans() {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the answer.
    while unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::WNOHANG) } > 0 {}
}

/// Runs `body` in a child and says what it said.
pub fn in_child(body: impl FnOnce() -> bool) -> bool {
    wait(start_check("the harness", body)) == 0
}

/// Starts a child that says by its status, which [`wait`] returns, whether `body` says so: 0 if it does.
pub fn start_check(name: &'static str, body: impl FnOnce() -> bool) -> i32 {
    fork(name, || {
        if !body() {
            exit(1);
        }
    })
}

/// Looks again and again until it is so.
///
/// # Panics
/// If it is not so in the end.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + patience();
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "{what}: not after {:?}", patience());
        give_way();
    }
}

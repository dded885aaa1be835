//! The segment among processes: each test with a directory of its own, so that all run in parallel.
//!
//! Children are forked by the test, say what they have done by [`Stage`], and leave with `_exit`. Whoever waits
//! has a deadline that is a failure, never a result.

mod creation;
mod forks;
mod handover;
mod hostile;
mod limits;
mod liveness;
mod members;
mod names;
mod races;
mod tail;

use super::create::{Expected, Terms};
use super::layout::{Header, PARAMS, Plan};
use super::{Segment, Sweep};
use crate::error::{Error, Kind};
use crate::options::{Object, Options, Settings};
use crate::sync::{AtomicU64, Ordering};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than anything here takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that only this test knows.
#[derive(Debug)]
struct Place {
    path: String,
    owner: u32,
}

impl Place {
    fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = format!("/dev/shm/ringway-segment-{}-{number}", std::process::id());
        std::fs::create_dir(&path).unwrap();
        Place { path, owner: std::process::id() }
    }

    fn name(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.path)
    }

    /// What lies in the directory.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::process::id() == self.owner {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

const CAPACITY: u64 = 1024;

fn plan() -> Plan {
    Plan {
        kind: Kind::Spsc,
        element: (8, 8),
        capacity: CAPACITY,
        variant: 0,
        body_len: size_of::<Body>() as u64,
        data_len: 8 * CAPACITY,
        areas: 1,
        tail_len: 0,
        params: [0; PARAMS],
    }
}

/// The words of a segment without an object: the sweep writes down what it saw.
#[derive(Debug)]
#[repr(C)]
struct Body {
    sweeps: AtomicU64,
    index: AtomicU64,
    /// Whom the row named at that moment; 0 for nobody.
    pid: AtomicU64,
    /// For the tests to use.
    free: [AtomicU64; 5],
}

fn body(segment: &Segment) -> &Body {
    // SAFETY: every segment of these tests has the plan above.
    unsafe { segment.body_as::<Body>() }
}

fn record(segment: &Segment, index: u16) {
    let body = body(segment);
    let pid = segment.describe_any(index).map_or(0, |process| process.pid);
    body.sweeps.fetch_add(1, Ordering::Relaxed);
    body.index.store(index.into(), Ordering::Relaxed);
    body.pid.store(pid, Ordering::Relaxed);
}

fn expected() -> Expected {
    Expected { plan: plan(), exact_capacity: true, sweep: record }
}

fn terms() -> Terms {
    Terms {
        participants: 16,
        mode: 0o600,
        owner: None,
        pages: Default::default(),
        ephemeral: false,
        trusted: None,
    }
}

fn create_with(name: &str, terms: &Terms) -> Result<Segment, Error> {
    let (segment, unlinked) = Segment::create(name, &expected(), terms)?;
    unlinked.link(&segment)?;
    Ok(segment)
}

fn create(name: &str) -> Segment {
    create_with(name, &terms()).unwrap()
}

fn open(name: &str) -> Result<Segment, Error> {
    Segment::open(name, &expected(), &terms())
}

/// The smallest thing that can be made of a segment, for the calls that live in [`Options`].
#[derive(Debug)]
struct Probe(Arc<Segment>);

impl Object for Probe {
    fn plan(_: &Settings) -> Result<Plan, Error> {
        Ok(plan())
    }

    const SWEEP: Sweep = record;

    fn attach(segment: Arc<Segment>, _: &Settings) -> Result<Self, Error> {
        Ok(Probe(segment))
    }
}

impl Probe {
    fn options() -> Options<Probe> {
        Options::new().participants(16)
    }
}

fn inode(path: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|found| found.ino())
}

/// Overwrites a few bytes of a file behind everybody's back.
fn scribble(path: &str, at: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// Changes the header of a file as if its creator had written it so.
fn forge(path: &str, change: impl FnOnce(&mut Header)) {
    let bytes = std::fs::read(path).unwrap();
    let mut header: Header = bytemuck::pod_read_unaligned(&bytes[..size_of::<Header>()]);
    change(&mut header);
    scribble(path, 0, bytemuck::bytes_of(&header.signed()));
}

/// Comes back once `done` says so; fails the test if that takes too long.
#[track_caller]
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// A few words that a test and its children share; needs no descriptor.
#[derive(Clone, Copy)]
struct Stage(&'static [AtomicU64; 32]);

impl Stage {
    fn new() -> Self {
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let page = unsafe {
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        assert_ne!(page, libc::MAP_FAILED);
        // SAFETY: mapped above, never unmapped, and made of atomics.
        Stage(unsafe { &*page.cast() })
    }

    fn set(self, word: usize, value: u64) {
        self.0[word].store(value, Ordering::Release);
    }

    fn get(self, word: usize) -> u64 {
        self.0[word].load(Ordering::Acquire)
    }

    fn add(self, word: usize, value: u64) {
        self.0[word].fetch_add(value, Ordering::AcqRel);
    }

    /// Waits until the word is no longer 0.
    #[track_caller]
    fn wait(self, word: usize) -> u64 {
        eventually("a sign from another process", || self.get(word) != 0);
        self.get(word)
    }
}

/// A process of the test's own; killed and reaped at the latest when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: libc::pid_t,
    reaped: bool,
}

/// Makes children say themselves what has gone wrong: the output of tests is caught in the parent's memory, and the
/// locks of the standard streams may have been held by threads that a child does not have.
fn let_children_speak() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let (tests, usual) = (std::process::id(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            if std::process::id() == tests {
                return usual(panic);
            }
            let text = format!("child {}: {panic}\n", std::process::id());
            // SAFETY: `text` is readable for its length.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
        }));
    });
}

/// Runs `body` in a forked child.
pub(crate) fn fork(body: impl FnOnce()) -> Child {
    let_children_speak();
    // SAFETY: the child runs `body` and leaves; what it needs of the C library, fork keeps usable.
    run(unsafe { libc::fork() }, body)
}

/// Runs `body` in a child that no fork handler knows of. Only in a process with a single thread: nobody has put the
/// allocator in order.
fn raw_clone(body: impl FnOnce()) -> Child {
    // SAFETY: a clone without CLONE_VM is a fork; as above.
    run(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t }, body)
}

fn run(pid: libc::pid_t, body: impl FnOnce()) -> Child {
    assert!(pid >= 0, "{}", std::io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: a forgotten wait ends the child.
        unsafe { libc::alarm(PATIENCE.as_secs() as u32 + 10) };
        close_sockets();
        let code = if catch_unwind(AssertUnwindSafe(body)).is_ok() { 0 } else { 1 };
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    Child { pid, reaped: false }
}

/// Closes what a child has of the sockets and pipes of tests that run beside this one: they count the copies.
fn close_sockets() {
    for fd in 3..1024 {
        // SAFETY: all zeroes is a valid place for the answer.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a place for the answer; a number that is not open is answered with an error.
        let known = unsafe { libc::fstat(fd, &mut stat) } == 0;
        if known && matches!(stat.st_mode & libc::S_IFMT, libc::S_IFSOCK | libc::S_IFIFO) {
            // SAFETY: no test of the segment uses sockets or pipes, and their owners are in the parent.
            unsafe { libc::close(fd) };
        }
    }
}

impl Child {
    /// Waits for the end and insists that it was a good one.
    #[track_caller]
    pub(crate) fn join(mut self) {
        assert_eq!(self.reap(), 0, "the child failed; it said why above");
    }

    fn reap(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(self.pid, &mut status, 0) }, self.pid);
        self.reaped = true;
        status
    }

    fn signal(&self, signal: i32) {
        // SAFETY: our own child, not reaped yet.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0);
    }

    /// Waits until the child is stopped or a zombie, without reaping it.
    fn settle(&self) {
        // SAFETY: all zeroes is a valid place for the answer.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;
        // SAFETY: our own child, and a place for the answer.
        assert_eq!(unsafe { libc::waitid(libc::P_PID, self.pid as u32, &mut info, flags) }, 0);
    }

    /// Whether it has ended already, and not well.
    pub(crate) fn has_failed(&self) -> bool {
        // SAFETY: all zeroes is a valid place for the answer, and means that there is none.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: our own child, and a place for the answer.
        assert_eq!(unsafe { libc::waitid(libc::P_PID, self.pid as u32, &mut info, flags) }, 0);
        // SAFETY: the answer to `waitid` has this field.
        info.si_signo != 0 && unsafe { info.si_status() } != 0
    }

    pub(crate) fn kill(mut self) {
        self.signal(libc::SIGKILL);
        self.reap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // SAFETY: our own child, not reaped yet.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.reap();
        }
    }
}

/// A child that is attached to `name` until it is killed; its index.
fn participant(name: &str) -> (Child, u16) {
    let stage = Stage::new();
    let child = fork(|| {
        let segment = open(name).unwrap();
        stage.set(0, segment.me().unwrap().into());
        linger();
    });
    (child, stage.wait(0) as u16)
}

/// Waits to be killed.
fn linger() -> ! {
    loop {
        // SAFETY: no memory is involved.
        unsafe { libc::pause() };
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Sets a variable of a child's environment. Not by `std`, whose lock may be held by a thread that a child does not
/// have.
fn set_variable(name: &str, value: &str) {
    // SAFETY: C strings; a child has a single thread, so nobody reads the environment meanwhile.
    assert_eq!(unsafe { libc::setenv(c_string(name).as_ptr(), c_string(value).as_ptr(), 1) }, 0);
}

/// The open descriptors of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn is_root() -> bool {
    crate::sys::identity::effective_user() == 0
}

/// A generator of the same numbers each time (Marsaglia's xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

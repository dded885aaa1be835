//! Names, child processes, and the watchdog of each test.

use ringway::inspect;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a test may take before it counts as hung. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the test then has to end by itself, once its children are dead.
const GRACE: Duration = Duration::from_secs(10);

/// One test: it ends within a bounded time, and leaves neither processes nor files behind.
#[derive(Debug)]
pub struct Test {
    name: &'static str,
    program: &'static str,
    pids: Arc<Mutex<BTreeMap<u32, ()>>>,
    places: Mutex<Vec<String>>,
    _done: Sender<()>,
}

/// A [`Test`] for the function it is called in, which starts the helper program.
#[macro_export]
macro_rules! test {
    ($name:literal) => {
        $crate::support::Test::new($name, env!("CARGO_BIN_EXE_peer"))
    };
}

impl Test {
    /// See [`test!`](crate::test).
    pub fn new(name: &'static str, program: &'static str) -> Self {
        let (done, ended) = mpsc::channel();
        let pids = Arc::new(Mutex::new(BTreeMap::new()));
        let to_kill = Arc::clone(&pids);
        std::thread::spawn(move || {
            if ended.recv_timeout(PATIENCE) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            eprintln!("the test {name} hangs; killing its children");
            for &pid in locked(&to_kill).keys() {
                signal(pid, libc::SIGKILL);
            }
            if ended.recv_timeout(GRACE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the test {name} still hangs");
                std::process::abort();
            }
        });
        Test { name, program, pids, places: Mutex::default(), _done: done }
    }

    /// An absolute path that nobody else uses, in a directory that is removed at the end with all that is in it.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn path(&self, what: &str) -> String {
        let mut places = locked(&self.places);
        let place =
            format!("/dev/shm/ringway-test-{}-{}-{what}-{}", std::process::id(), self.name, places.len());
        std::fs::create_dir(&place).expect("a directory of our own");
        places.push(place.clone());
        place + "/object"
    }

    /// A command that starts the helper program, with these words as its arguments.
    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new(self.program);
        command.args(script.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    /// Starts the helper program.
    pub fn start(&self, script: &str) -> Peer<'_> {
        self.spawn(&mut self.command(script))
    }

    /// Starts a [`command`](Self::command).
    ///
    /// # Panics
    /// If it does not start.
    pub fn spawn(&self, command: &mut Command) -> Peer<'_> {
        let mut child = command.spawn().expect("the helper program does not start");
        locked(&self.pids).insert(child.id(), ());
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output was redirected"));
        Peer { test: self, child, input, output, reaped: false }
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        for place in locked(&self.places).iter() {
            let _ = std::fs::remove_dir_all(place);
        }
    }
}

/// A running helper program; killed and reaped when dropped.
#[derive(Debug)]
pub struct Peer<'a> {
    test: &'a Test,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    reaped: bool,
}

impl Peer<'_> {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let got = self.output.read_line(&mut line).expect("its output is no text");
        assert!(got > 0, "{}: the helper program ended early", self.test.name);
        line.trim_end().to_owned()
    }

    /// The next whole line it prints, or `None` when it has ended.
    ///
    /// # Panics
    /// If that is no text.
    pub fn line_or_end(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("its output is no text");
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    }

    /// Waits until it prints this line.
    ///
    /// # Panics
    /// If it prints another one.
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line, "{}: the helper program's output", self.test.name);
    }

    /// Lets it go on from a `wait`.
    ///
    /// # Panics
    /// If it is gone.
    pub fn go(&mut self) {
        self.input.as_mut().expect("its input was redirected").write_all(b"\n").expect("it is gone");
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it was waited for: its number may be somebody else's.
    pub fn signal(&self, number: i32) {
        assert!(!self.reaped);
        signal(self.pid(), number);
    }

    /// Stops it and waits until it has stopped.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer; a stop report reaps nothing.
        let got = unsafe { libc::waitpid(self.pid() as i32, &mut status, libc::WUNTRACED) };
        assert_eq!(got, self.pid() as i32);
        assert!(libc::WIFSTOPPED(status), "it ended: {status:#x}");
    }

    /// Waits until its one thread sleeps in the kernel.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn until_asleep(&self) {
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it is gone");
            match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
                Some('S') => return,
                Some('Z' | 'X') | None => panic!("{}: the helper program ended", self.test.name),
                Some(_) => std::thread::yield_now(),
            }
        }
    }

    /// Kills it at once. It is not reaped yet: a zombie, as dead peers often are.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn end(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("it cannot be waited for");
        self.reaped = true;
        locked(&self.test.pids).remove(&self.child.id());
        status
    }

    /// Waits for its end, which must be a success.
    ///
    /// # Panics
    /// If it is not.
    pub fn succeed(mut self) {
        drop(self.input.take());
        let status = self.end();
        assert!(status.success(), "{}: the helper program failed: {status}", self.test.name);
    }

    /// Waits for its end, which must be by SIGKILL.
    ///
    /// # Panics
    /// If it is not.
    pub fn was_killed(mut self) {
        let status = self.end();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{}: {status}", self.test.name);
    }
}

impl Peer<'_> {
    /// Waits for its end by SIGKILL, or by a success if the signal came too late.
    ///
    /// # Panics
    /// If it is neither.
    pub fn was_killed_or_done(mut self) {
        let status = self.end();
        let killed = status.signal() == Some(libc::SIGKILL);
        assert!(killed || status.success(), "{}: {status}", self.test.name);
    }
}

impl Drop for Peer<'_> {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(libc::SIGKILL);
            let _ = self.child.wait();
            locked(&self.test.pids).remove(&self.child.id());
        }
    }
}

/// Waits until somebody has gone to sleep on this ring more often than `before`, on either side.
///
/// # Panics
/// If there is no such ring.
pub fn until_asleep(name: &str, before: u64) {
    while sleeps(name) <= before {
        std::thread::yield_now();
    }
}

/// How often somebody has gone to sleep on this ring.
///
/// # Panics
/// If there is no such ring.
pub fn sleeps(name: &str) -> u64 {
    let ring = ring(name);
    ring.items.sleeps + ring.space.sleeps
}

/// How often a sleeper was woken on this ring.
///
/// # Panics
/// If there is no such ring.
pub fn wakes(name: &str) -> u64 {
    let ring = ring(name);
    ring.items.wakes + ring.space.wakes
}

/// What an onlooker sees of this ring.
///
/// # Panics
/// If there is no such ring.
pub fn ring(name: &str) -> inspect::Ring {
    match inspect::stat(name).expect("no such object").detail {
        inspect::Detail::Ring(ring) => ring,
        other => panic!("no ring: {other:?}"),
    }
}

/// The number of kills that each kill test makes: `RINGWAY_KILLS`, or so many that it takes a second or two.
pub fn rounds() -> u64 {
    std::env::var("RINGWAY_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

/// Sends a signal to a child, or to a child of a child, that lives.
pub fn signal(pid: u32, number: i32) {
    // SAFETY: no memory is involved; the child has not been reaped, so the number is still its own.
    unsafe { libc::kill(pid as i32, number) };
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

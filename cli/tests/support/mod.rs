//! Real `ringway` processes, in a place of their own.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::{
    fs,
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before a test gives up. Never a measure of speed.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(120);

/// A directory for names of its own, which must be empty in the end.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        static NEXT: Mutex<u32> = Mutex::new(0);
        let number = {
            let mut next = NEXT.lock().unwrap();
            *next += 1;
            *next
        };
        let path = PathBuf::from(format!("/dev/shm/ringway-cli-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Place(path)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(arguments).env("RINGWAY_DIR", &self.0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // The tests themselves may have been started in the background, or by nohup.
        let by_default = || {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                // SAFETY: no handler is involved, and the call is allowed after a fork.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // SAFETY: the closure makes those system calls only.
        unsafe { command.pre_exec(by_default) };
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::of(self.run(arguments))
    }

    /// Starts a command and feeds it from a thread; one that does not take all is not waited for.
    pub(crate) fn feed(&self, arguments: &[&str], input: Vec<u8>) -> Running {
        let mut running = Running::of({
            let mut command = self.run(arguments);
            command.stdin(Stdio::piped());
            command
        });
        let mut stdin = running.child.stdin.take().unwrap();
        // What is not taken is the command's business.
        thread::spawn(move || drop(stdin.write_all(&input)));
        running
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(crate) fn stat(&self, name: &str) -> Option<Value> {
        let ended = self.start(&["stat", name, "--json"]).end();
        ended.status.success().then(|| serde_json::from_str(&ended.stdout()).unwrap())
    }

    /// Waits until what `stat` shows of `name` satisfies `condition`.
    pub(crate) fn await_stat(&self, name: &str, condition: impl Fn(&Value) -> bool) {
        wait_for(name, || self.stat(name).filter(&condition));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_eq!(self.names(), [""; 0], "left over");
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < GIVE_UP, "waited for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A command at work. Killed if the test fails.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: Option<thread::JoinHandle<Vec<u8>>>,
    stderr: Option<thread::JoinHandle<Vec<u8>>>,
}

pub(crate) fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(drain);
        let stderr = child.stderr.take().map(drain);
        Running { child, stdout, stderr }
    }

    /// One whose output is read by the test itself.
    pub(crate) fn with_output(mut command: Command) -> (Running, ChildStdout) {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().map(drain);
        (Running { child, stdout: None, stderr }, stdout)
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: kill touches no memory, and the child is not reaped yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as libc::pid_t, signal) }, 0);
    }

    /// The command that it runs, once it has become `program`.
    pub(crate) fn await_command(&self, program: &str) -> u32 {
        let threads = format!("/proc/{}/task", self.child.id());
        wait_for(program, || {
            let of_threads =
                fs::read_dir(&threads).ok()?.map(|thread| thread.unwrap().path().join("children"));
            let children: String =
                of_threads.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
            let is_it = |pid: &u32| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == program)
            };
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(is_it)
        })
    }

    /// Waits until it has taken note of a signal that was sent to it: a second one sent before is none.
    pub(crate) fn await_taken(&self, signal: libc::c_int) {
        wait_for("the signal to be taken", || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
            let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"))?;
            let pending = u64::from_str_radix(pending.trim(), 16).ok()?;
            (pending & (1 << (signal - 1)) == 0).then_some(())
        });
    }

    pub(crate) fn end(mut self) -> Ended {
        let status = wait_for("the end", || self.child.try_wait().unwrap());
        let read = |thread: &mut Option<thread::JoinHandle<Vec<u8>>>| {
            let Some(thread) = thread.take() else { return Vec::new() };
            // Later than its end, if it has left a child behind.
            wait_for("the end of its output", || thread.is_finished().then_some(()));
            thread.join().unwrap()
        };
        Ended { status, out: read(&mut self.stdout), err: read(&mut self.stderr) }
    }

    /// Ends well.
    pub(crate) fn succeed(self) -> Vec<u8> {
        let ended = self.end();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr());
        assert_eq!(ended.stderr(), "", "nothing to complain about");
        ended.out
    }

    /// Ends with exit code 1, and says so.
    pub(crate) fn fail(self, with: &str) -> Ended {
        let ended = self.end();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr());
        assert!(ended.stderr().contains(with), "{with:?} is not in {:?}", ended.stderr());
        ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
}

impl Ended {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.err.clone()).unwrap()
    }
}

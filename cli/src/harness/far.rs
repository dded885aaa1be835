//! The other process, seen from the parent: starting it, hearing from it, noticing when it dies.

use std::{
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{self, Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    Setup,
    control::{GO, Report, Said},
};
use crate::{
    error::{Context, FAILED, Failure},
    sys,
    transport::{Kind, Mode, Work},
};

/// The hidden command that turns this program into a worker.
pub(crate) const WORKER: &str = "__worker";

/// How long a dead worker may go unnoticed by the thread that works with it.
const GRACE: Duration = Duration::from_secs(5);
/// How often the watchdog counts down. Time is counted in slices and not read from a clock, so that a program
/// which the user stopped for an hour has not run out of time when it goes on.
const SLICE: Duration = Duration::from_millis(500);

/// A worker process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Far {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    name: String,
    watchdog: Option<Watchdog>,
}

impl Far {
    /// Starts a worker that serves the other end of a transport, made of `fds`, and waits until it is ready.
    /// The worker is killed if it has not reported within `time` and the patience of `setup`.
    pub(crate) fn start(
        setup: &Setup,
        (kind, mode, work): (Kind, Mode, Work),
        fds: Vec<OwnedFd>,
        time: Duration,
    ) -> Result<Far, Failure> {
        let name = format!("{kind} worker ({work})");
        let numbers: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let list = numbers.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        // The link leads to this very program even if its file was replaced or deleted meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("ringway").args([WORKER, "--transport", kind.name(), "--mode", mode.name()]);
        command.args(["--work", &work.to_string(), "--cpu", &setup.pins.far().to_string(), "--fds", &list]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        sys::hand_over(&mut command, numbers);
        let mut child = command.spawn().context(|| format!("cannot start the {name}"))?;
        // Its end of the transport is the child's alone: we see the end of the stream when it dies.
        drop(fds);
        let to = child.stdin.take();
        let from = child.stdout.take().expect("standard output was asked to be a pipe");
        let mut far = Far { child, to, from: BufReader::new(from), name, watchdog: None };
        let watchdog = Watchdog::start(&far, time + setup.patience);
        far.watchdog = Some(watchdog.context(|| "cannot start the watchdog".into())?);
        match far.hear() {
            Ok(Said::Ready) => Ok(far),
            Ok(said) => Err(far.broken(said)),
            Err(error) => Err(far.explain(error)),
        }
    }

    /// Lets the worker begin.
    pub(crate) fn go(&mut self) -> io::Result<()> {
        let to = self.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(to, "{GO}")
    }

    /// Waits for the worker's report and for its end.
    pub(crate) fn report(mut self) -> Result<Report, Failure> {
        match self.hear() {
            Ok(Said::Report(report)) => {
                let status = self.end().context(|| format!("cannot wait for the {}", self.name))?;
                if status.success() {
                    return Ok(report);
                }
                Err(Failure::Runtime(format!("the {} {}", self.name, fate(status))))
            }
            Ok(said) => Err(self.broken(said)),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// The reason behind an error of the transport: the worker's own words, or how it ended. Our end of the
    /// transport must be closed by now.
    pub(crate) fn explain(mut self, error: io::Error) -> Failure {
        self.to = None;
        // Give it time to say what went wrong. It is killed if it does not end by itself.
        let control = self.from.get_ref().as_raw_fd();
        let ended = sys::poll_hangup([control; 2], GRACE / 2)[0];
        if !ended {
            sys::kill(self.child.id());
        }
        let mut last_words = String::new();
        // What cannot be read was not said.
        let _ = self.from.read_to_string(&mut last_words);
        let failed = last_words.lines().find_map(|line| match line.parse() {
            Ok(Said::Failed(why)) => Some(why),
            _ => None,
        });
        let reason = self.watchdog.as_ref().and_then(Watchdog::reason);
        let status = self.end();
        Failure::Runtime(match (failed, reason, status) {
            (Some(why), ..) => format!("the {} failed: {why}", self.name),
            (None, Some(reason), _) => format!("the {} {reason}", self.name),
            (None, None, Ok(status)) if ended && !status.success() => {
                format!("the {} {}", self.name, fate(status))
            }
            _ => format!("the connection to the {} broke: {error}", self.name),
        })
    }

    fn broken(mut self, said: Said) -> Failure {
        match said {
            Said::Failed(why) => {
                // Its fate no longer matters: it has said why.
                let _ = self.end();
                Failure::Runtime(format!("the {} failed: {why}", self.name))
            }
            said => Failure::Runtime(format!("the {} said {said:?} out of turn", self.name)),
        }
    }

    fn hear(&mut self) -> io::Result<Said> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without a report"));
        }
        line.parse().map_err(|text: String| io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// Waits for the process to end. The watchdog is called off before the process is reaped, while its number
    /// can belong to nobody else.
    fn end(&mut self) -> io::Result<ExitStatus> {
        self.to = None;
        sys::await_exit(self.child.id())?;
        self.watchdog = None;
        self.child.wait()
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.watchdog = None;
        // Both fail only if the process was reaped before, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process ended, as the predicate of a sentence.
fn fate(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended in an unknown way".into(),
    }
}

/// A thread that sleeps until the worker dies or its time is up, and sees to it that the parent never hangs.
#[derive(Debug)]
struct Watchdog {
    /// Closed to call it off.
    disarm: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
    reason: Arc<Mutex<Option<String>>>,
}

impl Watchdog {
    fn start(far: &Far, allowed: Duration) -> io::Result<Watchdog> {
        let (disarmed, disarm) = io::pipe()?;
        let control = far.from.get_ref();
        let watch = Watch {
            control: PipeReader::from(control.as_fd().try_clone_to_owned()?),
            disarmed,
            pid: far.child.id(),
            name: far.name.clone(),
            reason: Arc::default(),
        };
        let reason = Arc::clone(&watch.reason);
        let thread = thread::Builder::new().name("watchdog".into()).spawn(move || watch.run(allowed))?;
        Ok(Watchdog { disarm: Some(disarm), thread: Some(thread), reason })
    }

    /// Why it killed the worker, if it did.
    fn reason(&self) -> Option<String> {
        self.reason.lock().ok()?.clone()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.disarm = None;
        if let Some(thread) = self.thread.take() {
            // A watchdog that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// What the watchdog's thread owns.
struct Watch {
    /// The worker's standard output: closed when it dies.
    control: PipeReader,
    disarmed: PipeReader,
    pid: u32,
    name: String,
    reason: Arc<Mutex<Option<String>>>,
}

impl Watch {
    fn run(self, allowed: Duration) {
        let fds = [self.control.as_raw_fd(), self.disarmed.as_raw_fd()];
        let mut left = allowed;
        let reason = loop {
            match sys::poll_hangup(fds, left.min(SLICE)) {
                [_, true] => return,
                [true, _] => break "died without a report".to_owned(),
                _ => left = left.saturating_sub(SLICE),
            }
            if left.is_zero() {
                let reason = format!("gave no answer for {allowed:.1?} and was killed");
                if let Ok(mut place) = self.reason.lock() {
                    *place = Some(reason.clone());
                }
                sys::kill(self.pid);
                break reason;
            }
        };
        // The transport tells the main thread that its peer has gone, or the control pipe does. Only one that
        // spins on memory which nobody will write any more hears of neither.
        let mut left = GRACE;
        while !left.is_zero() {
            // The first pipe is closed for good: wait on the second alone.
            if sys::poll_hangup([fds[1]; 2], left.min(SLICE))[1] {
                return;
            }
            left = left.saturating_sub(SLICE);
        }
        eprintln!("ringway: the {} {reason}; its peer did not notice", self.name);
        process::exit(i32::from(FAILED));
    }
}

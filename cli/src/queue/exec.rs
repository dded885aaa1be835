//! Workers: a command for each message.
//!
//! A thread for each command at work. All share one lock, under which commands are started, signalled and reaped: so a
//! signal reaches every command, and no stranger that has got its number meanwhile.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    process::{Child, Command, Stdio},
    sync::{Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use super::{
    get::{GetArgs, verdict},
    handle::{Handle, Interrupt, Received, Unreceived},
    letters::Letters,
};
use crate::{
    error::{Context, Failure},
    monitor::{Count, Monitor, Subject, Watched, note},
    sys::{self, Caught, Mask, Signals},
};

/// How long to wait before the next message after one that failed for the second time; each time twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a command that does not read is left alone before a look at whether it has ended.
const GLANCE: Duration = Duration::from_millis(50);
/// As long as the command takes.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);
/// What stands for the message.
const PLACE: &[u8] = b"{}";

/// Runs `command` for each message.
pub(super) fn run(
    args: &GetArgs,
    command: &[OsString],
    handle: Handle,
    signals: &Signals,
) -> Result<(), Failure> {
    let name = &args.name;
    if let Handle::Plain(_) = handle {
        return Err(Failure::Runtime(format!(
            "{name}: a message of a plain queue cannot go back if its command fails; make the queue without --plain"
        )));
    }
    let letters = Letters::open(args)?;
    let handle = match handle {
        Handle::Tasks(queue) => Handle::Tasks(letters.instruct(queue, name)?),
        other => other,
    };
    let crew = Crew {
        args,
        command,
        takes_arguments: command.iter().any(|part| part.as_bytes().windows(2).any(|two| two == PLACE)),
        handle,
        letters,
        mask: signals.before(),
        interrupt: Interrupt::default(),
        state: Mutex::new(State { left: args.count, ..State::default() }),
        changed: Condvar::new(),
    };
    let count = Count::default();
    let outcome = thread::scope(|scope| {
        // The commands have the terminal.
        let watched = Watched { name, count: &count, total: None, may_draw: false, subject: &crew };
        let monitor = Monitor::start(scope, signals, watched)?;
        let workers: Vec<_> = (0..args.jobs).map(|_| scope.spawn(|| crew.work())).collect();
        let ended: Vec<_> =
            workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect();
        drop(monitor);
        // Judged when all are done: what one waited for in vain another may have got.
        let done = crew.lock().done;
        ended.into_iter().try_for_each(|ended| match ended? {
            Some(why) => verdict(name, &why, done, args),
            None => Ok(()),
        })
    });
    let signal = crew.interrupt.signal();
    drop(crew);
    match signal {
        Some(signal) => sys::die_of(signal),
        None => outcome,
    }
}

/// All workers of this process.
struct Crew<'a> {
    args: &'a GetArgs,
    command: &'a [OsString],
    /// The message is an argument, not the input.
    takes_arguments: bool,
    handle: Handle,
    letters: Letters,
    /// The signals that the commands hold back.
    mask: Mask,
    interrupt: Interrupt,
    state: Mutex<State>,
    /// Somebody who pauses is to look again.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The commands at work: started, and not reaped.
    children: Vec<u32>,
    /// How many messages may still be begun, if that is limited.
    left: Option<u64>,
    /// How many are done.
    done: u64,
}

/// What became of a message.
enum Attempt {
    Done,
    Failed(String),
    /// Nothing was begun: we are to end.
    Stopped,
}

impl fmt::Debug for Crew<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("command", &self.command).finish_non_exhaustive()
    }
}

impl Crew<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// Works until there is no more to do; why nothing more came, if that is the reason.
    fn work(&self) -> Result<Option<Unreceived>, Failure> {
        let ended = self.work_on();
        if ended.is_err() {
            // All end with the first that cannot go on.
            self.interrupt.stop();
            // Who has looked before, and is about to pause, pauses by now.
            drop(self.lock());
            self.changed.notify_all();
        }
        ended
    }

    fn work_on(&self) -> Result<Option<Unreceived>, Failure> {
        while self.may_begin() {
            let mut kept = None;
            // One that fails is no message less to do.
            loop {
                if self.interrupt.is_set() {
                    return Ok(Some(Unreceived::Interrupted));
                }
                let message = match kept.take() {
                    Some(message) => message,
                    None => match self.handle.recv(self.args.timeout, &self.interrupt, || true) {
                        Ok(message) => message,
                        Err(why) => return Ok(Some(why)),
                    },
                };
                match self.attempt(&message)? {
                    Attempt::Done => {
                        message.done(&self.args.name)?;
                        self.lock().done += 1;
                        break;
                    }
                    Attempt::Failed(why) => {
                        let fate = self.letters.fate(&message);
                        note(&self.args.name, &format!("message {}: {why}; {fate}", message.id()));
                        let failed_before = message.deliveries();
                        kept = self.letters.put_off(message)?;
                        self.pause(failed_before);
                    }
                    Attempt::Stopped => return Ok(Some(Unreceived::Interrupted)),
                }
            }
        }
        Ok(None)
    }

    fn may_begin(&self) -> bool {
        match &mut self.lock().left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// Runs the command once.
    ///
    /// # Errors
    /// What would befall every message, or this one every time.
    fn attempt(&self, message: &Received<'_>) -> Result<Attempt, Failure> {
        let mut child = {
            let mut state = self.lock();
            if self.interrupt.is_set() {
                return Ok(Attempt::Stopped);
            }
            let child = match self.command_for(message).spawn() {
                Ok(child) => child,
                // Too long for an argument, or with a byte in it that none can have: it never succeeds.
                Err(error) if self.takes_arguments && is_about_arguments(&error) => {
                    if self.letters.are_kept() {
                        return Ok(Attempt::Failed(format!("it cannot be an argument: {error}")));
                    }
                    return Err(Failure::Runtime(format!(
                        "{}: message {} cannot be an argument: {error}; it goes back (let it be the input of the \
                         command, without {{}}, or give --dead-letters)",
                        self.args.name,
                        message.id(),
                    )));
                }
                Err(error) => {
                    let command = self.command[0].display();
                    return Err(Failure::Io(format!("{}: cannot run {command}", self.args.name), error));
                }
            };
            state.children.push(child.id());
            child
        };
        let fed = feed(&mut child, message);
        // Reaped under the lock, so that nobody sends a signal to a number that is somebody else's by then.
        let waited = sys::await_exit(child.id());
        let status = {
            let mut state = self.lock();
            state.children.retain(|&pid| pid != child.id());
            child.wait()
        };
        let status =
            waited.and(status).context(|| format!("{}: cannot wait for the command", self.args.name))?;
        Ok(match fed {
            _ if !status.success() => Attempt::Failed(format!("the command ended with {status}")),
            Err(error) => Attempt::Failed(format!("cannot hand it to the command: {error}")),
            Ok(()) => Attempt::Done,
        })
    }

    fn command_for(&self, message: &Received<'_>) -> Command {
        let text =
            message.strip_suffix(b"\n").map_or(&**message, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut parts = self.command.iter().map(|part| fill_in(part, text));
        let mut command = Command::new(parts.next().unwrap_or_default());
        command
            .args(parts)
            .env("RINGWAY_TASK_ID", message.id().to_string())
            .env("RINGWAY_DELIVERIES", message.deliveries().to_string())
            .stdin(if self.takes_arguments { Stdio::null() } else { Stdio::piped() });
        sys::in_our_stead(&mut command, self.mask);
        command
    }

    /// Does not try again and again at full speed what fails each time.
    fn pause(&self, failed_before: u8) {
        if let Some(doublings) = failed_before.checked_sub(1) {
            let pause = (PAUSE * (1 << doublings.min(10))).min(LONGEST_PAUSE);
            drop(self.changed.wait_timeout_while(self.lock(), pause, |_| !self.interrupt.is_set()));
        }
    }
}

impl Subject for Crew<'_> {
    /// The commands get the signal too, and all the time they need; with the second one they are killed.
    fn stop(&self, caught: Caught) -> Option<Duration> {
        let is_first = self.interrupt.signal().is_none();
        self.interrupt.set(caught.signal);
        let state = self.lock();
        for &pid in &state.children {
            match is_first {
                // They have it already.
                true if caught.by_terminal => {}
                true => sys::send_signal(pid, caught.signal),
                false => sys::kill(pid),
            }
        }
        self.changed.notify_all();
        is_first.then_some(FOR_EVER)
    }

    fn hopeless(&self) -> Option<String> {
        None
    }

    fn state(&self, _: bool) -> String {
        String::new()
    }
}

/// Gives the message to the command. One that does not want all of it need not read it; nor do we wait for what it has
/// left behind with the pipe when it has ended.
fn feed(child: &mut Child, mut message: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = child.stdin.take() else { return Ok(()) };
    // Our end alone: the command sees nothing of it.
    sys::make_nonblocking(stdin.as_raw_fd())?;
    while !message.is_empty() {
        match stdin.write(message) {
            Ok(written) => message = &message[written..],
            Err(error) => match error.kind() {
                io::ErrorKind::BrokenPipe => return Ok(()),
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    if !sys::poll_output(stdin.as_raw_fd(), GLANCE) && sys::has_exited(child.id())? {
                        return Ok(());
                    }
                }
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

fn is_about_arguments(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ArgumentListTooLong | io::ErrorKind::InvalidInput)
}

/// Puts `message` wherever `part` says `{}`.
fn fill_in(part: &OsStr, message: &[u8]) -> OsString {
    let mut rest = part.as_bytes();
    let mut filled = Vec::new();
    while let Some(at) = rest.windows(PLACE.len()).position(|two| two == PLACE) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(message);
        rest = &rest[at + PLACE.len()..];
    }
    filled.extend_from_slice(rest);
    OsString::from_vec(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_takes_every_place() {
        let filled = |part: &str, message: &[u8]| fill_in(OsStr::new(part), message).into_vec();
        assert_eq!(filled("{}", b"a b"), b"a b");
        assert_eq!(filled("x{}y{}", b"\xff"), b"x\xffy\xff");
        assert_eq!(filled("{}}{{}", b"{}"), b"{}}{{}", "what it brings is left as it is");
        assert_eq!(filled("{ }", b"a"), b"{ }");
        assert_eq!(filled("-{}-", b""), b"--");
    }
}

//! `ringway queue get`: writes messages out, or has a command work on them.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use clap::Args;
use ringway::RecvError;

use super::{
    Making, exec,
    handle::{Attended, DESERTED, Handle, Interrupt, Received, Unreceived},
};
use crate::{
    args::parse_patience,
    error::{Context, Failure},
    framing::{Joined, Joiner},
    monitor::{Count, Monitor, Watched},
    recv::Output,
    report::units,
    sys::{self, Signals},
};

/// How long writing out what was got may take after a signal.
const GRACE: Duration = Duration::from_secs(1);
/// How many messages are got, written and acknowledged together, and how many bytes of them: others get the rest.
/// If they do not come back when we are killed, it is one at a time.
const TOGETHER: usize = 128;
const TOGETHER_BYTES: usize = 64 << 10;

/// Gets messages out of a queue: writes them out, or runs a command for each
///
/// Goes on until the queue is closed and everything in it is done; any number may do so at once. A message is
/// acknowledged only when it was written out, or when its command has ended with status 0. If this process is killed
/// before, or the command fails, it goes back and is got again, by whoever is there: at least once, so a message may
/// come twice.
///
/// A tally queue takes nothing back. What failed is tried again here; when this process ends in order, what it has not
/// done is put once more, at the end. If that is not possible, because the queue is full or closed, it says so. If this
/// process is killed, the message it had is gone, and stays unfinished.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway queue get jobs --lines                  a newline after each message that has none
  ringway queue get jobs --count 1 --timeout 5    one, if one comes within five seconds
  ringway queue get jobs --exec ./work            the message is what ./work reads from its standard input
  ringway queue get jobs --jobs 4 --exec convert {} -resize 50% small/{}
  ringway queue get jobs --dead-letters failed --max-deliveries 3 --exec ./work

The command: all that follows --exec is the command and its arguments, so it comes last. If {} stands in them, the
message without its line ending takes its place and standard input is empty; else it is on standard input. The
environment has RINGWAY_TASK_ID, the number of the message, and RINGWAY_DELIVERIES, how often it was got before. A
command that fails again is tried again a little later. A message that cannot be an argument, being too long or having
a NUL byte, ends this program and goes back, unless there are dead letters. Signals that end this program go to the command first, and a
second one kills it. It is killed when this program is.

Exit status: 0 when the queue is closed and all in it is done, when --count messages were got, or when --timeout passed
and no --count was asked for; 1 if fewer than --count came or something failed. Ends by SIGPIPE when the reader of its
output does, and by SIGINT, SIGTERM or SIGHUP when they come.")]
pub(super) struct GetArgs {
    /// The name, or the absolute path of a file
    pub(super) name: String,
    /// Add a newline to each message that does not end in one
    #[arg(long, group = "form")]
    lines: bool,
    /// Write each message's length before it, as a little-endian u32
    #[arg(long, group = "form")]
    length_prefixed: bool,
    /// Where to write; standard output if left out or `-`
    #[arg(long, value_name = "FILE", group = "form_of_output")]
    out: Option<PathBuf>,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,
    /// End when nothing came for so long; 0 takes what is there
    #[arg(long, value_name = "SECONDS", value_parser = parse_patience)]
    pub(super) timeout: Option<Duration>,
    /// Make the queue if it is missing, as `ringway queue create` does by default
    #[arg(long)]
    create: bool,
    /// Run so many commands at once
    #[arg(long, value_name = "N", default_value_t = 1, requires = "exec", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: u16,
    /// Where a message goes that failed too often: another queue, made with --plain if it is missing, or `drop`
    #[arg(long, value_name = "QUEUE|drop", requires = "exec")]
    pub(super) dead_letters: Option<String>,
    /// How often is too often
    #[arg(long, value_name = "N", default_value_t = 3, requires = "dead_letters", value_parser = clap::value_parser!(u8).range(1..=63))]
    pub(super) max_deliveries: u8,
    /// Run a command for each message, instead of writing it out
    #[arg(long, value_name = "CMD [ARGS]", num_args = 1.., allow_hyphen_values = true, conflicts_with_all = ["form", "form_of_output"])]
    pub(super) exec: Option<Vec<OsString>>,
}

impl GetArgs {
    fn form(&self) -> Joined {
        match (self.lines, self.length_prefixed) {
            (true, _) => Joined::Lines,
            (_, true) => Joined::LengthPrefixed,
            _ => Joined::Raw,
        }
    }
}

/// Gets.
pub(super) fn run(args: &GetArgs) -> Result<(), Failure> {
    // Nothing is opened if the output cannot be.
    let output = match &args.exec {
        Some(_) => None,
        None => Some(Output::open(args.out.as_deref())?),
    };
    let signals = Signals::take().context(|| "cannot watch for signals".into())?;
    let handle = if args.create {
        Handle::open_or_create(&args.name, &Making::default())?
    } else {
        Handle::open(&args.name)?
    };
    match (&args.exec, output) {
        (Some(command), _) => exec::run(args, command, handle, &signals),
        (None, Some(output)) => write_out(args, handle, &signals, &output),
        (None, None) => Ok(()),
    }
}

fn write_out(args: &GetArgs, handle: Handle, signals: &Signals, output: &Output<'_>) -> Result<(), Failure> {
    let (count, interrupt) = (Count::default(), Interrupt::default());
    let subject =
        Attended { handle: &handle, interrupt: &interrupt, grace: GRACE, when_empty: "waiting for messages" };
    let outcome = thread::scope(|scope| {
        let may_draw = !io::IsTerminal::is_terminal(&output.file);
        let watched = Watched { name: &args.name, count: &count, total: None, may_draw, subject: &subject };
        let monitor = Monitor::start(scope, signals, watched)?;
        let getter = Getter { name: &args.name, handle: &handle, count: &count, interrupt: &interrupt };
        let joiner = Joiner::with_buffer(&output.file, args.form(), TOGETHER_BYTES);
        let outcome = getter.get_all(args, joiner, output);
        drop(monitor);
        outcome
    });
    drop(handle);
    if let Some(signal) = interrupt.signal() {
        sys::die_of(signal);
    }
    if let Err(Failure::ReaderGone) = outcome {
        sys::die_of(libc::SIGPIPE);
    }
    outcome
}

struct Getter<'a> {
    name: &'a str,
    handle: &'a Handle,
    count: &'a Count,
    interrupt: &'a Interrupt,
}

impl Getter<'_> {
    fn get_all(
        &self,
        args: &GetArgs,
        mut joiner: Joiner<impl Write>,
        output: &Output<'_>,
    ) -> Result<(), Failure> {
        let fail = |error| output.failure(error);
        let mut batch: Vec<Received<'_>> = Vec::with_capacity(TOGETHER);
        loop {
            let left = args.count.map_or(u64::MAX, |count| count - self.count.messages());
            if left == 0 {
                return Ok(());
            }
            match self.handle.recv(args.timeout, self.interrupt, || !output.is_unread()) {
                Ok(first) => batch.push(first),
                // As if there had been something to write.
                Err(Unreceived::Unwanted) => return Err(output.failure(io::ErrorKind::BrokenPipe.into())),
                Err(why) => return verdict(self.name, &why, self.count.messages(), args),
            }
            let more = self.get_more(&mut batch, left);
            // What is not written goes back: `batch` is dropped. So does what was written and not flushed.
            batch.iter().try_for_each(|message| joiner.write(message)).map_err(&fail)?;
            joiner.flush().map_err(&fail)?;
            for message in batch.drain(..) {
                self.count.add(message.len());
                message.done(self.name)?;
            }
            if let Err(error) = more {
                return verdict(self.name, &Unreceived::Failed(error), self.count.messages(), args);
            }
            if self.interrupt.signal().is_some() {
                return Ok(());
            }
        }
    }

    /// What else is there, up to a limit.
    ///
    /// # Errors
    /// What went wrong with the message after those. It may be gone with that, so nobody else will tell.
    fn get_more<'q>(&'q self, batch: &mut Vec<Received<'q>>, left: u64) -> Result<(), RecvError> {
        if let Handle::Tally(_) = self.handle {
            return Ok(());
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(TOGETHER);
        let mut bytes = batch.iter().map(|message| message.len()).sum::<usize>();
        while batch.len() < most && bytes < TOGETHER_BYTES {
            let message = match self.handle.try_recv() {
                Ok(message) => message,
                // What that means is judged when nothing is in hand.
                Err(RecvError::Empty | RecvError::Timeout | RecvError::Closed) => break,
                Err(error) => return Err(error),
            };
            bytes += message.len();
            batch.push(message);
        }
        Ok(())
    }
}

/// Whether it is well that nothing more came after so many messages.
pub(super) fn verdict(name: &str, why: &Unreceived, got: u64, args: &GetArgs) -> Result<(), Failure> {
    let why = match why {
        Unreceived::Interrupted | Unreceived::Unwanted => return Ok(()),
        Unreceived::Timeout | Unreceived::Closed if args.count.is_none_or(|count| got >= count) => {
            return Ok(());
        }
        Unreceived::Timeout => {
            format!("nothing came for {} s", args.timeout.unwrap_or_default().as_secs_f64())
        }
        Unreceived::Closed => "the queue is closed, and all in it is done".into(),
        Unreceived::Deserted => DESERTED.into(),
        Unreceived::Failed(RecvError::Closed) => "the queue is closed".into(),
        Unreceived::Failed(error) => error.to_string(),
    };
    let after = match args.count {
        Some(count) => format!(" after {} of {} messages", units::count(got), units::count(count)),
        None => String::new(),
    };
    Err(Failure::Runtime(format!("{name}: {why}{after}")))
}

//! `ringway recv`: writes out what comes, and tells whether it was all.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    mem,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    thread,
};

use clap::Args;
use ringway::{Connection, Deadline, End, RecvError};

use crate::{
    error::{Context, Failure},
    framing::{Joined, Joiner},
    monitor::{Count, Monitor, Watched, note},
    rendezvous::{CAPACITY, about, look, meet},
    report::units,
    send::footprint,
    sys::{self, Signals},
};

/// Receives what `ringway send` sends on the same name and writes it out, until the last sender has finished
///
/// Either side may start first. Several receivers of one name share its messages: each goes to one of them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway recv x | tar x                       and in another shell: tar c dir | ringway send x
  ringway recv backup --out disk.img           the messages one after the other, nothing added
  ringway recv events --lines | jq .level      a newline after each message that has none
  ringway recv jobs --length-prefixed | worker each message after its length, a little-endian u32

Exit status: 0 if all senders finished and, unless messages are kept apart (--lines, --length-prefixed), the
stream was received from its beginning and by nobody else; 1 otherwise. Ends by SIGPIPE when the reader of its
output does.")]
pub(crate) struct RecvArgs {
    /// The name, or the absolute path of a file to be the ring
    pub(crate) name: String,
    /// Add a newline to each message that does not end in one
    #[arg(long, group = "form")]
    lines: bool,
    /// Write each message's length before it, as a little-endian u32
    #[arg(long, group = "form")]
    length_prefixed: bool,
    /// Where to write; standard output if left out or `-`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

impl RecvArgs {
    /// How messages are written.
    pub(crate) fn form(&self) -> Joined {
        match (self.lines, self.length_prefixed) {
            (true, _) => Joined::Lines,
            (_, true) => Joined::LengthPrefixed,
            _ => Joined::Raw,
        }
    }
}

/// Receives.
pub(crate) fn run(args: &RecvArgs) -> Result<(), Failure> {
    let output = Output::open(args.out.as_deref())?;
    let signals = Signals::take().context(|| "cannot watch for signals".into())?;
    let connection = meet(&args.name, End::Second, CAPACITY, |text| note(&args.name, &text))?;
    let count = Count::default();
    let mut incoming = Incoming::new(&connection, args.form(), &count);
    let outcome = thread::scope(|scope| {
        let watched = Watched {
            name: &args.name,
            subject: &connection,
            count: &count,
            total: None,
            may_draw: !output.file.is_terminal(),
        };
        let monitor = Monitor::start(scope, &signals, watched)?;
        incoming.warn_of_earlier_receivers(&args.name);
        let outcome = pump(&mut incoming, &output.file, args.form(), |error| output.failure(error));
        drop(monitor);
        outcome
    });
    let outcome = outcome.and_then(|()| incoming.judge()).map_err(|failure| match failure {
        Failure::Runtime(text) => Failure::Runtime(format!("{}: {text}", args.name)),
        failure => failure,
    });
    drop(connection);
    if let Err(Failure::ReaderGone) = outcome {
        sys::die_of(libc::SIGPIPE);
    }
    outcome
}

/// Where the bytes go.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    pub(crate) file: File,
    path: Option<&'a Path>,
}

impl<'a> Output<'a> {
    /// The file, made anew, or standard output for none and for `-`.
    pub(crate) fn open(path: Option<&'a Path>) -> Result<Self, Failure> {
        let path = path.filter(|path| path.as_os_str() != "-");
        let file = match path {
            Some(path) => File::create(path).context(|| format!("cannot create {}", path.display()))?,
            None => {
                let copy = io::stdout().as_fd().try_clone_to_owned();
                File::from(copy.context(|| "cannot write to standard output".into())?)
            }
        };
        Ok(Output { file, path })
    }

    /// Whether it is standard output and whoever read it is gone: a write would fail. A pipe with a name is another
    /// matter: the next reader may come before the next message.
    pub(crate) fn is_unread(&self) -> bool {
        self.path.is_none() && sys::is_unread(self.file.as_raw_fd())
    }

    /// What a failed write to it means.
    pub(crate) fn failure(&self, error: io::Error) -> Failure {
        match self.path {
            Some(path) => Failure::Io(format!("cannot write {}", path.display()), error),
            None => Failure::from_stdout(error),
        }
    }
}

/// Where messages come from.
trait Source {
    /// Gives the next message to `take`; unless it is there already, and not to `wait`, for which see [`Next`].
    fn next(&mut self, wait: bool, take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<Next, Failure>;
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A message was taken.
    Message,
    /// Nothing is there yet.
    Nothing,
    /// Nothing ever again.
    Closed,
}

/// Writes all messages of `source` to `output`. What has been received is handed on before waiting for more,
/// so that a reader of the output is never behind for longer than the messages keep coming.
///
/// # Errors
/// Those of the source; those of the output as `fail` sees them.
fn pump(
    source: &mut impl Source,
    output: impl Write,
    form: Joined,
    fail: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    let mut joiner = Joiner::new(output, form);
    let mut wait = false;
    loop {
        match source.next(wait, |message| joiner.write(message).map_err(&fail))? {
            Next::Message => wait = false,
            Next::Nothing => {
                joiner.flush().map_err(&fail)?;
                wait = true;
            }
            Next::Closed => break,
        }
    }
    joiner.flush().map_err(&fail)
}

/// The messages of a connection, and what is wrong with them as a stream.
struct Incoming<'a> {
    connection: &'a Connection,
    count: &'a Count,
    form: Joined,
    /// Where messages are copied to if others may receive meanwhile.
    buffer: Vec<u8>,
    /// The space in the ring of all messages we took, unless one of them came in pieces.
    space: Option<u64>,
    /// Bytes of a message whose sender died in the middle.
    torn: Option<u64>,
    /// Messages dropped because they were too long.
    too_long: u64,
}

impl<'a> Incoming<'a> {
    fn new(connection: &'a Connection, form: Joined, count: &'a Count) -> Self {
        Incoming { connection, count, form, buffer: Vec::new(), space: Some(0), torn: None, too_long: 0 }
    }

    /// Where messages are kept apart, an earlier receiver is usual as long as it is still at work.
    fn warn_of_earlier_receivers(&self, name: &str) {
        if self.connection.received_before() == 0 {
            return;
        }
        let others = look(self.connection).map_or(0, |(_, pipe)| pipe.second.living().saturating_sub(1));
        if self.form == Joined::Raw {
            note(name, "this stream has begun before: its beginning went to another receiver");
        } else if others == 0 {
            note(name, "an earlier receiver took the first messages of this stream, and is gone");
        }
    }

    fn took(&mut self, len: usize) {
        self.count.add(len);
        // Messages of up to half the ring travel whole.
        let whole = len <= self.connection.capacity() / 2 - 16;
        self.space = self.space.filter(|_| whole).map(|space| space + footprint(len));
    }

    /// Whether what was received is the stream, the whole stream and nothing else.
    fn judge(&self) -> Result<(), Failure> {
        let mut faults = Vec::new();
        let deaths = self.connection.peer_deaths();
        if let Some(bytes) = self.torn {
            let bytes = units::count(bytes);
            faults.push(format!(
                "a sender died in the middle of a message, {bytes} bytes of which are dropped"
            ));
        } else if deaths > 0 {
            let bytes = units::count(self.count.bytes());
            faults.push(format!(
                "a sender died before it had finished: the stream is cut off after {bytes} bytes"
            ));
        }
        if self.too_long > 0 {
            faults.push(format!("{} messages of more than 1 GiB were dropped", units::count(self.too_long)));
        }
        if self.form == Joined::Raw {
            let (_, pipe) = look(self.connection).map_err(|error| about("the stream", error))?;
            match self.space {
                Some(space) if pipe.forth.read_bytes != space => {
                    let others = pipe.forth.read_bytes.saturating_sub(space);
                    // Each message has a header of 8 bytes.
                    let messages = pipe.forth.read.saturating_sub(self.count.messages());
                    let bytes = units::count(others.saturating_sub(8 * messages));
                    faults.push(format!("incomplete: {bytes} bytes of the stream went to another receiver"));
                }
                None if pipe.second.arrivals > 1 => {
                    faults.push("incomplete: parts of the stream may have gone to another receiver".into());
                }
                _ => {}
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Failure::Runtime(faults.join("; "))) }
    }
}

impl Source for Incoming<'_> {
    fn next(
        &mut self,
        wait: bool,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Next, Failure> {
        let deadline = if wait { Deadline::NEVER } else { Deadline::NOW };
        let error = match self.form {
            // Written out from where it lies. One that cannot be written is not released: another receiver gets it,
            // or the sender learns that nobody did.
            Joined::Raw => match self.connection.recv_ref_deadline(deadline) {
                Ok(message) => {
                    if let Err(failure) = take(&message) {
                        mem::forget(message);
                        return Err(failure);
                    }
                    let len = message.len();
                    drop(message);
                    self.took(len);
                    return Ok(Next::Message);
                }
                Err(error) => error,
            },
            // Copied: others must not wait for our output.
            Joined::Lines | Joined::LengthPrefixed => {
                match self.connection.recv_into(&mut self.buffer, deadline) {
                    Ok(len) => {
                        self.took(len);
                        take(&self.buffer)?;
                        return Ok(Next::Message);
                    }
                    Err(error) => error,
                }
            }
        };
        match error {
            RecvError::Empty | RecvError::Timeout => Ok(Next::Nothing),
            RecvError::Closed => Ok(Next::Closed),
            RecvError::Torn { received } => {
                self.torn = Some(received);
                self.space = None;
                Ok(Next::Nothing)
            }
            RecvError::TooLong { .. } => {
                self.too_long += 1;
                self.space = None;
                Ok(Next::Nothing)
            }
            error => Err(Failure::Runtime(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::cell::RefCell;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        recv: RecvArgs,
    }

    #[test]
    fn messages_are_written_in_one_way() {
        let form = |arguments: &[&str]| {
            let line = Line::try_parse_from([&["recv", "name"], arguments].concat()).ok()?;
            Some(line.recv.form())
        };
        assert_eq!(form(&["--out", "file"]), Some(Joined::Raw));
        assert_eq!(form(&["--lines"]), Some(Joined::Lines));
        assert_eq!(form(&["--length-prefixed"]), Some(Joined::LengthPrefixed));
        assert_eq!(form(&["--lines", "--length-prefixed"]), None);
    }

    /// Plays back a script: a message, or a pause (`None`) before the next.
    struct Script<'a> {
        steps: &'a [Option<&'a str>],
        /// What the output has seen at each pause.
        seen: &'a RefCell<Vec<u8>>,
        at_pauses: Vec<Vec<u8>>,
    }

    impl Source for Script<'_> {
        fn next(
            &mut self,
            wait: bool,
            mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
        ) -> Result<Next, Failure> {
            if wait {
                self.at_pauses.push(self.seen.borrow().clone());
                self.steps = &self.steps[1..];
            }
            match self.steps {
                [] => Ok(Next::Closed),
                [None, ..] => Ok(Next::Nothing),
                [Some(text), rest @ ..] => {
                    take(text.as_bytes())?;
                    self.steps = rest;
                    Ok(Next::Message)
                }
            }
        }
    }

    struct Seen<'a>(&'a RefCell<Vec<u8>>);

    impl Write for Seen<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn script<'a>(steps: &'a [Option<&'a str>], seen: &'a RefCell<Vec<u8>>) -> Script<'a> {
        Script { steps, seen, at_pauses: Vec::new() }
    }

    #[test]
    fn what_was_received_is_written_before_waiting() {
        let seen = RefCell::new(Vec::new());
        let mut source = script(&[Some("a"), Some("b\n"), None, Some("c"), None], &seen);
        pump(&mut source, Seen(&seen), Joined::Lines, Failure::from_stdout).unwrap();
        assert_eq!(source.at_pauses, [&b"a\nb\n"[..], b"a\nb\nc\n"]);
        assert_eq!(*seen.borrow(), b"a\nb\nc\n");
    }

    #[test]
    fn an_output_that_nobody_reads_ends_it_quietly() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let seen = RefCell::new(Vec::new());
        let failure = pump(&mut script(&[Some("a")], &seen), writer, Joined::Raw, Failure::from_stdout);
        assert!(matches!(failure, Err(Failure::ReaderGone)), "{failure:?}");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let seen = RefCell::new(Vec::new());
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let fail = |error| Failure::Io("cannot write x".into(), error);
        let failure = pump(&mut script(&[Some("a")], &seen), full, Joined::Raw, fail).unwrap_err();
        assert!(failure.to_string().starts_with("cannot write x: "), "{failure}");
    }
}

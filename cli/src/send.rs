//! `ringway send`: cuts an input into messages and sees to it that they are taken.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Seek},
    mem::ManuallyDrop,
    os::fd::AsFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use ringway::{Connection, End, SendError};

use crate::{
    args::{parse_bytes, parse_patience},
    error::{Context, Failure},
    framing::{FrameError, Framing, Splitter},
    monitor::{Count, Monitor, Watched, note},
    rendezvous::{CAPACITY, MOST_MESSAGE, abandon, about, is_nameless, look, meet},
    report::units,
    sys::Signals,
};

/// How much is read at once: the size of a pipe's buffer.
const CHUNK: usize = 64 * 1024;
/// Between two looks whether a receiver has come, or has taken the rest.
const PAUSES: [Duration; 2] = [Duration::from_micros(100), Duration::from_millis(5)];

/// Sends a file or standard input to whoever runs `ringway recv` on the same name
///
/// Either side may start first. Ends when everything has been received. The messages keep every byte of the input:
/// written one after the other, as `recv` does, they are the input again. Several senders may share a name; the
/// stream ends with the last of them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tar c dir | ringway send x                      and in another shell: ringway recv x | tar x
  tail -f app.log | ringway send logs --lines     each line is a message, its newline included
  ringway send backup disk.img --block 1M         messages of 1 MiB, the last one as long as is left
  producer | ringway send jobs --length-prefixed  each message after its length, a little-endian u32

Exit status: 0 if everything was received; 1 if not, because the input could not be read or the receiver is gone.
Whoever receives then learns that the stream is cut off.")]
pub(crate) struct SendArgs {
    /// The name, or the absolute path of a file to be the ring
    pub(crate) name: String,
    /// What to send; standard input if left out or `-`
    pub(crate) file: Option<PathBuf>,
    /// One message a line. Messages keep their line ending; the last may have none
    #[arg(long, group = "cut")]
    lines: bool,
    /// One message for so many bytes; K, M and G are powers of two [default: as the input comes, at most 64K]
    #[arg(long, value_name = "N", group = "cut", value_parser = parse_block)]
    block: Option<usize>,
    /// The input already consists of messages, each after its length as a little-endian u32
    #[arg(long, group = "cut")]
    length_prefixed: bool,
    /// If the receiver goes away, how long to wait for another to go on from there
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_patience)]
    wait: Duration,
}

impl SendArgs {
    /// How the input is cut.
    pub(crate) fn framing(&self) -> Framing {
        match (self.lines, self.length_prefixed) {
            (true, _) => Framing::Lines,
            (_, true) => Framing::LengthPrefixed,
            _ => self.block.map_or(Framing::AsItComes(CHUNK), Framing::Blocks),
        }
    }
}

pub(crate) fn parse_block(text: &str) -> Result<usize, String> {
    match parse_bytes(text)? {
        0 => Err("a block has at least one byte".into()),
        len if len > MOST_MESSAGE => Err(format!("{text} is more than 1G")),
        len => Ok(len),
    }
}

/// Sends.
pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    let input = Input::open(args.file.as_deref())?;
    let signals = Signals::take().context(|| "cannot watch for signals".into())?;
    let framing = args.framing();
    let capacity = match framing {
        Framing::Blocks(len) => CAPACITY.max(4 * len.next_power_of_two()),
        _ => CAPACITY,
    };
    // Closed by hand and only if all went well: a connection that is not closed, whatever the reason, tells the
    // receiver that the stream is cut off.
    let connection =
        ManuallyDrop::new(meet(&args.name, End::First, capacity, |text| note(&args.name, &text))?);
    let count = Count::default();
    let outcome = thread::scope(|scope| {
        let watched = Watched {
            name: &args.name,
            subject: &*connection,
            count: &count,
            total: input.total,
            may_draw: !input.is_terminal,
        };
        let monitor = Monitor::start(scope, &signals, watched)?;
        let mut sender = Sender::new(args, &connection, &count);
        let outcome = match sender.send_all(input, framing) {
            Ok(()) => sender.drain(),
            Err(Stop::Ring(failure)) => Err(failure),
            Err(Stop::Input(failure)) => {
                // What could be read is received like any stream, and whoever receives it must learn that it is
                // cut off, also one who has yet to come.
                note(&args.name, "the input failed; waiting until all before that is received");
                sender.drain().and(Err(failure))
            }
        };
        drop(monitor);
        outcome
    });
    match outcome {
        Ok(()) => drop(ManuallyDrop::into_inner(connection)),
        Err(_) => abandon(&connection),
    }
    outcome
}

/// Where the bytes come from.
pub(crate) struct Input {
    pub(crate) file: File,
    /// A regular file: reading it never waits for anybody.
    is_regular: bool,
    pub(crate) is_terminal: bool,
    /// Bytes to come, if known.
    pub(crate) total: Option<u64>,
}

impl Input {
    /// The file, or standard input for none and for `-`.
    pub(crate) fn open(path: Option<&Path>) -> Result<Input, Failure> {
        let path = path.filter(|path| path.as_os_str() != "-");
        let mut file = match path {
            Some(path) => File::open(path).context(|| format!("cannot open {}", path.display()))?,
            None => {
                let copy = io::stdin().as_fd().try_clone_to_owned();
                File::from(copy.context(|| "cannot read standard input".into())?)
            }
        };
        let metadata = file.metadata().context(|| "cannot examine the input".into())?;
        if metadata.is_dir() {
            let path = path.map_or("standard input".into(), |path| path.display().to_string());
            return Err(Failure::Runtime(format!("{path} is a directory")));
        }
        let is_regular = metadata.is_file();
        let at = file.stream_position().unwrap_or(0);
        let total = is_regular.then(|| metadata.len().saturating_sub(at));
        let is_terminal = io::IsTerminal::is_terminal(&file);
        // Files that claim to be empty, as those in /proc do, may not be.
        Ok(Input { file, is_regular, is_terminal, total: total.filter(|&len| len > 0) })
    }
}

/// What this process has sent and may not have been taken yet.
#[derive(Debug)]
struct Ledger {
    /// The lengths of the latest messages: as many as the ring can hold, or more.
    lens: VecDeque<usize>,
    /// The space they take in the ring.
    space: u64,
    capacity: u64,
}

impl Ledger {
    fn new(capacity: usize) -> Self {
        Ledger { lens: VecDeque::new(), space: 0, capacity: capacity as u64 }
    }

    fn add(&mut self, len: usize) {
        self.lens.push_back(len);
        self.space += footprint(len);
        while let Some(&first) = self.lens.front()
            && self.space - footprint(first) >= self.capacity
        {
            self.space -= footprint(first);
            self.lens.pop_front();
        }
    }

    /// The bytes of messages in the last `space` bytes of the ring.
    fn untaken(&self, mut space: u64) -> u64 {
        let mut bytes = 0;
        for &len in self.lens.iter().rev() {
            if space == 0 {
                break;
            }
            // One that travels in pieces can be there in part.
            bytes += (len as u64).min(space);
            space = space.saturating_sub(footprint(len));
        }
        bytes
    }
}

/// The space that a message takes in a ring.
pub(crate) fn footprint(len: usize) -> u64 {
    8 + (len as u64).next_multiple_of(8)
}

/// Why sending stopped before the end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The input could not be read or cut. All before has been sent.
    Input(Failure),
    /// Nothing more can be sent.
    Ring(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Ring(failure)
    }
}

/// One sending side at work.
struct Sender<'a> {
    name: &'a str,
    connection: &'a Connection,
    count: &'a Count,
    ledger: Ledger,
    /// How long to wait for another receiver.
    patience: Duration,
}

impl<'a> Sender<'a> {
    fn new(args: &'a SendArgs, connection: &'a Connection, count: &'a Count) -> Self {
        let ledger = Ledger::new(connection.capacity());
        Sender { name: &args.name, connection, count, ledger, patience: args.wait }
    }

    fn send_all(&mut self, input: Input, framing: Framing) -> Result<(), Stop> {
        match framing {
            // Messages are read to where they are sent from. Where reading may wait this will not do: nobody else
            // can send meanwhile.
            Framing::AsItComes(len) | Framing::Blocks(len)
                if input.is_regular && len <= self.connection.capacity() / 4 =>
            {
                self.send_in_place(input.file, len)
            }
            framing => pump(input.file, framing, MOST_MESSAGE, |message| self.send(message)),
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        loop {
            match self.connection.send(message) {
                Ok(()) => {
                    self.sent(message.len());
                    return Ok(());
                }
                Err(error) => self.cope_with(error)?,
            }
        }
    }

    fn send_in_place(&mut self, mut file: File, len: usize) -> Result<(), Stop> {
        loop {
            let mut message = match self.connection.reserve(len) {
                Ok(message) => message,
                Err(error) => {
                    self.cope_with(error)?;
                    continue;
                }
            };
            let got = fill(&mut file, &mut message).map_err(|error| Stop::Input(unreadable(error)))?;
            if got > 0 {
                message.commit_len(got);
                self.sent(got);
            }
            if got < len {
                return Ok(());
            }
        }
    }

    fn sent(&mut self, len: usize) {
        self.ledger.add(len);
        self.count.add(len);
    }

    /// Finds out what to do about a message that could not be sent: try again, or give up.
    fn cope_with(&mut self, error: SendError) -> Result<(), Failure> {
        match error {
            SendError::Closed => self.await_another_receiver("the rest of the input was not sent"),
            error => Err(Failure::Runtime(format!("{}: {error}", self.name))),
        }
    }

    /// Waits until all that was sent has been taken by somebody.
    fn drain(&mut self) -> Result<(), Failure> {
        self.count.drain();
        let (mut pause, mut gone) = (PAUSES[0], false);
        loop {
            let (_, pipe) = look(self.connection).map_err(|error| about(self.name, error))?;
            let came = pipe.second.arrivals > 0;
            // Also who sends nothing waits for somebody to learn that.
            if came && pipe.forth.held_bytes == 0 {
                return Ok(());
            }
            // The ends were looked at after the processes: who arrived in between is seen the second time.
            let none = came && pipe.second.living() == 0;
            if none && gone {
                self.await_another_receiver("all of the input was sent")?;
            }
            gone = none;
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    fn await_another_receiver(&mut self, so_far: &str) -> Result<(), Failure> {
        let until = Instant::now().checked_add(self.patience);
        if !self.patience.is_zero() {
            note(self.name, "the receiver is gone, waiting for another");
        }
        loop {
            let (_, pipe) = look(self.connection).map_err(|error| about(self.name, error))?;
            if pipe.second.living() > 0 {
                return Ok(());
            }
            let late = until.is_some_and(|until| Instant::now() >= until);
            if late || is_nameless(self.connection) {
                return Err(self.gone(&pipe, so_far));
            }
            thread::sleep(PAUSES[1]);
        }
    }

    /// How much was taken by a receiver that is gone.
    fn gone(&self, pipe: &ringway::inspect::Pipe, so_far: &str) -> Failure {
        let (name, sent, held) = (self.name, self.count.bytes(), pipe.forth.held_bytes);
        if pipe.first.arrivals > 1 {
            let held = units::bytes(held);
            return Failure::Runtime(format!(
                "{name}: the receiver is gone; {held} from all senders were not received, and {so_far}"
            ));
        }
        let untaken = self.ledger.untaken(held).min(sent);
        Failure::Runtime(format!(
            "{name}: the receiver is gone; of {} bytes sent it received {}, not the last {}; {so_far}",
            units::count(sent),
            units::count(sent - untaken),
            units::count(untaken)
        ))
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::Io("cannot read the input".into(), error)
}

/// Reads until `into` is full or the input ends; how much that was.
fn fill(input: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match input.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// Cuts `input` into messages of at most `limit` bytes and gives each to `send`, until the end of the input or
/// the first failure. All messages before a failure have been sent.
pub(crate) fn pump(
    input: impl Read,
    framing: Framing,
    limit: usize,
    mut send: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Stop> {
    let mut splitter = Splitter::new(input, framing, limit);
    let mut message = Vec::new();
    while splitter.next(&mut message).map_err(|error| match error {
        FrameError::Read(error) => Stop::Input(unreadable(error)),
        bad => Stop::Input(Failure::Runtime(bad.to_string())),
    })? {
        send(&message)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        send: SendArgs,
    }

    fn framing(arguments: &[&str]) -> Option<Framing> {
        let line = Line::try_parse_from([&["send", "name"], arguments].concat()).ok()?;
        Some(line.send.framing())
    }

    #[test]
    fn an_input_is_cut_in_one_way() {
        assert_eq!(framing(&[]), Some(Framing::AsItComes(65_536)));
        assert_eq!(framing(&["--lines", "file"]), Some(Framing::Lines));
        assert_eq!(framing(&["-", "--block", "4K"]), Some(Framing::Blocks(4096)));
        assert_eq!(framing(&["--length-prefixed"]), Some(Framing::LengthPrefixed));
        for bad in [&["--lines", "--block", "1"][..], &["--lines", "--length-prefixed"], &["--block", "0"]] {
            assert_eq!(framing(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn messages_before_a_failure_are_sent() {
        let mut got = Vec::new();
        let failure = pump(&b"\x01\0\0\0a\x02\0\0\0b"[..], Framing::LengthPrefixed, 9, |message| {
            got.push(message.to_vec());
            Ok(())
        });
        assert_eq!(got, [b"a"]);
        let Err(Stop::Input(failure)) = failure else { panic!("{failure:?}") };
        assert_eq!(failure.to_string(), "the input ends inside message 2: 1 of 2 bytes");
    }

    #[test]
    fn a_ring_that_closes_ends_it() {
        let mut left = 2;
        let failure = pump(&b"a\nb\nc\n"[..], Framing::Lines, 9, |_| {
            left -= 1;
            if left == 0 { Err(Failure::Runtime("closed".into())) } else { Ok(()) }
        });
        let Err(Stop::Ring(failure)) = failure else { panic!("{failure:?}") };
        assert_eq!((failure.to_string().as_str(), left), ("closed", 0));
    }

    #[test]
    fn a_read_error_is_named() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("worn out"))
            }
        }
        let failure = pump(Broken, Framing::Lines, 9, |_| Ok(()));
        let Err(Stop::Input(failure)) = failure else { panic!("{failure:?}") };
        assert_eq!(failure.to_string(), "cannot read the input: worn out");
    }

    #[test]
    fn the_ledger_knows_what_was_not_taken() {
        let mut ledger = Ledger::new(4096);
        for _ in 0..10_000 {
            ledger.add(1);
            ledger.add(100);
        }
        assert!(ledger.lens.len() < 100, "it holds what the ring can hold");
        assert_eq!(ledger.untaken(0), 0);
        assert_eq!(ledger.untaken(112), 100);
        assert_eq!(ledger.untaken(112 + 16 + 112), 201);
        // The whole ring: 32 pairs of 128 bytes.
        assert_eq!(ledger.untaken(4096), 32 * 101);
    }

    #[test]
    fn files_are_filled_in_whatever_pieces_they_come() {
        let mut message = [0; 5];
        let mut input = io::Read::chain(&b"abc"[..], &b"defg"[..]);
        assert_eq!((fill(&mut input, &mut message).unwrap(), &message), (5, b"abcde"));
        assert_eq!((fill(&mut input, &mut message).unwrap(), &message[..2]), (2, &b"fg"[..]));
    }
}

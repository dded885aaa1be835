//! `ringway recv`: what it is told, and how messages become an output. The ring itself is the caller's.

use std::{io::Write, path::PathBuf};

use clap::Args;

use crate::{
    error::Failure,
    framing::{Joined, Joiner},
    send::Moved,
};

/// Receives messages from a ring and writes them out, until the sender has finished
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway recv backup --out disk.img           the messages one after the other, nothing added
  ringway recv events --lines | jq .level      a newline after each message that has none
  ringway recv jobs --length-prefixed | worker each message after its length, a little-endian u32")]
pub(crate) struct RecvArgs {
    /// The ring
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

/// Where messages come from.
pub(crate) trait Source {
    /// Puts the next message into `message` if there is one already.
    fn try_next(&mut self, message: &mut Vec<u8>) -> Result<Next, Failure>;
    /// Waits for the next message; `false` once there will be none.
    fn next(&mut self, message: &mut Vec<u8>) -> Result<bool, Failure>;
}

/// What there is without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A message.
    Message,
    /// Nothing yet.
    Nothing,
    /// Nothing ever again.
    Closed,
}

/// Writes all messages of `source` to `output`. What has been received is handed on before waiting for more,
/// so that a reader of the output is never behind for longer than the messages keep coming.
///
/// # Errors
/// Those of the source; those of the output as `fail` sees them. A message that was received but could not be
/// written is lost: the ring has given it away.
pub(crate) fn pump(
    source: &mut impl Source,
    output: impl Write,
    form: Joined,
    fail: impl Fn(std::io::Error) -> Failure,
) -> Result<Moved, Failure> {
    let mut joiner = Joiner::new(output, form);
    let (mut message, mut moved) = (Vec::new(), Moved::default());
    loop {
        let more = match source.try_next(&mut message)? {
            Next::Message => true,
            Next::Closed => false,
            Next::Nothing => {
                joiner.flush().map_err(&fail)?;
                source.next(&mut message)?
            }
        };
        if !more {
            break;
        }
        joiner.write(&message).map_err(&fail)?;
        moved.count(&message);
    }
    joiner.flush().map_err(&fail)?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::{cell::RefCell, io};

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
        fn try_next(&mut self, message: &mut Vec<u8>) -> Result<Next, Failure> {
            match self.steps {
                [] => Ok(Next::Closed),
                [None, ..] => Ok(Next::Nothing),
                [Some(text), rest @ ..] => {
                    message.clear();
                    message.extend_from_slice(text.as_bytes());
                    self.steps = rest;
                    Ok(Next::Message)
                }
            }
        }

        fn next(&mut self, message: &mut Vec<u8>) -> Result<bool, Failure> {
            self.at_pauses.push(self.seen.borrow().clone());
            self.steps = &self.steps[1..];
            Ok(self.try_next(message)? == Next::Message)
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
        let moved = pump(&mut source, Seen(&seen), Joined::Lines, Failure::from_stdout).unwrap();
        assert_eq!(source.at_pauses, [&b"a\nb\n"[..], b"a\nb\nc\n"]);
        assert_eq!(moved, Moved { messages: 3, bytes: 4 });
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

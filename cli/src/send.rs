//! `ringway send`: what it is told, and how an input becomes messages. The ring itself is the caller's.

use std::{io::Read, path::PathBuf};

use clap::Args;

use crate::{
    args::parse_bytes,
    error::Failure,
    framing::{FrameError, Framing, Splitter},
};

/// The default block: the size of a pipe's buffer.
const BLOCK: usize = 64 * 1024;

/// Sends a file or standard input into a ring, cut into messages
///
/// What was cut by lines or blocks gives back the same bytes when `recv` writes the messages one after the
/// other.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tail -f app.log | ringway send logs --lines     each line is a message, its newline included
  ringway send backup disk.img --block 1M         messages of 1 MiB, the last one as long as is left
  producer | ringway send jobs --length-prefixed  each message after its length, a little-endian u32")]
pub(crate) struct SendArgs {
    /// The ring
    pub(crate) name: String,
    /// What to send; standard input if left out or `-`
    pub(crate) file: Option<PathBuf>,
    /// One message a line. Messages keep their line ending; the last may have none
    #[arg(long, group = "cut")]
    lines: bool,
    /// One message for so many bytes [default: 64K]; K, M and G are powers of two
    #[arg(long, value_name = "N", group = "cut", value_parser = parse_block)]
    block: Option<usize>,
    /// The input already consists of messages, each after its length as a little-endian u32
    #[arg(long, group = "cut")]
    length_prefixed: bool,
}

impl SendArgs {
    /// How the input is cut.
    pub(crate) fn framing(&self) -> Framing {
        match (self.lines, self.length_prefixed) {
            (true, _) => Framing::Lines,
            (_, true) => Framing::LengthPrefixed,
            _ => Framing::Blocks(self.block.unwrap_or(BLOCK)),
        }
    }
}

fn parse_block(text: &str) -> Result<usize, String> {
    match parse_bytes(text)? {
        0 => Err("a block has at least one byte".into()),
        len => Ok(len),
    }
}

/// What has gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// How many messages.
    pub(crate) messages: u64,
    /// Their bytes, without lengths and added newlines.
    pub(crate) bytes: u64,
}

impl Moved {
    /// Counts a message.
    pub(crate) fn count(&mut self, message: &[u8]) {
        self.messages += 1;
        self.bytes += message.len() as u64;
    }
}

/// Cuts `input` into messages of at most `limit` bytes and gives each to `send`, until the end of the input or
/// the first failure. All messages before a failure have been sent.
pub(crate) fn pump(
    input: impl Read,
    framing: Framing,
    limit: usize,
    mut send: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Moved, Failure> {
    let mut splitter = Splitter::new(input, framing, limit);
    let (mut message, mut moved) = (Vec::new(), Moved::default());
    while splitter.next(&mut message).map_err(|error| match error {
        FrameError::Read(error) => Failure::Io("cannot read the input".into(), error),
        bad => Failure::Runtime(bad.to_string()),
    })? {
        send(&message)?;
        moved.count(&message);
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::{self, Read};

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
        assert_eq!(framing(&[]), Some(Framing::Blocks(65_536)));
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
        let text = failure.unwrap_err().to_string();
        assert_eq!(text, "the input ends inside message 2: 1 of 2 bytes");
    }

    #[test]
    fn a_ring_that_closes_ends_it() {
        let mut left = 2;
        let failure = pump(&b"a\nb\nc\n"[..], Framing::Lines, 9, |_| {
            left -= 1;
            if left == 0 { Err(Failure::Runtime("closed".into())) } else { Ok(()) }
        });
        assert_eq!((failure.unwrap_err().to_string().as_str(), left), ("closed", 0));
    }

    #[test]
    fn what_was_moved_is_counted_and_a_read_error_is_named() {
        let moved = pump(&b"a\nbc"[..], Framing::Lines, 9, |_| Ok(())).unwrap();
        assert_eq!(moved, Moved { messages: 2, bytes: 4 });
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("worn out"))
            }
        }
        let failure = pump(Broken, Framing::Lines, 9, |_| Ok(())).unwrap_err();
        assert_eq!(failure.to_string(), "cannot read the input: worn out");
    }
}

//! Cutting a stream of bytes into messages, and putting messages back together.
//!
//! Both directions use constant memory whatever the length of the stream: one read buffer and one message.
//! Lines keep their ending. That is what makes `send --lines | recv` give back every byte, including a
//! carriage return before the newline and a last line that has no newline.

use std::{
    error::Error,
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
};

/// How messages lie in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each message is what one read of the input brings, at most so many bytes: nothing waits for more to come.
    AsItComes(usize),
    /// Each message is a line, its newline included. The last one may lack it.
    Lines,
    /// Each message is this many bytes; the last one may be shorter.
    Blocks(usize),
    /// Each message follows its length, a little-endian `u32`.
    LengthPrefixed,
    /// All of it is one message, however long or short.
    Whole,
}

/// How large the read buffer is: the size of a pipe.
const BUFFER: usize = 64 * 1024;

/// Why a stream could not be cut into messages.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// Reading failed.
    Read(io::Error),
    /// A message is longer than the receiver can take.
    TooLong { message: u64, framing: Framing, len: Option<u64>, limit: usize },
    /// The stream ends inside a length.
    CutInLength { message: u64, got: usize },
    /// The stream ends inside a message.
    CutInMessage { message: u64, got: usize, len: usize },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Read(error) => write!(f, "cannot read the input: {error}"),
            FrameError::TooLong { message, framing: Framing::Lines, limit, .. } => {
                write!(f, "line {message} is longer than the {limit} bytes a message may have")
            }
            FrameError::TooLong { framing: Framing::Whole, limit, .. } => {
                write!(f, "the input is longer than the {limit} bytes a message may have")
            }
            FrameError::TooLong { message, len: Some(len), limit, .. } => {
                write!(f, "message {message} claims {len} bytes, more than the {limit} a message may have")
            }
            FrameError::TooLong { message, limit, .. } => {
                write!(f, "message {message} is longer than the {limit} bytes a message may have")
            }
            FrameError::CutInLength { message, got } => {
                write!(f, "the input ends inside the length of message {message}: {got} of 4 bytes")
            }
            FrameError::CutInMessage { message, got, len } => {
                write!(f, "the input ends inside message {message}: {got} of {len} bytes")
            }
        }
    }
}

impl Error for FrameError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            FrameError::Read(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        FrameError::Read(error)
    }
}

/// Cuts what `R` yields into messages.
#[derive(Debug)]
pub(crate) struct Splitter<R> {
    input: BufReader<R>,
    framing: Framing,
    limit: usize,
    taken: u64,
}

impl<R: Read> Splitter<R> {
    /// A splitter that refuses messages of more than `limit` bytes. Blocks are never longer than `limit`.
    pub(crate) fn new(input: R, framing: Framing, limit: usize) -> Self {
        let framing = match framing {
            Framing::Blocks(len) => Framing::Blocks(len.clamp(1, limit.max(1))),
            Framing::AsItComes(len) => Framing::AsItComes(len.clamp(1, limit.max(1))),
            other => other,
        };
        Splitter { input: BufReader::with_capacity(BUFFER, input), framing, limit, taken: 0 }
    }

    /// Puts the next message into `message`, which is emptied first; `false` at the end of the input.
    ///
    /// # Errors
    /// [`FrameError`]; messages are counted from 1. After an error the position in the input is undefined.
    pub(crate) fn next(&mut self, message: &mut Vec<u8>) -> Result<bool, FrameError> {
        if !matches!(self.framing, Framing::AsItComes(_)) {
            message.clear();
        }
        let number = self.taken + 1;
        match self.framing {
            Framing::Lines => {
                // One byte more than allowed tells a line of exactly `limit` bytes from a longer one.
                let most = (self.limit as u64).saturating_add(1);
                (&mut self.input).take(most).read_until(b'\n', message)?;
                if message.len() > self.limit {
                    let (framing, limit) = (self.framing, self.limit);
                    return Err(FrameError::TooLong { message: number, framing, len: None, limit });
                }
                if message.is_empty() {
                    return Ok(false);
                }
            }
            Framing::AsItComes(len) => {
                // Only the part that the last read did not fill is filled with zeros now.
                message.resize(len, 0);
                let got = loop {
                    match self.input.read(message) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        got => break got,
                    }
                };
                message.truncate(*got.as_ref().unwrap_or(&0));
                if got? == 0 {
                    return Ok(false);
                }
            }
            Framing::Blocks(len) => {
                if self.fill(message, len)? == 0 {
                    return Ok(false);
                }
            }
            Framing::Whole => {
                if self.taken > 0 {
                    return Ok(false);
                }
                self.fill(message, self.limit.saturating_add(1))?;
                if message.len() > self.limit {
                    let (framing, limit) = (self.framing, self.limit);
                    return Err(FrameError::TooLong { message: number, framing, len: None, limit });
                }
            }
            Framing::LengthPrefixed => {
                match self.fill(message, 4)? {
                    0 => return Ok(false),
                    4 => {}
                    got => return Err(FrameError::CutInLength { message: number, got }),
                }
                let claimed = u32::from_le_bytes(message[..4].try_into().expect("four bytes were read"));
                message.clear();
                let Some(len) = usize::try_from(claimed).ok().filter(|&len| len <= self.limit) else {
                    let (framing, limit) = (self.framing, self.limit);
                    let len = Some(u64::from(claimed));
                    return Err(FrameError::TooLong { message: number, framing, len, limit });
                };
                let got = self.fill(message, len)?;
                if got < len {
                    return Err(FrameError::CutInMessage { message: number, got, len });
                }
            }
        }
        self.taken = number;
        Ok(true)
    }

    /// Appends `len` bytes, or fewer if the input ends. Memory grows with what arrives, not with what a
    /// length claims.
    fn fill(&mut self, message: &mut Vec<u8>, len: usize) -> io::Result<usize> {
        (&mut self.input).take(len as u64).read_to_end(message)
    }
}

/// How many bytes of small messages are written together. Few, because they are lost if this process is killed.
const TOGETHER: usize = 4096;

/// Puts messages back into a stream.
///
/// Large messages are written from where they lie.
///
/// Joining does not buffer across [`flush`](Joiner::flush): call it whenever no further message is at hand,
/// so that a reader sees what has arrived.
#[derive(Debug)]
pub(crate) struct Joiner<W: Write> {
    output: io::BufWriter<W>,
    form: Joined,
}

/// How messages are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// One after the other, nothing added.
    Raw,
    /// A newline after each message that does not end in one already.
    Lines,
    /// The length before each message, a little-endian `u32`.
    LengthPrefixed,
}

impl<W: Write> Joiner<W> {
    /// A joiner that writes to `output`.
    pub(crate) fn new(output: W, form: Joined) -> Self {
        Joiner::with_buffer(output, form, TOGETHER)
    }

    /// The same with room for more bytes of small messages: for where they are not lost with us.
    pub(crate) fn with_buffer(output: W, form: Joined, bytes: usize) -> Self {
        Joiner { output: io::BufWriter::with_capacity(bytes, output), form }
    }

    /// Writes one message.
    ///
    /// # Errors
    /// What the output reports; `InvalidInput` for a message whose length does not fit into a `u32`.
    pub(crate) fn write(&mut self, message: &[u8]) -> io::Result<()> {
        if self.form == Joined::LengthPrefixed {
            let len = u32::try_from(message.len()).map_err(|_| {
                let text = format!("a message of {} bytes does not fit a 32-bit length", message.len());
                io::Error::new(io::ErrorKind::InvalidInput, text)
            })?;
            self.output.write_all(&len.to_le_bytes())?;
        }
        self.output.write_all(message)?;
        if self.form == Joined::Lines && message.last() != Some(&b'\n') {
            self.output.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Hands everything written so far to the output.
    ///
    /// # Errors
    /// What the output reports.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;

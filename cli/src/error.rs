//! How a command ends when it does not succeed.

use std::{error::Error, fmt, io};

/// The exit code of a command that failed while it ran.
pub(crate) const FAILED: u8 = 1;
/// The exit code of a command line that makes no sense (clap uses the same number).
pub(crate) const USAGE: u8 = 2;

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense, whatever the machine does.
    Usage(String),
    /// Something went wrong on the way.
    Runtime(String),
    /// An input or output operation failed; the text says which.
    Io(String, io::Error),
    /// Not so well, or not at all, and this exit code says how; what there is to say was said.
    Code(u8),
    /// A signal ended it.
    Signal(i32),
    /// Whoever read our standard output has gone (`ringway ls | head -1`): no fault of anyone's.
    ReaderGone,
}

impl Failure {
    /// What `main` hands to the shell.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE,
            Failure::Runtime(_) | Failure::Io(..) => FAILED,
            Failure::Code(code) => *code,
            Failure::Signal(signal) => u8::try_from(128 + signal).unwrap_or(FAILED),
            Failure::ReaderGone => 0,
        }
    }

    /// What the user is to read, if anything.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Failure::Code(_) | Failure::Signal(_) | Failure::ReaderGone => None,
            Failure::Usage(_) | Failure::Runtime(_) | Failure::Io(..) => Some(self.to_string()),
        }
    }

    /// Sorts a failed write to standard output: a closed pipe is the reader's choice, the rest is an error.
    pub(crate) fn from_stdout(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::ReaderGone
        } else {
            Failure::Io("cannot write to standard output".into(), error)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Runtime(text) => f.write_str(text),
            Failure::Io(text, error) => write!(f, "{text}: {error}"),
            Failure::Code(code) => write!(f, "ended with exit code {code}"),
            Failure::Signal(signal) => write!(f, "ended by signal {signal}"),
            Failure::ReaderGone => f.write_str("the reader of standard output has gone"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Failure::Io(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Names the operation an I/O error came from.
pub(crate) trait Context<T> {
    /// Turns the error into a [`Failure`] that begins with `what`, a lower-case phrase.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::Io(what(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_usage_from_failure_and_a_gone_reader_from_both() {
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::Runtime(String::new()).exit_code(), 1);
        assert_eq!(Failure::from_stdout(io::ErrorKind::BrokenPipe.into()).exit_code(), 0);
        assert_eq!(Failure::from_stdout(io::ErrorKind::StorageFull.into()).exit_code(), 1);
        assert_eq!((Failure::Code(7).exit_code(), Failure::Signal(15).exit_code()), (7, 143));
        assert!(Failure::Code(7).text().is_none() && Failure::Usage("no".into()).text() == Some("no".into()));
    }
}

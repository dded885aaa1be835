//! Messages of any size between two ends, each of which any number of processes may share.

mod connection;
mod layout;
pub(crate) mod look;
mod message;
mod readiness;
mod receive;
mod send;
mod straight;
mod stream;
#[cfg(test)]
mod tests;

pub use connection::{Connection, End};
pub use message::Message;
pub use send::Loan;

use crate::error::Error;
use crate::options::Options;
use std::os::fd::OwnedFd;

/// Makes pipes: two [`Connection`]s with messages between them.
///
/// Messages keep their boundaries, may be empty, and may be larger than the pipe itself (they are then sent in
/// pieces). Each end can be held by any number of processes and threads at once: nothing they do garbles a
/// message. [`Connection::recv`] says [`Closed`](crate::RecvError::Closed) once nothing is left and every holder
/// of the other end, forked copies included, has closed it or died.
///
/// ```
/// use ringway::Pipe;
///
/// let (a, z) = Pipe::pair()?;
/// a.send(b"hello")?;
/// assert_eq!(z.recv()?, b"hello");
/// z.send(b"")?;
/// drop(z);
/// assert_eq!(a.recv()?, b"");
/// assert!(matches!(a.recv(), Err(ringway::RecvError::Closed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Named pipes
/// [`create`](Self::create) makes a pipe with a name and takes its first end, [`open`](Self::open) takes the second
/// end; [`options`](Self::options) can do both in either order. There, sends are kept and receives wait until
/// somebody has come to the other end; only after that can it be closed. A forked child counts as a holder of the
/// end from its first call on. (Of a pipe without a name every copy of an end counts, used or not.)
///
/// # When a process dies
/// A message is received whole or not at all. If its sender dies in the middle of a message in pieces, the
/// receiver drops those pieces; if nobody else is left to send, it says [`Torn`](crate::RecvError::Torn) once. A
/// receiver that dies takes along only the message it was receiving in pieces.
#[derive(Debug)]
pub struct Pipe(());

impl Pipe {
    /// A pipe for both directions: what is sent on one connection is received on the other.
    ///
    /// # Errors
    /// [`Error::NoSpace`], and what the operating system refuses.
    pub fn pair() -> Result<(Connection, Connection), Error> {
        Self::options().pair()
    }

    /// A pipe for one direction: the first connection only sends, the second only receives.
    ///
    /// # Errors
    /// As [`pair`](Self::pair).
    pub fn simplex() -> Result<(Connection, Connection), Error> {
        Self::options().simplex(true).pair()
    }

    /// Creates the pipe `name`, for both directions, and takes its first end.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; others if the name or its directory cannot be used.
    pub fn create(name: &str) -> Result<Connection, Error> {
        Self::options().create(name)
    }

    /// Opens the pipe `name` and takes its second end.
    ///
    /// # Errors
    /// [`Error::NotFound`]; and one for each way a file can be unfit.
    pub fn open(name: &str) -> Result<Connection, Error> {
        Self::options().end(End::Second).open(name)
    }

    /// Takes the end that was handed over as two descriptors: see [`Connection::memory`] and
    /// [`Connection::socket`].
    ///
    /// # Errors
    /// [`Error::NotSealed`]; [`Error::BadGeometry`] if the socket is not one of this pipe's.
    pub fn from_fds(memory: OwnedFd, socket: OwnedFd) -> Result<Connection, Error> {
        Self::options().from_fds(memory, socket)
    }

    /// Takes the end that our parent handed over under `key` with [`Connection::inherit`].
    ///
    /// # Errors
    /// [`Error::NotInherited`]; else as [`from_fds`](Self::from_fds).
    pub fn inherited(key: &str) -> Result<Connection, Error> {
        Self::options().inherited(key)
    }

    /// Everything that can be chosen about a pipe and a connection.
    pub fn options() -> Options<Connection> {
        Options::new()
    }
}

//! One end of a pipe in this process: messages go and come, and whoever waits does so without the interpreter's lock.

use super::handle::{Guest, Handle};
use crate::codec::Outgoing;
use crate::errors;
use crate::waits::waiting_unless;
use core::cell::Cell;
use core::time::Duration;
use pyo3::exceptions::{PyBrokenPipeError, PyEOFError, PyMemoryError, PyOSError};
use pyo3::prelude::*;
use ringway::{Connection, Deadline, RecvError, SendError};

/// An end that can be closed.
pub(super) struct End(Handle<Connection>);

/// What a thread keeps of the memory it received into: so that streams of large messages meet no page faults.
const KEPT: usize = 2 << 20;

std::thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub(super) fn is_closed() -> PyErr {
    PyOSError::new_err("handle is closed")
}

impl End {
    pub(super) fn new(connection: Connection) -> Self {
        End(Handle::new(connection))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub(super) fn close(&self) {
        self.0.close();
    }

    /// Uses the connection for a moment.
    #[inline]
    pub(super) fn now<R>(&self, use_it: impl FnOnce(&Connection) -> R) -> PyResult<R> {
        self.0.now(use_it).ok_or_else(is_closed)
    }

    /// Makes a call that may wait. If it gives up because the connection was closed meanwhile, that is the error.
    fn waiting<R: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&Connection) -> Result<R, Ended> + Send,
    ) -> PyResult<Result<R, Ended>> {
        let guest: Guest<'_, Connection> = self.0.enter().ok_or_else(is_closed)?;
        let connection: &Connection = &guest;
        match waiting_unless(py, || self.0.is_closed(), || call(connection))? {
            Err(_) if self.0.is_closed() => Err(is_closed()),
            result => Ok(result),
        }
    }

    /// Sends a message.
    #[inline]
    pub(super) fn send(&self, py: Python<'_>, out: &Outgoing<'_>) -> PyResult<()> {
        match self.now(|connection| send_now(connection, out))? {
            Ok(()) => Ok(()),
            Err(SendError::Full | SendError::Timeout | SendError::TooLarge { .. }) => {
                self.send_slowly(py, out)
            }
            Err(error) => Err(sending(error)),
        }
    }

    #[cold]
    fn send_slowly(&self, py: Python<'_>, out: &Outgoing<'_>) -> PyResult<()> {
        let whole;
        let (header, body) = match out.in_two_pieces() {
            Some(pieces) => pieces,
            None => {
                whole = out.to_vec();
                (&[][..], &whole[..])
            }
        };
        loop {
            let sent = self.waiting(py, |connection| {
                connection.send_with_header(header, body, Deadline::NEVER).map_err(|error| match error {
                    SendError::Timeout | SendError::Full => Ended::TimedOut,
                    error => Ended::Sending(error),
                })
            })?;
            match sent {
                Ok(()) => return Ok(()),
                Err(Ended::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Receives a message and uses it.
    #[inline]
    pub(super) fn receive<R>(
        &self,
        py: Python<'_>,
        use_it: impl FnOnce(&[u8]) -> PyResult<R>,
    ) -> PyResult<R> {
        // Taken out: unpickling may run anything, which may receive too.
        let mut scratch = SCRATCH.take();
        let result = match self.now(|connection| connection.recv_at_once(&mut scratch)) {
            Ok(Some(_)) => use_it(&scratch),
            Ok(None) => self.receive_slowly(py, &mut scratch).and_then(|()| use_it(&scratch)),
            Err(error) => Err(error),
        };
        if scratch.capacity() <= KEPT {
            SCRATCH.set(scratch);
        }
        result
    }

    #[cold]
    fn receive_slowly(&self, py: Python<'_>, buffer: &mut Vec<u8>) -> PyResult<()> {
        loop {
            let received = self.waiting(py, |connection| {
                connection.recv_into(buffer, Deadline::NEVER).map_err(|error| match error {
                    RecvError::Timeout | RecvError::Empty => Ended::TimedOut,
                    error => Ended::Receiving(error),
                })
            })?;
            match received {
                Ok(_) => return Ok(()),
                Err(Ended::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether there is something to receive, within so much time.
    pub(super) fn poll(&self, py: Python<'_>, timeout: Duration) -> PyResult<bool> {
        let look =
            |timeout| move |connection: &Connection| connection.poll(timeout).map_err(Ended::Receiving);
        let now = self.now(look(Duration::ZERO))??;
        if now || timeout.is_zero() {
            return Ok(now);
        }
        let then = self.waiting(py, look(timeout))??;
        if !then && self.is_closed() { Err(is_closed()) } else { Ok(then) }
    }
}

/// Why a call did nothing.
enum Ended {
    TimedOut,
    Sending(SendError),
    Receiving(RecvError),
}

impl From<Ended> for PyErr {
    fn from(ended: Ended) -> PyErr {
        match ended {
            Ended::TimedOut => is_closed(),
            Ended::Sending(error) => sending(error),
            Ended::Receiving(error) => receiving(error),
        }
    }
}

#[inline]
fn send_now(connection: &Connection, out: &Outgoing<'_>) -> Result<(), SendError> {
    match out.in_one_piece() {
        Some(message) => connection.try_send(message),
        None => {
            let mut loan = connection.reserve_deadline(out.len(), Deadline::NOW)?;
            out.write(&mut loan);
            loan.commit();
            Ok(())
        }
    }
}

fn sending(error: SendError) -> PyErr {
    match error {
        SendError::Closed => PyBrokenPipeError::new_err((libc::EPIPE, "Broken pipe")),
        error => errors::sending(error),
    }
}

fn receiving(error: RecvError) -> PyErr {
    match error {
        RecvError::Closed => PyEOFError::new_err(()),
        RecvError::Torn { .. } => PyOSError::new_err("got end of file during message"),
        RecvError::TooLong { .. } => PyMemoryError::new_err("no memory for the message, which was dropped"),
        error => errors::receiving(error),
    }
}

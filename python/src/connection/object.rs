//! The class `Connection`, with the standard library's methods, errors and messages.

use super::buffers::{Place, with_bytes};
use super::end::{End, is_closed};
use crate::codec::{Outgoing, decode_or_unpickle, encode};
use crate::errors::{self, Imported};
use crate::shared::taken_over;
use core::time::Duration;
use pyo3::exceptions::{PyOSError, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use ringway::Pipe;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

static BUFFER_TOO_SHORT: Imported = Imported::new("multiprocessing.context", "BufferTooShort");
static GENERIC_ALIAS: Imported = Imported::new("types", "GenericAlias");

/// Bytes of a pipe, unless asked otherwise. It takes longer to make one the larger it is, and messages that are larger stream
/// through it faster; this is what a pipe in the kernel has, or a little more.
const CAPACITY: usize = 128 << 10;

/// How many processes may hold the ends of a pipe at once: more than a pool on a large machine has.
const PARTICIPANTS: u16 = 1000;

/// One end of a pipe between processes. `Pipe` makes two.
///
/// Beyond the standard library: any number of processes and threads may use an end at once, and nobody is kept waiting by
/// one that was killed.
#[pyclass(subclass, frozen, weakref, module = "ringway.connection")]
pub(crate) struct Connection {
    end: End,
    is_readable: AtomicBool,
    is_writable: bool,
}

/// A new pipe: two connections. If it is not duplex, the first one only receives and the second one only sends. `capacity`
/// is that of each direction, in bytes.
#[pyfunction]
#[pyo3(signature = (duplex=true, capacity=None))]
pub(crate) fn pipe(duplex: bool, capacity: Option<usize>) -> PyResult<(Connection, Connection)> {
    let capacity = capacity.unwrap_or(if duplex { CAPACITY / 2 } else { CAPACITY });
    let options = Pipe::options().capacity(capacity).participants(PARTICIPANTS).simplex(!duplex);
    let (first, second) = options.pair().map_err(errors::opening)?;
    let (first, second) = (Connection::new(first), Connection::new(second));
    Ok(if duplex { (first, second) } else { (second, first) })
}

/// The end whose two descriptors these are. It closes them.
#[pyfunction]
#[pyo3(signature = (memory, socket, readable=true))]
pub(crate) fn take_end(memory: i32, socket: i32, readable: bool) -> PyResult<Connection> {
    if memory == socket {
        return Err(errors::os_error(libc::EBADF, "a pipe has two descriptors"));
    }
    let (memory, socket) = (taken_over(memory)?, taken_over(socket)?);
    // They come from a process that we are a child of, or that we have let in with our key.
    let options = Pipe::options().trusted(true);
    let connection = Connection::new(options.from_fds(memory, socket).map_err(errors::opening)?);
    if !readable {
        connection.is_readable.store(false, Ordering::Relaxed);
    }
    Ok(connection)
}

impl Connection {
    fn new(connection: ringway::Connection) -> Self {
        let is_readable = AtomicBool::new(connection.is_readable());
        let is_writable = connection.is_writable();
        Connection { end: End::new(connection), is_readable, is_writable }
    }

    #[inline]
    fn check_writable(&self) -> PyResult<()> {
        if self.is_writable { Ok(()) } else { Err(self.lacks("connection is read-only")) }
    }

    #[inline]
    fn check_readable(&self) -> PyResult<()> {
        if self.is_readable.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(self.lacks("connection is write-only"))
        }
    }

    /// A closed connection says that first.
    #[cold]
    fn lacks(&self, what: &'static str) -> PyErr {
        if self.end.is_closed() { is_closed() } else { PyOSError::new_err(what) }
    }

    fn check_open(&self) -> PyResult<()> {
        if self.end.is_closed() { Err(is_closed()) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn send_object(&self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check_writable()?;
        if self.end.is_closed() {
            return Err(is_closed());
        }
        encode(obj, |out| self.end.send(obj.py(), &out))
    }

    #[inline]
    pub(super) fn receive_object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check_readable()?;
        self.end.receive(py, |message| decode_or_unpickle(py, message))
    }

    pub(super) fn has_message(&self, py: Python<'_>) -> PyResult<bool> {
        self.check_readable()?;
        self.end.poll(py, Duration::ZERO)
    }

    pub(super) fn shut(&self) {
        self.end.close();
    }
}

/// A number of bytes; what is beyond all numbers is as large as can be.
fn saturated(number: &Bound<'_, PyAny>) -> PyResult<isize> {
    number.extract::<isize>().or_else(|error: PyErr| {
        if !error.is_instance_of::<PyOverflowError>(number.py()) {
            return Err(error);
        }
        Ok(if number.lt(0)? { isize::MIN } else { isize::MAX })
    })
}

/// The same, or `None`.
fn saturated_or_none(number: &Bound<'_, PyAny>) -> PyResult<Option<isize>> {
    if number.is_none() { Ok(None) } else { saturated(number).map(Some) }
}

/// What is negative is something else than too large.
fn offset_of(offset: isize, negative: &'static str) -> PyResult<usize> {
    usize::try_from(offset).map_err(|_| PyValueError::new_err(negative))
}

/// How long `poll` waits: `None` is for ever, and less than nothing is not at all.
fn patience(timeout: Option<f64>) -> Duration {
    let Some(seconds) = timeout else { return Duration::MAX };
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX) // centuries
}

#[pymethods]
impl Connection {
    /// Sends an object, waiting for room as long as it takes.
    fn send(&self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.send_object(obj)
    }

    /// Receives an object, waiting for it as long as it takes. `EOFError` if nothing is left and nobody who could send more.
    fn recv<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.receive_object(py)
    }

    /// Sends the bytes of a bytes-like object as a message, or `size` of them from byte `offset` on.
    #[pyo3(signature = (buf, offset=0, size=None))]
    fn send_bytes(
        &self,
        buf: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = saturated)] offset: isize,
        #[pyo3(from_py_with = saturated_or_none)] size: Option<isize>,
    ) -> PyResult<()> {
        self.check_open()?;
        self.check_writable()?;
        with_bytes(buf, |bytes| {
            let offset = offset_of(offset, "offset is negative")?;
            let rest = bytes.get(offset..).ok_or_else(|| PyValueError::new_err("buffer length < offset"))?;
            let part = match size {
                None => rest,
                Some(size) => {
                    let size = offset_of(size, "size is negative")?;
                    rest.get(..size).ok_or_else(|| PyValueError::new_err("buffer length < offset + size"))?
                }
            };
            self.end.send(buf.py(), &Outgoing::of(part))
        })
    }

    /// Receives the bytes of a message: of one from `send_bytes`, what it was given. If there are more than `maxlength`, the
    /// message is lost and so is the connection, for receiving.
    #[pyo3(signature = (maxlength=None))]
    fn recv_bytes<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = saturated_or_none)] maxlength: Option<isize>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.check_open()?;
        self.check_readable()?;
        let most = match maxlength {
            None => usize::MAX,
            Some(length) => offset_of(length, "negative maxlength")?,
        };
        let received = self.end.receive(py, |message| {
            Ok(if message.len() <= most { Some(PyBytes::new(py, message)) } else { None })
        })?;
        if let Some(bytes) = received {
            return Ok(bytes);
        }
        if self.is_writable {
            self.is_readable.store(false, Ordering::Relaxed);
        } else {
            self.end.close();
        }
        Err(PyOSError::new_err("bad message length"))
    }

    /// Receives the bytes of a message into a writable bytes-like object, from byte `offset` on, and says how many. If there
    /// is no room for them, `BufferTooShort` has them as its argument.
    #[pyo3(signature = (buf, offset=0))]
    fn recv_bytes_into(
        &self,
        buf: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = saturated)] offset: isize,
    ) -> PyResult<usize> {
        self.check_open()?;
        self.check_readable()?;
        let py = buf.py();
        let place = Place::of(buf)?;
        let offset = offset_of(offset, "negative offset")?;
        if offset > place.len() {
            return Err(PyValueError::new_err("offset too large"));
        }
        self.end.receive(py, |message| {
            if message.len() > place.len() - offset {
                let error = BUFFER_TOO_SHORT.get(py)?.call1((PyBytes::new(py, message),))?;
                return Err(PyErr::from_value(error));
            }
            place.write(py, offset, message)?;
            Ok(message.len())
        })
    }

    /// Whether there is something to receive: a message, the beginning of one, or the end. Waits for that at most `timeout`
    /// seconds; with `None`, as long as it takes.
    #[pyo3(signature = (timeout=Some(0.0)), text_signature = "($self, timeout=0.0)")]
    fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.check_open()?;
        self.check_readable()?;
        self.end.poll(py, patience(timeout))
    }

    /// Closes it, in this process. What was sent stays.
    fn close(&self) {
        self.end.close();
    }

    /// A descriptor that is readable when there is something to receive. Only poll it.
    fn fileno(&self) -> PyResult<i32> {
        let is_readable = self.is_readable.load(Ordering::Relaxed);
        self.end.now(|connection| {
            if is_readable {
                return connection.readiness().map(|fd| fd.as_raw_fd()).map_err(errors::opening);
            }
            connection.socket().map(|fd| fd.as_raw_fd()).ok_or_else(is_closed)
        })?
    }

    /// The descriptors of the memory and of this end's socket.
    fn _descriptors(&self) -> PyResult<(i32, i32)> {
        self.end.now(|connection| {
            let socket = connection.socket().ok_or_else(is_closed)?;
            Ok((connection.memory().as_raw_fd(), socket.as_raw_fd()))
        })?
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.end.is_closed()
    }

    /// Whether it can receive.
    #[getter]
    fn readable(&self) -> bool {
        self.is_readable.load(Ordering::Relaxed)
    }

    /// Whether it can send.
    #[getter]
    fn writable(&self) -> bool {
        self.is_writable
    }

    /// `Connection[Sent, Received]`, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        GENERIC_ALIAS.get(class.py())?.call1((class, item))
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _error: &Bound<'_, PyAny>, _traceback: &Bound<'_, PyAny>) {
        self.end.close();
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let kind = slf.get_type().fully_qualified_name()?;
        let ways = match (this.readable(), this.is_writable) {
            (true, true) => "duplex",
            (true, false) => "read-only",
            (false, true) => "write-only",
            (false, false) => "of no use",
        };
        let socket = this.end.now(|connection| connection.socket().map(|fd| fd.as_raw_fd()));
        let handle = match socket {
            Ok(Some(fd)) => format!("handle {fd}"),
            _ => "closed".to_owned(),
        };
        Ok(format!("<{kind} {handle}, {ways}, at {:p}>", slf.as_ptr()))
    }
}

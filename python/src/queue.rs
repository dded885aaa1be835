//! `Queue`: the calls that must be fast. The rest of the class is in `ringway/queues.py`.

use crate::backlog::{self, Backlog};
use crate::codec::{Outgoing, Received, decode, encode};
use crate::errors;
use crate::lease::{Held, Lease};
use crate::loan::Loan;
use crate::waits::{deadline, waiting};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView};
use ringway::queue::Message;
use ringway::{Deadline, Queue as Ring, RecvError, SendError};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A queue of messages between processes; `ringway.queues` makes it what `multiprocessing.Queue` is.
#[pyclass(subclass, frozen, module = "ringway._ringway")]
pub(crate) struct Queue {
    ring: Ring<[u8]>,
    /// How many messages there may be.
    most: usize,
    /// Whether this process has closed it for itself.
    is_closed: AtomicBool,
    backlog: Backlog,
}

/// What `multiprocessing` means by no limit.
const NO_LIMIT: usize = i32::MAX as usize;

/// Longer queues have a ring of so many places, and each process keeps the rest to itself.
const LONGEST_RING: usize = 8192;

/// The ring of a queue without a limit.
const USUAL_RING: usize = 512;

/// Messages of up to so many bytes have memory of their own; larger ones share some. So little that a queue is made quickly:
/// what has no room waits in the backlog.
const USUAL_SIZE: usize = 128;
const USUAL_HELD: usize = 64;
const USUAL_SPARE: usize = 32 << 10;

/// How long a `put` that does not block waits for room, before it uses the backlog: receivers that are at work are faster.
const PATIENCE: Duration = Duration::from_micros(200);

/// How often one that waits for two things looks at the other.
const SLICE: Duration = Duration::from_millis(20);

/// What a queue that was shut down says.
fn over(py: Python<'_>) -> PyErr {
    errors::SHUT_DOWN.raise(py)
}

impl Queue {
    fn check_open(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().is_closed.load(Ordering::Relaxed) { Err(closed(slf)) } else { Ok(()) }
    }

    /// How many messages there are, as far as this process knows.
    fn count(&self) -> usize {
        self.ring.len() + self.backlog.len()
    }

    #[inline]
    fn send(&self, py: Python<'_>, out: &Outgoing<'_>, until: Deadline) -> PyResult<()> {
        if self.backlog.len() == 0 {
            match self.send_now(out) {
                Ok(()) => return Ok(()),
                Err(SendError::Full) => {}
                Err(SendError::Closed) => return Err(over(py)),
                Err(error) => return Err(errors::sending(error)),
            }
        }
        self.send_slowly(py, out, until)
    }

    #[inline]
    fn send_now(&self, out: &Outgoing<'_>) -> Result<(), SendError> {
        match out.in_one_piece() {
            Some(message) => self.ring.try_send(message),
            None => {
                let mut loan = self.ring.try_reserve(out.len())?;
                out.write(&mut loan);
                match loan.commit_deadline(Deadline::NOW) {
                    Ok(()) => Ok(()),
                    Err(uncommitted) => Err(match uncommitted.error {
                        SendError::Timeout => SendError::Full,
                        error => error,
                    }),
                }
            }
        }
    }

    #[cold]
    fn send_slowly(&self, py: Python<'_>, out: &Outgoing<'_>, until: Deadline) -> PyResult<()> {
        let message = out.to_vec();
        let capacity = self.ring.capacity();
        loop {
            if self.ring.is_closed() {
                return Err(over(py));
            }
            let has_place = self.count() < self.most;
            if self.backlog.len() == 0 {
                // With a place to go beside the ring there is little to wait for: receivers that are at work.
                let patience = if has_place && self.ring.len() >= capacity {
                    until.min(Deadline::after(PATIENCE))
                } else if has_place {
                    Deadline::NOW
                } else {
                    until.min(Deadline::after(SLICE))
                };
                match waiting(py, || self.ring.send_deadline(&message, patience))? {
                    Ok(()) => return Ok(()),
                    Err(SendError::Timeout | SendError::Full) => {}
                    Err(SendError::Closed) => return Err(over(py)),
                    Err(error) => return Err(errors::sending(error)),
                }
            } else if !has_place && !until.has_passed() {
                let slice = until.min(Deadline::after(SLICE));
                waiting(py, || self.backlog.flush(slice))?;
            }
            if has_place && self.count() < self.most {
                self.backlog.push(&self.ring, message);
                return Ok(());
            }
            if until.has_passed() {
                return Err(errors::FULL.raise(py));
            }
        }
    }

    #[inline]
    fn receive(&self, py: Python<'_>, until: Deadline) -> PyResult<Message<'_>> {
        match self.ring.try_recv() {
            Ok(message) => Ok(message),
            Err(RecvError::Empty) => self.receive_slowly(py, until),
            Err(RecvError::Closed) => Err(over(py)),
            Err(error) => Err(errors::receiving(error)),
        }
    }

    #[cold]
    fn receive_slowly(&self, py: Python<'_>, until: Deadline) -> PyResult<Message<'_>> {
        if until == Deadline::NOW {
            return Err(errors::EMPTY.raise(py));
        }
        match waiting(py, || self.ring.recv_deadline(until))? {
            Ok(message) => Ok(message),
            Err(RecvError::Timeout | RecvError::Empty) => Err(errors::EMPTY.raise(py)),
            Err(RecvError::Closed) => Err(over(py)),
            Err(error) => Err(errors::receiving(error)),
        }
    }
}

#[cold]
fn closed(queue: &Bound<'_, Queue>) -> PyErr {
    match queue.repr() {
        Ok(name) => PyValueError::new_err(format!("Queue {name} is closed")),
        Err(error) => error,
    }
}

/// The bytes of an object that has some.
fn with_bytes<R>(data: &Bound<'_, PyAny>, use_bytes: impl FnOnce(&[u8]) -> PyResult<R>) -> PyResult<R> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return use_bytes(bytes.as_bytes());
    }
    let kind = || data.get_type().qualname().map(|name| name.to_string()).unwrap_or_default();
    let buffer = pyo3::buffer::PyUntypedBuffer::get(data)
        .map_err(|_| PyTypeError::new_err(format!("a bytes-like object is required, not '{}'", kind())))?;
    if !buffer.is_c_contiguous() {
        return use_bytes(&data.call_method0("tobytes")?.cast_into::<PyBytes>()?.as_bytes().to_vec());
    }
    // SAFETY: so many bytes are there while the buffer is held; other threads of Python that write to it meanwhile must not
    // run before this one lets go of the interpreter, and whoever copies from it here does so first.
    let bytes = unsafe { core::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    use_bytes(bytes)
}

#[pymethods]
impl Queue {
    /// A new one, or the one behind the descriptor `fd`, or of that name.
    #[new]
    #[pyo3(signature = (maxsize=0, *, fd=None, name=None, exist=None, message_size=None, max_bytes=None, mode=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn new(
        maxsize: i64,
        fd: Option<i32>,
        name: Option<&str>,
        exist: Option<bool>,
        message_size: Option<usize>,
        max_bytes: Option<u64>,
        mode: Option<u32>,
    ) -> PyResult<Queue> {
        let most = usize::try_from(maxsize).ok().filter(|&most| most > 0).unwrap_or(NO_LIMIT);
        let ring = match most {
            NO_LIMIT => USUAL_RING,
            most => most.min(LONGEST_RING),
        };
        let mut options = Ring::<[u8]>::options()
            .message_size(message_size.unwrap_or(USUAL_SIZE))
            .max_held(USUAL_HELD)
            .spare(USUAL_SPARE);
        if let Some(bytes) = max_bytes {
            options = options.max_bytes(bytes);
        }
        if let Some(mode) = mode {
            options = options.mode(mode);
        }
        let opened = match (fd, name, exist) {
            (Some(fd), ..) => {
                // SAFETY: whoever calls this gives the descriptor away.
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                // It came from a process that we are a child of, or that we have let in with our key.
                options.trusted(true).from_fd(fd)
            }
            (_, None, _) => options.capacity(ring).anonymous(),
            (_, Some(name), Some(true)) => options.open(name),
            (_, Some(name), Some(false)) => options.capacity(ring).create(name),
            (_, Some(name), None) if maxsize > 0 => options.capacity(ring).open_or_create(name),
            (_, Some(name), None) => match options.open(name) {
                Err(ringway::Error::NotFound { .. }) => options.capacity(ring).open_or_create(name),
                opened => opened,
            },
        };
        let ring = opened.map_err(errors::opening)?;
        let most = if name.is_some() { ring.capacity() } else { most };
        Ok(Queue { ring, most, is_closed: AtomicBool::new(false), backlog: Backlog::new() })
    }

    #[pyo3(signature = (obj, block=true, timeout=None))]
    fn put(
        slf: &Bound<'_, Self>,
        obj: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Queue::check_open(slf)?;
        let until = deadline(block, timeout)?;
        encode(obj, |out| slf.get().send(slf.py(), &out, until))
    }

    fn put_nowait(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        Queue::check_open(slf)?;
        encode(obj, |out| slf.get().send(slf.py(), &out, Deadline::NOW))
    }

    #[pyo3(signature = (block=true, timeout=None))]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Queue::check_open(slf)?;
        let py = slf.py();
        decode(py, Received::Held(slf.get().receive(py, deadline(block, timeout)?)?))
    }

    fn get_nowait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Queue::check_open(slf)?;
        let py = slf.py();
        decode(py, Received::Held(slf.get().receive(py, Deadline::NOW)?))
    }

    /// Puts each of `objects`, in order. If time or room runs out in the middle, `queue.Full` is raised, and its argument
    /// is how many were put.
    #[pyo3(signature = (objects, block=true, timeout=None))]
    fn put_many(
        slf: &Bound<'_, Self>,
        objects: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        Queue::check_open(slf)?;
        let (py, until) = (slf.py(), deadline(block, timeout)?);
        let mut count = 0_usize;
        for object in objects.try_iter()? {
            if let Err(error) = encode(&object?, |out| slf.get().send(py, &out, until)) {
                let full = errors::FULL.get(py)?;
                if error.is_instance(py, full) {
                    return Err(PyErr::from_value(full.call1((count,))?));
                }
                return Err(error);
            }
            count += 1;
        }
        Ok(count)
    }

    /// Waits for a message, and takes as many more as are there, up to `max_items` (all that fit into the queue).
    #[pyo3(signature = (max_items=None, block=true, timeout=None))]
    fn get_many<'py>(
        slf: &Bound<'py, Self>,
        max_items: Option<usize>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        Queue::check_open(slf)?;
        let (this, py) = (slf.get(), slf.py());
        let list = PyList::empty(py);
        let most = max_items.unwrap_or(this.ring.capacity());
        if most == 0 {
            return Ok(list);
        }
        list.append(decode(py, Received::Held(this.receive(py, deadline(block, timeout)?)?))?)?;
        while list.len() < most {
            match this.ring.try_recv() {
                Ok(message) => list.append(decode(py, Received::Held(message))?)?,
                Err(RecvError::Empty | RecvError::Closed) => break,
                Err(error) => return Err(errors::receiving(error)),
            }
        }
        Ok(list)
    }

    /// Sends bytes as they are, for receivers that are not Python, or that use `get_bytes` or `get_view`.
    #[pyo3(signature = (data, block=true, timeout=None))]
    fn put_bytes(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Queue::check_open(slf)?;
        let until = deadline(block, timeout)?;
        with_bytes(data, |bytes| slf.get().send(slf.py(), &Outgoing::of(bytes), until))
    }

    /// Receives the bytes of a message as they are.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get_bytes<'py>(
        slf: &Bound<'py, Self>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        Queue::check_open(slf)?;
        let py = slf.py();
        Ok(PyBytes::new(py, &slf.get().receive(py, deadline(block, timeout)?)?))
    }

    /// Receives the bytes of a message without copying them: the view keeps them.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get_view<'py>(
        slf: &Bound<'py, Self>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        Queue::check_open(slf)?;
        let py = slf.py();
        let message = slf.get().receive(py, deadline(block, timeout)?)?;
        let range = 0..message.len();
        let lease = Lease::of(&Held::new(message.detach()), range, false);
        PyMemoryView::from(lease.into_pyobject(py)?.as_any())
    }

    /// Memory for a message of `length` bytes, to be written where it will lie; then `commit()` sends it.
    #[pyo3(signature = (length, block=true, timeout=None))]
    fn reserve(
        slf: &Bound<'_, Self>,
        length: usize,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Loan> {
        Queue::check_open(slf)?;
        let (this, py, until) = (slf.get(), slf.py(), deadline(block, timeout)?);
        let reserve = |ring: &'static Ring<[u8]>| {
            Some(match waiting(py, || ring.reserve_deadline(length, until)) {
                Ok(Ok(loan)) => Ok(loan),
                Ok(Err(SendError::Full | SendError::Timeout)) => Err(errors::FULL.raise(py)),
                Ok(Err(SendError::Closed)) => Err(over(py)),
                Ok(Err(error)) => Err(errors::sending(error)),
                Err(error) => Err(error),
            })
        };
        Loan::new(&this.ring, reserve).unwrap_or_else(|| Err(errors::FULL.raise(py)))
    }

    /// How many messages there are, about.
    fn qsize(&self) -> usize {
        self.count()
    }

    /// Whether there is none, at this moment.
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Queue::check_open(slf)?;
        Ok(slf.get().count() == 0)
    }

    /// Whether there are as many as there may be, at this moment.
    fn full(&self) -> bool {
        self.count() >= self.most
    }

    /// A descriptor that is readable while there are messages.
    fn fileno(slf: &Bound<'_, Self>) -> PyResult<i32> {
        Queue::check_open(slf)?;
        let fd = slf.get().ring.readiness().map_err(errors::opening)?;
        Ok(fd.as_raw_fd())
    }

    /// The descriptor of the memory.
    fn _memory(&self) -> i32 {
        self.ring.as_fd().as_raw_fd()
    }

    #[getter]
    fn _maxsize(&self) -> usize {
        self.most
    }

    #[getter]
    fn _closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// This process will not use it any more.
    fn _close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Waits until all that this process has put is in the ring.
    fn _flush(&self, py: Python<'_>) -> PyResult<()> {
        backlog::until(py, |deadline| self.backlog.flush(deadline))
    }

    /// Lets nobody wait for what is not there yet.
    fn _cancel(&self) {
        self.backlog.cancel();
    }

    /// How many messages of this process are not there yet.
    fn _backlog(&self) -> usize {
        self.backlog.len()
    }

    /// No more messages, for all processes. Receivers get what is there, then `ShutDown`.
    fn _shut_down(&self) -> bool {
        self.ring.close()
    }

    #[getter]
    fn _is_shut_down(&self) -> bool {
        self.ring.is_closed()
    }

    /// Removes its name.
    fn unlink(&self) -> PyResult<()> {
        self.ring.unlink().map_err(errors::opening)
    }
}

//! `Queue`: the calls that must be fast. The rest of the class is in `ringway/queues.py`.

mod belated;
mod inner;
mod making;

pub(crate) use inner::refused;

use crate::backlog::{self, Backlog};
use crate::calls::{call, next};
use crate::codec::{Outgoing, encode};
use crate::errors;
use crate::lease::{Held, Lease};
use crate::loan::Loan;
use crate::pins;
use crate::ring::Ring;
use crate::shared::taken_over;
use crate::waits::{deadline, is_true, waiting};
use belated::Belated;
use inner::Inner;
use making::{Fit, Making, limit, open};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyTuple};
use ringway::queue::{DoneError, JoinError};
use ringway::{Deadline, RecvError, TallyQueue};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A queue of messages between processes; `ringway.queues` makes it what `multiprocessing.Queue` is.
///
/// Making it and opening it are two things, so that subclasses may have constructors of any form.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct Queue {
    /// Whether this process has closed it for itself.
    is_closed: AtomicBool,
    inner: OnceLock<Inner>,
}

/// Messages of up to so many bytes are copied faster than lent.
const SHORT: usize = 1024;

impl Queue {
    #[inline]
    fn inner(&self) -> PyResult<&Inner> {
        self.inner.get().ok_or_else(|| PyRuntimeError::new_err("Queue.__init__() was not called"))
    }

    fn tally(&self) -> PyResult<&TallyQueue> {
        self.inner()?.ring.tally().ok_or_else(|| PyRuntimeError::new_err("the queue does not count"))
    }

    /// Takes over what was opened; it holds as much as it has places unless told otherwise.
    fn fill(&self, opened: Result<Ring, ringway::Error>, most: Option<usize>) -> PyResult<()> {
        let ring = opened.map_err(errors::opening)?;
        let most = most.unwrap_or(ring.capacity());
        let inner = Inner { ring, most, backlog: Arc::new(Backlog::new()), belated: Belated::default() };
        self.inner.set(inner).map_err(|_| PyRuntimeError::new_err("the queue is open already"))
    }

    /// What is inside, unless this process has closed it.
    #[inline]
    fn if_open<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Inner> {
        let this = slf.get();
        if this.is_closed.load(Ordering::Relaxed) { Err(closed(slf)) } else { this.inner() }
    }
}

#[cold]
fn closed(queue: &Bound<'_, Queue>) -> PyErr {
    match queue.repr() {
        Ok(name) => PyValueError::new_err(format!("Queue {name} is closed")),
        Err(error) => error,
    }
}

/// What becomes of an object that cannot be pickled: the class says.
#[cold]
fn not_encoded(queue: &Bound<'_, Queue>, object: &Bound<'_, PyAny>, error: PyErr) -> PyResult<()> {
    if queue.getattr("raise_pickling_errors")?.is_truthy()? {
        return Err(error);
    }
    let hear = queue.getattr("_on_queue_feeder_error")?;
    call(&hear, (error.into_value(queue.py()), object), None).map(drop)
}

/// The bytes of an object that has some.
pub(crate) fn with_bytes<R>(
    data: &Bound<'_, PyAny>,
    use_bytes: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return use_bytes(bytes.as_bytes());
    }
    // A view says best why there is none: `data` has no bytes, or it was released.
    let buffer = match PyUntypedBuffer::get(data) {
        Ok(buffer) => buffer,
        Err(error) => return Err(PyMemoryView::from(data).err().unwrap_or(error)),
    };
    if !buffer.is_c_contiguous() {
        let copy = PyMemoryView::from(data)?.call_method0("tobytes")?.cast_into::<PyBytes>()?;
        return use_bytes(copy.as_bytes());
    }
    if buffer.len_bytes() == 0 {
        return use_bytes(&[]); // the address of nothing may be null
    }
    // SAFETY: so many bytes are there while the buffer is held; other threads of Python that write to it meanwhile must not
    // run before this one lets go of the interpreter, and whoever copies from it here does so first.
    let bytes = unsafe { core::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    use_bytes(bytes)
}

#[pymethods]
impl Queue {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Queue {
        Queue { is_closed: AtomicBool::new(false), inner: OnceLock::new() }
    }

    /// Opens a new one; `counts` makes one that knows what is done.
    #[pyo3(signature = (maxsize, counts, message_size=None, max_bytes=None))]
    fn _make(
        &self,
        maxsize: i64,
        counts: bool,
        message_size: Option<usize>,
        max_bytes: Option<u64>,
    ) -> PyResult<()> {
        let most = limit(maxsize);
        let making = Making { most, message_size, max_bytes, mode: None, counts };
        self.fill(open!(making, options => options.anonymous()), Some(most))
    }

    /// Opens the one behind a descriptor, which this call takes over.
    fn _adopt(&self, fd: i32, maxsize: i64, counts: bool) -> PyResult<()> {
        let fd = taken_over(fd)?;
        // It came from a process that we are a child of, or that we have let in with our key.
        let opened = if counts {
            TallyQueue::options().trusted(true).from_fd(fd).map(Ring::Tally)
        } else {
            ringway::Queue::<[u8]>::options().trusted(true).from_fd(fd).map(Ring::Plain)
        };
        self.fill(opened, Some(limit(maxsize)))
    }

    /// Opens the one of that name; if `exist` is false makes it, and if it is `None`, if there is none.
    #[pyo3(signature = (name, exist, maxsize, counts, message_size=None, max_bytes=None, mode=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn _name(
        &self,
        name: &str,
        exist: Option<bool>,
        maxsize: i64,
        counts: bool,
        message_size: Option<usize>,
        max_bytes: Option<u64>,
        mode: Option<u32>,
    ) -> PyResult<()> {
        let making = Making { most: limit(maxsize), message_size, max_bytes, mode, counts };
        let open = || {
            if counts {
                TallyQueue::open(name).map(Ring::Tally)
            } else {
                ringway::Queue::<[u8]>::open(name).map(Ring::Plain)
            }
        };
        let opened = match exist {
            Some(true) => open(),
            Some(false) => open!(making, options => options.create(name)),
            None if maxsize > 0 => open!(making, options => options.open_or_create(name)),
            // Of whatever size it is, if it is there.
            None => match open() {
                Err(ringway::Error::NotFound { .. }) => {
                    open!(making, options => options.open_or_create(name))
                }
                opened => opened,
            },
        };
        // Everybody who knows the name keeps to its size, also those who know nothing of backlogs.
        self.fill(opened, None)
    }

    /// Puts an object into the queue. If there is no room, waits for it, at most `timeout` seconds; or not at all, if `block` is
    /// false. Then it raises `queue.Full`. `ValueError` if this process has closed the queue, `ShutDown` if anybody has shut it
    /// down, and what the pickler raises if the object cannot be pickled.
    #[pyo3(signature = (obj, block=true, timeout=None))]
    fn put(
        slf: &Bound<'_, Self>,
        obj: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let inner = Queue::if_open(slf)?;
        let until = deadline(block, timeout)?;
        inner.expect_room(slf.py(), until)?;
        let mut is_encoded = false;
        let result = encode(obj, |out| {
            is_encoded = true;
            inner.send(slf.py(), &out, until)
        });
        match result {
            Err(error) if !is_encoded => not_encoded(slf, obj, error),
            result => result,
        }
    }

    /// `put(obj, False)`.
    fn put_nowait(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        Queue::put(slf, obj, false, None)
    }

    /// Takes the next object out of the queue. If there is none, waits for it, at most `timeout` seconds; or not at all, if `block`
    /// is false. Then it raises `queue.Empty`. `ValueError` if this process has closed the queue, `ShutDown` if anybody has shut it
    /// down and nothing is left, `ForeignMessage` if what came was not put by this package.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (inner, py) = (Queue::if_open(slf)?, slf.py());
        inner.get(py, deadline(block, timeout)?)
    }

    /// `get(False)`.
    fn get_nowait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (inner, py) = (Queue::if_open(slf)?, slf.py());
        inner.get(py, Deadline::NOW)
    }

    /// Puts each of `objects`, in order. If time or room runs out in the middle, `queue.Full` is raised, and its argument
    /// is how many were put.
    #[pyo3(signature = (objects, block=true, timeout=None))]
    fn put_many(
        slf: &Bound<'_, Self>,
        objects: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let (inner, py) = (Queue::if_open(slf)?, slf.py());
        let until = deadline(block, timeout)?;
        let mut count = 0_usize;
        let objects = objects.try_iter()?;
        while let Some(object) = next(&objects)? {
            if let Err(error) = encode(&object, |out| inner.send(py, &out, until)) {
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

    /// Waits for an object, and takes as many more as are there, up to `max_items` (all that fit into the queue). `get` says what it
    /// raises, for the first; one after it that cannot be had ends the call: what came before it is returned, and the next call that
    /// takes something raises the error.
    #[pyo3(signature = (max_items=None, block=true, timeout=None))]
    fn get_many<'py>(
        slf: &Bound<'py, Self>,
        max_items: Option<usize>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let (inner, py) = (Queue::if_open(slf)?, slf.py());
        let list = PyList::empty(py);
        let most = max_items.unwrap_or(inner.ring.capacity());
        if most == 0 {
            return Ok(list);
        }
        list.append(inner.get(py, deadline(block, timeout)?)?)?;
        while list.len() < most {
            let object = match inner.get_now(py) {
                Ok(object) => object,
                Err(RecvError::Empty | RecvError::Closed) => break,
                Err(error) => Err(errors::receiving(error)),
            };
            if let Err(error) = object.and_then(|object| list.append(object)) {
                inner.belated.keep(error);
                break;
            }
        }
        Ok(list)
    }

    /// Sends bytes as they are, for receivers that are not Python, or that use `get_bytes` or `get_view`.
    #[pyo3(signature = (data, block=true, timeout=None))]
    fn put_bytes(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let inner = Queue::if_open(slf)?;
        let until = deadline(block, timeout)?;
        with_bytes(data, |bytes| inner.send(slf.py(), &Outgoing::of(bytes), until))
    }

    /// Receives the bytes of a message as they are.
    #[pyo3(signature = (block=true, timeout=None))]
    fn get_bytes<'py>(
        slf: &Bound<'py, Self>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (inner, py) = (Queue::if_open(slf)?, slf.py());
        Ok(PyBytes::new(py, &inner.receive(py, deadline(block, timeout)?)?))
    }

    /// Receives the bytes of a message without copying them: the view keeps them, and they are this process's until it is
    /// gone. (Of short messages, or while views and arrays hold half of the queue's memory, it is a view of a copy.)
    #[pyo3(signature = (block=true, timeout=None))]
    fn get_view<'py>(
        slf: &Bound<'py, Self>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let (inner, py) = (Queue::if_open(slf)?, slf.py());
        let message = inner.receive(py, deadline(block, timeout)?)?;
        let length = message.len();
        let held = if length > SHORT { Held::try_new(message) } else { Err(message) };
        match held {
            Ok(held) => PyMemoryView::from(Lease::of(&held, 0..length, false).into_pyobject(py)?.as_any()),
            Err(message) => PyMemoryView::from(PyByteArray::new(py, &message).as_any()),
        }
    }

    /// Memory for a message of `length` bytes, to be written where it will lie; then `commit()` sends it.
    #[pyo3(signature = (length, block=true, timeout=None))]
    fn reserve(
        slf: &Bound<'_, Self>,
        length: usize,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Loan> {
        let (inner, py) = (Queue::if_open(slf)?, slf.py());
        let until = deadline(block, timeout)?;
        let reserve = |ring: &'static Ring| {
            waiting(py, || ring.reserve_deadline(length, until))?.map_err(|error| refused(py, error))
        };
        Loan::new(&inner.ring, &inner.backlog, reserve)
    }

    /// How many messages there are, about.
    fn qsize(&self) -> PyResult<usize> {
        Ok(self.inner()?.count())
    }

    /// Whether there is none, at this moment.
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if slf.get().is_closed.load(Ordering::Relaxed) {
            return Err(PyOSError::new_err("handle is closed")); // and not as `put` and `get` say it
        }
        Ok(slf.get().inner()?.count() == 0)
    }

    /// Whether there are as many as there may be, at this moment.
    fn full(&self) -> PyResult<bool> {
        let inner = self.inner()?;
        Ok(inner.count() >= inner.most)
    }

    /// A descriptor that is readable while there are messages.
    fn fileno(slf: &Bound<'_, Self>) -> PyResult<i32> {
        let fd = Queue::if_open(slf)?.ring.readiness().map_err(errors::opening)?;
        Ok(fd.as_raw_fd())
    }

    /// The descriptor of the memory.
    fn _memory(&self) -> PyResult<i32> {
        Ok(self.inner()?.ring.memory().as_raw_fd())
    }

    #[getter]
    fn _maxsize(&self) -> PyResult<usize> {
        Ok(self.inner()?.most)
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
        let inner = self.inner()?;
        backlog::until(py, Deadline::NEVER, |slice| inner.backlog.flush(slice)).map(drop)
    }

    /// Lets nobody wait for what is not there yet.
    fn _cancel(&self) -> PyResult<()> {
        self.inner()?.backlog.cancel();
        Ok(())
    }

    /// How many messages of this process are not there yet.
    fn _backlog(&self) -> PyResult<usize> {
        Ok(self.inner()?.backlog.len())
    }

    /// No more messages, for all processes. Receivers get what is there, then `ShutDown`.
    fn _shut_down(&self) -> PyResult<bool> {
        Ok(self.inner()?.ring.close())
    }

    /// Lets nobody hear of what could not be taken.
    fn _forget_errors(&self) -> PyResult<()> {
        self.inner()?.belated.forget();
        Ok(())
    }

    /// Whether children still need what this process has received; lets go of what they do not.
    #[staticmethod]
    fn _holds_for_children() -> bool {
        pins::sweep()
    }

    #[getter]
    fn _is_shut_down(&self) -> PyResult<bool> {
        Ok(self.inner()?.ring.is_closed())
    }

    /// One of the messages that were put is done. Whether that was one too many.
    fn _done(&self) -> PyResult<bool> {
        match self.tally()?.task_done() {
            Ok(()) => Ok(true),
            Err(DoneError::TooMany) => Ok(false),
            Err(error) => Err(errors::os_error(libc::EBADMSG, error)),
        }
    }

    /// Waits until all that were put are done; whether they are.
    #[pyo3(signature = (timeout=None))]
    fn _join(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let (until, queue) = (deadline(true, timeout)?, self.tally()?);
        match waiting(py, || queue.join_deadline(until))? {
            Ok(()) => Ok(true),
            Err(JoinError::Timeout) => Ok(false),
            Err(error) => Err(errors::os_error(libc::EBADMSG, error)),
        }
    }

    /// How many are not done.
    fn _unfinished(&self) -> PyResult<u64> {
        Ok(self.tally()?.unfinished())
    }

    /// Removes its name.
    fn unlink(&self) -> PyResult<()> {
        self.inner()?.ring.unlink().map_err(errors::opening)
    }
}

//! `Queue`: the calls that must be fast. The rest of the class is in `ringway/queues.py`.

use crate::backlog::{self, Backlog};
use crate::calls::{call, next};
use crate::codec::{Outgoing, Received, decode, decode_in_place, encode};
use crate::errors;
use crate::lease::{Held, Lease};
use crate::loan::Loan;
use crate::ring::Ring;
use crate::shared::taken_over;
use crate::waits::{deadline, is_true, waiting};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyTuple};
use ringway::queue::{DoneError, JoinError, Message};
use ringway::{Deadline, RecvError, SendError, TallyQueue};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A queue of messages between processes; `ringway.queues` makes it what `multiprocessing.Queue` is.
///
/// Making it and opening it are two things, so that subclasses may have constructors of any form.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct Queue {
    /// Whether this process has closed it for itself.
    is_closed: AtomicBool,
    inner: OnceLock<Inner>,
}

struct Inner {
    ring: Ring,
    /// How many messages there may be.
    most: usize,
    backlog: Arc<Backlog>,
}

/// What `multiprocessing` means by no limit.
const NO_LIMIT: usize = i32::MAX as usize;

/// Longer queues have a ring of so many places, and each process keeps the rest to itself.
const LONGEST_RING: usize = 8192;

/// The ring of a queue without a limit.
const USUAL_RING: usize = 512;

/// Messages of up to so many bytes have memory of their own from the beginning; there is more for larger ones when they are sent:
/// so a queue is made quickly.
const USUAL_SIZE: usize = 128;
const USUAL_HELD: usize = 64;

/// So many bytes for each size. A ring full of messages of 1 KiB and a header has room; what has none waits in the backlog.
const USUAL_SPARE: usize = 1 << 20;

/// Processes that can use a queue at the same time.
const PARTICIPANTS: u16 = 1022;

/// Messages of up to so many bytes are copied faster than lent.
const SHORT: usize = 1024;

/// How long a `put` that does not block waits for room, before it uses the backlog: receivers that are at work are faster.
const PATIENCE: Duration = Duration::from_micros(200);

/// Between two looks whether receivers are at work: about a microsecond. After so many looks in vain none is; and so many are
/// enough.
const SPINS: u32 = 32;
const IDLE: u32 = 6;
const LONGEST_LULL: u32 = 100;

/// How often one that waits for two things looks at the other.
const SLICE: Duration = Duration::from_millis(20);

/// As Python says it.
fn limit(maxsize: i64) -> usize {
    usize::try_from(maxsize).ok().filter(|&most| most > 0).unwrap_or(NO_LIMIT)
}

/// How a queue is made.
struct Making {
    most: usize,
    message_size: Option<usize>,
    max_bytes: Option<u64>,
    mode: Option<u32>,
    counts: bool,
}

/// Opens a queue of either kind by `$open`, a call of its options.
macro_rules! open {
    ($making:expr, $options:ident => $open:expr) => {
        if $making.counts {
            let $options = $making.fit(TallyQueue::options());
            $open.map(Ring::Tally)
        } else {
            let $options = $making.fit(ringway::Queue::<[u8]>::options());
            $open.map(Ring::Plain)
        }
    };
}

/// The options that both kinds have.
macro_rules! fit {
    ($($queue:ty),*) => {$(
        impl Fit<$queue> for Making {
            fn fit(&self, options: ringway::Options<$queue>) -> ringway::Options<$queue> {
                let capacity = if self.most == NO_LIMIT { USUAL_RING } else { self.most.min(LONGEST_RING) };
                let mut options = options
                    .capacity(capacity)
                    .message_size(self.message_size.unwrap_or(USUAL_SIZE))
                    .max_held(USUAL_HELD)
                    .participants(PARTICIPANTS)
                    .spare(USUAL_SPARE);
                if let Some(bytes) = self.max_bytes {
                    options = options.max_bytes(bytes);
                }
                if let Some(mode) = self.mode {
                    options = options.mode(mode);
                }
                options
            }
        }
    )*};
}

trait Fit<Q> {
    fn fit(&self, options: ringway::Options<Q>) -> ringway::Options<Q>;
}

fit!(ringway::Queue<[u8]>, TallyQueue);

/// Why a message was not sent, or has no room.
pub(crate) fn refused(py: Python<'_>, error: SendError) -> PyErr {
    match error {
        SendError::Full | SendError::Timeout => errors::FULL.raise(py),
        SendError::Closed => over(py),
        error => errors::sending(error),
    }
}

/// What a queue that was shut down says.
fn over(py: Python<'_>) -> PyErr {
    errors::SHUT_DOWN.raise(py)
}

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
        let inner = Inner { ring, most, backlog: Arc::new(Backlog::new()) };
        self.inner.set(inner).map_err(|_| PyRuntimeError::new_err("the queue is open already"))
    }

    /// What is inside, unless this process has closed it.
    #[inline]
    fn if_open<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Inner> {
        let this = slf.get();
        if this.is_closed.load(Ordering::Relaxed) { Err(closed(slf)) } else { this.inner() }
    }
}

impl Inner {
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
                // With a place to go beside the ring there is little to wait for: receivers that are at work, and so make
                // room in the ring or in the memory of its messages.
                let send = || {
                    let is_worth_it =
                        until != Deadline::NOW && has_place && (self.lull() || self.ring.len() >= capacity);
                    self.ring.send_deadline(
                        &message,
                        match (has_place, is_worth_it) {
                            (true, true) => until.min(Deadline::after(PATIENCE)),
                            (true, false) => Deadline::NOW,
                            (false, _) => until.min(Deadline::after(SLICE)),
                        },
                    )
                };
                match waiting(py, send)? {
                    Ok(()) => return Ok(()),
                    Err(SendError::Timeout | SendError::Full) => {}
                    Err(SendError::Closed) => return Err(over(py)),
                    Err(error) => return Err(errors::sending(error)),
                }
            } else if !has_place && !until.has_passed() {
                let slice = until.min(Deadline::after(SLICE));
                backlog::until(py, slice, |slice| self.backlog.flush(slice))?;
            }
            if has_place && self.count() < self.most && self.ring.promise() {
                self.backlog.push(&self.ring, message);
                return Ok(());
            }
            if until.has_passed() {
                return Err(errors::FULL.raise(py));
            }
        }
    }

    /// Lets receivers that are at work get ahead, so that the next messages find room at once: a wait for each costs both
    /// sides more than the message. Soon `false` if nobody is at work.
    fn lull(&self) -> bool {
        let from = self.ring.len();
        let (mut last, mut idle) = (from, 0);
        for _ in 0..LONGEST_LULL {
            if last <= from / 2 || idle == IDLE {
                break;
            }
            for _ in 0..SPINS {
                core::hint::spin_loop();
            }
            let now = self.ring.len();
            idle = if now < last { 0 } else { idle + 1 };
            last = now;
        }
        last < from
    }

    /// Receives an object.
    #[inline]
    fn get<'py>(&self, py: Python<'py>, until: Deadline) -> PyResult<Bound<'py, PyAny>> {
        match self.get_now(py) {
            Ok(object) => object,
            Err(RecvError::Empty) => decode(py, Received::Held(self.receive_slowly(py, until)?)),
            Err(RecvError::Closed) => Err(over(py)),
            Err(error) => Err(errors::receiving(error)),
        }
    }

    /// Receives what is there: an object, or why it cannot be made of the message.
    #[inline]
    fn get_now<'py>(&self, py: Python<'py>) -> Result<PyResult<Bound<'py, PyAny>>, RecvError> {
        let received = self.ring.try_recv();
        if let Ok(message) = &received
            && let Some(object) = decode_in_place(py, message)
        {
            return Ok(object);
        }
        received.map(|message| decode(py, Received::Held(message)))
    }

    /// Receives a message.
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

    /// Waits for a message, and takes as many more as are there, up to `max_items` (all that fit into the queue).
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
            match inner.get_now(py) {
                Ok(object) => list.append(object?)?,
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
        if message.len() <= SHORT || !message.can_be_held() {
            return PyMemoryView::from(PyByteArray::new(py, &message).as_any());
        }
        let range = 0..message.len();
        let lease = Lease::of(&Held::new(message.detach()), range, false);
        PyMemoryView::from(lease.into_pyobject(py)?.as_any())
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

//! Bytes to objects.

use super::frames::Plan;
use super::keys::Keys;
use super::{BYTES, DICT, FALSE, FLOAT, FRAMES, INT, LIST, NONE, PICKLE, STR, TRUE, TUPLE};
use crate::calls::call;
use crate::errors::Imported;
use crate::lease::{self, Lease};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};
use ringway::queue::Message;

static LOADS: Imported = Imported::new("pickle", "loads");
static FOREIGN: Imported = Imported::new("ringway._compat", "ForeignMessage");

/// Messages of at least so many bytes lend their buffers to the objects that come out of them; those of shorter ones are
/// copied. So are those of all messages while others that are held on to take half of the memory: a program that keeps
/// whatever it gets must not keep its senders from sending.
const LENT: usize = 64 << 10;

/// A message, and whether it can be held on to.
pub(crate) enum Received<'a> {
    Borrowed(&'a [u8]),
    Held(Message<'a>),
}

impl Received<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Received::Borrowed(bytes) => bytes,
            Received::Held(message) => message,
        }
    }
}

/// The object that a message holds.
pub(crate) fn decode<'py>(py: Python<'py>, message: Received<'_>) -> PyResult<Bound<'py, PyAny>> {
    let bytes = message.bytes();
    match bytes.first() {
        Some(&PICKLE) => unpickle(py, bytes),
        Some(&FRAMES) => unpickle_with_buffers(py, message),
        Some(&(NONE..=DICT)) => plain(py, bytes).unwrap_or_else(|| Err(foreign(py, bytes))),
        _ => Err(foreign(py, bytes)),
    }
}

/// The same, if the object does not hold on to the message. So the message need not be moved, which would cost as much as a
/// number does.
#[inline]
pub(crate) fn decode_in_place<'py>(py: Python<'py>, message: &[u8]) -> Option<PyResult<Bound<'py, PyAny>>> {
    (message.first() != Some(&FRAMES)).then(|| decode(py, Received::Borrowed(message)))
}

/// The same for what may come from a plain `send_bytes`: as in the standard library, that is a pickle of whatever protocol.
/// None begins with a byte below `b'('`.
pub(crate) fn decode_or_unpickle<'py>(py: Python<'py>, message: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match message.first() {
        Some(&FRAMES) if Plan::of(message).is_some() => decode(py, Received::Borrowed(message)),
        Some(&(NONE..=DICT)) => plain(py, message).unwrap_or_else(|| unpickle(py, message)),
        _ => unpickle(py, message),
    }
}

/// The message is not from a `put`.
#[cold]
fn foreign(py: Python<'_>, bytes: &[u8]) -> PyErr {
    let text = "the message was not put by Python: get_bytes() receives what others send";
    let made = FOREIGN.get(py).and_then(|class| class.call1((text, PyBytes::new(py, bytes))));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Pickles up to this length are copied, which is cheaper than a view.
const SMALL: usize = 4096;

/// Calls `use_view` with the bytes as an object that is good only during the call.
fn with_view<'py, R>(
    py: Python<'py>,
    bytes: &[u8],
    use_view: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<R>,
) -> PyResult<R> {
    if bytes.len() <= SMALL {
        return use_view(PyBytes::new(py, bytes).as_any());
    }
    let length = bytes.len() as ffi::Py_ssize_t;
    let start = bytes.as_ptr().cast_mut().cast();
    // SAFETY: so many bytes are there, read-only, until the view is released below.
    let view = unsafe { ffi::PyMemoryView_FromMemory(start, length, ffi::PyBUF_READ) };
    // SAFETY: a new reference, or null with an error set.
    let view = unsafe { Bound::from_owned_ptr_or_err(py, view) }?;
    let result = use_view(&view);
    // Whoever holds a view of the view keeps it from being released. The unpickler holds none when it is done.
    view.call_method0("release")?;
    result
}

fn unpickle<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    with_view(py, bytes, |view| call(LOADS.get(py)?, (view,), None))
}

fn unpickle_with_buffers<'py>(py: Python<'py>, message: Received<'_>) -> PyResult<Bound<'py, PyAny>> {
    let Some(plan) = Plan::of(message.bytes()) else { return Err(foreign(py, message.bytes())) };
    let held = match message {
        Received::Held(message) if message.len() >= LENT => {
            lease::Held::try_new(message).map_err(Received::Held)
        }
        other => Err(other),
    };
    let bytes = match &held {
        Ok(held) => held.bytes(),
        Err(message) => message.bytes(),
    };
    let buffers = PyList::empty(py);
    for (range, read_only) in plan.buffers {
        match &held {
            Ok(held) => buffers.append(Lease::of(held, range, read_only).into_pyobject(py)?)?,
            Err(_) if read_only => buffers.append(PyBytes::new(py, &bytes[range]))?,
            Err(_) => buffers.append(PyByteArray::new(py, &bytes[range]))?,
        }
    }
    let options = PyDict::new(py);
    options.set_item("buffers", buffers)?;
    with_view(py, &bytes[plan.pickle], |view| call(LOADS.get(py)?, (view,), Some(&options)))
}

/// `None` if the bytes are not what they should be.
fn plain<'py>(py: Python<'py>, bytes: &[u8]) -> Option<PyResult<Bound<'py, PyAny>>> {
    let (&tag, rest) = bytes.split_first()?;
    let mut rest = Rest(rest);
    let object = match tag {
        STR => Ok(PyString::from_bytes(py, rest.0).ok()?.into_any()),
        BYTES => Ok(PyBytes::new(py, rest.0).into_any()),
        TUPLE => PyTuple::new(py, rest.items(py)?).map(Bound::into_any),
        LIST => PyList::new(py, rest.items(py)?).map(Bound::into_any),
        DICT => dict(py, rest)?.map(Bound::into_any),
        tag => {
            let value = rest.scalar(py, tag)?;
            return rest.0.is_empty().then_some(Ok(value));
        }
    };
    Some(object)
}

fn dict<'py>(py: Python<'py>, mut rest: Rest<'_>) -> Option<PyResult<Bound<'py, PyDict>>> {
    let dict = PyDict::new(py);
    // Nothing below runs anybody's code: all that is made is of the plain types.
    let mut keys = Keys::get();
    while !rest.0.is_empty() {
        let (key, value) = (rest.key(py, &mut keys)?, rest.item(py)?);
        if let Err(error) = dict.set_item(key, value) {
            return Some(Err(error));
        }
    }
    Some(Ok(dict))
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn items<'py>(&mut self, py: Python<'py>) -> Option<Vec<Bound<'py, PyAny>>> {
        let mut items = Vec::new();
        while !self.0.is_empty() {
            items.push(self.item(py)?);
        }
        Some(items)
    }

    fn item<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self.take_array()? {
            [STR] => Some(PyString::from_bytes(py, self.run()?).ok()?.into_any()),
            [BYTES] => Some(PyBytes::new(py, self.run()?).into_any()),
            [tag] => self.scalar(py, tag),
        }
    }

    /// An item that is a key.
    fn key<'py>(&mut self, py: Python<'py>, keys: &mut Keys) -> Option<Bound<'py, PyAny>> {
        if self.0.first() != Some(&STR) {
            return self.item(py);
        }
        self.take(1)?;
        Some(keys.string(py, self.run()?).ok()?.into_any())
    }

    /// So many bytes as it says in front of them.
    fn run(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.take_array()?) as usize;
        self.take(length)
    }

    fn scalar<'py>(&mut self, py: Python<'py>, tag: u8) -> Option<Bound<'py, PyAny>> {
        Some(match tag {
            NONE => py.None().into_bound(py),
            TRUE | FALSE => (tag == TRUE).into_pyobject(py).ok()?.to_owned().into_any(),
            INT => i64::from_le_bytes(self.take_array()?).into_pyobject(py).ok()?.into_any(),
            FLOAT => f64::from_le_bytes(self.take_array()?).into_pyobject(py).ok()?.into_any(),
            _ => return None,
        })
    }
}

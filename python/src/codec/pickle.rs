//! Whatever else there is: pickled by a pickler that is made once.
//!
//! Making one costs ten times as much as a small object does, and the standard library makes one for each.

use super::frames::Frames;
use crate::calls::call;
use crate::errors::Imported;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict};
use std::sync::{Mutex, MutexGuard, PoisonError};

static FORKING_PICKLER: Imported = Imported::new("multiprocessing.reduction", "ForkingPickler");

/// Buffers shorter than this stay in the pickle.
const SHORT: usize = 1024;

/// What a pickler's output may keep.
const KEPT: usize = 1 << 16;

/// Locked for moments only, by threads that hold the interpreter's lock: so never at a fork.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a pickler writes.
#[pyclass(frozen)]
struct Sink(Mutex<Vec<u8>>);

#[pymethods]
impl Sink {
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        if let Ok(bytes) = data.cast::<PyBytes>() {
            lock(&self.0).extend_from_slice(bytes.as_bytes());
            return Ok(bytes.as_bytes().len());
        }
        let buffer = PyBuffer::<u8>::get(data)?;
        let bytes = buffer.to_vec(data.py())?;
        lock(&self.0).extend_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// What a pickler leaves to be sent beside the pickle.
#[pyclass(frozen)]
struct Apart(Mutex<Vec<PyBuffer<u8>>>);

#[pymethods]
impl Apart {
    /// Whether the buffer belongs into the pickle.
    fn __call__(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        // One that is not contiguous has no raw bytes.
        let Ok(raw) = buffer.call_method0("raw") else { return Ok(true) };
        let buffer = PyBuffer::<u8>::get(&raw)?;
        if buffer.len_bytes() < SHORT || !buffer.is_c_contiguous() {
            return Ok(true);
        }
        lock(&self.0).push(buffer);
        Ok(false)
    }
}

/// The reducers of types that have one of their own: the standard library's, and this program's.
fn registered(py: Python<'_>) -> PyResult<&'static [Py<PyDict>; 2]> {
    static TABLES: PyOnceLock<[Py<PyDict>; 2]> = PyOnceLock::new();
    TABLES.get_or_try_init(py, || {
        let extra = FORKING_PICKLER.get(py)?.getattr("_extra_reducers")?.cast_into::<PyDict>()?;
        let table = py.import("copyreg")?.getattr("dispatch_table")?.cast_into::<PyDict>()?;
        Ok([table.unbind(), extra.unbind()])
    })
}

struct Pickler {
    /// What was registered when it was made: it knows nothing else.
    registered: [Py<PyDict>; 2],
    sink: Py<Sink>,
    apart: Py<Apart>,
    dump: Py<PyAny>,
    clear_memo: Py<PyAny>,
}

/// Those that nobody is using. More than one only if threads or pickled objects send in the middle of pickling.
static IDLE: Mutex<Vec<Pickler>> = Mutex::new(Vec::new());

impl Pickler {
    fn new(py: Python<'_>) -> PyResult<Pickler> {
        let sink = Py::new(py, Sink(Mutex::new(Vec::new())))?;
        let apart = Py::new(py, Apart(Mutex::new(Vec::new())))?;
        // Before it is made: what another thread registers meanwhile it may not know.
        let [table, extra] = registered(py)?;
        let registered = [table.bind(py).copy()?.unbind(), extra.bind(py).copy()?.unbind()];
        let pickler =
            call(FORKING_PICKLER.get(py)?, (sink.clone_ref(py), 5, true, apart.clone_ref(py)), None)?;
        let method = |name| pickler.getattr(name).map(Bound::unbind);
        Ok(Pickler { registered, dump: method("dump")?, clear_memo: method("clear_memo")?, sink, apart })
    }

    /// Whether it would pickle as a new one does. By what there is, not how much: a reducer may take another one's place.
    fn is_up_to_date(&self, py: Python<'_>) -> PyResult<bool> {
        let [table, extra] = registered(py)?;
        let [known, known_extra] = &self.registered;
        Ok(table.bind(py).eq(known)? && extra.bind(py).eq(known_extra)?)
    }
}

/// Pickles `object` into `out`, apart from its long buffers.
pub(super) fn dump(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<Option<Frames>> {
    let py = object.py();
    let idle = lock(&IDLE).pop();
    let pickler = match idle {
        Some(pickler) if pickler.is_up_to_date(py)? => pickler,
        _ => Pickler::new(py)?,
    };
    // A pickler that failed in the middle is not used again.
    call(pickler.dump.bind(py), (object,), None)?;
    call(pickler.clear_memo.bind(py), (), None)?;
    let buffers = core::mem::take(&mut *lock(&pickler.apart.get().0));
    {
        let mut written = lock(&pickler.sink.get().0);
        if written.len() > KEPT {
            *out = core::mem::take(&mut written);
        } else {
            out.extend_from_slice(&written);
            written.clear();
        }
    }
    lock(&IDLE).push(pickler);
    Ok((!buffers.is_empty()).then(|| Frames::lay_out(out, buffers)))
}

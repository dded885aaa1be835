//! The calls of `SimpleQueue` that must be fast. The rest of the class is in `ringway/simple_queue.py`.

use super::object::Connection;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::OnceLock;

/// A pipe of which every process holds both ends.
///
/// Making it and opening it are two things, so that subclasses may have constructors of any form.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct SimpleQueue {
    ends: OnceLock<Ends>,
}

struct Ends {
    reader: Py<Connection>,
    writer: Py<Connection>,
}

impl SimpleQueue {
    #[inline]
    fn ends(&self) -> PyResult<&Ends> {
        self.ends.get().ok_or_else(|| PyRuntimeError::new_err("SimpleQueue.__init__() was not called"))
    }
}

#[pymethods]
impl SimpleQueue {
    #[new]
    #[pyo3(signature = (*_args, **_options))]
    fn new(_args: &Bound<'_, PyTuple>, _options: Option<&Bound<'_, PyDict>>) -> SimpleQueue {
        SimpleQueue { ends: OnceLock::new() }
    }

    /// Its two ends, once.
    fn _open(&self, reader: Bound<'_, Connection>, writer: Bound<'_, Connection>) -> PyResult<()> {
        let ends = Ends { reader: reader.unbind(), writer: writer.unbind() };
        self.ends.set(ends).map_err(|_| PyRuntimeError::new_err("the queue is open already"))
    }

    /// Puts an object into the queue, waiting for room as long as it takes.
    fn put(&self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        self.ends()?.writer.get().send_object(obj)
    }

    /// Takes an object out of the queue, waiting for it as long as it takes.
    fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.ends()?.reader.get().receive_object(py)
    }

    /// Whether there is nothing in it, at this moment.
    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(!self.ends()?.reader.get().has_message(py)?)
    }

    /// This process will not use it any more.
    fn close(&self) -> PyResult<()> {
        let ends = self.ends()?;
        ends.reader.get().shut();
        ends.writer.get().shut();
        Ok(())
    }

    #[getter]
    fn _reader(&self, py: Python<'_>) -> PyResult<Py<Connection>> {
        Ok(self.ends()?.reader.clone_ref(py))
    }

    #[getter]
    fn _writer(&self, py: Python<'_>) -> PyResult<Py<Connection>> {
        Ok(self.ends()?.writer.clone_ref(py))
    }
}

//! `Event`.

use super::{fill, opened};
use crate::errors;
use crate::shared::made_and_opened;
use crate::waits::{deadline, waiting};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

/// What is inside a `ringway.synchronize.Event`.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct Event(OnceLock<ringway::Event>);

made_and_opened!(Event, ringway::Event);

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Event {
        Event(OnceLock::new())
    }

    #[pyo3(signature = (name=None))]
    fn _make(&self, name: Option<&str>) -> PyResult<()> {
        fill(&self.0, Event::made(ringway::Event::options(), name)?)
    }

    #[pyo3(signature = (fd, place))]
    fn _adopt(&self, fd: i32, place: Option<&str>) -> PyResult<()> {
        fill(&self.0, Event::opened(fd, place)?)
    }

    fn _tell(&self) -> PyResult<(i32, Option<String>)> {
        Ok(Event::whereabouts(opened(&self.0)?))
    }

    /// Whether it is set.
    fn is_set(&self) -> PyResult<bool> {
        Ok(opened(&self.0)?.is_set())
    }

    /// Sets it: whoever waits goes on, also if it is cleared at once.
    fn set(&self) -> PyResult<()> {
        opened(&self.0)?.set();
        Ok(())
    }

    /// Makes it unset again.
    fn clear(&self) -> PyResult<()> {
        opened(&self.0)?.clear();
        Ok(())
    }

    /// Waits until it is set, or the time is over. Returns whether it is.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let (until, event) = (deadline(true, timeout)?, opened(&self.0)?);
        if event.is_set() {
            return Ok(true);
        }
        waiting(py, || event.wait_deadline(until))
    }

    /// A descriptor that is readable while it is set.
    fn fileno(&self) -> PyResult<i32> {
        Ok(opened(&self.0)?.readiness().map_err(errors::opening)?.as_raw_fd())
    }

    /// Removes its name.
    fn unlink(&self) -> PyResult<()> {
        opened(&self.0)?.unlink().map_err(errors::opening)
    }
}

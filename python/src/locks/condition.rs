//! `Condition`: waiting and notifying; the lock is a Python object.

use super::{SemLock, fill, opened};
use crate::errors;
use crate::shared::made_and_opened;
use crate::waits::{deadline, waiting};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use ringway::Condvar;
use std::sync::OnceLock;

/// What a `ringway.synchronize.Condition` has beside its lock.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct Condition(OnceLock<Condvar>);

made_and_opened!(Condition, Condvar);

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Condition {
        Condition(OnceLock::new())
    }

    #[pyo3(signature = (name=None))]
    fn _make(&self, name: Option<&str>) -> PyResult<()> {
        fill(&self.0, Condition::made(Condvar::options(), name)?)
    }

    #[pyo3(signature = (fd, place))]
    fn _adopt(&self, fd: i32, place: Option<&str>) -> PyResult<()> {
        fill(&self.0, Condition::opened(fd, place)?)
    }

    fn _tell(&self) -> PyResult<(i32, Option<String>)> {
        Ok(Condition::whereabouts(opened(&self.0)?))
    }

    /// Releases `lock`, however often it is held, and waits until notified or until the time is over. Returns whether
    /// notified. The lock is the caller's to acquire again.
    #[pyo3(signature = (lock, timeout=None))]
    fn _wait(
        &self,
        py: Python<'_>,
        lock: &Bound<'_, SemLock>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let (until, condition) = (deadline(true, timeout)?, opened(&self.0)?);
        let lock = lock.get();
        waiting(py, || condition.wait_after(|| lock.let_go(), until))?.map_err(errors::opening)
    }

    /// Wakes up to `count` of those who wait. Returns how many.
    fn _notify(&self, count: u32) -> PyResult<u32> {
        Ok(opened(&self.0)?.notify(count))
    }

    /// How many wait, about.
    fn _waiting(&self) -> PyResult<usize> {
        Ok(opened(&self.0)?.waiting())
    }
}

//! `Barrier`.

use super::{fill, opened};
use crate::errors::{self, Imported};
use crate::shared::made_and_opened;
use crate::waits::{deadline, waiting};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use ringway::BarrierError;
use std::sync::OnceLock;

static BROKEN: Imported = Imported::new("threading", "BrokenBarrierError");

/// What is inside a `ringway.synchronize.Barrier`.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct Barrier(OnceLock<ringway::Barrier>);

made_and_opened!(Barrier, ringway::Barrier);

#[pymethods]
impl Barrier {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Barrier {
        Barrier(OnceLock::new())
    }

    #[pyo3(signature = (parties, name=None))]
    fn _make(&self, parties: u32, name: Option<&str>) -> PyResult<()> {
        fill(&self.0, Barrier::made(ringway::Barrier::options().parties(parties), name)?)
    }

    #[pyo3(signature = (fd, place))]
    fn _adopt(&self, fd: i32, place: Option<&str>) -> PyResult<()> {
        fill(&self.0, Barrier::opened(fd, place)?)
    }

    fn _tell(&self) -> PyResult<(i32, Option<String>)> {
        Ok(Barrier::whereabouts(opened(&self.0)?))
    }

    /// Waits for the others. Returns which of them this is.
    #[pyo3(signature = (timeout=None))]
    fn _meet(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let (until, barrier) = (deadline(true, timeout)?, opened(&self.0)?);
        match waiting(py, || barrier.wait_deadline(until))? {
            Ok(met) => Ok(met.index()),
            Err(BarrierError::Broken | BarrierError::Timeout) => Err(BROKEN.raise(py)),
            Err(BarrierError::Attach(error)) => Err(errors::opening(error)),
            Err(error) => Err(errors::os_error(libc::EBADMSG, error)),
        }
    }

    fn _abort(&self) -> PyResult<()> {
        opened(&self.0)?.abort();
        Ok(())
    }

    fn _reset(&self) -> PyResult<()> {
        match opened(&self.0)?.reset() {
            Ok(()) => Ok(()),
            Err(BarrierError::Attach(error)) => Err(errors::opening(error)),
            Err(error) => Err(errors::os_error(libc::EBADMSG, error)),
        }
    }

    fn _parties(&self) -> PyResult<u32> {
        Ok(opened(&self.0)?.parties())
    }

    fn _waiting(&self) -> PyResult<u32> {
        Ok(opened(&self.0)?.waiting())
    }

    fn _is_broken(&self) -> PyResult<bool> {
        Ok(opened(&self.0)?.is_broken())
    }
}

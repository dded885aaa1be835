//! Locks and their like: the calls of `ringway.synchronize`.

mod barrier;
mod condition;
mod event;
mod semlock;

pub(crate) use barrier::Barrier;
pub(crate) use condition::Condition;
pub(crate) use event::Event;
pub(crate) use semlock::{SemLock, hand_over_all, install};

use crate::errors;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use ringway::{AcquireError, ReleaseError};
use std::sync::OnceLock;

/// What `__init__` has put there.
fn opened<T>(cell: &OnceLock<T>) -> PyResult<&T> {
    cell.get().ok_or_else(|| PyRuntimeError::new_err("__init__() was not called"))
}

fn fill<T>(cell: &OnceLock<T>, object: T) -> PyResult<()> {
    cell.set(object).map_err(|_| PyRuntimeError::new_err("__init__() was called before"))
}

/// Why something could not be had, for reasons other than that others have it.
fn not_acquired(error: AcquireError) -> PyErr {
    let text = error.to_string();
    match error {
        AcquireError::Attach(error) => errors::opening(error),
        AcquireError::Corrupt(_) => errors::os_error(libc::EBADMSG, text),
        _ => errors::os_error(libc::EINVAL, text),
    }
}

fn not_released(error: ReleaseError) -> PyErr {
    let text = error.to_string();
    match error {
        ReleaseError::TooMany { .. } => PyValueError::new_err("semaphore or lock released too many times"),
        ReleaseError::Corrupt(_) => errors::os_error(libc::EBADMSG, text),
        _ => errors::os_error(libc::EINVAL, text),
    }
}

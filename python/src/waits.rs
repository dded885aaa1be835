//! Waiting without the interpreter's lock.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use ringway::Deadline;
use std::time::Duration;

/// An argument `block`: not only a `bool`. With the standard library `get(0)` and `acquire(1)` are usual.
pub(crate) fn is_true(block: &Bound<'_, PyAny>) -> PyResult<bool> {
    block.is_truthy()
}

/// Until when a call may wait, from Python's `block` and `timeout`: a negative time-out is none at all, `None` is for ever.
pub(crate) fn deadline(block: bool, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Deadline> {
    if !block {
        return Ok(Deadline::NOW);
    }
    let Some(timeout) = timeout else { return Ok(Deadline::NEVER) };
    let seconds: f64 = timeout.extract().map_err(|_| {
        let kind = timeout.get_type().qualname().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("timeout must be a number of seconds or None, not {kind}"))
    })?;
    if seconds.is_nan() {
        return Err(PyValueError::new_err("timeout must be a number of seconds, not nan"));
    }
    match Duration::try_from_secs_f64(seconds.max(0.0)) {
        Ok(timeout) => Ok(Deadline::after(timeout)),
        Err(_) => Ok(Deadline::NEVER), // centuries
    }
}

/// Makes `call`, which may wait, without the interpreter's lock. On the thread that runs signal handlers it wakes up for
/// them; if one raises, the call ends as if its time were up, and the error is that of the handler.
pub(crate) fn waiting<R: Send>(py: Python<'_>, call: impl FnOnce() -> R + Send) -> PyResult<R> {
    waiting_unless(py, || false, call)
}

/// The same, for a call whose result counts although a handler has raised.
pub(crate) fn waiting_also<R: Send>(py: Python<'_>, call: impl FnOnce() -> R + Send) -> (R, Option<PyErr>) {
    waiting_for(py, || false, call)
}

/// The same; and the call ends as if its time were up soon after `is_over` says so, too.
pub(crate) fn waiting_unless<R: Send>(
    py: Python<'_>,
    is_over: impl Fn() -> bool + Sync,
    call: impl FnOnce() -> R + Send,
) -> PyResult<R> {
    match waiting_for(py, is_over, call) {
        (result, None) => Ok(result),
        (_, Some(error)) => Err(error),
    }
}

fn waiting_for<R: Send>(
    py: Python<'_>,
    is_over: impl Fn() -> bool + Sync,
    call: impl FnOnce() -> R + Send,
) -> (R, Option<PyErr>) {
    let mut raised = None;
    let result = py.detach(|| {
        let runs_handlers = is_main_thread();
        let ask = || {
            if runs_handlers {
                // A call may wait more than once. What a handler has raised before is not forgotten.
                raised = raised.take().or_else(|| Python::attach(|py| py.check_signals()).err());
            }
            raised.is_some() || is_over()
        };
        ringway::interruptible(ask, call)
    });
    (result, raised)
}

/// Whether this is the thread that Python runs signal handlers on: the first of the process, also after a fork. Found out
/// once: two system calls are a good part of a short wait.
fn is_main_thread() -> bool {
    std::thread_local! {
        static KNOWN: core::cell::Cell<(u64, bool)> = const { core::cell::Cell::new((u64::MAX, false)) };
    }
    let generation = crate::forks::generation();
    let (known, is_main) = KNOWN.get();
    if known == generation {
        return is_main;
    }
    let is_main = is_first_thread();
    KNOWN.set((generation, is_main));
    is_main
}

fn is_first_thread() -> bool {
    // SAFETY: no preconditions.
    let thread = unsafe { libc::gettid() };
    thread.cast_unsigned() == std::process::id()
}

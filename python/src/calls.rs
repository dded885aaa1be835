//! Calls of what may run Python code.
//!
//! Before version 3.14, Python ends daemon threads at the interpreter's end by `pthread_exit`, the next time they ask for its
//! lock. That unwinds the stack; through frames of Rust it may not go, and the process would abort. PyO3 sees to threads that
//! come back from a wait. But code in Python lets go of the lock every few milliseconds, and asks for it again deep inside. So
//! whatever calls such code calls it from here, where the thread stays as it is until the process is gone, as it does in 3.14.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Only what is declared so can be unwound out of. The binding declares the same functions as ones that cannot; where the compiler sees
/// both in one place it believes that, and leaves out what is to be done on the way. So it is not told which functions these are.
mod raw {
    use core::hint::black_box;
    use core::mem::transmute;
    use pyo3::ffi::{self, PyObject};

    type Call = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
    type Next = unsafe extern "C-unwind" fn(*mut PyObject) -> *mut PyObject;

    /// `PyObject_Call`.
    #[inline]
    pub(super) fn call() -> Call {
        let call: unsafe extern "C" fn(_, _, _) -> _ = ffi::PyObject_Call;
        // SAFETY: the same arguments and result; a function of C has no say in whether it is unwound out of.
        black_box(unsafe { transmute::<unsafe extern "C" fn(_, _, _) -> *mut PyObject, Call>(call) })
    }

    /// `PyIter_Next`.
    #[inline]
    pub(super) fn next() -> Next {
        let next: unsafe extern "C" fn(_) -> _ = ffi::PyIter_Next;
        // SAFETY: as above.
        black_box(unsafe { transmute::<unsafe extern "C" fn(_) -> *mut PyObject, Next>(next) })
    }
}

/// Dropped when the thread is being ended, and never else.
struct Stay;

impl Drop for Stay {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Calls `callable`.
pub(crate) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error: Into<PyErr>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = callable.py();
    let arguments = arguments.into_pyobject(py).map_err(Into::into)?;
    let keywords = keywords.map_or(core::ptr::null_mut(), |keywords| keywords.as_ptr());
    // The last to be made, so the first to be dropped.
    let stay = Stay;
    // SAFETY: a callable, a tuple, and a dictionary or null, all of which are held here.
    let result = unsafe { raw::call()(callable.as_ptr(), arguments.as_ptr(), keywords) };
    core::mem::forget(stay);
    // SAFETY: a new reference, or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
}

/// Calls `callable` for somebody who was called by Python: what it returned, or null with an error set.
pub(crate) fn passed_on(
    callable: &Bound<'_, PyAny>,
    arguments: &Bound<'_, PyTuple>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> *mut ffi::PyObject {
    let keywords = keywords.map_or(core::ptr::null_mut(), |keywords| keywords.as_ptr());
    let stay = Stay;
    // SAFETY: a callable, a tuple, and a dictionary or null, all of which the caller holds.
    let result = unsafe { raw::call()(callable.as_ptr(), arguments.as_ptr(), keywords) };
    core::mem::forget(stay);
    result
}

/// The next item of an iterator.
pub(crate) fn next<'py>(iterator: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = iterator.py();
    let stay = Stay;
    // SAFETY: an iterator, which is held by who calls this.
    let item = unsafe { raw::next()(iterator.as_ptr()) };
    core::mem::forget(stay);
    // SAFETY: a new reference, or null, with or without an error set.
    let item = unsafe { Bound::from_owned_ptr_or_opt(py, item) };
    match item {
        Some(item) => Ok(Some(item)),
        // SAFETY: no preconditions.
        None if unsafe { !ffi::PyErr_Occurred().is_null() } => Err(PyErr::fetch(py)),
        None => Ok(None),
    }
}

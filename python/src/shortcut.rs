//! Shortcuts for the calls that are shorter than what prepares them.
//!
//! PyO3 looks at the arguments, at the class and at the thread before each call, which takes longer than a lock does. So some
//! methods get another way in: called without arguments, and where nothing is unusual, it does the work at once. In all other
//! cases it calls the method that PyO3 made. It looks the same to Python: name, signature and words are that one's.

use crate::calls;
use core::ffi::{CStr, c_char, c_int};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{Borrowed, PyClass};
use std::ffi::CString;
use std::sync::OnceLock;

/// A method that has a shortcut.
pub(crate) trait Shortcut {
    type Class: PyClass<Frozen = True> + Sync;
    const NAME: &'static CStr;
    /// Whether it does the same whatever its arguments are.
    const IGNORES_ARGUMENTS: bool = false;

    /// Does what is to be done, in the usual case. `None`: nothing was done.
    ///
    /// The interpreter's lock is held. Nothing of Python may be called, made or dropped, and nothing may wait.
    fn take(this: &Self::Class) -> Option<Answer>;

    /// The method itself.
    fn whole() -> &'static OnceLock<Py<PyAny>>;
}

/// What a shortcut returns.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    None,
    True,
}

impl Answer {
    fn object(self) -> *mut ffi::PyObject {
        let object = match self {
            // SAFETY: no preconditions; it lives as long as the interpreter.
            Answer::None => unsafe { ffi::Py_None() },
            // SAFETY: as above.
            Answer::True => unsafe { ffi::Py_True() },
        };
        // SAFETY: an object, and who calls a method holds the interpreter's lock.
        unsafe { ffi::Py_INCREF(object) };
        object
    }
}

/// What Python calls.
///
/// # Safety
/// As Python calls a method of the class: `slf` is one of its objects, `arguments` are `count` positional ones and as many more
/// as there are `names`, and the thread holds the interpreter's lock.
unsafe extern "C" fn enter<S: Shortcut>(
    slf: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the thread holds the interpreter's lock, as promised.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: an object, which the caller holds.
    let object = unsafe { Borrowed::from_ptr(py, slf) };
    if S::IGNORES_ARGUMENTS || count == 0 && names.is_null() {
        // SAFETY: of that class: Python has seen to it before it calls a method of the class.
        let this = unsafe { object.cast_unchecked::<S::Class>() };
        if let Some(answer) = S::take(this.get()) {
            return answer.object();
        }
    }
    // SAFETY: as promised.
    unsafe { call_whole::<S>(object, arguments, count, names) }
}

/// Calls the method itself.
///
/// # Safety
/// As for `enter`.
#[cold]
unsafe fn call_whole<S: Shortcut>(
    object: Borrowed<'_, '_, PyAny>,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let py = object.py();
    let (Some(whole), count) = (S::whole().get(), count.unsigned_abs()) else { return core::ptr::null_mut() };
    let argument = |at: usize| {
        // SAFETY: there are so many arguments, as promised.
        let place = unsafe { arguments.add(at) };
        // SAFETY: as above.
        let argument = unsafe { place.read() };
        // SAFETY: an object, which the caller holds.
        unsafe { Bound::from_borrowed_ptr(py, argument) }
    };
    let prepared = || {
        let all: Vec<_> = core::iter::once(object.to_owned()).chain((0..count).map(argument)).collect();
        // SAFETY: null or an object, which the caller holds.
        let Some(names) = (unsafe { Bound::from_borrowed_ptr_or_opt(py, names) }) else {
            return Ok((PyTuple::new(py, all)?, None));
        };
        let keywords = PyDict::new(py);
        for (name, at) in names.cast_into::<PyTuple>()?.iter().zip(count..) {
            keywords.set_item(name, argument(at))?;
        }
        Ok((PyTuple::new(py, all)?, Some(keywords)))
    };
    match prepared() {
        Ok((all, keywords)) => calls::passed_on(whole.bind(py), &all, keywords.as_ref()),
        Err(error) => {
            PyErr::restore(error, py);
            core::ptr::null_mut()
        }
    }
}

/// Puts the shortcut in the place of the method.
pub(crate) fn install<S: Shortcut>(py: Python<'_>) -> PyResult<()> {
    let class: Bound<'_, PyType> = py.get_type::<S::Class>();
    let name = &*S::NAME.to_string_lossy();
    let whole = class.getattr(name)?;
    let text = |what| whole.getattr(what)?.extract::<Option<String>>().map(Option::unwrap_or_default);
    let signature = text("__text_signature__")?;
    let words = text("__doc__")?;
    let doc = if signature.is_empty() { words } else { format!("{name}{signature}\n--\n\n{words}") };
    let doc = CString::new(doc).map_err(|_| PyValueError::new_err("a zero in a method's words"))?;
    S::whole().set(whole.unbind()).map_err(|_| PyValueError::new_err("installed before"))?;
    // For as long as the class lives, which is until the process ends.
    let definition: &'static mut ffi::PyMethodDef = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: S::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: enter::<S> },
        ml_flags: FLAGS,
        ml_doc: CString::into_raw(doc).cast_const().cast::<c_char>(),
    }));
    // SAFETY: a class, and a definition that is there for ever.
    let made = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), definition) };
    // SAFETY: a new reference, or null with an error set.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    class.setattr(name, made)
}

const FLAGS: c_int = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;

/// Declares shortcuts: `shortcuts!(Class { acquire(this) => …, … })` makes a function that installs all.
macro_rules! shortcuts {
    ($class:ty { $($(#[$ignores:ident])? $name:ident as $text:literal ($this:ident) => $take:expr),* $(,)? }) => {
        /// Puts the shortcuts in their places.
        pub(crate) fn install(py: pyo3::Python<'_>) -> pyo3::PyResult<()> {
            $({
                struct One;
                impl crate::shortcut::Shortcut for One {
                    type Class = $class;
                    const NAME: &'static core::ffi::CStr = $text;
                    $(const IGNORES_ARGUMENTS: bool = stringify!($ignores).len() > 0;)?

                    #[inline(always)]
                    fn take($this: &$class) -> Option<crate::shortcut::Answer> {
                        $take
                    }

                    fn whole() -> &'static std::sync::OnceLock<pyo3::Py<pyo3::PyAny>> {
                        static WHOLE: std::sync::OnceLock<pyo3::Py<pyo3::PyAny>> = std::sync::OnceLock::new();
                        &WHOLE
                    }
                }
                crate::shortcut::install::<One>(py)?;
            })*
            Ok(())
        }
    };
}

pub(crate) use shortcuts;

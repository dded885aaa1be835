//! What goes wrong, as Python says it.

use crate::calls::call;
use pyo3::exceptions::{
    PyFileExistsError, PyFileNotFoundError, PyMemoryError, PyOSError, PyPermissionError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use ringway::{Error, RecvError, SendError};

/// An attribute of a module, looked up once.
pub(crate) struct Imported {
    module: &'static str,
    name: &'static str,
    found: PyOnceLock<Py<PyAny>>,
}

impl Imported {
    pub(crate) const fn new(module: &'static str, name: &'static str) -> Self {
        Imported { module, name, found: PyOnceLock::new() }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let find = || Ok::<_, PyErr>(py.import(self.module)?.getattr(self.name)?.unbind());
        self.found.get_or_try_init(py, find).map(|found| found.bind(py))
    }

    /// It is a class of exceptions: one of these, with nothing to say.
    pub(crate) fn raise(&self, py: Python<'_>) -> PyErr {
        match self.get(py).and_then(|class| call(class, (), None)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }
}

pub(crate) static EMPTY: Imported = Imported::new("queue", "Empty");
pub(crate) static FULL: Imported = Imported::new("queue", "Full");
pub(crate) static SHUT_DOWN: Imported = Imported::new("ringway._compat", "ShutDown");

/// An `OSError` with a number, of the class that belongs to it.
pub(crate) fn os_error(errno: i32, text: impl ToString) -> PyErr {
    PyOSError::new_err((errno, text.to_string()))
}

/// Why an object could not be made or opened.
pub(crate) fn opening(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::NotFound { .. } => PyFileNotFoundError::new_err((libc::ENOENT, text)),
        Error::AlreadyExists { .. } => PyFileExistsError::new_err((libc::EEXIST, text)),
        Error::DirectoryNotOurs { .. } | Error::ForeignOwner { .. } | Error::TooPermissive { .. } => {
            PyPermissionError::new_err((libc::EACCES, text))
        }
        Error::InvalidName { .. }
        | Error::BadCapacity { .. }
        | Error::BadOption { .. }
        | Error::BadParticipants { .. } => PyValueError::new_err(text),
        Error::NoSpace { .. } | Error::ArenaFull { .. } => os_error(libc::ENOSPC, text),
        Error::TooManyParticipants { .. } => os_error(libc::EUSERS, text),
        Error::Corrupt(_) => os_error(libc::EBADMSG, text),
        Error::Os { source, .. } => os_error(source.raw_os_error().unwrap_or(libc::EIO), text),
        _ => os_error(libc::EINVAL, text),
    }
}

/// Why a message could not be sent, for reasons other than want of space or time.
pub(crate) fn sending(error: SendError) -> PyErr {
    let text = error.to_string();
    match error {
        SendError::TooLarge { .. } => PyValueError::new_err(text),
        SendError::NoSpace { .. } => os_error(libc::ENOSPC, text),
        SendError::Attach(error) => opening(error),
        SendError::Os(source) => os_error(source.raw_os_error().unwrap_or(libc::EIO), text),
        SendError::Corrupt(_) => os_error(libc::EBADMSG, text),
        _ => os_error(libc::EPIPE, text),
    }
}

/// Why a message could not be received, for reasons other than that there is none.
pub(crate) fn receiving(error: RecvError) -> PyErr {
    let text = error.to_string();
    match error {
        RecvError::NoMemory { .. } => PyMemoryError::new_err(text),
        RecvError::Attach(error) => opening(error),
        RecvError::Corrupt(_) | RecvError::Torn { .. } => os_error(libc::EBADMSG, text),
        _ => os_error(libc::EIO, text),
    }
}

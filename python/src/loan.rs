//! Memory of a queue to write a message in.

use core::ffi::c_int;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use ringway::queue::Uncommitted;
use ringway::{Deadline, SendError};
use std::sync::Mutex;

use crate::errors;
use crate::ring::Ring;
use crate::waits::{deadline, waiting};

/// A message that is being written where it will lie: `memoryview(loan)` is its bytes, `commit()` sends it. Dropped without,
/// it was never there.
#[pyclass(frozen, module = "ringway._ringway")]
pub(crate) struct Loan {
    start: NonNull<u8>,
    length: usize,
    state: Mutex<State>,
}

struct State {
    /// Taken by `commit`. Before the queue, which it borrows.
    loan: Option<ringway::queue::Loan<'static>>,
    /// How many views of it there are. It cannot be sent while somebody may write to it.
    views: usize,
    _queue: ManuallyDrop<Box<Ring>>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.loan = None;
        // SAFETY: the loan that borrowed it is gone, and nobody uses it after this.
        unsafe { ManuallyDrop::drop(&mut self._queue) };
    }
}

// SAFETY: the address is that of memory which the loan, that is one thread's as well as another's, keeps.
unsafe impl Send for Loan {}
// SAFETY: as above; the loan itself is behind a mutex.
unsafe impl Sync for Loan {}

impl Loan {
    pub(crate) fn new(
        queue: &Ring,
        reserve: impl FnOnce(&'static Ring) -> Option<PyResult<ringway::queue::Loan<'static>>>,
    ) -> Option<PyResult<Loan>> {
        let queue = Box::new(queue.clone());
        // SAFETY: the box stays where it is until the state that holds it is dropped, which drops the loan first.
        let lasting: &'static Ring = unsafe { &*core::ptr::from_ref(&*queue) };
        let mut loan = match reserve(lasting)? {
            Ok(loan) => loan,
            Err(error) => return Some(Err(error)),
        };
        let bytes: &mut [u8] = &mut loan;
        let (start, length) = (NonNull::from(&mut *bytes).cast(), bytes.len());
        let state = State { loan: Some(loan), views: 0, _queue: ManuallyDrop::new(queue) };
        Some(Ok(Loan { start, length, state: Mutex::new(state) }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[pymethods]
impl Loan {
    fn __len__(&self) -> usize {
        self.length
    }

    /// Sends the message, or the first `length` bytes of it. There may be memory for it and yet no place in the queue: that is
    /// waited for. After `queue.Full` the loan is as it was.
    #[pyo3(signature = (length=None, block=true, timeout=None))]
    fn commit(
        &self,
        py: Python<'_>,
        length: Option<usize>,
        block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let until = deadline(block, timeout)?;
        let mut state = self.state();
        if state.views > 0 {
            return Err(PyBufferError::new_err(
                "release the views of the loan first, or leave their `with` blocks",
            ));
        }
        if length.is_some_and(|length| length > self.length) {
            return Err(PyValueError::new_err(format!("the loan has {} bytes", self.length)));
        }
        let Some(mut loan) = state.loan.take() else {
            return Err(PyValueError::new_err("the loan was committed or given up"));
        };
        // Not locked while it waits: other threads that ask meanwhile are told that it is gone.
        drop(state);
        if let Some(length) = length {
            loan.truncate(length);
        }
        let (mut outcome, mut raised) = (loan.commit_deadline(Deadline::NOW), None);
        if until != Deadline::NOW
            && let Err(Uncommitted { loan, error: SendError::Full, .. }) = outcome
        {
            let mut waited = None;
            let call = || waited = Some(loan.commit_deadline(until));
            raised = waiting(py, call).err();
            outcome = waited.unwrap_or(Ok(()));
        }
        let Err(Uncommitted { loan, error, .. }) = outcome else { return raised.map_or(Ok(()), Err) };
        let is_for_later = raised.is_some() || matches!(error, SendError::Full | SendError::Timeout);
        if is_for_later {
            self.state().loan = Some(loan);
        }
        Err(match error {
            _ if raised.is_some() => raised.unwrap_or_else(|| errors::FULL.raise(py)),
            SendError::Full | SendError::Timeout => errors::FULL.raise(py),
            SendError::Closed => errors::SHUT_DOWN.raise(py),
            error => errors::sending(error),
        })
    }

    /// Gives the memory back unsent.
    fn release(&self) -> PyResult<()> {
        let mut state = self.state();
        if state.views > 0 {
            return Err(PyBufferError::new_err("release the views of the loan first"));
        }
        state.loan = None;
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Sends it, unless an error is on its way out or it was sent already.
    fn __exit__(
        &self,
        kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !kind.is_none() {
            return self.release();
        }
        if self.state().loan.is_some() { self.commit(kind.py(), None, true, None) } else { Ok(()) }
    }

    /// # Safety
    /// As Python calls it: `view` is a place for a buffer.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        let mut state = this.state();
        if state.loan.is_none() {
            return Err(PyBufferError::new_err("the loan was committed or given up"));
        }
        let length = this.length as ffi::Py_ssize_t;
        // SAFETY: `view` is a place for a buffer; `slf`, which it holds, keeps the bytes, and is not sent while it lives.
        let code = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), this.start.as_ptr().cast(), length, 0, flags)
        };
        if code != 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        state.views += 1;
        Ok(())
    }

    /// # Safety
    /// As Python calls it, once for each buffer it got.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.state().views -= 1;
    }
}

//! Memory of a queue to write a message in.

use core::ffi::c_int;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use ringway::SendError;
use std::sync::{Arc, Mutex};

use crate::backlog::{self, Backlog};
use crate::forks::generation;
use crate::queue::refused;
use crate::ring::Ring;
use crate::waits::{deadline, is_true, waiting_also};

/// A message that is being written where it will lie: `memoryview(loan)` is its bytes, `commit()` sends it. Dropped without,
/// it was never there.
#[pyclass(frozen, module = "ringway._ringway")]
pub(crate) struct Loan {
    start: NonNull<u8>,
    length: usize,
    /// Of the process it belongs to.
    generation: u64,
    /// What this process has put before.
    backlog: Arc<Backlog>,
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
        backlog: &Arc<Backlog>,
        reserve: impl FnOnce(&'static Ring) -> PyResult<ringway::queue::Loan<'static>>,
    ) -> PyResult<Loan> {
        let queue = Box::new(queue.clone());
        // SAFETY: the box stays where it is until the state that holds it is dropped, which drops the loan first.
        let lasting: &'static Ring = unsafe { &*core::ptr::from_ref(&*queue) };
        let mut loan = reserve(lasting)?;
        let bytes: &mut [u8] = &mut loan;
        let (start, length) = (NonNull::from(&mut *bytes).cast(), bytes.len());
        let state = State { loan: Some(loan), views: 0, _queue: ManuallyDrop::new(queue) };
        Ok(Loan {
            start,
            length,
            generation: generation(),
            backlog: Arc::clone(backlog),
            state: Mutex::new(state),
        })
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

    /// Sends the message, or the first `length` bytes of it, after all that this process has put before. If time or room run
    /// out, `queue.Full` is raised, and the loan is there to be committed later.
    #[pyo3(signature = (length=None, block=true, timeout=None))]
    fn commit(
        &self,
        py: Python<'_>,
        length: Option<usize>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let until = deadline(block, timeout)?;
        if self.backlog.len() > 0 && !backlog::until(py, until, |slice| self.backlog.flush(slice))? {
            return Err(refused(py, SendError::Timeout));
        }
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
        drop(state);
        if let Some(length) = length {
            loan.truncate(length);
        }
        // Not under the lock: others look meanwhile. Whatever goes wrong, the loan comes back, unless it was sent.
        let commit = || loan.commit_deadline(until).map_err(|kept| (kept.loan, kept.error));
        let (sent, raised) = waiting_also(py, commit);
        let Err((loan, error)) = sent else { return raised.map_or(Ok(()), Err) };
        self.state().loan = Some(loan);
        Err(raised.unwrap_or_else(|| refused(py, error)))
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
        if this.generation != generation() {
            return Err(PyBufferError::new_err("the loan is that of the process that forked this one"));
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

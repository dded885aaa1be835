//! Errors of what was taken together with something else.

use crate::forks::generation;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Why something that was taken could not be handed out, when what was taken before it was: for the next call that takes something.
#[derive(Default)]
pub(super) struct Belated {
    is_some: AtomicBool,
    /// With the process that it happened in.
    error: Mutex<Option<(u64, PyErr)>>,
}

impl Belated {
    pub(super) fn keep(&self, error: PyErr) {
        let former = self.error.lock().unwrap_or_else(PoisonError::into_inner).replace((generation(), error));
        self.is_some.store(true, Ordering::Relaxed);
        // Not under the lock: with an error go the objects its traceback holds, and those may do anything.
        drop(former);
    }

    /// Forgets it: nothing is to be taken any more.
    pub(super) fn forget(&self) {
        drop(self.take());
    }

    /// Raises it, if there is one.
    #[inline]
    pub(super) fn check(&self) -> PyResult<()> {
        if self.is_some.load(Ordering::Relaxed) { self.take().map_or(Ok(()), Err) } else { Ok(()) }
    }

    #[cold]
    fn take(&self) -> Option<PyErr> {
        self.is_some.store(false, Ordering::Relaxed);
        let kept = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A forked child's parent hears of it.
        kept.filter(|&(of, _)| of == generation()).map(|(_, error)| error)
    }
}

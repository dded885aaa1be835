//! Memory of a received message that Python objects hold on to.

use core::ffi::c_int;
use core::ops::Range;
use core::ptr::NonNull;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use ringway::queue::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::forks::generation;
use crate::pins;

/// A message that objects of Python hold; its memory goes back to the queue with the last of them, here and in children that were
/// forked meanwhile.
pub(crate) struct Held(Arc<Memory>);

/// A message, and where it is.
pub(crate) struct Memory {
    start: NonNull<u8>,
    length: usize,
    /// Of the process that received it.
    generation: u64,
    /// Its place among all that this process holds.
    place: usize,
    /// How many [`Held`] there are of it. Changed by threads that hold the interpreter's lock.
    holders: AtomicUsize,
    _message: Message<'static>,
}

// SAFETY: a message is one thread's as well as another's; the address is that of its bytes.
unsafe impl Send for Memory {}
// SAFETY: only the bytes are shared, by those who got views of them; Python's objects see to who writes when.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(message: Message<'static>, place: usize) -> Arc<Memory> {
        let (start, generation) = (NonNull::dangling(), generation());
        let holders = AtomicUsize::new(1);
        let mut memory = Arc::new(Memory { start, length: 0, generation, place, holders, _message: message });
        // A message in its chunk does not move with the guard; a short one, which lies in the guard itself, does: so the
        // address is taken when the guard has its place.
        if let Some(memory) = Arc::get_mut(&mut memory) {
            let bytes: &[u8] = &memory._message;
            memory.length = bytes.len();
            memory.start = NonNull::from(bytes).cast();
        }
        memory
    }
}

impl Clone for Held {
    fn clone(&self) -> Held {
        // Relaxed: who counts up has one, and all are counted under the interpreter's lock.
        self.0.holders.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(&self.0))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Relaxed: as above. The bytes are ordered by the reference count of the message, which goes down after this.
        if self.0.holders.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        if self.0.generation == generation() {
            pins::remove(self.0.place);
        } else {
            pins::inherited_less();
        }
    }
}

impl Held {
    /// Holds on to the message, unless receivers hold so many already that others might wait for theirs.
    #[inline]
    #[expect(clippy::result_large_err, reason = "it is the message, not an error")]
    pub(crate) fn try_new(message: Message<'_>) -> Result<Held, Message<'_>> {
        pins::sweep();
        if !message.can_be_held() {
            return Err(message);
        }
        let message = message.detach();
        Ok(Held(pins::add(|place| Memory::new(message, place))))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are there for as long as this, or a clone of it, lives. Writers are views that were made of
        // other ranges, or come after this one's use: the unpickler makes them.
        unsafe { core::slice::from_raw_parts(self.0.start.as_ptr(), self.0.length) }
    }
}

/// A part of a received message, where it lies. It is this process's alone until the last object that uses it is gone.
#[pyclass(frozen, module = "ringway._ringway")]
pub(crate) struct Lease {
    held: Held,
    range: Range<usize>,
    read_only: bool,
}

impl Lease {
    pub(crate) fn of(held: &Held, range: Range<usize>, read_only: bool) -> Lease {
        Lease { held: held.clone(), range, read_only }
    }
}

#[pymethods]
impl Lease {
    fn __len__(&self) -> usize {
        self.range.len()
    }

    /// # Safety
    /// As Python calls it: `view` is a place for a buffer.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let lease = slf.get();
        if lease.read_only && flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("the buffer was sent as a read-only one"));
        }
        // SAFETY: the range lies in the message.
        let start = unsafe { lease.held.0.start.add(lease.range.start) };
        let length = lease.range.len() as ffi::Py_ssize_t;
        let read_only = c_int::from(lease.read_only);
        // SAFETY: `view` is a place for a buffer; `slf`, which it holds, keeps the bytes.
        let code = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.as_ptr().cast(), length, read_only, flags)
        };
        if code == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

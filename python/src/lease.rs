//! Memory of a received message that Python objects hold on to.

use core::ffi::c_int;
use core::ops::Range;
use core::ptr::NonNull;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use ringway::queue::Message;
use std::sync::Arc;

use crate::forks::generation;
use crate::pins;

/// A message that objects of Python hold; its memory goes back to the queue with the last of them, here and in children that were
/// forked meanwhile.
#[derive(Clone)]
pub(crate) struct Held(Arc<Shared>);

struct Shared {
    /// Among all that this process has held.
    number: u64,
    /// Of the process that received it.
    generation: u64,
    memory: Arc<Memory>,
}

/// A message, and where it is.
pub(crate) struct Memory {
    start: NonNull<u8>,
    length: usize,
    _message: Message<'static>,
}

// SAFETY: a message is one thread's as well as another's; the address is that of its bytes.
unsafe impl Send for Memory {}
// SAFETY: only the bytes are shared, by those who got views of them; Python's objects see to who writes when.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(message: Message<'static>) -> Arc<Memory> {
        let mut memory = Arc::new(Memory { start: NonNull::dangling(), length: 0, _message: message });
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

impl Drop for Shared {
    fn drop(&mut self) {
        if self.generation == generation() {
            pins::remove(self.number);
        } else {
            pins::inherited_less();
        }
    }
}

impl Held {
    /// Holds on to the message, unless receivers hold so many already that others might wait for theirs.
    pub(crate) fn try_new(message: Message<'_>) -> Result<Held, Message<'_>> {
        pins::sweep();
        if !message.can_be_held() {
            return Err(message);
        }
        let memory = Memory::new(message.detach());
        Ok(Held(Arc::new(Shared { number: pins::add(&memory), generation: generation(), memory })))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are there for as long as this, or a clone of it, lives. Writers are views that were made of
        // other ranges, or come after this one's use: the unpickler makes them.
        unsafe { core::slice::from_raw_parts(self.0.memory.start.as_ptr(), self.0.memory.length) }
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
        let start = unsafe { lease.held.0.memory.start.add(lease.range.start) };
        let length = lease.range.len() as ffi::Py_ssize_t;
        let read_only = c_int::from(lease.read_only);
        // SAFETY: `view` is a place for a buffer; `slf`, which it holds, keeps the bytes.
        let code = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.as_ptr().cast(), length, read_only, flags)
        };
        if code == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

//! Memory of a received message that Python objects hold on to.

use core::ffi::c_int;
use core::ops::Range;
use core::ptr::NonNull;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use ringway::queue::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::backlog::generation;
use crate::pins;

/// All that this process holds, by number. Locked for moments only, by threads that hold the interpreter's lock: so never at a
/// fork.
static ALL: Mutex<All> = Mutex::new(All { next: 0, held: BTreeMap::new() });

struct All {
    next: u64,
    held: BTreeMap<u64, Weak<Shared>>,
}

fn registry() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that this process holds.
pub(crate) fn all() -> Vec<Held> {
    registry().held.values().filter_map(Weak::upgrade).map(Held).collect()
}

/// In a forked child: this is not its own any more. How much there is.
pub(crate) fn forget_all() -> usize {
    let held = core::mem::take(&mut registry().held);
    held.values().filter(|shared| shared.strong_count() > 0).count()
}

/// A message; its memory goes back to the queue with the last who holds it.
#[derive(Clone)]
pub(crate) struct Held(Arc<Shared>);

struct Shared {
    /// Among all, of the process that received it.
    number: u64,
    generation: u64,
    start: NonNull<u8>,
    length: usize,
    _message: Message<'static>,
}

// SAFETY: a message is one thread's as well as another's; the address is that of its bytes.
unsafe impl Send for Shared {}
// SAFETY: only the bytes are shared, by those who got views of them; Python's objects see to who writes when.
unsafe impl Sync for Shared {}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.generation == generation() {
            registry().held.remove(&self.number);
        } else {
            pins::inherited_less();
        }
    }
}

impl Held {
    pub(crate) fn new(message: Message<'static>) -> Held {
        // A message in its chunk does not move with the guard; a short one, which lies in the guard itself, does: so the
        // address is taken when the guard has its place.
        pins::sweep();
        let mut registry = registry();
        let number = registry.next;
        registry.next += 1;
        let (start, generation) = (NonNull::dangling(), generation());
        let mut shared = Arc::new(Shared { number, generation, start, length: 0, _message: message });
        if let Some(shared) = Arc::get_mut(&mut shared) {
            let bytes: &[u8] = &shared._message;
            shared.length = bytes.len();
            shared.start = NonNull::from(bytes).cast();
        }
        registry.held.insert(number, Arc::downgrade(&shared));
        Held(shared)
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

//! Bytes of Python objects, to be sent and to be received into.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

/// The buffer of an object, or what `memoryview` says of one that has none.
fn view(data: &Bound<'_, PyAny>) -> PyResult<PyUntypedBuffer> {
    // A view says best why there is none: `data` has no bytes, or it was released.
    let buffer = match PyUntypedBuffer::get(data) {
        Ok(buffer) => buffer,
        Err(error) => return Err(PyMemoryView::from(data).err().unwrap_or(error)),
    };
    if !buffer.is_c_contiguous() {
        return Err(PyBufferError::new_err("memoryview: underlying buffer is not C-contiguous"));
    }
    Ok(buffer)
}

/// Calls `use_bytes` with the bytes of an object. They stay as they are even if other threads of Python run meanwhile.
pub(super) fn with_bytes<R>(
    data: &Bound<'_, PyAny>,
    use_bytes: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    if let Ok(bytes) = data.cast_exact::<PyBytes>() {
        return use_bytes(bytes.as_bytes());
    }
    let buffer = view(data)?;
    let (start, length) = (buffer.buf_ptr().cast::<u8>(), buffer.len_bytes());
    if length == 0 {
        return use_bytes(&[]); // the address of nothing may be null
    }
    if is_of_bytes(data) {
        // SAFETY: so many bytes are there while the buffer is held, and no `bytes` object is ever written to.
        return use_bytes(unsafe { core::slice::from_raw_parts(start, length) });
    }
    let mut copy = Vec::with_capacity(length);
    // SAFETY: so many bytes are there while the buffer is held, and so many have place in the copy.
    unsafe { core::ptr::copy_nonoverlapping(start, copy.as_mut_ptr(), length) };
    // SAFETY: they were just copied there.
    unsafe { copy.set_len(length) };
    use_bytes(&copy)
}

/// Whether it is a view of a `bytes` object.
fn is_of_bytes(data: &Bound<'_, PyAny>) -> bool {
    let Ok(view) = data.cast::<PyMemoryView>() else { return false };
    view.getattr("obj").is_ok_and(|object| object.cast_exact::<PyBytes>().is_ok())
}

/// Where a message is to be received.
pub(super) struct Place(PyUntypedBuffer);

impl Place {
    pub(super) fn of(data: &Bound<'_, PyAny>) -> PyResult<Place> {
        view(data).map(Place)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len_bytes()
    }

    /// Writes `bytes` there, from byte `offset` on. There is room for so many.
    pub(super) fn write(&self, _py: Python<'_>, offset: usize, bytes: &[u8]) -> PyResult<()> {
        if self.0.readonly() {
            return Err(PyTypeError::new_err(
                "readinto() argument must be read-write bytes-like object, not memoryview",
            ));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let room = self.len().saturating_sub(offset);
        let count = bytes.len().min(room);
        // SAFETY: the offset is within the buffer, since there is something to be written behind it.
        let start = unsafe { self.0.buf_ptr().cast::<u8>().add(offset.min(self.len())) };
        // SAFETY: the buffer has so many bytes from there on, may be written to, and is held. Others write to it only with the
        // interpreter's lock, which we have. Its bytes are not those of the message, which lie in memory of our own.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), start, count) };
        Ok(())
    }
}

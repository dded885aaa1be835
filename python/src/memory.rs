//! Shared bytes for `ctypes` objects: `RawValue`, `RawArray`, `Value`, `Array`.

use crate::errors;
use crate::shared::made_and_opened;
use core::ffi::c_int;
use core::ptr::NonNull;
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use ringway::Memory as Shared;
use std::any::Any;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering,
};

/// Bytes in shared memory, with Python's buffer protocol.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct Memory(OnceLock<Inner>);

made_and_opened!(Memory, Shared);

struct Inner {
    start: NonNull<u8>,
    length: usize,
    fd: i32,
    place: Option<String>,
    /// Keeps the bytes there.
    _keeper: Box<dyn Any + Send + Sync>,
}

// SAFETY: the address is that of memory which the keeper keeps; how it is accessed is said where that is done.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// What is longer has a segment of its own.
const LONGEST_IN_ARENA: usize = 60 << 10;

impl Inner {
    /// The first `length` bytes of it.
    fn of(memory: Shared, length: usize) -> Inner {
        let (fd, place) = Memory::whereabouts(&memory);
        Inner { start: memory.as_ptr(), length, fd, place, _keeper: Box::new(memory) }
    }

    /// A named cell that other programs have as a `Value<T>` or, with so many elements, as an `Array<T>`.
    fn cell(name: &str, code: &str, count: Option<usize>) -> PyResult<Inner> {
        macro_rules! open {
            ($($code:literal: $type:ty),*) => {
                match code {
                    $($code => match count {
                        None => {
                            let cell = ringway::Value::<$type>::open_or_create(name, Default::default())
                                .map_err(errors::opening)?;
                            let (fd, start) = (cell.as_fd().as_raw_fd(), cell.as_ptr());
                            (fd, start.cast::<u8>(), size_of::<$type>(), Box::new(cell) as Box<dyn Any + Send + Sync>)
                        }
                        Some(count) => {
                            let cells = ringway::Array::<$type>::open_or_create(name, count)
                                .map_err(errors::opening)?;
                            let (fd, start) = (cells.as_fd().as_raw_fd(), cells.as_ptr());
                            (fd, start.cast::<u8>(), count * size_of::<$type>(), Box::new(cells) as _)
                        }
                    },)*
                    _ => return Err(PyTypeError::new_err("named values are numbers")),
                }
            };
        }
        let (fd, start, length, keeper) = open!(
            "i1": i8, "u1": u8, "i2": i16, "u2": u16, "i4": i32, "u4": u32, "i8": i64, "u8": u64, "f4": f32, "f8": f64
        );
        let Some(start) = NonNull::new(start) else { unreachable!("a cell is somewhere") };
        Ok(Inner { start, length, fd, place: None, _keeper: keeper })
    }
}

impl Memory {
    fn inner(&self) -> PyResult<&Inner> {
        self.0.get().ok_or_else(|| PyRuntimeError::new_err("the memory was not made"))
    }

    fn fill(&self, inner: Inner) -> PyResult<()> {
        self.0.set(inner).map_err(|_| PyRuntimeError::new_err("the memory was made before"))
    }

    /// The place of a number of `size` bytes.
    fn number(&self, at: usize, size: usize) -> PyResult<NonNull<u8>> {
        let inner = self.inner()?;
        let is_inside = at.checked_add(size).is_some_and(|end| end <= inner.length);
        if !is_inside || !at.is_multiple_of(size) {
            return Err(PyIndexError::new_err("invalid index"));
        }
        // SAFETY: inside, as was just checked.
        Ok(unsafe { inner.start.add(at) })
    }
}

/// What is done to a number.
enum Act<T> {
    Add(T),
    Swap(T),
    Exchange(T, T),
}

fn act<'py, T>(name: &str, new: &Bound<'py, PyAny>, expected: Option<&Bound<'py, PyAny>>) -> PyResult<Act<T>>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    let number = |value: &Bound<'py, PyAny>| {
        value.extract::<T>().map_err(|error| {
            let error: PyErr = error.into();
            if error.is_instance_of::<PyOverflowError>(value.py()) {
                PyOverflowError::new_err("the number does not fit")
            } else {
                error
            }
        })
    };
    Ok(match (name, expected) {
        ("add", _) => Act::Add(number(new)?),
        ("swap", _) => Act::Swap(number(new)?),
        (_, Some(expected)) => Act::Exchange(number(expected)?, number(new)?),
        _ => return Err(PyTypeError::new_err("compare_exchange() takes what is expected and what is new")),
    })
}

#[pymethods]
impl Memory {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Memory {
        Memory(OnceLock::new())
    }

    /// `length` new bytes, all of them zeros.
    fn _make(&self, length: usize) -> PyResult<()> {
        let options = Shared::options().capacity(length.max(1));
        let memory = if length <= LONGEST_IN_ARENA {
            Memory::made(options, None)?
        } else {
            options.anonymous().map_err(errors::opening)?
        };
        self.fill(Inner::of(memory, length))
    }

    /// The number, or the `count` of them, of that name.
    #[pyo3(signature = (name, code, count=None))]
    fn _name(&self, name: &str, code: &str, count: Option<usize>) -> PyResult<()> {
        self.fill(Inner::cell(name, code, count)?)
    }

    #[pyo3(signature = (fd, place, length))]
    fn _adopt(&self, fd: i32, place: Option<&str>, length: usize) -> PyResult<()> {
        let memory = Memory::opened(fd, place)?;
        if length > memory.len() {
            return Err(errors::os_error(
                libc::EINVAL,
                format!("there are {} bytes, not {length}", memory.len()),
            ));
        }
        self.fill(Inner::of(memory, length))
    }

    fn _tell(&self) -> PyResult<(i32, Option<String>, usize)> {
        let inner = self.inner()?;
        Ok((inner.fd, inner.place.clone(), inner.length))
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.inner()?.length)
    }

    /// Does something to the number at `at`, at once for all processes; returns what it was. `name` is "add", "swap" or
    /// "exchange", the last only if it is what is `expected`.
    #[pyo3(signature = (code, at, name, new, expected=None))]
    fn _atomic<'py>(
        &self,
        py: Python<'py>,
        code: &str,
        at: usize,
        name: &str,
        new: &Bound<'py, PyAny>,
        expected: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        macro_rules! integer {
            ($type:ty, $atomic:ty) => {{
                let place = self.number(at, size_of::<$type>())?;
                // SAFETY: a number inside the memory, which lies at a multiple of 64, at a multiple of its size.
                let cell = unsafe { <$atomic>::from_ptr(place.as_ptr().cast()) };
                let was = match act::<$type>(name, new, expected)? {
                    Act::Add(by) => cell.fetch_add(by, Ordering::AcqRel),
                    Act::Swap(new) => cell.swap(new, Ordering::AcqRel),
                    Act::Exchange(expected, new) => {
                        match cell.compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire) {
                            Ok(was) | Err(was) => was,
                        }
                    }
                };
                Ok(was.into_pyobject(py)?.into_any())
            }};
        }
        macro_rules! float {
            ($type:ty, $atomic:ty) => {{
                let place = self.number(at, size_of::<$type>())?;
                // SAFETY: as above.
                let cell = unsafe { <$atomic>::from_ptr(place.as_ptr().cast()) };
                let act = act::<$type>(name, new, expected)?;
                let change = |bits| {
                    let now = <$type>::from_bits(bits);
                    Some(match act {
                        Act::Add(by) => (now + by).to_bits(),
                        Act::Swap(new) => new.to_bits(),
                        Act::Exchange(expected, new) if now == expected => new.to_bits(),
                        Act::Exchange(..) => return None,
                    })
                };
                let was = match cell.fetch_update(Ordering::AcqRel, Ordering::Acquire, change) {
                    Ok(was) | Err(was) => <$type>::from_bits(was),
                };
                Ok(was.into_pyobject(py)?.into_any())
            }};
        }
        match code {
            "i1" => integer!(i8, AtomicI8),
            "u1" => integer!(u8, AtomicU8),
            "i2" => integer!(i16, AtomicI16),
            "u2" => integer!(u16, AtomicU16),
            "i4" => integer!(i32, AtomicI32),
            "u4" => integer!(u32, AtomicU32),
            "i8" => integer!(i64, AtomicI64),
            "u8" => integer!(u64, AtomicU64),
            "f4" => float!(f32, AtomicU32),
            "f8" => float!(f64, AtomicU64),
            _ => Err(PyTypeError::new_err("only numbers of up to eight bytes change atomically")),
        }
    }

    /// # Safety
    /// As Python calls it: `view` is a place for a buffer.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let inner = slf.get().inner()?;
        let length = inner.length as ffi::Py_ssize_t;
        // SAFETY: `view` is a place for a buffer; `slf`, which it holds, keeps the bytes.
        let code = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), inner.start.as_ptr().cast(), length, 0, flags)
        };
        if code == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

//! `SharedDict`: the calls of `ringway/shared_dict.py`.
//!
//! Readers take no lock. Who writes takes the dictionary's lock if it is free; if it is not, the whole operation is done without
//! the interpreter's lock. So nobody waits for the dictionary's lock while he has the interpreter's, and, but for sections
//! (`section`), nobody waits for the interpreter's while he has the dictionary's.

mod keys;
mod section;

use crate::codec::{Outgoing, Received, decode, encode};
use crate::errors;
use crate::queue::with_bytes;
use crate::waits::{deadline, waiting};
use core::cell::Cell;
use keys::Key;
use pyo3::exceptions::{PyKeyError, PyMemoryError, PyRuntimeError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyTuple};
use ringway::{Deadline, Map, MapError, MapGuard};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What is inside a `ringway.shared_dict.SharedDict`.
///
/// Making it and opening it are two things, so that subclasses may have constructors of any form.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct Dict {
    map: OnceLock<Arc<Map>>,
    /// Whether this handle has found the lock left by a process that died with it.
    is_recovered: AtomicBool,
}

/// Longer jobs are done without the interpreter's lock.
const MANY: usize = 64;

/// What a scratch buffer may keep.
const KEPT: usize = 1 << 16;

/// So often `pop` tries without the lock.
const TURNS: u32 = 8;

std::thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why nothing was read or written, as Python says it.
#[cold]
fn refused(error: MapError) -> PyErr {
    match error {
        MapError::Full { items } => {
            PyMemoryError::new_err(format!("the dictionary has {items} items, and cannot have more"))
        }
        MapError::NoMemory { needed, free } => PyMemoryError::new_err(format!(
            "the dictionary has no room for {needed} bytes of a key and a value: {free} are free"
        )),
        MapError::NoMemoryForCopy { .. } => PyMemoryError::new_err(error.to_string()),
        MapError::Attach(error) => errors::opening(error),
        MapError::Corrupt(_) => errors::os_error(libc::EBADMSG, error),
        _ => PyTimeoutError::new_err("timed out waiting for the lock of the dictionary"),
    }
}

#[cold]
fn no_such(key: &Bound<'_, PyAny>) -> PyErr {
    PyKeyError::new_err((key.clone().unbind(),))
}

/// Calls `send` with a message in one piece.
fn with_one_piece<R>(out: &Outgoing<'_>, send: impl FnOnce(&[u8]) -> PyResult<R>) -> PyResult<R> {
    match out.in_one_piece() {
        Some(message) => send(message),
        None => send(&out.to_vec()),
    }
}

fn value_of<'py>(py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    decode(py, Received::Borrowed(value))
}

/// Leaves the section when it goes, also over an error.
struct Inside<'a>(&'a Arc<Map>);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        section::leave(self.0);
    }
}

impl Dict {
    #[inline]
    fn map(&self) -> PyResult<&Arc<Map>> {
        self.map.get().ok_or_else(|| PyRuntimeError::new_err("SharedDict.__init__() was not called"))
    }

    fn fill(&self, opened: Result<Map, ringway::Error>) -> PyResult<()> {
        let map = Arc::new(opened.map_err(errors::opening)?);
        self.map.set(map).map_err(|_| PyRuntimeError::new_err("the dictionary is open already"))
    }

    fn note(&self, inherited: bool) {
        if inherited {
            self.is_recovered.store(true, Ordering::Relaxed);
        }
    }

    /// Calls `act` with the lock held. `act` must not need the interpreter's lock.
    #[inline]
    fn write<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&Map) -> Result<R, MapError> + Send,
    ) -> PyResult<R> {
        let map = self.map()?;
        let act = |guard: MapGuard<'_>| {
            self.note(guard.was_inherited());
            act(&guard)
        };
        match map.try_lock() {
            Ok(guard) => act(guard),
            Err(MapError::WouldBlock) => waiting(py, || map.lock().and_then(act))?,
            Err(error) => Err(error),
        }
        .map_err(refused)
    }

    /// The same for what takes long: others of this process go on meanwhile.
    fn write_long<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&Map) -> Result<R, MapError> + Send,
    ) -> PyResult<R> {
        let map = self.map()?;
        let act = |guard: MapGuard<'_>| {
            self.note(guard.was_inherited());
            act(&guard)
        };
        waiting(py, || map.lock().and_then(act))?.map_err(refused)
    }

    /// What `read` makes of the value of `key`, if there is one.
    #[inline]
    fn read<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> PyResult<R>) -> PyResult<Option<R>> {
        let map = self.map()?;
        // Taken out: the unpickler may run anything, which may read too.
        let mut scratch = SCRATCH.take();
        let found = map.get(key, &mut scratch).map_err(refused);
        let result = found.and_then(|found| found.then(|| read(&scratch)).transpose());
        if scratch.capacity() <= KEPT {
            SCRATCH.set(scratch);
        }
        result
    }

    #[inline]
    fn find<'py>(&self, py: Python<'py>, key: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.read(key, |value| value_of(py, value))
    }

    #[inline]
    fn set(&self, key: &Key<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        encode(value, |out| with_one_piece(&out, |bytes| self.set_raw(value.py(), key, bytes)))
    }

    #[inline]
    fn set_raw(&self, py: Python<'_>, key: &Key<'_>, value: &[u8]) -> PyResult<()> {
        self.write(py, |map| map.insert(key, value).map(drop))
    }

    /// Removes `key`, and returns what it had: only if that can be made an object of, so that nothing is lost.
    fn take<'py>(&self, py: Python<'py>, key: &Key<'_>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut inside = None;
        for turn in 0.. {
            if turn == TURNS {
                // Its value changes faster than it can be unpickled.
                let map = self.map()?;
                self.note(section::enter(py, map, Deadline::NEVER)?);
                inside = Some(Inside(map));
            }
            let is_inside = inside.is_some();
            let read = self.read(key, |value| Ok((value_of(py, value)?, value.to_vec())))?;
            let Some((object, seen)) = read else { break };
            let is_gone = self.write(py, |map| {
                let mut now = Vec::new();
                // The same bytes are the same value. Inside, only the unpickler itself can have set another one.
                Ok(map.get(key, &mut now)? && (is_inside || now == seen) && map.remove(key, None)?)
            })?;
            if is_gone || is_inside {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// What `read` makes of all of it.
    fn all<R: Send>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&Map) -> Result<R, MapError> + Send,
    ) -> PyResult<R> {
        let map = self.map()?;
        let read = || read(map);
        let items = if map.len().map_err(refused)? > MANY { waiting(py, read)? } else { read() };
        items.map_err(refused)
    }
}

/// The options of a new one.
fn options(max_items: usize, max_bytes: u64, mode: Option<u32>) -> ringway::Options<Map> {
    let options = Map::options().max_items(max_items).max_bytes(max_bytes);
    match mode {
        Some(mode) => options.mode(mode),
        None => options,
    }
}

#[pymethods]
impl Dict {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Dict {
        Dict { map: OnceLock::new(), is_recovered: AtomicBool::new(false) }
    }

    /// Opens a new one.
    fn _make(&self, max_items: usize, max_bytes: u64) -> PyResult<()> {
        self.fill(options(max_items, max_bytes, None).anonymous())
    }

    /// Opens the one behind a descriptor, which this call takes over.
    fn _adopt(&self, fd: i32) -> PyResult<()> {
        // SAFETY: whoever calls this gives the descriptor away.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // It came from a process that we are a child of, or that we have let in with our key.
        self.fill(Map::options().trusted(true).from_fd(fd))
    }

    /// Opens the one of that name as it is.
    fn _attach(&self, name: &str) -> PyResult<()> {
        self.fill(Map::open(name))
    }

    /// Makes the one of that name; if it `may_exist`, opens it if it has the same numbers.
    #[pyo3(signature = (name, may_exist, max_items, max_bytes, mode=None))]
    fn _name(
        &self,
        name: &str,
        may_exist: bool,
        max_items: usize,
        max_bytes: u64,
        mode: Option<u32>,
    ) -> PyResult<()> {
        let options = options(max_items, max_bytes, mode);
        self.fill(if may_exist { options.open_or_create(name) } else { options.create(name) })
    }

    fn __len__(&self) -> PyResult<usize> {
        self.map()?.len().map_err(refused)
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.map()?.contains(&Key::of(key)?).map_err(refused)
    }

    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.find(key.py(), &Key::of(key)?)?.ok_or_else(|| no_such(key))
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set(&Key::of(key)?, value)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = Key::of(key)?;
        let was_there = self.write(key.py(), |map| map.remove(&name, None))?;
        if was_there { Ok(()) } else { Err(no_such(key)) }
    }

    /// The keys of one moment.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self._keys(py)?.try_iter()
    }

    /// A copy of the value of `key`; without one, `default`.
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.find(key.py(), &Key::of(key)?)?.or(default))
    }

    /// Removes `key` and returns its value; without one, the default if there is one, else `KeyError`.
    #[pyo3(signature = (key, /, *default))]
    fn pop<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if default.len() > 1 {
            let text = format!("pop expected at most 2 arguments, got {}", 1 + default.len());
            return Err(pyo3::exceptions::PyTypeError::new_err(text));
        }
        match self.take(key.py(), &Key::of(key)?)? {
            Some(value) => Ok(value),
            None => default.get_item(0).map_err(|_| no_such(key)),
        }
    }

    /// Removes the item that was inserted last, and returns its key and its value. Looks at all items for that: the more there
    /// are, the longer it takes, and others wait who want to write.
    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let Some((key, value)) = self.write_long(py, |map| map.pop_last())? else {
            return Err(PyKeyError::new_err("popitem(): dictionary is empty"));
        };
        let decoded = keys::decode(py, &key).and_then(|object| Ok((object, value_of(py, &value)?)));
        if decoded.is_err() {
            // It stays, and is the last one again; unless somebody has set it anew meanwhile.
            self.write(py, |map| map.insert_if_absent(&key, &value))?;
        }
        decoded
    }

    /// The value of `key`; without one, it is `default` from now on.
    #[pyo3(signature = (key, default=None, /))]
    fn setdefault<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, name) = (key.py(), Key::of(key)?);
        if let Some(value) = self.find(py, &name)? {
            return Ok(value);
        }
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        let found = encode(&default, |out| {
            with_one_piece(&out, |new| {
                self.write(py, |map| {
                    let mut old = Vec::new();
                    if map.get(&name, &mut old)? {
                        return Ok(Some(old));
                    }
                    map.insert(&name, new)?;
                    Ok(None)
                })
            })
        })?;
        match found {
            Some(value) => value_of(py, &value),
            None => Ok(default),
        }
    }

    /// Removes all items, at one moment.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.write(py, Map::clear)
    }

    /// All items of one moment as a plain dictionary, in the order in which they were inserted.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let copy = PyDict::new(py);
        for (key, value) in self.all(py, Map::snapshot)? {
            copy.set_item(keys::decode(py, &key)?, value_of(py, &value)?)?;
        }
        Ok(copy)
    }

    /// All keys of one moment, in that order.
    fn _keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let found = self.all(py, Map::keys)?;
        PyList::new(py, found.iter().map(|key| keys::decode(py, key)).collect::<PyResult<Vec<_>>>()?)
    }

    /// Sets all of these, pairs of a key and a value, with nobody else writing between them. What can be no key or no value
    /// is found out before; what does not fit is not, and those before it are set.
    fn _set_all(&self, py: Python<'_>, pairs: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut items = Vec::new();
        for pair in pairs.try_iter()? {
            let (key, value) = pair?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            items.push((Key::of(&key)?.to_vec(), encode(&value, |out| Ok(out.to_vec()))?));
        }
        let set = |map: &Map| items.iter().try_for_each(|(key, value)| map.insert(key, value).map(drop));
        if items.len() > MANY { self.write_long(py, set) } else { self.write(py, set) }
    }

    /// Gives `key` what `function` makes of its value, or of `default`, with nobody else writing meanwhile.
    #[pyo3(signature = (key, function, default=None))]
    fn _change<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        function: &Bound<'py, PyAny>,
        default: Option<(Bound<'py, PyAny>,)>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, name, map) = (key.py(), Key::of(key)?, self.map()?);
        self.note(section::enter(py, map, Deadline::NEVER)?);
        let _inside = Inside(map);
        let old = match self.find(py, &name)? {
            Some(old) => old,
            None => default.ok_or_else(|| no_such(key))?.0,
        };
        let new = function.call1((old,))?;
        self.set(&name, &new)?;
        Ok(new)
    }

    /// The bytes of a value as they are.
    #[pyo3(signature = (key, default=None))]
    fn get_bytes<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        Ok(self.read(&Key::of(key)?, |value| Ok(PyBytes::new(py, value).into_any()))?.or(default))
    }

    /// Sets a value of bytes as they are, for programs that are not Python, or that use `get_bytes`.
    fn set_bytes(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // A copy: others may write to what it is made of, once the interpreter's lock is let go.
        let bytes = with_bytes(value, |bytes| Ok(bytes.to_vec()))?;
        self.set_raw(key.py(), &Key::of(key)?, &bytes)
    }

    /// Takes the lock for several operations; `TimeoutError` if the time is over.
    #[pyo3(signature = (timeout=None))]
    fn _enter(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let until = deadline(true, timeout)?;
        self.note(section::enter(py, self.map()?, until)?);
        Ok(())
    }

    fn _leave(&self) -> PyResult<()> {
        if section::leave(self.map()?) {
            Ok(())
        } else {
            Err(PyRuntimeError::new_err("this thread does not have the lock of the dictionary"))
        }
    }

    /// Whether this handle has found the lock left by a process that was killed with it. Stays until it is set to False.
    #[getter]
    fn recovered(&self) -> bool {
        self.is_recovered.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_recovered(&self, yes: bool) {
        self.is_recovered.store(yes, Ordering::Relaxed);
    }

    /// How many items there can be.
    #[getter]
    fn max_items(&self) -> PyResult<usize> {
        Ok(self.map()?.max_items())
    }

    /// How many bytes their keys and values can have together, as they are encoded.
    #[getter]
    fn max_bytes(&self) -> PyResult<u64> {
        Ok(self.map()?.max_bytes())
    }

    /// How many they have.
    fn used_bytes(&self) -> PyResult<u64> {
        self.map()?.used_bytes().map_err(refused)
    }

    /// The descriptor of the memory.
    fn _memory(&self) -> PyResult<i32> {
        Ok(self.map()?.as_fd().as_raw_fd())
    }

    /// Removes its name.
    fn unlink(&self) -> PyResult<()> {
        self.map()?.unlink().map_err(errors::opening)
    }
}

//! Objects to bytes.

use super::frames::Frames;
use super::{BYTES, DICT, FALSE, FLOAT, INT, LIST, NONE, STR, TRUE, TUPLE, pickle};
use core::cell::Cell;
use pyo3::Borrowed;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// What is to be sent: in pieces, the long ones where they lie.
pub(crate) struct Outgoing<'a> {
    head: &'a [u8],
    /// Follows the head immediately.
    tail: &'a [u8],
    /// Follow the head, each at its place.
    frames: Option<&'a Frames>,
}

impl<'a> Outgoing<'a> {
    /// Bytes as they are.
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Outgoing { head: bytes, tail: &[], frames: None }
    }

    pub(crate) fn len(&self) -> usize {
        match self.frames {
            None => self.head.len() + self.tail.len(),
            Some(frames) => frames.end(),
        }
    }

    /// The whole message, if it is in one piece.
    pub(crate) fn in_one_piece(&self) -> Option<&[u8]> {
        (self.tail.is_empty() && self.frames.is_none()).then_some(self.head)
    }

    /// The whole message, if it is in two pieces at most. They stay as they are also without the interpreter's lock.
    pub(crate) fn in_two_pieces(&self) -> Option<(&[u8], &[u8])> {
        self.frames.is_none().then_some((self.head, self.tail))
    }

    /// Writes it into a place of its [length](Self::len).
    pub(crate) fn write(&self, to: &mut [u8]) {
        let (head, rest) = to.split_at_mut(self.head.len());
        head.copy_from_slice(self.head);
        match self.frames {
            None => rest.copy_from_slice(self.tail),
            Some(frames) => frames.write(to),
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; self.len()];
        self.write(&mut all);
        all
    }
}

/// Longer ones are not copied twice.
const LONG: usize = 1024;

/// What a scratch buffer may keep.
const KEPT: usize = 1 << 16;

std::thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `send` with what `object` is as a message.
pub(crate) fn encode<'py, R>(
    object: &Bound<'py, PyAny>,
    send: impl FnOnce(Outgoing<'_>) -> PyResult<R>,
) -> PyResult<R> {
    // Taken out: the pickler may run anything, which may send too.
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let result = encode_with(&mut scratch, object, send);
    if scratch.capacity() <= KEPT {
        SCRATCH.set(scratch);
    }
    result
}

fn encode_with<'py, R>(
    scratch: &mut Vec<u8>,
    object: &Bound<'py, PyAny>,
    send: impl FnOnce(Outgoing<'_>) -> PyResult<R>,
) -> PyResult<R> {
    if let Some((tag, long)) = long(object) {
        return send(Outgoing { head: &[tag], tail: long, frames: None });
    }
    if plain(scratch, object) {
        return send(Outgoing { head: scratch, tail: &[], frames: None });
    }
    scratch.clear();
    let frames = pickle::dump(object, scratch)?;
    send(Outgoing { head: scratch, tail: &[], frames: frames.as_ref() })
}

/// The content of a long string or bytes.
fn long<'a>(object: &'a Bound<'_, PyAny>) -> Option<(u8, &'a [u8])> {
    let (tag, content) = if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        (BYTES, bytes.as_bytes())
    } else if let Ok(string) = object.cast_exact::<PyString>() {
        (STR, string.to_str().ok()?.as_bytes())
    } else {
        return None;
    };
    (content.len() >= LONG).then_some((tag, content))
}

/// Writes an object of a plain type, or a flat container of such. `false` if it is none; then `out` holds something.
fn plain(out: &mut Vec<u8>, object: &Bound<'_, PyAny>) -> bool {
    if let Some(is_whole) = scalar(out, object, false) {
        is_whole
    } else if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        out.push(TUPLE);
        tuple.iter_borrowed().all(|item| item_of(out, &item))
    } else if let Ok(list) = object.cast_exact::<PyList>() {
        out.push(LIST);
        list.iter().all(|item| item_of(out, &item))
    } else if let Ok(dict) = object.cast_exact::<PyDict>() {
        out.push(DICT);
        pairs_of(out, dict)
    } else {
        false
    }
}

/// Containers of more than that are the pickler's: it knows strings that occur again.
const MOST: usize = 1 << 16;

/// Goes through the dictionary where it lies: an iterator would count each key and value up and down again.
fn pairs_of(out: &mut Vec<u8>, dict: &Bound<'_, PyDict>) -> bool {
    let (mut place, mut key, mut value) = (0, core::ptr::null_mut(), core::ptr::null_mut());
    loop {
        // SAFETY: a dictionary, which nobody changes meanwhile: no code of Python's runs below, and the interpreter's lock is not
        // let go of.
        if unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut place, &raw mut key, &raw mut value) } == 0 {
            return true;
        }
        for item in [key, value] {
            // SAFETY: an object that the dictionary holds until it is changed.
            let item = unsafe { Borrowed::from_ptr(dict.py(), item) };
            if !item_of(out, &item) {
                return false;
            }
        }
    }
}

fn item_of(out: &mut Vec<u8>, item: &Bound<'_, PyAny>) -> bool {
    out.len() < MOST && scalar(out, item, true) == Some(true)
}

/// Writes a plain value. `None` if it is none; `Some(false)` if it cannot be written so.
fn scalar(out: &mut Vec<u8>, object: &Bound<'_, PyAny>, with_length: bool) -> Option<bool> {
    if let Ok(string) = object.cast_exact::<PyString>() {
        // Lone surrogates are nothing for UTF-8.
        let Ok(string) = string.to_str() else { return Some(false) };
        return Some(run(out, STR, string.as_bytes(), with_length));
    } else if object.is_exact_instance_of::<PyInt>() {
        let Ok(value) = object.extract::<i64>() else { return Some(false) };
        let mut bytes = [INT; 9];
        bytes[1..].copy_from_slice(&value.to_le_bytes());
        out.extend_from_slice(&bytes);
    } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return Some(run(out, BYTES, bytes.as_bytes(), with_length));
    } else if let Ok(value) = object.cast_exact::<PyFloat>() {
        out.push(FLOAT);
        out.extend_from_slice(&value.value().to_le_bytes());
    } else if object.is_none() {
        out.push(NONE);
    } else if let Ok(value) = object.cast_exact::<PyBool>() {
        out.push(if value.is_true() { TRUE } else { FALSE });
    } else {
        return None;
    }
    Some(true)
}

fn run(out: &mut Vec<u8>, tag: u8, content: &[u8], with_length: bool) -> bool {
    out.reserve(5 + content.len());
    if with_length {
        let Ok(length) = u32::try_from(content.len()) else { return false };
        let [a, b, c, d] = length.to_le_bytes();
        out.extend_from_slice(&[tag, a, b, c, d]);
    } else {
        out.push(tag);
    }
    out.extend_from_slice(content);
    true
}

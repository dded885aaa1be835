//! The keys of a dictionary, as bytes.
//!
//! ```text
//! the key                 bytes, as they are: so other programs have them
//! 0xFD key                bytes that begin with one of these three
//! 0xFE UTF-8              str; lone surrogates are written as if they were characters
//! 0xFF 8 bytes            int of 64 bits; larger ones have more bytes. Little-endian, two's complement
//! ```
//!
//! No text in UTF-8 begins with one of the three. Equal keys have equal bytes: an int is what it equals, so `True` is 1.

use crate::errors::Imported;
use core::ops::Deref;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString};

const BYTES: u8 = 0xfd;
const STR: u8 = 0xfe;
const INT: u8 = 0xff;

/// Up to so many bytes lie in the key itself.
const SHORT: usize = 47;

static FOREIGN: Imported = Imported::new("ringway._compat", "ForeignMessage");

/// A key as it lies in memory.
pub(super) enum Key<'a> {
    AsIs(&'a [u8]),
    Short { bytes: [u8; SHORT], length: u8 },
    Long(Vec<u8>),
}

impl Deref for Key<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Key::AsIs(bytes) => bytes,
            Key::Short { bytes, length } => &bytes[..usize::from(*length)],
            Key::Long(bytes) => bytes,
        }
    }
}

impl<'a> Key<'a> {
    /// What `object` is as a key. `TypeError` if it can be none.
    #[inline]
    pub(super) fn of(object: &'a Bound<'_, PyAny>) -> PyResult<Key<'a>> {
        if let Ok(string) = object.cast::<PyString>() {
            match string.to_str() {
                Ok(text) => Ok(Key::tagged(STR, text.as_bytes())),
                Err(_) => surrogates(string),
            }
        } else if let Ok(bytes) = object.cast::<PyBytes>() {
            let bytes = bytes.as_bytes();
            Ok(if bytes.first() >= Some(&BYTES) { Key::tagged(BYTES, bytes) } else { Key::AsIs(bytes) })
        } else if let Ok(int) = object.cast::<PyInt>() {
            match int.extract::<i64>() {
                Ok(value) => Ok(Key::tagged(INT, &value.to_le_bytes())),
                Err(_) => large(int),
            }
        } else {
            Err(refused(object))
        }
    }

    #[inline]
    fn tagged(tag: u8, content: &[u8]) -> Key<'a> {
        let length = 1 + content.len();
        if length <= SHORT {
            let mut bytes = [0; SHORT];
            bytes[0] = tag;
            bytes[1..length].copy_from_slice(content);
            Key::Short { bytes, length: length as u8 }
        } else {
            let mut bytes = Vec::with_capacity(length);
            bytes.push(tag);
            bytes.extend_from_slice(content);
            Key::Long(bytes)
        }
    }
}

#[cold]
fn refused(object: &Bound<'_, PyAny>) -> PyErr {
    let kind = object.get_type().qualname().map(|name| name.to_string()).unwrap_or_default();
    PyTypeError::new_err(format!("the keys of a SharedDict are str, bytes or int, not {kind}"))
}

#[cold]
fn surrogates<'a>(string: &Bound<'_, PyString>) -> PyResult<Key<'a>> {
    // By the class: one derived from it may have an `encode` of its own.
    let class = string.py().get_type::<PyString>();
    let bytes = class.call_method1("encode", (string, "utf-8", "surrogatepass"))?.cast_into::<PyBytes>()?;
    Ok(Key::tagged(STR, bytes.as_bytes()))
}

/// An int of more than 64 bits.
#[cold]
fn large<'a>(int: &Bound<'_, PyInt>) -> PyResult<Key<'a>> {
    let (py, class) = (int.py(), int.py().get_type::<PyInt>());
    let bits: usize = class.call_method1("bit_length", (int,))?.extract()?;
    let bytes = class.call_method("to_bytes", (int, bits / 8 + 1, "little"), Some(&signed(py)?))?;
    Ok(Key::tagged(INT, bytes.cast_into::<PyBytes>()?.as_bytes()))
}

fn signed(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let options = PyDict::new(py);
    options.set_item("signed", true)?;
    Ok(options)
}

/// The inverse of [`Key::of`].
pub(super) fn decode<'py>(py: Python<'py>, key: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match key.split_first() {
        Some((&STR, text)) => match core::str::from_utf8(text) {
            Ok(text) => Ok(PyString::new(py, text).into_any()),
            Err(_) => {
                let bytes = PyBytes::new(py, text);
                let text = bytes.call_method1("decode", ("utf-8", "surrogatepass"));
                if_it_is(text.ok(), key).ok_or_else(|| foreign(py, key))
            }
        },
        Some((&INT, digits)) => match <[u8; 8]>::try_from(digits) {
            Ok(digits) => Ok(i64::from_le_bytes(digits).into_pyobject(py)?.into_any()),
            Err(_) => {
                let arguments = (PyBytes::new(py, digits), "little");
                let int = py.get_type::<PyInt>().call_method("from_bytes", arguments, Some(&signed(py)?));
                if_it_is(int.ok(), key).ok_or_else(|| foreign(py, key))
            }
        },
        Some((&BYTES, bytes)) => {
            if_it_is(Some(PyBytes::new(py, bytes).into_any()), key).ok_or_else(|| foreign(py, key))
        }
        _ => Ok(PyBytes::new(py, key).into_any()),
    }
}

/// `object`, if that is what it looks like as a key.
fn if_it_is<'py>(object: Option<Bound<'py, PyAny>>, key: &[u8]) -> Option<Bound<'py, PyAny>> {
    object.filter(|object| Key::of(object).is_ok_and(|encoded| *encoded == *key))
}

#[cold]
fn foreign(py: Python<'_>, key: &[u8]) -> PyErr {
    let text = "the key was not put by Python, and begins as Python's keys do";
    let made = FOREIGN.get(py).and_then(|class| class.call1((text, PyBytes::new(py, key))));
    made.map_or_else(|error| error, PyErr::from_value)
}

//! Objects to bytes and back.
//!
//! ```text
//! NONE | TRUE | FALSE
//! INT    8 bytes           little-endian, as FLOAT
//! STR    the rest          UTF-8; as BYTES
//! TUPLE  items             each a tag and its content; STR and BYTES have their length (4 bytes) in front; as LIST
//! DICT   key, value, ...   the same
//! FRAMES ...               a pickle of protocol 5 and its buffers: see `frames`
//! 0x80   the rest          a pickle: that is the first byte of every one
//! ```
//!
//! What is exactly of one of the plain types goes without the pickler, which costs more than everything else together.

mod decode;
mod encode;
mod frames;
mod keys;
mod pickle;

pub(crate) use decode::{Received, decode, decode_in_place, decode_or_unpickle};
pub(crate) use encode::{Outgoing, encode};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

const NONE: u8 = 1;
const TRUE: u8 = 2;
const FALSE: u8 = 3;
const INT: u8 = 4;
const FLOAT: u8 = 5;
const STR: u8 = 6;
const BYTES: u8 = 7;
const TUPLE: u8 = 8;
const LIST: u8 = 9;
const DICT: u8 = 10;
const FRAMES: u8 = 11;
const PICKLE: u8 = 0x80;

/// An object as a message holds it, for what carries messages by other ways.
#[pyfunction]
pub(crate) fn dumps<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = object.py();
    encode(object, |out| {
        PyBytes::new_with(py, out.len(), |bytes| {
            out.write(bytes);
            Ok(())
        })
    })
}

/// The inverse of `dumps`.
#[pyfunction]
pub(crate) fn loads<'py>(py: Python<'py>, message: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    decode(py, Received::Borrowed(message))
}

//! Keys of dictionaries that have come before: the same string again costs no memory and no hash.

use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::{Mutex, TryLockError};

/// A power of two. Two keys that fall on one place replace each other.
const PLACES: usize = 256;

/// Longer ones are rarely keys.
const LONGEST: usize = 48;

/// A string, and its UTF-8 beside it: the interpreter need not be asked for that.
struct Known {
    length: u8,
    content: [u8; LONGEST],
    /// An exact one, so that dropping it runs no code.
    string: Py<PyString>,
}

/// Locked for moments, by threads that hold the interpreter's lock.
static KNOWN: Mutex<[Option<Known>; PLACES]> = Mutex::new([const { None }; PLACES]);

/// The strings that came before, for as long as a dictionary is being made.
pub(super) struct Keys(Option<std::sync::MutexGuard<'static, [Option<Known>; PLACES]>>);

impl Keys {
    /// Without any, if somebody has them: a thread at the same time, or who was in the middle of it when this process was
    /// forked.
    pub(super) fn get() -> Keys {
        Keys(match KNOWN.try_lock() {
            Ok(known) => Some(known),
            Err(TryLockError::Poisoned(known)) => Some(known.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// The string of that UTF-8; an error if it is none.
    pub(super) fn string<'py>(&mut self, py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyString>> {
        let Some(known) = self.0.as_mut().filter(|_| content.len() <= LONGEST) else {
            return PyString::from_bytes(py, content);
        };
        let place = &mut known[place_of(content)];
        if let Some(known) = place
            && known.content.get(..known.length.into()) == Some(content)
        {
            return Ok(known.string.bind(py).clone());
        }
        let string = PyString::from_bytes(py, content)?;
        let mut known =
            Known { length: content.len() as u8, content: [0; LONGEST], string: string.clone().unbind() };
        known.content[..content.len()].copy_from_slice(content);
        *place = Some(known);
        Ok(string)
    }
}

/// By length, beginning and end, which tell most keys apart.
fn place_of(content: &[u8]) -> usize {
    let word = |bytes: &[u8]| bytes.iter().fold(0_u64, |word, &byte| word << 8 | u64::from(byte));
    let (begin, end) = match (content.first_chunk::<8>(), content.last_chunk::<8>()) {
        (Some(begin), Some(end)) => (u64::from_le_bytes(*begin), u64::from_le_bytes(*end)),
        _ => (word(content), 0),
    };
    let mixed = (begin ^ end.rotate_left(29) ^ content.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as usize % PLACES
}

//! Items of maps that tell whether they are whole, and under the right key.

use crate::message::scramble;
use std::collections::BTreeSet;

/// So many keys there are.
pub const KEYS: u64 = 40;

/// A key of some length.
pub fn key(number: u64) -> Vec<u8> {
    format!("{number}").repeat(1 + number as usize % 9 * 3).into_bytes()
}

/// A value that belongs to this key; another one for each `draw`.
pub fn value(key: &[u8], draw: u64) -> Vec<u8> {
    let len = (draw % 97 * (draw >> 8) % 900) as usize;
    let mut value = draw.to_le_bytes().to_vec();
    let mut state = draw ^ key.iter().fold(7, |sum: u64, &byte| sum.wrapping_mul(31) + u64::from(byte));
    value.extend((0..len).map(|_| scramble(&mut state) as u8));
    value
}

/// The value was written for this key, as a whole.
///
/// # Panics
/// If not.
pub fn check(found: &[u8], seen: &[u8]) {
    let draw = u64::from_le_bytes(*seen.first_chunk().expect("a draw"));
    assert!(value(found, draw) == seen, "torn, or of another key: {:?}", String::from_utf8_lossy(found));
}

/// All are whole, and no key is there twice.
///
/// # Panics
/// If not.
pub fn check_all(items: &[(Vec<u8>, Vec<u8>)]) {
    items.iter().for_each(|(key, value)| check(key, value));
    let keys: BTreeSet<_> = items.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), items.len(), "a key is there twice");
}

/// A number, and one more.
pub fn plus_one(old: Option<&[u8]>) -> Vec<u8> {
    (number(old) + 1).to_le_bytes().to_vec()
}

/// The number; none is 0.
///
/// # Panics
/// If it is no number.
pub fn number(value: Option<&[u8]>) -> u64 {
    value.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("a number")))
}

//! Messages of a pipe, from nothing to gigabytes, that tell whether they are whole.
//!
//! A parcel has a number, `sender << 32 | count`, and everything else follows from it. It begins with the number;
//! only the empty message has none.

use crate::message::scramble;

/// How long the parcel of this number is, if the longest has `max` bytes: mostly short, sometimes long, at least 8.
pub fn len_of(number: u64, max: usize) -> usize {
    let mut state = number ^ 0x0009_a2ce_1000;
    let draw = scramble(&mut state) as usize;
    let range = match draw % 8 {
        0 => max,
        1..4 => max / 16,
        _ => 256,
    };
    8 + draw / 8 % range.clamp(9, max.max(9)).saturating_sub(8)
}

/// Makes the parcel of this number, `len` bytes long but at least 8.
pub fn make(number: u64, len: usize) -> Vec<u8> {
    let mut parcel = Vec::with_capacity(len + 16);
    parcel.extend_from_slice(&number.to_le_bytes());
    let mut state = number;
    while parcel.len() < len {
        parcel.extend_from_slice(&scramble(&mut state).to_le_bytes());
    }
    parcel.truncate(len.max(8));
    parcel
}

/// The number of a parcel that is whole, without making another one to compare with.
///
/// # Errors
/// Says where it is wrong.
pub fn check(parcel: &[u8]) -> Result<u64, String> {
    let (number, rest) = parcel.split_first_chunk().ok_or("no parcel is so short")?;
    let number = u64::from_le_bytes(*number);
    let mut state = number;
    for (index, chunk) in rest.chunks(8).enumerate() {
        let word = scramble(&mut state).to_le_bytes();
        if chunk != &word[..chunk.len()] {
            return Err(format!("{number:#x} of {} bytes is wrong at byte {}", parcel.len(), 8 + index * 8));
        }
    }
    Ok(number)
}

/// The same for a parcel that must have the length [`len_of`] gives it.
///
/// # Errors
/// Says where it is wrong.
pub fn check_len(parcel: &[u8], max: usize) -> Result<u64, String> {
    let number = check(parcel)?;
    let len = len_of(number, max);
    if parcel.len() == len { Ok(number) } else { Err(format!("{number:#x} has {} bytes", parcel.len())) }
}

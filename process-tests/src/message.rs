//! Messages that tell whether they are whole and in order.
//!
//! A message has a number, and its content follows from the number alone, so any side can check any message.
//! Numbers are `epoch << 32 | count`: a producer that takes over from a dead one does not know how far that one
//! came and begins an epoch of its own.

use bytemuck::{Pod, Zeroable};

/// A message of a typed ring: 48 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Fixed {
    /// Its number.
    pub number: u64,
    /// What follows from the number.
    pub noise: [u64; 4],
    /// A checksum over the rest.
    pub sum: u64,
}

impl Fixed {
    /// The message of this number.
    pub fn new(number: u64) -> Self {
        let mut state = number;
        let noise = [(); 4].map(|()| scramble(&mut state));
        Fixed { number, noise, sum: noise.iter().fold(number, |sum, word| sum.rotate_left(7) ^ word) }
    }

    /// The number of a message that is whole.
    ///
    /// # Errors
    /// Says what it looks like if it is not.
    pub fn check(&self) -> Result<u64, String> {
        if *self == Fixed::new(self.number) { Ok(self.number) } else { Err(format!("torn: {self:x?}")) }
    }
}

/// How long the records of a byte ring are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// Anything from nothing to the longest possible; the reader must know which number comes next.
    Any,
    /// At least the eight bytes of the number, which the reader finds there.
    Numbered,
}

/// Writes the record of this number, for a ring whose longest is `max`, to `record`.
pub fn fill(record: &mut Vec<u8>, number: u64, sizes: Sizes, max: usize) {
    let mut state = number ^ 0x5eed;
    let draw = scramble(&mut state) as usize;
    let len = match (sizes, draw % 16) {
        (Sizes::Any, 0) => 0,
        (Sizes::Any, 1) => max,
        (Sizes::Any, 2) => max - draw / 16 % 16,
        (Sizes::Any, 3..8) => draw / 16 % (max / 4),
        (Sizes::Any, _) => draw / 16 % 64,
        (Sizes::Numbered, _) => 8 + draw / 16 % 120,
    };
    record.clear();
    record.extend_from_slice(&number.to_le_bytes());
    while record.len() < len {
        record.extend_from_slice(&scramble(&mut state).to_le_bytes());
    }
    record.truncate(len);
}

/// One step of splitmix64.
pub fn scramble(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether `next` may follow `last`: the next of its epoch, or the first of a later one.
pub fn follows(last: Option<u64>, next: u64) -> bool {
    match last {
        None => true,
        Some(last) => next == last + 1 || (next >> 32 > last >> 32 && next as u32 == 0),
    }
}

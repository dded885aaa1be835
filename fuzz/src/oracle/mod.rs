//! Endpoints beside a queue that does the same in the plainest way: whatever is called, both must say the same.
//!
//! The endpoints stay open from one input to the next where the input has not closed them, and each input begins
//! with an empty ring at the beginning of its storage, so that it runs in microseconds and again the same way.

use arbitrary::Arbitrary;

pub mod bytes;
pub mod pipe;
pub mod typed;

/// One side of a ring.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
pub enum Side {
    Producer,
    Consumer,
}

/// A participant index that nobody has: its holder is dead.
const DEAD: u16 = 3;

/// What its place holds, said by a dead participant.
const fn of_the_dead(role: u64) -> u64 {
    role & !0xffff | DEAD as u64
}

/// The `number`th message of a test, `len` bytes long.
fn message(number: u64, len: usize) -> Vec<u8> {
    let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len).map(|at| (seed >> (at % 8 * 8)) as u8 ^ at as u8).collect()
}

/// The bytes that a record of `len` takes in a ring.
const fn footprint(len: usize) -> usize {
    8 + ((len + 7) & !7)
}

//! Messages that tell whether they are whole: all of a message follows from its id.

use crate::random::{mix, scramble};

/// The shortest message: its id.
pub(crate) const LEAST: usize = 8;

/// How long the messages of an episode are. A message's length follows from its id too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Most messages are at most this long.
    pub(crate) usual: usize,
    /// One in so many may be of any length up to `most`.
    pub(crate) rarely: u64,
    /// The longest, in bytes.
    pub(crate) most: usize,
}

impl Sizes {
    /// All messages have the same length.
    pub(crate) const fn only(len: usize) -> Self {
        Sizes { usual: len, rarely: 0, most: len }
    }

    /// The length of message `id`.
    pub(crate) fn len(&self, id: u64) -> usize {
        if self.rarely == 0 {
            return self.most;
        }
        let draw = scramble(id);
        let bound = if draw.is_multiple_of(self.rarely) { self.most } else { self.usual };
        LEAST + (draw >> 16) as usize % (bound - LEAST + 1)
    }
}

fn word(key: u64, at: usize) -> u64 {
    key.rotate_left(at as u32 & 63) ^ (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Writes message `id` of the episode with this seed.
pub(crate) fn fill(message: &mut [u8], seed: u64, id: u64) {
    let key = mix(seed, id);
    for (at, chunk) in message.chunks_mut(8).enumerate() {
        let word = if at == 0 { id } else { word(key, at) };
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
}

/// The id of a message that is whole, or what is wrong with it.
pub(crate) fn check(message: &[u8], seed: u64, sizes: Sizes) -> Result<u64, String> {
    let Some(first) = message.first_chunk::<8>() else {
        return Err(format!("torn: a message of {} bytes has not even an id", message.len()));
    };
    let id = u64::from_le_bytes(*first);
    let key = mix(seed, id);
    for (at, chunk) in message.chunks(8).enumerate().skip(1) {
        let expected = &word(key, at).to_le_bytes()[..chunk.len()];
        if chunk != expected {
            return Err(format!(
                "torn: message {id:#x} of {} bytes has {chunk:02x?} at byte {}, not {expected:02x?}",
                message.len(),
                at * 8
            ));
        }
    }
    match sizes.len(id) {
        len if len == message.len() => Ok(id),
        len => Err(format!("torn: message {id:#x} has {} bytes, not {len}", message.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_by_every_byte() {
        let sizes = Sizes { usual: 100, rarely: 4, most: 1000 };
        for id in 0..50 {
            let mut message = vec![0; sizes.len(id)];
            fill(&mut message, 42, id);
            assert_eq!(check(&message, 42, sizes), Ok(id));
            for at in 0..message.len() {
                message[at] ^= 1;
                assert!(check(&message, 42, sizes).is_err(), "byte {at} of {}", message.len());
                message[at] ^= 1;
            }
            message.push(0);
            assert!(check(&message, 42, sizes).is_err());
        }
    }
}

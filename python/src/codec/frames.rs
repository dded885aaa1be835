//! A pickle with its buffers beside it (protocol 5), laid out so that a receiver can use them where they lie.
//!
//! ```text
//! FRAMES 0 0 0 | count: u32 | length of the pickle: u64 | count x (READ_ONLY:1 | length:63) | pickle | buffers
//! ```
//! Each buffer begins at a multiple of 64.

use super::FRAMES;
use pyo3::buffer::PyBuffer;

const ALIGN: usize = 64;
const FIXED: usize = 16;
const READ_ONLY: u64 = 1 << 63;

/// Buffers of a message, held until they are copied.
pub(super) struct Frames {
    buffers: Vec<(PyBuffer<u8>, usize)>,
    end: usize,
}

impl Frames {
    /// Puts a head for `buffers` in front of the pickle in `out`.
    pub(super) fn lay_out(out: &mut Vec<u8>, buffers: Vec<PyBuffer<u8>>) -> Frames {
        let pickle = out.len();
        let fixed = FIXED + 8 * buffers.len();
        out.resize(fixed + pickle, 0);
        out.copy_within(..pickle, fixed);
        out[..4].copy_from_slice(&[FRAMES, 0, 0, 0]);
        out[4..8].copy_from_slice(&(buffers.len() as u32).to_le_bytes());
        out[8..16].copy_from_slice(&(pickle as u64).to_le_bytes());
        let mut end = out.len();
        let place = |(index, buffer): (usize, PyBuffer<u8>)| {
            let length = buffer.len_bytes();
            let word = length as u64 | if buffer.readonly() { READ_ONLY } else { 0 };
            out[FIXED + 8 * index..][..8].copy_from_slice(&word.to_le_bytes());
            let at = end.next_multiple_of(ALIGN);
            end = at + length;
            (buffer, at)
        };
        let buffers = buffers.into_iter().enumerate().map(place).collect();
        Frames { buffers, end }
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Writes the buffers to their places in the message.
    pub(super) fn write(&self, message: &mut [u8]) {
        for (buffer, at) in &self.buffers {
            let to = &mut message[*at..][..buffer.len_bytes()];
            // SAFETY: a buffer is so many bytes at that address, contiguous, as was asked for, for as long as it is held.
            // Other threads of Python may write to it meanwhile; then any mix of old and new bytes arrives, no more.
            unsafe {
                core::ptr::copy_nonoverlapping(buffer.buf_ptr().cast::<u8>(), to.as_mut_ptr(), to.len())
            };
        }
    }
}

/// Where in a message everything is.
pub(super) struct Plan {
    pub(super) pickle: core::ops::Range<usize>,
    pub(super) buffers: Vec<(core::ops::Range<usize>, bool)>,
}

impl Plan {
    /// `None` if the message is not what it says.
    pub(super) fn of(message: &[u8]) -> Option<Plan> {
        let count = u32::from_le_bytes(message.get(4..8)?.try_into().ok()?) as usize;
        let word =
            |at: usize| Some(u64::from_le_bytes(message.get(at..at.checked_add(8)?)?.try_into().ok()?));
        let begin = FIXED.checked_add(count.checked_mul(8)?)?;
        let mut end = begin.checked_add(usize::try_from(word(8)?).ok()?)?;
        let pickle = begin..end;
        message.get(pickle.clone())?;
        let mut buffers = Vec::with_capacity(count);
        for index in 0..count {
            let word = word(FIXED + 8 * index)?;
            let at = end.checked_next_multiple_of(ALIGN)?;
            end = at.checked_add(usize::try_from(word & !READ_ONLY).ok()?)?;
            message.get(at..end)?;
            buffers.push((at..end, word & READ_ONLY != 0));
        }
        Some(Plan { pickle, buffers })
    }
}

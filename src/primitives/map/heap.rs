//! Chunks of memory: a key and a value each.

use super::error::MapError;
use crate::map::Piece;
use crate::sync::{AtomicU64, Ordering, copy_in, copy_out, copy_within};
use core::ptr::NonNull;

/// Chunks consist of whole units of so many bytes, and begin where one does.
pub(super) const UNIT: usize = 32;

/// The bytes in front of the key.
const HEADER: usize = 8;

/// The memory of all chunks.
///
/// ```text
/// 0   key length:32 | value length:32
/// 8   the key
/// …   at the next multiple of 8: the value
/// ```
#[derive(Debug, Clone, Copy)]
pub(super) struct Heap {
    base: NonNull<u8>,
    units: u32,
}

/// A chunk that lies within the heap, by its header as it was read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    unit: u32,
    key_len: u32,
    value_len: u32,
}

/// So many units the chunk of such a key and value takes; `None` if no chunk can.
pub(super) fn units_for(key_len: usize, value_len: usize) -> Option<u32> {
    let (key_len, value_len) = (u32::try_from(key_len).ok()?, u32::try_from(value_len).ok()?);
    let bytes = value_at(key_len) + u64::from(value_len);
    u32::try_from(bytes.div_ceil(UNIT as u64)).ok()
}

/// Where the value begins.
fn value_at(key_len: u32) -> u64 {
    HEADER as u64 + u64::from(key_len).next_multiple_of(8)
}

impl Chunk {
    /// Of the key and the value together.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.key_len) + u64::from(self.value_len)
    }

    /// The units it takes.
    pub(super) fn piece(self) -> Piece {
        let bytes = value_at(self.key_len) + u64::from(self.value_len);
        // It lies within the heap, so there are not more.
        Piece { unit: self.unit, len: bytes.div_ceil(UNIT as u64) as u32 }
    }
}

impl Heap {
    /// The caller sees to it that so many units are mapped there, at a multiple of 8, as long as this is used.
    pub(super) fn new(base: NonNull<u8>, units: u32) -> Self {
        Heap { base, units }
    }

    fn at(self, unit: u32, offset: u64) -> *mut u8 {
        self.base.as_ptr().wrapping_add(unit as usize * UNIT + offset as usize)
    }

    fn header(&self, unit: u32) -> &AtomicU64 {
        assert!(unit < self.units);
        let header = self.at(unit, 0).cast();
        // SAFETY: the beginning of a unit of ours, as was just checked, at a multiple of eight; accessed by atomics only.
        unsafe { &*header }
    }

    /// The chunk that begins with this unit; nothing unless it lies within the heap.
    #[inline]
    pub(super) fn chunk(self, unit: u32) -> Option<Chunk> {
        if unit >= self.units {
            return None;
        }
        // Relaxed: it counts only if the word that refers to it stays.
        let header = self.header(unit).load(Ordering::Relaxed);
        let chunk = Chunk { unit, key_len: header as u32, value_len: (header >> 32) as u32 };
        let bytes = value_at(chunk.key_len) + u64::from(chunk.value_len);
        let room = u64::from(self.units - unit) * UNIT as u64;
        (bytes <= room).then_some(chunk)
    }

    /// Whether this is its key.
    #[inline]
    pub(super) fn has_key(self, chunk: Chunk, key: &[u8]) -> bool {
        if chunk.key_len as usize != key.len() {
            return false;
        }
        let mut at = HEADER as u64;
        for part in key.chunks(64) {
            let mut seen = [0_u8; 64];
            // SAFETY: inside the chunk, which is inside the heap, as long as its key is this long; into a copy of our own.
            unsafe { copy_out(self.at(chunk.unit, at), seen.as_mut_ptr(), part.len()) };
            if seen[..part.len()] != *part {
                return false;
            }
            at += part.len() as u64;
        }
        true
    }

    /// Copies its value in place of what `into` holds.
    ///
    /// # Errors
    /// [`MapError::NoMemoryForCopy`].
    #[inline]
    pub(super) fn copy_value(self, chunk: Chunk, into: &mut Vec<u8>) -> Result<(), MapError> {
        self.copy(chunk.unit, value_at(chunk.key_len), chunk.value_len as usize, into)
    }

    /// Copies its key in place of what `into` holds.
    ///
    /// # Errors
    /// As above.
    pub(super) fn copy_key(self, chunk: Chunk, into: &mut Vec<u8>) -> Result<(), MapError> {
        self.copy(chunk.unit, HEADER as u64, chunk.key_len as usize, into)
    }

    #[inline]
    fn copy(self, unit: u32, offset: u64, len: usize, into: &mut Vec<u8>) -> Result<(), MapError> {
        into.clear();
        into.try_reserve(len).map_err(|_| MapError::NoMemoryForCopy { needed: len })?;
        // SAFETY: a part of a chunk, which is inside the heap; and there is as much room in the vector.
        unsafe { copy_out(self.at(unit, offset), into.as_mut_ptr(), len) };
        // SAFETY: so many bytes were just copied.
        unsafe { into.set_len(len) };
        Ok(())
    }

    /// Makes a chunk of a piece that has room for it.
    #[inline]
    pub(super) fn fill(self, piece: Piece, key: &[u8], value: &[u8]) {
        let (key_len, value_len) = (key.len() as u32, value.len() as u32);
        let needed = value_at(key_len) + u64::from(value_len);
        assert!(
            u64::from(piece.unit) + u64::from(piece.len) <= u64::from(self.units)
                && needed <= u64::from(piece.len) * UNIT as u64
        );
        // Relaxed, as what follows: published with the word that refers to it.
        self.header(piece.unit).store(u64::from(key_len) | u64::from(value_len) << 32, Ordering::Relaxed);
        // SAFETY: inside the piece, as was just checked.
        unsafe { copy_in(key.as_ptr(), self.at(piece.unit, HEADER as u64), key.len()) };
        // SAFETY: as above.
        unsafe { copy_in(value.as_ptr(), self.at(piece.unit, value_at(key_len)), value.len()) };
    }

    /// Copies a whole piece to another one of the same length, apart from it.
    pub(super) fn relocate(self, from: Piece, to: Piece) {
        let end = |piece: Piece| u64::from(piece.unit) + u64::from(piece.len);
        assert!(from.len == to.len && end(from) <= u64::from(self.units) && end(to) <= u64::from(self.units));
        assert!(end(from) <= u64::from(to.unit) || end(to) <= u64::from(from.unit));
        let len = from.len as usize * UNIT;
        // SAFETY: inside the heap and apart, as was just checked, and both at multiples of a unit.
        unsafe { copy_within(self.at(from.unit, 0), self.at(to.unit, 0), len) };
    }
}

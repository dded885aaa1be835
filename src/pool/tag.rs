//! How a slot of the ring refers to a chunk.

use super::layout::Layout;
use crate::error::Corrupt;
use core::num::NonZeroU32;

/// How many chunks a class can have.
pub(crate) const MAX_INDEX: u64 = 1 << INDEX_BITS;

const INDEX_BITS: u32 = 24;
const CLASS_BITS: u32 = 6;
const LEN_AT: u32 = INDEX_BITS + CLASS_BITS;

/// The class that is none: the message lies in the slot itself.
const INLINE: u64 = (1 << CLASS_BITS) - 1;

/// The tag of a slot: what the message is and where it lies.
///
/// ```text
/// len:34 | class:6 | index:24        class 63: the message lies in the slot itself
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Tag(pub(crate) u64);

impl Tag {
    /// A message of `len` bytes in the slot itself.
    pub(crate) const fn inline(len: u64) -> Self {
        Tag(len << LEN_AT | INLINE << INDEX_BITS)
    }

    /// A message of `len` bytes in `chunk`.
    #[inline(always)]
    pub(crate) const fn of(chunk: Chunk, len: u64) -> Self {
        Tag(len << LEN_AT | chunk.0.get() as u64 & ((1 << LEN_AT) - 1))
    }

    /// The message's length in bytes, unchecked.
    #[inline(always)]
    pub(crate) const fn len(self) -> u64 {
        self.0 >> LEN_AT
    }

    /// Whether the message lies in the slot itself.
    #[inline(always)]
    pub(crate) const fn is_inline(self) -> bool {
        self.class() == INLINE
    }

    #[inline(always)]
    const fn class(self) -> u64 {
        self.0 >> INDEX_BITS & INLINE
    }

    /// Whether this refers to `chunk`.
    pub(super) const fn means(self, chunk: Chunk) -> bool {
        self.0 << (u64::BITS - LEN_AT) == Tag::of(chunk, 0).0 << (u64::BITS - LEN_AT)
    }
}

/// A chunk that there is: made only by those who checked it against the layout.
///
/// ```text
/// 1 | class:6 | index:24
/// ```
///
/// One number, and never 0: so a loan, or the lack of one, fits into two registers.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Chunk(NonZeroU32);

impl Chunk {
    #[inline(always)]
    const fn new(class: u8, index: u32) -> Self {
        let bits = 1 << LEN_AT | (class as u32) << INDEX_BITS | index;
        Chunk(NonZeroU32::MIN.saturating_add(bits - 1))
    }

    #[inline(always)]
    pub(crate) const fn class(self) -> u8 {
        (self.0.get() >> INDEX_BITS) as u8 & INLINE as u8
    }

    #[inline(always)]
    pub(crate) const fn index(self) -> u32 {
        self.0.get() & (MAX_INDEX as u32 - 1)
    }
}

impl core::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "chunk {} of class {}", self.index(), self.class())
    }
}

impl Layout {
    /// The chunk of that name, if there is one.
    #[inline(always)]
    pub(super) fn chunk(&self, class: u8, index: u32) -> Option<Chunk> {
        (index < self.class(class)?.count).then(|| Chunk::new(class, index))
    }

    /// The chunk that somebody says a message is in, and the message's length.
    ///
    /// # Errors
    /// [`Corrupt`] if there is no such chunk, or it cannot hold so much.
    #[inline(always)]
    pub(super) fn admit(&self, tag: Tag) -> Result<(Chunk, u64), Corrupt> {
        let index = tag.0 & (MAX_INDEX - 1);
        let limit = self.class(tag.class() as u8).map_or(0, |class| class.size);
        match self.chunk(tag.class() as u8, index as u32) {
            Some(chunk) if tag.len() <= limit => Ok((chunk, tag.len())),
            Some(_) => Err(Corrupt { field: "length of a message", found: tag.len(), limit, place: None }),
            None => Err(Corrupt {
                field: "chunk of a message",
                found: tag.0,
                limit: self.entries().into(),
                place: None,
            }),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::layout::Demand;
    use super::*;

    fn layout() -> Layout {
        Layout::of(Demand {
            messages: 10,
            max_held: 2,
            usual: 64,
            largest: 256,
            max_bytes: 1 << 20,
            share: 0,
        })
        .unwrap()
    }

    #[test]
    fn a_tag_leads_back_to_its_chunk() {
        let layout = layout();
        for (class, there) in (0..).zip(layout.classes()) {
            for index in 0..there.count {
                let chunk = layout.chunk(class, index).unwrap();
                let tag = Tag::of(chunk, there.size);
                assert_eq!(layout.admit(tag), Ok((chunk, there.size)));
                assert!(tag.means(chunk) && !tag.is_inline());
                assert_eq!((chunk.class(), chunk.index()), (class, index));
                assert!(!Tag::of(chunk, 0).means(Chunk::new(class, index + 1)));
                assert!(!Tag::of(chunk, 0).means(Chunk::new(class + 1, index)));
            }
            assert!(layout.chunk(class, there.count).is_none());
        }
    }

    #[test]
    fn what_is_not_there_is_corrupt() {
        let layout = layout();
        let chunk = layout.chunk(0, 3).unwrap();
        assert!(matches!(layout.admit(Tag::of(chunk, 65)), Err(Corrupt { found: 65, limit: 64, .. })));
        assert!(layout.admit(Tag::of(Chunk::new(0, 12), 1)).is_err());
        assert!(layout.admit(Tag::of(Chunk::new(4, 3), 1)).is_err());
        assert!(layout.admit(Tag(u64::MAX)).is_err());
        assert!(layout.admit(Tag::inline(5)).is_err());
        assert!(Tag::inline(5).is_inline() && Tag::inline(5).len() == 5);
    }
}

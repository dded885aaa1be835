//! What an entry refers to, and how changes are numbered.

use core::fmt;

/// The word of an entry.
///
/// ```text
/// stamp:32 | place:32      place: 0 is none, else the first unit of a chunk, plus one
/// ```
///
/// The stamp is the number of the change that wrote the word, modulo 2³²: so no word of an entry recurs within as many changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    /// Refers to the chunk that begins with `unit`.
    #[inline]
    pub(crate) fn chunk(unit: u32, change: u64) -> Self {
        Word(change << 32 | (u64::from(unit) + 1) & 0xffff_ffff)
    }

    /// Refers to nothing.
    #[inline]
    pub(crate) fn empty(change: u64) -> Self {
        Word(change << 32)
    }

    /// The first unit of the chunk, if there is one.
    #[inline]
    pub(crate) fn unit(self) -> Option<u32> {
        (self.0 as u32).checked_sub(1)
    }

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Word(bits)
    }

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word").field("stamp", &(self.0 >> 32)).field("unit", &self.unit()).finish()
    }
}

/// Which change was begun last.
///
/// ```text
/// number:63 | MENDING:1      MENDING: what is derived is being made anew, and cannot be relied on
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn(u64);

impl Turn {
    #[inline]
    pub(crate) fn new(number: u64) -> Self {
        Turn(number << 1)
    }

    #[inline]
    pub(crate) fn number(self) -> u64 {
        self.0 >> 1
    }

    #[inline]
    pub(crate) fn is_mending(self) -> bool {
        self.0 & 1 != 0
    }

    #[inline]
    pub(crate) fn mending(self) -> Self {
        Turn(self.0 | 1)
    }

    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Turn(bits)
    }

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }
}

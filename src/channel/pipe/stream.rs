//! How messages become records: whole, or in pieces if they are large.
//!
//! ```text
//! tag of a record:  flags:8 | id:24
//!
//! FIRST|LAST    a whole message
//! FIRST         the first piece; its payload starts with the message's total length (u64, little endian)
//! (none)        a further piece
//! LAST          the last piece
//! ABORT         the message in pieces ends here, unfinished: its sender died or gave up
//! ```
//!
//! All pieces of a message have the same id, consecutive messages in pieces different ones. The reader trusts
//! none of it: whatever the records say, each one is a message, a piece of the current one, or dropped.

/// The flags of a whole message.
pub(super) const WHOLE: u32 = FIRST | LAST;
pub(super) const FIRST: u32 = 1 << 24;
pub(super) const LAST: u32 = 1 << 25;
pub(super) const ABORT: u32 = 1 << 26;
const ID: u32 = FIRST - 1;

/// Bytes of the total length in front of a first piece.
pub(super) const PREFIX: usize = 8;

/// The tag of a record.
pub(super) const fn tag(flags: u32, id: u64) -> u32 {
    flags | id as u32 & ID
}

/// A message of which some pieces have come.
#[derive(Debug)]
pub(super) struct Partial {
    id: u32,
    /// The bytes so far; not kept if `skipped`.
    pub(super) bytes: Vec<u8>,
    /// How many came so far.
    pub(super) received: u64,
    /// The message is too long for this end: it is received only to be dropped.
    pub(super) skipped: bool,
}

/// What the reader has to do with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is a message of its own.
    Whole,
    /// It begins a message in pieces.
    Begin,
    /// It goes on with the current one; `last`: and ends it.
    Continue { last: bool },
    /// Its message ended unfinished, which nobody else will report.
    Abort,
    /// It belongs to a message whose beginning somebody else took, or to none.
    Drop,
}

/// Judges a record by its tag and the message in progress.
pub(super) fn judge(tag: u32, partial: Option<&Partial>) -> Step {
    let current = partial.is_some_and(|partial| partial.id == tag & ID);
    match (tag & ABORT != 0, tag & FIRST != 0, tag & LAST != 0) {
        (true, _, _) if current => Step::Abort,
        (true, _, _) => Step::Drop,
        (false, true, true) => Step::Whole,
        (false, true, false) => Step::Begin,
        (false, false, last) if current => Step::Continue { last },
        (false, false, _) => Step::Drop,
    }
}

impl Partial {
    /// The beginning of a message with this tag.
    pub(super) fn new(tag: u32, bytes: Vec<u8>) -> Self {
        Partial { id: tag & ID, bytes, received: 0, skipped: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_judged_by_their_tag_and_the_message_in_progress() {
        let seven = Partial::new(tag(FIRST, 7), Vec::new());
        assert_eq!(judge(tag(WHOLE, 0), None), Step::Whole);
        assert_eq!(judge(tag(WHOLE, 7), Some(&seven)), Step::Whole);
        assert_eq!(judge(tag(FIRST, 7), None), Step::Begin);
        assert_eq!(judge(tag(0, 7), Some(&seven)), Step::Continue { last: false });
        assert_eq!(judge(tag(LAST, 7), Some(&seven)), Step::Continue { last: true });
        assert_eq!(judge(tag(ABORT, 7), Some(&seven)), Step::Abort);
        // Pieces of what we did not see the beginning of.
        assert_eq!(judge(tag(0, 8), Some(&seven)), Step::Drop);
        assert_eq!(judge(tag(LAST, 7), None), Step::Drop);
        assert_eq!(judge(tag(ABORT, 7), None), Step::Drop);
        // Flags beyond those known change nothing.
        assert_eq!(judge(tag(LAST, 7) | 1 << 31, Some(&seven)), Step::Continue { last: true });
    }

    #[test]
    fn ids_use_24_bits() {
        assert_eq!(tag(FIRST, 0x1_2345_6789), FIRST | 0x45_6789);
    }
}

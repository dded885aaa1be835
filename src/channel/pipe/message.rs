//! A received message: lent out where it lies, or a copy.

use super::receive::Turn;
use crate::channel::bytes::in_place;
use crate::ring::bytes::Record;
use core::fmt;
use core::ops::Deref;

/// A message received without copying; see [`Connection::recv_ref`](crate::Connection::recv_ref). In a process forked meanwhile it is empty if
/// it was not a copy.
pub struct Message<'a> {
    content: Content<'a>,
}

impl<'a> Message<'a> {
    pub(super) fn new(content: Content<'a>) -> Self {
        Message { content }
    }
}

pub(super) enum Content<'a> {
    /// In the ring; released on drop.
    Shared { turn: Turn<'a>, record: Record },
    /// Here.
    Private(Vec<u8>),
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.content {
            Content::Shared { turn, .. } if !turn.is_ours() => &[],
            Content::Shared { turn, record } => match &turn.state.reader {
                // SAFETY: the record is held until this is dropped, and the peers are trusted not to write it.
                Some(reader) => unsafe { in_place(reader, record) },
                None => &[],
            },
            Content::Private(message) => message,
        }
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        if let Content::Shared { turn, record } = &mut self.content
            && turn.is_ours()
        {
            let record = *record;
            // Fails only if there is no reader, and then there was no record.
            let _ = turn.release(&record);
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("len", &self.len()).finish_non_exhaustive()
    }
}

//! A received message: read where it lies, or a copy.

use super::core::Core;
use super::store::{Content, Parcel, Small};
use crate::channel::RecvError;
use crate::pool::Kept;
use crate::wait::Deadline;
use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

/// A message received without a copy; see [`Queue::recv`](crate::Queue::recv).
///
/// Its memory is the receiver's until this is dropped, in whatever order; it comes back too if this process dies. (A
/// message of up to 48 bytes, or one from peers that are not trusted, is a copy.) In a process forked meanwhile it is
/// empty if it was not a copy.
pub struct Message<'q> {
    holder: Holder<'q>,
    content: Held,
    id: u64,
    deliveries: u8,
    generation: u64,
}

enum Holder<'q> {
    Borrowed(&'q Arc<Core>),
    Owned(Arc<Core>),
}

enum Held {
    Small(Small),
    /// In the pool; freed on drop.
    Shared(Option<Kept>),
    /// Here.
    Private(Vec<u8>),
}

impl<'q> Message<'q> {
    #[inline(always)]
    pub(super) fn receive(core: &'q Arc<Core>, deadline: Option<Deadline>) -> Result<Self, RecvError> {
        let Parcel { content, id, deliveries } = core.recv_when(deadline, |me| core.pop_parcel(me))?;
        let content = match content {
            Content::Small(small) => Held::Small(small),
            Content::Chunk(kept) if core.store().is_trusting => Held::Shared(Some(kept)),
            Content::Chunk(kept) => {
                let mut copy = Vec::new();
                core.copy_and_free(kept, &mut copy);
                Held::Private(copy)
            }
        };
        let generation = core.segment.generation().current();
        Ok(Message { holder: Holder::Borrowed(core), content, id, deliveries, generation })
    }

    /// The number of the message in the queue, counted in the order of sending. The same at each delivery.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many receivers died while they were taking it, before this one.
    pub fn deliveries(&self) -> u8 {
        self.deliveries
    }

    /// The same message apart from the handle it came through, which may be dropped before it.
    pub fn detach(mut self) -> Message<'static> {
        let holder = Holder::Owned(Arc::clone(self.core()));
        let content = core::mem::replace(&mut self.content, Held::Private(Vec::new()));
        Message { holder, content, id: self.id, deliveries: self.deliveries, generation: self.generation }
    }

    fn core(&self) -> &Arc<Core> {
        match &self.holder {
            Holder::Borrowed(core) => core,
            Holder::Owned(core) => core,
        }
    }

    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.core().segment.generation().is(self.generation)
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.content {
            Held::Small(small) => small.bytes(),
            Held::Shared(Some(kept)) if self.is_ours() => {
                let start = self.core().store().pool.address(kept.chunk());
                // SAFETY: the length was checked against the chunk. Its bytes stay as they are until it is freed by our
                // drop: its word names us, and the peers are trusted to keep to that.
                unsafe { core::slice::from_raw_parts(start.as_ptr(), kept.len() as usize) }
            }
            Held::Shared(_) => &[],
            Held::Private(copy) => copy,
        }
    }
}

impl AsRef<[u8]> for Message<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Message<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Held::Shared(kept) = &mut self.content
            && let Some(kept) = kept.take()
            && self.is_ours()
        {
            self.core().free(kept);
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { id, deliveries, .. } = self;
        let mut message = f.debug_struct("Message");
        message.field("len", &self.len()).field("id", id).field("deliveries", deliveries);
        message.finish_non_exhaustive()
    }
}

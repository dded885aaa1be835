//! A received message: read where it lies, or a copy.

use super::core::Core;
use super::holder::Holder;
use super::store::Parcel;
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
    /// In its chunk if it was lent out in place; freed on drop.
    parcel: Parcel,
    /// What lay in a chunk, if the peers are not trusted.
    copy: Option<Vec<u8>>,
}

impl<'q> Message<'q> {
    #[inline(always)]
    pub(super) fn receive(core: &'q Arc<Core>, deadline: Option<Deadline>) -> Result<Self, RecvError> {
        let mut message = Message { holder: Holder::new(core), parcel: Parcel::EMPTY, copy: None };
        core.recv_when(deadline, |me| core.pop_parcel(me, &mut message.parcel))?;
        if !core.store().is_trusting {
            message.copy_out()?;
        }
        Ok(message)
    }

    /// A message that was counted when it was received into a chunk, which is freed now if there is a copy.
    #[inline(always)]
    pub(super) fn counted(
        core: &'q Arc<Core>,
        kept: Kept,
        copy: Option<Vec<u8>>,
        id: u64,
        deliveries: u8,
    ) -> Self {
        let mut parcel = Parcel::EMPTY;
        (parcel.id, parcel.deliveries) = (id, deliveries);
        if copy.is_some() {
            core.free(kept);
        } else {
            parcel.chunk = Some(kept);
        }
        Message { holder: Holder::new(core), parcel, copy }
    }

    fn release(&mut self) {
        if let Some(kept) = self.parcel.chunk.take()
            && self.holder.is_ours()
        {
            self.holder.free(kept);
        }
    }

    #[cold]
    fn copy_out(&mut self) -> Result<(), RecvError> {
        if let Some(kept) = self.parcel.chunk.take() {
            let mut copy = Vec::new();
            self.holder.copy_and_free(kept, &mut copy)?;
            self.copy = Some(copy);
        }
        Ok(())
    }

    /// The number of the message in the queue, counted in the order of sending. The same at each delivery.
    pub fn id(&self) -> u64 {
        self.parcel.id
    }

    /// How many receivers died while they were taking it, before this one.
    pub fn deliveries(&self) -> u8 {
        self.parcel.deliveries
    }

    /// Whether there is room to hold on to this message for long: receivers hold at most half of the memory there is for
    /// messages of its size, this one counted. Memory that is held is not there for senders. So whoever cannot tell how many
    /// messages will be held at once asks this for each, and if it is `false`, keeps a copy instead: then none of the others
    /// ever has to wait for it. Always `true` for a message that is a copy itself.
    ///
    /// ```
    /// let queue = ringway::Queue::<[u8]>::options().max_bytes(4 << 20).anonymous()?;
    /// let (mut held, mut copies) = (Vec::new(), Vec::new());
    /// for _ in 0..100 {
    ///     queue.send(&[7; 1 << 20])?;
    ///     let message = queue.recv()?;
    ///     if message.can_be_held() { held.push(message) } else { copies.push(message.to_vec()) }
    /// }
    /// assert!(!held.is_empty() && !copies.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn can_be_held(&self) -> bool {
        self.parcel.chunk.as_ref().is_none_or(|kept| self.holder.store().pool.leaves_enough(kept.chunk()))
    }

    /// The same message apart from the handle it came through, which may be dropped before it.
    pub fn detach(mut self) -> Message<'static> {
        let holder = self.holder.detach();
        let parcel = core::mem::replace(&mut self.parcel, Parcel::EMPTY);
        Message { holder, parcel, copy: self.copy.take() }
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match (&self.parcel.chunk, &self.copy) {
            (Some(kept), _) if self.holder.is_ours() => {
                let start = self.holder.store().pool.address(kept.chunk());
                // SAFETY: the length was checked against the chunk. Its bytes stay as they are until it is freed by our
                // drop: its word names us, and the peers are trusted to keep to that.
                unsafe { core::slice::from_raw_parts(start.as_ptr(), kept.len() as usize) }
            }
            (Some(_), _) => &[],
            (None, Some(copy)) => copy,
            (None, None) => self.parcel.small(),
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
        if self.parcel.chunk.is_some() {
            self.release();
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut message = f.debug_struct("Message");
        message.field("len", &self.len()).field("id", &self.id()).field("deliveries", &self.deliveries());
        message.finish_non_exhaustive()
    }
}

//! The way of a chunk through the ring: what makes a message of it, and what takes the message out again.

use super::chunk::{Held, Kept, Loan, Purpose, Task};
use super::tag::{Chunk, Tag};
use super::word::State;
use super::{Pool, chunk};
use crate::error::Corrupt;
use crate::ring::mpmc::{
    Blocker, Claim, MAX_DELIVERIES, Position, Slots, State as SlotState, Word as SlotWord,
};
use crate::sync::{Ordering, mutated};

impl Pool {
    /// Sends a loan of which `len` bytes are filled, through a slot that was claimed
    /// for it. The commit of the slot is the one store by which the message comes to exist.
    #[inline(always)]
    pub(crate) fn send(&self, slots: &Slots, claim: Claim, loan: Loan, len: u64) {
        let (stamp, len) = (slots.stamp(claim.position.index), len.min(self.capacity(loan.chunk)));
        if mutated!("pool.commit_first") {
            stamp.tag.store(Tag::of(loan.chunk, len).0, Ordering::Relaxed);
            slots.commit(claim);
        }
        let tag = self.address_to(loan.chunk, claim.position, len);
        // Relaxed: the commit orders it.
        if !mutated!("pool.commit_first") {
            stamp.tag.store(tag.0, Ordering::Relaxed);
            slots.commit(claim);
        }
    }

    /// What lies in a slot that was taken.
    #[inline(always)]
    pub(crate) fn tag(&self, slots: &Slots, claim: Claim) -> Tag {
        // Relaxed: written before the commit, which taking the slot has seen.
        Tag(slots.stamp(claim.position.index).tag.load(Ordering::Relaxed))
    }

    /// Receives for good what lies in a slot that was taken, and frees the slot.
    ///
    /// # Errors
    /// [`Corrupt`] if the slot refers to what cannot be. It is freed then too: one false message blocks nobody.
    #[inline(always)]
    pub(crate) fn receive_kept(&self, slots: &Slots, claim: Claim, me: u16) -> Result<Kept, Corrupt> {
        self.receive(slots, claim, Purpose::Keep, me).map(Kept)
    }

    /// Receives to work on it what lies in a slot that was taken, and frees the slot.
    ///
    /// # Errors
    /// As [`receive_kept`](Self::receive_kept).
    #[inline(always)]
    pub(crate) fn receive_task(&self, slots: &Slots, claim: Claim, me: u16) -> Result<Task, Corrupt> {
        self.receive(slots, claim, Purpose::Work, me).map(Task)
    }

    #[inline(always)]
    fn receive(&self, slots: &Slots, claim: Claim, purpose: Purpose, me: u16) -> Result<Held, Corrupt> {
        let tag = self.tag(slots, claim);
        // The stamp first: whoever sees the slot free must see the chunk moved.
        if mutated!("pool.free_slot_first") {
            slots.free(claim);
        }
        let held = self.take(tag, claim.position, purpose, me, claim.word.deliveries());
        if !mutated!("pool.free_slot_first") {
            slots.free(claim);
        }
        held
    }

    /// All of [`send`](Self::send) but the commit: a sender that dies there.
    #[cfg(any(test, loom))]
    pub(crate) fn send_uncommitted(&self, slots: &Slots, claim: Claim, loan: &Loan, len: u64) {
        let tag = self.address_to(loan.chunk, claim.position, len);
        slots.stamp(claim.position.index).tag.store(tag.0, Ordering::Relaxed);
    }

    /// Stamps the chunk, and leaves the slot as it is: a receiver that dies there.
    #[cfg(loom)]
    pub(crate) fn stamp_only(&self, slots: &Slots, claim: Claim, me: u16) -> Result<Kept, Corrupt> {
        let tag = self.tag(slots, claim);
        self.take(tag, claim.position, Purpose::Keep, me, claim.word.deliveries()).map(Kept)
    }

    /// Takes the sender's name from the chunk of a message that is about to be given up: LOANED → QUEUED. A slot whose
    /// receiver died with the last possible delivery is passed over by its repairer, and nobody but the sender's own death
    /// would tell then that the chunk is not being filled. Call this before [`Slots::repair`]; it does nothing
    /// in all other cases.
    #[cold]
    pub(crate) fn disown(&self, slots: &Slots, blocker: Blocker) {
        let seen = blocker.word;
        if seen.state() != SlotState::Reading || seen.deliveries() < MAX_DELIVERIES {
            return;
        }
        let stamp = slots.stamp(blocker.index);
        let Ok((chunk, _)) = self.layout().admit(Tag(stamp.tag.load(Ordering::Relaxed))) else { return };
        let word = chunk::judge(self.entry(chunk));
        // Acquire: pairs with the Release of the repair. If the slot has not moved since the chunk's word was read, that
        // word was the message's, and not that of a later loan.
        let still = SlotWord(stamp.word.load(Ordering::Acquire)) == seen || mutated!("pool.disown_still");
        if still && word.state() == Some(State::Loaned) {
            self.exchange(chunk, word, word.step(State::Queued, 0, word.deliveries()));
        }
    }
}

/// Whether the slot of `position` refers to `chunk`: it holds exactly that lap and is READY or READING. A slot in
/// WRITING never counts, its message does not exist; one that is FREE has passed its message on.
pub(super) fn is_referenced(slots: &Slots, chunk: Chunk, position: u64) -> bool {
    let at = Position::unpack(position);
    if at.index >= slots.geometry().capacity() {
        return false;
    }
    let stamp = slots.stamp(at.index);
    // Acquire: pairs with the Release of the commit: the tag is that of this lap.
    let word = SlotWord(stamp.word.load(Ordering::Acquire));
    let holds = matches!(word.state(), SlotState::Ready | SlotState::Reading) && word.lap() == at.lap;
    // Another chunk's message can be there, many laps after this one's. If the slot moved since its word was read, the
    // chunk was stamped before, and whoever asks here fails in his exchange.
    holds && Tag(stamp.tag.load(Ordering::Relaxed)).means(chunk)
}

//! The plain case: the slot that the hint names is as it should be, nothing is in the way, and nobody is faster.
//!
//! It is all there is to most calls, so it is kept apart from what can fail or must wait: it answers in registers, and
//! whatever it will not do it leaves untouched to the long way.
//!
//! Several messages in a row are single ones, each claimed and committed by itself. Only the hint moves once for all of
//! them: it may be old at any time, and whoever comes meanwhile walks over what it does not tell of.

use bytemuck::AnyBitPattern;

use super::word::{Position, Word};
use super::{Claim, Ring, Slots};
use crate::sync::{Ordering, mutated, order};
use crate::wait::Barrier;

impl Slots {
    /// Where the hint says that the next message goes, if that can be.
    #[inline(always)]
    pub(super) fn hinted_tail(&self) -> Option<Position> {
        // Acquire: pairs with the Release in `hint_tail`: the claims before the hinted place are visible. Without it an
        // honest hint could look like a lie, which costs a rebuild and no more.
        self.geometry().admit(self.header().tail.load(Ordering::Acquire))
    }

    /// Says that the next message goes to `next`: the place after one that was claimed.
    #[inline(always)]
    pub(super) fn hint_tail(&self, next: Position) {
        // Release: pairs with the Acquire in `hinted_tail`.
        self.header().tail.store(next.pack(), Ordering::Release);
    }

    /// Where the hint says that the next message is, if that can be.
    #[inline(always)]
    pub(super) fn hinted_head(&self) -> Option<Position> {
        // Acquire: pairs with the Release in `hint_head`, as for the tail.
        self.geometry().admit(self.header().head.load(Ordering::Acquire))
    }

    /// Says that the next message is at `next`: the place after one that was taken.
    #[inline(always)]
    pub(super) fn hint_head(&self, next: Position) {
        // Release: pairs with the Acquire in `hinted_head`.
        self.header().head.store(next.pack(), Ordering::Release);
    }

    /// Claims exactly the place `at`, if it is free: FREE → WRITING. Leaves the hint to the caller.
    #[inline(always)]
    pub(super) fn claim_at(&self, at: Position, me: u16) -> Option<Claim> {
        // reuse. Acquire: pairs with the Release in `free`: the last receiver's reads come before our writes.
        let seen = Word(self.word_of(at.index).load(order!(Acquire, "mpmc.reuse")));
        if seen == Word::free(at.lap) { self.claim_exactly(at, seen, me) } else { None }
    }

    /// Takes the message at exactly the place `at`, if it is delivered for the first time: READY → READING. Leaves the
    /// hint to the caller.
    #[inline(always)]
    pub(super) fn take_at(&self, at: Position, me: u16) -> Option<Claim> {
        // observe. Acquire: pairs with the Release in `commit`: the content is visible from here on.
        let seen = Word(self.word_of(at.index).load(order!(Acquire, "mpmc.observe")));
        if seen == Word::free(at.lap).ready(0) { self.take_exactly(at, seen, me) } else { None }
    }

    /// Whether a slot that was just claimed may be filled: not if the queue is closed, then it is given back.
    #[inline(always)]
    pub(super) fn keep_if_open(&self, claim: Claim, looked: bool, barrier: Barrier) -> bool {
        // Pairs with the heavy barrier of whoever closes: either we see that, or it sees our claim.
        barrier.before_wake();
        if looked || self.header().closing.is_open() {
            return true;
        }
        self.give_back(claim);
        false
    }

    /// Never, but in a mutant that looks whether the queue is open before it claims.
    #[inline(always)]
    pub(super) fn look_too_early(&self) -> bool {
        mutated!("mpmc.look_before_claim") && self.header().closing.is_open()
    }
}

impl<T: AnyBitPattern> Ring<T> {
    /// Fills a claimed slot and commits it.
    #[inline(always)]
    pub(super) fn fill(&self, claim: Claim, value: T) {
        if mutated!("mpmc.commit_before_write") {
            self.slots.commit(claim);
        }
        // SAFETY: the slot is ours: its word names us, we live, and a mapping is initialised.
        unsafe { self.content(claim).write(value) };
        self.slots.commit(claim);
    }

    /// Copies a message out of a slot that was taken. It stays taken until [`Slots::free`].
    #[inline(always)]
    pub(super) fn empty(&self, claim: Claim) -> T {
        if mutated!("mpmc.free_before_read") {
            self.slots.free(claim);
        }
        // SAFETY: the slot is ours: its word names us, so an honest sender leaves it alone; any bits are a `T`.
        unsafe { crate::ring::read(self.content(claim)) }
    }

    /// Sends one message as participant `me` if nothing is in the way. If not, nothing was sent, for whatever reason.
    #[inline(always)]
    pub(crate) fn push_straight(&self, me: u16, value: T, barrier: Barrier) -> bool {
        let looked = self.slots.look_too_early();
        let Some(at) = self.slots.hinted_tail() else { return false };
        let Some(claim) = self.slots.claim_at(at, me) else { return false };
        self.slots.hint_tail(at.next(self.slots.geometry().capacity()));
        if !self.slots.keep_if_open(claim, looked, barrier) {
            return false;
        }
        self.fill(claim, value);
        true
    }

    /// Sends the first of `values` as participant `me`, one by one, as long as nothing is in the way. Returns how many.
    #[inline]
    pub(crate) fn push_row(&self, me: u16, values: &[T], barrier: Barrier) -> usize {
        let capacity = self.slots.geometry().capacity();
        let looked = self.slots.look_too_early();
        let Some(mut at) = self.slots.hinted_tail() else { return 0 };
        let mut sent = 0;
        for &value in values {
            let Some(claim) = self.slots.claim_at(at, me) else { break };
            at = at.next(capacity);
            if !self.slots.keep_if_open(claim, looked, barrier) {
                break;
            }
            self.fill(claim, value);
            sent += 1;
        }
        if sent > 0 {
            self.slots.hint_tail(at);
        }
        sent
    }

    /// Takes the next message as participant `me` if it is there, nothing is in the way, and there are no orphans.
    #[inline(always)]
    pub(crate) fn pop_straight(&self, me: u16) -> Option<T> {
        if self.slots.header().has_orphans() {
            return None;
        }
        let at = self.slots.hinted_head()?;
        let claim = self.slots.take_at(at, me)?;
        self.slots.hint_head(at.next(self.slots.geometry().capacity()));
        let value = self.empty(claim);
        self.slots.free(claim);
        Some(value)
    }

    /// Takes the next messages as participant `me`, one by one, up to `most`, as long as nothing is in the way and there
    /// are no orphans. Returns how many.
    #[inline]
    pub(crate) fn pop_row(&self, me: u16, most: usize, mut take: impl FnMut(T)) -> usize {
        if self.slots.header().has_orphans() {
            return 0;
        }
        let capacity = self.slots.geometry().capacity();
        let Some(mut at) = self.slots.hinted_head() else { return 0 };
        let mut received = 0;
        while received < most {
            let Some(claim) = self.slots.take_at(at, me) else { break };
            at = at.next(capacity);
            let value = self.empty(claim);
            self.slots.free(claim);
            take(value);
            received += 1;
        }
        if received > 0 {
            self.slots.hint_head(at);
        }
        received
    }
}

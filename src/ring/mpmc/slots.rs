//! Claiming, committing, taking and freeing slots; finding the next one by hints.

use core::ptr::NonNull;

use super::word::{Position, State, Word, laps_ahead};
use super::{Blocker, Geometry, Header, PopError, PushError};
use crate::error::Corrupt;
use crate::ring::pace::Lull;
use crate::sync::{AtomicU64, Ordering, order, store_beside_cas};
use crate::wait::Barrier;

/// The start of a slot whose content is not always of one kind.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Stamp {
    /// Who uses the slot for what; see [`Word`].
    pub(crate) word: AtomicU64,
    /// For the layer above: what the content is. Written by the owner of a WRITING slot, read by that of a READING
    /// one, always Relaxed: the word orders it.
    pub(crate) tag: AtomicU64,
}

#[cfg(any(test, loom))]
impl Stamp {
    /// That of a slot that is free for `lap`.
    pub(crate) fn vacant(lap: u64) -> Self {
        Stamp { word: AtomicU64::new(Word::free(lap).0), tag: AtomicU64::new(0) }
    }
}

/// The slots of a ring without their content: all that the algorithm needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slots {
    header: NonNull<Header>,
    first: NonNull<u8>,
    geometry: Geometry,
}

// SAFETY: addresses of memory that consists of atomics as far as this type reaches it.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

/// A slot in the hands of this process: WRITING or READING, as it says.
#[derive(Debug, Clone, Copy)]
#[must_use = "a claimed slot must be committed or given back"]
pub(crate) struct Claim {
    pub(crate) position: Position,
    /// The word as we left it.
    pub(crate) word: Word,
}

/// How often a call starts anew from the hint before it says that it came to nothing: each time it has lost all its
/// steps to others who went ahead.
const ROUNDS: u32 = 4;

impl Slots {
    /// Names the place of a ring.
    ///
    /// # Safety
    /// As long as this value or a copy of it is used, `header` points to an aligned, mapped, writable [`Header`], and
    /// `first` to `geometry.capacity()` slots in a row, `geometry.stride()` bytes apart, each aligned to 16 bytes and
    /// starting with a [`Word`]; with a [`Stamp`] if [`stamp`](Self::stamp) is used. Their content may be anything at any
    /// time.
    pub(crate) const unsafe fn new(header: NonNull<Header>, first: NonNull<u8>, geometry: Geometry) -> Self {
        Slots { header, first, geometry }
    }

    pub(crate) const fn geometry(&self) -> Geometry {
        self.geometry
    }

    #[inline(always)]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: mapped for as long as this is used, as promised to `new`, and made of atomics.
        unsafe { self.header.as_ref() }
    }

    /// The address of the slot; `index` is taken modulo nothing, so it must be below the capacity.
    #[inline(always)]
    pub(super) fn at(&self, index: u32) -> NonNull<u8> {
        debug_assert!(index < self.geometry.capacity());
        // SAFETY: every index used comes from `Geometry::admit`, `Position::next` or a loop over the capacity, and
        // `new` was promised that many slots.
        unsafe { self.first.add(index as usize * self.geometry.stride()) }
    }

    /// The word of a slot.
    #[inline(always)]
    pub(crate) fn word_of(&self, index: u32) -> &AtomicU64 {
        // SAFETY: each slot starts with its word, as promised to `new`, and nobody sees it as anything but an atomic.
        unsafe { self.at(index).cast::<AtomicU64>().as_ref() }
    }

    /// The stamp of a slot, for those who made the slots with stamps.
    #[inline(always)]
    pub(crate) fn stamp(&self, index: u32) -> &Stamp {
        // SAFETY: each slot starts with a stamp, as promised to `new`; it consists of atomics.
        unsafe { self.at(index).cast::<Stamp>().as_ref() }
    }

    /// Where the content of a slot with a stamp begins that was claimed, if nothing says that it begins later.
    #[inline(always)]
    pub(crate) fn content(&self, claim: Claim) -> NonNull<u8> {
        // SAFETY: a stride is larger than a stamp.
        unsafe { self.at(claim.position.index).add(size_of::<Stamp>()) }
    }

    /// The word of a slot, as it is now.
    #[inline(always)]
    pub(super) fn word(&self, index: u32) -> Word {
        // Acquire: before anybody is asked whether the owner lives; and pairs with the Releases of `commit`,
        // `free` and the repairs, so that what is concluded of the other slots is not older than this one.
        Word(self.word_of(index).load(Ordering::Acquire))
    }

    /// Claims the next free slot for `me` to write: FREE → WRITING.
    ///
    /// # Errors
    /// [`PushError::Full`] with what is in the way, [`PushError::Contended`] if others were faster too often,
    /// [`PushError::Corrupt`] if the slots contradict each other.
    #[inline]
    pub(crate) fn claim(&self, me: u16) -> Result<Claim, PushError> {
        let hinted = self.hinted_tail();
        if let Some(at) = hinted
            && let Some(claim) = self.claim_at(at, me)
        {
            self.hint_tail(at.next(self.geometry.capacity()));
            return Ok(claim);
        }
        self.claim_after_all(me, hinted)
    }

    /// Claims the next free slot, unless the queue is closed.
    ///
    /// # Errors
    /// As [`claim`](Self::claim); [`PushError::Closed`].
    #[inline(always)]
    pub(crate) fn claim_open(&self, me: u16, barrier: Barrier) -> Result<Claim, PushError> {
        let looked = self.look_too_early();
        let claim = self.claim(me)?;
        if self.keep_if_open(claim, looked, barrier) { Ok(claim) } else { Err(PushError::Closed) }
    }

    /// FREE → WRITING, from exactly `seen`. Leaves the hint to the caller.
    #[inline(always)]
    pub(super) fn claim_exactly(&self, at: Position, seen: Word, me: u16) -> Option<Claim> {
        let mine = seen.writing(me);
        let word = self.word_of(at.index);
        // claim. Release: pairs with the Acquire in `Slots::word`: whoever reads our index there and asks after us sees
        // the row we filled in before. No Acquire: the load of `seen` had it, and no value recurs.
        word.compare_exchange(seen.0, mine.0, order!(Release, "mpmc.claim"), Ordering::Relaxed).ok()?;
        Some(Claim { position: at, word: mine })
    }

    /// The slow path of [`claim`](Self::claim): walks from the hint to the first place that nobody has claimed.
    #[inline(never)]
    fn claim_after_all(&self, me: u16, from: Option<Position>) -> Result<Claim, PushError> {
        let capacity = self.geometry.capacity();
        let mut rebuilt = 0;
        let mut from = from;
        for _ in 0..ROUNDS {
            let mut at = from.take().unwrap_or_else(|| self.tail());
            for _ in 0..self.geometry.patience() {
                let seen = Word(self.word_of(at.index).load(order!(Acquire, "mpmc.reuse_late")));
                match (laps_ahead(seen.lap(), at.lap), seen.state()) {
                    (0, State::Free) => {
                        if let Some(claim) = self.claim_exactly(at, seen, me) {
                            self.hint_tail(at.next(capacity));
                            return Ok(claim);
                        }
                    }
                    // Claimed in this lap.
                    (0, _) => at = at.next(capacity),
                    // The hint is laps behind. The last place of this slot that was claimed:
                    (1.., State::Free) => {
                        at = Position::new(seen.lap().wrapping_sub(1), at.index).next(capacity)
                    }
                    (1.., _) => at = Position::new(seen.lap(), at.index).next(capacity),
                    (-1, State::Writing | State::Ready | State::Reading) => {
                        return Err(PushError::Full(Blocker { index: at.index, word: seen }));
                    }
                    // Nobody can have claimed the places before this one: the hint lies.
                    _ if rebuilt > 1 => return Err(PushError::Corrupt(contradiction(at, seen))),
                    _ => {
                        from = Some(self.rebuild_tail());
                        rebuilt += 1;
                        break;
                    }
                }
            }
        }
        Err(PushError::Contended)
    }

    /// Where senders look first.
    pub(super) fn tail(&self) -> Position {
        self.hinted_tail().unwrap_or_else(|| self.rebuild_tail())
    }

    /// Where receivers look first.
    pub(super) fn head(&self) -> Position {
        self.hinted_head().unwrap_or_else(|| self.rebuild_head())
    }

    /// Whether a sender would find a free slot, or what is in its way. Loads only, unless the hint is wrong.
    pub(crate) fn look_for_space(&self) -> Result<(), PushError> {
        let mut at = self.tail();
        for _ in 0..self.geometry.patience() {
            let seen = self.word(at.index);
            match (laps_ahead(seen.lap(), at.lap), seen.state()) {
                (0, State::Free) => return Ok(()),
                (0, _) => at = at.next(self.geometry.capacity()),
                // As in `claim_after_all`: those before it may still be in use.
                (1.., State::Free) => {
                    at = Position::new(seen.lap().wrapping_sub(1), at.index).next(self.geometry.capacity())
                }
                (1.., _) => at = Position::new(seen.lap(), at.index).next(self.geometry.capacity()),
                _ => return Err(PushError::Full(Blocker { index: at.index, word: seen })),
            }
        }
        Err(PushError::Contended)
    }

    /// Makes the content visible: WRITING → READY. The one store by which a message comes to exist.
    #[inline(always)]
    pub(crate) fn commit(&self, claim: Claim) {
        let ready = claim.word.ready(0);
        // commit. Release: pairs with the Acquire in `take_next` and `orphan`: the content comes before it. Nobody
        // else moves the word of a live owner.
        store_beside_cas(self.word_of(claim.position.index), ready.0, order!(Release, "mpmc.commit"));
    }

    /// Gives a slot back unwritten: WRITING → FREE of the next lap. Receivers pass over the place.
    pub(crate) fn give_back(&self, claim: Claim) {
        // Release: pairs with the Acquire in `claim`, of whoever writes next.
        store_beside_cas(self.word_of(claim.position.index), claim.word.passed().0, Ordering::Release);
    }

    /// Takes the next message for `me`: READY → READING. Does not look for orphans.
    ///
    /// # Errors
    /// [`PopError::Empty`]; [`PopError::Busy`] if the next message is still being written; the others as for
    /// [`claim`](Self::claim).
    #[inline]
    pub(crate) fn take_next(&self, me: u16) -> Result<Claim, PopError> {
        let hinted = self.hinted_head();
        if let Some(at) = hinted
            && let Some(claim) = self.take_at(at, me)
        {
            self.hint_head(at.next(self.geometry.capacity()));
            return Ok(claim);
        }
        self.take_after_all(me, hinted)
    }

    /// READY → READING, from exactly `seen`. Leaves the hint to the caller.
    #[inline(always)]
    pub(super) fn take_exactly(&self, at: Position, seen: Word, me: u16) -> Option<Claim> {
        let mine = seen.reading(me);
        let word = self.word_of(at.index);
        // take. Release: pairs with the Acquire in `Slots::word`, as in `claim_exactly`.
        word.compare_exchange(seen.0, mine.0, order!(Release, "mpmc.take"), Ordering::Relaxed).ok()?;
        // An orphan is met in the lap after its own, too.
        Some(Claim { position: Position::new(seen.lap(), at.index), word: mine })
    }

    /// The slow path of [`take_next`](Self::take_next).
    #[inline(never)]
    fn take_after_all(&self, me: u16, from: Option<Position>) -> Result<Claim, PopError> {
        let mut rebuilt = 0;
        let mut from = from;
        for _ in 0..ROUNDS {
            let mut at = from.take().unwrap_or_else(|| self.head());
            for _ in 0..self.geometry.patience() {
                let seen = Word(self.word_of(at.index).load(order!(Acquire, "mpmc.observe_late")));
                match self.judge(at, seen) {
                    Next::Here { hint } => {
                        if let Some(claim) = self.take_exactly(at, seen, me) {
                            if hint {
                                self.hint_head(at.next(self.geometry.capacity()));
                            }
                            return Ok(claim);
                        }
                    }
                    Next::Go(next) => at = next,
                    Next::Nothing => return Err(PopError::Empty),
                    Next::Busy => return Err(PopError::Busy(Blocker { index: at.index, word: seen })),
                    Next::Contradiction if rebuilt > 1 => {
                        return Err(PopError::Corrupt(contradiction(at, seen)));
                    }
                    Next::Contradiction | Next::LapsBehind => {
                        from = Some(self.rebuild_head());
                        rebuilt += 1;
                        break;
                    }
                }
            }
        }
        Err(PopError::Contended)
    }

    /// Lets senders work for a moment, for a receiver that found nothing in the middle of a stream. Whether it did.
    pub(crate) fn pause_for_messages(&self, lull: &Lull) -> bool {
        // Relaxed: only a courtesy depends on it.
        let at = Position::unpack(self.header().head.load(Ordering::Relaxed));
        lull.pause(at.number(self.geometry.capacity()))
    }

    /// The same for a sender that found no space.
    pub(crate) fn pause_for_space(&self, lull: &Lull) -> bool {
        // Relaxed: as above.
        let at = Position::unpack(self.header().tail.load(Ordering::Relaxed));
        lull.pause(at.number(self.geometry.capacity()))
    }

    /// What a receiver at `at` concludes from the word there.
    pub(super) fn judge(&self, at: Position, seen: Word) -> Next {
        let capacity = self.geometry.capacity();
        match (laps_ahead(seen.lap(), at.lap), seen.state()) {
            (0, State::Ready) => Next::Here { hint: !seen.is_orphan() },
            (0, State::Free) => Next::Nothing,
            (0, State::Writing) => Next::Busy,
            (0, State::Reading) | (1, _) => Next::Go(at.next(capacity)),
            // Slots are passed over singly when a writer dies, so a slot that is laps ahead says nothing of its
            // neighbours: a jump by it could leave messages behind.
            (2.., _) => Next::LapsBehind,
            // The slot is still in the last lap: in this one nobody has come so far yet.
            (-1, State::Reading) => Next::Nothing,
            (-1, State::Ready) if seen.is_orphan() => Next::Here { hint: false },
            // Nobody can have taken the places before this one: the hint lies.
            _ => Next::Contradiction,
        }
    }

    /// Whether a receiver would find something, or what is in its way. Loads only, unless the hint is wrong.
    pub(crate) fn look(&self) -> Result<(), PopError> {
        let mut at = self.head();
        let mut rebuilt = false;
        for _ in 0..self.geometry.patience() {
            let seen = self.word(at.index);
            match self.judge(at, seen) {
                Next::Here { .. } => return Ok(()),
                Next::Go(next) => at = next,
                Next::Nothing => return Err(PopError::Empty),
                Next::Busy => return Err(PopError::Busy(Blocker { index: at.index, word: seen })),
                Next::Contradiction | Next::LapsBehind if !rebuilt => {
                    at = self.rebuild_head();
                    rebuilt = true;
                }
                Next::LapsBehind => return Err(PopError::Contended),
                Next::Contradiction => return Err(PopError::Corrupt(contradiction(at, seen))),
            }
        }
        Err(PopError::Contended)
    }

    /// Whether any message is there: one that a receiver would take now, or an orphan.
    pub(crate) fn holds_any(&self) -> bool {
        self.look().is_ok() || self.header().has_orphans() && self.find(Word::is_orphan)
    }

    fn find(&self, wanted: impl Fn(Word) -> bool) -> bool {
        (0..self.geometry.capacity()).any(|index| wanted(self.word(index)))
    }

    /// Gives a slot whose content was taken to the next lap: READING → FREE.
    #[inline(always)]
    pub(crate) fn free(&self, claim: Claim) {
        // free. Release: pairs with the Acquire in `claim`: our reads of the content come before the next writes.
        store_beside_cas(
            self.word_of(claim.position.index),
            claim.word.passed().0,
            order!(Release, "mpmc.free"),
        );
    }
}

/// What is to be done at a place, for a receiver.
pub(super) enum Next {
    /// Take it. An orphan's place is behind the hint, which then stays.
    Here {
        hint: bool,
    },
    Go(Position),
    Nothing,
    Busy,
    /// The hint is too old to go on from.
    LapsBehind,
    /// The hint cannot have come about.
    Contradiction,
}

#[cold]
fn contradiction(at: Position, seen: Word) -> Corrupt {
    Corrupt {
        field: "word of a slot",
        found: seen.0,
        limit: Word::free(at.lap).0,
        place: Some(at.index.into()),
    }
}

//! Many writers, many readers, and any of them may be killed at any instruction: the owner-stamped slot ring.
//!
//! ```text
//!   Header   +0    tail     a hint: the place after one that was claimed for writing
//!            +128  head     a hint: the place after one that was claimed for reading
//!            +256  orphans  whether messages lie behind the head, see `repair`
//!            +264  closing  whether senders may send, see `close`
//!   Slots    capacity() of them, stride() bytes apart: a word, then the content
//! ```
//!
//! Small slots share a cache line: what a stream costs is the lines that travel, and four messages in one come over
//! together. (Measured: 16 bytes instead of 64 for a `u64` made it four times as fast.)
//!
//! Vyukov's ring claims a position in a shared counter; a process that dies between that and its store into the slot
//! has claimed something nobody can name, and all others wait for it for ever. Here the claim *is* the slot's word, and
//! the claimer's index stands in it ([`Word`]). So anybody who finds a slot in the way can ask whether its owner lives,
//! and end what a dead one began.
//!
//! Where to claim next is only hinted at, by plain stores: an honest hint is the successor of a claimed place, so it is
//! never ahead; one that is behind costs steps, never correctness. One that contradicts the slots was scribbled over,
//! and is rebuilt from them.
//!
//! | store | pairs with | what it carries |
//! |---|---|---|
//! | `commit`: word, Release | `observe`: word, Acquire | the content |
//! | `free`: word, Release | `reuse`: word, Acquire | that the receiver has done with the content |
//! | `claim`, `take`: word, Release | `Slots::word`, Acquire | who the owner is, before it is asked after |
//! | `repair`: word, AcqRel | the same as for `commit` and `free` | what the dead owner did |

mod close;
mod count;
mod repair;
mod slots;
mod straight;
mod word;

use core::marker::PhantomData;
use core::mem::{align_of, offset_of, size_of};
#[cfg(any(test, loom))]
use core::ptr::NonNull;

use bytemuck::AnyBitPattern;
use crossbeam_utils::CachePadded;

use crate::error::Corrupt;
use crate::sync::{AtomicU64, Ordering, Slot};
use crate::wait::Barrier;

pub(crate) use close::{Closing, Phase};
pub(crate) use repair::{Orphans, Repairs};
pub(crate) use slots::{Claim, Slots, Stamp};
pub(crate) use word::{MAX_CAPACITY, MAX_DELIVERIES, Position, State, Word};

/// The shared part of the ring. Memory of all zeros is an open, empty ring.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    tail: CachePadded<AtomicU64>,
    head: CachePadded<AtomicU64>,
    /// Written rarely, so that every process can keep its own copy of the line.
    orphans: Orphans,
    pub(crate) closing: Closing,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 384 && align_of::<Header>() == 128);
    assert!(offset_of!(Header, head) == 128);
    assert!(offset_of!(Header, orphans) == 256);
    assert!(offset_of!(Header, closing) == 264);
};

impl Header {
    /// The hints to tail and head as they are, for onlookers.
    pub(crate) fn hints(&self) -> (u64, u64) {
        // Relaxed: figures.
        (self.tail.load(Ordering::Relaxed), self.head.load(Ordering::Relaxed))
    }

    /// Whether there may be messages behind the head.
    #[inline(always)]
    pub(crate) fn has_orphans(&self) -> bool {
        self.orphans.is_set()
    }
}

#[cfg(any(test, loom))]
impl Header {
    /// An empty ring whose hints say `tail` and `head`.
    pub(crate) fn hinting(tail: u64, head: u64) -> Self {
        Header {
            tail: CachePadded::new(AtomicU64::new(tail)),
            head: CachePadded::new(AtomicU64::new(head)),
            orphans: Orphans::new(),
            closing: Closing::new(),
        }
    }
}

/// The checked dimensions of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    capacity: u32,
    stride: usize,
}

impl Geometry {
    /// Dimensions for `capacity` slots with a content of `T`, or `None` if that is zero or above [`MAX_CAPACITY`].
    #[cfg(any(test, loom))]
    pub(crate) const fn of<T>(capacity: u64) -> Option<Self> {
        Self::new(capacity, size_of::<Cell<T>>())
    }

    /// The same for slots of `stride` bytes, whatever is in them.
    pub(crate) const fn new(capacity: u64, stride: usize) -> Option<Self> {
        if capacity == 0
            || capacity > MAX_CAPACITY
            || stride < size_of::<Stamp>()
            || !stride.is_multiple_of(16)
        {
            return None;
        }
        Some(Geometry { capacity: capacity as u32, stride })
    }

    pub(crate) const fn capacity(self) -> u32 {
        self.capacity
    }

    pub(crate) const fn stride(self) -> usize {
        self.stride
    }

    /// How many bytes the slots take.
    pub(crate) const fn bytes(self) -> u64 {
        self.capacity as u64 * self.stride as u64
    }

    /// A hint, unless it names a slot that there is not.
    #[inline(always)]
    fn admit(self, hint: u64) -> Option<Position> {
        let at = Position::unpack(hint);
        (at.index < self.capacity).then_some(at)
    }

    /// How many steps a walk may take: twice around, and some for lost races.
    const fn patience(self) -> u64 {
        self.capacity as u64 * 2 + 64
    }
}

/// A slot with its content. In a segment it lies within one cache line, or begins one.
#[repr(C, align(16))]
pub(crate) struct Cell<T> {
    /// Who uses the slot for what; see [`Word`].
    word: AtomicU64,
    content: Slot<T>,
}

#[cfg(any(test, loom))]
impl<T: Copy> Cell<T> {
    /// A slot that is free for `lap`.
    pub(crate) fn vacant(lap: u64) -> Self {
        Cell { word: AtomicU64::new(Word::free(lap).0), content: Slot::vacant() }
    }

    #[cfg(loom)]
    pub(crate) fn content(&self) -> &Slot<T> {
        &self.content
    }
}

/// What is in the way: a slot and what its word said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocker {
    pub(crate) index: u32,
    pub(crate) word: Word,
}

impl Blocker {
    /// Who holds the slot in mid-operation, if anybody does.
    pub(crate) fn owner(self) -> Option<u16> {
        self.word.is_held().then(|| self.word.owner())
    }
}

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    /// Every slot is taken; this one would be next.
    Full(Blocker),
    /// The queue was closed.
    Closed,
    /// Others were faster, again and again.
    Contended,
    /// The slots contradict each other.
    Corrupt(Corrupt),
}

/// Why nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PopError {
    /// No message is there.
    Empty,
    /// The next message is being written.
    Busy(Blocker),
    /// Others were faster, again and again.
    Contended,
    /// The slots contradict each other.
    Corrupt(Corrupt),
}

/// A message taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Popped<T> {
    pub(crate) value: T,
    /// The place in the stream, the same at each delivery.
    pub(crate) id: u64,
    /// How many receivers died with it.
    pub(crate) deliveries: u8,
}

/// Where a ring of `T` lies in this process.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    slots: Slots,
    content: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ring<T> {}

impl<T: AnyBitPattern> Ring<T> {
    /// Names the place of a ring with a content of `T`; `None` if there can be no ring of that capacity.
    ///
    /// # Safety
    /// As long as this value or a copy of it is used, `header` points to an aligned, mapped, writable [`Header`], and
    /// `first` to `capacity` initialised [`Cell<T>`]s in a row (a mapping is initialised). Their content may be anything
    /// at any time.
    #[cfg(any(test, loom))]
    pub(crate) unsafe fn new(
        header: NonNull<Header>,
        first: NonNull<Cell<T>>,
        capacity: u64,
    ) -> Option<Self> {
        let geometry = Geometry::of::<T>(capacity)?;
        // SAFETY: the caller's promise; a cell starts with its word, and its size is the stride.
        let slots = unsafe { Slots::new(header, first.cast(), geometry) };
        // SAFETY: the slots are cells of `T`.
        Some(unsafe { Ring::over(slots) })
    }

    /// Sees slots as what they are.
    ///
    /// # Safety
    /// The slots were made for a content of `T`: they are [`Cell<T>`]s.
    #[inline(always)]
    pub(crate) const unsafe fn over(slots: Slots) -> Self {
        const { assert!(align_of::<T>() <= 64, "a slot is aligned to 64 bytes") };
        Ring { slots, content: PhantomData }
    }

    #[cfg(any(test, loom))]
    pub(crate) const fn slots(&self) -> &Slots {
        &self.slots
    }

    #[inline(always)]
    fn content(&self, claim: Claim) -> &Slot<T> {
        // SAFETY: the slots are cells of `T`, as promised to `new`.
        let cell: &Cell<T> = unsafe { self.slots.at(claim.position.index).cast().as_ref() };
        &cell.content
    }

    /// Sends one message as participant `me`, and returns its id. A call that dies anywhere has sent it whole or not at
    /// all.
    ///
    /// # Errors
    /// See [`PushError`]; nothing was sent.
    #[inline]
    pub(crate) fn push(&self, me: u16, value: T, barrier: Barrier) -> Result<u64, PushError> {
        let claim = self.slots.claim_open(me, barrier)?;
        self.fill(claim, value);
        Ok(claim.position.number(self.slots.geometry().capacity()))
    }

    /// As [`pop_unless`](Self::pop_unless), never giving anything up.
    #[cfg(any(test, loom))]
    pub(crate) fn pop(&self, me: u16, is_dead: impl FnMut(u16) -> bool) -> Result<Popped<T>, PopError> {
        self.pop_unless(me, is_dead, |_, _| false)?.ok_or(PopError::Empty)
    }

    /// Takes one message out as participant `me`: an orphan if there is one, else the next. A call that dies anywhere
    /// has taken it, or it will be delivered again. `is_dead` is asked only about owners in the way of an orphan;
    /// `gives_up` is told the message and how often it was delivered, and decides whether it is passed over: then there is
    /// nothing to return.
    ///
    /// # Errors
    /// See [`PopError`].
    #[inline]
    pub(crate) fn pop_unless(
        &self,
        me: u16,
        is_dead: impl FnMut(u16) -> bool,
        gives_up: impl FnOnce(&T, u8) -> bool,
    ) -> Result<Option<Popped<T>>, PopError> {
        let claim = match self.slots.take_orphan(me, is_dead) {
            Some(claim) => claim,
            None => self.slots.take_next(me)?,
        };
        let value = self.empty(claim);
        let (id, deliveries) =
            (claim.position.number(self.slots.geometry().capacity()), claim.word.deliveries());
        let given_up = gives_up(&value, deliveries);
        self.slots.free(claim);
        Ok((!given_up).then_some(Popped { value, id, deliveries }))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

//! One writer, one reader, fixed-size messages: a Lamport ring whose sides cache each other's index.
//!
//! ```text
//!   Header   +0    tail     next position to be written; stored by the writer only
//!            +128  head     next position to be read; stored by the reader only
//!   Slots    geometry.slots() places of T, position p at p & mask
//!
//!   head <= tail <= head + capacity       (differences wrap)
//! ```
//!
//! Each side keeps its own index privately and looks at the other's only when the cached one is used up, so that
//! in a busy ring the two index lines hardly travel. A crash is harmless by construction: before the tail moves
//! a message does not exist, and until the head moves it will be delivered again.
//!
//! | store | pairs with | what it carries |
//! |---|---|---|
//! | `publish`: tail, Release | `observe`: tail, Acquire | the content of the slots |
//! | `release`: head, Release | `reuse`: head, Acquire | that the reader has done with the slots |

use core::ptr::NonNull;

use bytemuck::AnyBitPattern;
use crossbeam_utils::CachePadded;

use super::{ReadError, WriteError, pace};
use crate::error::Corrupt;
use crate::sync::{AtomicU64, Ordering, Slot, mutated, order};

/// The shared part of the ring. Memory of all zeros is an empty ring.
///
/// The rest of each side's 128 bytes is reserved, zero, and may only ever be written by that side. The number of
/// messages written and read since creation is the position itself.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    /// The next position to be written. Stored by the writer, loaded by the reader.
    tail: CachePadded<AtomicU64>,
    /// The next position to be read. Stored by the reader, loaded by the writer.
    head: CachePadded<AtomicU64>,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 256 && align_of::<Header>() == 128);
    assert!(core::mem::offset_of!(Header, tail) == 0);
    assert!(core::mem::offset_of!(Header, head) == 128);
};

impl Header {
    /// An empty ring whose next message has `position`. Positions usually start at 0; any other start behaves
    /// alike.
    #[cfg(any(test, loom))]
    pub(crate) fn starting_at(position: u64) -> Self {
        Header {
            tail: CachePadded::new(AtomicU64::new(position)),
            head: CachePadded::new(AtomicU64::new(position)),
        }
    }

    /// How many messages were ever written and read. On a live ring the two are not of one instant.
    pub(crate) fn counts(&self) -> Counts {
        // Relaxed: figures for an onlooker, nothing is concluded from them.
        let read = self.head.load(Ordering::Relaxed);
        Counts { written: self.tail.load(Ordering::Relaxed), read }
    }
}

/// Messages since the ring was created; see [`Header::counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages published.
    pub(crate) written: u64,
    /// Messages released.
    pub(crate) read: u64,
}

/// The checked dimensions of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    capacity: u64,
    mask: u64,
}

impl Geometry {
    /// The largest capacity: its slots, and twice that distance, are still far from wrapping.
    pub(crate) const MAX_CAPACITY: u64 = 1 << 48;

    /// Dimensions for exactly `capacity` messages, or `None` if that is zero or above
    /// [`MAX_CAPACITY`](Self::MAX_CAPACITY).
    pub(crate) const fn new(capacity: u64) -> Option<Self> {
        if capacity == 0 || capacity > Self::MAX_CAPACITY {
            return None;
        }
        Some(Geometry { capacity, mask: capacity.next_power_of_two() - 1 })
    }

    /// How many messages the ring holds before it is full.
    pub(crate) const fn capacity(self) -> u64 {
        self.capacity
    }

    /// How many slots the storage needs: the next power of two, so that finding one costs a mask and survives
    /// the wrap of the positions.
    pub(crate) const fn slots(self) -> u64 {
        self.mask + 1
    }

    /// How many bytes that storage has.
    const fn bytes<T>(self) -> u64 {
        self.slots().saturating_mul(size_of::<T>() as u64)
    }
}

/// Where a ring lies in this process.
pub(crate) struct Ring<T> {
    header: NonNull<Header>,
    slots: NonNull<Slot<T>>,
    geometry: Geometry,
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ring<T> {}

impl<T> core::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ring").field("header", &self.header).field("geometry", &self.geometry).finish()
    }
}

// SAFETY: two addresses and two numbers; who may use what lies there is decided by the roles that
// `Writer::attach` and `Reader::attach` demand, and messages cross threads only if `T: Send`.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: a shared `Ring` only gives out copies of itself and loads of atomics.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T: AnyBitPattern> Ring<T> {
    /// Names the place of a ring.
    ///
    /// # Safety
    /// As long as this value, a copy of it, or a writer or reader attached to it is used:
    /// - `header` points to an aligned, mapped, writable [`Header`];
    /// - `slots` points to `geometry.slots()` aligned, mapped, writable, initialised slots in a row (a mapping is).
    ///
    /// Their *content* may be anything at any time.
    pub(crate) const unsafe fn new(
        header: NonNull<Header>,
        slots: NonNull<Slot<T>>,
        geometry: Geometry,
    ) -> Self {
        Ring { header, slots, geometry }
    }

    /// The dimensions.
    pub(crate) const fn geometry(&self) -> Geometry {
        self.geometry
    }

    #[inline(always)]
    pub(crate) fn header<'a>(self) -> &'a Header {
        // SAFETY: `new` was promised a mapped header for as long as this ring is used, and callers keep the
        // reference no longer than the call they are in. It holds nothing but atomics.
        unsafe { self.header.as_ref() }
    }

    /// The slot of `position`, whatever that is.
    #[inline(always)]
    fn slot<'a>(self, position: u64) -> &'a Slot<T> {
        let index = (position & self.geometry.mask) as usize;
        // SAFETY: `index <= mask`, and `new` was promised mask + 1 slots.
        let slot = unsafe { self.slots.add(index) };
        // SAFETY: mapped for as long as this ring is used, as promised to `new`; a slot is only a place.
        unsafe { slot.as_ref() }
    }
}

/// The writing side's private state.
#[derive(Debug)]
pub(crate) struct Writer<T> {
    ring: Ring<T>,
    /// The next position to be written; the copy in shared memory is only stored to.
    tail: u64,
    /// The first position that may not be written yet: the head last seen, plus the capacity.
    limit: u64,
    /// Up to here, and never beyond the limit, the slots are prepared; the one comparison of the fast path.
    ready: u64,
    /// The tail when the reader's index was last looked at.
    looked: u64,
}

impl<T: AnyBitPattern> Writer<T> {
    /// Takes up the writing side where the last writer left it, even one that was killed in mid-operation.
    ///
    /// # Errors
    /// [`Corrupt`] if the indices contradict each other.
    ///
    /// # Safety
    /// Until this value is dropped the caller is the only writer of the ring: it holds the role, and if somebody
    /// held it before, everything that one did happened before this call.
    pub(crate) unsafe fn attach(ring: Ring<T>) -> Result<Self, Corrupt> {
        // Relaxed: only the writer stores the tail, and what the last one did happened before, as promised.
        let tail = ring.header().tail.load(Ordering::Relaxed);
        let tail = tail.wrapping_sub(u64::from(mutated!("spsc.write_takeover_one_early")));
        // As if the head had last been seen a whole ring behind: `refresh` then admits any head that can be.
        let mut writer = Writer { ring, tail, limit: tail, ready: tail, looked: tail };
        writer.refresh()?;
        Ok(writer)
    }

    /// The ring this side belongs to.
    pub(crate) const fn ring(&self) -> Ring<T> {
        self.ring
    }

    /// The position of the next message, which is the number of messages written before it.
    pub(crate) const fn position(&self) -> u64 {
        self.tail
    }

    /// How many slots are free as far as this side has seen: at least so many are.
    #[inline]
    pub(crate) const fn claimed(&self) -> u64 {
        self.limit.wrapping_sub(self.tail)
    }

    /// Makes sure that a slot is free and says how many are known to be. They are the caller's, numbered from 0
    /// in [`slot`](Self::slot), until published; claiming again gives the same ones.
    ///
    /// # Errors
    /// [`WriteError::Full`] if the reader has released none, [`WriteError::Corrupt`] if its index is impossible.
    #[inline]
    pub(crate) fn claim(&mut self) -> Result<u64, WriteError> {
        if self.ready == self.tail {
            self.prepare()?;
        }
        Ok(self.claimed())
    }

    /// The slow path of [`claim`](Self::claim): makes the next slots ready, at least one.
    #[inline(never)]
    fn prepare(&mut self) -> Result<(), WriteError> {
        let slot_size = size_of::<T>() as u64;
        if self.limit == self.tail {
            let since = self.tail.wrapping_sub(self.looked);
            pace::pause_in_stream(since, since.saturating_mul(slot_size), self.ring.geometry.bytes::<T>());
            self.looked = self.tail;
            self.refresh()?;
            if self.limit == self.tail {
                return Err(WriteError::Full);
            }
        }
        let index = self.tail & self.ring.geometry.mask;
        let slots = (pace::ahead(self.ring.geometry.bytes::<T>()) / slot_size.max(1))
            .max(1)
            .min(self.claimed())
            .min(self.ring.geometry.slots() - index);
        #[cfg(not(loom))]
        if slots > 1 {
            let start: *mut T = self.slot(0).as_ptr();
            // SAFETY: `slots` slots in a row from this one are inside the ring and claimed, so nobody else's, and
            // nothing is in them yet.
            unsafe { pace::touch(start.cast(), slots * slot_size) };
        }
        self.ready = self.tail.wrapping_add(slots);
        Ok(())
    }

    /// Looks at the reader's index: more slots may be free than [`claimed`](Self::claimed) says.
    ///
    /// # Errors
    /// [`Corrupt`] if it moved backwards or past the tail.
    #[inline]
    pub(crate) fn refresh(&mut self) -> Result<(), Corrupt> {
        let capacity = self.ring.geometry.capacity;
        // reuse. Acquire: pairs with the Release in `Reader::release`; the reader's accesses to the slots it
        // gave back come before our writes to them.
        let head = self.ring.header().head.load(order!(Acquire, "spsc.reuse"));
        let seen = self.limit.wrapping_sub(capacity);
        check_moved("head", head.wrapping_sub(seen), self.tail.wrapping_sub(seen))?;
        self.limit = head.wrapping_add(capacity).wrapping_add(u64::from(mutated!("spsc.one_too_many")));
        Ok(())
    }

    /// The slot `ahead` places after the next one. It is the caller's to write if `ahead` is below
    /// [`claimed`](Self::claimed); the address is inside the ring whatever `ahead` is.
    #[inline]
    pub(crate) fn slot(&self, ahead: u64) -> &Slot<T> {
        self.ring.slot(self.tail.wrapping_add(ahead))
    }

    /// Stores `value` in the slot `ahead` places after the next one, where it stays invisible until published.
    /// Does nothing and says `false` if that slot is not [`claimed`](Self::claimed).
    #[inline]
    pub(crate) fn write(&mut self, ahead: u64, value: T) -> bool {
        if ahead >= self.claimed() {
            return false;
        }
        // SAFETY: position tail + ahead is below the limit, so the reader has released it (`refresh`), and this
        // is the only writer (`attach`).
        unsafe { self.slot(ahead).write(value) };
        true
    }

    /// Makes the next `n` slots visible to the reader, all at once, with one store. Of more than
    /// [`claimed`](Self::claimed), that many.
    #[inline]
    pub(crate) fn publish(&mut self, n: u64) {
        let n = n.min(self.claimed());
        let beyond = n > self.ready.wrapping_sub(self.tail);
        self.advance(n);
        if beyond {
            self.ready = self.tail;
        }
    }

    /// Moves the tail over `n` claimed slots.
    #[inline(always)]
    fn advance(&mut self, n: u64) {
        self.tail = self.tail.wrapping_add(n);
        // publish. Release: pairs with the Acquire in `Reader::refresh`; the slots' content comes before it.
        self.ring.header().tail.store(self.tail, order!(Release, "spsc.publish"));
    }

    /// Writes and publishes one message.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    #[inline]
    pub(crate) fn push(&mut self, value: T) -> Result<(), WriteError> {
        self.claim()?;
        if mutated!("spsc.publish_before_write") {
            self.ring.header().tail.store(self.tail.wrapping_add(1), Ordering::Release);
        }
        // SAFETY: `claim` found the slot at the tail free, and this is the only writer (`attach`).
        unsafe { self.slot(0).write(value) };
        self.advance(1);
        Ok(())
    }
}

/// The reading side's private state.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    ring: Ring<T>,
    /// The next position to be read; the copy in shared memory is only stored to.
    head: u64,
    /// The tail last seen: positions from here on may not be read yet.
    tail: u64,
    /// The head when the writer's index was last looked at.
    looked: u64,
}

impl<T: AnyBitPattern> Reader<T> {
    /// Takes up the reading side where the last reader left it, even one that was killed in mid-operation: what
    /// that one had not released is delivered again.
    ///
    /// # Errors
    /// [`Corrupt`] if the indices contradict each other.
    ///
    /// # Safety
    /// Until this value is dropped the caller is the only reader of the ring: it holds the role, and if somebody
    /// held it before, everything that one did happened before this call.
    pub(crate) unsafe fn attach(ring: Ring<T>) -> Result<Self, Corrupt> {
        // Relaxed: only the reader stores the head, and what the last one did happened before, as promised.
        let head = ring.header().head.load(Ordering::Relaxed);
        let head = head.wrapping_add(u64::from(mutated!("spsc.read_takeover_one_late")));
        let mut reader = Reader { ring, head, tail: head, looked: head };
        reader.refresh()?;
        Ok(reader)
    }

    /// The ring this side belongs to.
    pub(crate) const fn ring(&self) -> Ring<T> {
        self.ring
    }

    /// The position of the next message, which is the number of messages released before it.
    pub(crate) const fn position(&self) -> u64 {
        self.head
    }

    /// How many messages are there as far as this side has seen: at least so many are.
    #[inline]
    pub(crate) const fn seen(&self) -> u64 {
        self.tail.wrapping_sub(self.head)
    }

    /// Makes sure that a message is there and says how many are known to be. They are numbered from 0 in
    /// [`slot`](Self::slot) and stay until released.
    ///
    /// # Errors
    /// [`ReadError::Empty`] if the writer has published none, [`ReadError::Corrupt`] if its index is impossible.
    #[inline]
    pub(crate) fn available(&mut self) -> Result<u64, ReadError> {
        if self.tail == self.head {
            self.look()?;
        }
        Ok(self.seen())
    }

    /// The slow path of [`available`](Self::available): all that was seen is read.
    #[inline(never)]
    fn look(&mut self) -> Result<(), ReadError> {
        let since = self.head.wrapping_sub(self.looked);
        let bytes = since.saturating_mul(size_of::<T>() as u64);
        pace::pause_in_stream(since, bytes, self.ring.geometry.bytes::<T>());
        self.looked = self.head;
        self.refresh()?;
        if self.tail == self.head { Err(ReadError::Empty) } else { Ok(()) }
    }

    /// Looks at the writer's index: more messages may be there than [`seen`](Self::seen) says.
    ///
    /// # Errors
    /// [`Corrupt`] if it moved backwards or more than a capacity past the head.
    #[inline]
    pub(crate) fn refresh(&mut self) -> Result<(), Corrupt> {
        let room = self.ring.geometry.capacity.wrapping_sub(self.seen());
        // observe. Acquire: pairs with the Release in `Writer::publish`; the content of the slots up to this
        // tail is visible from here on.
        let tail = self.ring.header().tail.load(order!(Acquire, "spsc.observe"));
        check_moved("tail", tail.wrapping_sub(self.tail), room)?;
        self.tail = tail;
        Ok(())
    }

    /// The slot `ahead` places after the next one. It holds a message if `ahead` is below [`seen`](Self::seen);
    /// the address is inside the ring whatever `ahead` is.
    #[inline]
    pub(crate) fn slot(&self, ahead: u64) -> &Slot<T> {
        self.ring.slot(self.head.wrapping_add(ahead))
    }

    /// Copies out the message `ahead` places after the next one, or `None` if it is not [`seen`](Self::seen).
    #[inline]
    pub(crate) fn read(&self, ahead: u64) -> Option<T> {
        if ahead >= self.seen() {
            return None;
        }
        // SAFETY: position head + ahead is below the tail seen, so an honest writer leaves it alone until it is
        // released; mapped memory is initialised, and any bit pattern is a `T`.
        Some(unsafe { super::read(self.slot(ahead)) })
    }

    /// Gives the next `n` slots back to the writer with one store. Of more than [`seen`](Self::seen), that many.
    #[inline]
    pub(crate) fn release(&mut self, n: u64) {
        self.advance(n.min(self.seen()));
    }

    /// Moves the head over `n` messages seen.
    #[inline(always)]
    fn advance(&mut self, n: u64) {
        self.head = self.head.wrapping_add(n);
        // release. Release: pairs with the Acquire in `Writer::refresh`; our accesses to the slots come before.
        self.ring.header().head.store(self.head, order!(Release, "spsc.release"));
    }

    /// Copies out and releases one message.
    ///
    /// # Errors
    /// As [`available`](Self::available).
    #[inline]
    pub(crate) fn pop(&mut self) -> Result<T, ReadError> {
        self.available()?;
        if mutated!("spsc.release_before_read") {
            self.ring.header().head.store(self.head.wrapping_add(1), Ordering::Release);
        }
        // SAFETY: `available` found a message at the head, and an honest writer leaves it alone until it is
        // released; mapped memory is initialised, and any bit pattern is a `T`.
        let value = unsafe { super::read(self.slot(0)) };
        self.advance(1);
        Ok(value)
    }
}

/// Judges an index just read: `moved` is how far it went since it was last seen, `room` how far it could go. A
/// step backwards shows as an enormous `moved`.
#[inline(always)]
pub(super) fn check_moved(field: &'static str, moved: u64, room: u64) -> Result<(), Corrupt> {
    if moved <= room { Ok(()) } else { Err(impossible(field, moved, room)) }
}

#[cold]
#[inline(never)]
fn impossible(field: &'static str, found: u64, limit: u64) -> Corrupt {
    Corrupt { field, found, limit, place: None }
}

#[cfg(all(test, not(loom)))]
mod tests;

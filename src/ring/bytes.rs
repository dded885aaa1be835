//! One writer, one reader, records of any length: a ring of bytes that lies in memory twice in a row.
//!
//! ```text
//!   Header   +0    tail      position behind the last published record   \  stored by the writer only
//!            +8    written   records published so far                    /
//!            +128  head      position of the first unreleased record     \  stored by the reader only
//!            +136  read      records released so far                     /
//!   Region   size bytes, a power of two, mirrored
//!
//!   Record   +0    len: u32   payload bytes
//!            +4    tag: u32   the user's
//!            +8    payload, then up to 7 bytes of padding; the next record follows
//!
//!   head <= tail <= head + size           (differences wrap; all positions are multiples of 8)
//! ```
//!
//! The indices work as in [`spsc`](super::spsc), and so does a crash: what is not behind the tail never was, what
//! is not before the head comes again. Both sides can do several records with one move of their index: the writer
//! [stages](Writer::stage) and then [publishes](Writer::publish), the reader [advances](Reader::advance) and then
//! [releases](Reader::release).
//!
//! | store | pairs with | what it carries |
//! |---|---|---|
//! | `publish`: tail, Release | `observe`: tail, Acquire | the records' headers and payloads |
//! | `release`: head, Release | `reuse`: head, Acquire | that the reader has done with the bytes |

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::region::Region;
use super::spsc::check_moved;
use super::{ReadError, WriteError};
use crate::error::Corrupt;
use crate::sync::{AtomicU64, Ordering, mutated, order};

/// Bytes in front of each payload.
pub(crate) const RECORD_HEADER: u64 = 8;

/// The shared part of the ring. Memory of all zeros is an empty ring.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    /// Stored by the writer, loaded by the reader.
    tail: CachePadded<Side>,
    /// Stored by the reader, loaded by the writer.
    head: CachePadded<Side>,
}

/// What one side says: all in one cache line, which only that side writes. The rest of the line is reserved and
/// zero.
#[derive(Debug)]
#[repr(C)]
struct Side {
    /// Its index.
    position: AtomicU64,
    /// How many records it has done, for onlookers only. A killed owner may leave it one batch short.
    records: AtomicU64,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 256 && align_of::<Header>() == 128);
    assert!(core::mem::offset_of!(Header, tail) == 0);
    assert!(core::mem::offset_of!(Header, head) == 128);
    assert!(core::mem::offset_of!(Side, position) == 0);
    assert!(core::mem::offset_of!(Side, records) == 8);
};

impl Header {
    /// An empty ring whose next record has `position`, a multiple of 8. Positions usually start at 0; any other
    /// start behaves alike.
    pub(crate) fn starting_at(position: u64) -> Self {
        let side =
            || CachePadded::new(Side { position: AtomicU64::new(position), records: AtomicU64::new(0) });
        Header { tail: side(), head: side() }
    }

    /// The published tail and the released head, as an onlooker sees them: not of one instant.
    #[inline]
    pub(crate) fn positions(&self) -> (u64, u64) {
        // Relaxed: hints for those who wait; whoever then takes the role looks again.
        (self.tail.position.load(Ordering::Relaxed), self.head.position.load(Ordering::Relaxed))
    }

    /// What was ever written and read. On a live ring the figures are not of one instant.
    pub(crate) fn counts(&self) -> Counts {
        // Relaxed: figures for an onlooker, nothing is concluded from them.
        Counts {
            read_bytes: self.head.position.load(Ordering::Relaxed),
            read: self.head.records.load(Ordering::Relaxed),
            written_bytes: self.tail.position.load(Ordering::Relaxed),
            written: self.tail.records.load(Ordering::Relaxed),
        }
    }
}

/// Records and bytes since the ring was created; see [`Header::counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records published.
    pub(crate) written: u64,
    /// Bytes published, with the records' headers and padding.
    pub(crate) written_bytes: u64,
    /// Records released.
    pub(crate) read: u64,
    /// Bytes released, with the records' headers and padding.
    pub(crate) read_bytes: u64,
}

/// Where a ring lies in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ring {
    header: NonNull<Header>,
    region: Region,
}

// SAFETY: addresses and a number; who may use what lies there is decided by the roles that `Writer::attach` and
// `Reader::attach` demand.
unsafe impl Send for Ring {}
// SAFETY: a shared `Ring` only gives out copies of itself and loads of atomics.
unsafe impl Sync for Ring {}

impl Ring {
    /// Names the place of a ring.
    ///
    /// # Safety
    /// As long as this value, a copy of it, or a writer or reader attached to it is used, `header` points to an
    /// aligned, mapped, writable [`Header`], whatever its content. (For `region` its own constructor was promised
    /// the same.)
    pub(crate) const unsafe fn new(header: NonNull<Header>, region: Region) -> Self {
        Ring { header, region }
    }

    /// The shared header.
    #[inline(always)]
    pub(crate) fn header<'a>(self) -> &'a Header {
        // SAFETY: `new` was promised a mapped header for as long as this ring is used, and callers keep the
        // reference no longer than the call they are in. It holds nothing but atomics.
        unsafe { self.header.as_ref() }
    }

    /// The storage.
    pub(crate) const fn region(&self) -> Region {
        self.region
    }

    /// The largest payload: a record may fill the whole ring, and its length must fit the record's header.
    #[inline(always)]
    pub(crate) const fn max_len(&self) -> u64 {
        let space = self.region.size() - RECORD_HEADER;
        if space > u32::MAX as u64 { u32::MAX as u64 } else { space }
    }
}

/// The bytes a record of `len` payload bytes takes in the ring. `len` is at most `u32::MAX`.
#[inline(always)]
pub(crate) const fn footprint(len: u64) -> u64 {
    RECORD_HEADER + ((len + 7) & !7)
}

/// Judges an index just read; see [`check_moved`]. It must also be a multiple of 8, as all were before it.
#[inline(always)]
fn check_index(field: &'static str, moved: u64, room: u64) -> Result<(), Corrupt> {
    check_moved(field, moved, room)?;
    check_aligned(field, moved)
}

/// The same bytes, for who will only write them.
#[inline(always)]
fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let len = bytes.len();
    // SAFETY: the same memory, borrowed exclusively, and of the same layout. The result goes to
    // `Region::copy_out` alone, which stores nothing but initialised bytes.
    unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) }
}

/// Refuses a position that is no multiple of 8.
#[inline(always)]
fn check_aligned(field: &'static str, position: u64) -> Result<(), Corrupt> {
    if position.is_multiple_of(8) { Ok(()) } else { Err(Corrupt { field, found: position % 8, limit: 0 }) }
}

/// Space for one record, not yet visible to anybody. Dropping it gives it up.
#[derive(Debug)]
#[must_use = "reserved space becomes a record only when it is staged and published"]
pub(crate) struct Reservation {
    position: u64,
    len: u32,
}

impl Reservation {
    /// Where the payload starts, for [`Region::address`].
    #[inline]
    pub(crate) const fn payload(&self) -> u64 {
        self.position.wrapping_add(RECORD_HEADER)
    }

    /// The bytes reserved.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }
}

/// The writing side's private state.
#[derive(Debug)]
pub(crate) struct Writer {
    ring: Ring,
    /// Behind the last published record; the copy in shared memory is only stored to.
    published: u64,
    /// Behind the last staged record.
    tail: u64,
    /// The first position that may not be written yet: the head last seen, plus the size.
    limit: u64,
    /// Records published.
    records: u64,
    /// Records staged since.
    staged: u64,
}

impl Writer {
    /// Takes up the writing side where the last writer left it, even one that was killed in mid-operation.
    ///
    /// # Errors
    /// [`Corrupt`] if the indices contradict each other.
    ///
    /// # Safety
    /// Until this value is dropped the caller is the only writer of the ring: it holds the role, and if somebody
    /// held it before, everything that one did happened before this call.
    pub(crate) unsafe fn attach(ring: Ring) -> Result<Self, Corrupt> {
        let side = &ring.header().tail;
        // Relaxed, both: only the writer stores them, and what the last one did happened before, as promised.
        let tail = side.position.load(Ordering::Relaxed);
        let tail = if mutated!("bytes.write_takeover_blind") { 0 } else { tail };
        check_aligned("tail", tail)?;
        let records = side.records.load(Ordering::Relaxed);
        // As if the head had last been seen a whole ring behind: `refresh` then admits any head that can be.
        let mut writer = Writer { ring, published: tail, tail, limit: tail, records, staged: 0 };
        writer.refresh()?;
        Ok(writer)
    }

    /// Looks at the own index in shared memory again, after another process may have written in our name (the
    /// holders of a lock around one writing side). What was staged and not published is dropped.
    ///
    /// # Errors
    /// [`Corrupt`] if the indices contradict each other.
    ///
    /// # Safety
    /// As for [`attach`](Self::attach): the caller is the only writer from here on.
    #[inline]
    pub(crate) unsafe fn reload(&mut self) -> Result<(), Corrupt> {
        if self.is_unmoved() {
            self.discard();
            return Ok(());
        }
        // Relaxed: as in `attach`.
        self.resume_at(self.ring.header().tail.position.load(Ordering::Relaxed))
    }

    /// Whether nobody has written in our name since this side last published. Then, and if nothing is staged,
    /// [`reload`](Self::reload) would do nothing.
    #[inline(always)]
    pub(crate) fn is_unmoved(&self) -> bool {
        // Relaxed: as in `attach`.
        self.ring.header().tail.position.load(Ordering::Relaxed) == self.published
    }

    #[cold]
    fn resume_at(&mut self, tail: u64) -> Result<(), Corrupt> {
        check_aligned("tail", tail)?;
        // Relaxed: as in `attach`.
        let records = self.ring.header().tail.records.load(Ordering::Relaxed);
        let mut fresh =
            Writer { ring: self.ring, published: tail, tail, limit: self.limit, records, staged: 0 };
        // What is cached of the reader's index is at worst too old, hence still good as long as it fits.
        if fresh.free() > self.ring.region.size() {
            fresh.limit = tail;
            fresh.refresh()?;
        }
        *self = fresh;
        Ok(())
    }

    /// The ring this side belongs to.
    pub(crate) const fn ring(&self) -> Ring {
        self.ring
    }

    /// The position behind the last published record.
    pub(crate) const fn position(&self) -> u64 {
        self.published
    }

    /// The bytes that are free as far as this side has seen, for records with their headers and padding: at
    /// least so many are.
    #[inline]
    pub(crate) const fn free(&self) -> u64 {
        self.limit.wrapping_sub(self.tail)
    }

    /// Looks at the reader's index: more may be free than [`free`](Self::free) says.
    ///
    /// # Errors
    /// [`Corrupt`] if it moved backwards or past the published tail, or is no multiple of 8.
    #[inline]
    pub(crate) fn refresh(&mut self) -> Result<(), Corrupt> {
        let size = self.ring.region.size();
        // reuse. Acquire: pairs with the Release in `Reader::release`; the reader's accesses to the bytes it
        // gave back come before our writes to them.
        let head = self.ring.header().head.position.load(order!(Acquire, "bytes.reuse"));
        let seen = self.limit.wrapping_sub(size);
        check_index("head", head.wrapping_sub(seen), self.published.wrapping_sub(seen))?;
        self.limit = head.wrapping_add(size).wrapping_add(8 * u64::from(mutated!("bytes.one_too_many")));
        Ok(())
    }

    /// Reserves space for a record of up to `len` bytes, behind those staged. Reserving again without staging
    /// gives the same space.
    ///
    /// # Errors
    /// - [`WriteError::Full`] if there is no space now.
    /// - [`WriteError::TooLarge`] if there never will be.
    /// - [`WriteError::Corrupt`] if the reader's index is impossible.
    #[inline]
    pub(crate) fn reserve(&mut self, len: usize) -> Result<Reservation, WriteError> {
        let max = self.ring.max_len();
        let len = len as u64;
        if len > max {
            return Err(WriteError::TooLarge { len, max });
        }
        let needed = footprint(len);
        if needed > self.free() {
            self.refresh()?;
            if needed > self.free() {
                return Err(WriteError::Full);
            }
        }
        Ok(Reservation { position: self.tail, len: len as u32 })
    }

    /// Whether the reservation is of this writer and neither staged nor overtaken by another.
    #[inline]
    fn is_current(&self, reservation: &Reservation) -> bool {
        reservation.position == self.tail && footprint(u64::from(reservation.len)) <= self.free()
    }

    /// Copies `bytes` into the reserved payload from its byte `at` on, as much as fits, and says how much did
    /// (none if the reservation is no longer the current one).
    #[inline]
    pub(crate) fn fill(&mut self, reservation: &Reservation, at: usize, bytes: &[u8]) -> usize {
        let Some(room) = reservation.len().checked_sub(at) else { return 0 };
        if !self.is_current(reservation) {
            return 0;
        }
        let bytes = &bytes[..bytes.len().min(room)];
        let place = reservation.payload().wrapping_add(at as u64);
        // SAFETY: at + bytes.len() <= the reserved length, and the reservation lies between tail and limit, so
        // inside the ring: the reader has released it (`refresh`), and this is the only writer (`attach`).
        unsafe { self.ring.region.copy_in(place, bytes) };
        bytes.len()
    }

    /// Makes the reservation a record of its first `len` bytes (at most those reserved), to be seen by the reader
    /// when [`publish`](Self::publish) is called. A reservation that is no longer the current one is dropped.
    #[inline]
    pub(crate) fn stage(&mut self, reservation: Reservation, len: usize, tag: u32) {
        if !self.is_current(&reservation) {
            debug_assert!(false, "a reservation was kept over another one's staging");
            return;
        }
        let len = (len as u64).min(u64::from(reservation.len));
        // SAFETY: the first word of the reserved space, which is the caller's alone as in `fill`.
        unsafe { self.ring.region.store(reservation.position, len | u64::from(tag) << 32) };
        self.tail = reservation.position.wrapping_add(footprint(len));
        self.staged += 1;
    }

    /// Makes all staged records visible to the reader, at once, with one move of the index.
    #[inline]
    pub(crate) fn publish(&mut self) {
        self.records = self.records.wrapping_add(self.staged);
        self.staged = 0;
        self.published = self.tail;
        let side = &self.ring.header().tail;
        // Relaxed: for onlookers only; in front of the index so that both stores find the line still ours.
        side.records.store(self.records, Ordering::Relaxed);
        // publish. Release: pairs with the Acquire in `Reader::refresh`; the records come before it.
        side.position.store(self.tail, order!(Release, "bytes.publish"));
    }

    /// Drops what was staged and not published.
    #[inline]
    pub(crate) fn discard(&mut self) {
        self.tail = self.published;
        self.staged = 0;
    }

    /// Stages and publishes: the reservation's first `len` bytes are a record now.
    #[inline]
    pub(crate) fn commit(&mut self, reservation: Reservation, len: usize, tag: u32) {
        if mutated!("bytes.publish_before_record") {
            let tail = reservation.position.wrapping_add(footprint(len as u64));
            self.ring.header().tail.position.store(tail, Ordering::Release);
        }
        self.stage(reservation, len, tag);
        self.publish();
    }

    /// Copies `bytes` in as one record and publishes it, with what was staged before.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8], tag: u32) -> Result<(), WriteError> {
        let reservation = self.reserve(bytes.len())?;
        if mutated!("bytes.publish_before_payload") {
            let place = reservation.payload();
            self.commit(reservation, bytes.len(), tag);
            // SAFETY: none, that is the point.
            unsafe { self.ring.region.copy_in(place, bytes) };
            return Ok(());
        }
        self.fill(&reservation, 0, bytes);
        self.commit(reservation, bytes.len(), tag);
        Ok(())
    }
}

/// A record found by the reader: its header word was read once and checked, and is not looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    position: u64,
    len: u32,
    tag: u32,
}

impl Record {
    /// Where the payload starts, for [`Region::address`]; [`len`](Self::len) bytes from there lie inside the
    /// ring.
    #[inline]
    pub(crate) const fn payload(&self) -> u64 {
        self.position.wrapping_add(RECORD_HEADER)
    }

    /// The payload's length in bytes.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// The user's word.
    #[inline]
    pub(crate) const fn tag(&self) -> u32 {
        self.tag
    }
}

/// The reading side's private state.
#[derive(Debug)]
pub(crate) struct Reader {
    ring: Ring,
    /// Before the first unreleased record; the copy in shared memory is only stored to.
    released: u64,
    /// Before the next record to be looked at.
    head: u64,
    /// The tail last seen: bytes from here on may not be read yet.
    tail: u64,
    /// Records released.
    records: u64,
    /// Records advanced over since.
    passed: u64,
}

impl Reader {
    /// Takes up the reading side where the last reader left it, even one that was killed in mid-operation: what
    /// that one had not released is delivered again.
    ///
    /// # Errors
    /// [`Corrupt`] if the indices contradict each other.
    ///
    /// # Safety
    /// Until this value is dropped the caller is the only reader of the ring: it holds the role, and if somebody
    /// held it before, everything that one did happened before this call.
    pub(crate) unsafe fn attach(ring: Ring) -> Result<Self, Corrupt> {
        let side = &ring.header().head;
        // Relaxed, both: only the reader stores them, and what the last one did happened before, as promised.
        let head = side.position.load(Ordering::Relaxed);
        let head = if mutated!("bytes.read_takeover_blind") { 0 } else { head };
        check_aligned("head", head)?;
        let records = side.records.load(Ordering::Relaxed);
        let mut reader = Reader { ring, released: head, head, tail: head, records, passed: 0 };
        reader.refresh()?;
        Ok(reader)
    }

    /// Looks at the own index in shared memory again, after another process may have read in our name (the
    /// holders of a lock around one reading side). What was advanced over and not released comes again.
    ///
    /// # Errors
    /// [`Corrupt`] if the indices contradict each other.
    ///
    /// # Safety
    /// As for [`attach`](Self::attach): the caller is the only reader from here on.
    #[inline]
    pub(crate) unsafe fn reload(&mut self) -> Result<(), Corrupt> {
        if self.is_unmoved() {
            self.rewind();
            return Ok(());
        }
        // Relaxed: as in `attach`.
        self.resume_at(self.ring.header().head.position.load(Ordering::Relaxed))
    }

    /// Whether nobody has read in our name since this side last released. Then, and if nothing was advanced over
    /// since, [`reload`](Self::reload) would do nothing.
    #[inline(always)]
    pub(crate) fn is_unmoved(&self) -> bool {
        // Relaxed: as in `attach`.
        self.ring.header().head.position.load(Ordering::Relaxed) == self.released
    }

    #[cold]
    fn resume_at(&mut self, head: u64) -> Result<(), Corrupt> {
        check_aligned("head", head)?;
        // Relaxed: as in `attach`.
        let records = self.ring.header().head.records.load(Ordering::Relaxed);
        let mut fresh = Reader { ring: self.ring, released: head, head, tail: self.tail, records, passed: 0 };
        // The cached tail is at worst too old, hence still good unless the other holder read past it.
        if fresh.seen() > self.ring.region.size() {
            fresh.tail = head;
            fresh.refresh()?;
        }
        *self = fresh;
        Ok(())
    }

    /// The ring this side belongs to.
    pub(crate) const fn ring(&self) -> Ring {
        self.ring
    }

    /// The position before the first unreleased record.
    pub(crate) const fn position(&self) -> u64 {
        self.released
    }

    /// The bytes of the records that are there, with their headers and padding, as far as this side has seen: at
    /// least so many are.
    #[inline]
    pub(crate) const fn seen(&self) -> u64 {
        self.tail.wrapping_sub(self.head)
    }

    /// Looks at the writer's index: more may be there than [`seen`](Self::seen) says.
    ///
    /// # Errors
    /// [`Corrupt`] if it moved backwards or more than the size past the released head, or is no multiple of 8.
    #[inline]
    pub(crate) fn refresh(&mut self) -> Result<(), Corrupt> {
        let held = self.tail.wrapping_sub(self.released);
        let room = self.ring.region.size().wrapping_sub(held);
        // observe. Acquire: pairs with the Release in `Writer::publish`; the records up to this tail are visible
        // from here on.
        let tail = self.ring.header().tail.position.load(order!(Acquire, "bytes.observe"));
        check_index("tail", tail.wrapping_sub(self.tail), room)?;
        self.tail = tail;
        Ok(())
    }

    /// Finds the next record. It stays until it is [advanced](Self::advance) over and
    /// [released](Self::release); peeking again finds it again.
    ///
    /// # Errors
    /// [`ReadError::Empty`] if none is there, [`ReadError::Corrupt`] if the writer's index or the record's length
    /// is impossible.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Record, ReadError> {
        if self.tail == self.head {
            self.refresh()?;
            if self.tail == self.head {
                return Err(ReadError::Empty);
            }
        }
        // SAFETY: head is below the tail seen, so an honest writer leaves the word alone until it is released.
        let word = unsafe { self.ring.region.load(self.head) };
        let record = Record { position: self.head, len: word as u32, tag: (word >> 32) as u32 };
        // At least 8, as all positions are multiples of 8; at most the size, so the payload is inside the mirror.
        let room = self.seen() - RECORD_HEADER;
        check_moved("record length", u64::from(record.len), room)?;
        Ok(record)
    }

    /// Copies the record's payload, from its byte `at` on, to `bytes`, as much as there is or fits, and says how
    /// much that was (none if the record has been released). The bytes may be anything if the writer is hostile
    /// and still writes them.
    #[inline]
    pub(crate) fn copy_out(&self, record: &Record, at: usize, bytes: &mut [u8]) -> usize {
        self.copy_out_uninit(record, at, as_uninit(bytes))
    }

    /// The same into memory that need not be initialised; as many bytes of it are as the result says.
    #[inline]
    pub(crate) fn copy_out_uninit(&self, record: &Record, at: usize, bytes: &mut [MaybeUninit<u8>]) -> usize {
        let Some(rest) = record.len().checked_sub(at) else { return 0 };
        if !self.holds(record) {
            return 0;
        }
        let len = bytes.len().min(rest);
        let place = record.payload().wrapping_add(at as u64);
        // SAFETY: the record lies between the released head and the tail seen, so inside the ring, and an honest
        // writer leaves it alone until it is released.
        unsafe { self.ring.region.copy_out(place, &mut bytes[..len]) };
        len
    }

    /// Whether the record is still held: between the released head and the tail seen.
    #[inline]
    fn holds(&self, record: &Record) -> bool {
        let from = record.position.wrapping_sub(self.released);
        let to = self.tail.wrapping_sub(self.released);
        from < to && footprint(u64::from(record.len)) <= to - from
    }

    /// Goes on to the record behind the one just peeked. The space is still held. Any other record is ignored.
    #[inline]
    pub(crate) fn advance(&mut self, record: &Record) {
        if record.position != self.head || !self.holds(record) {
            debug_assert!(false, "a record is advanced over once");
            return;
        }
        self.head = record.position.wrapping_add(footprint(u64::from(record.len)));
        self.passed += 1;
    }

    /// Gives the space of all records advanced over back to the writer, with one move of the index.
    #[inline]
    pub(crate) fn release(&mut self) {
        self.records = self.records.wrapping_add(self.passed);
        self.passed = 0;
        self.released = self.head;
        let side = &self.ring.header().head;
        // Relaxed: for onlookers only; in front of the index so that both stores find the line still ours.
        side.records.store(self.records, Ordering::Relaxed);
        // release. Release: pairs with the Acquire in `Writer::refresh`; our accesses to the bytes come before.
        side.position.store(self.head, order!(Release, "bytes.release"));
    }

    /// Goes back to the first unreleased record.
    #[inline]
    pub(crate) fn rewind(&mut self) {
        self.head = self.released;
        self.passed = 0;
    }

    /// Copies the next record to the front of `bytes`, as much as fits, releases it and returns it.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    #[inline]
    pub(crate) fn pop(&mut self, bytes: &mut [u8]) -> Result<Record, ReadError> {
        let record = self.peek()?;
        if mutated!("bytes.release_before_copy") {
            self.advance(&record);
            self.release();
            let len = record.len().min(bytes.len());
            // SAFETY: none, that is the point.
            unsafe { self.ring.region.copy_out(record.payload(), as_uninit(&mut bytes[..len])) };
            return Ok(record);
        }
        self.copy_out(&record, 0, bytes);
        self.advance(&record);
        self.release();
        Ok(record)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

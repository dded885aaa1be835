//! The reading side of the byte ring: peek, copy out, advance, release.

use core::mem::MaybeUninit;

use super::{Looked, RECORD_HEADER, Ring, as_uninit, check_aligned, check_index, footprint};
use crate::error::Corrupt;
use crate::ring::spsc::check_moved;
use crate::ring::{ReadError, pace};
use crate::sync::{Ordering, mutated, order};

/// A record found by the reader: its header word was read once and checked, and is not looked at again.
///
/// Two words, so that it travels in registers. With a third field it would travel through the stack, written in
/// halves and read back whole, which stalls the processor for longer than all the rest of a peek takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    position: u64,
    word: u64,
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
        self.word as u32 as usize
    }

    /// The user's word.
    #[inline]
    pub(crate) const fn tag(&self) -> u32 {
        (self.word >> 32) as u32
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
    /// What was read when the writer's index was last looked at.
    looked: Looked,
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
        let head = head.wrapping_add(16 * u64::from(mutated!("bytes.read_takeover_one_late")));
        check_aligned("head", head)?;
        let records = side.records.load(Ordering::Relaxed);
        let mut reader = Reader::at(ring, head, head, records);
        reader.refresh()?;
        Ok(reader)
    }

    /// A reader that goes on from `head` and knows of records up to `tail`.
    fn at(ring: Ring, head: u64, tail: u64, records: u64) -> Self {
        let looked = Looked { position: head, records };
        Reader { ring, released: head, head, tail, records, passed: 0, looked }
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
        // The cached tail is at worst too old, hence still good unless the other holder read past it.
        let fits = self.tail.wrapping_sub(head) <= self.ring.region.size();
        let mut fresh = Reader::at(self.ring, head, if fits { self.tail } else { head }, records);
        if !fits {
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
            self.look()?;
        }
        // SAFETY: head is below the tail seen, so an honest writer leaves the word alone until it is released.
        let word = unsafe { self.ring.region.load(self.head) };
        let record = Record { position: self.head, word };
        // At least 8, as all positions are multiples of 8; at most the size, so the payload is inside the mirror.
        let room = self.seen() - RECORD_HEADER;
        check_moved("record length", record.len() as u64, room)?;
        Ok(record)
    }

    /// The slow path of [`peek`](Self::peek): all that was seen is advanced over.
    #[inline(never)]
    fn look(&mut self) -> Result<(), ReadError> {
        let read = self.records.wrapping_add(self.passed);
        let (messages, bytes) =
            (read.wrapping_sub(self.looked.records), self.head.wrapping_sub(self.looked.position));
        pace::pause_in_stream(messages, bytes, self.ring.region.size());
        self.looked = Looked { position: self.head, records: read };
        self.refresh()?;
        if self.tail == self.head { Err(ReadError::Empty) } else { Ok(()) }
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
        from < to && footprint(record.len() as u64) <= to - from
    }

    /// Goes on to the record behind the one just peeked. The space is still held. Any other record is ignored.
    #[inline]
    pub(crate) fn advance(&mut self, record: &Record) {
        if record.position != self.head || !self.holds(record) {
            debug_assert!(false, "a record is advanced over once");
            return;
        }
        self.head = record.position.wrapping_add(footprint(record.len() as u64));
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
    #[cfg(any(test, loom))]
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

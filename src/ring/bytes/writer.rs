//! The writing side of the byte ring: reserve, fill, stage, publish.

use super::{Looked, RECORD_HEADER, Ring, check_aligned, check_index, footprint};
use crate::error::Corrupt;
use crate::ring::{WriteError, pace};
use crate::sync::{Ordering, mutated, order};

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
    /// Up to here, and never beyond the limit, the space is prepared; the one comparison of the fast path.
    ready: u64,
    /// Records published.
    records: u64,
    /// Records staged since.
    staged: u64,
    /// What was written when the reader's index was last looked at.
    looked: Looked,
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
        let tail = tail.wrapping_sub(16 * u64::from(mutated!("bytes.write_takeover_one_early")));
        check_aligned("tail", tail)?;
        let records = side.records.load(Ordering::Relaxed);
        let mut writer = Writer::at(ring, tail, tail, records);
        writer.refresh()?;
        Ok(writer)
    }

    /// A writer that goes on from `tail` and knows of free space up to `limit`. With `limit == tail`, as if the
    /// head had last been seen a whole ring behind, `refresh` admits any head that can be.
    fn at(ring: Ring, tail: u64, limit: u64, records: u64) -> Self {
        let looked = Looked { position: tail, records };
        Writer { ring, published: tail, tail, limit, ready: tail, records, staged: 0, looked }
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
        // What is cached of the reader's index is at worst too old, hence still good as long as it fits.
        let fits = self.limit.wrapping_sub(tail) <= self.ring.region.size();
        let mut fresh = Writer::at(self.ring, tail, if fits { self.limit } else { tail }, records);
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
        if needed > self.ready.wrapping_sub(self.tail) {
            self.prepare(needed)?;
        }
        Ok(Reservation { position: self.tail, len: len as u32 })
    }

    /// The slow path of [`reserve`](Self::reserve): makes the next `needed` bytes ready, and some more.
    #[inline(never)]
    fn prepare(&mut self, needed: u64) -> Result<(), WriteError> {
        let size = self.ring.region.size();
        if needed > self.free() {
            let written = self.records.wrapping_add(self.staged);
            let messages = written.wrapping_sub(self.looked.records);
            pace::pause_in_stream(messages, self.tail.wrapping_sub(self.looked.position), size);
            self.looked = Looked { position: self.tail, records: written };
            self.refresh()?;
            if needed > self.free() {
                return Err(WriteError::Full);
            }
        }
        // A longer record is a row of stores by itself.
        let ahead = pace::ahead(size).min(self.free());
        #[cfg(not(loom))]
        if needed < ahead {
            let start = self.ring.region.address(self.tail).as_ptr();
            // SAFETY: `ahead` bytes from the tail on are below the limit, so nobody else's, and nothing is in
            // them yet.
            unsafe { pace::touch(start, ahead) };
        }
        self.ready = self.tail.wrapping_add(needed.max(ahead));
        Ok(())
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

//! A ring of byte records of any length with one producer and one consumer, in one process or two.
//!
//! Each record lies in memory in one piece, also where the ring wraps round: the ring's memory is mapped twice in
//! a row. So a record can be written in place ([`Producer::reserve`]) and read in place ([`Consumer::peek`])
//! whatever its length.
//!
//! ```
//! use ringway::bytes;
//!
//! # let name = format!("doc-bytes-{}", std::process::id());
//! let mut tx = bytes::Producer::create(&name, 64 * 1024)?; // in one process
//! let mut rx = bytes::Consumer::open(&name)?; //              in another
//!
//! tx.push(b"hello")?;
//! if let Some(mut loan) = tx.reserve(100) {
//!     loan[..5].copy_from_slice(b"world"); // written in place
//!     loan.commit_len(5);
//! }
//!
//! assert_eq!(rx.pop()?, b"hello");
//! if let Some(record) = rx.peek() {
//!     assert_eq!(&*record, b"world"); // read in place; released on drop
//! }
//! # ringway::unlink(&name)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For messages larger than the ring, for several processes at one end, and for both directions there is the
//! [`Pipe`](crate::Pipe). What happens when a process dies is told in [`spsc`](crate::spsc#when-a-process-dies).

use super::endpoint::endpoint;
use super::role::{Body, Claim, Side};
use super::{PopError, RecvError, SendError};
use crate::error::{Error, Kind};
use crate::options::{Object, Settings};
use crate::ring::bytes::{Header, Reader, Record, Reservation, Ring, Writer};
use crate::ring::region::Region;
use crate::ring::{ReadError, WriteError};
use crate::segment::layout::{self, Plan};
use crate::segment::{Segment, Sweep};
use crate::wait::{Barrier, Deadline, TimedOut, Waiter};
use core::cell::RefCell;
use core::fmt;
use core::mem::size_of;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use std::sync::Arc;

/// What the two endpoints share.
macro_rules! half {
    ($endpoint:ident, $half:ident, $role:expr) => {
        endpoint!([], $endpoint, "its size in bytes, rounded up to a power of two of at least 4096");

        impl $endpoint {
            /// The size of the ring in bytes. A record takes 8 more than its length, rounded up to 8.
            pub fn capacity(&self) -> usize {
                self.side.ring().region().size() as usize
            }

            /// The longest record possible, in bytes.
            pub fn max_len(&self) -> usize {
                self.side.ring().max_len() as usize
            }

            /// How many records were in the ring a moment ago. The other side may have changed it since.
            pub fn len(&self) -> usize {
                let counts = self.side.ring().header().counts();
                // A killed side can leave its count ahead of its index. A record takes 8 bytes at least, and one
                // is there if any byte is.
                let held = counts.written_bytes.wrapping_sub(counts.read_bytes).min(self.capacity() as u64);
                let records = counts.written.wrapping_sub(counts.read);
                records.max(u64::from(held > 0)).min(held / 8) as usize
            }

            /// Whether the ring was empty a moment ago.
            pub fn is_empty(&self) -> bool {
                let counts = self.side.ring().header().counts();
                counts.written_bytes == counts.read_bytes
            }
        }

        impl fmt::Debug for $endpoint {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($endpoint))
                    .field("name", &self.claim.segment().name())
                    .field("capacity", &self.capacity())
                    .field("position", &self.side.position())
                    .finish_non_exhaustive()
            }
        }

        impl Object for $endpoint {
            const SWEEP: Sweep = sweep;

            fn plan(settings: &Settings) -> Result<Plan, Error> {
                let area = area(settings.capacity)?;
                Ok(Plan {
                    kind: Kind::Bytes,
                    element: (1, 8),
                    capacity: area,
                    variant: 0,
                    body_len: size_of::<Body<Header>>() as u64,
                    data_len: area,
                    areas: 1,
                })
            }

            fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
                if segment.geometry().areas != 1 {
                    let found = segment.geometry().areas as u64;
                    return Err(Error::BadGeometry { field: "areas", found, expected: 1 });
                }
                let region = region_of(&segment, 0)?;
                // SAFETY: the body starts with the header, mapped as long as the segment, which the claim keeps.
                let ring = unsafe { Ring::new(segment.body().cast(), region) };
                // SAFETY: a segment of the kind Bytes was planned with this body.
                let claim = unsafe { Claim::take(segment, $role)? };
                // SAFETY: the role is ours, and `Role::claim` orders its last holder before us.
                let side = unsafe { $half::attach(ring)? };
                Ok($endpoint {
                    side,
                    waiter: Waiter::new(settings.wait),
                    barrier: Barrier::of_this_process(),
                    trusted: claim.segment().is_trusted(),
                    scratch: Vec::new(),
                    claim,
                })
            }
        }
    };
}

/// The writing end of a ring of byte records.
///
/// Never blocks unless asked to: [`push`](Self::push) and [`reserve`](Self::reserve) answer at once,
/// [`send`](Self::send) waits. There is one producer at a time in all processes together.
pub struct Producer {
    side: Writer,
    waiter: Waiter,
    barrier: Barrier,
    trusted: bool,
    /// Where loans are written while the peer is not trusted.
    scratch: Vec<u8>,
    /// Last, so that the role is given up when nothing of ours touches the ring any more.
    claim: Claim<Header>,
}

/// The reading end of a ring of byte records.
///
/// Never blocks unless asked to: [`pop`](Self::pop) and [`peek`](Self::peek) answer at once,
/// [`recv`](Self::recv) waits. There is one consumer at a time in all processes together.
pub struct Consumer {
    side: Reader,
    waiter: Waiter,
    barrier: Barrier,
    trusted: bool,
    /// Where records are copied to while the peer is not trusted.
    scratch: Vec<u8>,
    /// Last, so that the role is given up when nothing of ours touches the ring any more.
    claim: Claim<Header>,
}

half!(Producer, Writer, Side::Producer);
half!(Consumer, Reader, Side::Consumer);

/// Makes a ring without a name with both its ends in this process, for two threads or to be handed over.
///
/// # Errors
/// As [`Producer::anonymous`].
///
/// ```
/// let (mut tx, mut rx) = ringway::bytes::pair(4096)?;
/// let reader = std::thread::spawn(move || rx.recv());
/// tx.send(b"hello")?;
/// assert_eq!(reader.join().unwrap()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pair(capacity: usize) -> Result<(Producer, Consumer), Error> {
    let producer = Producer::anonymous(capacity)?;
    let consumer = Consumer::attach(Arc::clone(producer.claim.segment()), &Consumer::options().settings)?;
    Ok((producer, consumer))
}

/// The size of the data area for a capacity asked for: a power of two of at least a page.
pub(super) fn area(capacity: Option<usize>) -> Result<u64, Error> {
    let asked = capacity.unwrap_or(1) as u64;
    let bad = Error::BadCapacity { asked, min: 1, max: Region::MAX_SIZE };
    if asked == 0 || asked > Region::MAX_SIZE {
        Err(bad)
    } else {
        Ok(asked.next_power_of_two().max(Region::MIN_SIZE))
    }
}

/// Checks that each data area of a mirrored segment is a storage we would have made, and says how large.
pub(crate) fn check_geometry(found: &layout::Geometry) -> Result<u64, Error> {
    let size = found.data_len as u64;
    if found.capacity != size {
        return Err(Error::BadGeometry { field: "data length", found: size, expected: found.capacity });
    }
    if !Region::is_valid_size(size) {
        let expected = size.clamp(Region::MIN_SIZE, Region::MAX_SIZE).next_power_of_two();
        return Err(Error::BadGeometry { field: "capacity", found: size, expected });
    }
    Ok(size)
}

/// The storage in data area `index` of a mirrored segment.
pub(super) fn region_of(segment: &Segment, index: usize) -> Result<Region, Error> {
    let size = check_geometry(segment.geometry())?;
    // SAFETY: the area has `size` bytes, page-aligned and mapped twice in a row since the segment is mirrored.
    let region = unsafe { Region::new(segment.data(index), size) };
    region.ok_or(Error::BadGeometry { field: "capacity", found: size, expected: Region::MAX_SIZE })
}

fn sweep(segment: &Segment, index: u16) {
    // SAFETY: this function is the sweep of segments of the kind Bytes only, which have this body.
    unsafe { segment.body_as::<Body<Header>>() }.sweep(index);
}

impl Producer {
    /// Pushes a record.
    ///
    /// # Errors
    /// [`SendError::Full`] if there is no space now, [`SendError::TooLarge`] if there never will be.
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Result<(), SendError> {
        if !self.claim.is_ours() {
            return Err(SendError::Forked);
        }
        self.side.push(record, 0)?;
        self.wake();
        Ok(())
    }

    /// Space for a record of up to `len` bytes, to be written in place and committed. `None` if there is no space
    /// now, and on every failure that [`push`](Self::push) would report.
    ///
    /// The bytes are those of older records, or zeros. Dropping the loan without committing publishes nothing.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Option<Loan<'_>> {
        if !self.claim.is_ours() {
            return None;
        }
        let reservation = self.side.reserve(len).ok()?;
        Some(Loan::of(self, reservation))
    }

    /// Starts a batch: records pushed to it become visible all at once, when it is committed.
    ///
    /// ```
    /// let (mut tx, mut rx) = ringway::bytes::pair(4096)?;
    /// let mut batch = tx.batch();
    /// batch.push(b"one")?;
    /// batch.push(b"two")?;
    /// assert!(rx.is_empty());
    /// batch.commit();
    /// assert_eq!(rx.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn batch(&mut self) -> Batch<'_> {
        Batch { producer: self }
    }

    /// Sends a record, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`] if there was a consumer and it is gone (while there has been none yet, this waits);
    /// [`SendError::TooLarge`].
    #[inline]
    pub fn send(&mut self, record: &[u8]) -> Result<(), SendError> {
        self.send_deadline(record, Deadline::NEVER)
    }

    /// Sends a record, waiting at most `timeout` for space.
    ///
    /// # Errors
    /// As [`send`](Self::send), or [`SendError::Timeout`].
    pub fn send_timeout(&mut self, record: &[u8], timeout: Duration) -> Result<(), SendError> {
        match self.push(record) {
            Err(SendError::Full) => self.send_deadline(record, Deadline::after(timeout)),
            result => result,
        }
    }

    /// Sends a record, waiting until `deadline` for space.
    ///
    /// # Errors
    /// As [`send`](Self::send), or [`SendError::Timeout`].
    #[inline]
    pub fn send_deadline(&mut self, record: &[u8], deadline: Deadline) -> Result<(), SendError> {
        match self.push(record) {
            Err(SendError::Full) => {
                self.await_space(record.len(), deadline)?;
                self.push(record)
            }
            result => result,
        }
    }

    /// Waits for space for a record of up to `len` bytes: the blocking form of [`reserve`](Self::reserve).
    ///
    /// # Errors
    /// As [`send_deadline`](Self::send_deadline).
    pub fn reserve_deadline(&mut self, len: usize, deadline: Deadline) -> Result<Loan<'_>, SendError> {
        if !self.claim.is_ours() {
            return Err(SendError::Forked);
        }
        let reservation = match self.side.reserve(len) {
            Err(WriteError::Full) => {
                self.await_space(len, deadline)?;
                self.side.reserve(len)?
            }
            result => result?,
        };
        Ok(Loan::of(self, reservation))
    }

    /// Waits until a record of `len` bytes fits; then it keeps fitting, because only this side adds any.
    fn await_space(&mut self, len: usize, deadline: Deadline) -> Result<(), SendError> {
        let Producer { side, waiter, barrier, claim, .. } = self;
        let body = claim.body();
        let attempt = || match side.reserve(len) {
            Err(WriteError::Full) => body.consumer.is_over().then_some(Err(SendError::Closed)),
            result => Some(result.map(drop).map_err(SendError::from)),
        };
        let patrol = || {
            let gone = body.consumer.is_over_for_sure(claim.segment());
            gone.then_some(Err(SendError::Closed))
        };
        match waiter.wait(&body.space, *barrier, deadline, attempt, patrol, || false) {
            Ok(result) => result,
            Err(TimedOut) => Err(SendError::Timeout),
        }
    }

    #[inline(always)]
    fn wake(&self) {
        self.claim.body().items.wake(1, self.barrier);
    }
}

/// Space for a record, to be written in place; see [`Producer::reserve`].
#[must_use = "reserved space becomes a record only when it is committed"]
pub struct Loan<'a> {
    producer: &'a mut Producer,
    reservation: Reservation,
    /// In the ring, or in the producer's scratch memory if the peer is not trusted.
    shared: bool,
}

impl<'a> Loan<'a> {
    #[inline(always)]
    fn of(producer: &'a mut Producer, reservation: Reservation) -> Self {
        let shared = producer.trusted;
        if !shared {
            blank(&mut producer.scratch, reservation.len());
        }
        Loan { producer, reservation, shared }
    }

    /// Publishes all of it as a record. In a process forked meanwhile it does nothing.
    #[inline]
    pub fn commit(self) {
        let len = self.reservation.len();
        self.commit_len(len);
    }

    /// Publishes the first `len` bytes as a record; all of them if there are not so many. In a process forked
    /// meanwhile it does nothing.
    #[inline]
    pub fn commit_len(self, len: usize) {
        let Loan { producer, reservation, shared } = self;
        if !producer.claim.is_ours() {
            return;
        }
        let len = len.min(reservation.len());
        if !shared {
            producer.side.fill(&reservation, 0, &producer.scratch[..len]);
        }
        producer.side.commit(reservation, len, 0);
        producer.wake();
    }
}

impl Deref for Loan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if !self.shared {
            return &self.producer.scratch;
        }
        let start = self.producer.side.ring().region().address(self.reservation.payload());
        // SAFETY: the reserved bytes lie inside the mirror and are initialised; they are ours alone while the
        // producer is borrowed, and the handle trusts its peers to keep to that.
        unsafe { core::slice::from_raw_parts(start.as_ptr(), self.reservation.len()) }
    }
}

impl DerefMut for Loan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if !self.shared {
            return &mut self.producer.scratch;
        }
        let start = self.producer.side.ring().region().address(self.reservation.payload());
        // SAFETY: as in `deref`, and this guard is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), self.reservation.len()) }
    }
}

impl fmt::Debug for Loan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("len", &self.reservation.len()).finish_non_exhaustive()
    }
}

/// Records that become visible together; see [`Producer::batch`]. Dropping it drops them. (Leaking it, as
/// [`forget`](core::mem::forget) does, leaves them to the next record that becomes visible.)
#[must_use = "a batch becomes visible only when it is committed"]
#[derive(Debug)]
pub struct Batch<'a> {
    producer: &'a mut Producer,
}

impl Batch<'_> {
    /// Adds a record.
    ///
    /// # Errors
    /// As [`Producer::push`]. The records added before stay in the batch.
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Result<(), SendError> {
        let Producer { side, claim, .. } = &mut *self.producer;
        if !claim.is_ours() {
            return Err(SendError::Forked);
        }
        let reservation = side.reserve(record.len())?;
        side.fill(&reservation, 0, record);
        side.stage(reservation, record.len(), 0);
        Ok(())
    }

    /// Makes the records visible, with one move of the index. In a process forked meanwhile it does nothing.
    #[inline]
    pub fn commit(self) {
        if self.producer.claim.is_ours() {
            self.producer.side.publish();
            self.producer.wake();
        }
    }
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        self.producer.side.discard(); // nothing is left to discard after a commit
    }
}

impl Consumer {
    /// Takes the next record, into memory of its own.
    ///
    /// # Errors
    /// [`PopError::Empty`] if there is none now.
    pub fn pop(&mut self) -> Result<Vec<u8>, PopError> {
        let mut record = Vec::new();
        self.pop_into(&mut record)?;
        Ok(record)
    }

    /// Takes the next record into `buffer`, which it replaces, and says how long it is.
    ///
    /// # Errors
    /// As [`pop`](Self::pop); `buffer` stays as it is.
    #[inline]
    pub fn pop_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize, PopError> {
        if !self.claim.is_ours() {
            return Err(PopError::Forked);
        }
        let record = self.side.peek()?;
        copy_to(&self.side, &record, buffer);
        self.side.advance(&record);
        self.side.release();
        self.wake();
        Ok(record.len())
    }

    /// The next record, read in place and released when the guard is dropped. `None` if there is none now, and
    /// on every failure that [`pop`](Self::pop) would report.
    #[inline]
    pub fn peek(&mut self) -> Option<View<'_>> {
        if !self.claim.is_ours() {
            return None;
        }
        let record = self.side.peek().ok()?;
        let Consumer { side, scratch, trusted, .. } = self;
        if !*trusted {
            keep_copy(side, record, scratch);
        }
        Some(View { consumer: self, record })
    }

    /// Reads the records that are there in place, one after the other, and gives all their space back at once
    /// when the result is dropped. Records that come meanwhile are read too; one not reached stays.
    ///
    /// ```
    /// let (mut tx, mut rx) = ringway::bytes::pair(4096)?;
    /// tx.push(b"one")?;
    /// tx.push(b"three")?;
    /// let mut drain = rx.drain();
    /// let mut bytes = 0;
    /// while let Some(record) = drain.next() {
    ///     bytes += record.len();
    /// }
    /// assert_eq!(bytes, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        Drain { consumer: self }
    }

    /// Receives the next record, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if nothing is left and the producer is gone. While there has been no producer yet,
    /// this waits.
    pub fn recv(&mut self) -> Result<Vec<u8>, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives the next record, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), or [`RecvError::Timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        match self.pop() {
            Err(PopError::Empty) => self.recv_deadline(Deadline::after(timeout)),
            result => Ok(result?),
        }
    }

    /// Receives the next record, waiting for it until `deadline`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), or [`RecvError::Timeout`].
    pub fn recv_deadline(&mut self, deadline: Deadline) -> Result<Vec<u8>, RecvError> {
        let mut record = Vec::new();
        self.recv_into(&mut record, deadline)?;
        Ok(record)
    }

    /// Receives the next record into `buffer`, which it replaces, and says how long it is.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline); `buffer` stays as it is.
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvError> {
        match self.pop_into(buffer) {
            Err(PopError::Empty) => {
                self.await_record(deadline)?;
                Ok(self.pop_into(buffer)?)
            }
            result => Ok(result?),
        }
    }

    /// Waits for the next record and reads it in place: the blocking form of [`peek`](Self::peek).
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn peek_deadline(&mut self, deadline: Deadline) -> Result<View<'_>, RecvError> {
        if !self.claim.is_ours() {
            return Err(RecvError::Forked);
        }
        if self.side.peek().is_err() {
            self.await_record(deadline)?;
        }
        self.peek().ok_or(RecvError::Empty)
    }

    /// Waits until a record is there; it stays until we take it.
    fn await_record(&mut self, deadline: Deadline) -> Result<(), RecvError> {
        let Consumer { side, waiter, barrier, claim, .. } = self;
        let body = claim.body();
        let side = RefCell::new(side);
        let look = || match side.borrow_mut().peek() {
            Err(ReadError::Empty) => None,
            result => Some(result.map(drop).map_err(RecvError::from)),
        };
        // Who sees that the producer has left sees all it published, but only by looking again.
        let last_look = || look().or(Some(Err(RecvError::Closed)));
        let attempt = || look().or_else(|| if body.producer.is_over() { last_look() } else { None });
        let patrol = || if body.producer.is_over_for_sure(claim.segment()) { last_look() } else { None };
        match waiter.wait(&body.items, *barrier, deadline, attempt, patrol, || false) {
            Ok(result) => result,
            Err(TimedOut) => Err(RecvError::Timeout),
        }
    }

    #[inline(always)]
    fn wake(&self) {
        self.claim.body().space.wake(1, self.barrier);
    }
}

/// [`copy_to`] out of line and by value, so that the common case keeps the record in registers.
#[inline(never)]
fn keep_copy(side: &Reader, record: Record, scratch: &mut Vec<u8>) {
    copy_to(side, &record, scratch);
}

/// Makes `scratch` as long as a loan, all zero.
#[inline(never)]
fn blank(scratch: &mut Vec<u8>, len: usize) {
    scratch.clear();
    scratch.resize(len, 0);
}

/// Replaces the content of `buffer` by the record's.
#[inline]
fn copy_to(side: &Reader, record: &Record, buffer: &mut Vec<u8>) {
    buffer.clear();
    append(side, record, 0, buffer);
}

/// Appends a record's payload, from byte `from` on.
#[inline]
pub(super) fn append(side: &Reader, record: &Record, from: usize, buffer: &mut Vec<u8>) {
    let len = record.len().saturating_sub(from);
    buffer.reserve(len);
    let copied = side.copy_out_uninit(record, from, &mut buffer.spare_capacity_mut()[..len]);
    // SAFETY: so many bytes behind the old length lie in the capacity reserved and have just been written.
    unsafe { buffer.set_len(buffer.len() + copied) };
}

/// A record read in place; see [`Consumer::peek`].
pub struct View<'a> {
    consumer: &'a mut Consumer,
    record: Record,
}

impl View<'_> {
    /// Leaves the record in the ring: it is the next one again.
    pub fn keep(self) {
        core::mem::forget(self); // the guard holds nothing but a borrow and plain data
    }
}

impl Deref for View<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let Consumer { side, scratch, trusted, .. } = &*self.consumer;
        if *trusted {
            // SAFETY: the record is held until this guard is dropped, and the peer is trusted not to write it.
            unsafe { in_place(side, &self.record) }
        } else {
            scratch
        }
    }
}

impl Drop for View<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.consumer.claim.is_ours() {
            self.consumer.side.advance(&self.record);
            self.consumer.side.release();
            self.consumer.wake();
        }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("len", &self.record.len()).finish_non_exhaustive()
    }
}

/// The payload of a record where it lies.
///
/// # Safety
/// The record was peeked by `side` and is not released while the result is used; whoever else can write to the
/// memory is trusted not to.
pub(super) unsafe fn in_place<'a>(side: &Reader, record: &Record) -> &'a [u8] {
    let start = side.ring().region().address(record.payload());
    // SAFETY: a peeked record lies inside the mirror (`Reader::peek` checked its length), mapped memory is
    // initialised, and by the caller's word nobody writes it.
    unsafe { core::slice::from_raw_parts(start.as_ptr(), record.len()) }
}

/// Reads one record after the other; see [`Consumer::drain`].
#[derive(Debug)]
pub struct Drain<'a> {
    consumer: &'a mut Consumer,
}

impl Drain<'_> {
    /// The next record, or `None` if none is there now or the memory is corrupt. (No `Iterator`: the record can
    /// be borrowed only until the drain ends.)
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    #[inline]
    pub fn next(&mut self) -> Option<&[u8]> {
        let Consumer { side, scratch, trusted, claim, .. } = &mut *self.consumer;
        if !claim.is_ours() {
            return None;
        }
        let record = side.peek().ok()?;
        side.advance(&record);
        if *trusted {
            // SAFETY: the space is given back when this drain is dropped, which the borrow prevents until the
            // slice is gone; the peer is trusted not to write it.
            Some(unsafe { in_place(side, &record) })
        } else {
            keep_copy(side, record, scratch);
            Some(scratch)
        }
    }
}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.consumer.claim.is_ours() {
            self.consumer.side.release();
            self.consumer.wake();
        }
    }
}

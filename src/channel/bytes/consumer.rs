//! The reading end.

use crate::channel::role::Claim;
use crate::channel::{PopError, RecvError};
use crate::ring::ReadError;
use crate::ring::bytes::{Header, Reader, Record};
use crate::sync::mutated;
use crate::wait::{Barrier, Deadline, TimedOut, Waiter};
use core::cell::RefCell;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;

/// The reading end of a ring of byte records.
///
/// Never blocks unless asked to: [`pop`](Self::pop) and [`peek`](Self::peek) answer at once,
/// [`recv`](Self::recv) waits. There is one consumer at a time in all processes together.
pub struct Consumer {
    pub(super) side: Reader,
    pub(super) waiter: Waiter,
    pub(super) barrier: Barrier,
    pub(super) trusted: bool,
    /// Where records are copied to while the peer is not trusted.
    pub(super) scratch: Vec<u8>,
    /// Last, so that the role is given up when nothing of ours touches the ring any more.
    pub(super) claim: Claim<Header>,
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
        if !mutated!("channel.wake_space") {
            self.claim.body().space.wake(1, self.barrier);
        }
    }
}

/// [`copy_to`] out of line and by value, so that the common case keeps the record in registers.
#[inline(never)]
fn keep_copy(side: &Reader, record: Record, scratch: &mut Vec<u8>) {
    copy_to(side, &record, scratch);
}

/// Replaces the content of `buffer` by the record's.
#[inline]
fn copy_to(side: &Reader, record: &Record, buffer: &mut Vec<u8>) {
    buffer.clear();
    append(side, record, 0, buffer);
}

/// Appends a record's payload, from byte `from` on.
#[inline]
pub(in crate::channel) fn append(side: &Reader, record: &Record, from: usize, buffer: &mut Vec<u8>) {
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
pub(in crate::channel) unsafe fn in_place<'a>(side: &Reader, record: &Record) -> &'a [u8] {
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

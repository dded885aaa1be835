//! The writing end.

use crate::channel::SendError;
use crate::channel::role::Claim;
use crate::ring::WriteError;
use crate::ring::bytes::{Header, Reservation, Writer};
use crate::sync::mutated;
use crate::wait::{Barrier, Deadline, TimedOut, Waiter};
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

/// The writing end of a ring of byte records.
///
/// Never blocks unless asked to: [`push`](Self::push) and [`reserve`](Self::reserve) answer at once,
/// [`send`](Self::send) waits. There is one producer at a time in all processes together.
pub struct Producer {
    pub(super) side: Writer,
    pub(super) waiter: Waiter,
    pub(super) barrier: Barrier,
    pub(super) trusted: bool,
    /// Where loans are written while the peer is not trusted.
    pub(super) scratch: Vec<u8>,
    /// Last, so that the role is given up when nothing of ours touches the ring any more.
    pub(super) claim: Claim<Header>,
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
        if !mutated!("channel.wake_items") {
            self.claim.body().items.wake(1, self.barrier);
        }
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

/// Makes `scratch` as long as a loan, all zero.
#[inline(never)]
fn blank(scratch: &mut Vec<u8>, len: usize) {
    scratch.clear();
    scratch.resize(len, 0);
}

//! The writing end.

use super::{PushError, SendError, count};
use crate::channel::role::Claim;
use crate::ring::WriteError;
use crate::ring::spsc::{Header, Writer};
use crate::sync::mutated;
use crate::wait::{Barrier, Deadline, TimedOut, Waiter};
use bytemuck::Pod;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

/// The writing end of a ring.
///
/// Never blocks unless asked to: [`push`](Self::push) and [`reserve`](Self::reserve) answer at once,
/// [`send`](Self::send) waits. There is one producer at a time in all processes together.
pub struct Producer<T: Pod> {
    pub(super) side: Writer<T>,
    pub(super) waiter: Waiter,
    pub(super) barrier: Barrier,
    /// Where a reserved message is written while the peer is not trusted. (Not in the guard: guards are moved.)
    pub(super) scratch: Option<Box<T>>,
    /// Last, so that the role is given up when nothing of ours touches the ring any more.
    pub(super) claim: Claim<Header>,
}

impl<T: Pod> Producer<T> {
    /// Pushes a message.
    ///
    /// # Errors
    /// [`PushError::Full`] if there is no space now. The message comes back in every error.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        if !self.claim.is_ours() {
            return Err(PushError::Forked(value));
        }
        match self.side.push(value) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(WriteError::Corrupt(corrupt)) => Err(PushError::Corrupt(value, corrupt)),
            Err(_) => Err(PushError::Full(value)),
        }
    }

    /// Pushes as many of `values` as there is space for, all visible at once, and says how many.
    ///
    /// # Errors
    /// As [`push`](Self::push), except that no space is not an error but 0.
    #[inline]
    pub fn push_slice(&mut self, values: &[T]) -> Result<usize, PushError<()>> {
        if !self.claim.is_ours() {
            return Err(PushError::Forked(()));
        }
        if (self.side.claimed() as usize) < values.len() {
            self.side.refresh().map_err(|corrupt| PushError::Corrupt((), corrupt))?;
        }
        let count = values.len().min(self.side.claimed() as usize);
        for (ahead, value) in values[..count].iter().enumerate() {
            self.side.write(ahead as u64, *value);
        }
        if count > 0 {
            self.side.publish(count as u64);
            self.wake();
        }
        Ok(count)
    }

    /// The next slot, to be written in place and committed. `None` if the ring is full, and on every failure
    /// that [`push`](Self::push) would report.
    ///
    /// The slot holds some older message or zeros. Dropping it without [`Reserve::commit`] publishes nothing.
    #[inline]
    pub fn reserve(&mut self) -> Option<Reserve<'_, T>> {
        if !self.claim.is_ours() || self.side.claim().is_err() {
            return None;
        }
        let slot = self.side.slot(0).as_ptr();
        Some(Reserve { producer: self, slot })
    }

    /// Sends a message, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`] if there was a consumer and it is gone. While there has been none yet, this waits.
    #[inline]
    pub fn send(&mut self, value: T) -> Result<(), SendError<T>> {
        self.send_deadline(value, Deadline::NEVER)
    }

    /// Sends a message, waiting at most `timeout` for space.
    ///
    /// # Errors
    /// As [`send`](Self::send), or [`SendError::Timeout`].
    pub fn send_timeout(&mut self, value: T, timeout: Duration) -> Result<(), SendError<T>> {
        match self.push(value) {
            Ok(()) => Ok(()),
            Err(PushError::Full(value)) => self.send_deadline(value, Deadline::after(timeout)),
            Err(PushError::Forked(value)) => Err(SendError::Forked(value)),
            Err(PushError::Corrupt(value, corrupt)) => Err(SendError::Corrupt(value, corrupt)),
        }
    }

    /// Sends a message, waiting until `deadline` for space.
    ///
    /// # Errors
    /// As [`send`](Self::send), or [`SendError::Timeout`].
    #[inline]
    pub fn send_deadline(&mut self, value: T, deadline: Deadline) -> Result<(), SendError<T>> {
        match self.push(value) {
            Ok(()) => Ok(()),
            Err(PushError::Full(value)) => self.send_slowly(value, deadline),
            Err(PushError::Forked(value)) => Err(SendError::Forked(value)),
            Err(PushError::Corrupt(value, corrupt)) => Err(SendError::Corrupt(value, corrupt)),
        }
    }

    fn send_slowly(&mut self, value: T, deadline: Deadline) -> Result<(), SendError<T>> {
        let Producer { side, waiter, barrier, claim, .. } = self;
        let body = claim.body();
        // Whether there is space, or never will be.
        let mut attempt = || match side.claim() {
            Ok(_) => Some(Ok(())),
            Err(WriteError::Corrupt(corrupt)) => Some(Err(SendError::Corrupt(value, corrupt))),
            Err(_) if body.consumer.is_over() => Some(Err(SendError::Closed(value))),
            Err(_) => None,
        };
        let patrol = || {
            let gone = body.consumer.is_over_for_sure(claim.segment());
            gone.then_some(Err(SendError::Closed(value)))
        };
        match waiter.wait(&body.space, *barrier, deadline, &mut attempt, patrol, || false) {
            Ok(Ok(())) => {
                side.write(0, value);
                side.publish(1);
                self.wake();
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(TimedOut) => Err(SendError::Timeout(value)),
        }
    }

    #[inline(always)]
    fn wake(&self) {
        if !mutated!("channel.wake_items") {
            self.claim.body().items.wake(1, self.barrier);
        }
    }

    /// How many messages were in the ring a moment ago.
    ///
    /// The consumer may take messages meanwhile, never add any. So this may be too high at once:
    /// ```
    /// let (mut tx, mut rx) = ringway::spsc::pair::<u8>(4)?;
    /// tx.push(1)?;
    /// let before = tx.len();
    /// rx.pop()?; // perhaps in another process
    /// assert!(tx.len() <= before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    /// but a ring that had space keeps it until this producer pushes:
    /// ```
    /// let (mut tx, rx) = ringway::spsc::pair::<u8>(4)?;
    /// if tx.len() < tx.capacity() {
    ///     tx.push(1)?; // cannot be full
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        count(self.side.ring())
    }

    /// Whether the ring was empty a moment ago; see [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the ring was full a moment ago; see [`len`](Self::len). Once it is not, it stays so until this
    /// producer pushes.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }
}

/// A slot of the ring to be written in place; see [`Producer::reserve`].
#[must_use = "a reserved slot becomes a message only when it is committed"]
pub struct Reserve<'a, T: Pod> {
    producer: &'a mut Producer<T>,
    /// Used only if the peer is trusted.
    slot: *mut T,
}

impl<T: Pod> Reserve<'_, T> {
    /// Publishes the message. In a process forked meanwhile it does nothing.
    #[inline]
    pub fn commit(self) {
        if !self.producer.claim.is_ours() {
            return;
        }
        if let Some(private) = &self.producer.scratch {
            self.producer.side.write(0, **private);
        }
        self.producer.side.publish(1);
        self.producer.wake();
    }
}

impl<T: Pod> Deref for Reserve<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.producer.scratch {
            // SAFETY: the slot is claimed, so ours alone while the producer is borrowed; the handle trusts its
            // peers to keep to that; memory of the mapping is initialised and any bits are a valid Pod.
            None => unsafe { &*self.slot },
            Some(private) => private,
        }
    }
}

impl<T: Pod> DerefMut for Reserve<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.producer.scratch {
            // SAFETY: as in `deref`, and this guard is borrowed exclusively.
            None => unsafe { &mut *self.slot },
            Some(private) => private,
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Reserve<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reserve").field(&**self).finish()
    }
}

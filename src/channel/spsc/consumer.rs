//! The reading end.

use super::count;
use crate::channel::role::Claim;
use crate::channel::{PopError, RecvError};
use crate::ring::ReadError;
use crate::ring::spsc::{Header, Reader};
use crate::sync::mutated;
use crate::wait::{Barrier, Deadline, TimedOut, Waiter};
use bytemuck::Pod;
use core::fmt;
use core::ops::Deref;
use core::time::Duration;

/// The reading end of a ring.
///
/// Never blocks unless asked to: [`pop`](Self::pop) and [`peek`](Self::peek) answer at once,
/// [`recv`](Self::recv) waits. There is one consumer at a time in all processes together.
pub struct Consumer<T: Pod> {
    pub(super) side: Reader<T>,
    pub(super) waiter: Waiter,
    pub(super) barrier: Barrier,
    /// Where a message that is peeked at is copied to while the peer is not trusted.
    pub(super) scratch: Option<Box<T>>,
    /// Last, so that the role is given up when nothing of ours touches the ring any more.
    pub(super) claim: Claim<Header>,
}

impl<T: Pod> Consumer<T> {
    /// Takes the next message.
    ///
    /// # Errors
    /// [`PopError::Empty`] if there is none now.
    #[inline]
    pub fn pop(&mut self) -> Result<T, PopError> {
        if !self.claim.is_ours() {
            return Err(PopError::Forked);
        }
        let value = self.side.pop()?;
        self.wake();
        Ok(value)
    }

    /// Takes as many messages as there are and `values` has room for, gives their slots back at once, and says
    /// how many.
    ///
    /// # Errors
    /// As [`pop`](Self::pop), except that an empty ring is not an error but 0.
    #[inline]
    pub fn pop_slice(&mut self, values: &mut [T]) -> Result<usize, PopError> {
        if !self.claim.is_ours() {
            return Err(PopError::Forked);
        }
        if (self.side.seen() as usize) < values.len() {
            self.side.refresh().map_err(PopError::Corrupt)?;
        }
        let count = values.len().min(self.side.seen() as usize);
        for (ahead, value) in values[..count].iter_mut().enumerate() {
            if let Some(message) = self.side.read(ahead as u64) {
                *value = message;
            }
        }
        if count > 0 {
            self.side.release(count as u64);
            self.wake();
        }
        Ok(count)
    }

    /// The next message, read in place and released when the guard is dropped. `None` if the ring is empty, and
    /// on every failure that [`pop`](Self::pop) would report.
    #[inline]
    pub fn peek(&mut self) -> Option<Peek<'_, T>> {
        if !self.claim.is_ours() || self.side.available().is_err() {
            return None;
        }
        if let Some(private) = &mut self.scratch {
            **private = self.side.read(0)?;
        }
        let slot = self.side.slot(0).as_ptr();
        Some(Peek { consumer: self, slot })
    }

    /// Takes the messages that are there, one after the other, and gives all their slots back at once when the
    /// iterator ends or is dropped. Messages that come meanwhile are taken too; a message not reached stays.
    ///
    /// ```
    /// let (mut tx, mut rx) = ringway::spsc::pair::<u64>(8)?;
    /// tx.push_slice(&[1, 2, 3])?;
    /// assert_eq!(rx.drain().sum::<u64>(), 6);
    /// assert!(rx.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain(&mut self) -> Drain<'_, T> {
        Drain { consumer: self, taken: 0 }
    }

    /// Receives the next message, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if nothing is left and the producer is gone. While there has been no producer yet,
    /// this waits.
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives the next message, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), or [`RecvError::Timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
        match self.pop() {
            Err(PopError::Empty) => self.recv_deadline(Deadline::after(timeout)),
            result => result.map_err(RecvError::from),
        }
    }

    /// Receives the next message, waiting for it until `deadline`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), or [`RecvError::Timeout`].
    #[inline]
    pub fn recv_deadline(&mut self, deadline: Deadline) -> Result<T, RecvError> {
        match self.pop() {
            Err(PopError::Empty) => self.recv_slowly(deadline),
            result => result.map_err(RecvError::from),
        }
    }

    fn recv_slowly(&mut self, deadline: Deadline) -> Result<T, RecvError> {
        let Consumer { side, waiter, barrier, claim, .. } = self;
        let body = claim.body();
        let side = core::cell::RefCell::new(side);
        // Whether a message is there, or never will be.
        let look = || match side.borrow_mut().available() {
            Ok(_) => Some(Ok(())),
            Err(ReadError::Corrupt(corrupt)) => Some(Err(RecvError::Corrupt(corrupt))),
            Err(ReadError::Empty) => None,
        };
        // Who sees that the producer has left sees all it published, but only by looking again.
        let attempt = || {
            look().or_else(|| {
                if body.producer.is_over() { look().or(Some(Err(RecvError::Closed))) } else { None }
            })
        };
        let patrol = || {
            let gone = body.producer.is_over_for_sure(claim.segment());
            if gone { look().or(Some(Err(RecvError::Closed))) } else { None }
        };
        match waiter.wait(&body.items, *barrier, deadline, attempt, patrol, || false) {
            Ok(Ok(())) => self.pop().map_err(RecvError::from),
            Ok(Err(error)) => Err(error),
            Err(TimedOut) => Err(RecvError::Timeout),
        }
    }

    #[inline(always)]
    fn wake(&self) {
        if !mutated!("channel.wake_space") {
            self.claim.body().space.wake(1, self.barrier);
        }
    }

    /// How many messages were in the ring a moment ago.
    ///
    /// The producer may add messages meanwhile, never take any. So this may be too low at once:
    /// ```
    /// let (mut tx, rx) = ringway::spsc::pair::<u8>(4)?;
    /// let before = rx.len();
    /// tx.push(1)?; // perhaps in another process
    /// assert!(rx.len() >= before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    /// but a message that is there stays until this consumer takes it:
    /// ```
    /// let (mut tx, mut rx) = ringway::spsc::pair::<u8>(4)?;
    /// # tx.push(1)?;
    /// if !rx.is_empty() {
    ///     rx.pop()?; // cannot be empty
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        count(self.side.ring())
    }

    /// Whether the ring was empty a moment ago; see [`len`](Self::len). Once it is not, it stays so until this
    /// consumer pops.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the ring was full a moment ago; see [`len`](Self::len).
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }
}

/// A message read in place; see [`Consumer::peek`].
pub struct Peek<'a, T: Pod> {
    consumer: &'a mut Consumer<T>,
    /// Used only if the peer is trusted.
    slot: *const T,
}

impl<T: Pod> Peek<'_, T> {
    /// Leaves the message in the ring: it is the next one again.
    pub fn keep(self) {
        core::mem::forget(self); // the guard holds nothing but borrows and plain data
    }
}

impl<T: Pod> Deref for Peek<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.consumer.scratch {
            // SAFETY: the slot holds a message until it is released, which this guard does on drop; the handle
            // trusts its peers not to write it meanwhile; any bits are a valid Pod.
            None => unsafe { &*self.slot },
            Some(private) => private,
        }
    }
}

impl<T: Pod> Drop for Peek<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.consumer.claim.is_ours() {
            self.consumer.side.release(1);
            self.consumer.wake();
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Peek<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peek").field(&**self).finish()
    }
}

/// An iterator that empties the ring; see [`Consumer::drain`].
#[derive(Debug)]
pub struct Drain<'a, T: Pod> {
    consumer: &'a mut Consumer<T>,
    taken: u64,
}

impl<T: Pod> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let Consumer { side, claim, .. } = &mut *self.consumer;
        if !claim.is_ours() {
            return None;
        }
        if self.taken >= side.seen() && (side.refresh().is_err() || self.taken >= side.seen()) {
            return None;
        }
        let value = side.read(self.taken)?;
        self.taken += 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.consumer.side.seen().saturating_sub(self.taken) as usize, None)
    }
}

impl<T: Pod> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        if self.taken > 0 && self.consumer.claim.is_ours() {
            self.consumer.side.release(self.taken);
            self.consumer.wake();
        }
    }
}

//! Queues of plain values, which lie in the slots themselves.

use super::Queue;
use super::core::Core;
use super::policy::AT_ONCE;
use crate::channel::{RecvError, SendError};
use crate::ring::mpmc::{PopError, Popped, PushError, Ring};
use crate::wait::Deadline;
use bytemuck::Pod;
use core::time::Duration;

/// A message with what is known about its delivery; see [`Queue::recv_with_id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received<T> {
    /// The message.
    pub value: T,
    /// Its number in the queue, from 0 on in the order of sending. The same at each delivery.
    pub id: u64,
    /// How many receivers were killed while they were taking it, up to 63.
    pub deliveries: u8,
}

/// Puts a value among the dead letters, if there is space.
pub(super) fn post<T: Pod>(letters: &Core, value: T) -> bool {
    // SAFETY: dead letters are a queue of the same type as what they are the letters of.
    let ring = unsafe { Ring::<T>::over(letters.slots) };
    letters.try_send(|me| ring.push(me, value, letters.barrier)).is_ok()
}

impl<T: Pod> Queue<T> {
    pub(super) fn ring(&self) -> Ring<T> {
        // SAFETY: the segment's header, checked when it was opened, says that its elements are of this size and
        // alignment, from which both sides conclude the slots; any bits are a valid Pod.
        unsafe { Ring::over(self.core.slots) }
    }

    #[inline]
    fn push(&self, value: T) -> impl FnMut(u16) -> Result<u64, PushError> {
        let (ring, barrier) = (self.ring(), self.core.barrier);
        move |me| ring.push(me, value, barrier)
    }

    #[inline]
    pub(super) fn pop(&self) -> impl FnMut(u16) -> Result<Popped<T>, PopError> + '_ {
        let (ring, core) = (self.ring(), &*self.core);
        move |me| {
            for _ in 0..AT_ONCE {
                let given_up = |value: &T, deliveries| {
                    core.policy.gives_up(deliveries, core.body(), |letters| post(letters, *value))
                };
                if let Some(popped) = ring.pop_unless(me, |owner| core.is_dead(owner), given_up)? {
                    return Ok(popped);
                }
                core.freed(1);
            }
            Err(PopError::Contended)
        }
    }

    /// Sends if nothing is in the way; `false` sends nothing. Most calls end here, without a result in memory.
    #[inline(always)]
    fn send_straight(&self, value: T) -> bool {
        let core = &*self.core;
        let Some(me) = core.segment.member_if_known() else { return false };
        let sent = self.ring().push_straight(me.index(), value, core.barrier);
        if sent {
            core.told(1);
        }
        sent
    }

    /// Receives if nothing is in the way.
    #[inline(always)]
    fn recv_straight(&self) -> Option<T> {
        let core = &*self.core;
        let value = self.ring().pop_straight(core.segment.member_if_known()?.index())?;
        core.freed(1);
        Some(value)
    }

    #[cold]
    #[inline(never)]
    fn send_at_length(&self, value: T, deadline: Deadline) -> Result<(), SendError> {
        self.core.send(deadline, self.push(value)).map(drop)
    }

    #[cold]
    #[inline(never)]
    fn try_send_at_length(&self, value: T) -> Result<(), SendError> {
        self.core.try_send(self.push(value)).map(drop)
    }

    #[cold]
    #[inline(never)]
    fn recv_at_length(&self, deadline: Deadline) -> Result<T, RecvError> {
        self.core.recv(deadline, self.pop()).map(|popped| popped.value)
    }

    #[cold]
    #[inline(never)]
    fn try_recv_at_length(&self) -> Result<T, RecvError> {
        self.core.try_recv(self.pop()).map(|popped| popped.value)
    }

    /// Sends a message, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError> {
        self.send_deadline(value, Deadline::NEVER)
    }

    /// Sends a message if there is space now.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`].
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), SendError> {
        if self.send_straight(value) { Ok(()) } else { self.try_send_at_length(value) }
    }

    /// Sends a message, waiting at most `timeout` for space.
    ///
    /// # Errors
    /// [`SendError::Timeout`], [`SendError::Closed`].
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendError> {
        self.send_deadline(value, Deadline::after(timeout))
    }

    /// Sends a message, waiting until `deadline` for space.
    ///
    /// # Errors
    /// [`SendError::Timeout`], [`SendError::Closed`].
    #[inline]
    pub fn send_deadline(&self, value: T, deadline: Deadline) -> Result<(), SendError> {
        if self.send_straight(value) { Ok(()) } else { self.send_at_length(value, deadline) }
    }

    /// Receives a message, waiting for one as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the queue is closed and everything was received.
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives a message if one is there now.
    ///
    /// # Errors
    /// [`RecvError::Empty`], [`RecvError::Closed`].
    #[inline]
    pub fn try_recv(&self) -> Result<T, RecvError> {
        self.recv_straight().map_or_else(|| self.try_recv_at_length(), Ok)
    }

    /// Receives a message, waiting at most `timeout` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], [`RecvError::Closed`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::after(timeout))
    }

    /// Receives a message, waiting until `deadline` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], [`RecvError::Closed`].
    #[inline]
    pub fn recv_deadline(&self, deadline: Deadline) -> Result<T, RecvError> {
        self.recv_straight().map_or_else(|| self.recv_at_length(deadline), Ok)
    }

    /// Receives a message together with its number and how often its delivery was tried before.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline).
    pub fn recv_with_id(&self, deadline: Deadline) -> Result<Received<T>, RecvError> {
        let Popped { value, id, deliveries } = self.core.recv(deadline, self.pop())?;
        Ok(Received { value, id, deliveries })
    }
}

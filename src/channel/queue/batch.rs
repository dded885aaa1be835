//! Several messages in one call: each is a message of its own, but the others are told once.

use super::Queue;
use crate::channel::{RecvError, SendError};
use crate::wait::Deadline;
use bytemuck::Pod;
use core::fmt;

/// Why not all messages of a batch were sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unsent {
    /// How many were: the first ones.
    pub sent: usize,
    /// Why the next one was not.
    pub error: SendError,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} messages: {}", self.sent, self.error)
    }
}

impl std::error::Error for Unsent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// For so many bytes of messages room is made at once.
const ROOM: usize = 64 << 10;

impl<T: Pod> Queue<T> {
    /// Sends all of `values`, waiting for space as long as it takes. Each is a message of its own: others may send in
    /// between, and a process killed in the middle has sent the first ones.
    ///
    /// # Errors
    /// [`Unsent`] says how many were sent, and why the next one was not.
    pub fn send_many(&self, values: &[T]) -> Result<(), Unsent> {
        self.send_many_deadline(values, Deadline::NEVER)
    }

    /// The same, waiting until `deadline`. With [`Deadline::NOW`] it sends as many as there is space for.
    ///
    /// # Errors
    /// As [`send_many`](Self::send_many).
    pub fn send_many_deadline(&self, values: &[T], deadline: Deadline) -> Result<(), Unsent> {
        let mut sent = 0;
        while sent < values.len() {
            sent += self.push_some(&values[sent..]).map_err(|error| Unsent { sent, error })?;
            // No space for the next one, or we were unlucky: the way of a single message tells which.
            if let Some(&next) = values.get(sent) {
                let single = match deadline {
                    Deadline::NOW => self.try_send(next),
                    later => self.send_deadline(next, later),
                };
                single.map_err(|error| Unsent { sent, error })?;
                sent += 1;
            }
        }
        Ok(())
    }

    /// Sends the first of `values` without waiting, and tells receivers once. Returns how many.
    fn push_some(&self, values: &[T]) -> Result<usize, SendError> {
        let me = self.core.me().map_err(SendError::Attach)?;
        let sent = self.ring().push_row(me, values, self.core.barrier);
        if sent > 0 {
            self.core.told(u32::try_from(sent).unwrap_or(u32::MAX));
        }
        Ok(sent)
    }

    /// Waits for a message and appends it to `values`, with as many more as are there at once, up to `most` together.
    /// Returns how many. With [`Deadline::NOW`] it does not wait.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline), or [`try_recv`](Self::try_recv) for [`Deadline::NOW`]; then `values` is
    /// as it was.
    pub fn recv_many(
        &self,
        values: &mut Vec<T>,
        most: usize,
        deadline: Deadline,
    ) -> Result<usize, RecvError> {
        if most == 0 {
            return Ok(0);
        }
        let most = most.min(self.capacity());
        let mut received = self.pop_ready(values, most)?;
        if received == 0 {
            values.reserve(1);
            // None there, or something in the way: the way of a single message tells which, and waits.
            values.push(match deadline {
                Deadline::NOW => self.try_recv()?,
                later => self.recv_deadline(later)?,
            });
            received = 1 + self.pop_ready(values, most - 1).unwrap_or(0);
        }
        Ok(received)
    }

    /// Takes what is there, up to `most` messages, without waiting. Returns how many.
    fn pop_ready(&self, values: &mut Vec<T>, most: usize) -> Result<usize, RecvError> {
        // Room first, for some at a time: a message taken out must not be lost for want of memory.
        let at_once = (ROOM / size_of::<T>()).max(1);
        let mut received = 0;
        while received < most {
            let room = at_once.min(most - received);
            values.reserve(room);
            let taken = self.pop_some(values, room)?;
            received += taken;
            if taken < room {
                break;
            }
        }
        Ok(received)
    }

    /// Takes up to `most` messages without waiting, and tells senders once. Returns how many.
    fn pop_some(&self, values: &mut Vec<T>, most: usize) -> Result<usize, RecvError> {
        let me = self.core.me().map_err(RecvError::Attach)?;
        let received = self.ring().pop_row(me, most, |value| values.push(value));
        if received > 0 {
            self.core.freed(u32::try_from(received).unwrap_or(u32::MAX));
        }
        Ok(received)
    }
}

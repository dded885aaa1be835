//! Queues of byte messages of any length.

use super::Queue;
use super::common::{lends_bytes, sends_bytes};
use super::message::Message;
use crate::channel::RecvError;
use crate::wait::Deadline;
use core::time::Duration;

/// Messages of any length, each received by exactly one: from nothing to a gigabyte through the same queue.
///
/// ```
/// let queue = ringway::Queue::<[u8]>::anonymous(64)?;
/// queue.send(b"small ones lie in the queue itself")?;
///
/// let mut large = queue.reserve(1 << 20)?; // a piece of shared memory, written in place
/// large[0] = 7;
/// large.commit()?;
///
/// assert_eq!(queue.recv()?[..5], *b"small");
/// let message = queue.recv()?; // read in place; held as long as one likes
/// assert_eq!((message.len(), message[0]), (1 << 20, 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Queue<[u8]> {
    /// Receives a message, waiting for one as long as it takes. It can be read where it lies, kept for as long as one
    /// likes, and dropped in any order.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the queue is closed and everything was received.
    #[inline]
    pub fn recv(&self) -> Result<Message<'_>, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives a message if one is there now.
    ///
    /// # Errors
    /// [`RecvError::Empty`], [`RecvError::Closed`].
    #[inline]
    pub fn try_recv(&self) -> Result<Message<'_>, RecvError> {
        Message::receive(&self.core, None)
    }

    /// Receives a message, waiting at most `timeout` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], [`RecvError::Closed`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Message<'_>, RecvError> {
        self.recv_deadline(Deadline::after(timeout))
    }

    /// Receives a message, waiting until `deadline` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], [`RecvError::Closed`].
    #[inline]
    pub fn recv_deadline(&self, deadline: Deadline) -> Result<Message<'_>, RecvError> {
        Message::receive(&self.core, Some(deadline))
    }

    /// Receives a message into `buffer`, whose content it replaces, waiting until `deadline`. Returns its length.
    /// Whatever peers write meanwhile, what is in `buffer` afterwards stays as it is.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline), or [`try_recv`](Self::try_recv) for [`Deadline::NOW`]; then `buffer` is
    /// as it was.
    #[inline]
    pub fn recv_into(&self, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvError> {
        self.core.recv_bytes(buffer, (deadline != Deadline::NOW).then_some(deadline))
    }

    /// Waits until `deadline` for a message and appends it to `messages`, with as many more as are there at once, up to
    /// `most` together. Returns how many. With [`Deadline::NOW`] it does not wait.
    ///
    /// # Errors
    /// As [`recv_into`](Self::recv_into); then `messages` is as it was.
    pub fn recv_many<'q>(
        &'q self,
        messages: &mut Vec<Message<'q>>,
        most: usize,
        deadline: Deadline,
    ) -> Result<usize, RecvError> {
        if most == 0 {
            return Ok(0);
        }
        let most = most.min(self.capacity());
        // Room first: a message taken out must not be lost for want of memory.
        messages.reserve(1);
        messages.push(Message::receive(&self.core, (deadline != Deadline::NOW).then_some(deadline))?);
        let mut received = 1;
        while received < most {
            messages.reserve(1);
            let Ok(message) = self.try_recv() else { break };
            messages.push(message);
            received += 1;
        }
        Ok(received)
    }

    /// Receives message after message, waiting for each, until the queue is closed and drained (or an error makes going
    /// on impossible).
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        core::iter::from_fn(|| self.recv().ok())
    }

    /// Receives the messages that are there, without waiting.
    pub fn try_iter(&self) -> impl Iterator<Item = Message<'_>> {
        core::iter::from_fn(|| self.try_recv().ok())
    }
}

sends_bytes!(Queue<[u8]>);
lends_bytes!(Queue<[u8]>);

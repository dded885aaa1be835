//! Queues of byte messages of any length.

use super::loan::Loan;
use super::message::Message;
use super::{Queue, Unsent};
use crate::channel::{RecvError, SendError};
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
    /// Sends a copy of `message`, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`]; [`SendError::TooLarge`] at once if it can never fit; [`SendError::NoSpace`] if the file
    /// system has no room for it.
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_deadline(message, Deadline::NEVER)
    }

    /// Sends a copy of `message` if there is space now.
    ///
    /// # Errors
    /// [`SendError::Full`]; else as [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<(), SendError> {
        self.core.send_bytes(message, None)
    }

    /// Sends a copy of `message`, waiting at most `timeout` for space.
    ///
    /// # Errors
    /// [`SendError::Timeout`]; else as [`send`](Self::send).
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_deadline(message, Deadline::after(timeout))
    }

    /// Sends a copy of `message`, waiting until `deadline` for space.
    ///
    /// # Errors
    /// [`SendError::Timeout`]; else as [`send`](Self::send).
    #[inline]
    pub fn send_deadline(&self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.core.send_bytes(message, Some(deadline))
    }

    /// Sends all of `messages`, each of its own, waiting for space until `deadline`. With [`Deadline::NOW`] it sends as
    /// many as there is space for.
    ///
    /// # Errors
    /// [`Unsent`] says how many were sent, and why the next one was not.
    pub fn send_many<M: AsRef<[u8]>>(&self, messages: &[M], deadline: Deadline) -> Result<(), Unsent> {
        let patience = (deadline != Deadline::NOW).then_some(deadline);
        for (sent, message) in messages.iter().enumerate() {
            self.core.send_bytes(message.as_ref(), patience).map_err(|error| Unsent { sent, error })?;
        }
        Ok(())
    }

    /// Reserves shared memory for a message of `len` bytes, to be written in place and then
    /// [committed](Loan::commit); waits for some as long as it takes. Its content is whatever was there before.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn reserve(&self, len: usize) -> Result<Loan<'_>, SendError> {
        Loan::reserve(&self.core, len, Some(Deadline::NEVER))
    }

    /// The same if there is some now.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_reserve(&self, len: usize) -> Result<Loan<'_>, SendError> {
        Loan::reserve(&self.core, len, None)
    }

    /// The same, waiting until `deadline`.
    ///
    /// # Errors
    /// As [`send_deadline`](Self::send_deadline).
    pub fn reserve_deadline(&self, len: usize, deadline: Deadline) -> Result<Loan<'_>, SendError> {
        Loan::reserve(&self.core, len, Some(deadline))
    }

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

    /// The longest possible message, in bytes.
    pub fn max_message(&self) -> u64 {
        self.core.store().pool.layout().max_len()
    }

    /// The bytes that large messages, those above 64 KiB, take now. They stay reserved for the next ones, until
    /// [`trim`](Self::trim).
    pub fn large_bytes(&self) -> u64 {
        self.core.store().pool.extent_bytes()
    }

    /// Gives the memory that large messages took, and none uses now, back to the system. Returns how many bytes.
    pub fn trim(&self) -> u64 {
        self.core.trim()
    }
}

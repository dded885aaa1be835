//! Queues: any number of processes put, any number take, each message goes to exactly one of them.

mod batch;
mod bytes;
mod common;
mod core;
mod holder;
mod iter;
mod joinable;
pub(crate) mod layout;
mod loan;
mod message;
mod payload;
mod policy;
mod readiness;
#[cfg(feature = "serde")]
mod serde;
mod store;
mod tally;
#[cfg(test)]
mod tests;
mod typed;
mod watch;

#[cfg(feature = "serde")]
pub use self::serde::Serde;
pub use batch::Unsent;
pub use iter::{Iter, TryIter};
pub use joinable::{JoinError, JoinableQueue, Task};
pub use loan::{Loan, Uncommitted};
pub use message::Message;
pub use payload::Payload;
pub use tally::{DoneError, TallyQueue};
pub use typed::Received;

use self::core::Core;
use self::policy::Policy;
use crate::error::Error;
use crate::options::{Object, Options, Settings};
use crate::segment::layout::Plan;
use crate::segment::{Segment, Sweep};
use crate::wait::Wait;
use ::core::fmt;
use ::core::marker::PhantomData;
use std::sync::Arc;

/// A queue of messages between any number of processes: each is received by exactly one of them.
///
/// The handle is cheap to clone, and may be shared by threads. Whoever attaches may send and receive.
///
/// ```
/// use ringway::Queue;
///
/// # let name = format!("doc-queue-{}", std::process::id());
/// let jobs = Queue::<u64>::open_or_create(&name, 1024)?; // in each process
/// jobs.send(7)?;
/// assert_eq!(jobs.recv()?, 7);
///
/// jobs.close(); // nobody sends any more; what is there can still be received
/// assert!(matches!(jobs.recv(), Err(ringway::RecvError::Closed)));
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Order
/// The messages of one sender are received in the order in which it sent them. (Two receivers may *finish* them in
/// another order.)
///
/// # When a process dies
/// A message is sent whole or not at all: one whose sender was killed inside [`send`](Queue::send) may be either. A
/// message that a receiver was just taking when it was killed is delivered again, to another one, late and out of
/// order; [`recv_with_id`](Queue::recv_with_id) tells how often that happened. A message once received is gone with
/// its receiver. Nobody is blocked: whoever finds a dead process in its way ends what that one began.
///
/// A process that is merely *stopped* inside a call is not dead. It holds up what it has claimed: the message it was
/// sending or receiving, and those behind it.
pub struct Queue<M: ?Sized> {
    core: Arc<Core>,
    messages: PhantomData<fn(Box<M>) -> Box<M>>,
}

impl<M: ?Sized> Clone for Queue<M> {
    fn clone(&self) -> Self {
        Queue { core: Arc::clone(&self.core), messages: PhantomData }
    }
}

impl<M: ?Sized> fmt::Debug for Queue<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.core.segment.name())
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<M: ?Sized> Queue<M> {
    fn segment(&self) -> &Segment {
        &self.core.segment
    }

    /// How many messages the queue holds before it is full.
    pub fn capacity(&self) -> usize {
        self.core.slots.geometry().capacity() as usize
    }

    /// How many messages were in the queue a moment ago.
    ///
    /// Others may send and receive meanwhile, so nothing follows from it for the next call:
    /// ```
    /// # let queue = ringway::Queue::<u8>::anonymous(4)?;
    /// let other = queue.clone();
    /// let before = queue.len();
    /// other.send(1)?; // perhaps in another process
    /// assert!(queue.len() > before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    /// Nor can as many be received at once: one that another process is still sending may come before them. But while
    /// nobody else sends or receives, it is exact (up to places that killed senders left between more than 64 messages):
    /// ```
    /// # let queue = ringway::Queue::<u8>::anonymous(4)?;
    /// # queue.send(1)?;
    /// for _ in 0..queue.len() {
    ///     queue.try_recv()?; // cannot be empty
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Whether the queue was empty a moment ago: a [`try_recv`](Queue::try_recv) would have found nothing.
    ///
    /// Another process may send at once:
    /// ```
    /// # let queue = ringway::Queue::<u8>::anonymous(4)?;
    /// # let other = queue.clone();
    /// if queue.is_empty() {
    ///     other.send(1)?; // perhaps in another process
    ///     assert!(!queue.is_empty());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    /// (also after it was closed: a message whose sending had begun still comes, and one whose receiver dies comes back)
    /// but the only receiver of a queue may rely on having seen something:
    /// ```
    /// # let queue = ringway::Queue::<u8>::anonymous(4)?;
    /// # queue.send(1)?;
    /// if !queue.is_empty() {
    ///     queue.try_recv()?; // cannot be empty
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        !self.core.holds_any()
    }

    /// Whether the queue was full a moment ago: a [`try_send`](Queue::try_send) would have found no place. (A message of more
    /// than 48 bytes needs memory besides, which receivers may hold on to.)
    ///
    /// Another process may receive at once:
    /// ```
    /// # let queue = ringway::Queue::<u8>::anonymous(1)?;
    /// # queue.send(1)?;
    /// # let other = queue.clone();
    /// if queue.is_full() {
    ///     other.recv()?; // perhaps in another process
    ///     assert!(!queue.is_full());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    /// but the only sender of a queue may rely on having seen space:
    /// ```
    /// # let queue = ringway::Queue::<u8>::anonymous(1)?;
    /// if !queue.is_full() {
    ///     queue.try_send(1)?; // cannot be full
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_full(&self) -> bool {
        self.core.slots.look_for_space().is_err()
    }

    /// Closes the queue for all: nobody can send any more, and once everything is received, [`recv`](Queue::recv)
    /// says [`Closed`](crate::RecvError::Closed). Returns whether it was open. If this process dies while it does so,
    /// whoever notices goes on.
    pub fn close(&self) -> bool {
        self.core.close()
    }

    /// Whether the queue was closed. It cannot be opened again.
    pub fn is_closed(&self) -> bool {
        !self.core.is_open()
    }
}

super::endpoint::endpoint!([M: Payload + ?Sized], Queue<M>, "queue", "", "the number of messages it holds");

impl<M: Payload + ?Sized> Object for Queue<M> {
    const SWEEP: Sweep = layout::SWEEP;

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        M::plan(settings)
    }

    fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
        Queue::over(segment, settings.wait, Policy::REDELIVER)
    }
}

impl Options<Queue<[u8]>> {
    /// The usual size of a message in bytes (256): there is memory from the beginning for as many of them as the queue
    /// [holds](Self::capacity) and receivers [hold on to](Self::max_held). Larger ones share other memory.
    pub fn message_size(mut self, bytes: usize) -> Self {
        self.settings.message_size = Some(bytes as u64);
        self
    }

    /// How many messages receivers may hold on to, and senders be writing, without taking memory from those in the queue
    /// (254).
    pub fn max_held(mut self, messages: usize) -> Self {
        self.settings.max_held = Some(messages as u64);
        self
    }

    /// How many bytes messages of each size between the usual one and 64 KiB, in powers of two, may take (1 MiB, or as many
    /// as those of the usual size if that is more). They take nothing before they are sent. With less, fewer of such messages fit
    /// in at a time, and a queue is made a little faster; there is place for two of each size in any case.
    pub fn spare(mut self, bytes: usize) -> Self {
        self.settings.spare = Some(bytes as u64);
        self
    }

    /// How many bytes messages of more than 64 KiB may take together (1 GiB), and how long a message can be. They take
    /// nothing before they are sent.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_bytes = Some(bytes);
        self
    }
}

impl<M: ?Sized> Queue<M> {
    fn over(segment: Arc<Segment>, wait: Wait, policy: Policy) -> Result<Self, Error> {
        Ok(Queue { core: Arc::new(Core::new(segment, wait, policy)?), messages: PhantomData })
    }

    /// Another handle to the same queue with another way of waiting.
    ///
    /// # Errors
    /// In a forked child, if it cannot become a participant of its own.
    pub fn with_wait(&self, wait: Wait) -> Result<Self, Error> {
        Queue::over(Arc::clone(&self.core.segment), wait, self.core.policy.clone())
    }
}

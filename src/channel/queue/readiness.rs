//! For event loops: descriptors that are readable when an operation has something to say, and futures.

use super::Queue;
use super::core::Core;
use super::joinable::{JoinableQueue, Task};
use super::message::Message;
use super::payload::Payload;
use super::tally::TallyQueue;
use crate::channel::{RecvError, SendError};
use crate::error::Error;
use bytemuck::Pod;
use std::os::fd::BorrowedFd;

impl Core {
    async fn recv_when_there<R>(
        &self,
        mut attempt: impl FnMut() -> Result<R, RecvError>,
    ) -> Result<R, RecvError> {
        let attempt = || match attempt() {
            Err(RecvError::Empty) => None,
            received => Some(received),
        };
        let subject = || self.subject(false);
        self.arrivals.when(0, subject, attempt, |error| Err(RecvError::Attach(error))).await
    }

    async fn send_when_possible(
        &self,
        len: u64,
        mut attempt: impl FnMut() -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let attempt = || match attempt() {
            Err(SendError::Full) => None,
            sent => Some(sent),
        };
        let subject = || self.subject(true);
        self.vacancies.when(len, subject, attempt, |error| Err(SendError::Attach(error))).await
    }
}

/// Gives a kind of queue its descriptors.
macro_rules! descriptors {
    ([$($generics:tt)*], $queue:ty) => {
        impl<$($generics)*> $queue {
            /// A descriptor that is readable, by `poll`, `epoll` and what builds on them, when
            /// [`try_recv`](Self::try_recv) has something to say: a message, or the end.
            ///
            /// It is level-triggered, and belongs to this handle and its clones. Only poll it: what is read from it is
            /// ours. From the first call on, a thread of this process sleeps at the queue in the event loop's stead; other
            /// processes do not notice. A message that another receiver takes first leaves it readable until the next
            /// [`try_recv`](Self::try_recv) that finds nothing. A forked child asks for one of its own.
            ///
            /// # Errors
            /// What the operating system refuses: a descriptor, or a thread.
            pub fn readiness(&self) -> Result<BorrowedFd<'_>, Error> {
                self.core.arrivals.descriptor(0, || self.core.subject(false))
            }

            /// The same for [`try_send`](Self::try_send): readable when there is space, or the queue is closed.
            ///
            /// # Errors
            /// As [`readiness`](Self::readiness).
            pub fn send_readiness(&self) -> Result<BorrowedFd<'_>, Error> {
                self.core.vacancies.descriptor(0, || self.core.subject(true))
            }
        }
    };
}

descriptors!([M: Payload + ?Sized], Queue<M>);
descriptors!([M: Payload + ?Sized], JoinableQueue<M>);
descriptors!([], TallyQueue);

/// In futures. They work in any runtime: a thread of this process sleeps at the queue in their stead. One that is
/// dropped while it waits has taken nothing, and sent nothing.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let queue = ringway::Queue::<u64>::anonymous(8)?;
/// let (received, sent) = tokio::join!(queue.recv_async(), queue.send_async(7));
/// sent?;
/// assert_eq!(received?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
impl<T: Pod> Queue<T> {
    /// Receives a message, as [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv); [`RecvError::Attach`] if there can be no thread.
    pub async fn recv_async(&self) -> Result<T, RecvError> {
        self.core.recv_when_there(|| self.try_recv()).await
    }

    /// Sends a message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Attach`] if there can be no thread.
    pub async fn send_async(&self, value: T) -> Result<(), SendError> {
        self.core.send_when_possible(size_of::<T>() as u64, || self.try_send(value)).await
    }
}

/// In futures; see [`Queue::recv_async`].
impl Queue<[u8]> {
    /// Receives a message, as [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv); [`RecvError::Attach`] if there can be no thread.
    pub async fn recv_async(&self) -> Result<Message<'_>, RecvError> {
        self.core.recv_when_there(|| self.try_recv()).await
    }

    /// Sends a copy of a message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Attach`] if there can be no thread.
    pub async fn send_async(&self, message: &[u8]) -> Result<(), SendError> {
        self.core.send_when_possible(message.len() as u64, || self.try_send(message)).await
    }
}

/// In futures; see [`Queue::recv_async`].
impl<M: Payload + ?Sized> JoinableQueue<M> {
    /// Receives a task, as [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv); [`RecvError::Attach`] if there can be no thread.
    pub async fn recv_async(&self) -> Result<Task<'_, M>, RecvError> {
        self.core.recv_when_there(|| self.try_recv()).await
    }
}

/// In futures; see [`Queue::recv_async`].
impl<T: Pod> JoinableQueue<T> {
    /// Sends a message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Attach`] if there can be no thread.
    pub async fn send_async(&self, value: T) -> Result<(), SendError> {
        self.core.send_when_possible(size_of::<T>() as u64, || self.try_send(value)).await
    }
}

/// In futures; see [`Queue::recv_async`].
impl JoinableQueue<[u8]> {
    /// Sends a copy of a message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Attach`] if there can be no thread.
    pub async fn send_async(&self, message: &[u8]) -> Result<(), SendError> {
        self.core.send_when_possible(message.len() as u64, || self.try_send(message)).await
    }
}

/// In futures; see [`Queue::recv_async`].
impl TallyQueue {
    /// Receives a message, as [`recv`](Self::recv).
    ///
    /// # Errors
    /// As [`recv`](Self::recv); [`RecvError::Attach`] if there can be no thread.
    pub async fn recv_async(&self) -> Result<Message<'_>, RecvError> {
        self.core.recv_when_there(|| self.try_recv()).await
    }

    /// Sends a copy of a message, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Attach`] if there can be no thread.
    pub async fn send_async(&self, message: &[u8]) -> Result<(), SendError> {
        self.core.send_when_possible(message.len() as u64, || self.try_send(message)).await
    }
}

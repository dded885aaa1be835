//! The smallest face of a queue.

use super::queue::Payload;
use super::{Queue, RecvError, SendError};
use crate::error::Error;
use crate::options::{Object, Options, Portable, Settings};
use crate::segment::layout::Plan;
use crate::segment::{Segment, Sweep};
use crate::wait::Deadline;
use bytemuck::Pod;
use core::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;

/// A queue with four words: [`put`](Self::put), [`get`](Self::get), [`empty`](Self::empty), [`close`](Self::close).
///
/// Everything else it has from [`Queue`]: any number of processes at both ends, each message to exactly one of them,
/// and nobody is blocked when a process dies.
///
/// ```
/// use ringway::SimpleQueue;
///
/// let queue = SimpleQueue::<u64>::new()?;
/// queue.put(7)?;
/// assert!(!queue.empty());
/// assert_eq!(queue.get()?, 7);
/// queue.close();
/// assert!(queue.put(8).is_err() && queue.get().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SimpleQueue<M: Payload + ?Sized>(Queue<M>);

/// Messages it holds before [`put`](SimpleQueue::put) waits.
const CAPACITY: usize = 4096;

impl<M: Payload + ?Sized> SimpleQueue<M> {
    /// A queue without a name, for threads, forked children, and children that [`inherit`](Self::inherit) it.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; [`Error::BadElement`] for a type that cannot lie in a slot.
    pub fn new() -> Result<Self, Error> {
        Options::<Self>::new().anonymous()
    }

    /// Opens the queue `name`, or creates it.
    ///
    /// # Errors
    /// As [`new`](Self::new), and one for each way a file can be unfit.
    pub fn named(name: &str) -> Result<Self, Error> {
        Options::<Self>::new().open_or_create(name)
    }

    /// Attaches to the queue behind a descriptor, as received over a socket.
    ///
    /// # Errors
    /// [`Error::NotSealed`], and one for each way a file can be unfit.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        Options::<Self>::new().from_fd(fd)
    }

    /// Hands the queue to the child that `command` will start, which takes it with
    /// [`inherited`](Self::inherited)`(key)`. This handle must live until the child is spawned.
    ///
    /// # Errors
    /// [`Error::InvalidName`] if the key has other than letters, digits and underscores.
    pub fn inherit(&self, command: &mut Command, key: &str) -> Result<(), Error> {
        self.0.inherit(command, key)
    }

    /// Attaches to the queue that our parent handed over under `key`.
    ///
    /// # Errors
    /// [`Error::NotInherited`].
    pub fn inherited(key: &str) -> Result<Self, Error> {
        Options::<Self>::new().inherited(key)
    }

    /// Whether [`get`](Self::get) would have had to wait a moment ago.
    pub fn empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nobody can put any more; what is there can still be got.
    pub fn close(&self) {
        self.0.close();
    }
}

impl<T: Pod> SimpleQueue<T> {
    /// Sends a message, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub fn put(&self, value: T) -> Result<(), SendError> {
        self.0.send_deadline(value, Deadline::NEVER)
    }

    /// Receives a message, waiting for one as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the queue is closed and everything was received.
    pub fn get(&self) -> Result<T, RecvError> {
        self.0.recv_deadline(Deadline::NEVER)
    }
}

/// Messages of any length.
impl SimpleQueue<[u8]> {
    /// Sends a copy of a message, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`]; [`SendError::TooLarge`], [`SendError::NoSpace`] for what can never fit.
    pub fn put(&self, message: &[u8]) -> Result<(), SendError> {
        self.0.send(message)
    }

    /// Receives a message, waiting for one as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the queue is closed and everything was received.
    pub fn get(&self) -> Result<Vec<u8>, RecvError> {
        let mut message = Vec::new();
        self.0.recv_into(&mut message, Deadline::NEVER)?;
        Ok(message)
    }
}

impl<M: Payload + ?Sized> AsFd for SimpleQueue<M> {
    /// The memory, to be sent to a peer. For waiting it is of no use.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<M: Payload + ?Sized> Portable for SimpleQueue<M> {}

impl<M: Payload + ?Sized> Object for SimpleQueue<M> {
    const SWEEP: Sweep = Queue::<M>::SWEEP;

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        let settings = Settings { capacity: settings.capacity.or(Some(CAPACITY)), ..settings.clone() };
        Queue::<M>::plan(&settings)
    }

    fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
        Queue::attach(segment, settings).map(SimpleQueue)
    }
}

impl<M: Payload + ?Sized> Clone for SimpleQueue<M> {
    fn clone(&self) -> Self {
        SimpleQueue(self.0.clone())
    }
}

impl<M: Payload + ?Sized> From<Queue<M>> for SimpleQueue<M> {
    fn from(queue: Queue<M>) -> Self {
        SimpleQueue(queue)
    }
}

impl<M: Payload + ?Sized> fmt::Debug for SimpleQueue<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimpleQueue").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_queue() {
        let simple = SimpleQueue::<[u8; 3]>::new().unwrap();
        let full = Queue::<[u8; 3]>::from_fd(simple.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(full.capacity(), CAPACITY);
        assert!(simple.empty());
        full.send([1, 2, 3]).unwrap();
        assert!(!simple.empty());
        std::thread::scope(|scope| {
            assert_eq!(simple.get().unwrap(), [1, 2, 3]);
            let waiting = scope.spawn(|| simple.get());
            simple.put([4; 3]).unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), [4; 3]);
        });
        simple.close();
        assert!(matches!(simple.put([0; 3]), Err(SendError::Closed)));
        assert!(matches!(simple.get(), Err(RecvError::Closed)));
        assert!(full.is_closed());
    }

    #[test]
    fn of_bytes_too() {
        let simple = SimpleQueue::<[u8]>::new().unwrap();
        for len in [0, 5, 500, 500_000] {
            simple.put(&vec![len as u8; len]).unwrap();
            assert_eq!(simple.get().unwrap(), vec![len as u8; len]);
        }
        assert!(simple.empty());
    }
}

//! Queues of tasks: a message is gone only when whoever received it says that the work is done.

mod task;
#[cfg(test)]
mod tests;

pub use task::Task;

use super::common::{is_joined, sends_bytes};
use super::core::Core;
use super::loan::Loan;
use super::payload::Payload;
use super::policy::Policy;
use super::{Queue, Unsent, layout};
use crate::channel::{RecvError, SendError};
use crate::error::{Error, Kind};
use crate::options::{Object, Options, Settings};
use crate::pool::is_finished;
use crate::segment::layout::Plan;
use crate::segment::{Segment, Sweep};
use crate::wait::{Deadline, Wait};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::sync::Arc;

/// A queue of tasks between any number of processes: whoever receives one says when it is [done](Task::done), and anybody
/// can wait until all are.
///
/// ```
/// use ringway::JoinableQueue;
///
/// let jobs = JoinableQueue::<u64>::anonymous(64)?;
/// jobs.send(6)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let task = jobs.recv().unwrap(); // in another process, in earnest
///         println!("job {}: {}", task.id(), *task * 7);
///         task.done().unwrap();
///     });
///     jobs.join()
/// })?;
/// assert_eq!(jobs.unfinished(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a process dies
/// A task whose holder died, or dropped it, is delivered again, with the same [`id`](Task::id) and a higher count of
/// [`deliveries`](Task::deliveries): at least once, so whoever works on it should be able to do it twice.
/// [`with_dead_letters`](Self::with_dead_letters) ends that for a task that kills all its workers.
///
/// What a worker holds takes no place in the queue. So it may send into the queue it received from, even if that has a
/// single place.
pub struct JoinableQueue<M: Payload + ?Sized> {
    pub(super) core: Arc<Core>,
    messages: PhantomData<fn(Box<M>) -> Box<M>>,
}

/// Why [`join`](JoinableQueue::join) returned though not all tasks are done.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// The deadline passed first.
    Timeout,
    /// A forked child could not become a participant of its own.
    Attach(Error),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Timeout => f.write_str("timed out waiting for the tasks to be done"),
            JoinError::Attach(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JoinError::Timeout => None,
            JoinError::Attach(error) => Some(error),
        }
    }
}

super::super::endpoint::endpoint!(
    [M: Payload + ?Sized],
    JoinableQueue<M>,
    "queue",
    "",
    "the number of messages it holds, besides those that are being worked on"
);

impl<M: Payload + ?Sized> Object for JoinableQueue<M> {
    const SWEEP: Sweep = layout::SWEEP;

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        let (size, align) = M::ELEMENT;
        if size == 0 || align > 64 {
            return Err(Error::BadElement { size, align });
        }
        layout::plan_pooled(Kind::JoinableQueue, M::ELEMENT, M::demand(settings))
    }

    fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
        JoinableQueue::over(segment, settings.wait, Policy::REDELIVER)
    }
}

impl<M: Payload + ?Sized> Options<JoinableQueue<M>> {
    /// How many tasks may be worked on, or be written, without taking memory from those in the queue (254).
    pub fn max_held(mut self, tasks: usize) -> Self {
        self.settings.max_held = Some(tasks as u64);
        self
    }
}

impl Options<JoinableQueue<[u8]>> {
    /// The usual size of a message in bytes; see [`message_size`](Options::<Queue<[u8]>>::message_size).
    pub fn message_size(mut self, bytes: usize) -> Self {
        self.settings.message_size = Some(bytes as u64);
        self
    }

    /// How many bytes messages of more than 64 KiB may take together; see
    /// [`max_bytes`](Options::<Queue<[u8]>>::max_bytes).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_bytes = Some(bytes);
        self
    }
}

impl<M: Payload + ?Sized> JoinableQueue<M> {
    fn over(segment: Arc<Segment>, wait: Wait, policy: Policy) -> Result<Self, Error> {
        Ok(JoinableQueue { core: Arc::new(Core::new(segment, wait, policy)?), messages: PhantomData })
    }

    fn segment(&self) -> &Segment {
        &self.core.segment
    }

    /// Another handle to the same queue with another way of waiting.
    ///
    /// # Errors
    /// In a forked child, if it cannot become a participant of its own.
    pub fn with_wait(&self, wait: Wait) -> Result<Self, Error> {
        Self::over(Arc::clone(&self.core.segment), wait, self.core.policy.clone())
    }

    /// Another handle to the same queue, which drops a task that comes to it after `deliveries` others had it, instead of
    /// working on it once more. (From 1 to 63, so far they are counted.)
    ///
    /// # Errors
    /// As [`with_wait`](Self::with_wait).
    pub fn with_drop_after(&self, deliveries: u8) -> Result<Self, Error> {
        Self::over(Arc::clone(&self.core.segment), self.core.wait, Policy::after(deliveries, None))
    }

    /// The same, but the message goes to the queue `letters`. If that one has no space or is closed, the task is delivered
    /// once more instead.
    ///
    /// # Errors
    /// As [`with_wait`](Self::with_wait).
    pub fn with_dead_letters(&self, deliveries: u8, letters: &Queue<M>) -> Result<Self, Error> {
        let policy = Policy::after(deliveries, Some(Arc::clone(&letters.core)));
        Self::over(Arc::clone(&self.core.segment), self.core.wait, policy)
    }

    /// Receives a task, waiting for one as long as it takes: one that came back, if there is any, else the next.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the queue is closed and nothing waits in it. A task that somebody still works on may come
    /// back after that: see [`recv_until_finished`](Self::recv_until_finished).
    #[inline]
    pub fn recv(&self) -> Result<Task<'_, M>, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives a task if one is there now.
    ///
    /// # Errors
    /// [`RecvError::Empty`], [`RecvError::Closed`].
    #[inline]
    pub fn try_recv(&self) -> Result<Task<'_, M>, RecvError> {
        Task::receive(&self.core, None)
    }

    /// Receives a task, waiting at most `timeout` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], [`RecvError::Closed`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Task<'_, M>, RecvError> {
        self.recv_deadline(Deadline::after(timeout))
    }

    /// Receives a task, waiting until `deadline` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`], [`RecvError::Closed`].
    #[inline]
    pub fn recv_deadline(&self, deadline: Deadline) -> Result<Task<'_, M>, RecvError> {
        Task::receive(&self.core, Some(deadline))
    }

    /// Receives a task, waiting also for those that others still work on: if such a one dies, the task comes back. For
    /// workers that hold no other task meanwhile: two that wait for each other's would do so for ever.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the queue is closed and every task is done; [`RecvError::Timeout`].
    pub fn recv_until_finished(&self, deadline: Deadline) -> Result<Task<'_, M>, RecvError> {
        loop {
            match self.recv_deadline(deadline) {
                Err(RecvError::Closed) => {}
                received => return received,
            }
            let returned = self.core.wait_for_the_end(deadline, || {
                if self.core.holds_any() { Some(true) } else { self.is_finished().then_some(false) }
            });
            match returned {
                Some(true) => {}
                Some(false) => return Err(RecvError::Closed),
                None => return Err(RecvError::Timeout),
            }
        }
    }

    fn is_finished(&self) -> bool {
        is_finished(&self.core.slots, &self.core.store().pool)
    }

    /// How many messages were unfinished a moment ago: in the queue, being worked on, or on their way back.
    pub fn unfinished(&self) -> usize {
        self.core.unfinished()
    }
}

impl<T: Pod> JoinableQueue<T> {
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
    pub fn try_send(&self, value: T) -> Result<(), SendError> {
        self.core.send_bytes(bytemuck::bytes_of(&value), None)
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
        self.core.send_bytes(bytemuck::bytes_of(&value), Some(deadline))
    }

    /// Sends all of `values`, each of its own, waiting for space until `deadline`. With [`Deadline::NOW`] it sends as many
    /// as there is space for.
    ///
    /// # Errors
    /// [`Unsent`] says how many were sent, and why the next one was not.
    pub fn send_many(&self, values: &[T], deadline: Deadline) -> Result<(), Unsent> {
        let patience = (deadline != Deadline::NOW).then_some(deadline);
        for (sent, value) in values.iter().enumerate() {
            let bytes = bytemuck::bytes_of(value);
            self.core.send_bytes(bytes, patience).map_err(|error| Unsent { sent, error })?;
        }
        Ok(())
    }
}

sends_bytes!(JoinableQueue<[u8]>);
is_joined!([M: Payload + ?Sized], JoinableQueue<M>);

/// Tasks of any length; see [`Queue<[u8]>`](Queue#impl-Queue<%5Bu8%5D>) for how their memory is had.
impl JoinableQueue<[u8]> {
    /// Reserves shared memory for a message of `len` bytes, to be written in place, waiting until `deadline`; with
    /// [`Deadline::NOW`] not at all.
    ///
    /// # Errors
    /// As [`send_deadline`](Self::send_deadline), or [`try_send`](Self::try_send) for [`Deadline::NOW`].
    pub fn reserve(&self, len: usize, deadline: Deadline) -> Result<Loan<'_>, SendError> {
        Loan::reserve(&self.core, len, (deadline != Deadline::NOW).then_some(deadline))
    }
}

impl<M: Payload + ?Sized> Clone for JoinableQueue<M> {
    fn clone(&self) -> Self {
        JoinableQueue { core: Arc::clone(&self.core), messages: PhantomData }
    }
}

impl<M: Payload + ?Sized> fmt::Debug for JoinableQueue<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinableQueue")
            .field("name", &self.core.segment.name())
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

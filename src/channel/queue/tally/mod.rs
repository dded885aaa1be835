//! Queues that only count: how many messages were sent, and how many of them somebody has said to be done with.

mod receive;
#[cfg(test)]
mod tests;

use super::common::{is_joined, lends_bytes, sends_bytes};
use super::core::Core;
use super::layout;
use super::message::Message;
use super::policy::Policy;
use crate::channel::RecvError;
use crate::error::{Error, Kind};
use crate::options::{Object, Options, Settings};
use crate::pool::{DoneRefused, Promises, Tally};
use crate::segment::layout::Plan;
use crate::segment::{Segment, Sweep};
use crate::wait::{Deadline, Wait};
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

/// A queue of messages of any length that counts them: anybody can say that one more is [done](Self::task_done), and anybody
/// can wait until as many are done as were sent.
///
/// ```
/// use ringway::TallyQueue;
///
/// let jobs = TallyQueue::anonymous(64)?;
/// jobs.send(b"six times seven")?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let job = jobs.recv().unwrap(); // in another process, in earnest
///         println!("job {}: {} bytes", job.id(), job.len());
///         jobs.task_done().unwrap();
///     });
///     jobs.join()
/// })?;
/// assert_eq!(jobs.unfinished(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// This is what `multiprocessing.JoinableQueue` is in Python. Say `task_done` in any process, in any order, also for messages
/// that are still in the queue, as often as messages were sent: it does not say which one is meant. What was received and is
/// not done takes no place in the queue.
///
/// # When a process dies
/// A message is in the queue or received, and counted as what it is: whoever is killed at whatever instruction, of sending,
/// receiving, saying that it is done, or waiting. One that a process was just receiving when it was killed is delivered again.
/// One that it *had* received is gone with it, and stays unfinished, unless somebody says `task_done` in its stead. If work
/// must be done even if the worker dies, use a [`JoinableQueue`](crate::JoinableQueue).
pub struct TallyQueue {
    pub(super) core: Arc<Core>,
}

/// Why [`task_done`](TallyQueue::task_done) counted nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum DoneError {
    /// Everything that was sent is done already.
    TooMany,
    /// As many seemed to be done as had been handed out, and while we looked for others in the queue, it was changed ten
    /// thousand times in a row.
    Overtaken,
    /// A forked child could not become a participant of its own.
    Attach(Error),
}

impl fmt::Display for DoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DoneError::TooMany => f.write_str("task_done() called too many times"),
            DoneError::Overtaken => f.write_str("the queue was changed during each of 10000 looks"),
            DoneError::Attach(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DoneError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DoneError::TooMany | DoneError::Overtaken => None,
            DoneError::Attach(error) => Some(error),
        }
    }
}

super::super::endpoint::endpoint!(
    [],
    TallyQueue,
    "queue",
    "",
    "the number of messages it holds, besides those that were received and are not done"
);

sends_bytes!(TallyQueue);
lends_bytes!(TallyQueue);
is_joined!([], TallyQueue);

impl Object for TallyQueue {
    const SWEEP: Sweep = layout::SWEEP;

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        layout::plan_pooled(Kind::TallyQueue, layout::BYTES, layout::demand_for_bytes(settings))
    }

    fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
        TallyQueue::over(segment, settings.wait)
    }
}

impl Options<TallyQueue> {
    /// The usual size of a message in bytes; see [`message_size`](Options::<crate::Queue<[u8]>>::message_size).
    pub fn message_size(mut self, bytes: usize) -> Self {
        self.settings.message_size = Some(bytes as u64);
        self
    }

    /// How many [`Message`]s receivers may hold on to, and senders be writing, without taking memory from those in the queue
    /// (254). One that was dropped, or copied by [`recv_into`](TallyQueue::recv_into), is not held, whether it is done or not.
    pub fn max_held(mut self, messages: usize) -> Self {
        self.settings.max_held = Some(messages as u64);
        self
    }

    /// How many bytes messages of each larger size may take; see
    /// [`spare`](Options::<crate::Queue<[u8]>>::spare).
    pub fn spare(mut self, bytes: usize) -> Self {
        self.settings.spare = Some(bytes as u64);
        self
    }

    /// How many bytes messages of more than 64 KiB may take together; see
    /// [`max_bytes`](Options::<crate::Queue<[u8]>>::max_bytes).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_bytes = Some(bytes);
        self
    }
}

impl TallyQueue {
    fn over(segment: Arc<Segment>, wait: Wait) -> Result<Self, Error> {
        Ok(TallyQueue { core: Arc::new(Core::new(segment, wait, Policy::REDELIVER)?) })
    }

    fn segment(&self) -> &Segment {
        &self.core.segment
    }

    /// Another handle to the same queue with another way of waiting.
    ///
    /// # Errors
    /// In a forked child, if it cannot become a participant of its own.
    pub fn with_wait(&self, wait: Wait) -> Result<Self, Error> {
        Self::over(Arc::clone(&self.core.segment), wait)
    }

    /// Receives a message, waiting for one as long as it takes. It can be read where it lies, kept for as long as one
    /// likes, and dropped in any order. To drop it says nothing about the work: that does [`task_done`](Self::task_done).
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the queue is closed and everything was received. [`RecvError::NoMemory`] if there is none for
    /// a copy, where peers are not trusted; the message stays in the queue.
    #[inline]
    pub fn recv(&self) -> Result<Message<'_>, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives a message if one is there now.
    ///
    /// # Errors
    /// [`RecvError::Empty`]; else as [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&self) -> Result<Message<'_>, RecvError> {
        receive::message(&self.core, None)
    }

    /// Receives a message, waiting at most `timeout` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`]; else as [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Message<'_>, RecvError> {
        self.recv_deadline(Deadline::after(timeout))
    }

    /// Receives a message, waiting until `deadline` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`]; else as [`recv`](Self::recv).
    #[inline]
    pub fn recv_deadline(&self, deadline: Deadline) -> Result<Message<'_>, RecvError> {
        receive::message(&self.core, Some(deadline))
    }

    /// Receives a message into `buffer`, whose content it replaces, waiting until `deadline`; with [`Deadline::NOW`] not at
    /// all. Returns its length. Whatever peers write meanwhile, what is in `buffer` afterwards stays as it is.
    ///
    /// # Errors
    /// As [`recv_deadline`](Self::recv_deadline), or [`try_recv`](Self::try_recv) for [`Deadline::NOW`].
    pub fn recv_into(&self, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvError> {
        receive::into(&self.core, buffer, (deadline != Deadline::NOW).then_some(deadline))
    }

    /// Says that one more message is done, whichever and by whomever it was received. What was done before, above all what was
    /// sent, is seen by whoever [joins](Self::join) afterwards.
    ///
    /// # Errors
    /// [`DoneError::TooMany`] if as many are done as were sent. [`DoneError::Overtaken`] is only possible where everything that
    /// was handed out is done already; [`DoneError::Attach`].
    #[inline]
    pub fn task_done(&self) -> Result<(), DoneError> {
        self.core.me().map_err(DoneError::Attach)?;
        let books = self.core.books();
        let done = books.done();
        books.tell(&self.core.body().finished, self.core.barrier);
        done.map_err(|refused| match refused {
            DoneRefused::TooMany => DoneError::TooMany,
            DoneRefused::Overtaken => DoneError::Overtaken,
        })
    }

    /// Counts one message as sent for which there is no room yet, so that nobody finds everything done meanwhile. Whoever
    /// sends it then calls [`redeem`](Self::redeem), afterwards. If this process dies before, nobody waits for it. Returns
    /// `false` if it cannot be promised: of 511 processes at once, only that many can.
    ///
    /// # Errors
    /// What keeps a forked child from taking part.
    pub fn promise(&self) -> Result<bool, Error> {
        let me = self.core.me()?;
        Ok(self.promises().is_some_and(|promises| promises.promise(me)))
    }

    /// One of the promised messages was sent, or never will be.
    ///
    /// # Errors
    /// What keeps a forked child from taking part: it has promised nothing.
    pub fn redeem(&self) -> Result<(), Error> {
        let me = self.core.me()?;
        if let Some(promises) = self.promises() {
            promises.redeem(me);
        }
        // If it was not sent, that may have been the last.
        self.core.finished();
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.core.books().is_finished()
    }

    fn promises(&self) -> Option<&Promises> {
        self.core.store().pool.tally().map(Tally::promises)
    }

    /// How many messages were sent and not done, a moment ago.
    pub fn unfinished(&self) -> u64 {
        self.core.books().unfinished()
    }
}

impl Clone for TallyQueue {
    fn clone(&self) -> Self {
        TallyQueue { core: Arc::clone(&self.core) }
    }
}

impl fmt::Debug for TallyQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TallyQueue")
            .field("name", &self.core.segment.name())
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("unfinished", &self.unfinished())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

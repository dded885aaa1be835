//! Queues that only count, such as Python's `JoinableQueue`: they cannot take a message back, so it is put once more.

use std::{ops::Deref, time::Duration};

use ringway::{
    Deadline, RecvError, TallyQueue,
    queue::{DoneError, Message},
};

use crate::{error::Failure, monitor::note};

/// How long a message that must go back waits for room. Not for ever: whoever makes room may wait for us.
const PATIENCE: Duration = Duration::from_millis(500);

/// An open queue that counts.
#[derive(Debug)]
pub(super) struct Tally {
    /// For what must be said while a message is dropped.
    pub(super) name: String,
    pub(super) queue: TallyQueue,
}

impl Tally {
    /// See [`TallyQueue::recv_deadline`].
    pub(super) fn recv_deadline(&self, deadline: Deadline) -> Result<Counted<'_>, RecvError> {
        self.queue.recv_deadline(deadline).map(|message| self.hold(message))
    }

    /// See [`TallyQueue::try_recv`].
    pub(super) fn try_recv(&self) -> Result<Counted<'_>, RecvError> {
        self.queue.try_recv().map(|message| self.hold(message))
    }

    fn hold<'q>(&'q self, message: Message<'q>) -> Counted<'q> {
        Counted { tally: self, message, failed: 0, is_done: false }
    }
}

/// A message that was taken out of the queue, and is not done.
///
/// Dropped without that it is put once more, at the end. Only if this process is killed it is gone, and stays unfinished.
pub(super) struct Counted<'q> {
    tally: &'q Tally,
    message: Message<'q>,
    /// How often we have tried in vain.
    failed: u8,
    is_done: bool,
}

impl Counted<'_> {
    /// The number of the message in the queue.
    pub(super) fn id(&self) -> u64 {
        self.message.id()
    }

    /// How often it was tried before: killed processes had it before they could count it, or we have failed.
    pub(super) fn deliveries(&self) -> u8 {
        self.message.deliveries().saturating_add(self.failed)
    }

    /// It failed, and is tried again.
    pub(super) fn count_failure(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// One message more is done.
    pub(super) fn done(mut self) -> Result<(), Failure> {
        self.end().map_err(|why| {
            let why = match why {
                DoneError::TooMany => {
                    "others have said already that all is done, this message included".into()
                }
                other => other.to_string(),
            };
            Failure::Runtime(format!("{}: {why}", self.tally.name))
        })
    }

    fn end(&mut self) -> Result<(), DoneError> {
        self.is_done = true;
        self.tally.queue.task_done()
    }
}

impl Deref for Counted<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.message
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // In this order nobody who joins finds everything done meanwhile; if we are killed between the two, it counts twice.
        match self.tally.queue.send_timeout(&self.message, PATIENCE) {
            // Nothing to tell here: others have said too often that one is done.
            Ok(()) => drop(self.end()),
            Err(why) => {
                let id = self.id();
                let text = format!("message {id} cannot go back: {why}; it is gone, and stays unfinished");
                note(&self.tally.name, &text);
            }
        }
    }
}

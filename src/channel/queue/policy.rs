//! What becomes of a message that nobody survives.

use super::core::Core;
use super::layout::Body;
use crate::error::Error;
use crate::queue::Queue;
use crate::ring::mpmc::MAX_DELIVERIES;
use std::sync::Arc;

/// After how many failed deliveries a handle gives a message up, and what it does with it then.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    limit: u8,
    letters: Option<Arc<Core>>,
}

/// So many messages are given up in one attempt to receive. More are a peer that makes them on and on, and the search for
/// each reads the whole queue.
pub(super) const AT_ONCE: u32 = 64;

/// More than can be counted.
const NEVER: u8 = u8::MAX;

impl Policy {
    /// Delivers again and again.
    pub(super) const REDELIVER: Policy = Policy { limit: NEVER, letters: None };

    /// Gives up after so many deliveries: at least one, and no more than are counted.
    pub(super) fn after(deliveries: u8, letters: Option<Arc<Core>>) -> Self {
        Policy { limit: deliveries.clamp(1, MAX_DELIVERIES), letters }
    }

    /// Whether a message has come to its end after so many deliveries; `post` puts it among the dead letters, if it can.
    #[inline(always)]
    pub(super) fn gives_up(&self, deliveries: u8, body: &Body, post: impl FnOnce(&Core) -> bool) -> bool {
        deliveries >= self.limit && self.bury(body, post)
    }

    #[cold]
    fn bury(&self, body: &Body, post: impl FnOnce(&Core) -> bool) -> bool {
        let given_up = self.letters.as_deref().is_none_or(post);
        if given_up {
            body.figures.count_given_up();
        }
        given_up
    }
}

impl<M: ?Sized> Queue<M> {
    /// Another handle to the same queue, which drops a message that comes to it after `deliveries` receivers died with it,
    /// instead of delivering it once more. (From 1 to 63, so far they are counted.)
    ///
    /// # Errors
    /// In a forked child, if it cannot become a participant of its own.
    pub fn with_drop_after(&self, deliveries: u8) -> Result<Self, Error> {
        self.with_policy(Policy::after(deliveries, None))
    }

    /// The same, but the message goes to the queue `letters`. If that one has no space or is closed, the message is
    /// delivered once more instead.
    ///
    /// ```
    /// let (jobs, letters) = (ringway::Queue::<u64>::anonymous(16)?, ringway::Queue::<u64>::anonymous(16)?);
    /// let jobs = jobs.with_dead_letters(3, &letters)?;
    /// # jobs.send(1)?;
    /// let job = jobs.recv()?; // never one that killed three receivers before
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`with_drop_after`](Self::with_drop_after).
    pub fn with_dead_letters(&self, deliveries: u8, letters: &Queue<M>) -> Result<Self, Error> {
        self.with_policy(Policy::after(deliveries, Some(Arc::clone(&letters.core))))
    }

    fn with_policy(&self, policy: Policy) -> Result<Self, Error> {
        Queue::over(Arc::clone(&self.core.segment), self.core.wait, policy)
    }
}

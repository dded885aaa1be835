//! How a queue is watched for event loops and futures; see [`crate::watch`].

use super::core::Core;
use super::layout::Body;
use super::policy::Policy;
use crate::error::Error;
use crate::ring::mpmc::{Phase, PopError};
use crate::wait::{ALL, Wait};
use crate::watch::Subject;
use std::sync::Arc;

/// How a handle is watched.
impl Core {
    /// Whether a receiver would have something to say, or to do: a message, the end, or a closing to be finished.
    fn has_arrivals(&self) -> bool {
        self.holds_any() || self.body().header.closing.phase() == Phase::Closing || self.is_at_its_end()
    }

    /// Whether the queue is closed, and nobody is in the middle of a message: then there always is something to say.
    fn is_at_its_end(&self) -> bool {
        let is_closed = self.body().header.closing.phase() == Phase::Closed;
        is_closed && !matches!(self.slots.look(), Err(PopError::Busy(_)))
    }

    /// Whether a sender of `len` bytes would: space, or the end.
    fn has_vacancies(&self, len: u64) -> bool {
        self.slots.look_for_space().is_ok() && self.has_room(len) || !self.is_open()
    }

    /// Lets event loops know that there is nothing to receive, if that is so.
    #[cold]
    pub(super) fn settle_arrivals(&self) {
        if !self.has_arrivals() {
            self.arrivals.settle(0);
        }
    }

    /// Lets event loops know that a message of `len` bytes found no space.
    pub(super) fn found_no_space(&self, len: u64) {
        if self.vacancies.is_watched() {
            self.vacancies.settle(len);
        }
    }

    /// For a thread that sleeps until there is something to receive, or space to send.
    ///
    /// # Errors
    /// As of any handle.
    pub(super) fn subject(&self, is_sending: bool) -> Result<Box<dyn Subject>, Error> {
        // A handle of its own: the thread may outlive the other by a moment.
        let core = Core::new(Arc::clone(&self.segment), Wait::Park, Policy::REDELIVER)?;
        Ok(if is_sending { Box::new(Sending(core)) } else { Box::new(Receiving(core)) })
    }
}

/// Something to receive; nobody wants more than that.
struct Receiving(Core);

/// Space for so many bytes.
struct Sending(Core);

impl Subject for Receiving {
    fn is_there(&self, _wanted: u64) -> bool {
        self.0.has_arrivals()
    }

    fn is_over(&self) -> bool {
        self.0.is_at_its_end()
    }

    fn sleep_until(&self, is_there: &dyn Fn() -> bool) {
        self.0.sleep_at(&self.0.body().items, is_there, || self.0.holds_any());
    }

    fn wake(&self) {
        self.0.body().items.wake(ALL, self.0.barrier);
    }
}

impl Subject for Sending {
    fn is_there(&self, wanted: u64) -> bool {
        self.0.has_vacancies(wanted)
    }

    fn is_over(&self) -> bool {
        !self.0.is_open()
    }

    fn sleep_until(&self, is_there: &dyn Fn() -> bool) {
        let Body { space, room, .. } = self.0.body();
        let has_space = || self.0.slots.look_for_space().is_ok();
        while !is_there() {
            self.0.sleep_at(space, || has_space() || is_there(), has_space);
            // Only a chunk is missing.
            self.0.sleep_at(room, || !has_space() || is_there(), || false);
        }
    }

    fn wake(&self) {
        let Body { space, room, .. } = self.0.body();
        [space, room].iter().for_each(|condition| condition.wake(ALL, self.0.barrier));
    }
}

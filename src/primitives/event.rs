//! Something that happens, and can be waited for.

use super::handle::{attached, handle};
use super::site::{Block, Needs, Primitive, Site, only_one};
use super::waiting::Attachment;
use crate::error::{Error, Kind};
use crate::lock::Flag;
use crate::options::Settings;
use crate::wait::Deadline;
use core::time::Duration;
use std::sync::Arc;

/// Something that happens, or has happened: any number of threads of any number of processes wait until it does.
///
/// The handle is cheap to clone, and may be shared by threads.
///
/// ```
/// use ringway::Event;
///
/// # let name = format!("doc-event-{}", std::process::id());
/// let ready = Event::open_or_create(&name)?; // in each process
/// # let other = ready.clone();
/// # let waiting = std::thread::spawn(move || other.wait());
/// ready.set(); // in one
/// ready.wait(); // in the others, before that or after it
/// assert!(ready.is_set());
/// # waiting.join().unwrap();
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Whoever waits when it is set goes on, even if it is cleared again at once. What a process wrote before it set the event
/// is visible to whoever sees it set. Nobody owns it: whoever dies is in nobody's way. One that is
/// [gone](crate::Error::Gone) from its arena counts as set: nobody is left who could do it.
#[derive(Clone)]
pub struct Event {
    pub(super) attachment: Arc<Attachment>,
}

handle!([], Event, "event", (), |options| options, "");
attached!(Event, "event");

impl Event {
    pub(super) fn flag(&self) -> &Flag {
        // SAFETY: the body of an event is a flag, made of atomics.
        unsafe { self.site().body::<Flag>() }
    }

    /// Sets it, and wakes all who wait.
    ///
    /// This is async-signal-safe: it makes a few atomic accesses and at most one system call (`futex`), allocates nothing,
    /// and takes no lock, also in a forked child. The handler must see to it that the handle is not dropped meanwhile. A child
    /// that has inherited an event in an [`Arena`](crate::Arena), and may outlive all others who have it, looks at it once
    /// ([`is_set`](Self::is_set)) before it relies on this: that keeps the event, which this here must not.
    pub fn set(&self) {
        if self.site().is_there() {
            self.flag().set(self.attachment.barrier);
        }
    }

    /// Clears it: who comes from now on waits for the next time. Returns whether it was set.
    pub fn clear(&self) -> bool {
        let was_set = self.site().keep().is_ok() && self.flag().clear();
        self.settle();
        was_set
    }

    /// Whether it was set a moment ago.
    pub fn is_set(&self) -> bool {
        let is_set = self.site().keep().is_err() || self.flag().is_set();
        if !is_set {
            self.settle();
        }
        is_set
    }

    /// Waits until it is set, as long as it takes.
    pub fn wait(&self) {
        self.wait_deadline(Deadline::NEVER);
    }

    /// Waits at most `timeout`. Returns whether it was set.
    #[must_use = "it may not have been set"]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_deadline(Deadline::after(timeout))
    }

    /// Waits until `deadline`. Returns whether it was set.
    pub fn wait_deadline(&self, deadline: Deadline) -> bool {
        let flag = self.flag();
        // Before the count is read: else it might be another object's.
        if self.site().keep().is_err() {
            return true;
        }
        let begun = flag.begin();
        if self.is_set() {
            return true;
        }
        let barrier = self.attachment.barrier;
        self.attachment.learnt.use_for(|waiter| flag.wait(begun, waiter, barrier, deadline)).is_ok()
    }
}

impl Primitive for Event {
    const KIND: Kind = Kind::Event;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        only_one(settings)?;
        Ok(Needs::body::<Flag>())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        Ok(Event { attachment: Attachment::new(site, settings.wait) })
    }

    /// The dead leave nothing: each step is one exchange of the word, and the next to set it wakes whom they did not.
    fn sweep(_block: Block, _dead: u16) {}
}

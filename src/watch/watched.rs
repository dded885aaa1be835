//! One condition of one handle, watched or not.

use super::Subject;
use super::thread::Watch;
use crate::error::Error;
use crate::sync::{AtomicU64, Exclusive, Ordering, spin_loop};
use crate::sys::fork::Generation;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

/// One condition of one handle, watched or not. Each process watches for itself: a forked child begins anew.
pub(crate) struct Watched {
    /// 0 until somebody asked for it; then the process (by its generation) that did so last.
    by: AtomicU64,
    generation: Generation,
    watch: Exclusive<Option<Arc<Watch>>>,
}

// Nothing of ours panics inside, so nothing is ever half changed.
impl core::panic::UnwindSafe for Watched {}
impl core::panic::RefUnwindSafe for Watched {}

impl Watched {
    /// Not watched yet, in the running process.
    pub(crate) fn new(generation: Generation) -> Self {
        let watch = Exclusive::new(generation.current(), None);
        Watched { by: AtomicU64::new(0), generation, watch }
    }

    /// Whether anybody ever asked for it. One load.
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        // Relaxed: who asks for it looks himself afterwards.
        self.by.load(Ordering::Relaxed) != 0
    }

    /// What the process `generation` has of the watch.
    fn find<R>(&self, generation: u64, then: impl FnOnce(&mut Option<Arc<Watch>>) -> R) -> R {
        loop {
            // Whoever is inside is there for a few instructions.
            match self.watch.enter(generation, || None) {
                Some(mut watch) => return then(&mut watch),
                None => spin_loop(),
            }
            std::thread::yield_now();
        }
    }

    /// The watch of this process, if there is one.
    fn existing(&self) -> Option<Arc<Watch>> {
        let generation = self.generation.current();
        if self.by.load(Ordering::Relaxed) != generation {
            // The parent's, whose thread is not here.
            return None;
        }
        self.find(generation, |watch| watch.clone())
    }

    /// The watch of this process; if there is none, it sleeps at what `subject` makes.
    fn get(&self, subject: impl FnOnce() -> Result<Box<dyn Subject>, Error>) -> Result<Arc<Watch>, Error> {
        if let Some(watch) = self.existing() {
            return Ok(watch);
        }
        let fresh = Watch::start(subject()?)?;
        let generation = self.generation.current();
        let watch = self.find(generation, |watch| Arc::clone(watch.get_or_insert(Arc::clone(&fresh))));
        if !Arc::ptr_eq(&watch, &fresh) {
            // Another thread was faster.
            fresh.end();
        }
        self.by.store(generation, Ordering::Relaxed);
        Ok(watch)
    }

    /// A descriptor that is readable while there is what is `wanted`, or what [`settle`](Self::settle) says after that.
    ///
    /// # Errors
    /// What the operating system refuses: a descriptor, or a thread. What `subject` does.
    pub(crate) fn descriptor(
        &self,
        wanted: u64,
        subject: impl FnOnce() -> Result<Box<dyn Subject>, Error>,
    ) -> Result<BorrowedFd<'_>, Error> {
        let watch = self.get(subject)?;
        let event = watch.event(wanted)?.as_fd().as_raw_fd();
        // SAFETY: the watch, once made, and its descriptor stay until this is dropped.
        Ok(unsafe { BorrowedFd::borrow_raw(event) })
    }

    /// Tries again and again, each time that there may be what is `wanted`; `None` is "not now".
    pub(crate) async fn when<R>(
        &self,
        wanted: u64,
        subject: impl Fn() -> Result<Box<dyn Subject>, Error>,
        mut attempt: impl FnMut() -> Option<R>,
        refused: impl Fn(Error) -> R,
    ) -> R {
        let mut place = Place { watched: self, taken: None };
        poll_fn(|context| {
            if let Some(done) = attempt() {
                return Poll::Ready(done);
            }
            match self.get(&subject) {
                Ok(watch) => place.wake_later(watch, context.waker(), wanted),
                Err(error) => return Poll::Ready(refused(error)),
            }
            // Something may have come before the waker was there.
            attempt().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// There is not what is `wanted`: whoever polls is to sleep until there is.
    #[cold]
    pub(crate) fn settle(&self, wanted: u64) {
        if let Some(watch) = self.existing() {
            watch.settle(wanted);
        }
    }

    /// Ends the thread, if there is one.
    pub(crate) fn end(&self) {
        if self.is_watched()
            && let Some(watch) = self.existing()
        {
            watch.end();
        }
    }
}

/// A future's place among those to be woken; given back when it is dropped.
struct Place<'w> {
    watched: &'w Watched,
    taken: Option<(Arc<Watch>, u64)>,
}

impl Place<'_> {
    fn wake_later(&mut self, watch: Arc<Watch>, waker: &Waker, wanted: u64) {
        let ticket = match &self.taken {
            Some((taken, ticket)) if Arc::ptr_eq(taken, &watch) => *ticket,
            _ => self.taken.insert((Arc::clone(&watch), watch.ticket())).1,
        };
        watch.wake_later(ticket, waker, wanted);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some((taken, ticket)) = &self.taken
            // A forked child leaves its parent's alone: nobody is there who would ever unlock it.
            && let Some(watch) = self.watched.existing()
            && Arc::ptr_eq(taken, &watch)
        {
            watch.forget(*ticket);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("is_watched", &self.is_watched()).finish()
    }
}

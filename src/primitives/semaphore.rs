//! A number of permits that anybody may take and give.

use super::error::{AcquireError, ReleaseError};
use super::handle::{attached, handle};
use super::owned::OwnedSemaphore;
use super::site::{Block, Needs, Primitive, Site};
use super::waiting::Attachment;
use crate::error::{Corrupt, Error, Kind};
use crate::lock::{Count, CountError};
use crate::options::{Options, Settings};
use crate::wait::Deadline;
use core::time::Duration;
use std::sync::Arc;

/// A number of permits. Whoever takes one when there is none waits until somebody gives one.
///
/// Nobody owns a permit: any thread of any process may give one that another took. So those that a process died with do
/// not come back; where they must, there is [`OwnedSemaphore`]. A process that dies *inside* a call has done what the
/// call does, or has not, and blocks nobody. The handle is cheap to clone, and may be shared by threads.
///
/// ```
/// use ringway::Semaphore;
///
/// # let name = format!("doc-semaphore-{}", std::process::id());
/// let slots = Semaphore::open_or_create(&name, 2)?; // in each process
/// slots.acquire()?;
/// assert_eq!(slots.available(), 1);
/// slots.release()?;
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    pub(super) attachment: Arc<Attachment>,
}

handle!(
    [], Semaphore, "semaphore", (permits: u32), |options| options.permits(permits),
    " `permits` is how many there are at first, if it is new."
);
attached!(Semaphore, "semaphore");

/// How many permits there may be, unless asked otherwise: as many as in a POSIX semaphore.
const MOST: u32 = i32::MAX as u32;

impl Semaphore {
    /// Options for the other kind of semaphore, the permits of which come back if their holder dies.
    pub fn owned() -> Options<OwnedSemaphore> {
        OwnedSemaphore::options()
    }

    pub(super) fn count(&self) -> &Count {
        // SAFETY: the body of a semaphore is a count, made of atomics.
        unsafe { self.site().body::<Count>() }
    }

    /// How many permits there can be at most.
    pub fn bound(&self) -> u32 {
        u32::try_from(self.site().block().capacity()).unwrap_or(MOST)
    }

    /// How many permits there were a moment ago.
    pub fn available(&self) -> u32 {
        u32::try_from(self.count().available()).unwrap_or(u32::MAX)
    }

    /// Takes a permit, waiting for one as long as it takes.
    ///
    /// # Errors
    /// Only [`AcquireError::Corrupt`].
    #[inline]
    pub fn acquire(&self) -> Result<(), AcquireError> {
        self.acquire_many(1, Deadline::NEVER)
    }

    /// Takes a permit if there is one now.
    ///
    /// # Errors
    /// [`AcquireError::WouldBlock`].
    #[inline]
    pub fn try_acquire(&self) -> Result<(), AcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes a permit, waiting at most `timeout` for one.
    ///
    /// # Errors
    /// [`AcquireError::Timeout`].
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<(), AcquireError> {
        self.acquire_many(1, Deadline::after(timeout))
    }

    /// Takes a permit, waiting until `deadline` for one.
    ///
    /// # Errors
    /// [`AcquireError::Timeout`].
    pub fn acquire_deadline(&self, deadline: Deadline) -> Result<(), AcquireError> {
        self.acquire_many(1, deadline)
    }

    /// Takes `count` permits at once if there are so many now, else none.
    ///
    /// # Errors
    /// [`AcquireError::WouldBlock`], [`AcquireError::TooMany`].
    #[inline]
    pub fn try_acquire_many(&self, count: u32) -> Result<(), AcquireError> {
        self.site().keep().map_err(AcquireError::Attach)?;
        match self.count().try_take(count.into(), self.bound().into()) {
            Ok(()) => {
                self.settle(1);
                Ok(())
            }
            Err(why) => Err(self.refused(count, why)),
        }
    }

    /// Takes `count` permits at once, waiting until `deadline` for so many. Those who want fewer may keep it waiting.
    ///
    /// # Errors
    /// [`AcquireError::Timeout`], [`AcquireError::TooMany`].
    #[inline]
    pub fn acquire_many(&self, count: u32, deadline: Deadline) -> Result<(), AcquireError> {
        match self.try_acquire_many(count) {
            Err(AcquireError::WouldBlock) => self.acquire_slowly(count, deadline),
            done => done,
        }
    }

    #[cold]
    fn acquire_slowly(&self, count: u32, deadline: Deadline) -> Result<(), AcquireError> {
        let Attachment { barrier, learnt, .. } = &*self.attachment;
        let bound = self.bound().into();
        let take = |waiter: &mut _| self.count().take(count.into(), bound, waiter, *barrier, deadline);
        learnt.use_for(take).map_err(|why| self.refused(count, why))?;
        self.settle(1);
        Ok(())
    }

    #[cold]
    fn refused(&self, asked: u32, why: CountError) -> AcquireError {
        match why {
            CountError::TooFew if asked > self.bound() => {
                AcquireError::TooMany { asked, bound: self.bound() }
            }
            CountError::TooFew | CountError::TooMany => {
                self.settle(asked);
                AcquireError::WouldBlock
            }
            CountError::TimedOut => AcquireError::Timeout,
            CountError::Corrupt(found) => AcquireError::Corrupt(self.corrupt(found)),
        }
    }

    /// Gives a permit, whoever took it.
    ///
    /// # Errors
    /// [`ReleaseError::TooMany`]: there are as many as there can be.
    #[inline]
    pub fn release(&self) -> Result<(), ReleaseError> {
        self.release_many(1)
    }

    /// Gives `count` permits, or none if there would be too many.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    #[inline]
    pub fn release_many(&self, count: u32) -> Result<(), ReleaseError> {
        self.site().keep().map_err(|_| ReleaseError::Gone)?;
        let bound = self.bound();
        let given = self.count().give(count.into(), bound.into(), self.attachment.barrier);
        given.map_err(|why| match why {
            CountError::Corrupt(found) => ReleaseError::Corrupt(self.corrupt(found)),
            _ => ReleaseError::TooMany { bound },
        })
    }

    fn corrupt(&self, found: u64) -> Corrupt {
        Corrupt { field: "the number of permits", found, limit: self.bound().into(), place: None }
    }
}

impl Options<Semaphore> {
    /// How many permits there are at first (none).
    pub fn permits(mut self, permits: u32) -> Self {
        self.settings.permits = Some(permits);
        self
    }

    /// How many permits there can be (2 147 483 647): giving more is an error.
    pub fn bound(self, permits: u32) -> Self {
        self.capacity(permits as usize)
    }
}

impl Primitive for Semaphore {
    const KIND: Kind = Kind::Semaphore;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        let bound = settings.capacity.map_or(MOST.into(), |bound| bound as u64);
        let permits = u64::from(settings.permits.unwrap_or(0));
        if bound == 0 || bound > MOST.into() || permits > bound && settings.capacity.is_some() {
            return Err(Error::BadCapacity { asked: bound, min: permits.max(1), max: MOST.into() });
        }
        if permits > bound {
            return Err(Error::BadCapacity { asked: permits, min: 0, max: MOST.into() });
        }
        Ok(Needs { capacity: bound, ..Needs::body::<Count>() })
    }

    fn initialise(block: Block, settings: &Settings) -> Result<(), Error> {
        // SAFETY: the body of a semaphore is a count, made of atomics; the caller's segment is mapped.
        let count = unsafe { block.body::<Count>() };
        count.initialise(settings.permits.unwrap_or(0).into());
        Ok(())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        if !(1..=u64::from(MOST)).contains(&site.block().capacity()) {
            return Err(Error::BadGeometry {
                field: "capacity",
                found: site.block().capacity(),
                expected: MOST.into(),
            });
        }
        Ok(Semaphore { attachment: Attachment::new(site, settings.wait) })
    }

    /// The dead leave nothing: each step is one exchange of the count, and permits have no owner.
    fn sweep(_block: Block, _dead: u16) {}
}

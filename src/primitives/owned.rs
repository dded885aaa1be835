//! A number of permits that come back when their holder dies.

use super::error::AcquireError;
use super::handle::{attached, handle};
use super::site::{Block, Needs, Primitive, Site};
use super::waiting::Attachment;
use crate::error::{Corrupt, Error, Kind};
use crate::lock::{self, Desk, LockWord, PermitError};
use crate::options::{Options, Settings};
use crate::segment::Member;
use crate::wait::{Barrier, Deadline};
use core::fmt;
use core::mem::size_of;
use core::time::Duration;
use std::sync::Arc;

/// A number of permits, each of which belongs to the process that took it, and comes back when that one dies.
///
/// The handle is cheap to clone, and may be shared by threads.
///
/// ```
/// use ringway::OwnedSemaphore;
///
/// # let name = format!("doc-owned-{}", std::process::id());
/// let licences = OwnedSemaphore::open_or_create(&name, 2)?; // in each process
/// let licence = licences.acquire()?;
/// assert_eq!(licences.available(), 1);
/// if licence.was_recovered() {
///     // its last holder was killed: perhaps there is something to clean up
/// }
/// drop(licence);
/// assert_eq!(licences.recovered(), 0);
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Taking one looks at each permit in turn: it is meant for hundreds of them, not for millions.
#[derive(Clone)]
pub struct OwnedSemaphore {
    pub(super) attachment: Arc<Attachment>,
}

handle!(
    [], OwnedSemaphore, "semaphore", (permits: u32), |options| options.permits(permits),
    " `permits` is how many there are; one that exists with another number is refused."
);
attached!(OwnedSemaphore, "semaphore");

/// More would take too long to look through.
const MOST: u64 = 65_536;

/// A permit of an [`OwnedSemaphore`]; dropping it gives it back.
///
/// It belongs to the process, and any thread of it may hold it. In a child forked meanwhile it is nothing.
#[must_use = "the permit is given back at once if it is not kept"]
pub struct Permit<'a> {
    semaphore: &'a OwnedSemaphore,
    /// `None` once it is given back.
    permit: Option<lock::Permit>,
    member: Member,
}

impl Permit<'_> {
    /// Whether its last holder died with it.
    pub fn was_recovered(&self) -> bool {
        self.permit.as_ref().is_some_and(|permit| permit.was_recovered)
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("was_recovered", &self.was_recovered()).finish_non_exhaustive()
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.semaphore.site().segment().is_still(self.member)
        {
            let semaphore = self.semaphore;
            semaphore.desk().give(semaphore.words(), permit, semaphore.attachment.barrier);
        }
    }
}

impl OwnedSemaphore {
    fn desk(&self) -> &Desk {
        // SAFETY: the body of such a semaphore is a desk, made of atomics.
        unsafe { self.site().body::<Desk>() }
    }

    pub(super) fn words(&self) -> &[LockWord] {
        // SAFETY: its table consists of lock words, which are atomic.
        let words = unsafe { self.site().table::<LockWord>() };
        words.unwrap_or_else(|_| unreachable!("checked at attach"))
    }

    /// How many permits there are.
    pub fn permits(&self) -> u32 {
        self.words().len() as u32
    }

    /// How many permits nobody held a moment ago.
    pub fn available(&self) -> u32 {
        self.words().iter().filter(|word| word.read().is_grantable()).count() as u32
    }

    /// How many permits have come back because their holder died, since the semaphore was made. (A process that dies just
    /// while it gets one back may leave that one out.)
    pub fn recovered(&self) -> u64 {
        self.desk().recovered()
    }

    /// Takes a permit, waiting for one as long as it takes.
    ///
    /// # Errors
    /// [`AcquireError::Corrupt`], and in a forked child [`AcquireError::Attach`].
    pub fn acquire(&self) -> Result<Permit<'_>, AcquireError> {
        self.acquire_deadline(Deadline::NEVER)
    }

    /// Takes a permit if there is one now, or if one of the holders is dead.
    ///
    /// # Errors
    /// [`AcquireError::WouldBlock`]; else as [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Permit<'_>, AcquireError> {
        let member = self.site().member().map_err(AcquireError::Attach)?;
        let (desk, words, me) = (self.desk(), self.words(), member.index());
        let permit = match desk.try_take(words, me, self.first(me)) {
            Err(PermitError::None) => {
                let dead = |index| self.site().is_dead(index);
                desk.take_from_dead(words, me, dead).ok_or(AcquireError::WouldBlock)
            }
            tried => tried.map_err(refused),
        };
        self.settle();
        Ok(Permit { semaphore: self, permit: Some(permit?), member })
    }

    /// Takes a permit, waiting at most `timeout` for one.
    ///
    /// # Errors
    /// [`AcquireError::Timeout`]; else as [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>, AcquireError> {
        self.acquire_deadline(Deadline::after(timeout))
    }

    /// Takes a permit, waiting until `deadline` for one.
    ///
    /// # Errors
    /// [`AcquireError::Timeout`]; else as [`acquire`](Self::acquire).
    pub fn acquire_deadline(&self, deadline: Deadline) -> Result<Permit<'_>, AcquireError> {
        let member = self.site().member().map_err(AcquireError::Attach)?;
        let Attachment { site, barrier, learnt, .. } = &*self.attachment;
        let (me, dead) = (member.index(), |index| site.is_dead(index));
        let (desk, words, first) = (self.desk(), self.words(), self.first(me));
        let permit = match desk.try_take(words, me, first) {
            Err(PermitError::None) => {
                learnt.use_for(|waiter| desk.take(words, me, first, waiter, *barrier, deadline, dead))
            }
            tried => tried,
        };
        self.settle();
        Ok(Permit { semaphore: self, permit: Some(permit.map_err(refused)?), member })
    }

    /// Where a process looks first, so that they do not all meet at the same permit.
    fn first(&self, me: u16) -> usize {
        usize::from(me) * 7
    }
}

fn refused(why: PermitError) -> AcquireError {
    match why {
        PermitError::None => AcquireError::WouldBlock,
        PermitError::TimedOut => AcquireError::Timeout,
        PermitError::Corrupt(found) => {
            AcquireError::Corrupt(Corrupt { field: "a permit's word", found, limit: 0, place: None })
        }
    }
}

impl Options<OwnedSemaphore> {
    /// How many permits there are (1).
    pub fn permits(self, permits: u32) -> Self {
        self.capacity(permits as usize)
    }
}

impl Primitive for OwnedSemaphore {
    const KIND: Kind = Kind::OwnedSemaphore;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        let capacity = settings.capacity.map_or(1, |permits| permits as u64);
        if !(1..=MOST).contains(&capacity) {
            return Err(Error::BadCapacity { asked: capacity, min: 1, max: MOST });
        }
        let table_len = capacity * size_of::<LockWord>() as u64;
        Ok(Needs { capacity, table_len, ..Needs::body::<Desk>() })
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        // SAFETY: its table consists of lock words, which are atomic.
        let count = unsafe { site.table::<LockWord>() }?.len() as u64;
        if !(1..=MOST).contains(&count) {
            return Err(Error::BadGeometry { field: "capacity", found: count, expected: MOST });
        }
        Ok(OwnedSemaphore { attachment: Attachment::new(site, settings.wait) })
    }

    fn sweep(block: Block, dead: u16) {
        // SAFETY: the body of such a semaphore is a desk, made of atomics; the caller's segment is mapped.
        let desk = unsafe { block.body::<Desk>() };
        // SAFETY: as above; its table consists of lock words.
        if let Ok(words) = unsafe { block.table::<LockWord>() } {
            desk.sweep(words, dead, Barrier::of_this_process());
        }
    }
}

//! A number of permits that come back when their holder dies.

use super::error::AcquireError;
use super::handle::{attached, handle};
use super::site::{Block, Needs, Primitive, Site};
use super::waiting::Attachment;
use crate::error::{Corrupt, Error, Kind};
use crate::lock::{self, Desk, LockWord, PermitError, Word};
use crate::options::{Options, Settings};
use crate::segment::Member;
use crate::sync::{AtomicU32, Ordering};
use crate::wait::{Barrier, Deadline};
use core::fmt;
use core::mem::size_of;
use core::ptr::NonNull;
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
/// Taking one tries the permit that this handle gave back last, and if somebody has that, looks at each in turn: it is
/// meant for hundreds of them, not for millions.
pub struct OwnedSemaphore {
    pub(super) attachment: Arc<Attachment>,
    /// The table of the attachment's site: found once.
    words: NonNull<[LockWord]>,
    /// The permit that was given back last by this handle: most likely it is free, and its line at hand. A guess, so any
    /// number will do. Each clone has its own.
    last: AtomicU32,
}

// SAFETY: `words` points to memory that `attachment` keeps mapped, and consists of atomics.
unsafe impl Send for OwnedSemaphore {}
// SAFETY: as above.
unsafe impl Sync for OwnedSemaphore {}

impl Clone for OwnedSemaphore {
    fn clone(&self) -> Self {
        // Relaxed: a guess.
        let last = AtomicU32::new(self.last.load(Ordering::Relaxed));
        OwnedSemaphore { attachment: Arc::clone(&self.attachment), words: self.words, last }
    }
}

handle!(
    [], OwnedSemaphore, "semaphore", (permits: u32), |options| options.permits(permits),
    " `permits` is how many there are; one that exists with another number is refused."
);
attached!(OwnedSemaphore, "semaphore");

/// More would take too long to look through.
const MOST: u64 = 65_536;

/// What [`OwnedSemaphore::last`] is before any was given back.
const NONE_YET: u32 = u32::MAX;

/// A permit of an [`OwnedSemaphore`]; dropping it gives it back.
///
/// It belongs to the process, and any thread of it may hold it. In a child forked meanwhile it is nothing.
#[must_use = "the permit is given back at once if it is not kept"]
pub struct Permit<'a> {
    semaphore: &'a OwnedSemaphore,
    permit: lock::Permit,
    member: Member,
}

impl Permit<'_> {
    /// Whether its last holder died with it.
    pub fn was_recovered(&self) -> bool {
        self.permit.was_recovered
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("was_recovered", &self.was_recovered()).finish_non_exhaustive()
    }
}

impl Drop for Permit<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        end(self.semaphore, self.permit.number, self.permit.word, self.member);
    }
}

impl OwnedSemaphore {
    #[inline(always)]
    fn desk(&self) -> &Desk {
        // SAFETY: the body of such a semaphore is a desk, made of atomics.
        unsafe { self.site().body::<Desk>() }
    }

    #[inline(always)]
    pub(super) fn words(&self) -> &[LockWord] {
        // SAFETY: the table of the site, which is mapped as long as this lives; all of them are atomic.
        unsafe { self.words.as_ref() }
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
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>, AcquireError> {
        self.acquire_when(Some(Deadline::NEVER))
    }

    /// Takes a permit if there is one now, or if one of the holders is dead.
    ///
    /// # Errors
    /// [`AcquireError::WouldBlock`]; else as [`acquire`](Self::acquire).
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, AcquireError> {
        self.acquire_when(None)
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
    #[inline]
    pub fn acquire_deadline(&self, deadline: Deadline) -> Result<Permit<'_>, AcquireError> {
        self.acquire_when(Some(deadline))
    }

    /// Takes a permit, waiting until `deadline`; without one it does not wait.
    #[inline(always)]
    fn acquire_when(&self, deadline: Option<Deadline>) -> Result<Permit<'_>, AcquireError> {
        match self.acquire_last() {
            Some(permit) => Ok(permit),
            // Taken apart, so that what the slow way returns through memory does not keep the fast way's permit there.
            None => match self.acquire_slowly(deadline) {
                Ok(permit) => Ok(permit),
                Err(error) => Err(error),
            },
        }
    }

    /// Takes the permit this handle gave back last, if that is simple.
    #[inline(always)]
    fn acquire_last(&self) -> Option<Permit<'_>> {
        let member = self.site().member_if_known()?;
        // Relaxed: a guess, which the permit's word confirms or not.
        let last = self.last.load(Ordering::Relaxed);
        let permit = Desk::try_take_this(self.words(), member.index(), last)?;
        self.settle();
        Some(Permit { semaphore: self, permit, member })
    }

    #[cold]
    #[inline(never)]
    fn acquire_slowly(&self, deadline: Option<Deadline>) -> Result<Permit<'_>, AcquireError> {
        let member = self.site().member().map_err(AcquireError::Attach)?;
        let Attachment { site, barrier, learnt, .. } = &*self.attachment;
        let (me, dead) = (member.index(), |index| site.is_dead(index));
        let (desk, words, first) = (self.desk(), self.words(), self.first(me));
        let permit = match (desk.try_take(words, me, first), deadline) {
            (Err(PermitError::None), Some(deadline)) => {
                learnt.use_for(|waiter| desk.take(words, me, first, waiter, *barrier, deadline, dead))
            }
            (Err(PermitError::None), None) => desk.take_from_dead(words, me, dead).ok_or(PermitError::None),
            (tried, _) => tried,
        };
        self.settle();
        Ok(Permit { semaphore: self, permit: permit.map_err(refused)?, member })
    }

    /// Where to look first: beside the last one, and before there was any, so that processes do not all meet at the same.
    fn first(&self, me: u16) -> usize {
        match self.last.load(Ordering::Relaxed) {
            NONE_YET => usize::from(me) * 7,
            last => last as usize,
        }
    }
}

/// The end of a permit. By value, so that permits stay in registers.
#[inline(never)]
fn end(semaphore: &OwnedSemaphore, permit: u32, word: Word, member: Member) {
    if !semaphore.site().segment().is_still(member) {
        return;
    }
    // Relaxed, and only if it is another one: threads may share the handle.
    if semaphore.last.load(Ordering::Relaxed) != permit {
        semaphore.last.store(permit, Ordering::Relaxed);
    }
    semaphore.desk().give(semaphore.words(), permit, word, semaphore.attachment.barrier);
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
        let words = NonNull::from(unsafe { site.table::<LockWord>() }?);
        let count = words.len() as u64;
        if !(1..=MOST).contains(&count) {
            return Err(Error::BadGeometry { field: "capacity", found: count, expected: MOST });
        }
        let (attachment, last) = (Attachment::new(site, settings.wait), AtomicU32::new(NONE_YET));
        Ok(OwnedSemaphore { attachment, words, last })
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

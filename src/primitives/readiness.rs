//! For event loops: descriptors that are readable while there is something to be had, and futures. See [`crate::watch`].

use super::error::AcquireError;
use super::owned::{OwnedSemaphore, Permit};
use super::site::Site;
use super::waiting::Attachment;
use super::{Event, Semaphore};
use crate::error::Error;
use crate::lock::{Count, Desk, Flag, LockWord};
use crate::wait::{ALL, Barrier, Deadline, EventCount, Wait, Waiter};
use crate::watch::Subject;
use std::os::fd::BorrowedFd;

/// In an event loop, or in futures, which work in any runtime: a thread of this process waits in their stead.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ready = ringway::Event::anonymous()?;
/// let setting = async { ready.set() };
/// tokio::join!(ready.wait_async(), setting).0?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
impl Event {
    /// A descriptor that is readable, by `poll`, `epoll` and what builds on them, while the event is set.
    ///
    /// It is level-triggered, and belongs to this handle and its clones. Only poll it: what is read from it is ours. From
    /// the first call on, a thread of this process waits for the event in the event loop's stead; other processes do not
    /// notice. If the event is cleared by another handle, it stays readable until the next call of this one that finds
    /// the event not set: [`is_set`](Self::is_set), [`clear`](Self::clear), or a wait. An event that is set and cleared
    /// again at once may go by unseen. A forked child asks for a descriptor of its own. A signal handler may
    /// [set](Self::set) the event as before, and nothing else.
    ///
    /// # Errors
    /// What the operating system refuses: a descriptor, or a thread.
    pub fn readiness(&self) -> Result<BorrowedFd<'_>, Error> {
        self.site().keep()?;
        self.attachment.watched.descriptor(NOW, || self.subject())
    }

    /// Waits until it is set, as [`wait`](Self::wait): also if it is cleared again at once. Dropped, it does nothing.
    ///
    /// # Errors
    /// If there can be no thread.
    pub async fn wait_async(&self) -> Result<(), Error> {
        match self.site().keep() {
            Err(Error::Gone) => return Ok(()),
            kept => kept?,
        }
        let flag = self.flag();
        let begun = since(flag.settings());
        let attempt = || was_set(flag, begun).then_some(Ok(()));
        self.attachment.watched.when(begun, || self.subject(), attempt, Err).await
    }

    fn subject(&self) -> Result<Box<dyn Subject>, Error> {
        Ok(Box::new(Setting(self.attachment.watching())))
    }

    /// Lets event loops know that the event is not set, if that is so and anybody polls.
    #[inline(always)]
    pub(super) fn settle(&self) {
        let watched = &self.attachment.watched;
        if watched.is_watched() && !self.flag().is_set() {
            watched.settle(NOW);
        }
    }
}

/// In an event loop, or in futures, which work in any runtime: a thread of this process waits in their stead.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let slots = ringway::Semaphore::anonymous(0)?;
/// let giving = async { slots.release() };
/// let (acquired, released) = tokio::join!(slots.acquire_async(), giving);
/// released?;
/// acquired?;
/// assert_eq!(slots.available(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
impl Semaphore {
    /// A descriptor that is readable, by `poll`, `epoll` and what builds on them, while there is a permit: when
    /// [`try_acquire`](Self::try_acquire) has something to do.
    ///
    /// It is level-triggered, and belongs to this handle and its clones. Only poll it: what is read from it is ours. From
    /// the first call on, a thread of this process waits for permits in the event loop's stead; other processes do not
    /// notice. If another takes the last permit, it stays readable until the next call of this handle that finds none.
    /// After a [`try_acquire_many`](Self::try_acquire_many) that found too few, it is readable when there are so many. A
    /// forked child asks for a descriptor of its own.
    ///
    /// # Errors
    /// What the operating system refuses: a descriptor, or a thread.
    pub fn readiness(&self) -> Result<BorrowedFd<'_>, Error> {
        self.site().keep()?;
        self.attachment.watched.descriptor(1, || self.subject())
    }

    /// Takes a permit, as [`acquire`](Self::acquire). Dropped while it waits, it has taken none.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire); [`AcquireError::Attach`] if there can be no thread.
    pub async fn acquire_async(&self) -> Result<(), AcquireError> {
        self.acquire_many_async(1).await
    }

    /// Takes `count` permits at once, as [`acquire_many`](Self::acquire_many). Dropped while it waits, it has taken none.
    ///
    /// # Errors
    /// [`AcquireError::TooMany`]; else as [`acquire_async`](Self::acquire_async).
    pub async fn acquire_many_async(&self, count: u32) -> Result<(), AcquireError> {
        self.site().keep().map_err(AcquireError::Attach)?;
        self.count().expect(count.into());
        let attempt = || match self.try_acquire_many(count) {
            Err(AcquireError::WouldBlock) => None,
            tried => Some(tried),
        };
        let refused = |error| Err(AcquireError::Attach(error));
        self.attachment.watched.when(count.into(), || self.subject(), attempt, refused).await
    }

    fn subject(&self) -> Result<Box<dyn Subject>, Error> {
        Ok(Box::new(Permits(self.attachment.watching())))
    }

    /// Lets event loops know that there are fewer than `wanted` permits, if that is so and anybody polls.
    #[inline(always)]
    pub(super) fn settle(&self, wanted: u32) {
        if self.attachment.watched.is_watched() {
            self.settle_slowly(wanted);
        }
    }

    #[cold]
    fn settle_slowly(&self, wanted: u32) {
        self.count().expect(wanted.into());
        if self.count().available() < wanted.into() {
            self.attachment.watched.settle(wanted.into());
        }
    }
}

/// In an event loop, or in futures, which work in any runtime: a thread of this process waits in their stead.
impl OwnedSemaphore {
    /// A descriptor that is readable, by `poll`, `epoll` and what builds on them, while there is a permit: when
    /// [`try_acquire`](Self::try_acquire) has something to do.
    ///
    /// It is level-triggered, and belongs to this handle and its clones. Only poll it: what is read from it is ours. From
    /// the first call on, a thread of this process waits for permits in the event loop's stead, and takes those of dead
    /// holders back, after a tenth of a second at most; other processes do not notice. If another takes the last permit, it
    /// stays readable until the next call of this handle that finds none. A forked child asks for a descriptor of its own.
    ///
    /// # Errors
    /// What the operating system refuses: a descriptor, or a thread.
    pub fn readiness(&self) -> Result<BorrowedFd<'_>, Error> {
        self.site().keep()?;
        self.attachment.watched.descriptor(NOW, || self.subject())
    }

    /// Takes a permit, as [`acquire`](Self::acquire). Dropped while it waits, it has taken none.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire); [`AcquireError::Attach`] also if there can be no thread.
    pub async fn acquire_async(&self) -> Result<Permit<'_>, AcquireError> {
        let attempt = || match self.try_acquire() {
            Err(AcquireError::WouldBlock) => None,
            tried => Some(tried),
        };
        let refused = |error| Err(AcquireError::Attach(error));
        self.attachment.watched.when(NOW, || self.subject(), attempt, refused).await
    }

    fn subject(&self) -> Result<Box<dyn Subject>, Error> {
        Ok(Box::new(OwnedPermit(self.attachment.watching())))
    }

    /// Lets event loops know that there is no permit, if that is so and anybody polls.
    #[inline(always)]
    pub(super) fn settle(&self) {
        let watched = &self.attachment.watched;
        if watched.is_watched() && !has_any(self.words()) {
            watched.settle(NOW);
        }
    }
}

/// What is wanted by whoever polls an event: that it is set now; and a semaphore with owners.
const NOW: u64 = 0;

/// What is wanted by whoever waits for an event: that it is set, or has been since it was set so many times.
fn since(settings: u64) -> u64 {
    settings << 1 | 1
}

fn was_set(flag: &Flag, wanted: u64) -> bool {
    flag.is_set() || wanted != NOW && since(flag.settings()) != wanted
}

/// Whether there is a permit, or a word that no honest process leaves: then there is something to say.
fn has_any(words: &[LockWord]) -> bool {
    words.iter().any(|word| {
        let seen = word.read();
        !seen.owned_by(seen.owner())
    })
}

/// A share in an object for a thread that sleeps there: it may outlive the handle by a moment.
struct Watching {
    site: Site,
    barrier: Barrier,
}

impl Attachment {
    fn watching(&self) -> Watching {
        Watching { site: self.site.clone(), barrier: self.barrier }
    }
}

impl Watching {
    /// Sleeps until `is_there`. Whoever was to be woken in its stead is woken if there is `more`.
    fn sleep_at(
        &self,
        waiting: &EventCount,
        is_there: &dyn Fn() -> bool,
        patrol: impl Fn(),
        more: impl Fn() -> bool,
    ) {
        let attempt = || is_there().then_some(());
        let patrol = || {
            patrol();
            attempt()
        };
        // Without a deadline it ends with a result.
        let _ = Waiter::new(Wait::Park).wait(waiting, self.barrier, Deadline::NEVER, attempt, patrol, more);
    }
}

/// An event being set.
struct Setting(Watching);

impl Setting {
    fn flag(&self) -> &Flag {
        // SAFETY: the body of an event is a flag, made of atomics.
        unsafe { self.0.site.body() }
    }
}

impl Subject for Setting {
    fn is_there(&self, wanted: u64) -> bool {
        was_set(self.flag(), wanted)
    }

    fn sleep_until(&self, is_there: &dyn Fn() -> bool) {
        // Nobody dead is in the way, and whoever sets it wakes all.
        self.0.sleep_at(self.flag().waiting(), is_there, || (), || false);
    }

    fn wake(&self) {
        self.flag().waiting().wake(ALL, self.0.barrier);
    }
}

/// So many permits that nobody owns.
struct Permits(Watching);

impl Permits {
    fn count(&self) -> &Count {
        // SAFETY: the body of a semaphore is a count, made of atomics.
        unsafe { self.0.site.body() }
    }
}

impl Subject for Permits {
    fn is_there(&self, wanted: u64) -> bool {
        self.count().available() >= wanted
    }

    fn sleep_until(&self, is_there: &dyn Fn() -> bool) {
        let count = self.count();
        self.0.sleep_at(count.waiting(), is_there, || (), || count.available() > 0);
    }

    fn wake(&self) {
        self.count().waiting().wake(ALL, self.0.barrier);
    }
}

/// A permit with an owner.
struct OwnedPermit(Watching);

impl OwnedPermit {
    fn desk(&self) -> &Desk {
        // SAFETY: the body of a semaphore with owners is a desk, made of atomics.
        unsafe { self.0.site.body() }
    }

    fn words(&self) -> &[LockWord] {
        // SAFETY: its table consists of lock words, which are atomic.
        let words = unsafe { self.0.site.table() };
        words.unwrap_or_else(|_| unreachable!("checked at attach"))
    }

    /// Those of the dead come back.
    fn patrol(&self) {
        let Watching { site, barrier } = &self.0;
        // 0, which is nobody, in a forked child that has made no other call yet.
        let me = site.member_if_known().map_or(0, |member| member.index());
        self.desk().return_from_dead(self.words(), me, *barrier, |index| site.is_dead(index));
    }
}

impl Subject for OwnedPermit {
    fn is_there(&self, _wanted: u64) -> bool {
        has_any(self.words())
    }

    fn sleep_until(&self, is_there: &dyn Fn() -> bool) {
        self.0.sleep_at(self.desk().waiting(), is_there, || self.patrol(), || has_any(self.words()));
    }

    fn wake(&self) {
        self.desk().waiting().wake(ALL, self.0.barrier);
    }
}

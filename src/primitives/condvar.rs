//! Waiting for something that a mutex protects.

use super::error::LockError;
use super::guard::{Inherited, MutexGuard};
use super::handle::{attached, handle};
use super::site::{Block, Needs, Primitive, Site, only_one};
use super::waiting::Attachment;
use crate::error::{Error, Kind};
use crate::lock::Condition;
use crate::options::Settings;
use crate::wait::{ALL, Deadline};
use bytemuck::Pod;
use core::time::Duration;
use std::sync::Arc;

/// A condition on what a [`Mutex`](crate::Mutex) protects: whoever waits for it lets go of the mutex meanwhile, and who
/// changes something tells him.
///
/// The two need not lie in the same segment, and one may be used with several of the other. As everywhere, a wait may end
/// without anybody having told: look again, or use [`wait_while`](Self::wait_while), which does.
///
/// ```
/// use ringway::{Condvar, Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = |what| format!("doc-condvar-{what}-{}", std::process::id());
/// let level = Mutex::open_or_create(&name("level"), 0_u64)?; // in each process
/// let changed = Condvar::open_or_create(&name("changed"))?;
/// # let (l, c) = (level.clone(), changed.clone());
/// # let other = std::thread::spawn(move || drop(c.wait_while(l.lock().unwrap(), |level| *level < 7).unwrap()));
/// *level.lock()? = 7; // in one
/// changed.notify_all();
///
/// let level = changed.wait_while(level.lock()?, |level| *level < 7)?; // in another
/// assert_eq!(*level, 7);
/// # drop(level);
/// # other.join().unwrap();
/// # ["level", "changed"].map(|what| ringway::unlink(&name(what)).unwrap());
/// # Ok(())
/// # }
/// ```
///
/// # When a process dies
/// One that waits is in nobody's way, not even if it takes a notification along: the others find out after a tenth of a
/// second at most. One that dies with the mutex makes the wait of the next one end with
/// [`LockError::OwnerDied`], as if it had locked the mutex.
#[derive(Clone)]
pub struct Condvar {
    attachment: Arc<Attachment>,
}

handle!([], Condvar, "condition variable", (), |options| options, "");
attached!(Condvar, "condition variable");

/// The mutex again, and whether somebody told; or why the mutex could not simply be had.
type Woken<'a, T> = Result<(MutexGuard<'a, T>, bool), LockError<Inherited<'a, T>>>;

impl Condvar {
    pub(super) fn condition(&self) -> &Condition {
        // SAFETY: the body of a condition variable is a condition, made of atomics.
        unsafe { self.site().body::<Condition>() }
    }

    /// Wakes one who waits, if anybody does.
    #[inline]
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Wakes all who wait.
    #[inline]
    pub fn notify_all(&self) {
        self.notify(ALL);
    }

    #[inline]
    fn notify(&self, count: u32) {
        if self.site().keep().is_ok() {
            self.condition().tell(count, self.attachment.barrier);
        }
    }

    /// Gives the mutex back, waits until told, and takes it again.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub fn wait<'a, T: Pod>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> Result<MutexGuard<'a, T>, LockError<Inherited<'a, T>>> {
        self.wait_deadline(guard, Deadline::NEVER).map(|(guard, _)| guard)
    }

    /// The same for at most `timeout`; then it takes the mutex, however long that takes. Returns whether somebody told.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub fn wait_timeout<'a, T: Pod>(&self, guard: MutexGuard<'a, T>, timeout: Duration) -> Woken<'a, T> {
        self.wait_deadline(guard, Deadline::after(timeout))
    }

    /// The same until `deadline`.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub fn wait_deadline<'a, T: Pod>(&self, guard: MutexGuard<'a, T>, deadline: Deadline) -> Woken<'a, T> {
        self.site().keep().map_err(LockError::Attach)?;
        let was_told = |holding: &super::holding::Holding, taken| {
            holding.unlock_and_wait(taken, self.condition(), &self.attachment, deadline).is_ok()
        };
        let (guard, told) = guard.let_go_for(was_told);
        Ok((guard?, told))
    }

    /// Waits for as long as `condition` holds of what the mutex protects.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub fn wait_while<'a, T: Pod>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<MutexGuard<'a, T>, LockError<Inherited<'a, T>>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// The same until `deadline`. Returns whether `condition` had ceased to hold by then.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub fn wait_while_deadline<'a, T: Pod>(
        &self,
        mut guard: MutexGuard<'a, T>,
        deadline: Deadline,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Woken<'a, T> {
        let mut is_last = false;
        while condition(&mut guard) {
            if is_last {
                return Ok((guard, false));
            }
            let told;
            (guard, told) = self.wait_deadline(guard, deadline)?;
            is_last = !told;
        }
        Ok((guard, true))
    }
}

impl Primitive for Condvar {
    const KIND: Kind = Kind::Condvar;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        only_one(settings)?;
        Ok(Needs::body::<Condition>())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        Ok(Condvar { attachment: Attachment::new(site, settings.wait) })
    }

    /// The dead leave nothing: nobody who waits is written down.
    fn sweep(_block: Block, _dead: u16) {}
}

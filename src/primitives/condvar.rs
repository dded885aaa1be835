//! Waiting for something that a mutex protects.

use super::error::LockError;
use super::guard::{Inherited, MutexGuard};
use super::handle::{attached, handle};
use super::holding::Holding;
use super::site::{Block, Needs, Primitive, Site, only_one};
use super::waiting::Attachment;
use crate::error::{Error, Kind};
use crate::lock::{Attendance, Condition, Seat};
use crate::options::Settings;
use crate::segment::Member;
use crate::sync::light_fence;
use crate::wait::{ALL, Barrier, Deadline};
use bytemuck::Pod;
use core::time::Duration;
use std::sync::Arc;

/// A condition on what a [`Mutex`](crate::Mutex) protects: whoever waits for it lets go of the mutex meanwhile, and who
/// changes something tells him.
///
/// The two need not lie in the same segment, and one may be used with several of the other; and with locks that are not ours,
/// by [`wait_after`](Self::wait_after).
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
/// # Who is told
/// Exactly as many as were notified, and of those who waited by then the first to come. Who comes later never goes in the
/// stead of one who was told. (With more than 16,000 waiting at once some may go untold.) Still, what they waited for may be
/// another's by the time they have the mutex: look again, or use [`wait_while`](Self::wait_while), which does.
///
/// # When a process dies
/// One that dies waiting may have been told in another's stead. So when its death is found, all who wait are told, and look
/// for themselves: nothing is lost, and this is the only case in which a wait ends that nobody notified. Those whom a
/// notification passed over look for the dead ten times a second. A process that ends while none of its threads wait is none
/// of these, unless more than 31 processes wait at once. One that is merely stopped keeps its turn: what it was told, the
/// others who came when it did take; those who came later do not.
///
/// One that dies with the mutex makes the wait of the next one end with [`LockError::OwnerDied`], as if it had locked the
/// mutex. What it was told it took along, if it had the mutex from a wait: so whoever recovers tells the others.
#[derive(Clone)]
pub struct Condvar {
    attachment: Arc<Attachment>,
}

handle!([], Condvar, "condition variable", (), |options| options, "");
attached!(Condvar, "condition variable");

/// The mutex again, and whether somebody told; or why the mutex could not simply be had.
type Woken<'a, T> = Result<(MutexGuard<'a, T>, bool), LockError<Inherited<'a, T>>>;

/// A condition variable as it lies in its block. All-zero bytes are one that nobody waits for.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Meeting {
    condition: Condition,
    /// Which processes wait.
    waiting: Attendance,
}

const _: () = assert!(size_of::<Meeting>() == 192);

/// Struck off at the end of the wait, also if that is a panic.
struct Attending<'a> {
    waiting: &'a Attendance,
    seat: Seat,
    me: u16,
}

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        light_fence();
        self.waiting.leave(self.seat, self.me);
    }
}

impl Condvar {
    fn meeting(&self) -> &Meeting {
        // SAFETY: the body of a condition variable is that, made of atomics.
        unsafe { self.site().body::<Meeting>() }
    }

    pub(super) fn condition(&self) -> &Condition {
        &self.meeting().condition
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

    /// Wakes up to `count` of those who wait, the first to come first. Returns how many that are: those who died waiting count
    /// until somebody finds them.
    #[inline]
    pub fn notify(&self, count: u32) -> u32 {
        if self.site().keep().is_ok() { self.condition().tell(count, self.attachment.barrier) } else { 0 }
    }

    /// How many wait at this moment whom nobody has told; with those who died waiting, until somebody finds them.
    pub fn waiting(&self) -> usize {
        self.condition().waiters() as usize
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
        // Until we have the mutex again: if we die before, somebody else is to go in our stead.
        let attending = self.attend(self.site().member().map_err(LockError::Attach)?);
        let was_told =
            |holding: &Holding, taken| self.wait_as(&attending, || holding.unlock(taken), deadline);
        let (guard, told) = guard.let_go_for(was_told);
        Ok((guard?, told))
    }

    /// Lets go of a lock by `let_go`, and waits until told or `deadline`; returns whether told. It takes nothing again: this is
    /// for those who have locks of another kind.
    ///
    /// Nothing is lost that is notified by anybody who had the lock after `let_go`. If `let_go` panics, this one does not wait
    /// any more, and the panic goes on.
    ///
    /// ```
    /// use ringway::{Condvar, Deadline};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (lock, changed) = (std::sync::Mutex::new(0), Condvar::anonymous()?); // any lock
    /// # std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
    /// # scope.spawn(|| {
    /// #     *lock.lock().unwrap() = 1;
    /// #     changed.notify_all();
    /// # });
    /// let mut level = lock.lock().unwrap();
    /// while *level == 0 {
    ///     let told = changed.wait_after(|| drop(level), Deadline::NEVER)?;
    ///     assert!(told);
    ///     level = lock.lock().unwrap();
    /// }
    /// # Ok(())
    /// # })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Only in a forked child's first call: what keeps it from taking part. Then it has not let go.
    pub fn wait_after(&self, let_go: impl FnOnce(), deadline: Deadline) -> Result<bool, Error> {
        let attending = self.attend(self.site().member()?);
        Ok(self.wait_as(&attending, let_go, deadline))
    }

    /// Writes down that a thread of the participant `member` is about to wait.
    fn attend(&self, member: Member) -> Attending<'_> {
        let (waiting, me) = (&self.meeting().waiting, member.index());
        let seat = waiting.enter(me);
        // Here and in `Attending::drop`: if we die, others see what we did in the order in which we did it. The processor sees
        // to that by itself.
        light_fence();
        Attending { waiting, seat, me }
    }

    fn wait_as(&self, me: &Attending<'_>, let_go: impl FnOnce(), deadline: Deadline) -> bool {
        let Attachment { barrier, learnt, .. } = &*self.attachment;
        let bury = || self.look_for_the_dead(me.me);
        learnt.use_for(|waiter| self.condition().wait(let_go, waiter, *barrier, deadline, bury))
    }

    /// Sees to it that what the dead left is swept, if any of those who wait has died.
    #[cold]
    fn look_for_the_dead(&self, me: u16) {
        let (site, waiting) = (self.site(), &self.meeting().waiting);
        let mut others = waiting.present().filter(|&index| index != me);
        if waiting.has_others() || others.any(|index| site.is_dead(index)) {
            site.segment().sweep_for_the_dead();
        }
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
        Ok(Needs::body::<Meeting>())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        Ok(Condvar { attachment: Attachment::new(site, settings.wait) })
    }

    /// A dead one that waited may have been told in another's stead.
    fn sweep(block: Block, dead: u16) {
        // SAFETY: the body of a condition variable is that, made of atomics; the caller's segment is mapped.
        let Meeting { condition, waiting } = unsafe { block.body::<Meeting>() };
        if waiting.may_have(dead) {
            condition.release(Barrier::of_this_process());
            // Not before: whoever dies in between leaves it to the next one.
            light_fence();
            waiting.forget(dead);
        }
    }
}

//! Taking a lock that its thread may have already.

use super::error::LockError;
use super::holding::Holding;
use super::thread;
use crate::error::Corrupt;
use crate::lock::Held;
use crate::segment::Member;
use crate::sync::Ordering;
use crate::wait::Deadline;
use core::marker::PhantomData;
use std::thread::panicking;

/// One of the times that this thread has a lock; the last one to go gives it back, in whatever order they go.
#[derive(Debug)]
pub(super) struct Reentry<'a> {
    holding: &'a Holding,
    member: Member,
    /// A whole word, as in `MutexGuard`.
    in_panic: usize,
    /// The lock is held by a thread.
    thread: PhantomData<*const ()>,
}

/// The lock, if it could be had.
type Locked<'a> = Result<Reentry<'a>, LockError<Reentry<'a>>>;

impl<'a> Reentry<'a> {
    /// Takes the lock, waiting until `deadline`; without one it does not wait. If this thread has it already, it has it
    /// once more.
    ///
    /// # Errors
    /// As [`ReentrantMutex::lock`](crate::ReentrantMutex::lock).
    #[inline(always)]
    pub(super) fn lock(holding: &'a Holding, deadline: Option<Deadline>) -> Locked<'a> {
        if let Some(taken) = holding.try_lock_simply() {
            return Ok(Reentry::first(holding, taken.member()));
        }
        if let Some(member) = holding.enter_again_simply() {
            return Ok(Reentry::counted(holding, member));
        }
        // Taken apart, so that what the slow way returns through memory does not keep the fast ways' entry there.
        match Reentry::lock_slowly(holding, deadline) {
            Ok(entry) => Ok(entry),
            Err(error) => Err(error),
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_slowly(holding: &'a Holding, deadline: Option<Deadline>) -> Locked<'a> {
        match holding.lock(deadline) {
            Ok(taken) => Ok(Reentry::first(holding, taken.member())),
            Err(LockError::OwnerDied(taken)) => {
                Err(LockError::OwnerDied(Reentry::first(holding, taken.member())))
            }
            Err(LockError::WouldDeadlock) => Reentry::again(holding),
            Err(other) => Err(other.map(|_| unreachable!("only of an owner that died"))),
        }
    }

    /// This thread has it already.
    fn again(holding: &'a Holding) -> Locked<'a> {
        let member = holding.site().member().map_err(LockError::Attach)?;
        let depth = holding.words().depth.load(Ordering::Relaxed);
        let Some(deeper) = depth.checked_add(1) else {
            let (found, limit) = (depth.into(), (u32::MAX - 1).into());
            return Err(LockError::Corrupt(Corrupt { field: "the lock's depth", found, limit, place: None }));
        };
        holding.enter_again(deeper, member, thread::number());
        let entry = Reentry::counted(holding, member);
        if holding.words().gate.word().read().inconsistent() {
            return Err(LockError::OwnerDied(entry));
        }
        Ok(entry)
    }

    /// What was just taken.
    #[inline(always)]
    fn first(holding: &'a Holding, member: Member) -> Self {
        holding.enter_first();
        Reentry::counted(holding, member)
    }

    /// One that has been counted.
    #[inline(always)]
    fn counted(holding: &'a Holding, member: Member) -> Self {
        Reentry { holding, member, in_panic: panicking().into(), thread: PhantomData }
    }

    /// The handle it was taken by.
    #[inline]
    pub(super) fn holding(&self) -> &'a Holding {
        self.holding
    }

    /// Whether this is the process that took it, and not its child.
    #[inline(always)]
    pub(super) fn is_ours(&self) -> bool {
        self.holding.is_still(self.member)
    }

    /// How often this thread has the lock.
    pub(super) fn depth(&self) -> u32 {
        self.holding.words().depth.load(Ordering::Relaxed)
    }

    /// What the lock protects has been repaired.
    pub(super) fn recovered(&self) {
        let thread = thread::number();
        let words = self.holding.words();
        let seen = words.gate.word().read();
        if seen.inconsistent() && self.holding.is_mine(seen, self.member, thread) {
            let held = words.gate.recovered(Held::again(seen));
            words.owner.sign(held.word(), thread);
        }
    }
}

impl Drop for Reentry<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        end(self.holding, self.member, self.in_panic);
    }
}

/// The end of an entry. By value, so that entries stay in registers.
#[inline(never)]
fn end(holding: &Holding, member: Member, in_panic: usize) {
    if !holding.is_still(member) {
        return;
    }
    holding.leave_again();
    let words = holding.words();
    let seen = words.gate.word().read();
    // Another handle's end, or a peer that scribbles, may have taken it from us.
    if !holding.is_mine(seen, member, thread::number()) {
        return;
    }
    let depth = words.depth.load(Ordering::Relaxed);
    if depth > 1 {
        words.depth.store(depth - 1, Ordering::Relaxed);
        return;
    }
    let held = Held::again(seen);
    let barrier = holding.barrier();
    if seen.inconsistent() {
        words.gate.abandon(held, barrier);
    } else if panicking() && in_panic == 0 {
        words.gate.leave_behind(held, barrier);
    } else {
        words.gate.unlock(held, barrier);
    }
}

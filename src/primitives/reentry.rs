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
    #[inline]
    pub(super) fn lock(holding: &'a Holding, deadline: Option<Deadline>) -> Locked<'a> {
        let taken = match holding.try_lock_simply() {
            Some(taken) => Ok(taken),
            None => holding.lock(deadline),
        };
        match taken {
            Ok(taken) => Ok(Reentry::new(holding, taken.member(), 1)),
            Err(LockError::OwnerDied(taken)) => {
                Err(LockError::OwnerDied(Reentry::new(holding, taken.member(), 1)))
            }
            Err(LockError::WouldDeadlock) => Reentry::again(holding),
            Err(other) => Err(other.map(|_| unreachable!("only of an owner that died"))),
        }
    }

    /// This thread has it already.
    #[cold]
    fn again(holding: &'a Holding) -> Locked<'a> {
        let member = holding.site().member().map_err(LockError::Attach)?;
        let depth = holding.words().depth.load(Ordering::Relaxed);
        let Some(deeper) = depth.checked_add(1) else {
            let (found, limit) = (depth.into(), (u32::MAX - 1).into());
            return Err(LockError::Corrupt(Corrupt { field: "the lock's depth", found, limit, place: None }));
        };
        let entry = Reentry::new(holding, member, deeper);
        if holding.words().gate.word().read().inconsistent() {
            return Err(LockError::OwnerDied(entry));
        }
        Ok(entry)
    }

    #[inline]
    fn new(holding: &'a Holding, member: Member, depth: u32) -> Self {
        // Relaxed: only the holder's thread reads and writes it.
        holding.words().depth.store(depth, Ordering::Relaxed);
        holding.enter_again(depth == 1);
        Reentry { holding, member, in_panic: panicking().into(), thread: PhantomData }
    }

    /// The handle it was taken by.
    #[inline]
    pub(super) fn holding(&self) -> &'a Holding {
        self.holding
    }

    /// Whether this is the process that took it, and not its child.
    #[inline]
    pub(super) fn is_ours(&self) -> bool {
        self.holding.site().segment().is_still(self.member)
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
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        self.holding.leave_again();
        let words = self.holding.words();
        let seen = words.gate.word().read();
        // Another handle's end, or a peer that scribbles, may have taken it from us.
        if !self.holding.is_mine(seen, self.member, thread::number()) {
            return;
        }
        let depth = words.depth.load(Ordering::Relaxed);
        if depth > 1 {
            words.depth.store(depth - 1, Ordering::Relaxed);
            return;
        }
        let held = Held::again(seen);
        let barrier = self.holding.barrier();
        if seen.inconsistent() {
            words.gate.abandon(held, barrier);
        } else if panicking() && self.in_panic == 0 {
            words.gate.leave_behind(held, barrier);
        } else {
            words.gate.unlock(held, barrier);
        }
    }
}

//! What the locks have in common: taking, waiting, giving back, and what becomes of them if nobody gives back.

use super::LockError;
use super::site::{Block, Site};
use super::thread;
use super::waiting::Learnt;
use crate::error::Corrupt;
use crate::lock::{Gate, Grant, Held, LockFailed, Owner, Refused, Word};
use crate::segment::Member;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::clock;
use crate::wait::{Barrier, Deadline, Wait};
use core::convert::Infallible;
use core::mem::size_of;
use std::sync::Arc;

/// A lock as it lies in its block. What it protects follows at once: for a small value all is one cache line.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) gate: Gate,
    /// The thread that has it.
    pub(crate) owner: Owner,
    /// When it was taken, in nanoseconds of the monotonic clock: a figure for onlookers. The holder writes it.
    pub(crate) since: AtomicU64,
    /// How often its thread has it, if that can be more than once. The holder writes it.
    pub(crate) depth: AtomicU32,
    /// How often it was taken from a dead owner: a figure for onlookers. The holder writes it.
    pub(crate) deaths: AtomicU32,
}

pub(crate) const WORDS: usize = size_of::<Words>();
const _: () = assert!(WORDS == 56, "a word of eight bytes fits the same cache line");

/// One handle to a lock, shared by its clones.
#[derive(Debug)]
pub(super) struct Holding {
    site: Site,
    barrier: Barrier,
    learnt: Learnt,
    /// The word whose owner a call that does not wait asked after last, mixed with the clock's tick then.
    asked: AtomicU64,
    /// The thread that last made sure to be [remembered](thread::remember) here.
    known_to: AtomicU64,
    /// The thread that would leave the lock behind if it ended now, 0 if none would; with what it holds. Each thread
    /// writes them for itself alone, while it holds the lock.
    mourned: AtomicU64,
    mourned_word: AtomicU64,
    mourned_member: AtomicU64,
}

/// A lock that is held: by which word, as whom.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) held: Held,
    member: Member,
}

impl Holding {
    pub(super) fn new(site: Site, wait: Wait) -> Arc<Self> {
        Arc::new(Holding {
            site,
            barrier: Barrier::of_this_process(),
            learnt: Learnt::new(wait),
            asked: AtomicU64::new(0),
            known_to: AtomicU64::new(0),
            mourned: AtomicU64::new(0),
            mourned_word: AtomicU64::new(0),
            mourned_member: AtomicU64::new(0),
        })
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    pub(super) fn barrier(&self) -> Barrier {
        self.barrier
    }

    #[inline(always)]
    pub(super) fn words(&self) -> &Words {
        // SAFETY: only sites of the locks' kinds come here, whose body begins with these words, all of them atomic.
        unsafe { self.site.body::<Words>() }
    }

    /// Takes the lock, waiting until `deadline`; without one it does not wait.
    #[inline]
    pub(super) fn lock(self: &Arc<Self>, deadline: Option<Deadline>) -> Result<Taken, LockError<Taken>> {
        let member = self.site.member().map_err(LockError::Attach)?;
        let thread = thread::number();
        match self.words().gate.try_lock(member.index()) {
            Ok(held) if held.grant() != Grant::OwnerDied => Ok(self.enter(held, member, thread)),
            Ok(held) => Err(self.inherit(held, member, thread)),
            Err(refused) => self.lock_slowly(refused, member, thread, deadline),
        }
    }

    #[cold]
    fn lock_slowly(
        self: &Arc<Self>,
        refused: Refused,
        member: Member,
        thread: u32,
        deadline: Option<Deadline>,
    ) -> Result<Taken, LockError<Taken>> {
        let gate = &self.words().gate;
        let seen = match refused {
            Refused::Held(seen) => seen,
            Refused::NotRecoverable => return Err(LockError::NotRecoverable),
            Refused::Corrupt(word) => return Err(LockError::Corrupt(corrupt(word))),
        };
        if self.is_mine(seen, member, thread) {
            return Err(LockError::WouldDeadlock);
        }
        let dead = |index| self.site.is_dead(index);
        let held = match deadline {
            None if self.is_worth_asking(seen) => {
                gate.take_from_dead(member.index(), dead).ok_or(LockError::WouldBlock)?
            }
            None => return Err(LockError::WouldBlock),
            Some(deadline) => {
                let never = || None::<Infallible>;
                let wait =
                    |waiter: &mut _| gate.lock(member.index(), waiter, self.barrier, deadline, dead, never);
                self.learnt.use_for(wait).map_err(|failed| match failed {
                    LockFailed::TimedOut => LockError::Timeout,
                    LockFailed::NotRecoverable => LockError::NotRecoverable,
                    LockFailed::Corrupt(word) => LockError::Corrupt(corrupt(word)),
                    LockFailed::Interrupted(never) => match never {},
                })?
            }
        };
        match held.grant() {
            Grant::OwnerDied => Err(self.inherit(held, member, thread)),
            _ => Ok(self.enter(held, member, thread)),
        }
    }

    /// Whether `seen` says that this thread has the lock.
    #[inline]
    pub(super) fn is_mine(&self, seen: Word, member: Member, thread: u32) -> bool {
        seen.owned_by(member.index()) && self.words().owner.is(seen, thread)
    }

    /// Whether it is time to ask after the owner that `seen` names: once for each word and tick of the coarse clock (some
    /// milliseconds), for calls that do not wait and may be made millions of times a second.
    fn is_worth_asking(&self, seen: Word) -> bool {
        let now = seen.to_bits() ^ clock::tick().rotate_left(20);
        let last = self.asked.load(Ordering::Relaxed);
        self.asked.store(now, Ordering::Relaxed);
        last != now
    }

    /// What the new holder writes down.
    #[inline]
    fn enter(self: &Arc<Self>, held: Held, member: Member, thread: u32) -> Taken {
        let words = self.words();
        words.owner.sign(held.word(), thread);
        // Relaxed: a figure for onlookers.
        words.since.store(clock::recently(), Ordering::Relaxed);
        let taken = Taken { held, member };
        self.mourn(&taken, thread);
        taken
    }

    #[cold]
    fn inherit(self: &Arc<Self>, held: Held, member: Member, thread: u32) -> LockError<Taken> {
        let deaths = &self.words().deaths;
        // Relaxed: a figure for onlookers.
        deaths.store(deaths.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        LockError::OwnerDied(self.enter(held, member, thread))
    }

    /// From now on the lock is left behind if this thread ends with it.
    #[inline]
    fn mourn(self: &Arc<Self>, taken: &Taken, thread: u32) {
        // Relaxed, all of them: only the thread that writes its number here reads what stands beside it.
        self.mourned_word.store(taken.held.word().to_bits(), Ordering::Relaxed);
        self.mourned_member.store(taken.member.to_bits(), Ordering::Relaxed);
        self.mourned.store(u64::from(thread), Ordering::Relaxed);
        if self.known_to.load(Ordering::Relaxed) != u64::from(thread) {
            thread::remember(self);
            self.known_to.store(u64::from(thread), Ordering::Relaxed);
        }
    }

    /// From now on it is not: it was given back, or references into what it protects were lent out, which may have
    /// outlived the guard that leaked.
    #[inline(always)]
    pub(super) fn unmourn(&self) {
        self.mourned.store(0, Ordering::Relaxed);
    }

    /// The thread `thread` of this process has ended.
    pub(super) fn bury(&self, thread: u32) {
        let member = Member::from_bits(self.mourned_member.load(Ordering::Relaxed));
        if self.mourned.load(Ordering::Relaxed) == u64::from(thread) && self.is_still(member) {
            self.unmourn();
            let word = Word::from_bits(self.mourned_word.load(Ordering::Relaxed));
            self.words().gate.bury(word, self.barrier);
        }
    }

    #[inline]
    fn is_still(&self, member: Member) -> bool {
        self.site.segment().is_still(member)
    }

    /// Whether a lock is held by this process, and not by one it was forked from.
    #[inline]
    pub(super) fn is_ours(&self, taken: &Taken) -> bool {
        self.is_still(taken.member)
    }

    /// Gives the lock back.
    #[inline]
    pub(super) fn unlock(&self, taken: Taken) {
        if self.is_ours(&taken) {
            self.unmourn();
            self.words().gate.unlock(taken.held, self.barrier);
        }
    }

    /// Leaves the lock as the dead do.
    #[cold]
    pub(super) fn leave_behind(&self, taken: Taken) {
        if self.is_ours(&taken) {
            self.unmourn();
            self.words().gate.leave_behind(taken.held, self.barrier);
        }
    }

    /// Gives what the lock protects up for lost.
    #[cold]
    pub(super) fn abandon(&self, taken: Taken) {
        if self.is_ours(&taken) {
            self.unmourn();
            self.words().gate.abandon(taken.held, self.barrier);
        }
    }

    /// The holder has repaired what the lock protects.
    pub(super) fn recovered(self: &Arc<Self>, taken: Taken) -> Taken {
        if !self.is_ours(&taken) {
            return taken;
        }
        let held = self.words().gate.recovered(taken.held);
        let thread = thread::number();
        self.words().owner.sign(held.word(), thread);
        let taken = Taken { held, member: taken.member };
        self.mourn(&taken, thread);
        taken
    }

    /// Another handle to the same lock, which waits in another way.
    pub(super) fn with_wait(&self, wait: Wait) -> Arc<Self> {
        Holding::new(self.site.clone(), wait)
    }
}

/// A dead holder leaves the lock to whoever comes.
pub(super) fn sweep(block: Block, dead: u16) {
    // SAFETY: only blocks of the locks' kinds come here, whose body begins with these words, all of them atomic; the
    // caller's segment is mapped.
    let words = unsafe { block.body::<Words>() };
    words.gate.sweep(dead, Barrier::of_this_process());
}

fn corrupt(word: u64) -> Corrupt {
    Corrupt { field: "the lock's word", found: word, limit: 0, place: None }
}

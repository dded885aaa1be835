//! What the locks have in common: taking, waiting, giving back, and what becomes of them if nobody gives back.

use super::LockError;
use super::site::{Block, Site};
use super::thread;
use super::waiting::Learnt;
use crate::error::Corrupt;
use crate::lock::{Gate, Grant, Held, LockFailed, Owner, Refused, Word};
use crate::options::Settings;
use crate::segment::Member;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::clock;
use crate::sys::fork::Generation;
use crate::wait::{Barrier, Deadline, Wait};
use core::convert::Infallible;
use core::mem::size_of;
use core::ptr::NonNull;
use std::sync::{Arc, Weak};

/// A lock as it lies in its block. What it protects follows at once: for a small value all is one cache line.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) gate: Gate,
    /// The thread that has it.
    pub(crate) owner: Owner,
    /// When it was taken.
    pub(crate) since: Since,
    /// How often its thread has it, if that can be more than once. The holder writes it.
    pub(crate) depth: AtomicU32,
    /// How often it was taken from a dead owner: a figure for onlookers. The holder writes it.
    pub(crate) deaths: AtomicU32,
}

/// When a lock was taken, if its holder writes that down: a figure for onlookers.
///
/// ```text
/// acquisition:16 | milliseconds of the monotonic clock:48      only the holder writes it
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Since(AtomicU64);

impl Since {
    /// The holder, who left `held` in the lock word, took it just now.
    #[inline]
    fn note(&self, held: Word) {
        // Relaxed: nothing is concluded from it.
        self.0.store((held.acquisition() << 48) | (clock::recently() / 1_000_000), Ordering::Relaxed);
    }

    /// For how long, in milliseconds, the holder that left `seen` has had the lock; `None` if it did not write it down.
    pub(crate) fn held_for(&self, seen: Word) -> Option<u64> {
        let noted = self.0.load(Ordering::Relaxed);
        let is_of_this_word = noted >> 48 == seen.acquisition() & 0xffff;
        let now = clock::recently() / 1_000_000;
        is_of_this_word.then(|| now.saturating_sub(noted & ((1 << 48) - 1)))
    }
}

pub(crate) const WORDS: usize = size_of::<Words>();
const _: () = assert!(WORDS == 56, "a word of eight bytes fits the same cache line");

/// So many threads take a lock by the same handle without getting in each other's way.
const KNOWN: usize = 8;

/// One handle to a lock, shared by its clones.
#[derive(Debug)]
pub(super) struct Holding {
    /// For the thread that is to remember it.
    this: Weak<Holding>,
    site: Site,
    /// The words in the site's block, and whether what they protect may be lent out: found once.
    words: NonNull<Words>,
    is_trusting: bool,
    /// The segment's, at hand.
    generation: Generation,
    /// Whether each holder writes down when it took the lock.
    is_timed: bool,
    barrier: Barrier,
    learnt: Learnt,
    /// The word whose owner a call that does not wait asked after last, mixed with the clock's tick then.
    asked: AtomicU64,
    /// Threads that have made sure to be [remembered](thread::remember) here, each in the place that its number says: those
    /// that share a handle seldom drive each other out.
    known_to: [AtomicU32; KNOWN],
    /// The [`Holder`] that has the lock by this handle; 0 if none has.
    holder: AtomicU64,
    /// Not 0 if it may have lent out references into what the lock protects.
    lent: AtomicU32,
    /// How many guards the holder has by this handle, if it can have several.
    guards: AtomicU64,
}

// SAFETY: `words` points to memory that `site` keeps mapped, and consists of atomics.
unsafe impl Send for Holding {}
// SAFETY: as above.
unsafe impl Sync for Holding {}

/// A lock that is held: by which word, as whom. Whoever has one gives it back once: small and plain, so that it stays in
/// registers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    word: Word,
    member: Member,
}

/// Which thread has a lock by a handle, and in which process: a forked child has a copy of what its parent wrote there, and
/// its one thread has the number of the thread that forked.
///
/// ```text
/// the process, by its generation:32 | thread:32
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder(u64);

impl Holder {
    #[inline(always)]
    fn new(member: Member, thread: u32) -> Self {
        Holder((member.generation() << 32) | u64::from(thread))
    }

    fn thread(self) -> u32 {
        self.0 as u32
    }
}

impl Taken {
    /// As whom it is held.
    pub(super) fn member(self) -> Member {
        self.member
    }

    #[inline(always)]
    fn held(self) -> Held {
        Held::again(self.word)
    }
}

impl Holding {
    pub(super) fn new(site: Site, settings: &Settings) -> Arc<Self> {
        Holding::over(site, settings.wait, settings.timed)
    }

    fn over(site: Site, wait: Wait, is_timed: bool) -> Arc<Self> {
        // SAFETY: only sites of the locks' kinds come here, whose body begins with these words, all of them atomic.
        let words = NonNull::from(unsafe { site.body::<Words>() });
        Arc::new_cyclic(|this| Holding {
            this: Weak::clone(this),
            words,
            is_trusting: site.segment().is_trusted(),
            is_timed,
            barrier: Barrier::of_this_process(),
            learnt: Learnt::new(wait),
            asked: AtomicU64::new(0),
            known_to: [const { AtomicU32::new(0) }; KNOWN],
            holder: AtomicU64::new(0),
            lent: AtomicU32::new(0),
            generation: site.segment().generation(),
            guards: AtomicU64::new(0),
            site,
        })
    }

    /// Another handle to the same lock, which waits in another way.
    pub(super) fn with_wait(&self, wait: Wait) -> Arc<Self> {
        Holding::over(self.site.clone(), wait, self.is_timed)
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    pub(super) fn barrier(&self) -> Barrier {
        self.barrier
    }

    /// Whether peers are held to be honest, so that views of what the lock protects may be lent out.
    #[inline(always)]
    pub(super) fn is_trusting(&self) -> bool {
        self.is_trusting
    }

    #[inline(always)]
    pub(super) fn words(&self) -> &Words {
        // SAFETY: in the block of `site`, which is mapped as long as this lives; all of them are atomic.
        unsafe { self.words.as_ref() }
    }

    /// The value behind the words; `at` bytes from the block's beginning.
    #[inline(always)]
    pub(super) fn value<T>(&self, at: usize) -> NonNull<T> {
        // SAFETY: the body of a lock's block has the value behind the words, as its attachment checked.
        unsafe { self.words.cast::<u8>().add(at) }.cast()
    }

    /// Where a thread writes down that it is remembered here.
    #[inline(always)]
    fn known_to(&self, thread: u32) -> &AtomicU32 {
        &self.known_to[thread as usize % KNOWN]
    }

    /// Takes the lock if that is simple: if it is free and whole, and this thread has had it by this handle before.
    #[inline(always)]
    pub(super) fn try_lock_simply(&self) -> Option<Taken> {
        let member = self.site.member_if_known()?;
        let thread = thread::number_if_known();
        // Relaxed: a thread that finds itself there wrote it.
        if self.known_to(thread).load(Ordering::Relaxed) != thread || thread == 0 {
            return None;
        }
        let held = self.words().gate.word().try_lock_whole(member.index())?;
        Some(self.enter(held, member, thread))
    }

    /// Takes the lock, waiting until `deadline`; without one it does not wait.
    #[cold]
    pub(super) fn lock(&self, deadline: Option<Deadline>) -> Result<Taken, LockError<Taken>> {
        let member = self.site.member().map_err(LockError::Attach)?;
        let thread = thread::number();
        let gate = &self.words().gate;
        let held = match gate.try_lock(member.index()) {
            Ok(held) => held,
            Err(Refused::Held(seen)) => self.lock_slowly(seen, member, thread, deadline)?,
            Err(Refused::NotRecoverable) => return Err(LockError::NotRecoverable),
            Err(Refused::Corrupt(word)) => return Err(LockError::Corrupt(corrupt(word))),
        };
        let known_to = self.known_to(thread);
        if known_to.load(Ordering::Relaxed) != thread {
            thread::remember(&self.this);
            known_to.store(thread, Ordering::Relaxed);
        }
        let inherited = held.grant() == Grant::OwnerDied;
        let taken = self.enter(held, member, thread);
        if inherited {
            let deaths = &self.words().deaths;
            // Relaxed: a figure for onlookers.
            deaths.store(deaths.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            return Err(LockError::OwnerDied(taken));
        }
        Ok(taken)
    }

    fn lock_slowly<G>(
        &self,
        seen: Word,
        member: Member,
        thread: u32,
        deadline: Option<Deadline>,
    ) -> Result<Held, LockError<G>> {
        if self.is_mine(seen, member, thread) {
            return Err(LockError::WouldDeadlock);
        }
        let gate = &self.words().gate;
        let dead = |index| self.site.is_dead(index);
        let Some(deadline) = deadline else {
            let asked = self.is_worth_asking(seen).then(|| gate.take_from_dead(member.index(), dead));
            return asked.flatten().ok_or(LockError::WouldBlock);
        };
        let never = || None::<Infallible>;
        let wait = |waiter: &mut _| gate.lock(member.index(), waiter, self.barrier, deadline, dead, never);
        self.learnt.use_for(wait).map_err(|failed| match failed {
            LockFailed::TimedOut => LockError::Timeout,
            LockFailed::NotRecoverable => LockError::NotRecoverable,
            LockFailed::Corrupt(word) => LockError::Corrupt(corrupt(word)),
            LockFailed::Interrupted(never) => match never {},
        })
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
    #[inline(always)]
    fn enter(&self, held: Held, member: Member, thread: u32) -> Taken {
        let words = self.words();
        words.owner.sign(held.word(), thread);
        if self.is_timed {
            words.since.note(held.word());
        }
        // Relaxed: only the thread that finds its own number there concludes anything from it.
        self.holder.store(Holder::new(member, thread).0, Ordering::Relaxed);
        self.lent.store(0, Ordering::Relaxed);
        Taken { word: held.word(), member }
    }

    /// References into what the lock protects are about to be lent out. If the guard leaks, they may outlive its thread,
    /// but not the last clone of this handle, by which they were borrowed.
    #[inline(always)]
    pub(super) fn lend(&self) {
        // Relaxed: as in `enter`. Only the holder comes here.
        self.lent.store(1, Ordering::Relaxed);
    }

    /// The thread `thread` of this process has ended. What it holds is left to others, unless somebody may still be
    /// looking at it.
    pub(super) fn bury(&self, thread: u32) {
        let holder = Holder(self.holder.load(Ordering::Relaxed));
        if holder.thread() == thread && self.lent.load(Ordering::Relaxed) == 0 {
            self.leave_if_held_by(holder);
        }
    }

    fn leave_if_held_by(&self, holder: Holder) {
        let Some(member) = self.site.member_if_known() else { return };
        let gate = &self.words().gate;
        let seen = gate.word().read();
        // Not what a parent held when we were forked: what this thread has by now, it has by another handle.
        if Holder::new(member, holder.thread()) == holder && self.is_mine(seen, member, holder.thread()) {
            gate.bury(seen, self.barrier);
        }
    }

    /// Whoever has just taken the lock by this handle has a first guard, and may have more.
    #[inline(always)]
    pub(super) fn enter_first(&self) {
        // Relaxed, both: only the holder comes here, and the lock orders one holder after the other.
        self.words().depth.store(1, Ordering::Relaxed);
        self.guards.store(1, Ordering::Relaxed);
    }

    /// If this thread has the lock, by whatever handle, and what it protects is whole: it has one more guard, by this one.
    /// As whom.
    pub(super) fn enter_again_simply(&self) -> Option<Member> {
        let member = self.site.member_if_known()?;
        let thread = thread::number_if_known();
        let words = self.words();
        let seen = words.gate.word().read();
        if thread == 0 || !self.is_mine(seen, member, thread) || seen.inconsistent() {
            return None;
        }
        let deeper = words.depth.load(Ordering::Relaxed).checked_add(1)?;
        self.enter_again(deeper, member, thread);
        Some(member)
    }

    /// The holder, which is the thread `thread`, has one more guard by this handle, and `depth` by all.
    #[inline]
    pub(super) fn enter_again(&self, depth: u32, member: Member, thread: u32) {
        // Relaxed, all: as in `enter_first`.
        self.words().depth.store(depth, Ordering::Relaxed);
        let holder = Holder::new(member, thread).0;
        // Others, who ended, may have left theirs.
        let is_first = self.holder.load(Ordering::Relaxed) != holder;
        let before = if is_first { 0 } else { self.guards.load(Ordering::Relaxed) };
        self.guards.store(before.wrapping_add(1), Ordering::Relaxed);
        self.holder.store(holder, Ordering::Relaxed);
    }

    /// The holder has one guard less by this handle.
    #[inline]
    pub(super) fn leave_again(&self) {
        let left = self.guards.load(Ordering::Relaxed).saturating_sub(1);
        self.guards.store(left, Ordering::Relaxed);
        if left == 0 {
            self.let_go();
        }
    }

    #[inline(always)]
    fn let_go(&self) {
        self.holder.store(0, Ordering::Relaxed);
    }

    /// Whether this is still the process that was `member`, and not a child of it.
    #[inline(always)]
    pub(super) fn is_still(&self, member: Member) -> bool {
        member.is_of(self.generation)
    }

    /// Whether a lock is held by this process, and not by one it was forked from.
    #[inline(always)]
    pub(super) fn is_ours(&self, taken: Taken) -> bool {
        self.is_still(taken.member)
    }

    /// Gives the lock back, which [is ours](Self::is_ours).
    #[inline(always)]
    pub(super) fn unlock(&self, taken: Taken) {
        self.let_go();
        self.words().gate.unlock(taken.held(), self.barrier);
    }

    /// Leaves the lock, which [is ours](Self::is_ours), as the dead do.
    #[cold]
    pub(super) fn leave_behind(&self, taken: Taken) {
        self.let_go();
        self.words().gate.leave_behind(taken.held(), self.barrier);
    }

    /// Gives what the lock protects, which [is ours](Self::is_ours), up for lost.
    #[cold]
    pub(super) fn abandon(&self, taken: Taken) {
        self.let_go();
        self.words().gate.abandon(taken.held(), self.barrier);
    }

    /// The holder, which [is us](Self::is_ours), has repaired what the lock protects.
    pub(super) fn recovered(&self, taken: Taken) -> Taken {
        let held = self.words().gate.recovered(taken.held());
        self.enter(held, taken.member, thread::number())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let holder = Holder(self.holder.load(Ordering::Relaxed));
        if holder.0 == 0 {
            return;
        }
        // A guard was leaked, and so were all references it lent out; but they were borrowed by this handle.
        let leaked = self.guards.load(Ordering::Relaxed);
        let depth = &self.words().depth;
        match u64::from(depth.load(Ordering::Relaxed)).checked_sub(leaked) {
            // The same thread has guards by other handles too. They keep the lock; as only that thread may count, it is theirs
            // for good if this is another one.
            Some(others @ 1..) => {
                let Some(member) = self.site.member_if_known() else { return };
                let is_us = Holder::new(member, thread::number()) == holder;
                if is_us && self.is_mine(self.words().gate.word().read(), member, holder.thread()) {
                    depth.store(others as u32, Ordering::Relaxed);
                }
            }
            _ => self.leave_if_held_by(holder),
        }
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

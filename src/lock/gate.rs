//! A lock that can be waited for: the word, and an eventcount beside it.

use super::word::{Held, LockWord, Refused, State};
use crate::sync::mutated;
use crate::wait::{ALL, Barrier, Deadline, EventCount, TimedOut, Waiter};

/// A blocking lock in shared memory that survives its holder's death. All-zero bytes are a free one.
///
/// The holder is a process, by its participant index; its threads exclude each other as well. Waiting is fair
/// only in that each unlock wakes the sleeper that came first: who comes along at that moment may be faster.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Gate {
    word: LockWord,
    waiting: EventCount,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Gate>() == 32 && align_of::<Gate>() == 8);

/// Why [`Gate::lock`] came back without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockFailed<E> {
    /// The deadline passed.
    TimedOut,
    /// What the lock protects was given up for lost.
    NotRecoverable,
    /// No honest process leaves such a word.
    Corrupt(u64),
    /// The caller's `interrupt` had a reason.
    Interrupted(E),
}

impl Gate {
    /// A free lock nobody waits for.
    pub(crate) fn new() -> Self {
        Gate { word: LockWord::new(), waiting: EventCount::new() }
    }

    /// Takes the lock if nobody has it; see [`LockWord::try_lock`].
    ///
    /// # Errors
    /// [`Refused`].
    #[inline]
    pub(crate) fn try_lock(&self, me: u16) -> Result<Held, Refused> {
        self.word.try_lock(me)
    }

    /// The same for one of several users of the lock in the process; see [`LockWord::try_lock_as`].
    ///
    /// # Errors
    /// [`Refused`].
    #[inline]
    pub(crate) fn try_lock_as(&self, me: u16, resume: bool) -> Result<Held, Refused> {
        self.word.try_lock_as(me, resume)
    }

    /// Takes the lock for the process `me`, or waits for it.
    ///
    /// `dead` tells whether the process with an index is gone. It is asked about the holder before the first
    /// sleep and at the end of each slice, never about `me`; a dead one's lock is taken over. `interrupt` is
    /// called then too: its result, if any, ends the wait.
    ///
    /// However the endpoint waits for messages, it only spins for a bounded time here: the holder may be a
    /// thread that this very spinning keeps off its processor.
    ///
    /// # Errors
    /// [`LockFailed`].
    pub(crate) fn lock<E>(
        &self,
        me: u16,
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
        dead: impl Fn(u16) -> bool,
        interrupt: impl FnMut() -> Option<E>,
    ) -> Result<Held, LockFailed<E>> {
        self.lock_as(me, || true, waiter, barrier, deadline, dead, interrupt)
    }

    /// The same for one of several users of the lock in the process. Before each try it asks `resume` whether it
    /// is this one that parked the lock; the answer may change only before [`park`](Self::park).
    ///
    /// # Errors
    /// [`LockFailed`].
    #[expect(clippy::too_many_arguments, reason = "who, how, until when, and what to ask meanwhile")]
    pub(crate) fn lock_as<E>(
        &self,
        me: u16,
        resume: impl Fn() -> bool,
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
        dead: impl Fn(u16) -> bool,
        mut interrupt: impl FnMut() -> Option<E>,
    ) -> Result<Held, LockFailed<E>> {
        let attempt = || match self.word.try_lock_as(me, resume()) {
            Ok(held) => Some(Ok(held)),
            Err(Refused::Held(_)) => None,
            Err(Refused::NotRecoverable) => Some(Err(LockFailed::NotRecoverable)),
            Err(Refused::Corrupt(word)) => Some(Err(LockFailed::Corrupt(word))),
        };
        let patrol = || {
            self.take_from_dead(me, &dead)
                .map(Ok)
                .or_else(|| Some(Err(LockFailed::Interrupted(interrupt()?))))
        };
        // No baton: who gets the lock leaves nothing to take.
        let outcome =
            waiter.wait_a_bit_then_sleep(&self.waiting, barrier, deadline, attempt, patrol, || false);
        outcome.unwrap_or_else(|TimedOut| Err(LockFailed::TimedOut))
    }

    /// Takes the lock over if its holder is dead.
    pub(crate) fn take_from_dead(&self, me: u16, dead: impl Fn(u16) -> bool) -> Option<Held> {
        // The word first, the question after it: an answer about an owner that the word named later would be
        // about somebody else.
        let seen = self.word.read();
        let owned = matches!(seen.state(), Some(State::Held | State::Midway));
        let owner = seen.owner();
        if owned && owner != me && dead(owner) && !mutated!("gate.patrol") {
            self.word.take_over(seen, me)
        } else {
            None
        }
    }

    /// Gives the lock back and wakes one who waits for it.
    #[inline]
    pub(crate) fn unlock(&self, held: Held, barrier: Barrier) {
        self.word.unlock(held);
        if !mutated!("gate.unlock_wakes") {
            self.waiting.wake(1, barrier);
        }
    }

    /// Keeps the lock for this process while none of its threads is at work; see [`LockWord::park`]. Wakes all:
    /// those of this process may now take it, and nobody knows which of the sleepers they are.
    pub(crate) fn park(&self, held: Held, barrier: Barrier) {
        self.word.park(held);
        self.waiting.wake(if mutated!("gate.park_wakes_all") { 1 } else { ALL }, barrier);
    }

    /// The holder has repaired what the lock protects.
    pub(crate) fn recovered(&self, held: Held) -> Held {
        self.word.recovered(held)
    }

    /// The holder gives what the lock protects up for lost, and everybody who waits learns it.
    pub(crate) fn abandon(&self, held: Held, barrier: Barrier) {
        self.word.abandon(held);
        self.waiting.wake(if mutated!("gate.abandon_wakes_all") { 1 } else { ALL }, barrier);
    }

    /// Takes the lock away from the dead participant `dead`, if he has it. Whoever gets a participant index does
    /// this for his predecessor before he claims anything under it.
    pub(crate) fn sweep(&self, dead: u16, barrier: Barrier) -> bool {
        let swept = self.word.sweep(dead);
        if swept && !mutated!("gate.sweep_wakes") {
            self.waiting.wake(1, barrier);
        }
        swept
    }

    /// The word, for `stat`.
    pub(crate) fn word(&self) -> &LockWord {
        &self.word
    }

    /// The eventcount, for `stat`.
    pub(crate) fn waiting(&self) -> &EventCount {
        &self.waiting
    }
}

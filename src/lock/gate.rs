//! A lock that can be waited for: the word, and an eventcount beside it.

use super::backoff::Backoff;
use super::word::{Held, LockWord, Refused, State, Word};
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
    #[cfg(any(loom, test))]
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
        let mut backoff = Backoff::new();
        let attempt = || {
            backoff.pause();
            match self.word.try_lock_as(me, resume()) {
                Ok(held) => Some(Ok(held)),
                Err(Refused::Held(_)) => None,
                Err(Refused::NotRecoverable) => Some(Err(LockFailed::NotRecoverable)),
                Err(Refused::Corrupt(word)) => Some(Err(LockFailed::Corrupt(word))),
            }
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
    #[inline(always)]
    pub(crate) fn unlock(&self, held: Held, barrier: Barrier) {
        self.word.unlock(held);
        if mutated!("gate.unlock_wakes") {
            return;
        }
        // The usual case alone is inlined: as in `EventCount::wake`.
        if let Barrier::Light(_) = barrier {
            barrier.before_wake();
            if !self.waiting.is_awaited() {
                return;
            }
        }
        self.wake_one(barrier);
    }

    #[cold]
    #[inline(never)]
    fn wake_one(&self, barrier: Barrier) {
        self.waiting.wake(1, barrier);
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

    /// The holder leaves the lock as the dead do; see [`LockWord::leave_behind`].
    pub(crate) fn leave_behind(&self, held: Held, barrier: Barrier) {
        self.word.leave_behind(held);
        if !mutated!("gate.leaving_wakes") {
            self.waiting.wake(1, barrier);
        }
    }

    /// The same for a holder of this process that is gone; see [`LockWord::bury`].
    pub(crate) fn bury(&self, held: Word, barrier: Barrier) -> bool {
        let buried = self.word.bury(held);
        if buried && !mutated!("gate.burial_wakes") {
            self.waiting.wake(1, barrier);
        }
        buried
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::lock::Grant;
    use crate::wait::Wait;
    use std::cell::Cell;
    use std::time::Duration;

    fn lock(
        gate: &Gate,
        me: u16,
        deadline: Deadline,
        dead: impl Fn(u16) -> bool,
    ) -> Result<Held, LockFailed<()>> {
        let barrier = Barrier::of_this_process();
        gate.lock(me, &mut Waiter::new(Wait::Adaptive), barrier, deadline, dead, || None)
    }

    #[test]
    fn a_held_lock_times_out() {
        let gate = Gate::new();
        let _held = gate.try_lock(1).unwrap();
        let soon = Deadline::after(Duration::from_millis(3));
        assert_eq!(lock(&gate, 2, soon, |_| false).unwrap_err(), LockFailed::TimedOut);
        assert_eq!(lock(&gate, 2, Deadline::NOW, |_| false).unwrap_err(), LockFailed::TimedOut);
    }

    #[test]
    fn a_dead_holder_costs_one_question_and_no_sleep() {
        let gate = Gate::new();
        let _dead = gate.try_lock(1).unwrap();
        let asked = Cell::new(0);
        let dead = |who| {
            asked.set(asked.get() + 1);
            who == 1
        };
        let held = lock(&gate, 2, Deadline::NEVER, dead).unwrap();
        assert_eq!((held.grant(), asked.get(), gate.waiting().counts().1), (Grant::OwnerDied, 1, 0));
    }

    #[test]
    fn nobody_asks_whether_he_is_dead_himself() {
        let gate = Gate::new();
        let _held = gate.try_lock(1).unwrap();
        let soon = Deadline::after(Duration::from_millis(1));
        let refused = lock(&gate, 1, soon, |_| unreachable!("asked about the asker"));
        assert_eq!(refused.unwrap_err(), LockFailed::TimedOut);
    }

    #[test]
    fn an_interrupt_ends_the_wait_for_a_lock() {
        let gate = Gate::new();
        let _held = gate.try_lock(1).unwrap();
        let mut waiter = Waiter::new(Wait::Park);
        let mut calls = 0;
        let interrupt = || {
            calls += 1;
            (calls == 2).then_some("signal")
        };
        let refused = gate.lock(2, &mut waiter, Barrier::Fence, Deadline::NEVER, |_| false, interrupt);
        assert_eq!(refused.unwrap_err(), LockFailed::Interrupted("signal"));
    }

    #[test]
    fn threads_of_several_processes_take_turns() {
        let (gate, inside) = (Gate::new(), Cell::new(0_u32));
        struct Shared<'a>(&'a Cell<u32>);
        // SAFETY: only the holder of the lock touches the cell, which is what is tested.
        unsafe impl Sync for Shared<'_> {}
        let (inside, gate) = (&Shared(&inside), &gate);
        std::thread::scope(|scope| {
            for me in 1..=4 {
                scope.spawn(move || {
                    let inside = inside;
                    let mut waiter = Waiter::unsliced(Wait::Adaptive);
                    for _ in 0..2_000 {
                        let barrier = Barrier::of_this_process();
                        // Two threads for each index.
                        let me = 1 + me / 2;
                        let held = gate
                            .lock(me, &mut waiter, barrier, Deadline::NEVER, |_| false, || None::<()>)
                            .unwrap();
                        inside.0.set(inside.0.get() + 1);
                        gate.unlock(held, barrier);
                    }
                });
            }
        });
        assert_eq!(inside.0.get(), 8_000);
    }
}

//! Permits with owners: those of the dead come back.

use super::word::{Held, LockWord, Refused, Word};
use crate::sync::{AtomicU64, Ordering, mutated};
use crate::wait::{ALL, Barrier, Deadline, EventCount, Waiter};

/// What all permits of a semaphore have in common, beside a [`LockWord`] for each. All-zero bytes are a new one.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Desk {
    /// How many came back from the dead: a figure. Who dies while he gives one back may leave it out.
    recovered: AtomicU64,
    waiting: EventCount,
}

/// A permit that is held. Whoever has one gives it back once: small and plain, so that it stays in registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permit {
    /// Which one.
    pub(crate) number: u32,
    /// Whether its last holder died with it.
    pub(crate) was_recovered: bool,
    /// What its holder left in its word.
    pub(crate) word: Word,
}

/// Why there was no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PermitError {
    /// All are held.
    None,
    /// The deadline passed.
    TimedOut,
    /// No honest process leaves such a word.
    Corrupt(u64),
}

/// Passes over the words before one that keep changing count as all held.
const PATIENCE: u32 = 100;

impl Desk {
    /// A new one.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Desk { recovered: AtomicU64::new(0), waiting: EventCount::new() }
    }

    /// Takes the permit `number` for the process `me` if that is simple: if it is free, and nobody died with it.
    #[inline(always)]
    pub(crate) fn try_take_this(words: &[LockWord], me: u16, number: u32) -> Option<Permit> {
        let held = words.get(number as usize)?.try_lock_whole(me)?;
        Some(Permit { number, was_recovered: false, word: held.word() })
    }

    /// Takes a permit for the process `me`, if there is one; looks from `first` on.
    ///
    /// # Errors
    /// [`PermitError::None`] if there was a moment at which all were held; [`PermitError::Corrupt`].
    pub(crate) fn try_take(&self, words: &[LockWord], me: u16, first: usize) -> Result<Permit, PermitError> {
        let first = first.checked_rem(words.len()).unwrap_or(0);
        let mut before = None;
        for _ in 0..PATIENCE {
            // Each transition of any word counts it up, so equal sums are equal words, all at one moment.
            let mut sum = 0_u64;
            for number in (first..words.len()).chain(0..first) {
                match words[number].try_lock_as(me, false) {
                    Ok(held) => return Ok(self.taken(words, number, held)),
                    Err(Refused::Held(seen)) => sum = sum.wrapping_add(seen.acquisition()),
                    Err(Refused::NotRecoverable) => {
                        return Err(PermitError::Corrupt(words[number].read().to_bits()));
                    }
                    Err(Refused::Corrupt(word)) => return Err(PermitError::Corrupt(word)),
                }
            }
            if before == Some(sum) || mutated!("permits.look_twice") {
                break;
            }
            before = Some(sum);
        }
        Err(PermitError::None)
    }

    fn taken(&self, words: &[LockWord], number: usize, held: Held) -> Permit {
        let was_recovered = held.inconsistent();
        let held = if was_recovered { words[number].recovered(held) } else { held };
        Permit { number: number as u32, was_recovered, word: held.word() }
    }

    /// Takes a permit, waiting until `deadline`; for `dead` see [`Gate::lock`](super::Gate::lock).
    ///
    /// # Errors
    /// [`PermitError::TimedOut`], [`PermitError::Corrupt`].
    #[expect(clippy::too_many_arguments, reason = "who, how, until when, and what to ask meanwhile")]
    pub(crate) fn take(
        &self,
        words: &[LockWord],
        me: u16,
        first: usize,
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
        dead: impl Fn(u16) -> bool,
    ) -> Result<Permit, PermitError> {
        let attempt = || match self.try_take(words, me, first) {
            Err(PermitError::None) => None,
            done => Some(done),
        };
        let patrol = || self.take_from_dead(words, me, &dead).map(Ok);
        let more = || words.iter().any(|word| word.read().is_grantable());
        let outcome = waiter.wait(&self.waiting, barrier, deadline, attempt, patrol, more);
        outcome.unwrap_or(Err(PermitError::TimedOut))
    }

    /// Takes a permit over whose holder is dead.
    pub(crate) fn take_from_dead(
        &self,
        words: &[LockWord],
        me: u16,
        dead: impl Fn(u16) -> bool,
    ) -> Option<Permit> {
        self.among_the_dead(words, me, dead, |(number, seen)| {
            let held = words[number].take_over(seen, me)?;
            self.count_recovered(1);
            Some(self.taken(words, number, held))
        })
    }

    /// Puts the permits of dead holders where whoever comes takes them, for one who takes none. Returns how many.
    pub(crate) fn return_from_dead(
        &self,
        words: &[LockWord],
        me: u16,
        barrier: Barrier,
        dead: impl Fn(u16) -> bool,
    ) -> u64 {
        let mut returned = 0;
        self.among_the_dead(words, me, dead, |(number, seen)| {
            returned += u64::from(words[number].bury(seen));
            None::<()>
        });
        self.count_recovered(returned);
        if returned > 0 && !mutated!("permits.return_wakes") {
            self.waiting.wake(u32::try_from(returned).unwrap_or(ALL), barrier);
        }
        returned
    }

    /// Goes through the permits of dead holders, with their words, until `act` has a result.
    fn among_the_dead<R>(
        &self,
        words: &[LockWord],
        me: u16,
        dead: impl Fn(u16) -> bool,
        mut act: impl FnMut((usize, Word)) -> Option<R>,
    ) -> Option<R> {
        // The same owner may hold many: he is asked after once in a row.
        let mut alive = me;
        for (number, word) in words.iter().enumerate() {
            // The word first, the question after it.
            let seen = word.read();
            let owner = seen.owner();
            if owner == alive || owner == me || !seen.owned_by(owner) {
                continue;
            }
            if !dead(owner) || mutated!("permits.patrol") {
                alive = owner;
            } else if let Some(result) = act((number, seen)) {
                return Some(result);
            }
        }
        None
    }

    /// Gives the permit `number` back, whose holder left `word` in it, and wakes one who waits.
    #[inline(always)]
    pub(crate) fn give(&self, words: &[LockWord], number: u32, word: Word, barrier: Barrier) {
        words[number as usize].unlock(Held::again(word));
        if mutated!("permits.give_wakes") {
            return;
        }
        // The usual case alone is inlined, as in `Gate::unlock`.
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

    /// Takes back what the dead participant `dead` holds.
    pub(crate) fn sweep(&self, words: &[LockWord], dead: u16, barrier: Barrier) {
        let swept = words.iter().filter(|word| word.sweep(dead)).count();
        self.count_recovered(swept as u64);
        if swept > 0 && !mutated!("permits.sweep_wakes") {
            self.waiting.wake(u32::try_from(swept).unwrap_or(u32::MAX), barrier);
        }
    }

    // Relaxed: nothing is concluded from it.
    fn count_recovered(&self, count: u64) {
        if count > 0 {
            self.recovered.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many came back from the dead.
    pub(crate) fn recovered(&self) -> u64 {
        self.recovered.load(Ordering::Relaxed)
    }

    /// The eventcount, for `stat`.
    pub(crate) fn waiting(&self) -> &EventCount {
        &self.waiting
    }
}

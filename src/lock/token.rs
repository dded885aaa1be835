//! A lock that anybody may give back.

use super::backoff::Backoff;
use super::word::{ACQUISITION, INCONSISTENT, OWNER_BITS, STATE_MASK, successor};
use crate::sync::{AtomicU64, Ordering, mutated, order};
use crate::wait::{Barrier, Deadline, EventCount, Waiter};
use core::fmt;

/// A lock in shared memory that whoever likes gives back, and that survives its holder's death. All-zero bytes are a
/// free one.
///
/// ```text
/// count:43 | RECOVERED:1 | state:4 | owner:16      laid out as a lock word; 0 to 2 are the states
///
/// state    owner   may be moved by                    to
/// -------  ------  ---------------------------------  ----------------------------------------------
/// FREE     0       anybody                            HELD, with RECOVERED as it is
/// HELD     holder  anybody                            FREE, without RECOVERED
///                  the holder                         HANDED, with RECOVERED as it is
///                  anybody, once the holder is dead   HELD + RECOVERED, FREE + RECOVERED
/// HANDED   0       anybody                            FREE, without RECOVERED
/// ```
///
/// - The owner is the participant index of the process that took it, only so that it can be taken back if that one dies.
///   It has no other right: to give back takes none.
/// - HANDED is held, but by nobody in particular: its holder has gone in good order and left it to somebody to give back.
///   Nobody's death frees it.
/// - RECOVERED says that the last holder died with it. Whoever takes it next is told; it lasts until it is given back.
/// - Every move is a compare-and-swap of the exact word that was read. Nobody may store: even the word of a living holder
///   is moved by others. Every move counts up, so no word recurs, and one who stalled fails.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Token {
    /// Moved as the table says; read by everybody.
    word: AtomicU64,
    waiting: EventCount,
    /// How often it came back from the dead: a figure. Who dies while he gets one back may leave it out.
    recovered: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Token>() == 40 && align_of::<Token>() == 8);

/// What the word of a token held at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenWord(u64);

/// The states of the table at [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum TokenState {
    Free = 0,
    Held = 1,
    Handed = 2,
}

/// Another meaning of the same bit.
const RECOVERED: u64 = INCONSISTENT;

/// Why a token was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakeError {
    /// It is held, as this word says. If [its owner](TokenWord::owner) is dead, [`Token::take_over`] with this word.
    Held(TokenWord),
    /// The deadline passed.
    TimedOut,
    /// No honest process leaves such a word.
    Corrupt(u64),
}

/// Why a token was not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GiveError {
    /// Nobody has it.
    Free,
    /// No honest process leaves such a word.
    Corrupt(u64),
}

/// An honest compare-and-swap loses only to another that succeeds. This many losses in a row are a peer that scribbles.
const PATIENCE: u32 = 1000;

impl TokenWord {
    /// `None` if no honest process writes such a word.
    #[inline]
    pub(crate) fn state(self) -> Option<TokenState> {
        match ((self.0 >> OWNER_BITS) & STATE_MASK, self.owner() != 0) {
            (0, false) => Some(TokenState::Free),
            (1, true) => Some(TokenState::Held),
            (2, false) => Some(TokenState::Handed),
            _ => None,
        }
    }

    /// The participant index of the holder; 0 is nobody in particular.
    #[inline]
    pub(crate) fn owner(self) -> u16 {
        self.0 as u16
    }

    /// Whether the process `owner` has it.
    #[inline]
    pub(crate) fn is_held_by(self, owner: u16) -> bool {
        self.state() == Some(TokenState::Held) && self.owner() == owner
    }

    /// Whether the last holder before the next, or this one, died with it.
    #[inline]
    pub(crate) fn was_recovered(self) -> bool {
        self.0 & RECOVERED != 0
    }

    /// A copy that somebody took, perhaps from a file.
    #[cfg(not(loom))]
    pub(crate) fn from_bits(bits: u64) -> Self {
        TokenWord(bits)
    }

    /// As a number, to be compared.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    #[inline]
    fn next(self, state: TokenState, owner: u16, recovered: bool) -> Self {
        TokenWord(successor(self.0, recovered, state as u64, owner))
    }

    /// What comes after the death of the holder.
    fn after_death(self, state: TokenState, owner: u16) -> Self {
        self.next(state, owner, !mutated!("token.recovered"))
    }
}

impl fmt::Debug for TokenWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenWord")
            .field("count", &(self.0 / ACQUISITION))
            .field("recovered", &self.was_recovered())
            .field("state", &self.state())
            .field("owner", &self.owner())
            .finish()
    }
}

impl Token {
    /// A free one.
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Self {
        Token { word: AtomicU64::new(0), waiting: EventCount::new(), recovered: AtomicU64::new(0) }
    }

    /// Makes a new one, which nobody else can see yet, held by nobody in particular.
    pub(crate) fn initialise_held(&self) {
        self.word.store(TokenWord(0).next(TokenState::Handed, 0, false).0, Ordering::Relaxed);
    }

    /// Takes it for the process `me` if it is free and nobody died with it, by a single try: what is fast is short.
    #[inline(always)]
    pub(crate) fn try_take_plain(&self, me: u16) -> bool {
        let seen = self.read();
        // Neither a state, nor an owner, nor RECOVERED.
        seen.0 & (ACQUISITION - 1) == 0 && self.exchange(seen, seen.next(TokenState::Held, me, false)).is_ok()
    }

    /// Takes it for the process `me` if it is free. Returns whether its last holder died with it.
    ///
    /// Spinning on this only loads while it is held.
    ///
    /// # Errors
    /// [`TakeError::Held`], with a word that was read before whatever the caller asks next; [`TakeError::Corrupt`].
    #[inline]
    pub(crate) fn try_take(&self, me: u16) -> Result<bool, TakeError> {
        debug_assert_ne!(me, 0, "nobody cannot hold it");
        let mut seen = self.read();
        for _ in 0..PATIENCE {
            match seen.state() {
                Some(TokenState::Free) => {}
                Some(TokenState::Held | TokenState::Handed) => return Err(TakeError::Held(seen)),
                None => return Err(TakeError::Corrupt(seen.0)),
            }
            let recovered = seen.was_recovered();
            match self.exchange(seen, seen.next(TokenState::Held, me, recovered)) {
                Ok(()) => return Ok(recovered),
                Err(now) => seen = now,
            }
        }
        Err(TakeError::Held(seen))
    }

    /// Takes it, waiting until `deadline`; for `dead` see [`Gate::lock`](super::Gate::lock). Returns whether its last
    /// holder died with it.
    ///
    /// Whatever the handle is told to do, it only spins for a bounded time: who gives it back may be a thread that this
    /// very spinning keeps off its processor.
    ///
    /// # Errors
    /// [`TakeError::TimedOut`], [`TakeError::Corrupt`].
    pub(crate) fn take(
        &self,
        me: u16,
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
        dead: impl Fn(u16) -> bool,
    ) -> Result<bool, TakeError> {
        let mut backoff = Backoff::new();
        let attempt = || {
            backoff.pause();
            match self.try_take(me) {
                Err(TakeError::Held(_)) => None,
                done => Some(done),
            }
        };
        let patrol = || self.take_from_dead(me, &dead).then_some(Ok(true));
        // No baton: who takes it leaves nothing to take.
        let outcome =
            waiter.wait_a_bit_then_sleep(&self.waiting, barrier, deadline, attempt, patrol, || false);
        outcome.unwrap_or(Err(TakeError::TimedOut))
    }

    /// Takes it for the process `me` if its holder is dead.
    pub(crate) fn take_from_dead(&self, me: u16, dead: impl Fn(u16) -> bool) -> bool {
        // The word first, the question after it: an answer about an owner that the word named later would be about
        // somebody else.
        let seen = self.read();
        let owner = seen.owner();
        owner != me
            && seen.is_held_by(owner)
            && dead(owner)
            && !mutated!("token.patrol")
            && self.take_over(seen, me)
    }

    /// Takes it for the process `me` from a dead one. `seen` is the word that named that one, read before the caller found
    /// out that it is dead. Returns `false` if the word has moved: then somebody else was faster.
    pub(crate) fn take_over(&self, seen: TokenWord, me: u16) -> bool {
        let seen = if mutated!("token.take_over_exactly") { self.read() } else { seen };
        let taken = self.exchange(seen, seen.after_death(TokenState::Held, me)).is_ok();
        self.count_recovered(taken);
        taken
    }

    /// Gives it back, whoever has it, and wakes one who waits.
    ///
    /// # Errors
    /// [`GiveError`]; nothing has changed then.
    #[inline(always)]
    pub(crate) fn give(&self, barrier: Barrier) -> Result<(), GiveError> {
        let seen = self.read();
        // The usual case alone is inlined, as in `Gate::unlock`, and here once more.
        let is_held = seen.state() == Some(TokenState::Held);
        if !is_held || self.exchange(seen, seen.next(TokenState::Free, 0, self.kept(seen))).is_err() {
            self.give_otherwise()?;
        }
        if mutated!("token.give_wakes") {
            return Ok(());
        }
        if let Barrier::Light(_) = barrier {
            barrier.before_wake();
            if !self.waiting.is_awaited() {
                return Ok(());
            }
        }
        self.wake_one(barrier);
        Ok(())
    }

    /// Gives it back if it is handed over, or if others move it meanwhile. Wakes nobody.
    #[cold]
    #[inline(never)]
    fn give_otherwise(&self) -> Result<(), GiveError> {
        if mutated!("token.give_again") {
            return Err(GiveError::Free);
        }
        let mut seen = self.read();
        for _ in 0..PATIENCE {
            match seen.state() {
                Some(TokenState::Held | TokenState::Handed) => {}
                Some(TokenState::Free) => return Err(GiveError::Free),
                None => break,
            }
            // Who holds it by now is not asked: each that gives takes one hold away, or is told that there is none.
            match self.exchange(seen, seen.next(TokenState::Free, 0, self.kept(seen))) {
                Ok(()) => return Ok(()),
                Err(now) => seen = now,
            }
        }
        Err(GiveError::Corrupt(seen.0))
    }

    /// What is left of RECOVERED when it is given back: nothing.
    #[inline(always)]
    fn kept(&self, seen: TokenWord) -> bool {
        mutated!("token.give_clears") && seen.was_recovered()
    }

    #[cold]
    #[inline(never)]
    fn wake_one(&self, barrier: Barrier) {
        self.waiting.wake(1, barrier);
    }

    /// The process `me` is about to end in good order, and leaves what it holds to somebody to give back. Returns whether
    /// it held it. Nobody is woken: it is held as before.
    pub(crate) fn hand_over(&self, me: u16) -> bool {
        if mutated!("token.hand_over") {
            return true;
        }
        let mut seen = self.read();
        for _ in 0..PATIENCE {
            if !seen.is_held_by(me) {
                return false;
            }
            match self.exchange(seen, seen.next(TokenState::Handed, 0, seen.was_recovered())) {
                Ok(()) => return true,
                // Perhaps it was given back and taken again, by other threads.
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Takes it away from the dead participant `dead`, if he has it, and leaves it to whoever comes.
    pub(crate) fn sweep(&self, dead: u16, barrier: Barrier) {
        let seen = self.read();
        if !seen.is_held_by(dead) {
            return;
        }
        // In vain only if somebody else has ended that hold: then there is nothing left of the dead one.
        let swept = self.exchange(seen, seen.after_death(TokenState::Free, 0)).is_ok();
        self.count_recovered(swept);
        if swept && !mutated!("token.sweep_wakes") {
            self.waiting.wake(1, barrier);
        }
    }

    /// The word as it is now.
    #[inline]
    pub(crate) fn read(&self) -> TokenWord {
        // Acquire: pairs with the Release in `exchange`, so that who takes it sees all that was written before it was given
        // back, and who finds an owner sees what that one did before he became it (above all: be alive under this index).
        TokenWord(self.word.load(order!(Acquire, "token.read")))
    }

    #[inline(always)]
    fn exchange(&self, seen: TokenWord, next: TokenWord) -> Result<(), TokenWord> {
        if mutated!("token.exactly") {
            crate::sync::store_beside_cas(&self.word, next.0, Ordering::Release);
            return Ok(());
        }
        // Release: pairs with the Acquire in `read`. No Acquire on success: it would pair with the exchange that wrote
        // `seen`, which `read`, or the failure here, has done already, and no word recurs.
        self.word
            .compare_exchange(seen.0, next.0, order!(Release, "token.exchange"), Ordering::Acquire)
            .map(drop)
            .map_err(TokenWord)
    }

    // Relaxed: nothing is concluded from it.
    fn count_recovered(&self, yes: bool) {
        if yes {
            self.recovered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often it came back from the dead.
    pub(crate) fn recovered(&self) -> u64 {
        self.recovered.load(Ordering::Relaxed)
    }

    /// The eventcount, for `stat`.
    pub(crate) fn waiting(&self) -> &EventCount {
        &self.waiting
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

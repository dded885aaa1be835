//! The lock word: who holds the lock, and what became of him.
//!
//! Pure: it neither waits nor asks who is alive. The caller who finds a lock held asks that elsewhere, **after**
//! having read the word, and comes back with exactly that word.

use crate::sync::{AtomicU64, Ordering, mutated, order, store_beside_cas};
use core::fmt;

/// A lock in shared memory. All-zero bytes are a free one.
///
/// ```text
/// acquisition:43 | INCONSISTENT:1 | state:4 | owner:16
///
/// state             owner   may be moved by                    to
/// ----------------  ------  ---------------------------------  ----------------------------
/// FREE              0       anybody             (CAS)          HELD
/// HELD              holder  the holder          (store)        FREE, MIDWAY, NOT_RECOVERABLE
///                           anybody, once the holder is dead   HELD + INCONSISTENT, DIED (CAS)
/// MIDWAY            keeper  the keeper          (CAS)          HELD
///                           anybody, once the keeper is dead   HELD + INCONSISTENT, DIED (CAS)
/// DIED              0       anybody             (CAS)          HELD + INCONSISTENT
/// NOT_RECOVERABLE   0       nobody                             for ever
/// ```
///
/// - `owner` is the participant index of a process. Its threads exclude each other too: HELD refuses everybody.
/// - MIDWAY is held by a process but by none of its threads: it keeps its place in something it has not
///   finished, and any of its threads may go on.
/// - INCONSISTENT says that an owner died inside, and stays until a holder has repaired what the lock protects.
/// - Every transition increments `acquisition`, so no word recurs (within 2⁴³ transitions: days at full speed),
///   and the compare-and-swap of one who stalled between looking and acting fails.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct LockWord {
    /// Moved as the table says; read by everybody.
    word: AtomicU64,
}

/// What a lock word held at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

/// The states of the table at [`LockWord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free = 0,
    Held = 1,
    Died = 2,
    NotRecoverable = 3,
    Midway = 4,
}

// The layout, which other words with an owner have as well.
pub(super) const OWNER_BITS: u32 = 16;
pub(super) const STATE_BITS: u32 = 4;
pub(super) const STATE_MASK: u64 = (1 << STATE_BITS) - 1;
pub(super) const INCONSISTENT: u64 = 1 << (OWNER_BITS + STATE_BITS);
pub(super) const ACQUISITION: u64 = INCONSISTENT << 1;

/// The word of that layout which comes after `word`: counted up, with these in its lower bits.
#[inline]
pub(super) fn successor(word: u64, flag: bool, state: u64, owner: u16) -> u64 {
    let step = if mutated!("lock.count") { 0 } else { ACQUISITION };
    let acquisition = (word & !(ACQUISITION - 1)).wrapping_add(step);
    let flag = if flag { INCONSISTENT } else { 0 };
    acquisition | flag | (state << OWNER_BITS) | u64::from(owner)
}

impl Word {
    /// `None` if no honest process writes such a word.
    #[inline]
    pub(crate) fn state(self) -> Option<State> {
        let owned = self.owner() != 0;
        match ((self.0 >> OWNER_BITS) & STATE_MASK, owned) {
            (0, false) => Some(State::Free),
            (1, true) => Some(State::Held),
            (2, false) => Some(State::Died),
            (3, false) => Some(State::NotRecoverable),
            (4, true) => Some(State::Midway),
            _ => None,
        }
    }

    /// Whether whoever comes gets the lock.
    pub(crate) fn is_grantable(self) -> bool {
        matches!(self.state(), Some(State::Free | State::Died))
    }

    /// The participant index of the holder or keeper; 0 is nobody.
    #[inline]
    pub(crate) fn owner(self) -> u16 {
        self.0 as u16
    }

    /// Whether an owner died inside and nobody has repaired since.
    #[inline]
    pub(crate) fn inconsistent(self) -> bool {
        self.0 & INCONSISTENT != 0
    }

    #[inline]
    fn next(self, state: State, owner: u16, inconsistent: bool) -> Word {
        Word(successor(self.0, inconsistent, state as u64, owner))
    }

    /// As a number, to be compared.
    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    /// The inverse, for those who look from outside.
    #[cfg(not(loom))]
    pub(crate) fn from_bits(bits: u64) -> Word {
        Word(bits)
    }

    /// How many transitions there were up to this word, modulo 2⁴³.
    #[inline]
    pub(crate) fn acquisition(self) -> u64 {
        self.0 / ACQUISITION
    }

    #[inline]
    pub(crate) fn owned_by(self, owner: u16) -> bool {
        self.owner() == owner && matches!(self.state(), Some(State::Held | State::Midway))
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word")
            .field("acquisition", &(self.0 / ACQUISITION))
            .field("inconsistent", &self.inconsistent())
            .field("state", &self.state())
            .field("owner", &self.owner())
            .finish()
    }
}

/// A held lock: the word its holder left there. Whoever drops it without unlocking keeps the lock.
#[derive(Debug)]
#[must_use = "the lock stays held until it is given back"]
pub(crate) struct Held {
    word: Word,
    grant: Grant,
}

/// In what state the lock came to its new holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Its last holder gave it back.
    Clean,
    /// This process had parked it midway.
    Resumed,
    /// Somebody died with it: repair what it protects, then [`LockWord::recovered`].
    OwnerDied,
}

impl Held {
    /// Whatever way it came, an inconsistent lock is to be repaired first.
    fn new(word: Word, grant: Grant) -> Held {
        Held { word, grant: if word.inconsistent() { Grant::OwnerDied } else { grant } }
    }

    /// The lock that this very thread has taken before and still holds, as `word` says, and of which nothing else is held.
    pub(crate) fn again(word: Word) -> Held {
        Held::new(word, Grant::Clean)
    }

    /// How the lock was found.
    pub(crate) fn grant(&self) -> Grant {
        self.grant
    }

    /// The participant index of the holder.
    #[cfg(any(loom, test))]
    pub(crate) fn owner(&self) -> u16 {
        self.word.owner()
    }

    /// Whether what the lock protects still waits for repair.
    pub(crate) fn inconsistent(&self) -> bool {
        self.word.inconsistent()
    }

    /// The word its holder left in the lock.
    #[inline]
    pub(crate) fn word(&self) -> Word {
        self.word
    }
}

/// Why a lock was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Somebody holds or keeps it: [`Word::owner`]. If that one is dead, [`LockWord::take_over`] with this word.
    Held(Word),
    /// Its protected data was given up for lost.
    NotRecoverable,
    /// No honest process leaves such a word.
    Corrupt(u64),
}

/// An honest compare-and-swap loses only to another that succeeds, and then mostly finds the lock held.
const PATIENCE: u32 = 100;

impl LockWord {
    /// A free lock.
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Self {
        LockWord { word: AtomicU64::new(0) }
    }

    /// Takes the lock for the process `me` if nobody has it.
    ///
    /// Spinning on this only loads while the lock is held.
    ///
    /// # Errors
    /// [`Refused`]; the word it carries was read before whatever the caller asks next.
    #[inline]
    pub(crate) fn try_lock(&self, me: u16) -> Result<Held, Refused> {
        self.try_lock_as(me, true)
    }

    /// The same for one of several users of the lock in the process `me`: only if `resume` it takes a lock that
    /// this process has parked, and else counts it as held.
    ///
    /// # Errors
    /// [`Refused`].
    #[inline]
    pub(crate) fn try_lock_as(&self, me: u16, resume: bool) -> Result<Held, Refused> {
        debug_assert_ne!(me, 0, "nobody cannot hold a lock");
        let mut seen = self.read();
        for _ in 0..PATIENCE {
            let (next, grant) = match seen.state() {
                Some(State::Free) => (seen.next(State::Held, me, seen.inconsistent()), Grant::Clean),
                Some(State::Died) => (seen.next(State::Held, me, true), Grant::Clean),
                Some(State::Midway) if seen.owner() == me && resume => {
                    (seen.next(State::Held, me, seen.inconsistent()), Grant::Resumed)
                }
                Some(State::Held | State::Midway) => return Err(Refused::Held(seen)),
                Some(State::NotRecoverable) => return Err(Refused::NotRecoverable),
                None => return Err(Refused::Corrupt(seen.0)),
            };
            match self.exchange(seen, next) {
                Ok(()) => return Ok(Held::new(next, grant)),
                Err(now) => seen = now,
            }
        }
        Err(Refused::Held(seen))
    }

    /// Takes the lock if it is free and whole, by a single try: what is fast is short.
    #[inline(always)]
    pub(crate) fn try_lock_whole(&self, me: u16) -> Option<Held> {
        let seen = self.read();
        // Neither a state, nor an owner, nor INCONSISTENT.
        if seen.0 & (ACQUISITION - 1) != 0 {
            return None;
        }
        let next = seen.next(State::Held, me, false);
        self.exchange(seen, next).ok().map(|()| Held { word: next, grant: Grant::Clean })
    }

    /// Takes the lock from a dead process. `seen` is the word that named it, read before the caller found out
    /// that it is dead. `None` if the word has moved: then somebody else was faster.
    pub(crate) fn take_over(&self, seen: Word, me: u16) -> Option<Held> {
        if !matches!(seen.state(), Some(State::Held | State::Midway)) {
            return None;
        }
        let seen = if mutated!("lock.take_over_exactly") { self.read() } else { seen };
        let next = seen.next(State::Held, me, !mutated!("lock.inconsistent"));
        self.exchange(seen, next).ok().map(|()| Held::new(next, Grant::Clean))
    }

    /// Takes the lock away from `dead`, if he has it, and leaves it to whoever comes. Returns whether he had.
    pub(crate) fn sweep(&self, dead: u16) -> bool {
        let seen = self.read();
        if !seen.owned_by(dead) {
            return false;
        }
        let next = seen.next(State::Died, 0, seen.inconsistent());
        self.exchange(seen, next).is_ok()
    }

    /// Gives the lock back. INCONSISTENT, if nobody has repaired, stays for the next holder.
    #[inline]
    pub(crate) fn unlock(&self, held: Held) {
        self.leave(held.word.next(State::Free, 0, held.word.inconsistent()));
    }

    /// Keeps the lock for this process while none of its threads is at work.
    pub(crate) fn park(&self, held: Held) {
        let state = if mutated!("lock.park") { State::Free } else { State::Midway };
        let owner = if mutated!("lock.park") { 0 } else { held.word.owner() };
        self.leave(held.word.next(state, owner, held.word.inconsistent()));
    }

    /// The holder has repaired what the lock protects.
    pub(crate) fn recovered(&self, held: Held) -> Held {
        let word = held.word.next(State::Held, held.word.owner(), false);
        self.leave(word);
        Held::new(word, Grant::Clean)
    }

    /// The holder leaves the lock as the dead do: whoever comes next is told to repair.
    pub(crate) fn leave_behind(&self, held: Held) {
        self.leave(held.word.next(State::Died, 0, held.word.inconsistent()));
    }

    /// Leaves the lock like that for a holder of this process that is gone, by the exact word it held the lock with.
    /// Returns whether it was still held so.
    pub(crate) fn bury(&self, held: Word) -> bool {
        let seen = if mutated!("lock.bury_exactly") { self.read() } else { held };
        if !matches!(seen.state(), Some(State::Held)) {
            return false;
        }
        self.exchange(seen, seen.next(State::Died, 0, seen.inconsistent())).is_ok()
    }

    /// The holder gives what the lock protects up for lost: nobody gets it again.
    pub(crate) fn abandon(&self, held: Held) {
        self.leave(held.word.next(State::NotRecoverable, 0, held.word.inconsistent()));
    }

    /// The word as it is now, for `stat` and for those who ask whether its owner lives.
    #[inline]
    pub(crate) fn read(&self) -> Word {
        // Acquire: pairs with `leave`, so that who takes the lock sees all that its last holder wrote; with the
        // Release in `exchange` of a sweep, which knows of a death and passes on what the dead one wrote; and
        // with that of a claim: what its owner did before (above all: be alive under this index) is visible to
        // what the reader asks next.
        Word(self.word.load(order!(Acquire, "lock.read")))
    }

    #[inline]
    fn exchange(&self, seen: Word, next: Word) -> Result<(), Word> {
        // Release: pairs with the Acquire in `read`. No Acquire on success: it would pair with the store of
        // `seen`, which `read`, or the failure here, has done already, and no word recurs.
        self.word
            .compare_exchange(seen.0, next.0, order!(Release, "lock.exchange"), Ordering::Acquire)
            .map(drop)
            .map_err(Word)
    }

    /// The holder's own transitions. No compare-and-swap: nobody else moves the word of a living holder.
    #[inline]
    fn leave(&self, next: Word) {
        // Release: pairs with the Acquire in `read` by the next holder, who sees all that this one wrote.
        store_beside_cas(&self.word, next.0, order!(Release, "lock.leave"));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const ME: u16 = 3;
    const OTHER: u16 = 65_535;

    fn word_of(lock: &LockWord) -> (Option<State>, u16, bool) {
        let word = lock.read();
        (word.state(), word.owner(), word.inconsistent())
    }

    #[test]
    fn a_lock_is_granted_once() {
        let lock = LockWord::new();
        let held = lock.try_lock(ME).unwrap();
        assert_eq!(held.grant(), Grant::Clean);
        let Err(Refused::Held(seen)) = lock.try_lock(OTHER) else { panic!("granted twice") };
        assert_eq!(seen.owner(), ME);
        assert!(lock.try_lock(ME).is_err(), "threads of one process exclude each other too");
        lock.unlock(held);
        assert_eq!(lock.try_lock(OTHER).unwrap().grant(), Grant::Clean);
    }

    #[test]
    fn no_word_recurs() {
        let lock = LockWord::new();
        let mut seen = std::collections::HashSet::from([lock.read().0]);
        for _ in 0..100 {
            let held = lock.try_lock(ME).unwrap();
            assert!(seen.insert(lock.read().0));
            lock.park(held);
            assert!(seen.insert(lock.read().0));
            let held = lock.try_lock(ME).unwrap();
            assert!(seen.insert(lock.read().0));
            lock.unlock(held);
            assert!(seen.insert(lock.read().0));
        }
    }

    #[test]
    fn the_dead_are_taken_over_once_and_by_their_exact_word() {
        let lock = LockWord::new();
        let _dead = lock.try_lock(OTHER).unwrap();
        let seen = lock.read();
        let held = lock.take_over(seen, ME).unwrap();
        assert_eq!((held.grant(), held.owner()), (Grant::OwnerDied, ME));
        assert!(lock.take_over(seen, ME).is_none(), "the word has moved");
        assert!(lock.take_over(Word(0), ME).is_none(), "a free lock has no dead owner");
    }

    #[test]
    fn inconsistency_outlives_a_second_death_and_ends_with_repair() {
        let lock = LockWord::new();
        let _dead = lock.try_lock(OTHER).unwrap();
        assert!(lock.sweep(OTHER));
        assert!(!lock.sweep(OTHER), "already swept");
        let _dead_too = lock.try_lock(ME).unwrap();
        assert!(lock.sweep(ME));
        let held = lock.try_lock(5).unwrap();
        assert_eq!((held.grant(), word_of(&lock)), (Grant::OwnerDied, (Some(State::Held), 5, true)));
        lock.unlock(held);
        let held = lock.try_lock(6).unwrap();
        assert_eq!(held.grant(), Grant::OwnerDied, "unlocked, but never repaired");
        let held = lock.recovered(held);
        assert!(!held.inconsistent());
        lock.unlock(held);
        assert_eq!(lock.try_lock(7).unwrap().grant(), Grant::Clean);
    }

    #[test]
    fn a_parked_lock_waits_for_its_own_process() {
        let lock = LockWord::new();
        lock.park(lock.try_lock(ME).unwrap());
        assert!(matches!(lock.try_lock(OTHER), Err(Refused::Held(seen)) if seen.owner() == ME));
        assert!(matches!(lock.try_lock_as(ME, false), Err(Refused::Held(seen)) if seen.owner() == ME));
        let held = lock.try_lock_as(ME, true).unwrap();
        assert_eq!(held.grant(), Grant::Resumed);
        lock.park(held);
        assert!(lock.sweep(ME), "a dead keeper is swept like a dead holder");
        assert_eq!(lock.try_lock(OTHER).unwrap().grant(), Grant::OwnerDied);
    }

    #[test]
    fn given_up_is_for_ever() {
        let lock = LockWord::new();
        lock.abandon(lock.try_lock(ME).unwrap());
        assert_eq!(lock.try_lock(ME).unwrap_err(), Refused::NotRecoverable);
        assert!(!lock.sweep(ME) && !lock.sweep(0));
    }

    #[test]
    fn the_count_wraps_into_nothing_else() {
        let lock = LockWord { word: AtomicU64::new(!(ACQUISITION - 1)) };
        let held = lock.try_lock(ME).unwrap();
        assert_eq!(word_of(&lock), (Some(State::Held), ME, false));
        lock.unlock(held);
        assert_eq!(lock.read().0, ACQUISITION);
    }

    /// Every combination of the low bits ends in an answer, and only consistent ones in a grant.
    #[test]
    fn scribbled_words_are_refused() {
        for low in 0..1_u64 << (STATE_BITS + 1) {
            for owner in [0, 1, u64::from(ME), 0xffff] {
                let raw = (7 * ACQUISITION) | (low << OWNER_BITS) | owner;
                let lock = LockWord { word: AtomicU64::new(raw) };
                let legal = Word(raw).state().is_some();
                match lock.try_lock(ME) {
                    Err(Refused::Corrupt(word)) => assert!(!legal && word == raw),
                    _ => assert!(legal, "{:?}", Word(raw)),
                }
                let lock = LockWord { word: AtomicU64::new(raw) };
                assert!(legal || !lock.sweep(owner as u16));
                assert!(legal || lock.take_over(Word(raw), ME).is_none());
            }
        }
    }
}

//! Where a sender looks for a free chunk.
//!
//! A free list in shared memory would cost two more locked instructions a message and a line that all fight over, and a
//! death between its steps would tear it. So there is none: each handle remembers privately which chunks it used lately,
//! in the order of use, and tries the one it used longest ago, which is most likely free again. The chunk's own word, in
//! a line that the sender needs anyway, decides. Different senders come to use different chunks.
//!
//! ```text
//!            at          active      known
//!   used  used  used ... used | spare |            oldest at `at`, then onwards, around, to the newest before it
//! ```
//!
//! The window grows when the oldest is still in use, and shrinks by half when the one used half a window ago is free: so
//! it follows the number of messages in flight, and what is sent and received one by one lies in one or two chunks that
//! stay in the cache. When nothing that is known is free, all chunks of the class are looked at, from where the last
//! such search ended. If none of those is free either, the class [grows](super::grow).

use super::chunk::Loan;
use super::layout::{Class, MAX_CLASSES};
use super::tag::Chunk;
use super::{Pool, ReserveError};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// How often a class grows for one message: honest peers leave some of it.
const ROUNDS: u32 = 8;

/// How many chunks of a class are remembered.
const KNOWN: usize = 32;

/// What one handle remembers. Several threads may use it: what they make of each other's traces is a worse guess,
/// never a wrong chunk.
pub(crate) struct Finder {
    lanes: [Lane; MAX_CLASSES],
}

/// The same for one class.
pub(super) struct Lane {
    /// `next:32 | known:8 | active:8 | at:8`; all accesses are Relaxed, it is only a guess.
    state: AtomicU64,
    used: [AtomicU32; KNOWN],
    /// How many chunks this handle itself has seen to that there is space for; see `grow`.
    pub(super) seen_to: AtomicU32,
}

#[derive(Clone, Copy)]
struct Guess {
    /// Where the next search through all chunks begins.
    next: u32,
    known: usize,
    active: usize,
    at: usize,
}

impl Finder {
    /// Remembers nothing.
    pub(crate) fn new() -> Self {
        Finder { lanes: core::array::from_fn(|_| Lane::new()) }
    }
}

impl Finder {
    pub(super) fn lane(&self, class: u8) -> Option<&Lane> {
        self.lanes.get(usize::from(class))
    }

    /// That extent is the newest.
    fn remember(&self, extent: Chunk) {
        let Some(lane) = self.lane(extent.class()) else { return };
        let mut guess = lane.guess();
        let known = |at: usize| lane.used(at) == extent.index();
        if guess.active > KNOWN || (0..guess.active).any(known) {
            return;
        }
        if guess.active < KNOWN {
            lane.set(guess.active, extent.index());
            lane.move_down(guess.active, guess.at.min(guess.active));
            guess.active += 1;
            guess.known = guess.active;
        } else {
            lane.set(guess.at, extent.index());
        }
        guess.at = (guess.at + 1) % guess.active;
        lane.remember(guess);
    }
}

impl core::fmt::Debug for Finder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Finder")
    }
}

impl Lane {
    fn new() -> Self {
        Lane {
            state: AtomicU64::new(0),
            used: core::array::from_fn(|_| AtomicU32::new(0)),
            seen_to: AtomicU32::new(0),
        }
    }

    #[inline(always)]
    fn guess(&self) -> Guess {
        let state = self.state.load(Ordering::Relaxed);
        let byte = |at: u32| (state >> at) as u8 as usize;
        Guess { next: (state >> 32) as u32, known: byte(16), active: byte(8), at: byte(0) }
    }

    #[inline(always)]
    fn remember(&self, guess: Guess) {
        let Guess { next, known, active, at } = guess;
        let state = u64::from(next) << 32 | (known as u64) << 16 | (active as u64) << 8 | at as u64;
        self.state.store(state, Ordering::Relaxed);
    }

    #[inline(always)]
    fn used(&self, at: usize) -> u32 {
        self.used[at % KNOWN].load(Ordering::Relaxed)
    }

    fn set(&self, at: usize, index: u32) {
        self.used[at % KNOWN].store(index, Ordering::Relaxed);
    }

    /// Moves what is at `from` to `to`, which lies before it, and all between up by one.
    fn move_down(&self, from: usize, to: usize) {
        let moved = self.used(from);
        for at in (to..from).rev() {
            self.set(at + 1, self.used(at));
        }
        self.set(to, moved);
    }

    /// Moves what is at `from` to `to`, which lies behind it, and all between down by one.
    fn move_up(&self, from: usize, to: usize) {
        let moved = self.used(from);
        for at in from..to {
            self.set(at, self.used(at + 1));
        }
        self.set(to, moved);
    }
}

impl Pool {
    /// Takes a chunk for a message of up to `len` bytes: FREE → LOANED. The smallest that will do, of the next larger
    /// class if there is none, an extent if there is none at all.
    ///
    /// # Errors
    /// See [`ReserveError`]; nothing was taken.
    #[inline(always)]
    pub(crate) fn reserve(
        &self,
        me: u16,
        len: u64,
        finder: &Finder,
        backing: &impl super::Backing,
    ) -> Result<Loan, ReserveError> {
        let class = self.layout().class_for(len);
        if class < self.layout().chunk_classes()
            && let Some(loan) = self.find(me, class, finder, backing)
        {
            return Ok(loan);
        }
        // A reason apart from the result, so that the loan stays in registers.
        let mut reason = ReserveError::Full;
        self.reserve_elsewhere(me, len, finder, backing, &mut reason).ok_or(reason)
    }

    /// Whether [`reserve`](Self::reserve) would find something, or fail for another reason than being
    /// [full](ReserveError::Full). Loads only.
    pub(crate) fn has_room(&self, len: u64) -> bool {
        let (class, chunks) = (self.layout().class_for(len), self.layout().chunk_classes());
        let is_free = |number: u8| {
            let count = self.layout().class(number).map_or(0, |class: &Class| class.count);
            let mut all = (0..count).filter_map(|index| self.layout().chunk(number, index));
            all.any(|chunk| self.word(chunk).is_free())
        };
        len > self.layout().max_len()
            || (class..chunks).any(is_free)
            || class > 0 && is_free(chunks) && self.bounds_allow(len)
    }

    /// The rest of [`reserve`](Self::reserve), once the smallest class has nothing.
    #[cold]
    fn reserve_elsewhere(
        &self,
        me: u16,
        len: u64,
        finder: &Finder,
        backing: &impl super::Backing,
        reason: &mut ReserveError,
    ) -> Option<Loan> {
        let class = self.layout().class_for(len);
        let mut no_growth = ReserveError::Full;
        for at_least in class..self.layout().chunk_classes() {
            match self.find_or_grow(me, at_least, finder, backing) {
                Ok(loan) => return Some(loan),
                Err(ReserveError::Full) => {}
                Err(why) => no_growth = why,
            }
        }
        let max = self.layout().max_len();
        if class == self.layout().chunk_classes()
            && backing.believes()
            && let Some(loan) = self.recall_extent(me, len, finder, backing)
        {
            return Some(loan);
        }
        let found = if len > max {
            Err(ReserveError::TooLarge { len, max })
        } else if class == 0 {
            // A message of the usual size waits for its like: enough of them were asked for.
            Err(ReserveError::Full)
        } else {
            self.reserve_extent(me, len, backing).inspect(|loan| finder.remember(loan.chunk()))
        };
        let why = |error| if error == ReserveError::Full { no_growth } else { error };
        found.map_err(|error| *reason = why(error)).ok()
    }

    /// Takes a chunk of that class, which grows if all that it has are in use.
    fn find_or_grow(
        &self,
        me: u16,
        class: u8,
        finder: &Finder,
        backing: &impl super::Backing,
    ) -> Result<Loan, ReserveError> {
        for _ in 0..ROUNDS {
            if let Some(loan) = self.find(me, class, finder, backing) {
                return Ok(loan);
            }
            // Others may take all of that.
            if !self.grow_class(class, finder, backing)? {
                break;
            }
        }
        Err(ReserveError::Full)
    }

    /// The extent that was used longest ago, if it suits.
    fn recall_extent(
        &self,
        me: u16,
        len: u64,
        finder: &Finder,
        backing: &impl super::Backing,
    ) -> Option<Loan> {
        let class = self.layout().chunk_classes();
        let lane = finder.lane(class)?;
        let guess = lane.guess();
        let extent = self.layout().chunk(class, lane.used(guess.at)).filter(|_| guess.at < guess.active)?;
        if !self.suits(extent, len) {
            return None;
        }
        let loan = self.loan(extent, me)?;
        // The look was a guess. Now that it is ours, it is certain.
        if !self.suits(extent, len) {
            self.give_up(loan);
            backing.took_back();
            return None;
        }
        self.slim(extent, Pool::pages_for(len), backing);
        self.step(class, lane, guess);
        Some(loan)
    }

    /// Takes a chunk of that class.
    #[inline(always)]
    fn find(&self, me: u16, class: u8, finder: &Finder, backing: &impl super::Backing) -> Option<Loan> {
        let lane = finder.lane(class)?;
        let guess = lane.guess();
        if guess.at < guess.active
            && let Some(loan) = self.loan_number(me, class, lane.used(guess.at))
        {
            self.step(class, lane, guess);
            return Some(loan);
        }
        self.find_elsewhere(me, class, lane, guess, backing)
    }

    #[inline(always)]
    fn loan_number(&self, me: u16, class: u8, index: u32) -> Option<Loan> {
        self.loan(self.layout().chunk(class, index)?, me)
    }

    /// The chunk at `at` is in use again, and thereby the newest.
    #[inline(always)]
    fn step(&self, class: u8, lane: &Lane, mut guess: Guess) {
        guess.at += 1;
        if guess.at >= guess.active {
            guess.at = 0;
            self.shrink(class, lane, &mut guess);
        }
        lane.remember(guess);
    }

    /// Once around: if what was used half a window ago is free, half a window is enough.
    fn shrink(&self, class: u8, lane: &Lane, guess: &mut Guess) {
        let half = guess.active / 2;
        let free = |index| self.layout().chunk(class, index).is_some_and(|chunk| self.word(chunk).is_free());
        if half > 0 && free(lane.used(half)) {
            guess.active = half;
        }
    }

    /// The oldest is still in use.
    #[inline(never)]
    fn find_elsewhere(
        &self,
        me: u16,
        class: u8,
        lane: &Lane,
        mut guess: Guess,
        backing: &impl super::Backing,
    ) -> Option<Loan> {
        // Traces of another thread may be half written.
        guess.known = guess.known.min(KNOWN);
        guess.active = guess.active.min(guess.known);
        guess.at = if guess.at < guess.active { guess.at } else { 0 };
        // If the second oldest is free, somebody holds on to the oldest: it becomes a spare.
        if guess.active > 1 {
            let second = (guess.at + 1) % guess.active;
            if let Some(loan) = self.loan_number(me, class, lane.used(second)) {
                lane.move_up(guess.at, guess.active - 1);
                guess.active -= 1;
                // What came after `at` is there now, or at the beginning if it was the last.
                guess.at = if guess.at < guess.active { guess.at } else { 0 };
                self.step(class, lane, guess);
                return Some(loan);
            }
        }
        let count = self.usable(class, lane, backing);
        let (loan, from) = self.find_more(me, class, lane, &mut guess, count)?;
        if guess.active < KNOWN {
            // The newest stands right before the oldest.
            lane.move_down(from, guess.at);
            guess.active += 1;
        }
        self.step(class, lane, guess);
        Some(loan)
    }

    /// A chunk beyond the window, one of the first `count`, and where in the lane its number stands now.
    fn find_more(
        &self,
        me: u16,
        class: u8,
        lane: &Lane,
        guess: &mut Guess,
        count: u32,
    ) -> Option<(Loan, usize)> {
        if guess.active < guess.known
            && let Some(loan) = self.loan_number(me, class, lane.used(guess.active))
        {
            return Some((loan, guess.active));
        }
        let start = if guess.next < count { guess.next } else { 0 };
        let mut all = (start..count).chain(0..start);
        let (index, loan) = all.find_map(|index| Some((index, self.loan_number(me, class, index)?)))?;
        guess.next = index + 1;
        let place = if guess.active == KNOWN {
            guess.at // instead of the one that was in use
        } else {
            // Instead of the first spare, which was in use as well.
            guess.known = guess.known.max(guess.active + 1);
            guess.active
        };
        lane.set(place, index);
        Some((loan, place))
    }
}

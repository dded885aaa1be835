//! Ending what the dead began: skipping what was not committed, delivering again what was not consumed.

use super::word::{MAX_DELIVERIES, Position, State, Word, laps_ahead};
use super::{Blocker, Claim, Slots};
use crate::sync::{AtomicU64, Ordering, mutated, order};

/// What repairs have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Repairs {
    /// Places that will never hold a message, because their writers died.
    pub(crate) skipped: u64,
    /// Messages that will be delivered again.
    pub(crate) redelivered: u64,
    /// Messages that took too many receivers with them.
    pub(crate) given_up: u64,
}

impl Repairs {
    pub(crate) fn is_any(self) -> bool {
        self != Repairs::default()
    }

    fn add(&mut self, other: Repairs) {
        self.skipped += other.skipped;
        self.redelivered += other.redelivered;
        self.given_up += other.given_up;
    }
}

/// The word that tells receivers of orphans: messages behind the head, whose receivers died.
///
/// ```text
/// version:63 | SET:1
/// ```
///
/// Set with a new version *before and after* an orphan is made: before, so that it is never overlooked if the
/// repairer dies; after, because a receiver may have found nothing and cleared the word in between. Cleared by a
/// receiver from exactly the value it loaded before a scan that found neither an orphan nor a dead owner.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Orphans(AtomicU64);

const SET: u64 = 1;

/// An honest exchange of the word loses to another repair. This many losses in a row are a peer scribbling over it.
const PATIENCE: u32 = 1000;

/// So many searches for an orphan in vain: more are a peer scribbling, and each reads all slots.
const ROUNDS: u32 = 64;

impl Orphans {
    #[cfg(any(test, loom))]
    pub(crate) fn new() -> Self {
        Orphans(AtomicU64::new(0))
    }

    #[inline(always)]
    pub(crate) fn read(&self) -> u64 {
        // Acquire: pairs with the Release in `raise`: who sees the word sees what the repairer had seen.
        self.0.load(order!(Acquire, "mpmc.orphans_seen"))
    }

    /// Whether the flag is up.
    #[inline(always)]
    pub(crate) fn is_set(&self) -> bool {
        self.read() & SET != 0
    }

    pub(crate) fn raise(&self) {
        let mut seen = self.0.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            let raised = (seen | SET).wrapping_add(2);
            // Release: pairs with the Acquire in `read`. Acquire: so that versions are in the order of the repairs.
            match self.0.compare_exchange(seen, raised, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    pub(crate) fn clear(&self, seen: u64) {
        // AcqRel: what was scanned comes before.
        let _ = self.0.compare_exchange(seen, seen & !SET, Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl Slots {
    /// Ends the operation of the owner of `blocker`, who is dead: the caller asked *after* the word was read. Does
    /// nothing if somebody else did it already.
    #[cold]
    pub(crate) fn repair(&self, blocker: Blocker) -> Repairs {
        let seen = blocker.word;
        let mut done = Repairs::default();
        match seen.state() {
            State::Writing if mutated!("mpmc.skip") => drop(self.replace(blocker, seen.ready(0))),
            State::Writing => done.skipped = self.replace(blocker, seen.passed()).into(),
            State::Reading if seen.deliveries() < MAX_DELIVERIES && !mutated!("mpmc.redeliver") => {
                self.announce_orphan();
                if self.replace(blocker, seen.ready(seen.deliveries() + 1)) {
                    self.announce_orphan_again();
                    done.redelivered = 1;
                }
            }
            State::Reading => done.given_up = self.replace(blocker, seen.passed()).into(),
            State::Free | State::Ready => {}
        }
        done
    }

    /// Exchanges exactly the word that was judged.
    pub(crate) fn replace(&self, blocker: Blocker, next: Word) -> bool {
        let word = self.word_of(blocker.index);
        let seen =
            if mutated!("mpmc.repair_exactly") { word.load(Ordering::Relaxed) } else { blocker.word.0 };
        // repair. AcqRel: what the dead owner did is visible to us, because the kernel said so after its last
        // instruction, and so to whoever reads the new word.
        word.compare_exchange(seen, next.0, order!(AcqRel, "mpmc.repair"), Ordering::Relaxed).is_ok()
    }

    /// Before an orphan is made.
    pub(crate) fn announce_orphan(&self) {
        if !mutated!("mpmc.announce_before") {
            self.header().orphans.raise();
        }
    }

    /// After it.
    fn announce_orphan_again(&self) {
        if !mutated!("mpmc.announce_after") {
            self.header().orphans.raise();
        }
    }

    /// Every slot that somebody holds in mid-operation.
    pub(crate) fn each_held(&self, mut see: impl FnMut(Blocker)) {
        for index in 0..self.geometry().capacity() {
            let word = self.word(index);
            if word.is_held() {
                see(Blocker { index, word });
            }
        }
    }

    /// Repairs every slot whose owner is dead.
    #[cold]
    pub(crate) fn sweep(&self, mut is_dead: impl FnMut(u16) -> bool) -> Repairs {
        let mut done = Repairs::default();
        self.each_held(|blocker| {
            if is_dead(blocker.word.owner()) {
                done.add(self.repair(blocker));
            }
        });
        done
    }

    /// Takes the oldest orphan, if the word says that there may be one: READY → READING.
    #[inline(always)]
    pub(crate) fn take_orphan(&self, me: u16, is_dead: impl FnMut(u16) -> bool) -> Option<Claim> {
        let seen = self.header().orphans.read();
        if seen & SET == 0 { None } else { self.find_orphan(me, is_dead) }
    }

    #[cold]
    fn find_orphan(&self, me: u16, mut is_dead: impl FnMut(u16) -> bool) -> Option<Claim> {
        // Each round that another receiver spoils takes an orphan away.
        for _ in 0..ROUNDS.min(self.geometry().capacity()) {
            let flag = self.header().orphans.read();
            if flag & SET == 0 {
                return None;
            }
            let mut oldest: Option<(Position, Word)> = None;
            let mut met_dead = false;
            for index in 0..self.geometry().capacity() {
                let word = self.word(index);
                let at = Position::new(word.lap(), index);
                if word.is_orphan() {
                    let older =
                        |(best, _): (Position, Word)| at.ahead_of(best, self.geometry().capacity()) < 0;
                    if oldest.is_none_or(older) {
                        oldest = Some((at, word));
                    }
                } else if word.is_held() && is_dead(word.owner()) {
                    self.repair(Blocker { index, word });
                    met_dead = true;
                }
            }
            match oldest {
                // There may be an older one now, whether we made it or another repairer that then died.
                _ if met_dead => {}
                Some((at, word)) => {
                    if let Some(claim) = self.take_exactly(at, word, me) {
                        return Some(claim);
                    }
                }
                None => self.header().orphans.clear(flag),
            }
        }
        None
    }

    /// Finds out where the tail is: the first place that nobody has claimed. All slots are read; what is claimed
    /// meanwhile makes the result older, never wrong.
    #[cold]
    pub(super) fn rebuild_tail(&self) -> Position {
        let first = self.oldest(|word| match word.state() {
            State::Free => word.lap(),
            State::Writing | State::Ready | State::Reading => word.lap().wrapping_add(1),
        });
        // Release: pairs with the Acquire in `claim`.
        self.header().tail.store(first.pack(), Ordering::Release);
        first
    }

    /// Finds out where the head is: the first place that no receiver has passed.
    #[cold]
    pub(super) fn rebuild_head(&self) -> Position {
        let first = self.oldest(|word| match word.state() {
            State::Reading => word.lap().wrapping_add(1),
            State::Ready if word.is_orphan() => word.lap().wrapping_add(1),
            State::Free | State::Writing | State::Ready => word.lap(),
        });
        // Release: pairs with the Acquire in `take_next`.
        self.header().head.store(first.pack(), Ordering::Release);
        first
    }

    fn oldest(&self, lap_of: impl Fn(Word) -> u64) -> Position {
        let mut oldest = Position::new(lap_of(self.word(0)), 0);
        for index in 1..self.geometry().capacity() {
            let lap = lap_of(self.word(index));
            if laps_ahead(lap, oldest.lap) < 0 {
                oldest = Position::new(lap, index);
            }
        }
        oldest
    }
}

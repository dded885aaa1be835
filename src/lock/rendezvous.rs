//! Where a number of parties wait for each other.

use crate::sync::{AtomicU64, Ordering, mutated, order};
use crate::wait::{ALL, Barrier, Deadline, EventCount, TimedOut, Waiter};
use core::mem;

/// What all parties share, beside an [`Arrival`] for each. All-zero bytes are a new one.
///
/// ```text
/// generation:46 | breaks:14 | phase:4
///
/// phase      moved by anybody, to
/// ---------  -------------------------------------------------------------------------------------------
/// OPEN       OPEN of the next generation, once all have arrived; BREAKING, if one is dead, late, or had enough;
///            RESETTING, by a reset, if any have arrived
/// BREAKING   BROKEN of the next generation, once the break is in the log
/// RESETTING  OPEN of the next generation, once the break is in the log: who is told so may come again at once
/// BROKEN     OPEN, by a reset
/// ```
///
/// - A party arrives by writing generation and owner into a free place. Places are never given back: when all are of this
///   generation, whoever sees it opens the next one. So nobody who died after he arrived, the last one included, keeps
///   the others.
/// - Who was asleep may look many generations later. Those that broke are in a log, so he can tell how his own ended
///   without anybody having waited for him; only if the log has overflown since, he is told that it broke.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Rendezvous {
    state: AtomicU64,
    waiting: EventCount,
    /// The generations that broke, plus 1; the one of break `n` at `n % LOG`. Entries only grow.
    log: [AtomicU64; LOG],
}

/// One party's place.
///
/// ```text
/// generation:48 | owner:16     owner 0: nobody has been here yet
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Arrival(AtomicU64);

const LOG: usize = if cfg!(loom) { 2 } else { 8 };

const PHASE_BITS: u32 = 4;
const BREAK_BITS: u32 = 14;
const OWNER_BITS: u32 = 16;

/// How it is at the rendezvous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Open = 0,
    Breaking = 1,
    Broken = 2,
    Resetting = 3,
}

/// What the state held at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen(u64);

impl Seen {
    fn phase(self) -> Option<Phase> {
        match self.0 & ((1 << PHASE_BITS) - 1) {
            0 => Some(Phase::Open),
            1 => Some(Phase::Breaking),
            2 => Some(Phase::Broken),
            3 => Some(Phase::Resetting),
            _ => None,
        }
    }

    fn breaks(self) -> u64 {
        self.0 >> PHASE_BITS & ((1 << BREAK_BITS) - 1)
    }

    fn generation(self) -> u64 {
        self.0 >> (PHASE_BITS + BREAK_BITS)
    }

    fn new(generation: u64, breaks: u64, phase: Phase) -> Self {
        let breaks = breaks & ((1 << BREAK_BITS) - 1);
        Seen(generation << (PHASE_BITS + BREAK_BITS) | breaks << PHASE_BITS | phase as u64)
    }
}

/// A party that has arrived and waits for the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    generation: u64,
    /// Its place: of all parties of a generation, each has another one.
    pub(crate) place: usize,
}

/// Why the parties did not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeetError {
    /// One of them died, was late, or had enough.
    Broken,
    /// The deadline passed first; now it is broken.
    TimedOut,
    /// No honest process leaves such a word.
    Corrupt(u64),
}

/// Each wake belongs to a meeting of all, so its fence costs nothing that counts; but every party that sleeps would pay
/// for the light barrier, and interrupt the others, who are on their way.
const BARRIER: Barrier = Barrier::Mutual;

/// An honest try fails only because somebody else got further. So many failures in a row are a peer that scribbles.
const PATIENCE: u32 = 1000;

impl Rendezvous {
    /// A new one.
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Self {
        Rendezvous {
            state: AtomicU64::new(0),
            waiting: EventCount::new(),
            log: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Arrives as one party of the process `me`, and waits until `deadline` for the others. Returns its place. `dead`
    /// tells whether the process with an index is gone: it is asked about the others at the end of each slice, never about
    /// `me`.
    ///
    /// # Errors
    /// [`MeetError`].
    pub(crate) fn meet(
        &self,
        places: &[Arrival],
        me: u16,
        waiter: &mut Waiter,
        deadline: Deadline,
        dead: impl Fn(u16) -> bool,
    ) -> Result<usize, MeetError> {
        let arrived = self.arrive(places, me)?;
        self.open_next_if_all(places, arrived.generation);
        self.wait_for_all(places, arrived, me, waiter, deadline, dead)
    }

    /// Waits for the others as one that has arrived.
    pub(crate) fn wait_for_all(
        &self,
        places: &[Arrival],
        arrived: Arrived,
        me: u16,
        waiter: &mut Waiter,
        deadline: Deadline,
        dead: impl Fn(u16) -> bool,
    ) -> Result<usize, MeetError> {
        let attempt = || self.outcome(arrived);
        // The others are on their way, as a rule, and nobody goes to sleep here without them: to ask after each of them
        // before each sleep would cost more than the meeting. Once a slice is soon enough.
        let mut is_early = waiter.patrols_early(deadline);
        let patrol = || {
            let is_early = mem::take(&mut is_early);
            if !mutated!("rendezvous.patrol") {
                self.look_for_the_dead(places, arrived.generation, |owner| {
                    !is_early && owner != me && dead(owner)
                });
            }
            self.outcome(arrived)
        };
        let met =
            waiter.wait_among(places.len(), &self.waiting, BARRIER, deadline, attempt, patrol, || false);
        met.unwrap_or_else(|TimedOut| {
            self.break_generation(arrived.generation);
            match self.outcome(arrived) {
                Some(Err(MeetError::Broken)) | None => Err(MeetError::TimedOut),
                Some(outcome) => outcome,
            }
        })
    }

    /// Takes a place in the generation that is open.
    pub(crate) fn arrive(&self, places: &[Arrival], me: u16) -> Result<Arrived, MeetError> {
        let mut seen = self.look();
        for _ in 0..PATIENCE {
            match seen.phase() {
                None => return Err(MeetError::Corrupt(seen.0)),
                Some(Phase::Broken) => return Err(MeetError::Broken),
                Some(Phase::Breaking | Phase::Resetting) => self.finish_breaking(seen),
                Some(Phase::Open) => {
                    let generation = seen.generation();
                    if let Some(place) = places.iter().position(|place| place.claim(generation, me)) {
                        return Ok(Arrived { generation, place });
                    }
                    // All have arrived, and whoever was last has not opened the next one yet, or never will.
                    self.open_next_if_all(places, generation);
                }
            }
            seen = self.look();
        }
        Err(MeetError::Corrupt(seen.0))
    }

    /// Opens the next generation if all have arrived in this one.
    fn open_next_if_all(&self, places: &[Arrival], generation: u64) {
        let seen = self.look();
        if seen.generation() != generation || seen.phase() != Some(Phase::Open) {
            return;
        }
        if !places.iter().all(|place| place.owner_in(generation).is_some()) {
            return;
        }
        if self.exchange(seen, Seen::new(generation + 1, seen.breaks(), Phase::Open)) {
            let count = if mutated!("rendezvous.wakes_all") { 1 } else { ALL };
            self.waiting.wake(count, BARRIER);
        }
    }

    /// How the generation of `arrived` ended, if it has.
    fn outcome(&self, arrived: Arrived) -> Option<Result<usize, MeetError>> {
        let mut seen = self.look();
        for _ in 0..PATIENCE {
            let Some(phase) = seen.phase() else { return Some(Err(MeetError::Corrupt(seen.0))) };
            if seen.generation() < arrived.generation {
                return Some(Err(MeetError::Corrupt(seen.0)));
            }
            if seen.generation() == arrived.generation {
                if phase == Phase::Open {
                    return None;
                }
                self.finish_breaking(seen);
            }
            let broke = self.has_broken(arrived.generation);
            let now = self.look();
            // What was in the log is of this state, and not half of a later one.
            if now.breaks() == seen.breaks() && seen.generation() > arrived.generation {
                return Some(if broke { Err(MeetError::Broken) } else { Ok(arrived.place) });
            }
            seen = now;
        }
        Some(Err(MeetError::Broken))
    }

    /// What the log says of a generation that is over.
    fn has_broken(&self, generation: u64) -> bool {
        let mut all_later = true;
        for entry in &self.log {
            // Relaxed: written before the state that we have acquired.
            match entry.load(Ordering::Relaxed) {
                entry if entry == generation + 1 => return true,
                entry => all_later &= entry > generation + 1,
            }
        }
        // So many have broken since that this one may have been forgotten.
        all_later
    }

    /// Breaks the generation if it is open still.
    fn break_generation(&self, generation: u64) {
        let mut seen = self.look();
        for _ in 0..PATIENCE {
            if seen.generation() != generation {
                return;
            }
            match seen.phase() {
                Some(Phase::Open) => {
                    let breaking = Seen::new(generation, seen.breaks(), Phase::Breaking);
                    if self.exchange(seen, breaking) {
                        return self.finish_breaking(breaking);
                    }
                }
                Some(Phase::Breaking | Phase::Resetting) => return self.finish_breaking(seen),
                Some(Phase::Broken) | None => return,
            }
            seen = self.look();
        }
    }

    /// Ends what whoever found it BREAKING or RESETTING, or made it so, may have died over.
    fn finish_breaking(&self, seen: Seen) {
        let generation = seen.generation();
        let entry = &self.log[(seen.breaks() % LOG as u64) as usize];
        let mut logged = entry.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            if logged > generation || mutated!("rendezvous.log") {
                break;
            }
            // Relaxed: the state that follows releases it.
            match entry.compare_exchange(logged, generation + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => logged = now,
            }
        }
        let is_reset = seen.phase() == Some(Phase::Resetting) && !mutated!("rendezvous.reset");
        let phase = if is_reset { Phase::Open } else { Phase::Broken };
        self.exchange(seen, Seen::new(generation + 1, seen.breaks() + 1, phase));
        if !mutated!("rendezvous.break_wakes") {
            self.waiting.wake(ALL, BARRIER);
        }
    }

    /// Breaks the rendezvous, until it is reset.
    pub(crate) fn abort(&self) {
        let mut seen = self.look();
        for _ in 0..PATIENCE {
            if seen.phase() == Some(Phase::Broken) || seen.phase().is_none() {
                break;
            }
            self.break_generation(seen.generation());
            seen = self.look();
        }
        self.waiting.wake(ALL, BARRIER);
    }

    /// Makes it as good as new; whoever waits is told that it broke.
    ///
    /// # Errors
    /// [`MeetError::Corrupt`].
    pub(crate) fn reset(&self, places: &[Arrival]) -> Result<(), MeetError> {
        let mut seen = self.look();
        for _ in 0..PATIENCE {
            let generation = seen.generation();
            match seen.phase() {
                None => return Err(MeetError::Corrupt(seen.0)),
                Some(Phase::Open) => {
                    if places.iter().all(|place| place.owner_in(generation).is_none()) {
                        return Ok(());
                    }
                    let resetting = Seen::new(generation, seen.breaks(), Phase::Resetting);
                    if self.exchange(seen, resetting) {
                        self.finish_breaking(resetting);
                        return Ok(());
                    }
                }
                Some(Phase::Breaking) => self.finish_breaking(seen),
                Some(Phase::Resetting) => {
                    self.finish_breaking(seen);
                    return Ok(());
                }
                Some(Phase::Broken) => {
                    if self.exchange(seen, Seen::new(generation, seen.breaks(), Phase::Open)) {
                        return Ok(());
                    }
                }
            }
            seen = self.look();
        }
        Err(MeetError::Corrupt(seen.0))
    }

    /// If one of those who wait in `generation` is dead, it breaks. If all had arrived, they have met.
    fn look_for_the_dead(&self, places: &[Arrival], generation: u64, dead: impl Fn(u16) -> bool) {
        self.open_next_if_all(places, generation);
        // The place first, the question after it; and it breaks only if it is open still, so that the dead one has died
        // while he was waited with.
        let mut owners = places.iter().filter_map(|place| place.owner_in(generation));
        if owners.any(dead) {
            self.break_generation(generation);
        }
    }

    /// Breaks it for those who wait with the dead participant `dead`.
    pub(crate) fn sweep(&self, places: &[Arrival], dead: u16) {
        let seen = self.look();
        match seen.phase() {
            Some(Phase::Open) => {
                self.look_for_the_dead(places, seen.generation(), |owner| owner == dead);
            }
            Some(Phase::Breaking | Phase::Resetting) => self.finish_breaking(seen),
            Some(Phase::Broken) | None => {}
        }
    }

    /// How it is now; `None` if no honest process leaves such a word.
    pub(crate) fn phase(&self) -> Option<Phase> {
        self.look().phase()
    }

    /// How many generations there have been, for `stat`.
    pub(crate) fn generation(&self) -> u64 {
        self.look().generation()
    }

    /// Who waits in the generation that is open, by place.
    pub(crate) fn waiting_in<'a>(&self, places: &'a [Arrival]) -> impl Iterator<Item = u16> + use<'a> {
        let seen = self.look();
        let generation = (seen.phase() == Some(Phase::Open)).then(|| seen.generation());
        places.iter().filter_map(move |place| place.owner_in(generation?))
    }

    /// The eventcount, for `stat`.
    pub(crate) fn waiting(&self) -> &EventCount {
        &self.waiting
    }

    #[inline]
    fn look(&self) -> Seen {
        // Acquire: pairs with the Release in `exchange`: who sees the next generation sees what all wrote before they
        // arrived, for whoever opened it had seen that; and who sees it broken finds it in the log.
        Seen(self.state.load(order!(Acquire, "rendezvous.look")))
    }

    fn exchange(&self, seen: Seen, next: Seen) -> bool {
        // Release: pairs with the Acquire in `look`.
        let order = order!(Release, "rendezvous.exchange");
        self.state.compare_exchange(seen.0, next.0, order, Ordering::Relaxed).is_ok()
    }
}

impl Arrival {
    /// A place where nobody has been.
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Self {
        Arrival(AtomicU64::new(0))
    }

    /// What was read of one, for those who look from outside.
    #[cfg(not(loom))]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Arrival(AtomicU64::new(bits))
    }

    /// Whose place it is in `generation`.
    fn owner_in(&self, generation: u64) -> Option<u16> {
        // Acquire: pairs with the Release in `claim`: who counts a party sees what it wrote before it arrived.
        let word = self.0.load(order!(Acquire, "rendezvous.count"));
        let is_of_it = word >> OWNER_BITS == generation || mutated!("rendezvous.generation");
        (is_of_it && word as u16 != 0).then_some(word as u16)
    }

    /// Takes it, unless it is taken in `generation` or in a later one.
    fn claim(&self, generation: u64, me: u16) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            if seen as u16 != 0 && seen >> OWNER_BITS >= generation {
                return false;
            }
            let mine = generation << OWNER_BITS | u64::from(me);
            // Release: pairs with the Acquire in `owner_in`.
            match self.0.compare_exchange(seen, mine, order!(Release, "rendezvous.arrive"), Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::wait::Wait;

    /// Meets with one of whom `dead` says that he is.
    fn meet_the_dead(deadline: Deadline, dead: impl Fn(&Rendezvous, u16) -> bool) -> u64 {
        let (rendezvous, places) = (Rendezvous::new(), [(); 3].map(|()| Arrival::new()));
        rendezvous.arrive(&places, 1).unwrap();
        let mut waiter = Waiter::new(Wait::Park);
        let met = rendezvous.meet(&places, 2, &mut waiter, deadline, |who| dead(&rendezvous, who));
        assert_eq!(met, Err(MeetError::Broken));
        rendezvous.waiting().counts().1
    }

    #[test]
    fn nobody_asks_after_the_others_before_he_has_slept() {
        let sleeps = meet_the_dead(Deadline::NEVER, |rendezvous, who| {
            assert!(rendezvous.waiting().counts().1 > 0, "asked after {who} before he slept");
            who == 1
        });
        assert_eq!(sleeps, 1, "the dead one kept him for longer than a slice");
    }

    #[test]
    fn who_cannot_sleep_asks_at_once() {
        assert_eq!(meet_the_dead(Deadline::NOW, |_, who| who == 1), 0);
    }
}

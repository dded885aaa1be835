//! What a slot's word says, and where in the stream a slot's place is.

/// How many bits of a position number the slot; the rest count laps.
pub(crate) const INDEX_BITS: u32 = 24;

/// The most slots a ring can have.
pub(crate) const MAX_CAPACITY: u64 = 1 << INDEX_BITS;

const LAP_BITS: u32 = 40;
const LAP_MASK: u64 = (1 << LAP_BITS) - 1;

/// A message taken by dying receivers this often is given up by whoever repairs the last of them.
pub(crate) const MAX_DELIVERIES: u8 = 63;

/// How far lap `a` is ahead of lap `b`: laps are numbers of 40 bits that wrap, and a ring of one slot passes all
/// of them within hours.
#[inline]
pub(crate) const fn laps_ahead(a: u64, b: u64) -> i64 {
    (a.wrapping_sub(b) << (64 - LAP_BITS)) as i64 >> (64 - LAP_BITS)
}

/// What a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is in it in this lap.
    Free,
    /// Its owner is filling it.
    Writing,
    /// It holds a message.
    Ready,
    /// Its owner is taking the message out.
    Reading,
}

/// The word of a slot.
///
/// ```text
/// lap:40 | deliveries:6 | state:2 | owner:16
///
/// FREE(lap) ──claim P──> WRITING(lap,P) ──commit──> READY(lap,0) ──take C──> READING(lap,d,C) ──free──> FREE(lap+1)
///                            │ P dead: by anybody      ^                         │ C dead: by anybody
///                            v                         └───── READY(lap,d+1) <───┘
///                        FREE(lap+1)                                             └─ d = 63 ──> FREE(lap+1)
/// ```
///
/// The claim is on the slot itself, so the owner is visible in the instant the slot is not free any more. Every
/// step makes (lap, deliveries, state) larger, so **no value ever recurs**: a repair may be done by any number of
/// processes at once, and the exchange of one that was stalled fails.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    const fn of(lap: u64, deliveries: u8, state: State, owner: u16) -> Self {
        Word((lap & LAP_MASK) << 24 | (deliveries as u64) << 18 | (state as u64) << 16 | owner as u64)
    }

    pub(crate) const fn free(lap: u64) -> Self {
        Word::of(lap, 0, State::Free, 0)
    }

    pub(crate) const fn writing(self, owner: u16) -> Self {
        Word::of(self.lap(), 0, State::Writing, owner)
    }

    pub(crate) const fn ready(self, deliveries: u8) -> Self {
        Word::of(self.lap(), deliveries, State::Ready, 0)
    }

    pub(crate) const fn reading(self, owner: u16) -> Self {
        Word::of(self.lap(), self.deliveries(), State::Reading, owner)
    }

    /// Free for the next lap.
    pub(crate) const fn passed(self) -> Self {
        Word::free(self.lap() + 1)
    }

    #[inline]
    pub(crate) const fn lap(self) -> u64 {
        self.0 >> 24
    }

    #[inline]
    pub(crate) const fn deliveries(self) -> u8 {
        (self.0 >> 18 & 63) as u8
    }

    #[inline]
    pub(crate) const fn state(self) -> State {
        match self.0 >> 16 & 3 {
            0 => State::Free,
            1 => State::Writing,
            2 => State::Ready,
            _ => State::Reading,
        }
    }

    #[inline]
    pub(crate) const fn owner(self) -> u16 {
        self.0 as u16
    }

    /// A message that a receiver died with.
    #[inline]
    pub(crate) const fn is_orphan(self) -> bool {
        matches!(self.state(), State::Ready) && self.deliveries() > 0
    }

    /// Whether the owner holds the slot in mid-operation.
    pub(crate) const fn is_held(self) -> bool {
        matches!(self.state(), State::Writing | State::Reading)
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{:?}(lap {}, {} deliveries, owner {})",
            self.state(),
            self.lap(),
            self.deliveries(),
            self.owner()
        )
    }
}

/// A place in the stream: the lap and the slot. Kept packed in the hints, `lap:40 | index:24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) lap: u64,
    pub(crate) index: u32,
}

impl Position {
    pub(crate) const fn new(lap: u64, index: u32) -> Self {
        Position { lap: lap & LAP_MASK, index }
    }

    #[inline]
    pub(crate) const fn unpack(hint: u64) -> Self {
        Position { lap: hint >> INDEX_BITS, index: (hint & (MAX_CAPACITY - 1)) as u32 }
    }

    #[inline]
    pub(crate) const fn pack(self) -> u64 {
        self.lap << INDEX_BITS | self.index as u64
    }

    #[inline]
    pub(crate) const fn next(self, capacity: u32) -> Self {
        if self.index + 1 < capacity {
            Position { lap: self.lap, index: self.index + 1 }
        } else {
            Position::new(self.lap + 1, 0)
        }
    }

    /// The same counted from the first message on: the message's id.
    #[inline]
    pub(crate) const fn number(self, capacity: u32) -> u64 {
        self.lap.wrapping_mul(capacity as u64).wrapping_add(self.index as u64)
    }

    /// How many places this is ahead of `other`.
    pub(crate) const fn ahead_of(self, other: Position, capacity: u32) -> i64 {
        laps_ahead(self.lap, other.lap)
            .wrapping_mul(capacity as i64)
            .wrapping_add(self.index as i64 - other.index as i64)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_step_makes_the_word_larger() {
        let free = Word::free(7);
        let writing = free.writing(9);
        let ready = writing.ready(0);
        let reading = ready.reading(3);
        let again = reading.ready(1);
        let steps = [free, writing, ready, reading, again, again.reading(4), again.passed()];
        let sizes: Vec<u64> = steps.iter().map(|word| word.0 >> 16).collect();
        assert!(sizes.is_sorted_by(|a, b| a < b), "{steps:?}");
        assert_eq!(writing.passed(), Word::free(8));
        assert_eq!((reading.owner(), reading.lap(), reading.state()), (3, 7, State::Reading));
        assert!(again.is_orphan() && !ready.is_orphan());
        assert_eq!(format!("{again:?}"), "Ready(lap 7, 1 deliveries, owner 0)");
    }

    #[test]
    fn laps_wrap() {
        let last = LAP_MASK;
        assert_eq!(Word::free(last).passed(), Word::free(0));
        assert_eq!(laps_ahead(0, last), 1);
        assert_eq!(laps_ahead(last, 0), -1);
        let end = Position::new(last, 2);
        assert_eq!(end.next(3), Position::new(0, 0));
        assert_eq!(end.next(3).ahead_of(end, 3), 1);
        assert_eq!(Position::unpack(end.pack()), end);
    }
}

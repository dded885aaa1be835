//! How many messages there are.

use super::slots::{Next, Slots};
use super::word::{Position, State, Word, laps_ahead};

/// So many messages are counted rather than concluded from where the first and the last is.
const COUNTED: u32 = 64;

impl Slots {
    /// How many messages are there: exact while nobody sends, receives or dies, but that a place left by a dead sender
    /// between them may count as one if there are many.
    pub(crate) fn len(&self) -> u32 {
        let (capacity, header) = (self.geometry().capacity(), self.header());
        // Orphans lie behind the head. Once the queue is closed, refused senders leave places with nothing in them.
        if header.has_orphans() || !header.closing.is_open() {
            let holds = |&index: &u32| self.word(index).state() == State::Ready;
            return (0..capacity).filter(holds).count() as u32;
        }
        let (head, tail) = (self.first_unread(), self.first_free());
        let len = tail.ahead_of(head, capacity).clamp(0, capacity.into()) as u32;
        if len > COUNTED {
            return len;
        }
        let places = core::iter::successors(Some(head), |at| Some(at.next(capacity)));
        let is_ready = |at: &Position| self.word(at.index) == Word::free(at.lap).ready(0);
        places.take(len as usize).filter(is_ready).count() as u32
    }

    /// The first place that no receiver has passed. The hint may be behind: nobody moves it over the places of senders that
    /// died or were refused, and some die before they move it.
    fn first_unread(&self) -> Position {
        let mut at = self.head();
        for _ in 0..self.geometry().patience() {
            match self.judge(at, self.word(at.index)) {
                Next::Go(next) => at = next,
                Next::LapsBehind => return self.rebuild_head(),
                _ => break,
            }
        }
        at
    }

    /// The first place that no sender has claimed. The hint may be behind here too.
    fn first_free(&self) -> Position {
        let capacity = self.geometry().capacity();
        let mut at = self.tail();
        for _ in 0..self.geometry().patience() {
            let seen = self.word(at.index);
            match (laps_ahead(seen.lap(), at.lap), seen.state()) {
                (0, State::Free) | (..0, _) => break,
                (1.., State::Free) => at = Position::new(seen.lap().wrapping_sub(1), at.index).next(capacity),
                _ => at = Position::new(seen.lap(), at.index).next(capacity),
            }
        }
        at
    }
}

//! What the processes of this scenario write down of what they do: each for itself, so that no two meet at a counter.

use super::super::bare::fault;
use super::super::locks::{cell, set_cell};
use crate::actor::{Actor, Fault};
use crate::board::{Call, READ, SLOTS, in_this_order};
use ringway::TallyQueue;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How often each process has begun something, and ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figures([[u64; SLOTS]; Figures::ALL]);

impl Figures {
    pub(super) const SENDING: usize = 0;
    pub(super) const SENT: usize = 1;
    pub(super) const REFUSED: usize = 2;
    pub(super) const ENDING: usize = 3;
    pub(super) const ENDED: usize = 4;
    pub(super) const RECEIVING: usize = 5;
    pub(super) const RECEIVED: usize = 6;
    const PROMISING: usize = 7;
    const KEPT: usize = 8;
    const ALL: usize = 9;

    /// As they are now, each a little later than the one before.
    pub(super) fn look(actor: &Actor) -> Self {
        in_this_order();
        let figures =
            std::array::from_fn(|what| std::array::from_fn(|slot| cell(actor, what * SLOTS + slot)));
        in_this_order();
        Figures(figures)
    }

    fn sum(&self, what: usize) -> u64 {
        self.0[what].iter().sum()
    }

    /// No fewer were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sum(Self::SENT)
    }

    /// No more were done.
    pub(super) fn ending(&self) -> u64 {
        self.sum(Self::ENDING)
    }

    /// How many can be unfinished: what somebody died at, or is at, may have happened or not.
    pub(super) fn unfinished(&self) -> RangeInclusive<u64> {
        let promised = self.sum(Self::PROMISING) - self.sum(Self::KEPT);
        let most = self.sum(Self::SENDING) - self.sum(Self::REFUSED) - self.sum(Self::ENDED) + promised;
        self.sent().saturating_sub(self.ending())..=most
    }
}

/// Counts one more of these by this process.
pub(super) fn bump(actor: &Actor, what: usize) {
    in_this_order();
    let at = what * SLOTS + actor.slot_number();
    set_cell(actor, at, cell(actor, at) + 1);
    in_this_order();
}

/// What each process has promised for certain, and not begun to take back: `incarnation:32 | number:32`.
const PROMISES: usize = Figures::ALL * SLOTS;

/// A message that is promised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promised {
    slot: usize,
    word: u64,
}

impl Promised {
    /// Promises one.
    pub(super) fn make(actor: &mut Actor, queue: &TallyQueue) -> Result<Self, Fault> {
        bump(actor, Figures::PROMISING);
        match actor.call(Call::Other, || queue.promise()) {
            Ok(true) => {}
            other => return Err(format!("a promise is {other:?}")),
        }
        let word = actor.incarnation << 32 | actor.random.next() >> 32;
        let slot = actor.slot_number();
        in_this_order();
        set_cell(actor, PROMISES + slot, word);
        in_this_order();
        Ok(Promised { slot, word })
    }

    /// It was sent, or there is no need any more.
    pub(super) fn keep(self, actor: &Actor, queue: &TallyQueue) -> Result<(), Fault> {
        Self::forget(actor);
        actor.call(Call::Other, || queue.redeem()).map_err(|error| fault("redeem", error))?;
        bump(actor, Figures::KEPT);
        Ok(())
    }

    /// This process has promised nothing, or its predecessor has.
    pub(super) fn forget(actor: &Actor) {
        in_this_order();
        set_cell(actor, PROMISES + actor.slot_number(), 0);
        in_this_order();
    }

    /// All there are.
    pub(super) fn all(actor: &Actor) -> [Option<Self>; SLOTS] {
        let all = std::array::from_fn(|slot| {
            let word = cell(actor, PROMISES + slot);
            (word != 0).then_some(Promised { slot, word })
        });
        in_this_order();
        all
    }

    /// Whether it has been there all the while, and its maker lives.
    pub(super) fn still_stands(&self, actor: &Actor) -> bool {
        in_this_order();
        let doomed = actor.board.slots[self.slot].doomed.load(READ);
        cell(actor, PROMISES + self.slot) == self.word && doomed < self.word >> 32
    }
}

/// Who asks for a moment in which nobody does anything: `incarnation:32 | slot:31 | 1`.
const MOMENT: usize = PROMISES + SLOTS;

/// Such a moment. Not everybody has heard of it.
pub(super) struct Moment;

impl Moment {
    pub(super) fn ask_for(actor: &mut Actor) -> Self {
        set_cell(actor, MOMENT, actor.incarnation << 32 | (actor.slot_number() as u64) << 1 | 1);
        in_this_order();
        actor.wait(2000);
        Moment
    }

    pub(super) fn end(self, actor: &Actor) {
        in_this_order();
        set_cell(actor, MOMENT, 0);
    }

    /// Does nothing while whoever asked for that is alive and wants it.
    pub(super) fn respect(actor: &mut Actor) {
        loop {
            let word = cell(actor, MOMENT);
            let asker = (word as u32 >> 1) as usize;
            if word == 0 || actor.board.slots[asker].doomed.load(READ) >= word >> 32 {
                return;
            }
            actor.idle(Duration::from_micros(300).as_micros() as u64);
        }
    }
}

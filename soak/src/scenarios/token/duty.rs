//! Who has the token, and who is to give it back, as words of the board.

use crate::actor::Actor;
use crate::board::READ;
use std::fmt;

const SLOT_BITS: u32 = 4;
const INCARNATION_BITS: u32 = 20;
const HOLDER_BITS: u32 = SLOT_BITS + INCARNATION_BITS;

/// A process of the episode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    slot: usize,
    incarnation: u64,
}

impl Holder {
    pub(super) fn of(actor: &Actor) -> Self {
        Holder { slot: actor.slot_number(), incarnation: actor.incarnation }
    }

    pub(super) fn word(self) -> u64 {
        self.incarnation << SLOT_BITS | self.slot as u64
    }

    pub(super) fn from_word(word: u64) -> Option<Self> {
        let incarnation = word >> SLOT_BITS & ((1 << INCARNATION_BITS) - 1);
        (incarnation > 0).then_some(Holder { slot: word as usize & ((1 << SLOT_BITS) - 1), incarnation })
    }

    /// Whether it is being killed, or was.
    pub(super) fn is_doomed(self, actor: &Actor) -> bool {
        actor.board.slots[self.slot].doomed.load(READ) >= self.incarnation
    }

    /// Whether it has ended for certain: another one is there in its stead.
    pub(super) fn is_gone(self, actor: &Actor) -> bool {
        actor.board.slots[self.slot].incarnation.load(READ) > self.incarnation
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} number {}", self.slot, self.incarnation)
    }
}

/// That a token is to be given back, because its holder has left it.
///
/// ```text
/// number:15 | by:24 | claimant:24 | ready:1      0 is nothing to be done
/// ```
#[derive(Clone, Copy)]
pub(super) struct Duty(u64);

impl Duty {
    /// Of this process, which does not die with it once it is [ready](Self::ready).
    pub(super) fn new(actor: &Actor, number: u64) -> Self {
        Duty((number << HOLDER_BITS | Holder::of(actor).word()) << (HOLDER_BITS + 1))
    }

    pub(super) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Duty(word))
    }

    pub(super) fn word(self) -> u64 {
        self.0
    }

    /// The holder has left it for certain.
    pub(super) fn ready(self) -> Self {
        Duty(self.0 | 1)
    }

    pub(super) fn is_ready(self) -> bool {
        self.0 & 1 != 0
    }

    /// Who has left it, or was about to.
    pub(super) fn by(self) -> Holder {
        Holder::from_word(self.0 >> (HOLDER_BITS + 1)).expect("made so")
    }

    /// Who has taken it upon himself.
    pub(super) fn claimant(self) -> Option<Holder> {
        Holder::from_word(self.0 >> 1)
    }

    pub(super) fn is_unclaimed(self) -> bool {
        self.claimant().is_none()
    }

    pub(super) fn claimed(self, by: Holder) -> Self {
        let others = !(((1 << HOLDER_BITS) - 1) << 1);
        Duty(self.0 & others | by.word() << 1)
    }
}

impl fmt::Debug for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what {:?} had (claimed by {:?}, {})", self.by(), self.claimant(), self.is_ready())
    }
}

//! Items that say of themselves what they are, and what the board knows of them.
//!
//! A value is a message whose id is `number | key | slot`: which of its writer's values it is, under which key, and of whose.

use super::super::locks::{cell, set_cell};
use super::{RAISING, sizes};
use crate::actor::{Actor, Fault};
use crate::board::{SLOTS, in_this_order};
use crate::message;

/// How many items a writer has for itself, besides two that are written in turns; how many all have together; how many are put
/// in again after everything was removed.
pub(super) const OWN: u64 = 3;
pub(super) const SHARED: u64 = 3;
pub(super) const FIXED: u64 = 5;

/// The last number each writer has begun to use: of those two, and of all others.
const NUMBERS: usize = 0;
const OF_TWO: usize = 8;
/// Of each item of a writer's own: the last number that is there for certain, shifted by whether it was removed with that
/// number; the last that was begun; the last of a removal that was begun.
const CERTAIN: usize = 16;
const BEGUN: usize = 40;
const REMOVAL: usize = 64;

/// Which item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u8);

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Own,
    /// The even or the odd one.
    Two(u64),
    Shared,
    Fixed(u64),
    Counter,
}

impl Key {
    pub(super) const LONGEST: usize = 48;
    pub(super) const COUNTER: Key = Key(0x90);

    pub(super) fn own(slot: usize, which: u64) -> Self {
        Key((slot as u64 * 8 + which) as u8)
    }

    pub(super) fn two(slot: usize, which: u64) -> Self {
        Key((slot as u64 * 8 + 6 + which) as u8)
    }

    pub(super) fn shared(which: u64) -> Self {
        Key(0x80 + which as u8)
    }

    pub(super) fn fixed(which: u64) -> Self {
        Key(0xa0 + which as u8)
    }

    /// The key as it stands in the map: of many lengths.
    pub(super) fn bytes(self) -> Vec<u8> {
        vec![self.0; 1 + usize::from(self.0) * 7 % (Self::LONGEST - 8)]
    }

    /// Of which item this is the key.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let key = bytes.first().map(|&first| Key(first));
        key.filter(|key| key.bytes() == bytes).ok_or_else(|| format!("torn: there is a key {bytes:02x?}"))
    }

    pub(super) fn is_for(self) -> Use {
        match (self.0, self.0 % 8) {
            (0x90, _) => Use::Counter,
            (0xa0.., which) => Use::Fixed(which.into()),
            (0x80.., _) => Use::Shared,
            (_, which @ 6..) => Use::Two(u64::from(which) - 6),
            _ => Use::Own,
        }
    }

    /// Whose it is, if only one writes it.
    pub(super) fn owner(self) -> Option<usize> {
        matches!(self.is_for(), Use::Own | Use::Two(_)).then_some(usize::from(self.0 / 8))
    }

    /// The place of an item of one's own.
    fn place(self) -> usize {
        usize::from(self.0 / 8) * OWN as usize + usize::from(self.0 % 8)
    }

    /// It is about to be written or removed, with this number.
    pub(super) fn begin(self, actor: &Actor, number: u64, removes: bool) {
        if removes {
            set_cell(actor, REMOVAL + self.place(), number);
        }
        set_cell(actor, BEGUN + self.place(), number);
        in_this_order();
    }

    /// That has happened.
    pub(super) fn end(self, actor: &Actor, number: u64, removes: bool) {
        in_this_order();
        set_cell(actor, CERTAIN + self.place(), number << 1 | u64::from(removes));
    }

    /// What is there for certain now, so that only something later can be read from now on.
    pub(super) fn certain(self, actor: &Actor) -> u64 {
        let certain = cell(actor, CERTAIN + self.place());
        in_this_order();
        certain
    }

    /// Whether this may have been read, or nothing, when `certain` was what was there for certain before.
    pub(super) fn may_be(
        self,
        actor: &Actor,
        found: Option<u64>,
        certain: u64,
        clears: bool,
    ) -> Result<(), Fault> {
        in_this_order();
        let [begun, removal] = [BEGUN, REMOVAL].map(|of| cell(actor, of + self.place()));
        let (least, was_removed) = (certain >> 1, certain & 1 != 0);
        let is_possible = match found {
            Some(number) => number >= least + u64::from(was_removed) && number <= begun,
            None => clears || was_removed || least == 0 || removal > least,
        };
        if is_possible {
            Ok(())
        } else {
            Err(format!(
                "lost: {self:?} has value {found:?}, and value {least} (removed: {was_removed}) was there for certain, \
                 {begun} was begun last, {removal} was removed last"
            ))
        }
    }
}

/// The number of the next value of this writer.
pub(super) fn next_number(actor: &Actor) -> u64 {
    let at = NUMBERS + actor.slot_number();
    let number = cell(actor, at) + 1;
    set_cell(actor, at, number);
    in_this_order();
    number
}

/// One of the two that are written in turns is about to be.
pub(super) fn begin_of_two(actor: &Actor, number: u64) {
    set_cell(actor, OF_TWO + actor.slot_number(), number);
    in_this_order();
}

/// The last number that was begun of those two.
pub(super) fn last_of_two(actor: &Actor, slot: usize) -> u64 {
    cell(actor, OF_TWO + slot)
}

/// A value of this process.
pub(super) fn value(actor: &Actor, key: Key, number: u64) -> Vec<u8> {
    let id = number << 16 | u64::from(key.0) << 8 | actor.slot_number() as u64;
    let mut value = vec![0; sizes(&actor.plan).len(id)];
    message::fill(&mut value, actor.plan.seed, id);
    value
}

/// What a value says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) slot: usize,
    pub(super) number: u64,
}

/// The value under this key is whole, and somebody has written it there.
pub(super) fn check(actor: &Actor, key: Key, value: &[u8]) -> Result<Found, Fault> {
    let id = message::check(value, actor.plan.seed, sizes(&actor.plan))?;
    let (number, under, slot) = (id >> 16, Key((id >> 8) as u8), id as usize & 0xff);
    if under != key || key.owner().is_some_and(|owner| owner != slot) || slot >= SLOTS {
        return Err(format!("the value of {under:?}, by process {slot}, is found under {key:?}"));
    }
    in_this_order();
    let of = if matches!(key.is_for(), Use::Two(_)) { OF_TWO } else { NUMBERS };
    let last = cell(actor, of + slot);
    if number == 0 || number > last {
        return Err(format!("{key:?} has value {number} of process {slot}, which has written {last}"));
    }
    Ok(Found { slot, number })
}

/// Whether the counter may have been so, when it was `least` for certain before.
pub(super) fn is_counted(actor: &Actor, count: u64, least: u64) -> Result<(), Fault> {
    in_this_order();
    let most = cell(actor, RAISING);
    if (least..=most).contains(&count) {
        Ok(())
    } else {
        Err(format!("lost: the counter is {count}, and it was raised {least} to {most} times"))
    }
}

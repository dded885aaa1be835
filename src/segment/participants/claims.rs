//! What a process refers to of the many objects in one segment.

use super::Segment;
use crate::sys::fork;
use std::collections::HashMap;

/// What this process refers to of the many objects in one segment, each of them by its number.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(super) by_number: HashMap<u32, Claim>,
    pub(super) adopt: Option<Adopt>,
    /// The first generation whose shares are counted. One that was inherited of an earlier one is when it is first used.
    pub(super) counted_since: u64,
}

/// A handle's share in an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared {
    pub(crate) number: u32,
    pub(crate) id: u64,
    /// That of the process that began it, or was the last to use it first.
    pub(crate) generation: u64,
}

/// Refers to the object with a number and an id, on behalf of the process that has just become the participant `me`, as its
/// parent did. Returns whether it was still there.
pub(crate) type Adopt = fn(segment: &Segment, me: u16, number: u32, id: u64) -> bool;

/// One object that this process refers to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) id: u64,
    /// By so many handles; 0 if only a child may have one still.
    pub(crate) shares: usize,
    /// How often the process had forked when it began.
    forks: u64,
}

impl Claims {
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Claim> {
        self.by_number.get_mut(&number)
    }

    /// None at all: as of a process that nothing can have been inherited by.
    pub(super) fn none() -> Self {
        Claims { by_number: HashMap::new(), adopt: None, counted_since: 0 }
    }

    /// Whether the shares of processes of that generation are counted.
    pub(crate) fn has_counted(&self, generation: u64) -> bool {
        generation >= self.counted_since
    }

    /// The first share of an object.
    pub(crate) fn insert(&mut self, number: u32, id: u64) {
        self.by_number.insert(number, Claim { id, shares: 1, forks: fork::count() });
    }

    /// One share less. Returns what becomes of the process's hold on the object.
    pub(super) fn drop_one(&mut self, shared: Shared) -> Hold {
        if !self.has_counted(shared.generation) {
            return Hold::Kept;
        }
        let Some(claim) = self.by_number.get_mut(&shared.number).filter(|claim| claim.id == shared.id) else {
            return Hold::Kept;
        };
        claim.shares = claim.shares.saturating_sub(1);
        if claim.shares > 0 {
            return Hold::Kept;
        }
        if claim.forks != fork::count() {
            return Hold::ForChildren;
        }
        self.by_number.remove(&shared.number);
        Hold::Over
    }

    /// What a child takes over from its parent, whose claims these are, as the participant `me`.
    pub(super) fn inherit(self, segment: &Segment, me: u16) -> Claims {
        let Some(adopt) = self.adopt else { return self };
        let forks = fork::count();
        let inherited = self.by_number.into_iter().filter(|(_, claim)| claim.shares > 0);
        let still_there = inherited.filter(|&(number, claim)| adopt(segment, me, number, claim.id));
        let by_number = still_there.map(|(number, claim)| (number, Claim { forks, ..claim })).collect();
        Claims { by_number, ..self }
    }
}

/// What becomes of a process's hold on an object when one of its shares is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// There are others, or it was none.
    Kept,
    /// It was the last one, but a child may have inherited it.
    ForChildren,
    /// It was the last one.
    Over,
}

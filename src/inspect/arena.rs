//! What can be seen of an arena.

use super::{Participant, Table, read_exactly};
use crate::arena::layout::{Described, Division, HEAD_WORDS, SLAB, blocks, class_of, stride};
use crate::arena::{check_geometry, tenure};
use crate::error::{Error, Kind};
use crate::lock;
use crate::segment::layout::Geometry;
use std::os::fd::BorrowedFd;

/// The inside of an [`Arena`](crate::Arena).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Arena {
    /// The objects, by kind: only kinds there are.
    pub objects: Vec<ObjectsOfKind>,
    /// How many processes are just making an object; or died making one, and nobody has cleaned up yet.
    pub making: u64,
    /// How many objects nobody refers to: those who did are just leaving, or died when they were.
    pub unused: u64,
    /// Bytes it has taken for its objects so far, of at most its capacity.
    pub reserved: u64,
    /// Bytes of that which objects take.
    pub used: u64,
    /// Blocks in what it has taken: each has room for one object.
    pub blocks: u64,
    /// How many of them are free.
    pub free: u64,
    /// How many of them mean nothing; a process wrote them against the rules.
    pub corrupt: u64,
    /// Who refers to how many objects. Those of the dead are free when somebody cleans up.
    pub holders: Vec<ObjectsHeld>,
}

/// How many objects of a kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectsOfKind {
    /// What they are.
    pub kind: Kind,
    /// How many.
    pub count: u64,
    /// How many of them are locks that somebody holds.
    pub locked: u64,
}

/// How many objects a process refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectsHeld {
    /// The process.
    pub participant: Participant,
    /// How many.
    pub objects: u64,
}

pub(super) fn look(fd: BorrowedFd<'_>, geometry: &Geometry, table: &Table<'_>) -> Result<Arena, Error> {
    check_geometry(geometry)?;
    let mut slabs = vec![0_u64; (geometry.capacity / SLAB) as usize];
    read_exactly(fd, bytemuck::cast_slice_mut(&mut slabs), geometry.data_at as u64)?;
    let mut seen = Seen::new(geometry.participants);
    let mut words = vec![0_u64; SLAB as usize / 8];
    for (slab, word) in slabs.into_iter().enumerate() {
        let Some(class) = class_of(word).filter(|&class| seen.division.allows(class)) else {
            continue;
        };
        read_exactly(fd, bytemuck::cast_slice_mut(&mut words), geometry.tail_at as u64 + slab as u64 * SLAB)?;
        seen.arena.reserved += SLAB;
        seen.arena.blocks += u64::from(blocks(class));
        words.chunks_exact(stride(class) as usize / 8).for_each(|block| seen.see(block, class));
    }
    let mut arena = seen.arena;
    let holders = (0..).zip(seen.holds).filter(|&(_, objects)| objects > 0);
    arena.holders = holders
        .map(|(index, objects)| ObjectsHeld { participant: table.participant(index), objects })
        .collect();
    Ok(arena)
}

/// What the blocks add up to.
struct Seen {
    arena: Arena,
    division: Division,
    /// How many objects each participant refers to, by index.
    holds: Vec<u64>,
}

impl Seen {
    fn new(participants: u16) -> Self {
        let arena = Arena {
            objects: Vec::new(),
            making: 0,
            unused: 0,
            reserved: 0,
            used: 0,
            blocks: 0,
            free: 0,
            corrupt: 0,
            holders: Vec::new(),
        };
        Seen { arena, division: Division::new(participants), holds: vec![0; usize::from(participants) + 1] }
    }

    fn see(&mut self, block: &[u64], class: usize) {
        let arena = &mut self.arena;
        match tenure::Word::from_bits(block[0]).state() {
            Some(tenure::State::Free) => arena.free += 1,
            Some(tenure::State::Making) => arena.making += 1,
            Some(tenure::State::Live | tenure::State::Closing) => {
                let described = Described::unpack([block[2], block[3]]);
                if !self.division.fits(&described, class) {
                    arena.corrupt += 1;
                    return;
                }
                arena.used += stride(class);
                self.see_object(described.kind, block);
            }
            None => arena.corrupt += 1,
        }
    }

    fn see_object(&mut self, kind: Kind, block: &[u64]) {
        let objects = &mut self.arena.objects;
        let at = objects.iter().position(|of| of.kind == kind).unwrap_or_else(|| {
            objects.push(ObjectsOfKind { kind, count: 0, locked: 0 });
            objects.len() - 1
        });
        objects[at].count += 1;
        // A lock begins with its word.
        let word = block[self.division.head_len as usize / 8];
        let is_held = match kind {
            Kind::Mutex | Kind::ReentrantMutex => {
                lock::Word::from_bits(word).state() == Some(lock::State::Held)
            }
            Kind::Token => {
                let state = lock::TokenWord::from_bits(word).state();
                matches!(state, Some(lock::TokenState::Held | lock::TokenState::Handed))
            }
            _ => false,
        };
        objects[at].locked += u64::from(is_held);
        let users = &block[HEAD_WORDS..][..self.division.user_words];
        self.arena.unused += u64::from(users.iter().all(|&word| word == 0));
        for (index, objects) in self.holds.iter_mut().enumerate() {
            *objects += users[index / 64] >> (index % 64) & 1;
        }
    }
}

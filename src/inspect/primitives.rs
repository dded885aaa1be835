//! What can be seen of locks and of what else processes agree by.

use super::{Lock, Participant, Shared, Table, Traffic, read_exactly};
use crate::error::Error;
use crate::lock::{self, Arrival, Condition, Count, Desk, Flag, Phase, Rendezvous, State};
use crate::primitives::layout::{Body, Words};
use crate::segment::layout::Geometry;
use crate::sync::Ordering;
use crate::wait::EventCount;
use core::mem::{MaybeUninit, size_of};
use core::time::Duration;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

/// The inside of a [`Mutex`](crate::Mutex) or a [`ReentrantMutex`](crate::ReentrantMutex).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mutex {
    /// Who has it.
    pub state: Lock,
    /// Whether an owner died with it and nobody has repaired since what it protects.
    pub inconsistent: bool,
    /// Which thread of the owner has it, by a number of the owner's own; `None` if it does not say.
    pub thread: Option<u32>,
    /// How often that thread has it: more than once only if it is reentrant.
    pub depth: u32,
    /// For how long it has been held, to a few milliseconds; `None` if nobody has it, or its owner does not say: see
    /// [`timed`](crate::Options::timed).
    pub held_for: Option<Duration>,
    /// How often it was taken from a dead owner since it was made.
    pub deaths: u32,
    /// Whether somebody may be waiting for it. That stays until the next time it is given back.
    pub awaited: bool,
    /// Those who waited for it.
    pub waiting: Traffic,
    /// What it protects, or the first 4096 bytes of that, as they are now: its holder may be changing them.
    pub value: Box<[u8]>,
}

/// The inside of a [`Semaphore`](crate::Semaphore).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Semaphore {
    /// How many permits there are.
    pub available: u64,
    /// How many there can be.
    pub bound: u64,
    /// Whether somebody may be waiting for one. That stays until the next time one is given.
    pub awaited: bool,
    /// Those who waited for one.
    pub waiting: Traffic,
}

/// The inside of an [`OwnedSemaphore`](crate::OwnedSemaphore).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OwnedSemaphore {
    /// How many permits there are.
    pub permits: u64,
    /// How many of them nobody holds.
    pub available: u64,
    /// Who holds the others.
    pub holders: Vec<PermitsHeld>,
    /// How many have come back because their holder died.
    pub recovered: u64,
    /// How many words mean nothing; a process wrote them against the rules.
    pub corrupt: u64,
    /// Whether somebody may be waiting for one. That stays until the next time one is given.
    pub awaited: bool,
    /// Those who waited for one.
    pub waiting: Traffic,
}

/// How many permits a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermitsHeld {
    /// The process. If it is dead, the next one to come takes them over.
    pub participant: Participant,
    /// How many.
    pub permits: u64,
}

/// The inside of a [`Token`](crate::Token).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Token {
    /// Who has it.
    pub state: TokenState,
    /// Whether its last holder died with it, or, if somebody has it, the one before.
    pub holder_died: bool,
    /// How often it has come back because its holder died.
    pub recovered: u64,
    /// Whether somebody may be waiting for it. That stays until the next time it is given back.
    pub awaited: bool,
    /// Those who waited for it.
    pub waiting: Traffic,
}

/// Who has a [`Token`](crate::Token).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenState {
    /// Nobody.
    Free,
    /// This process. If it is dead, the next one to come takes it over.
    Held(Participant),
    /// Nobody in particular: its last holder left it so when it ended, or it was made so.
    HandedOver,
    /// The word means nothing; a process wrote it against the rules.
    Nonsense,
}

/// The inside of an [`Event`](crate::Event).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event {
    /// Whether it is set.
    pub set: bool,
    /// How often it was set since it was made.
    pub settings: u64,
    /// Whether somebody may be waiting for it. That stays until the next time it is set.
    pub awaited: bool,
    /// Those who waited for it.
    pub waiting: Traffic,
}

/// The inside of a [`Condvar`](crate::Condvar).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Condvar {
    /// How often somebody who waited was told, since it was made: by one notification or by several.
    pub notifications: u64,
    /// How many wait whom nobody has told, with those who died waiting until somebody finds them.
    pub waiters: u64,
    /// Whether somebody may be waiting for it. That stays until the next notification.
    pub awaited: bool,
    /// Those who waited for it.
    pub waiting: Traffic,
}

/// The inside of a [`Barrier`](crate::Barrier).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Barrier {
    /// How many parties wait for each other.
    pub parties: u64,
    /// Who of them has come: a process for each of its threads.
    pub arrived: Vec<Participant>,
    /// How often the parties met, or it broke, since it was made.
    pub generation: u64,
    /// Whether it is broken.
    pub broken: bool,
    /// Those who waited for the others.
    pub waiting: Traffic,
}

/// The inside of a [`Value`](crate::Value) or an [`Array`](crate::Array).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cell {
    /// The lock for whoever asks for it. Its `value` is that of the cell if that has up to eight bytes, and else empty.
    pub lock: Mutex,
    /// Who writes and how often; `None` for a value of up to eight bytes, which needs no such books.
    pub journal: Option<Journal>,
}

/// What is written to a value or an array as a whole.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Journal {
    /// How many writes there were since it was made.
    pub writes: u64,
    /// Whether the last one exists, but was not yet copied to its place. Readers take it from where it is; if its writer is
    /// dead, the next one copies it.
    pub open: bool,
    /// Who writes now.
    pub writer: Lock,
    /// Those who waited for each other to write.
    pub waiting: Traffic,
}

/// Where an object lies in its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    body_at: u64,
    body_len: u64,
    table_at: u64,
    table_len: u64,
    capacity: u64,
    /// Size and alignment of its value.
    element: (u64, u64),
}

/// How much of a value is shown.
const MOST_OF_VALUE: u64 = 4096;

impl Block {
    /// The one object of a file.
    pub(super) fn whole(geometry: &Geometry) -> Self {
        Block {
            body_at: geometry.body_at as u64,
            body_len: geometry.body_len as u64,
            table_at: geometry.data_at as u64,
            table_len: (geometry.areas * geometry.data_len) as u64,
            capacity: geometry.capacity,
            element: geometry.element,
        }
    }

    /// How much the object holds.
    pub(super) fn capacity(self) -> u64 {
        self.capacity
    }

    /// Where so many bytes into the object's table are, in the file.
    pub(super) fn table_at(self, offset: u64) -> u64 {
        self.table_at.saturating_add(offset)
    }

    /// A private copy of the beginning of the value that lies behind `words` bytes of the object's own.
    fn read_value(self, fd: BorrowedFd<'_>, words: usize) -> Result<Box<[u8]>, Error> {
        let (size, align) = self.element;
        let at = (words as u64).next_multiple_of(align.clamp(1, 64));
        if at.checked_add(size).is_none_or(|end| end > self.body_len) {
            return Err(Error::BadGeometry { field: "element size", found: size, expected: self.body_len });
        }
        let mut value = vec![0; size.min(MOST_OF_VALUE) as usize];
        read_exactly(fd, &mut value, self.body_at + at)?;
        Ok(value.into())
    }

    /// A private copy of the object's table: one word for each unit of its capacity.
    fn read_table(self, fd: BorrowedFd<'_>) -> Result<Vec<u64>, Error> {
        if self.capacity > self.table_len / 8 {
            let (found, expected) = (self.capacity, self.table_len / 8);
            return Err(Error::BadGeometry { field: "capacity", found, expected });
        }
        let mut table = vec![0; self.capacity as usize];
        read_exactly(fd, bytemuck::cast_slice_mut(&mut table), self.table_at)?;
        Ok(table)
    }

    /// A private copy of the object's own words.
    pub(super) fn read<B: Shared>(self, fd: BorrowedFd<'_>) -> Result<B, Error> {
        let needed = size_of::<B>();
        if self.body_len < needed as u64 {
            return Err(Error::BadGeometry {
                field: "body length",
                found: self.body_len,
                expected: needed as u64,
            });
        }
        let mut body = MaybeUninit::<B>::zeroed();
        // SAFETY: as many bytes as the place has, all zero so far, and nobody else knows it.
        let bytes = unsafe { core::slice::from_raw_parts_mut(body.as_mut_ptr().cast::<u8>(), needed) };
        read_exactly(fd, bytes, self.body_at)?;
        // SAFETY: initialised, and by the trait's promise any bits are valid.
        Ok(unsafe { body.assume_init() })
    }
}

// SAFETY: a lock word, an eventcount and figures, all of atomic integers.
unsafe impl Shared for Words {}
// SAFETY: the same, and once more the same with three numbers, all of atomic integers.
unsafe impl Shared for Body {}
// SAFETY: a count, a flag and an eventcount, all of atomic integers.
unsafe impl Shared for Count {}
// SAFETY: a figure and an eventcount, all of atomic integers.
unsafe impl Shared for Desk {}
// SAFETY: a word, an eventcount and a figure, all of atomic integers.
unsafe impl Shared for lock::Token {}
// SAFETY: a word and an eventcount, all of atomic integers.
unsafe impl Shared for Flag {}
// SAFETY: counts and eventcounts, all of atomic integers.
unsafe impl Shared for Condition {}
// SAFETY: a state, an eventcount and a log, all of atomic integers.
unsafe impl Shared for Rendezvous {}

pub(super) fn look_at_lock(fd: BorrowedFd<'_>, block: Block, table: &Table<'_>) -> Result<Mutex, Error> {
    let words: Words = block.read(fd)?;
    Ok(lock_of(&words, table, block.read_value(fd, size_of::<Words>())?))
}

pub(super) fn lock_of(words: &Words, table: &Table<'_>, value: Box<[u8]>) -> Mutex {
    let word = words.gate.word().read();
    let is_held = word.state() == Some(State::Held);
    Mutex {
        state: state(word, table),
        inconsistent: word.inconsistent(),
        thread: words.owner.thread(word).filter(|_| is_held),
        depth: if is_held { words.depth.load(Ordering::Relaxed).max(1) } else { 0 },
        held_for: words.since.held_for(word).filter(|_| is_held).map(Duration::from_millis),
        deaths: words.deaths.load(Ordering::Relaxed),
        awaited: words.gate.waiting().is_awaited(),
        waiting: Traffic::at(words.gate.waiting()),
        value,
    }
}

pub(super) fn look_at_cell(
    fd: BorrowedFd<'_>,
    block: Block,
    table: &Table<'_>,
    is_large: bool,
) -> Result<Cell, Error> {
    if !is_large {
        return Ok(Cell { lock: look_at_lock(fd, block, table)?, journal: None });
    }
    let body: Body = block.read(fd)?;
    let (gate, journal) = (&body.ledger.gate, &body.ledger.journal);
    let journal = Journal {
        writes: journal.writes(),
        open: journal.is_open(),
        writer: state(gate.word().read(), table),
        waiting: Traffic::at(gate.waiting()),
    };
    Ok(Cell { lock: lock_of(&body.words, table, Box::default()), journal: Some(journal) })
}

pub(super) fn look_at_semaphore(fd: BorrowedFd<'_>, block: Block) -> Result<Semaphore, Error> {
    let count: Count = block.read(fd)?;
    Ok(Semaphore {
        available: count.available(),
        bound: block.capacity,
        awaited: count.waiting().is_awaited(),
        waiting: Traffic::at(count.waiting()),
    })
}

pub(super) fn look_at_owned(
    fd: BorrowedFd<'_>,
    block: Block,
    table: &Table<'_>,
) -> Result<OwnedSemaphore, Error> {
    let desk: Desk = block.read(fd)?;
    let (mut available, mut corrupt, mut held) = (0, 0, BTreeMap::<u16, u64>::new());
    for word in block.read_table(fd)?.into_iter().map(lock::Word::from_bits) {
        match word.state() {
            _ if word.is_grantable() => available += 1,
            Some(State::Held) => *held.entry(word.owner()).or_default() += 1,
            _ => corrupt += 1,
        }
    }
    let holder = |(index, permits)| PermitsHeld { participant: table.participant(index), permits };
    Ok(OwnedSemaphore {
        permits: block.capacity,
        available,
        holders: held.into_iter().map(holder).collect(),
        recovered: desk.recovered(),
        corrupt,
        awaited: desk.waiting().is_awaited(),
        waiting: Traffic::at(desk.waiting()),
    })
}

pub(super) fn look_at_token(fd: BorrowedFd<'_>, block: Block, table: &Table<'_>) -> Result<Token, Error> {
    let token: lock::Token = block.read(fd)?;
    let word = token.read();
    let state = match word.state() {
        Some(lock::TokenState::Free) => TokenState::Free,
        Some(lock::TokenState::Held) => TokenState::Held(table.participant(word.owner())),
        Some(lock::TokenState::Handed) => TokenState::HandedOver,
        None => TokenState::Nonsense,
    };
    Ok(Token {
        state,
        holder_died: word.was_recovered(),
        recovered: token.recovered(),
        awaited: token.waiting().is_awaited(),
        waiting: Traffic::at(token.waiting()),
    })
}

pub(super) fn look_at_event(fd: BorrowedFd<'_>, block: Block) -> Result<Event, Error> {
    let flag: Flag = block.read(fd)?;
    Ok(Event {
        set: flag.is_set(),
        settings: flag.settings(),
        awaited: flag.waiting().is_awaited(),
        waiting: Traffic::at(flag.waiting()),
    })
}

pub(super) fn look_at_condvar(fd: BorrowedFd<'_>, block: Block) -> Result<Condvar, Error> {
    let condition: Condition = block.read(fd)?;
    let [first, second] = condition.waiting();
    Ok(Condvar {
        notifications: condition.told(),
        waiters: condition.waiters().into(),
        awaited: condition.waiting().iter().any(EventCount::is_awaited),
        waiting: Traffic::at(first) + Traffic::at(second),
    })
}

pub(super) fn look_at_barrier(fd: BorrowedFd<'_>, block: Block, table: &Table<'_>) -> Result<Barrier, Error> {
    let rendezvous: Rendezvous = block.read(fd)?;
    let places: Vec<Arrival> = block.read_table(fd)?.into_iter().map(Arrival::from_bits).collect();
    Ok(Barrier {
        parties: block.capacity,
        arrived: rendezvous.waiting_in(&places).map(|index| table.participant(index)).collect(),
        generation: rendezvous.generation(),
        broken: rendezvous.phase() != Some(Phase::Open),
        waiting: Traffic::at(rendezvous.waiting()),
    })
}

fn state(word: lock::Word, table: &Table<'_>) -> Lock {
    match word.state() {
        Some(State::Free) => Lock::Free,
        Some(State::Held) => Lock::Held(table.participant(word.owner())),
        Some(State::Midway) => Lock::Kept(table.participant(word.owner())),
        Some(State::Died) => Lock::Died,
        Some(State::NotRecoverable) => Lock::NotRecoverable,
        None => Lock::Nonsense,
    }
}

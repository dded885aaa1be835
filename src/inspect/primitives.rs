//! What can be seen of locks and of what else processes agree by.

use super::{Lock, Shared, Table, Traffic, read_exactly};
use crate::error::Error;
use crate::lock::{self, State};
use crate::primitives::layout::Words;
use crate::segment::layout::Geometry;
use crate::sync::Ordering;
use core::mem::{MaybeUninit, size_of};
use core::time::Duration;
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
}

/// Where an object lies in its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    body_at: u64,
    body_len: u64,
}

impl Block {
    /// The one object of a file.
    pub(super) fn whole(geometry: &Geometry) -> Self {
        Block { body_at: geometry.body_at as u64, body_len: geometry.body_len as u64 }
    }

    /// A private copy of the object's own words.
    fn read<B: Shared>(self, fd: BorrowedFd<'_>) -> Result<B, Error> {
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

pub(super) fn look_at_lock(fd: BorrowedFd<'_>, block: Block, table: &Table<'_>) -> Result<Mutex, Error> {
    let words: Words = block.read(fd)?;
    let word = words.gate.word().read();
    let is_held = word.state() == Some(State::Held);
    Ok(Mutex {
        state: state(word, table),
        inconsistent: word.inconsistent(),
        thread: words.owner.thread(word).filter(|_| is_held),
        depth: if is_held { words.depth.load(Ordering::Relaxed).max(1) } else { 0 },
        held_for: words.since.held_for(word).filter(|_| is_held).map(Duration::from_millis),
        deaths: words.deaths.load(Ordering::Relaxed),
        awaited: words.gate.waiting().is_awaited(),
        waiting: Traffic::at(words.gate.waiting()),
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

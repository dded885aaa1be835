//! The steps of a chunk from hand to hand.

#[cfg(not(loom))]
use core::mem::MaybeUninit;

use super::layout::Class;
use super::tag::{Chunk, Tag};
use super::word::{State, Word};
use super::{Entry, Pool};
use crate::error::Corrupt;
#[cfg(not(loom))]
use crate::ring::copy;
use crate::ring::mpmc::Position;
use crate::sync::{Ordering, mutated, order, store_beside_cas};

/// A chunk that this process fills: LOANED.
#[derive(Debug)]
#[must_use = "a loan is sent or dropped, else it is gone until this process ends"]
pub(crate) struct Loan {
    pub(super) chunk: Chunk,
    pub(super) word: Word,
}

/// A message that this process received for good: KEPT.
#[derive(Debug)]
#[must_use = "a kept message is freed, else its chunk is gone until this process ends"]
pub(crate) struct Kept(pub(super) Held);

/// A message that this process received to work on: TASK.
#[derive(Debug)]
#[must_use = "a task is done or given back, else nobody gets it until this process ends"]
pub(crate) struct Task(pub(super) Held);

/// A message in the hands of this process.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) chunk: Chunk,
    /// The word as we left it.
    pub(super) word: Word,
    /// Checked against the chunk's class.
    pub(super) len: u64,
    pub(super) position: Position,
}

/// How often a receiver's exchange may lose to sweepers. Each honest one moves the word once per dead owner.
const PATIENCE: u32 = 100;

impl Loan {
    pub(crate) const fn chunk(&self) -> Chunk {
        self.chunk
    }
}

/// What both kinds of messages tell.
macro_rules! held {
    ($holding:ty) => {
        impl $holding {
            pub(crate) const fn chunk(&self) -> Chunk {
                self.0.chunk
            }

            /// The length in bytes, at most what the chunk holds.
            pub(crate) const fn len(&self) -> u64 {
                self.0.len
            }

            /// The place in the stream, the same at each delivery.
            #[allow(dead_code, reason = "who receives for good knows it from the slot")]
            pub(crate) const fn position(&self) -> Position {
                self.0.position
            }

            /// How many receivers had it before.
            #[allow(dead_code, reason = "as above")]
            pub(crate) const fn deliveries(&self) -> u8 {
                self.0.word.deliveries()
            }
        }
    };
}

held!(Kept);
held!(Task);

/// What a receiver makes of a chunk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Keep,
    Work,
}

impl Pool {
    /// The chunk's word as it is now, for those who ask whether its owner lives.
    #[inline(always)]
    pub(crate) fn word(&self, chunk: Chunk) -> Word {
        judge(self.entry(chunk))
    }

    /// Takes the chunk if it is free: FREE → LOANED.
    #[inline(always)]
    pub(super) fn loan(&self, chunk: Chunk, me: u16) -> Option<Loan> {
        let word = &self.entry(chunk).word;
        // loan. Acquire: pairs with the Releases of `free`, `done` and `sweep`: the last user's reads and writes come
        // before ours.
        let seen = Word(word.load(order!(Acquire, "pool.loan")));
        if !seen.is_free() && !mutated!("pool.loan_free") {
            return None;
        }
        let mine = seen.step(State::Loaned, me, 0);
        // claim. Release: pairs with the Acquire in `judge`: whoever reads our index there and asks after us sees the
        // row we filled in before. No Acquire: the load of `seen` had it, and no value recurs.
        word.compare_exchange(seen.0, mine.0, order!(Release, "pool.claim"), Ordering::Relaxed).ok()?;
        Some(Loan { chunk, word: mine })
    }

    /// Takes that chunk, as the models do without a finder.
    #[cfg(loom)]
    pub(crate) fn loan_at(&self, me: u16, class: u8, index: u32) -> Option<Loan> {
        self.loan(self.layout().chunk(class, index)?, me)
    }

    /// Gives a loan back unsent: LOANED → FREE.
    pub(crate) fn give_up(&self, loan: Loan) {
        self.release(loan.chunk, loan.word);
    }

    /// Frees a message that was received for good: KEPT → FREE.
    #[inline(always)]
    pub(crate) fn free(&self, kept: Kept) {
        self.release(kept.0.chunk, kept.0.word);
    }

    #[inline(always)]
    pub(super) fn release(&self, chunk: Chunk, mine: Word) {
        let next = mine.step(State::Free, 0, 0);
        // free. Release: pairs with the Acquire in `loan`: our reads and writes come before the next owner's. A plain
        // store: no slot refers to the chunk, so nobody else moves the word of a live owner.
        store_beside_cas(&self.entry(chunk).word, next.0, order!(Release, "pool.free"));
    }

    /// Ends a task: TASK → FREE. Exactly once: by exchange of the very word.
    ///
    /// # Errors
    /// [`Corrupt`] if the word is not what this process left there.
    #[inline(always)]
    pub(crate) fn done(&self, task: Task) -> Result<(), Corrupt> {
        let Held { chunk, word: mine, .. } = task.0;
        let next = mine.step(State::Free, 0, 0);
        let word = &self.entry(chunk).word;
        // done. Release: pairs with the Acquire in `loan`, as in `release`, and with that of `join`: what the worker
        // did before, above all what it sent, is visible to whoever sees its task done.
        let moved = word.compare_exchange(mine.0, next.0, order!(Release, "pool.done"), Ordering::Relaxed);
        moved.map(drop).map_err(|found| corrupt(Word(found), mine))
    }

    /// Takes the chunk of a slot that this process has in READING: LOANED, QUEUED, KEPT or TASK of a dead one → KEPT or
    /// TASK. What sweepers do meanwhile only makes it try again.
    #[inline(always)]
    pub(super) fn take(
        &self,
        tag: Tag,
        at: Position,
        purpose: Purpose,
        me: u16,
        deliveries: u8,
    ) -> Result<Held, Corrupt> {
        let (chunk, len) = self.layout().admit(tag)?;
        let entry = self.entry(chunk);
        // Relaxed: written before the slot was committed, which the taking of the slot has seen.
        let position = entry.pos.load(Ordering::Relaxed);
        if position != at.pack() {
            return Err(Corrupt {
                field: "position of a chunk",
                found: position,
                limit: at.pack(),
                place: None,
            });
        }
        self.check_backing(chunk, len)?;
        let state = match purpose {
            Purpose::Keep => State::Kept,
            Purpose::Work => State::Task,
        };
        // Relaxed: the content came with the slot.
        let mut seen = Word(entry.word.load(Ordering::Relaxed));
        for _ in 0..PATIENCE {
            match seen.state() {
                Some(State::Loaned | State::Queued) => {}
                // Of one who died after this step; our own we would know of.
                Some(State::Kept | State::Task) if seen.owner() != me => {}
                _ => break,
            }
            let mine = seen.step(state, me, deliveries);
            // take. Release: pairs with the Acquire in `judge`: whoever reads our index sees the row, and if we die with
            // a task, the content that we have seen.
            match entry.word.compare_exchange(seen.0, mine.0, order!(Release, "pool.take"), Ordering::Relaxed)
            {
                Ok(_) => return Ok(Held { chunk, word: mine, len, position: at }),
                Err(now) => seen = Word(now),
            }
        }
        Err(Corrupt { field: "word of a chunk", found: seen.0, limit: 0, place: None })
    }

    /// Where a message goes, before its slot is committed.
    #[inline(always)]
    pub(super) fn address_to(&self, chunk: Chunk, at: Position, len: u64) -> Tag {
        let entry = self.entry(chunk);
        // Relaxed: the commit of the slot orders them.
        entry.pos.store(at.pack(), Ordering::Relaxed);
        entry.len.store(len, Ordering::Relaxed);
        Tag::of(chunk, len)
    }

    /// Where the message of an orphan came from and how long it is: nothing but the entry remembers.
    pub(super) fn origin(&self, chunk: Chunk) -> Result<(Position, u64), Corrupt> {
        let entry = self.entry(chunk);
        let position = Position::unpack(entry.pos.load(Ordering::Relaxed));
        let (_, len) = self.layout().admit(Tag::of(chunk, entry.len.load(Ordering::Relaxed)))?;
        self.check_backing(chunk, len)?;
        Ok((position, len))
    }

    /// How many bytes of a loan may be written: what was asked for, or more.
    #[inline(always)]
    pub(crate) fn room(&self, loan: &Loan) -> u64 {
        if loan.chunk.class() < self.layout().chunk_classes() {
            self.capacity(loan.chunk)
        } else {
            self.backed(loan.chunk)
        }
    }

    /// The bytes that a chunk holds at most.
    #[inline(always)]
    pub(crate) fn capacity(&self, chunk: Chunk) -> u64 {
        self.layout().class(chunk.class()).map_or(0, |class: &Class| class.size)
    }
}

/// The word of an entry, before anybody is asked whether its owner lives.
#[inline(always)]
pub(super) fn judge(entry: &Entry) -> Word {
    // judge. Acquire: pairs with the Releases in `loan` and `take`: the owner's row is visible to what we ask next, and
    // with that of `sweep`: so that the slot is not seen older than it was judged by.
    Word(entry.word.load(order!(Acquire, "pool.judge")))
}

#[cold]
pub(super) fn corrupt(found: Word, mine: Word) -> Corrupt {
    Corrupt { field: "word of a chunk", found: found.0, limit: mine.0, place: None }
}

/// The content, for handles that do not trust their peers. The others lend out [`Pool::address`].
#[cfg(not(loom))]
impl Pool {
    /// Copies `bytes` into the loan, from its byte `at` on. What the chunk has no room for is not copied; returns how
    /// many were.
    pub(crate) fn copy_in(&self, loan: &Loan, at: u64, bytes: &[u8]) -> usize {
        let room = self.room(loan).saturating_sub(at);
        let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if len == 0 {
            return 0;
        }
        // SAFETY: `at` is below the room, which the chunk has.
        let to = unsafe { self.address(loan.chunk).add(at as usize) };
        // SAFETY: `at + len` bytes are the chunk's, and by its word ours; `bytes` is private memory. Threads of this
        // process have no other way to the loan.
        unsafe { copy::contended(bytes.as_ptr(), to.as_ptr(), len) };
        len
    }

    /// Copies the message's bytes from `at` on to `out`; returns how many: those are initialised.
    fn copy_out(&self, held: &Held, at: u64, out: &mut [MaybeUninit<u8>]) -> usize {
        let rest = held.len.min(self.capacity(held.chunk)).saturating_sub(at);
        let len = out.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        if len == 0 {
            return 0;
        }
        // SAFETY: `at` is below the length, which the chunk holds.
        let from = unsafe { self.address(held.chunk).add(at as usize) };
        // SAFETY: `at + len` bytes are the chunk's, and by its word ours. A process that breaks that rule makes the
        // bytes wrong, no more.
        unsafe { copy::contended(from.as_ptr(), out.as_mut_ptr().cast(), len) };
        len
    }

    /// Copies the bytes of a message from `at` on to `out`; returns how many: those are initialised.
    pub(crate) fn copy_kept(&self, kept: &Kept, at: u64, out: &mut [MaybeUninit<u8>]) -> usize {
        self.copy_out(&kept.0, at, out)
    }

    /// The same for a task.
    pub(crate) fn copy_task(&self, task: &Task, at: u64, out: &mut [MaybeUninit<u8>]) -> usize {
        self.copy_out(&task.0, at, out)
    }
}

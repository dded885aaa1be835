//! What scenarios of queues with a pool have in common: messages that tell whether they are whole, memory that must come
//! back, and what a dead process leaves in the middle of a step.

use crate::process::place;
use process_tests::message::scramble;
use ringway::SendError;
use ringway::inspect::{self, Chunks, Detail};
use ringway::queue::Loan;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Too long for a slot.
pub(super) const CHUNK: usize = 100;
/// Too long for a chunk.
pub(super) const EXTENT: usize = 17 * 4096;
/// As large as the largest class, so that there is only this one.
pub(super) const MESSAGE_SIZE: usize = 64 << 10;
/// Room for two messages of [`EXTENT`] bytes, not three.
pub(super) const TWO_EXTENTS: u64 = 2 * EXTENT as u64 + 4096;

/// A message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) id: u64,
    pub(super) deliveries: u8,
}

pub(super) fn numbers(all: &[Found]) -> Vec<u64> {
    all.iter().map(|found| found.number).collect()
}

/// The message of this number. Of long ones only the ends are told apart.
pub(super) fn message(number: u64, len: usize) -> Vec<u8> {
    let mut message = vec![0; len];
    write(&mut message, number);
    message
}

pub(super) fn write(message: &mut [u8], number: u64) {
    let len = message.len();
    message[..8].copy_from_slice(&number.to_le_bytes());
    let mut state = number;
    let tail = if len > MESSAGE_SIZE { &mut message[len - 8..] } else { &mut message[8..] };
    for part in tail.chunks_mut(8) {
        part.copy_from_slice(&scramble(&mut state).to_le_bytes()[..part.len()]);
    }
}

/// The number of a message that is whole.
pub(super) fn read(found: &[u8]) -> u64 {
    let number = u64::from_le_bytes(*found.first_chunk().unwrap());
    let expected = message(number, found.len());
    let (end, rest) = if found.len() > MESSAGE_SIZE { (found.len() - 8, 8) } else { (0, found.len()) };
    assert!(found[end..] == expected[end..end + rest], "torn: number {number:#x} of {} bytes", found.len());
    number
}

fn chunks() -> Chunks {
    match inspect::stat("queue").unwrap().detail {
        Detail::Queue(queue) => queue.chunks.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// How many chunks and extents there are.
pub(super) fn all_chunks() -> u64 {
    chunks().total
}

pub(super) fn all_memory_is_free() {
    let chunks = chunks();
    assert_eq!((chunks.used, chunks.corrupt), (0, 0), "memory is not given back");
}

/// Reserves all there is at once: as much as of a new queue. `reserve` does not wait.
pub(super) fn reserve_everything<'q>(extents: u64, reserve: impl Fn(usize) -> Result<Loan<'q>, SendError>) {
    let all_of = |len| {
        let mut loans = vec![];
        loop {
            match reserve(len) {
                Ok(loan) => loans.push(loan),
                Err(SendError::Full) => return loans,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let small = all_of(CHUNK);
    assert_eq!(small.len() as u64, all_chunks() - extents, "not all chunks can be used");
    if extents > 0 {
        assert_eq!(all_of(EXTENT).len(), 2, "not all extents can be used");
    }
}

/// From here on sleeps of this process and its children last until somebody ends them, in a build with instruments: the
/// slices hide a wake-up that was forgotten.
pub(super) fn sleep_until_woken() {
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("RINGWAY_UNSLICED", "1") };
}

/// The file of the queue, to be changed as one would have left it who died in the middle of a step.
pub(super) struct Remains {
    file: File,
    dead: u64,
}

/// Who can promise messages in a queue that counts them.
const PROMISERS: u64 = 512;

/// States of a slot.
const WRITING: u64 = 1;
const READING: u64 = 3;
/// States of a chunk.
const LOANED: u64 = 1;
pub(super) const KEPT: u64 = 3;
pub(super) const TASK: u64 = 4;
const ORPHAN: u64 = 5;

impl Remains {
    /// The dead one's index: that of the survivor is 1, and those who come after him have the next.
    pub(super) fn of(dead: u64) -> Self {
        let path = place().join("queue");
        Remains { file: File::options().read(true).write(true).open(path).unwrap(), dead }
    }

    fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, at: u64, word: u64) {
        self.file.write_all_at(&word.to_ne_bytes(), at).unwrap();
    }

    /// Where the header says that the slots begin.
    fn slots_at(&self) -> u64 {
        self.word(72)
    }

    /// Where the entries of the chunks begin.
    fn entries_at(&self, capacity: u64) -> u64 {
        self.slots_at() + (capacity * 64).next_multiple_of(4096)
    }

    /// He was sending through this slot or receiving from it, in the first lap, and has told the next one to look
    /// further.
    fn had_slot(&self, capacity: u64, slot: u64, state: u64) {
        let at = self.slots_at() + slot * 64;
        self.set(at, self.word(at) & !0x3_ffff | state << 16 | self.dead);
        // The hints lie in lines of their own, first the tail, where the header says that the body begins.
        let hint = self.word(56) + if state == READING { 128 } else { 0 };
        self.set(hint, if slot + 1 < capacity { slot + 1 } else { 1 << 24 });
    }

    /// He had loaned a chunk and was about to commit this slot.
    pub(super) fn was_sending(&self, capacity: u64, slot: u64) {
        let first = self.entries_at(capacity);
        let is_his = |&index: &u64| self.word(first + index * 64) & 0xf_ffff == LOANED << 16 | self.dead;
        let index = (0..all_chunks()).find(is_his).expect("he had a chunk");
        let entry = first + index * 64;
        self.set(entry + 8, slot);
        self.set(entry + 16, CHUNK as u64);
        self.set(self.slots_at() + slot * 64 + 8, (CHUNK as u64) << 30 | index);
        self.had_slot(capacity, slot, WRITING);
    }

    /// He was receiving from this slot, and had stamped its chunk, or not yet.
    pub(super) fn was_receiving(&self, capacity: u64, slot: u64, stamp: Option<u64>) {
        self.had_slot(capacity, slot, READING);
        if let Some(state) = stamp {
            let index = self.word(self.slots_at() + slot * 64 + 8) & 0xff_ffff;
            self.step(self.entries_at(capacity) + index * 64, state, 0);
        }
    }

    /// He had given his task back, and not yet told anybody.
    pub(super) fn had_given_back(&self, capacity: u64) {
        let first = self.entries_at(capacity);
        let is_his = |&at: &u64| self.word(at) & 0xf_ffff == TASK << 16 | self.dead;
        let entry = (0..all_chunks()).map(|index| first + index * 64).find(is_his).expect("he had a task");
        self.step(entry, ORPHAN, 1);
    }

    /// He was just receiving a message that he has in hand: it is counted as handed out, but its chunk is not stamped yet; or
    /// neither.
    pub(super) fn was_counting(&self, capacity: u64, is_counted: bool) {
        let first = self.entries_at(capacity);
        let is_his = |&index: &u64| self.word(first + index * 64) & 0xf_ffff == KEPT << 16 | self.dead;
        let index = (0..all_chunks()).find(is_his).expect("he had a message");
        let kept = self.word(first + index * 64);
        self.set(first + index * 64, (kept & !0xf_0000 | TASK << 16) - (1 << 26));
        // The counts are the last of the body, whose place and length the header says: two words, what is promised by each of
        // those who can, and up to the end of a pair of lines.
        let count = self.word(56) + self.word(64) - (PROMISERS * 8 + 128);
        let taken = self.word(count);
        self.set(count, if is_counted { taken + index + 1 } else { taken - (1 << 26) });
    }

    /// `version:38 | deliveries:6 | state:4 | owner:16`
    fn step(&self, entry: u64, state: u64, more_deliveries: u64) {
        let word = self.word(entry);
        let next = word & !0xf_ffff | state << 16 | self.dead;
        self.set(entry, next + (more_deliveries << 20) + (1 << 26));
    }
}

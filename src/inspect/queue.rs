//! What can be seen of a queue.

use super::{Participant, Shared, Table, Traffic, read_exactly, read_twice};
use crate::channel::queue::layout::{self, Body, TallyBody};
use crate::error::{Error, Kind};
use crate::pool::{self, Tag};
use crate::ring::mpmc::{Phase, Position, State, Word};
use crate::segment::layout::Geometry;
use core::mem::size_of;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

/// The inside of a [`Queue`](crate::Queue).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Queue {
    /// Messages that can be received.
    pub held: u64,
    /// Places taken since it was made: messages sent, and places given back or left by dead senders.
    pub sent: u64,
    /// Of the messages in it, those that a receiver died with: they are delivered again.
    pub orphans: u64,
    /// Messages being sent or received just now, by process. One that is dead is cleaned up after by whoever comes
    /// along.
    pub in_hand: Vec<InHand>,
    /// Whether nobody can send any more.
    pub closed: bool,
    /// Places left by senders that died in the middle of a message.
    pub skipped: u64,
    /// Messages that were or will be delivered again because a receiver died with them.
    pub redelivered: u64,
    /// Messages given up because 64 receivers died with them.
    pub given_up: u64,
    /// Processes that died attached to it, as far as anybody has noticed.
    pub deaths: u64,
    /// Its memory for messages that do not lie in the queue itself; `None` for queues of plain values.
    pub chunks: Option<Chunks>,
    /// Receivers waiting for messages.
    pub items: Traffic,
    /// Senders waiting for space.
    pub space: Traffic,
    /// Senders waiting for memory.
    pub room: Traffic,
    /// Waits for all tasks to be done.
    pub finished: Traffic,
    /// What a [`TallyQueue`](crate::TallyQueue) has counted; `None` for other kinds.
    pub tally: Option<Tally>,
}

/// What was counted; see [`Queue::tally`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Messages handed out since it was made, modulo 2³⁸.
    pub taken: u64,
    /// How often somebody said that one is done.
    pub done: u64,
    /// Messages sent and not done, wherever they are. While others are at work it is about right.
    pub unfinished: u64,
}

/// Memory for messages; see [`Queue::chunks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunks {
    /// Bytes of the messages that can be received, those in the queue itself included.
    pub queued_bytes: u64,
    /// How many chunks there are.
    pub total: u64,
    /// How many are in use.
    pub used: u64,
    /// Bytes reserved for messages of more than 64 KiB.
    pub large_bytes: u64,
    /// The most bytes they may take.
    pub max_large_bytes: u64,
    /// Words that no honest process writes: nobody gets these chunks any more.
    pub corrupt: u64,
}

/// What a process has in hand; see [`Queue::in_hand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InHand {
    /// The process.
    pub participant: Participant,
    /// Messages it is just sending.
    pub sending: u32,
    /// Messages it is just receiving.
    pub receiving: u32,
    /// Loans it is writing.
    pub writing: u32,
    /// Messages it received and holds on to.
    pub kept: u32,
    /// Tasks it is working on.
    pub tasks: u32,
}

// SAFETY: hints, an orphan word, a state, eventcounts and figures, all of atomic integers.
unsafe impl Shared for Body {}
// SAFETY: the same, and two atomic integers more.
unsafe impl Shared for TallyBody {}

pub(super) fn look(fd: BorrowedFd<'_>, geometry: &Geometry, table: &Table<'_>) -> Result<Queue, Error> {
    let slots = layout::check_geometry(geometry)?;
    let (body, tally) = if geometry.kind == Kind::TallyQueue {
        let [_, TallyBody { body, tally }] = read_twice(fd, geometry)?;
        (body, Some(tally))
    } else {
        let [_, body] = read_twice::<Body>(fd, geometry)?;
        (body, None)
    };
    let mut found = Found::default();
    let mut words = Vec::new();
    let pool = layout::check_pool(geometry)?;
    let capacity = slots.capacity() as usize;
    each(fd, geometry.data_at, slots.stride(), capacity, |[word, tag]| {
        // Without a pool what follows the word is content.
        found.see_slot(Word(word), pool.is_some().then_some(Tag(tag)));
        if pool.is_some() {
            words.push(Word(word));
        }
    })?;
    let mut chunks = None;
    if let Some(pool) = &pool {
        let area = geometry.data_at + (geometry.data_len - pool.len() as usize);
        each(fd, area, pool::ENTRY as usize, pool.entries() as usize, |[word, position]| {
            let at = Position::unpack(position);
            let slot = words.get(at.index as usize).copied();
            let is_sent = slot.is_some_and(|slot| {
                slot.lap() == at.lap && matches!(slot.state(), State::Ready | State::Reading)
            });
            found.see_chunk(pool::Word(word), is_sent);
        })?;
        let mut large_bytes = 0_u64;
        let extents = area + pool.extents_at() as usize;
        let count = pool.extents().map_or(0, |class| class.count as usize);
        each(fd, extents, pool::ENTRY as usize, count, |[bytes, _]| {
            large_bytes = large_bytes.saturating_add(bytes.min(pool.max_len()));
        })?;
        chunks = Some(Chunks {
            queued_bytes: found.queued_bytes,
            total: pool.entries().into(),
            used: found.used,
            large_bytes,
            max_large_bytes: pool.max_bytes(),
            corrupt: found.corrupt,
        });
    }
    let (tail, _) = body.header.hints();
    let figures = body.figures.read();
    Ok(Queue {
        held: found.held,
        sent: Position::unpack(tail).number(slots.capacity()),
        orphans: found.orphans,
        in_hand: found
            .in_hand
            .into_iter()
            .map(|(index, hands)| InHand { participant: table.participant(index), ..hands })
            .collect(),
        closed: body.header.closing.phase() != Phase::Open,
        skipped: figures.skipped,
        redelivered: figures.redelivered,
        given_up: figures.given_up,
        deaths: figures.deaths,
        chunks,
        items: Traffic::at(&body.items),
        space: Traffic::at(&body.space),
        room: Traffic::at(&body.room),
        finished: Traffic::at(&body.finished),
        tally: tally.map(|tally| {
            let (taken, done) = tally.figures();
            Tally { taken, done, unfinished: tally.unfinished(found.unclaimed) }
        }),
    })
}

/// What the words add up to.
#[derive(Debug, Default)]
struct Found {
    held: u64,
    /// Messages that nobody was handed yet.
    unclaimed: u64,
    orphans: u64,
    queued_bytes: u64,
    used: u64,
    corrupt: u64,
    in_hand: BTreeMap<u16, InHand>,
}

impl Found {
    fn hands(&mut self, owner: u16) -> &mut InHand {
        let nobody = Participant { index: owner, alive: false, pid: None, joined: None };
        let empty = InHand { participant: nobody, sending: 0, receiving: 0, writing: 0, kept: 0, tasks: 0 };
        self.in_hand.entry(owner).or_insert(empty)
    }

    fn see_slot(&mut self, word: Word, tag: Option<Tag>) {
        self.unclaimed += u64::from(matches!(word.state(), State::Ready | State::Reading));
        match word.state() {
            State::Free => {}
            State::Writing => self.hands(word.owner()).sending += 1,
            State::Reading => self.hands(word.owner()).receiving += 1,
            State::Ready => {
                self.held += 1;
                self.orphans += u64::from(word.is_orphan());
                self.queued_bytes = self.queued_bytes.saturating_add(tag.map_or(0, Tag::len));
            }
        }
    }

    /// `is_sent`: a slot refers to it.
    fn see_chunk(&mut self, word: pool::Word, is_sent: bool) {
        let Some(state) = word.state() else {
            self.corrupt += 1;
            return;
        };
        self.used += u64::from(!word.is_free());
        self.unclaimed += u64::from(!is_sent && matches!(state, pool::State::Task | pool::State::Orphan));
        match state {
            pool::State::Loaned if !is_sent => self.hands(word.owner()).writing += 1,
            pool::State::Kept => self.hands(word.owner()).kept += 1,
            pool::State::Task => self.hands(word.owner()).tasks += 1,
            pool::State::Orphan => {
                self.held += 1;
                self.orphans += 1;
            }
            pool::State::Free | pool::State::Loaned | pool::State::Queued => {}
        }
    }
}

/// Reads the first two words of each of `count` records that lie `stride` bytes apart from `at` on, in pieces of some
/// megabytes at most.
fn each(
    fd: BorrowedFd<'_>,
    at: usize,
    stride: usize,
    count: usize,
    mut see: impl FnMut([u64; 2]),
) -> Result<(), Error> {
    // Large slots are not read whole for the sake of their words.
    let (together, len) =
        if stride <= 4096 { ((1 << 20) / stride, stride) } else { (1, size_of::<[u64; 2]>()) };
    let mut bytes = vec![0_u8; together.min(count) * len];
    for first in (0..count).step_by(together) {
        let piece = &mut bytes[..together.min(count - first) * len];
        read_exactly(fd, piece, (at + first * stride) as u64)?;
        for record in piece.chunks_exact(len) {
            let words = record.first_chunk::<16>().expect("a record has sixteen bytes");
            see(bytemuck::pod_read_unaligned(words));
        }
    }
    Ok(())
}

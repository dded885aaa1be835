//! What can be seen of a queue.

use super::{Participant, Shared, Table, Traffic, read_exactly, read_twice};
use crate::channel::queue::layout::{self, Body};
use crate::error::Error;
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
    /// Receivers waiting for messages.
    pub items: Traffic,
    /// Senders waiting for space.
    pub space: Traffic,
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
}

// SAFETY: hints, an orphan word, a state, eventcounts and figures, all of atomic integers.
unsafe impl Shared for Body {}

pub(super) fn look(fd: BorrowedFd<'_>, geometry: &Geometry, table: &Table<'_>) -> Result<Queue, Error> {
    let slots = layout::check_geometry(geometry)?;
    let [_, body] = read_twice::<Body>(fd, geometry)?;
    let (mut held, mut orphans) = (0, 0);
    let mut in_hand = BTreeMap::<u16, (u32, u32)>::new();
    each_word(fd, geometry, slots.stride(), |word| match word.state() {
        State::Free => {}
        State::Writing => in_hand.entry(word.owner()).or_default().0 += 1,
        State::Reading => in_hand.entry(word.owner()).or_default().1 += 1,
        State::Ready => {
            held += 1;
            orphans += u64::from(word.is_orphan());
        }
    })?;
    let (tail, _) = body.header.hints();
    let figures = body.figures.read();
    Ok(Queue {
        held,
        sent: Position::unpack(tail).number(slots.capacity()),
        orphans,
        in_hand: in_hand
            .into_iter()
            .map(|(index, (sending, receiving))| InHand {
                participant: table.participant(index),
                sending,
                receiving,
            })
            .collect(),
        closed: body.header.closing.phase() != Phase::Open,
        skipped: figures.skipped,
        redelivered: figures.redelivered,
        given_up: figures.given_up,
        deaths: figures.deaths,
        items: Traffic::at(&body.items),
        space: Traffic::at(&body.space),
    })
}

/// Reads the words of all slots, in pieces of some megabytes at most.
fn each_word(
    fd: BorrowedFd<'_>,
    geometry: &Geometry,
    stride: usize,
    mut see: impl FnMut(Word),
) -> Result<(), Error> {
    let capacity = geometry.capacity as usize;
    // Large slots are not read whole for the sake of their words.
    let (together, len) = if stride <= 4096 { ((1 << 20) / stride, stride) } else { (1, size_of::<u64>()) };
    let mut bytes = vec![0_u8; together.min(capacity) * len];
    for first in (0..capacity).step_by(together) {
        let count = together.min(capacity - first);
        let piece = &mut bytes[..count * len];
        read_exactly(fd, piece, (geometry.data_at + first * stride) as u64)?;
        for slot in piece.chunks_exact(len) {
            see(Word(u64::from_ne_bytes(*slot.first_chunk().expect("a slot has eight bytes"))));
        }
    }
    Ok(())
}

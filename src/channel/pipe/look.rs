//! A pipe as an onlooker sees it: see [`inspect`](crate::inspect).

use super::layout::{self, Body, EndState, SIMPLEX};
use crate::channel::bytes;
use crate::error::Error;
use crate::inspect::{Holding, Lane, Lock, Pipe, PipeEnd, Shared, Span, Table, Traffic, read_twice};
use crate::lock::{Gate, State};
use crate::ring::bytes::RECORD_HEADER;
use crate::segment::create::expect;
use crate::segment::layout::Geometry;
use crate::sync::Ordering;
use std::os::fd::BorrowedFd;

// SAFETY: indices with their counts, eventcounts, bells, locks and counters, all of atomic integers.
unsafe impl Shared for Body {}

/// Reads what a pipe's segment says, once its kind is known. Any bytes are a value or an error.
pub(crate) fn look(fd: BorrowedFd<'_>, geometry: &Geometry, table: &Table<'_>) -> Result<Pipe, Error> {
    let simplex = geometry.variant == SIMPLEX;
    expect("areas", geometry.areas as u64, if simplex { 1 } else { 2 })?;
    let size = bytes::check_geometry(geometry)?;
    let [first, then] = read_twice::<Body>(fd, geometry)?;
    let lane_at = |index: usize| lane(&first.lanes[index], &then.lanes[index], size, table);
    Ok(Pipe {
        simplex,
        first: end(&then.ends[0], 0, table),
        second: end(&then.ends[1], 1, table),
        forth: lane_at(0),
        back: (!simplex).then(|| lane_at(1)),
    })
}

fn lane(first: &layout::Lane, then: &layout::Lane, size: u64, table: &Table<'_>) -> Lane {
    let (before, after) = (first.header.counts(), then.header.counts());
    let span = Span {
        early: (before.written_bytes, before.read_bytes),
        late: (after.written_bytes, after.read_bytes),
    };
    let held_bytes = span.held(size);
    let waiting = |gate: &Gate| Traffic::at(gate.waiting());
    Lane {
        written: after.written,
        read: after.read,
        written_bytes: after.written_bytes,
        read_bytes: after.read_bytes,
        // A record takes 8 bytes at least, and one there is if any byte is.
        held: after
            .written
            .saturating_sub(before.read)
            .max(u64::from(held_bytes > 0))
            .min(held_bytes / RECORD_HEADER),
        held_bytes,
        corrupt: span.judge(size),
        sending: lock(&then.sending.lock, table),
        receiving: lock(&then.recv_lock, table),
        items: Traffic::at(&then.items),
        space: Traffic::at(&then.space),
        turns_to_send: waiting(&then.sending.lock),
        turns_to_receive: waiting(&then.recv_lock),
    }
}

fn lock(gate: &Gate, table: &Table<'_>) -> Lock {
    let word = gate.word().read();
    match word.state() {
        Some(State::Free) => Lock::Free,
        Some(State::Held) => Lock::Held(table.participant(word.owner())),
        Some(State::Midway) => Lock::Kept(table.participant(word.owner())),
        Some(State::Died) => Lock::Died,
        Some(State::NotRecoverable) | None => Lock::Nonsense,
    }
}

fn end(state: &EndState, index: usize, table: &Table<'_>) -> PipeEnd {
    // Relaxed: a private copy.
    PipeEnd {
        arrivals: state.arrivals.load(Ordering::Relaxed),
        departures: state.departures.load(Ordering::Relaxed),
        deaths: state.deaths.load(Ordering::Relaxed),
        holders: table
            .participants()
            .into_iter()
            .map(|participant| Holding {
                participant,
                connections: layout::handles(table.roles(participant.index), index).into(),
            })
            .filter(|holding| holding.connections > 0)
            .collect(),
    }
}

//! A pipe as it lies in its segment.
//!
//! ```text
//! body   Body      two lanes and two ends
//! data   area 0    bytes on their way from the first end to the second
//!        area 1    the other way; missing in a simplex pipe
//! ```

use crate::error::{Error, Kind};
use crate::lock::Gate;
use crate::options::Settings;
use crate::ring::bytes::Header;
use crate::segment::layout::Plan;
use crate::segment::{Segment, Sweep};
use crate::sync::{AtomicU64, Ordering};
use crate::wait::{ALL, Barrier, Bell, EventCount};
use core::mem::size_of;
use crossbeam_utils::CachePadded;

/// The header's variant of a pipe with one direction.
pub(super) const SIMPLEX: u32 = 1;

/// Bytes of each direction unless asked otherwise.
const DEFAULT_CAPACITY: usize = 256 * 1024;

#[derive(Debug)]
#[repr(C)]
pub(super) struct Body {
    pub(super) lanes: [Lane; 2],
    pub(super) ends: [CachePadded<EndState>; 2],
}

/// One direction: a byte ring between whoever holds the one end and whoever holds the other.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Lane {
    /// The ring's indices. The tail moves under `send_lock`, the head under `recv_lock`.
    pub(super) header: Header,
    /// Receivers wait here; senders wake.
    pub(super) items: CachePadded<EventCount>,
    /// Tells receivers that wait by their own means.
    pub(super) bell: CachePadded<Bell>,
    /// Senders wait here; receivers wake.
    pub(super) space: CachePadded<EventCount>,
    pub(super) sending: CachePadded<Sending>,
    pub(super) recv_lock: CachePadded<Gate>,
}

/// What senders share.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Sending {
    pub(super) lock: Gate,
    /// The number of the last message sent in pieces. Moved under the lock.
    pub(super) last_id: AtomicU64,
    /// The number of the message being sent in pieces, 0 if none is. Moved under the lock; who finds it set
    /// after taking the lock first ends that message.
    pub(super) open_id: AtomicU64,
}

/// Who comes and goes at one end. Counters, for those who would otherwise have to ask the kernel each time.
#[derive(Debug)]
#[repr(C)]
pub(super) struct EndState {
    /// Processes and handles that ever held the end. 0: nobody has come yet.
    pub(super) arrivals: AtomicU64,
    /// Handles closed. Whoever sees it move asks whether anybody is left.
    pub(super) departures: AtomicU64,
    /// Processes that died holding the end, as far as anybody noticed.
    pub(super) deaths: AtomicU64,
    /// The inode of the socket that all holders of this end share; 0 for a named pipe.
    pub(super) socket: AtomicU64,
}

/// The handles of each end that a process has, in its row's `roles` word.
pub(super) const fn one_handle(end: usize) -> u64 {
    1 << (32 * end)
}

pub(super) const fn handles(roles: u64, end: usize) -> u32 {
    (roles >> (32 * end)) as u32
}

pub(super) fn body(segment: &Segment) -> &Body {
    // SAFETY: only segments of the kind Pipe come here, which are planned with this body, made of atomics.
    unsafe { segment.body_as::<Body>() }
}

pub(super) fn plan(settings: &Settings) -> Result<Plan, Error> {
    let area = super::super::bytes::area(Some(settings.capacity.unwrap_or(DEFAULT_CAPACITY)))?;
    Ok(Plan {
        kind: Kind::Pipe,
        element: (1, 8),
        capacity: area,
        variant: if settings.simplex { SIMPLEX } else { 0 },
        body_len: size_of::<Body>() as u64,
        data_len: area,
        areas: if settings.simplex { 1 } else { 2 },
    })
}

/// Takes the locks of a dead participant away and counts it out of the ends it held.
pub(super) const SWEEP: Sweep = |segment, index| {
    let barrier = Barrier::of_this_process();
    let body = body(segment);
    for lane in &body.lanes {
        lane.sending.lock.sweep(index, barrier);
        lane.recv_lock.sweep(index, barrier);
    }
    count_out(segment, index);
};

/// Counts a dead participant out of the ends it held, once, and wakes all who may be waiting for it.
pub(super) fn count_out(segment: &Segment, index: u16) {
    let roles = &segment.row(index).roles;
    let held = roles.load(Ordering::Acquire);
    // AcqRel: one of several who notice does the counting.
    if held == 0 || roles.compare_exchange(held, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    let body = body(segment);
    for end in [0, 1] {
        if handles(held, end) > 0 {
            body.ends[end].deaths.fetch_add(1, Ordering::Relaxed);
            announce_departure(body, end);
        }
    }
}

/// Tells the other end that somebody left this one.
pub(super) fn announce_departure(body: &Body, end: usize) {
    // Release: pairs with the Acquire in `Connection::peers_gone_hint`: what the leaver did comes before.
    body.ends[end].departures.fetch_add(1, Ordering::AcqRel);
    let barrier = Barrier::of_this_process();
    // What this end sent may be waited for, and space in what it was to receive.
    body.lanes[end].items.wake(ALL, barrier);
    body.lanes[1 - end].space.wake(ALL, barrier);
}

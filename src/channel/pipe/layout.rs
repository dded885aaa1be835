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
use crate::segment::layout::{PARAMS, Plan, Row};
use crate::segment::{Segment, Sweep};
use crate::sync::{AtomicU64, Ordering, mutated};
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

/// A process's row says in its `roles` word which ends it holds:
///
/// ```text
/// burials:32 | handles of the second end:16 | handles of the first end:16
/// ```
///
/// The process itself adds and subtracts handles; whoever finds it dead clears them and counts a burial. So no
/// word with handles recurs under the next owner of the row, and the exchange of one who was late fails.
pub(super) const fn one_handle(end: usize) -> u64 {
    1 << (16 * end)
}

pub(super) const fn handles(roles: u64, end: usize) -> u16 {
    (roles >> (16 * end)) as u16
}

/// The word without the handles of these ends, and with one more burial.
const fn buried(roles: u64, ends: &[usize]) -> u64 {
    let mut left = roles as u32 as u64;
    let mut next = 0;
    while next < ends.len() {
        left &= !(0xffff << (16 * ends[next]));
        next += 1;
    }
    (roles >> 32).wrapping_add(1) << 32 | left
}

/// Takes back one handle of `end` in the row of a process, if it has one.
pub(super) fn give_up_handle(row: &Row, end: usize) {
    let mut seen = row.roles.load(Ordering::Relaxed);
    // An honest exchange loses only to another handle of this process, and to a burial.
    for _ in 0..1000 {
        if handles(seen, end) == 0 {
            return;
        }
        // AcqRel: what was sent with the handle comes before.
        match row.roles.compare_exchange(seen, seen - one_handle(end), Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
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
        tail_len: 0,
        params: [0; PARAMS],
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
    let roles = segment.row(index).roles.load(Ordering::Acquire);
    count_out(segment, index, roles, &[0, 1]);
};

/// Whether a living process holds the end. Counts out those it finds dead.
///
/// A handle can pass from a process behind to one in front of the search, by `fork`. So nobody is found only if
/// two searches in a row find nobody.
#[cold]
pub(super) fn is_held(segment: &Segment, end: usize) -> bool {
    let me = segment.me().unwrap_or(0);
    let search = || {
        (1..=segment.geometry().participants).any(|index| {
            // Acquire: pairs with the AcqRel of `Connection::arrive`. The word first, the question after it.
            let roles = segment.row(index).roles.load(Ordering::Acquire);
            if handles(roles, end) == 0 {
                return false;
            }
            let dead = index != me && segment.is_dead(index) && !mutated!("pipe.dead_hold");
            if dead {
                count_out(segment, index, roles, &[0, 1]);
            }
            !dead
        })
    };
    search() || search()
}

/// Counts out all who hold the end by their rows, after its last socket was closed. Whoever closes a handle gives
/// it up first, so they are dead, or about to be: the kernel closes sockets before it lets go of the lock by which
/// we know the living.
#[cold]
pub(super) fn count_out_all(segment: &Segment, end: usize) {
    for index in 1..=segment.geometry().participants {
        let roles = segment.row(index).roles.load(Ordering::Acquire);
        count_out(segment, index, roles, &[end]);
    }
}

/// Counts a dead participant out of those of the `ends` that `roles` names, once, and wakes all who may be waiting
/// for it. The word was read before the participant was found dead.
fn count_out(segment: &Segment, index: u16, roles: u64, ends: &[usize]) {
    if ends.iter().all(|&end| handles(roles, end) == 0) {
        return;
    }
    // AcqRel: one of several who notice does the counting.
    let word = &segment.row(index).roles;
    if word.compare_exchange(roles, buried(roles, ends), Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    let body = body(segment);
    for &end in ends {
        if handles(roles, end) > 0 {
            body.ends[end].deaths.fetch_add(1, Ordering::Relaxed);
            announce_departure(body, end);
        }
    }
}

/// Tells the other end that somebody left this one.
pub(super) fn announce_departure(body: &Body, end: usize) {
    // AcqRel: pairs with the Acquire in `Connection::peers_are_gone_by_sign`: what the leaver did comes before.
    body.ends[end].departures.fetch_add(1, Ordering::AcqRel);
    let barrier = Barrier::of_this_process();
    // What this end sent may be waited for, and space in what it was to receive.
    body.lanes[end].items.wake(ALL, barrier);
    body.lanes[1 - end].space.wake(ALL, barrier);
}

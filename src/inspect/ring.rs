//! What can be seen of a ring of one producer and one consumer.

use super::{Participant, Shared, Table, Traffic, read_twice};
use crate::channel::role::{self, Body, Role};
use crate::channel::{bytes, spsc};
use crate::error::{Corrupt, Error};
use crate::ring;
use crate::segment::layout::Geometry;
use std::os::fd::BorrowedFd;

/// The inside of a ring.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ring {
    /// Messages written since it was made. In a byte ring, one batch too high after a producer was
    /// killed just then.
    pub written: u64,
    /// Messages read since it was made. In a byte ring, one batch too high after a consumer was killed
    /// just then.
    pub read: u64,
    /// Bytes written since it was made; in a byte ring with the records' headers and padding.
    pub written_bytes: u64,
    /// Bytes read since it was made; in a byte ring with the records' headers and padding.
    pub read_bytes: u64,
    /// Messages in it now.
    pub held: u64,
    /// Bytes in it now; in a byte ring with the records' headers and padding.
    pub held_bytes: u64,
    /// How its indices contradict each other, if a process wrote them against the rules.
    pub corrupt: Option<Corrupt>,
    /// Who writes.
    pub producer: RoleState,
    /// Who reads.
    pub consumer: RoleState,
    /// Consumers waiting for messages.
    pub items: Traffic,
    /// Producers waiting for space.
    pub space: Traffic,
}

/// One side of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoleState {
    /// How often it was taken.
    pub claims: u64,
    /// Who has it now.
    pub holder: Holder,
}

/// Who has a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// Nobody, ever yet.
    Never,
    /// This participant.
    Held(Participant),
    /// Nobody any more: its last holder gave it up.
    Left,
    /// Nobody any more: its last holder died. Of that one no more is known than its place then.
    Died {
        /// Its place in the table then.
        index: u16,
    },
    /// The word means nothing; a process wrote it against the rules.
    Nonsense,
}

pub(super) fn look_at_typed(
    fd: BorrowedFd<'_>,
    geometry: &Geometry,
    table: &Table<'_>,
) -> Result<Ring, Error> {
    spsc::check_geometry(geometry)?;
    let [first, then] = read_twice::<Body<ring::spsc::Header>>(fd, geometry)?;
    let (before, after) = (first.header.counts(), then.header.counts());
    let span = Span { early: (before.written, before.read), late: (after.written, after.read) };
    let size = geometry.element.0;
    let held = span.held(geometry.capacity);
    Ok(Ring {
        written: after.written,
        read: after.read,
        written_bytes: after.written.saturating_mul(size),
        read_bytes: after.read.saturating_mul(size),
        held,
        held_bytes: held.saturating_mul(size),
        corrupt: span.judge(geometry.capacity),
        ..Ring::around(&then, table)
    })
}

pub(super) fn look_at_bytes(
    fd: BorrowedFd<'_>,
    geometry: &Geometry,
    table: &Table<'_>,
) -> Result<Ring, Error> {
    let size = bytes::check_geometry(geometry)?;
    let [first, then] = read_twice::<Body<ring::bytes::Header>>(fd, geometry)?;
    let (before, after) = (first.header.counts(), then.header.counts());
    let span = Span {
        early: (before.written_bytes, before.read_bytes),
        late: (after.written_bytes, after.read_bytes),
    };
    let held_bytes = span.held(size);
    Ok(Ring {
        written: after.written,
        read: after.read,
        written_bytes: after.written_bytes,
        read_bytes: after.read_bytes,
        // A record takes 8 bytes at least, and one there is if any byte is.
        held: after
            .written
            .saturating_sub(before.read)
            .max(u64::from(held_bytes > 0))
            .min(held_bytes / ring::bytes::RECORD_HEADER),
        held_bytes,
        corrupt: span.judge(size),
        ..Ring::around(&then, table)
    })
}

impl Ring {
    /// What lies round the ring's own header; the figures are zero.
    fn around<H>(body: &Body<H>, table: &Table<'_>) -> Self {
        Ring {
            written: 0,
            read: 0,
            written_bytes: 0,
            read_bytes: 0,
            held: 0,
            held_bytes: 0,
            corrupt: None,
            producer: table.role(&body.producer),
            consumer: table.role(&body.consumer),
            items: Traffic::at(&body.items),
            space: Traffic::at(&body.space),
        }
    }
}

/// Two looks at (tail, head), one after the other.
pub(crate) struct Span {
    pub(crate) early: (u64, u64),
    pub(crate) late: (u64, u64),
}

impl Span {
    /// What was between the indices, about.
    pub(crate) fn held(&self, capacity: u64) -> u64 {
        // The earlier head is not ahead of the later tail.
        self.late.0.wrapping_sub(self.early.1).min(capacity)
    }

    /// Both indices only grow, so the earlier head is behind the later tail, and the earlier tail at most a
    /// capacity ahead of the later head. Neither look need be of one instant for that.
    pub(crate) fn judge(&self, capacity: u64) -> Option<Corrupt> {
        let backwards = self.late.0.wrapping_sub(self.early.1);
        let ahead = self.early.0.wrapping_sub(self.late.1);
        if (backwards as i64) < 0 {
            Some(Corrupt { field: "head", found: self.early.1, limit: self.late.0, place: None })
        } else if (ahead as i64) > capacity as i64 {
            Some(Corrupt {
                field: "tail",
                found: self.early.0,
                limit: self.late.1.wrapping_add(capacity),
                place: None,
            })
        } else {
            None
        }
    }
}

// SAFETY: two indices, eventcounts and roles, all of atomic integers.
unsafe impl Shared for Body<ring::spsc::Header> {}

// SAFETY: two indices with their counts, eventcounts and roles, all of atomic integers.
unsafe impl Shared for Body<ring::bytes::Header> {}

impl Table<'_> {
    fn role(&self, role: &Role) -> RoleState {
        let reading = role.read();
        let holder = match reading.holding {
            role::Holding::Never => Holder::Never,
            role::Holding::By(index) => Holder::Held(self.participant(index)),
            role::Holding::Left => Holder::Left,
            role::Holding::Died(index) => Holder::Died { index },
            role::Holding::Nonsense => Holder::Nonsense,
        };
        RoleState { claims: reading.claims, holder }
    }
}

//! Looking at objects from outside, as `ringway ls` and `ringway stat` do.
//!
//! An onlooker only reads: it opens the file for reading, takes no place among the participants, holds no lock and
//! maps nothing, so it disturbs nobody and a file truncated under its eyes cannot hurt it. What it reads passes
//! the same checks as when an object is opened.
//!
//! The figures of a live object are not of one instant, and any attached process can write nonsense into them:
//! they are for people.
//!
//! ```
//! use ringway::{inspect, inspect::Detail, spsc};
//!
//! let name = format!("doc-inspect-{}", std::process::id());
//! let mut ring = spsc::Producer::<u64>::options().capacity(16).ephemeral(true).create(&name)?;
//! ring.push(7)?;
//! let object = inspect::stat(&name)?;
//! assert!(object.participants.iter().any(|process| process.pid == Some(std::process::id())));
//! if let Detail::Ring(ring) = &object.detail {
//!     assert_eq!((ring.written, ring.read, ring.held), (1, 0, 1));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::channel::pipe::look;
use crate::channel::role::{self, Body, Role};
use crate::channel::{bytes, spsc};
use crate::error::{Corrupt, Error, Kind};
use crate::ring;
use crate::segment::admin;
use crate::segment::create::{expect, is_stale, read_geometry};
use crate::segment::layout::{EPHEMERAL, Geometry, RETIRED_AT, ROWS_AT, Row};
use crate::sys::file::{self, Stat};
use crate::sys::lock_page;
use crate::wait::EventCount;
use core::mem::{MaybeUninit, offset_of, size_of};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

mod arena;
mod map;
mod pipe;
mod primitives;
mod queue;

pub use arena::{Arena, ObjectsHeld, ObjectsOfKind};
pub use map::Map;
pub use pipe::{Holding, Lane, Lock, Pipe, PipeEnd};
use primitives::Block;
pub use primitives::{
    Barrier, Cell, Condvar, Event, Journal, Mutex, OwnedSemaphore, PermitsHeld, Semaphore, Token, TokenState,
};
pub use queue::{Chunks, InHand, Queue, Tally};

/// A name in the directory for named objects.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listed {
    /// The name, as [`stat`] and the endpoints take it.
    pub name: String,
    /// What is there, or why it is no object that this version can show.
    pub object: Result<Object, Error>,
}

/// What can be seen of an object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// How much it holds: elements of a typed ring or an array, items of a map, messages of a queue, bytes of a byte ring, an arena, or each
    /// direction of a pipe.
    pub capacity: u64,
    /// The size of an element in bytes; 1 for byte rings, pipes, and queues of bytes.
    pub element_size: u64,
    /// The alignment of an element in bytes; 8 for byte rings, pipes, and queues of bytes.
    pub element_align: u64,
    /// The length of its file in bytes, as its header says.
    pub file_len: u64,
    /// The device its file is on, as `stat` numbers it.
    pub device: u64,
    /// The number of its file on that device.
    pub inode: u64,
    /// The user its file belongs to.
    pub owner: u32,
    /// The permission bits of its file.
    pub mode: u32,
    /// When it was made, by the clock of then.
    pub created: SystemTime,
    /// The process that made it, as that one saw itself.
    pub creator: u64,
    /// Whether it was made before the machine was last booted: then nobody can open it.
    pub stale: bool,
    /// Whether its name was removed or now means another object.
    pub retired: bool,
    /// Whether the last process to detach removes its name.
    pub ephemeral: bool,
    /// How many processes can be attached at once.
    pub max_participants: u16,
    /// The processes attached, and the dead whose places nobody has taken since; by index.
    pub participants: Vec<Participant>,
    /// What only this kind of object has.
    pub detail: Detail,
}

/// A process in an object's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// Its place in the table, from 1 on. Roles and locks name their owners by it.
    pub index: u16,
    /// Whether the kernel says that it lives. A stopped process lives.
    pub alive: bool,
    /// Its number, as it sees itself: in its own PID namespace. `None` while it is still attaching.
    pub pid: Option<u32>,
    /// When it attached; `None` while it is still attaching.
    pub joined: Option<SystemTime>,
}

/// What only one kind of object has.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Detail {
    /// Of a typed or a byte ring.
    Ring(Ring),
    /// Of a pipe.
    Pipe(Box<Pipe>),
    /// Of a queue.
    Queue(Box<Queue>),
    /// Of a mutex, reentrant or not.
    Lock(Box<Mutex>),
    /// Of a semaphore.
    Semaphore(Semaphore),
    /// Of a semaphore of owned permits.
    OwnedSemaphore(Box<OwnedSemaphore>),
    /// Of an event.
    Event(Event),
    /// Of a condition variable.
    Condvar(Condvar),
    /// Of a barrier.
    Barrier(Box<Barrier>),
    /// Of a value or an array.
    Cell(Box<Cell>),
    /// Of an arena.
    Arena(Box<Arena>),
    /// Of a token.
    Token(Token),
    /// Of memory, which has none; and of a kind whose details this version cannot show.
    /// Of a map.
    Map(Box<Map>),
    /// Of a kind whose details this version cannot show.
    None,
}

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

/// What has happened at one condition that processes wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Times that somebody waiting was woken, since the object was made.
    pub wakes: u64,
    /// Times that somebody went to sleep, since the object was made.
    pub sleeps: u64,
}

/// Everything in the directory for named objects, by name. A directory that does not exist is empty.
///
/// # Errors
/// If the directory is not ours, or cannot be read.
pub fn list() -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    for name in admin::names()? {
        match stat(&name) {
            Err(Error::NotFound { .. }) => {} // removed meanwhile
            object => listed.push(Listed { name, object }),
        }
    }
    Ok(listed)
}

/// What can be seen of the object called `name`.
///
/// # Errors
/// [`Error::NotFound`], and one for each way a file can be no object. Objects from before the last boot are shown.
pub fn stat(name: &str) -> Result<Object, Error> {
    let fd = admin::open_to_look(name)?;
    let stat = Stat::of(&fd).map_err(|source| Error::Os { action: "examine the segment", source })?;
    if let Some(what) = stat.special() {
        return Err(Error::NotRegular { name: name.to_owned(), what });
    }
    stat_fd(fd.as_fd())
}

/// What can be seen of the object behind a descriptor: an anonymous one, or one whose name was removed.
///
/// # Errors
/// As [`stat`].
pub fn stat_fd(fd: BorrowedFd<'_>) -> Result<Object, Error> {
    let stat = Stat::of(fd).map_err(|source| Error::Os { action: "examine the descriptor", source })?;
    if let Some(what) = stat.special() {
        return Err(Error::NotRegular { name: "a descriptor".to_owned(), what });
    }
    let geometry = read_geometry(fd, stat.len())?;
    let table = Table::read(fd, &geometry)?;
    let mut retired = [0; 4];
    read_exactly(fd, &mut retired, RETIRED_AT)?;
    Ok(Object {
        kind: geometry.kind,
        capacity: geometry.capacity,
        element_size: geometry.element.0,
        element_align: geometry.element.1,
        file_len: geometry.file_len,
        device: stat.id().device,
        inode: stat.id().inode,
        owner: stat.owner(),
        mode: stat.mode(),
        created: time(geometry.created),
        creator: geometry.creator,
        stale: is_stale(fd, &geometry)?,
        retired: retired != [0; 4],
        ephemeral: geometry.flags & EPHEMERAL != 0,
        max_participants: geometry.participants,
        detail: detail(fd, &geometry, &table)?,
        participants: table.participants(),
    })
}

fn detail(fd: BorrowedFd<'_>, geometry: &Geometry, table: &Table<'_>) -> Result<Detail, Error> {
    Ok(match geometry.kind {
        Kind::Spsc => {
            spsc::check_geometry(geometry)?;
            let [first, then] = read_twice::<Body<ring::spsc::Header>>(fd, geometry)?;
            let (before, after) = (first.header.counts(), then.header.counts());
            let span = Span { early: (before.written, before.read), late: (after.written, after.read) };
            let size = geometry.element.0;
            let held = span.held(geometry.capacity);
            let figures = Ring {
                written: after.written,
                read: after.read,
                written_bytes: after.written.saturating_mul(size),
                read_bytes: after.read.saturating_mul(size),
                held,
                held_bytes: held.saturating_mul(size),
                corrupt: span.judge(geometry.capacity),
                ..Ring::around(&then, table)
            };
            Detail::Ring(figures)
        }
        Kind::Bytes => {
            let size = bytes::check_geometry(geometry)?;
            let [first, then] = read_twice::<Body<ring::bytes::Header>>(fd, geometry)?;
            let (before, after) = (first.header.counts(), then.header.counts());
            let span = Span {
                early: (before.written_bytes, before.read_bytes),
                late: (after.written_bytes, after.read_bytes),
            };
            let held_bytes = span.held(size);
            let figures = Ring {
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
            };
            Detail::Ring(figures)
        }
        Kind::Pipe => Detail::Pipe(Box::new(look::look(fd, geometry, table)?)),
        Kind::Queue | Kind::ByteQueue | Kind::JoinableQueue | Kind::TallyQueue => {
            Detail::Queue(Box::new(queue::look(fd, geometry, table)?))
        }
        Kind::Mutex | Kind::ReentrantMutex => {
            Detail::Lock(Box::new(primitives::look_at_lock(fd, Block::whole(geometry), table)?))
        }
        Kind::Semaphore => Detail::Semaphore(primitives::look_at_semaphore(fd, Block::whole(geometry))?),
        Kind::OwnedSemaphore => {
            Detail::OwnedSemaphore(Box::new(primitives::look_at_owned(fd, Block::whole(geometry), table)?))
        }
        Kind::Event => Detail::Event(primitives::look_at_event(fd, Block::whole(geometry))?),
        Kind::Condvar => Detail::Condvar(primitives::look_at_condvar(fd, Block::whole(geometry))?),
        Kind::Barrier => {
            Detail::Barrier(Box::new(primitives::look_at_barrier(fd, Block::whole(geometry), table)?))
        }
        Kind::Value | Kind::Array => {
            let is_large = geometry.kind == Kind::Array || geometry.element.0 > 8;
            Detail::Cell(Box::new(primitives::look_at_cell(fd, Block::whole(geometry), table, is_large)?))
        }
        Kind::Arena => Detail::Arena(Box::new(arena::look(fd, geometry, table)?)),
        Kind::Token => Detail::Token(primitives::look_at_token(fd, Block::whole(geometry), table)?),
        Kind::Memory => Detail::None,
        Kind::Map => Detail::Map(Box::new(map::look(fd, Block::whole(geometry), table)?)),
        Kind::Unknown(_) => Detail::None,
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

impl Traffic {
    pub(crate) fn at(ec: &EventCount) -> Self {
        let (wakes, sleeps) = ec.counts();
        Traffic { wakes, sleeps }
    }
}

impl core::ops::Add for Traffic {
    type Output = Traffic;

    /// Where they wait at two places for the same.
    fn add(self, other: Traffic) -> Traffic {
        let sum = |here: u64, there: u64| here.wrapping_add(there);
        Traffic { wakes: sum(self.wakes, other.wakes), sleeps: sum(self.sleeps, other.sleeps) }
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

/// The participants' rows as they were, and the kernel to be asked about them.
pub(crate) struct Table<'a> {
    fd: BorrowedFd<'a>,
    rows: Vec<[u64; ROW_WORDS]>,
}

const ROW_WORDS: usize = size_of::<Row>() / 8;
const VALID: usize = offset_of!(Row, valid) / 8;
const ROLES: usize = offset_of!(Row, roles) / 8;
const PID: usize = offset_of!(Row, pid) / 8;
const JOINED: usize = offset_of!(Row, joined) / 8;

impl<'a> Table<'a> {
    fn read(fd: BorrowedFd<'a>, geometry: &Geometry) -> Result<Self, Error> {
        let mut rows = vec![[0; ROW_WORDS]; usize::from(geometry.participants)];
        read_exactly(fd, bytemuck::cast_slice_mut(&mut rows), ROWS_AT)?;
        Ok(Table { fd, rows })
    }

    /// The participant at `index`, which may be anything.
    pub(crate) fn participant(&self, index: u16) -> Participant {
        let row = usize::from(index).checked_sub(1).and_then(|at| self.rows.get(at));
        let Some(row) = row else {
            return Participant { index, alive: false, pid: None, joined: None };
        };
        // Not knowing is alive.
        let alive = lock_page::is_held(self.fd, index).unwrap_or(true);
        let row = (row[VALID] != 0).then_some(row);
        Participant {
            index,
            alive,
            pid: row.and_then(|row| u32::try_from(row[PID]).ok()),
            joined: row.map(|row| time(row[JOINED])),
        }
    }

    pub(crate) fn participants(&self) -> Vec<Participant> {
        let indices = (1..).take(self.rows.len());
        let all = indices.map(|index| self.participant(index));
        all.filter(|process| process.alive || process.joined.is_some()).collect()
    }

    /// The row's word on which ends its process holds; 0 for a row that cannot be.
    pub(crate) fn roles(&self, index: u16) -> u64 {
        usize::from(index).checked_sub(1).and_then(|at| self.rows.get(at)).map_or(0, |row| row[ROLES])
    }

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

/// Two private copies of an object's body, taken one after the other. `B` is a [`Body`].
pub(crate) fn read_twice<B: Shared>(fd: BorrowedFd<'_>, geometry: &Geometry) -> Result<[B; 2], Error> {
    expect("body length", geometry.body_len as u64, size_of::<B>() as u64)?;
    let copy = || -> Result<B, Error> {
        let mut body = MaybeUninit::<B>::zeroed();
        // SAFETY: as many bytes as the place has, all zero so far, and nobody else knows it.
        let bytes =
            unsafe { core::slice::from_raw_parts_mut(body.as_mut_ptr().cast::<u8>(), size_of::<B>()) };
        read_exactly(fd, bytes, geometry.body_at as u64)?;
        // SAFETY: initialised, and by the trait's promise any bits are valid.
        Ok(unsafe { body.assume_init() })
    };
    Ok([copy()?, copy()?])
}

/// Words of which any bits are valid.
///
/// # Safety
/// The type consists of integers and atomics.
pub(crate) unsafe trait Shared {}

// SAFETY: two indices, eventcounts and roles, all of atomic integers.
unsafe impl Shared for Body<ring::spsc::Header> {}
// SAFETY: two indices with their counts, eventcounts and roles, all of atomic integers.
unsafe impl Shared for Body<ring::bytes::Header> {}

fn read_exactly(fd: BorrowedFd<'_>, bytes: &mut [u8], at: u64) -> Result<(), Error> {
    let got =
        file::read_at(fd, bytes, at).map_err(|source| Error::Os { action: "read the segment", source })?;
    if got < bytes.len() {
        // Truncated since its length was checked.
        return Err(Error::Truncated { needed: at + bytes.len() as u64, found: at + got as u64 });
    }
    Ok(())
}

fn time(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests;

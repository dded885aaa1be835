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
use crate::error::{Error, Kind};
use crate::segment::admin;
use crate::segment::create::{expect, is_stale, read_geometry};
use crate::segment::layout::{EPHEMERAL, Geometry, RETIRED_AT};
use crate::sys::file::{self, Stat};
use crate::wait::EventCount;
use core::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime};

mod arena;
mod map;
mod pipe;
mod primitives;
mod queue;
mod ring;
mod table;

pub use arena::{Arena, ObjectsHeld, ObjectsOfKind};
pub use map::Map;
pub use pipe::{Holding, Lane, Lock, Pipe, PipeEnd};
use primitives::Block;
pub use primitives::{
    Barrier, Cell, Condvar, Event, Journal, Mutex, OwnedSemaphore, PermitsHeld, Semaphore, Token, TokenState,
};
pub use queue::{Chunks, InHand, Queue, Tally};
pub(crate) use ring::Span;
pub use ring::{Holder, Ring, RoleState};
pub use table::Participant;
pub(crate) use table::Table;

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
    /// Of a map.
    Map(Box<Map>),
    /// Of memory, which has none; and of a kind whose details this version cannot show.
    None,
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
        Kind::Spsc => Detail::Ring(ring::look_at_typed(fd, geometry, table)?),
        Kind::Bytes => Detail::Ring(ring::look_at_bytes(fd, geometry, table)?),
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

//! What can go wrong when an object is created, opened or handed over.
//!
//! The operations on an open object have small error types of their own, beside the operation.

use std::path::PathBuf;
use std::{error, fmt, io};

/// Why an object could not be created, opened, handed over or removed.
///
/// Nothing is left behind by a failed call: no file, no descriptor, no claim.
///
/// ```
/// use ringway::{Error, spsc};
///
/// match spsc::Consumer::<u64>::open("no-such-ring") {
///     Err(Error::NotFound { name }) => assert_eq!(name, "no-such-ring"),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The name is empty, too long, starts with a dot, or has a NUL or a misplaced slash.
    InvalidName {
        /// The name as given.
        name: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// The directory for named objects exists but belongs to somebody else or lets others in.
    DirectoryNotOurs {
        /// The directory.
        path: PathBuf,
        /// The user it belongs to.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no object of that name.
    NotFound {
        /// The name as given.
        name: String,
    },
    /// There is an object of that name already.
    AlreadyExists {
        /// The name as given.
        name: String,
    },
    /// The name leads to a symbolic link, a directory, a FIFO or a device.
    NotRegular {
        /// The name as given.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// The file belongs to another user.
    ForeignOwner {
        /// The user the file belongs to.
        owner: u32,
        /// The user that was expected.
        expected: u32,
    },
    /// The file lets users in that the options do not mention.
    TooPermissive {
        /// The permission bits found.
        mode: u32,
        /// The permission bits allowed.
        allowed: u32,
    },
    /// The file is no Ringway segment.
    BadMagic {
        /// Its first eight bytes.
        found: [u8; 8],
    },
    /// The segment was written by a machine of the other byte order.
    WrongEndian,
    /// The segment has another layout version.
    WrongVersion {
        /// The version found.
        found: u32,
        /// The version this library speaks.
        expected: u32,
    },
    /// The segment holds another kind of object.
    WrongKind {
        /// What it holds.
        found: Kind,
        /// What was to be opened.
        expected: Kind,
    },
    /// The segment's elements have another size or alignment.
    WrongElement {
        /// Size and alignment found, in bytes.
        found: (u64, u64),
        /// Size and alignment of the type asked for, in bytes.
        expected: (u64, u64),
    },
    /// The object exists with another capacity than the one asked for.
    WrongCapacity {
        /// The capacity found.
        found: u64,
        /// The capacity asked for.
        expected: u64,
    },
    /// A number in the segment's header contradicts the others.
    BadGeometry {
        /// Which number.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it must be, or may be at most.
        expected: u64,
    },
    /// The file is shorter than its header says, or too short for a header.
    Truncated {
        /// The bytes needed.
        needed: u64,
        /// The bytes there.
        found: u64,
    },
    /// The segment was made before the machine was last booted; nothing in it is alive.
    StaleBoot {
        /// The name as given.
        name: String,
    },
    /// A capacity of zero, or one that cannot be represented.
    BadCapacity {
        /// The capacity asked for.
        asked: u64,
        /// The smallest one possible.
        min: u64,
        /// The largest one possible.
        max: u64,
    },
    /// An option of a queue with a number that cannot be.
    BadOption {
        /// Which option.
        option: &'static str,
        /// The number asked for.
        asked: u64,
        /// The largest one possible.
        max: u64,
    },
    /// A participant table of no entries, or of more than there can be.
    BadParticipants {
        /// The number asked for.
        asked: u16,
        /// The largest one possible.
        max: u16,
    },
    /// A zero-sized or over-aligned element type.
    BadElement {
        /// Size of the type in bytes.
        size: u64,
        /// Alignment of the type in bytes.
        align: u64,
    },
    /// The file system has no room for the segment.
    NoSpace {
        /// The bytes the segment needs.
        needed: u64,
    },
    /// The arena has no room for the object, and may not grow.
    ArenaFull {
        /// How many bytes it may take for its objects.
        capacity: u64,
    },
    /// The object is not in the arena any more: nobody held it.
    Gone,
    /// As many processes as the segment has room for are attached.
    TooManyParticipants {
        /// The size of the participant table.
        limit: u32,
    },
    /// Another live handle has the role.
    RoleTaken {
        /// `"producer"` or `"consumer"`.
        role: &'static str,
        /// The process that has it, as it saw itself; 0 if unknown.
        pid: u32,
    },
    /// The descriptor can still be truncated by its sender; see [`Options::trusted`](crate::Options::trusted).
    NotSealed {
        /// The seals that are missing, as `F_SEAL_*` bits.
        missing: u32,
    },
    /// The kernel or the file system lacks something Ringway cannot do without.
    Unsupported {
        /// What is missing.
        what: &'static str,
    },
    /// The memory of the object contradicts itself; a process wrote to it against the rules.
    Corrupt(Corrupt),
    /// Nothing was handed over under that key.
    NotInherited {
        /// The key as given.
        key: String,
    },
    /// The operating system refused.
    Os {
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl Error {
    /// The last error of the operating system, met while trying `action`.
    pub(crate) fn last_os(action: &'static str) -> Self {
        Error::Os { action, source: io::Error::last_os_error() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidName { name, why } => write!(f, "the name {name:?} cannot be used: {why}"),
            Error::DirectoryNotOurs { path, owner, mode } => write!(
                f,
                "the directory {} is not ours alone (it belongs to user {owner}, mode {mode:04o})",
                path.display()
            ),
            Error::NotFound { name } => write!(f, "there is no object named {name:?}"),
            Error::AlreadyExists { name } => write!(f, "an object named {name:?} exists already"),
            Error::NotRegular { name, what } => write!(f, "{name:?} is {what}, not a segment"),
            Error::ForeignOwner { owner, expected } => {
                write!(f, "the file belongs to user {owner}, not to user {expected}")
            }
            Error::TooPermissive { mode, allowed } => {
                write!(f, "the file's mode {mode:04o} lets in more users than {allowed:04o}")
            }
            Error::BadMagic { found } => {
                write!(f, "not a ringway segment (it starts with \"{}\")", found.escape_ascii())
            }
            Error::WrongEndian => f.write_str("the segment was written in the other byte order"),
            Error::WrongVersion { found, expected } => {
                write!(f, "the segment has layout version {found}, this library speaks {expected}")
            }
            Error::WrongKind { found, expected } => write!(f, "the segment holds {found}, not {expected}"),
            Error::WrongElement { found, expected } => write!(
                f,
                "the segment's elements have {} bytes aligned to {}, the type has {} aligned to {}",
                found.0, found.1, expected.0, expected.1
            ),
            Error::WrongCapacity { found, expected } => {
                write!(f, "the object has a capacity of {found}, not {expected}")
            }
            Error::BadGeometry { field, found, expected } => {
                write!(f, "the header's {field} is {found}, expected {expected}")
            }
            Error::Truncated { needed, found } => {
                write!(f, "the file has {found} bytes of the {needed} it needs")
            }
            Error::StaleBoot { name } => {
                write!(f, "the object {name:?} was left by an earlier boot of the machine")
            }
            Error::BadCapacity { asked, min, max } => {
                write!(f, "a capacity of {asked} is not possible (from {min} to {max})")
            }
            Error::BadOption { option, asked, max } => {
                write!(f, "{option} cannot be {asked}, at most {max}")
            }
            Error::BadParticipants { asked, max } => {
                write!(f, "a segment cannot have places for {asked} processes (from 1 to {max})")
            }
            Error::BadElement { size, align } => {
                write!(f, "elements of {size} bytes aligned to {align} cannot be stored")
            }
            Error::NoSpace { needed } => write!(f, "no space for a segment of {needed} bytes"),
            Error::ArenaFull { capacity } => write!(f, "the arena's {capacity} bytes are all in use"),
            Error::Gone => f.write_str("the object is gone: nobody held it any more"),
            Error::TooManyParticipants { limit } => {
                write!(f, "all {limit} places for attached processes are taken")
            }
            Error::RoleTaken { role, pid } => write!(f, "the {role} role is taken by process {pid}"),
            Error::NotSealed { missing } => {
                write!(f, "the descriptor lacks the seals {missing:#x} against truncation")
            }
            Error::Unsupported { what } => write!(f, "not supported here: {what}"),
            Error::Corrupt(corrupt) => corrupt.fmt(f),
            Error::NotInherited { key } => write!(f, "nothing was handed over under the key {key:?}"),
            Error::Os { action, source } => write!(f, "cannot {action}: {source}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Error::Corrupt(corrupt)
    }
}

/// A number in shared memory that no honest process can have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt {
    /// Which number.
    pub field: &'static str,
    /// Its value.
    pub found: u64,
    /// The largest value, or the only one, that would have been possible.
    pub limit: u64,
    /// The number of the slot or chunk it stands in, where there are several.
    pub place: Option<u64>,
}

impl Corrupt {
    /// The same, in that slot or chunk.
    pub(crate) fn at(self, place: impl Into<u64>) -> Self {
        Corrupt { place: Some(place.into()), ..self }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corrupt { field, found, limit, place } = self;
        write!(f, "the shared memory is corrupt: {field} ")?;
        if let Some(place) = place {
            write!(f, "{place} ")?;
        }
        write!(f, "is {found}, the limit is {limit}")
    }
}

impl error::Error for Corrupt {}

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A ring of fixed-size elements, [`spsc`](crate::spsc).
    Spsc,
    /// A ring of variable-size records, [`bytes`](crate::bytes).
    Bytes,
    /// A [`Pipe`](crate::Pipe).
    Pipe,
    /// A [`Queue`](crate::Queue) of fixed-size elements.
    Queue,
    /// A [`Queue`](crate::Queue) of bytes.
    ByteQueue,
    /// A [`JoinableQueue`](crate::JoinableQueue).
    JoinableQueue,
    /// A [`Mutex`](crate::Mutex).
    Mutex,
    /// A [`ReentrantMutex`](crate::ReentrantMutex).
    ReentrantMutex,
    /// A [`Semaphore`](crate::Semaphore).
    Semaphore,
    /// An [`OwnedSemaphore`](crate::OwnedSemaphore).
    OwnedSemaphore,
    /// An [`Event`](crate::Event).
    Event,
    /// A [`Condvar`](crate::Condvar).
    Condvar,
    /// A [`Barrier`](crate::Barrier).
    Barrier,
    /// A [`Value`](crate::Value).
    Value,
    /// An [`Array`](crate::Array).
    Array,
    /// An [`Arena`](crate::Arena).
    Arena,
    /// A [`Token`](crate::Token).
    Token,
    /// A [`Memory`](crate::Memory).
    Memory,
    /// A [`TallyQueue`](crate::TallyQueue).
    TallyQueue,
    /// A [`Map`](crate::Map).
    Map,
    /// Something this version does not know, by its number.
    Unknown(u32),
}

impl Kind {
    pub(crate) const fn number(self) -> u32 {
        match self {
            Kind::Spsc => 1,
            Kind::Bytes => 2,
            Kind::Pipe => 3,
            Kind::Queue => 4,
            Kind::ByteQueue => 5,
            Kind::JoinableQueue => 6,
            Kind::Mutex => 7,
            Kind::ReentrantMutex => 8,
            Kind::Semaphore => 9,
            Kind::OwnedSemaphore => 10,
            Kind::Event => 11,
            Kind::Condvar => 12,
            Kind::Barrier => 13,
            Kind::Value => 14,
            Kind::Array => 15,
            Kind::Arena => 16,
            Kind::Token => 17,
            Kind::Memory => 18,
            Kind::TallyQueue => 20,
            Kind::Map => 19,
            Kind::Unknown(number) => number,
        }
    }

    pub(crate) const fn from_number(number: u32) -> Self {
        match number {
            1 => Kind::Spsc,
            2 => Kind::Bytes,
            3 => Kind::Pipe,
            4 => Kind::Queue,
            5 => Kind::ByteQueue,
            6 => Kind::JoinableQueue,
            7 => Kind::Mutex,
            8 => Kind::ReentrantMutex,
            9 => Kind::Semaphore,
            10 => Kind::OwnedSemaphore,
            11 => Kind::Event,
            12 => Kind::Condvar,
            13 => Kind::Barrier,
            14 => Kind::Value,
            15 => Kind::Array,
            16 => Kind::Arena,
            17 => Kind::Token,
            18 => Kind::Memory,
            20 => Kind::TallyQueue,
            19 => Kind::Map,
            other => Kind::Unknown(other),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Spsc => f.write_str("a typed ring"),
            Kind::Bytes => f.write_str("a byte ring"),
            Kind::Pipe => f.write_str("a pipe"),
            Kind::Queue => f.write_str("a queue"),
            Kind::ByteQueue => f.write_str("a queue of bytes"),
            Kind::JoinableQueue => f.write_str("a joinable queue"),
            Kind::Mutex => f.write_str("a mutex"),
            Kind::ReentrantMutex => f.write_str("a reentrant mutex"),
            Kind::Semaphore => f.write_str("a semaphore"),
            Kind::OwnedSemaphore => f.write_str("a semaphore of owned permits"),
            Kind::Event => f.write_str("an event"),
            Kind::Condvar => f.write_str("a condition variable"),
            Kind::Barrier => f.write_str("a barrier"),
            Kind::Value => f.write_str("a value"),
            Kind::Array => f.write_str("an array"),
            Kind::Arena => f.write_str("an arena"),
            Kind::Token => f.write_str("a token"),
            Kind::Memory => f.write_str("a piece of memory"),
            Kind::TallyQueue => f.write_str("a tally queue"),
            Kind::Map => f.write_str("a map"),
            Kind::Unknown(number) => write!(f, "an object of the unknown kind {number}"),
        }
    }
}

//! Rings, pipes, queues and locks in shared memory, between the processes of one Linux machine: faster than anything else on it,
//! without copies, and safe against processes that die at any instruction.
//!
//! ```
//! let (tx, rx) = ringway::Pipe::simplex()?;
//! tx.send(b"hello")?;
//! assert_eq!(rx.recv()?, b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which type do I want?
//!
//! | I have | I want |
//! |---|---|
//! | one producer, one consumer, messages of one plain type | [`spsc`], the fastest: hundreds of millions of messages a second |
//! | one producer, one consumer, records of any length | [`bytes`] |
//! | any number of processes that send, any number that receive: values of one plain type, or bytes | [`Queue`], or [`SimpleQueue`] with nothing to choose |
//! | the same, and work that must be done even if the worker dies | [`JoinableQueue`] |
//! | the same, and nothing but the number of messages that are done, whoever had them | [`TallyQueue`] |
//! | several processes at one end, both directions, messages of any size, end of stream | [`Pipe`] |
//! | a value that several processes change, one at a time | [`Mutex`], or [`ReentrantMutex`]; with [`Condvar`] to wait until it is as one wants it |
//! | a number that several processes count with, or a value that they read and replace as a whole | [`Value`] |
//! | many of them | [`Array`] |
//! | bytes without any promise, for rules of my own | [`Memory`] |
//! | a dictionary that several processes share | [`Map`] |
//! | something that happens, or has happened | [`Event`] |
//! | a number of something | [`Semaphore`], or [`OwnedSemaphore`] if it must come back when its holder dies |
//! | a lock that one process takes and another gives back | [`Token`] |
//! | parties that go on together | [`Barrier`] |
//! | thousands of locks, events, values | an [`Arena`] for them |
//!
//! Each can be made with a name ([`create`](spsc::Producer::create), [`open`](spsc::Producer::open)), without one to be
//! handed over as a descriptor ([`anonymous`](spsc::Producer::anonymous), [`from_fd`](spsc::Producer::from_fd)), or for
//! a child process ([`inherit`](spsc::Producer::inherit), [`inherited`](spsc::Producer::inherited)). [`Options`] has
//! the rest.
//!
//! # What is guaranteed
//! - **A crash loses nothing that was committed, and blocks nobody.** `SIGKILL` at any instruction of any process: a
//!   message is there as a whole or not at all; the others go on as soon as the kernel says that the process is gone,
//!   a sleeper after at most a tenth of a second. A process that is merely *stopped* is not dead: it keeps its roles.
//! - **Waiting costs nothing while nobody waits**: no system call, no fence, no locked instruction for a message through
//!   a ring with nobody asleep.
//! - **A peer cannot make this process unsound.** Whatever bytes it writes to the shared memory: every call ends with a
//!   value, a typed error or a time-out. Where views without a copy are lent out, and to whom they are not, is told at
//!   [`Options`](Options#trust).
//! - **Nothing is left over.** Objects without a name vanish with their last process; named ones appear complete or not
//!   at all. A full disk is an error at creation, never a `SIGBUS` later.
//!
//! # What it does not do
//! It runs on Linux, on one machine. Exactly-once processing is the application's to make.
//!
//! # Forks
//! A forked child may go on using a [`Connection`], a [`Queue`], a [`JoinableQueue`], a [`TallyQueue`], and all locks and cells: it becomes
//! somebody of its own. A ring's role stays with the parent, and the child's copy of the handle says `Forked`. Guards that were open at the fork
//! do nothing in the child.

#[cfg(not(target_os = "linux"))]
compile_error!("ringway uses futexes, memfds and open-file-description locks: it runs on Linux");
#[cfg(not(target_has_atomic = "64"))]
compile_error!("ringway needs lock-free 64-bit atomics");

mod arena;
mod channel;
mod error;
mod handover;
pub mod inspect;
#[cfg(ringway_instruments)]
pub mod instruments;
mod lock;
mod map;
mod options;
mod pool;
mod primitives;
mod ring;
mod segment;
mod sync;
mod sys;
mod wait;
mod watch;

pub use arena::{Arena, BadPlace, Place};
pub use channel::{
    Connection, End, JoinableQueue, Loan, Message, Pipe, PopError, Queue, RecvError, SendError, SimpleQueue,
    TallyQueue, bytes, queue, spsc,
};
pub use error::{Corrupt, Error, Kind};
pub use options::Options;
pub use primitives::{
    AcquireError, Array, ArrayGuard, ArrayInherited, Atomic, Barrier, BarrierError, CellError, Condvar,
    Event, Inherited, Integer, LockError, Map, MapError, MapGuard, Memory, Met, Mutex, MutexGuard,
    OwnedSemaphore, Permit, ReentrantInherited, ReentrantMutex, ReentrantMutexGuard, ReleaseError, Semaphore,
    Taken, Token, Value, ValueGuard, ValueInherited,
};
pub use segment::admin::{clean, clean_if, unlink, unlink_unused};
pub use wait::{Deadline, Wait, interruptible};

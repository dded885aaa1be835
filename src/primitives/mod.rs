//! Locks, and what else processes agree by, which survive the death of any of them.
//!
//! | file | what it holds |
//! |---|---|
//! | `site` | where an object lies: a segment of its own today, a block of a shared one as well |
//! | `handle` | the constructors that all have in common |
//! | `thread` | the numbers of threads, and what a thread leaves when it ends |
//! | `holding` | what the locks have in common: taking, waiting, giving back |
//! | `waiting` | what those have in common that nobody owns |
//! | `mutex`, `guard`, `value` | [`Mutex`], what it hands out, and what it protects |
//! | `reentrant`, `reentry` | [`ReentrantMutex`], and how a thread has a lock several times |
//! | `cells` | [`Value`], [`Array`] |
//! | `map` | [`Map`] |
//! | `condvar` | [`Condvar`] |
//! | `memory` | [`Memory`] |
//! | `event` | [`Event`] |
//! | `semaphore`, `owned` | [`Semaphore`], [`OwnedSemaphore`] |
//! | `token` | [`Token`] |
//! | `readiness` | events and semaphores in event loops and futures |
//! | `barrier` | [`Barrier`] |
//!
//! The protocols themselves are in `lock/`, where the models see them. Here they are given memory, names, clocks, an
//! answer to who is dead, and types that cannot be misused.

mod barrier;
mod cells;
mod condvar;
mod error;
mod event;
mod guard;
mod handle;
mod holding;
mod map;
mod memory;
mod mutex;
mod owned;
mod readiness;
mod reentrant;
mod reentry;
mod semaphore;
mod site;
#[cfg(test)]
mod tests;
mod thread;
mod token;
mod value;
mod waiting;

use crate::error::Kind;
use crate::lock::{self, Desk, Rendezvous};
use condvar::Meeting;
use layout::{Body, MapBody, Words};
pub(crate) use site::{Block, Needs, Primitive, Site};

/// What cleans an object up after a dead participant: of this kind, in a body of `body_len` bytes, with a value of
/// `value_len`. `None` if it has not even room for its own words.
pub(crate) fn sweep_of(kind: Kind, body_len: u64, value_len: u64) -> Option<fn(Block, u16)> {
    let (words_len, sweep): (usize, fn(Block, u16)) = match kind {
        Kind::Mutex => (size_of::<Words>(), Mutex::<()>::sweep),
        Kind::ReentrantMutex => (size_of::<Words>(), ReentrantMutex::<()>::sweep),
        Kind::OwnedSemaphore => (size_of::<Desk>(), OwnedSemaphore::sweep),
        Kind::Condvar => (size_of::<Meeting>(), Condvar::sweep),
        Kind::Barrier => (size_of::<Rendezvous>(), Barrier::sweep),
        Kind::Value if value_len <= 8 => (size_of::<Words>(), Value::<u64>::sweep),
        Kind::Value => (size_of::<Body>(), Value::<[u64; 2]>::sweep),
        Kind::Array => (size_of::<Body>(), Array::<u8>::sweep),
        Kind::Token => (size_of::<lock::Token>(), Token::sweep),
        Kind::Map => (size_of::<MapBody>(), Map::sweep),
        // The dead leave nothing in the others.
        _ => return None,
    };
    (body_len >= words_len as u64).then_some(sweep)
}

/// What leaves to others, in good order, what a participant has in an object of this kind, in a body of `body_len` bytes:
/// it returns whether that was anything. `None` if there is nothing that could be left so.
pub(crate) fn leave_of(kind: Kind, body_len: u64) -> Option<fn(Block, u16) -> bool> {
    (kind == Kind::Token && body_len >= size_of::<lock::Token>() as u64).then_some(Token::leave)
}

/// What lies in shared memory, for those who look from outside.
pub(crate) mod layout {
    pub(crate) use super::cells::Body;
    pub(crate) use super::holding::Words;
    pub(crate) use super::map::{Body as MapBody, Layout as MapLayout};
}

pub use barrier::{Barrier, Met};
pub use cells::{
    Array, ArrayGuard, ArrayInherited, Atomic, CellError, Integer, Value, ValueGuard, ValueInherited,
};
pub use condvar::Condvar;
pub use error::{AcquireError, BarrierError, LockError, ReleaseError};
pub use event::Event;

pub use guard::{Inherited, MutexGuard};
pub use map::{Map, MapError, MapGuard};
pub use memory::Memory;
pub use mutex::Mutex;
pub use owned::{OwnedSemaphore, Permit};
pub use reentrant::{ReentrantInherited, ReentrantMutex, ReentrantMutexGuard};
pub use semaphore::Semaphore;
pub use token::{Taken, Token};

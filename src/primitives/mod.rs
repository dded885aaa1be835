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
//! | `reentrant` | [`ReentrantMutex`] |
//! | `condvar` | [`Condvar`] |
//! | `event` | [`Event`] |
//! | `semaphore`, `owned` | [`Semaphore`], [`OwnedSemaphore`] |
//! | `readiness` | events and semaphores in event loops and futures |
//! | `barrier` | [`Barrier`] |
//!
//! The protocols themselves are in `lock/`, where the models see them. Here they are given memory, names, clocks, an
//! answer to who is dead, and types that cannot be misused.

mod barrier;
mod condvar;
mod error;
mod event;
mod guard;
mod handle;
mod holding;
mod mutex;
mod owned;
mod readiness;
mod reentrant;
mod semaphore;
mod site;
#[cfg(test)]
mod tests;
mod thread;
mod value;
mod waiting;

use crate::error::Kind;
pub(crate) use site::{Block, Needs, Primitive, Site};

/// What cleans objects of a kind up after a dead participant, whatever their values are.
pub(crate) struct Sweeper {
    /// What to call, with the object's block.
    pub(crate) sweep: fn(Block, u16),
    /// How many bytes the object's body must have for that.
    pub(crate) least: u64,
}

/// The one for a kind; `None` if objects of that kind are never in a block.
pub(crate) fn sweeper_of(kind: Kind) -> Option<Sweeper> {
    use crate::lock::{Condition, Count, Desk, Flag, Rendezvous};
    fn of<Body>(sweep: fn(Block, u16)) -> Option<Sweeper> {
        Some(Sweeper { sweep, least: size_of::<Body>() as u64 })
    }
    match kind {
        Kind::Mutex => of::<holding::Words>(Mutex::<()>::sweep),
        Kind::ReentrantMutex => of::<holding::Words>(ReentrantMutex::<()>::sweep),
        Kind::Semaphore => of::<Count>(Semaphore::sweep),
        Kind::OwnedSemaphore => of::<Desk>(OwnedSemaphore::sweep),
        Kind::Event => of::<Flag>(Event::sweep),
        Kind::Condvar => of::<Condition>(Condvar::sweep),
        Kind::Barrier => of::<Rendezvous>(Barrier::sweep),
        _ => None,
    }
}

/// What lies in shared memory, for those who look from outside.
pub(crate) mod layout {
    pub(crate) use super::holding::Words;
}

pub use barrier::{Barrier, Met};
pub use condvar::Condvar;
pub use error::{AcquireError, BarrierError, LockError, ReleaseError};
pub use event::Event;

pub use guard::{Inherited, MutexGuard};
pub use mutex::Mutex;
pub use owned::{OwnedSemaphore, Permit};
pub use reentrant::{ReentrantInherited, ReentrantMutex, ReentrantMutexGuard};
pub use semaphore::Semaphore;

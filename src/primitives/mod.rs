//! Locks, and what else processes agree by, which survive the death of any of them.
//!
//! | file | what it holds |
//! |---|---|
//! | `site` | where an object lies: a segment of its own today, a block of a shared one as well |
//! | `handle` | the constructors that all have in common |
//! | `thread` | the numbers of threads, and what a thread leaves when it ends |
//! | `holding` | what the locks have in common: taking, waiting, giving back |
//! | `mutex`, `guard` | [`Mutex`] and what it hands out |
//!
//! The protocols themselves are in `lock/`, where the models see them. Here they are given memory, names, clocks, an
//! answer to who is dead, and types that cannot be misused.

mod error;
mod guard;
mod handle;
mod holding;
mod mutex;
mod site;
#[cfg(test)]
mod tests;
mod thread;
mod value;
mod waiting;

/// What lies in shared memory, for those who look from outside.
pub(crate) mod layout {
    pub(crate) use super::holding::Words;
}

pub use error::LockError;
pub use guard::{Inherited, MutexGuard};
pub use mutex::Mutex;

//! The only place with system calls.

pub(crate) mod clock;
pub(crate) mod cpus;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod identity;
pub(crate) mod lock_page;
pub(crate) mod membarrier;
pub(crate) mod memory;
mod own_page;
pub(crate) mod socket;
pub(crate) mod thread_end;

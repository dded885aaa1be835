//! The only place with system calls.

pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod identity;
pub(crate) mod lock_page;
pub(crate) mod memory;

//! A descriptor that is readable or not, for event loops; of this process alone.

use crate::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};

/// An eventfd: readable from [`raise`](Self::raise) to [`lower`](Self::lower).
#[derive(Debug)]
pub(crate) struct Event(File);

impl Event {
    /// # Errors
    /// What the operating system refuses: no descriptor left, no memory.
    pub(crate) fn new() -> Result<Self, Error> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(Error::last_os("make a descriptor to poll"));
        }
        // SAFETY: just made, so nobody else has it.
        Ok(Event(unsafe { File::from_raw_fd(fd) }))
    }

    pub(crate) fn raise(&self) {
        // Fails only when 2⁶⁴ - 2 raises were not lowered: then it is readable anyway.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    pub(crate) fn lower(&self) {
        // Fails only if it is lowered already.
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

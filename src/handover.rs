//! Handing objects to a child process started with [`std::process::Command`].
//!
//! The descriptors keep their numbers over `exec`; an environment variable tells the child which they are and
//! which files they must be. In the parent they stay close-on-exec: no other child gets them.

use crate::error::Error;
use crate::sys::file::{self, FileId, Stat};
use crate::sys::fork::NoForks;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Arranges for `command`'s child to inherit `fds` under `key`. They must be open when it is spawned, else
/// spawning fails.
pub(crate) fn give<const N: usize>(
    command: &mut Command,
    key: &str,
    fds: [BorrowedFd<'_>; N],
) -> Result<(), Error> {
    let variable = variable(key).ok_or_else(|| Error::InvalidName {
        name: key.to_owned(),
        why: "a key consists of letters, digits and underscores",
    })?;
    let mut files = [(0, FileId { device: 0, inode: 0 }); N];
    for (file, fd) in files.iter_mut().zip(fds) {
        let stat = Stat::of(fd).map_err(|source| Error::Os { action: "examine a descriptor", source })?;
        *file = (fd.as_raw_fd(), stat.id());
    }
    command.env(variable, files.map(|(fd, id)| format!("{fd}:{}:{}", id.device, id.inode)).join(","));
    let keep = move || files.iter().try_for_each(|&(fd, id)| file::keep_over_exec(fd, id));
    // SAFETY: the closure makes two system calls for each descriptor and neither allocates nor locks.
    unsafe { command.pre_exec(keep) };
    Ok(())
}

/// Takes what our parent gave us under `key`; the second time there is nothing left.
pub(crate) fn take<const N: usize>(key: &str) -> Result<[OwnedFd; N], Error> {
    let nothing = || Error::NotInherited { key: key.to_owned() };
    let text = variable(key).and_then(std::env::var_os).ok_or_else(nothing)?;
    let text = text.to_str().ok_or_else(nothing)?;
    let mut files = Vec::with_capacity(N);
    // Before any is taken, so that a wrong number of them leaves them for who asks for the right one.
    if text.split(',').count() != N {
        return Err(nothing());
    }
    for file in text.split(',') {
        let mut numbers = file.split(':');
        let mut next = || numbers.next().and_then(|number| number.parse::<u64>().ok());
        let (Some(fd), Some(device), Some(inode)) = (next(), next(), next()) else { return Err(nothing()) };
        let fd = i32::try_from(fd).map_err(|_| nothing())?;
        files.push((fd, FileId { device, inode }));
    }
    let mut taken = Vec::with_capacity(N);
    // One taker at a time; the gate is held for a few system calls, and nothing is allocated meanwhile.
    let alone = NoForks::hold()?;
    let adopted = files.iter().try_for_each(|&(fd, id)| file::adopt(fd, id).map(|fd| taken.push(fd)));
    drop(alone);
    adopted.map_err(|_| nothing())?;
    taken.try_into().map_err(|_| nothing())
}

fn variable(key: &str) -> Option<String> {
    let fits = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    fits.then(|| format!("RINGWAY_FD_{key}"))
}

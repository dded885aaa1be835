//! What a command keeps hold of as long as any process of it runs.
//!
//! A lock or a permit belongs to the `ringway` process that took it, and is free when that one is killed. Its command may
//! outlive it: for some microseconds, or, if it has children of its own, for as long as those please. So the command
//! inherits a descriptor by which a byte of the object's file is locked, and hands it on to its children. Whoever gets the
//! lock from a dead one waits until that byte is free too. One that is done gives the byte back by itself, whatever its
//! command left running: that is not meant then.

use std::{
    fs, io,
    os::fd::{BorrowedFd, RawFd},
};

use crate::sys::Bytes;

/// Where the bytes lie: behind any data, which locks do not mind, and before those of the participants (2^62 and on).
const FIRST: u64 = 1 << 61;

/// One of several bytes, locked.
#[derive(Debug)]
pub(crate) struct Leash {
    bytes: Bytes,
    /// How many there are: as many as may run at once.
    count: u64,
    /// The one that we have.
    at: Option<u64>,
}

impl Leash {
    /// None yet, for an object that lets `count` run at once.
    pub(crate) fn of(fd: BorrowedFd<'_>, count: u32) -> io::Result<Leash> {
        Ok(Leash { bytes: Bytes::of(fd)?, count: count.into(), at: None })
    }

    /// Takes one of the bytes, if one is free.
    pub(crate) fn try_take(&mut self) -> io::Result<bool> {
        // Not all begin at the same.
        let begin = u64::from(std::process::id());
        for step in 0..self.count {
            let at = FIRST + (begin + step) % self.count;
            if self.bytes.try_lock(at)? {
                self.at = Some(at);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether somebody else has one.
    pub(crate) fn is_taken(&self) -> io::Result<bool> {
        self.bytes.is_any_locked(FIRST, self.count)
    }

    /// What the command is to keep open.
    pub(crate) fn raw(&self) -> RawFd {
        self.bytes.raw()
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            // It can only fail where locking did.
            let _ = self.bytes.unlock(at);
        }
    }
}

/// The processes that keep bytes of the file with this number, of those that we may look at. What they are told apart by
/// is their descriptors, so it takes a moment.
pub(crate) fn keepers(inode: u64) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut keepers: Vec<u32> = pids.filter(|&pid| keeps(pid, inode).unwrap_or(false)).collect();
    keepers.sort_unstable();
    keepers
}

fn keeps(pid: u32, inode: u64) -> io::Result<bool> {
    // lock:   1: OFDLCK  ADVISORY  WRITE -1 00:1a:4711 2305843009213693952 2305843009213693952
    let is_it = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip_while(|&field| field != "OFDLCK").skip(4);
        let file = fields.next().and_then(|file| file.rsplit(':').next()?.parse().ok());
        let at = fields.next().and_then(|at| at.parse().ok());
        line.starts_with("lock:")
            && file == Some(inode)
            && at.is_some_and(|at| (FIRST..2 * FIRST).contains(&at))
    };
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // One that was closed meanwhile is none.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        if text.lines().any(is_it) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn whoever_keeps_a_byte_is_found() {
        let memory = ringway::Event::anonymous().unwrap();
        let inode = ringway::inspect::stat_fd(memory.as_fd()).unwrap().inode;
        let mut leash = Leash::of(memory.as_fd(), 1).unwrap();
        assert_eq!(keepers(inode), [0_u32; 0]);
        assert!(leash.try_take().unwrap());
        assert_eq!(keepers(inode), vec![std::process::id()]);
    }

    #[test]
    fn as_many_as_there_are_bytes() {
        let memory = ringway::Event::anonymous().unwrap();
        let leash = || Leash::of(memory.as_fd(), 2).unwrap();
        let (mut one, mut two, mut three) = (leash(), leash(), leash());
        assert!(!three.is_taken().unwrap());
        assert!(one.try_take().unwrap() && two.try_take().unwrap());
        assert!(!three.try_take().unwrap() && three.is_taken().unwrap());
        drop(two);
        assert!(three.try_take().unwrap());
    }
}

//! How the processes of a stage tell the worker what happened: entries in a pipe, each written in one piece.
//!
//! The worker reads until the last of them is gone, so that nobody outlives its stage unnoticed.

use crate::trace::{Met, Position};
use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// What the stage is about to do: where it hangs, if it does.
    Doing(String),
    /// The next positions of the trace.
    Trace(Vec<Met>),
    /// Where the victim was killed.
    Killed(Position),
    /// What must not be.
    Violation(String),
    /// The survivor found everything in order, and this much of the operation done.
    Intact(u64),
}

/// What a pipe takes in one piece.
const ATOMIC: usize = 4096;
const HEADER: usize = 3;
/// Positions that fit one entry.
pub(crate) const CHUNK: usize = (ATOMIC - HEADER) / 9;

thread_local! {
    /// Where this process writes; processes here have one thread.
    static LOG: Cell<i32> = const { Cell::new(-1) };
}

/// The reading end, for the worker; the writing end is this process's and its children's log until [`close`].
pub(crate) fn open() -> std::io::Result<File> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` is a valid place for two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    LOG.set(fds[1]);
    // SAFETY: the kernel just returned this descriptor to us.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fds[0]) }))
}

/// Closes the writing end in this process.
pub(crate) fn close() {
    // SAFETY: made in `open`, and forgotten here.
    unsafe { libc::close(LOG.replace(-1)) };
}

/// Says what happened. Without a log, to the terminal.
pub(crate) fn write(entry: &Entry) {
    let fd = LOG.get();
    if fd < 0 {
        return eprintln!("{entry:?}");
    }
    let (tag, mut bytes) = match entry {
        Entry::Doing(text) => (0, text.as_bytes().to_vec()),
        Entry::Trace(positions) => (1, positions.iter().flat_map(|position| position.to_bytes()).collect()),
        Entry::Killed(position) => (2, position.to_bytes().to_vec()),
        Entry::Violation(text) => (3, text.as_bytes().to_vec()),
        Entry::Intact(effect) => (4, effect.to_le_bytes().to_vec()),
    };
    bytes.truncate(ATOMIC - HEADER);
    let mut whole = vec![tag];
    whole.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    whole.append(&mut bytes);
    // SAFETY: the bytes are ours for the call to read. Failing means that the worker is gone, and with it everybody
    // interested.
    unsafe { libc::write(fd, whole.as_ptr().cast(), whole.len()) };
}

/// Reads until everybody who could write is gone.
pub(crate) fn read(mut from: File) -> std::io::Result<Vec<Entry>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    let mut rest = &bytes[..];
    let mut entries = Vec::new();
    while let [tag, low, high, after @ ..] = rest {
        let (payload, after) =
            after.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(after.len()));
        let text = || String::from_utf8_lossy(payload).into_owned();
        let position = |bytes: &[u8]| Position::from_bytes(bytes.try_into().unwrap_or_default());
        entries.push(match tag {
            0 => Entry::Doing(text()),
            1 => Entry::Trace(
                payload
                    .chunks(9)
                    .map(|bytes| Met::from_bytes(bytes.try_into().unwrap_or_default()))
                    .collect(),
            ),
            2 => Entry::Killed(position(payload)),
            3 => Entry::Violation(text()),
            _ => Entry::Intact(u64::from_le_bytes(payload.try_into().unwrap_or_default())),
        });
        rest = after;
    }
    Ok(entries)
}

//! The objects within one process: what each call does, and what nobody may get by any.

mod array;
mod barrier;
mod condvar;
mod event;
mod looking;
mod map;
mod memory;
mod mutex;
mod readiness;
mod reentrant;
mod semaphore;
mod token;
mod value;

use crate::inspect::{self, Detail};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// What an onlooker sees of a lock.
pub(super) fn look(lock: &impl AsFd) -> inspect::Mutex {
    match inspect::stat_fd(lock.as_fd()).unwrap().detail {
        Detail::Lock(lock) => *lock,
        other => panic!("no lock: {other:?}"),
    }
}

/// Writes nonsense over a word of an object.
fn scribble_at(object: &impl AsFd, at: u64, word: u64) {
    let file = File::from(object.as_fd().try_clone_to_owned().unwrap());
    file.write_all_at(&word.to_ne_bytes(), at).unwrap();
}

/// The same over a word of the object's body, if 254 processes can be attached.
fn scribble(object: &impl AsFd, at: u64, word: u64) {
    scribble_at(object, 4096 + 4 * 4096 + at, word);
}

//! The objects within one process: what each call does, and what nobody may get by any.

mod mutex;

use crate::inspect::{self, Detail};
use std::os::fd::AsFd;

/// What an onlooker sees of a lock.
pub(super) fn look(lock: &impl AsFd) -> inspect::Mutex {
    match inspect::stat_fd(lock.as_fd()).unwrap().detail {
        Detail::Lock(lock) => *lock,
        other => panic!("no lock: {other:?}"),
    }
}

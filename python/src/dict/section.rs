//! The lock of a dictionary, held for several operations of Python code.
//!
//! Rust's guards belong to a thread and to a scope; Python's `with` has neither. So each thread keeps its own.

use super::refused;
use crate::waits::waiting;
use core::cell::RefCell;
use core::mem::{ManuallyDrop, transmute};
use pyo3::prelude::*;
use ringway::{Deadline, Map, MapError, MapGuard};
use std::sync::Arc;

/// A guard and what it borrows.
struct Section {
    /// Leaked if the thread ends with it: then the next one to take the lock is told, as if the process had died.
    guard: ManuallyDrop<MapGuard<'static>>,
    map: Arc<Map>,
}

std::thread_local! {
    static HELD: RefCell<Vec<Section>> = const { RefCell::new(Vec::new()) };
}

/// Takes the lock, waiting until `until` without the interpreter's lock. Returns whether it came from one who had died with it.
///
/// Here, and only here, a thread may wait for the interpreter's lock while it has the dictionary's: what follows is Python
/// code. Nobody who has the interpreter's lock ever waits for the dictionary's, so that is no circle.
pub(super) fn enter(py: Python<'_>, map: &Arc<Map>, until: Deadline) -> PyResult<bool> {
    match map.try_lock() {
        Ok(guard) => return Ok(keep(map, guard)),
        Err(MapError::WouldBlock) if until == Deadline::NOW => return Err(refused(MapError::Timeout)),
        Err(MapError::WouldBlock) => {}
        Err(error) => return Err(refused(error)),
    }
    let mut is_in = false;
    let entered = waiting(py, || {
        let inherited = keep(map, map.lock_deadline(until)?);
        is_in = true;
        Ok(inherited)
    });
    match entered {
        Ok(entered) => entered.map_err(refused),
        Err(raised) => {
            // A signal's handler raised, though the lock was had at that very moment.
            if is_in {
                leave(map);
            }
            Err(raised)
        }
    }
}

/// Keeps the guard for this thread. Returns whether it was inherited.
fn keep(map: &Arc<Map>, guard: MapGuard<'_>) -> bool {
    let inherited = guard.was_inherited();
    // SAFETY: only the lifetime changes. What the guard borrows is the map in the `Arc` beside it, which goes after the guard.
    let guard = unsafe { transmute::<MapGuard<'_>, MapGuard<'static>>(guard) };
    let section = Section { guard: ManuallyDrop::new(guard), map: Arc::clone(map) };
    HELD.with_borrow_mut(|held| held.push(section));
    inherited
}

/// Gives the lock back once. Returns whether this thread had it by this handle.
pub(super) fn leave(map: &Arc<Map>) -> bool {
    let section = HELD.with_borrow_mut(|held| {
        let at = held.iter().rposition(|section| Arc::ptr_eq(&section.map, map))?;
        Some(held.remove(at))
    });
    let Some(mut section) = section else { return false };
    // SAFETY: dropped once, as the section goes now; on the thread that took it, since each thread has its own list.
    unsafe { ManuallyDrop::drop(&mut section.guard) };
    true
}

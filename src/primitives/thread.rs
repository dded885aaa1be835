//! Which thread this is, and what becomes of the locks of one that ends.

use super::holding::Holding;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::thread_end;
use core::cell::{Cell, RefCell};
use core::mem::ManuallyDrop;
use std::collections::HashMap;
use std::sync::Weak;

/// The last number given out. A forked child goes on counting from its copy: what matters is that no two threads of one
/// process have the same, and the parent's threads are not the child's, except the one that forked.
static LAST: AtomicU64 = AtomicU64::new(0);

std::thread_local! {
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    /// In a box that no destructor of a thread-local value drops: other such values may have guards in them, which hold until
    /// they go. [`settle`] drops it after all of them.
    static ESTATE: ManuallyDrop<RefCell<Option<Box<Estate>>>> = const { ManuallyDrop::new(RefCell::new(None)) };
}

/// The number of the running thread among those of its process; never 0.
#[inline]
pub(super) fn number() -> u32 {
    match NUMBER.get() {
        0 => assign(),
        number => number,
    }
}

/// The same, 0 if it has none yet.
#[inline(always)]
pub(super) fn number_if_known() -> u32 {
    NUMBER.get()
}

#[cold]
fn assign() -> u32 {
    // Relaxed: each value stands for itself. After four thousand million threads the numbers begin anew.
    let number = (LAST.fetch_add(1, Ordering::Relaxed) % u64::from(u32::MAX)) as u32 + 1;
    NUMBER.set(number);
    number
}

/// The locks by whose handles this thread ever held something, so that what it still holds when it ends can be left to
/// others. Nothing is entered at each locking: the handle remembers which thread knows it.
#[derive(Debug, Default)]
struct Estate {
    known: HashMap<*const Holding, Weak<Holding>>,
    /// So many may be known before those whose handles are gone are looked for.
    enough: usize,
}

/// The end of the thread: what it holds is left to others.
fn settle() {
    // Taken out: the end of a handle that goes with it may come back here.
    let estate = ESTATE.with(|estate| estate.try_borrow_mut().ok()?.take());
    for holding in estate.iter().flat_map(|estate| estate.known.values()).filter_map(Weak::upgrade) {
        holding.bury(number());
    }
}

/// Sees to it that what this thread still holds by `holding` when it ends is left to others.
#[cold]
pub(super) fn remember(holding: &Weak<Holding>) {
    ESTATE.with(|estate| {
        let Ok(mut estate) = estate.try_borrow_mut() else { return };
        let estate = estate.get_or_insert_with(|| {
            // Where that fails the process keeps what a thread leaves.
            thread_end::call_at_the_end(settle);
            Box::default()
        });
        if estate.known.len() >= estate.enough {
            estate.known.retain(|_, holding| holding.strong_count() > 0);
            estate.enough = (2 * estate.known.len()).max(64);
        }
        // The weak reference keeps the address from being used again.
        estate.known.entry(holding.as_ptr()).or_insert_with(|| Weak::clone(holding));
    });
}

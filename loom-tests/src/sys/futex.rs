//! A futex for models: `FUTEX_WAIT` and `FUTEX_WAKE` as the kernel defines them, and nothing that forgives.
//!
//! The word is compared and the sleeper enqueued in one step; a wake returns how many it woke; there is no
//! spurious wake-up and no slice, so that a lost wake-up ends as loom's deadlock. The kernel's queue lock is
//! played by a Relaxed read-modify-write of the word itself: it makes loom try both orders of a wait and a
//! wake (or a write) of the same word, always sees the latest value, and orders nothing else.
//!
//! Time passes only where a model says so: [`end_slices`] lets a number of sleeps on a word time out.

use crate::sync::{AtomicU32, Ordering, mutated};
use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;

/// How a sleep ended; the product's `sys::futex::Slept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    Woken,
    Changed,
    TimedOut,
    Interrupted,
}

struct Sleeper {
    word: *const AtomicU32,
    thread: loom::thread::Thread,
    ended: Cell<Option<Slept>>,
}

std::thread_local! {
    // All threads of a model run on one OS thread, and switch only inside loom's own operations.
    static QUEUE: RefCell<Vec<Rc<Sleeper>>> = const { RefCell::new(Vec::new()) };
    static EXPIRING: Cell<(*const AtomicU32, u32)> = const { Cell::new((ptr::null(), 0)) };
}

/// Sleeps if `word` is still `expected`. `until` is ignored: see [`end_slices`].
pub(crate) fn wait(word: &AtomicU32, expected: u32, _until: u64) -> Slept {
    if word.fetch_add(0, Ordering::Relaxed) != expected && !mutated!("model.futex.compare") {
        return Slept::Changed;
    }
    // No switch since the comparison.
    let word = ptr::from_ref(word);
    let (expiring, left) = EXPIRING.get();
    if expiring == word && left > 0 {
        EXPIRING.set((expiring, left - 1));
        return Slept::TimedOut;
    }
    let thread = loom::thread::current();
    let sleeper = Rc::new(Sleeper { word, thread, ended: Cell::new(None) });
    QUEUE.with_borrow_mut(|queue| queue.push(sleeper.clone()));
    loop {
        loom::thread::park();
        if let Some(ended) = sleeper.ended.get() {
            return ended;
        }
    }
}

/// Wakes up to `count` sleepers in the order they came; returns how many.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> u32 {
    word.fetch_add(0, Ordering::Relaxed);
    end(word, count, Slept::Woken)
}

/// Lets time pass for the sleepers on `word`: `count` sleeps, of now or of later, reach the end of their slice.
pub(crate) fn end_slices(word: &AtomicU32, count: u32) {
    word.fetch_add(0, Ordering::Relaxed);
    let ended = end(word, count, Slept::TimedOut);
    EXPIRING.set((word, count - ended));
}

fn end(word: *const AtomicU32, count: u32, how: Slept) -> u32 {
    let mut ended = Vec::new();
    QUEUE.with_borrow_mut(|queue| {
        queue.retain(|sleeper| {
            let mine = sleeper.word == word && ended.len() < count as usize;
            if mine {
                ended.push(sleeper.clone());
            }
            !mine
        });
    });
    for sleeper in &ended {
        sleeper.ended.set(Some(how));
        sleeper.thread.unpark();
    }
    ended.len() as u32
}

/// Forgets what an earlier execution left behind. Each execution of a model starts with it.
pub(crate) fn reset() {
    QUEUE.with_borrow_mut(Vec::clear);
    EXPIRING.set((ptr::null(), 0));
    super::clock::reset();
}

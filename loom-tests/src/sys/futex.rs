//! A futex for models: `FUTEX_WAIT` and `FUTEX_WAKE` as the kernel defines them, and nothing that forgives.
//!
//! The word is compared and the sleeper enqueued in one step; a wake returns how many it woke; there is no
//! spurious wake-up and no slice, so that a lost wake-up ends as loom's deadlock. The kernel's queue lock is
//! played by a Relaxed read-modify-write of the word itself: it makes loom try both orders of a wait and a
//! wake (or a write) of the same word, always sees the latest value, and orders nothing else.
//!
//! Time passes only where a model says so: [`expire`] ends one sleep as the timer would.

use crate::sync::{AtomicU32, Ordering, mutated};
use std::cell::{Cell, RefCell};
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
}

/// Sleeps if `word` is still `expected`. `until` is ignored: see [`expire`].
pub(crate) fn wait(word: &AtomicU32, expected: u32, _until: u64) -> Slept {
    if word.fetch_add(0, Ordering::Relaxed) != expected && !mutated!("model.futex.compare") {
        return Slept::Changed;
    }
    // No switch since the comparison.
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

/// The timer: ends one sleep on `word`, if there is one, as timed out.
pub(crate) fn expire(word: &AtomicU32) -> u32 {
    word.fetch_add(0, Ordering::Relaxed);
    end(word, 1, Slept::TimedOut)
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
    super::clock::reset();
}

//! All scenarios, by subject.

mod arena;
mod barrier;
mod bell;
mod byte_queue;
mod bytes;
mod cells;
mod condvar;
mod event;
mod eventcount;
mod faulty;
mod line;
mod locks;
mod map;
mod mutex;
mod named;
mod permits;
mod pipe;
mod pooled;
mod queue;
mod reentrant;
mod ring;
mod segment;
mod semaphore;
mod spsc;
mod tally;
mod tasks;
mod token;

use crate::scenario::Scenario;

pub use faulty::faulty;

/// All of them; those that take long come first, so that the processors end at about the same time.
pub fn all() -> Vec<Scenario> {
    let subjects = [
        arena::scenarios(),
        segment::scenarios(),
        named::scenarios(),
        bell::scenarios(),
        pipe::scenarios(),
        eventcount::scenarios(),
        queue::scenarios(),
        byte_queue::scenarios(),
        tasks::scenarios(),
        tally::scenarios(),
        mutex::scenarios(),
        reentrant::scenarios(),
        semaphore::scenarios(),
        permits::scenarios(),
        token::scenarios(),
        event::scenarios(),
        condvar::scenarios(),
        barrier::scenarios(),
        spsc::scenarios(),
        bytes::scenarios(),
        cells::scenarios(),
        map::scenarios(),
    ];
    subjects.into_iter().flatten().collect()
}

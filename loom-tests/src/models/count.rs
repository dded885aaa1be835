//! The count of permits: what a giver wrote is seen, and no permit stays while somebody sleeps for it.

use crate::harness::Model;
use crate::lock::{Count, CountError};
use crate::sync::Slot;
use crate::wait::{Barrier, Deadline, Wait, Waiter};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "a_lock_of_one_permit",
        preemptions: 2,
        body: a_lock_of_one_permit,
        kills: &["count.take", "count.give", "count.wakes"],
    },
    Model { name: "two_permits_at_once", preemptions: 2, body: two_permits_at_once, kills: &["count.wakes"] },
    Model { name: "one_wants_two", preemptions: 2, body: one_wants_two, kills: &["count.several"] },
];

const BOUND: u64 = 2;

struct Shared {
    count: Count,
    data: Slot<u32>,
}

impl Shared {
    fn new(permits: u64) -> Arc<Self> {
        let shared = Shared { count: Count::new(permits), data: Slot::vacant() };
        // SAFETY: nobody else has it yet.
        unsafe { shared.data.write(0) };
        Arc::new(shared)
    }

    fn take(&self, wanted: u64) {
        match self.count.try_take(wanted, BOUND) {
            Err(CountError::TooFew) => {}
            done => return done.unwrap(),
        }
        let mut waiter = Waiter::unsliced(Wait::Park);
        let barrier = Barrier::of_this_process();
        self.count.take(wanted, BOUND, &mut waiter, barrier, Deadline::NEVER).unwrap();
    }

    fn give(&self, count: u64) {
        self.count.give(count, BOUND, Barrier::of_this_process()).unwrap();
    }
}

/// A single permit excludes.
fn a_lock_of_one_permit() {
    let shared = Shared::new(1);
    let work = |shared: &Shared| {
        shared.take(1);
        // SAFETY: the only permit is ours.
        let value = unsafe { shared.data.read() };
        // SAFETY: as above.
        unsafe { shared.data.write(value + 1) };
        shared.give(1);
    };
    let other = thread::spawn({
        let shared = shared.clone();
        move || work(&shared)
    });
    work(&shared);
    other.join().unwrap();
    // SAFETY: we are alone.
    assert_eq!((unsafe { shared.data.read() }, shared.count.available()), (2, 1));
}

/// Two wait, two permits come by one giving.
fn two_permits_at_once() {
    let shared = Shared::new(0);
    let take = || {
        let shared = shared.clone();
        thread::spawn(move || shared.take(1))
    };
    let takers = [take(), take()];
    shared.give(2);
    takers.into_iter().for_each(|taker| taker.join().unwrap());
    assert_eq!(shared.count.available(), 0);
}

/// One wants two permits and is woken for a single one, which helps only the other, who is asleep behind him.
fn one_wants_two() {
    let shared = Shared::new(0);
    let greedy = thread::spawn({
        let shared = shared.clone();
        move || shared.take(2)
    });
    let modest = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.take(1);
            shared.give(2);
        }
    });
    shared.give(1);
    modest.join().unwrap();
    greedy.join().unwrap();
}

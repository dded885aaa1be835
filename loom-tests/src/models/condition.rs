//! The condition: nothing told after the lock was let go is lost, nobody goes in another's stead, and who dies waiting takes
//! nothing along. No sleep has a slice unless the model ends it.

use crate::harness::Model;
use crate::lock::{Condition, Gate, Held};
use crate::sync::{AtomicU32, Ordering, Slot};
use crate::sys::futex;
use crate::wait::{ALL, Barrier, Deadline, Wait, Waiter};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "told_while_letting_go",
        preemptions: 2,
        body: told_while_letting_go,
        kills: &["condition.look_before_unlock", "condition.moves", "condition.wakes"],
    },
    Model { name: "two_are_told", preemptions: 1, body: two_are_told, kills: &["condition.moves", "condition.wakes"] },
    Model {
        name: "told_without_the_lock",
        preemptions: 2,
        body: told_without_the_lock,
        kills: &["condition.look_before_unlock", "condition.wakes"],
    },
    Model { name: "told_what_was_written", preemptions: 2, body: told_what_was_written, kills: &["condition.look", "condition.tell"] },
    Model { name: "told_at_last", preemptions: 2, body: told_at_last, kills: &["condition.look_at_last"] },
    Model { name: "one_of_two_is_told", preemptions: 2, body: one_of_two_is_told, kills: &["condition.permits"] },
    Model { name: "who_comes_later_takes_nothing", preemptions: 1, body: who_comes_later_takes_nothing, kills: &["condition.newcomers_wait"] },
    Model { name: "who_comes_later_sleeps_apart", preemptions: 1, body: who_comes_later_sleeps_apart, kills: &["condition.sleep_apart"] },
    Model {
        name: "who_leaves_is_not_told",
        preemptions: 2,
        body: who_leaves_is_not_told,
        kills: &["condition.leavers_are_counted_off", "condition.leavers_take"],
    },
    Model { name: "swept_while_others_wait", preemptions: 2, body: swept_while_others_wait, kills: &["condition.release"] },
    Model { name: "found_dead_by_one_passed_over", preemptions: 2, body: found_dead_by_one_passed_over, kills: &["condition.bury", "condition.release"] },
];

struct Shared {
    gate: Gate,
    condition: Condition,
    /// What is waited for; under the lock.
    level: Slot<u32>,
    /// How many waits ended by a notification.
    returned: AtomicU32,
    /// Whether one who waited is dead.
    dead: AtomicU32,
}

impl Shared {
    fn new() -> Arc<Self> {
        let shared = Shared {
            gate: Gate::new(),
            condition: Condition::new(),
            level: Slot::vacant(),
            returned: AtomicU32::new(0),
            dead: AtomicU32::new(0),
        };
        shared.write(0);
        Arc::new(shared)
    }

    fn write(&self, level: u32) {
        // SAFETY: the caller has the lock, or is alone, or has told nobody of it yet.
        unsafe { self.level.write(level) };
    }

    fn lock(&self, me: u16) -> Held {
        let mut waiter = Waiter::unsliced(Wait::Park);
        let barrier = Barrier::of_this_process();
        self.gate.lock(me, &mut waiter, barrier, Deadline::NEVER, |_| false, || None::<()>).unwrap()
    }

    fn unlock(&self, held: Held) {
        self.gate.unlock(held, Barrier::of_this_process());
    }

    fn level(&self, _held: &Held) -> u32 {
        // SAFETY: the caller has the lock.
        unsafe { self.level.read() }
    }

    fn raise(&self, me: u16) -> Held {
        let held = self.lock(me);
        self.write(1);
        held
    }

    /// One wait, of one who lets go of nothing that matters.
    fn wait(&self, let_go: impl FnOnce(), deadline: Deadline) -> bool {
        let mut waiter = Waiter::unsliced(Wait::Park);
        // The kernel's answer is never stale: a read-modify-write.
        let bury = || {
            if self.dead.fetch_add(0, Ordering::Acquire) != 0 {
                self.condition.release(Barrier::of_this_process());
            }
        };
        let told = self.condition.wait(let_go, &mut waiter, Barrier::of_this_process(), deadline, bury);
        if told {
            self.returned.fetch_add(1, Ordering::AcqRel);
        }
        told
    }

    fn tell(&self, count: u32) -> u32 {
        self.condition.tell(count, Barrier::of_this_process())
    }

    fn wait_for_level(&self, me: u16) {
        let mut held = self.lock(me);
        while self.level(&held) == 0 {
            assert!(self.wait(|| self.unlock(held), Deadline::NEVER));
            held = self.lock(me);
        }
        self.unlock(held);
    }

    fn waiting(self: &Arc<Self>, me: u16) -> thread::JoinHandle<()> {
        let shared = self.clone();
        thread::spawn(move || shared.wait_for_level(me))
    }

    /// A thread that waits once, and until it is counted.
    fn counted(self: &Arc<Self>) -> thread::JoinHandle<bool> {
        let shared = self.clone();
        let before = self.condition.waiters();
        let waiting = thread::spawn(move || shared.wait(|| (), Deadline::NEVER));
        while self.condition.waiters() == before {
            thread::yield_now();
        }
        waiting
    }

    fn returned(&self) -> u32 {
        self.returned.fetch_add(0, Ordering::AcqRel)
    }
}

/// One waits, one changes what he waits for and tells, before he gives the lock back.
fn told_while_letting_go() {
    let shared = Shared::new();
    let waiting = shared.waiting(2);
    let held = shared.raise(1);
    shared.tell(1);
    shared.unlock(held);
    waiting.join().unwrap();
}

/// The same, told after the lock was given back.
fn told_without_the_lock() {
    let shared = Shared::new();
    let waiting = shared.waiting(2);
    let held = shared.raise(1);
    shared.unlock(held);
    shared.tell(1);
    waiting.join().unwrap();
}

/// Two wait, all are told.
fn two_are_told() {
    let shared = Shared::new();
    let waiting = [shared.waiting(2), shared.waiting(3)];
    let held = shared.raise(1);
    shared.unlock(held);
    shared.tell(ALL);
    waiting.map(|waiting| waiting.join().unwrap());
}

/// Who is told sees what was written before, also if no lock says so.
fn told_what_was_written() {
    let shared = Shared::new();
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || {
            assert!(shared.wait(|| (), Deadline::NEVER));
            // SAFETY: written before we were told, and by nobody since.
            assert_eq!(unsafe { shared.level.read() }, 1);
        }
    });
    shared.write(1);
    while shared.tell(1) == 0 {
        thread::yield_now();
    }
    waiting.join().unwrap();
}

/// The same for one who was about to leave.
fn told_at_last() {
    let shared = Shared::new();
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || {
            if shared.wait(|| (), Deadline::NOW) {
                // SAFETY: as above.
                assert_eq!(unsafe { shared.level.read() }, 1);
            }
        }
    });
    shared.write(1);
    shared.tell(1);
    waiting.join().unwrap();
}

/// Two wait; each notification lets one go.
fn one_of_two_is_told() {
    let shared = Shared::new();
    let waiting = [shared.counted(), shared.counted()];
    assert_eq!(shared.tell(1), 1);
    while shared.returned() == 0 {
        thread::yield_now();
    }
    assert_eq!((shared.returned(), shared.condition.waiters()), (1, 1));
    assert_eq!(shared.tell(1), 1);
    waiting.map(|waiting| assert!(waiting.join().unwrap()));
    assert_eq!((shared.returned(), shared.tell(1)), (2, 0));
}

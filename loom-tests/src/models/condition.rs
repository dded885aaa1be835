//! The condition: nothing told after the lock was let go is lost. No sleep has a slice.

use crate::harness::Model;
use crate::lock::{Condition, Gate, Held};
use crate::sync::Slot;
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
];

struct Shared {
    gate: Gate,
    condition: Condition,
    /// What is waited for; under the lock.
    level: Slot<u32>,
}

impl Shared {
    fn new() -> Arc<Self> {
        let shared = Shared { gate: Gate::new(), condition: Condition::new(), level: Slot::vacant() };
        // SAFETY: nobody else has it yet.
        unsafe { shared.level.write(0) };
        Arc::new(shared)
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
        // SAFETY: we have the lock.
        unsafe { self.level.write(1) };
        held
    }

    fn wait_for_level(&self, me: u16) {
        let mut held = self.lock(me);
        while self.level(&held) == 0 {
            let mut waiter = Waiter::unsliced(Wait::Park);
            let barrier = Barrier::of_this_process();
            self.condition.wait(|| self.unlock(held), &mut waiter, barrier, Deadline::NEVER).unwrap();
            held = self.lock(me);
        }
        self.unlock(held);
    }

    fn waiting(self: &Arc<Self>, me: u16) -> thread::JoinHandle<()> {
        let shared = self.clone();
        thread::spawn(move || shared.wait_for_level(me))
    }
}

/// One waits, one changes what he waits for and tells, before he gives the lock back.
fn told_while_letting_go() {
    let shared = Shared::new();
    let waiting = shared.waiting(2);
    let held = shared.raise(1);
    shared.condition.tell(1, Barrier::of_this_process());
    shared.unlock(held);
    waiting.join().unwrap();
}

/// The same, told after the lock was given back.
fn told_without_the_lock() {
    let shared = Shared::new();
    let waiting = shared.waiting(2);
    let held = shared.raise(1);
    shared.unlock(held);
    shared.condition.tell(1, Barrier::of_this_process());
    waiting.join().unwrap();
}

/// Two wait, all are told.
fn two_are_told() {
    let shared = Shared::new();
    let waiting = [shared.waiting(2), shared.waiting(3)];
    let held = shared.raise(1);
    shared.unlock(held);
    shared.condition.tell(ALL, Barrier::of_this_process());
    waiting.map(|waiting| waiting.join().unwrap());
}

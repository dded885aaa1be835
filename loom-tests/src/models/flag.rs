//! The flag: who sees it set sees what came before, and nobody sleeps through it. No sleep has a slice.

use crate::harness::Model;
use crate::lock::Flag;
use crate::sync::Slot;
use crate::wait::{Barrier, Deadline, Wait, Waiter};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "set_against_wait",
        preemptions: 3,
        body: set_against_wait,
        kills: &["flag.set", "flag.look", "flag.wakes"],
    },
    Model { name: "pulse", preemptions: 3, body: pulse, kills: &["flag.pulse", "flag.wakes"] },
    Model { name: "two_wait", preemptions: 2, body: two_wait, kills: &["flag.wakes_all"] },
    Model { name: "cleared_by_who_looks", preemptions: 3, body: cleared_by_who_looks, kills: &["flag.clear", "flag.set"] },
    Model { name: "set_twice", preemptions: 2, body: set_twice, kills: &["flag.look"] },
];

struct Shared {
    flag: Flag,
    data: [Slot<u32>; 2],
}

impl Shared {
    fn new() -> Arc<Self> {
        let shared = Shared { flag: Flag::new(), data: [Slot::vacant(), Slot::vacant()] };
        for data in &shared.data {
            // SAFETY: nobody else has it yet.
            unsafe { data.write(0) };
        }
        Arc::new(shared)
    }

    fn publish(&self, at: usize) {
        // SAFETY: whoever reads it has seen the flag set after this.
        unsafe { self.data[at].write(7) };
        self.flag.set(Barrier::of_this_process());
    }

    fn read(&self, at: usize) -> u32 {
        // SAFETY: as in `publish`; loom reports otherwise.
        unsafe { self.data[at].read() }
    }

    fn wait(&self) {
        self.wait_from(self.flag.begin());
    }

    fn wait_from(&self, begun: crate::lock::Begun) {
        let mut waiter = Waiter::unsliced(Wait::Park);
        self.flag.wait(begun, &mut waiter, Barrier::of_this_process(), Deadline::NEVER).unwrap();
    }
}

/// One sets, one waits.
fn set_against_wait() {
    let shared = Shared::new();
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.wait();
            shared.read(0)
        }
    });
    shared.publish(0);
    assert_eq!(waiting.join().unwrap(), 7);
}

/// Set and cleared at once: who waited already goes on.
fn pulse() {
    let shared = Shared::new();
    let begun = shared.flag.begin();
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || shared.wait_from(begun)
    });
    shared.flag.set(Barrier::of_this_process());
    shared.flag.clear();
    waiting.join().unwrap();
}

/// Two wait for one setting.
fn two_wait() {
    let shared = Shared::new();
    let wait = || {
        let shared = shared.clone();
        thread::spawn(move || shared.wait())
    };
    let waiting = [wait(), wait()];
    shared.flag.set(Barrier::of_this_process());
    waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
}

/// Whoever clears it does what it was set for.
fn cleared_by_who_looks() {
    let shared = Shared::new();
    let setter = thread::spawn({
        let shared = shared.clone();
        move || shared.publish(0)
    });
    if shared.flag.clear() {
        assert_eq!(shared.read(0), 7);
    }
    setter.join().unwrap();
}

/// Set when it was set already: who sees both settings sees what came before each.
fn set_twice() {
    let shared = Shared::new();
    let set = |at| {
        let shared = shared.clone();
        thread::spawn(move || shared.publish(at))
    };
    let setters = [set(0), set(1)];
    shared.wait();
    if shared.flag.settings() == 2 {
        assert_eq!((shared.read(0), shared.read(1)), (7, 7));
    }
    setters.into_iter().for_each(|setter| setter.join().unwrap());
}

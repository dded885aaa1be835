//! The gate: a lock that is waited for, with holders that die. No sleep has a slice unless the model ends it.

use crate::harness::Model;
use crate::lock::{Gate, Grant, Held, LockFailed};
use crate::sync::{AtomicU32, Ordering, Slot};
use crate::sys::futex;
use crate::wait::{Barrier, Deadline, Wait, Waiter};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "exclusion",
        preemptions: 2,
        body: exclusion,
        kills: &["gate.unlock_wakes", "lock.leave", "barrier.publisher", "barrier.sleeper"],
    },
    Model { name: "holder_dies_at_once", preemptions: 2, body: holder_dies::<0>, kills: &["gate.patrol"] },
    Model { name: "holder_dies_midway", preemptions: 2, body: holder_dies::<1>, kills: &["gate.patrol", "lock.inconsistent"] },
    Model { name: "holder_dies_before_unlock", preemptions: 2, body: holder_dies::<2>, kills: &["gate.patrol"] },
    Model { name: "holder_dies_before_wake", preemptions: 2, body: holder_dies::<3>, kills: &["lock.leave"] },
    Model {
        name: "parked_and_resumed",
        preemptions: 2,
        body: parked_and_resumed,
        kills: &["lock.park", "gate.park_wakes_all"],
    },
    Model { name: "given_up", preemptions: 2, body: given_up, kills: &["gate.abandon_wakes_all"] },
    Model { name: "swept_while_waited_for", preemptions: 3, body: swept_while_waited_for, kills: &["gate.sweep_wakes"] },
    Model { name: "left_behind", preemptions: 2, body: left_behind::<false>, kills: &["gate.leaving_wakes"] },
    Model { name: "buried", preemptions: 2, body: left_behind::<true>, kills: &["gate.burial_wakes"] },
];

struct Shared {
    gate: Gate,
    dead: AtomicU32,
    left: Slot<u32>,
    right: Slot<u32>,
}

impl Shared {
    fn new() -> Arc<Self> {
        let shared = Shared { gate: Gate::new(), dead: AtomicU32::new(0), left: Slot::vacant(), right: Slot::vacant() };
        shared.write(0, 0);
        Arc::new(shared)
    }

    fn lock(&self, me: u16) -> Result<Held, LockFailed<()>> {
        let mut waiter = Waiter::unsliced(Wait::Park);
        // The kernel's answer is never stale: a read-modify-write.
        let dead = |who| self.dead.fetch_add(0, Ordering::Acquire) == u32::from(who);
        self.gate.lock(me, &mut waiter, Barrier::of_this_process(), Deadline::NEVER, dead, || None)
    }

    fn unlock(&self, held: Held) {
        self.gate.unlock(held, Barrier::of_this_process());
    }

    fn write(&self, left: u32, right: u32) {
        // SAFETY: the caller holds the lock, or is alone.
        unsafe { self.left.write(left) };
        // SAFETY: as above.
        unsafe { self.right.write(right) };
    }

    fn read(&self, _held: &Held) -> (u32, u32) {
        // SAFETY: the caller holds the lock.
        let left = unsafe { self.left.read() };
        // SAFETY: as above.
        (left, unsafe { self.right.read() })
    }
}

/// Two processes wait for one lock.
fn exclusion() {
    let shared = Shared::new();
    let work = |shared: &Shared, me| {
        let held = shared.lock(me).unwrap();
        let (left, right) = shared.read(&held);
        shared.write(left + 1, right + 1);
        shared.unlock(held);
    };
    let other = thread::spawn({
        let shared = shared.clone();
        move || work(&shared, 2)
    });
    work(&shared, 1);
    other.join().unwrap();
    assert_eq!(shared.read(&shared.lock(1).unwrap()), (2, 2));
}

/// A holder dies at one of its points while another waits, who repairs if he was told to, and finds all well if
/// he was not.
fn holder_dies<const POINT: usize>() {
    let shared = Shared::new();
    let survivor = thread::spawn({
        let shared = shared.clone();
        move || {
            let held = shared.lock(2).unwrap();
            let (left, right) = shared.read(&held);
            if held.grant() == Grant::OwnerDied {
                shared.write(left, left);
                shared.unlock(shared.gate.recovered(held));
            } else {
                assert_eq!(left, right);
                shared.unlock(held);
            }
        }
    });
    let held = shared.lock(1).unwrap();
    let die = || {
        // Against a concurrent read-modify-write, loom wants no plain store.
        shared.dead.swap(1, Ordering::Release);
        // One slice to find out; who has not acted by then sleeps on, to be reported.
        futex::end_slices(shared.gate.waiting().word(), 1);
    };
    if POINT >= 1 {
        // SAFETY: we hold the lock.
        unsafe { shared.left.write(1) };
    }
    if POINT >= 2 {
        // SAFETY: as above.
        unsafe { shared.right.write(1) };
    }
    if POINT >= 3 {
        shared.gate.word().unlock(held);
    }
    die();
    survivor.join().unwrap();
}

/// A receive gave up in the middle; only its own process may go on, and all others wait until it has.
fn parked_and_resumed() {
    let shared = Shared::new();
    let held = shared.lock(1).unwrap();
    let sibling = thread::spawn({
        let shared = shared.clone();
        move || {
            let held = shared.lock(1).unwrap();
            assert_eq!((held.grant(), shared.read(&held)), (Grant::Resumed, (1, 0)));
            shared.write(1, 1);
            shared.unlock(held);
        }
    });
    let stranger = thread::spawn({
        let shared = shared.clone();
        move || {
            let held = shared.lock(2).unwrap();
            assert_eq!((held.grant(), shared.read(&held)), (Grant::Clean, (1, 1)));
            shared.unlock(held);
        }
    });
    shared.write(1, 0);
    shared.gate.park(held, Barrier::of_this_process());
    sibling.join().unwrap();
    stranger.join().unwrap();
}

/// What a lock protects is given up: everybody who waits learns it.
fn given_up() {
    let shared = Shared::new();
    let held = shared.lock(1).unwrap();
    let wait = |me| {
        let shared = shared.clone();
        thread::spawn(move || shared.lock(me).unwrap_err())
    };
    let waiting = [wait(2), wait(3)];
    shared.gate.abandon(held, Barrier::of_this_process());
    for refused in waiting {
        assert_eq!(refused.join().unwrap(), LockFailed::NotRecoverable);
    }
}

/// The heir of a dead holder's index sweeps before anybody who waits has found out.
fn swept_while_waited_for() {
    let shared = Shared::new();
    let _dead = shared.lock(1).unwrap();
    shared.write(1, 0);
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || {
            let held = shared.lock(2).unwrap();
            assert_eq!((held.grant(), shared.read(&held)), (Grant::OwnerDied, (1, 0)));
        }
    });
    assert!(shared.gate.sweep(1, Barrier::of_this_process()));
    waiting.join().unwrap();
}

/// A holder leaves in the middle, by a panic or because its thread ended; who waits is told.
fn left_behind<const BURIED: bool>() {
    let shared = Shared::new();
    let held = shared.lock(1).unwrap();
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || {
            let held = shared.lock(2).unwrap();
            assert_eq!((held.grant(), shared.read(&held)), (Grant::OwnerDied, (1, 0)));
            shared.write(1, 1);
            shared.unlock(shared.gate.recovered(held));
        }
    });
    shared.write(1, 0);
    let barrier = Barrier::of_this_process();
    if BURIED {
        assert!(shared.gate.bury(held.word(), barrier));
    } else {
        shared.gate.leave_behind(held, barrier);
    }
    waiting.join().unwrap();
    assert_eq!(shared.lock(3).unwrap().grant(), Grant::Clean);
}

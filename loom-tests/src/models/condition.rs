//! The condition: nothing told after the lock was let go is lost, nobody goes in another's stead, and who dies waiting takes
//! nothing along. No sleep has a slice unless the model ends it.

use crate::harness::Model;
use crate::lock::{Condition, Gate, Held, Waiting};
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
    Model {
        name: "told_what_was_written",
        preemptions: 2,
        body: told_what_was_written,
        kills: &["condition.look", "condition.tell"],
    },
    Model {
        name: "told_at_last",
        preemptions: 3,
        body: told_at_last,
        kills: &["condition.look_at_last", "condition.tell"],
    },
    Model { name: "each_notification_is_for_one", preemptions: 2, body: each_notification_is_for_one, kills: &["condition.takes"] },
    Model {
        name: "who_comes_later_takes_nothing",
        preemptions: 2,
        body: who_comes_later_takes_nothing,
        kills: &["condition.newcomers_wait"],
    },
    Model {
        name: "who_comes_later_sleeps_apart",
        preemptions: 0,
        body: who_comes_later_sleeps_apart,
        kills: &["condition.sleep_apart"],
    },
    Model {
        name: "two_leave_when_one_is_told",
        preemptions: 1,
        body: two_leave_when_one_is_told,
        kills: &["condition.leavers_are_counted_off", "condition.leavers_take"],
    },
    Model {
        name: "one_leaves_when_one_is_told",
        preemptions: 1,
        body: one_leaves_when_one_is_told,
        kills: &["condition.leavers_are_counted_off", "condition.wakes"],
    },
    Model { name: "swept_while_others_wait", preemptions: 2, body: swept_while_others_wait, kills: &["condition.release"] },
    Model {
        name: "found_dead_by_one_passed_over",
        preemptions: 2,
        body: found_dead_by_one_passed_over,
        kills: &["condition.bury", "condition.release"],
    },
];

struct Shared {
    gate: Gate,
    condition: Condition,
    /// What is waited for; under the lock.
    level: Slot<u32>,
    /// Whether one who waited is dead.
    dead: AtomicU32,
}

impl Shared {
    fn new() -> Arc<Self> {
        let shared = Shared {
            gate: Gate::new(),
            condition: Condition::new(),
            level: Slot::vacant(),
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

    /// The kernel's answer is never stale: a read-modify-write.
    fn bury(&self) {
        if self.dead.fetch_add(0, Ordering::Acquire) != 0 {
            self.condition.release(Barrier::of_this_process());
        }
    }

    fn wait(&self, unlock: impl FnOnce()) {
        let mut waiter = Waiter::unsliced(Wait::Park);
        let barrier = Barrier::of_this_process();
        assert!(self.condition.wait(unlock, &mut waiter, barrier, Deadline::NEVER, || self.bury()));
    }

    /// Goes on waiting; whether it was told.
    fn go_on(&self, waiting: Waiting, deadline: Deadline) -> bool {
        let mut waiter = Waiter::unsliced(Wait::Park);
        let barrier = Barrier::of_this_process();
        self.condition.wait_on(waiting, &mut waiter, barrier, deadline, || self.bury())
    }

    /// A thread that does.
    fn goes_on(self: &Arc<Self>, waiting: Waiting, deadline: Deadline) -> thread::JoinHandle<bool> {
        let shared = self.clone();
        thread::spawn(move || shared.go_on(waiting, deadline))
    }

    fn tell(&self, count: u32) -> u32 {
        self.condition.tell(count, Barrier::of_this_process())
    }

    fn wait_for_level(&self, me: u16) {
        let mut held = self.lock(me);
        while self.level(&held) == 0 {
            self.wait(|| self.unlock(held));
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
    waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
}

/// Who is told sees what was written before, also if no lock says so.
fn told_what_was_written() {
    let shared = Shared::new();
    let waiting = shared.condition.begin();
    let thread = thread::spawn({
        let shared = shared.clone();
        move || {
            assert!(shared.go_on(waiting, Deadline::NEVER));
            // SAFETY: written before we were told, and by nobody since.
            assert_eq!(unsafe { shared.level.read() }, 1);
        }
    });
    shared.write(1);
    assert_eq!(shared.tell(1), 1);
    thread.join().unwrap();
}

/// The same for one who was about to leave.
fn told_at_last() {
    let shared = Shared::new();
    let waiting = shared.condition.begin();
    let thread = thread::spawn({
        let shared = shared.clone();
        move || {
            if shared.go_on(waiting, Deadline::NOW) {
                // SAFETY: as above.
                assert_eq!(unsafe { shared.level.read() }, 1);
            }
        }
    });
    shared.write(1);
    shared.tell(1);
    thread.join().unwrap();
}

/// Two wait and one is told: one goes.
fn each_notification_is_for_one() {
    let shared = Shared::new();
    let [one, other] = [(); 2].map(|()| shared.condition.begin());
    assert_eq!(shared.tell(1), 1);
    let one = shared.goes_on(one, Deadline::NOW);
    let other = shared.go_on(other, Deadline::NOW);
    assert!(one.join().unwrap() ^ other);
    assert_eq!(shared.tell(1), 0);
}

/// Of two, one is told. A third comes, and takes nothing.
fn who_comes_later_takes_nothing() {
    let shared = Shared::new();
    let [first, _slow] = [(); 2].map(|()| shared.condition.begin());
    assert_eq!(shared.tell(1), 1);
    let later = shared.goes_on(shared.condition.begin(), Deadline::NOW);
    assert!(shared.go_on(first, Deadline::NOW));
    assert!(!later.join().unwrap());
}

/// The wake-up of one who is told does not go to one who came later, and sleeps on.
fn who_comes_later_sleeps_apart() {
    let shared = Shared::new();
    let [first, _slow, told] = [(); 3].map(|()| shared.condition.begin());
    assert_eq!(shared.tell(1), 1);
    let later = shared.goes_on(shared.condition.begin(), Deadline::NEVER);
    assert!(shared.go_on(told, Deadline::NOW));
    let first = shared.goes_on(first, Deadline::NEVER);
    let telling = thread::spawn({
        let shared = shared.clone();
        move || shared.tell(1)
    });
    assert!(first.join().unwrap());
    assert_eq!(telling.join().unwrap(), 1);
    assert_eq!(shared.tell(ALL), 2);
    assert!(later.join().unwrap());
}

/// Two give up while one is told: as many as were told say so.
fn two_leave_when_one_is_told() {
    let shared = Shared::new();
    let [one, other] = [(); 2].map(|()| shared.condition.begin());
    let one = shared.goes_on(one, Deadline::NOW);
    let telling = thread::spawn({
        let shared = shared.clone();
        move || shared.tell(1)
    });
    let other = shared.go_on(other, Deadline::NOW);
    let told = u32::from(one.join().unwrap()) + u32::from(other);
    assert_eq!(telling.join().unwrap(), told);
    assert_eq!(shared.condition.waiters(), 0);
}

/// One gives up and one waits on while one is told: it is one of the two.
fn one_leaves_when_one_is_told() {
    let shared = Shared::new();
    let [leaves, stays] = [(); 2].map(|()| shared.condition.begin());
    let stays = shared.goes_on(stays, Deadline::NEVER);
    let leaves = shared.goes_on(leaves, Deadline::NOW);
    assert_eq!(shared.tell(1), 1);
    if leaves.join().unwrap() {
        assert_eq!(shared.tell(1), 1);
    } else {
        assert_eq!(shared.tell(1), 0);
    }
    assert!(stays.join().unwrap());
}

/// Two died waiting, and were told in the stead of one who waits.
fn told_instead_of_another() -> (Arc<Shared>, Waiting) {
    let shared = Shared::new();
    let _dead = [(); 2].map(|()| shared.condition.begin());
    assert_eq!(shared.tell(1), 1);
    let waiting = shared.condition.begin();
    assert_eq!(shared.tell(1), 1);
    (shared, waiting)
}

/// The heir of the dead one's index sweeps.
fn swept_while_others_wait() {
    let (shared, waiting) = told_instead_of_another();
    let thread = shared.goes_on(waiting, Deadline::NEVER);
    shared.condition.release(Barrier::of_this_process());
    assert!(thread.join().unwrap());
    assert_eq!(shared.condition.waiters(), 0);
}

/// Who was passed over finds the dead himself, at the end of a slice.
fn found_dead_by_one_passed_over() {
    let (shared, waiting) = told_instead_of_another();
    let thread = shared.goes_on(waiting, Deadline::NEVER);
    shared.dead.swap(1, Ordering::Release);
    // Where he sleeps: the dead came in the generation before.
    futex::end_slices(shared.condition.waiting()[1].word(), 1);
    assert!(thread.join().unwrap());
}

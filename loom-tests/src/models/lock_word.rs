//! The robust lock word: who may hold it at the same time, and who sees what the last holder wrote.
//!
//! A process is a participant index; a crash is a thread that stops using the lock and then sets its flag.

use crate::harness::Model;
use crate::lock::{Grant, Held, LockWord, Owner, Refused};
use crate::sync::{AtomicU32, Ordering, Slot};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "exclusion",
        preemptions: 3,
        body: exclusion,
        kills: &["lock.leave", "lock.read"],
    },
    Model {
        name: "two_takers_over",
        preemptions: 3,
        body: two_takers_over,
        kills: &["lock.take_over_exactly"],
    },
    Model {
        name: "stalled_taker_over",
        preemptions: 3,
        body: stalled_taker_over,
        kills: &["lock.count"],
    },
    Model {
        name: "reused_index",
        preemptions: 3,
        body: reused_index,
        kills: &["lock.read", "lock.exchange"],
    },
    Model {
        name: "swept_by_a_third",
        preemptions: 3,
        body: swept_by_a_third,
        kills: &["lock.exchange", "lock.read"],
    },
    Model { name: "buried_too_late", preemptions: 3, body: buried_too_late, kills: &["lock.bury_exactly"] },
    Model { name: "signed_by_another", preemptions: 3, body: signed_by_another, kills: &["owner.of_this_word"] },
];

struct Shared {
    lock: LockWord,
    dead: [AtomicU32; 4],
    data: Slot<u32>,
}

impl Shared {
    fn new() -> Arc<Self> {
        let dead = [(); 4].map(|()| AtomicU32::new(0));
        let shared = Shared { lock: LockWord::new(), dead, data: Slot::vacant() };
        // SAFETY: nobody else has it yet.
        unsafe { shared.data.write(0) };
        Arc::new(shared)
    }

    fn die(&self, who: u16) {
        self.dead[usize::from(who)].store(1, Ordering::Release);
    }

    fn dead(&self, who: u16) -> bool {
        self.dead[usize::from(who)].load(Ordering::Acquire) == 1
    }

    /// What only a holder may do; loom reports two at once, and one that misses what the other wrote.
    fn touch(&self, _held: &Held) -> u32 {
        // SAFETY: the caller holds the lock.
        let value = unsafe { self.data.read() };
        // SAFETY: as above.
        unsafe { self.data.write(value + 1) };
        value
    }

    fn take_from_dead(&self, me: u16) -> Option<Held> {
        let seen = self.lock.read();
        if seen.owner() != 0 && seen.owner() != me && self.dead(seen.owner()) {
            self.lock.take_over(seen, me)
        } else {
            None
        }
    }
}

/// Two processes, one lock.
fn exclusion() {
    let shared = Shared::new();
    let work = |shared: &Shared, me| match shared.lock.try_lock(me) {
        Ok(held) => {
            shared.touch(&held);
            shared.lock.unlock(held);
        }
        Err(refused) => assert!(matches!(refused, Refused::Held(seen) if seen.owner() == 3 - me)),
    };
    let other = thread::spawn({
        let shared = shared.clone();
        move || work(&shared, 2)
    });
    work(&shared, 1);
    other.join().unwrap();
}

/// Two survivors find the same dead holder.
fn two_takers_over() {
    let shared = Shared::new();
    let _dead = shared.lock.try_lock(1).unwrap();
    shared.die(1);
    let survive = |shared: &Shared, me| {
        if let Some(held) = shared.take_from_dead(me) {
            assert_eq!(held.grant(), Grant::OwnerDied);
            shared.touch(&held);
            shared.lock.unlock(held);
        }
    };
    let other = thread::spawn({
        let shared = shared.clone();
        move || survive(&shared, 2)
    });
    survive(&shared, 3);
    other.join().unwrap();
    assert_eq!(shared.touch(&shared.lock.try_lock(3).unwrap()), 1, "exactly one took it over");
}

/// A survivor stalls between asking and acting; meanwhile the lock is repaired, and held under the same index
/// by its next owner.
fn stalled_taker_over() {
    let shared = Shared::new();
    let _dead = shared.lock.try_lock(1).unwrap();
    shared.die(1);
    let survivor = thread::spawn({
        let shared = shared.clone();
        move || {
            if let Some(held) = shared.take_from_dead(2) {
                shared.touch(&held);
                shared.lock.unlock(held);
            }
        }
    });
    // The next process with index 1: it sweeps before it claims.
    shared.lock.sweep(1);
    shared.dead[1].store(0, Ordering::Relaxed);
    if let Ok(held) = shared.lock.try_lock(1) {
        let held = shared.lock.recovered(held);
        shared.touch(&held);
        shared.lock.unlock(held);
    }
    survivor.join().unwrap();
}

/// An index that was dead is alive again: who reads its claim must not act on its predecessor's death.
fn reused_index() {
    let shared = Shared::new();
    shared.die(1);
    let heir = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.dead[1].store(0, Ordering::Relaxed);
            let held = shared.lock.try_lock(1).unwrap();
            shared.touch(&held);
            shared.lock.unlock(held);
        }
    });
    assert!(shared.take_from_dead(2).is_none(), "taken from the living");
    heir.join().unwrap();
}

/// A third process sweeps the dead one's lock; who takes it then sees what the dead one wrote.
fn swept_by_a_third() {
    let shared = Shared::new();
    let victim = thread::spawn({
        let shared = shared.clone();
        move || {
            if let Ok(held) = shared.lock.try_lock(1) {
                shared.touch(&held);
                shared.die(1);
            }
        }
    });
    let sweeper = thread::spawn({
        let shared = shared.clone();
        move || shared.dead(1) && shared.lock.sweep(1)
    });
    if let Ok(held) = shared.lock.try_lock(3) {
        match held.grant() {
            Grant::OwnerDied => assert_eq!(shared.touch(&held), 1),
            // It came before the victim, who then cannot have claimed it.
            _ => assert_eq!(shared.touch(&held), 0),
        }
    }
    victim.join().unwrap();
    sweeper.join().unwrap();
}

/// A thread ended with the lock; before it is buried, its process leaves the segment and others have the lock.
fn buried_too_late() {
    let shared = Shared::new();
    let word = shared.lock.try_lock(1).unwrap().word();
    let heir = thread::spawn({
        let shared = shared.clone();
        move || {
            if shared.lock.sweep(1)
                && let Ok(held) = shared.lock.try_lock(2)
            {
                shared.touch(&held);
                shared.lock.unlock(held);
            }
        }
    });
    shared.lock.bury(word);
    if let Ok(held) = shared.lock.try_lock(3) {
        shared.touch(&held);
    }
    heir.join().unwrap();
}

/// Two threads of one process: who asks whether it has the lock itself must not take the other for itself, in whose
/// stead its own former signature still stands there.
fn signed_by_another() {
    let shared = Arc::new((LockWord::new(), Owner::new()));
    let hold = |shared: &(LockWord, Owner), thread| {
        if let Ok(held) = shared.0.try_lock(1) {
            shared.1.sign(held.word(), thread);
            assert!(shared.1.is(shared.0.read(), thread), "my own");
            shared.0.unlock(held);
        }
    };
    let other = thread::spawn({
        let shared = shared.clone();
        move || hold(&shared, 8)
    });
    hold(&shared, 7);
    if let Err(Refused::Held(seen)) = shared.0.try_lock(1) {
        assert!(!shared.1.is(seen, 7), "deadlock suspected");
    }
    other.join().unwrap();
}

//! The models' own futex: does it lose nothing, and does a lost wake-up show?
//!
//! The word changes by read-modify-writes only: loom leaves the order of a plain store and a concurrent one open.

use crate::harness::Model;
use crate::sync::{AtomicU32, Ordering};
use crate::sys::futex::{self, Slept};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model { name: "change_then_wake", preemptions: 3, body: change_then_wake, kills: &["model.futex.compare"] },
    Model { name: "wake_counts", preemptions: 3, body: wake_counts, kills: &["model.futex.compare"] },
];

/// A waker that changes the word first and then wakes reaches every sleeper.
fn change_then_wake() {
    let word = Arc::new(AtomicU32::new(0));
    let sleeper = {
        let word = word.clone();
        thread::spawn(move || futex::wait(&word, 0, u64::MAX))
    };
    word.swap(1, Ordering::Relaxed);
    let woken = futex::wake(&word, 1);
    let slept = sleeper.join().unwrap();
    assert_eq!(slept, if woken == 1 { Slept::Woken } else { Slept::Changed });
}

/// Two sleepers, two wakes of one: each is woken or was told of the change, and the counts agree.
fn wake_counts() {
    let word = Arc::new(AtomicU32::new(0));
    let sleep = || {
        let word = word.clone();
        thread::spawn(move || futex::wait(&word, 0, u64::MAX))
    };
    let sleepers = [sleep(), sleep()];
    word.swap(1, Ordering::Relaxed);
    let woken = futex::wake(&word, 1) + futex::wake(&word, 1);
    let slept = sleepers.map(|sleeper| sleeper.join().unwrap());
    assert_eq!(slept.iter().filter(|&&slept| slept == Slept::Woken).count(), woken as usize);
}

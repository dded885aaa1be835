//! The journal: what is read is the result of whole writes, each of which is there or not, wherever its writer dies.
//!
//! A byte is a word of two here. A writer dies when he finds himself killed before he moves a word: there he stops for ever.

use crate::harness::Model;
use crate::lock::{Held, Journal, LockWord, Stretch, Unread, Version};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "read_against_two_writes",
        preemptions: 2,
        body: read_against_two_writes,
        kills: &[
            "journal.look",
            "journal.recheck",
            "journal.recheck_fence",
            "journal.log_first",
            "journal.log_fence",
            "journal.apply_fence",
            "journal.commit",
            "journal.applied",
        ],
    },
    Model {
        name: "killed_at_any_step",
        preemptions: 1,
        body: killed_at_any_step,
        kills: &["journal.settle", "journal.finish_fence"],
    },
    Model { name: "killed_while_finishing", preemptions: 2, body: killed_while_finishing, kills: &["journal.settle"] },
    Model { name: "parts", preemptions: 3, body: parts, kills: &["journal.log_first", "journal.apply_fence"] },
    Model { name: "two_update", preemptions: 3, body: two_update, kills: &["journal.expected"] },
];

const WHOLE: Stretch = Stretch { at: 0, len: 2 };

struct Shared {
    lock: LockWord,
    journal: Journal,
    main: [AtomicU64; 2],
    log: [AtomicU64; 2],
    killed: AtomicU32,
    dead: [AtomicU32; 4],
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Shared {
            lock: LockWord::new(),
            journal: Journal::new(),
            main: [0, 0].map(AtomicU64::new),
            log: [0, 0].map(AtomicU64::new),
            killed: AtomicU32::new(0),
            dead: [0; 4].map(AtomicU32::new),
        })
    }

    /// Copies what is to be seen now.
    fn read(&self) -> Result<([u64; 2], Version), Unread> {
        let mut copy = [0; 2];
        let version = self.journal.read(2, |stretch| self.copy(stretch, &mut copy))?;
        Ok((copy, version))
    }

    fn copy(&self, stretch: Option<Stretch>, copy: &mut [u64; 2]) {
        for (to, from) in copy.iter_mut().zip(&self.main) {
            *to = from.load(Ordering::Relaxed);
        }
        if let Some(Stretch { at, len }) = stretch {
            for place in at as usize..(at + len) as usize {
                copy[place] = self.log[place].load(Ordering::Relaxed);
            }
        }
    }

    /// Where the mortal may die.
    fn breathe(&self, is_mortal: bool) {
        if is_mortal && self.killed.load(Ordering::Relaxed) == 1 {
            resume_unwind(Box::new("killed"));
        }
    }

    fn apply(&self, stretch: Stretch, is_mortal: bool) {
        for place in stretch.at as usize..(stretch.at + stretch.len) as usize {
            self.breathe(is_mortal);
            self.main[place].store(self.log[place].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.breathe(is_mortal);
    }

    /// Writes `value` into a stretch; only for the holder of the lock.
    fn write(&self, stretch: Stretch, value: u64, expected: Option<Version>, is_mortal: bool) -> bool {
        let log = || {
            for place in stretch.at as usize..(stretch.at + stretch.len) as usize {
                self.breathe(is_mortal);
                self.log[place].store(value, Ordering::Relaxed);
            }
            self.breathe(is_mortal);
        };
        let apply = |stretch| self.apply(stretch, is_mortal);
        self.journal.write(stretch, 2, expected, log, apply).is_ok()
    }

    /// Takes the lock, if need be from the dead.
    fn lock(&self, me: u16) -> Option<Held> {
        self.lock.try_lock(me).ok().or_else(|| {
            let seen = self.lock.read();
            let owner = seen.owner();
            let is_dead = owner != 0 && self.dead[usize::from(owner)].load(Ordering::Acquire) == 1;
            is_dead.then(|| self.lock.take_over(seen, me))?
        })
    }

    fn unlock(&self, held: Held) {
        let held = if held.inconsistent() { self.lock.recovered(held) } else { held };
        self.lock.unlock(held);
    }

    /// Does something as the process `me`, and dies of it if it is killed meanwhile. Returns whether it lived.
    fn mortally(&self, me: u16, act: impl FnOnce()) -> bool {
        let lived = catch_unwind(AssertUnwindSafe(act)).is_ok();
        if !lived {
            self.dead[usize::from(me)].store(1, Ordering::Release);
        }
        lived
    }

    /// A reader: looks twice. `value` tells what the result of so many writes is.
    fn look_twice(&self, value: impl Fn(u64) -> Vec<[u64; 2]>) {
        let mut last = 0;
        for _ in 0..2 {
            if let Ok((copy, version)) = self.read() {
                assert!(value(version.writes()).contains(&copy), "{copy:?} after {} writes", version.writes());
                assert!(version.writes() >= last, "time goes back");
                last = version.writes();
            }
        }
    }
}

/// One writes twice, one reads twice.
fn read_against_two_writes() {
    let shared = Shared::new();
    let writer = thread::spawn({
        let shared = shared.clone();
        move || {
            for value in 1..=2 {
                let held = shared.lock(1).unwrap();
                assert!(shared.write(WHOLE, value, None, false));
                shared.unlock(held);
            }
        }
    });
    shared.look_twice(|writes| vec![[writes; 2]]);
    writer.join().unwrap();
    assert_eq!(shared.read().unwrap().0, [2, 2]);
}

/// A writer is killed at any step, another one writes after him, a third looks.
fn killed_at_any_step() {
    let shared = Shared::new();
    let victim = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.mortally(1, || {
                let held = shared.lock(1).unwrap();
                assert!(shared.write(WHOLE, 1, None, true));
                shared.unlock(held);
            })
        }
    });
    let reader = thread::spawn({
        let shared = shared.clone();
        // The heir's is the first write, or the second.
        move || {
            if let Ok((copy, version)) = shared.read() {
                let fits = match version.writes() {
                    0 => copy == [0, 0],
                    1 => copy == [1, 1] || copy == [9, 9],
                    2 => copy == [9, 9],
                    _ => false,
                };
                assert!(fits, "{copy:?} after {} writes", version.writes());
            }
        }
    });
    shared.killed.store(1, Ordering::Relaxed);
    let lived = victim.join().unwrap();
    let (before, version) = shared.read().unwrap();
    assert!(before == [version.writes(); 2] && (!lived || version.writes() == 1), "{before:?}");
    let held = shared.lock(2).expect("free, or the dead one's");
    assert!(shared.write(WHOLE, 9, Some(version), false));
    shared.unlock(held);
    assert_eq!(shared.read().unwrap().0, [9, 9]);
    reader.join().unwrap();
}

/// Somebody died in the middle; who finishes what he began dies of it too.
fn killed_while_finishing() {
    let shared = Shared::new();
    let begun = shared.mortally(1, || {
        let _held = shared.lock(1).unwrap();
        let log = || shared.log.iter().for_each(|word| word.store(1, Ordering::Relaxed));
        let dies = |_| resume_unwind(Box::new("killed"));
        shared.journal.write(WHOLE, 2, None, log, dies).unwrap();
    });
    assert!(!begun);
    let second = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.mortally(2, || {
                if let Some(held) = shared.lock(2) {
                    shared.journal.settle(2, |stretch| shared.apply(stretch, true)).unwrap();
                    shared.unlock(held);
                }
            })
        }
    });
    shared.killed.store(1, Ordering::Relaxed);
    let third = shared.lock(3);
    if let Some(held) = third {
        // A part of the dead one's: the rest of it must be there before.
        assert!(shared.write(Stretch { at: 1, len: 1 }, 5, None, false));
        shared.unlock(held);
        assert_eq!(shared.read().unwrap().0, [1, 5]);
    } else {
        assert_eq!(shared.read().map(|(copy, _)| copy), Ok([1, 1]));
    }
    second.join().unwrap();
    let (copy, version) = shared.read().unwrap();
    assert_eq!(copy, if version.writes() == 1 { [1, 1] } else { [1, 5] });
}

/// Two writes to different parts: a reader has none, the first, or both.
fn parts() {
    let shared = Shared::new();
    let writer = thread::spawn({
        let shared = shared.clone();
        move || {
            for at in 0..2 {
                let held = shared.lock(1).unwrap();
                assert!(shared.write(Stretch { at, len: 1 }, 7, None, false));
                shared.unlock(held);
            }
        }
    });
    shared.look_twice(|writes| vec![[[0, 0], [7, 0], [7, 7]][writes as usize]]);
    writer.join().unwrap();
    assert_eq!(shared.read().unwrap().0, [7, 7]);
}

/// Two add one each, to what they read before they have the lock: none is lost.
fn two_update() {
    let shared = Shared::new();
    let add = |shared: &Shared, me| {
        let Ok(([value, _], version)) = shared.read() else { return 0 };
        let Some(held) = shared.lock(me) else { return 0 };
        let done = shared.write(WHOLE, value + 1, Some(version), false);
        shared.unlock(held);
        u64::from(done)
    };
    let other = thread::spawn({
        let shared = shared.clone();
        move || add(&shared, 2)
    });
    let added = add(&shared, 1) + other.join().unwrap();
    assert_eq!(shared.read().unwrap().0, [added; 2]);
}

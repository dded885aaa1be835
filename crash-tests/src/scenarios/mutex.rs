//! Mutexes: whoever dies with one leaves it to the next, who is told; the value is never half changed in silence.

use super::locks::{
    Guard, LOCK, Lock, change, create_lock, half_change, is_whole, leak, lock_must_be_as_good_as_new,
    look_at_lock, needs_a_nudge, nudge, open_lock, repair_all, sleeper, take, until_asleep,
};
use super::pooled::sleep_until_woken;
use crate::process::{Process, killed_elsewhere, pause};
use crate::scenario::{Death, Scenario, operation};
use process_tests::halves::Halves;
use ringway::inspect;
use ringway::{Inherited, LockError, Mutex, Wait};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

/// The mutex is taken and given back once, so that this is no longer something new for the thread.
fn known() -> Lock {
    let lock = open_lock();
    drop(lock.lock().unwrap());
    lock
}

/// One dies who had the mutex, and half changed its value.
fn die_with_it() {
    killed_elsewhere(|| {
        let mut guard = open_lock().lock().unwrap();
        half_change(&mut guard);
        guard
    });
}

fn inherit(lock: Lock) -> Inherited<'static, Halves> {
    match lock.lock() {
        Err(LockError::OwnerDied(inherited)) => inherited,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("nobody said that the last owner died"),
    }
}

/// The victim takes the mutex, adds one to both halves, and gives it back.
fn survives_change(lock: Lock, death: Death) -> u64 {
    let (guard, seen, died) = take(lock);
    drop(guard);
    let effect = match (died, seen.left, seen.right) {
        (false, 0, 0) => 0,
        (true, 0, 0) | (true, 1, 0) | (true, 1, 1) => 1,
        (false, 1, 1) => 2,
        _ => panic!("died: {died}, {seen:?}"),
    };
    assert!(effect == 2 || !death.after, "{effect} though the mutex was given back");
    lock_must_be_as_good_as_new(lock, seen.left, 1);
    effect
}

/// The victim inherits the mutex from one who died when he had changed the first half, repairs it, and gives it back.
fn survives_repair(lock: Lock, death: Death) -> u64 {
    let (guard, seen, died) = take(lock);
    drop(guard);
    let effect = match (died, is_whole(&Halves { repairs: 0, ..seen })) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => unreachable!("nobody said so"),
    };
    assert!(seen.left == 1 && (effect == 2 || !death.after), "died: {died}, {seen:?}");
    lock_must_be_as_good_as_new(lock, 1, 1);
    effect
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = owners();
    all.extend(heirs());
    all.extend(those_who_wait());
    all.extend(wakers());
    all.extend(sweepers());
    all
}

fn owners() -> Vec<Scenario> {
    let changes = |name: &'static str, victim: fn() -> Lock| {
        Scenario::new(
            name,
            || create_lock(2),
            move |_| {
                let lock = victim();
                operation(|| change(&mut lock.lock().unwrap()));
            },
            survives_change,
        )
    };
    let refused = |name: &'static str, victim: fn(Lock)| {
        Scenario::new(
            name,
            || {
                let lock = create_lock(2);
                (lock, lock.lock().unwrap())
            },
            move |_| victim(open_lock()),
            |(lock, guard), _| {
                assert!(is_whole(&guard), "changed though another has the mutex");
                drop(guard);
                lock_must_be_as_good_as_new(lock, 0, 1);
                0
            },
        )
    };
    vec![
        changes("mutex/first-lock", open_lock),
        changes("mutex/lock", known),
        changes("mutex/lock-timed", || {
            leak(Mutex::options().wait(Wait::Park).timed(true).open(LOCK).unwrap())
        }),
        // With a copy of the value, which is written back.
        changes("mutex/lock-untrusting", || {
            leak(Mutex::options().wait(Wait::Park).trusted(false).open(LOCK).unwrap())
        }),
        refused("mutex/try-lock-held", |lock| {
            operation(|| assert!(matches!(lock.try_lock(), Err(LockError::WouldBlock))));
        }),
        refused("mutex/lock-times-out", |lock| {
            operation(|| {
                let late = lock.lock_timeout(Duration::from_millis(1));
                assert!(matches!(late, Err(LockError::Timeout)));
            });
        }),
    ]
}

fn heirs() -> Vec<Scenario> {
    // In the place of the dead one the victim has left the mutex to whoever comes, in a place beside it has not.
    let heirs = |name: &'static str, in_its_place: bool, victim: fn(Lock)| {
        Scenario::new(
            name,
            move || {
                let lock = create_lock(3);
                if in_its_place {
                    die_with_it();
                }
                lock
            },
            move |_| {
                let lock = open_lock();
                if !in_its_place {
                    die_with_it();
                }
                victim(lock);
            },
            survives_repair,
        )
    };
    let lock = |lock| operation(|| drop(inherit(lock).recover(repair_all)));
    vec![
        heirs("mutex/lock-of-dead", false, lock),
        heirs("mutex/lock-of-swept", true, lock),
        heirs("mutex/try-lock-of-dead", false, |lock| {
            operation(|| match lock.try_lock() {
                Err(LockError::OwnerDied(inherited)) => drop(inherited.recover(repair_all)),
                _ => panic!("nobody said that the last owner died"),
            });
        }),
        // The first heir has died too, in the middle of the repair.
        heirs("mutex/lock-of-dead-heir", false, |lock| {
            killed_elsewhere(|| {
                let mut inherited = inherit(open_lock());
                inherited.between[0] += 7;
                inherited
            });
            operation(|| drop(inherit(lock).recover(repair_all)));
        }),
        // Into a copy, which is written back.
        heirs("mutex/recover-untrusting", true, |_| {
            let lock: Lock = leak(Mutex::options().trusted(false).open(LOCK).unwrap());
            let inherited = inherit(lock);
            operation(|| drop(inherited.recover(repair_all)));
        }),
    ]
}

/// The victim sleeps for the mutex.
fn those_who_wait() -> Vec<Scenario> {
    type Held = (Lock, Option<Guard>);
    vec![
        Scenario::with_partner(
            "mutex/lock-asleep",
            || {
                let lock = create_lock(2);
                (lock, Some(lock.lock().unwrap()))
            },
            |_| {
                let lock = open_lock();
                operation(|| change(&mut lock.lock().unwrap()));
            },
            |(_, guard): &mut Held| drop(guard.take()),
            |(lock, guard), death| {
                drop(guard);
                survives_change(lock, death)
            },
        )
        .with_a_short_cut(),
        // Nobody wakes it: it finds out at the end of a slice.
        Scenario::with_partner(
            "mutex/owner-dies-while-asleep",
            || {
                let lock = create_lock(3);
                let owner = Process::start("one that dies before", || {
                    let mut guard = open_lock().lock().unwrap();
                    half_change(&mut guard);
                    loop {
                        pause();
                    }
                });
                owner.until_asleep();
                (lock, Some(owner))
            },
            |_| {
                let lock = open_lock();
                operation(|| drop(inherit(lock).recover(repair_all)));
            },
            |(_, owner)| owner.take().into_iter().for_each(Process::kill),
            |(lock, owner), death| {
                owner.into_iter().for_each(Process::kill);
                survives_repair(lock, death)
            },
        )
        .with_a_short_cut(),
    ]
}

fn is_held(lock: &inspect::Mutex) -> bool {
    matches!(lock.state, inspect::Lock::Held(_))
}

fn is_inherited(lock: &inspect::Mutex) -> bool {
    is_held(lock) && lock.inconsistent
}

/// Dropped by a panic, an operation.
struct Dropped(Option<Guard>);

impl Drop for Dropped {
    fn drop(&mut self) {
        operation(|| drop(self.0.take()));
    }
}

/// The victim wakes others. If it was killed before it did, they find out at the end of a slice; where sleeps have none,
/// the survivor takes the mutex and wakes them.
fn wakers() -> Vec<Scenario> {
    type Crowd = (Lock, Vec<Process>);
    let with_sleepers = |count: u16, when: fn(&inspect::Mutex) -> bool| -> Crowd {
        sleep_until_woken();
        (create_lock(2 + count), (0..count).map(|_| sleeper(when)).collect())
    };
    /// What they had of it: who was told of a death, in the order of their values.
    fn outcomes(lock: Lock, sleepers: Vec<Process>, after: bool) -> Vec<bool> {
        let count = sleepers.len();
        if needs_a_nudge(after) {
            (0..count).for_each(|_| nudge(lock));
        }
        let mut all: Vec<_> = sleepers.into_iter().map(Process::join).collect();
        all.sort_by_key(|found| found.get(1).copied());
        assert!(
            all.iter().filter(|found| !found.is_empty()).map(|found| found[1]).eq(1..=count as u64)
                || all.iter().all(|found| found.is_empty()),
            "two had the mutex at once: {all:?}"
        );
        all.into_iter().filter_map(|found| Some(*found.first()? == 1)).collect()
    }
    vec![
        Scenario::new(
            "mutex/unlock-wakes",
            move || with_sleepers(1, is_held),
            |(_, sleepers)| {
                let mut guard = open_lock().lock().unwrap();
                change(&mut guard);
                until_asleep(&sleepers, || look_at_lock().awaited);
                operation(|| drop(guard));
            },
            |(lock, sleepers), death| {
                let told = outcomes(lock, sleepers, death.after);
                let clean = look_at_lock().deaths == 0;
                assert!(clean || !death.after, "{told:?}");
                lock_must_be_as_good_as_new(lock, 2, 2);
                clean.into()
            },
        ),
        // By a panic: the next one is told.
        Scenario::new(
            "mutex/panic-wakes",
            move || with_sleepers(1, is_held),
            |(_, sleepers)| {
                let mut guard = open_lock().lock().unwrap();
                change(&mut guard);
                until_asleep(&sleepers, || look_at_lock().awaited);
                let dropped = Dropped(Some(guard));
                // Without the hook that would report it.
                let _ = catch_unwind(AssertUnwindSafe(move || {
                    let _dropped = dropped;
                    resume_unwind(Box::new(()))
                }));
            },
            |(lock, sleepers), death| {
                let told = outcomes(lock, sleepers, death.after);
                assert_eq!(look_at_lock().deaths, 1, "{told:?}");
                lock_must_be_as_good_as_new(lock, 2, 2);
                0
            },
        ),
        // The last handle goes, and with it a guard that was leaked.
        Scenario::new(
            "mutex/leak-wakes",
            move || with_sleepers(1, is_held),
            |(_, sleepers)| {
                let lock: Mutex<Halves> = Mutex::options().open(LOCK).unwrap();
                let mut guard = lock.lock().unwrap();
                change(&mut guard);
                std::mem::forget(guard);
                until_asleep(&sleepers, || look_at_lock().awaited);
                operation(|| drop(lock));
            },
            |(lock, sleepers), death| {
                let told = outcomes(lock, sleepers, death.after);
                assert_eq!(look_at_lock().deaths, 1, "{told:?}");
                lock_must_be_as_good_as_new(lock, 2, 2);
                0
            },
        ),
        // Given up without a repair: nobody gets it again, and all who wait learn it.
        Scenario::new(
            "mutex/give-up",
            move || {
                let it = with_sleepers(2, is_inherited);
                die_with_it();
                it
            },
            |(_, sleepers)| {
                let inherited = inherit(open_lock());
                until_asleep(&sleepers, || look_at_lock().awaited);
                operation(|| drop(inherited));
            },
            |(lock, sleepers), death| {
                let told = outcomes(lock, sleepers, death.after);
                let given_up = told.is_empty();
                assert!(given_up || !death.after, "{told:?}");
                if given_up {
                    assert!(matches!(lock.lock(), Err(LockError::NotRecoverable)));
                    ringway::unlink(LOCK).unwrap();
                } else {
                    lock_must_be_as_good_as_new(lock, 3, 3);
                }
                given_up.into()
            },
        ),
    ]
}

/// The victim takes the place of one that died with the mutex, and so leaves it to whoever comes.
fn sweepers() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "mutex/sweep",
            || {
                let lock = create_lock(2);
                die_with_it();
                lock
            },
            |_| {
                super::ring::know_oneself();
                let _ = operation(open_lock);
            },
            |lock, _| {
                let (guard, seen, died) = take(lock);
                drop(guard);
                assert!(died && seen.left == 1 && seen.right == 0, "died: {died}, {seen:?}");
                lock_must_be_as_good_as_new(lock, 1, 1);
                0
            },
        ),
        Scenario::new(
            "mutex/sweep-wakes",
            || {
                sleep_until_woken();
                let lock = create_lock(3);
                let owner = Process::start("one that dies before", || {
                    let mut guard = open_lock().lock().unwrap();
                    half_change(&mut guard);
                    loop {
                        pause();
                    }
                });
                owner.until_asleep();
                let sleeper = sleeper(is_held);
                until_asleep(std::slice::from_ref(&sleeper), || look_at_lock().awaited);
                owner.kill();
                (lock, sleeper)
            },
            |_| {
                super::ring::know_oneself();
                let _ = operation(open_lock);
            },
            |(lock, sleeper), death| {
                if needs_a_nudge(death.after) {
                    nudge(lock);
                }
                let _ = sleeper.join();
                assert_eq!(look_at_lock().deaths, 1);
                lock_must_be_as_good_as_new(lock, 2, 2);
                0
            },
        )
        // The sleeper may be faster, where it looks around itself.
        .in_company(),
    ]
}

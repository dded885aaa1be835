//! Reentrant mutexes: whoever dies with one leaves it to the next, however often he had taken it.

use super::locks::{
    change, half_change, in_places, is_whole, leak, look, needs_a_nudge, repair_all, until_asleep,
};
use super::pooled::sleep_until_woken;
use crate::process::{Process, give_way, killed_elsewhere, patience};
use crate::scenario::{Death, Scenario, operation};
use process_tests::halves::Halves;
use ringway::inspect::{self, Detail};
use ringway::{LockError, ReentrantMutex, ReentrantMutexGuard, Wait};

type Lock = &'static ReentrantMutex<Halves>;
type Guard = ReentrantMutexGuard<'static, Halves>;

const NAME: &str = "lock";

fn create(places: u16) -> Lock {
    leak(ReentrantMutex::options().participants(places).wait(Wait::Park).create(NAME).unwrap())
}

fn open() -> Lock {
    leak(ReentrantMutex::options().wait(Wait::Park).open(NAME).unwrap())
}

fn look_at_it() -> inspect::Mutex {
    match look(NAME) {
        Detail::Lock(lock) => *lock,
        other => panic!("{other:?}"),
    }
}

fn changed_by(how: fn(&mut Halves)) -> impl Fn(Halves) -> Halves {
    move |mut halves| {
        how(&mut halves);
        halves
    }
}

/// The mutex, and what its value was and whether the last owner died with it, before it was repaired.
fn take(lock: Lock) -> (Guard, Halves, bool) {
    match lock.lock_timeout(patience()) {
        Ok(guard) => {
            let seen = guard.get();
            assert!(is_whole(&seen), "half changed, and nobody said so: {seen:?}");
            (guard, seen, false)
        }
        Err(LockError::OwnerDied(inherited)) => {
            let seen = inherited.get();
            (inherited.recover(changed_by(repair_all)), seen, true)
        }
        Err(error) => panic!("the lock: {error}"),
    }
}

/// The mutex excludes and lets in as a new one, also those who take the places of the dead, and as deep.
fn must_be_as_good_as_new(lock: Lock, before: u64, places: u16) {
    let (guard, seen, died) = take(lock);
    assert!(!died && seen.left == before && guard.depth() == 1, "{died} {seen:?}");
    in_places(places, &|_| open(), &|other: &Lock| {
        assert!(matches!(other.try_lock().unwrap_err(), LockError::WouldBlock), "two have the mutex");
    });
    drop(guard);
    in_places(places, &|_| open(), &|other: &Lock| {
        let (outer, ..) = take(other);
        let inner = other.try_lock().unwrap();
        assert_eq!(inner.depth(), 2);
        drop(outer);
        // Still held.
        assert_eq!(inner.depth(), 1);
        inner.update(changed_by(change));
    });
    let (guard, seen, died) = take(lock);
    assert!(!died && seen.left == before + u64::from(places), "{died} {seen:?}");
    drop(guard);
    ringway::unlink(NAME).unwrap();
}

/// The victim changes the value, so often, under the mutex.
fn survives(lock: Lock, times: u64, death: Death) -> u64 {
    let (guard, seen, died) = take(lock);
    assert_eq!(guard.depth(), 1);
    drop(guard);
    let effect = match (died, seen.left) {
        (false, 0) => 0,
        (true, left) if left <= times => 1 + left,
        (false, left) if left == times => 2 + left,
        _ => panic!("died: {died}, {seen:?}"),
    };
    assert!(effect == 2 + times || !death.after, "{effect} though the mutex was given back");
    must_be_as_good_as_new(lock, seen.left, 1);
    effect
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = owners();
    all.extend(wakers());
    all
}

fn owners() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "reentrant/lock",
            || create(2),
            |_| {
                let lock = open();
                drop(lock.lock().unwrap());
                operation(|| lock.lock().unwrap().update(changed_by(change)));
            },
            |lock, death| survives(lock, 1, death),
        ),
        Scenario::new(
            "reentrant/lock-again",
            || create(2),
            |_| {
                let lock = open();
                drop(lock.lock().unwrap());
                operation(|| {
                    let outer = lock.lock().unwrap();
                    outer.update(changed_by(change));
                    let inner = lock.lock().unwrap();
                    inner.update(changed_by(change));
                    drop(inner);
                    drop(outer);
                });
            },
            |lock, death| survives(lock, 2, death),
        ),
        // He died who had it twice, with half a change.
        Scenario::new(
            "reentrant/lock-of-dead",
            || create(3),
            |_| {
                let lock = open();
                killed_elsewhere(|| {
                    let lock = open();
                    let both = [lock.lock().unwrap(), lock.lock().unwrap()];
                    both[1].update(changed_by(half_change));
                    both
                });
                operation(|| match lock.lock() {
                    Err(LockError::OwnerDied(inherited)) => {
                        drop(inherited.recover(changed_by(repair_all)));
                    }
                    _ => panic!("nobody said that the last owner died"),
                });
            },
            |lock, death| {
                let (guard, seen, died) = take(lock);
                assert_eq!(guard.depth(), 1);
                drop(guard);
                let effect = match (died, is_whole(&Halves { repairs: 0, ..seen })) {
                    (true, whole) => u64::from(whole),
                    (false, _) => 2,
                };
                assert!(seen.left == 1 && (effect == 2 || !death.after), "died: {died}, {seen:?}");
                must_be_as_good_as_new(lock, 1, 1);
                effect
            },
        ),
    ]
}

/// The last guard of two gives it back, and wakes who waits for it. If the victim died first, he finds out at the end of a
/// slice; where sleeps have none, the survivor takes the mutex and wakes him.
fn wakers() -> Vec<Scenario> {
    vec![Scenario::new(
        "reentrant/unlock-wakes",
        || {
            sleep_until_woken();
            let lock = create(3);
            let sleeper = Process::start("the sleeper", || {
                let lock = open();
                while !matches!(look_at_it().state, inspect::Lock::Held(_)) {
                    give_way();
                }
                match lock.lock() {
                    Ok(guard) => vec![0, guard.update(changed_by(change)).left],
                    Err(LockError::OwnerDied(inherited)) => {
                        vec![1, inherited.recover(changed_by(repair_all)).update(changed_by(change)).left]
                    }
                    Err(error) => panic!("{error}"),
                }
            });
            (lock, sleeper)
        },
        |(_, sleeper)| {
            let lock = open();
            let both = [lock.lock().unwrap(), lock.lock().unwrap()];
            both[0].update(changed_by(change));
            until_asleep(std::slice::from_ref(&sleeper), || look_at_it().awaited);
            operation(|| both.map(drop));
        },
        |(lock, sleeper), death| {
            if needs_a_nudge(death.after) {
                drop(take(lock));
            }
            let found = sleeper.join();
            assert_eq!(found[1], 2, "{found:?}");
            let clean = look_at_it().deaths == 0;
            assert!(clean || !death.after, "{found:?}");
            must_be_as_good_as_new(lock, 2, 2);
            clean.into()
        },
    )]
}

//! Condition variables: who waits is told, or finds out that he was, whoever dies beside him, with the mutex or without.

use super::locks::{
    Lock, change, create_lock, leak, lock_must_be_as_good_as_new, look, nudge, open_lock, repair_all, take,
    until_asleep,
};
use super::pooled::sleep_until_woken;
use crate::process::Process;
use crate::scenario::{Death, Scenario, operation};
use ringway::inspect::{self, Detail};
use ringway::{Condvar, LockError, Wait};
use std::time::Duration;

type Changed = &'static Condvar;

const NAME: &str = "changed";

fn create(places: u16) -> (Lock, Changed) {
    let changed = Condvar::options().participants(places).wait(Wait::Park).create(NAME).unwrap();
    (create_lock(places), leak(changed))
}

fn open() -> (Lock, Changed) {
    (open_lock(), leak(Condvar::options().wait(Wait::Park).open(NAME).unwrap()))
}

fn look_at_it() -> inspect::Condvar {
    match look(NAME) {
        Detail::Condvar(condvar) => condvar,
        other => panic!("{other:?}"),
    }
}

/// Waits until the first change was made, and makes another one; repairs what the dead left. Its result: how many changes
/// there were.
fn wait_and_change() -> Vec<u64> {
    let (lock, changed) = open();
    let mut locked = lock.lock();
    loop {
        let guard = match locked {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(inherited)) => inherited.recover(repair_all),
            Err(error) => panic!("{error}"),
        };
        match changed.wait_while(guard, |halves| halves.left == 0) {
            Ok(mut guard) => {
                let seen = guard.left;
                change(&mut guard);
                drop(guard);
                // If this one was told in the stead of another, that one is.
                changed.notify_one();
                return vec![seen];
            }
            Err(error) => locked = Err(error),
        }
    }
}

fn waiting(count: usize) -> Vec<Process> {
    let waiting: Vec<_> = (0..count).map(|_| Process::start("the sleeper", wait_and_change)).collect();
    until_asleep(&waiting, || look_at_it().awaited);
    waiting
}

fn must_be_as_good_as_new(lock: Lock, changed: Changed, before: u64, places: u16) {
    let (guard, ..) = take(lock);
    // As for all those who wait: nobody tells it.
    let (guard, told) = changed.wait_timeout(guard, Duration::from_millis(1)).unwrap();
    assert!(!told);
    drop(guard);
    let next = Process::start("the next one", move || {
        let (lock, changed) = open();
        let (guard, ..) = take(lock);
        let told = look_at_it().notifications;
        let guard = changed.wait_while(guard, |_| look_at_it().notifications == told);
        drop(guard.unwrap());
        Vec::new()
    });
    next.until_asleep();
    drop(take(lock));
    changed.notify_one();
    next.join();
    ringway::unlink(NAME).unwrap();
    lock_must_be_as_good_as_new(lock, before, places);
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = tellers();
    all.extend(those_who_wait());
    all
}

/// The victim makes the first change and tells those who wait. If it died before it did, whoever makes that change next
/// tells them.
fn tellers() -> Vec<Scenario> {
    let tells = |name: &'static str, count: usize, victim: fn(Lock, Changed)| {
        Scenario::new(
            name,
            move || {
                sleep_until_woken();
                let it = create(2 + count as u16);
                (it, waiting(count))
            },
            move |_| {
                let (lock, changed) = open();
                victim(lock, changed);
            },
            move |((lock, changed), sleepers), death: Death| {
                let mut made_here = 0;
                if !death.after {
                    let (mut guard, ..) = take(lock);
                    if guard.left == 0 {
                        change(&mut guard);
                        made_here = 1;
                    }
                    changed.notify_all();
                    drop(guard);
                    // Where sleeps have no slices, they may be asleep for the mutex of the dead.
                    (0..count).for_each(|_| nudge(lock));
                }
                let mut seen: Vec<_> = sleepers.into_iter().flat_map(Process::join).collect();
                seen.sort_unstable();
                assert!(seen.iter().copied().eq(1..=count as u64), "two had the mutex at once: {seen:?}");
                must_be_as_good_as_new(lock, changed, 1 + count as u64, 1);
                1 - made_here
            },
        )
        // Whoever is told wants the mutex at once.
        .in_company()
    };
    vec![
        tells("condvar/notify-one", 1, |lock, changed| {
            let mut guard = lock.lock().unwrap();
            operation(|| {
                change(&mut guard);
                changed.notify_one();
                drop(guard);
            });
        }),
        tells("condvar/notify-one-after-unlock", 1, |lock, changed| {
            let mut guard = lock.lock().unwrap();
            operation(|| {
                change(&mut guard);
                drop(guard);
                changed.notify_one();
            });
        }),
        tells("condvar/notify-all", 2, |lock, changed| {
            let mut guard = lock.lock().unwrap();
            operation(|| {
                change(&mut guard);
                drop(guard);
                changed.notify_all();
            });
        }),
    ]
}

fn those_who_wait() -> Vec<Scenario> {
    let tell = |lock: Lock, changed: Changed| {
        let (mut guard, seen, died) = take(lock);
        assert!(!died, "who waits has the mutex");
        if seen.left == 0 {
            change(&mut guard);
        }
        // Not while the mutex is held, or whoever is told has to wait for that, or not.
        drop(guard);
        changed.notify_one();
    };
    // How far the victim came, by what is left of the mutex.
    let survives = |lock: Lock, changed: Changed, was_told: bool, death: Death| {
        let (guard, seen, died) = take(lock);
        drop(guard);
        let effect = match (was_told, died, seen.left) {
            (false, true, 0) => 0,
            (false, false, 0) => 1,
            (true, false, 1) => 2,
            (true, true, 1) => 3,
            _ => panic!("told: {was_told}, died: {died}, {seen:?}"),
        };
        assert!(effect == 3 || !death.after);
        must_be_as_good_as_new(lock, changed, seen.left, 1);
        effect
    };
    vec![
        Scenario::with_partner(
            "condvar/wait-asleep",
            || (create(2), false),
            |_| {
                let (lock, changed) = open();
                let guard = lock.lock().unwrap();
                operation(|| {
                    let guard = changed.wait_while(guard, |halves| halves.left == 0).unwrap();
                    std::mem::forget(guard);
                });
            },
            move |((lock, changed), told)| {
                if !*told {
                    tell(lock, changed);
                    *told = true;
                }
            },
            move |((lock, changed), told), death| survives(lock, changed, told, death),
        )
        .with_a_short_cut(),
        Scenario::new(
            "condvar/wait-times-out",
            || create(2),
            |_| {
                let (lock, changed) = open();
                let guard = lock.lock().unwrap();
                operation(|| {
                    let (guard, told) = changed.wait_timeout(guard, Duration::from_millis(1)).unwrap();
                    assert!(!told);
                    std::mem::forget(guard);
                });
            },
            |(lock, changed), death| {
                let (guard, seen, died) = take(lock);
                drop(guard);
                assert!(seen.left == 0 && (died || !death.after), "{seen:?}");
                must_be_as_good_as_new(lock, changed, 0, 1);
                0
            },
        ),
        // Who is told in another's stead and dies before he has the mutex takes nothing along: the other finds out at the end of
        // a slice. If he dies with it, whoever recovers tells the others.
        Scenario::with_partner(
            "condvar/notification-goes-along",
            || (create(3), None),
            |_| {
                let (lock, changed) = open();
                let guard = lock.lock().unwrap();
                operation(|| {
                    let guard = changed.wait_while(guard, |halves| halves.left == 0).unwrap();
                    std::mem::forget(guard);
                });
            },
            move |((lock, changed), behind)| {
                if behind.is_none() {
                    *behind = waiting(1).pop();
                    tell(lock, changed);
                }
            },
            |((lock, changed), behind), _| {
                let was_told = behind.is_some();
                if was_told {
                    let (guard, _, died) = take(lock);
                    drop(guard);
                    if died {
                        changed.notify_all();
                    }
                }
                let before = behind.map_or(0, |behind| 1 + behind.join()[0]);
                assert!(matches!((was_told, before), (false, 0) | (true, 2)), "{before}");
                drop(take(lock));
                must_be_as_good_as_new(lock, changed, before, 2);
                was_told.into()
            },
        )
        .in_company(),
    ]
}

//! Semaphores that anybody may release: a permit is taken or it is not, given or not, and whoever dies blocks nobody.

use super::locks::{in_places, leak, look, until_asleep};
use super::pooled::sleep_until_woken;
use crate::process::{Process, eventually, patience};
use crate::scenario::{Death, Scenario, operation};
use ringway::inspect::Detail;
use ringway::{AcquireError, Deadline, ReleaseError, Semaphore, Wait};
use std::time::Duration;

type Permits = &'static Semaphore;

const NAME: &str = "semaphore";
const BOUND: u32 = 9;

fn create(permits: u32, places: u16) -> Permits {
    let options = Semaphore::options().permits(permits).bound(BOUND).participants(places);
    leak(options.wait(Wait::Park).create(NAME).unwrap())
}

fn open() -> Permits {
    leak(Semaphore::options().wait(Wait::Park).bound(BOUND).open(NAME).unwrap())
}

fn is_awaited() -> bool {
    match look(NAME) {
        Detail::Semaphore(semaphore) => semaphore.awaited,
        other => panic!("{other:?}"),
    }
}

/// So many can be taken, and up to the bound given.
fn must_be_as_good_as_new(permits: Permits, available: u32) {
    assert_eq!(permits.available(), available);
    let one_more = permits.try_acquire_many(available + 1);
    assert!(matches!(one_more, Err(AcquireError::WouldBlock | AcquireError::TooMany { .. })), "{one_more:?}");
    permits.try_acquire_many(available).unwrap();
    permits.release_many(BOUND).unwrap();
    in_places(2, &|_| open(), &|other: &Permits| {
        other.acquire_timeout(patience()).unwrap();
        other.release().unwrap();
    });
    assert!(matches!(permits.release(), Err(ReleaseError::TooMany { bound: BOUND })));
    permits.try_acquire_many(BOUND).unwrap();
    assert!(matches!(permits.try_acquire(), Err(AcquireError::WouldBlock)));
    ringway::unlink(NAME).unwrap();
}

/// A process asleep for so many permits, which it keeps for good.
fn sleeper(count: u32) -> Process {
    let process = Process::start("the sleeper", move || {
        open().acquire_many(count, Deadline::NEVER).unwrap();
        vec![]
    });
    until_asleep(std::slice::from_ref(&process), is_awaited);
    process
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = alone();
    all.extend(those_who_wait());
    all.extend(wakers());
    all
}

fn alone() -> Vec<Scenario> {
    /// Of `before` permits the victim takes or gives some, all at once.
    fn one(name: &'static str, before: u32, then: u32, victim: fn(Permits)) -> Scenario {
        Scenario::new(
            name,
            move || create(before, 3),
            move |_| victim(open()),
            move |permits, death: Death| {
                let available = permits.available();
                let done = available == then && before != then;
                assert!(done || available == before, "{available} permits of {before}, or {then}");
                assert!(done || before == then || !death.after, "not done though the call had returned");
                must_be_as_good_as_new(permits, available);
                done.into()
            },
        )
    }
    vec![
        one("semaphore/acquire", 2, 1, |permits| operation(|| permits.acquire().unwrap())),
        one("semaphore/acquire-many", 5, 2, |permits| {
            operation(|| permits.acquire_many(3, Deadline::NEVER).unwrap());
        }),
        one("semaphore/release", 0, 1, |permits| operation(|| permits.release().unwrap())),
        one("semaphore/release-many", 1, 4, |permits| operation(|| permits.release_many(3).unwrap())),
        one("semaphore/release-too-many", BOUND, BOUND, |permits| {
            operation(|| assert!(matches!(permits.release(), Err(ReleaseError::TooMany { .. }))));
        }),
        one("semaphore/acquire-times-out", 1, 1, |permits| {
            let soon = Deadline::after(Duration::from_millis(1));
            operation(|| assert!(matches!(permits.acquire_many(2, soon), Err(AcquireError::Timeout))));
        }),
    ]
}

fn those_who_wait() -> Vec<Scenario> {
    vec![
        Scenario::with_partner(
            "semaphore/acquire-asleep",
            || (create(0, 3), false),
            |_| {
                let permits = open();
                operation(|| permits.acquire().unwrap());
            },
            |(permits, given)| {
                if !*given {
                    permits.release().unwrap();
                    *given = true;
                }
            },
            |(permits, given), death| {
                let left = permits.available();
                let taken = u32::from(given).checked_sub(left).expect("more than were given");
                assert!(taken == 1 || !death.after, "the permit is not taken");
                must_be_as_good_as_new(permits, left);
                u64::from(given) + u64::from(taken)
            },
        )
        .with_a_short_cut(),
        // Who is woken in another's stead and dies leaves the permit to that one, who finds it at the end of a slice.
        Scenario::with_partner(
            "semaphore/wake-goes-along",
            || (create(0, 4), None, 0),
            |_| {
                let permits = open();
                operation(|| permits.acquire().unwrap());
            },
            |(permits, behind, given)| {
                if behind.is_none() {
                    *behind = Some(sleeper(1));
                }
                // The other one has it if the victim had just looked by itself, at the end of a slice.
                if *given < 2 && permits.available() == 0 {
                    permits.release().unwrap();
                    *given += 1;
                }
            },
            |(permits, behind, given): (Permits, Option<Process>, u32), death| {
                if let Some(behind) = behind {
                    if given == 1 {
                        eventually("nobody takes the permit", || permits.available() == 0);
                    }
                    permits.release().unwrap();
                    behind.join();
                }
                let left = permits.available();
                let taken = given.checked_sub(left).expect("more than were given");
                assert!(taken == 1 || !death.after, "the permit is not taken");
                must_be_as_good_as_new(permits, left);
                u64::from(given.min(1)) + u64::from(taken)
            },
        )
        .with_a_short_cut(),
    ]
}

/// The victim gives a permit to one who sleeps. If it died first, the survivor gives one.
fn wakers() -> Vec<Scenario> {
    let survives = |permits: Permits, sleeper: Process, death: Death| {
        if !death.after {
            permits.release().unwrap();
        }
        sleeper.join();
        let left = permits.available();
        let given = left + 1 - u32::from(!death.after);
        assert!(given == 1 || given == 0 && !death.after, "{given} permits were given");
        given
    };
    vec![
        Scenario::new(
            "semaphore/release-wakes",
            || {
                sleep_until_woken();
                (create(0, 4), sleeper(1))
            },
            |_| {
                let permits = open();
                operation(|| permits.release().unwrap());
            },
            move |(permits, sleeper), death| {
                let given = survives(permits, sleeper, death);
                must_be_as_good_as_new(permits, given - u32::from(death.after));
                given.into()
            },
        ),
        // The first in the row wants two; one is for the second.
        Scenario::new(
            "semaphore/release-wakes-beyond",
            || {
                sleep_until_woken();
                let permits = create(0, 4);
                let greedy = sleeper(2);
                (permits, greedy, sleeper(1))
            },
            |_| {
                let permits = open();
                operation(|| permits.release().unwrap());
            },
            |(permits, greedy, modest), death| {
                if !death.after {
                    permits.release().unwrap();
                    // If there are two now, they may both go to the first.
                    permits.release_many(2).unwrap();
                    modest.join();
                    greedy.join();
                } else {
                    modest.join();
                    permits.release_many(2).unwrap();
                    greedy.join();
                }
                let left = permits.available();
                let given = left + u32::from(death.after);
                assert!(given == 1 || given == 0 && !death.after, "{given} permits were given");
                must_be_as_good_as_new(permits, left);
                given.into()
            },
        ),
    ]
}

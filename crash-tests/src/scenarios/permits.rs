//! Semaphores of owned permits: those of the dead come back, all of them, and whoever gets one is told.

use super::locks::{in_places, leak, look, needs_a_nudge, until_asleep};
use super::pooled::sleep_until_woken;
use crate::process::{Process, elsewhere, killed_elsewhere, patience, pause};
use crate::scenario::{Death, Scenario, operation};
use ringway::inspect::{self, Detail};
use ringway::{AcquireError, OwnedSemaphore, Permit, Wait};

type Permits = &'static OwnedSemaphore;

const NAME: &str = "permits";

fn create(permits: u32, places: u16) -> Permits {
    let options = OwnedSemaphore::options().permits(permits).participants(places);
    leak(options.wait(Wait::Park).create(NAME).unwrap())
}

fn open() -> Permits {
    leak(OwnedSemaphore::options().wait(Wait::Park).open(NAME).unwrap())
}

fn look_at_it() -> inspect::OwnedSemaphore {
    match look(NAME) {
        Detail::OwnedSemaphore(semaphore) => *semaphore,
        other => panic!("{other:?}"),
    }
}

fn acquire(permits: Permits) -> Permit<'static> {
    permits.acquire_timeout(patience()).unwrap()
}

/// All permits are back. So many had been held by the dead, and nobody has been told yet.
fn all_must_be_back(permits: Permits, recovered: impl FnOnce(usize) -> bool) -> u64 {
    let all: Vec<_> = (0..permits.permits()).map(|_| acquire(permits)).collect();
    let count = all.iter().filter(|permit| permit.was_recovered()).count();
    assert!(recovered(count), "{count} permits are told to be from the dead");
    assert!(matches!(permits.try_acquire(), Err(AcquireError::WouldBlock)), "there is one more");
    let looked = look_at_it();
    assert_eq!((looked.available, looked.corrupt, looked.holders.len()), (0, 0, 1));
    drop(all);
    in_places(2, &|_| open(), &|other: &Permits| {
        let all: Vec<_> = (0..other.permits()).map(|_| acquire(other)).collect();
        assert!(!all.iter().any(Permit::was_recovered), "told twice");
        assert!(matches!(other.try_acquire(), Err(AcquireError::WouldBlock)), "there is one more");
    });
    assert_eq!(permits.available(), permits.permits());
    ringway::unlink(NAME).unwrap();
    count as u64
}

/// One dies who had so many.
fn die_with(count: u32) {
    killed_elsewhere(|| (0..count).map(|_| open().acquire().unwrap()).collect::<Vec<_>>());
}

/// One asleep who has so many.
fn holder_of(count: u32) -> Process {
    let holder = Process::start("one that dies before", move || {
        let permits = open();
        let _held: Vec<_> = (0..count).map(|_| permits.acquire().unwrap()).collect();
        loop {
            pause();
        }
    });
    holder.until_asleep();
    holder
}

/// A process asleep for a permit, which it gives back at once. Its result: whether that was of a dead one.
fn sleeper() -> Process {
    let process = Process::start("the sleeper", || vec![open().acquire().unwrap().was_recovered().into()]);
    until_asleep(std::slice::from_ref(&process), || look_at_it().awaited);
    process
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = alone();
    all.extend(heirs());
    all.extend(those_who_wait());
    all.extend(wakers());
    all
}

fn alone() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "permits/acquire",
            || create(2, 3),
            |_| {
                let permits = open();
                operation(|| std::mem::forget(permits.acquire().unwrap()));
            },
            |permits, death: Death| {
                all_must_be_back(permits, |count| count == 1 || count == 0 && !death.after)
            },
        ),
        // The one it had just given back.
        Scenario::new(
            "permits/acquire-again",
            || create(2, 3),
            |_| {
                let permits = open();
                drop(permits.acquire().unwrap());
                operation(|| std::mem::forget(permits.acquire().unwrap()));
            },
            |permits, death: Death| {
                all_must_be_back(permits, |count| count == 1 || count == 0 && !death.after)
            },
        ),
        Scenario::new(
            "permits/drop",
            || create(2, 3),
            |_| {
                let permit = open().acquire().unwrap();
                operation(|| drop(permit));
            },
            |permits, death: Death| {
                1 - all_must_be_back(permits, |count| count == 0 || count == 1 && !death.after)
            },
        ),
        Scenario::new(
            "permits/try-acquire-none",
            || {
                let permits = create(1, 3);
                (permits, permits.acquire().unwrap())
            },
            |_| {
                let permits = open();
                operation(|| assert!(matches!(permits.try_acquire(), Err(AcquireError::WouldBlock))));
            },
            |(permits, permit), _| {
                drop(permit);
                all_must_be_back(permits, |count| count == 0)
            },
        ),
    ]
}

/// The victim takes a permit over from the dead, and dies with it.
fn heirs() -> Vec<Scenario> {
    let survives = |permits: Permits, _| {
        let told = all_must_be_back(permits, |count| count >= 1);
        assert_eq!(told, 1, "two are told of one permit");
        0
    };
    vec![
        Scenario::new(
            "permits/take-from-dead",
            || create(1, 3),
            |_| {
                let permits = open();
                die_with(1);
                operation(|| {
                    let permit = permits.acquire().unwrap();
                    assert!(permit.was_recovered());
                    std::mem::forget(permit);
                });
            },
            survives,
        ),
        // Those of his own index, which it took over with it.
        Scenario::new(
            "permits/acquire-swept",
            || {
                let permits = create(1, 3);
                die_with(1);
                permits
            },
            |_| {
                let permits = open();
                operation(|| {
                    let permit = permits.try_acquire().unwrap();
                    assert!(permit.was_recovered());
                    std::mem::forget(permit);
                });
            },
            survives,
        ),
        // In his place: they are back already when it has come.
        Scenario::new(
            "permits/sweep",
            || {
                let permits = create(3, 3);
                die_with(2);
                permits
            },
            |_| {
                super::ring::know_oneself();
                let _ = operation(open);
            },
            |permits, _| {
                all_must_be_back(permits, |count| count == 2);
                0
            },
        ),
    ]
}

fn those_who_wait() -> Vec<Scenario> {
    vec![
        Scenario::with_partner(
            "permits/acquire-asleep",
            || {
                let permits = create(1, 3);
                (permits, Some(permits.acquire().unwrap()))
            },
            |_| {
                let permits = open();
                operation(|| std::mem::forget(permits.acquire().unwrap()));
            },
            |(_, held)| drop(held.take()),
            |(permits, held), death| {
                drop(held);
                all_must_be_back(permits, |count| count == 1 || count == 0 && !death.after)
            },
        )
        .with_a_short_cut(),
        // Nobody wakes it: it finds out at the end of a slice.
        Scenario::with_partner(
            "permits/owner-dies-while-asleep",
            || {
                let permits = create(1, 3);
                (permits, Some(holder_of(1)))
            },
            |_| {
                let permits = open();
                operation(|| {
                    let permit = permits.acquire().unwrap();
                    assert!(permit.was_recovered());
                    std::mem::forget(permit);
                });
            },
            |(_, owner)| owner.take().into_iter().for_each(Process::kill),
            |(permits, owner), _| {
                owner.into_iter().for_each(Process::kill);
                all_must_be_back(permits, |count| count == 1);
                0
            },
        )
        .with_a_short_cut(),
    ]
}

/// The victim wakes who waits for a permit. If it died first, he finds out at the end of a slice; where sleeps have none,
/// another takes a permit and gives it back.
fn wakers() -> Vec<Scenario> {
    let nudge = |permits: Permits, after: bool| {
        if needs_a_nudge(after) {
            elsewhere(|| {
                (0..2).for_each(|_| drop(acquire(permits)));
                Vec::new()
            });
            (0..2).for_each(|_| drop(acquire(permits)));
        }
    };
    vec![
        Scenario::new(
            "permits/drop-wakes",
            || {
                sleep_until_woken();
                let permits = create(1, 4);
                let ready = Process::start("the sleeper", || {
                    let permits = open();
                    while permits.available() > 0 {
                        crate::process::give_way();
                    }
                    vec![permits.acquire().unwrap().was_recovered().into()]
                });
                (permits, ready)
            },
            |(_, sleeper)| {
                let permit = open().acquire().unwrap();
                until_asleep(std::slice::from_ref(&sleeper), || look_at_it().awaited);
                operation(|| drop(permit));
            },
            move |(permits, sleeper), death| {
                nudge(permits, death.after);
                let told = sleeper.join()[0];
                assert!(told == 0 || !death.after, "a permit that was given back is told to be of the dead");
                let given = permits.recovered() == 0;
                assert!(given || !death.after);
                all_must_be_back(permits, |count| count == 0);
                given.into()
            },
        ),
        Scenario::new(
            "permits/sweep-wakes",
            || {
                sleep_until_woken();
                let permits = create(2, 4);
                let dead = holder_of(2);
                let sleepers = [sleeper(), sleeper()];
                dead.kill();
                (permits, sleepers)
            },
            |_| {
                super::ring::know_oneself();
                let _ = operation(open);
            },
            move |(permits, sleepers), death| {
                nudge(permits, death.after);
                let told: u64 = sleepers.into_iter().map(|sleeper| sleeper.join()[0]).sum();
                let told_now = all_must_be_back(permits, |count| count <= 2);
                assert!(told + told_now <= 2, "two are told of one permit");
                0
            },
        )
        .in_company(),
    ]
}

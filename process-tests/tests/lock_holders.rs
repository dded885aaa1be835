//! Whoever has a lock and loses it in one way or another: the next one gets it, and is told.

use bytemuck::Zeroable;
use process_tests::halves::{Halves, add, repair};
use process_tests::support::{Test, rounds};
use process_tests::test;
use ringway::inspect::{self, Detail, Lock};
use ringway::{LockError, Mutex, OwnedSemaphore};
use std::time::Duration;

/// Longer than any slice of a sleep.
const LATER: Duration = Duration::from_millis(250);

fn create(test: &Test) -> (String, Mutex<Halves>) {
    let path = test.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    (path, mutex)
}

fn look(path: &str) -> inspect::Mutex {
    match inspect::stat(path).unwrap().detail {
        Detail::Lock(lock) => *lock,
        other => panic!("no lock: {other:?}"),
    }
}

/// The last owner left it in the middle of something, or may have: the next one is told, once.
fn is_inherited(mutex: &Mutex<Halves>) -> Halves {
    let Err(LockError::OwnerDied(inherited)) = mutex.lock() else { panic!("granted as if all were well") };
    let found = *inherited;
    drop(inherited.recover(repair));
    add(mutex);
    found
}

#[test]
fn a_second_death_is_no_repair() {
    let test = test!("lock-second");
    let (path, mutex) = create(&test);
    for round in 0..rounds() / 12 {
        let mut first = test.start(&format!("mutex {path} half hang"));
        first.expect("half");
        let mut heirs = [(); 2].map(|()| test.start(&format!("mutex {path} inherit hang")));
        first.kill();
        // The one of them dies with it unrepaired, and then the other one.
        let mut unsaid = vec![];
        for _ in 0..2 {
            let mut holder = None;
            while holder.is_none() {
                holder = heirs.iter().position(|heir| {
                    !unsaid.contains(&heir.pid())
                        && matches!(look(&path).state, Lock::Held(who) if who.pid == Some(heir.pid()))
                });
            }
            let heir = &mut heirs[holder.unwrap()];
            heir.expect("inconsistent");
            assert!(look(&path).inconsistent);
            assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
            heir.kill();
            unsaid.push(heir.pid());
        }
        heirs.into_iter().for_each(|heir| heir.was_killed());
        first.was_killed();
        let found = is_inherited(&mutex);
        assert_eq!((found.left, found.right, found.repairs), (2 * round + 1, 2 * round, round));
    }
}

#[test]
fn what_was_given_up_is_lost_for_all() {
    let test = test!("lock-lost");
    let (path, mutex) = create(&test);
    let mut holder = test.start(&format!("mutex {path} half hang"));
    holder.expect("half");
    let mut heir = test.start(&format!("mutex {path} inherit wait lose hang"));
    heir.until_asleep();
    holder.kill();
    heir.expect("inconsistent");
    let waiting = [(); 3].map(|()| test.start(&format!("mutex {path} outcome outcome")));
    waiting.iter().for_each(|waiting| waiting.until_asleep());
    heir.go();
    for mut waiting in waiting {
        waiting.expect("lost");
        waiting.expect("lost");
        waiting.succeed();
    }
    // Not even the death of who gave it up changes that.
    heir.kill();
    heir.was_killed();
    holder.was_killed();
    let late = Mutex::<Halves>::open(&path).unwrap();
    for mutex in [&mutex, &late] {
        assert!(matches!(mutex.lock(), Err(LockError::NotRecoverable)));
        assert!(matches!(mutex.try_lock(), Err(LockError::NotRecoverable)));
        assert!(matches!(mutex.lock_timeout(LATER), Err(LockError::NotRecoverable)));
    }
    assert_eq!(look(&path).state, Lock::NotRecoverable);
}

#[test]
fn a_leaked_guard_keeps_it_until_the_process_ends() {
    let test = test!("lock-leaked");
    let (path, mutex) = create(&test);
    let mut holder = test.start(&format!("mutex {path} forget wait exit"));
    holder.expect("forgotten");
    assert!(matches!(mutex.lock_timeout(LATER), Err(LockError::Timeout)));
    holder.go();
    // An orderly end, but nobody gave it back.
    is_inherited(&mutex);
    holder.succeed();
}

#[test]
fn a_thread_that_ends_or_panics_with_it_leaves_it_behind() {
    let test = test!("lock-thread");
    let (path, mutex) = create(&test);
    for (verb, end) in [("thread", "ended"), ("panic", "panicked")] {
        let mut holder = test.start(&format!("mutex {path} {verb} wait outcome"));
        holder.expect(end);
        // The process lives, and is a user like any other.
        is_inherited(&mutex);
        holder.go();
        holder.expect("held");
        holder.succeed();
        // And is told itself, if it comes first.
        let mut holder = test.start(&format!("mutex {path} {verb} outcome"));
        holder.expect(end);
        holder.expect("inherited");
        holder.succeed();
        add(&mutex);
    }
}

#[test]
fn who_becomes_another_program_leaves_it_behind() {
    let test = test!("lock-exec");
    let (path, mutex) = create(&test);
    let mut holder = test.start(&format!("mutex {path} half exec"));
    holder.expect("half");
    holder.expect("idle");
    let found = is_inherited(&mutex);
    assert_eq!((found.left, found.right), (1, 0));
    holder.succeed();
    let owned_path = test.path("owned");
    let permits = OwnedSemaphore::create(&owned_path, 1).unwrap();
    let mut holder = test.start(&format!("owned {owned_path} hold exec"));
    holder.expect("held");
    holder.expect("idle");
    assert!(permits.acquire().unwrap().was_recovered());
    holder.succeed();
}

/// A library closes all descriptors of its process. That is not the end of it.
#[test]
fn closed_descriptors_are_no_death() {
    let test = test!("lock-blind");
    let (path, mutex) = create(&test);
    let mut holder = test.start(&format!("mutex {path} half blind wait hang"));
    holder.expect("half");
    holder.expect("blind");
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    assert!(matches!(mutex.lock_timeout(LATER), Err(LockError::Timeout)));
    holder.kill();
    assert_eq!(is_inherited(&mutex).left, 1);
    holder.was_killed();
    // Nor is it blindness for the deaths of others.
    let mut holder = test.start(&format!("mutex {path} half hang"));
    holder.expect("half");
    let mut waiting = test.start(&format!("mutex {path} blind outcome outcome"));
    waiting.expect("blind");
    waiting.until_asleep();
    holder.kill();
    waiting.expect("inherited");
    waiting.expect("held");
    waiting.succeed();
    holder.was_killed();
    add(&mutex);
}

/// The same where there is no name to find the object by again.
#[test]
fn closed_descriptors_are_no_blindness_without_a_name_either() {
    let test = test!("lock-blind-anonymous");
    let mutex = Mutex::anonymous(Halves::zeroed()).unwrap();
    let start = |script: &str| {
        let mut command = test.command(&format!("mutex inherit:LOCK {script}"));
        mutex.inherit(&mut command, "LOCK").unwrap();
        test.spawn(&mut command)
    };
    let mut holder = start("half blind wait hang");
    holder.expect("half");
    holder.expect("blind");
    assert!(matches!(mutex.lock_timeout(LATER), Err(LockError::Timeout)));
    let mut waiting = start("blind outcome");
    waiting.expect("blind");
    waiting.until_asleep();
    // Whoever cannot ask the kernel about locks asks after the process itself. It need not have been waited for.
    holder.kill();
    waiting.expect("inherited");
    waiting.succeed();
    holder.was_killed();
    add(&mutex);
}

#[test]
fn a_fork_shares_no_lock() {
    let test = test!("lock-fork");
    test.start("lockfork").succeed();
    test.start("watchfork").succeed();
}

#[test]
fn who_cannot_take_part_is_told_so() {
    test!("lock-full").start("lockfull").succeed();
}

#[test]
fn sixteen_contend_and_some_die() {
    let test = test!("lock-sixteen");
    let (path, mutex) = create(&test);
    let mut counters = [(); 16].map(|()| test.start(&format!("mutex {path} wait count:300")));
    counters.iter_mut().for_each(|counter| counter.go());
    let racers = [(); 4].map(|()| test.start(&format!("mutex {path} race")));
    let mut total = 0;
    for racer in racers {
        (0..50).for_each(|_| add(&mutex));
        racer.kill();
        racer.was_killed();
    }
    for mut counter in counters {
        counter.expect("counted");
        counter.succeed();
        total += 300;
    }
    add(&mutex);
    let halves = *mutex.lock().unwrap();
    assert!(halves.left == halves.right && halves.left > total && halves.repairs <= 4, "{halves:?}");
}

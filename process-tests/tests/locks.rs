//! Locks, and what else processes agree by, between real processes, which are killed, stopped and forked.

use bytemuck::Zeroable;
use process_tests::halves::{Halves, add, repair};
use process_tests::support::rounds;
use process_tests::test;
use ringway::inspect::{self, Detail, Lock};
use ringway::{Barrier, BarrierError, Condvar, Event, LockError, Mutex, OwnedSemaphore, Semaphore};
use std::os::unix::fs::FileExt;
use std::time::Duration;

fn look(path: &str) -> inspect::Mutex {
    match inspect::stat(path).unwrap().detail {
        Detail::Lock(lock) => *lock,
        other => panic!("no lock: {other:?}"),
    }
}

#[test]
fn a_killed_holder_leaves_it_to_the_next() {
    let test = test!("mutex-holder");
    let path = test.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    for round in 1..=rounds() / 6 {
        let mut holder = test.start(&format!("mutex {path} half hang"));
        holder.expect("half");
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        let seen = look(&path);
        assert!(matches!(seen.state, Lock::Held(who) if who.pid == Some(holder.pid()) && who.alive));
        assert!(seen.held_for.is_some() && seen.thread.is_some());
        holder.kill();
        holder.was_killed();
        let Err(LockError::OwnerDied(inherited)) = mutex.lock() else {
            panic!("granted as if all were well")
        };
        assert_eq!((inherited.left, inherited.right), (round, round - 1));
        let guard = inherited.recover(repair);
        assert_eq!(guard.repairs, round);
        drop(guard);
        assert_eq!((look(&path).state, look(&path).inconsistent), (Lock::Free, false));
    }
}

#[test]
fn whoever_waits_when_the_holder_is_killed_gets_it() {
    let test = test!("mutex-waiter");
    let path = test.path("mutex");
    let _mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    for _ in 0..rounds() / 12 {
        let mut holder = test.start(&format!("mutex {path} half hang"));
        holder.expect("half");
        let mut waiting = [(); 2].map(|()| test.start(&format!("mutex {path} hold give count:1")));
        waiting.iter().for_each(|waiting| waiting.until_asleep());
        holder.kill();
        let mut lines = waiting.each_mut().map(|waiting| waiting.line());
        lines.sort_unstable();
        assert_eq!(lines, ["held", "inherited"], "told once");
        waiting.into_iter().for_each(|mut waiting| {
            waiting.expect("counted");
            waiting.succeed();
        });
        holder.was_killed();
    }
}

#[test]
fn a_killed_waiter_takes_nothing_along() {
    let test = test!("mutex-waiting");
    let path = test.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    for round in 0..rounds() / 12 {
        let guard = mutex.lock().unwrap();
        let [first, mut second] = [(); 2].map(|()| test.start(&format!("mutex {path} hold give")));
        first.until_asleep();
        second.until_asleep();
        if round % 2 == 0 {
            first.kill();
            drop(guard);
        } else {
            // The wake-up may go to the one that is killed.
            drop(guard);
            first.kill();
        }
        let line = second.line();
        assert!(line == "held" || line == "inherited", "{line}");
        second.succeed();
        first.was_killed_or_done();
        add(&mutex);
    }
}

/// Processes that add are killed at random: nobody is ever inside with another, and no death goes unsaid.
#[test]
fn adders_are_killed() {
    let test = test!("mutex-kills");
    let path = test.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    for round in 0..rounds() / 2 {
        let racers = [(); 2].map(|()| test.start(&format!("mutex {path} race")));
        for _ in 0..1 + round * 13 % 40 {
            add(&mutex);
        }
        racers[0].kill();
        for _ in 0..10 {
            add(&mutex);
        }
        racers[1].kill();
        add(&mutex);
        racers.into_iter().for_each(|racer| racer.was_killed());
        add(&mutex);
    }
    let halves = *mutex.lock().unwrap();
    assert_eq!(halves.left, halves.right);
    assert!(halves.repairs <= rounds());
}

/// A new process takes the index of a dead holder before anybody has noticed.
#[test]
fn the_heir_of_an_index_sweeps() {
    let test = test!("mutex-heir");
    let path = test.path("mutex");
    let mutex = Mutex::options().value(Halves::zeroed()).participants(2).create(&path).unwrap();
    let mut holder = test.start(&format!("mutex {path} half hang"));
    holder.expect("half");
    holder.kill();
    holder.was_killed();
    let mut heir = test.start(&format!("mutex {path} ready hold wait give"));
    heir.expect("ready");
    heir.expect("inherited");
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    heir.go();
    assert_eq!(mutex.lock().unwrap().repairs, 1);
    heir.succeed();
}

#[test]
fn a_stopped_holder_keeps_it() {
    let test = test!("mutex-stopped");
    let path = test.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    let mut holder = test.start(&format!("mutex {path} hold wait give"));
    holder.expect("held");
    holder.stop();
    assert!(matches!(mutex.lock_timeout(Duration::from_millis(250)), Err(LockError::Timeout)));
    holder.signal(libc::SIGCONT);
    holder.go();
    assert!(mutex.lock().is_ok());
    holder.succeed();
}

#[test]
fn a_child_does_not_own_what_its_parent_holds() {
    test!("mutex-fork").start("mutexfork").succeed();
}

#[test]
fn eight_processes_count() {
    let test = test!("mutex-crowd");
    let path = test.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    let mut counters = [(); 8].map(|()| test.start(&format!("mutex {path} count:500")));
    counters.iter_mut().for_each(|counter| counter.expect("counted"));
    counters.into_iter().for_each(|counter| counter.succeed());
    let halves = *mutex.lock().unwrap();
    assert_eq!((halves.left, halves.right, halves.repairs), (4000, 4000, 0));
}

/// A peer writes nonsense over the lock and what it protects: every call ends.
#[test]
fn a_scribbling_peer_ends_nothing_but_the_agreement() {
    let test = test!("mutex-hostile");
    let path = test.path("mutex");
    let mutex = Mutex::options().value([0_u64; 8]).trusted(false).create(&path).unwrap();
    // Behind the header and the rows of 254 participants: the lock and its value.
    let mut scribbler = test.start(&format!("scribble {path} {} 120 7", 4096 + 4 * 4096));
    scribbler.expect("scribbling");
    let mut ends = std::collections::BTreeSet::new();
    for round in 0..3000 {
        let result = match round % 3 {
            0 => mutex.try_lock(),
            1 => mutex.lock_timeout(Duration::from_micros(200)),
            _ => mutex.lock_timeout(Duration::ZERO),
        };
        ends.insert(match result {
            Ok(mut guard) => {
                guard[round % 8] = guard[7];
                "held"
            }
            Err(LockError::OwnerDied(inherited)) => {
                drop(inherited.recover(|value| value[0] = 0));
                "inherited"
            }
            Err(LockError::Corrupt(_)) => "corrupt",
            Err(LockError::NotRecoverable) => "given up",
            Err(LockError::Timeout | LockError::WouldBlock | LockError::WouldDeadlock) => "refused",
            Err(other) => panic!("{other}"),
        });
        inspect::stat(&path).unwrap();
    }
    scribbler.kill();
    scribbler.was_killed();
    assert!(ends.len() > 1, "{ends:?}");
    // Put in order again, it is as good as new.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 56], 4096 + 4 * 4096).unwrap();
    assert!(mutex.lock().is_ok());
}

#[test]
fn a_killed_taker_takes_no_permit_along() {
    let test = test!("semaphore-waiting");
    let path = test.path("semaphore");
    let semaphore = Semaphore::create(&path, 0).unwrap();
    for _ in 0..rounds() / 12 {
        let [first, mut second] = [(); 2].map(|()| test.start(&format!("semaphore {path} take")));
        first.until_asleep();
        second.until_asleep();
        first.kill();
        semaphore.release().unwrap();
        first.was_killed();
        second.expect("taken");
        second.succeed();
    }
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn owned_permits_of_the_killed_come_back() {
    let test = test!("owned-kills");
    let path = test.path("semaphore");
    let semaphore = OwnedSemaphore::create(&path, 3).unwrap();
    for round in 1..=rounds() / 12 {
        let mut holders = [(); 3].map(|()| test.start(&format!("owned {path} hold hang")));
        let came = holders.each_mut().map(|holder| holder.line());
        assert_eq!(came.iter().filter(|line| *line == "recovered").count(), 0, "told once");
        assert!(semaphore.try_acquire().is_err());
        let waiting = test.start(&format!("owned {path} hold"));
        waiting.until_asleep();
        holders[0].kill();
        let mut waiting = waiting;
        waiting.expect("recovered");
        waiting.succeed();
        holders.into_iter().for_each(|holder| {
            holder.signal(libc::SIGKILL);
            holder.was_killed();
        });
        let permits = [(); 3].map(|()| semaphore.acquire().unwrap());
        assert_eq!(permits.iter().filter(|permit| permit.was_recovered()).count(), 2);
        assert_eq!(semaphore.recovered(), 3 * round);
    }
}

#[test]
fn a_killed_waiter_keeps_no_event_from_the_others() {
    let test = test!("event-waiting");
    let path = test.path("event");
    let event = Event::create(&path).unwrap();
    for _ in 0..rounds() / 12 {
        let mut waiting = [(); 3].map(|()| test.start(&format!("event {path} await")));
        waiting.iter().for_each(|waiting| waiting.until_asleep());
        waiting[0].kill();
        event.set();
        waiting[1..].iter_mut().for_each(|waiting| waiting.expect("set"));
        let [first, others @ ..] = waiting;
        first.was_killed_or_done();
        others.into_iter().for_each(|waiting| waiting.succeed());
        assert!(event.clear());
    }
}

/// A notification may go to a process that is killed or stopped; the others find out.
#[test]
fn a_killed_waiter_loses_no_notification() {
    let test = test!("condvar-waiting");
    let path = test.path("condvar");
    let mutex = Mutex::create(&format!("{path}.mutex"), Halves::zeroed()).unwrap();
    let condvar = Condvar::create(&path).unwrap();
    for round in 1..=rounds() / 12 {
        let [first, mut second] = [(); 2].map(|()| test.start(&format!("condvar {path} await:{round}")));
        first.until_asleep();
        second.until_asleep();
        if round % 2 == 0 {
            first.kill()
        } else {
            first.stop()
        }
        add(&mutex);
        condvar.notify_one();
        second.expect("reached");
        second.succeed();
        first.signal(libc::SIGKILL);
        first.was_killed();
        // If it was killed with the mutex, the next one is told.
        match mutex.lock() {
            Ok(_) => {}
            Err(LockError::OwnerDied(inherited)) => drop(inherited.recover(|_| ())),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Only the death of one who waits is told to the others: not that of one who has returned, or has never waited.
#[test]
fn only_who_dies_waiting_wakes_the_others() {
    let test = test!("condvar-ends");
    let path = test.path("condvar");
    let mutex = Mutex::create(&format!("{path}.mutex"), Halves::zeroed()).unwrap();
    let condvar = Condvar::create(&path).unwrap();
    let notifications = || match inspect::stat(&path).unwrap().detail {
        Detail::Condvar(seen) => seen.notifications,
        other => panic!("no condition variable: {other:?}"),
    };
    let until_waiting = |count| {
        while condvar.waiting() != count {
            std::thread::yield_now();
        }
    };
    let mut first = test.start(&format!("condvar {path} await:1 hang"));
    let mut second = test.start(&format!("condvar {path} await:2"));
    until_waiting(2);
    add(&mutex);
    condvar.notify_all();
    first.expect("reached");
    until_waiting(1);
    first.kill();
    first.was_killed();
    // Whoever comes takes the place of the dead one, and sweeps for it.
    let come_and_go = || {
        let mut next = test.start(&format!("condvar {path} await:1"));
        next.expect("reached");
        next.succeed();
    };
    come_and_go();
    assert_eq!((notifications(), condvar.waiting()), (1, 1), "nobody was told");

    let third = test.start(&format!("condvar {path} await:2"));
    until_waiting(2);
    third.kill();
    third.was_killed();
    assert_eq!((notifications(), condvar.waiting()), (1, 2));
    come_and_go();
    // The other was told, looked, and waits again.
    until_waiting(1);
    assert_eq!(notifications(), 2);
    add(&mutex);
    condvar.notify_one();
    second.expect("reached");
    second.succeed();
}

#[test]
fn a_killed_party_breaks_the_barrier() {
    let test = test!("barrier-kills");
    let path = test.path("barrier");
    let barrier = Barrier::create(&path, 3).unwrap();
    for round in 0..rounds() / 12 {
        let [first, mut second] = [(); 2].map(|()| test.start(&format!("barrier {path} meet")));
        while barrier.waiting() < 2 {
            std::thread::yield_now();
        }
        match round % 3 {
            0 => {
                first.kill();
                second.expect("broken");
            }
            1 => {
                first.kill();
                first.signal(0);
                // Perhaps all have met before anybody knew.
                match barrier.wait() {
                    Ok(_) => second.expect("met"),
                    Err(BarrierError::Broken) => second.expect("broken"),
                    Err(other) => panic!("{other}"),
                }
            }
            _ => {
                barrier.wait().unwrap();
                second.expect("met");
                first.kill();
            }
        }
        second.succeed();
        first.was_killed_or_done();
        barrier.reset().unwrap();
        assert!(!barrier.is_broken());
    }
}

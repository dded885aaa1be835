//! Whoever waits and is stopped or killed is in nobody's way: a wake-up that went to it is made up for.

use bytemuck::Zeroable;
use process_tests::halves::{Halves, add};
use process_tests::support::rounds;
use process_tests::test;
use ringway::{Event, Mutex, OwnedSemaphore, Semaphore};
use std::os::fd::{AsRawFd, BorrowedFd};

fn is_readable(fd: BorrowedFd<'_>, millis: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut poll, 1, millis) == 1 }
}

#[test]
fn a_stopped_waiter_keeps_no_mutex_from_the_others() {
    let test = test!("wait-mutex");
    let path = test.path("mutex");
    let mutex = Mutex::create(&path, Halves::zeroed()).unwrap();
    for _ in 0..rounds() / 12 {
        let guard = mutex.lock().unwrap();
        let [mut first, mut second] = [(); 2].map(|()| test.start(&format!("mutex {path} outcome")));
        first.until_asleep();
        second.until_asleep();
        // It came first, so the wake-up goes to it.
        first.stop();
        drop(guard);
        second.expect("held");
        second.succeed();
        first.signal(libc::SIGCONT);
        first.expect("held");
        first.succeed();
    }
}

#[test]
fn a_stopped_taker_keeps_no_permit_from_the_others() {
    let test = test!("wait-permit");
    let path = test.path("semaphore");
    let semaphore = Semaphore::create(&path, 0).unwrap();
    for _ in 0..rounds() / 12 {
        let [mut first, mut second] = [(); 2].map(|()| test.start(&format!("semaphore {path} take")));
        first.until_asleep();
        second.until_asleep();
        first.stop();
        semaphore.release().unwrap();
        second.expect("taken");
        second.succeed();
        semaphore.release().unwrap();
        first.signal(libc::SIGCONT);
        first.expect("taken");
        first.succeed();
    }
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn a_stopped_taker_keeps_no_owned_permit_from_the_others() {
    let test = test!("wait-owned-permit");
    let path = test.path("owned");
    let permits = OwnedSemaphore::create(&path, 1).unwrap();
    for _ in 0..rounds() / 12 {
        let permit = permits.acquire().unwrap();
        let [mut first, mut second] = [(); 2].map(|()| test.start(&format!("owned {path} hold")));
        first.until_asleep();
        second.until_asleep();
        first.stop();
        drop(permit);
        second.expect("held");
        second.succeed();
        first.signal(libc::SIGCONT);
        first.expect("held");
        first.succeed();
    }
    assert_eq!((permits.available(), permits.recovered()), (1, 0));
}

/// The thread that waits for an event loop may be woken in the stead of one who would take.
#[test]
fn a_stopped_poller_keeps_no_permit_from_the_others() {
    let test = test!("wait-poller");
    let path = test.path("semaphore");
    let semaphore = Semaphore::create(&path, 0).unwrap();
    for round in 0..rounds() / 12 {
        let mut poller = test.start(&format!("semaphore {path} poll hang"));
        poller.expect("polling");
        let mut taker = test.start(&format!("semaphore {path} take"));
        taker.until_asleep();
        match round % 3 {
            0 => poller.stop(),
            1 => poller.kill(),
            // It looks, and takes nothing.
            _ => {}
        }
        semaphore.release().unwrap();
        taker.expect("taken");
        taker.succeed();
        poller.signal(libc::SIGKILL);
        poller.was_killed();
    }
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn who_polls_is_told_by_those_that_die_right_after() {
    let test = test!("wait-told");
    let path = test.path("event");
    let event = Event::create(&path).unwrap();
    let ready = event.readiness().unwrap();
    for _ in 0..rounds() / 12 {
        let mut pollers = [(); 2].map(|()| test.start(&format!("event {path} poll")));
        pollers.iter_mut().for_each(|poller| poller.expect("polling"));
        let mut setter = test.start(&format!("event {path} set hang"));
        setter.expect("done");
        setter.kill();
        pollers[0].kill();
        pollers[1].expect("readable");
        assert!(is_readable(ready, -1));
        let [first, second] = pollers;
        first.was_killed_or_done();
        second.succeed();
        setter.was_killed();
        assert!(event.clear() && !is_readable(ready, 0));
    }
}

/// Nobody wakes anybody for the dead: the watching thread looks itself.
#[test]
fn who_polls_is_told_of_the_permits_of_the_killed() {
    let test = test!("wait-owned");
    let path = test.path("owned");
    let permits = OwnedSemaphore::create(&path, 2).unwrap();
    let ready = permits.readiness().unwrap();
    for round in 1..=rounds() / 12 {
        let mut holders = [(); 2].map(|()| test.start(&format!("owned {path} hold hang")));
        // Which of them comes to hold what the last round left is all the same.
        holders.iter_mut().for_each(|holder| holder.expect("held"));
        assert!(permits.try_acquire().is_err() && !is_readable(ready, 0));
        holders[0].kill();
        assert!(is_readable(ready, -1));
        let permit = permits.try_acquire().unwrap();
        assert!(permit.was_recovered() && permits.recovered() == 2 * round - 1);
        assert!(!is_readable(ready, 0));
        holders[1].kill();
        assert!(is_readable(ready, -1));
        drop(permit);
        let both = [(); 2].map(|()| permits.acquire().unwrap());
        assert_eq!(both.iter().filter(|permit| permit.was_recovered()).count(), 1);
        drop(both);
        holders.into_iter().for_each(|holder| holder.was_killed());
        assert_eq!(permits.recovered(), 2 * round);
    }
}

#[test]
fn a_killed_crowd_of_waiters_leaves_nothing_behind() {
    let test = test!("wait-crowd");
    let (path, event_path) = (test.path("mutex"), test.path("event"));
    let (mutex, event) =
        (Mutex::create(&path, Halves::zeroed()).unwrap(), Event::create(&event_path).unwrap());
    for _ in 0..rounds() / 30 {
        let guard = mutex.lock().unwrap();
        let crowd: Vec<_> = (0..6)
            .map(|number| match number % 2 {
                0 => test.start(&format!("mutex {path} outcome")),
                _ => test.start(&format!("event {event_path} await")),
            })
            .collect();
        crowd.iter().for_each(|one| one.until_asleep());
        crowd.iter().for_each(|one| one.kill());
        drop(guard);
        event.set();
        add(&mutex);
        assert!(event.clear());
        crowd.into_iter().for_each(|one| one.was_killed());
    }
}

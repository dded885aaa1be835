//! A peer that writes nonsense over what processes agree by: each call ends with a value or a typed error, in bounded
//! time, and nothing panics; so does each poll, and each handle that is dropped.

use process_tests::test;
use ringway::{
    AcquireError, Barrier, BarrierError, Condvar, Deadline, Event, LockError, Mutex, OwnedSemaphore,
};
use ringway::{ReentrantMutex, ReleaseError, Semaphore, Wait, inspect};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Few participants: one page of header, one of rows, one of the object's own words, and then its table.
const BODY_AT: u64 = 8192;
const TABLE_AT: u64 = 3 * 4096;
const SOON: Duration = Duration::from_micros(50);
const ROUNDS: u32 = 1500;

fn soon() -> Deadline {
    Deadline::after(SOON)
}

fn poll(fd: BorrowedFd<'_>) {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut poll, 1, 0) };
}

/// Makes `call` again and again while a peer scribbles over the object at `path`: over `body` bytes of its words, and over
/// `table` bytes of its table. Each half of the rounds begins with the object in order. `call` has to meet with more than
/// one outcome, or there was no attack.
fn attack(
    name: &'static str,
    path: &str,
    body: usize,
    table: usize,
    mut call: impl FnMut(u32) -> &'static str,
) {
    let test = process_tests::support::Test::new(name, env!("CARGO_BIN_EXE_peer"));
    let file = File::options().read(true).write(true).open(path).unwrap();
    let places = [(BODY_AT, vec![0; body]), (TABLE_AT, vec![0; table])];
    let places: Vec<_> = places.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    let places: Vec<_> = places
        .into_iter()
        .map(|(at, mut bytes)| {
            file.read_exact_at(&mut bytes, at).unwrap();
            (at, bytes)
        })
        .collect();
    let mut said = BTreeSet::new();
    for pause in [5000, 0] {
        let start = |(at, bytes): &(u64, Vec<u8>)| {
            test.start(&format!("scribble {path} {at} {} {at} {pause}", bytes.len()))
        };
        let mut peers: Vec<_> = places.iter().map(start).collect();
        peers.iter_mut().for_each(|peer| peer.expect("scribbling"));
        let mut round = 0;
        // If nothing ever comes of the attack, the watchdog ends it.
        while round < ROUNDS || said.len() < 2 {
            if round % 4 == 0 {
                places.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
            }
            said.insert(call(round));
            if round % 50 == 0 {
                inspect::stat(path).unwrap();
                std::thread::yield_now();
            }
            round += 1;
        }
        peers.iter().for_each(|peer| peer.kill());
        peers.into_iter().for_each(|peer| peer.was_killed());
    }
    println!("{name}: {said:?}");
}

fn refused(error: &LockError) -> &'static str {
    match error {
        LockError::Corrupt(_) => "corrupt",
        LockError::NotRecoverable => "lost",
        LockError::OwnerDied(()) => "given up",
        LockError::Timeout | LockError::WouldBlock | LockError::WouldDeadlock => "held",
        other => panic!("{other}"),
    }
}

#[test]
fn reentrant_mutexes() {
    let test = test!("hostile-reentrant");
    let path = test.path("reentrant");
    let options = ReentrantMutex::<[u64; 8]>::options().participants(8).trusted(false);
    let mutex = options.create(&path).unwrap();
    attack("hostile-reentrant-peer", &path, 120, 0, |round| {
        match if round % 2 == 0 { mutex.try_lock() } else { mutex.lock_deadline(soon()) } {
            Ok(guard) => {
                let depth =
                    [(); 3].map(|()| mutex.try_lock().map_err(|error| refused(&error.without_guard())));
                drop(depth);
                drop(guard);
                "taken"
            }
            Err(LockError::OwnerDied(inherited)) => {
                drop(inherited.recover(|value| value));
                "inherited"
            }
            Err(error) => refused(&error.without_guard()),
        }
    });
}

#[test]
fn semaphores() {
    let test = test!("hostile-semaphore");
    let path = test.path("semaphore");
    let options = || Semaphore::options().participants(8).trusted(false).wait(Wait::Adaptive);
    let semaphore = options().permits(3).bound(9).create(&path).unwrap();
    attack("hostile-semaphore-peer", &path, 64, 0, |round| {
        let polled = (round % 100 == 0).then(|| options().open(&path));
        // Another handle comes, is polled, and goes.
        if let Some(Ok(polled)) = &polled {
            poll(polled.readiness().unwrap());
            let _ = polled.try_acquire_many(1 + round / 100 % 4);
            poll(polled.readiness().unwrap());
        }
        assert!(semaphore.bound() == 9);
        let _ = semaphore.available();
        match semaphore.release_many(1 + round % 3) {
            Ok(()) | Err(ReleaseError::TooMany { .. } | ReleaseError::Corrupt(_)) => {}
            Err(other) => panic!("{other}"),
        }
        match semaphore.acquire_many(1 + round % 4, soon()) {
            Ok(()) => "taken",
            Err(AcquireError::Timeout | AcquireError::WouldBlock) => "none",
            Err(AcquireError::Corrupt(_)) => "corrupt",
            Err(other) => panic!("{other}"),
        }
    });
}

#[test]
fn semaphores_with_owners() {
    let test = test!("hostile-owned");
    let path = test.path("owned");
    let options = || OwnedSemaphore::options().participants(8).trusted(false).permits(3);
    let semaphore = options().create(&path).unwrap();
    attack("hostile-owned-peer", &path, 40, 24, |round| {
        let polled = (round % 100 == 0).then(|| options().open(&path));
        if let Some(Ok(polled)) = &polled {
            poll(polled.readiness().unwrap());
            drop(polled.try_acquire());
            poll(polled.readiness().unwrap());
        }
        assert!(semaphore.permits() == 3 && semaphore.available() <= 3);
        let permit =
            if round % 2 == 0 { semaphore.try_acquire() } else { semaphore.acquire_deadline(soon()) };
        match permit {
            Ok(permit) if permit.was_recovered() => "recovered",
            Ok(_) => "taken",
            Err(AcquireError::Timeout | AcquireError::WouldBlock) => "none",
            Err(AcquireError::Corrupt(_)) => "corrupt",
            Err(other) => panic!("{other}"),
        }
    });
}

#[test]
fn events() {
    let test = test!("hostile-event");
    let path = test.path("event");
    let options = || Event::options().participants(8).trusted(false);
    let event = options().create(&path).unwrap();
    attack("hostile-event-peer", &path, 32, 0, |round| {
        let polled = (round % 100 == 0).then(|| options().open(&path));
        if let Some(Ok(polled)) = &polled {
            poll(polled.readiness().unwrap());
            polled.clear();
            poll(polled.readiness().unwrap());
        }
        if round % 3 == 0 {
            event.set();
        } else {
            event.clear();
        }
        if event.wait_deadline(soon()) { "set" } else { "not" }
    });
}

#[test]
fn condition_variables() {
    let test = test!("hostile-condvar");
    let path = test.path("condvar");
    let condvar = Condvar::options().participants(8).trusted(false).create(&path).unwrap();
    let mutex = Mutex::anonymous(0_u64).unwrap();
    attack("hostile-condvar-peer", &path, 40, 0, |_| {
        condvar.notify_one();
        let (guard, told) = condvar.wait_deadline(mutex.lock().unwrap(), soon()).unwrap();
        condvar.notify_all();
        drop(guard);
        if told { "told" } else { "late" }
    });
}

#[test]
fn barriers() {
    let test = test!("hostile-barrier");
    let path = test.path("barrier");
    let barrier = Barrier::options().participants(8).trusted(false).parties(2).create(&path).unwrap();
    attack("hostile-barrier-peer", &path, 64, 16, |round| {
        assert_eq!(barrier.parties(), 2);
        let (_, _) = (barrier.waiting(), barrier.is_broken());
        if round % 5 == 0 {
            barrier.abort();
        }
        if round % 2 == 0 {
            let _ = barrier.reset();
        }
        match barrier.wait_deadline(soon()) {
            Ok(met) => {
                assert!(met.index() < 2);
                "met"
            }
            Err(BarrierError::Broken) => "broken",
            Err(BarrierError::Timeout) => "late",
            Err(BarrierError::Corrupt(_)) => "corrupt",
            Err(other) => panic!("{other}"),
        }
    });
}

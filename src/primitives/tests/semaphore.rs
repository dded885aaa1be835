use crate::sync::{AtomicU64, Ordering};
use crate::{AcquireError, Deadline, Error, OwnedSemaphore, ReleaseError, Semaphore, Wait};
use std::os::fd::AsFd;
use std::time::Duration;

#[test]
fn permits_are_taken_and_given() {
    let semaphore = Semaphore::options().permits(2).bound(3).anonymous().unwrap();
    semaphore.acquire().unwrap();
    semaphore.try_acquire().unwrap();
    assert!(matches!(semaphore.try_acquire(), Err(AcquireError::WouldBlock)));
    assert!(matches!(semaphore.acquire_timeout(Duration::from_millis(1)), Err(AcquireError::Timeout)));
    assert!(matches!(semaphore.try_acquire_many(4), Err(AcquireError::TooMany { asked: 4, bound: 3 })));
    assert!(matches!(semaphore.acquire_many(4, Deadline::NEVER), Err(AcquireError::TooMany { .. })));
    semaphore.release_many(3).unwrap();
    assert_eq!(semaphore.release(), Err(ReleaseError::TooMany { bound: 3 }));
    assert_eq!(semaphore.release_many(u32::MAX), Err(ReleaseError::TooMany { bound: 3 }));
    semaphore.acquire_many(3, Deadline::NOW).unwrap();
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn absurd_numbers_are_refused() {
    assert!(matches!(
        Semaphore::options().permits(4).bound(3).anonymous(),
        Err(Error::BadCapacity { asked: 3, min: 4, .. })
    ));
    assert!(matches!(Semaphore::options().bound(0).anonymous(), Err(Error::BadCapacity { .. })));
    assert!(matches!(Semaphore::anonymous(u32::MAX), Err(Error::BadCapacity { .. })));
    assert!(matches!(OwnedSemaphore::anonymous(0), Err(Error::BadCapacity { asked: 0, .. })));
    assert!(matches!(OwnedSemaphore::anonymous(u32::MAX), Err(Error::BadCapacity { .. })));
    assert_eq!(Semaphore::anonymous(i32::MAX as u32).unwrap().available(), i32::MAX as u32);
}

#[test]
fn some_want_one_and_some_want_three() {
    let semaphore = Semaphore::anonymous(3).unwrap();
    let inside = AtomicU64::new(0);
    let work = |wait: Wait, wanted: u32| {
        let semaphore = semaphore.with_wait(wait);
        for _ in 0..500 {
            semaphore.acquire_many(wanted, Deadline::NEVER).unwrap();
            let now = inside.fetch_add(wanted.into(), Ordering::SeqCst) + u64::from(wanted);
            assert!(now <= 3);
            inside.fetch_add(0_u64.wrapping_sub(wanted.into()), Ordering::SeqCst);
            semaphore.release_many(wanted).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for (wait, wanted) in [(Wait::Park, 1), (Wait::Park, 3), (Wait::Adaptive, 2), (Wait::Adaptive, 1)] {
            scope.spawn(move || work(wait, wanted));
        }
    });
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn a_scribbled_count_is_an_error() {
    let semaphore = Semaphore::options().permits(1).bound(9).anonymous().unwrap();
    super::scribble(&semaphore, 0, 10);
    assert!(matches!(semaphore.try_acquire(), Err(AcquireError::Corrupt(why)) if why.found == 10));
    assert!(matches!(semaphore.acquire(), Err(AcquireError::Corrupt(_))));
    assert!(matches!(semaphore.release(), Err(ReleaseError::Corrupt(_))));
    super::scribble(&semaphore, 0, u64::MAX);
    assert!(matches!(semaphore.acquire_many(3, Deadline::NEVER), Err(AcquireError::Corrupt(_))));
}

#[test]
fn owned_permits_are_given_back() {
    let semaphore = Semaphore::owned().permits(2).anonymous().unwrap();
    let (one, two) = (semaphore.acquire().unwrap(), semaphore.try_acquire().unwrap());
    assert!(!one.was_recovered() && !two.was_recovered());
    assert!(matches!(semaphore.try_acquire(), Err(AcquireError::WouldBlock)));
    assert!(matches!(semaphore.acquire_timeout(Duration::from_millis(1)), Err(AcquireError::Timeout)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drop(semaphore.acquire().unwrap()));
        scope.spawn(move || drop(one)); // by any thread
        waiting.join().unwrap();
    });
    drop(two);
    assert_eq!((semaphore.available(), semaphore.permits(), semaphore.recovered()), (2, 2, 0));
}

#[test]
fn owned_permits_bound_how_many_are_inside() {
    let semaphore = OwnedSemaphore::anonymous(2).unwrap();
    let inside = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let _permit = semaphore.acquire().unwrap();
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                    inside.fetch_add(u64::MAX, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!((semaphore.available(), semaphore.recovered()), (2, 0));
}

/// Each handle tries the permit first that it gave back last, which another may have taken since.
#[test]
fn the_permit_given_back_last_is_tried_and_not_relied_on() {
    let semaphore = OwnedSemaphore::anonymous(2).unwrap();
    drop(semaphore.acquire().unwrap());
    let other = semaphore.clone();
    let (one, two) = (semaphore.acquire().unwrap(), other.acquire().unwrap());
    assert_eq!((semaphore.available(), other.available()), (0, 0), "the same one twice");
    assert!(matches!(other.try_acquire(), Err(AcquireError::WouldBlock)));
    drop(one);
    let again = other.try_acquire().unwrap();
    drop((two, again));
    // Damage is not overlooked by those who come back to it.
    let table = semaphore.site().segment().geometry().data_at as u64;
    super::scribble_at(&semaphore, table, 9);
    super::scribble_at(&semaphore, table + 8, 9);
    for handle in [&semaphore, &other] {
        assert!(matches!(handle.try_acquire(), Err(AcquireError::Corrupt(why)) if why.found == 9));
    }
}

/// A process that leaves takes nothing along.
#[test]
fn leaked_permits_come_back_with_the_last_handle() {
    let semaphore = OwnedSemaphore::anonymous(3).unwrap();
    let fd = semaphore.as_fd().try_clone_to_owned().unwrap();
    core::mem::forget(semaphore.acquire().unwrap());
    core::mem::forget(semaphore.acquire().unwrap());
    drop(semaphore);
    let semaphore = OwnedSemaphore::from_fd(fd).unwrap();
    assert_eq!((semaphore.available(), semaphore.recovered()), (3, 2));
    let permits = [(); 3].map(|()| semaphore.try_acquire().unwrap());
    assert_eq!(permits.iter().filter(|permit| permit.was_recovered()).count(), 2);
    drop(permits);
    assert!(!semaphore.acquire().unwrap().was_recovered(), "told once");
}

#[test]
fn a_scribbled_permit_is_an_error_or_a_dead_ones() {
    let semaphore = OwnedSemaphore::anonymous(1).unwrap();
    let table = semaphore.site().segment().geometry().data_at as u64;
    super::scribble_at(&semaphore, table, 9);
    assert!(matches!(semaphore.acquire(), Err(AcquireError::Corrupt(why)) if why.found == 9));
    super::scribble_at(&semaphore, table, 1 << 16 | 60_000);
    assert!(semaphore.try_acquire().unwrap().was_recovered());
    super::scribble_at(&semaphore, table, 3 << 16);
    assert!(matches!(semaphore.try_acquire(), Err(AcquireError::Corrupt(_))));
}

#[test]
fn the_number_of_owned_permits_is_part_of_it() {
    let name = format!("/dev/shm/ringway-owned-{}", std::process::id());
    let semaphore = OwnedSemaphore::create(&name, 600).unwrap();
    assert_eq!(OwnedSemaphore::open(&name).unwrap().permits(), 600);
    assert!(matches!(OwnedSemaphore::open_or_create(&name, 7), Err(Error::WrongCapacity { found: 600, .. })));
    assert!(matches!(Semaphore::open(&name), Err(Error::WrongKind { .. })));
    semaphore.unlink().unwrap();
}

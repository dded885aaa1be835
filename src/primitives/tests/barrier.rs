use crate::sync::{AtomicU64, Ordering};
use crate::{Barrier, BarrierError, Deadline, Error, Wait};
use std::os::fd::AsFd;
use std::time::Duration;

#[test]
fn all_go_on_together_again_and_again() {
    for wait in [Wait::Park, Wait::Adaptive] {
        let barrier = Barrier::anonymous(3).unwrap();
        let came = AtomicU64::new(0);
        let party = || {
            let barrier = Barrier::from_fd(barrier.as_fd().try_clone_to_owned().unwrap()).unwrap();
            let barrier = barrier.with_wait(wait);
            let mut led = 0;
            for round in 1..=200 {
                came.fetch_add(1, Ordering::SeqCst);
                led += usize::from(barrier.wait().unwrap().is_leader());
                assert!(came.load(Ordering::SeqCst) >= 3 * round);
            }
            led
        };
        let led: usize = std::thread::scope(|scope| {
            let parties = [(); 3].map(|()| scope.spawn(party));
            parties.into_iter().map(|party| party.join().unwrap()).sum()
        });
        assert_eq!(led, 200, "one leader each time");
    }
}

#[test]
fn one_party_waits_for_nobody() {
    let barrier = Barrier::anonymous(1).unwrap();
    for _ in 0..3 {
        assert!(barrier.wait_deadline(Deadline::NOW).unwrap().is_leader());
    }
}

#[test]
fn who_is_late_breaks_it_until_it_is_reset() {
    let barrier = Barrier::anonymous(2).unwrap();
    assert!(matches!(barrier.wait_timeout(Duration::from_millis(1)), Err(BarrierError::Timeout)));
    assert!(barrier.is_broken() && matches!(barrier.wait(), Err(BarrierError::Broken)));
    barrier.reset().unwrap();
    assert!(!barrier.is_broken());
    std::thread::scope(|scope| {
        let other = scope.spawn(|| barrier.wait().unwrap().index());
        let mine = barrier.wait().unwrap().index();
        assert_eq!(mine + other.join().unwrap(), 1);
    });
    assert!(matches!(barrier.wait_deadline(Deadline::NOW), Err(BarrierError::Timeout)));
}

#[test]
fn whoever_has_had_enough_breaks_it() {
    for how in [Barrier::abort, |barrier: &Barrier| barrier.reset().unwrap()] {
        let barrier = Barrier::anonymous(2).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| barrier.wait());
            while barrier.waiting() == 0 {
                std::thread::yield_now();
            }
            how(&barrier);
            assert!(matches!(waiting.join().unwrap(), Err(BarrierError::Broken)));
        });
        barrier.reset().unwrap();
        assert_eq!((barrier.is_broken(), barrier.waiting()), (false, 0));
    }
}

/// More breaks than are remembered: nobody goes on who should not.
#[test]
fn it_breaks_many_times() {
    let barrier = Barrier::anonymous(2).unwrap();
    for _ in 0..40 {
        assert!(matches!(barrier.wait_deadline(Deadline::NOW), Err(BarrierError::Timeout)));
        barrier.reset().unwrap();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| barrier.wait().unwrap());
            barrier.wait().unwrap();
            other.join().unwrap();
        });
    }
}

#[test]
fn nonsense_is_an_error() {
    let barrier = Barrier::anonymous(2).unwrap();
    super::scribble(&barrier, 0, 4);
    assert!(matches!(barrier.wait(), Err(BarrierError::Corrupt(why)) if why.found == 4));
    assert!(matches!(barrier.reset(), Err(BarrierError::Corrupt(_))));
    barrier.abort();
    super::scribble(&barrier, 0, u64::MAX << 18);
    assert!(barrier.wait_deadline(Deadline::NOW).is_err());
    // An owner that cannot be is a dead one.
    super::scribble(&barrier, 0, 0);
    super::scribble_at(&barrier, barrier.site().segment().geometry().data_at as u64, 60_000);
    let barrier = Barrier::from_fd(barrier.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert!(barrier.wait().is_ok(), "all places of the generation are taken");
}

#[test]
fn the_number_of_parties_is_part_of_it() {
    let name = format!("/dev/shm/ringway-barrier-{}", std::process::id());
    let barrier = Barrier::create(&name, 5).unwrap();
    assert!(matches!(Barrier::open_or_create(&name, 4), Err(Error::WrongCapacity { found: 5, expected: 4 })));
    assert_eq!(Barrier::open(&name).unwrap().parties(), 5);
    barrier.unlink().unwrap();
    for absurd in [0, 65_537, u32::MAX] {
        assert!(matches!(Barrier::anonymous(absurd), Err(Error::BadCapacity { .. })));
    }
}

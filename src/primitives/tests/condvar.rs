use crate::sync::{AtomicU64, Ordering};
use crate::{Condvar, Deadline, LockError, Mutex, Wait};
use std::os::fd::AsFd;
use std::time::Duration;

#[test]
fn what_was_waited_for_is_there() {
    for trusting in [true, false] {
        let (mutex, condvar) = (Mutex::anonymous(0_u64).unwrap(), Condvar::anonymous().unwrap());
        let other = Mutex::<u64>::options().trusted(trusting);
        let other = other.from_fd(mutex.as_fd().try_clone_to_owned().unwrap()).unwrap();
        std::thread::scope(|scope| {
            let waiting = [(); 3].map(|()| {
                scope.spawn(|| {
                    let mut guard = condvar.wait_while(other.lock().unwrap(), |value| *value < 3).unwrap();
                    *guard += 1;
                })
            });
            for _ in 0..3 {
                *mutex.lock().unwrap() += 1;
                condvar.notify_all();
            }
            waiting.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(*mutex.lock().unwrap(), 6);
    }
}

/// Each notification is for one, and none is lost.
#[test]
fn ping_and_pong() {
    for wait in [Wait::Park, Wait::Adaptive] {
        let mutex = Mutex::anonymous(0_u32).unwrap().with_wait(wait);
        let condvar = Condvar::anonymous().unwrap().with_wait(wait);
        let play = |mine| {
            for _ in 0..300 {
                let mut turn = condvar.wait_while(mutex.lock().unwrap(), |turn| *turn % 2 != mine).unwrap();
                *turn += 1;
                condvar.notify_one();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| play(0));
            play(1);
        });
        assert_eq!(*mutex.lock().unwrap(), 600);
    }
}

#[test]
fn time_runs_out() {
    let (mutex, condvar) = (Mutex::anonymous(7_u64).unwrap(), Condvar::anonymous().unwrap());
    let (guard, told) = condvar.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(1)).unwrap();
    assert_eq!((*guard, told), (7, false));
    let deadline = Deadline::after(Duration::from_millis(1));
    let (guard, done) = condvar.wait_while_deadline(guard, deadline, |value| *value == 7).unwrap();
    assert!(!done && deadline.has_passed());
    let (guard, done) = condvar.wait_while_deadline(guard, Deadline::NOW, |value| *value != 7).unwrap();
    assert!(done);
    drop(guard);
    assert!(mutex.try_lock().is_ok());
}

/// The mutex is let go meanwhile; one who dies with it is told of to whoever waited.
#[test]
fn an_owner_dies_while_others_wait() {
    let (mutex, condvar) = (Mutex::anonymous(0_u64).unwrap(), Condvar::anonymous().unwrap());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let guard = mutex.lock().unwrap();
            match condvar.wait_while(guard, |value| *value == 0) {
                Err(LockError::OwnerDied(inherited)) => *inherited.recover(|value| *value += 1),
                other => panic!("{other:?}"),
            }
        });
        while condvar.waiting() == 0 {
            std::thread::yield_now();
        }
        let dies = scope.spawn(|| {
            let mut guard = mutex.lock().unwrap();
            *guard = 1;
            condvar.notify_all();
            panic!("on purpose");
        });
        assert!(dies.join().is_err());
        assert_eq!(waiting.join().unwrap(), 2);
    });
}

/// `count` threads that wait, in so many handles, and how many have returned.
struct Crowd {
    condvar: Condvar,
    returned: AtomicU64,
    mutex: Mutex<u64>,
}

impl Crowd {
    fn new(wait: Wait) -> Self {
        let mutex = Mutex::anonymous(0).unwrap();
        Crowd { condvar: Condvar::anonymous().unwrap().with_wait(wait), returned: AtomicU64::new(0), mutex }
    }

    fn returned(&self) -> u64 {
        self.returned.load(Ordering::Relaxed)
    }

    fn wait_once(&self, deadline: Deadline) -> bool {
        let (guard, told) = self.condvar.wait_deadline(self.mutex.lock().unwrap(), deadline).unwrap();
        if told {
            self.returned.fetch_add(1, Ordering::Relaxed);
        }
        drop(guard);
        told
    }

    fn until(&self, what: impl Fn() -> bool) {
        while !what() {
            std::thread::yield_now();
        }
    }

    /// How often those who wait have gone to sleep.
    fn sleeps(&self) -> u64 {
        self.condvar.condition().waiting().iter().map(|ec| ec.counts().1).sum()
    }
}

/// So many as were told return, and the others sleep on through any number of slices.
#[test]
fn as_many_return_as_were_told() {
    for wait in [Wait::Park, Wait::Adaptive] {
        let crowd = &Crowd::new(wait);
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| assert!(crowd.wait_once(Deadline::NEVER)));
            }
            crowd.until(|| crowd.condvar.waiting() == 10);
            assert_eq!(crowd.condvar.notify(3), 3);
            crowd.until(|| crowd.returned() == 3);
            // Each slice ends with another sleep: so all seven have seen the end of three of them, and more.
            let before = crowd.sleeps();
            crowd.until(|| crowd.sleeps() >= before + 7 * 5);
            assert_eq!((crowd.returned(), crowd.condvar.waiting()), (3, 7));
            crowd.condvar.notify_one();
            crowd.until(|| crowd.returned() == 4);
            assert_eq!((crowd.condvar.notify(0), crowd.condvar.waiting()), (0, 6));
            assert_eq!(crowd.condvar.notify(100), 6);
        });
        assert_eq!((crowd.returned(), crowd.condvar.waiting(), crowd.condvar.notify(1)), (10, 0, 0));
    }
}

/// Whoever was told goes; not one who came later in his stead, however many are told then.
#[test]
fn who_comes_later_takes_nothing_from_those_who_were_told() {
    let condvar = Condvar::anonymous().unwrap();
    // Each waits inside the other, on one thread, so that nobody goes before all is said.
    let wait = |inside: &dyn Fn()| condvar.wait_after(inside, Deadline::NOW).unwrap();
    let later = std::cell::Cell::new((false, false));
    let (first, second) = (std::cell::Cell::new(false), std::cell::Cell::new(false));
    first.set(wait(&|| {
        second.set(wait(&|| {
            assert_eq!(condvar.notify(1), 1);
            // The first two wait, and one of them is told. Now two more come, and two are told: one of the first, one of these.
            let third = std::cell::Cell::new(false);
            let fourth = wait(&|| {
                third.set(wait(&|| assert_eq!(condvar.notify(2), 2)));
            });
            later.set((third.get(), fourth));
        }));
    }));
    assert!(first.get() && second.get(), "those who were told first go");
    let (third, fourth) = later.get();
    assert!(third ^ fourth, "and one of the others: {third}, {fourth}");
    assert_eq!(condvar.waiting(), 0);
}

/// One who gives up leaves nothing for himself, and takes nothing along.
#[test]
fn who_gives_up_is_not_told() {
    let crowd = &Crowd::new(Wait::Park);
    assert!(!crowd.wait_once(Deadline::NOW));
    assert_eq!((crowd.condvar.waiting(), crowd.condvar.notify(1)), (0, 0));
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(crowd.wait_once(Deadline::NEVER)));
        crowd.until(|| crowd.condvar.waiting() == 1);
        assert!(!crowd.wait_once(Deadline::NOW));
        assert_eq!(crowd.condvar.notify(1), 1);
    });
    assert_eq!(crowd.returned(), 1);
}

/// As many notifications as waits, with time-outs in between: each that was told of is had by one.
#[test]
fn nothing_is_lost_between_time_outs() {
    for wait in [Wait::Park, Wait::Adaptive] {
        let crowd = &Crowd::new(wait);
        let (told, left) = (&AtomicU64::new(0), &AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                scope.spawn(move || {
                    for round in 0..300 {
                        let micros = (round * 37 + thread * 11) % 150;
                        crowd.wait_once(Deadline::after(Duration::from_micros(micros)));
                    }
                    left.fetch_add(1, Ordering::Relaxed);
                });
            }
            scope.spawn(move || {
                let mut next = 1_u32;
                while left.load(Ordering::Relaxed) < 4 {
                    next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    told.fetch_add(crowd.condvar.notify(next >> 30).into(), Ordering::Relaxed);
                }
            });
        });
        assert_eq!((crowd.returned(), crowd.condvar.waiting()), (told.load(Ordering::Relaxed), 0));
        assert!(crowd.returned() > 0, "nobody was told");
    }
}

#[test]
fn a_panic_while_letting_go_leaves_nobody_behind() {
    let condvar = Condvar::anonymous().unwrap();
    let panics = || condvar.wait_after(|| panic!("on purpose"), Deadline::NEVER);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    assert_eq!((condvar.waiting(), condvar.notify(1)), (0, 0));
}

/// The generations' numbers go round many times, and the count of who waits stays right.
#[test]
fn numbers_go_round() {
    let condvar = Condvar::anonymous().unwrap();
    for _ in 0..40_000 {
        assert!(condvar.wait_after(|| assert_eq!(condvar.notify(1), 1), Deadline::NOW).unwrap());
    }
    // One who was away for so long that his number may be another's is told.
    let away = || (0..40_000).for_each(|_| _ = condvar.wait_after(|| _ = condvar.notify(1), Deadline::NOW));
    assert!(condvar.wait_after(away, Deadline::NOW).unwrap());
    assert_eq!(condvar.waiting(), 0);
}

use super::look;
use crate::inspect::Lock;
use crate::{Deadline, Error, LockError, Mutex, Wait};
use bytemuck::{Pod, Zeroable};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Pair {
    left: u64,
    right: u64,
}

/// Another handle to the same mutex, that does not trust its peers.
fn untrusting<T: Pod>(mutex: &Mutex<T>) -> Mutex<T> {
    let fd = std::os::fd::AsFd::as_fd(mutex).try_clone_to_owned().unwrap();
    let other = Mutex::from_fd(fd).unwrap();
    assert!(!other.holding().is_trusting() && mutex.holding().is_trusting());
    other
}

fn leave_behind<T: Pod>(mutex: &Mutex<T>) {
    let mutex = mutex.clone();
    // The thread ends with the mutex, without a look at its value.
    std::thread::spawn(move || core::mem::forget(mutex.lock().unwrap())).join().unwrap();
}

#[test]
fn a_new_one_holds_its_value() {
    let pair = Pair { left: 3, right: u64::MAX };
    let mutex = Mutex::anonymous(pair).unwrap();
    assert_eq!(*mutex.lock().unwrap(), pair);
    assert_eq!(*untrusting(&mutex).lock().unwrap(), pair);
    assert_eq!(
        *Mutex::<[u8; 3]>::options().anonymous().unwrap().lock().unwrap(),
        [0; 3],
        "zeros, if not told"
    );
}

#[test]
fn threads_exclude_each_other_whatever_their_handles() {
    let mutex = Mutex::anonymous(Pair { left: 0, right: 0 }).unwrap();
    let handles =
        [mutex.clone(), untrusting(&mutex), mutex.with_wait(Wait::Park), mutex.with_wait(Wait::Spin)];
    std::thread::scope(|scope| {
        for handle in &handles {
            scope.spawn(|| {
                for _ in 0..5000 {
                    let mut pair = handle.lock().unwrap();
                    assert_eq!(pair.left, pair.right);
                    pair.left += 1;
                    std::hint::black_box(&mut *pair);
                    pair.right += 1;
                }
            });
        }
    });
    assert_eq!(mutex.lock().unwrap().left, 20_000);
}

#[test]
fn whoever_cannot_have_it_is_told_why() {
    let mutex = Mutex::anonymous(7_u32).unwrap();
    let other = untrusting(&mutex);
    let held = mutex.lock().unwrap();
    for handle in [&mutex, &other] {
        assert!(matches!(handle.lock().unwrap_err(), LockError::WouldDeadlock));
        assert!(matches!(handle.try_lock().unwrap_err(), LockError::WouldDeadlock));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for handle in [&mutex, &other] {
                assert!(matches!(handle.try_lock().unwrap_err(), LockError::WouldBlock));
                assert!(matches!(handle.lock_timeout(Duration::ZERO).unwrap_err(), LockError::Timeout));
                let deadline = Deadline::after(Duration::from_millis(2));
                assert!(matches!(handle.lock_deadline(deadline).unwrap_err(), LockError::Timeout));
                assert!(deadline.has_passed());
            }
        });
    });
    drop(held);
    assert_eq!(*other.try_lock().unwrap(), 7);
}

#[test]
fn one_who_waits_gets_it() {
    let mutex = Mutex::anonymous(0_u64).unwrap();
    let mut held = mutex.lock().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| *mutex.lock().unwrap());
        while !look(&mutex).awaited {
            std::thread::yield_now();
        }
        *held = 1;
        drop(held);
        assert_eq!(waiting.join().unwrap(), 1);
    });
}

/// A thread that ends without giving back leaves it to others, who are told once.
#[test]
fn the_next_one_inherits_from_a_thread_that_ended() {
    let mutex = Mutex::anonymous(Pair { left: 1, right: 2 }).unwrap();
    for handle in [mutex.clone(), untrusting(&mutex)] {
        leave_behind(&mutex);
        assert_eq!(look(&mutex).state, Lock::Died);
        let Err(LockError::OwnerDied(mut inherited)) = handle.lock() else {
            panic!("granted as if all were well")
        };
        inherited.left = 5;
        let seen = look(&mutex);
        assert!(seen.inconsistent && matches!(seen.state, Lock::Held(_)));
        let guard = inherited.recover(|pair| pair.right = 5);
        assert!(!look(&mutex).inconsistent);
        assert!(matches!(handle.try_lock().unwrap_err(), LockError::WouldDeadlock), "signed anew");
        drop(guard);
        assert_eq!(*mutex.lock().unwrap(), Pair { left: 5, right: 5 });
    }
    assert_eq!(look(&mutex).deaths, 2);
}

/// What the next one finds is what was repaired, even if the repairer ends before it has given back.
#[test]
fn an_untrusting_heir_saves_its_repair_when_it_says_so() {
    let mutex = Mutex::anonymous(1_u64).unwrap();
    leave_behind(&mutex);
    let other = untrusting(&mutex);
    let repaired = std::thread::spawn(move || {
        let Err(LockError::OwnerDied(inherited)) = other.lock() else {
            panic!("granted as if all were well")
        };
        let mut guard = inherited.recover(|value| *value = 2);
        *guard = 3;
        core::mem::forget(guard);
    });
    repaired.join().unwrap();
    assert!(matches!(mutex.lock().unwrap_err(), LockError::OwnerDied(inherited) if *inherited == 2));
}

#[test]
fn what_nobody_repairs_is_given_up_for_all() {
    let mutex = Mutex::anonymous(0_u8).unwrap();
    leave_behind(&mutex);
    let waiting = {
        let Err(LockError::OwnerDied(inherited)) = mutex.lock() else {
            panic!("granted as if all were well")
        };
        let handle = mutex.clone();
        let waiting = std::thread::spawn(move || matches!(handle.lock(), Err(LockError::NotRecoverable)));
        while !look(&mutex).awaited {
            std::thread::yield_now();
        }
        drop(inherited);
        waiting
    };
    assert!(waiting.join().unwrap());
    assert!(matches!(untrusting(&mutex).try_lock().unwrap_err(), LockError::NotRecoverable));
    assert_eq!(look(&mutex).state, Lock::NotRecoverable);
}

#[test]
fn a_failed_repair_gives_up_too() {
    let mutex = Mutex::anonymous(0_u8).unwrap();
    leave_behind(&mutex);
    let handle = mutex.clone();
    let failed = std::thread::spawn(move || match handle.lock() {
        Err(LockError::OwnerDied(inherited)) => drop(inherited.recover(|_| panic!("on purpose"))),
        _ => unreachable!("granted as if all were well"),
    });
    assert!(failed.join().is_err());
    assert!(matches!(mutex.lock().unwrap_err(), LockError::NotRecoverable));
}

#[test]
fn a_question_mark_drops_the_guard() {
    fn add(mutex: &Mutex<u64>) -> Result<(), LockError> {
        *mutex.lock()? += 1;
        Ok(())
    }
    fn add_boxed(mutex: &Mutex<u64>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        *mutex.lock()? += 1;
        Ok(())
    }
    let mutex = Mutex::anonymous(0).unwrap();
    add(&mutex).unwrap();
    add_boxed(&mutex).unwrap();
    assert_eq!(*mutex.lock().unwrap(), 2);
    leave_behind(&mutex);
    assert!(matches!(add(&mutex).unwrap_err(), LockError::OwnerDied(())));
    assert!(add_boxed(&mutex).unwrap_err().to_string().contains("given up"));
}

#[test]
fn a_panic_is_a_death() {
    let mutex = Mutex::anonymous(0_u64).unwrap();
    let handle = mutex.clone();
    let panicked = std::thread::spawn(move || {
        let mut guard = handle.lock().unwrap();
        *guard = 1;
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    let Err(LockError::OwnerDied(inherited)) = mutex.lock() else { panic!("granted as if all were well") };
    assert_eq!(*inherited.recover(|value| *value += 1), 2);
}

/// A reference that leaked with its guard may still be in use when its thread has ended.
#[test]
fn what_is_still_looked_at_is_left_to_nobody() {
    let mutex: &'static Mutex<u64> = Box::leak(Box::new(Mutex::anonymous(7_u64).unwrap()));
    let value: &'static u64 =
        std::thread::spawn(move || &**Box::leak(Box::new(mutex.lock().unwrap()))).join().unwrap();
    assert!(matches!(mutex.try_lock().unwrap_err(), LockError::WouldBlock));
    assert_eq!(*value, 7);
    // A private copy is looked at as long as one likes.
    let mutex: &'static Mutex<u64> = Box::leak(Box::new(untrusting(&Mutex::anonymous(7_u64).unwrap())));
    let value: &'static u64 =
        std::thread::spawn(move || &**Box::leak(Box::new(mutex.lock().unwrap()))).join().unwrap();
    assert!(matches!(mutex.try_lock().unwrap_err(), LockError::OwnerDied(_)));
    assert_eq!(*value, 7);
}

/// When a handle is gone, nobody can look at what it lent out any more.
#[test]
fn a_handle_takes_along_what_was_held_by_it() {
    let mutex = Mutex::anonymous(1_u64).unwrap();
    let other = mutex.with_wait(Wait::Park);
    let mut guard = other.lock().unwrap();
    *guard = 2;
    core::mem::forget(guard);
    let clone = other.clone();
    drop(other);
    assert!(matches!(clone.lock().unwrap_err(), LockError::WouldDeadlock));
    drop(clone);
    let Err(LockError::OwnerDied(inherited)) = mutex.lock() else { panic!("granted as if all were well") };
    drop(inherited.recover(|value| assert_eq!(*value, 2)));
    drop(mutex.with_wait(Wait::Spin));
    assert_eq!(look(&mutex).state, Lock::Free, "one by which nothing is held takes nothing along");
}

#[test]
fn the_last_handle_takes_its_locks_along() {
    let name = format!("/dev/shm/ringway-mutex-last-{}", std::process::id());
    let mutex = Mutex::create(&name, 1_u64).unwrap();
    let onlooker = std::os::fd::AsFd::as_fd(&mutex).try_clone_to_owned().unwrap();
    let mut guard = mutex.lock().unwrap();
    *guard = 2;
    core::mem::forget(guard);
    drop(mutex);
    assert_eq!(look(&onlooker).state, Lock::Died);
    let mutex = Mutex::<u64>::open(&name).unwrap();
    mutex.unlink().unwrap();
    assert!(matches!(mutex.lock(), Err(LockError::OwnerDied(inherited)) if *inherited == 2));
}

#[test]
fn values_of_all_sizes_and_alignments() {
    #[derive(Clone, Copy)]
    #[repr(C, align(64))]
    struct Line([u8; 64]);
    // SAFETY: bytes, and no padding.
    unsafe impl Zeroable for Line {}
    // SAFETY: as above.
    unsafe impl Pod for Line {}
    let line = Mutex::anonymous(Line([9; 64])).unwrap();
    let guard = line.lock().unwrap();
    assert!((&raw const *guard).is_aligned() && guard.0 == [9; 64]);
    drop(untrusting(&Mutex::anonymous(()).unwrap()).lock().unwrap());
    let large = Mutex::<[u64; 4096]>::anonymous([1; 4096]).unwrap();
    untrusting(&large).lock().unwrap()[4095] = 2;
    let guard = large.lock().unwrap();
    assert_eq!((guard[0], guard[4095]), (1, 2));
}

#[test]
fn it_cannot_be_opened_as_something_else() {
    let name = format!("/dev/shm/ringway-mutex-type-{}", std::process::id());
    let mutex = Mutex::create(&name, 1_u64).unwrap();
    assert!(matches!(
        Mutex::<u32>::open(&name),
        Err(Error::WrongElement { found: (8, 8), expected: (4, 4) })
    ));
    assert!(matches!(crate::Queue::<u64>::open(&name), Err(Error::WrongKind { .. })));
    assert!(matches!(
        Mutex::<u64>::options().capacity(2).open(&name),
        Err(Error::BadCapacity { asked: 2, .. })
    ));
    mutex.unlink().unwrap();
    let queue = crate::Queue::<u64>::create(&name, 4).unwrap();
    assert!(matches!(Mutex::<u64>::open(&name), Err(Error::WrongKind { .. })));
    queue.unlink().unwrap();
}

#[test]
fn onlookers_see_the_holder() {
    let mutex = Mutex::<u64>::options().timed(true).anonymous().unwrap();
    assert_eq!(look(&mutex).state, Lock::Free);
    let guard = mutex.lock().unwrap();
    let seen = look(&mutex);
    assert!(
        matches!(seen.state, Lock::Held(holder) if holder.pid == Some(std::process::id()) && holder.alive)
    );
    assert_eq!((seen.depth, seen.deaths, seen.inconsistent), (1, 0, false));
    assert!(seen.thread.is_some() && seen.held_for.is_some());
    drop(guard);
    let untimed = mutex.with_wait(Wait::Park);
    let _guard = untimed.lock().unwrap();
    assert!(look(&mutex).held_for.is_some(), "a clone is timed as well");
}

/// Whatever stands in its words: an answer, and the bytes behind them are only read.
#[test]
fn nonsense_ends_in_an_error() {
    for (trusting, state) in [(true, 0_u64), (true, 5), (false, 0), (false, 7)] {
        let mutex = Mutex::anonymous(3_u64).unwrap();
        let handle = if trusting { mutex.clone() } else { untrusting(&mutex) };
        // Owner 9 of a free lock, or a state there is not.
        super::scribble(&mutex, 0, state << 16 | 9);
        assert!(
            matches!(handle.lock().unwrap_err(), LockError::Corrupt(why) if why.found == state << 16 | 9)
        );
        assert!(matches!(handle.try_lock().unwrap_err(), LockError::Corrupt(_)));
        assert_eq!(look(&mutex).state, Lock::Nonsense);
        // An owner that cannot be is a dead one.
        super::scribble(&mutex, 0, 1 << 16 | 60_000);
        assert!(matches!(handle.lock().unwrap_err(), LockError::OwnerDied(inherited) if *inherited == 3));
    }
}

std::thread_local! {
    static KEPT: core::cell::RefCell<Option<Keeper>> = const { core::cell::RefCell::new(None) };
}

/// Looks at its mutex once more, and gives it back, when its thread ends.
struct Keeper {
    guard: crate::MutexGuard<'static, u64>,
    other: Mutex<u64>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let other = self.other.clone();
        let tried = std::thread::spawn(move || other.try_lock().map(|guard| *guard).is_ok());
        let told = std::thread::spawn({
            let other = self.other.clone();
            move || matches!(other.try_lock(), Err(LockError::WouldBlock))
        });
        let (tried, told) = (tried.join().unwrap(), told.join().unwrap());
        *self.guard = if !tried && told { 7 } else { 13 };
    }
}

/// The destructors of thread-local values run one after the other: a guard in one of them holds until it goes.
#[test]
fn a_guard_in_a_thread_local_value_holds_to_the_end() {
    let mutex: &'static Mutex<u64> = Box::leak(Box::new(Mutex::anonymous(0_u64).unwrap()));
    let ended = std::thread::spawn(|| {
        KEPT.with(|kept| {
            let keeper = Keeper { guard: mutex.lock().unwrap(), other: mutex.with_wait(Wait::Park) };
            *kept.borrow_mut() = Some(keeper);
        });
    });
    ended.join().unwrap();
    assert_eq!(*mutex.lock().expect("given back in order"), 7);
}

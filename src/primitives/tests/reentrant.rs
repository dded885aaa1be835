use super::look;
use crate::inspect::Lock;
use crate::{LockError, ReentrantMutex};
use std::os::fd::AsFd;
use std::time::Duration;

fn other_handle(mutex: &ReentrantMutex<u64>) -> ReentrantMutex<u64> {
    ReentrantMutex::from_fd(mutex.as_fd().try_clone_to_owned().unwrap()).unwrap()
}

fn is_held_for_others(mutex: &ReentrantMutex<u64>) -> bool {
    let mutex = mutex.clone();
    let tried = move || matches!(mutex.try_lock(), Err(LockError::WouldBlock));
    std::thread::spawn(tried).join().unwrap()
}

#[test]
fn a_thread_has_it_several_times_by_several_handles() {
    let mutex = ReentrantMutex::anonymous(1_u64).unwrap();
    let other = other_handle(&mutex);
    let outer = mutex.lock().unwrap();
    let inner = other.try_lock().unwrap();
    let innermost = mutex.lock_timeout(Duration::ZERO).unwrap();
    innermost.set(5);
    assert_eq!((outer.get(), inner.update(|value| value + 1), innermost.depth()), (5, 6, 3));
    assert_eq!(look(&mutex).depth, 3);
    drop((outer, innermost));
    assert!(is_held_for_others(&mutex), "in whatever order they go");
    drop(mutex);
    assert!(is_held_for_others(&other), "the other handle has it still");
    drop(inner);
    assert!(!is_held_for_others(&other));
    assert_eq!(other.lock().unwrap().get(), 6);
}

#[test]
fn threads_exclude_each_other() {
    let mutex = ReentrantMutex::anonymous(0_u64).unwrap();
    let other = other_handle(&mutex);
    std::thread::scope(|scope| {
        for handle in [&mutex, &other, &mutex] {
            scope.spawn(move || {
                for _ in 0..2000 {
                    let outer = handle.lock().unwrap();
                    let value = outer.get();
                    handle.lock().unwrap().set(value + 1);
                }
            });
        }
    });
    assert_eq!(mutex.lock().unwrap().get(), 6000);
}

#[test]
fn a_thread_that_ends_leaves_it_behind() {
    let mutex = ReentrantMutex::anonymous(1_u64).unwrap();
    let handle = mutex.clone();
    let ended = std::thread::spawn(move || {
        let outer = handle.lock().unwrap();
        core::mem::forget(handle.lock().unwrap());
        outer.set(2);
        core::mem::forget(outer);
    });
    ended.join().unwrap();
    let Err(LockError::OwnerDied(inherited)) = mutex.lock() else { panic!("granted as if all were well") };
    let Err(LockError::OwnerDied(nested)) = mutex.lock() else { panic!("granted as if all were well") };
    assert_eq!((inherited.get(), look(&mutex).inconsistent), (2, true));
    let guard = nested.recover(|value| value * 10);
    assert!(!look(&mutex).inconsistent);
    drop(inherited);
    assert_eq!(mutex.lock().unwrap().get(), 20);
    drop(guard);
    assert_eq!(look(&mutex).state, Lock::Free);
}

#[test]
fn what_nobody_repairs_is_given_up() {
    let mutex = ReentrantMutex::anonymous(1_u64).unwrap();
    let handle = mutex.clone();
    let panicked = std::thread::spawn(move || {
        let _outer = handle.lock().unwrap();
        let _inner = handle.lock().unwrap();
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    let error = mutex.lock().unwrap_err();
    drop(error);
    assert!(matches!(mutex.lock().unwrap_err(), LockError::NotRecoverable));
}

#[test]
fn the_end_of_one_handle_takes_nothing_from_a_guard_of_another() {
    let mutex = ReentrantMutex::anonymous(1_u64).unwrap();
    let other = other_handle(&mutex);
    core::mem::forget(mutex.lock().unwrap());
    let guard = other.lock().unwrap();
    drop(mutex);
    assert!(is_held_for_others(&other), "the guard is there");
    drop(guard);
    assert!(!is_held_for_others(&other), "the leaked one went with its handle");
    assert!(other.lock().is_ok());
}

#[test]
fn what_an_ended_thread_leaked_does_not_count_for_the_next() {
    let mutex = ReentrantMutex::anonymous(1_u64).unwrap();
    let other = other_handle(&mutex);
    let handle = mutex.clone();
    std::thread::spawn(move || core::mem::forget(handle.lock().unwrap())).join().unwrap();
    let Err(LockError::OwnerDied(inherited)) = other.lock() else { panic!("granted as if all were well") };
    let guard = inherited.recover(|value| value);
    drop(mutex.lock().unwrap());
    drop(mutex);
    assert!(is_held_for_others(&other), "the guard is there");
    drop(guard);
    assert!(other.lock().is_ok());
}

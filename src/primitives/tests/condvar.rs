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
        while condvar.condition().waiting().counts().1 == 0 {
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

//! What forked children may do with locks, and what there is if nobody more can take part.
//!
//! Played in a process of their own, because they fork.

use crate::Failure;
use crate::forks::fork;
use ringway::{AcquireError, Barrier, BarrierError, Deadline, Error, Event, LockError, Mutex};
use ringway::{OwnedSemaphore, ReentrantMutex, Semaphore, Wait};
use std::time::Duration;

/// Longer than any slice of a sleep.
const LATER: Duration = Duration::from_millis(250);

/// What a forked child may do with what its parent holds: nothing. With what is free: everything.
pub(super) fn with_guards() -> Result<(), Failure> {
    for trusted in [true, false] {
        let mutex = Mutex::options().trusted(trusted).value(7_u64).anonymous()?;
        let permits = OwnedSemaphore::anonymous(1)?;
        let mut held = Some((mutex.lock()?, permits.acquire()?));
        let child = fork(|| {
            let (mut guard, permit) = held.take().unwrap();
            *guard += 1; // of a copy
            assert_eq!(*guard, 8);
            drop((guard, permit));
            assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
            assert!(permits.try_acquire().is_err());
        });
        child.succeeded();
        let (guard, permit) = held.take().unwrap();
        assert_eq!(*guard, 7);
        assert!(matches!(mutex.lock(), Err(LockError::WouldDeadlock)));
        drop((guard, permit));
        // A child that dies with them leaves them to us.
        let child = fork(|| {
            let mut guard = mutex.lock().unwrap();
            *guard = 9;
            core::mem::forget((guard, permits.acquire().unwrap()));
            // SAFETY: ends the child without running any destructor, as a kill does.
            unsafe { libc::_exit(0) };
        });
        child.succeeded();
        let Err(LockError::OwnerDied(inherited)) = mutex.lock() else {
            panic!("granted as if all were well")
        };
        // What an untrusting handle wrote stayed with it.
        assert_eq!(*inherited, if trusted { 9 } else { 7 });
        drop(inherited.recover(|value| *value = 1));
        assert!(permits.acquire()?.was_recovered() && permits.recovered() == 1);
    }
    Ok(())
}

/// The end of a handle by which the parent held it takes nothing from a child that has it by another handle.
pub(super) fn with_the_end_of_a_handle() -> Result<(), Failure> {
    let (mutex, again) = (Mutex::anonymous(0_u64)?, ReentrantMutex::anonymous(0_u64)?);
    let (other, other_again) = (mutex.with_wait(Wait::Park), again.with_wait(Wait::Park));
    let (third, third_again) = (mutex.with_wait(Wait::Park), again.with_wait(Wait::Park));
    let held: &'static (Mutex<u64>, ReentrantMutex<u64>) = Box::leak(Box::new((mutex, again)));
    let guards = (held.0.lock()?, held.1.lock()?);
    let child = fork(|| {
        let (_own, _own_again) = (other.lock().unwrap(), other_again.lock().unwrap());
        // One that the parent's guard was counted for, and one that it was not.
        drop(held.1.lock().unwrap());
        // SAFETY: the guards, which are the only other ones that use the handles, are never touched here again.
        unsafe { core::ptr::drop_in_place(core::ptr::from_ref(held).cast_mut()) };
        assert!(matches!(third.try_lock(), Err(LockError::WouldDeadlock)));
        let tried = std::thread::spawn(move || matches!(third_again.try_lock(), Err(LockError::WouldBlock)));
        assert!(tried.join().unwrap());
        // SAFETY: ends the child without running any destructor; those handles are gone.
        unsafe { libc::_exit(0) };
    });
    drop(guards);
    child.succeeded();
    Ok(())
}

/// One thread holds it and another waits for it while a third one forks: the child has a copy of neither.
pub(super) fn among_threads() -> Result<(), Failure> {
    for wait in [Wait::Park, Wait::Adaptive] {
        let mutex = Mutex::options().wait(wait).value(0_u64).anonymous()?;
        let permits = OwnedSemaphore::options().wait(wait).anonymous()?;
        let (held, forked) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        let seen = Event::anonymous()?;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let both = (mutex.lock().unwrap(), permits.acquire().unwrap());
                held.wait();
                forked.wait();
                drop(both);
            });
            held.wait();
            scope.spawn(|| *mutex.lock().unwrap() += 1);
            scope.spawn(|| drop(permits.acquire().unwrap()));
            let child = fork(|| {
                assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
                assert!(matches!(mutex.lock_timeout(Duration::from_millis(20)), Err(LockError::Timeout)));
                assert!(matches!(permits.try_acquire(), Err(AcquireError::WouldBlock)));
                seen.set();
                *mutex.lock().unwrap() += 1;
                drop(permits.acquire().unwrap());
            });
            let is_seen = seen.wait_timeout(Duration::from_secs(60));
            forked.wait();
            child.succeeded();
            assert!(is_seen);
        });
        assert_eq!(*mutex.lock()?, 2);
        assert_eq!((permits.available(), permits.recovered()), (1, 0));
    }
    Ok(())
}

/// A child that polls, or has been told, leaves nothing behind, and its parent's polls are not its own.
pub(super) fn with_watches() -> Result<(), Failure> {
    let (event, permits) = (Event::anonymous()?, Semaphore::anonymous(0)?);
    let _ours = (event.readiness()?, permits.readiness()?);
    for _ in 0..10 {
        let child = fork(|| {
            // What the parent asked for is not answered here, and nothing of it is in the way.
            assert!(!event.is_set() && permits.try_acquire().is_err());
            let _own = (event.readiness().unwrap(), permits.readiness().unwrap());
            let (event, permits) = (event.clone(), permits.clone());
            let grandchild = fork(move || drop((event.readiness().unwrap(), permits)));
            grandchild.succeeded();
        });
        child.succeeded();
    }
    Ok(())
}

/// A process that cannot take part has no locks, and says so; what nobody owns it may use.
pub(super) fn full() -> Result<(), Failure> {
    let mutex = Mutex::options().value(7_u64).participants(1).anonymous()?;
    let again = ReentrantMutex::options().value(7_u64).participants(1).anonymous()?;
    let owned = OwnedSemaphore::options().permits(2).participants(1).anonymous()?;
    let barrier = Barrier::options().parties(1).participants(1).anonymous()?;
    let permits = Semaphore::options().permits(1).participants(1).anonymous()?;
    let event = Event::options().participants(1).anonymous()?;
    let held = (mutex.lock()?, again.lock()?, owned.acquire()?);
    let child = fork(|| {
        let is_full = |error: &Error| matches!(error, Error::TooManyParticipants { limit: 1 });
        for deadline in [Deadline::NOW, Deadline::NEVER] {
            assert!(matches!(mutex.lock_deadline(deadline), Err(LockError::Attach(why)) if is_full(&why)));
            assert!(matches!(again.lock_deadline(deadline), Err(LockError::Attach(why)) if is_full(&why)));
            let permit = owned.acquire_deadline(deadline);
            assert!(matches!(permit, Err(AcquireError::Attach(why)) if is_full(&why)));
            assert!(
                matches!(barrier.wait_deadline(deadline), Err(BarrierError::Attach(why)) if is_full(&why))
            );
        }
        permits.acquire().unwrap();
        event.set();
    });
    child.succeeded();
    assert!(event.is_set() && permits.available() == 0);
    drop(held);
    assert_eq!((*mutex.lock()?, owned.available(), owned.recovered()), (7, 2, 0));
    assert!(barrier.wait_timeout(LATER)?.is_leader());
    Ok(())
}

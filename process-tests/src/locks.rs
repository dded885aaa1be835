//! `peer KIND PATH VERB...`: opens a lock, or what else processes agree by, and follows a script.
//!
//! ```text
//! mutex      hold         takes it; prints "held", or "inherited" if its owner died, after the repair
//!            half         holds it, changes half of what it protects, and prints "half"
//!            give         gives it back
//!            count:N      adds 1 to both halves N times, with a look whether they are equal; prints "counted"
//!            race         the same until killed
//! condvar    await:N      (PATH.mutex is its mutex) waits until the first half is N or more; prints "reached"
//! semaphore  take         takes a permit and prints "taken"
//! owned      hold         takes a permit; prints "held", or "recovered" if its last holder died
//! event      await        waits until it is set; prints "set"
//! barrier    meet         waits for the others; prints "met" or "broken"
//! ```

use crate::forks::fork;
use crate::{Failure, common, say};
use process_tests::halves::{Halves, add, repair};
use ringway::{Barrier, BarrierError, Condvar, Event, LockError, Mutex, OwnedSemaphore, Semaphore, Wait};

pub(super) fn play(kind: &str, path: &str, script: &[&str]) -> Result<(), Failure> {
    let verbs = script.iter().map(|verb| verb.split(':').collect::<Vec<_>>());
    match kind {
        "mutex" => mutex(&Mutex::options().wait(Wait::Park).timed(true).open(path)?, verbs),
        "condvar" => {
            let mutex = Mutex::<Halves>::open(&format!("{path}.mutex"))?;
            let condvar = Condvar::options().wait(Wait::Park).open(path)?;
            for verb in verbs {
                match verb[..] {
                    ["await", level] => {
                        let level = level.parse()?;
                        drop(condvar.wait_while(mutex.lock()?, |halves| halves.left < level)?);
                        say("reached");
                    }
                    _ => drop(common(&verb)?),
                }
            }
            Ok(())
        }
        "semaphore" => {
            let semaphore = Semaphore::options().wait(Wait::Park).open(path)?;
            each(verbs, "take", || {
                semaphore.acquire()?;
                Ok("taken")
            })
        }
        "owned" => {
            let semaphore = OwnedSemaphore::options().wait(Wait::Park).open(path)?;
            let mut held = vec![];
            each(verbs, "hold", || {
                held.push(semaphore.acquire()?);
                Ok(if held[held.len() - 1].was_recovered() { "recovered" } else { "held" })
            })
        }
        "event" => {
            let event = Event::options().wait(Wait::Park).open(path)?;
            each(verbs, "await", || {
                event.wait();
                Ok("set")
            })
        }
        _ => {
            let barrier = Barrier::options().wait(Wait::Park).open(path)?;
            each(verbs, "meet", || match barrier.wait() {
                Ok(_) => Ok("met"),
                Err(BarrierError::Broken) => Ok("broken"),
                Err(other) => Err(other.into()),
            })
        }
    }
}

/// Follows a script with one verb of its own, whose result is printed.
fn each<'a>(
    verbs: impl Iterator<Item = Vec<&'a str>>,
    own: &str,
    mut act: impl FnMut() -> Result<&'static str, Failure>,
) -> Result<(), Failure> {
    for verb in verbs {
        if verb == [own] {
            say(act()?);
        } else {
            common(&verb)?;
        }
    }
    Ok(())
}

fn mutex<'a>(mutex: &Mutex<Halves>, verbs: impl Iterator<Item = Vec<&'a str>>) -> Result<(), Failure> {
    let mut held = None;
    for verb in verbs {
        match verb[..] {
            ["hold"] => {
                held = Some(match mutex.lock() {
                    Ok(guard) => {
                        say("held");
                        guard
                    }
                    Err(LockError::OwnerDied(inherited)) => {
                        let guard = inherited.recover(repair);
                        say("inherited");
                        guard
                    }
                    Err(other) => return Err(other.into()),
                });
            }
            ["half"] => {
                let mut guard = mutex.lock()?;
                guard.left += 1;
                held = Some(guard);
                say("half");
            }
            ["give"] => drop(held.take()),
            ["count", times] => {
                for _ in 0..times.parse()? {
                    add(mutex);
                }
                say("counted");
            }
            ["race"] => loop {
                add(mutex);
            },
            _ => drop(common(&verb)?),
        }
    }
    Ok(())
}

/// What a forked child may do with what its parent holds: nothing. With what is free: everything.
pub(super) fn fork_with_guards() -> Result<(), Failure> {
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

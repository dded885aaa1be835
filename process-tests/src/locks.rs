//! `peer KIND PATH VERB...`: opens a lock, or what else processes agree by, and follows a script. A mutex can also be
//! `inherit:KEY`.
//!
//! ```text
//! mutex      hold         takes it; prints "held", or "inherited" if its owner died, after the repair
//!            half         holds it, changes half of what it protects, and prints "half"
//!            give         gives it back
//!            outcome      takes it, says how that ended ("held", "inherited", "lost"), and gives it back repaired
//!            inherit      takes it from a dead owner, repairs nothing, and prints "inconsistent"
//!            lose         gives up what it inherited
//!            forget       takes it, leaks the guard, and prints "forgotten"
//!            thread       has a thread end with it, and prints "ended"
//!            panic        has a thread panic with it, and prints "panicked"
//!            blind        closes all its descriptors, as careless libraries do, and prints "blind"
//!            count:N      adds 1 to both halves N times, with a look whether they are equal; prints "counted"
//!            race         the same until killed
//! condvar    await:N      (PATH.mutex is its mutex) waits until the first half is N or more; prints "reached"
//! semaphore  take         takes a permit and prints "taken"
//!            poll         polls until there is a permit; prints "polling" before it sleeps, and "readable"
//! owned      hold         takes a permit; prints "held", or "recovered" if its last holder died
//! event      await        waits until it is set; prints "set"
//!            poll         polls until it is set; prints "polling" before it sleeps, and "readable"
//!            set          sets it and prints "done"
//! barrier    meet         waits for the others; prints "met" or "broken"
//! ```

use crate::{Failure, common, say};
use process_tests::halves::{Halves, add, repair};
use ringway::{Barrier, BarrierError, Condvar, Event, LockError, Mutex, OwnedSemaphore, Semaphore, Wait};
use std::os::fd::{AsRawFd, BorrowedFd};

pub(super) fn play(kind: &str, path: &str, script: &[&str]) -> Result<(), Failure> {
    let verbs = script.iter().map(|verb| verb.split(':').collect::<Vec<_>>());
    match kind {
        "mutex" => {
            let options = Mutex::options().wait(Wait::Park).timed(true);
            let handle = match path.strip_prefix("inherit:") {
                Some(key) => options.inherited(key)?,
                None => options.open(path)?,
            };
            mutex(&handle, verbs)
        }
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
            for verb in verbs {
                match verb[..] {
                    ["take"] => {
                        semaphore.acquire()?;
                        say("taken");
                    }
                    ["poll"] => poll(semaphore.readiness()?),
                    _ => drop(common(&verb)?),
                }
            }
            Ok(())
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
            for verb in verbs {
                match verb[..] {
                    ["await"] => {
                        event.wait();
                        say("set");
                    }
                    ["poll"] => poll(event.readiness()?),
                    ["set"] => {
                        event.set();
                        say("done");
                    }
                    _ => drop(common(&verb)?),
                }
            }
            Ok(())
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

/// Polls until it is readable.
fn poll(ready: BorrowedFd<'_>) {
    say("polling");
    let mut poll = libc::pollfd { fd: ready.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    while unsafe { libc::poll(&mut poll, 1, -1) } != 1 {}
    say("readable");
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
    let mut inherited = None;
    for verb in verbs {
        match verb[..] {
            ["outcome"] => say(match mutex.lock() {
                Ok(_) => "held",
                Err(LockError::OwnerDied(inherited)) => {
                    drop(inherited.recover(repair));
                    "inherited"
                }
                Err(LockError::NotRecoverable) => "lost",
                Err(other) => return Err(other.into()),
            }),
            ["inherit"] => match mutex.lock() {
                Err(LockError::OwnerDied(unrepaired)) => {
                    inherited = Some(unrepaired);
                    say("inconsistent");
                }
                other => return Err(format!("{other:?}").into()),
            },
            ["lose"] => drop(inherited.take()),
            ["forget"] => {
                core::mem::forget(mutex.lock()?);
                say("forgotten");
            }
            ["thread" | "panic"] => {
                let (mutex, panics) = (mutex.clone(), verb[0] == "panic");
                let thread = std::thread::spawn(move || {
                    let guard = mutex.lock().unwrap();
                    if panics {
                        // Quietly: no message.
                        std::panic::resume_unwind(Box::new(()));
                    }
                    core::mem::forget(guard);
                });
                say(if thread.join().is_err() { "panicked" } else { "ended" });
            }
            ["blind"] => {
                for fd in 3..1024 {
                    // SAFETY: takes a number. Those whose descriptors these were are the objects, which expect that.
                    unsafe { libc::close(fd) };
                }
                say("blind");
            }
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

//! `peer token PATH VERB...`: opens a token and follows a script. It can also be `inherit:KEY`.
//!
//! ```text
//! take       takes it; prints "taken", or "recovered" if its last holder died
//! release    gives it back; prints "released", or "free" if nobody has it
//! handover   hands it over; prints "handed", or "not mine"
//! all        hands over all this process has; prints how many
//! mine       prints whether it is this process's
//! blind      closes all its descriptors, as careless libraries do, and prints "blind"
//! panic      drops its handle by a panic, and prints "panicked"
//! race       (PATH.inside says who is inside) takes it, is inside alone, gives it back, until killed
//! count:N    the same N times; prints "counted"
//! ```
//!
//! `peer tokenfork` and `peer tokenarena` play scenes with forks, in a process with one thread; `peer tokenthreads` one
//! with several.

use crate::forks::fork;
use crate::{Failure, common, say};
use ringway::{AcquireError, Arena, Error, ReleaseError, Token, Value, Wait};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longer than any slice of a sleep.
const LATER: Duration = Duration::from_millis(250);

pub(super) fn play(path: &str, script: &[&str]) -> Result<(), Failure> {
    let options = Token::options().wait(Wait::Park);
    let mut handle = Some(match path.strip_prefix("inherit:") {
        Some(key) => options.inherited(key)?,
        None => options.open(path)?,
    });
    for verb in script {
        let verb: Vec<&str> = verb.split(':').collect();
        let Some(token) = &handle else {
            common(&verb)?;
            continue;
        };
        match verb[..] {
            ["take"] => say(if token.acquire()?.was_recovered() { "recovered" } else { "taken" }),
            ["release"] => say(match token.release() {
                Ok(()) => "released",
                Err(ReleaseError::TooMany { .. }) => "free",
                Err(other) => return Err(other.into()),
            }),
            ["handover"] => say(if token.hand_over() { "handed" } else { "not mine" }),
            ["all"] => say(Token::hand_over_all()),
            ["mine"] => say(token.holder_is_me()),
            ["blind"] => {
                for fd in 3..1024 {
                    // SAFETY: takes a number. Those whose descriptors these were are the objects, which expect that.
                    unsafe { libc::close(fd) };
                }
                say("blind");
            }
            ["panic"] => {
                let token = handle.take();
                let thread = std::thread::spawn(move || {
                    let _dropped = token;
                    // Quietly: no message.
                    std::panic::resume_unwind(Box::new(()));
                });
                say(if thread.join().is_err() { "panicked" } else { "ended" });
            }
            ["race"] => {
                let inside = Value::open(&format!("{path}.inside"))?;
                loop {
                    be_inside(token, &inside)?;
                }
            }
            ["count", times] => {
                let inside = Value::open(&format!("{path}.inside"))?;
                for _ in 0..times.parse()? {
                    be_inside(token, &inside)?;
                }
                say("counted");
            }
            _ => {
                if common(&verb)?.is_none() {
                    handle = None;
                }
            }
        }
    }
    Ok(())
}

/// Alone, but for somebody who died inside: then that was told.
fn be_inside(token: &Token, inside: &Value<u64>) -> Result<(), Failure> {
    if token.acquire()?.was_recovered() {
        inside.store(0);
    }
    let others = inside.swap(1);
    if others != 0 {
        return Err("two are inside, or one died there and nobody said so".into());
    }
    (0..20).for_each(|_| std::hint::spin_loop());
    inside.store(0);
    Ok(token.release()?)
}

/// What a forked child has of what its parent holds: nothing, but that it may give it back like anybody.
pub(super) fn forks() -> Result<(), Failure> {
    let token = Token::anonymous()?;
    let other = Token::anonymous()?;
    other.acquire()?;
    token.acquire()?;
    fork(|| {
        assert!(token.is_held() && !token.holder_is_me() && !token.hand_over());
        assert_eq!(Token::hand_over_all(), 0, "it has none");
        assert!(matches!(token.try_acquire(), Err(AcquireError::WouldBlock)));
        // By now it takes part itself.
        assert!(!token.holder_is_me() && !token.hand_over() && Token::hand_over_all() == 0);
        token.release().unwrap();
        assert!(!token.try_acquire().unwrap().was_recovered());
        assert!(token.holder_is_me());
        assert_eq!(Token::hand_over_all(), 1, "the other is its parent's");
        assert_eq!(Token::hand_over_all(), 0);
    })
    .succeeded();
    assert!(!token.holder_is_me() && other.holder_is_me());
    assert!(matches!(token.acquire_timeout(LATER), Err(AcquireError::Timeout)), "it was handed over");
    token.release()?;
    // Without that it is a crash.
    fork(|| assert!(!token.acquire().unwrap().was_recovered())).succeeded();
    assert!(token.acquire()?.was_recovered() && token.recovered() == 1);
    // A child that drops its copies of the handles takes nothing from its parent.
    fork(|| {
        // SAFETY: the child ends without touching the original again, see `fork`.
        drop(unsafe { core::ptr::read(&raw const token) });
    })
    .succeeded();
    assert!(token.holder_is_me());
    // Nor does a grandchild find what neither has.
    fork(|| {
        fork(|| {
            assert_eq!(Token::hand_over_all(), 0);
            token.release().unwrap();
            token.acquire().unwrap();
            assert_eq!(Token::hand_over_all(), 1);
        })
        .succeeded();
        assert_eq!(Token::hand_over_all(), 0);
        assert!(token.is_held() && !token.holder_is_me());
    })
    .succeeded();
    token.release()?;
    // Once, by however many handles.
    let again = Token::from_fd(std::os::fd::AsFd::as_fd(&other).try_clone_to_owned()?)?;
    drop(other);
    assert!(again.holder_is_me(), "it was not the last handle");
    let third = Token::from_fd(std::os::fd::AsFd::as_fd(&again).try_clone_to_owned()?)?;
    assert_eq!(Token::hand_over_all(), 1, "the other one");
    assert!(again.is_held() && !third.holder_is_me());
    full()
}

/// Who cannot take part cannot take it, and may give it back.
fn full() -> Result<(), Failure> {
    let token = Token::options().participants(1).anonymous()?;
    token.acquire()?;
    fork(|| {
        let refused = token.acquire();
        assert!(matches!(refused, Err(AcquireError::Attach(Error::TooManyParticipants { limit: 1 }))));
        token.release().unwrap();
        let refused = token.try_acquire();
        assert!(matches!(refused, Err(AcquireError::Attach(Error::TooManyParticipants { limit: 1 }))));
    })
    .succeeded();
    assert!(!token.acquire()?.was_recovered());
    Ok(())
}

/// A thousand in an arena, which a child inherits: it hands over what it has when it ends in good order, and what it has
/// taken after that comes back.
pub(super) fn arena() -> Result<(), Failure> {
    const COUNT: usize = 1000;
    let arena = Arena::anonymous(1 << 20)?;
    let tokens = (0..COUNT).map(|_| Token::options().create_in(&arena)).collect::<Result<Vec<_>, _>>()?;
    let alone = Token::anonymous()?;
    fork(|| {
        let (early, late) = tokens.split_at(COUNT / 2);
        early.iter().for_each(|token| assert!(!token.acquire().unwrap().was_recovered()));
        alone.acquire().unwrap();
        assert_eq!(Token::hand_over_all(), COUNT / 2 + 1);
        late.iter().for_each(|token| assert!(!token.acquire().unwrap().was_recovered()));
        assert!(!early[0].holder_is_me() && late[0].holder_is_me());
    })
    .succeeded();
    assert!(matches!(tokens[0].acquire_timeout(LATER), Err(AcquireError::Timeout)));
    for (number, token) in tokens.iter().enumerate() {
        let is_late = number >= COUNT / 2;
        assert!(token.is_held());
        if !is_late {
            token.release()?;
        }
        let found = (token.acquire()?.was_recovered(), token.recovered());
        assert_eq!(found, (is_late, u64::from(is_late)), "{number}");
    }
    // What its last handle leaves is as if it had handed it over; but that it is gone with it, if nobody else has it.
    let again =
        Arena::options().trusted(true).from_fd(std::os::fd::AsFd::as_fd(&arena).try_clone_to_owned()?)?;
    let kept = fork(|| {
        let (first, second) = (&tokens[0], &tokens[1]);
        assert!(!first.holder_is_me() && first.is_held());
        second.release().unwrap();
        second.acquire().unwrap();
        assert_eq!(again.len(), COUNT);
        // SAFETY: the child ends without touching the original again, see `fork`.
        drop(unsafe { core::ptr::read(second) });
    });
    kept.succeeded();
    assert!(tokens[0].holder_is_me());
    assert!(
        matches!(tokens[1].acquire_timeout(LATER), Err(AcquireError::Timeout)),
        "it was left in good order"
    );
    tokens[1].release()?;
    assert_eq!(Token::hand_over_all(), COUNT - 1);
    Ok(())
}

/// Threads make and drop tokens while another says again and again that the process is about to end.
pub(super) fn threads() -> Result<(), Failure> {
    let arena = Arena::anonymous(1 << 20)?;
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let makers = [false, true, false, true].map(|in_arena| {
            let arena = &arena;
            scope.spawn(move || {
                for round in 0..200 {
                    let options = Token::options();
                    let token =
                        if in_arena { options.create_in(arena) } else { options.anonymous() }.unwrap();
                    assert!(!token.acquire().unwrap().was_recovered());
                    // Handed over or not, it is held.
                    while token.holder_is_me() && round % 8 == 0 {
                        std::thread::yield_now();
                    }
                    assert!(token.is_held());
                    token.release().unwrap();
                    assert!(!token.acquire().unwrap().was_recovered());
                }
            })
        });
        let ending = scope.spawn(|| {
            let mut handed = 0;
            while !ended.load(Ordering::Relaxed) {
                handed += Token::hand_over_all();
            }
            handed
        });
        let all_well = makers.into_iter().all(|maker| maker.join().is_ok());
        ended.store(true, Ordering::Relaxed);
        assert!(all_well && ending.join().unwrap() >= 4 * 200 / 8);
    });
    assert_eq!((Token::hand_over_all(), arena.len()), (0, 0));
    Ok(())
}

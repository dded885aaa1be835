use crate::inspect::{self, Detail, TokenState};
use crate::sync::{AtomicU64, Ordering};
use crate::{AcquireError, Arena, Deadline, Error, Mutex, ReleaseError, Token, Wait};
use std::os::fd::AsFd;
use std::time::Duration;

/// What an onlooker sees.
fn look(token: &impl AsFd) -> inspect::Token {
    match inspect::stat_fd(token.as_fd()).unwrap().detail {
        Detail::Token(token) => token,
        other => panic!("no token: {other:?}"),
    }
}

#[test]
fn it_is_taken_once_and_given_back_by_anybody() {
    let token = Token::anonymous().unwrap();
    assert!(!token.is_held() && !token.holder_is_me());
    assert!(!token.acquire().unwrap().was_recovered());
    assert!(token.is_held() && token.holder_is_me());
    assert!(matches!(look(&token).state, TokenState::Held(who) if who.pid == Some(std::process::id())));
    assert!(matches!(token.try_acquire(), Err(AcquireError::WouldBlock)));
    assert!(matches!(token.acquire_timeout(Duration::from_millis(1)), Err(AcquireError::Timeout)));
    assert!(matches!(token.acquire_deadline(Deadline::NOW), Err(AcquireError::Timeout)));
    let other = Token::from_fd(token.as_fd().try_clone_to_owned().unwrap()).unwrap();
    other.release().unwrap();
    assert!(!token.is_held());
    assert_eq!(token.release(), Err(ReleaseError::TooMany { bound: 1 }));
    token.try_acquire().unwrap();
    assert!(other.holder_is_me(), "the process is the holder");
    std::thread::scope(|scope| drop(scope.spawn(|| token.release().unwrap()).join()));
    assert_eq!((look(&token).state, token.recovered()), (TokenState::Free, 0));
}

#[test]
fn it_can_be_held_from_the_first() {
    let token = Token::options().held(true).anonymous().unwrap();
    assert!(token.is_held() && !token.holder_is_me());
    assert_eq!(look(&token).state, TokenState::HandedOver);
    assert!(matches!(token.try_acquire(), Err(AcquireError::WouldBlock)));
    assert!(!token.hand_over(), "it is not ours");
    token.release().unwrap();
    assert!(!token.acquire().unwrap().was_recovered());
}

/// One waits for what another gives, who never took it.
#[test]
fn a_sleeper_is_woken_by_whoever_gives_it_back() {
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let token = Token::options().held(true).wait(wait).anonymous().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| token.acquire().unwrap());
            if wait == Wait::Park {
                while look(&token).waiting.sleeps == 0 {
                    std::thread::yield_now();
                }
            }
            token.release().unwrap();
            assert!(!waiting.join().unwrap().was_recovered());
        });
        assert!(token.holder_is_me());
    }
}

#[test]
fn threads_take_turns() {
    let token = Token::anonymous().unwrap();
    let inside = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for wait in [Wait::Park, Wait::Adaptive, Wait::Spin, Wait::Adaptive] {
            let (token, inside) = (token.with_wait(wait), &inside);
            scope.spawn(move || {
                for _ in 0..1000 {
                    token.acquire().unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_add(u64::MAX, Ordering::SeqCst);
                    token.release().unwrap();
                }
            });
        }
    });
    assert!(!token.is_held());
}

/// Dropping the last handle is an orderly end; a panic that does it is none.
#[test]
fn the_last_handle_hands_over_and_a_panic_does_not() {
    for panics in [false, true] {
        let token = Token::anonymous().unwrap();
        let fd = token.as_fd().try_clone_to_owned().unwrap();
        let other = token.clone();
        token.acquire().unwrap();
        drop(token);
        assert!(other.holder_is_me(), "it was not the last");
        if panics {
            let ended = std::thread::spawn(move || {
                let _moved = other;
                std::panic::resume_unwind(Box::new(()));
            });
            ended.join().unwrap_err();
        } else {
            drop(other);
        }
        let token = Token::from_fd(fd).unwrap();
        assert_eq!(token.is_held(), !panics);
        assert_eq!(look(&token).holder_died, panics);
        assert_eq!(token.recovered(), panics.into());
        if !panics {
            assert_eq!(look(&token).state, TokenState::HandedOver);
            token.release().unwrap();
        }
        assert_eq!(token.try_acquire().unwrap().was_recovered(), panics);
        assert_eq!(look(&token).holder_died, panics, "until it is given back");
        token.release().unwrap();
        assert!(!token.try_acquire().unwrap().was_recovered(), "told once");
    }
}

#[test]
fn in_an_arena_the_last_handle_hands_over_too() {
    let arena = Arena::anonymous(1 << 16).unwrap();
    let other = Arena::from_fd(arena.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let token = Token::options().create_in(&arena).unwrap();
    let again = Token::options().open_in(&other, token.place().unwrap()).unwrap();
    token.acquire().unwrap();
    assert!(matches!(
        Mutex::<()>::options().open_in(&arena, token.place().unwrap()),
        Err(Error::WrongKind { .. })
    ));
    drop(token);
    assert!(again.holder_is_me(), "it was not the last");
    assert!(again.hand_over() && !again.hand_over());
    assert!(again.is_held());
    again.release().unwrap();
    let held = Token::options().held(true).create_in(&arena).unwrap();
    assert!(held.is_held());
    assert_eq!(arena.len(), 2);
}

#[test]
fn one_capacity_is_the_only_one() {
    assert!(Token::options().capacity(1).anonymous().is_ok());
    assert!(matches!(Token::options().capacity(2).anonymous(), Err(Error::BadCapacity { asked: 2, .. })));
}

#[test]
fn a_scribbled_word_is_an_error_or_a_dead_ones() {
    let token = Token::anonymous().unwrap();
    for nonsense in [9, 1 << 16, 2 << 16 | 7, 5 << 16, u64::MAX] {
        super::scribble(&token, 0, nonsense);
        assert!(matches!(token.acquire(), Err(AcquireError::Corrupt(why)) if why.found == nonsense));
        assert!(matches!(token.try_acquire(), Err(AcquireError::Corrupt(_))));
        assert!(matches!(token.release(), Err(ReleaseError::Corrupt(why)) if why.found == nonsense));
        assert!(!token.is_held() && !token.holder_is_me() && !token.hand_over());
        assert_eq!(look(&token).state, TokenState::Nonsense);
    }
    super::scribble(&token, 0, 1 << 16 | 60_000);
    assert!(token.try_acquire().unwrap().was_recovered(), "nobody can be that");
    assert_eq!(token.recovered(), 1);
}

//! Tokens: whoever dies with one leaves it to the next, who is told; what was handed over stays held; and whoever dies while
//! he gives one back, his own or another's, has done it or has not.

use super::locks::{in_places, leak, look, needs_a_nudge, until_asleep};
use super::pooled::sleep_until_woken;
use crate::process::{Process, give_way, killed_elsewhere, patience, pause};
use crate::scenario::{Death, Scenario, operation};
use ringway::inspect::{self, Detail, TokenState};
use ringway::{AcquireError, Arena, Place, ReleaseError, Token, Wait};

type Handle = &'static Token;

const NAME: &str = "token";
const OTHER: &str = "other-token";
const ARENA: &str = "tokens";

fn create_as(name: &str, places: u16) -> Handle {
    leak(Token::options().participants(places).wait(Wait::Park).create(name).unwrap())
}

fn create(places: u16) -> Handle {
    create_as(NAME, places)
}

fn open_again() -> Token {
    Token::options().wait(Wait::Park).open(NAME).unwrap()
}

fn open() -> Handle {
    leak(open_again())
}

fn look_at_it() -> inspect::Token {
    match look(NAME) {
        Detail::Token(token) => token,
        other => panic!("{other:?}"),
    }
}

/// Whether the last holder died with it, or nobody had it.
fn acquire(token: &Token) -> bool {
    token.acquire_timeout(patience()).unwrap().was_recovered()
}

/// Nobody who lives has it. Returns whether the last holder died with it, which is told once.
fn must_be_free(token: Handle) -> bool {
    let told = acquire(token);
    assert!(matches!(token.try_acquire(), Err(AcquireError::WouldBlock)), "two have it");
    assert!(token.holder_is_me());
    token.release().unwrap();
    assert!(matches!(token.release(), Err(ReleaseError::TooMany { bound: 1 })));
    in_places(2, &|_| open(), &|other: &Handle| {
        assert!(!acquire(other), "told twice");
        assert!(matches!(token.try_acquire(), Err(AcquireError::WouldBlock)), "two have it");
        other.release().unwrap();
    });
    assert_eq!(look_at_it().state, TokenState::Free);
    ringway::unlink(NAME).unwrap();
    told
}

/// The victim had it, and perhaps has handed it over: then it stays held until it is given back here. Else this is told.
fn was_handed_over(token: &Token) -> bool {
    match token.try_acquire() {
        Ok(taken) => {
            assert!(taken.was_recovered(), "given back by nobody");
            false
        }
        Err(AcquireError::WouldBlock) => {
            assert!(token.is_held() && token.recovered() == 0);
            token.release().unwrap();
            assert!(!acquire(token), "told of a death that was none");
            true
        }
        Err(error) => panic!("{error}"),
    }
}

/// One dies who has it.
fn die_with_it() {
    killed_elsewhere(|| open().acquire().unwrap());
}

/// One asleep who has it.
fn holder() -> Process {
    let holder = Process::start("one that dies before", move || {
        open().acquire().unwrap();
        loop {
            pause();
        }
    });
    holder.until_asleep();
    holder
}

/// A process that waits until somebody has it, then takes it, and gives it back. Its result: whether the holder had died.
fn sleeper() -> Process {
    Process::start("the sleeper", || {
        let token = open();
        while !token.is_held() {
            give_way();
        }
        let told = token.acquire().unwrap().was_recovered();
        token.release().unwrap();
        vec![told.into()]
    })
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = alone();
    all.extend(heirs());
    all.extend(those_who_end());
    all.extend(those_who_wait());
    all.extend(wakers());
    all
}

fn alone() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "token/acquire",
            || create(3),
            |_| {
                let token = open();
                operation(|| token.acquire().unwrap());
            },
            |token, death: Death| {
                let told = must_be_free(token);
                assert!(told || !death.after, "nobody said that he had died with it");
                told.into()
            },
        ),
        Scenario::new(
            "token/release",
            || create(3),
            |_| {
                let token = open();
                token.acquire().unwrap();
                operation(|| token.release().unwrap());
            },
            |token, death: Death| {
                let told = must_be_free(token);
                assert!(!told || !death.after, "given back, and yet told to be of the dead");
                (!told).into()
            },
        ),
        // Who gives it back has never had it; who has it lives.
        Scenario::new(
            "token/release-of-another",
            || {
                let token = create(3);
                token.acquire().unwrap();
                token
            },
            |_| {
                let token = open();
                operation(|| token.release().unwrap());
            },
            |token, death| {
                let given = !token.is_held();
                assert!(given || token.holder_is_me() && !death.after);
                if !given {
                    token.release().unwrap();
                }
                assert!(!must_be_free(token), "nobody died with it");
                given.into()
            },
        ),
        Scenario::new(
            "token/release-free",
            || create(3),
            |_| {
                let token = open();
                operation(|| assert!(matches!(token.release(), Err(ReleaseError::TooMany { .. }))));
            },
            |token, _| {
                assert!(!must_be_free(token), "nobody died with it");
                0
            },
        ),
        Scenario::new(
            "token/try-acquire-held",
            || {
                let token = create(3);
                token.acquire().unwrap();
                token
            },
            |_| {
                let token = open();
                operation(|| assert!(matches!(token.try_acquire(), Err(AcquireError::WouldBlock))));
            },
            |token, _| {
                assert!(token.holder_is_me());
                token.release().unwrap();
                assert!(!must_be_free(token), "nobody died with it");
                0
            },
        ),
    ]
}

/// Of what the dead had.
fn heirs() -> Vec<Scenario> {
    let told_anyway = |token: Handle, _| {
        let recovered = token.recovered();
        assert!(must_be_free(token), "nobody said that somebody had died with it");
        recovered
    };
    vec![
        Scenario::new(
            "token/take-from-dead",
            || create(3),
            |_| {
                let token = open();
                die_with_it();
                operation(|| assert!(token.acquire().unwrap().was_recovered()));
            },
            told_anyway,
        ),
        Scenario::new(
            "token/release-of-dead",
            || create(3),
            |_| {
                let token = open();
                die_with_it();
                operation(|| token.release().unwrap());
            },
            |token, death| {
                let given = !must_be_free(token);
                assert!(given || !death.after);
                given.into()
            },
        ),
        // That of his own index, which it took over with it.
        Scenario::new(
            "token/acquire-swept",
            || {
                let token = create(3);
                die_with_it();
                token
            },
            |_| {
                let token = open();
                operation(|| assert!(token.try_acquire().unwrap().was_recovered()));
            },
            // It had come back when the victim came.
            move |token, death| told_anyway(token, death) - 1,
        ),
        // In his place: it is back already when it has come.
        Scenario::new(
            "token/sweep",
            || {
                let token = create(3);
                die_with_it();
                token
            },
            |_| {
                super::ring::know_oneself();
                let _ = operation(open);
            },
            told_anyway,
        ),
    ]
}

/// The victim ends in good order, or dies while it tries.
fn those_who_end() -> Vec<Scenario> {
    let handed_over = |token: Handle, death: Death| {
        let handed = was_handed_over(token);
        assert!(handed || !death.after, "not left in good order");
        token.release().unwrap();
        assert!(!must_be_free(token));
        u64::from(handed)
    };
    vec![
        Scenario::new(
            "token/hand-over",
            || create(3),
            |_| {
                let token = open();
                token.acquire().unwrap();
                operation(|| assert!(token.hand_over()));
            },
            handed_over,
        ),
        // With its last handle.
        Scenario::new(
            "token/drop-held",
            || create(3),
            |_| {
                let token = open_again();
                token.acquire().unwrap();
                operation(|| drop(token));
            },
            handed_over,
        ),
        Scenario::new(
            "token/hand-over-all",
            || (create(3), create_as(OTHER, 3)),
            |_| {
                let tokens = [open(), leak(Token::open(OTHER).unwrap())];
                tokens.iter().for_each(|token| assert!(!acquire(token)));
                operation(|| assert_eq!(Token::hand_over_all(), 2));
            },
            move |(token, other), death| {
                let handed = u64::from(was_handed_over(other));
                ringway::unlink(OTHER).unwrap();
                handed + handed_over(token, death)
            },
        ),
        Scenario::new(
            "token/hand-over-arena",
            || {
                let arena = leak(Arena::options().capacity(1 << 16).participants(3).create(ARENA).unwrap());
                let token = || Token::options().create_in(arena).unwrap();
                (leak([token(), token(), token()]), arena)
            },
            |(tokens, _)| {
                let places = tokens.each_ref().map(|token| token.place().unwrap());
                let arena = leak(Arena::open(ARENA).unwrap());
                let open = |place: Place| Token::options().open_in(arena, place).unwrap();
                let tokens = leak(places.map(open));
                tokens.iter().for_each(|token| assert!(!acquire(token)));
                operation(|| assert_eq!(Token::hand_over_all(), 3));
            },
            |(tokens, arena), death| {
                let handed = tokens.iter().filter(|token| was_handed_over(token)).count();
                assert!(handed == 3 || !death.after);
                tokens.iter().for_each(|token| token.release().unwrap());
                assert!(tokens.iter().all(|token| !acquire(token)), "told twice");
                arena.clean().unwrap();
                assert_eq!(arena.len(), 3);
                ringway::unlink(ARENA).unwrap();
                handed as u64
            },
        ),
    ]
}

fn those_who_wait() -> Vec<Scenario> {
    vec![
        Scenario::with_partner(
            "token/acquire-asleep",
            || {
                let token = create(3);
                token.acquire().unwrap();
                (token, true)
            },
            |_| {
                let token = open();
                operation(|| token.acquire().unwrap());
            },
            |(token, is_held)| {
                if std::mem::take(is_held) {
                    token.release().unwrap();
                }
            },
            |(token, is_held), death| {
                if is_held {
                    token.release().unwrap();
                }
                let told = must_be_free(token);
                assert!(told || !death.after);
                told.into()
            },
        )
        .with_a_short_cut(),
        // Nobody wakes it: it finds out at the end of a slice.
        Scenario::with_partner(
            "token/owner-dies-while-asleep",
            || (create(3), Some(holder())),
            |_| {
                let token = open();
                operation(|| assert!(token.acquire().unwrap().was_recovered()));
            },
            |(_, owner)| owner.take().into_iter().for_each(Process::kill),
            |(token, owner), _| {
                owner.into_iter().for_each(Process::kill);
                assert!(must_be_free(token));
                0
            },
        )
        .with_a_short_cut(),
    ]
}

/// The victim wakes who waits for it. If it died first, he finds out at the end of a slice; where sleeps have none, another
/// takes it and gives it back.
fn wakers() -> Vec<Scenario> {
    let nudge = |token: Handle, after: bool| {
        if needs_a_nudge(after) {
            acquire(token);
            token.release().unwrap();
        }
    };
    vec![
        Scenario::new(
            "token/release-wakes",
            || {
                sleep_until_woken();
                (create(4), sleeper())
            },
            |(_, sleeper)| {
                let token = open();
                token.acquire().unwrap();
                until_asleep(std::slice::from_ref(&sleeper), || look_at_it().awaited);
                operation(|| token.release().unwrap());
            },
            move |(token, sleeper), death| {
                nudge(token, death.after);
                let told = sleeper.join()[0];
                assert!(told == 0 || !death.after, "given back, and yet told to be of the dead");
                let given = token.recovered() == 0;
                assert!(given || !death.after);
                assert!(!must_be_free(token));
                given.into()
            },
        ),
        Scenario::new(
            "token/sweep-wakes",
            || {
                sleep_until_woken();
                let (token, dead) = (create(4), holder());
                let sleeper = sleeper();
                until_asleep(std::slice::from_ref(&sleeper), || look_at_it().awaited);
                dead.kill();
                (token, sleeper)
            },
            |_| {
                super::ring::know_oneself();
                let _ = operation(open);
            },
            move |(token, sleeper), death| {
                nudge(token, death.after);
                // If not him, then who nudged.
                let told = sleeper.join()[0];
                assert!(told == 1 || cfg!(ringway_instruments));
                assert!(!must_be_free(token), "told twice");
                0
            },
        )
        .in_company(),
    ]
}

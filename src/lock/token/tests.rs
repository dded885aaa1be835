//! A token on its own, without loom.

use super::*;
use crate::lock::word::STATE_BITS;
use crate::wait::Wait;
use std::cell::Cell;
use std::time::Duration;

const ME: u16 = 3;
const OTHER: u16 = 65_535;

fn barrier() -> Barrier {
    Barrier::of_this_process()
}

fn state_of(token: &Token) -> (Option<TokenState>, u16, bool) {
    let word = token.read();
    (word.state(), word.owner(), word.was_recovered())
}

fn take(token: &Token, me: u16, deadline: Deadline, dead: impl Fn(u16) -> bool) -> Result<bool, TakeError> {
    token.take(me, &mut Waiter::new(Wait::Adaptive), barrier(), deadline, dead)
}

#[test]
fn it_is_taken_once_and_given_back_by_anybody() {
    let token = Token::new();
    assert_eq!(token.give(barrier()), Err(GiveError::Free));
    assert!(token.try_take_plain(ME));
    assert!(!token.try_take_plain(ME), "threads of one process exclude each other too");
    assert!(matches!(token.try_take(OTHER), Err(TakeError::Held(seen)) if seen.owner() == ME));
    assert_eq!(token.give(barrier()), Ok(()));
    assert_eq!(token.give(barrier()), Err(GiveError::Free));
    assert_eq!(token.try_take(OTHER), Ok(false));
    assert_eq!(state_of(&token), (Some(TokenState::Held), OTHER, false));
    assert_eq!(token.recovered(), 0);
}

#[test]
fn no_word_recurs() {
    let token = Token::new();
    let mut seen = std::collections::HashSet::from([token.read().to_bits()]);
    for round in 0..100 {
        assert_eq!(token.try_take(ME), Ok(round > 0));
        assert!(seen.insert(token.read().to_bits()));
        assert!(token.hand_over(ME));
        assert!(seen.insert(token.read().to_bits()));
        token.give(barrier()).unwrap();
        assert!(seen.insert(token.read().to_bits()));
        assert!(token.try_take_plain(OTHER));
        assert!(seen.insert(token.read().to_bits()));
        token.sweep(OTHER, barrier());
        assert!(seen.insert(token.read().to_bits()));
    }
    assert_eq!(token.recovered(), 100);
}

#[test]
fn the_dead_are_taken_over_once_and_by_their_exact_word() {
    let token = Token::new();
    assert!(token.try_take_plain(OTHER));
    let seen = token.read();
    assert!(token.take_over(seen, ME));
    assert!(!token.take_over(seen, 7), "somebody else was faster");
    assert_eq!(state_of(&token), (Some(TokenState::Held), ME, true));
    // Another death before it was given back: told again.
    token.sweep(ME, barrier());
    assert_eq!(state_of(&token), (Some(TokenState::Free), 0, true));
    assert!(!token.try_take_plain(7), "told by the long way only");
    assert_eq!(token.try_take(7), Ok(true));
    token.give(barrier()).unwrap();
    assert_eq!(token.try_take(7), Ok(false), "told once");
    assert_eq!(token.recovered(), 2);
}

#[test]
fn what_was_handed_over_outlives_everybody() {
    let token = Token::new();
    assert!(!token.hand_over(ME), "nobody has it");
    assert!(token.try_take_plain(OTHER));
    assert!(!token.hand_over(ME), "another has it");
    assert!(token.hand_over(OTHER) && !token.hand_over(OTHER));
    assert_eq!(state_of(&token), (Some(TokenState::Handed), 0, false));
    token.sweep(OTHER, barrier());
    assert!(!token.take_from_dead(ME, |_| unreachable!("asked after nobody")));
    assert_eq!(take(&token, ME, Deadline::NOW, |_| true), Err(TakeError::TimedOut));
    assert_eq!(token.give(barrier()), Ok(()));
    assert_eq!(token.try_take(ME), Ok(false));
    assert_eq!(token.recovered(), 0);
}

#[test]
fn it_can_be_held_from_the_first() {
    let token = Token::new();
    token.initialise_held();
    assert_eq!(state_of(&token), (Some(TokenState::Handed), 0, false));
    assert_eq!(token.give(barrier()), Ok(()));
    assert!(token.try_take_plain(ME));
}

#[test]
fn a_dead_holder_costs_one_question_and_no_sleep() {
    let token = Token::new();
    assert!(token.try_take_plain(1));
    let asked = Cell::new(0);
    let dead = |who| {
        asked.set(asked.get() + 1);
        who == 1
    };
    assert_eq!(take(&token, 2, Deadline::NEVER, dead), Ok(true));
    assert_eq!((asked.get(), token.waiting().counts().1), (1, 0));
}

#[test]
fn nobody_asks_whether_he_is_dead_himself() {
    let token = Token::new();
    assert!(token.try_take_plain(ME));
    let soon = Deadline::after(Duration::from_millis(1));
    let refused = take(&token, ME, soon, |_| unreachable!("asked about the asker"));
    assert_eq!(refused, Err(TakeError::TimedOut));
}

#[test]
fn the_count_wraps_into_nothing_else() {
    let token = Token { word: AtomicU64::new(!(ACQUISITION - 1)), ..Token::new() };
    assert!(token.try_take_plain(ME));
    assert_eq!(state_of(&token), (Some(TokenState::Held), ME, false));
    token.give(barrier()).unwrap();
    assert_eq!(token.read().to_bits(), ACQUISITION);
}

/// Every combination of the low bits ends in an answer, and only consistent ones in a grant.
#[test]
fn scribbled_words_are_refused() {
    for low in 0..1_u64 << (STATE_BITS + 1) {
        for owner in [0, 1, u64::from(ME), 0xffff] {
            let raw = (7 * ACQUISITION) | (low << OWNER_BITS) | owner;
            let legal = TokenWord(raw).state().is_some();
            let scribbled = || Token { word: AtomicU64::new(raw), ..Token::new() };
            let token = scribbled();
            assert!(legal || !token.try_take_plain(ME));
            match token.try_take(ME) {
                Err(TakeError::Corrupt(word)) => assert!(!legal && word == raw),
                _ => assert!(legal, "{:?}", TokenWord(raw)),
            }
            let token = scribbled();
            match token.give(barrier()) {
                Err(GiveError::Corrupt(word)) => assert!(!legal && word == raw),
                _ => assert!(legal, "{:?}", TokenWord(raw)),
            }
            let token = scribbled();
            token.sweep(owner as u16, barrier());
            let moved = token.hand_over(owner as u16) || token.take_from_dead(9, |_| true);
            assert!(legal || !moved && token.read().to_bits() == raw);
        }
    }
}

#[test]
fn threads_of_several_processes_take_turns() {
    let (token, inside) = (Token::new(), Cell::new(0_u32));
    struct Shared<'a>(&'a Cell<u32>);
    // SAFETY: only the holder of the token touches the cell, which is what is tested.
    unsafe impl Sync for Shared<'_> {}
    let (inside, token) = (&Shared(&inside), &token);
    std::thread::scope(|scope| {
        for me in 1..=4 {
            scope.spawn(move || {
                let inside = inside;
                let mut waiter = Waiter::unsliced(Wait::Adaptive);
                for _ in 0..2_000 {
                    // Two threads for each index.
                    let me = 1 + me / 2;
                    if !token.try_take_plain(me) {
                        let taken = token.take(me, &mut waiter, barrier(), Deadline::NEVER, |_| false);
                        assert_eq!(taken, Ok(false));
                    }
                    inside.0.set(inside.0.get() + 1);
                    token.give(barrier()).unwrap();
                }
            });
        }
    });
    assert_eq!(inside.0.get(), 8_000);
}

//! Tokens between real processes: taken by one, given back by another, taken back from those who are killed, and left held
//! by those who end in good order.

use process_tests::support::{Test, rounds};
use process_tests::test;
use ringway::inspect::{self, Detail, TokenState};
use ringway::{AcquireError, ReleaseError, Token, Value, Wait};
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Longer than any slice of a sleep.
const LATER: Duration = Duration::from_millis(250);

fn create(test: &Test) -> (String, Token) {
    let path = test.path("token");
    let token = Token::create(&path).unwrap();
    (path, token)
}

fn look(path: &str) -> inspect::Token {
    match inspect::stat(path).unwrap().detail {
        Detail::Token(token) => token,
        other => panic!("no token: {other:?}"),
    }
}

#[test]
fn whoever_comes_after_a_killed_holder_is_told() {
    let test = test!("token-holder");
    let (path, token) = create(&test);
    for round in 1..=rounds() / 6 {
        let mut holder = test.start(&format!("token {path} take mine hang"));
        holder.expect("taken");
        holder.expect("true");
        assert!(matches!(token.try_acquire(), Err(AcquireError::WouldBlock)));
        assert!(
            matches!(look(&path).state, TokenState::Held(who) if who.pid == Some(holder.pid()) && who.alive)
        );
        assert!(token.is_held() && !token.holder_is_me());
        holder.kill();
        holder.was_killed();
        assert!(matches!(look(&path).state, TokenState::Held(who) if !who.alive));
        assert!(token.acquire().unwrap().was_recovered());
        assert!(token.holder_is_me() && look(&path).holder_died);
        assert_eq!(token.recovered(), round);
        token.release().unwrap();
        assert!(!token.acquire().unwrap().was_recovered(), "told once");
        token.release().unwrap();
        assert_eq!((look(&path).state, look(&path).holder_died), (TokenState::Free, false));
    }
}

#[test]
fn whoever_waits_when_the_holder_is_killed_gets_it() {
    let test = test!("token-waiter");
    let (path, _token) = create(&test);
    for _ in 0..rounds() / 12 {
        let mut holder = test.start(&format!("token {path} take hang"));
        holder.expect("taken");
        let mut waiting = [(); 2].map(|()| test.start(&format!("token {path} take release")));
        waiting.iter().for_each(|waiting| waiting.until_asleep());
        holder.kill();
        let mut lines = waiting.each_mut().map(|waiting| waiting.line());
        lines.sort_unstable();
        assert_eq!(lines, ["recovered", "taken"], "told once");
        waiting.into_iter().for_each(|mut waiting| {
            waiting.expect("released");
            waiting.succeed();
        });
        holder.was_killed();
    }
}

/// One that is told, and dies before it has given it back: the next one is told as well.
#[test]
fn a_second_death_is_told_too() {
    let test = test!("token-second");
    let (path, token) = create(&test);
    let mut first = test.start(&format!("token {path} take hang"));
    first.expect("taken");
    let mut second = test.start(&format!("token {path} take hang"));
    second.until_asleep();
    first.kill();
    second.expect("recovered");
    second.kill();
    assert!(token.acquire().unwrap().was_recovered());
    assert_eq!(token.recovered(), 2);
    first.was_killed();
    second.was_killed();
}

#[test]
fn a_killed_waiter_takes_nothing_along() {
    let test = test!("token-waiting");
    let (path, token) = create(&test);
    for round in 0..rounds() / 12 {
        token.acquire().unwrap();
        let [first, mut second] = [(); 2].map(|()| test.start(&format!("token {path} take release")));
        first.until_asleep();
        second.until_asleep();
        if round % 2 == 0 {
            first.kill();
            token.release().unwrap();
        } else {
            // The wake-up may go to the one that is killed.
            token.release().unwrap();
            first.kill();
        }
        let line = second.line();
        assert!(line == "taken" || line == "recovered", "{line}");
        second.expect("released");
        second.succeed();
        first.was_killed_or_done();
        token.acquire().unwrap();
        token.release().unwrap();
    }
}

/// The idiom of Python's locks: a child takes it and ends; its parent gives it back.
#[test]
fn who_ends_in_good_order_leaves_it_held() {
    let test = test!("token-handover");
    let (path, token) = create(&test);
    for end in ["handover exit", "all exit", "drop exit", "mine", "handover hang", "all hang"] {
        let mut holder = test.start(&format!("token {path} take {end}"));
        holder.expect("taken");
        match &end[..2] {
            "ha" => holder.expect("handed"),
            "al" => holder.expect("1"),
            "mi" => holder.expect("true"), // then it returns from `main`, and drops its handle
            _ => {}
        }
        if end.ends_with("hang") {
            // Even a kill does not bring it back then.
            holder.kill();
            holder.was_killed();
        } else {
            holder.succeed();
        }
        assert_eq!(look(&path).state, TokenState::HandedOver, "{end}");
        assert!(token.is_held() && !token.holder_is_me() && !token.hand_over(), "{end}");
        assert!(matches!(token.acquire_timeout(LATER), Err(AcquireError::Timeout)), "{end}");
        let mut waiting = test.start(&format!("token {path} take release"));
        waiting.until_asleep();
        token.release().unwrap();
        waiting.expect("taken");
        waiting.expect("released");
        waiting.succeed();
        assert_eq!(token.recovered(), 0, "{end}");
    }
}

#[test]
fn who_ends_otherwise_has_crashed() {
    let test = test!("token-crash");
    let (path, token) = create(&test);
    for (deaths, end) in (1..).zip(["exit", "panic", "exec"]) {
        let mut holder = test.start(&format!("token {path} take {end}"));
        holder.expect("taken");
        match end {
            "panic" => holder.expect("panicked"),
            "exec" => holder.expect("idle"),
            _ => {}
        }
        assert!(token.acquire().unwrap().was_recovered(), "{end}");
        assert_eq!(token.recovered(), deaths);
        token.release().unwrap();
        holder.succeed();
    }
}

/// Whoever gives it back need not be who took it, who lives on, and whose death means nothing any more.
#[test]
fn another_gives_it_back() {
    let test = test!("token-other");
    let (path, token) = create(&test);
    let mut holder = test.start(&format!("token {path} take wait mine handover all hang"));
    holder.expect("taken");
    let mut waiting = test.start(&format!("token {path} take wait release release"));
    waiting.until_asleep();
    let mut giving = test.start(&format!("token {path} release hang"));
    giving.expect("released");
    waiting.expect("taken");
    holder.go();
    holder.expect("false");
    holder.expect("not mine");
    holder.expect("0");
    holder.kill();
    holder.was_killed();
    giving.kill();
    giving.was_killed();
    assert!(matches!(token.acquire_timeout(LATER), Err(AcquireError::Timeout)));
    waiting.go();
    waiting.expect("released");
    waiting.expect("free");
    waiting.succeed();
    assert_eq!(token.release(), Err(ReleaseError::TooMany { bound: 1 }));
    assert_eq!((token.acquire().unwrap().was_recovered(), token.recovered()), (false, 0));
}

/// Somebody gives back what a dead one had before anybody has noticed: it is just given back.
#[test]
fn what_a_dead_one_had_can_be_given_back() {
    let test = test!("token-dead");
    let (path, token) = create(&test);
    let mut holder = test.start(&format!("token {path} take hang"));
    holder.expect("taken");
    holder.kill();
    holder.was_killed();
    token.release().unwrap();
    assert!(!token.acquire().unwrap().was_recovered());
    assert_eq!(token.recovered(), 0);
}

/// A new process takes the index of a dead holder before anybody has noticed.
#[test]
fn the_heir_of_an_index_sweeps() {
    let test = test!("token-heir");
    let path = test.path("token");
    let token = Token::options().participants(2).create(&path).unwrap();
    let mut holder = test.start(&format!("token {path} take hang"));
    holder.expect("taken");
    holder.kill();
    holder.was_killed();
    let mut heir = test.start(&format!("token {path} ready mine take mine wait release"));
    heir.expect("ready");
    heir.expect("false");
    heir.expect("recovered");
    heir.expect("true");
    assert!(matches!(token.try_acquire(), Err(AcquireError::WouldBlock)));
    heir.go();
    heir.expect("released");
    heir.succeed();
    assert_eq!((token.acquire().unwrap().was_recovered(), token.recovered()), (false, 1));
}

#[test]
fn a_stopped_holder_keeps_it() {
    let test = test!("token-stopped");
    let (path, token) = create(&test);
    let mut holder = test.start(&format!("token {path} take wait release"));
    holder.expect("taken");
    holder.stop();
    assert!(matches!(token.acquire_timeout(LATER), Err(AcquireError::Timeout)));
    holder.signal(libc::SIGCONT);
    holder.go();
    assert!(!token.acquire().unwrap().was_recovered());
    holder.expect("released");
    holder.succeed();
}

/// A library closes all descriptors of its process. That is not the end of it, nor does it keep it from a good one.
#[test]
fn closed_descriptors_are_no_death() {
    let test = test!("token-blind");
    let token = Token::anonymous().unwrap();
    let start = |script: &str| {
        let mut command = test.command(&format!("token inherit:TOKEN {script}"));
        token.inherit(&mut command, "TOKEN").unwrap();
        test.spawn(&mut command)
    };
    let mut holder = start("take blind wait all hang");
    holder.expect("taken");
    holder.expect("blind");
    assert!(matches!(token.acquire_timeout(LATER), Err(AcquireError::Timeout)));
    holder.go();
    holder.expect("1");
    holder.kill();
    holder.was_killed();
    assert!(matches!(token.acquire_timeout(LATER), Err(AcquireError::Timeout)));
    token.release().unwrap();
    let mut holder = start("blind take hang");
    holder.expect("blind");
    holder.expect("taken");
    holder.kill();
    assert!(token.acquire().unwrap().was_recovered());
    holder.was_killed();
}

/// Four processes take turns, and are killed at random: nobody is ever inside with another, and no death inside goes unsaid.
#[test]
fn four_take_turns_and_some_are_killed() {
    let test = test!("token-four");
    let (path, token) = create(&test);
    let inside = Value::create(&format!("{path}.inside"), 0_u64).unwrap();
    for round in 0..rounds() / 4 {
        let counters = [(); 2].map(|()| test.start(&format!("token {path} count:200")));
        let racers = [(); 2].map(|()| test.start(&format!("token {path} race")));
        for (racer, pause) in racers.into_iter().zip([round * 13 % 40, 7]) {
            for _ in 0..=pause {
                if token.acquire().unwrap().was_recovered() {
                    inside.store(0);
                }
                assert_eq!(inside.swap(1), 0, "two are inside, or one died there and nobody said so");
                inside.store(0);
                token.release().unwrap();
            }
            racer.kill();
            racer.was_killed();
        }
        for mut counter in counters {
            counter.expect("counted");
            counter.succeed();
        }
    }
    token.acquire().unwrap();
    assert!(token.recovered() <= 2 * rounds() / 4, "recovered from more than died");
}

#[test]
fn a_child_does_not_own_what_its_parent_holds() {
    test!("token-fork").start("tokenfork").succeed();
}

#[test]
fn a_thousand_in_an_arena_are_handed_over() {
    test!("token-arena").start("tokenarena").succeed();
}

#[test]
fn threads_come_and_go_while_all_is_handed_over() {
    test!("token-threads").start("tokenthreads").succeed();
}

/// A peer writes nonsense over it: every call ends.
#[test]
fn a_scribbling_peer_ends_nothing_but_the_agreement() {
    let test = test!("token-hostile");
    let path = test.path("token");
    // Behind the header and the rows of 254 participants.
    const AT: u64 = 4096 + 4 * 4096;
    let token = Token::options().trusted(false).wait(Wait::Park).create(&path).unwrap();
    let mut scribbler = test.start(&format!("scribble {path} {AT} 40 7"));
    scribbler.expect("scribbling");
    let mut ends = BTreeSet::new();
    for round in 0..3000 {
        let taken = match round % 3 {
            0 => token.try_acquire(),
            1 => token.acquire_timeout(Duration::from_micros(200)),
            _ => token.acquire_timeout(Duration::ZERO),
        };
        ends.insert(match taken {
            Ok(taken) if taken.was_recovered() => "recovered",
            Ok(_) => "taken",
            Err(AcquireError::Corrupt(_)) => "corrupt",
            Err(AcquireError::Timeout | AcquireError::WouldBlock) => "refused",
            Err(other) => panic!("{other}"),
        });
        ends.insert(match token.release() {
            Ok(()) => "released",
            Err(ReleaseError::TooMany { .. }) => "free",
            Err(ReleaseError::Corrupt(_)) => "not released",
            Err(other) => panic!("{other}"),
        });
        token.hand_over();
        inspect::stat(&path).unwrap();
    }
    scribbler.kill();
    scribbler.was_killed();
    assert!(ends.len() > 3, "{ends:?}");
    // Put in order again, it is as good as new.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 40], AT).unwrap();
    token.acquire().unwrap();
    token.release().unwrap();
}

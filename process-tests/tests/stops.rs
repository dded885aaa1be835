//! A stopped peer is not dead; one that is gone wakes who waits for it, however it went.

use process_tests::ends::{BOTH, How, Refusal, Ring, Rx, Tx};
use process_tests::support::{Test, sleeps, until_asleep, wakes};
use process_tests::test;
use ringway::{Deadline, Error, Wait};
use std::time::Duration;

fn word(ring: Ring) -> &'static str {
    if ring == Ring::Typed { "typed" } else { "numbered" }
}

/// Long enough for every check of who is alive that a sleeper makes, several times.
const A_WHILE: Duration = Duration::from_millis(250);

#[test]
fn a_stopped_producer_is_not_dead() {
    let test = test!("stop-producer");
    for (ring, wait) in [(BOTH[0], Wait::Park), (BOTH[1], Wait::Adaptive), (BOTH[0], Wait::Spin)] {
        let path = test.path("ring");
        let mut rx = Rx::attach(ring, How::Create(&path, 4096), wait, None).unwrap();
        let mut tx = test.start(&format!("tx {} open:{path} park ready stream:0", word(ring)));
        tx.expect("ready");
        let mut last = None;
        for _ in 0..3 {
            last = Some(rx.recv(None, Deadline::NEVER).unwrap());
            tx.stop();
            let (to, refusal) = rx.drain(last, Deadline::after(A_WHILE));
            assert_eq!(refusal, Refusal::Timeout);
            let taken = Tx::attach(ring, How::Open(&path), wait, None).map(drop);
            assert!(matches!(taken, Err(Error::RoleTaken { pid, .. }) if pid == tx.pid()), "{taken:?}");
            tx.signal(libc::SIGCONT);
            // It goes on where it stopped.
            let next = to.map_or(0, |to| to + 1);
            assert_eq!(rx.recv(Some(next), Deadline::NEVER), Ok(next));
            last = Some(next);
        }
        assert!(last.is_some());
    }
}

#[test]
fn a_stopped_consumer_is_not_dead() {
    let test = test!("stop-consumer");
    for ring in BOTH {
        let path = test.path("ring");
        let mut tx = Tx::attach(ring, How::Create(&path, 4096), Wait::Park, None).unwrap();
        let mut rx = test.start(&format!("rx {} open:{path} park ready drain", word(ring)));
        rx.expect("ready");
        rx.stop();
        let (number, refusal) = tx.fill(0);
        assert_eq!(refusal, Refusal::Timeout);
        assert_eq!(tx.send(number, Deadline::after(A_WHILE)), Err(Refusal::Timeout));
        rx.signal(libc::SIGCONT);
        assert_eq!(tx.send(number, Deadline::NEVER), Ok(()));
        drop(tx);
        rx.expect(&format!("{number} closed"));
        rx.succeed();
    }
}

/// How often somebody may have looked around by himself in the very moment in which he would have been woken.
const CHANCES: u32 = 20;

/// Waits in the kernel for a peer that is idle, until `ending` has ended it: then the ring is closed.
fn sleeper(test: &Test, ring: Ring, wait: Wait, ending: &str) {
    for consuming in [true, false] {
        // The dead wake nobody, but one that lets go does not leave it to the sleeper to find out.
        let must_wake = ending.starts_with("drop");
        let wakes = (0..CHANCES).any(|_| wakes_when(test, ring, wait, ending, consuming) || !must_wake);
        assert!(wakes, "{ring:?} {wait:?} {ending}, {}", if consuming { "consuming" } else { "producing" });
    }
}

/// The same for one side. Whether it was woken, and did not find out by itself.
fn wakes_when(test: &Test, ring: Ring, wait: Wait, ending: &str, consuming: bool) -> bool {
    let path = test.path("ring");
    let role = if consuming { "tx" } else { "rx" };
    let script = format!("{role} {} open:{path} park ready wait {ending}", word(ring));
    // The one that waits is another thread, so that this one can see it asleep and act.
    let (handle, mut peer, before) = if consuming {
        let mut rx = Rx::attach(ring, How::Create(&path, 4096), wait, None).unwrap();
        let mut peer = test.start(&script);
        peer.expect("ready");
        let before = sleeps(&path);
        (std::thread::spawn(move || rx.recv(Some(0), Deadline::NEVER).map(drop)), peer, before)
    } else {
        let mut tx = Tx::attach(ring, How::Create(&path, 4096), wait, None).unwrap();
        let (number, _) = tx.fill(0);
        let mut peer = test.start(&script);
        peer.expect("ready");
        let before = sleeps(&path);
        (std::thread::spawn(move || tx.send(number, Deadline::NEVER)), peer, before)
    };
    if wait != Wait::Spin {
        until_asleep(&path, before);
    }
    let woken = wakes(&path);
    if ending == "kill" {
        peer.kill()
    } else {
        peer.go()
    }
    assert_eq!(handle.join().unwrap(), Err(Refusal::Closed), "{ring:?} {wait:?} {ending} {role}");
    let was_woken = wakes(&path) > woken;
    // What it did is over, but it may live on.
    if ending == "exec" {
        peer.expect("idle");
    }
    was_woken
}

#[test]
fn a_sleeper_wakes_when_its_peer_is_killed() {
    let test = test!("sleep-kill");
    for wait in process_tests::ends::WAITS {
        sleeper(&test, BOTH[0], wait, "kill");
        sleeper(&test, BOTH[1], wait, "kill");
    }
}

#[test]
fn a_sleeper_wakes_when_its_peer_ends_without_goodbye() {
    let test = test!("sleep-exit");
    sleeper(&test, BOTH[0], Wait::Park, "exit");
    sleeper(&test, BOTH[1], Wait::Adaptive, "exit");
}

#[test]
fn a_sleeper_wakes_when_its_peer_lets_go() {
    let test = test!("sleep-drop");
    sleeper(&test, BOTH[0], Wait::Adaptive, "drop hang");
    sleeper(&test, BOTH[1], Wait::Park, "drop hang");
}

#[test]
fn a_sleeper_wakes_when_its_peer_becomes_another_program() {
    let test = test!("sleep-exec");
    sleeper(&test, BOTH[0], Wait::Park, "exec");
    sleeper(&test, BOTH[1], Wait::Adaptive, "exec");
}

/// While there has been nobody on the other side yet, a blocking call waits.
#[test]
fn who_comes_first_waits_for_the_other() {
    let test = test!("first");
    for ring in BOTH {
        let path = test.path("ring");
        let mut rx = Rx::attach(ring, How::Create(&path, 4096), Wait::Park, None).unwrap();
        assert_eq!(rx.recv(Some(0), Deadline::after(A_WHILE)), Err(Refusal::Timeout));
        let before = sleeps(&path);
        let waiting = std::thread::spawn(move || rx.recv(Some(0), Deadline::NEVER));
        until_asleep(&path, before);
        let tx = test.start(&format!("tx {} open:{path} park send:0:1", word(ring)));
        assert_eq!(waiting.join().unwrap(), Ok(0));
        tx.succeed();
    }
}

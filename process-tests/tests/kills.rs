//! SIGKILL at random moments: what was committed arrives, the survivor learns of it, another takes over.

use process_tests::ends::{BOTH, How, Refusal, Ring, Rx, Tx};
use process_tests::message::scramble;
use process_tests::support::{Peer, Test, ring as figures, rounds};
use process_tests::test;
use ringway::inspect::Holder;
use ringway::{Deadline, Error, Wait};

fn word(ring: Ring) -> &'static str {
    if ring == Ring::Typed { "typed" } else { "numbered" }
}

fn assert_taken<E: std::fmt::Debug>(result: Result<E, Error>, role: &str, by: &Peer<'_>) {
    match result {
        Err(Error::RoleTaken { role: found, pid }) => assert_eq!((found, pid), (role, by.pid())),
        other => panic!("the role is taken, but: {other:?}"),
    }
}

/// Receives about `count` messages that follow one another.
fn take_some(rx: &mut Rx, mut last: Option<u64>, count: u64) -> Option<u64> {
    for _ in 0..count {
        let number = rx.recv(None, Deadline::NEVER).expect("the producer lives");
        assert!(process_tests::message::follows(last, number), "{number:#x} after {last:#x?}");
        last = Some(number);
    }
    last
}

/// One consumer outlives many producers. Each streams an epoch of its own; killed in the middle of it, what it
/// committed is there without a gap, and then the ring is closed, until the next takes over.
fn producers_die(test: &Test, ring: Ring, wait: Wait) {
    let path = test.path("ring");
    // Small rings, so that many die while they wait for space.
    let capacity = if ring == Ring::Typed { 100 } else { 4096 };
    let mut rx = Rx::attach(ring, How::Create(&path, capacity), wait, None).unwrap();
    let mut random = 42;
    let mut last = None;
    for epoch in 0..rounds() {
        let mut tx = test.start(&format!("tx {} open:{path} adaptive ready stream:{epoch}", word(ring)));
        tx.expect("ready");
        last = take_some(&mut rx, last, scramble(&mut random) % 3000);
        if epoch % 8 == 0 {
            assert_taken(Tx::attach(ring, How::Open(&path), wait, None), "producer", &tx);
        }
        tx.kill();
        if epoch % 3 == 0 {
            // The next one takes over while the messages of the dead one are still there.
            tx.was_killed();
            continue;
        }
        let (to, refusal) = rx.drain(last, Deadline::NEVER);
        assert_eq!(refusal, Refusal::Closed);
        assert_eq!(figures(&path).held_bytes, 0);
        tx.was_killed();
        last = to;
    }
}

#[test]
fn a_consumer_outlives_killed_producers_of_messages() {
    producers_die(&test!("typed-producers"), Ring::Typed, Wait::Adaptive);
}

#[test]
fn a_consumer_outlives_killed_producers_of_records() {
    producers_die(&test!("bytes-producers"), BOTH[1], Wait::Park);
}

#[test]
fn a_spinning_consumer_outlives_killed_producers() {
    producers_die(&test!("spin-producers"), BOTH[1], Wait::Spin);
}

/// One producer outlives many consumers. Each gets what the one before had not released, without a gap.
fn consumers_die(test: &Test, ring: Ring) {
    let path = test.path("ring");
    let mut tx = Tx::attach(ring, How::Create(&path, 64 * 1024), Wait::Adaptive, None).unwrap();
    let mut random = 43;
    let mut number = 0;
    // Numbers below this one were released by consumers that are gone.
    let mut released = 0;
    for round in 0..rounds() {
        let mut rx = test.start(&format!("rx {} open:{path} park ready report:32", word(ring)));
        rx.expect("ready");
        let target = number + scramble(&mut random) % 4000 + 64;
        while number < target {
            tx.send(number, Deadline::NEVER).expect("the consumer lives");
            number += 1;
        }
        // It reports each 32nd that it has taken.
        let reported: u64 = rx.line().parse().unwrap();
        assert!((released..number).contains(&reported), "{reported} reported, {released} gone before");
        if round % 8 == 0 {
            assert_taken(Rx::attach(ring, How::Open(&path), Wait::Park, None), "consumer", &rx);
        }
        rx.kill();
        if round % 3 == 0 {
            // Nobody takes over: the producer fills the ring and hears that it is closed.
            while let Ok(()) = tx.send(number, Deadline::NEVER) {
                number += 1;
            }
            assert_eq!(tx.send(number, Deadline::NEVER), Err(Refusal::Closed));
        }
        rx.was_killed();
        // We look what is next, as any successor would see it, and leave it to the next one.
        let mut rx = Rx::attach(ring, How::Open(&path), Wait::Park, None).unwrap();
        match rx.look() {
            Ok(next) => {
                assert!(next > reported && next < number, "{next} next, {reported} reported of {number}");
                released = next;
            }
            Err(Refusal::Not) => released = number,
            Err(other) => panic!("{other:?}"),
        }
    }
    // Everything that no dead consumer had released is there.
    let mut rx = Rx::attach(ring, How::Open(&path), Wait::Park, None).unwrap();
    for next in released..number {
        assert_eq!(rx.recv(Some(next), Deadline::NEVER), Ok(next));
    }
    assert_eq!(rx.recv(None, Deadline::NOW), Err(Refusal::Timeout));
}

#[test]
fn a_producer_of_messages_outlives_killed_consumers() {
    consumers_die(&test!("typed-consumers"), Ring::Typed);
}

#[test]
fn a_producer_of_records_outlives_killed_consumers() {
    consumers_die(&test!("bytes-consumers"), BOTH[1]);
}

#[test]
fn what_a_killed_consumer_had_only_looked_at_comes_again() {
    let test = test!("looked");
    for ring in BOTH {
        let path = test.path("ring");
        let mut tx = Tx::attach(ring, How::Create(&path, 4096), Wait::Park, None).unwrap();
        for number in 0..10 {
            tx.send(number, Deadline::NOW).unwrap();
        }
        let mut rx = test.start(&format!("rx {} open:{path} park recv:0:3 look ready hang", word(ring)));
        rx.expect("3");
        rx.expect("ready");
        rx.kill();
        rx.was_killed();
        let mut rx = Rx::attach(ring, How::Open(&path), Wait::Park, None).unwrap();
        for number in 3..10 {
            assert_eq!(rx.recv(Some(number), Deadline::NOW), Ok(number));
        }
    }
}

/// Both sides are killed, and killed again: the ring is as good as new each time.
#[test]
fn everybody_dies_and_the_ring_goes_on() {
    let test = test!("everybody");
    for ring in BOTH {
        let path = test.path("ring");
        drop(Tx::attach(ring, How::Create(&path, 4096), Wait::Park, None).unwrap());
        let mut last: Option<u64> = None;
        for epoch in 0..rounds() / 2 {
            let mut tx =
                test.start(&format!("tx {} open:{path} park ready wait stream:{epoch} hang", word(ring)));
            let mut rx = test.start(&format!("rx {} open:{path} park ready wait report:32 hang", word(ring)));
            for peer in [&mut tx, &mut rx] {
                peer.expect("ready");
            }
            // Whoever notices first that the other is dead says so and waits to be killed as well.
            // With the other side dead and nobody in its place yet, the ring would be closed.
            tx.go();
            rx.go();
            for _ in 0..3 {
                let number: u64 = rx.line().parse().unwrap();
                assert!(last.is_none_or(|last| number > last), "{number:#x} after {last:#x?}");
                last = Some(number);
            }
            if epoch % 2 == 0 {
                tx.kill();
            }
            rx.kill();
            rx.was_killed();
            tx.kill();
            tx.was_killed();
            let object = ringway::inspect::stat(&path).unwrap();
            assert!(object.participants.iter().all(|process| !process.alive), "{object:?}");
        }
        let mut rx = Rx::attach(ring, How::Open(&path), Wait::Park, None).unwrap();
        assert_eq!(rx.drain(None, Deadline::NEVER).1, Refusal::Closed);
        assert!(matches!(figures(&path).producer.holder, Holder::Died { .. }));
    }
}

/// Between the moment a new process takes a dead one's place in the table and the moment it has cleaned up, the
/// dead one's claims look as if they were held. They are not in the way of others.
#[test]
fn a_role_is_free_while_its_dead_owners_place_changes_hands() {
    let test = test!("inherited");
    for ring in BOTH {
        let path = test.path("ring");
        let mut tx = test.start(&format!("tx {} create:{path}:4096 park ready hang", word(ring)));
        tx.expect("ready");
        let Holder::Held(first) = figures(&path).producer.holder else { panic!("nobody is there") };
        tx.kill();
        tx.was_killed();
        // What the new process does first, and we do not go on to what it does next.
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        // SAFETY: all zeroes is a valid `flock`.
        let mut lock: libc::flock = unsafe { core::mem::zeroed() };
        lock.l_type = libc::F_WRLCK as libc::c_short;
        lock.l_start = (1 << 62) + i64::from(first.index);
        lock.l_len = 1;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: `lock` is a valid request.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_OFD_SETLK, &lock) }, 0);
        let Holder::Held(inherited) = figures(&path).producer.holder else { panic!("it was cleaned up") };
        assert!(inherited.alive && inherited.index == first.index);
        drop(Tx::attach(ring, How::Open(&path), Wait::Park, None).unwrap());
    }
}

//! In the middle of a long message: kills, stops, deadlines, and messages far larger than the ring.

use process_tests::support::{Peer, Test};
use process_tests::{parcel, test};
use ringway::{Connection, Deadline, Pipe, RecvError, SendError, Wait};
use std::time::Duration;

const LONG: usize = 1 << 20;
/// Takes long enough to be caught in the middle of.
const ENDLESS: usize = 256 << 20;

fn pair() -> (Connection, Connection) {
    Pipe::options().capacity(16 * 1024).wait(Wait::Park).pair().unwrap()
}

fn share<'a>(test: &'a Test, end: &Connection, script: &str) -> Peer<'a> {
    let mut command = test.command(&format!("pipe inherit:end park {script}"));
    end.inherit(&mut command, "end").unwrap();
    test.spawn(&mut command)
}

/// A helper in the middle of sending `LONG` bytes: the ring is full of pieces, and it sleeps.
fn sender_in_mid_message<'a>(test: &'a Test, end: &Connection) -> Peer<'a> {
    let mut peer = share(test, end, &format!("ready send:1:{LONG} send:2:100 hang"));
    peer.expect("ready");
    peer.until_asleep();
    peer
}

/// Takes the pieces that are there.
fn begin(receiver: &Connection) {
    assert!(receiver.poll(Duration::from_secs(60)).unwrap());
    let before = receiver.received_before();
    while receiver.received_before() < before + 4096 {
        assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
    }
}

#[test]
fn a_message_torn_by_the_last_senders_death_is_reported_once() {
    let test = test!("torn");
    for begun in [false, true] {
        let (a, z) = pair();
        let sender = sender_in_mid_message(&test, &a);
        drop(a);
        if begun {
            begin(&z);
        } else {
            assert!(z.poll(Duration::from_secs(60)).unwrap());
        }
        sender.kill();
        match z.recv() {
            Err(RecvError::Torn { received }) => assert!((4000..LONG as u64).contains(&received)),
            other => panic!("{:?}", other.map(|message| message.len())),
        }
        assert!(matches!(z.recv(), Err(RecvError::Closed)));
        assert!(matches!(z.recv(), Err(RecvError::Closed)));
    }
}

#[test]
fn a_message_torn_by_a_death_is_nothing_to_those_who_can_send_on() {
    let test = test!("dropped");
    for begun in [false, true] {
        for we_wait in [false, true] {
            let (a, z) = pair();
            let sender = sender_in_mid_message(&test, &a);
            if begun {
                begin(&z);
            }
            sender.kill();
            sender.was_killed();
            if we_wait {
                assert!(matches!(z.recv_timeout(Duration::from_millis(20)), Err(RecvError::Timeout)));
            }
            std::thread::scope(|scope| {
                // The ring may be full of pieces that nobody wants: then this waits for the receiver.
                scope.spawn(|| a.send(b"after").unwrap());
                assert_eq!(z.recv().unwrap(), b"after");
            });
            assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
        }
    }
}

/// A receiver killed in mid-message takes that message along; the next one gets the next.
#[test]
fn a_receivers_death_costs_the_message_it_was_receiving() {
    let test = test!("receiver");
    let (a, z) = pair();
    let mut sender = share(&test, &a, &format!("ready send:1:{ENDLESS} send:2:50000 send:3:100 hang"));
    sender.expect("ready");
    let receiver = share(&test, &z, "recv");
    while z.received_before() < 1 << 20 {
        std::thread::yield_now();
    }
    sender.stop();
    receiver.kill();
    receiver.was_killed();
    sender.signal(libc::SIGCONT);
    assert_eq!(z.recv().unwrap(), parcel::make(2, 50_000));
    assert_eq!(z.recv().unwrap(), parcel::make(3, 100));
}

#[test]
fn a_stopped_sender_is_not_dead() {
    let test = test!("stopped-sender");
    let (a, z) = pair();
    let sender = sender_in_mid_message(&test, &a);
    sender.stop();
    // It holds the lock: nobody else can send, and what it has sent is no message yet.
    assert!(matches!(a.try_send(b"x"), Err(SendError::Full)));
    assert!(matches!(a.send_timeout(b"x", Duration::from_millis(30)), Err(SendError::Timeout)));
    assert!(matches!(z.recv_timeout(Duration::from_millis(150)), Err(RecvError::Timeout)));
    assert!(matches!(z.recv_deadline(Deadline::NOW), Err(RecvError::Timeout)));
    sender.signal(libc::SIGCONT);
    assert!(z.recv().unwrap() == parcel::make(1, LONG));
    assert_eq!(z.recv().unwrap(), parcel::make(2, 100));
    a.send(b"x").unwrap();
    assert_eq!(z.recv().unwrap(), b"x");
}

#[test]
fn a_stopped_receiver_is_not_dead() {
    let test = test!("stopped-receiver");
    let (a, z) = pair();
    let mut receiver = share(&test, &z, "ready recv recv");
    receiver.expect("ready");
    let long = parcel::make(1, ENDLESS);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| a.send(&long).unwrap());
        while z.received_before() < 1 << 20 {
            std::thread::yield_now();
        }
        receiver.stop();
        assert!(matches!(z.recv_timeout(Duration::from_millis(150)), Err(RecvError::Timeout)));
        assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
        assert!(!sender.is_finished());
        receiver.signal(libc::SIGCONT);
    });
    receiver.expect(&format!("1 {ENDLESS}"));
    a.send(&parcel::make(2, 8)).unwrap();
    receiver.expect("2 8");
    receiver.succeed();
}

#[test]
fn a_sender_that_gives_up_in_mid_message_is_not_heard_of() {
    let test = test!("gives-up");
    let (a, z) = pair();
    let mut receiver = share(&test, &z, "ready recv recv");
    receiver.expect("ready");
    receiver.stop();
    let long = parcel::make(1, LONG);
    assert!(matches!(a.send_timeout(&long, Duration::from_millis(20)), Err(SendError::Timeout)));
    assert!(matches!(a.send_deadline(&long, Deadline::NOW), Err(SendError::Timeout)));
    receiver.signal(libc::SIGCONT);
    a.send(&parcel::make(2, 50_000)).unwrap();
    receiver.expect("2 50000");
    a.send(&parcel::make(3, 10)).unwrap();
    receiver.expect("3 10");
    receiver.succeed();
}

#[test]
fn a_receiver_that_gives_up_in_mid_message_goes_on_later() {
    let test = test!("later");
    let (a, z) = pair();
    let sender = sender_in_mid_message(&test, &a);
    begin(&z);
    sender.stop();
    // Another connection of this process to the same end waits for the one that has begun.
    let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
    let other = Pipe::from_fds(copy(z.memory()), copy(z.socket().unwrap())).unwrap();
    for _ in 0..3 {
        assert!(matches!(z.recv_timeout(Duration::from_millis(2)), Err(RecvError::Timeout)));
        assert!(matches!(other.recv_timeout(Duration::from_millis(2)), Err(RecvError::Timeout)));
        assert!(matches!(other.try_recv(), Err(RecvError::Empty)));
    }
    std::thread::scope(|scope| {
        let next = scope.spawn(|| other.recv().unwrap());
        sender.signal(libc::SIGCONT);
        assert!(z.recv().unwrap() == parcel::make(1, LONG));
        assert_eq!(next.join().unwrap(), parcel::make(2, 100));
    });
}

/// Who drops the connection with which it was in mid-message leaves the end to its other connections.
#[test]
fn a_connection_dropped_in_mid_message_keeps_nobody_waiting() {
    let test = test!("drop-midway");
    let (a, z) = pair();
    let sender = sender_in_mid_message(&test, &a);
    begin(&z);
    let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
    let other = Pipe::from_fds(copy(z.memory()), copy(z.socket().unwrap())).unwrap();
    std::thread::scope(|scope| {
        let next = scope.spawn(|| other.recv().unwrap());
        drop(z);
        assert_eq!(next.join().unwrap(), parcel::make(2, 100));
    });
    sender.kill();
}

fn passes(test: &Test, len: usize) {
    let (a, z) = Pipe::options().capacity(64 * 1024).pair().unwrap();
    let sender = share(test, &a, &format!("send:77:{len} send:78:8"));
    drop(a);
    let message = z.recv().unwrap();
    assert_eq!((message.len(), parcel::check(&message)), (len, Ok(77)));
    drop(message);
    assert_eq!(parcel::check(&z.recv().unwrap()), Ok(78));
    assert!(matches!(z.recv(), Err(RecvError::Closed)));
    sender.succeed();
}

#[test]
fn sixteen_megabytes_pass_through_a_small_ring() {
    passes(&test!("16-mb"), 16 << 20);
}

/// Needs twice its size: once in the sender, once in the receiver. So only where there is plenty.
#[test]
fn two_gigabytes_pass_through_a_small_ring() {
    let test = test!("2-gb");
    let available = std::fs::read_to_string("/proc/meminfo").unwrap();
    let available = available.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let kilobytes: u64 = available.trim().trim_end_matches("kB").trim().parse().unwrap();
    if cfg!(debug_assertions) || kilobytes < 8 << 20 {
        eprintln!("skipped: a release build and 8 GiB of free memory are needed, {kilobytes} kB are there");
        return passes(&test, 64 << 20);
    }
    passes(&test, (2 << 30) + 1);
}

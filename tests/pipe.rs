//! The pipe through its public face, between threads.

use ringway::{End, Pipe, RecvError, SendError};
use std::thread;
use std::time::Duration;

/// Bytes that depend on their place, so that a shifted or swapped piece shows.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 11).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn messages_keep_their_boundaries_in_both_directions() {
    let (a, z) = Pipe::pair().unwrap();
    for message in [&b"hello"[..], b"", b"x", &[7; 5000]] {
        a.send(message).unwrap();
        z.send(message).unwrap();
    }
    for message in [&b"hello"[..], b"", b"x", &[7; 5000]] {
        assert_eq!(z.recv().unwrap(), message);
        assert_eq!(a.recv().unwrap(), message);
    }
    assert!(matches!(a.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(a.recv_timeout(Duration::from_millis(1)), Err(RecvError::Timeout)));
}

#[test]
fn large_messages_stream_through_a_small_ring() {
    let (tx, rx) = Pipe::options().capacity(64 * 1024).simplex(true).pair().unwrap();
    let sizes = [32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 1 << 20, 16 << 20];
    let sender = thread::spawn(move || {
        for (seed, len) in sizes.into_iter().enumerate() {
            tx.send(&pattern(len, seed as u64)).unwrap();
            tx.send(b"between").unwrap();
        }
    });
    for (seed, len) in sizes.into_iter().enumerate() {
        assert!(rx.recv().unwrap() == pattern(len, seed as u64), "message of {len} bytes");
        assert_eq!(&*rx.recv_ref().unwrap(), b"between");
    }
    sender.join().unwrap();
    assert!(matches!(rx.recv(), Err(RecvError::Closed)));
}

#[test]
fn a_closed_end_is_known_on_the_other_side() {
    let (a, z) = Pipe::pair().unwrap();
    a.send(b"last").unwrap();
    drop(a);
    assert!(z.poll(Duration::ZERO).unwrap());
    assert!(matches!(z.send(b"nobody"), Err(SendError::Closed)));
    assert_eq!(z.recv().unwrap(), b"last");
    assert!(z.poll(Duration::ZERO).unwrap(), "the end is something to receive");
    assert!(matches!(z.recv(), Err(RecvError::Closed)));
    assert_eq!(z.peer_deaths(), 0);
}

#[test]
fn a_receiver_asleep_learns_of_the_close() {
    let (a, z) = Pipe::pair().unwrap();
    let receiver = thread::spawn(move || z.recv());
    // Sleeps are counted nowhere public: give it the chance to fall asleep, and be right if it has not.
    assert!(!a.poll(Duration::from_millis(20)).unwrap());
    drop(a);
    assert!(matches!(receiver.join().unwrap(), Err(RecvError::Closed)));
}

#[test]
fn one_direction_is_one_direction() {
    let (tx, rx) = Pipe::simplex().unwrap();
    assert!(tx.is_writable() && !tx.is_readable() && rx.is_readable() && !rx.is_writable());
    assert!(matches!(rx.send(b""), Err(SendError::NotWritable)));
    assert!(matches!(tx.recv(), Err(RecvError::NotReadable)));
    assert!(matches!(tx.poll(Duration::ZERO), Err(RecvError::NotReadable)));
}

#[test]
fn full_is_full_and_too_large_is_said_at_once() {
    let (tx, rx) = Pipe::options().capacity(4096).simplex(true).pair().unwrap();
    let mut sent = 0;
    while tx.try_send(&[sent as u8; 100]).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 4096 / 112);
    assert!(matches!(tx.try_send(&[0; 100]), Err(SendError::Full)));
    assert!(matches!(tx.send_timeout(&[0; 100], Duration::from_millis(1)), Err(SendError::Timeout)));
    assert!(matches!(tx.try_send(&[0; 4000]), Err(SendError::TooLarge { len: 4000, max: 2048 })));
    assert!(matches!(tx.reserve(4000), Err(SendError::TooLarge { len: 4000, max: 2048 })));
    for n in 0..sent {
        assert_eq!(rx.try_recv().unwrap(), [n as u8; 100]);
    }
}

#[test]
fn a_timed_out_message_in_pieces_is_never_received() {
    let (tx, rx) = Pipe::options().capacity(4096).simplex(true).pair().unwrap();
    tx.send(b"before").unwrap();
    let late = tx.send_timeout(&pattern(100_000, 1), Duration::from_millis(5));
    assert!(matches!(late, Err(SendError::Timeout)));
    assert_eq!(rx.recv().unwrap(), b"before");
    assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvError::Timeout)));
    tx.send(b"after").unwrap();
    assert_eq!(rx.recv().unwrap(), b"after");
}

#[test]
fn a_receive_that_times_out_in_mid_message_goes_on_later() {
    let (tx, rx) = Pipe::options().capacity(4096).simplex(true).pair().unwrap();
    let message = pattern(50_000, 3);
    let sender = thread::spawn({
        let message = message.clone();
        move || {
            tx.send(&message).unwrap();
            tx
        }
    });
    let mut timeouts = 0;
    let received = loop {
        match rx.try_recv() {
            Ok(received) => break received,
            Err(RecvError::Empty) => timeouts += 1,
            Err(error) => panic!("{error} after {timeouts} rounds"),
        }
    };
    assert!(received == message);
    sender.join().unwrap();
}

#[test]
fn loans_are_written_and_messages_read_in_place() {
    let (a, z) = Pipe::pair().unwrap();
    let mut loan = a.reserve(10).unwrap();
    loan.copy_from_slice(b"0123456789");
    loan.commit_len(4);
    drop(a.reserve(10).unwrap()); // a dropped loan sends nothing
    assert_eq!(&*z.recv_ref().unwrap(), b"0123");
    assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
}

#[test]
fn many_threads_share_an_end() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 2000;
    let (tx, rx) = Pipe::options().capacity(4096).simplex(true).pair().unwrap();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let tx = &tx;
                scope.spawn(move || {
                    for id in (0..EACH).map(|n| sender << 32 | n) {
                        // Some in one piece, some in many.
                        let len = if id % 97 == 0 { 10_000 } else { (id % 300) as usize };
                        let mut message = id.to_le_bytes().to_vec();
                        message.extend(pattern(len, id));
                        tx.send(&message).unwrap();
                    }
                })
            })
            .collect();
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let rx = &rx;
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    loop {
                        let message = rx.recv().unwrap();
                        if message.is_empty() {
                            return ids;
                        }
                        let id = u64::from_le_bytes(message[..8].try_into().unwrap());
                        assert!(message[8..] == pattern(message.len() - 8, id), "message {id:#x} is garbled");
                        ids.push(id);
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        for _ in &receivers {
            tx.send(b"").unwrap(); // one farewell each
        }
        let mut total = 0;
        for receiver in receivers {
            let ids: Vec<u64> = receiver.join().unwrap();
            for sender in 0..SENDERS {
                assert!(ids.iter().filter(|id| **id >> 32 == sender).is_sorted(), "a sender's order");
            }
            total += ids.len() as u64;
        }
        assert_eq!(total, SENDERS * EACH);
    });
}

#[test]
fn a_named_pipe_waits_for_its_peer() {
    let name = format!("pipe-test-{}", std::process::id());
    let a = Pipe::create(&name).unwrap();
    a.send(b"kept").unwrap();
    assert!(matches!(a.recv_timeout(Duration::from_millis(1)), Err(RecvError::Timeout)), "nobody came yet");
    let z = Pipe::open(&name).unwrap();
    assert_eq!(z.recv().unwrap(), b"kept");
    z.send(b"bye").unwrap();
    drop(z);
    assert_eq!(a.recv().unwrap(), b"bye");
    assert!(matches!(a.recv(), Err(RecvError::Closed)));
    assert!(matches!(a.send(b""), Err(SendError::Closed)));
    let z = Pipe::options().end(End::Second).open(&name).unwrap();
    a.send(b"again").unwrap();
    assert_eq!(z.recv().unwrap(), b"again");
    a.unlink().unwrap();
}

#[test]
fn a_message_longer_than_allowed_is_dropped_and_named() {
    let (tx, rx) = Pipe::options().capacity(4096).max_message(3000).pair().unwrap();
    let sender = thread::spawn(move || {
        tx.send(&[1; 10_000]).unwrap();
        tx.send(&[2; 3000]).unwrap();
        tx
    });
    assert!(matches!(rx.recv(), Err(RecvError::TooLong { max: 3000 })));
    assert_eq!(rx.recv().unwrap(), [2; 3000]);
    sender.join().unwrap();
}

#[test]
fn a_removed_name_is_known_to_those_attached() {
    let name = format!("pipe-retired-{}", std::process::id());
    let a = Pipe::create(&name).unwrap();
    let z = Pipe::open(&name).unwrap();
    assert!(!z.is_retired());
    a.unlink().unwrap();
    assert!(a.is_retired() && z.is_retired());
    a.send(b"still").unwrap();
    assert_eq!(z.recv().unwrap(), b"still");
    assert!(matches!(Pipe::open(&name), Err(ringway::Error::NotFound { .. })));
}

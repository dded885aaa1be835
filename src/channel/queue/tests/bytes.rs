//! Queues of bytes.

use super::*;
use crate::segment::tests::fork;
use std::cell::Cell;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Bytes that tell their number and their place.
fn pattern(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + number * 13) as u8).collect()
}

/// A second handle, as somebody has it who does not trust the others.
pub(super) fn distrusting(queue: &Queue<[u8]>) -> Queue<[u8]> {
    let fd = queue.as_fd().try_clone_to_owned().unwrap();
    Queue::<[u8]>::options().trusted(false).from_fd(fd).unwrap()
}

#[test]
fn any_length_through_the_same_queue() {
    let queue = Queue::<[u8]>::anonymous(3).unwrap();
    let other = distrusting(&queue);
    let lengths = [0, 1, 8, 47, 48, 49, 255, 256, 257, 4096, 65_536, 65_537, 1 << 20, 5_000_000, 3];
    for (number, len) in lengths.into_iter().enumerate() {
        let message = pattern(number, len);
        for (from, to) in [(&queue, &other), (&other, &queue)] {
            from.send(&message).unwrap();
            assert_eq!(&*to.recv().unwrap(), message);
            let mut loan = from.reserve(len).unwrap();
            loan.copy_from_slice(&message);
            loan.commit().unwrap();
            let mut copy = vec![1, 2, 3];
            assert_eq!(to.recv_into(&mut copy, Deadline::NEVER).unwrap(), len);
            assert_eq!(copy, message);
        }
    }
    assert!(queue.large_bytes() >= 5_000_000);
    assert!(queue.trim() >= 5_000_000 && queue.large_bytes() == 0);
}

#[test]
fn a_false_message_is_told_once_and_in_nobodys_way() {
    let queue = Queue::<[u8]>::options().capacity(3).anonymous().unwrap();
    let file = std::fs::File::from(queue.as_fd().try_clone_to_owned().unwrap());
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 72).unwrap(); // where the slots begin, as the header says
    let slots = u64::from_ne_bytes(word);
    type Receive = fn(&Queue<[u8]>) -> Result<Vec<u8>, RecvError>;
    let receives: [Receive; 3] = [
        |queue| queue.try_recv().map(|message| message.to_vec()),
        |queue| queue.recv().map(|message| message.to_vec()),
        |queue| {
            let mut buffer = Vec::new();
            queue.recv_into(&mut buffer, Deadline::NEVER).map(|_| buffer)
        },
    ];
    for (slot, receive) in (0..).zip(receives) {
        queue.send(&[1; 100]).unwrap();
        file.write_all_at(&u64::MAX.to_ne_bytes(), slots + slot * 64 + 8).unwrap();
        queue.send(b"true").unwrap();
        assert!(matches!(receive(&queue), Err(RecvError::Corrupt(_))));
        assert_eq!(receive(&queue).unwrap(), b"true");
        assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
        // To the next slot but one.
        queue.send(b"").unwrap();
        queue.send(b"").unwrap();
        assert_eq!(queue.try_iter().count(), 2);
    }
}

#[test]
fn held_as_long_as_one_likes_and_dropped_in_any_order() {
    let queue = Queue::<[u8]>::options().capacity(2).max_held(3).message_size(100).anonymous().unwrap();
    let mut held: Vec<_> = (0..5)
        .map(|number| {
            queue.try_send(&pattern(number, 100)).unwrap();
            queue.try_recv().unwrap()
        })
        .collect();
    for number in 5..7 {
        // The usual size is all in use, larger chunks help out.
        queue.try_send(&pattern(number, 100)).unwrap();
    }
    assert!(queue.is_full() && matches!(queue.try_send(b"x"), Err(SendError::Full)));
    for (number, message) in held.iter().enumerate() {
        assert_eq!((&**message, message.id()), (&pattern(number, 100)[..], number as u64));
    }
    held.swap_remove(1);
    held.remove(0);
    let kept = held.remove(0).detach();
    drop(held);
    let rest: Vec<_> = queue.try_iter().map(|message| message.to_vec()).collect();
    assert_eq!(rest, [pattern(5, 100), pattern(6, 100)]);
    drop(queue);
    assert_eq!(&*kept, pattern(4, 100));
}

#[test]
fn what_can_never_fit_is_refused_at_once() {
    let queue = Queue::<[u8]>::options().capacity(2).max_bytes(1 << 20).anonymous().unwrap();
    let max = queue.max_message();
    assert_eq!(max, 1 << 20);
    let long = vec![0; max as usize + 1];
    assert!(
        matches!(queue.send(&long), Err(SendError::TooLarge { len, max: m }) if (len, m) == (max + 1, max))
    );
    assert!(matches!(queue.reserve(usize::MAX), Err(SendError::TooLarge { .. })));
    // The bound in bytes: a second message of that length waits for the first.
    let first = queue.try_reserve(max as usize).unwrap();
    assert!(matches!(queue.try_reserve(max as usize), Err(SendError::Full)));
    assert!(matches!(queue.reserve_deadline(max as usize, Deadline::after(SOON)), Err(SendError::Timeout)));
    drop(first);
    queue.send(&long[1..]).unwrap();
    assert_eq!(queue.recv().unwrap().len() as u64, max);
}

#[test]
fn a_loan_that_finds_no_place_is_kept() {
    let queue = Queue::<[u8]>::anonymous(1).unwrap();
    queue.send(b"in the way").unwrap();
    let mut loan = queue.reserve(3).unwrap();
    loan.copy_from_slice(b"abc");
    let refused = loan.commit_deadline(Deadline::NOW).unwrap_err();
    assert!(matches!(refused.error, SendError::Full), "{refused}");
    let refused = refused.loan.commit_deadline(Deadline::after(SOON)).unwrap_err();
    assert!(matches!(refused.error, SendError::Timeout));
    queue.recv().unwrap();
    refused.loan.commit().unwrap();
    assert_eq!(&*queue.recv().unwrap(), b"abc");
    let loan = queue.reserve(300).unwrap();
    queue.close();
    assert!(matches!(loan.commit(), Err(SendError::Closed)));
    assert!(matches!(queue.send(&[0; 100]), Err(SendError::Closed)));
    assert!(matches!(queue.recv(), Err(RecvError::Closed)));
}

#[test]
fn a_sender_waits_for_memory_until_some_is_free() {
    let queue =
        Queue::<[u8]>::options().capacity(4).max_held(0).message_size(64).max_bytes(0).anonymous().unwrap();
    let mut held = Vec::new();
    while let Ok(loan) = queue.try_reserve(64) {
        held.push(loan);
    }
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| queue.send(&[5; 64]));
        held.pop();
        sender.join().unwrap().unwrap();
    });
    assert_eq!(&*queue.recv().unwrap(), [5; 64]);
}

#[test]
fn a_panic_gives_the_loan_back() {
    let queue =
        Queue::<[u8]>::options().capacity(1).max_held(0).message_size(64).max_bytes(0).anonymous().unwrap();
    let all = std::iter::from_fn(|| queue.try_reserve(64).ok()).collect::<Vec<_>>().len();
    for _ in 0..2 * all {
        let panic = std::panic::catch_unwind(|| {
            let _loan = queue.try_reserve(64).unwrap();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(panic.is_err());
    }
}

#[test]
fn a_forked_child_has_nothing_of_its_parents_guards() {
    let queue = Queue::<[u8]>::anonymous(8).unwrap();
    queue.send(&[1; 500]).unwrap();
    let message = Cell::new(Some(queue.recv().unwrap()));
    let mut loan = queue.reserve(500).unwrap();
    loan.fill(9);
    let loan = Cell::new(Some(loan));
    // The child takes them out of its own copy of the cells.
    fork(|| {
        let (message, loan) = (message.take().unwrap(), loan.take().unwrap());
        assert!(message.is_empty() && loan.is_empty());
        drop(message);
        assert!(matches!(loan.commit(), Err(SendError::Forked)));
        assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
        queue.send(&[2; 400]).unwrap();
    })
    .join();
    assert_eq!(&*queue.recv().unwrap(), [2; 400]);
    assert_eq!(&*message.take().unwrap(), [1; 500]);
    loan.take().unwrap().commit().unwrap();
    assert_eq!(&*queue.recv().unwrap(), [9; 500]);
}

#[test]
fn what_a_killed_process_had_is_free_again() {
    let queue =
        Queue::<[u8]>::options().capacity(2).max_held(1).message_size(64).max_bytes(0).anonymous().unwrap();
    let all = std::iter::from_fn(|| queue.try_reserve(64).ok()).collect::<Vec<_>>().len();
    queue.send(&[4; 60]).unwrap();
    let child = fork(|| {
        let received = queue.recv().unwrap();
        assert_eq!(&*received, [4; 60]);
        queue.send(&[6; 60]).unwrap();
        let loans: Vec<_> = std::iter::from_fn(|| queue.try_reserve(64).ok()).collect();
        queue.send(b"now").unwrap();
        std::mem::forget((received, loans));
        loop {
            std::thread::park();
        }
    });
    while queue.len() < 2 {
        std::thread::yield_now();
    }
    assert!(matches!(queue.try_reserve(64), Err(SendError::Full)));
    child.kill();
    // What it sent is whole.
    assert_eq!(&*queue.recv().unwrap(), [6; 60]);
    assert_eq!(&*queue.recv().unwrap(), b"now");
    let loans: Vec<_> = (0..all).map(|_| queue.reserve(64).unwrap()).collect();
    assert!(queue.try_reserve(64).is_err());
    drop(loans);
}

#[test]
fn batches_of_bytes() {
    let queue = Queue::<[u8]>::anonymous(4).unwrap();
    let messages: Vec<_> = (0..6).map(|number| pattern(number, number * 40)).collect();
    let unsent = queue.send_many(&messages, Deadline::NOW).unwrap_err();
    assert!(unsent.sent == 4 && matches!(unsent.error, SendError::Full));
    let mut received = Vec::new();
    assert_eq!(queue.recv_many(&mut received, 3, Deadline::NOW).unwrap(), 3);
    assert_eq!(queue.recv_many(&mut received, 9, Deadline::NEVER).unwrap(), 1);
    assert_eq!(received.iter().map(|message| message.to_vec()).collect::<Vec<_>>(), messages[..4]);
    assert!(matches!(queue.recv_many(&mut received, 9, Deadline::NOW), Err(RecvError::Empty)));
}

#[test]
fn what_nobody_can_make_is_refused() {
    assert!(matches!(Queue::<[u8]>::anonymous(0), Err(Error::BadCapacity { asked: 0, .. })));
    assert!(matches!(Queue::<[u8]>::anonymous(usize::MAX), Err(Error::BadCapacity { .. })));
    for options in [
        Queue::<[u8]>::options().message_size(usize::MAX),
        Queue::<[u8]>::options().max_held(usize::MAX),
        Queue::<[u8]>::options().message_size(1 << 30).capacity(1 << 23),
    ] {
        assert!(options.anonymous().is_err());
    }
    for (options, wrong) in [
        (Queue::<[u8]>::options().message_size(2 << 30), "message_size"),
        (Queue::<[u8]>::options().max_held(usize::MAX), "max_held"),
        (Queue::<[u8]>::options().max_bytes(u64::MAX), "max_bytes"),
    ] {
        let refused = options.anonymous().unwrap_err();
        assert!(matches!(refused, Error::BadOption { option, .. } if option == wrong), "{refused}");
    }
    // Room is made for what is there.
    let queue = Queue::<[u8; 1024]>::anonymous(1 << 16).unwrap();
    let mut values = Vec::new();
    queue.send([1; 1024]).unwrap();
    assert_eq!(queue.recv_many(&mut values, usize::MAX, Deadline::NOW).unwrap(), 1);
    assert!(values.capacity() < 1000);
}

/// Whoever finds the memory in the hands of one that only trims it is told when it is there again.
#[test]
fn memory_that_was_taken_for_a_moment_is_told_of() {
    const LEN: usize = 8 << 20;
    let bytes = Queue::<[u8]>::options().max_held(0).max_bytes(LEN as u64);
    let queue = bytes.capacity(1).anonymous().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        queue.core.sleep_unsliced();
        for _ in 0..50 {
            drop(queue.reserve(LEN).unwrap());
            let together = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    together.wait();
                    queue.trim();
                });
                together.wait();
                drop(queue.reserve(LEN).unwrap());
            });
            tell.send(()).unwrap();
        }
    });
    for round in 0..50 {
        let outcome = told.recv_timeout(Duration::from_secs(120));
        assert_eq!(outcome, Ok(()), "round {round}: a sender sleeps though there is memory");
    }
}

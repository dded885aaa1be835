use super::*;
use crate::channel::SendError;
use crate::inspect::{self, Detail};
use crate::queue::{JoinError, JoinableQueue};
use crate::segment::tests::fork;
use crate::sync::Ordering;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const SOON: Duration = Duration::from_millis(5);

fn too_many(refused: Result<(), DoneError>) -> bool {
    matches!(refused, Err(DoneError::TooMany))
}

/// Everything is done, and nothing can be done once more.
#[track_caller]
fn must_be_finished(jobs: &TallyQueue) {
    assert_eq!(jobs.unfinished(), 0);
    jobs.join_timeout(SOON).unwrap();
    assert!(too_many(jobs.task_done()));
    assert_eq!(jobs.unfinished(), 0, "a refusal counts nothing");
}

#[test]
fn a_message_is_unfinished_until_one_more_is_done() {
    let jobs = TallyQueue::anonymous(3).unwrap();
    must_be_finished(&jobs);
    for message in [&b"one"[..], b"two", &[7; 1000]] {
        jobs.try_send(message).unwrap();
    }
    assert!(matches!(jobs.try_send(b"four"), Err(SendError::Full)) && jobs.is_full());
    assert_eq!((jobs.len(), jobs.unfinished()), (3, 3));
    let (one, two) = (jobs.recv().unwrap(), jobs.recv().unwrap());
    assert_eq!((&*one, one.id(), one.deliveries(), &*two, two.id()), (&b"one"[..], 0, 0, &b"two"[..], 1));
    assert_eq!((jobs.len(), jobs.unfinished()), (1, 3));
    drop(one);
    assert_eq!(jobs.unfinished(), 3, "to drop it is not to be done with it");
    for left in [2, 1] {
        jobs.task_done().unwrap();
        assert_eq!(jobs.unfinished(), left);
        assert!(matches!(jobs.join_timeout(SOON), Err(JoinError::Timeout)));
    }
    let mut buffer = vec![];
    assert_eq!(jobs.recv_into(&mut buffer, Deadline::NOW).unwrap(), 1000);
    assert_eq!(buffer, [7; 1000]);
    assert!(matches!(jobs.try_recv(), Err(RecvError::Empty)));
    jobs.task_done().unwrap();
    must_be_finished(&jobs);
    assert_eq!(&*two, b"two", "done or not, it is its receiver's");
}

/// As with a plain count: who is done early is done with whatever is in the queue.
#[test]
fn what_is_in_the_queue_can_be_done_already() {
    let jobs = TallyQueue::anonymous(4).unwrap();
    assert!(too_many(jobs.task_done()));
    for round in 0..3 {
        for number in 0..4 {
            jobs.send(&[number; 100]).unwrap();
        }
        for left in [3, 2, 1, 0] {
            jobs.task_done().unwrap();
            assert_eq!(jobs.unfinished(), left);
        }
        must_be_finished(&jobs);
        assert_eq!((jobs.len(), jobs.is_full()), (4, true));
        // One more is unfinished, and which one nobody asks.
        drop(jobs.recv().unwrap());
        jobs.send(b"more").unwrap();
        assert_eq!(jobs.unfinished(), 1);
        jobs.task_done().unwrap();
        for _ in 0..4 {
            must_be_finished(&jobs);
            drop(jobs.recv().unwrap());
        }
        must_be_finished(&jobs);
        assert!(jobs.is_empty(), "{round}");
    }
}

#[test]
fn what_was_received_takes_no_place() {
    let jobs = TallyQueue::options().capacity(1).max_held(1).anonymous().unwrap();
    for number in 0..1000_u64 {
        jobs.try_send(&number.to_ne_bytes()).unwrap();
        assert_eq!(*jobs.try_recv().unwrap(), number.to_ne_bytes());
    }
    assert_eq!((jobs.len(), jobs.unfinished()), (0, 1000));
    (0..1000).for_each(|_| jobs.task_done().unwrap());
    must_be_finished(&jobs);
}

/// Whatever is asked of it in whatever order, it agrees with two numbers.
#[test]
fn any_order_agrees_with_a_count() {
    use proptest::prelude::*;
    let script = proptest::collection::vec(0..5_u8, 1..200);
    proptest!(ProptestConfig::with_cases(64), |(script in script, capacity in 1..5_usize)| {
        let jobs = TallyQueue::options().capacity(capacity).max_held(2).anonymous().unwrap();
        let (mut sent, mut taken, mut done) = (0_u64, 0_u64, 0_u64);
        for verb in script {
            match verb {
                0 | 1 => match jobs.try_send(&sent.to_ne_bytes()) {
                    Ok(()) => sent += 1,
                    Err(error) => prop_assert!(
                        matches!(error, SendError::Full) && sent - taken == capacity as u64
                    ),
                },
                2 => match jobs.try_recv() {
                    Ok(message) => {
                        prop_assert_eq!(&*message, taken.to_ne_bytes());
                        taken += 1;
                    }
                    Err(_) => prop_assert_eq!(sent, taken),
                },
                _ => match jobs.task_done() {
                    Ok(()) => done += 1,
                    refused => prop_assert!(too_many(refused) && done == sent),
                },
            }
            prop_assert!(done <= sent);
            prop_assert_eq!((jobs.unfinished(), jobs.len() as u64), (sent - done, sent - taken));
            prop_assert_eq!(jobs.join_deadline(Deadline::NOW).is_ok(), sent == done);
        }
    });
}

#[test]
fn a_joiner_is_woken_by_the_last_one() {
    let jobs = TallyQueue::anonymous(4).unwrap();
    std::thread::scope(|scope| {
        for early in [false, true, false] {
            let jobs = &jobs;
            scope.spawn(move || {
                loop {
                    if early {
                        // Perhaps for what is in the queue, perhaps for what the others have.
                        match jobs.task_done() {
                            Ok(()) => {}
                            Err(DoneError::TooMany | DoneError::Overtaken) if !jobs.is_closed() => {
                                std::thread::yield_now();
                            }
                            Err(_) => return,
                        }
                    } else if jobs.recv().is_err() {
                        return;
                    }
                }
            });
        }
        for round in 0..200_u64 {
            (0..7).for_each(|_| jobs.send(&round.to_ne_bytes()).unwrap());
            jobs.join().unwrap();
            assert_eq!(jobs.unfinished(), 0);
        }
        jobs.close();
    });
}

/// As many calls succeed as messages were sent, however many threads make too many of them.
#[test]
fn no_more_are_done_than_were_sent() {
    const EACH: usize = 3000;
    let jobs = TallyQueue::anonymous(5).unwrap();
    std::thread::scope(|scope| {
        let senders: Vec<_> =
            (0..2).map(|_| scope.spawn(|| (0..EACH).for_each(|_| jobs.send(&[1; 60]).unwrap()))).collect();
        let receivers: Vec<_> =
            (0..2).map(|_| scope.spawn(|| std::iter::from_fn(|| jobs.recv().ok()).count())).collect();
        let enders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = 0;
                    while !jobs.is_closed() || !jobs.is_empty() {
                        done += usize::from(jobs.task_done().is_ok());
                    }
                    done
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        jobs.close();
        let received: usize = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
        let mut done: usize = enders.into_iter().map(|ender| ender.join().unwrap()).sum();
        assert_eq!(received, 2 * EACH);
        assert!(done <= received, "{done}");
        assert_eq!(jobs.unfinished(), (received - done) as u64);
        while jobs.task_done().is_ok() {
            done += 1;
        }
        assert_eq!(done, received);
        must_be_finished(&jobs);
    });
}

#[test]
fn what_a_killed_process_had_stays_unfinished() {
    let jobs = TallyQueue::anonymous(16).unwrap();
    (0..4_u64).for_each(|number| jobs.send(&number.to_ne_bytes()).unwrap());
    let mine = std::cell::Cell::new(Some(jobs.recv().unwrap()));
    let holding = fork(|| {
        let parents = mine.take().unwrap();
        assert!(parents.is_empty(), "it is the parent's");
        std::mem::forget([jobs.recv().unwrap(), jobs.recv().unwrap()]);
        jobs.task_done().unwrap();
        jobs.send(b"99").unwrap();
        loop {
            std::thread::park();
        }
    });
    while stat(&jobs).tally.unwrap().done < 1 || jobs.len() < 2 {
        std::thread::yield_now();
    }
    holding.kill();
    assert_eq!(jobs.unfinished(), 4);
    assert_eq!(*jobs.recv().unwrap(), 3_u64.to_ne_bytes());
    assert_eq!((&*jobs.recv().unwrap(), jobs.len()), (&b"99"[..], 0));
    assert_eq!(*mine.take().unwrap().detach(), 0_u64.to_ne_bytes());
    for _ in 0..4 {
        assert!(matches!(jobs.join_timeout(SOON), Err(JoinError::Timeout)));
        jobs.task_done().unwrap();
    }
    must_be_finished(&jobs);
    let used = stat(&jobs).chunks.unwrap().used;
    assert_eq!(used, 0, "its memory is free");
}

fn stat(jobs: &TallyQueue) -> inspect::Queue {
    match inspect::stat_fd(jobs.as_fd()).unwrap().detail {
        Detail::Queue(queue) => *queue,
        other => panic!("{other:?}"),
    }
}

#[test]
fn onlookers_see_the_counts() {
    let jobs = TallyQueue::anonymous(4).unwrap();
    (0..3).for_each(|_| jobs.send(b"x").unwrap());
    let message = jobs.recv().unwrap();
    jobs.task_done().unwrap();
    let seen = stat(&jobs);
    let tally = seen.tally.unwrap();
    assert_eq!((tally.taken, tally.done, tally.unfinished, seen.held), (1, 1, 2, 2));
    drop(message);
    jobs.task_done().unwrap();
    jobs.task_done().unwrap();
    assert_eq!(stat(&jobs).tally.unwrap().unfinished, 0);
}

#[test]
fn peers_that_are_not_trusted_see_copies() {
    let jobs = TallyQueue::anonymous(4).unwrap();
    let fd = jobs.as_fd().try_clone_to_owned().unwrap();
    let other = TallyQueue::options().trusted(false).from_fd(fd).unwrap();
    let mut loan = other.reserve(3000).unwrap();
    loan.fill(3);
    loan.truncate(2000);
    loan.commit().unwrap();
    let message = other.recv().unwrap().detach();
    assert_eq!((&message[..], stat(&jobs).chunks.unwrap().used), (&[3; 2000][..], 0));
    jobs.task_done().unwrap();
    must_be_finished(&other);
}

#[test]
fn another_kind_does_not_open() {
    let name = format!("tally-type-{}", std::process::id());
    let jobs = TallyQueue::options().capacity(3).ephemeral(true).create(&name).unwrap();
    assert!(matches!(JoinableQueue::<[u8]>::open(&name), Err(Error::WrongKind { .. })));
    assert!(matches!(crate::Queue::<[u8]>::open(&name), Err(Error::WrongKind { .. })));
    jobs.send(b"1").unwrap();
    assert_eq!(*TallyQueue::open(&name).unwrap().recv().unwrap().detach(), *b"1");
    assert!(matches!(TallyQueue::anonymous(0), Err(Error::BadCapacity { .. })));
    assert!(matches!(TallyQueue::anonymous(usize::MAX), Err(Error::BadCapacity { .. })));
}

/// A peer writes what it likes into the counts: every call comes back, and none loses a message.
#[test]
fn nonsense_in_the_counts_ends_nothing() {
    let jobs = TallyQueue::anonymous(4).unwrap();
    let tally = jobs.core.store().pool.tally().unwrap();
    for (taken, done) in
        [(u64::MAX, 0), (0, u64::MAX), (u64::MAX - 1, u64::MAX), (0x3ff_fffe, 1 << 37), (77, 3), (0, 0)]
    {
        jobs.send(b"message").unwrap();
        tally.scribble(taken, done);
        let _ = (jobs.unfinished(), jobs.join_deadline(Deadline::NOW), jobs.task_done());
        tally.scribble(taken, done);
        assert_eq!(*jobs.recv().unwrap(), *b"message");
        let _ = (jobs.unfinished(), stat(&jobs), format!("{jobs:?}"));
    }
    let stop = crate::sync::AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut noise = 1_u64;
            while stop.load(Ordering::Relaxed) == 0 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                tally.scribble(noise, noise >> 7);
            }
        });
        let received = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..500 {
                jobs.send(b"message").unwrap();
                let _ = (jobs.task_done(), jobs.unfinished(), jobs.join_deadline(Deadline::NOW));
                // As often as it meets nonsense, it says so, and the message stays where it is.
                let message = loop {
                    match jobs.try_recv() {
                        Err(RecvError::Corrupt(_)) => {}
                        received => break received.unwrap(),
                    }
                };
                assert_eq!(*message, *b"message");
            }
        }));
        stop.store(1, Ordering::Relaxed);
        received.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

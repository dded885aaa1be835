use super::*;
use crate::segment::tests::fork;
use std::collections::HashSet;

const SOON: Duration = Duration::from_millis(5);

#[test]
fn a_task_is_done_once_and_joined() {
    let jobs = JoinableQueue::<u32>::anonymous(3).unwrap();
    jobs.join().unwrap();
    jobs.send_many(&[1, 2, 3], Deadline::NOW).unwrap();
    assert!(matches!(jobs.try_send(4), Err(SendError::Full)));
    assert!(matches!(jobs.join_timeout(SOON), Err(JoinError::Timeout)));
    let tasks: Vec<_> = (0..3).map(|_| jobs.try_recv().unwrap()).collect();
    assert_eq!(
        tasks.iter().map(|task| (**task, task.id(), task.deliveries())).collect::<Vec<_>>(),
        [(1, 0, 0), (2, 1, 0), (3, 2, 0)]
    );
    assert_eq!((jobs.len(), jobs.unfinished()), (0, 3));
    assert!(matches!(jobs.join_timeout(SOON), Err(JoinError::Timeout)), "in hand is not done");
    for task in tasks {
        task.done().unwrap();
    }
    jobs.join_timeout(SOON).unwrap();
    assert_eq!(jobs.unfinished(), 0);
}

#[test]
fn a_dropped_task_comes_back_first_with_its_number() {
    let jobs = JoinableQueue::<[u8]>::anonymous(4).unwrap();
    for message in [&b"one"[..], b"two", &[7; 1000], &[8; 100_000]] {
        jobs.send(message).unwrap();
    }
    let (one, two) = (jobs.recv().unwrap(), jobs.recv().unwrap());
    let (three, four) = (jobs.recv().unwrap(), jobs.recv().unwrap());
    assert_eq!(
        (&*one, &*two, &*three, &*four),
        (&b"one"[..], &b"two"[..], &[7; 1000][..], &[8; 100_000][..])
    );
    drop(two);
    drop(four);
    drop(one);
    assert_eq!((jobs.len(), jobs.is_empty()), (3, false));
    for (id, first) in [(0, b'o'), (1, b't'), (3, 8)] {
        let task = jobs.try_recv().unwrap();
        assert_eq!((task.id(), task.deliveries(), task[0]), (id, 1, first));
        task.done().unwrap();
    }
    assert!(matches!(jobs.try_recv(), Err(RecvError::Empty)));
    three.done().unwrap();
    jobs.join_timeout(SOON).unwrap();
}

#[test]
fn a_panic_gives_the_task_back() {
    let jobs = JoinableQueue::<[u8]>::anonymous(1).unwrap();
    jobs.send(b"hard").unwrap();
    for deliveries in 0..3 {
        let panic = std::panic::catch_unwind(|| {
            let task = jobs.try_recv().unwrap();
            assert_eq!(task.deliveries(), deliveries);
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(panic.unwrap_err().is::<()>());
        assert!(matches!(jobs.join_timeout(SOON), Err(JoinError::Timeout)));
    }
    jobs.recv().unwrap().done().unwrap();
    jobs.join().unwrap();
}

#[test]
fn a_worker_sends_into_its_own_queue_of_one_place() {
    let jobs = JoinableQueue::<u64>::anonymous(1).unwrap();
    jobs.send(10).unwrap();
    let mut done = 0;
    while let Ok(task) = jobs.try_recv() {
        if *task > 0 {
            jobs.send_timeout(*task - 1, Duration::from_secs(60)).unwrap();
        }
        task.done().unwrap();
        done += 1;
    }
    assert_eq!(done, 11);
    jobs.join().unwrap();
}

#[test]
fn nobody_leaves_before_the_last_task_is_done() {
    let jobs = JoinableQueue::<u64>::anonymous(8).unwrap();
    jobs.send_many(&[1, 2, 3], Deadline::NEVER).unwrap();
    jobs.close();
    let held = jobs.recv().unwrap();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut seen = Vec::new();
            while let Ok(task) = jobs.recv_until_finished(Deadline::NEVER) {
                seen.push((*task, task.deliveries()));
                task.done().unwrap();
            }
            seen
        });
        while jobs.unfinished() > 1 {
            std::thread::yield_now();
        }
        assert!(matches!(jobs.try_recv(), Err(RecvError::Closed)));
        assert!(matches!(jobs.recv_until_finished(Deadline::after(SOON)), Err(RecvError::Timeout)));
        drop(held);
        assert_eq!(worker.join().unwrap(), [(2, 0), (3, 0), (1, 1)]);
    });
    assert!(matches!(jobs.send(1), Err(SendError::Closed)));
}

#[test]
fn what_a_killed_worker_held_comes_back() {
    let jobs = JoinableQueue::<u64>::anonymous(16).unwrap();
    jobs.send_many(&[1, 2, 3, 4], Deadline::NEVER).unwrap();
    let mine = std::cell::Cell::new(Some(jobs.recv().unwrap()));
    let holding = fork(|| {
        // A copy of the parent's, taken out of the child's copy of the cell.
        let parents = mine.take().unwrap();
        assert_eq!(*parents, 1);
        assert!(matches!(parents.done(), Err(RecvError::Forked)));
        let tasks = [jobs.recv().unwrap(), jobs.recv().unwrap()];
        jobs.send(99).unwrap();
        std::mem::forget(tasks);
        loop {
            std::thread::park();
        }
    });
    // The child's message is the last of what it does.
    while jobs.unfinished() < 5 {
        std::thread::yield_now();
    }
    assert!(matches!(jobs.join_timeout(SOON), Err(JoinError::Timeout)));
    holding.kill();
    let mut seen = HashSet::new();
    for _ in 0..4 {
        let task = jobs.recv().unwrap();
        assert!(seen.insert((*task, task.id(), task.deliveries())));
        task.done().unwrap();
    }
    assert_eq!(seen, HashSet::from([(2, 1, 1), (3, 2, 1), (4, 3, 0), (99, 4, 0)]));
    mine.take().unwrap().done().unwrap();
    jobs.join().unwrap();
}

#[test]
fn a_joiner_is_woken_by_the_last_task() {
    let jobs = JoinableQueue::<u64>::anonymous(4).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for task in std::iter::from_fn(|| jobs.recv().ok()) {
                task.done().unwrap();
            }
        });
        for round in 0..200 {
            jobs.send_many(&[round; 7], Deadline::NEVER).unwrap();
            jobs.join().unwrap();
            assert_eq!(jobs.unfinished(), 0);
        }
        jobs.close();
    });
}

#[test]
fn a_message_nobody_survives_goes_to_the_dead_letters() {
    let letters = Queue::<[u8]>::anonymous(1).unwrap();
    let jobs = JoinableQueue::<[u8]>::anonymous(4).unwrap().with_dead_letters(2, &letters).unwrap();
    for message in [&b"first"[..], b"second"] {
        jobs.send(message).unwrap();
    }
    drop(jobs.recv().unwrap());
    drop(jobs.recv().unwrap());
    // The letters have no more space: delivered once more instead.
    letters.send(b"in the way").unwrap();
    let again = jobs.recv().unwrap();
    assert_eq!((&*again, again.deliveries()), (&b"first"[..], 2));
    drop(again);
    assert_eq!(letters.recv().unwrap()[..], *b"in the way");
    let second = jobs.recv().unwrap();
    assert_eq!(&*second, b"second");
    assert_eq!(letters.recv().unwrap()[..], *b"first");
    second.done().unwrap();
    jobs.join_timeout(SOON).unwrap();

    let dropping = jobs.with_drop_after(1).unwrap();
    jobs.send(b"third").unwrap();
    drop(dropping.recv().unwrap());
    assert!(matches!(dropping.try_recv(), Err(RecvError::Empty)));
    jobs.join_timeout(SOON).unwrap();
}

#[test]
fn a_task_outlives_its_handle_and_peers_that_are_not_trusted_see_copies() {
    let jobs = JoinableQueue::<[u8]>::anonymous(4).unwrap();
    let fd = std::os::fd::AsFd::as_fd(&jobs).try_clone_to_owned().unwrap();
    let other = JoinableQueue::<[u8]>::options().trusted(false).from_fd(fd).unwrap();
    let mut loan = other.reserve(3000, Deadline::NOW).unwrap();
    loan.fill(3);
    loan.truncate(2000);
    loan.commit().unwrap();
    let task = other.recv().unwrap().detach();
    drop(other);
    assert_eq!(&*task, [3; 2000]);
    drop(task);
    let task = jobs.recv().unwrap().detach();
    assert_eq!((&task[..], task.deliveries()), (&[3; 2000][..], 1));
    drop(jobs);
    task.done().unwrap();
}

#[test]
fn another_kind_or_type_does_not_open() {
    let name = format!("joinable-type-{}", std::process::id());
    let jobs = JoinableQueue::<u8>::options().capacity(3).ephemeral(true).create(&name).unwrap();
    assert!(matches!(JoinableQueue::<u16>::open(&name), Err(Error::WrongElement { .. })));
    assert!(matches!(JoinableQueue::<[u8]>::open(&name), Err(Error::WrongElement { .. })));
    assert!(matches!(Queue::<u8>::open(&name), Err(Error::WrongKind { .. })));
    assert!(matches!(Queue::<[u8]>::open(&name), Err(Error::WrongKind { .. })));
    jobs.send(1).unwrap();
    let task = JoinableQueue::<u8>::open(&name).unwrap().recv().unwrap().detach();
    assert_eq!(*task, 1);
    assert!(matches!(JoinableQueue::<u8>::anonymous(0), Err(Error::BadCapacity { .. })));
    assert!(matches!(JoinableQueue::<u8>::anonymous(usize::MAX), Err(Error::BadCapacity { .. })));
    assert!(matches!(JoinableQueue::<[u8; 0]>::anonymous(1), Err(Error::BadElement { .. })));
}

#[test]
fn a_queue_without_memory_is_full() {
    let jobs = JoinableQueue::<u64>::options().capacity(2).max_held(1).anonymous().unwrap();
    let held: Vec<_> = (0..3)
        .map(|number| {
            assert!(!jobs.is_full());
            jobs.send(number).unwrap();
            jobs.recv().unwrap()
        })
        .collect();
    assert!(jobs.is_empty() && jobs.is_full());
    assert!(matches!(jobs.try_send(3), Err(SendError::Full)));
    drop(held);
    assert!(jobs.is_full(), "what came back has its memory still");
    jobs.recv().unwrap().done().unwrap();
    assert!(!jobs.is_full());
}

#[test]
fn no_task_outlives_the_counting_of_its_deliveries() {
    for limit in [63, 64, u8::MAX] {
        let jobs = JoinableQueue::<u64>::anonymous(2).unwrap().with_drop_after(limit).unwrap();
        jobs.send(1).unwrap();
        let delivered = core::iter::from_fn(|| jobs.try_recv().ok()).take(100).count();
        assert_eq!((delivered, jobs.unfinished()), (63, 0), "{limit}");
    }
}

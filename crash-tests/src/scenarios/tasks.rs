//! Queues of tasks: what is received is gone only when it is done.

mod sweeps;
mod wakes;

use super::pooled::{Found, all_chunks, all_memory_is_free, numbers};
use crate::process::{elsewhere, patience};
use crate::scenario::{Death, Scenario, operation};
use process_tests::message::Fixed;
use ringway::queue::Task;
use ringway::{Deadline, JoinableQueue, RecvError, SendError, Wait};

type Jobs = JoinableQueue<Fixed>;

/// Places for participants: the survivor's, the victim's, and one for who must take the dead one's.
const PLACES: u16 = 3;

fn create(capacity: usize) -> Jobs {
    let options = Jobs::options().capacity(capacity).max_held(1).participants(PLACES).wait(Wait::Park);
    options.create("queue").unwrap()
}

fn open() -> Jobs {
    Jobs::options().wait(Wait::Park).open("queue").unwrap()
}

/// A queue with some tasks in it, the first of which is number 0.
fn with(capacity: usize, tasks: u64) -> Jobs {
    let jobs = create(capacity);
    // Not from the first slot on, so that they go over the end.
    jobs.send(Fixed::new(9)).unwrap();
    jobs.recv().unwrap().done().unwrap();
    (0..tasks).for_each(|number| jobs.try_send(Fixed::new(number)).unwrap());
    jobs
}

fn found(task: &Task<'_, Fixed>) -> Found {
    Found { number: task.check().unwrap(), id: task.id(), deliveries: task.deliveries() }
}

/// Does all tasks that can be received without waiting.
fn do_all(jobs: &Jobs) -> Vec<Found> {
    let mut all = vec![];
    loop {
        match jobs.recv_deadline(Deadline::NOW) {
            Ok(task) => {
                all.push(found(&task));
                task.done().unwrap();
            }
            Err(RecvError::Timeout | RecvError::Closed) => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

/// All is done, and everybody knows. Others come, take the places of the dead, and have all of the queue.
fn must_be_as_good_as_new(jobs: Jobs) {
    assert_eq!(jobs.unfinished(), 0);
    jobs.join_timeout(patience()).expect("nothing is left to be done");
    all_memory_is_free();
    if !jobs.is_closed() {
        let capacity = jobs.capacity() as u64;
        let filled = elsewhere(move || {
            let jobs = open();
            let mut held = vec![];
            let mut number = 100;
            // As many in hand as there is memory for, and then as many as the queue holds.
            for _ in 0..all_chunks() - capacity {
                jobs.try_send(Fixed::new(50)).unwrap();
                held.push(jobs.try_recv().unwrap());
            }
            while jobs.try_send(Fixed::new(number)).is_ok() {
                number += 1;
            }
            assert!(matches!(jobs.join_deadline(Deadline::NOW), Err(ringway::queue::JoinError::Timeout)));
            held.into_iter().for_each(|task| task.done().unwrap());
            (100..number).collect()
        });
        assert_eq!(filled.len() as u64, capacity, "not all of the queue can be used");
        let all = numbers(&do_all(&jobs));
        assert!(all.iter().copied().eq(100..100 + capacity), "{all:?}");
        jobs.join_timeout(patience()).expect("nothing is left to be done");
        all_memory_is_free();
        jobs.close();
    }
    assert!(matches!(jobs.recv(), Err(RecvError::Closed)));
    assert!(matches!(jobs.recv_until_finished(Deadline::NEVER), Err(RecvError::Closed)));
    ringway::unlink("queue").unwrap();
}

/// `before` tasks were there when the victim began to send `sending` more.
fn survives_sender(jobs: Jobs, before: u64, sending: u64, death: Death) -> u64 {
    let all = do_all(&jobs);
    let count = all.len() as u64;
    assert!(all.iter().all(|found| found.deliveries == 0), "{all:?}");
    assert!(numbers(&all).into_iter().eq(0..count), "{all:?}");
    let came = count.checked_sub(before).expect("a task is lost that was sent before");
    assert!(came <= sending && (came == sending || !death.after), "{came} tasks of {sending}");
    must_be_as_good_as_new(jobs);
    came
}

/// How often task 0 of `tasks` was tried before it came again; `None` if it did not. All others came once.
fn fate_of_the_first(jobs: &Jobs, tasks: u64) -> Option<u8> {
    let mut all = do_all(jobs);
    all.sort_unstable();
    // The task that went ahead has id 0.
    assert!(all.iter().all(|found| found.id == found.number + 1), "{all:?}");
    let first = all.first().copied().filter(|found| found.number == 0);
    let others = &all[usize::from(first.is_some())..];
    assert!(others.iter().all(|found| found.deliveries == 0), "{all:?}");
    assert!(others.iter().map(|found| found.number).eq(1..tasks), "{all:?}");
    first.map(|found| found.deliveries)
}

/// The victim receives task 0, which was tried so often `before`, and does it.
fn survives_worker(jobs: Jobs, tasks: u64, before: u8, death: Death) -> u64 {
    let fate = fate_of_the_first(&jobs, tasks);
    must_be_as_good_as_new(jobs);
    match fate {
        None => 2,
        Some(again) if again == before || again == before + 1 => {
            assert!(!death.after, "it comes again though it was done");
            u64::from(again - before)
        }
        Some(again) => panic!("it was tried {again} times, and {before} before"),
    }
}

/// The victim receives task 0 and gives it back.
fn survives_return(jobs: Jobs, tasks: u64, before: u8, death: Death) -> u64 {
    let fate = fate_of_the_first(&jobs, tasks);
    must_be_as_good_as_new(jobs);
    let again = fate.expect("a task that was not done is lost");
    assert!(again == before + 1 || again == before && !death.after, "{again}");
    u64::from(again - before)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = senders();
    all.extend(workers());
    all.extend(wakes::scenarios());
    all.extend(sweeps::scenarios());
    all.extend(ends());
    all
}

fn senders() -> Vec<Scenario> {
    let sends = |name, capacity: usize, before: u64, sending: u64, victim: fn(Jobs)| {
        Scenario::new(
            name,
            move || with(capacity, before),
            move |_| victim(open()),
            move |jobs, death| survives_sender(jobs, before, sending, death),
        )
    };
    vec![
        sends("tasks/send", 3, 1, 1, |jobs| operation(|| jobs.send(Fixed::new(1)).unwrap())),
        sends("tasks/send-one-place", 1, 0, 1, |jobs| operation(|| jobs.send(Fixed::new(0)).unwrap())),
        sends("tasks/try-send-full", 2, 2, 0, |jobs| {
            operation(|| assert!(matches!(jobs.try_send(Fixed::new(2)), Err(SendError::Full))));
        }),
    ]
}

fn workers() -> Vec<Scenario> {
    let done = |jobs: Jobs| operation(|| jobs.recv().unwrap().done().unwrap());
    let dropped = |jobs: Jobs| operation(|| drop(jobs.recv().unwrap()));
    let works = |name, capacity: usize, tasks: u64, victim: fn(Jobs)| {
        Scenario::new(
            name,
            move || with(capacity, tasks),
            move |_| victim(open()),
            move |jobs, death| survives_worker(jobs, tasks, 0, death),
        )
    };
    // It came back before.
    let again = || {
        let jobs = with(3, 3);
        drop(jobs.recv().unwrap());
        jobs
    };
    vec![
        works("tasks/recv-done", 3, 3, done),
        works("tasks/recv-done-one-place", 1, 1, done),
        works("tasks/recv-until-finished", 3, 1, |jobs| {
            jobs.close();
            operation(|| {
                jobs.recv_until_finished(Deadline::NEVER).unwrap().done().unwrap();
                assert!(matches!(jobs.recv_until_finished(Deadline::NEVER), Err(RecvError::Closed)));
            });
        }),
        Scenario::new(
            "tasks/recv-drop",
            || with(3, 3),
            move |_| dropped(open()),
            |jobs, death| survives_return(jobs, 3, 0, death),
        ),
        Scenario::new(
            "tasks/orphan-done",
            again,
            move |_| done(open()),
            |jobs, death| survives_worker(jobs, 3, 1, death),
        ),
        Scenario::new(
            "tasks/orphan-drop",
            again,
            move |_| dropped(open()),
            |jobs, death| survives_return(jobs, 3, 1, death),
        ),
        // Into the only place of the queue the task was received from.
        Scenario::new(
            "tasks/send-while-working",
            || with(1, 1),
            |_| {
                let jobs = open();
                let task = jobs.recv().unwrap();
                operation(|| {
                    jobs.send(Fixed::new(1)).unwrap();
                    task.done().unwrap();
                });
            },
            |jobs, death| {
                let mut all: Vec<_> =
                    do_all(&jobs).iter().map(|found| (found.number, found.deliveries)).collect();
                all.sort_unstable();
                must_be_as_good_as_new(jobs);
                match all[..] {
                    [(0, 1)] if !death.after => 0,
                    [(0, 1), (1, 0)] if !death.after => 1,
                    [(1, 0)] => 2,
                    _ => panic!("{all:?}"),
                }
            },
        ),
        Scenario::new(
            "tasks/join",
            || with(3, 0),
            |_| {
                let jobs = open();
                operation(|| jobs.join().unwrap());
            },
            |jobs, death| survives_sender(jobs, 0, 0, death),
        ),
    ]
}

fn ends() -> Vec<Scenario> {
    vec![
        // With a task that somebody works on.
        Scenario::new(
            "tasks/close",
            || {
                let jobs = with(3, 2);
                (jobs.recv().unwrap().detach(), jobs)
            },
            |_| {
                let jobs = open();
                operation(|| assert!(jobs.close()));
            },
            |(task, jobs), death| {
                let closed = jobs.is_closed();
                assert!(closed || !death.after, "not closed though the call had returned");
                match jobs.try_send(Fixed::new(2)) {
                    Err(SendError::Closed) if closed => {}
                    Ok(()) if !closed => {}
                    other => panic!("closed: {closed}, but {other:?}"),
                }
                drop(task);
                let mut all: Vec<_> =
                    do_all(&jobs).iter().map(|found| (found.number, found.deliveries)).collect();
                all.sort_unstable();
                assert_eq!(all, [(0, 1), (1, 0), (2, 0)][..if closed { 2 } else { 3 }]);
                must_be_as_good_as_new(jobs);
                closed.into()
            },
        ),
        policy("tasks/drop-after", false),
        policy("tasks/dead-letters", true),
    ]
}

/// A worker gave task 0 back, and the victim gives it up.
fn policy(name: &'static str, to_letters: bool) -> Scenario {
    type Letters = ringway::Queue<Fixed>;
    let letters = || Letters::options().participants(PLACES).open("letters").unwrap();
    Scenario::new(
        name,
        move || {
            let jobs = with(2, 2);
            drop(jobs.recv().unwrap());
            Letters::options().capacity(2).participants(PLACES).create("letters").unwrap();
            jobs
        },
        move |_| {
            let jobs = open();
            let jobs = if to_letters {
                jobs.with_dead_letters(1, &letters()).unwrap()
            } else {
                jobs.with_drop_after(1).unwrap()
            };
            operation(|| {
                let next = jobs.try_recv().unwrap();
                assert_eq!(next.check(), Ok(1));
                next.done().unwrap();
            });
        },
        move |jobs, death| {
            let mut left: Vec<_> =
                do_all(&jobs).iter().map(|found| (found.number, found.deliveries)).collect();
            left.sort_unstable();
            let effect = match left[..] {
                [(0, again @ 1..=2), (1, 0)] => u64::from(again) - 1,
                [(1, again @ 0..=1)] => 2 + u64::from(again),
                [] => 4,
                _ => panic!("{left:?}"),
            };
            assert!(effect == 4 || !death.after, "{left:?}");
            let letters = letters();
            let posted: Vec<_> = letters.try_iter().map(|letter| letter.check().unwrap()).collect();
            // It may be both posted and delivered again, but never neither.
            assert!(posted.is_empty() || posted == [0] && to_letters, "{posted:?} {left:?}");
            assert!(!to_letters || effect < 2 || posted == [0], "no letter: {left:?}");
            drop(letters);
            ringway::unlink("letters").unwrap();
            must_be_as_good_as_new(jobs);
            effect
        },
    )
}

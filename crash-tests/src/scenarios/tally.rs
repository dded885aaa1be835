//! Queues that count what was handed out and what is done.

use super::pooled::{
    CHUNK, Found, Remains, all_chunks, all_memory_is_free, message, numbers, read, reserve_everything,
    sleep_until_woken,
};
use crate::process::{Process, elsewhere, killed_elsewhere, patience};
use crate::scenario::{Death, Scenario, operation};
use ringway::queue::{DoneError, JoinError, Message};
use ringway::{Deadline, RecvError, SendError, TallyQueue, Wait};

type Jobs = TallyQueue;

/// Places for participants: the survivor's, the victim's, and one for who must take the dead one's.
const PLACES: u16 = 3;

fn create(capacity: usize) -> Jobs {
    let options = Jobs::options().capacity(capacity).max_held(1).message_size(CHUNK).max_bytes(0);
    options.participants(PLACES).wait(Wait::Park).create("queue").unwrap()
}

fn open() -> Jobs {
    Jobs::options().wait(Wait::Park).open("queue").unwrap()
}

fn send(jobs: &Jobs, number: u64) -> Result<(), SendError> {
    jobs.try_send(&message(number, CHUNK))
}

/// A queue with some messages in it, the first of which is number 0.
fn with(capacity: usize, messages: u64) -> Jobs {
    let jobs = create(capacity);
    // Not from the first slot on, so that they go over the end.
    send(&jobs, 9).unwrap();
    drop(jobs.recv().unwrap());
    jobs.task_done().unwrap();
    (0..messages).for_each(|number| send(&jobs, number).unwrap());
    jobs
}

fn found(message: &Message<'_>) -> Found {
    Found { number: read(message), id: message.id(), deliveries: message.deliveries() }
}

/// Receives what can be received without waiting, oldest first.
fn take_all(jobs: &Jobs) -> Vec<Found> {
    let mut all = vec![];
    loop {
        match jobs.recv_deadline(Deadline::NOW) {
            Ok(message) => all.push(found(&message)),
            Err(RecvError::Timeout | RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    all.sort_unstable();
    all
}

fn is_finished(jobs: &Jobs) -> bool {
    match jobs.join_deadline(Deadline::NOW) {
        Ok(()) => true,
        Err(JoinError::Timeout) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Exactly so many messages are unfinished: that is said, whoever joins waits until so many are done, and then nobody can be
/// done any more.
fn must_be_unfinished(jobs: &Jobs, messages: u64) {
    for left in (0..=messages).rev() {
        assert_eq!((jobs.unfinished(), is_finished(jobs)), (left, left == 0), "of {messages} messages");
        let done = jobs.task_done();
        assert!(
            if left > 0 { done.is_ok() } else { matches!(done, Err(DoneError::TooMany)) },
            "{done:?} with {left} of {messages} messages left"
        );
    }
    jobs.join_timeout(patience()).expect("all are done");
}

/// Nothing is in it, and all is done. Others come, take the places of the dead, and have all of it.
fn must_be_as_good_as_new(jobs: Jobs) {
    must_be_unfinished(&jobs, 0);
    all_memory_is_free();
    if !jobs.is_closed() {
        let capacity = jobs.capacity() as u64;
        let filled = elsewhere(move || {
            let jobs = open();
            reserve_everything(0, |len| jobs.try_reserve(len));
            // As many in hand as there is memory for, and then as many as the queue holds.
            for _ in 0..all_chunks() - capacity {
                send(&jobs, 50).unwrap();
                std::mem::forget(jobs.try_recv().unwrap());
                jobs.task_done().unwrap();
            }
            (100..).take_while(|&number| send(&jobs, number).is_ok()).collect()
        });
        assert_eq!(filled.len() as u64, capacity, "not all of the queue can be used");
        let all = numbers(&take_all(&jobs));
        assert!(all.iter().copied().eq(100..100 + capacity), "{all:?}");
        must_be_unfinished(&jobs, capacity);
        // What the others had in hand comes back when somebody takes their place.
        elsewhere(|| {
            drop(open());
            vec![]
        });
        all_memory_is_free();
        jobs.close();
    }
    assert!(matches!(jobs.recv(), Err(RecvError::Closed)));
    ringway::unlink("queue").unwrap();
}

/// `before` messages were there when the victim began to send `sending` more.
fn survives_sender(jobs: Jobs, before: u64, sending: u64, death: Death) -> u64 {
    let unfinished = jobs.unfinished();
    let all = take_all(&jobs);
    let count = all.len() as u64;
    assert!(all.iter().all(|found| found.deliveries == 0), "{all:?}");
    assert!(numbers(&all).into_iter().eq(0..count), "{all:?}");
    let came = count.checked_sub(before).expect("a message is lost that was sent before");
    assert!(came <= sending && (came == sending || !death.after), "{came} messages of {sending}");
    assert_eq!(unfinished, count);
    must_be_unfinished(&jobs, count);
    must_be_as_good_as_new(jobs);
    came
}

/// The victim received number 0 of `messages`, which came so often `before`, and was done with none. It is there again, or it
/// is gone: unfinished it is either way.
fn survives_receiver(jobs: Jobs, messages: u64, before: u8, death: Death) -> u64 {
    assert_eq!((jobs.unfinished(), is_finished(&jobs)), (messages, messages == 0));
    let all = take_all(&jobs);
    // The message that went ahead has id 0.
    assert!(all.iter().all(|found| found.id == found.number + 1), "{all:?}");
    let first = all.first().copied().filter(|found| found.number == 0);
    let others = &all[usize::from(first.is_some())..];
    assert!(others.iter().all(|found| found.deliveries == 0), "{all:?}");
    assert!(others.iter().map(|found| found.number).eq(1..messages), "{all:?}");
    must_be_unfinished(&jobs, messages);
    must_be_as_good_as_new(jobs);
    match first.map(|found| found.deliveries) {
        None => 2,
        Some(again) if again == before || again == before + 1 => {
            assert!(!death.after, "it comes again though it was received");
            u64::from(again - before)
        }
        Some(again) => panic!("it came {again} times before, and {before} were expected"),
    }
}

/// `messages` were sent and not done when the victim said once that one is, if it was to be allowed.
fn survives_done(jobs: Jobs, messages: u64, may: bool, death: Death) -> u64 {
    let unfinished = jobs.unfinished();
    let done = messages.checked_sub(unfinished).expect("no fewer are done");
    assert!(done <= u64::from(may), "{done} are done");
    assert!(!death.after || done == u64::from(may), "it was not done though the call had returned");
    take_all(&jobs);
    must_be_unfinished(&jobs, unfinished);
    must_be_as_good_as_new(jobs);
    done
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = senders();
    all.extend(receivers());
    all.extend(enders());
    all.extend(sleepers());
    all.extend(sweepers());
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
        sends("tally/send", 3, 1, 1, |jobs| {
            let message = message(1, CHUNK);
            operation(|| jobs.send(&message).unwrap());
        }),
        sends("tally/try-send-full", 2, 2, 0, |jobs| {
            let message = message(2, CHUNK);
            operation(|| assert!(matches!(jobs.try_send(&message), Err(SendError::Full))));
        }),
    ]
}

fn receivers() -> Vec<Scenario> {
    let receives = |name, capacity: usize, messages: u64, victim: fn(Jobs)| {
        Scenario::new(
            name,
            move || with(capacity, messages),
            move |_| victim(open()),
            move |jobs, death| survives_receiver(jobs, messages, 0, death),
        )
    };
    vec![
        receives("tally/recv", 3, 3, |jobs| operation(|| std::mem::forget(jobs.recv().unwrap()))),
        receives("tally/recv-drop-one-place", 1, 1, |jobs| operation(|| drop(jobs.recv().unwrap()))),
        receives("tally/recv-into", 3, 2, |jobs| {
            let mut buffer = Vec::with_capacity(CHUNK);
            operation(|| jobs.recv_into(&mut buffer, Deadline::NEVER).unwrap());
            assert_eq!(read(&buffer), 0);
        }),
    ]
}

fn enders() -> Vec<Scenario> {
    let ends = |name, setup: fn() -> Jobs, messages: u64, may: bool, victim: fn(Jobs)| {
        Scenario::new(
            name,
            setup,
            move |_| victim(open()),
            move |jobs, death| survives_done(jobs, messages, may, death),
        )
    };
    let taken = || {
        let jobs = with(3, 3);
        drop(jobs.recv().unwrap());
        jobs
    };
    // Two of three are done, and all are in the queue.
    let early = || {
        let jobs = with(3, 3);
        (0..2).for_each(|_| jobs.task_done().unwrap());
        jobs
    };
    let all_early = || {
        let jobs = with(3, 1);
        jobs.task_done().unwrap();
        jobs
    };
    let done = |jobs: Jobs| operation(|| jobs.task_done().unwrap());
    let too_many = |jobs: Jobs| {
        operation(|| assert!(matches!(jobs.task_done(), Err(DoneError::TooMany))));
    };
    let join = |jobs: Jobs| operation(|| jobs.join().unwrap());
    vec![
        ends("tally/done", taken, 3, true, done),
        ends("tally/done-early", early, 1, true, done),
        ends("tally/done-too-many", || with(3, 0), 0, false, too_many),
        ends("tally/done-too-many-early", all_early, 0, false, too_many),
        ends(
            "tally/recv-empty",
            || with(3, 0),
            0,
            false,
            |jobs| {
                operation(|| assert!(matches!(jobs.try_recv(), Err(RecvError::Empty))));
            },
        ),
        ends("tally/join", || with(3, 0), 0, false, join),
        ends("tally/join-early", all_early, 0, false, join),
        Scenario::new(
            "tally/recv-done",
            || with(3, 3),
            |_| {
                let jobs = open();
                operation(|| {
                    drop(jobs.recv().unwrap());
                    jobs.task_done().unwrap();
                });
            },
            |jobs, death| {
                let unfinished = jobs.unfinished();
                let all = take_all(&jobs);
                let effect = match (unfinished, &numbers(&all)[..]) {
                    (3, [0, 1, 2]) => all[0].deliveries.into(),
                    (3, [1, 2]) => 2,
                    (2, [1, 2]) => 3,
                    other => panic!("{other:?}"),
                };
                assert!(effect == 3 || !death.after);
                must_be_unfinished(&jobs, unfinished);
                must_be_as_good_as_new(jobs);
                effect
            },
        ),
    ]
}

/// Somebody joins and sleeps, without slices where those can be turned off, and is woken by the victim or who follows it.
fn sleepers() -> Vec<Scenario> {
    let wakes = |name, is_early: bool| {
        Scenario::new(
            name,
            move || {
                sleep_until_woken();
                let jobs = with(3, 1);
                if !is_early {
                    drop(jobs.recv().unwrap());
                }
                let joiner = Process::start("the joiner", || {
                    let jobs = open();
                    jobs.join().unwrap();
                    vec![jobs.unfinished()]
                });
                joiner.until_asleep();
                (jobs, joiner)
            },
            |_| {
                let jobs = open();
                operation(|| jobs.task_done().unwrap());
            },
            move |(jobs, joiner), death| {
                let unfinished = jobs.unfinished();
                assert!(unfinished == 0 || unfinished == 1 && !death.after, "{unfinished}");
                if !death.after {
                    // Whoever is done after it, tells.
                    send(&jobs, 1).unwrap();
                    take_all(&jobs);
                    (0..=unfinished).for_each(|_| jobs.task_done().unwrap());
                }
                assert_eq!(joiner.join(), [0]);
                take_all(&jobs);
                must_be_as_good_as_new(jobs);
                1 - unfinished
            },
        )
    };
    vec![wakes("tally/done-wakes-joiner", false), wakes("tally/done-early-wakes-joiner", true)]
}

/// Somebody received the first of three messages and died in the middle of counting it: it was counted already, or not. The
/// victim comes upon that, and dies over it.
fn sweepers() -> Vec<Scenario> {
    let mut all = vec![];
    for (is_counted, what) in [(true, "counted"), (false, "uncounted")] {
        let die = move |dead| {
            killed_elsewhere(|| {
                let jobs = open();
                jobs.recv().unwrap().detach()
            });
            Remains::of(dead).was_counting(3, is_counted);
        };
        all.push(Scenario::new(
            format!("tally/sweep-{what}-at-open"),
            move || {
                let jobs = with(3, 3);
                die(2);
                jobs
            },
            |_| {
                super::ring::know_oneself();
                drop(operation(open));
            },
            move |jobs, _| survives_counting(jobs, is_counted, false, Death { before: false, after: false }),
        ));
        let come = |name: String, takes: bool, victim: fn(&Jobs)| {
            Scenario::new(
                name,
                || with(3, 3),
                move |_| {
                    let jobs = open();
                    die(3);
                    operation(|| victim(&jobs));
                },
                move |jobs, death| survives_counting(jobs, is_counted, takes, death),
            )
        };
        let look = |jobs: &Jobs| {
            assert!(matches!(jobs.join_deadline(Deadline::NOW), Err(JoinError::Timeout)));
        };
        all.push(come(format!("tally/sweep-{what}"), false, look));
        all.push(come(format!("tally/unfinished-{what}"), false, |jobs| assert_eq!(jobs.unfinished(), 3)));
        all.push(come(format!("tally/recv-{what}"), true, |jobs| std::mem::forget(jobs.recv().unwrap())));
    }
    all
}

/// Of three messages the first was on its way to one that is dead, and the victim came upon it, perhaps receiving one itself.
fn survives_counting(jobs: Jobs, is_counted: bool, takes: bool, death: Death) -> u64 {
    assert_eq!((jobs.unfinished(), is_finished(&jobs)), (3, false));
    let all = take_all(&jobs);
    let left: Vec<_> = all.iter().map(|found| (found.number, found.deliveries)).collect();
    // What was counted never comes again; what was not, does, once more for each that dies with it.
    let effect = match left[..] {
        [(1, 0), (2, 0)] if is_counted => 0,
        [(1, 1), (2, 0)] if is_counted && takes => 1,
        [(2, 0)] if is_counted && takes => 2,
        [(0, 1), (1, 0), (2, 0)] if !is_counted => 0,
        // The victim may have had the first, which came back, or the second.
        [(0, 2), (1, 0), (2, 0)] | [(0, 1), (1, 1), (2, 0)] if !is_counted && takes => 1,
        [(1, 0), (2, 0)] | [(0, 1), (2, 0)] if !is_counted && takes => 2,
        _ => panic!("{left:?}"),
    };
    assert!(effect == 2 || !(takes && death.after), "{left:?}");
    must_be_unfinished(&jobs, 3);
    must_be_as_good_as_new(jobs);
    effect
}

//! Queues: many senders, many receivers, and whoever comes along repairs.

use crate::process::{Process, elsewhere, killed_elsewhere, patience, place};
use crate::scenario::{Death, Scenario, operation};
use process_tests::message::Fixed;
use ringway::{Deadline, Queue, RecvError, SendError, Wait};
use std::fs::File;
use std::os::unix::fs::FileExt;

type Jobs = Queue<Fixed>;

/// Places for participants: the survivor's, the victim's, and one for who must take the dead one's.
const PLACES: u16 = 3;

fn create(capacity: usize) -> Jobs {
    Jobs::options().capacity(capacity).participants(PLACES).wait(Wait::Park).create("queue").unwrap()
}

fn open() -> Jobs {
    Jobs::options().wait(Wait::Park).open("queue").unwrap()
}

/// A queue with some messages in it, the first of which is number 0.
fn with(capacity: usize, messages: u64) -> Jobs {
    let jobs = create(capacity);
    // Not from the first slot on, so that the messages go over the end.
    jobs.send(Fixed::new(9)).unwrap();
    jobs.recv().unwrap();
    (0..messages).for_each(|number| jobs.try_send(Fixed::new(number)).unwrap());
    jobs
}

/// What can be received without waiting: numbers, and how often each was tried before.
fn take_all(jobs: &Jobs) -> Vec<(u64, u8)> {
    let mut all = vec![];
    loop {
        match jobs.recv_with_id(Deadline::NOW) {
            Ok(received) => all.push((received.value.check().unwrap(), received.deliveries)),
            Err(RecvError::Timeout | RecvError::Closed) => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The queue is empty. Others come, take the places of the dead, and have all of it.
fn must_be_as_good_as_new(jobs: Jobs) {
    let capacity = jobs.capacity() as u64;
    let filled = elsewhere(move || {
        let jobs = open();
        (100..).take_while(|&number| jobs.try_send(Fixed::new(number)).is_ok()).collect()
    });
    assert_eq!(filled.len() as u64, capacity, "not all of the queue can be used");
    let all = take_all(&jobs);
    assert!(all.iter().map(|&(number, _)| number).eq(100..100 + capacity), "{all:?}");
    assert!(jobs.is_empty() && !jobs.is_full());
    jobs.close();
    assert!(matches!(jobs.recv(), Err(RecvError::Closed)));
    ringway::unlink("queue").unwrap();
}

/// `before` messages were there when the victim began to send `sending` more.
fn survives_sender(jobs: Jobs, before: u64, sending: u64, death: Death) -> u64 {
    let all = take_all(&jobs);
    let count = all.len() as u64;
    assert!(
        all.iter().map(|&(number, again)| (number, again)).eq((0..count).map(|number| (number, 0))),
        "{all:?}"
    );
    let came = count.checked_sub(before).expect("a message is lost that was sent before");
    assert!(came <= sending && (came == sending || !death.after), "{came} messages of {sending}");
    must_be_as_good_as_new(jobs);
    came
}

/// The victim began to receive the first `receiving` of `messages`. What it has not taken comes again, late.
fn survives_receiver(jobs: Jobs, messages: u64, receiving: u64, death: Death) -> u64 {
    let all = take_all(&jobs);
    let again: Vec<_> = all.iter().filter(|&&(_, again)| again > 0).collect();
    assert!(again.len() <= 1, "more than one message comes again: {all:?}");
    let mut numbers: Vec<u64> = all.iter().map(|&(number, _)| number).collect();
    numbers.sort_unstable();
    let taken = messages - numbers.len() as u64;
    assert!(numbers.iter().copied().eq(taken..messages), "not the first ones are gone: {all:?}");
    assert!(taken <= receiving && (taken == receiving || !death.after), "{all:?}");
    must_be_as_good_as_new(jobs);
    2 * taken + again.len() as u64
}

const WRITING: u64 = 1;
const READING: u64 = 3;

/// Leaves a slot, in the first lap, as somebody would who died in the middle: its word, with the owner in it.
fn leave_in_hand(capacity: u64, slot: u64, state: u64) {
    // Index 2: we are 1, and the dead came next.
    killed_elsewhere(open);
    let path = place().join("queue");
    let file = File::options().read(true).write(true).open(path).unwrap();
    let word = |at| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    };
    let data_at = word(72); // as the header says
    let at = data_at + slot * 64;
    file.write_all_at(&(word(at) & !0x3_ffff | state << 16 | 2).to_ne_bytes(), at).unwrap();
    // Who claims tells the next one to look further: the hints lie in lines of their own, first the tail.
    let hint = word(56) + if state == READING { 128 } else { 0 };
    let next = if slot + 1 < capacity { slot + 1 } else { 1 << 24 };
    file.write_all_at(&next.to_ne_bytes(), hint).unwrap();
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = senders();
    all.extend(receivers());
    all.extend(sleepers());
    all.extend(repairers());
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
        sends("queue/send", 3, 1, 1, |jobs| operation(|| jobs.send(Fixed::new(1)).unwrap())),
        sends("queue/send-one-place", 1, 0, 1, |jobs| operation(|| jobs.send(Fixed::new(0)).unwrap())),
        sends("queue/try-send-full", 2, 2, 0, |jobs| {
            operation(|| assert!(matches!(jobs.try_send(Fixed::new(2)), Err(SendError::Full))));
        }),
        sends("queue/send-many", 4, 1, 3, |jobs| {
            let batch = [1, 2, 3].map(Fixed::new);
            operation(|| jobs.send_many(&batch).unwrap());
        }),
        sends("queue/drop", 3, 2, 0, |jobs| operation(|| drop(jobs))),
        Scenario::new(
            "queue/open",
            || with(3, 2),
            |_| {
                super::ring::know_oneself();
                drop(operation(open));
            },
            |jobs, death| survives_sender(jobs, 2, 0, death),
        ),
    ]
}

fn receivers() -> Vec<Scenario> {
    let receives = |name, capacity: usize, messages: u64, receiving: u64, victim: fn(Jobs)| {
        Scenario::new(
            name,
            move || with(capacity, messages),
            move |_| victim(open()),
            move |jobs, death| survives_receiver(jobs, messages, receiving, death),
        )
    };
    vec![
        receives("queue/recv", 3, 3, 1, |jobs| operation(|| expect(0, jobs.recv()))),
        receives("queue/recv-one-place", 1, 1, 1, |jobs| operation(|| expect(0, jobs.recv()))),
        receives("queue/try-recv-empty", 2, 0, 0, |jobs| {
            operation(|| assert!(matches!(jobs.try_recv(), Err(RecvError::Empty))));
        }),
        receives("queue/recv-many", 4, 4, 3, |jobs| {
            let mut batch = Vec::with_capacity(4);
            operation(|| assert_eq!(jobs.recv_many(&mut batch, 3, Deadline::NOW).unwrap(), 3));
        }),
    ]
}

/// The victim sleeps, is woken, and may take the wake-up along.
fn sleepers() -> Vec<Scenario> {
    vec![
        Scenario::with_partner(
            "queue/recv-asleep",
            || (with(2, 0), false),
            |_| {
                let jobs = open();
                operation(|| expect(0, jobs.recv()));
            },
            |(jobs, sent)| {
                if !*sent {
                    jobs.try_send(Fixed::new(0)).unwrap();
                    *sent = true;
                }
            },
            |(jobs, sent), death| survives_receiver(jobs, sent.into(), 1, death) + u64::from(sent),
        )
        .with_a_short_cut(),
        Scenario::with_partner(
            "queue/send-asleep",
            || (with(2, 2), false),
            |_| {
                let jobs = open();
                operation(|| jobs.send(Fixed::new(2)).unwrap());
            },
            |(jobs, made_room)| {
                if !*made_room {
                    expect(0, jobs.try_recv());
                    *made_room = true;
                }
            },
            |(jobs, made_room), death| {
                let numbers: Vec<u64> = take_all(&jobs).into_iter().map(|(number, _)| number).collect();
                let came = u64::from(numbers.last() == Some(&2));
                assert!(numbers.iter().copied().eq(u64::from(made_room)..2 + came), "{numbers:?}");
                assert!(came == 1 || !death.after, "the message is lost");
                must_be_as_good_as_new(jobs);
                u64::from(made_room) + came
            },
        )
        .with_a_short_cut(),
        // Who is woken in the victim's stead, or by it, gets the message all the same.
        Scenario::new(
            "queue/send-to-sleeper",
            || {
                let jobs = create(2);
                let sleeper = Process::start("the sleeper", || {
                    vec![open().recv_timeout(patience()).unwrap().check().unwrap()]
                });
                sleeper.until_asleep();
                (jobs, sleeper)
            },
            |_| {
                let jobs = open();
                operation(|| jobs.send(Fixed::new(7)).unwrap());
            },
            |(jobs, sleeper), death| {
                // If it was not sent, we do so. Two messages for one receiver show that it came once.
                let sent = jobs.send_timeout(Fixed::new(8), patience());
                sent.unwrap();
                let got = sleeper.join();
                let left = take_all(&jobs);
                let came = u64::from(got == [7]);
                assert!(
                    came == 1 && left == [(8, 0)] || came == 0 && got == [8] && left.is_empty(),
                    "{got:?} {left:?}"
                );
                assert!(came == 1 || !death.after, "the message is lost");
                must_be_as_good_as_new(jobs);
                came
            },
        ),
    ]
}

/// The victim ends what one before it began, and dies over it.
fn repairers() -> Vec<Scenario> {
    vec![
        // Slot 1 holds message 0; slot 2 would be next.
        Scenario::new(
            "queue/repair-sender",
            || {
                let jobs = with(3, 2);
                expect(0, jobs.recv());
                leave_in_hand(3, 2, WRITING); // instead of message 1
                jobs
            },
            |_| {
                let jobs = open();
                operation(|| assert!(matches!(jobs.try_recv(), Err(RecvError::Empty))));
            },
            |jobs, _| {
                assert_eq!(take_all(&jobs), []);
                must_be_as_good_as_new(jobs);
                0
            },
        ),
        Scenario::new(
            "queue/repair-receiver",
            || {
                let jobs = with(3, 3);
                leave_in_hand(3, 1, READING);
                jobs
            },
            |_| {
                let jobs = open();
                // Full, though one of its messages is in the hands of the dead.
                operation(|| assert!(matches!(jobs.try_send(Fixed::new(3)), Err(SendError::Full))));
            },
            |jobs, _| {
                let mut all = take_all(&jobs);
                all.sort_unstable();
                assert_eq!(all, [(0, 1), (1, 0), (2, 0)]);
                must_be_as_good_as_new(jobs);
                0
            },
        ),
        // Nobody comes past the slot by himself: the head is beyond, and the tail a lap behind.
        Scenario::new(
            "queue/repair-at-open",
            || {
                let jobs = with(4, 1);
                leave_in_hand(4, 1, READING);
                jobs
            },
            |_| {
                super::ring::know_oneself();
                drop(operation(open));
            },
            |jobs, _| {
                assert_eq!(take_all(&jobs), [(0, 1)]);
                must_be_as_good_as_new(jobs);
                0
            },
        ),
        Scenario::new(
            "queue/take-orphan",
            || {
                let jobs = with(3, 3);
                leave_in_hand(3, 1, READING);
                assert!(matches!(jobs.try_send(Fixed::new(3)), Err(SendError::Full)));
                jobs
            },
            |_| {
                let jobs = open();
                operation(|| expect(0, jobs.try_recv()));
            },
            |jobs, death| {
                let mut all = take_all(&jobs);
                all.sort_unstable();
                let first = all.iter().position(|&(number, _)| number == 1).unwrap();
                assert_eq!(all[first..], [(1, 0), (2, 0)]);
                assert!(first == 0 || matches!(all[0], (0, 1 | 2)) && !death.after, "{all:?}");
                must_be_as_good_as_new(jobs);
                if first == 0 { 2 } else { u64::from(all[0].1 - 1) }
            },
        ),
    ]
}

fn ends() -> Vec<Scenario> {
    vec![Scenario::new(
        "queue/close",
        || with(3, 1),
        |_| {
            let jobs = open();
            operation(|| assert!(jobs.close()));
        },
        |jobs, death| {
            let closed = jobs.is_closed();
            assert!(closed || !death.after, "not closed though the call had returned");
            assert_eq!(take_all(&jobs), [(0, 0)]);
            match jobs.try_send(Fixed::new(1)) {
                Err(SendError::Closed) if closed => assert!(matches!(jobs.recv(), Err(RecvError::Closed))),
                Ok(()) if !closed => expect(1, jobs.try_recv()),
                other => panic!("closed: {closed}, but {other:?}"),
            }
            if !closed {
                must_be_as_good_as_new(jobs);
            } else {
                ringway::unlink("queue").unwrap();
            }
            closed.into()
        },
    )]
}

fn expect(number: u64, received: Result<Fixed, RecvError>) {
    assert_eq!(received.unwrap().check(), Ok(number));
}

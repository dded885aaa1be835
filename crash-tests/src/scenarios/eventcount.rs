//! Sleeping and waking: nobody is left asleep by the death of his waker, or of who was woken in his stead.
//!
//! The eventcounts are met where they are used: in the rings, with one sleeper each, and in pipes, with several.

use super::line::{Line, await_tick, look, message, recv, send};
use super::ring::{Kind, Receiver, Sender, take_all};
use super::spsc::Typed;
use crate::process::{Process, eventually, patience};
use crate::scenario::{Death, Scenario, operation};
use process_tests::message::Fixed;
use ringway::spsc::{Consumer, Producer, SendError};
use ringway::{Loan, Message, RecvError};
use std::time::Duration;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = wakers();
    all.extend(sleepers());
    all.extend(queues());
    all
}

/// A process asleep in receiving: the number, or nothing if the ring is closed.
fn sleeping_receiver() -> Process {
    drop(Consumer::<Fixed>::options().capacity(3).participants(3).create("ring").unwrap());
    let process = Process::start("the sleeper", || match Typed::recv(&mut Typed::open_rx(), patience()) {
        Ok(number) => vec![number],
        Err(RecvError::Closed) => Vec::new(),
        Err(error) => panic!("{error}"),
    });
    process.until_asleep();
    process
}

/// A process asleep in sending to a full ring: something if it could, nothing if the ring is closed.
fn sleeping_sender() -> Process {
    // Without a consumer: one that has left would end the wait.
    let mut tx = Producer::<Fixed>::options().capacity(3).participants(3).create("ring").unwrap();
    (0..Typed::BRIM).for_each(|number| assert!(Typed::put(&mut tx, number)));
    drop(tx);
    let process = Process::start("the sleeper", || {
        match Typed::open_tx().send_timeout(Fixed::new(Typed::BRIM), patience()) {
            Ok(()) => vec![1],
            Err(SendError::Closed(_)) => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    });
    process.until_asleep();
    process
}

/// The victim wakes somebody, and dies of it.
fn wakers() -> Vec<Scenario> {
    let survives_sender = |sleeper: Process, death: Death| {
        let got = sleeper.join();
        assert!(got == [0] || got.is_empty() && !death.after, "{got:?}");
        Receiver::<Typed> { rx: Typed::open_rx() }.must_be_as_good_as_new(got.len() as u64);
        got.len() as u64
    };
    vec![
        Scenario::new(
            "eventcount/wake-receiver",
            sleeping_receiver,
            |_| {
                let mut tx = Typed::open_tx();
                operation(|| assert!(Typed::put(&mut tx, 0)));
            },
            survives_sender,
        ),
        Scenario::new(
            "eventcount/close-wakes-receiver",
            sleeping_receiver,
            |_| {
                let tx = Typed::open_tx();
                operation(|| drop(tx));
            },
            move |sleeper, death| survives_sender(sleeper, Death { after: false, ..death }),
        ),
        Scenario::new(
            "eventcount/wake-pipe-receiver",
            || {
                let mut it = Queue::with(0);
                it.receiver_behind();
                it
            },
            |it| {
                // Becomes a participant by a loan that it does not use.
                drop(it.line.tx.reserve(1).unwrap());
                await_tick();
                let message = message(0);
                operation(|| it.line.tx.send(&message).unwrap());
            },
            |it, death| {
                let came = look(&it.line.rx).written_bytes > 0;
                assert!(came || !death.after, "the message is lost though the call had returned");
                if !came {
                    send(&it.line.tx, 0);
                }
                assert_eq!(it.behind.expect("started before").join(), [0]);
                it.line.must_be_as_good_as_new();
                u64::from(came)
            },
        ),
        Scenario::new(
            "eventcount/wake-sender",
            sleeping_sender,
            |_| {
                let mut rx = Typed::open_rx();
                operation(|| assert_eq!(Typed::take(&mut rx), Some(0)));
            },
            |sleeper, death| {
                let sent = sleeper.join().len() as u64;
                assert!(sent == 1 || !death.after, "the sender was told that the ring is closed");
                let mut rx = Receiver::<Typed> { rx: Typed::open_rx() };
                let next = take_all::<Typed>(&mut rx.rx, sent);
                assert_eq!(next, Typed::BRIM + sent, "messages are lost");
                rx.must_be_as_good_as_new(next);
                sent
            },
        ),
    ]
}

/// The victim sleeps, and is woken.
fn sleepers() -> Vec<Scenario> {
    vec![
        Scenario::with_partner(
            "eventcount/sleep-for-message",
            || Sender::<Typed>::of_a_ring_with(0),
            |_| {
                let mut rx = Typed::open_rx();
                operation(|| assert_eq!(Typed::recv(&mut rx, patience()).unwrap(), 0));
            },
            |sender| {
                if sender.next == 0 {
                    assert!(Typed::put(&mut sender.tx, 0));
                    sender.next = 1;
                }
            },
            |sender, death| sender.survives_receiver(0, 1, death),
        ),
        Scenario::with_partner(
            "eventcount/sleep-for-space",
            || (Receiver::<Typed>::new(), 0),
            |_| {
                let mut tx = Typed::open_tx();
                (0..Typed::BRIM).for_each(|number| assert!(Typed::put(&mut tx, number)));
                operation(|| tx.send_timeout(Fixed::new(Typed::BRIM), patience()).unwrap());
            },
            |(receiver, taken)| {
                if *taken == 0 {
                    assert_eq!(Typed::take(&mut receiver.rx), Some(0));
                    *taken = 1;
                }
            },
            |(mut receiver, taken), death| {
                let next = take_all::<Typed>(&mut receiver.rx, taken);
                let came = next.checked_sub(Typed::BRIM).expect("a message is lost that was sent before");
                assert!(came == 1 || !death.after, "the message is lost though the call had returned");
                receiver.must_be_closed();
                receiver.must_be_as_good_as_new(next);
                came
            },
        ),
    ]
}

/// How long a victim waits for what the one behind it may get first: that one looks at the end of each slice of its
/// sleep, and a victim that is stepped is slow.
const A_WHILE: Duration = Duration::from_millis(50);

/// A pipe for which the victim waits, and behind it somebody else.
struct Queue {
    line: &'static Line,
    behind: Option<Process>,
    loan: Option<Loan<'static>>,
    message: Option<Message<'static>>,
}

impl Queue {
    fn with(messages: u64) -> Self {
        let line: &Line = Box::leak(Box::new(Line::for_participants(3)));
        (0..messages).for_each(|number| send(&line.tx, number));
        Queue { line, behind: None, loan: None, message: None }
    }

    /// Somebody who receives falls asleep there.
    fn receiver_behind(&mut self) {
        let rx = &self.line.rx;
        self.behind.get_or_insert_with(|| Process::start("the one behind", || vec![recv(rx)])).until_asleep();
    }

    /// Somebody who sends this number falls asleep there.
    fn sender_behind(&mut self, number: u64) {
        let tx = &self.line.tx;
        let start = || {
            Process::start("the one behind", || {
                send(tx, number);
                Vec::new()
            })
        };
        self.behind.get_or_insert_with(start).until_asleep();
    }
}

/// The victim is woken, and takes the wake with it.
fn queues() -> Vec<Scenario> {
    vec![
        Scenario::with_partner(
            "eventcount/message-for-the-next",
            || Queue::with(0),
            |it| {
                assert!(it.line.rx.try_recv().is_err());
                drop(operation(|| it.line.rx.recv_timeout(A_WHILE)));
            },
            |it| {
                if it.behind.is_none() {
                    it.receiver_behind();
                    send(&it.line.tx, 0);
                }
            },
            |mut it, _| {
                if it.behind.is_none() {
                    it.receiver_behind();
                    send(&it.line.tx, 0);
                }
                // Without help: of ours or of another message.
                eventually("somebody takes the message", || look(&it.line.rx).held == 0);
                send(&it.line.tx, 1);
                let got = it.behind.take().expect("started before").join();
                assert!(got == [1] || got == [0] && recv(&it.line.rx) == 1, "{got:?}");
                it.line.must_be_as_good_as_new();
                got[0]
            },
        )
        .in_company()
        .with_a_short_cut(),
        Scenario::with_partner(
            "eventcount/space-for-the-next",
            || Queue::with(8),
            |it| {
                let message = message(8);
                assert!(it.line.tx.try_send(&message).is_err());
                drop(operation(|| it.line.tx.send_timeout(&message, A_WHILE)));
            },
            |it| {
                if it.behind.is_none() {
                    it.sender_behind(9);
                    assert_eq!(recv(&it.line.rx), 0);
                }
            },
            |mut it, _| {
                if it.behind.is_none() {
                    it.sender_behind(9);
                    assert_eq!(recv(&it.line.rx), 0);
                }
                eventually("somebody takes the space", || look(&it.line.rx).held_bytes == 4096);
                let mut numbers: Vec<_> = (0..8).map(|_| recv(&it.line.rx)).collect();
                it.behind.take().expect("started before").join();
                numbers.extend(it.line.rest());
                let came = numbers.iter().filter(|&&number| number == 8).count() as u64;
                numbers.retain(|&number| number != 8);
                assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 9]);
                it.line.must_be_as_good_as_new();
                came
            },
        )
        .in_company()
        .with_a_short_cut(),
        Scenario::with_partner(
            "eventcount/turn-to-send-for-the-next",
            || {
                let mut it = Queue::with(0);
                it.loan = Some(it.line.tx.reserve(10).unwrap());
                it
            },
            |it| operation(|| it.line.tx.send(&message(0)).unwrap()),
            |it| {
                if it.loan.is_some() {
                    it.sender_behind(1);
                    it.loan = None;
                }
            },
            |mut it, death| {
                if it.loan.is_some() {
                    it.sender_behind(1);
                    it.loan = None;
                }
                it.behind.take().expect("started before").join();
                let mut numbers = it.line.rest();
                numbers.sort_unstable();
                assert!(numbers == [1] && !death.after || numbers == [0, 1], "{numbers:?}");
                it.line.must_be_as_good_as_new();
                numbers.len() as u64 - 1
            },
        )
        .in_company(),
        Scenario::with_partner(
            "eventcount/turn-to-receive-for-the-next",
            || {
                let mut it = Queue::with(3);
                it.message = Some(it.line.rx.recv_ref().unwrap());
                it
            },
            |it| drop(operation(|| it.line.rx.recv().unwrap())),
            |it| {
                if it.message.is_some() {
                    it.receiver_behind();
                    it.message = None;
                }
            },
            |mut it, death| {
                if it.message.is_some() {
                    it.receiver_behind();
                    it.message = None;
                }
                let mut numbers = it.behind.take().expect("started before").join();
                numbers.extend(it.line.rest());
                numbers.iter().for_each(|number| assert!((1..3).contains(number)));
                assert!(numbers.len() == 1 || numbers.len() == 2 && numbers[0] != numbers[1], "{numbers:?}");
                assert!(numbers.len() == 1 || !death.after, "the message comes again");
                it.line.must_be_as_good_as_new();
                2 - numbers.len() as u64
            },
        )
        .in_company(),
    ]
}

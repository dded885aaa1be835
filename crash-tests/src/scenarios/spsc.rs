//! Rings of fixed messages.

use crate::process::{elsewhere, killed_elsewhere, patience};
use crate::scenario::{Death, Scenario, operation};
use process_tests::message::Fixed;
use ringway::spsc::{Consumer, Producer, SendError};
use ringway::{PopError, RecvError, Wait};
use std::ops::Range;

/// No power of two, so that slots and messages do not go round together.
const CAPACITY: u64 = 3;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = producers();
    all.extend(consumers());
    all
}

fn producers() -> Vec<Scenario> {
    let sends = |name, sent: u64, victim: fn(Producer<Fixed>, u64)| {
        Scenario::new(
            name,
            || Receiver::of_a_ring_with(1),
            move |_| victim(producer(), 1),
            move |rx: Receiver, death| rx.survives_sender(1, sent, death),
        )
    };
    vec![
        sends("spsc/push", 1, |mut tx, next| operation(|| tx.push(Fixed::new(next)).unwrap())),
        sends("spsc/reserve-commit", 1, |mut tx, next| {
            operation(|| {
                let mut slot = tx.reserve().unwrap();
                *slot = Fixed::new(next);
                slot.commit();
            });
        }),
        sends("spsc/push-slice", 2, |mut tx, next| {
            let both = [Fixed::new(next), Fixed::new(next + 1)];
            operation(|| assert_eq!(tx.push_slice(&both).unwrap(), 2));
        }),
        sends("spsc/producer-close", 0, |tx, _| operation(|| drop(tx))),
        Scenario::new(
            "spsc/producer-open",
            || Receiver::of_a_ring_with(1),
            |_| drop(operation(producer)),
            |rx: Receiver, death| rx.survives_sender(1, 0, death),
        ),
        Scenario::new(
            "spsc/producer-takeover",
            || {
                let rx = Receiver::of_a_ring_with(1);
                killed_elsewhere(producer);
                rx
            },
            |_| drop(operation(producer)),
            |rx: Receiver, death| rx.survives_sender(1, 0, death),
        ),
        Scenario::new(
            "spsc/first-producer-open",
            Receiver::new,
            |_| drop(operation(producer)),
            |mut rx: Receiver, death| {
                // A ring that never had a producer is not closed.
                let had_one = match rx.rx.recv_timeout(std::time::Duration::ZERO) {
                    Err(RecvError::Closed) => 1,
                    Err(RecvError::Timeout) => 0,
                    other => panic!("received {other:?}"),
                };
                rx.must_be_as_good_as_new(0);
                assert!(had_one == 1 || !death.after);
                had_one
            },
        ),
    ]
}

fn consumers() -> Vec<Scenario> {
    let receives = |name, victim: fn(Consumer<Fixed>), last: u64| {
        Scenario::new(
            name,
            Sender::of_a_full_ring,
            move |_| victim(consumer()),
            move |tx: Sender, death| tx.survives_receiver(last, death),
        )
    };
    vec![
        receives("spsc/pop", |mut rx| expect(0, operation(|| rx.pop().unwrap())), 1),
        receives("spsc/peek-release", |mut rx| operation(|| expect(0, *rx.peek().unwrap())), 1),
        receives(
            "spsc/peek-keep",
            |mut rx| {
                operation(|| {
                    let peek = rx.peek().unwrap();
                    expect(0, *peek);
                    peek.keep();
                });
            },
            0,
        ),
        receives(
            "spsc/pop-slice",
            |mut rx| {
                let mut both = [Fixed::new(9); 2];
                operation(|| assert_eq!(rx.pop_slice(&mut both).unwrap(), 2));
                expect(1, both[1]);
            },
            2,
        ),
        receives("spsc/drain", |mut rx| operation(|| assert_eq!(rx.drain().count(), 3)), 3),
        receives("spsc/consumer-close", |rx| operation(|| drop(rx)), 0),
        Scenario::new(
            "spsc/consumer-open",
            Sender::of_a_full_ring,
            |_| drop(operation(consumer)),
            |tx: Sender, death| tx.survives_receiver(0, death),
        ),
        Scenario::new(
            "spsc/consumer-takeover",
            || {
                let tx = Sender::of_a_full_ring();
                killed_elsewhere(|| {
                    let mut rx = consumer();
                    core::mem::forget(rx.peek().unwrap());
                    rx
                });
                tx
            },
            |_| drop(operation(consumer)),
            |tx: Sender, death| tx.survives_receiver(0, death),
        ),
    ]
}

fn producer() -> Producer<Fixed> {
    Producer::options().wait(Wait::Park).open("ring").unwrap()
}

fn consumer() -> Consumer<Fixed> {
    Consumer::options().wait(Wait::Park).open("ring").unwrap()
}

fn expect(number: u64, message: Fixed) {
    assert_eq!(message.check(), Ok(number));
}

fn push(tx: &mut Producer<Fixed>, numbers: Range<u64>) {
    numbers.for_each(|number| tx.push(Fixed::new(number)).unwrap());
}

/// Pushes until the ring is full; the number after the last one.
fn fill(tx: &mut Producer<Fixed>, mut next: u64) -> u64 {
    while tx.push(Fixed::new(next)).is_ok() {
        next += 1;
    }
    next
}

/// Pops all there is, which must follow on each other from `next` on; the number after the last one.
fn pop_all(rx: &mut Consumer<Fixed>, mut next: u64) -> u64 {
    loop {
        match rx.pop() {
            Ok(message) => expect(next, message),
            Err(PopError::Empty) => return next,
            Err(error) => panic!("{error}"),
        }
        next += 1;
    }
}

/// The survivor of producers.
struct Receiver {
    rx: Consumer<Fixed>,
}

impl Receiver {
    /// Of a ring with places for two participants, so that the next one needs the place of the dead.
    fn new() -> Self {
        let options = Consumer::options().capacity(CAPACITY as usize).participants(2).wait(Wait::Park);
        Receiver { rx: options.create("ring").unwrap() }
    }

    fn of_a_ring_with(messages: u64) -> Self {
        let rx = Receiver::new();
        push(&mut producer(), 0..messages);
        rx
    }

    /// `before` messages were sent when a victim began to send `sending` more, all at once. All that were sent
    /// come, and of these all or none.
    fn survives_sender(mut self, before: u64, sending: u64, death: Death) -> u64 {
        let next = pop_all(&mut self.rx, 0);
        let came = next.checked_sub(before).expect("a message is lost that was sent before");
        assert!(came == 0 || came == sending, "{came} messages of {sending} sent at once");
        assert!(came == sending || !death.after, "the message is lost though the call had returned");
        self.must_be_closed();
        self.must_be_as_good_as_new(next);
        came
    }

    fn must_be_closed(&mut self) {
        match self.rx.recv_timeout(patience()) {
            Err(RecvError::Closed) => {}
            other => panic!("not closed: {other:?}"),
        }
    }

    /// The ring is empty. Another process takes the role, and the place of the dead; it has all of the ring.
    fn must_be_as_good_as_new(mut self, next: u64) {
        let last = elsewhere(|| vec![fill(&mut producer(), next)]);
        assert_eq!(last, [next + CAPACITY], "not all of the ring can be used");
        assert_eq!(pop_all(&mut self.rx, next), next + CAPACITY);
        self.must_be_closed();
        self.rx.unlink().unwrap();
    }
}

/// The survivor of consumers.
struct Sender {
    tx: Producer<Fixed>,
}

impl Sender {
    fn of_a_full_ring() -> Self {
        let options = Producer::options().capacity(CAPACITY as usize).participants(2).wait(Wait::Park);
        let mut tx = options.create("ring").unwrap();
        drop(consumer()); // so that there was one, and the ring can be closed
        push(&mut tx, 0..CAPACITY);
        Sender { tx }
    }

    /// The ring was full when the victim began to receive up to `last` messages, all released at once. What it
    /// had not released comes again, and all after that.
    fn survives_receiver(mut self, last: u64, death: Death) -> u64 {
        let sent = fill(&mut self.tx, CAPACITY);
        let released = sent - CAPACITY;
        self.must_be_closed(sent);
        assert!(released == 0 || released == last, "{released} messages of {last} released at once");
        assert!(
            released == last || !death.after,
            "the message was not released though the call had returned"
        );
        let next = elsewhere(|| vec![pop_all(&mut consumer(), released)]);
        assert_eq!(next, [sent], "messages are lost");
        assert_eq!(fill(&mut self.tx, sent), sent + CAPACITY, "not all of the ring can be used");
        self.must_be_closed(sent + CAPACITY);
        self.tx.unlink().unwrap();
        released
    }

    fn must_be_closed(&mut self, next: u64) {
        match self.tx.send_timeout(Fixed::new(next), patience()) {
            Err(SendError::Closed(_)) => {}
            other => panic!("not closed: {other:?}"),
        }
    }
}

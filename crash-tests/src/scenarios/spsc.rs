//! Rings of fixed messages.

use super::ring::{Kind, Receiver, Sender};
use crate::scenario::{Scenario, operation};
use process_tests::message::Fixed;
use ringway::spsc::{Consumer, Producer, SendError};
use ringway::{PopError, RecvError, Wait};
use std::time::Duration;

/// A ring of three: no power of two, so that slots and messages do not go round together.
pub(super) struct Typed;

impl Kind for Typed {
    type Tx = Producer<Fixed>;
    type Rx = Consumer<Fixed>;
    const BRIM: u64 = 3;

    fn create_tx() -> Self::Tx {
        Producer::options().capacity(3).participants(2).wait(Wait::Park).create("ring").unwrap()
    }

    fn create_rx() -> Self::Rx {
        Consumer::options().capacity(3).participants(2).wait(Wait::Park).create("ring").unwrap()
    }

    fn open_tx() -> Self::Tx {
        Producer::options().wait(Wait::Park).open("ring").unwrap()
    }

    fn open_rx() -> Self::Rx {
        Consumer::options().wait(Wait::Park).open("ring").unwrap()
    }

    fn put(tx: &mut Self::Tx, number: u64) -> bool {
        tx.push(Fixed::new(number)).is_ok()
    }

    fn take(rx: &mut Self::Rx) -> Option<u64> {
        match rx.pop() {
            Ok(message) => Some(message.check().unwrap()),
            Err(PopError::Empty) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn is_closed_for_tx(tx: &mut Self::Tx, timeout: Duration) -> bool {
        matches!(tx.send_timeout(Fixed::new(u64::MAX), timeout), Err(SendError::Closed(_)))
    }

    fn recv(rx: &mut Self::Rx, timeout: Duration) -> Result<u64, RecvError> {
        rx.recv_timeout(timeout).map(|message| message.check().unwrap())
    }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = super::ring::opening::<Typed>("spsc");
    all.extend(producers());
    all.extend(consumers());
    all
}

fn producers() -> Vec<Scenario> {
    let sends = |name, sent: u64, victim: fn(Producer<Fixed>)| {
        Scenario::new(
            name,
            || Receiver::<Typed>::of_a_ring_with(1),
            move |_| victim(Typed::open_tx()),
            move |rx, death| rx.survives_sender(1, sent, death),
        )
    };
    vec![
        sends("spsc/push", 1, |mut tx| operation(|| tx.push(Fixed::new(1)).unwrap())),
        sends("spsc/reserve-commit", 1, |mut tx| {
            operation(|| {
                let mut slot = tx.reserve().unwrap();
                *slot = Fixed::new(1);
                slot.commit();
            });
        }),
        sends("spsc/reserve-drop", 0, |mut tx| {
            operation(|| {
                let mut slot = tx.reserve().unwrap();
                *slot = Fixed::new(1);
                drop(slot);
            });
        }),
        sends("spsc/push-slice", 2, |mut tx| {
            let both = [Fixed::new(1), Fixed::new(2)];
            operation(|| assert_eq!(tx.push_slice(&both).unwrap(), 2));
        }),
        sends("spsc/producer-close", 0, |tx| operation(|| drop(tx))),
    ]
}

fn consumers() -> Vec<Scenario> {
    let receives = |name, released: u64, victim: fn(Consumer<Fixed>)| {
        Scenario::new(
            name,
            Sender::<Typed>::of_a_full_ring,
            move |_| victim(Typed::open_rx()),
            move |tx, death| tx.survives_receiver(0, released, death),
        )
    };
    vec![
        receives("spsc/pop", 1, |mut rx| expect(0, operation(|| rx.pop().unwrap()))),
        receives("spsc/peek-release", 1, |mut rx| operation(|| expect(0, *rx.peek().unwrap()))),
        receives("spsc/peek-keep", 0, |mut rx| {
            operation(|| {
                let peek = rx.peek().unwrap();
                expect(0, *peek);
                peek.keep();
            });
        }),
        receives("spsc/pop-slice", 2, |mut rx| {
            let mut both = [Fixed::new(9); 2];
            operation(|| assert_eq!(rx.pop_slice(&mut both).unwrap(), 2));
        }),
        receives("spsc/drain", 3, |mut rx| operation(|| assert_eq!(rx.drain().count(), 3))),
        receives("spsc/consumer-close", 0, |rx| operation(|| drop(rx))),
    ]
}

fn expect(number: u64, message: Fixed) {
    assert_eq!(message.check(), Ok(number));
}

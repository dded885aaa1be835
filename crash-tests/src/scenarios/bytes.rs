//! Rings of byte records.

use super::ring::{Kind, Receiver, Sender};
use crate::scenario::{Scenario, operation};
use process_tests::parcel;
use ringway::bytes::{Consumer, Producer};
use ringway::{PopError, RecvError, SendError, Wait};
use std::time::Duration;

/// A ring of one page, filled by eight records, each of which takes 512 bytes with its header.
pub(super) struct Records;

const SIZE: usize = 4096;
const RECORD: usize = SIZE / 8 - 8;

/// So much was sent and received before anything else: the ring's end is in the middle of the fourth record.
const AHEAD: usize = SIZE - 3 * (RECORD + 8) - RECORD / 2;

fn go_ahead(tx: &mut Producer, rx: &mut Consumer) {
    tx.push(&parcel::make(99, AHEAD)).unwrap();
    assert_eq!(rx.pop().map(|record| parcel::check(&record)), Ok(Ok(99)));
}

fn record(number: u64) -> Vec<u8> {
    parcel::make(number, RECORD)
}

impl Kind for Records {
    type Tx = Producer;
    type Rx = Consumer;
    const BRIM: u64 = 8;

    fn create_tx() -> Producer {
        let options = Producer::options().capacity(SIZE).participants(2).wait(Wait::Park);
        let mut tx = options.create("ring").unwrap();
        go_ahead(&mut tx, &mut Records::open_rx());
        tx
    }

    fn create_rx() -> Consumer {
        Consumer::options().capacity(SIZE).participants(2).wait(Wait::Park).create("ring").unwrap()
    }

    fn open_tx() -> Producer {
        Producer::options().wait(Wait::Park).open("ring").unwrap()
    }

    fn open_rx() -> Consumer {
        Consumer::options().wait(Wait::Park).open("ring").unwrap()
    }

    fn put(tx: &mut Producer, number: u64) -> bool {
        match tx.push(&record(number)) {
            Ok(()) => true,
            Err(SendError::Full) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn take(rx: &mut Consumer) -> Option<u64> {
        match rx.pop() {
            Ok(record) => Some(check(&record)),
            Err(PopError::Empty) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn is_closed_for_tx(tx: &mut Producer, timeout: Duration) -> bool {
        matches!(tx.send_timeout(&record(0), timeout), Err(SendError::Closed))
    }

    fn recv(rx: &mut Consumer, timeout: Duration) -> Result<u64, RecvError> {
        rx.recv_timeout(timeout).map(|record| check(&record))
    }
}

fn check(record: &[u8]) -> u64 {
    assert_eq!(record.len(), RECORD);
    parcel::check(record).unwrap()
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = super::ring::opening::<Records>("bytes");
    all.extend(producers());
    all.extend(consumers());
    all
}

fn producers() -> Vec<Scenario> {
    // The fourth record, which goes over the end of the ring.
    let sends = |name, sent: u64, victim: fn(Producer)| {
        Scenario::new(
            name,
            || {
                let mut receiver = Receiver::<Records>::new();
                let mut tx = Records::open_tx();
                go_ahead(&mut tx, &mut receiver.rx);
                (0..3).for_each(|number| assert!(Records::put(&mut tx, number)));
                receiver
            },
            move |_| victim(Records::open_tx()),
            move |rx, death| rx.survives_sender(3, sent, death),
        )
    };
    vec![
        sends("bytes/push", 1, |mut tx| {
            let record = record(3);
            operation(|| tx.push(&record).unwrap());
        }),
        sends("bytes/reserve-commit", 1, |mut tx| {
            let record = record(3);
            operation(|| {
                let mut loan = tx.reserve(RECORD + 100).unwrap();
                loan[..RECORD].copy_from_slice(&record);
                loan.commit_len(RECORD);
            });
        }),
        sends("bytes/reserve-drop", 0, |mut tx| {
            operation(|| {
                let mut loan = tx.reserve(RECORD).unwrap();
                loan[..10].fill(7);
                drop(loan);
            });
        }),
        sends("bytes/batch", 2, |mut tx| {
            let records = [record(3), record(4)];
            operation(|| {
                let mut batch = tx.batch();
                records.iter().for_each(|record| batch.push(record).unwrap());
                batch.commit();
            });
        }),
        sends("bytes/producer-close", 0, |tx| operation(|| drop(tx))),
    ]
}

fn consumers() -> Vec<Scenario> {
    // From the fourth record on.
    let receives = |name, released: u64, victim: fn(Consumer)| {
        Scenario::new(
            name,
            Sender::<Records>::of_a_full_ring,
            move |_| {
                let mut rx = Records::open_rx();
                (0..3).for_each(|number| assert_eq!(Records::take(&mut rx), Some(number)));
                victim(rx);
            },
            move |tx, death| tx.survives_receiver(3, 3 + released, death),
        )
    };
    vec![
        receives("bytes/pop", 1, |mut rx| {
            let mut buffer = Vec::with_capacity(SIZE);
            operation(|| rx.pop_into(&mut buffer).unwrap());
        }),
        receives("bytes/peek-release", 1, |mut rx| {
            operation(|| drop(rx.peek().unwrap()));
        }),
        receives("bytes/peek-keep", 0, |mut rx| operation(|| rx.peek().unwrap().keep())),
        receives("bytes/drain", 2, |mut rx| {
            operation(|| {
                let mut drain = rx.drain();
                drain.next().unwrap();
                drain.next().unwrap();
            });
        }),
        receives("bytes/consumer-close", 0, |rx| operation(|| drop(rx))),
    ]
}

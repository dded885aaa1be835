//! What the survivors at the ends of a bare ring must find, whatever the ring holds.

use crate::process::{elsewhere, killed_elsewhere, patience};
use crate::scenario::{Death, Scenario, operation};
use ringway::RecvError;
use std::time::Duration;

/// A kind of ring, with numbered messages that tell whether they are whole. All are called `ring`, and have places
/// for two participants: the next one needs the place of the dead.
pub(super) trait Kind: 'static {
    type Tx: 'static;
    type Rx: 'static;
    /// So many messages fill the ring.
    const BRIM: u64;

    fn create_tx() -> Self::Tx;
    fn create_rx() -> Self::Rx;
    fn open_tx() -> Self::Tx;
    fn open_rx() -> Self::Rx;
    /// `false` if the ring is full.
    fn put(tx: &mut Self::Tx, number: u64) -> bool;
    /// The number of a message that is whole; `None` if there is none.
    fn take(rx: &mut Self::Rx) -> Option<u64>;
    /// Whether sending says that nobody is left to receive; `false` if it waits longer than that.
    fn is_closed_for_tx(tx: &mut Self::Tx, timeout: Duration) -> bool;
    fn recv(rx: &mut Self::Rx, timeout: Duration) -> Result<u64, RecvError>;
    fn unlink(name: &str) {
        ringway::unlink(name).unwrap();
    }
}

/// Sends until the ring is full; the number after the last one.
pub(super) fn fill<K: Kind>(tx: &mut K::Tx, mut next: u64) -> u64 {
    while K::put(tx, next) {
        next += 1;
    }
    next
}

/// Takes all there is, which must follow on each other from `next` on; the number after the last one.
pub(super) fn take_all<K: Kind>(rx: &mut K::Rx, mut next: u64) -> u64 {
    while let Some(number) = K::take(rx) {
        assert_eq!(number, next, "out of order");
        next += 1;
    }
    next
}

/// The survivor of producers.
pub(super) struct Receiver<K: Kind> {
    pub(super) rx: K::Rx,
}

impl<K: Kind> Receiver<K> {
    pub(super) fn new() -> Self {
        Receiver { rx: K::create_rx() }
    }

    /// Of a ring in which some messages are.
    pub(super) fn of_a_ring_with(messages: u64) -> Self {
        let rx = Receiver::new();
        let mut tx = K::open_tx();
        (0..messages).for_each(|number| assert!(K::put(&mut tx, number)));
        rx
    }

    /// `before` messages were sent when a victim began to send `sending` more, all at once. All that were sent
    /// come, and of these all or none.
    pub(super) fn survives_sender(mut self, before: u64, sending: u64, death: Death) -> u64 {
        let next = take_all::<K>(&mut self.rx, 0);
        let came = next.checked_sub(before).expect("a message is lost that was sent before");
        assert!(came == 0 || came == sending, "{came} messages of {sending} sent at once");
        assert!(came == sending || !death.after, "the message is lost though the call had returned");
        self.must_be_closed();
        self.must_be_as_good_as_new(next);
        came
    }

    pub(super) fn must_be_closed(&mut self) {
        match K::recv(&mut self.rx, patience()) {
            Err(RecvError::Closed) => {}
            other => panic!("not closed: {other:?}"),
        }
    }

    /// The ring is empty. Another process takes the role, and the place of the dead; it has all of the ring.
    pub(super) fn must_be_as_good_as_new(mut self, next: u64) {
        let last = elsewhere(|| vec![fill::<K>(&mut K::open_tx(), next)]);
        assert_eq!(last, [next + K::BRIM], "not all of the ring can be used");
        assert_eq!(take_all::<K>(&mut self.rx, next), next + K::BRIM, "messages are lost");
        self.must_be_closed();
        K::unlink("ring");
    }
}

/// The survivor of consumers.
pub(super) struct Sender<K: Kind> {
    pub(super) tx: K::Tx,
    /// The next number to be sent.
    pub(super) next: u64,
}

impl<K: Kind> Sender<K> {
    pub(super) fn of_a_ring_with(messages: u64) -> Self {
        let mut tx = K::create_tx();
        drop(K::open_rx()); // so that there was one, and the ring can be closed
        (0..messages).for_each(|number| assert!(K::put(&mut tx, number)));
        Sender { tx, next: messages }
    }

    pub(super) fn of_a_full_ring() -> Self {
        Self::of_a_ring_with(K::BRIM)
    }

    /// The victim began to receive all before `last`, of which it released those from `first` on at once. What it had
    /// not released comes again, and all after that.
    pub(super) fn survives_receiver(mut self, first: u64, last: u64, death: Death) -> u64 {
        let sent = fill::<K>(&mut self.tx, self.next);
        let released = sent - K::BRIM;
        self.must_be_closed();
        assert!(released == first || released == last, "{released} messages of {last} released at once");
        assert!(
            released == last || !death.after,
            "the message was not released though the call had returned"
        );
        let next = elsewhere(|| vec![take_all::<K>(&mut K::open_rx(), released)]);
        assert_eq!(next, [sent], "messages are lost");
        assert_eq!(fill::<K>(&mut self.tx, sent), sent + K::BRIM, "not all of the ring can be used");
        self.must_be_closed();
        K::unlink("ring");
        released - first
    }

    /// The ring is full.
    pub(super) fn must_be_closed(&mut self) {
        assert!(K::is_closed_for_tx(&mut self.tx, patience()), "not closed");
    }
}

/// Roles taken over from the dead, in mid-stream.
pub(super) fn opening<K: Kind>(subject: &str) -> Vec<Scenario> {
    vec![
        // By one who is attached already, and does not clean up the place of the dead first.
        Scenario::new(
            format!("{subject}/producer-heir"),
            || Receiver::<K>::of_a_ring_with(1),
            |_| {
                let mut tx = K::open_tx();
                operation(|| assert!(K::put(&mut tx, 1)));
            },
            |mut it, death| {
                let mut tx = K::open_tx();
                let next = take_all::<K>(&mut it.rx, 0);
                assert!(next == 2 || next == 1 && !death.after, "{next} messages came");
                assert!(K::put(&mut tx, next), "the ring is not full");
                assert_eq!(K::take(&mut it.rx), Some(next));
                drop(tx);
                it.must_be_closed();
                it.must_be_as_good_as_new(next + 1);
                next - 1
            },
        ),
        Scenario::new(
            format!("{subject}/consumer-heir"),
            Sender::<K>::of_a_full_ring,
            |_| {
                let mut rx = K::open_rx();
                operation(|| assert_eq!(K::take(&mut rx), Some(0)));
            },
            |mut it, death| {
                let mut rx = K::open_rx();
                let first = K::take(&mut rx).expect("there are more");
                assert!(first == 1 || first == 0 && !death.after, "{first} comes again");
                assert_eq!(take_all::<K>(&mut rx, first + 1), K::BRIM, "messages are lost");
                assert_eq!(fill::<K>(&mut it.tx, K::BRIM), 2 * K::BRIM, "not all of the ring can be used");
                drop(rx);
                it.must_be_closed();
                K::unlink("ring");
                first
            },
        ),
        Scenario::new(
            format!("{subject}/producer-takeover"),
            || {
                let rx = Receiver::<K>::of_a_ring_with(1);
                killed_elsewhere(|| {
                    let mut tx = K::open_tx();
                    assert!(K::put(&mut tx, 1));
                    tx
                });
                rx
            },
            |_| {
                know_oneself();
                drop(operation(K::open_tx));
            },
            |rx, death| rx.survives_sender(2, 0, death),
        ),
        Scenario::new(
            format!("{subject}/consumer-takeover"),
            || {
                let tx = Sender::<K>::of_a_full_ring();
                killed_elsewhere(|| {
                    let mut rx = K::open_rx();
                    assert_eq!(K::take(&mut rx), Some(0));
                    rx
                });
                tx
            },
            |_| {
                know_oneself();
                drop(operation(K::open_rx));
            },
            |tx, death| tx.survives_receiver(1, 1, death),
        ),
    ]
}

/// Asks the kernel what a process asks but once, so that an operation does not.
pub(super) fn know_oneself() {
    drop(ringway::spsc::pair::<u8>(1).unwrap());
}

//! Pipes: messages sent and received, whole and in pieces, by one of several holders of an end or by the last.

use super::line::{HUGE, LONG, Line, SHORT, await_tick, check, message, recv, send};
use crate::process::{Process, elsewhere, killed_elsewhere, patience};
use crate::scenario::{Scenario, operation};
use process_tests::parcel;
use ringway::{Connection, Deadline, RecvError};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = senders();
    all.extend(receivers());
    all.extend(heirs());
    all
}

/// Makes a victim one that has sent before: it need not become a participant. It sends long enough after that to ask
/// whether anybody is left.
fn warm(tx: &Connection) {
    send(tx, 0);
    send(tx, 1);
    await_tick();
}

fn senders() -> Vec<Scenario> {
    let shared = |name, victim: fn(&Connection)| {
        Scenario::new(
            name,
            Line::new,
            move |line| {
                warm(&line.tx);
                victim(&line.tx);
            },
            |line, death| line.survives_sender(2, death),
        )
    };
    vec![
        // By the short cut, which is open to those who have asked just now whether anybody is left.
        Scenario::new(
            "pipe/send-straight",
            Line::new,
            |line| {
                let message = message(2);
                await_tick();
                (0..2).for_each(|number| send(&line.tx, number));
                operation(|| line.tx.send(&message).unwrap());
            },
            |line, death| line.survives_sender(2, death),
        )
        .with_a_short_cut(),
        shared("pipe/send", |tx| {
            let message = message(2);
            operation(|| tx.send(&message).unwrap());
        }),
        shared("pipe/reserve-commit", |tx| {
            let message = message(2);
            operation(|| {
                let mut loan = tx.reserve(message.len() + 100).unwrap();
                loan[..message.len()].copy_from_slice(&message);
                loan.commit_len(message.len());
            });
        }),
        shared("pipe/send-in-pieces", |tx| {
            let long = parcel::make(2, LONG);
            operation(|| tx.send(&long).unwrap());
        }),
        // The first call of a forked process, which becomes a participant in it.
        Scenario::new(
            "pipe/send-first",
            || Line::with(1),
            |line| operation(|| line.tx.send(&message(1)).unwrap()),
            |line, death| line.survives_sender(1, death),
        ),
        Scenario::new(
            "pipe/send-swept",
            Line::new,
            |line| {
                warm(&line.tx);
                let message = message(2);
                operation(|| line.tx.send(&message).unwrap());
            },
            |line, death| line.survives_sender_swept(2, death),
        ),
        Scenario::new(
            "pipe/send-in-pieces-swept",
            Line::new,
            |line| {
                warm(&line.tx);
                let long = parcel::make(2, LONG);
                operation(|| line.tx.send(&long).unwrap());
            },
            |line, death| line.survives_sender_swept(2, death),
        ),
        // The next sender takes its time, and nobody who received the first pieces is to keep others waiting.
        Scenario::new(
            "pipe/send-in-pieces-then-loan",
            Line::new,
            |line| {
                send(&line.tx, 0);
                assert_eq!(recv(&line.rx), 0);
                await_tick();
                let long = parcel::make(1, LONG);
                operation(|| line.tx.send(&long).unwrap());
            },
            |line, death| {
                let mut loan = line.tx.reserve_deadline(SHORT, Deadline::after(patience())).unwrap();
                let came = match line.rx.try_recv() {
                    Ok(long) => check(&long),
                    Err(RecvError::Empty) => 0,
                    Err(error) => panic!("{error}"),
                };
                assert!(came == 1 || !death.after, "the message is lost though the call had returned");
                loan.copy_from_slice(&message(2));
                loan.commit();
                assert_eq!(elsewhere(|| vec![recv(&line.rx)]), [2]);
                line.must_be_as_good_as_new();
                came
            },
        ),
        Scenario::new(
            "pipe/send-last",
            Line::new,
            |line| {
                drop(line.rx);
                warm(&line.tx);
                let message = message(2);
                operation(|| line.tx.send(&message).unwrap());
            },
            |line, death| line.survives_last_sender(2, false, death),
        ),
        Scenario::new(
            "pipe/send-in-pieces-last",
            Line::new,
            |line| {
                drop(line.rx);
                warm(&line.tx);
                let long = parcel::make(2, LONG);
                operation(|| line.tx.send(&long).unwrap());
            },
            |line, death| line.survives_last_sender(2, true, death),
        ),
        Scenario::new(
            "pipe/close-sender",
            Line::new,
            |line| {
                drop(line.rx);
                warm(&line.tx);
                operation(|| drop(line.tx));
            },
            |line, death| line.survives_closer(2, death),
        ),
        // Larger than the pipe: we take the pieces while the victim waits for space.
        Scenario::with_partner(
            "pipe/send-huge",
            || (Line::new(), Vec::new()),
            |(line, _)| {
                let huge = parcel::make(0, HUGE);
                send(&line.tx, 99);
                await_tick();
                operation(|| line.tx.send(&huge).unwrap());
            },
            |(line, got)| match line.rx.recv_deadline(Deadline::NOW) {
                Ok(message) => got.push(check(&message)),
                Err(RecvError::Empty | RecvError::Timeout) => {}
                Err(error) => panic!("{error}"),
            },
            |(line, mut got), death| {
                got.extend(line.rest());
                line.must_be_as_good_as_new();
                assert!(got == [99] || got == [99, 0], "{got:?}");
                assert!(got == [99, 0] || !death.after, "the message is lost though the call had returned");
                got.len() as u64 - 1
            },
        ),
    ]
}

fn receivers() -> Vec<Scenario> {
    let warm = |rx: &Connection| {
        assert_eq!(recv(rx), 0);
        assert_eq!(recv(rx), 1);
    };
    let shared = move |name, victim: fn(&Connection)| {
        Scenario::new(
            name,
            || Line::with(5),
            move |line| {
                warm(&line.rx);
                victim(&line.rx);
            },
            |line, death| line.survives_receiver(2, 5, death),
        )
    };
    let in_pieces = || {
        let line = Line::with(0);
        line.tx.send_timeout(&parcel::make(0, LONG), patience()).unwrap();
        send(&line.tx, 1);
        line
    };
    vec![
        shared("pipe/recv", |rx| {
            let mut buffer = Vec::with_capacity(1000);
            operation(|| rx.recv_into(&mut buffer, Deadline::NEVER).unwrap());
        }),
        shared("pipe/recv-allocating", |rx| drop(operation(|| rx.recv().unwrap()))),
        shared("pipe/recv-ref-release", |rx| {
            operation(|| assert_eq!(rx.recv_ref().unwrap().len(), SHORT));
        }),
        Scenario::new(
            "pipe/recv-first",
            || Line::with(5),
            |line| drop(operation(|| line.rx.recv().unwrap())),
            |line, death| line.survives_receiver(0, 5, death),
        ),
        Scenario::new(
            "pipe/recv-swept",
            || Line::with(8),
            move |line| {
                warm(&line.rx);
                drop(operation(|| line.rx.recv().unwrap()));
            },
            |line, death| line.survives_receiver_swept(2, 8, death),
        ),
        Scenario::new(
            "pipe/recv-in-pieces",
            in_pieces,
            |line| drop(operation(|| line.rx.recv().unwrap())),
            |line, death| line.survives_receiver(0, 2, death),
        ),
        Scenario::new(
            "pipe/recv-in-pieces-swept",
            in_pieces,
            |line| drop(operation(|| line.rx.recv().unwrap())),
            |line, death| line.survives_receiver_swept(0, 2, death),
        ),
        // The sender is another process, which waits for space in the middle.
        Scenario::with_partner(
            "pipe/recv-huge",
            || {
                let line = Line::for_participants(3);
                let sender = Process::start("the sender", || {
                    line.tx.send_timeout(&parcel::make(0, HUGE), patience()).unwrap();
                    send(&line.tx, 1);
                    Vec::new()
                });
                sender.until_asleep();
                sender.stop();
                (line, sender)
            },
            |(line, _)| drop(operation(|| line.rx.recv().unwrap())),
            |(_, sender)| sender.go_on_for_a_while(),
            |(line, sender), death| {
                sender.go_on();
                let first = recv(&line.rx);
                sender.join();
                assert!(first == 1 || recv(&line.rx) == 1, "lost or out of order");
                assert!(first == 1 || !death.after, "the message comes again though the call had returned");
                line.must_be_as_good_as_new();
                first
            },
        )
        .in_company(),
        Scenario::new(
            "pipe/close-receiver",
            || Line::with(3),
            |line| {
                drop(line.tx);
                assert_eq!(recv(&line.rx), 0);
                operation(|| drop(line.rx));
            },
            |line, death| line.survives_last_receiver(death),
        ),
    ]
}

/// Those who take over from the dead, and die of it.
fn heirs() -> Vec<Scenario> {
    vec![
        // Somebody died with the right to send, between two pieces of a message.
        Scenario::new(
            "pipe/send-after-torn",
            || {
                let line = Line::for_participants(3);
                (0..4).for_each(|number| send(&line.tx, number));
                let torn = Process::start("the one before", || {
                    line.tx.send_timeout(&parcel::make(99, LONG), patience()).unwrap();
                    Vec::new()
                });
                torn.until_asleep();
                torn.kill();
                (0..4).for_each(|number| assert_eq!(recv(&line.rx), number));
                line
            },
            |line| {
                let message = message(0);
                operation(|| line.tx.send(&message).unwrap());
            },
            |line, death| line.survives_sender(0, death),
        ),
        // The same, but the one who cleans up has his place, and dies as well.
        Scenario::new(
            "pipe/sweep",
            || {
                let line = Line::with(1);
                killed_elsewhere(|| core::mem::forget(line.tx.reserve(10).unwrap()));
                line
            },
            |line| {
                let message = message(1);
                operation(|| line.tx.send(&message).unwrap());
            },
            |line, death| line.survives_sender_swept(1, death),
        ),
        // Somebody died in the middle of a message that he received in pieces.
        Scenario::new(
            "pipe/recv-after-midway",
            || {
                let line = Line::for_participants(3);
                let sender = Process::start("the sender", || {
                    line.tx.send_timeout(&parcel::make(99, HUGE), patience()).unwrap();
                    Vec::new()
                });
                sender.until_asleep();
                killed_elsewhere(|| assert!(matches!(line.rx.try_recv(), Err(RecvError::Empty))));
                sender.join();
                (0..2).for_each(|number| send(&line.tx, number));
                line
            },
            |line| drop(operation(|| line.rx.recv().unwrap())),
            |line, death| line.survives_receiver(0, 2, death),
        ),
    ]
}

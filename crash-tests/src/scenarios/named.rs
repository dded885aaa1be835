//! Pipes with names: who has come, and who is left, is in the table of participants.

use super::line::{Line, SIZE, await_tick, message, recv, recv_to_end, send};
use super::ring::know_oneself;
use crate::process::{elsewhere, patience};
use crate::scenario::{Scenario, operation};
use ringway::{Connection, End, Error, Options, Pipe, RecvError, SendError, Wait};
use std::time::Duration;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "named/create",
            || {},
            |()| {
                know_oneself();
                drop(operation(|| options(End::First).create("pipe").unwrap()));
            },
            |(), death| match options(End::Second).open("pipe") {
                Err(Error::NotFound { .. }) => {
                    assert!(!death.after, "it is not there though the call had returned");
                    0
                }
                Err(error) => panic!("what is there cannot be opened: {error}"),
                Ok(rx) => {
                    assert_eq!(recv_to_end(&rx), (Vec::new(), 0));
                    assert_eq!(rx.peer_deaths(), 1);
                    end_is_free(&rx);
                    1
                }
            },
        ),
        Scenario::new(
            "named/open-to-receive",
            || {
                let tx = options(End::First).create("pipe").unwrap();
                send(&tx, 0);
                tx
            },
            |_| {
                know_oneself();
                drop(operation(|| options(End::Second).open("pipe").unwrap()));
            },
            |tx, death| {
                // What nobody has come for yet is kept. A sender asks once in a tick whether anybody is left.
                await_tick();
                let had_come = match tx.send_timeout(&message(1), patience()) {
                    Ok(()) => 0,
                    Err(SendError::Closed) => 1,
                    Err(error) => panic!("{error}"),
                };
                assert!(had_come == 1 || !death.after, "it had come, and is not missed");
                let got = elsewhere(|| {
                    let rx = options(End::Second).open("pipe").unwrap();
                    (had_come..2).map(|_| recv(&rx)).collect()
                });
                assert!(got.iter().copied().eq(0..2 - had_come), "{got:?}");
                assert!(
                    matches!(tx.send_timeout(&message(2), patience()), Err(SendError::Closed)),
                    "not closed"
                );
                tx.unlink().unwrap();
                had_come
            },
        ),
        Scenario::new(
            "named/open-to-send",
            || options(End::Second).create("pipe").unwrap(),
            |_| {
                know_oneself();
                drop(operation(|| options(End::First).open("pipe").unwrap()));
            },
            |rx, death| {
                let had_come = match rx.recv_timeout(Duration::ZERO) {
                    Err(RecvError::Timeout | RecvError::Empty) => 0,
                    Err(RecvError::Closed) => 1,
                    other => panic!("received {other:?}"),
                };
                assert!(had_come == 1 || !death.after, "it had come, and is not missed");
                end_is_free(&rx);
                had_come
            },
        ),
        Scenario::new(
            "named/send-last",
            || options(End::Second).create("pipe").unwrap(),
            |_| {
                let tx = options(End::First).open("pipe").unwrap();
                send(&tx, 0);
                await_tick();
                let message = message(1);
                operation(|| tx.send(&message).unwrap());
            },
            |rx, death| {
                let (numbers, torn) = recv_to_end(&rx);
                assert!(numbers == [0, 1] || numbers == [0] && !death.after, "{numbers:?}");
                assert_eq!((torn, rx.peer_deaths()), (0, 1));
                end_is_free(&rx);
                numbers.len() as u64 - 1
            },
        ),
        Scenario::new(
            "named/close",
            || options(End::Second).create("pipe").unwrap(),
            |_| {
                let tx = options(End::First).open("pipe").unwrap();
                send(&tx, 0);
                operation(|| drop(tx));
            },
            |rx, death| {
                assert_eq!(recv_to_end(&rx), (vec![0], 0));
                let in_peace = 1 - rx.peer_deaths();
                assert!(in_peace == 1 || !death.after, "it left in peace, and counts as dead");
                end_is_free(&rx);
                in_peace
            },
        ),
    ]
}

/// With places for two participants, so that the next one needs the place of the dead.
fn options(end: End) -> Options<Connection> {
    Pipe::options().capacity(SIZE).participants(2).simplex(true).wait(Wait::Park).end(end)
}

/// Another process takes the end of the dead, and can use all of the pipe, which is empty.
fn end_is_free(rx: &Connection) {
    elsewhere(|| {
        let tx = options(End::First).open("pipe").unwrap();
        let rx = options(End::Second).open("pipe").unwrap();
        Line { tx, rx }.is_as_large_as_ever();
        Vec::new()
    });
    assert_eq!(recv_to_end(rx), (Vec::new(), 0));
    rx.unlink().unwrap();
}

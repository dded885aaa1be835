//! Memory for messages: lent, given back to the system, waited for.

use super::{
    Blobs, fill, hold, must_be_as_good_as_new, open, options, options_with_extents, send, survives_sender,
    take_all, with,
};
use crate::process::{Process, patience};
use crate::scenario::{Scenario, operation};
use crate::scenarios::pooled::{CHUNK, EXTENT, message, numbers, read, sleep_until_woken, write};
use ringway::Deadline;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = loans();
    all.extend(trimmers());
    all.extend(sleepers());
    all
}

fn loans() -> Vec<Scenario> {
    let lends = |name, len: usize, before: u64, sending: u64, victim: fn(Blobs)| {
        Scenario::new(
            name,
            move || fill(if len == EXTENT { options_with_extents(2) } else { options(2) }, len, before),
            move |_| victim(open()),
            move |blobs, death| survives_sender(blobs, before, sending, death),
        )
    };
    vec![
        lends("byte-queue/reserve-commit", CHUNK, 1, 1, |blobs| {
            operation(|| send_in_place(&blobs, 1, CHUNK));
        }),
        lends("byte-queue/reserve-drop", CHUNK, 1, 0, |blobs| {
            operation(|| drop(blobs.reserve(CHUNK).unwrap()));
        }),
        lends("byte-queue/commit-full", CHUNK, 2, 0, |blobs| {
            let loan = blobs.try_reserve(CHUNK).unwrap();
            operation(|| drop(loan.commit_deadline(Deadline::NOW).unwrap_err()));
        }),
        // Where file space is reserved already.
        lends("byte-queue/send-extent", EXTENT, 0, 1, |blobs| {
            operation(|| send_in_place(&blobs, 0, EXTENT));
        }),
        // Where it has to be.
        lends("byte-queue/send-extent-first", EXTENT, 1, 1, |blobs| {
            operation(|| send_in_place(&blobs, 1, EXTENT));
        }),
    ]
}

/// Sends a message without a copy.
fn send_in_place(blobs: &Blobs, number: u64, len: usize) {
    let mut loan = blobs.reserve(len).unwrap();
    write(&mut loan, number);
    loan.commit().unwrap();
}

/// A queue with all the file space reserved that it may have, and nothing in it.
fn with_unused_extents() -> Blobs {
    let blobs = fill(options_with_extents(2), EXTENT, 2);
    assert_eq!(numbers(&take_all(&blobs)), [0, 1]);
    assert_eq!(blobs.large_bytes(), 2 * EXTENT as u64);
    blobs
}

fn trimmers() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "byte-queue/trim",
            with_unused_extents,
            |_| {
                let blobs = open();
                operation(|| assert_eq!(blobs.trim(), 2 * EXTENT as u64));
            },
            |blobs, death| {
                let left = blobs.large_bytes();
                assert!(left == 0 || !death.after, "{left} bytes are still there");
                assert_eq!(take_all(&blobs), []);
                must_be_as_good_as_new(blobs);
                2 - left.div_ceil(EXTENT as u64)
            },
        ),
        // A message that finds room only if what others had is given back.
        Scenario::new(
            "byte-queue/send-extent-instead",
            with_unused_extents,
            |_| {
                let blobs = open();
                operation(|| send_in_place(&blobs, 0, 2 * EXTENT));
            },
            |blobs, death| survives_sender(blobs, 0, 1, death),
        ),
    ]
}

/// A sender sleeps because all memory is in use, until a message is dropped.
fn sleepers() -> Vec<Scenario> {
    vec![
        Scenario::with_partner(
            "byte-queue/send-asleep",
            || {
                let blobs = with(1, CHUNK, 0);
                (hold(&blobs, 2), blobs)
            },
            |_| send(&open(), 0, CHUNK),
            |(held, _)| drop(held.pop()),
            |(held, blobs), death| {
                drop(held);
                survives_sender(blobs, 0, 1, death)
            },
        )
        .with_a_short_cut(),
        // Without slices, a sleeper whom nobody wakes is found.
        Scenario::new(
            "byte-queue/drop-wakes-sender",
            || {
                sleep_until_woken();
                let blobs = with(1, CHUNK, 0);
                let held = hold(&blobs, 1);
                blobs.try_send(&message(0, CHUNK)).unwrap();
                let sleeper = Process::start("the sleeper", || {
                    open().send(&message(1, CHUNK)).unwrap();
                    vec![]
                });
                sleeper.until_asleep();
                (held, sleeper, blobs)
            },
            |_| {
                let blobs = open();
                let message = blobs.recv().unwrap();
                operation(|| drop(message));
            },
            |(held, sleeper, blobs), death| {
                // Somebody else makes room, if the dead one has not come to tell.
                let held = death.after.then_some(held);
                let came = blobs.recv_timeout(patience()).expect("the sleeper is awake");
                assert_eq!(read(&came), 1);
                drop(came);
                sleeper.join();
                drop(held);
                assert_eq!(take_all(&blobs), []);
                must_be_as_good_as_new(blobs);
                0
            },
        ),
    ]
}

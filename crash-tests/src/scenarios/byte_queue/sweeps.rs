//! What the dead left, and who dies over ending it.

use super::{Blobs, must_be_as_good_as_new, open, take_all, with};
use crate::process::killed_elsewhere;
use crate::scenario::{Death, Scenario, operation};
use crate::scenarios::pooled::{CHUNK, KEPT, Remains, message};
use crate::scenarios::ring::know_oneself;
use ringway::{RecvError, SendError};

/// Somebody died, and left something to be ended.
struct Left {
    name: &'static str,
    setup: fn() -> Blobs,
    /// How he died, who had this index.
    die: fn(u64),
    /// What notices it in passing.
    look: fn(&Blobs),
    /// What can be received in the end: numbers, and how often each was tried before.
    left: &'static [(u64, u8)],
}

/// The victim ends what one before it began, and dies over it: when it takes his place, or from a place of its own.
pub(super) fn scenarios() -> Vec<Scenario> {
    let full = |blobs: &Blobs| {
        assert!(matches!(blobs.try_send(&message(2, CHUNK)), Err(SendError::Full)));
    };
    let deaths = [
        // All memory is in use.
        Left {
            name: "held",
            setup: || with(2, CHUNK, 1),
            die: |_| {
                killed_elsewhere(|| {
                    let blobs = open();
                    core::mem::forget(blobs.try_reserve(CHUNK).unwrap());
                    core::mem::forget(blobs.try_reserve(CHUNK).unwrap());
                    blobs.try_recv().unwrap().detach()
                });
            },
            look: |blobs| drop(blobs.try_reserve(CHUNK).unwrap()),
            left: &[],
        },
        Left {
            name: "sent",
            setup: || with(2, CHUNK, 1),
            die: |_| killed_elsewhere(|| open().try_send(&message(1, CHUNK)).unwrap()),
            look: full,
            left: &[(0, 0), (1, 0)],
        },
        Left {
            name: "sending",
            setup: || with(2, CHUNK, 0),
            die: |dead| {
                killed_elsewhere(|| {
                    let blobs = open();
                    core::mem::forget(blobs.try_reserve(CHUNK).unwrap());
                    blobs
                });
                Remains::of(dead).was_sending(2, 1);
            },
            look: |blobs| assert!(matches!(blobs.try_recv(), Err(RecvError::Empty))),
            left: &[],
        },
        Left {
            name: "receiving",
            setup: || with(2, CHUNK, 2),
            die: |dead| {
                killed_elsewhere(open);
                Remains::of(dead).was_receiving(2, 1, None);
            },
            look: full,
            left: &[(0, 1), (1, 0)],
        },
        // The chunk was his already.
        Left {
            name: "received",
            setup: || with(2, CHUNK, 2),
            die: |dead| {
                killed_elsewhere(open);
                Remains::of(dead).was_receiving(2, 1, Some(KEPT));
            },
            look: full,
            left: &[(0, 1), (1, 0)],
        },
    ];
    deaths.into_iter().flat_map(Left::scenarios).collect()
}

impl Left {
    fn scenarios(self) -> [Scenario; 2] {
        let Left { name, setup, die, look, left } = self;
        let survivor = move |blobs: Blobs, _: Death| {
            let all = take_all(&blobs);
            let mut all: Vec<_> = all.iter().map(|found| (found.number, found.deliveries)).collect();
            all.sort_unstable();
            assert_eq!(all, left);
            must_be_as_good_as_new(blobs);
            0
        };
        let at_open = Scenario::new(
            format!("byte-queue/sweep-{name}-at-open"),
            move || {
                let blobs = setup();
                die(2);
                blobs
            },
            |_| {
                know_oneself();
                drop(operation(open));
            },
            survivor,
        );
        let in_passing = Scenario::new(
            format!("byte-queue/sweep-{name}"),
            setup,
            move |_| {
                let blobs = open();
                die(3);
                operation(|| look(&blobs));
            },
            survivor,
        );
        [at_open, in_passing]
    }
}

//! What the dead left, and who dies over ending it.

use super::{Jobs, do_all, must_be_as_good_as_new, open, with};
use crate::process::killed_elsewhere;
use crate::scenario::{Death, Scenario, operation};
use crate::scenarios::pooled::{Remains, TASK};
use crate::scenarios::ring::know_oneself;
use process_tests::message::Fixed;
use ringway::{Deadline, SendError};

/// Somebody died, and left something to be ended.
struct Left {
    name: &'static str,
    setup: fn() -> Jobs,
    /// How he died, who had this index.
    die: fn(u64),
    /// What notices it in passing.
    look: fn(&Jobs),
    /// What can be received in the end: numbers, and how often each was tried before.
    left: &'static [(u64, u8)],
}

/// The victim ends what one before it began, and dies over it: when it takes his place, or from a place of its own.
pub(super) fn scenarios() -> Vec<Scenario> {
    let full = |jobs: &Jobs| assert!(matches!(jobs.try_send(Fixed::new(5)), Err(SendError::Full)));
    let deaths = [
        // There is no memory for another task.
        Left {
            name: "task",
            setup: || with(2, 2),
            die: |_| {
                killed_elsewhere(|| {
                    let jobs = open();
                    let task = jobs.recv().unwrap().detach();
                    jobs.try_send(Fixed::new(2)).unwrap();
                    task
                });
            },
            look: full,
            left: &[(0, 1), (1, 0), (2, 0)],
        },
        Left {
            name: "orphan",
            setup: || with(2, 2),
            die: |dead| {
                killed_elsewhere(|| open().recv().unwrap().detach());
                Remains::of(dead).had_given_back(2);
            },
            look: |jobs| assert!(jobs.join_deadline(Deadline::NOW).is_err()),
            left: &[(0, 1), (1, 0)],
        },
        Left {
            name: "receiving",
            setup: || with(2, 2),
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
            setup: || with(2, 2),
            die: |dead| {
                killed_elsewhere(open);
                Remains::of(dead).was_receiving(2, 1, Some(TASK));
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
        let survivor = move |jobs: Jobs, _: Death| {
            let mut all: Vec<_> =
                do_all(&jobs).iter().map(|found| (found.number, found.deliveries)).collect();
            all.sort_unstable();
            assert_eq!(all, left);
            must_be_as_good_as_new(jobs);
            0
        };
        let at_open = Scenario::new(
            format!("tasks/sweep-{name}-at-open"),
            move || {
                let jobs = setup();
                die(2);
                jobs
            },
            |_| {
                know_oneself();
                drop(operation(open));
            },
            survivor,
        );
        let in_passing = Scenario::new(
            format!("tasks/sweep-{name}"),
            setup,
            move |_| {
                let jobs = open();
                die(3);
                operation(|| look(&jobs));
            },
            survivor,
        );
        [at_open, in_passing]
    }
}

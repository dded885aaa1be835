//! Scenarios that are wrong, each in its own way: the harness must notice.

use crate::process::{elsewhere, pause, place};
use crate::scenario::{Scenario, operation};
use std::hint::black_box;

/// A scenario, and what the harness must say of it.
///
/// # Panics
/// That is what some of them do, when they are played.
pub fn faulty() -> Vec<(Scenario, &'static str)> {
    let counting = || {
        let mut sum = 0_u64;
        (0..20).for_each(|number| sum = black_box(sum + number));
        sum
    };
    let alone = move |name: &str, survivor: fn((), crate::Death) -> u64| {
        Scenario::new(name, || {}, move |()| drop(operation(|| vec![counting()])), survivor)
    };
    vec![
        (
            alone("hangs", |(), death| {
                if death.after {
                    pause();
                }
                0
            }),
            "hangs while asking the survivor",
        ),
        (
            alone("leaves a file", |(), death| {
                if death.after {
                    std::fs::write(place().join("forgotten"), "").unwrap();
                }
                0
            }),
            "left in the directory: forgotten",
        ),
        (
            alone("fails elsewhere", |(), death| {
                elsewhere(|| {
                    assert!(!death.after, "nobody says so");
                    Vec::new()
                });
                0
            }),
            "another process: nobody says so",
        ),
        (
            alone("crashes", |(), death| {
                if death.after {
                    std::process::abort();
                }
                0
            }),
            "signal 6 while asking the survivor",
        ),
        (
            alone("undoes", |(), death| u64::from(!death.before && !death.after)),
            "and 1 at an earlier instruction",
        ),
        (alone("foresees", |(), death| u64::from(death.before)), "had taken effect before it began"),
        (Scenario::new("does little", || {}, |()| operation(|| {}), |(), _| 0), "instructions only"),
        (
            Scenario::new("does nothing", || {}, |()| {}, |(), _| 0),
            "without a kill: the victim: it ended without an operation",
        ),
        (
            Scenario::new(
                "fails",
                || {},
                |()| operation(|| assert!(black_box(false), "as it must")),
                |(), _| 0,
            ),
            "without a kill: the victim: as it must",
        ),
    ]
}

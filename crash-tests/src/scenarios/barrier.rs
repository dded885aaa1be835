//! Barriers: all parties meet, or all are told that it broke; whoever dies hangs nobody.

use super::locks::{leak, look, until_asleep};
use super::pooled::sleep_until_woken;
use crate::process::{Process, patience};
use crate::scenario::{Death, Scenario, operation};
use ringway::inspect::{self, Detail};
use ringway::{Barrier, BarrierError, Deadline, Wait};
use std::time::Duration;

type Place = &'static Barrier;

const NAME: &str = "barrier";

fn create(parties: u32, places: u16) -> Place {
    let options = Barrier::options().parties(parties).participants(places);
    leak(options.wait(Wait::Park).create(NAME).unwrap())
}

fn open() -> Place {
    leak(Barrier::options().wait(Wait::Park).open(NAME).unwrap())
}

fn look_at_it() -> inspect::Barrier {
    match look(NAME) {
        Detail::Barrier(barrier) => *barrier,
        other => panic!("{other:?}"),
    }
}

const MET: u64 = 1;
const BROKEN: u64 = 0;

/// How a wait ended.
fn wait(place: Place) -> u64 {
    match place.wait_timeout(patience()) {
        Ok(_) => MET,
        Err(BarrierError::Broken) => BROKEN,
        Err(error) => panic!("{error}"),
    }
}

/// A process asleep until the others come. Its result: how that ended.
fn sleeper() -> Process {
    let already = look_at_it().arrived.len();
    let process = Process::start("the sleeper", || match open().wait() {
        Ok(_) => vec![MET],
        Err(BarrierError::Broken) => vec![BROKEN],
        Err(error) => panic!("{error}"),
    });
    until_asleep(std::slice::from_ref(&process), || look_at_it().arrived.len() > already);
    process
}

/// Reset, it lets in as many as there are parties, each with another number, twice.
fn must_be_as_good_as_new(place: Place) {
    place.reset().unwrap();
    assert!(!place.is_broken() && place.waiting() == 0);
    for _ in 0..2 {
        let other = |_| {
            Process::start("the next one", || vec![open().wait_timeout(patience()).unwrap().index() as u64])
        };
        let others: Vec<_> = (1..place.parties()).map(other).collect();
        let mut indices = vec![place.wait_timeout(patience()).unwrap().index() as u64];
        indices.extend(others.into_iter().flat_map(Process::join));
        indices.sort_unstable();
        assert!(indices.iter().copied().eq(0..u64::from(place.parties())), "{indices:?}");
    }
    ringway::unlink(NAME).unwrap();
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = parties();
    all.extend(breakers());
    all
}

fn parties() -> Vec<Scenario> {
    let arrive = |_| {
        let place = open();
        operation(|| place.wait().unwrap());
    };
    vec![
        Scenario::with_partner(
            "barrier/wait-first",
            || (create(2, 3), None),
            move |_: (Place, Option<u64>)| arrive(()),
            |(place, outcome)| {
                if outcome.is_none() {
                    *outcome = Some(wait(place));
                }
            },
            |(place, outcome): (Place, Option<u64>), death: Death| {
                let looked = look_at_it();
                let effect = match outcome {
                    Some(outcome) => {
                        assert_eq!(outcome, MET, "all had come");
                        assert!(!looked.broken && looked.generation == 1, "{looked:?}");
                        2
                    }
                    // The survivor comes, and is the last: nobody was there who could have found the other one dead.
                    None if looked.arrived.len() == 1 => {
                        assert_eq!(wait(place), MET, "all have come");
                        1
                    }
                    None => {
                        assert!(looked.arrived.is_empty() && !looked.broken, "{looked:?}");
                        0
                    }
                };
                assert!(effect == 2 || !death.after);
                must_be_as_good_as_new(place);
                effect
            },
        )
        .with_a_short_cut(),
        last("barrier/wait-last", 2),
        last("barrier/wait-last-of-three", 3),
        // Between one that sleeps already and one that comes last. If it dies while they wait, that breaks it for the
        // others: he who sleeps finds out at the end of a slice.
        Scenario::with_partner(
            "barrier/wait-between",
            || {
                let place = create(3, 4);
                (place, sleeper(), None)
            },
            move |_: (Place, Process, Option<u64>)| arrive(()),
            |(place, _, outcome)| {
                if outcome.is_none() {
                    *outcome = Some(wait(place));
                }
            },
            |(place, sleeper, outcome): (Place, Process, Option<u64>), death: Death| {
                let effect = match outcome {
                    Some(outcome) => {
                        assert_eq!((outcome, sleeper.join()), (MET, vec![MET]), "all had come");
                        2
                    }
                    None => {
                        let came = look_at_it().arrived.len() == 2 || place.is_broken();
                        if !came {
                            place.abort();
                        }
                        assert_eq!(sleeper.join(), [BROKEN], "met with a dead one");
                        came.into()
                    }
                };
                assert!(effect == 2 || !death.after);
                must_be_as_good_as_new(place);
                effect
            },
        )
        .with_a_short_cut(),
    ]
}

/// All others sleep already. If the victim came, they have met, though it died.
fn last(name: &'static str, parties: u32) -> Scenario {
    Scenario::new(
        name,
        move || {
            sleep_until_woken();
            let place = create(parties, parties as u16 + 2);
            (place, (1..parties).map(|_| sleeper()).collect::<Vec<_>>())
        },
        |_| {
            let place = open();
            operation(|| place.wait().unwrap());
        },
        move |(place, sleepers), death| {
            let looked = look_at_it();
            let came = looked.generation == 1 || looked.arrived.len() == parties as usize;
            assert!(came || !death.after, "{looked:?}");
            if !came {
                assert_eq!(wait(place), MET, "the survivor was the last");
            } else if !death.after {
                // Whoever comes next opens the next generation, if the dead one has not; its own time is over.
                let late = place.wait_deadline(Deadline::NOW);
                assert!(matches!(late, Err(BarrierError::Timeout)), "{late:?}");
            }
            let outcomes: Vec<_> = sleepers.into_iter().flat_map(Process::join).collect();
            assert!(outcomes.iter().all(|&outcome| outcome == MET), "all had come: {outcomes:?}");
            must_be_as_good_as_new(place);
            came.into()
        },
    )
}

/// The victim breaks it for one who waits. If it died before it told him, the survivor does, by breaking it again.
fn breakers() -> Vec<Scenario> {
    let breaks = |name: &'static str, is_mended: bool, victim: fn(Place)| {
        Scenario::new(
            name,
            || {
                sleep_until_woken();
                let place = create(3, 4);
                (place, sleeper())
            },
            move |_| victim(open()),
            move |(place, sleeper), death| {
                let looked = look_at_it();
                let effect = match (looked.broken, looked.generation) {
                    // The dead one has come, or not.
                    (false, 0) => looked.arrived.len() as u64 - 1,
                    (true, _) => 1,
                    (false, _) => 2,
                };
                assert!(effect == 1 + u64::from(is_mended) || !death.after, "{looked:?}");
                if !death.after {
                    place.abort();
                }
                assert_eq!(sleeper.join(), [BROKEN], "met though one was missing");
                must_be_as_good_as_new(place);
                effect
            },
        )
    };
    vec![
        breaks("barrier/abort", false, |place| operation(|| place.abort())),
        breaks("barrier/reset", true, |place| operation(|| place.reset().unwrap())),
        breaks("barrier/wait-times-out", false, |place| {
            operation(|| {
                let late = place.wait_timeout(Duration::from_millis(1));
                assert!(matches!(late, Err(BarrierError::Timeout)), "{late:?}");
            });
        }),
        // The victim takes the place of one that died while it waited.
        Scenario::new(
            "barrier/sweep",
            || {
                sleep_until_woken();
                let place = create(3, 3);
                let dead = sleeper();
                let sleeper = sleeper();
                dead.kill();
                (place, sleeper)
            },
            |_| {
                super::ring::know_oneself();
                let _ = operation(open);
            },
            |(place, sleeper), death| {
                if !death.after {
                    place.abort();
                }
                assert!(place.is_broken());
                assert_eq!(sleeper.join(), [BROKEN], "met with a dead one");
                must_be_as_good_as_new(place);
                0
            },
        )
        .in_company(),
    ]
}

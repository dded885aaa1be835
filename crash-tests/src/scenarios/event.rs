//! Events: whoever waits goes on when one is set, also if it is cleared at once, and also beside those who die.

use super::locks::{in_places, leak, look, until_asleep};
use super::pooled::sleep_until_woken;
use crate::process::{Process, patience};
use crate::scenario::{Death, Scenario, operation};
use ringway::inspect::{self, Detail};
use ringway::{Event, Wait};
use std::time::Duration;

type Happening = &'static Event;

const NAME: &str = "event";

fn create(places: u16) -> Happening {
    leak(Event::options().participants(places).wait(Wait::Park).create(NAME).unwrap())
}

fn open() -> Happening {
    leak(Event::options().wait(Wait::Park).open(NAME).unwrap())
}

fn look_at_it() -> inspect::Event {
    match look(NAME) {
        Detail::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

/// Two processes asleep until it is set.
fn sleepers() -> [Process; 2] {
    let one = || {
        Process::start("the sleeper", || {
            open().wait();
            Vec::new()
        })
    };
    let both = [one(), one()];
    until_asleep(&both, || look_at_it().awaited);
    both
}

fn must_be_as_good_as_new(event: Happening) {
    event.clear();
    in_places(2, &|_| open(), &|other: &Happening| {
        assert!(!other.wait_timeout(Duration::ZERO));
        other.set();
        assert!(other.wait_timeout(Duration::ZERO) && other.clear() && !other.is_set());
    });
    assert!(!event.is_set());
    let waiting = Process::start("the next one", || vec![open().wait_timeout(patience()).into()]);
    event.set();
    assert_eq!(waiting.join(), [1], "woken by nobody");
    ringway::unlink(NAME).unwrap();
}

pub(super) fn scenarios() -> Vec<Scenario> {
    // If the victim died before it woke them, whoever sets it next does.
    let wakes = |name: &'static str, victim: fn(Happening), survivor: fn(Death) -> u64| {
        Scenario::new(
            name,
            || {
                sleep_until_woken();
                let event = create(4);
                (event, sleepers())
            },
            move |_| victim(open()),
            move |(event, sleepers), death| {
                let effect = survivor(death);
                if !death.after {
                    event.set();
                }
                sleepers.into_iter().for_each(|sleeper| drop(sleeper.join()));
                must_be_as_good_as_new(event);
                effect
            },
        )
    };
    vec![
        wakes(
            "event/set-wakes",
            |event| operation(|| event.set()),
            |death| {
                let looked = look_at_it();
                assert_eq!(looked.set, looked.settings == 1);
                assert!(looked.set || !death.after, "not set though the call had returned");
                looked.settings
            },
        ),
        // Those who sleep cannot look before it is cleared.
        Scenario::new(
            "event/set-and-clear-wakes",
            || {
                sleep_until_woken();
                let event = create(4);
                let sleepers = sleepers();
                sleepers.iter().for_each(Process::stop);
                (event, sleepers)
            },
            |_| {
                let event = open();
                operation(|| {
                    event.set();
                    event.clear();
                });
            },
            |(event, sleepers), death| {
                let looked = look_at_it();
                let effect = looked.settings + u64::from(looked.settings == 1 && !looked.set);
                assert!(effect == 2 || !death.after, "{looked:?}");
                sleepers.iter().for_each(Process::go_on);
                if effect == 0 {
                    event.set();
                }
                sleepers.into_iter().for_each(|sleeper| drop(sleeper.join()));
                must_be_as_good_as_new(event);
                effect
            },
        ),
        Scenario::new(
            "event/clear",
            || {
                let event = create(3);
                event.set();
                event
            },
            |_| {
                let event = open();
                operation(|| assert!(event.clear()));
            },
            |event, death| {
                let cleared = !event.is_set();
                assert!(cleared || !death.after, "set though the call had returned");
                must_be_as_good_as_new(event);
                cleared.into()
            },
        ),
        Scenario::new(
            "event/wait-times-out",
            || create(3),
            |_| {
                let event = open();
                operation(|| assert!(!event.wait_timeout(Duration::from_millis(1))));
            },
            |event, _| {
                assert!(!event.is_set());
                must_be_as_good_as_new(event);
                0
            },
        ),
        Scenario::with_partner(
            "event/wait-asleep",
            || create(3),
            |_| {
                let event = open();
                operation(|| event.wait());
            },
            |event| event.set(),
            |event, death| {
                let set = event.is_set();
                assert!(set || !death.after, "it went on although nobody had set it");
                must_be_as_good_as_new(event);
                set.into()
            },
        )
        .with_a_short_cut(),
    ]
}

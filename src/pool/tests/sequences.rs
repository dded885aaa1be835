//! Random sequences of operations and deaths, against a model that only counts messages.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Reserve and fill.
    Loan {
        who: u16,
        len: u64,
    },
    GiveUp {
        which: usize,
    },
    Send {
        which: usize,
    },
    Keep {
        who: u16,
    },
    Work {
        who: u16,
    },
    Free {
        which: usize,
    },
    Done {
        which: usize,
    },
    GiveBack {
        which: usize,
    },
    Retake {
        who: u16,
    },
    /// A receiver takes a slot and dies at once.
    TakeAndDie {
        who: u16,
    },
    Die {
        who: u16,
    },
    Trim,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 1_u16..5;
    prop_oneof![
        4 => (who.clone(), 0_u64..300).prop_map(|(who, len)| Step::Loan { who, len }),
        1 => any::<usize>().prop_map(|which| Step::GiveUp { which }),
        4 => any::<usize>().prop_map(|which| Step::Send { which }),
        2 => who.clone().prop_map(|who| Step::Keep { who }),
        2 => who.clone().prop_map(|who| Step::Work { who }),
        2 => any::<usize>().prop_map(|which| Step::Free { which }),
        1 => any::<usize>().prop_map(|which| Step::Done { which }),
        1 => any::<usize>().prop_map(|which| Step::GiveBack { which }),
        2 => who.clone().prop_map(|who| Step::Retake { who }),
        1 => who.clone().prop_map(|who| Step::TakeAndDie { who }),
        1 => who.prop_map(|who| Step::Die { who }),
        1 => Just(Step::Trim),
    ]
}

/// Where a message is, by its number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    InRing,
    Kept,
    Task,
    Returned,
    Over,
}

struct World {
    heap: Heap,
    loans: Vec<(u16, Loan, u64, u64)>,
    kept: Vec<(u16, u64, Kept)>,
    tasks: Vec<(u16, u64, Task)>,
    places: BTreeMap<u64, (Place, u64)>,
    sent: u64,
}

fn pick<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
    if from.is_empty() { None } else { Some(from.swap_remove(which % from.len())) }
}

impl World {
    fn new() -> Self {
        let demand =
            Demand { messages: 3, max_held: 3, usual: 64, largest: 128, max_bytes: 1 << 15, share: 0 };
        World {
            heap: Heap::of(demand),
            loans: vec![],
            kept: vec![],
            tasks: vec![],
            places: BTreeMap::new(),
            sent: 0,
        }
    }

    /// The number that a message carries, after a look at all of it.
    fn number(&self, content: &[u8]) -> u64 {
        let number = u64::from_ne_bytes(content[..8].try_into().unwrap());
        assert_eq!(content.len() as u64, self.places[&number].1);
        assert!(content[8..].iter().all(|&byte| byte == number as u8));
        number
    }

    fn moved(&mut self, number: u64, from: Place, to: Place) {
        let place = &mut self.places.get_mut(&number).unwrap().0;
        assert_eq!(*place, from, "message {number}");
        *place = to;
    }

    fn die(&mut self, who: u16) {
        drop(self.loans.extract_if(.., |(owner, ..)| *owner == who).collect::<Vec<_>>());
        for (_, number, _) in self.kept.extract_if(.., |(owner, ..)| *owner == who).collect::<Vec<_>>() {
            self.moved(number, Place::Kept, Place::Over);
        }
        for (_, number, _) in self.tasks.extract_if(.., |(owner, ..)| *owner == who).collect::<Vec<_>>() {
            self.moved(number, Place::Task, Place::Returned);
        }
        self.heap.sweep(&[who]);
        assert_eq!(self.heap.sweep(&[who]), Swept::default());
    }

    fn claim(&self, who: u16) -> Option<Claim> {
        let slots = self.heap.slots();
        slots.take_orphan(who, |_| false).or_else(|| slots.take_next(who).ok())
    }

    fn step(&mut self, step: Step) {
        let heap = &self.heap;
        match step {
            Step::Loan { who, len } => {
                let (number, len) = (self.sent, len + 8);
                let Ok(loan) = heap.reserve(who, len) else { return };
                self.sent += 1;
                assert_eq!(heap.pool.copy_in(&loan, 0, &number.to_ne_bytes()), 8);
                assert_eq!(
                    heap.pool.copy_in(&loan, 8, &vec![number as u8; len as usize - 8]) as u64,
                    len - 8
                );
                self.loans.push((who, loan, number, len));
            }
            Step::GiveUp { which } => {
                if let Some((_, loan, ..)) = pick(&mut self.loans, which) {
                    heap.pool.give_up(loan);
                }
            }
            Step::Send { which } => {
                let Some((who, loan, number, len)) = pick(&mut self.loans, which) else { return };
                match heap.slots().claim(who) {
                    Ok(claim) => {
                        heap.pool.send(&heap.slots(), claim, loan, len);
                        self.places.insert(number, (Place::InRing, len));
                    }
                    Err(_) => heap.pool.give_up(loan),
                }
            }
            Step::Keep { who } => {
                let Some(claim) = self.claim(who) else { return };
                let kept = heap.pool.receive_kept(&heap.slots(), claim, who).unwrap();
                let number = self.number(&heap.content(&kept));
                self.moved(number, Place::InRing, Place::Kept);
                self.kept.push((who, number, kept));
            }
            Step::Work { who } => {
                let Some(claim) = self.claim(who) else { return };
                let task = heap.pool.receive_task(&heap.slots(), claim, who).unwrap();
                let number = self.number(&heap.content_of_task(&task));
                self.moved(number, Place::InRing, Place::Task);
                self.tasks.push((who, number, task));
            }
            Step::Free { which } => {
                let Some((_, number, kept)) = pick(&mut self.kept, which) else { return };
                assert_eq!(self.number(&heap.content(&kept)), number);
                heap.pool.free(kept);
                self.moved(number, Place::Kept, Place::Over);
            }
            Step::Done { which } => {
                let Some((_, number, task)) = pick(&mut self.tasks, which) else { return };
                assert_eq!(self.number(&heap.content_of_task(&task)), number);
                heap.pool.done(task).unwrap();
                self.moved(number, Place::Task, Place::Over);
            }
            Step::GiveBack { which } => {
                let Some((who, number, task)) = pick(&mut self.tasks, which) else { return };
                heap.pool.give_back(task, who).unwrap();
                self.moved(number, Place::Task, Place::Returned);
            }
            Step::Retake { who } => {
                let returned = self.places.values().any(|&(place, _)| place == Place::Returned);
                let task = heap.pool.take_orphan(who).unwrap();
                assert_eq!(task.is_some(), returned);
                let Some(task) = task else { return };
                let number = self.number(&heap.content_of_task(&task));
                assert!(task.deliveries() > 0);
                self.moved(number, Place::Returned, Place::Task);
                self.tasks.push((who, number, task));
            }
            Step::TakeAndDie { who } => {
                // Below the number at which the ring itself gives up.
                let _taken = self.claim(who);
                self.die(who);
            }
            Step::Die { who } => self.die(who),
            Step::Trim => drop(heap.pool.trim(7, &heap.space)),
        }
    }

    fn check(&self) {
        let count = |wanted| self.places.values().filter(|&&(place, _)| place == wanted).count() as u64;
        let census = self.heap.pool.census();
        assert_eq!(census.loaned + census.queued, self.loans.len() as u64 + count(Place::InRing));
        assert_eq!((census.kept, census.tasks), (count(Place::Kept), count(Place::Task)));
        assert_eq!((census.orphans, census.corrupt), (count(Place::Returned), 0));
        let unfinished = count(Place::InRing) + census.tasks + census.orphans;
        assert_eq!(self.heap.is_finished(), unfinished == 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_are_neither_lost_nor_doubled_and_chunks_come_back(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
        (1..5).for_each(|who| world.die(who));
        while let Ok(claim) = world.heap.slots().take_next(6) {
            let kept = world.heap.pool.receive_kept(&world.heap.slots(), claim, 6).unwrap();
            let number = world.number(&world.heap.content(&kept));
            world.moved(number, Place::InRing, Place::Over);
            world.heap.pool.free(kept);
        }
        while let Some(claim) = world.heap.slots().take_orphan(6, |_| false) {
            let kept = world.heap.pool.receive_kept(&world.heap.slots(), claim, 6).unwrap();
            let number = world.number(&world.heap.content(&kept));
            world.moved(number, Place::InRing, Place::Over);
            world.heap.pool.free(kept);
        }
        while let Some(task) = world.heap.pool.take_orphan(6).unwrap() {
            let number = world.number(&world.heap.content_of_task(&task));
            world.moved(number, Place::Returned, Place::Over);
            world.heap.pool.done(task).unwrap();
        }
        world.check();
        prop_assert!(world.places.values().all(|&(place, _)| place == Place::Over), "{:?}", world.places);
        world.heap.all_free();
    }
}

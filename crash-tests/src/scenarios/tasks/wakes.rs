//! Who sleeps until there is a task, or none any more.

use super::{do_all, fate_of_the_first, must_be_as_good_as_new, open, survives_worker, with};
use crate::process::{Process, pause};
use crate::scenario::{Scenario, operation};
use crate::scenarios::pooled::{Found, numbers, sleep_until_woken};
use crate::scenarios::ring::know_oneself;
use process_tests::message::Fixed;
use ringway::Deadline;

/// Somebody sleeps, without slices where those can be turned off, and is woken by the victim, or by who follows it.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "tasks/done-wakes-joiner",
            || {
                sleep_until_woken();
                let jobs = with(3, 1);
                let joiner = Process::start("the joiner", || {
                    let jobs = open();
                    jobs.join().unwrap();
                    vec![jobs.unfinished() as u64]
                });
                joiner.until_asleep();
                (jobs, joiner)
            },
            |_| {
                let jobs = open();
                let task = jobs.recv().unwrap();
                operation(|| task.done().unwrap());
            },
            |(jobs, joiner), death| {
                let fate = fate_of_the_first(&jobs, 1);
                assert!(matches!(fate, None | Some(1)) && (fate.is_none() || !death.after), "{fate:?}");
                if !death.after {
                    // Whoever is done after it, tells.
                    jobs.try_send(Fixed::new(1)).unwrap();
                    assert_eq!(numbers(&do_all(&jobs)), [1]);
                }
                assert_eq!(joiner.join(), [0]);
                must_be_as_good_as_new(jobs);
                fate.is_none().into()
            },
        ),
        // The sweep of a dead worker's task wakes another worker.
        Scenario::new(
            "tasks/sweep-wakes-worker",
            || {
                sleep_until_woken();
                let jobs = with(3, 1);
                let dead = Process::start("one that dies before", || {
                    let jobs = open();
                    let _task = jobs.recv().unwrap();
                    loop {
                        pause();
                    }
                });
                dead.until_asleep();
                let worker = Process::start("the worker", || {
                    let jobs = open();
                    let task = jobs.recv().unwrap();
                    let number = task.number;
                    task.done().unwrap();
                    vec![number]
                });
                worker.until_asleep();
                dead.kill();
                (jobs, worker)
            },
            |_| {
                know_oneself();
                drop(operation(open));
            },
            |(jobs, worker), death| {
                if !death.after {
                    // Others find it, or the worker does; then there is another for him.
                    let found = do_all(&jobs);
                    assert!(
                        matches!(found[..], [] | [Found { number: 0, id: 1, deliveries: 1 }]),
                        "{found:?}"
                    );
                    jobs.try_send(Fixed::new(1)).unwrap();
                }
                let number = worker.join()[0];
                assert!(number == 0 || number == 1 && !death.after, "{number}");
                assert_eq!(
                    numbers(&do_all(&jobs)),
                    if death.after || number == 1 { vec![] } else { vec![1] }
                );
                must_be_as_good_as_new(jobs);
                0
            },
        ),
        // Whoever waits for the last task gets it when it comes back.
        Scenario::with_partner(
            "tasks/recv-until-finished-asleep",
            || {
                let jobs = with(3, 1);
                jobs.close();
                (Some(jobs.recv().unwrap().detach()), jobs)
            },
            |_| {
                let jobs = open();
                operation(|| jobs.recv_until_finished(Deadline::NEVER).unwrap().done().unwrap());
            },
            |(task, _)| drop(task.take()),
            |(task, jobs), death| {
                let early = task.is_some();
                drop(task);
                let effect = survives_worker(jobs, 1, 1, death);
                assert!(effect == 0 || !early);
                effect
            },
        )
        .with_a_short_cut(),
    ]
}

//! Several who want the same lock at once: how often they get it altogether, and how evenly.

#![expect(clippy::disallowed_types, reason = "how the users are stopped; nothing of the library, no model")]

use std::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::{Lock, Section};
use crate::{
    crew,
    sys::{self, SharedPage},
    transports::{Metric, Outcome, Result},
    worker::{Control, Job},
};

/// What a user is told to do.
const END: u64 = 0;
const RUN: u64 = 1;
const READ: u64 = 2;

/// In memory that all users share.
struct Common {
    /// Not 0 when the time is over.
    over: AtomicU32,
}

/// Measures how often a second `users` get the lock; and of what each would get if all got the same, what the one gets
/// that gets least.
pub(crate) fn measure<L: Lock<2>>(job: &Job, users: usize, section: Section) -> Result<Outcome> {
    let steps = match section {
        Section::Short => 0,
        Section::Long => steps_in(1000.0),
    };
    let lock = L::make(&job.setup)?;
    let page = SharedPage::new()?;
    // SAFETY: `Common` consists of an atomic integer, of which any bytes are a value.
    let common = unsafe { page.view::<Common>() };
    let be = |_, control: Control| User::<L> { end: lock.join(&job.setup)?, control, common, steps }.serve();
    crew::gather(job, &cpus(job, users)?, be, |users| direct(job.time, users, common))
}

/// Where each user runs: on a CPU of its own if there are enough, else in turn on the two of the job.
pub(super) fn cpus(job: &Job, users: usize) -> Result<Vec<usize>> {
    let mut cpus = job.cpus.to_vec();
    cpus.extend(sys::usable_cpus()?.into_iter().filter(|cpu| !job.cpus.contains(cpu)));
    if cpus.len() < users {
        cpus.truncate(2);
    }
    Ok(cpus.into_iter().cycle().take(users).collect())
}

/// The part of the process that tells the users what to do.
fn direct(time: Duration, users: &mut [Control], common: &Common) -> Result<Outcome> {
    for user in &mut *users {
        user.get::<1>()?; // it has joined
    }
    let mut counted = 0;
    let mut outcome = Outcome::new();
    for time in [time / 8, time] {
        let counts = run(users, common, time)?;
        let all: u64 = counts.iter().map(|count| count.times).sum();
        counted += all;
        users[0].put([READ])?;
        let found = users[0].get()?;
        if found != [counted; 2] {
            return Err(format!("the counters are {found:?} after {counted} additions").into());
        }
        let began = counts.iter().map(|count| count.began).min().unwrap_or(0);
        let ended = counts.iter().map(|count| count.ended).max().unwrap_or(0);
        let least = counts.iter().map(|count| count.times).min().unwrap_or(0);
        outcome = vec![
            (Metric::Takes, all as f64 * 1e9 / ended.saturating_sub(began).max(1) as f64),
            (Metric::Share, (least * counts.len() as u64) as f64 / all as f64),
        ];
    }
    for user in users {
        user.put([END])?;
    }
    Ok(outcome)
}

/// What a user has done.
struct Count {
    began: u64,
    ended: u64,
    times: u64,
}

/// Has all users take the lock, for so long.
fn run(users: &mut [Control], common: &Common, time: Duration) -> Result<Vec<Count>> {
    // Relaxed: the line to each user comes in between.
    common.over.store(0, Relaxed);
    for user in &mut *users {
        user.put([RUN])?;
    }
    thread::sleep(time);
    // Relaxed: it only has to arrive.
    common.over.store(1, Relaxed);
    let count = |user: &mut Control| user.get().map(|[began, ended, times]| Count { began, ended, times });
    users.iter_mut().map(count).collect()
}

/// One who wants the lock.
struct User<'a, L: Lock<2>> {
    end: L::End,
    control: Control,
    common: &'a Common,
    steps: u64,
}

impl<L: Lock<2>> User<'_, L> {
    fn serve(&mut self) -> Result<()> {
        self.control.put([0])?;
        loop {
            match self.control.get()? {
                [RUN] => self.run()?,
                [READ] => {
                    let pair = L::with(&mut self.end, |pair| *pair)?;
                    self.control.put(pair)?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn run(&mut self) -> Result<()> {
        let (began, mut times) = (sys::now_ns(), 0);
        loop {
            let alike = L::with(&mut self.end, |[first, second]| {
                let alike = first == second;
                *first += 1;
                work(self.steps);
                *second += 1;
                alike
            })?;
            if !alike {
                return Err("the lock let two in at once".into());
            }
            times += 1;
            // Relaxed: it only has to arrive.
            if self.common.over.load(Relaxed) != 0 {
                return self.control.put([began, sys::now_ns(), times]);
            }
        }
    }
}

/// Computes something that takes as long each time.
#[inline]
fn work(steps: u64) {
    let mut number = steps;
    for _ in 0..steps {
        number = black_box(number).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    black_box(number);
}

/// How many steps of [`work`] take so many nanoseconds.
fn steps_in(nanos: f64) -> u64 {
    const TRIED: u64 = 20_000;
    let time = |_| {
        let start = sys::now_ns();
        work(TRIED);
        sys::now_ns() - start
    };
    // The fastest of some tries is the one that nobody disturbed.
    let took = (0..20).map(time).min().unwrap_or(0).max(1);
    ((TRIED as f64 * nanos / took as f64) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// What `direct` makes of two users that say they had the lock thirty times in all, if the counters are at `found`
    /// then, and twice as far the next time.
    fn told(found: [u64; 2]) -> Result<Outcome> {
        let common = Common { over: AtomicU32::new(0) };
        let (mut near, far): (Vec<_>, Vec<_>) = (0..2)
            .map(|_| UnixStream::pair().map(|(near, far)| (Control(near), Control(far))).unwrap())
            .unzip();
        thread::scope(|scope| {
            for (mut control, times) in far.into_iter().zip([10, 20]) {
                scope.spawn(move || {
                    let mut rounds = 0;
                    let _ = control.put([0]);
                    while let Ok([order]) = control.get() {
                        let _ = match order {
                            RUN => {
                                rounds += 1;
                                control.put([1000, 2000, times])
                            }
                            _ => control.put(found.map(|number| number * rounds)),
                        };
                    }
                });
            }
            let outcome = direct(Duration::from_millis(1), &mut near, &common);
            drop(near);
            outcome
        })
    }

    #[test]
    fn counters_that_do_not_add_up_are_no_figures() {
        let outcome = told([30, 30]).unwrap();
        assert_eq!(outcome, [(Metric::Takes, 30e6), (Metric::Share, 2.0 / 3.0)]);
        for wrong in [[29, 30], [30, 29], [29, 29], [0, 0]] {
            assert!(told(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! A tool used by one who is in nobody's way.

use super::Lock;
use crate::{
    sys,
    transports::{Metric, Outcome, Result},
    worker::{Job, MOST, measured},
};

/// Measures how long it takes to take a lock, add one to what it protects, and give it back.
pub(crate) fn measure<L: Lock<1>>(job: &Job) -> Result<Outcome> {
    let lock = L::make(&job.setup)?;
    let mut end = lock.join(&job.setup)?;
    let mut counted = 0;
    time(job, |count| {
        for _ in 0..count {
            L::with(&mut end, |[counter]| *counter += 1)?;
        }
        counted += count;
        let found = L::with(&mut end, |[counter]| *counter)?;
        if found == counted {
            return Ok(());
        }
        Err(format!("the counter is {found} after {counted} additions").into())
    })
}

/// Measures what `burst` does as often as it is told: how long it keeps the processor busy each time. Nobody is waited for,
/// so what others do on this processor meanwhile has no part in it.
pub(crate) fn time(job: &Job, mut burst: impl FnMut(u64) -> Result<()>) -> Result<Outcome> {
    sys::pin_to(job.cpus[0])?;
    let (count, nanos) = measured(job.time, MOST, |count, _| {
        let start = sys::busy_ns();
        burst(count)?;
        Ok((sys::busy_ns() - start).max(1))
    })?;
    Ok(vec![(Metric::Pass, nanos as f64 / count as f64)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::Crew,
        transports::{Mode, Place, Setup},
    };
    use std::time::Duration;

    /// A lock that loses every hundredth addition.
    struct Forgetful;

    impl Lock<1> for Forgetful {
        type End = (u64, u64);

        fn make(_: &Setup) -> Result<Self> {
            Ok(Forgetful)
        }

        fn join(&self, _: &Setup) -> Result<Self::End> {
            Ok((0, 0))
        }

        fn with<R>((number, times): &mut Self::End, inside: impl FnOnce(&mut [u64; 1]) -> R) -> Result<R> {
            let mut numbers = [*number];
            let result = inside(&mut numbers);
            *times += 1;
            *number = if *times % 100 == 0 { *number } else { numbers[0] };
            Ok(result)
        }
    }

    #[test]
    fn what_is_lost_is_missed() {
        let cpu = sys::usable_cpus().unwrap()[0];
        let job = Job {
            setup: Setup {
                len: 8,
                mode: Mode::Block,
                many: false,
                dir: std::path::Path::new("").into(),
                name: "".into(),
            },
            place: Place::Alone,
            cpus: [cpu, cpu],
            crew: Crew::PAIR,
            time: Duration::from_millis(1),
            task: None,
            only_trips: false,
        };
        assert!(measure::<Forgetful>(&job).is_err());
    }
}

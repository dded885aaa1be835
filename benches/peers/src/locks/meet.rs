//! Several who wait until all have come, again and again.

#![expect(
    clippy::disallowed_types,
    reason = "the parties look at each other; nothing of the library, no model"
)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::crowd::cpus;
use crate::{
    crew,
    sys::{self, SharedPage},
    transports::{Metric, Outcome, Result, Setup},
    worker::{Control, Job, MOST, measured},
};

/// Where several meet.
pub(crate) trait Meeting: Send + Sync + Sized {
    type Party;

    /// Makes it, before the parties part.
    fn make(setup: &Setup, parties: usize) -> Result<Self>;

    /// Joins it, in the process of a party.
    fn join(&self, setup: &Setup) -> Result<Self::Party>;

    /// Waits until all have come.
    fn meet(party: &mut Self::Party) -> Result<()>;
}

/// The round a party is in, in a line of its own.
#[repr(align(64))]
struct Round(AtomicU64);

/// In memory that all parties share.
struct Common {
    rounds: [Round; 8],
}

/// Measures how long a round takes.
pub(crate) fn measure<M: Meeting>(job: &Job, parties: usize) -> Result<Outcome> {
    let meeting = M::make(&job.setup, parties)?;
    let page = SharedPage::new()?;
    // SAFETY: `Common` consists of atomic integers and padding, of which any bytes are a value.
    let rounds = &unsafe { page.view::<Common>() }.rounds[..parties];
    let be = |me: usize, mut control: Control| {
        let mut party = meeting.join(&job.setup)?;
        control.put([0])?;
        let mut round = 0;
        loop {
            let [count] = control.get()?;
            if count == 0 {
                return Ok(());
            }
            let began = sys::now_ns();
            for _ in 0..count {
                round += 1;
                // Relaxed, here and below: whoever comes back from the meeting sees what was written before it.
                rounds[me].0.store(round, Relaxed);
                M::meet(&mut party)?;
                let others = rounds.iter().map(|round| round.0.load(Relaxed));
                // The others may have come to the next one already, but not left it without us.
                if let Some(other) = others.into_iter().find(|other| !(round..=round + 1).contains(other)) {
                    return Err(format!("one is in round {other} when another comes out of {round}").into());
                }
            }
            control.put([began, sys::now_ns()])?;
        }
    };
    crew::gather(job, &cpus(job, parties)?, be, |parties| {
        for party in &mut *parties {
            party.get::<1>()?; // it has joined
        }
        let (count, nanos) = measured(job.time, MOST, |count, _| {
            for party in &mut *parties {
                party.put([count])?;
            }
            let (mut start, mut end) = (0, 0);
            for party in &mut *parties {
                let [began, ended] = party.get()?;
                // Nobody meets anybody before the last one has begun.
                (start, end) = (began.max(start), ended.max(end));
            }
            Ok(end.saturating_sub(start).max(1))
        })?;
        for party in parties {
            party.put([0])?;
        }
        Ok(vec![(Metric::Round, nanos as f64 / count as f64)])
    })
}

//! Two who wait for each other in turn: how long it takes until it is one's turn again.

use crate::{
    sys,
    transports::{Metric, Outcome, Result, Setup},
    worker::{Control, Job, MOST_TRIPS, clock_tick, measured, part, percentile},
};

/// What two take turns by.
pub(crate) trait Turns: Send + Sync + Sized {
    type Player: Player;

    /// Makes it, before the two part.
    fn make(setup: &Setup) -> Result<Self>;

    /// Joins it as the player that begins (0), or as the other (1).
    fn join(&self, setup: &Setup, side: usize) -> Result<Self::Player>;
}

/// One of the two.
pub(crate) trait Player {
    /// Waits until it is this one's turn, has `act` use the number, and gives the turn to the other.
    fn turn<R>(&mut self, act: impl FnOnce(&mut u64) -> R) -> Result<R>;
}

/// Measures the time from the end of a turn to the end of the next of the same player.
pub(crate) fn measure<T: Turns>(job: &Job) -> Result<Outcome> {
    let turns = T::make(&job.setup)?;
    let turns = &turns;
    let near = |(), mut control: Control| {
        let mut player = turns.join(&job.setup, 0)?;
        control.get::<1>()?; // the other one has joined
        let mut number = 0;
        let mut trips = vec![1; MOST_TRIPS as usize]; // not zeroes, whose pages would not be there yet
        measured(job.time, MOST_TRIPS, |count, begins| {
            if begins {
                trips.clear();
            }
            control.put([count + 1])?;
            control.get::<1>()?; // it is about to play
            play(&mut player, &mut number)?;
            let start = sys::now_ns();
            let mut last = start;
            for _ in 0..count {
                play(&mut player, &mut number)?;
                let now = sys::now_ns();
                trips.push(u32::try_from(now - last).unwrap_or(u32::MAX));
                last = now;
            }
            control.get::<1>()?; // it has given the turn back
            Ok((last - start).max(1))
        })?;
        control.put([0])?;
        trips.sort_unstable();
        let tick = clock_tick();
        let trips = Metric::TRIPS.map(|(metric, fraction)| (metric, percentile(&trips, fraction, tick)));
        Ok(trips.into())
    };
    let far = |(), mut control: Control| {
        let mut player = turns.join(&job.setup, 1)?;
        control.put([0])?;
        let mut number = 1;
        loop {
            let [count] = control.get()?;
            if count == 0 {
                return Ok(());
            }
            control.put([0])?;
            (0..count).try_for_each(|_| play(&mut player, &mut number))?;
            control.put([0])?;
        }
    };
    part(job, (), (), near, far)
}

/// A turn, in which `number` must be what is found.
fn play(player: &mut impl Player, number: &mut u64) -> Result<()> {
    let found = player.turn(|found| {
        let before = *found;
        *found += 1;
        before
    })?;
    if found != *number {
        return Err(format!("it is turn {number} for one and {found} for the other").into());
    }
    *number += 2;
    Ok(())
}

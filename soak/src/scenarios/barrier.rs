//! A barrier whose parties are killed while they wait: all of a generation meet or none does, whoever comes on has seen
//! all others come, and a broken barrier is as good as new once it is reset.
//!
//! To know which generation is which, the parties count them, and begin to count anew in another **epoch** when it has
//! broken or one has been replaced: each says on the board that it is there, the first one resets the barrier, and they
//! go on. The board needs no library for that; nobody waits at the barrier meanwhile.

use super::bare::fault;
use super::locks::{self, SEATS, cell, come, go, set_cell};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{COUNT, Call, READ, Recovery, in_this_order};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::{Barrier, BarrierError, Deadline, Error};
use std::time::Duration;

pub(super) struct Barriers;

const NAME: &str = "barrier";

/// The epoch, and the one for which the barrier has been reset.
const EPOCH: usize = 0;
const RESET: usize = 1;
/// The epoch for which each party is ready.
const READY: usize = 8;
/// The generation to which each party has come; see [`Generation`].
const CAME: usize = 16;
/// How a generation ended, for the last of them.
const ENDED: usize = 32;
const REMEMBERED: usize = 16;
/// Who had which place in it.
const PLACES: usize = 64;

const MET: u64 = 1;
const BROKE: u64 = 2;

/// Patience of one who waits, where some are killed: whoever leaves breaks the barrier, but may be killed first.
const LONG: Duration = Duration::from_secs(1);

/// `epoch:28 | round:28`: the later the larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Generation {
    epoch: u64,
    round: u64,
}

impl Generation {
    fn number(self) -> u64 {
        self.epoch << 28 | self.round
    }
}

fn open(actor: &mut Actor, parties: usize) -> impl FnOnce() -> Result<Barrier, Error> + use<> {
    let options = Barrier::options().parties(parties as u32).participants(SEATS).wait(actor.any_wait());
    move || options.open_or_create(NAME)
}

impl Scenario for Barriers {
    fn name(&self) -> &'static str {
        "barrier"
    }

    fn about(&self) -> &'static str {
        "a barrier whose parties die, come too late or have enough; it is reset, and they go on"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        locks::cast(plan)
    }

    fn sizes(&self, _: &Plan) -> Sizes {
        Sizes::only(0)
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn is_gentle(&self, plan: &Plan) -> bool {
        locks::is_gentle(plan)
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        vec![NAME.to_owned()]
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let parties = self.cast(&actor.plan).len();
        let open = open(actor, parties);
        let barrier = come(actor, open)?;
        // Whoever it follows may have died anywhere.
        let mut epoch = cell(actor, EPOCH);
        begin_another(actor, &barrier, epoch);
        while actor.may_send() {
            epoch = cell(actor, EPOCH);
            if !agree(actor, &barrier, parties, epoch)? {
                continue;
            }
            let mut round = 0;
            while actor.may_send() && meet(actor, &barrier, parties, Generation { epoch, round })? {
                round += 1;
                if actor.random.one_in(100) {
                    actor.idle(2000);
                }
            }
            begin_another(actor, &barrier, epoch);
        }
        begin_another(actor, &barrier, epoch);
        go(actor, barrier);
        Ok(())
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let parties = self.cast(&judge.plan).len();
        let barrier = open(judge, parties)().map_err(|error| fault("the judge's barrier", error))?;
        let reset = |barrier: &Barrier| barrier.reset().map_err(|error| fault("reset", error));
        reset(&barrier)?;
        if barrier.is_broken() || barrier.waiting() > 0 {
            return Err(format!("reset, and {barrier:?} is broken, or {} wait", barrier.waiting()));
        }
        for _ in 0..2 {
            // As many threads as there are parties.
            let met: Vec<_> = std::thread::scope(|scope| {
                let all: Vec<_> = (0..parties).map(|_| scope.spawn(|| barrier.wait())).collect();
                all.into_iter().map(|one| one.join()).collect()
            });
            let mut places = Vec::new();
            for one in met {
                match one {
                    Ok(Ok(met)) => places.push(met.index()),
                    other => return Err(format!("of those who meet one has {other:?}")),
                }
            }
            places.sort_unstable();
            if !places.iter().copied().eq(0..parties) {
                return Err(format!("{parties} meet, with the places {places:?}"));
            }
        }
        drop(barrier);
        locks::remove(&[NAME])
    }
}

/// This epoch is over, and whoever waits in it is told.
fn begin_another(actor: &mut Actor, barrier: &Barrier, epoch: u64) {
    let _ = actor.board.cells[EPOCH].compare_exchange(epoch, epoch + 1, COUNT, READ);
    in_this_order();
    actor.call(Call::Other, || barrier.abort());
}

/// All are there, and nobody waits at the barrier: the first of them resets it. `false` if another epoch has begun.
fn agree(actor: &mut Actor, barrier: &Barrier, parties: usize, epoch: u64) -> Result<bool, Fault> {
    set_cell(actor, READY + actor.part, epoch);
    let mut all_ready = false;
    while actor.may_send() && cell(actor, EPOCH) == epoch {
        all_ready = all_ready || (0..parties).all(|part| cell(actor, READY + part) == epoch);
        if all_ready && actor.part == 0 {
            let was_broken = barrier.is_broken();
            actor.call(Call::Other, || barrier.reset()).map_err(|error| fault("reset", error))?;
            actor.recovered(Recovery::Barrier, was_broken.into());
            in_this_order();
            set_cell(actor, RESET, epoch);
        }
        if all_ready && cell(actor, RESET) == epoch {
            return Ok(true);
        }
        actor.wait(50);
    }
    Ok(false)
}

/// Waits for all others in this generation; whether they met.
fn meet(actor: &mut Actor, barrier: &Barrier, parties: usize, generation: Generation) -> Result<bool, Fault> {
    let number = generation.number();
    if actor.random.one_in(200) && !locks::is_gentle(&actor.plan) {
        // It has enough.
        return Ok(false);
    }
    set_cell(actor, CAME + actor.part, number);
    in_this_order();
    let late = |result: &Result<_, _>| matches!(result, Err(BarrierError::Timeout));
    let timeout = if actor.random.one_in(50) { actor.any_timeout() } else { LONG };
    let result = if locks::is_gentle(&actor.plan) {
        actor.call(Call::Receive, || barrier.wait_deadline(Deadline::NEVER))
    } else {
        actor.timed(Call::Receive, timeout, late, |deadline| barrier.wait_deadline(deadline))?
    };
    in_this_order();
    match result {
        Ok(met) => {
            ended(actor, number, MET)?;
            for part in 0..parties {
                let came = cell(actor, CAME + part);
                // Gone on by one at most, unless it is in another epoch already.
                let is_there = came == number || came == number + 1 || came >> 28 > generation.epoch;
                if !is_there {
                    return Err(format!("met in {generation:?}, and party {part} is at {came:#x}"));
                }
            }
            have_place(actor, number, parties, met.index())?;
            actor.turned();
            Ok(true)
        }
        Err(BarrierError::Broken | BarrierError::Timeout) => {
            ended(actor, number, BROKE)?;
            Ok(false)
        }
        Err(error) => Err(fault("wait at the barrier", error)),
    }
}

/// All who were there agree on that.
fn ended(actor: &Actor, number: u64, how: u64) -> Result<(), Fault> {
    let place = &actor.board.cells[ENDED + number as usize % REMEMBERED];
    let mine = number << 2 | how;
    let mut seen = place.load(READ);
    // What it said of an earlier generation is of no interest; those of an earlier epoch may share the place.
    while seen >> 2 < number {
        match place.compare_exchange(seen, mine, COUNT, READ) {
            Ok(_) => return Ok(()),
            Err(now) => seen = now,
        }
    }
    if seen >> 2 == number && seen != mine {
        return Err(format!("of generation {number:#x} one says that it met, another that it broke"));
    }
    Ok(())
}

/// Nobody else had this place in the generation.
fn have_place(actor: &Actor, number: u64, parties: usize, index: usize) -> Result<(), Fault> {
    if index >= parties {
        return Err(format!("place {index} of {parties}"));
    }
    let place = &actor.board.cells[PLACES + (number as usize % REMEMBERED) * 4 + index];
    let before = place.swap(number, COUNT);
    if before == number && number > 0 {
        return Err(format!("two have place {index} in generation {number:#x}"));
    }
    Ok(())
}

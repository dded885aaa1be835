//! Semaphores whose users are killed. Two that anybody may release bound each other, as items and spaces do: a permit is
//! lost only with one who died between taking and giving. A third is a pool of licences with owners: never are more in
//! use than there are, and those of the dead come back.

use super::bare::fault;
use super::locks::{self, SEATS, cell, come, go, keep_on, set_cell};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{COUNT, Call, READ, Recovery, SLOTS, in_this_order};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::{AcquireError, Error, OwnedSemaphore, Permit, ReleaseError, Semaphore, Wait};
use std::time::Duration;

pub(super) struct Permits;

const NAMES: [&str; 3] = ["items", "spaces", "licences"];

/// Permits of the two semaphores that somebody was about to take, and those given for certain.
const BEGUN: usize = 0;
const GIVEN: usize = 1;
/// The licences that each process has for certain; see [`InUse`].
const IN_USE: usize = 8;

/// All permits of the two plain ones.
fn tokens(plan: &Plan) -> u32 {
    if locks::is_gentle(plan) { plan.pick("tokens", &[4, 5, 50]) } else { 2000 }
}

/// So many are items at first.
fn items(plan: &Plan) -> u32 {
    plan.pick("items", &[0, tokens(plan) / 2, tokens(plan)])
}

fn licences(plan: &Plan) -> u32 {
    plan.pick("licences", &[1, 2, 3, 7])
}

struct Handles {
    items: Semaphore,
    spaces: Semaphore,
    licences: OwnedSemaphore,
}

fn open(actor: &mut Actor) -> impl FnOnce() -> Result<Handles, Error> + use<> {
    let mut any_wait = || -> Wait { actor.any_wait() };
    let waits = [any_wait(), any_wait(), any_wait()];
    let (all, items, licences) = (tokens(&actor.plan), items(&actor.plan), licences(&actor.plan));
    move || {
        let plain = |at: usize, count| {
            let options = Semaphore::options().permits(count).bound(all).participants(SEATS);
            options.wait(waits[at]).open_or_create(NAMES[at])
        };
        let pool = OwnedSemaphore::options().permits(licences).participants(SEATS).wait(waits[2]);
        Ok(Handles {
            items: plain(0, items)?,
            spaces: plain(1, all - items)?,
            licences: pool.open_or_create(NAMES[2])?,
        })
    }
}

impl Scenario for Permits {
    fn name(&self) -> &'static str {
        "permits"
    }

    fn about(&self) -> &'static str {
        "semaphores: items and spaces that bound each other, and licences that come back from the dead"
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
        NAMES.map(str::to_owned).to_vec()
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let open = open(actor);
        let handles = come(actor, open)?;
        let mut in_use = InUse { count: 0 };
        keep_on(actor, |actor| match actor.random.below(8) {
            0..5 => there_and_back(actor, &handles),
            _ => use_licences(actor, &handles.licences, &mut in_use),
        })?;
        go(actor, handles);
        Ok(())
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let Handles { items, spaces, licences } =
            open(judge)().map_err(|error| fault("the judge's", error))?;
        let (all, left) = (tokens(&judge.plan), items.available() + spaces.available());
        let lost = cell(judge, BEGUN).saturating_sub(cell(judge, GIVEN));
        if left > all || u64::from(all - left) > lost {
            return Err(format!("lost: {left} permits are left of {all}, and {lost} can have been lost"));
        }
        let mut held = Vec::new();
        for _ in 0..licences.permits() {
            let permit = licences.acquire_timeout(Duration::from_secs(10));
            let permit = permit.map_err(|error| fault("a licence that is in nobody's hands", error))?;
            judge.recovered(Recovery::Permit, permit.was_recovered().into());
            held.push(permit);
        }
        match licences.try_acquire() {
            Err(AcquireError::WouldBlock) => {}
            other => return Err(format!("one licence too many: {other:?}")),
        }
        drop(held);
        if licences.available() != licences.permits() {
            return Err(format!("{} licences are left of {}", licences.available(), licences.permits()));
        }
        drop((items, spaces, licences));
        locks::remove(&NAMES)
    }
}

/// Makes items of spaces, and spaces of items. Who has given one may wait for another as long as it takes: it is there, or
/// another has it who will give one too.
fn there_and_back(actor: &mut Actor, handles: &Handles) -> Result<(), Fault> {
    let Handles { items, spaces, .. } = handles;
    let is_gentle = locks::is_gentle(&actor.plan);
    let count = if is_gentle { 1 } else { actor.random.weighted(&[0, 5, 1, 1]) as u32 };
    if pass(actor, spaces, items, count, is_gentle)? {
        pass(actor, items, spaces, count, is_gentle)?;
    }
    Ok(())
}

/// Takes so many here and gives as many there; whether it came to that.
fn pass(
    actor: &mut Actor,
    from: &Semaphore,
    to: &Semaphore,
    count: u32,
    for_ever: bool,
) -> Result<bool, Fault> {
    let timeout = actor.any_timeout();
    let late = |result: &Result<_, _>| matches!(result, Err(AcquireError::Timeout));
    actor.board.cells[BEGUN].fetch_add(count.into(), COUNT);
    in_this_order();
    let result = match actor.random.below(4) {
        _ if for_ever => actor.call(Call::Other, || from.acquire()),
        0 => actor.call(Call::Other, || from.try_acquire_many(count)),
        _ => actor.timed(Call::Other, timeout, late, |deadline| from.acquire_many(count, deadline))?,
    };
    let taken = match result {
        Ok(()) => true,
        Err(AcquireError::WouldBlock | AcquireError::Timeout) => false,
        Err(error) => return Err(fault("acquire", error)),
    };
    if taken {
        if actor.random.one_in(30) {
            actor.idle(300);
        }
        match actor.call(Call::Other, || to.release_many(count)) {
            Ok(()) => {}
            Err(error @ ReleaseError::TooMany { .. }) => return Err(format!("doubled: {error}")),
            Err(error) => return Err(fault("release", error)),
        }
        actor.turned();
    }
    in_this_order();
    actor.board.cells[GIVEN].fetch_add(count.into(), COUNT);
    Ok(taken)
}

/// What this process has on the board: `changes:24 | incarnation:32 | licences:8`.
struct InUse {
    count: u64,
}

impl InUse {
    fn note(&mut self, actor: &Actor, count: u64) {
        self.count = count;
        let at = IN_USE + actor.slot_number();
        let changes = (cell(actor, at) >> 40) + 1;
        in_this_order();
        set_cell(actor, at, changes << 40 | (actor.incarnation & 0xffff_ffff) << 8 | count);
        in_this_order();
    }
}

/// The licences that were in use by the living at one moment, or nothing if there was no such moment to be seen.
fn in_use(actor: &Actor) -> Option<u64> {
    let look = || -> Vec<u64> { (0..SLOTS).map(|slot| cell(actor, IN_USE + slot)).collect() };
    let before = look();
    in_this_order();
    let dead = |slot: usize, word: u64| {
        // Also those before it.
        actor.board.slots[slot].doomed.load(READ) & 0xffff_ffff >= word >> 8 & 0xffff_ffff
    };
    let sum =
        before.iter().enumerate().filter(|&(slot, &word)| !dead(slot, word)).map(|(_, word)| word & 0xff);
    let sum = sum.sum();
    in_this_order();
    (look() == before).then_some(sum)
}

/// Takes some licences, uses them for a while, and gives them back.
fn use_licences(actor: &mut Actor, licences: &OwnedSemaphore, noted: &mut InUse) -> Result<(), Fault> {
    let mut held: Vec<Permit<'_>> = Vec::new();
    let most = actor.random.between(1, 3);
    for _ in 0..most {
        let timeout = actor.any_timeout();
        let late = |result: &Result<_, _>| matches!(result, Err(AcquireError::Timeout));
        let result = match actor.random.below(4) {
            0 => actor.call(Call::Other, || licences.try_acquire()),
            // Not while it has one already: others may do the same.
            1..3 if held.is_empty() => actor.call(Call::Other, || licences.acquire()),
            _ => actor.timed(Call::Other, timeout, late, |deadline| licences.acquire_deadline(deadline))?,
        };
        match result {
            Ok(permit) => {
                actor.recovered(Recovery::Permit, permit.was_recovered().into());
                held.push(permit);
                noted.note(actor, held.len() as u64);
                actor.turned();
            }
            Err(AcquireError::WouldBlock | AcquireError::Timeout) => break,
            Err(error) => return Err(fault("acquire a licence", error)),
        }
        if let Some(sum) = in_use(actor)
            && sum > licences.permits().into()
        {
            return Err(format!("{sum} licences are in use, and there are {}", licences.permits()));
        }
    }
    if actor.random.one_in(6) {
        actor.idle(500);
    }
    while let Some(permit) = held.pop() {
        noted.note(actor, held.len() as u64);
        actor.call(Call::Other, || drop(permit));
    }
    Ok(())
}

//! A dictionary whose writers are killed and stopped: what was written for certain is there, each value is one that somebody
//! wrote and nothing older than what was read before, what is seen together was there together, and readers go on while
//! writers are stopped in the middle of a change, or hold the lock.

use super::bare::fault;
use super::locks::{self, SEATS, cell, keep_on, set_cell};
use super::queues::{come, go};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{COUNT, Call, Phase, READ, Recovery, in_this_order};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::inspect::{self, Detail};
use ringway::{Error, Map, MapError, MapGuard, Options};
use std::time::Duration;

mod items;
mod reads;

use items::{FIXED, Key, OWN, SHARED, next_number};
use reads::{Reader, look_at_all};

pub(super) struct Maps;

const NAME: &str = "map";

const WRITER: Part =
    Part { name: "writer", only_sends: false, drains: false, ends: 0, is_spared: false, is_free: false };
const READER: Part = Part { name: "reader", is_free: true, ..WRITER };

const ITEMS: usize = 32;

/// Who holds the lock for several operations: `incarnation:32 | slot:31 | 1`; and what he writes, does something else, and
/// then writes again.
const HOLDER: usize = 96;
const PAIR: [usize; 2] = [97, 98];
/// How often the counter was perhaps raised, and for certain.
const RAISING: usize = 99;
const RAISED: usize = 100;

/// Whether everything is removed now and then.
fn is_cleared(plan: &Plan) -> bool {
    plan.once_in(3, "cleared")
}

/// Whether there is so little room that some values are refused.
fn is_tight(plan: &Plan) -> bool {
    plan.once_in(2, "tight")
}

fn sizes(plan: &Plan) -> Sizes {
    let usual = plan.pick("usual", &[16, 100]);
    Sizes { usual, rarely: 8, most: plan.pick("most", &[usual, 300, 5000]) }
}

fn max_bytes(plan: &Plan) -> u64 {
    let items = if is_tight(plan) { 12 } else { ITEMS };
    (items * (sizes(plan).most + Key::LONGEST)) as u64
}

fn options(plan: &Plan) -> Options<Map> {
    // Who holds the lock may be stopped for as long as it takes others to go on.
    let for_ever = Duration::from_secs(3600);
    Map::options().max_items(ITEMS).max_bytes(max_bytes(plan)).participants(SEATS).write_timeout(for_ever)
}

fn open(actor: &mut Actor) -> impl FnOnce() -> Result<Map, Error> + use<> {
    let options = options(&actor.plan).wait(actor.any_wait());
    move || options.open_or_create(NAME)
}

impl Scenario for Maps {
    fn name(&self) -> &'static str {
        "map"
    }

    fn about(&self) -> &'static str {
        "a dictionary; writers die and are stopped in the middle of a change, and readers go on"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        let (writers, readers) = plan.pick("cast", &[(1, 1), (2, 1), (2, 2), (3, 1), (3, 2)]);
        [vec![WRITER; writers], vec![READER; readers]].concat()
    }

    fn sizes(&self, plan: &Plan) -> Sizes {
        sizes(plan)
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
        let writes = self.cast(&actor.plan)[actor.part].name == WRITER.name;
        let open = open(actor);
        let map = come(actor, writes, open)?;
        if writes {
            let mut writer = Writer { next_of_two: first_of_two(actor, &map)? };
            keep_on(actor, |actor| writer.write(actor, &map))?;
        } else {
            let mut reader = Reader::default();
            keep_on(actor, |actor| reader.read(actor, &map))?;
        }
        go(actor, map);
        Ok(())
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let map = open(judge)().map_err(|error| fault("the judge's map", error))?;
        let mut reader = Reader::default();
        (0..200).try_for_each(|_| reader.read(judge, &map))?;
        look_at_all(judge, &map)?;
        drop(take_lock(judge, &map)?);
        is_sound()?;
        map.clear().map_err(|error| fault("clear", error))?;
        fill(&map)?;
        is_sound()?;
        drop(map);
        locks::remove(&[NAME])
    }
}

/// The figures agree, and nothing is going on.
fn is_sound() -> Result<(), Fault> {
    match inspect::stat(NAME).map_err(|error| fault("look at the map", error))?.detail {
        Detail::Map(map) if map.corrupt.is_none() && !map.unsettled => Ok(()),
        other => Err(format!("nobody is at work: {other:?}")),
    }
}

/// As much fits as into a new one.
fn fill(map: &Map) -> Result<(), Fault> {
    let used = |map: &Map| Ok((map.len()?, map.used_bytes()?));
    let at_first = used(map).map_err(|error: MapError| fault("count", error))?;
    if at_first != (0, 0) {
        return Err(format!("everything was removed, and there are {at_first:?} items and bytes"));
    }
    let len = map.max_bytes() as usize / ITEMS - 1;
    let item = |at: usize| (vec![at as u8], vec![at as u8; len]);
    for at in 0..ITEMS {
        let (key, value) = item(at);
        map.insert(&key, &value).map_err(|error| fault("fill the map", error))?;
    }
    match map.insert(b"one more", b"") {
        Err(MapError::Full { items: ITEMS } | MapError::NoMemory { .. }) => {}
        other => return Err(format!("{other:?} instead of Full")),
    }
    let all = map.snapshot().map_err(|error| fault("look at all", error))?;
    if all.into_iter().eq((0..ITEMS).map(item)) {
        Ok(())
    } else {
        Err("a full map holds something else than was put in".to_owned())
    }
}

/// Which of this slot's two items comes next, the even one or the odd one, each with a number: they are written in turns, so
/// they are next to each other at any moment.
fn first_of_two(actor: &Actor, map: &Map) -> Result<u64, Fault> {
    let number = |which| -> Result<Option<u64>, Fault> {
        let key = Key::two(actor.slot_number(), which);
        let mut value = Vec::new();
        let there = actor.call(Call::Other, || map.get(&key.bytes(), &mut value));
        let there = there.map_err(|error| fault("get", error))?;
        there.then(|| items::check(actor, key, &value).map(|found| found.number)).transpose()
    };
    Ok(match (number(0)?, number(1)?) {
        (None, None) => items::last_of_two(actor, actor.slot_number()) / 2 * 2 + 2,
        (even, odd) => even.max(odd).unwrap_or_default() + 1,
    })
}

/// Takes the lock for several operations: nobody else who lives has it.
fn take_lock<'m>(actor: &mut Actor, map: &'m Map) -> Result<MapGuard<'m>, Fault> {
    let guard = actor.call(Call::Other, || map.lock()).map_err(|error| fault("lock", error))?;
    if guard.was_inherited() {
        actor.recovered(Recovery::Map, 1);
        if locks::is_gentle(&actor.plan) {
            return Err("told that the last writer died, and nobody dies here".to_owned());
        }
    }
    let holder = cell(actor, HOLDER);
    if holder != 0 {
        let slot = (holder as u32 >> 1) as usize;
        if actor.board.slots[slot].doomed.load(READ) < holder >> 32 {
            return Err(format!("two at once: process {slot} has the lock, and lives"));
        }
        set_cell(actor, PAIR[1], cell(actor, PAIR[0]));
    }
    if cell(actor, PAIR[0]) != cell(actor, PAIR[1]) {
        return Err("two at once: the pair was half written".to_owned());
    }
    Ok(guard)
}

struct Writer {
    next_of_two: u64,
}

impl Writer {
    fn write(&mut self, actor: &mut Actor, map: &Map) -> Result<(), Fault> {
        match actor.random.below(16) {
            0..6 => change_own(actor, map)?,
            6..9 => self.write_the_next(actor, map)?,
            9..12 => change_shared(actor, map)?,
            12..14 if !is_cleared(&actor.plan) => raise(actor, map)?,
            12..15 => self.hold(actor, map)?,
            _ if is_cleared(&actor.plan) => renew(actor, map)?,
            _ => self.hold(actor, map)?,
        }
        actor.turned();
        Ok(())
    }

    fn write_the_next(&mut self, actor: &mut Actor, map: &Map) -> Result<(), Fault> {
        let key = Key::two(actor.slot_number(), self.next_of_two % 2);
        items::begin_of_two(actor, self.next_of_two);
        let value = items::value(actor, key, self.next_of_two);
        if insert(actor, map, key, &value)? {
            self.next_of_two += 1;
        }
        Ok(())
    }

    /// Has the lock for a while, for several changes; now and then for as long as it takes others to read something.
    fn hold(&mut self, actor: &mut Actor, map: &Map) -> Result<(), Fault> {
        let guard = take_lock(actor, map)?;
        let me = actor.incarnation << 32 | (actor.slot_number() as u64) << 1 | 1;
        set_cell(actor, HOLDER, me);
        let next = cell(actor, PAIR[0]) + 1;
        set_cell(actor, PAIR[0], next);
        for _ in 0..actor.random.below(3) {
            change_own(actor, &guard)?;
        }
        self.write_the_next(actor, &guard)?;
        if actor.random.one_in(8) {
            let_others_read(actor);
        }
        if cell(actor, HOLDER) != me || cell(actor, PAIR[0]) != next {
            return Err(format!("two at once: somebody has the lock beside {me:#x}"));
        }
        set_cell(actor, PAIR[1], next);
        in_this_order();
        set_cell(actor, HOLDER, 0);
        in_this_order();
        actor.call(Call::Other, || drop(guard));
        Ok(())
    }
}

/// Waits until each reader who wants to has read something. If one waits for this process, both wait for ever, which is noticed.
fn let_others_read(actor: &mut Actor) {
    let turns = |actor: &Actor, slot: usize| actor.board.slots[slot].turns.load(READ);
    let readers: Vec<(usize, u64)> = (Maps.cast(&actor.plan).iter().enumerate())
        .filter(|(_, part)| part.is_free)
        .map(|(slot, _)| (slot, turns(actor, slot)))
        .collect();
    // In want of that: the wants stay.
    while actor.may_send() && readers.iter().any(|&(slot, before)| turns(actor, slot) < before + 2) {
        actor.wait(300);
    }
}

/// Whether it was put in; it may be that there is no room.
fn insert(actor: &Actor, map: &Map, key: Key, value: &[u8]) -> Result<bool, Fault> {
    match actor.call(Call::Other, || map.insert(&key.bytes(), value)) {
        Ok(_) => Ok(true),
        Err(MapError::NoMemory { .. }) if is_tight(&actor.plan) => Ok(false),
        Err(error) => Err(fault("insert", error)),
    }
}

/// Inserts, replaces or removes an item that only this process writes.
fn change_own(actor: &mut Actor, map: &Map) -> Result<(), Fault> {
    let key = Key::own(actor.slot_number(), actor.random.below(OWN));
    let removes = actor.random.one_in(4);
    let number = next_number(actor);
    key.begin(actor, number, removes);
    let value = items::value(actor, key, number);
    let is_done = match actor.random.below(3) {
        _ if removes && actor.random.one_in(2) => {
            let removed = actor.call(Call::Other, || map.update(&key.bytes(), |_| None));
            removed.map(|_| true).map_err(|error| fault("update", error))?
        }
        _ if removes => {
            let removed = actor.call(Call::Other, || map.remove(&key.bytes(), None));
            removed.map(|_| true).map_err(|error| fault("remove", error))?
        }
        0 => match actor.call(Call::Other, || map.update(&key.bytes(), |_| Some(value))) {
            Ok(_) => true,
            Err(MapError::NoMemory { .. }) if is_tight(&actor.plan) => false,
            Err(error) => return Err(fault("update", error)),
        },
        _ => insert(actor, map, key, &value)?,
    };
    if is_done {
        key.end(actor, number, removes);
    }
    Ok(())
}

/// Writes an item that others write too.
fn change_shared(actor: &mut Actor, map: &Map) -> Result<(), Fault> {
    let key = Key::shared(actor.random.below(SHARED));
    let number = next_number(actor);
    let value = items::value(actor, key, number);
    if actor.random.one_in(6) {
        let mut old = Vec::new();
        let there = actor.call(Call::Other, || map.remove(&key.bytes(), Some(&mut old)));
        if there.map_err(|error| fault("remove", error))? {
            items::check(actor, key, &old)?;
        }
        return Ok(());
    }
    insert(actor, map, key, &value).map(drop)
}

/// Counts one more.
fn raise(actor: &mut Actor, map: &Map) -> Result<(), Fault> {
    let least = cell(actor, RAISED);
    actor.board.cells[RAISING].fetch_add(1, COUNT);
    let mut before = 0;
    let raised = actor.call(Call::Other, || {
        map.update(&Key::COUNTER.bytes(), |old| {
            before = old.and_then(|old| old.try_into().ok()).map_or(0, u64::from_le_bytes);
            Some((before + 1).to_le_bytes().into())
        })
    });
    match raised {
        Ok(_) => {}
        Err(MapError::NoMemory { .. }) if is_tight(&actor.plan) => return Ok(()),
        Err(error) => return Err(fault("update", error)),
    }
    items::is_counted(actor, before, least)?;
    actor.board.cells[RAISED].fetch_add(1, COUNT);
    Ok(())
}

/// Removes everything, and puts some items in again, one after the other: nobody sees the later ones without those before.
fn renew(actor: &mut Actor, map: &Map) -> Result<(), Fault> {
    let guard = take_lock(actor, map)?;
    actor.call(Call::Other, || guard.clear()).map_err(|error| fault("clear", error))?;
    let number = next_number(actor);
    let mut last = None;
    for at in 0..FIXED {
        let key = Key::fixed(at);
        let value = items::value(actor, key, number);
        if !insert(actor, &guard, key, &value)? {
            break;
        }
        last = Some((key.bytes(), value));
    }
    if actor.random.one_in(3) {
        let popped = actor.call(Call::Other, || guard.pop_last()).map_err(|error| fault("pop", error))?;
        if popped != last {
            return Err(format!("the last item is not what was put in last: {popped:02x?}"));
        }
    }
    if actor.random.one_in(8) && actor.board.phase() == Phase::Run {
        let_others_read(actor);
    }
    actor.call(Call::Other, || drop(guard));
    Ok(())
}

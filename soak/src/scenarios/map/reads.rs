//! What readers look at, and what must be true of it.

use super::super::bare::fault;
use super::super::locks::cell;
use super::items::{self, Found, Key, OWN, SHARED, Use};
use super::{ITEMS, Maps, RAISED, is_cleared, max_bytes};
use crate::actor::{Actor, Fault};
use crate::board::Call;
use crate::scenarios::Scenario;
use ringway::{Map, MapError};
use std::collections::HashMap;

/// What one reader has seen so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The last number of each writer's values under each key.
    last: HashMap<(Key, usize), u64>,
}

impl Reader {
    pub(super) fn read(&mut self, actor: &mut Actor, map: &Map) -> Result<(), Fault> {
        match actor.random.below(12) {
            0..5 => self.read_own(actor, map)?,
            5..7 => {
                let key = Key::shared(actor.random.below(SHARED));
                if let Some(value) = get(actor, map, key)? {
                    let found = items::check(actor, key, &value)?;
                    self.is_no_older(key, found)?;
                }
            }
            7 => read_counter(actor, map)?,
            8 => figures(actor, map)?,
            9 => keys(actor, map)?,
            _ => {
                for (key, found) in look_at_all(actor, map)? {
                    self.is_no_older(key, found)?;
                }
            }
        }
        actor.turned();
        Ok(())
    }

    fn read_own(&mut self, actor: &mut Actor, map: &Map) -> Result<(), Fault> {
        let writers = Maps.cast(&actor.plan).iter().filter(|part| !part.is_free).count() as u64;
        let key = Key::own(actor.random.below(writers) as usize, actor.random.below(OWN));
        let certain = key.certain(actor);
        let clears = is_cleared(&actor.plan);
        if actor.random.one_in(4) {
            let there = actor.call(Call::Other, || map.contains(&key.bytes()));
            let there = there.map_err(|error| fault("contains", error))?;
            // That there is one, whichever it is.
            return if there { Ok(()) } else { key.may_be(actor, None, certain, clears) };
        }
        let Some(value) = get(actor, map, key)? else {
            return key.may_be(actor, None, certain, clears);
        };
        let found = items::check(actor, key, &value)?;
        key.may_be(actor, Some(found.number), certain, clears)?;
        self.is_no_older(key, found)
    }

    /// What a writer wrote later replaces what it wrote before, for good.
    fn is_no_older(&mut self, key: Key, found: Found) -> Result<(), Fault> {
        let last = self.last.entry((key, found.slot)).or_default();
        if found.number < *last {
            return Err(format!("out of order: {key:?} has {found:?}, and had {last} before"));
        }
        *last = found.number;
        Ok(())
    }
}

fn get(actor: &Actor, map: &Map, key: Key) -> Result<Option<Vec<u8>>, Fault> {
    let mut value = Vec::new();
    let there = actor.call(Call::Other, || map.get(&key.bytes(), &mut value));
    match there {
        Ok(there) => Ok(there.then_some(value)),
        Err(error) => Err(fault("get", error)),
    }
}

fn read_counter(actor: &Actor, map: &Map) -> Result<(), Fault> {
    if is_cleared(&actor.plan) {
        return Ok(());
    }
    let least = cell(actor, RAISED);
    let count = match get(actor, map, Key::COUNTER)? {
        None => 0,
        Some(value) => count_in(&value)?,
    };
    items::is_counted(actor, count, least)
}

fn count_in(value: &[u8]) -> Result<u64, Fault> {
    let bytes = value.try_into().map_err(|_| format!("torn: the counter is {value:02x?}"))?;
    Ok(u64::from_le_bytes(bytes))
}

fn figures(actor: &Actor, map: &Map) -> Result<(), Fault> {
    let look = || -> Result<_, MapError> { Ok((map.len()?, map.is_empty()?, map.used_bytes()?)) };
    let (items, _, bytes) = actor.call(Call::Other, look).map_err(|error| fault("count", error))?;
    if items > ITEMS || bytes > max_bytes(&actor.plan) {
        return Err(format!("there are {items} items of {bytes} bytes"));
    }
    Ok(())
}

fn keys(actor: &Actor, map: &Map) -> Result<(), Fault> {
    let keys = actor.call(Call::Other, || map.keys()).map_err(|error| fault("keys", error))?;
    let keys: Vec<Key> = keys.iter().map(|key| Key::from_bytes(key)).collect::<Result<_, _>>()?;
    are_different(&keys)?;
    follow_each_other(keys.into_iter().map(|key| (key, None)))
}

/// No item is there twice.
fn are_different(keys: &[Key]) -> Result<(), Fault> {
    for (at, key) in keys.iter().enumerate() {
        if keys[..at].contains(key) {
            return Err(format!("duplicate: {key:?} is there twice in {keys:?}"));
        }
    }
    Ok(())
}

/// Of the items that are put in again together, as many are there as had been put in, in that order, and of one time.
fn follow_each_other(items: impl Iterator<Item = (Key, Option<Found>)>) -> Result<(), Fault> {
    let mut expected = 0;
    let mut first = None;
    for (key, found) in items {
        let Use::Fixed(which) = key.is_for() else { continue };
        if which != expected || *first.get_or_insert(found) != found {
            return Err(format!("not of one moment: {key:?} {found:?} comes after {expected} of {first:?}"));
        }
        expected += 1;
    }
    Ok(())
}

/// All items of one moment, and what must be true of them together.
pub(super) fn look_at_all(actor: &Actor, map: &Map) -> Result<Vec<(Key, Found)>, Fault> {
    let least = cell(actor, RAISED);
    let all = actor.call(Call::Other, || map.snapshot()).map_err(|error| fault("snapshot", error))?;
    let mut seen = Vec::new();
    for (key, value) in &all {
        let key = Key::from_bytes(key)?;
        if key == Key::COUNTER {
            items::is_counted(actor, count_in(value)?, least)?;
        } else {
            seen.push((key, items::check(actor, key, value)?));
        }
    }
    are_different(&seen.iter().map(|&(key, _)| key).collect::<Vec<_>>())?;
    follow_each_other(seen.iter().map(|&(key, found)| (key, Some(found))))?;
    let number = |key: Key| seen.iter().find(|&&(at, _)| at == key).map(|(_, found)| found.number);
    for slot in 0..ITEMS / 8 {
        if let (Some(even), Some(odd)) = (number(Key::two(slot, 0)), number(Key::two(slot, 1)))
            && even.abs_diff(odd) != 1
        {
            return Err(format!(
                "not of one moment: process {slot} wrote {even} and {odd} one after the other"
            ));
        }
    }
    Ok(seen)
}

//! `peer map PATH VERB...`: opens a map and follows a script.
//!
//! ```text
//! race:SEED      changes items at random, until killed; every value tells its key and whether it is whole
//! look           reads items at random, until killed, and ends with an error if one is not whole
//! count:N        adds 1 to the item "count" N times; prints "counted"
//! drop           gives back what it took
//! lock           takes the lock; prints "locked", or "inherited" if its last owner died
//! move:N         takes an item out under one key and puts it in under another, N times, with the lock; prints "moved"
//! die-updating   is killed in the middle of an update of the item "count"
//! ```

use crate::forks::fork;
use crate::{Failure, common, say};
use process_tests::items::{self, KEYS};
use process_tests::message::scramble;
use ringway::{Map, MapError, Wait};
use std::time::Duration;

pub(super) fn play(path: &str, script: &[&str]) -> Result<(), Failure> {
    let map = Map::options().wait(Wait::Park).open(path)?;
    let mut held = vec![];
    for verb in script {
        match verb.split(':').collect::<Vec<_>>()[..] {
            ["race", seed] => race(&map, seed.parse()?)?,
            ["look"] => look(&map)?,
            ["count", times] => {
                for _ in 0..times.parse()? {
                    map.update(b"count", |old| Some(items::plus_one(old)))?;
                }
                say("counted");
            }
            ["lock"] => {
                let guard = map.lock()?;
                say(if guard.was_inherited() { "inherited" } else { "locked" });
                held.push(guard);
            }
            ["move", times] => {
                for _ in 0..times.parse()? {
                    let guard = map.lock()?;
                    let (from, to) =
                        if guard.contains(b"here")? { (b"here", b"gone") } else { (b"gone", b"here") };
                    let mut value = vec![];
                    assert!(guard.remove(from, Some(&mut value))?, "in neither place");
                    guard.insert(to, &items::plus_one(Some(&value)))?;
                }
                say("moved");
            }
            ["die-updating"] => {
                map.update(b"count", |_| {
                    // SAFETY: no memory is involved.
                    unsafe { libc::raise(libc::SIGKILL) };
                    None
                })?;
            }
            ["drop"] => held.clear(),
            ref verb => drop(common(verb)?),
        }
    }
    Ok(())
}

/// What does not fit is refused, and changes nothing.
fn fits<T>(result: Result<T, MapError>) -> Result<Option<T>, Failure> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(MapError::Full { .. } | MapError::NoMemory { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

fn race(map: &Map, mut seed: u64) -> Result<(), Failure> {
    let mut old = vec![];
    loop {
        let draw = scramble(&mut seed);
        let key = items::key(draw % KEYS);
        let value = items::value(&key, draw >> 8);
        match draw >> 32 & 63 {
            0 => map.clear()?,
            1..4 => {
                if let Some((key, value)) = map.pop_last()? {
                    items::check(&key, &value);
                }
            }
            4..20 => {
                if map.remove(&key, Some(&mut old))? {
                    items::check(&key, &old);
                }
            }
            20..30 => {
                let change = |old: Option<&[u8]>| {
                    old.into_iter().for_each(|old| items::check(&key, old));
                    (draw & 1 << 40 != 0).then_some(value)
                };
                fits(map.update(&key, change))?;
            }
            30..36 => {
                fits(map.insert_if_absent(&key, &value))?;
            }
            _ => {
                fits(map.insert(&key, &value))?;
            }
        }
    }
}

fn look(map: &Map) -> Result<(), Failure> {
    let mut value = vec![];
    loop {
        for key in (0..KEYS).map(items::key) {
            if map.get(&key, &mut value)? {
                items::check(&key, &value);
            }
        }
        items::check_all(&map.snapshot()?);
        assert!(map.len()? as u64 <= KEYS);
    }
}

/// What a forked child may do while its parent has the lock: read, and wait for the lock. Without it: everything.
pub(super) fn fork_with_guard() -> Result<(), Failure> {
    let map = Map::options().max_items(10).write_timeout(Duration::from_millis(1)).anonymous()?;
    map.insert(b"key", b"parent's")?;
    let guard = map.lock()?;
    let child = fork(|| {
        let mut value = vec![];
        assert!(guard.get(b"key", &mut value).unwrap() && value == b"parent's");
        assert!(matches!(guard.insert(b"key", b"child's"), Err(MapError::Timeout)));
        assert!(matches!(map.try_lock(), Err(MapError::WouldBlock)));
        assert!(matches!(map.clear(), Err(MapError::Timeout)));
    });
    child.succeeded();
    drop(guard);
    assert!(!map.lock()?.was_inherited());
    let child = fork(|| {
        map.insert(b"key", b"child's").unwrap();
    });
    child.succeeded();
    assert_eq!(map.snapshot()?, [(b"key".to_vec(), b"child's".to_vec())]);
    Ok(())
}

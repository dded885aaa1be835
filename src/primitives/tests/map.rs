mod hostile;
mod sequences;

use crate::inspect::{self, Detail};
use crate::{Error, Map, MapError};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn other_handle(map: &Map) -> Map {
    Map::from_fd(map.as_fd().try_clone_to_owned().unwrap()).unwrap()
}

fn look(map: &Map) -> inspect::Map {
    match inspect::stat_fd(map.as_fd()).unwrap().detail {
        Detail::Map(map) => *map,
        other => panic!("no map: {other:?}"),
    }
}

fn value_of(map: &Map, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = b"left over".to_vec();
    let found = map.get(key, &mut value).unwrap();
    assert_eq!(map.contains(key).unwrap(), found);
    assert!(found || value.is_empty());
    found.then_some(value)
}

#[test]
fn items_come_and_go() {
    let map = Map::anonymous(3, 100).unwrap();
    let other = other_handle(&map);
    assert_eq!((other.max_items(), other.max_bytes(), other.is_empty().unwrap()), (3, 100, true));
    assert!(!map.insert(b"a", b"one").unwrap() && !other.insert(b"", b"").unwrap());
    assert_eq!(value_of(&other, b"a"), Some(b"one".to_vec()));
    assert_eq!(value_of(&map, b""), Some(vec![]));
    assert_eq!((value_of(&map, b"b"), map.len().unwrap(), map.used_bytes().unwrap()), (None, 2, 4));
    assert!(map.insert(b"a", &[7; 50]).unwrap());
    assert_eq!((value_of(&other, b"a"), other.used_bytes().unwrap()), (Some(vec![7; 50]), 51));
    assert!(map.insert_if_absent(b"a", b"no").unwrap() && !map.insert_if_absent(b"c", b"yes").unwrap());
    assert_eq!(
        map.keys().unwrap(),
        [b"a".to_vec(), vec![], b"c".to_vec()],
        "a replaced value keeps its place"
    );
    assert!(matches!(map.insert(b"d", b""), Err(MapError::Full { items: 3 })));
    let mut value = vec![];
    assert!(other.remove(b"a", Some(&mut value)).unwrap() && !other.remove(b"a", None).unwrap());
    assert_eq!(value, [7; 50]);
    map.insert(b"a", b"again").unwrap();
    let all = other.snapshot().unwrap();
    assert_eq!(all.last(), Some(&(b"a".to_vec(), b"again".to_vec())), "what comes again comes last");
    assert_eq!(map.pop_last().unwrap(), Some((b"a".to_vec(), b"again".to_vec())));
    map.clear().unwrap();
    assert_eq!((map.pop_last().unwrap(), map.snapshot().unwrap(), other.len().unwrap()), (None, vec![], 0));
    assert_eq!((value_of(&other, b"c"), map.used_bytes().unwrap()), (None, 0));
    map.insert(b"c", b"new").unwrap();
    assert_eq!(value_of(&other, b"c"), Some(b"new".to_vec()));
}

#[test]
fn what_is_too_much_changes_nothing() {
    let map = Map::anonymous(10, 100).unwrap();
    map.insert(b"key", &[1; 60]).unwrap();
    assert!(matches!(map.insert(b"x", &[2; 37]), Err(MapError::NoMemory { needed: 38, free: 37 })));
    assert!(matches!(map.insert(b"key", &[2; 98]), Err(MapError::NoMemory { needed: 101, free: 100 })));
    assert!(matches!(map.update(b"x", |_| Some(vec![0; 1000])), Err(MapError::NoMemory { .. })));
    assert_eq!(map.snapshot().unwrap(), [(b"key".to_vec(), vec![1; 60])]);
    map.insert(b"x", &[2; 36]).unwrap();
    assert_eq!(map.used_bytes().unwrap(), 100);
    map.insert(b"key", &[3; 60]).unwrap();
    assert_eq!(value_of(&map, b"key"), Some(vec![3; 60]));
}

#[test]
fn updates_see_the_old_value() {
    let map = Map::anonymous(4, 1000).unwrap();
    let add = |old: Option<&[u8]>| Some(vec![old.map_or(1, |old| old[0] + 1)]);
    assert!(map.update(b"n", add).unwrap() && map.update(b"n", add).unwrap());
    assert_eq!(value_of(&map, b"n"), Some(vec![2]));
    assert!(
        !map.update(b"n", |_| None).unwrap() && !map.update(b"n", |old| old.map(<[u8]>::to_vec)).unwrap()
    );
    // The change may use the map itself, even that very item.
    let new = map.update(b"n", |old| {
        assert_eq!(old, None);
        map.insert(b"n", b"inside").unwrap();
        map.insert(b"m", b"inside").unwrap();
        Some(b"after".to_vec())
    });
    assert!(new.unwrap());
    assert_eq!(
        map.snapshot().unwrap(),
        [(b"n".to_vec(), b"after".to_vec()), (b"m".to_vec(), b"inside".to_vec())]
    );
}

#[test]
fn a_panic_in_an_update_leaves_the_old_value() {
    let map = Map::anonymous(4, 1000).unwrap();
    map.insert(b"n", b"old").unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| map.update(b"n", |_| panic!("as intended"))));
    assert!(panicked.is_err());
    assert_eq!(value_of(&map, b"n"), Some(b"old".to_vec()));
    let guard = map.try_lock().unwrap();
    assert!(guard.was_inherited());
    drop(guard);
    assert!(!map.lock().unwrap().was_inherited());
    assert!(map.insert(b"n", b"new").unwrap());
}

#[test]
fn the_lock_keeps_others_from_writing_and_nobody_from_reading() {
    let map = Map::options().max_items(10).write_timeout(std::time::Duration::ZERO).anonymous().unwrap();
    map.insert(b"a", b"1").unwrap();
    let guard = map.lock().unwrap();
    guard.insert(b"b", b"2").unwrap();
    assert_eq!(look(&map).lock.depth, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = other_handle(&map);
            let other = Map::options()
                .write_timeout(std::time::Duration::ZERO)
                .from_fd(other.as_fd().try_clone_to_owned().unwrap())
                .unwrap();
            assert_eq!((other.len().unwrap(), value_of(&other, b"b")), (2, Some(b"2".to_vec())));
            assert!(matches!(other.insert(b"c", b"3"), Err(MapError::Timeout)));
            assert!(matches!(other.remove(b"a", None), Err(MapError::Timeout)));
            assert!(matches!(other.try_lock(), Err(MapError::WouldBlock)));
            assert!(other.insert_if_absent(b"a", b"3").unwrap(), "it is there: no need to write");
        });
    });
    drop(guard);
    assert_eq!(map.len().unwrap(), 2);
}

#[test]
fn named_maps_are_opened_as_they_are() {
    let name = format!("test-map-{}", std::process::id());
    let map = Map::options().max_items(5).max_bytes(500).ephemeral(true).create(&name).unwrap();
    map.insert(b"k", b"v").unwrap();
    let other = Map::open(&name).unwrap();
    assert_eq!((other.max_items(), other.max_bytes(), value_of(&other, b"k")), (5, 500, Some(b"v".to_vec())));
    assert!(matches!(
        Map::open_or_create(&name, 6, 500),
        Err(Error::WrongCapacity { found: 5, expected: 6 })
    ));
    assert!(matches!(
        Map::open_or_create(&name, 5, 501),
        Err(Error::WrongCapacity { found: 500, expected: 501 })
    ));
    assert!(matches!(Map::anonymous(0, 1), Err(Error::BadCapacity { asked: 0, .. })));
    assert!(matches!(Map::anonymous(1, u64::MAX), Err(Error::BadOption { option: "max_bytes", .. })));
}

#[test]
fn onlookers_see_how_much_there_is() {
    let map = Map::anonymous(5, 500).unwrap();
    map.insert(b"k", b"value").unwrap();
    map.insert(b"l", b"value").unwrap();
    map.remove(b"k", None).unwrap();
    let seen = look(&map);
    assert_eq!((seen.items, seen.bytes, seen.max_bytes, seen.changes, seen.unsettled), (1, 6, 500, 3, false));
    assert_eq!((seen.corrupt, seen.lock.state), (None, inspect::Lock::Free));
}

#[test]
fn an_arena_can_hold_one() {
    let arena = crate::Arena::anonymous(1 << 20).unwrap();
    let map = Map::options().max_items(10).max_bytes(1000).create_in(&arena).unwrap();
    map.insert(b"k", b"v").unwrap();
    let other = Map::options().open_in(&arena, map.place().unwrap()).unwrap();
    assert_eq!((other.max_items(), value_of(&other, b"k")), (10, Some(b"v".to_vec())));
}

/// Threads replace, remove and look: what anybody sees was written as a whole, for that key.
#[test]
fn threads_see_whole_values() {
    let map = Map::anonymous(8, 8 * 600).unwrap();
    let value = |key: u8, round: u32| {
        let len = 4 + (round as usize * 37 + usize::from(key) * 11) % 500;
        let mut value = vec![key ^ round as u8; len];
        value[..4].copy_from_slice(&round.to_le_bytes());
        value
    };
    let is_whole = |key: u8, seen: &[u8]| {
        let round = u32::from_le_bytes(seen[..4].try_into().unwrap());
        assert_eq!(seen, value(key, round), "torn, or of another key");
    };
    let rounds = if cfg!(miri) { 20 } else { 4000 };
    std::thread::scope(|scope| {
        let writers = [0_u8, 1].map(|who| {
            let (map, value) = (other_handle(&map), &value);
            scope.spawn(move || {
                for round in 0..rounds {
                    let key = (round % 4) as u8 * 2 + who;
                    if round % 7 == 0 {
                        map.remove(&[key], None).unwrap();
                    } else {
                        map.insert(&[key], &value(key, round)).unwrap();
                    }
                    if who == 0 && round % 501 == 0 {
                        map.clear().unwrap();
                    }
                }
            })
        });
        let map = other_handle(&map);
        let mut seen = vec![];
        while !writers.iter().all(|writer| writer.is_finished()) {
            for key in 0..8 {
                if map.get(&[key], &mut seen).unwrap() {
                    is_whole(key, &seen);
                }
            }
            assert!(map.len().unwrap() <= 8);
            for (key, value) in map.snapshot().unwrap() {
                is_whole(key[0], &value);
            }
        }
    });
    assert_eq!(map.snapshot().unwrap().len(), map.len().unwrap());
}

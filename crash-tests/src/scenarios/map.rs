//! Maps: a change has happened or not, at once and for good, wherever its writer dies; and no memory is lost.

use crate::process::{elsewhere, killed_elsewhere, place};
use crate::scenario::{Death, Scenario, operation};
use ringway::inspect::{self, Detail};
use ringway::{Map, Wait};
use std::fs::File;
use std::os::unix::fs::FileExt;

const ITEMS: usize = 4;
const BYTES: u64 = 400;

/// All items, in their order.
type Items = Vec<(Vec<u8>, Vec<u8>)>;

fn items(all: &[(&str, u8, usize)]) -> Items {
    all.iter().map(|&(key, byte, len)| (key.into(), vec![byte; len])).collect()
}

fn options() -> ringway::Options<Map> {
    Map::options().max_items(ITEMS).max_bytes(BYTES).participants(3).wait(Wait::Park)
}

fn create(all: &[(&str, u8, usize)]) -> Map {
    let map = options().create("map").unwrap();
    for (key, value) in items(all) {
        map.insert(&key, &value).unwrap();
    }
    map
}

fn two() -> Map {
    create(&[("one", 1, 20), ("two", 2, 20)])
}

/// The victim calls `what`, which makes `new` of what `setup` has made.
fn changes(
    name: &str,
    setup: fn() -> Map,
    what: fn(&Map),
    new: &'static [(&'static str, u8, usize)],
) -> Scenario {
    Scenario::new(
        name,
        move || {
            let map = setup();
            let old = map.snapshot().unwrap();
            (map, old)
        },
        move |(map, _)| {
            // This is no longer something new for the thread.
            drop(map.lock().unwrap());
            operation(|| what(&map));
        },
        move |(map, old), death| survives(&map, &old, &items(new), death),
    )
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        changes(
            "map/insert",
            two,
            |map| assert!(!map.insert(b"new", &[3; 30]).unwrap()),
            &[("one", 1, 20), ("two", 2, 20), ("new", 3, 30)],
        ),
        changes(
            "map/replace",
            two,
            |map| assert!(map.insert(b"one", &[3; 70]).unwrap()),
            &[("one", 3, 70), ("two", 2, 20)],
        ),
        changes("map/remove", two, |map| assert!(map.remove(b"one", None).unwrap()), &[("two", 2, 20)]),
        changes("map/pop-last", two, |map| drop(map.pop_last().unwrap()), &[("one", 1, 20)]),
        changes("map/clear", two, |map| map.clear().unwrap(), &[]),
        changes(
            "map/update",
            two,
            |map| {
                map.update(b"two", |old| Some(old.unwrap().iter().map(|byte| byte + 7).collect())).unwrap();
            },
            &[("one", 1, 20), ("two", 9, 20)],
        ),
        // There is room for the new value only once something is moved.
        changes(
            "map/replace-moving",
            scattered,
            |map| assert!(map.insert(b"two", &[3; 379]).unwrap()),
            &[("two", 3, 379), ("small", 1, 1)],
        ),
        Scenario::new(
            "map/insert-after-dead",
            || {
                let map = left_behind();
                let old = map.snapshot().unwrap();
                (map, old)
            },
            |(map, _)| operation(|| assert!(!map.insert(b"new", &[3; 30]).unwrap())),
            |(map, old), death| {
                let new = items(&[("one", 1, 20), ("two", 2, 20), ("new", 3, 30)]);
                survives(&map, &old, &new, death)
            },
        ),
        Scenario::new(
            "map/get",
            two,
            |map| {
                let mut value = vec![];
                map.get(b"one", &mut value).unwrap();
                operation(|| assert!(map.get(b"one", &mut value).unwrap()));
                assert_eq!(value, [1; 20]);
            },
            |map, _| {
                let old = items(&[("one", 1, 20), ("two", 2, 20)]);
                must_be(&map, &old);
                must_be_as_good_as_new(&map, &old);
                0
            },
        ),
        // Another process takes the victim's place, and cleans up there.
        Scenario::new(
            "map/replace-swept",
            two,
            |map| {
                drop(map.lock().unwrap());
                operation(|| map.insert(b"one", &[3; 70]).unwrap());
            },
            |map, death| {
                elsewhere(|| {
                    drop(options().open("map").unwrap());
                    Vec::new()
                });
                let old = items(&[("one", 1, 20), ("two", 2, 20)]);
                survives(&map, &old, &items(&[("one", 3, 70), ("two", 2, 20)]), death)
            },
        ),
        Scenario::new(
            "map/create",
            || {},
            |()| drop(operation(|| options().create("map").unwrap())),
            |(), death| {
                let Ok(map) = options().open("map") else {
                    assert!(!death.after, "it is not there though the call had returned");
                    return 0;
                };
                must_be(&map, &Items::new());
                must_be_as_good_as_new(&map, &Items::new());
                1
            },
        ),
    ]
}

/// A large item at the end of the memory, and a small one before it, in the middle of what is free: on neither side of that there
/// is room for another large one.
fn scattered() -> Map {
    let map = create(&[("two", 2, 360), ("small", 1, 1)]);
    map.insert(b"two", &[2; 361]).unwrap();
    map.insert(b"two", &[2; 379]).unwrap();
    map
}

/// A map whose last writer died while it put the books in order.
fn left_behind() -> Map {
    let map = two();
    // Index 2: we are 1, and the dead came next.
    killed_elsewhere(|| {
        let map: &'static Map = Box::leak(Box::new(options().open("map").unwrap()));
        map.lock().unwrap()
    });
    let file = File::options().read(true).write(true).open(place().join("map")).unwrap();
    let word = |at| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    };
    let (body_at, data_at) = (word(56), word(72)); // as the header says
    let turn = body_at + 64;
    file.write_all_at(&(word(turn) | 1).to_ne_bytes(), turn).unwrap();
    // Where the chains begin, and what is taken.
    let heads_at = data_at + 128;
    file.write_all_at(&[0; 16], heads_at).unwrap();
    file.write_all_at(&[0xff; 8], heads_at + 64).unwrap();
    file.write_all_at(&[0xff; 8], heads_at + 128).unwrap();
    map
}

/// The victim was to make `new` of `old`.
fn survives(map: &Map, old: &Items, new: &Items, death: Death) -> u64 {
    let seen = map.snapshot().unwrap();
    let happened = seen == *new;
    assert!(happened || seen == *old, "neither: {seen:?}");
    assert!(!(happened && death.before) && (happened || !death.after), "{seen:?}");
    must_be(map, &seen);
    must_be_as_good_as_new(map, &seen);
    u64::from(happened)
}

/// However one looks, these are the items.
fn must_be(map: &Map, expected: &Items) {
    let mut value = vec![];
    for key in ["one", "two", "new", "small", "gap"].map(str::as_bytes) {
        let found = map.get(key, &mut value).unwrap();
        let there = expected.iter().find(|(known, _)| known == key).map(|(_, value)| value);
        assert_eq!(found.then_some(&value), there);
    }
    let bytes: usize = expected.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert_eq!((map.len().unwrap(), map.used_bytes().unwrap()), (expected.len(), bytes as u64));
    assert_eq!(map.snapshot().unwrap(), *expected);
    let Detail::Map(inside) = inspect::stat("map").unwrap().detail else { panic!("no map") };
    assert_eq!((inside.items, inside.bytes), (expected.len() as u64, bytes as u64));
}

/// Nobody but the dead one is in the way; and there is as much memory as there ever was.
fn must_be_as_good_as_new(map: &Map, before: &Items) {
    let mut all = before.clone();
    elsewhere(|| {
        let map = options().open("map").unwrap();
        assert!(!map.insert(b"more", b"and more").unwrap());
        Vec::new()
    });
    all.push((b"more".into(), b"and more".into()));
    must_be(map, &all);
    let Detail::Map(inside) = inspect::stat("map").unwrap().detail else { panic!("no map") };
    assert!(!inside.unsettled && inside.lock.state == inspect::Lock::Free, "{inside:?}");
    for (key, _) in all {
        assert!(map.remove(&key, None).unwrap());
    }
    for key in 0..ITEMS as u8 {
        map.insert(&[key], &[key; (BYTES as usize) / ITEMS - 1]).unwrap();
    }
    assert_eq!(map.used_bytes().unwrap(), BYTES);
    while map.pop_last().unwrap().is_some() {}
    map.insert(b"all", &[5; BYTES as usize - 3]).unwrap();
    assert!(map.insert(b"all", &[6; BYTES as usize - 3]).is_ok(), "room for the old one and the new one");
    ringway::unlink("map").unwrap();
}

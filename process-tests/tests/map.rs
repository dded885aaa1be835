//! Maps between real processes, which are killed, stopped and forked in the middle of what they do.

use process_tests::items::{KEYS, check, check_all, key, number};
use process_tests::support::rounds;
use process_tests::test;
use ringway::inspect::{self, Detail, Lock};
use ringway::{Map, MapError};
use std::os::unix::fs::FileExt;
use std::time::Duration;

const ITEMS: usize = KEYS as usize - 8;
const BYTES: u64 = 9000;

fn look(path: &str) -> inspect::Map {
    match inspect::stat(path).unwrap().detail {
        Detail::Map(map) => *map,
        other => panic!("no map: {other:?}"),
    }
}

/// However one looks, there is the same; every value is whole and under its key.
fn must_agree(map: &Map) {
    let all = map.snapshot().unwrap();
    check_all(&all);
    let bytes: usize = all.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert_eq!((map.len().unwrap(), map.used_bytes().unwrap()), (all.len(), bytes as u64));
    let mut value = vec![];
    for key in (0..KEYS).map(key) {
        let found = map.get(&key, &mut value).unwrap();
        let there = all.iter().find(|(known, _)| *known == key).map(|(_, value)| value);
        assert_eq!(found.then_some(&value), there);
    }
}

/// As much fits as was promised.
fn must_have_all_its_memory(map: &Map) {
    map.clear().unwrap();
    map.insert(b"all", &vec![1; BYTES as usize - 3]).unwrap();
    map.clear().unwrap();
    let len = BYTES as usize / ITEMS - 8;
    for number in 0..ITEMS as u64 {
        map.insert(&number.to_le_bytes(), &vec![2; len]).unwrap();
    }
    assert!(matches!(map.insert(b"x", b""), Err(MapError::Full { items: ITEMS })));
    map.clear().unwrap();
}

/// Four write and two read, and are killed at random: what is there was written as a whole, for its key.
#[test]
fn killed_writers_leave_whole_items() {
    let test = test!("map-kills");
    let path = test.path("map");
    let map = Map::create(&path, ITEMS, BYTES).unwrap();
    let (mut round, mut cut) = (0, 0);
    // So long that a writer is killed in the middle of a change several times.
    while round < rounds() / 4 || cut < 3 {
        round += 1;
        let writers = [1, 2, 3, 4].map(|who| test.start(&format!("map {path} race:{}", round * 100 + who)));
        let readers = [(); 2].map(|()| test.start(&format!("map {path} look")));
        let goal = look(&path).changes + 300 + round % 7 * 50;
        while look(&path).changes < goal {
            check_all(&map.snapshot().unwrap());
        }
        // One after the other: the last ones inherit from the first.
        for writer in writers {
            writer.kill();
            writer.was_killed();
            cut += u64::from(
                look(&path).unsettled && !matches!(look(&path).lock.state, Lock::Held(who) if who.alive),
            );
        }
        must_agree(&map);
        for reader in readers {
            reader.kill();
            reader.was_killed();
        }
        if round % 3 == 0 {
            must_have_all_its_memory(&map);
        }
    }
    must_have_all_its_memory(&map);
    assert!(!look(&path).unsettled);
}

/// A writer who is stopped anywhere keeps nobody from reading; others who write are told.
#[test]
fn readers_do_not_wait_for_a_stopped_writer() {
    let test = test!("map-stops");
    let path = test.path("map");
    let options = Map::options().max_items(ITEMS).max_bytes(BYTES).write_timeout(Duration::from_millis(2));
    let map = options.create(&path).unwrap();
    let racer = test.start(&format!("map {path} race:5"));
    let mut caught = 0;
    while caught < 10 {
        racer.stop();
        let seen = look(&path);
        if matches!(seen.lock.state, Lock::Held(who) if who.pid == Some(racer.pid())) {
            caught += 1;
            must_agree(&map);
            assert!(matches!(map.insert(b"x", b"y"), Err(MapError::Timeout)));
            assert!(matches!(map.clear(), Err(MapError::Timeout)));
            assert!(matches!(map.try_lock(), Err(MapError::WouldBlock)));
        }
        racer.signal(libc::SIGCONT);
    }
    racer.kill();
    racer.was_killed();
    must_agree(&map);
    must_have_all_its_memory(&map);
}

#[test]
fn four_processes_count() {
    let test = test!("map-crowd");
    let path = test.path("map");
    let map = Map::create(&path, 10, 1000).unwrap();
    map.insert(b"here", &0_u64.to_le_bytes()).unwrap();
    let mut counters = [(); 4].map(|()| test.start(&format!("map {path} count:2000 move:1000")));
    counters.iter_mut().for_each(|counter| {
        counter.expect("counted");
        counter.expect("moved");
    });
    counters.into_iter().for_each(|counter| counter.succeed());
    let mut value = vec![];
    assert!(map.get(b"count", &mut value).unwrap());
    assert_eq!(number(Some(&value)), 8000);
    assert!(map.get(b"here", &mut value).unwrap() && map.len().unwrap() == 2);
    assert_eq!(number(Some(&value)), 4000);
}

#[test]
fn a_process_killed_in_an_update_leaves_the_old_value() {
    let test = test!("map-update");
    let path = test.path("map");
    let map = Map::create(&path, 10, 1000).unwrap();
    map.insert(b"count", &7_u64.to_le_bytes()).unwrap();
    for _ in 0..rounds() / 12 {
        test.start(&format!("map {path} die-updating")).was_killed();
        let mut value = vec![];
        assert!(map.get(b"count", &mut value).unwrap() && number(Some(&value)) == 7);
        let mut heir = test.start(&format!("map {path} lock drop lock"));
        heir.expect("inherited");
        heir.expect("locked");
        heir.succeed();
    }
    assert!(map.insert(b"count", b"new").unwrap());
}

#[test]
fn a_child_takes_part_and_does_not_hold_what_its_parent_holds() {
    test!("map-fork").start("mapfork").succeed();
}

/// A peer writes nonsense over the books, the table and the chunks: every call ends.
#[test]
fn a_scribbling_peer_ends_nothing_but_the_agreement() {
    let test = test!("map-hostile");
    let path = test.path("map");
    let map = Map::options()
        .max_items(20)
        .max_bytes(4000)
        .trusted(false)
        .write_timeout(Duration::from_micros(300))
        .create(&path)
        .unwrap();
    // Behind the header and the rows of 254 participants: the lock and the books; a page further on, the table.
    let body_at = 4096 + 4 * 4096;
    let mut scribblers = [(body_at, 184), (body_at + 4096, 2048)]
        .map(|(at, len)| test.start(&format!("scribble {path} {at} {len} 11 2000")));
    scribblers.iter_mut().for_each(|scribbler| scribbler.expect("scribbling"));
    let mut ends = std::collections::BTreeSet::new();
    let mut value = vec![];
    for round in 0..3000_u64 {
        let key = key(round % 20);
        let result = match round % 9 {
            0 => map.snapshot().map(drop),
            1 => map.len().map(drop),
            2 => map.remove(&key, Some(&mut value)).map(drop),
            3 => map.update(&key, |_| Some(vec![1; 30])).map(drop),
            4 => map.clear(),
            5 => map.pop_last().map(drop),
            6 => map.get(&key, &mut value).map(drop),
            _ => map.insert(&key, &[round as u8; 50]).map(drop),
        };
        ends.insert(match result {
            Ok(()) => "done",
            Err(MapError::Corrupt(_)) => "corrupt",
            Err(MapError::Timeout) => "timed out",
            Err(MapError::Full { .. } | MapError::NoMemory { .. }) => "full",
            Err(other) => panic!("{other}"),
        });
        let _ = inspect::stat(&path);
    }
    for scribbler in scribblers {
        scribbler.kill();
        scribbler.was_killed();
    }
    assert!(ends.len() > 1, "{ends:?}");
    // With the lock and the counts in order again, it is as good as new: it puts the rest in order itself.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 56], body_at).unwrap();
    file.write_all_at(&4000_u64.to_ne_bytes(), body_at + 56).unwrap();
    map.lock().unwrap().clear().unwrap();
    map.clear().unwrap();
    for number in 0..20 {
        map.insert(&key(number), &process_tests::items::value(&key(number), number)).unwrap();
    }
    let all = map.snapshot().unwrap();
    all.iter().for_each(|(key, value)| check(key, value));
    assert_eq!(all.len(), 20);
}

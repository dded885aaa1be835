//! Whatever a peer writes: every call ends, and the map can be used again.

use super::super::{scribble, scribble_at};
use super::{look, other_handle};
use crate::{Map, MapError, inspect};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const ITEMS: u64 = 16;
const DATA_AT: u64 = 4096 * 6;

fn map() -> Map {
    Map::options()
        .max_items(ITEMS as usize)
        .max_bytes(2000)
        .write_timeout(Duration::ZERO)
        .anonymous()
        .unwrap()
}

fn fill(map: &Map) {
    for key in 0..10_u8 {
        map.insert(&[key; 3], &[key; 50]).unwrap();
    }
}

/// All calls, each of which ends in a value or an error. How many ended well.
fn exercise(map: &Map, round: u64) -> usize {
    let key = [(round % 12) as u8; 3];
    let mut value = vec![];
    let ends = [
        map.get(&key, &mut value).map(drop),
        map.contains(&key).map(drop),
        map.len().map(drop),
        map.keys().map(drop),
        map.snapshot().map(drop),
        map.insert(&key, &[9; 60]).map(drop),
        map.insert_if_absent(&[200], &[9; 60]).map(drop),
        map.update(&key, |_| Some(vec![1; 70])).map(drop),
        map.remove(&key, Some(&mut value)).map(drop),
        map.pop_last().map(drop),
        if round.is_multiple_of(16) { map.clear() } else { Ok(()) },
        map.try_lock().map(drop),
    ];
    inspect::stat_fd(map.as_fd()).unwrap();
    let is_expected = |error: &MapError| {
        use MapError::{Corrupt, Full, NoMemory, Timeout, WouldBlock};
        matches!(error, Corrupt(_) | Full { .. } | NoMemory { .. } | Timeout | WouldBlock)
    };
    for end in &ends {
        assert!(end.as_ref().err().is_none_or(is_expected), "{end:?}");
    }
    ends.iter().filter(|end| end.is_ok()).count()
}

/// Every word of the table and the books (but how much fits, which only onlookers read), one after the other, is replaced by
/// every kind of nonsense.
#[test]
fn single_words_of_nonsense() {
    let layout = crate::primitives::layout::MapLayout::of(ITEMS, 2000).unwrap();
    let table = (0..layout.heap_at as u64 + 640).step_by(8).map(|at| DATA_AT + at);
    let body = (64..200).step_by(8).map(|at| DATA_AT - 4096 + at);
    let map = map();
    fill(&map);
    for (round, at) in body.chain(table).enumerate() {
        for nonsense in [
            0,
            1,
            u64::MAX,
            1 << 32 | 5,
            0x0000_0003_0000_0003,
            (round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ] {
            scribble_at(&map, at, nonsense);
            exercise(&map, round as u64 + nonsense % 7);
            // Whoever writes twice finds it in order.
            let _ = map.clear();
            if let Err(error) = map.clear() {
                panic!("{error} after {nonsense:#x} at {at}");
            }
            fill(&map);
            assert_eq!(map.keys().unwrap().len(), 10, "after {nonsense:#x} at {at}");
        }
    }
}

#[test]
fn random_nonsense_everywhere() {
    let map = map();
    let mut state = 7_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let layout = crate::primitives::layout::MapLayout::of(ITEMS, 2000).unwrap();
    let mut well = 0;
    for round in 0..3000 {
        if round % 5 == 0 {
            let _ = map.clear();
            let _ = map.insert(b"k", b"v");
        }
        for _ in 0..draw() % 20 {
            let at = (draw() % (layout.heap_at as u64 + 640)) & !7;
            let word = match draw() % 4 {
                0 => draw(),
                1 => draw() % 20,
                2 => ((draw() % 20) << 32) | (draw() % 20),
                _ => 0,
            };
            scribble_at(&map, DATA_AT + at, word);
        }
        if round % 3 == 0 {
            // The books, but not the lock: that has tests of its own.
            scribble(&map, 64 + draw() % 120 / 8 * 8, draw() >> (draw() % 64));
        }
        well += exercise(&map, draw());
    }
    assert!(well > 3000, "{well}");
}

#[test]
fn what_a_dead_writer_left_is_put_in_order() {
    let map = map();
    fill(&map);
    // He had begun a change, wiped the chains, and taken all memory.
    let layout = crate::primitives::layout::MapLayout::of(ITEMS, 2000).unwrap();
    let heads_at = (ITEMS * 24).next_multiple_of(64);
    for at in (heads_at..heads_at + 4 * ITEMS).step_by(8) {
        scribble_at(&map, DATA_AT + at, 0);
    }
    for at in (heads_at + 64..layout.heap_at as u64).step_by(8) {
        scribble_at(&map, DATA_AT + at, u64::MAX);
    }
    scribble(&map, 72, 3);
    assert!(look(&map).unsettled);
    // Readers count on the words alone only where the turn says so.
    let file = File::from(map.as_fd().try_clone_to_owned().unwrap());
    let mut turn = [0; 8];
    file.read_exact_at(&mut turn, DATA_AT - 4096 + 64).unwrap();
    scribble(&map, 64, u64::from_ne_bytes(turn) | 1);
    let other = other_handle(&map);
    let mut value = vec![];
    for key in 0..10_u8 {
        assert!(other.get(&[key; 3], &mut value).unwrap() && value == [key; 50]);
    }
    assert!(!other.contains(b"none").unwrap());
    assert_eq!((other.len().unwrap(), other.snapshot().unwrap().len()), (10, 10));
    // The next one to write puts it in order, and has all the memory there is.
    map.insert(b"more", &[1; 1400]).unwrap();
    assert!(!look(&map).unsettled);
    assert_eq!((map.len().unwrap(), map.used_bytes().unwrap()), (11, 10 * 53 + 1404));
    assert!((0..10_u8).all(|key| other.get(&[key; 3], &mut value).unwrap() && value == [key; 50]));
}

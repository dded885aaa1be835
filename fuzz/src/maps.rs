//! Every call of a map, whose memory may hold anything at any time: each ends, and what it returns is something that there can
//! be.

use crate::calls::{self, read};
use crate::locks::deadline;
use arbitrary::Arbitrary;
use ringway::{Map, MapError, MapGuard};

/// One call on items whose keys are few.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Get(u8),
    Contains(u8),
    Count,
    Keys,
    Snapshot,
    Insert(u8, u16),
    InsertIfAbsent(u8, u8),
    Remove(u8, bool),
    Update(u8, Option<u8>),
    PopLast,
    Clear,
    /// Takes the lock for several calls, waiting for so many microseconds at most.
    Lock(Option<u8>),
    /// Gives it back: that of the last time it was taken, or of the first.
    Unlock(bool),
}

impl Call {
    /// One of them, by the numbers of a call on anything.
    pub(crate) fn of(call: calls::Call) -> Self {
        let (key, len) = (call.size as u8, call.size);
        match call.which % 12 {
            0 => Call::Get(key),
            1 => Call::Contains(key),
            2 => Call::Count,
            3 => Call::Keys,
            4 => Call::Snapshot,
            5 | 6 => Call::Insert(call.which / 12, len),
            7 => Call::InsertIfAbsent(key, call.which),
            8 => Call::Remove(key, call.which < 128),
            9 => Call::Update(key, Some(call.which)),
            10 => Call::PopLast,
            _ => Call::Clear,
        }
    }
}

fn key(number: u8) -> Vec<u8> {
    vec![number % 8; usize::from(number % 8) * 5 % 37]
}

/// What came of it: a value, or an error that there can be.
fn done<R>(result: Result<R, MapError>) -> Option<R> {
    match result {
        Ok(done) => return Some(done),
        Err(MapError::Full { .. } | MapError::NoMemory { .. } | MapError::Corrupt(_)) => {}
        Err(MapError::Timeout | MapError::WouldBlock) => {}
        Err(MapError::NoMemoryForCopy { needed }) => assert!(needed > 1 << 20, "{needed} bytes there are"),
        Err(other) => panic!("{other}"),
    }
    None
}

/// The longest value that there is memory for.
fn longest(map: &Map) -> u64 {
    2 * (map.max_bytes() + 46 * map.max_items() as u64) + 64
}

/// A call on a map; the guards that it leaves are added to `held`, or one of them goes.
pub fn call<'m>(map: &'m Map, held: &mut Vec<MapGuard<'m>>, call: Call) {
    match call {
        Call::Get(number) => {
            let mut value = vec![1; 10];
            match done(map.get(&key(number), &mut value)) {
                Some(true) => assert!(read(&value) as u64 <= longest(map)),
                Some(false) => assert!(value.is_empty()),
                None => {}
            }
        }
        Call::Contains(number) => {
            let _ = done(map.contains(&key(number)));
        }
        Call::Count => {
            done(map.len()).inspect(|&items| assert!(items <= map.max_items()));
            done(map.used_bytes()).inspect(|&bytes| assert!(bytes <= map.max_bytes()));
            done(map.is_empty());
        }
        Call::Keys => {
            done(map.keys()).inspect(|keys| {
                assert!(keys.len() <= map.max_items());
                assert!(keys.iter().map(|key| read(key) as u64).sum::<u64>() <= map.max_bytes());
            });
        }
        Call::Snapshot => {
            done(map.snapshot()).inspect(|items| {
                assert!(items.len() <= map.max_items());
                let bytes = items.iter().map(|(key, value)| (read(key) + read(value)) as u64);
                assert!(bytes.sum::<u64>() <= map.max_bytes());
            });
        }
        Call::Insert(number, len) => {
            let _ = done(map.insert(&key(number), &vec![number; len.into()]));
        }
        Call::InsertIfAbsent(number, len) => {
            let _ = done(map.insert_if_absent(&key(number), &vec![number; len.into()]));
        }
        Call::Remove(number, keeps) => {
            let mut value = vec![1; 10];
            let removed = done(map.remove(&key(number), keeps.then_some(&mut value)));
            assert!(removed != Some(true) || read(&value) as u64 <= longest(map));
        }
        Call::Update(number, len) => {
            let changed = map.update(&key(number), |old| {
                old.inspect(|old| assert!(read(old) as u64 <= longest(map)));
                done(map.contains(&key(number.wrapping_add(1))));
                len.map(|len| vec![number; len.into()])
            });
            let _ = done(changed);
        }
        Call::PopLast => {
            if let Some(Some((key, value))) = done(map.pop_last()) {
                assert!(key.len() as u64 <= longest(map) && value.len() as u64 <= longest(map));
            }
        }
        Call::Clear => drop(done(map.clear())),
        Call::Lock(micros) if held.len() < 4 => {
            let guard = match micros {
                None => map.try_lock(),
                Some(micros) => map.lock_deadline(deadline(micros)),
            };
            held.extend(done(guard).inspect(|guard| drop(format!("{guard:?} {}", guard.was_inherited()))));
        }
        Call::Lock(_) => {}
        Call::Unlock(last) => drop(crate::locks::remove(held, last)),
    }
}

/// Whoever writes twice finds it in order, once nobody writes against the rules any more.
pub fn is_well_again(map: &Map) {
    let _ = map.clear();
    map.clear().expect("it was put in order");
    for number in 1..6 {
        map.insert(&key(number), &[number; 30]).expect("there is room");
    }
    let mut value = Vec::new();
    for number in 1..6 {
        assert!(map.get(&key(number), &mut value).expect("it was put in order") && value == [number; 30]);
    }
    let order: Vec<_> = (1..6).map(|number| (key(number), vec![number; 30])).collect();
    assert_eq!(map.snapshot().expect("it was put in order"), order);
}

//! Any sequence of calls does what it does to a list of pairs.

use crate::{Map, MapError};
use proptest::prelude::*;

const ITEMS: usize = 6;
const BYTES: u64 = 300;

#[derive(Debug, Clone)]
enum Call {
    Insert(u8, usize),
    InsertIfAbsent(u8, usize),
    Update(u8, Option<usize>),
    Remove(u8),
    PopLast,
    Clear,
    /// As if the last writer had died: what is derived is made anew.
    Mend,
}

fn calls() -> impl Strategy<Value = Call> {
    let key = 0_u8..10;
    let len = prop_oneof![0_usize..40, 0_usize..200];
    prop_oneof![
        8 => (key.clone(), len.clone()).prop_map(|(key, len)| Call::Insert(key, len)),
        2 => (key.clone(), len.clone()).prop_map(|(key, len)| Call::InsertIfAbsent(key, len)),
        2 => (key.clone(), prop::option::of(len)).prop_map(|(key, len)| Call::Update(key, len)),
        4 => key.prop_map(Call::Remove),
        1 => Just(Call::PopLast),
        1 => Just(Call::Clear),
        1 => Just(Call::Mend),
    ]
}

/// Some keys are longer than a block of the comparison, and some are one another's beginnings.
fn key(number: u8) -> Vec<u8> {
    vec![b'k'; usize::from(number) * 9]
}

type Model = Vec<(Vec<u8>, Vec<u8>)>;

fn bytes(model: &Model) -> u64 {
    model.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

/// What inserting does to a list. `None` if only the map can know whether it fits: it replaces a value by another one, and
/// both together are too much.
fn insert(model: &mut Model, key: &[u8], value: &[u8]) -> Option<Result<bool, ()>> {
    let at = model.iter().position(|(known, _)| known == key);
    let old = at.map_or(0, |at| model[at].1.len() + key.len()) as u64;
    let needed = (key.len() + value.len()) as u64;
    let total = bytes(model);
    if total - old + needed > BYTES || (at.is_none() && model.len() == ITEMS) {
        return Some(Err(()));
    }
    if at.is_some() && total + needed > BYTES {
        return None;
    }
    put(model, key, value);
    Some(Ok(at.is_some()))
}

fn put(model: &mut Model, key: &[u8], value: &[u8]) {
    match model.iter_mut().find(|(known, _)| known == key) {
        Some(item) => item.1 = value.into(),
        None => model.push((key.into(), value.into())),
    }
}

fn remove(model: &mut Model, key: &[u8]) -> Option<Vec<u8>> {
    let at = model.iter().position(|(known, _)| known == key)?;
    Some(model.remove(at).1)
}

fn settle<T>(result: Result<T, MapError>) -> Result<T, ()> {
    result.map_err(|error| {
        assert!(matches!(error, MapError::Full { .. } | MapError::NoMemory { .. }), "{error}")
    })
}

proptest! {
    #[test]
    fn as_a_list_of_pairs(calls in prop::collection::vec(calls(), 1..80)) {
        let map = Map::anonymous(ITEMS, BYTES).unwrap();
        let mut model = Model::new();
        for (round, call) in calls.into_iter().enumerate() {
            let value = |len| vec![round as u8; len];
            match call {
                Call::Insert(number, len) => {
                    let (key, value) = (key(number), value(len));
                    let done = settle(map.insert(&key, &value));
                    match insert(&mut model, &key, &value) {
                        Some(expected) => prop_assert_eq!(done, expected),
                        None if done.is_ok() => put(&mut model, &key, &value),
                        None => {}
                    }
                }
                Call::InsertIfAbsent(number, len) => {
                    let (key, value) = (key(number), value(len));
                    let done = settle(map.insert_if_absent(&key, &value));
                    if model.iter().any(|(known, _)| *known == key) {
                        prop_assert_eq!(done, Ok(true));
                    } else {
                        prop_assert_eq!(Some(done), insert(&mut model, &key, &value));
                    }
                }
                Call::Update(number, len) => {
                    let (key, value) = (key(number), len.map(value));
                    let old = model.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone());
                    let done = settle(map.update(&key, |seen| {
                        assert_eq!(seen, old.as_deref());
                        value.clone()
                    }));
                    match value {
                        None => {
                            prop_assert_eq!(done, Ok(false));
                            remove(&mut model, &key);
                        }
                        Some(value) => match insert(&mut model, &key, &value) {
                            Some(expected) => prop_assert_eq!(done, expected.map(|_| true)),
                            None if done.is_ok() => put(&mut model, &key, &value),
                            None => {}
                        },
                    }
                }
                Call::Remove(number) => {
                    let mut value = vec![];
                    let done = map.remove(&key(number), Some(&mut value)).unwrap();
                    prop_assert_eq!(done.then_some(value), remove(&mut model, &key(number)));
                }
                Call::PopLast => prop_assert_eq!(map.pop_last().unwrap(), model.pop()),
                Call::Clear => {
                    map.clear().unwrap();
                    model.clear();
                }
                Call::Mend => {
                    let _guard = map.lock().unwrap();
                    map.mend();
                }
            }
            prop_assert_eq!(map.snapshot().unwrap(), model.clone());
            prop_assert_eq!((map.len().unwrap(), map.used_bytes().unwrap()), (model.len(), bytes(&model)));
            let mut value = vec![];
            for number in 0..10 {
                let found = map.get(&key(number), &mut value).unwrap();
                let expected = model.iter().find(|(known, _)| *known == key(number)).map(|(_, value)| value);
                prop_assert_eq!(found.then_some(&value), expected);
            }
        }
    }

    /// As long as keys and values are no more than promised, a new item fits, whatever was there before.
    #[test]
    fn what_was_promised_fits(
        before in prop::collection::vec((0_u8..20, 0_usize..400), 0..200),
        then in prop::collection::vec(0_usize..400, 1..20),
    ) {
        let (items, bytes) = (20, 2000);
        let map = Map::anonymous(items, bytes).unwrap();
        for (key, len) in before {
            if len % 3 == 0 {
                map.remove(&[key], None).unwrap();
            } else {
                let _ = settle(map.insert(&[key], &vec![key; len]));
            }
        }
        for (number, len) in then.into_iter().enumerate() {
            let key = [100, number as u8];
            let free = bytes - map.used_bytes().unwrap();
            if (len + 2) as u64 <= free && map.len().unwrap() < items {
                prop_assert!(!map.insert(&key, &vec![1; len]).unwrap());
            }
        }
    }
}

//! Values and arrays: a write is there as a whole or not at all, at once and for good, wherever its writer dies.

use crate::process::{elsewhere, killed_elsewhere, place};
use crate::scenario::{Death, Scenario, operation};
use ringway::{Array, LockError, Value, inspect};
use std::fs::File;
use std::os::unix::fs::FileExt;

type Large = [u64; 12];
const LEN: usize = 12;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "cells/write",
            value,
            |value| {
                value.write([1; LEN]).unwrap();
                operation(|| value.write([2; LEN]).unwrap());
            },
            |value, death| survives_write(value, 2, death),
        ),
        Scenario::new(
            "cells/update",
            value,
            |value| {
                value.write([1; LEN]).unwrap();
                operation(|| value.update(|words| words.map(|word| word + 4)).unwrap());
            },
            |value, death| survives_write(value, 5, death),
        ),
        Scenario::new(
            "cells/lock-set",
            value,
            |value| {
                drop(value.lock().unwrap());
                value.write([1; LEN]).unwrap();
                operation(|| value.lock().unwrap().set([2; LEN]).unwrap());
            },
            |value, death| {
                match value.lock() {
                    Ok(guard) => drop(guard),
                    Err(LockError::OwnerDied(inherited)) => {
                        assert!(!death.before && !death.after, "nobody held it");
                        drop(inherited.recover(|words| words).unwrap());
                    }
                    Err(other) => panic!("{other}"),
                }
                survives_write(value, 2, death)
            },
        ),
        Scenario::new("cells/write-slice", array, write_slice, survives_write_slice),
        Scenario::new("cells/write-slice-swept", array, write_slice, |array, death| {
            // Another process takes the victim's place, and cleans up there.
            let seen = elsewhere(|| Array::<u64>::open("array").unwrap().snapshot().unwrap());
            assert_eq!(seen, array.snapshot().unwrap());
            survives_write_slice(array, death)
        }),
        Scenario::new(
            "cells/finish",
            unfinished,
            |array| operation(|| array.set(9, 5).unwrap()),
            |array, death| survives_finisher(array, [2, 5], death),
        ),
        Scenario::new(
            "cells/finish-by-lone",
            unfinished,
            |array| {
                operation(|| array.fetch_add(3, 4).unwrap());
            },
            |array, death| survives_finisher(array, [6, 1], death),
        ),
    ]
}

fn value() -> Value<Large> {
    Value::options().value([1; LEN]).participants(2).create("value").unwrap()
}

fn array() -> Array<u64> {
    Array::options().values(&[1; LEN]).participants(2).create("array").unwrap()
}

fn write_slice(array: Array<u64>) {
    array.set(0, 1).unwrap();
    operation(|| array.write_slice(2, &[2; 6]).unwrap());
}

/// The victim wrote `new` over ones.
fn survives_write(value: Value<Large>, new: u64, death: Death) -> u64 {
    let words = value.read().unwrap();
    assert!(words == [1; LEN] || words == [new; LEN], "half of each: {words:?}");
    let is_there = words == [new; LEN];
    assert!(!(is_there && death.before) && (is_there || !death.after), "{words:?}");
    let seen = elsewhere(|| {
        let value = Value::<Large>::open("value").unwrap();
        value.update(|seen| seen.map(|word| word + 10)).unwrap().to_vec()
    });
    assert_eq!(seen, words.map(|word| word + 10));
    value.write([7; LEN]).unwrap();
    assert_eq!(value.read().unwrap(), [7; LEN]);
    ringway::unlink("value").unwrap();
    u64::from(is_there)
}

/// The victim wrote twos over six of the ones, from the third on.
fn survives_write_slice(array: Array<u64>, death: Death) -> u64 {
    let before = array.snapshot().unwrap();
    let is_there = before[2] == 2;
    let mut expected = vec![1; LEN];
    if is_there {
        expected[2..8].fill(2);
    }
    assert_eq!(before, expected);
    assert!(!(is_there && death.before) && (is_there || !death.after));
    // A write to a part must not make away with the rest, nor bring it back.
    array.set(4, 9).unwrap();
    array.fetch_add(5, 1).unwrap();
    expected[4] = 9;
    expected[5] += 1;
    assert_eq!(array.snapshot().unwrap(), expected);
    assert!((0..LEN).map(|index| array.load(index).unwrap()).eq(expected));
    must_be_as_good_as_new(array);
    u64::from(is_there)
}

fn must_be_as_good_as_new(array: Array<u64>) {
    let seen = elsewhere(|| {
        let array = Array::<u64>::open("array").unwrap();
        array.update(.., |all| all.fill(8)).unwrap();
        array.snapshot().unwrap()
    });
    assert_eq!((seen, array.snapshot().unwrap()), (vec![8; LEN], vec![8; LEN]));
    let inspect::Detail::Cell(cell) = inspect::stat("array").unwrap().detail else { panic!("no array") };
    let journal = cell.journal.unwrap();
    assert!(!journal.open && journal.writer == inspect::Lock::Free);
    ringway::unlink("array").unwrap();
}

/// An array whose last writer wrote twos over six of the ones, and died when he had copied the first of them to its place.
fn unfinished() -> Array<u64> {
    let array = array();
    array.write_slice(2, &[2; 6]).unwrap();
    // Index 2: we are 1, and the dead came next.
    killed_elsewhere(|| Array::<u64>::open("array").unwrap());
    let file = File::options().read(true).write(true).open(place().join("array")).unwrap();
    let word = |at| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    };
    let (body_at, data_at) = (word(56), word(72)); // as the header says
    for index in 3..8 {
        file.write_all_at(&1_u64.to_ne_bytes(), data_at + 8 * index).unwrap();
    }
    let (gate, seq) = (body_at + 56, body_at + 56 + 32);
    file.write_all_at(&(word(seq) - 1).to_ne_bytes(), seq).unwrap();
    file.write_all_at(&(word(gate) | 1 << 16 | 2).to_ne_bytes(), gate).unwrap();
    array
}

/// The victim was to change the fourth and the tenth element to `new`, whichever is another one than before.
fn survives_finisher(array: Array<u64>, new: [u64; 2], death: Death) -> u64 {
    let old = [1, 1, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1];
    let mut expected = old;
    (expected[3], expected[9]) = (new[0], new[1]);
    let seen = array.snapshot().unwrap();
    let is_there = seen == expected;
    assert!(is_there || seen == old, "{seen:?}");
    assert!(!(is_there && death.before) && (is_there || !death.after), "{seen:?}");
    must_be_as_good_as_new(array);
    u64::from(is_there)
}

//! `peer value|array|number|float PATH VERB...`: opens a cell and follows a script.
//!
//! ```text
//! value   race        adds 1 to each of its words, as a whole, until killed
//!         count:N     the same N times; prints "counted"
//!         lock        takes the lock; prints "locked", or "inherited" if its owner died
//! array   race        the same with each of its elements
//!         count:N     adds 1 to each element N times, by lone operations, one element after the other; prints "counted"
//! number  count:N     adds 1 to it N times; prints "counted"
//! float   count:N     adds 0.5 to it N times; prints "counted"
//! ```

use crate::forks::fork;
use crate::{Failure, common, say};
use ringway::{Array, CellError, LockError, Value, Wait};

/// What is longer than a word.
pub(super) type Large = [u64; 16];

pub(super) fn play(kind: &str, path: &str, script: &[&str]) -> Result<(), Failure> {
    let verbs = script.iter().map(|verb| verb.split(':').collect::<Vec<_>>());
    match kind {
        "value" => value(&Value::options().wait(Wait::Park).open(path)?, verbs),
        "array" => array(&Array::options().wait(Wait::Park).open(path)?, verbs),
        "number" => {
            let number = Value::<u64>::open(path)?;
            count(verbs, || {
                number.fetch_add(1);
            })
        }
        _ => {
            let number = Value::<f64>::open(path)?;
            count(verbs, || {
                number.fetch_add(0.5);
            })
        }
    }
}

fn count<'a>(verbs: impl Iterator<Item = Vec<&'a str>>, mut add: impl FnMut()) -> Result<(), Failure> {
    for verb in verbs {
        match verb[..] {
            ["count", times] => {
                for _ in 0..times.parse()? {
                    add();
                }
                say("counted");
            }
            _ => drop(common(&verb)?),
        }
    }
    Ok(())
}

fn value<'a>(value: &Value<Large>, verbs: impl Iterator<Item = Vec<&'a str>>) -> Result<(), Failure> {
    let add = || value.update(|words| words.map(|word| word + 1)).map(drop);
    let mut held = vec![];
    for verb in verbs {
        match verb[..] {
            ["race"] => loop {
                add()?;
            },
            ["count", times] => {
                for _ in 0..times.parse()? {
                    add()?;
                }
                say("counted");
            }
            ["lock"] => match value.lock() {
                Ok(guard) => {
                    held.push(guard);
                    say("locked");
                }
                Err(LockError::OwnerDied(inherited)) => {
                    held.push(inherited.recover(|words| words)?);
                    say("inherited");
                }
                Err(other) => return Err(other.into()),
            },
            _ => drop(common(&verb)?),
        }
    }
    Ok(())
}

fn array<'a>(array: &Array<u64>, verbs: impl Iterator<Item = Vec<&'a str>>) -> Result<(), Failure> {
    for verb in verbs {
        match verb[..] {
            ["race"] => loop {
                array.update(.., |all| all.iter_mut().for_each(|word| *word += 1))?;
            },
            ["count", times] => {
                for _ in 0..times.parse()? {
                    for index in 0..array.len() {
                        array.fetch_add(index, 1)?;
                    }
                }
                say("counted");
            }
            _ => drop(common(&verb)?),
        }
    }
    Ok(())
}

/// What a forked child may do with its parent's guard: nothing. Without one: everything.
pub(super) fn fork_with_guard() -> Result<(), Failure> {
    let value = Value::anonymous([1_u64; 2])?;
    let array = Array::<u32>::anonymous(3)?;
    let guards = (value.lock()?, array.lock()?);
    let child = fork(|| {
        assert!(matches!(guards.0.set([2; 2]), Err(CellError::NotHeld)));
        assert!(matches!(guards.0.update(|old| old), Err(CellError::NotHeld)));
        assert!(matches!(guards.1.set(0, 2), Err(CellError::NotHeld)));
        assert!(matches!(guards.1.update(.., |all| all.fill(2)), Err(CellError::NotHeld)));
        assert!(matches!(value.try_lock(), Err(LockError::WouldBlock)));
        assert_eq!(value.read().unwrap(), [1; 2]);
        value.write([3; 2]).unwrap();
        array.write_slice(1, &[4, 5]).unwrap();
    });
    child.succeeded();
    assert_eq!((guards.0.get()?, guards.1.snapshot()?, guards.0.depth()), ([3; 2], vec![0, 4, 5], 1));
    Ok(())
}

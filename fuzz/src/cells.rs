//! Every call of values and arrays, on handles that do not trust anybody: what each returns is something that there can be.

use crate::locks::{Call, Victim, deadline, expected, remove};
use bytemuck::Pod;
use ringway::{Array, ArrayGuard, ArrayInherited, CellError, LockError, Value, ValueGuard, ValueInherited};

/// What came of a read or a write.
fn done<R>(result: Result<R, CellError>) -> Option<R> {
    match result {
        Ok(done) => return Some(done),
        Err(CellError::Timeout | CellError::Overtaken | CellError::Corrupt(_)) => {}
        Err(CellError::NoMemory { needed }) => assert!(needed > 1 << 20, "{needed} bytes there are"),
        Err(other) => panic!("{other}"),
    }
    None
}

/// The same for an element `index` of `len`.
fn at<R>(result: Result<R, CellError>, index: usize, len: usize) -> Option<R> {
    match result {
        Err(CellError::OutOfRange { index: said, len: whole }) => {
            assert!(said >= len && whole == len && index >= len, "{index} of {len}");
            None
        }
        other => {
            assert!(index < len, "there is no element {index} of {len}");
            done(other)
        }
    }
}

fn filled<T: Pod>(with: u8) -> T {
    let mut value = T::zeroed();
    bytemuck::bytes_of_mut(&mut value).fill(with);
    value
}

pub enum ValueHeld<'a, T: Pod> {
    Guard(ValueGuard<'a, T>),
    Inherited(ValueInherited<'a, T>),
}

/// What came of an access to a value: to one of up to eight bytes nothing can go wrong.
fn whole<T>(result: Result<T, CellError>) -> Option<T> {
    assert!(result.is_ok() || size_of::<T>() > 8, "{:?}", result.err());
    done(result)
}

impl<T: Pod> Victim for Value<T> {
    type Held<'a> = ValueHeld<'a, T>;

    fn call<'a>(&'a self, held: &mut Vec<Self::Held<'a>>, call: Call) {
        let locked = match call {
            Call::Try(_) => self.try_lock(),
            Call::Wait(_, micros) => self.lock_deadline(deadline(micros)),
            Call::Give(last, word) => {
                if word % 2 == 0 {
                    done(self.write(filled(word)));
                }
                return drop(remove(held, last));
            }
            Call::Clear(how) => {
                match held.pop() {
                    Some(ValueHeld::Inherited(inherited)) => {
                        held.extend(done(inherited.recover(|_| filled(how))).map(ValueHeld::Guard));
                    }
                    Some(guard) if how % 4 == 0 => core::mem::forget(guard),
                    Some(ValueHeld::Guard(guard)) => {
                        done(guard.set(filled(how)));
                        guard.depth(); // whatever the peer wrote there: only that it is a number
                        held.push(ValueHeld::Guard(guard));
                    }
                    None => drop(whole(self.update(|_| filled(how)))),
                }
                return;
            }
            Call::Look | Call::Poll(..) => {
                let value = whole(self.read());
                std::hint::black_box(value.map(|value| bytemuck::bytes_of(&value).to_vec()));
                drop(format!("{self:?}"));
                for each in held {
                    match each {
                        ValueHeld::Guard(guard) => drop(whole(guard.get())),
                        ValueHeld::Inherited(inherited) => drop(whole(inherited.get())),
                    }
                }
                return;
            }
        };
        match locked {
            Ok(guard) => held.push(ValueHeld::Guard(guard)),
            Err(LockError::OwnerDied(inherited)) => held.push(ValueHeld::Inherited(inherited)),
            Err(error) => expected(error.without_guard()),
        }
    }
}

pub enum ArrayHeld<'a> {
    Guard(ArrayGuard<'a, u32>),
    Inherited(ArrayInherited<'a, u32>),
}

impl Victim for Array<u32> {
    type Held<'a> = ArrayHeld<'a>;

    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn call<'a>(&'a self, held: &mut Vec<ArrayHeld<'a>>, call: Call) {
        let len = self.len();
        let locked = match call {
            Call::Try(_) => self.try_lock(),
            Call::Wait(_, micros) => self.lock_deadline(deadline(micros)),
            Call::Give(last, word) => {
                let index = usize::from(word) % (len + 2);
                match word % 3 {
                    0 => drop(at(self.set(index, word.into()), index, len)),
                    1 => drop(at(self.fetch_add(index, word.into()), index, len)),
                    _ => drop(at(self.compare_exchange(index, 0, word.into()), index, len)),
                }
                return drop(remove(held, last));
            }
            Call::Clear(how) => {
                match held.pop() {
                    Some(ArrayHeld::Inherited(inherited)) => {
                        let repaired =
                            inherited.recover(|guard| guard.update(.., |all| all.fill(how.into())));
                        held.extend(done(repaired).map(ArrayHeld::Guard));
                    }
                    Some(guard) if how % 4 == 0 => core::mem::forget(guard),
                    Some(ArrayHeld::Guard(guard)) => {
                        done(guard.update(.., |all| all.reverse()));
                        guard.depth(); // whatever the peer wrote there: only that it is a number
                        held.push(ArrayHeld::Guard(guard));
                    }
                    None => drop(done(self.update(len / 2.., |rest| rest.fill(how.into())))),
                }
                return;
            }
            Call::Look | Call::Poll(..) => {
                if let Some(all) = done(self.snapshot()) {
                    assert_eq!(std::hint::black_box(all).len(), len);
                }
                let index = len / 2;
                at(self.get(index), index, len);
                at(self.load(len), len, len);
                return drop(format!("{self:?}"));
            }
        };
        match locked {
            Ok(guard) => held.push(ArrayHeld::Guard(guard)),
            Err(LockError::OwnerDied(inherited)) => held.push(ArrayHeld::Inherited(inherited)),
            Err(error) => expected(error.without_guard()),
        }
    }
}

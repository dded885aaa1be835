use crate::inspect::{self, Detail, Lock};
use crate::{CellError, Error, LockError, Value, Wait};
use bytemuck::Pod;
use std::os::fd::AsFd;

fn other_handle<T: Pod>(value: &Value<T>) -> Value<T> {
    Value::from_fd(value.as_fd().try_clone_to_owned().unwrap()).unwrap()
}

pub(super) fn look(cell: &impl AsFd) -> inspect::Cell {
    match inspect::stat_fd(cell.as_fd()).unwrap().detail {
        Detail::Cell(cell) => *cell,
        other => panic!("no cell: {other:?}"),
    }
}

/// Every type, every operation, through two handles, against the same on a plain number.
macro_rules! integers {
    ($($int:ident)*) => {$(
        #[test]
        fn $int() {
            let value = Value::anonymous(5 as $int).unwrap();
            let other = other_handle(&value);
            assert_eq!((value.load(), other.read().unwrap()), (5, 5));
            other.store($int::MAX - 1);
            assert_eq!(value.fetch_add(3), $int::MAX - 1);
            assert_eq!(other.swap(12), ($int::MAX - 1).wrapping_add(3));
            assert_eq!(value.fetch_sub(2), 12);
            assert_eq!(value.compare_exchange(11, 1), Err(10));
            assert_eq!(other.compare_exchange(10, 0b1100), Ok(10));
            assert_eq!(value.fetch_and(0b0110), 0b1100);
            assert_eq!(other.fetch_or(0b0011), 0b0100);
            assert_eq!(value.fetch_xor(0b0101), 0b0111);
            assert_eq!(value.fetch_max(1), 0b0010);
            assert_eq!(value.fetch_max(9), 2);
            assert_eq!(value.fetch_min(10), 9);
            assert_eq!(value.fetch_min($int::MIN), 9);
            assert_eq!(other.load(), $int::MIN);
            assert_eq!(other.update(|old| old.wrapping_sub(1)).unwrap(), $int::MAX);
            other.write(7).unwrap();
            assert_eq!(value.load(), 7);
        }
    )*};
}
integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

#[test]
fn floating_point_numbers() {
    let value = Value::anonymous(0.5_f64).unwrap();
    assert_eq!((value.fetch_add(0.25), value.fetch_sub(1.0), value.load()), (0.5, 0.75, -0.25));
    assert_eq!(value.compare_exchange(-0.25, f64::NAN), Ok(-0.25));
    assert!(value.compare_exchange(0.0, 1.0).unwrap_err().is_nan());
    assert!(value.compare_exchange(f64::NAN, 0.0).is_ok(), "by their bits");
    assert_eq!(value.compare_exchange(-0.0, 1.0), Err(0.0));
    let single = Value::anonymous(1.5_f32).unwrap();
    assert_eq!((single.swap(2.5), single.fetch_add(1.0), single.load()), (1.5, 2.5, 3.5));
}

fn is_whole_in_every_size<const N: usize>()
where
    [u8; N]: Pod,
{
    let value = Value::anonymous([7_u8; N]).unwrap();
    let handles = [value.clone(), other_handle(&value), value.with_wait(Wait::Park)];
    assert_eq!(value.read().unwrap(), [7; N]);
    assert!(value.as_ptr().addr().is_multiple_of(8));
    for (index, writer) in handles.iter().enumerate() {
        writer.write([index as u8; N]).unwrap();
        assert_eq!(writer.update(|old| old.map(|byte| byte + 10)).unwrap(), [index as u8 + 10; N]);
        for reader in &handles {
            assert_eq!(reader.read().unwrap(), [index as u8 + 10; N]);
        }
    }
}

#[test]
fn values_of_any_size() {
    is_whole_in_every_size::<0>();
    is_whole_in_every_size::<1>();
    is_whole_in_every_size::<2>();
    is_whole_in_every_size::<3>();
    is_whole_in_every_size::<4>();
    is_whole_in_every_size::<5>();
    is_whole_in_every_size::<7>();
    is_whole_in_every_size::<8>();
    is_whole_in_every_size::<9>();
    is_whole_in_every_size::<16>();
    is_whole_in_every_size::<31>();
    is_whole_in_every_size::<4096>();
}

/// Readers and writers at once: no value is ever half of one and half of another, and none goes back.
fn race<const N: usize>(rounds: u64)
where
    [u64; N]: Pod,
{
    let value = Value::anonymous([0_u64; N]).unwrap();
    let other = other_handle(&value);
    std::thread::scope(|scope| {
        let writers = [&value, &other].map(|writer| {
            scope.spawn(move || {
                for _ in 0..rounds {
                    writer.update(|old| old.map(|word| word + 1)).unwrap();
                }
            })
        });
        let mut last = 0;
        while !writers.iter().all(|writer| writer.is_finished()) {
            for reader in [&value, &other] {
                let words = reader.read().unwrap();
                assert!(words.iter().all(|&word| word == words[0]), "{words:?}");
                assert!(words[0] >= last, "{} after {last}", words[0]);
                last = words[0];
            }
        }
    });
    assert_eq!(value.read().unwrap(), [2 * rounds; N], "no update is lost");
}

#[test]
fn small_values_race() {
    race::<1>(20_000);
}

#[test]
fn large_values_race() {
    race::<4>(20_000);
    race::<512>(2_000);
}

#[test]
fn its_thread_has_the_lock_several_times() {
    for _ in 0..2 {
        let value = Value::anonymous([1_u64; 3]).unwrap();
        let other = other_handle(&value);
        let outer = value.lock().unwrap();
        let inner = other.try_lock().unwrap();
        inner.set([2; 3]).unwrap();
        assert_eq!(outer.update(|[a, b, c]| [a, b + 1, c]).unwrap(), [2, 3, 2]);
        assert_eq!((outer.depth(), look(&value).lock.depth), (2, 2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(value.try_lock(), Err(LockError::WouldBlock)));
                // Nobody is asked for it who only reads or writes.
                assert_eq!(value.read().unwrap(), [2, 3, 2]);
                value.write([4; 3]).unwrap();
            });
        });
        assert_eq!(inner.get().unwrap(), [4; 3]);
        drop((outer, inner));
        assert_eq!(look(&value).lock.state, Lock::Free);
    }
}

#[test]
fn the_heir_of_its_lock_is_told() {
    let value = Value::anonymous(1_u64).unwrap();
    let leave_behind = || {
        let value = value.clone();
        let died = std::thread::spawn(move || {
            let guard = value.lock().unwrap();
            guard.set(2).unwrap();
            panic!("on purpose");
        });
        assert!(died.join().is_err());
    };
    leave_behind();
    assert_eq!(value.load(), 2, "whoever does not ask for the lock goes on");
    let Err(LockError::OwnerDied(inherited)) = value.lock() else { panic!("granted as if all were well") };
    assert_eq!(inherited.get().unwrap(), 2);
    assert_eq!(inherited.recover(|value| value * 10).unwrap().get().unwrap(), 20);
    assert!(value.lock().is_ok() && look(&value).lock.deaths == 1);
    leave_behind();
    fn fails(value: &Value<u64>) -> Result<u64, Box<dyn std::error::Error>> {
        Ok(value.lock()?.get()?)
    }
    assert!(fails(&value).is_err());
    assert!(matches!(value.lock().unwrap_err(), LockError::NotRecoverable));
    assert_eq!(value.fetch_add(1), 2);
}

#[test]
fn it_cannot_be_opened_as_something_else() {
    let name = format!("/dev/shm/ringway-value-type-{}", std::process::id());
    let value = Value::create(&name, 1_u64).unwrap();
    assert!(matches!(Value::<u32>::open(&name), Err(Error::WrongElement { .. })));
    assert!(matches!(Value::<[u64; 2]>::open(&name), Err(Error::WrongElement { .. })));
    assert!(matches!(crate::Array::<u64>::open(&name), Err(Error::WrongKind { .. })));
    assert!(matches!(Value::<u64>::options().capacity(2).open(&name), Err(Error::BadCapacity { .. })));
    assert_eq!(Value::<u64>::open_or_create(&name, 9).unwrap().load(), 1);
    value.unlink().unwrap();
}

#[test]
fn onlookers_see_writes() {
    let small = Value::anonymous(0_u64).unwrap();
    assert!(look(&small).journal.is_none());
    let large = Value::anonymous([0_u64; 2]).unwrap();
    large.write([1; 2]).unwrap();
    large.update(|_| [2; 2]).unwrap();
    let seen = look(&large).journal.unwrap();
    assert_eq!((seen.writes, seen.open, seen.writer), (2, false, Lock::Free));
}

/// Where the books of a value that is not small lie: the lock, the sequence, and the stretch.
const GATE: u64 = 56;
pub(super) const SEQ: u64 = GATE + 32;
pub(super) const AT: u64 = SEQ + 8;
pub(super) const LEN: u64 = AT + 8;

/// A write that exists, but was not applied: what is where belongs to the log's part of the value.
#[test]
fn an_unfinished_write_is_seen_and_finished() {
    let value = Value::anonymous([1_u64; 4]).unwrap();
    value.write([2; 4]).unwrap();
    value.write([3; 4]).unwrap();
    // As if the writer of [3; 4] had died between its commit and the middle of the copy.
    super::scribble(&value, SEQ, 3);
    super::scribble(&value, 112 + 16, 2);
    super::scribble(&value, 112 + 24, 2);
    assert!(look(&value).journal.unwrap().open);
    assert_eq!(value.read().unwrap(), [3; 4]);
    assert!(look(&value).journal.unwrap().open, "readers leave it");
    assert_eq!(value.update(|old| old.map(|word| word + 1)).unwrap(), [4; 4]);
    let seen = look(&value).journal.unwrap();
    assert_eq!((seen.writes, seen.open), (3, false));
    assert_eq!(value.read().unwrap(), [4; 4]);
}

#[test]
fn nonsense_ends_in_an_error() {
    for (at, len) in [(0, 40), (33, 0), (u64::MAX, 8), (8, u64::MAX), (32, 1)] {
        let value = Value::anonymous([1_u64; 4]).unwrap();
        super::scribble(&value, SEQ, 7);
        super::scribble(&value, AT, at);
        super::scribble(&value, LEN, len);
        assert!(matches!(value.read(), Err(CellError::Corrupt(_))), "{at} {len}");
        assert!(matches!(value.write([2; 4]), Err(CellError::Corrupt(_))));
        assert!(matches!(value.update(|old| old), Err(CellError::Corrupt(_))));
        assert!(matches!(value.lock().unwrap().get(), Err(CellError::Corrupt(_))));
        super::scribble(&value, SEQ, 8);
        value.write([2; 4]).unwrap();
        assert_eq!(value.read().unwrap(), [2; 4]);
    }
    let value = Value::anonymous([1_u64; 4]).unwrap();
    super::scribble(&value, GATE, 5 << 16 | 9);
    assert_eq!(value.read().unwrap(), [1; 4], "readers do not ask for the lock");
    assert!(matches!(value.write([2; 4]), Err(CellError::Corrupt(_))));
    // An owner that cannot be is a dead one.
    super::scribble(&value, GATE, 1 << 16 | 60_000);
    value.write([2; 4]).unwrap();
    assert_eq!(value.read().unwrap(), [2; 4]);
}

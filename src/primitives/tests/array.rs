use super::value::{AT, LEN, SEQ, look};
use crate::{Array, CellError, Error, LockError, Wait};
use bytemuck::Pod;
use std::os::fd::AsFd;

fn other_handle<T: Pod>(array: &Array<T>) -> Array<T> {
    Array::from_fd(array.as_fd().try_clone_to_owned().unwrap()).unwrap()
}

#[test]
fn a_new_one_holds_what_it_was_given() {
    let array = Array::<u16>::anonymous(5).unwrap();
    assert_eq!((array.len(), array.snapshot().unwrap()), (5, vec![0; 5]));
    let array = Array::options().values(&[1.5_f64, 2.5, 3.5]).anonymous().unwrap();
    let other = other_handle(&array);
    assert_eq!((other.len(), other.snapshot().unwrap()), (3, vec![1.5, 2.5, 3.5]));
    assert_eq!((other.get(1).unwrap(), array.load(2).unwrap()), (2.5, 3.5));
}

#[test]
fn slices_of_every_element_size() {
    fn check<const N: usize>()
    where
        [u8; N]: Pod,
    {
        let array = Array::<[u8; N]>::anonymous(40).unwrap();
        let other = other_handle(&array);
        let mut expected = [[0; N]; 40];
        for start in 0..=40 {
            for count in [0, 1, 2, 7, 40 - start] {
                let Some(part) = expected.get_mut(start..start + count) else {
                    let error = array.write_slice(start, &vec![[0; N]; count]).unwrap_err();
                    assert!(
                        matches!(error, CellError::OutOfRange { index, len: 40 } if index == start.max(40))
                    );
                    continue;
                };
                for (index, element) in part.iter_mut().enumerate() {
                    *element = [(start * 7 + index + count) as u8; N];
                }
                array.write_slice(start, part).unwrap();
                let mut read = vec![[0; N]; count];
                other.read_slice(start, &mut read).unwrap();
                assert_eq!(read, part);
                assert_eq!(other.snapshot().unwrap(), expected);
            }
        }
    }
    check::<1>();
    check::<2>();
    check::<3>();
    check::<4>();
    check::<8>();
    check::<11>();
    check::<96>();
}

#[test]
fn lone_operations() {
    let array = Array::<i32>::options().values(&[5; 4]).anonymous().unwrap();
    let other = other_handle(&array);
    array.store(1, -1).unwrap();
    assert_eq!((other.load(1).unwrap(), other.load(0).unwrap()), (-1, 5));
    assert_eq!((other.swap(1, 8).unwrap(), array.fetch_add(1, 2).unwrap()), (-1, 8));
    assert_eq!((other.fetch_sub(1, 4).unwrap(), array.fetch_and(1, 3).unwrap()), (10, 6));
    assert_eq!((other.fetch_or(1, 5).unwrap(), array.fetch_xor(1, 1).unwrap()), (2, 7));
    assert_eq!((other.fetch_max(1, 9).unwrap(), array.fetch_min(1, -9).unwrap()), (6, 9));
    assert_eq!(array.compare_exchange(1, 0, 1).unwrap(), Err(-9));
    assert_eq!(array.compare_exchange(1, -9, 1).unwrap(), Ok(-9));
    assert_eq!(array.snapshot().unwrap(), [5, 1, 5, 5]);
    for index in [4, 5, usize::MAX] {
        let out = |error| matches!(error, CellError::OutOfRange { index: at, len: 4 } if at == index);
        assert!(out(array.load(index).unwrap_err()) && out(array.store(index, 1).unwrap_err()));
        assert!(out(array.fetch_add(index, 1).unwrap_err()) && out(array.swap(index, 1).unwrap_err()));
        assert!(out(array.compare_exchange(index, 1, 1).unwrap_err()));
        assert!(out(array.get(index).unwrap_err()) && out(array.set(index, 1).unwrap_err()));
    }
}

#[test]
fn updates_of_any_range() {
    let array = Array::options().values(&[3_u64, 1, 2]).anonymous().unwrap();
    array.update(.., |all| all.sort_unstable()).unwrap();
    array.update(1..=1, |one| one[0] *= 10).unwrap();
    array.update(..0, |none| assert!(none.is_empty())).unwrap();
    array.update(3.., |none| assert!(none.is_empty())).unwrap();
    #[allow(clippy::reversed_empty_ranges)]
    array.update(2..1, |none| assert!(none.is_empty())).unwrap();
    assert_eq!(array.snapshot().unwrap(), [1, 20, 3]);
    let never = |_: &mut [u64]| unreachable!("not there");
    assert!(matches!(array.update(4.., never), Err(CellError::OutOfRange { index: 4, len: 3 })));
    assert!(matches!(array.update(..4, never), Err(CellError::OutOfRange { index: 3, len: 3 })));
    assert!(matches!(array.update(..=usize::MAX, never), Err(CellError::OutOfRange { .. })));
    let guard = array.lock().unwrap();
    assert!(matches!(guard.update(..9, |_| ()), Err(CellError::OutOfRange { .. })));
    assert_eq!(guard.update(1.., |rest| rest.iter_mut().map(|word| *word = 0).count()).unwrap(), 2);
    assert_eq!(guard.iter().unwrap().collect::<Vec<_>>(), [1, 0, 0]);
}

#[test]
fn numbers_that_cannot_be() {
    let refused = |len| match Array::<u64>::anonymous(len) {
        Err(Error::BadCapacity { asked, min: 1, .. }) => asked == len as u64,
        other => panic!("{other:?}"),
    };
    assert!(refused(0) && refused(usize::MAX) && refused(usize::MAX / 16) && refused(1 << 45));
    assert!(matches!(Array::<()>::anonymous(3), Err(Error::BadElement { .. })));
    assert!(matches!(Array::<u8>::options().anonymous(), Err(Error::BadCapacity { asked: 0, .. })));
    let name = format!("/dev/shm/ringway-array-large-{}", std::process::id());
    assert!(matches!(Array::<u64>::create(&name, 1 << 41), Err(Error::NoSpace { .. })));
    assert!(matches!(Array::<u64>::open(&name), Err(Error::NotFound { .. })), "and nothing is left");
}

#[test]
fn it_cannot_be_opened_as_something_else() {
    let name = format!("/dev/shm/ringway-array-type-{}", std::process::id());
    let array = Array::<u64>::create(&name, 3).unwrap();
    assert!(matches!(Array::<u32>::open(&name), Err(Error::WrongElement { .. })));
    assert!(matches!(crate::Value::<u64>::open(&name), Err(Error::WrongKind { .. })));
    assert!(matches!(
        Array::<u64>::open_or_create(&name, 4),
        Err(Error::WrongCapacity { found: 3, expected: 4 })
    ));
    assert_eq!(Array::<u64>::open(&name).unwrap().len(), 3);
    array.unlink().unwrap();
}

/// Every snapshot has the elements of one moment, whoever writes how.
#[test]
fn snapshots_against_writers() {
    let array = Array::<u64>::anonymous(64).unwrap();
    let (other, parking) = (other_handle(&array), array.with_wait(Wait::Park));
    std::thread::scope(|scope| {
        let writers = [
            scope.spawn(|| {
                for _ in 0..3000 {
                    array
                        .update(.., |all| all.iter_mut().for_each(|word| *word = word.wrapping_add(1)))
                        .unwrap();
                }
            }),
            // Whatever they move from one element to another: the sum stays a multiple of 64.
            scope.spawn(|| {
                for round in 0..3000 {
                    let (left, right) = (round % 64, (round * 5 + 1) % 63);
                    let both = left.min(right)..=left.max(right);
                    let shift = |part: &mut [u64]| {
                        part[0] = part[0].wrapping_sub(1);
                        let last = part.len() - 1;
                        part[last] = part[last].wrapping_add(1);
                    };
                    if round % 2 == 0 {
                        other.update(both, shift).unwrap();
                    } else {
                        parking.update(both, shift).unwrap();
                    }
                }
            }),
        ];
        let mut last = 0;
        while !writers.iter().all(|writer| writer.is_finished()) {
            let sum = other.snapshot().unwrap().iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
            assert!(sum.is_multiple_of(64) && sum >= last, "{sum} after {last}");
            last = sum;
        }
    });
    let sum = array.snapshot().unwrap().iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
    assert_eq!(sum, 3000 * 64);
}

#[test]
fn lone_operations_beside_writes_to_other_elements() {
    let array = Array::<u16>::anonymous(9).unwrap();
    let other = other_handle(&array);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                array.fetch_add(4, 1).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..20_000 {
                other.fetch_sub(4, 2).unwrap();
            }
        });
        for round in 0..5000 {
            other.write_slice(0, &[round; 4]).unwrap();
            array.write_slice(5, &[round; 4]).unwrap();
        }
    });
    assert_eq!(array.load(4).unwrap(), 0_u16.wrapping_sub(20_000));
    assert_eq!(array.snapshot().unwrap()[5..], [4999; 4]);
}

/// A write that exists, but was not applied: lone operations do that first, so that it does not overwrite them later.
#[test]
fn an_unfinished_write_is_finished_before_lone_operations() {
    let array = Array::options().values(&[0_u64; 4]).anonymous().unwrap();
    let table = array.site().segment().geometry().data_at as u64;
    let leave_unfinished = |seq| {
        array.write_slice(1, &[7, 7]).unwrap();
        super::scribble(&array, SEQ, seq);
        super::scribble_at(&array, table + 16, 1);
        assert_eq!(array.snapshot().unwrap(), [0, 7, 7, 0]);
    };
    leave_unfinished(1);
    assert_eq!(array.fetch_add(2, 1).unwrap(), 7);
    assert_eq!((array.snapshot().unwrap(), look(&array).journal.unwrap().open), (vec![0, 7, 8, 0], false));
    leave_unfinished(9);
    assert_eq!(array.load(2).unwrap(), 7);
    // As if a living writer were between the two copies: nothing is put right, and nothing waits.
    leave_unfinished(11);
    let me = array.site().member().unwrap().index();
    super::scribble(&array, 56, 1 << 16 | u64::from(me));
    assert_eq!((array.load(2).unwrap(), array.get(2).unwrap()), (7, 7));
    array.store(0, 5).unwrap();
    assert_eq!(array.snapshot().unwrap(), [5, 7, 7, 0]);
    assert!(look(&array).journal.unwrap().open);
}

#[test]
fn nonsense_ends_in_an_error() {
    for (at, len) in [(0, 33), (40, 0), (u64::MAX, 8), (8, u64::MAX)] {
        let array = Array::<u64>::anonymous(4).unwrap();
        super::scribble(&array, SEQ, 7);
        super::scribble(&array, AT, at);
        super::scribble(&array, LEN, len);
        assert!(matches!(array.snapshot(), Err(CellError::Corrupt(_))), "{at} {len}");
        assert!(matches!(array.load(0), Err(CellError::Corrupt(_))));
        assert!(matches!(array.set(0, 1), Err(CellError::Corrupt(_))));
        assert_eq!(array.fetch_add(0, 1).unwrap(), 0, "it depends on nobody's books");
    }
    // A stretch that is there, but cuts elements apart.
    let array = Array::<u64>::anonymous(4).unwrap();
    super::scribble(&array, SEQ, 7);
    super::scribble(&array, AT, 3);
    super::scribble(&array, LEN, 18);
    array.snapshot().unwrap();
    array.set(0, 1).unwrap();
    assert_eq!(array.get(0).unwrap(), 1);
}

/// A header that promises more elements than there is room for.
#[test]
fn a_lie_about_the_length_is_seen_through() {
    let array = Array::<u64>::anonymous(200).unwrap();
    let geometry = array.site().segment().geometry();
    assert_eq!(geometry.data_len, 4096);
    for (capacity, is_fit) in [(256, true), (257, false), (0, false), (1 << 62, false), (u64::MAX, false)] {
        let header = crate::segment::layout::Header::lay_out(
            &crate::segment::layout::Plan {
                kind: crate::Kind::Array,
                element: (8, 8),
                capacity,
                variant: 0,
                body_len: geometry.body_len as u64,
                data_len: 4096,
                areas: 1,
                tail_len: 0,
                params: [0; 4],
            },
            geometry.participants,
            geometry.flags,
            geometry.boot,
        );
        let file = std::fs::File::from(array.as_fd().try_clone_to_owned().unwrap());
        std::os::unix::fs::FileExt::write_all_at(&file, bytemuck::bytes_of(&header.unwrap()), 0).unwrap();
        let other = Array::<u64>::from_fd(array.as_fd().try_clone_to_owned().unwrap());
        match other {
            Ok(other) => assert!(is_fit && other.snapshot().unwrap().len() == 256),
            Err(error) => assert!(!is_fit && matches!(error, Error::BadGeometry { field: "capacity", .. })),
        }
    }
}

#[test]
fn the_heir_of_its_lock_is_told() {
    let array = Array::<u64>::anonymous(3).unwrap();
    let handle = array.clone();
    let died = std::thread::spawn(move || {
        let guard = handle.lock().unwrap();
        guard.set(0, 1).unwrap();
        guard.update(1.., |_| panic!("on purpose")).unwrap();
    });
    assert!(died.join().is_err());
    assert_eq!(array.snapshot().unwrap(), [1, 0, 0]);
    let Err(LockError::OwnerDied(inherited)) = array.try_lock() else {
        panic!("granted as if all were well")
    };
    assert_eq!(inherited.get(0).unwrap(), 1);
    let guard = inherited.recover(|array| array.write_slice(0, &[2; 3])).unwrap();
    assert_eq!((guard.snapshot().unwrap(), guard.depth()), (vec![2; 3], 1));
    drop(guard);
    assert!(array.lock().is_ok());
}

use crate::{Arena, CellError, Error, Kind, Memory};
use std::os::fd::AsFd;

fn again(memory: &Memory) -> Memory {
    Memory::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap()
}

#[test]
fn what_one_writes_the_others_read() {
    let here = Memory::anonymous(100_001).unwrap();
    let there = again(&here);
    assert_eq!((here.len(), there.len()), (100_001, 100_001));
    let mut all = vec![1; 100_001];
    there.load_slice(0, &mut all).unwrap();
    assert!(all.iter().all(|&byte| byte == 0), "zeros at first");
    for (at, len) in [(0, 1), (3, 9), (64, 64), (99_990, 11), (100_000, 1), (100_001, 0), (5, 70_000)] {
        let bytes: Vec<u8> = (0..len).map(|byte: usize| (byte * 7 + at) as u8 | 1).collect();
        here.store_slice(at, &bytes).unwrap();
        let mut read = vec![0; len];
        there.load_slice(at, &mut read).unwrap();
        assert_eq!(read, bytes);
    }
    for (at, len) in [(100_001, 1), (100_000, 2), (usize::MAX, 1), (usize::MAX, usize::MAX >> 40)] {
        let mut bytes = vec![0; len];
        let out = |done| matches!(done, Err(CellError::OutOfRange { len: 100_001, .. }));
        assert!(out(here.load_slice(at, &mut bytes)) && out(here.store_slice(at, &bytes)));
    }
}

#[test]
fn its_address_is_of_the_same_bytes() {
    let here = Memory::anonymous(4096).unwrap();
    let there = again(&here);
    assert_ne!(here.as_ptr(), there.as_ptr());
    for memory in [&here, &there] {
        assert!(memory.as_ptr().addr().get().is_multiple_of(64));
    }
    // SAFETY: there are bytes, and nobody else accesses them now.
    unsafe { here.as_ptr().write_volatile(42) };
    // SAFETY: as above.
    assert_eq!(unsafe { there.as_ptr().read_volatile() }, 42);
}

#[test]
fn in_an_arena_it_may_be_as_large_as_a_block() {
    let arena = Arena::anonymous(1 << 20).unwrap();
    let make = |len| Memory::options().capacity(len).create_in(&arena);
    for len in [1, 63, 64, 65, 1000, 65_472] {
        let memory = make(len).unwrap();
        assert!(memory.as_ptr().addr().get().is_multiple_of(64));
        let bytes = vec![0xa5; len];
        memory.store_slice(0, &bytes).unwrap();
        let place = memory.place().unwrap();
        let again = Memory::options().open_in(&arena, place).unwrap();
        let mut read = vec![0; len];
        again.load_slice(0, &mut read).unwrap();
        assert_eq!((again.len(), read), (len, bytes));
        let wrong = Memory::options().capacity(len + 1).open_in(&arena, place);
        assert!(matches!(wrong, Err(Error::WrongCapacity { .. })), "{wrong:?}");
        drop((memory, again));
        // The same block again, and its bytes are zeros.
        let mut read = vec![1; len];
        make(len).unwrap().load_slice(0, &mut read).unwrap();
        assert!(read.iter().all(|&byte| byte == 0));
    }
    let large = make(65_473);
    assert!(matches!(large, Err(Error::BadOption { asked: 65_473, max: 65_472, .. })), "{large:?}");
    assert!(make(5 << 32).is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(matches!(Memory::anonymous(0), Err(Error::BadCapacity { asked: 0, .. })));
    assert!(matches!(Memory::options().anonymous(), Err(Error::BadCapacity { .. })));
    assert!(Memory::anonymous(usize::MAX).is_err());
    assert!(Memory::anonymous(isize::MAX as usize).is_err());
    let array = crate::Array::<u8>::anonymous(64).unwrap();
    let other = Memory::from_fd(array.as_fd().try_clone_to_owned().unwrap());
    assert!(
        matches!(other, Err(Error::WrongKind { found: Kind::Array, expected: Kind::Memory })),
        "{other:?}"
    );
}

#[test]
fn it_has_a_name_and_is_seen_by_it() {
    let name = format!("memory-{}", std::process::id());
    let memory = Memory::create(&name, 10).unwrap();
    let seen = crate::inspect::stat(&name).unwrap();
    assert_eq!((seen.kind, seen.capacity), (Kind::Memory, 10));
    assert!(matches!(Memory::options().capacity(11).open(&name), Err(Error::WrongCapacity { .. })));
    assert_eq!(Memory::open(&name).unwrap().len(), 10);
    memory.unlink().unwrap();
    assert!(memory.is_retired());
}

//! Arenas in one process, which never forks: what it drops is gone at once.

use ringway::{
    Arena, Barrier, Condvar, Error, Event, LockError, Mutex, OwnedSemaphore, Place, ReentrantMutex, Semaphore,
};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

fn arena() -> Arena {
    Arena::anonymous(1 << 24).unwrap()
}

/// The same arena through a descriptor, as another process would have it.
fn again(arena: &Arena) -> Arena {
    let fd = arena.as_fd().try_clone_to_owned().unwrap();
    Arena::options().trusted(true).from_fd(fd).unwrap()
}

fn lock(arena: &Arena, value: u64) -> (Mutex<u64>, Place) {
    let lock = Mutex::options().value(value).create_in(arena).unwrap();
    let place = lock.place().unwrap();
    (lock, place)
}

fn at(text: &str) -> Place {
    text.parse().unwrap()
}

fn open(arena: &Arena, place: Place) -> Result<Mutex<u64>, Error> {
    Mutex::<u64>::options().open_in(arena, place)
}

#[test]
fn ten_thousand_objects_are_as_good_as_one_each() {
    let arena = arena();
    let objects: Vec<_> = (0..10_000_u64)
        .map(|number| match number % 4 {
            0 => Object::Lock(Mutex::options().value(number).create_in(&arena).unwrap()),
            1 => Object::Event(Event::options().create_in(&arena).unwrap()),
            2 => Object::Semaphore(Semaphore::options().permits(1).create_in(&arena).unwrap()),
            _ => Object::Recursive(ReentrantMutex::options().value(number).create_in(&arena).unwrap()),
        })
        .collect();
    assert_eq!(arena.len(), 10_000);
    assert!(arena.reserved() < 2_000_000, "{} bytes for ten thousand objects", arena.reserved());
    for (number, object) in (0..).zip(&objects) {
        match object {
            Object::Lock(lock) => *lock.lock().unwrap() += 1,
            Object::Event(event) => event.set(),
            Object::Semaphore(semaphore) => semaphore.acquire().unwrap(),
            Object::Recursive(lock) => assert_eq!(lock.lock().unwrap().update(|value| value + 1), number + 1),
        }
    }
    for (number, object) in (0..).zip(&objects) {
        match object {
            Object::Lock(lock) => assert_eq!(*lock.lock().unwrap(), number + 1),
            Object::Event(event) => assert!(event.is_set()),
            Object::Semaphore(semaphore) => assert_eq!(semaphore.available(), 0),
            Object::Recursive(lock) => assert_eq!(lock.lock().unwrap().get(), number + 1),
        }
    }
    drop(objects);
    assert!(arena.is_empty());
    let reserved = arena.reserved();
    let more: Vec<_> = (0..2500).map(|number| lock(&arena, number)).collect();
    assert_eq!((arena.len(), arena.reserved()), (2500, reserved), "the same memory again");
    drop(more);
}

enum Object {
    Lock(Mutex<u64>),
    Event(Event),
    Semaphore(Semaphore),
    Recursive(ReentrantMutex<u64>),
}

#[test]
fn everything_that_is_waited_for_works_in_an_arena() {
    let arena = arena();
    let (level, _) = lock(&arena, 0);
    let changed = Condvar::options().create_in(&arena).unwrap();
    let meeting = Barrier::options().parties(2).create_in(&arena).unwrap();
    let licences = OwnedSemaphore::options().permits(3).create_in(&arena).unwrap();
    let (place, change, meet) = (level.place().unwrap(), changed.place().unwrap(), meeting.place().unwrap());
    let other = again(&arena);
    let peer = std::thread::spawn(move || {
        let level = open(&other, place).unwrap();
        let changed = Condvar::options().open_in(&other, change).unwrap();
        let meeting = Barrier::options().open_in(&other, meet).unwrap();
        drop(changed.wait_while(level.lock().unwrap(), |level| *level < 7).unwrap());
        meeting.wait().unwrap().index()
    });
    let held: Vec<_> = (0..3).map(|_| licences.acquire().unwrap()).collect();
    assert!(licences.try_acquire().is_err());
    drop(held);
    *level.lock().unwrap() = 7;
    changed.notify_all();
    let mine = meeting.wait().unwrap().index();
    assert_eq!(mine + peer.join().unwrap(), 1);
}

#[test]
fn an_object_is_there_as_long_as_anybody_has_it() {
    let arena = arena();
    let other = again(&arena);
    let (first, place) = lock(&arena, 5);
    let second = open(&other, place).unwrap();
    let third = second.clone();
    assert_eq!(second.place(), Some(place));
    drop(first);
    assert_eq!(*second.lock().unwrap(), 5);
    drop(second);
    assert_eq!(*third.lock().unwrap(), 5);
    assert_eq!(arena.len(), 1);
    drop(third);
    assert!(arena.is_empty());
    assert!(matches!(open(&arena, place), Err(Error::Gone)));
    // Its block becomes another's, and its place does not mean that one.
    let others: Vec<_> = (0..1024).map(|number| lock(&arena, number)).collect();
    assert!(others.iter().any(|(_, other)| block(other) == block(&place)));
    assert!(matches!(open(&arena, place), Err(Error::Gone)));
}

fn block(place: &Place) -> String {
    place.to_string().split(':').next().unwrap().to_owned()
}

#[test]
fn handles_outlive_the_arenas() {
    let (lock, _) = lock(&arena(), 1);
    *lock.lock().unwrap() += 1;
    assert_eq!(*lock.lock().unwrap(), 2);
}

#[test]
fn a_leaked_guard_keeps_its_lock_until_its_handle_is_dropped() {
    let arena = arena();
    let (first, place) = lock(&arena, 1);
    let second = open(&arena, place).unwrap();
    core::mem::forget(first.lock().unwrap());
    assert!(matches!(
        second.lock_timeout(Duration::ZERO),
        Err(LockError::Timeout | LockError::WouldDeadlock)
    ));
    drop(first);
    assert!(matches!(second.lock(), Err(LockError::OwnerDied(_))));
}

#[test]
fn only_what_it_is_can_be_opened() {
    let arena = arena();
    let (_lock, place) = lock(&arena, 1);
    let mismatch = Event::options().open_in(&arena, place);
    assert!(matches!(mismatch, Err(Error::WrongKind { .. })), "{mismatch:?}");
    let mismatch = Mutex::<u32>::options().open_in(&arena, place);
    assert!(matches!(mismatch, Err(Error::WrongElement { .. })), "{mismatch:?}");
    let meeting = Barrier::options().parties(3).create_in(&arena).unwrap();
    let mismatch = Barrier::options().parties(2).open_in(&arena, meeting.place().unwrap());
    assert!(matches!(mismatch, Err(Error::WrongCapacity { found: 3, expected: 2 })), "{mismatch:?}");
    assert_eq!(Barrier::options().open_in(&arena, meeting.place().unwrap()).unwrap().parties(), 3);
    for nowhere in ["0:0", "1099511627776:1", "511:9", "4294967295:1", "18446744073709551615:0"] {
        assert!(matches!(open(&arena, at(nowhere)), Err(Error::Gone)));
    }
    assert_eq!(arena.len(), 2, "nothing of that is left");
}

#[test]
fn a_full_arena_says_so_and_recovers() {
    let arena = Arena::anonymous(1).unwrap();
    let mut locks: Vec<_> = core::iter::from_fn(|| {
        let lock = Mutex::options().value(1_u64).create_in(&arena);
        assert!(lock.is_ok() || matches!(lock, Err(Error::ArenaFull { capacity: 65_536 })));
        lock.ok()
    })
    .collect();
    assert_eq!(locks.len(), 512);
    assert!(matches!(Barrier::options().parties(100).create_in(&arena), Err(Error::ArenaFull { .. })));
    locks.swap_remove(77);
    locks.push(Mutex::options().value(1_u64).create_in(&arena).unwrap());
    let large = Mutex::<[[u64; 128]; 128]>::options().create_in(&arena);
    assert!(matches!(large, Err(Error::BadOption { asked: 131_128, .. })), "{large:?}");
}

#[test]
fn objects_of_any_size_have_room() {
    let arena = arena();
    macro_rules! of {
        ($($size:literal)*) => {$({
            let lock = Mutex::<[u64; $size]>::options().value([7; $size]).create_in(&arena).unwrap();
            lock.lock().unwrap().iter_mut().for_each(|word| *word += 1);
            assert_eq!(*lock.lock().unwrap(), [8; $size]);
        })*};
    }
    of!(0 1 2 9 10 32 64 128 256 512 1024 2048 4096);
    for parties in [1, 7, 100, 1000, 8000] {
        assert_eq!(Barrier::options().parties(parties).create_in(&arena).unwrap().parties(), parties);
    }
    assert!(arena.is_empty());
}

#[test]
fn threads_make_and_drop_without_losing_any() {
    let arena = arena();
    let places = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for seed in 0..4_u64 {
            let (arena, places) = (again(&arena), &places);
            scope.spawn(move || {
                let mut kept = Vec::new();
                for step in 0..3000_u64 {
                    match (step * 7 + seed) % 5 {
                        0 | 1 => {
                            let (lock, place) = lock(&arena, place_value(step));
                            kept.push(lock);
                            places.lock().unwrap().push(place);
                        }
                        2 => drop(kept.pop()),
                        3 => {
                            let place = places.lock().unwrap().pop();
                            let opened = place.map(|place| open(&arena, place));
                            match opened {
                                Some(Ok(lock)) => {
                                    assert!(is_place_value(*lock.lock().unwrap()));
                                    kept.push(lock);
                                }
                                Some(Err(error)) => assert!(matches!(error, Error::Gone), "{error:?}"),
                                None => {}
                            }
                        }
                        _ => {
                            for lock in kept.iter().take(3) {
                                assert!(is_place_value(*lock.lock().unwrap()));
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(arena.is_empty());
}

fn place_value(step: u64) -> u64 {
    0xabcd_0000 | step
}

fn is_place_value(value: u64) -> bool {
    value & 0xffff_0000 == 0xabcd_0000
}

#[test]
fn places_travel_as_text_and_as_bytes() {
    let place = at("12:34");
    assert_eq!(place.to_string(), "12:34");
    assert_eq!(*bytemuck::from_bytes::<Place>(bytemuck::bytes_of(&place)), place);
    for bad in ["", "12", ":", "12:", "a:1", "1:2:3", "-1:2"] {
        assert!(bad.parse::<Place>().is_err(), "{bad:?}");
    }
}

#[test]
fn absurd_capacities_are_refused() {
    for capacity in [0, usize::MAX, (1 << 36) + 1] {
        let arena = Arena::anonymous(capacity);
        assert!(matches!(arena, Err(Error::BadCapacity { .. })), "{arena:?}");
    }
}

/// Where the slabs' words are, if 254 processes can be attached, and where the first slab is.
const SLABS: u64 = 4096 + 4 * 4096 + 4096;
const FIRST: u64 = SLABS + 4096;

#[test]
fn scribbled_blocks_are_errors_and_no_more() {
    let text: [u8; 8] = *b"nonsense";
    for word in [u64::from_ne_bytes(text), u64::MAX, 1, 0x10_0000, 0x1_0000, 0x2_0005, 0x3_0005, 0xf_0000] {
        for at in (FIRST..FIRST + 192).step_by(8).chain([SLABS, SLABS - 4096]) {
            let arena = arena();
            let untrusting =
                Arena::options().trusted(false).from_fd(arena.as_fd().try_clone_to_owned().unwrap()).unwrap();
            let (lock, place) = lock(&arena, 1);
            let file = File::from(arena.as_fd().try_clone_to_owned().unwrap());
            file.write_all_at(&word.to_ne_bytes(), at).unwrap();
            // Any answer will do, if it comes.
            if let Ok(lock) = open(&untrusting, place) {
                let _ = lock.lock_timeout(Duration::ZERO);
            }
            let _ = Event::options().open_in(&untrusting, place);
            let _ = (arena.len(), arena.reserved(), arena.clean());
            let more: Vec<_> = (0..600).map(|_| Event::options().create_in(&untrusting)).collect();
            drop((more, lock));
        }
    }
}

#[test]
fn a_smaller_arena_than_its_header_says_is_refused() {
    let arena = arena();
    let file = File::from(arena.as_fd().try_clone_to_owned().unwrap());
    let mut header = [0_u8; 192];
    file.read_exact_at(&mut header, 0).unwrap();
    // The number of bytes it may take.
    header[40..48].copy_from_slice(&(1_u64 << 40).to_ne_bytes());
    file.write_all_at(&header, 0).unwrap();
    let refused = Arena::from_fd(arena.as_fd().try_clone_to_owned().unwrap());
    assert!(matches!(refused, Err(Error::BadGeometry { .. })), "{refused:?}");
}

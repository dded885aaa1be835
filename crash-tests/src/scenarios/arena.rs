//! Arenas: whoever dies making, opening, dropping or cleaning up leaves nothing behind and takes nothing along. What others
//! have stays as it is, nobody finds an object half made, and in the end every byte is free again.

use super::locks::leak;
use crate::process::{Process, elsewhere, killed_elsewhere, pause};
use crate::scenario::{Death, Scenario, operation};
use ringway::{Arena, Error, LockError, Mutex, OwnedSemaphore, Place};

const NAME: &str = "arena";
const SLAB: usize = 65_536;
/// Blocks of a slab for the locks of these scenarios: few, because whoever sweeps goes through all of them.
const BLOCKS: usize = 21;
/// Words of what a lock protects.
const WORDS: usize = 256;
/// The first block of the second slab.
const SECOND_SLAB: usize = 512;
/// The id of the first object in a block.
const FIRST: u64 = 2;
/// That of the next one, if the first was made, announced, closed and freed.
const SECOND: u64 = FIRST + 4;

type Lock = Mutex<[u64; WORDS]>;

fn create(slabs: usize, places: u16) -> Arena {
    Arena::options().capacity(slabs * SLAB).participants(places).create(NAME).unwrap()
}

fn open() -> Arena {
    super::ring::know_oneself();
    Arena::open(NAME).unwrap()
}

fn make(arena: &Arena, value: u64) -> Result<Lock, Error> {
    Mutex::options().value([value; WORDS]).create_in(arena)
}

fn open_at(arena: &Arena, place: Place) -> Result<Lock, Error> {
    Lock::options().open_in(arena, place)
}

/// Where an object is, or could be.
fn place(block: usize, id: u64) -> Place {
    format!("{block}:{id}").parse().unwrap()
}

/// How many of these objects are there: each of them whole.
fn found(arena: &Arena, places: impl IntoIterator<Item = Place>, value: u64) -> u64 {
    let is_there = |place| match open_at(arena, place) {
        Ok(lock) => {
            assert_eq!(*lock.lock().unwrap(), [value; WORDS], "half made");
            1
        }
        Err(Error::Gone) => 0,
        Err(error) => panic!("{error}"),
    };
    places.into_iter().map(is_there).sum()
}

/// So many objects of the living are there, and there is room for so many other locks.
fn must_be_whole(arena: &Arena, room: usize, living: usize) {
    arena.clean().unwrap();
    assert_eq!(arena.len(), living, "objects");
    let [made] = elsewhere(move || {
        let arena = open();
        let fits = |lock: &Result<Lock, Error>| match lock {
            Ok(_) => true,
            Err(Error::ArenaFull { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        let all: Vec<Lock> = (0..).map(|value| make(&arena, value)).take_while(fits).flatten().collect();
        for (value, lock) in (0..).zip(&all) {
            assert_eq!(*lock.lock().unwrap(), [value; WORDS], "two objects have the same memory");
        }
        vec![all.len() as u64]
    })[..] else {
        panic!("no answer")
    };
    assert_eq!(made as usize, room, "room for others");
    assert_eq!(arena.len(), living, "objects of the living");
}

/// The same, at the end.
fn ends_whole(arena: &Arena, room: usize, living: usize) {
    must_be_whole(arena, room, living);
    ringway::unlink(NAME).unwrap();
}

/// A process that has an object: the first one of the first block.
struct Holder {
    process: Process,
    place: Place,
}

impl Holder {
    fn start(value: u64) -> Self {
        let process = Process::start("the one that has it", move || {
            let arena = open();
            leak(make(&arena, value).unwrap());
            loop {
                pause();
            }
        });
        process.until_asleep();
        Holder { process, place: place(0, FIRST) }
    }

    /// It has it still, and nobody else; when it dies, too, nobody has.
    fn ends_alone(self, arena: &Arena, value: u64) {
        assert_eq!(found(arena, [self.place], value), 1, "what somebody has is gone");
        must_be_whole(arena, BLOCKS - 1, 1);
        assert_eq!(found(arena, [self.place], value), 1, "what somebody has is gone");
        self.process.kill();
        ends_whole(arena, BLOCKS, 0);
        assert_eq!(found(arena, [self.place], value), 0);
    }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = sweepers();
    all.extend(makers());
    all.extend(comers());
    all.extend(leavers());
    all
}

fn makers() -> Vec<Scenario> {
    vec![
        // The arena takes its first memory.
        Scenario::new(
            "arena/create-first",
            || create(1, 3),
            |_| {
                let arena = open();
                operation(|| leak(make(&arena, 7).unwrap()));
            },
            |arena, death: Death| {
                let made = found(&arena, [place(0, FIRST)], 7);
                assert!(made == 1 || !death.after, "gone");
                ends_whole(&arena, BLOCKS, 0);
                made
            },
        ),
        Scenario::new(
            "arena/create",
            || {
                let arena = create(1, 4);
                (arena, Holder::start(5))
            },
            |_| {
                let arena = open();
                operation(|| leak(make(&arena, 7).unwrap()));
            },
            |(arena, holder), death: Death| {
                let made = found(&arena, [place(1, FIRST)], 7);
                assert!(made == 1 || !death.after, "gone");
                holder.ends_alone(&arena, 5);
                made
            },
        ),
        // Where another object was, of which nothing may be seen.
        Scenario::new(
            "arena/create-again",
            || {
                let arena = create(1, 3);
                elsewhere(|| {
                    let arena = open();
                    let all: Vec<_> = (0..BLOCKS).map(|_| make(&arena, 9).unwrap()).collect();
                    all.iter().for_each(|lock| core::mem::forget(lock.lock()));
                    Vec::new()
                });
                assert!(arena.is_empty());
                arena
            },
            |_| {
                let arena = open();
                operation(|| leak(make(&arena, 7).unwrap()));
            },
            |arena, death: Death| {
                let made = found(&arena, (0..BLOCKS).map(|block| place(block, SECOND)), 7);
                assert!(made == 1 || !death.after && made == 0, "{made}");
                ends_whole(&arena, BLOCKS, 0);
                made
            },
        ),
        // There is no room in what it has.
        Scenario::new(
            "arena/create-growing",
            || {
                let arena = create(2, 3);
                let all: Vec<_> = (0..BLOCKS).map(|value| make(&arena, value as u64).unwrap()).collect();
                assert_eq!(arena.reserved(), SLAB as u64);
                (arena, all)
            },
            |_| {
                let arena = open();
                operation(|| leak(make(&arena, 7).unwrap()));
            },
            |(arena, all), death: Death| {
                let made = found(&arena, [place(SECOND_SLAB, FIRST)], 7);
                assert!(made == 1 || !death.after, "gone");
                ends_whole(&arena, BLOCKS, BLOCKS);
                assert!(all.iter().zip(0..).all(|(lock, value)| *lock.lock().unwrap() == [value; WORDS]));
                made
            },
        ),
        // All the room is with the dead.
        Scenario::new(
            "arena/create-from-the-dead",
            || create(1, 3),
            |_| {
                let arena = open();
                killed_elsewhere(|| {
                    let arena = open();
                    (0..BLOCKS).map(|_| make(&arena, 1).unwrap()).collect::<Vec<_>>()
                });
                operation(|| leak(make(&arena, 7).unwrap()));
            },
            |arena, death: Death| {
                let made = found(&arena, (0..BLOCKS).map(|block| place(block, SECOND)), 7);
                assert!(made == 1 || !death.after && made == 0, "{made}");
                ends_whole(&arena, BLOCKS, 0);
                made
            },
        ),
    ]
}

fn comers() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "arena/open",
            || {
                let arena = create(1, 4);
                (arena, Holder::start(5))
            },
            |(_, holder)| {
                let arena = open();
                operation(|| leak(open_at(&arena, holder.place).unwrap()));
            },
            |(arena, holder), _| {
                holder.ends_alone(&arena, 5);
                0
            },
        ),
        // The other one goes first: the dead one's mark is all that is left.
        Scenario::new(
            "arena/open-then-alone",
            || {
                let arena = create(1, 4);
                (arena, Holder::start(5))
            },
            |(_, holder)| {
                let arena = open();
                operation(|| leak(open_at(&arena, holder.place).unwrap()));
            },
            |(arena, holder), _| {
                holder.process.kill();
                found(&arena, [holder.place], 5);
                ends_whole(&arena, BLOCKS, 0);
                0
            },
        ),
        Scenario::new(
            "arena/open-gone",
            || {
                let arena = create(1, 4);
                (arena, Holder::start(5))
            },
            |_| {
                let arena = open();
                operation(|| assert!(matches!(open_at(&arena, place(0, SECOND)), Err(Error::Gone))));
            },
            |(arena, holder), _| {
                holder.ends_alone(&arena, 5);
                0
            },
        ),
        // A child uses what it has inherited, for the first time.
        Scenario::new(
            "arena/inherit",
            || {
                let arena = create(1, 3);
                let locks = [make(&arena, 5).unwrap(), make(&arena, 5).unwrap()];
                (arena, locks)
            },
            |(_, locks)| {
                super::ring::know_oneself();
                operation(|| assert_eq!(locks[1].lock().unwrap()[0], 5));
            },
            |(arena, locks), _| {
                arena.clean().unwrap();
                for lock in &locks {
                    match lock.lock() {
                        Ok(guard) => assert_eq!(*guard, [5; WORDS]),
                        Err(LockError::OwnerDied(inherited)) => drop(inherited.recover(|_| {})),
                        Err(error) => panic!("{error}"),
                    }
                }
                ends_whole(&arena, BLOCKS - 2, 2);
                0
            },
        ),
    ]
}

fn leavers() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "arena/drop-last",
            || create(1, 3),
            |_| {
                let arena = open();
                let lock = make(&arena, 7).unwrap();
                operation(|| drop(lock));
            },
            |arena, death: Death| {
                let gone = 1 - found(&arena, [place(0, FIRST)], 7);
                assert!(gone == 1 || !death.after, "nobody has it, and it is there");
                ends_whole(&arena, BLOCKS, 0);
                gone
            },
        ),
        Scenario::new(
            "arena/drop-beside",
            || {
                let arena = create(1, 4);
                (arena, Holder::start(5))
            },
            |(_, holder)| {
                let arena = open();
                let lock = open_at(&arena, holder.place).unwrap();
                operation(|| drop(lock));
            },
            |(arena, holder), _| {
                holder.ends_alone(&arena, 5);
                0
            },
        ),
        // What a leaked permit keeps goes back with the last handle.
        Scenario::new(
            "arena/drop-leaked",
            || {
                let arena = create(2, 3);
                let permits = OwnedSemaphore::options().permits(1).create_in(&arena).unwrap();
                (arena, permits)
            },
            |(inherited, permits)| {
                let place = permits.place().unwrap();
                drop(inherited);
                core::mem::forget(permits);
                let arena = open();
                // It has inherited one share and come by another.
                let mine = OwnedSemaphore::options().open_in(&arena, place).unwrap();
                core::mem::forget(mine.acquire().unwrap());
                operation(|| drop(mine));
            },
            |(arena, permits), _| {
                assert!(permits.acquire_timeout(crate::process::patience()).is_ok(), "the dead one keeps it");
                ends_whole(&arena, BLOCKS, 1);
                0
            },
        ),
        // Everything it had, and its place.
        Scenario::new(
            "arena/leave",
            || {
                let arena = create(1, 4);
                (arena, Holder::start(5))
            },
            |(_, holder)| {
                let arena = open();
                let all = [open_at(&arena, holder.place), make(&arena, 7)].map(Result::unwrap);
                operation(|| drop((arena, all)));
            },
            |(arena, holder), death: Death| {
                let gone = 1 - found(&arena, [place(1, FIRST)], 7);
                assert!(gone == 1 || !death.after, "nobody has it, and it is there");
                holder.ends_alone(&arena, 5);
                gone
            },
        ),
    ]
}

/// One that died with a lock of another's, with objects of its own, and half way into dropping and making others.
fn die_with(place: Place) {
    killed_elsewhere(|| {
        let arena = open();
        let shared = leak(open_at(&arena, place).unwrap());
        let held = shared.lock().unwrap();
        let own: Vec<_> = (0..3).map(|_| make(&arena, 1).unwrap()).collect();
        (held, own)
    });
}

/// The other one's lock was the dead one's, which is told once, also to one who has the dead one's place.
fn was_the_dead_ones(place: Place) {
    elsewhere(move || {
        let lock = open_at(&open(), place).unwrap();
        match lock.lock() {
            Err(LockError::OwnerDied(inherited)) => {
                drop(inherited.recover(|value| assert_eq!(*value, [5; WORDS])));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(*lock.lock().unwrap(), [5; WORDS]);
        Vec::new()
    });
}

fn sweepers() -> Vec<Scenario> {
    let survives = |(arena, holder): (Arena, Holder), death: Death| {
        let swept = 4 - arena.len();
        assert!(swept == 3 || !death.after, "{swept}");
        was_the_dead_ones(holder.place);
        holder.ends_alone(&arena, 5);
        swept as u64
    };
    vec![
        Scenario::new(
            "arena/clean",
            || {
                let arena = create(1, 4);
                (arena, Holder::start(5))
            },
            |(_, holder)| {
                let arena = open();
                die_with(holder.place);
                operation(|| assert_eq!(arena.clean().unwrap(), 1));
            },
            survives,
        ),
        // In its place.
        Scenario::new(
            "arena/sweep",
            || {
                let arena = create(1, 4);
                let holder = Holder::start(5);
                die_with(holder.place);
                assert_eq!(arena.len(), 4);
                (arena, holder)
            },
            |_| {
                super::ring::know_oneself();
                let _ = operation(|| leak(Arena::open(NAME).unwrap()));
            },
            survives,
        ),
    ]
}

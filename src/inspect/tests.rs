use super::*;
use crate::error::Corrupt;
use crate::segment::layout::Header;
use core::mem::offset_of;
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A path of its own for each test, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        Place(PathBuf::from(format!("/dev/shm/ringway-inspect-{}-{test}", std::process::id())))
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl AsRef<Path> for Place {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn ring(object: &Object) -> &Ring {
    match &object.detail {
        Detail::Ring(ring) => ring,
        _ => panic!("no ring: {object:?}"),
    }
}

fn writable(place: &Place) -> File {
    File::options().write(true).read(true).open(place).unwrap()
}

#[test]
fn a_typed_ring_tells_its_story() {
    let place = Place::new("typed");
    let mut tx = crate::spsc::Producer::<[u64; 3]>::create(place.name(), 5).unwrap();
    for n in 0..5 {
        tx.push([n; 3]).unwrap();
    }
    let object = stat(place.name()).unwrap();
    assert_eq!((object.kind, object.capacity), (Kind::Spsc, 5));
    assert_eq!((object.element_size, object.element_align), (24, 8));
    assert_eq!(object.file_len, std::fs::metadata(&place).unwrap().len());
    assert_eq!((object.creator, object.mode), (u64::from(std::process::id()), 0o600));
    assert_eq!((object.stale, object.retired, object.ephemeral), (false, false, false));
    assert!(object.created <= SystemTime::now() && object.created.elapsed().unwrap().as_secs() < 3600);
    let [us] = object.participants[..] else { panic!("{object:?}") };
    assert_eq!((us.index, us.alive, us.pid), (1, true, Some(std::process::id())));
    let ring_of = ring(&object);
    assert_eq!((ring_of.written, ring_of.read, ring_of.held), (5, 0, 5));
    assert_eq!((ring_of.written_bytes, ring_of.held_bytes), (120, 120));
    assert_eq!(ring_of.producer, RoleState { claims: 1, holder: Holder::Held(us) });
    assert_eq!(ring_of.consumer, RoleState { claims: 0, holder: Holder::Never });

    let mut rx = crate::spsc::Consumer::<[u64; 3]>::open(place.name()).unwrap();
    assert_eq!(rx.drain().count(), 5);
    assert!(matches!(rx.recv_timeout(Duration::from_millis(1)), Err(crate::RecvError::Timeout)));
    drop(tx);
    let object = stat(place.name()).unwrap();
    let ring_of = ring(&object);
    assert_eq!((ring_of.written, ring_of.read, ring_of.held, ring_of.corrupt), (5, 5, 0, None));
    assert_eq!(ring_of.producer, RoleState { claims: 1, holder: Holder::Left });
    assert_eq!(ring_of.consumer, RoleState { claims: 1, holder: Holder::Held(us) });
    assert!(ring_of.items.sleeps > 0, "{ring_of:?}");
    drop(rx);
    let object = stat(place.name()).unwrap();
    assert!(object.participants.is_empty(), "{object:?}");
}

#[test]
fn a_byte_ring_counts_records_and_bytes() {
    let place = Place::new("bytes");
    let options = crate::bytes::Producer::options().capacity(4096).ephemeral(true).participants(3);
    let mut tx = options.create(place.name()).unwrap();
    tx.push(b"").unwrap();
    tx.push(b"123456789").unwrap();
    let object = stat(place.name()).unwrap();
    assert_eq!((object.kind, object.capacity, object.max_participants), (Kind::Bytes, 4096, 3));
    assert!(object.ephemeral);
    let ring_of = ring(&object);
    assert_eq!((ring_of.written, ring_of.held, ring_of.held_bytes), (2, 2, 8 + 24));
    tx.unlink().unwrap();
    assert!(matches!(stat(place.name()), Err(Error::NotFound { .. })));
    let object = stat_fd(tx.as_fd()).unwrap();
    assert!(object.retired);
    assert_eq!(ring(&object).held, 2);
}

fn pipe(object: &Object) -> &Pipe {
    match &object.detail {
        Detail::Pipe(pipe) => pipe,
        _ => panic!("no pipe: {object:?}"),
    }
}

#[test]
fn a_pipe_shows_its_ends_and_lanes() {
    let place = Place::new("pipe");
    let a = crate::Pipe::create(place.name()).unwrap();
    a.send(b"").unwrap();
    a.send(b"123456789").unwrap();
    let object = stat(place.name()).unwrap();
    assert_eq!((object.kind, object.element_size), (Kind::Pipe, 1));
    let us = object.participants[0];
    let seen = pipe(&object);
    assert!(!seen.simplex);
    assert_eq!((seen.first.arrivals, seen.first.living(), seen.second.arrivals), (1, 1, 0));
    assert_eq!(seen.first.holders, [Holding { participant: us, connections: 1 }]);
    assert!(seen.second.holders.is_empty());
    assert_eq!((seen.forth.written, seen.forth.read, seen.forth.held), (2, 0, 2));
    assert_eq!((seen.forth.written_bytes, seen.forth.held_bytes), (8 + 24, 8 + 24));
    assert_eq!((seen.forth.sending, seen.forth.receiving), (Lock::Free, Lock::Free));
    assert_eq!(seen.back.as_ref().map(|back| (back.written, back.held_bytes)), Some((0, 0)));

    let z = crate::Pipe::open(place.name()).unwrap();
    let message = z.recv_ref().unwrap();
    assert_eq!(pipe(&stat(place.name()).unwrap()).forth.receiving, Lock::Held(us));
    drop(message);
    z.recv().unwrap();
    assert!(matches!(z.recv_timeout(Duration::from_millis(1)), Err(crate::RecvError::Timeout)));
    drop(a);
    let object = stat(place.name()).unwrap();
    let seen = pipe(&object);
    assert_eq!((seen.first.arrivals, seen.first.departures, seen.first.living()), (1, 1, 0));
    assert_eq!((seen.second.living(), seen.forth.held), (1, 0));
    assert!(seen.forth.items.sleeps > 0, "{seen:?}");
}

#[test]
fn a_simplex_pipe_has_one_lane() {
    let (tx, _rx) = crate::Pipe::simplex().unwrap();
    tx.send(b"x").unwrap();
    let object = stat_fd(tx.memory()).unwrap();
    let seen = pipe(&object);
    assert!(seen.simplex && seen.back.is_none());
    assert_eq!((seen.forth.held, seen.first.living(), seen.second.living()), (1, 1, 1));
}

#[test]
fn looking_needs_no_right_to_write_and_changes_nothing() {
    let place = Place::new("readonly");
    let mut tx = crate::spsc::Producer::<u64>::create(place.name(), 4).unwrap();
    tx.push(1).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o400)).unwrap();
    let before = std::fs::read(&place).unwrap();
    let mut opened = File::open(&place).unwrap();
    assert_eq!(ring(&stat_fd(opened.as_fd()).unwrap()).held, 1);
    assert_eq!(ring(&stat(place.name()).unwrap()).held, 1);
    let mut after = Vec::new();
    std::io::Read::read_to_end(&mut opened, &mut after).unwrap();
    assert!(before == after);
    tx.push(2).unwrap();
}

#[test]
fn files_of_other_boots_and_other_makes_are_told_apart() {
    let place = Place::new("odd");
    assert!(matches!(stat(place.name()), Err(Error::NotFound { .. })));
    std::fs::write(&place, b"hello").unwrap();
    assert!(matches!(stat(place.name()), Err(Error::BadMagic { .. })));
    std::fs::remove_file(&place).unwrap();
    drop(crate::spsc::Producer::<u64>::create(place.name(), 4).unwrap());
    let file = writable(&place);
    change(&file, |header| header.boot = [0xee; 16]);
    assert!(stat(place.name()).unwrap().stale);
    change(&file, |header| header.kind = 77);
    let object = stat(place.name()).unwrap();
    assert!(matches!((object.kind, object.detail), (Kind::Unknown(77), Detail::None)));
    file.set_len(5000).unwrap();
    assert!(matches!(stat(place.name()), Err(Error::Truncated { .. })));
}

#[test]
fn indices_that_contradict_each_other_are_shown_as_such() {
    let place = Place::new("corrupt");
    let mut tx = crate::spsc::Producer::<u64>::create(place.name(), 4).unwrap();
    tx.push(1).unwrap();
    let file = writable(&place);
    let body = body_at(&file);
    file.write_all_at(&6_u64.to_ne_bytes(), body).unwrap();
    let object = stat(place.name()).unwrap();
    let limit = Corrupt { field: "tail", found: 6, limit: 4, place: None };
    assert_eq!((ring(&object).corrupt, ring(&object).held), (Some(limit), 4));
    file.write_all_at(&9_u64.to_ne_bytes(), body + 128).unwrap();
    let object = stat(place.name()).unwrap();
    assert_eq!(ring(&object).corrupt, Some(Corrupt { field: "head", found: 9, limit: 6, place: None }));
    // A role nobody can have, and one of somebody who cannot be.
    file.write_all_at(&(9_u64 << 16).to_ne_bytes(), body + 512).unwrap();
    file.write_all_at(&(1_u64 << 16 | 60_000).to_ne_bytes(), body + 640).unwrap();
    let object = stat(place.name()).unwrap();
    assert_eq!(ring(&object).producer.holder, Holder::Nonsense);
    let Holder::Held(nobody) = ring(&object).consumer.holder else { panic!("{object:?}") };
    assert_eq!((nobody.index, nobody.alive, nobody.pid), (60_000, false, None));
}

#[test]
fn any_bytes_are_a_value_or_an_error() {
    let place = Place::new("hostile-ring");
    drop(crate::bytes::Producer::create(place.name(), 4096).unwrap());
    show_any_bytes(&place);
    let place = Place::new("hostile-pipe");
    drop(crate::Pipe::options().capacity(4096).create(place.name()).unwrap());
    show_any_bytes(&place);
    let place = Place::new("hostile-mutex");
    drop(crate::Mutex::create(place.name(), [0_u64; 512]).unwrap());
    show_any_bytes(&place);
    let place = Place::new("hostile-permits");
    drop(crate::OwnedSemaphore::create(place.name(), 512).unwrap());
    show_any_bytes(&place);
    let place = Place::new("hostile-barrier");
    drop(crate::Barrier::create(place.name(), 200).unwrap());
    show_any_bytes(&place);
}

#[test]
fn what_a_lock_protects_is_shown() {
    fn value_of<T: bytemuck::Pod>(value: T) -> Box<[u8]> {
        let place = Place::new(&format!("value-{}-{}", size_of::<T>(), align_of::<T>()));
        let mutex = crate::Mutex::create(place.name(), value).unwrap();
        let reentrant = crate::ReentrantMutex::anonymous(value).unwrap();
        let values = [stat(place.name()).unwrap(), stat_fd(reentrant.as_fd()).unwrap()].map(|seen| {
            let Detail::Lock(lock) = seen.detail else { panic!("no lock: {seen:?}") };
            lock.value
        });
        drop(mutex);
        assert_eq!(values[0], values[1]);
        let [value, _] = values;
        value
    }
    assert_eq!(*value_of(0x0102_0304_0506_0708_u64), 0x0102_0304_0506_0708_u64.to_ne_bytes());
    assert_eq!(*value_of(*b"odd"), *b"odd");
    assert_eq!(*value_of(()), []);
    assert_eq!(*value_of([7_u128; 3]), *bytemuck::bytes_of(&[7_u128; 3]));
    assert_eq!(*value_of([9_u8; 4096]), [9; 4096]);
    assert_eq!(value_of([9_u64; 1024]).len(), 4096, "the beginning");
}

fn show_any_bytes(place: &Place) {
    let file = writable(place);
    let mut honest = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut honest, 0).unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let body = body_at(&file);
    let (mut shown, mut refused) = (0, 0);
    for round in 0..3000 {
        if round % 25 == 0 {
            file.write_all_at(&honest, 0).unwrap();
        }
        let at = match next() % 3 {
            0 => (next() % 192) & !3,           // the header
            1 => 4096 + ((next() % 1024) & !7), // the rows
            _ => body + ((next() % 2048) & !7), // the body
        };
        let value = [next(), next() % 8, u64::MAX - next() % 8, 1 << (next() % 64)][(next() % 4) as usize];
        file.write_all_at(&value.to_ne_bytes(), at).unwrap();
        if next() % 8 > 0 {
            change(&file, |_| {}); // a liar that can sum up
        }
        match stat(place.name()) {
            Ok(object) => {
                shown += 1;
                let _ = format!("{object:?}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(shown > 300 && refused > 300, "shown {shown}, refused {refused}");
}

#[test]
fn everything_in_the_directory_is_listed() {
    let name = format!("inspect-list-{}", std::process::id());
    let ring = crate::spsc::Producer::<u64>::create(&name, 4).unwrap();
    let listed = list().unwrap();
    let found = listed.iter().find(|listed| listed.name == name).expect("not listed");
    assert_eq!(found.object.as_ref().unwrap().kind, Kind::Spsc);
    ring.unlink().unwrap();
    assert!(list().unwrap().iter().all(|listed| listed.name != name));
}

/// Changes the header, and its checksum with it.
fn change(file: &File, how: impl FnOnce(&mut Header)) {
    let mut header: Header = bytemuck::Zeroable::zeroed();
    file.read_exact_at(bytemuck::bytes_of_mut(&mut header), 0).unwrap();
    how(&mut header);
    file.write_all_at(bytemuck::bytes_of(&header.signed()), 0).unwrap();
}

fn body_at(file: &File) -> u64 {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, offset_of!(Header, body_at) as u64).unwrap();
    u64::from_ne_bytes(word)
}

#[test]
fn an_arena_tells_what_is_in_it() {
    let place = Place::new("arena");
    let arena = crate::Arena::options().capacity(1 << 20).create(place.name()).unwrap();
    let look = || match stat(place.name()).unwrap().detail {
        Detail::Arena(arena) => *arena,
        other => panic!("no arena: {other:?}"),
    };
    let empty = look();
    assert_eq!((empty.objects.len(), empty.reserved, empty.blocks, empty.holders.len()), (0, 0, 0, 0));
    let locks: Vec<_> =
        (0..3_u64).map(|value| crate::Mutex::options().value(value).create_in(&arena).unwrap()).collect();
    let event = crate::Event::options().create_in(&arena).unwrap();
    let barrier = crate::Barrier::options().parties(100).create_in(&arena).unwrap();
    let held = locks[1].lock().unwrap();
    let seen = look();
    let count = |kind| seen.objects.iter().find(|of| of.kind == kind).map(|of| (of.count, of.locked));
    assert_eq!(count(Kind::Mutex), Some((3, 1)));
    assert_eq!((count(Kind::Event), count(Kind::Barrier)), (Some((1, 0)), Some((1, 0))));
    assert_eq!((seen.making, seen.unused, seen.corrupt), (0, 0, 0));
    assert_eq!((seen.reserved, seen.used), (2 << 16, 4 * 128 + 1024));
    assert_eq!((seen.blocks, seen.free), (512 + 64, 512 - 4 + 64 - 1));
    assert_eq!((seen.holders[0].participant.pid, seen.holders[0].objects), (Some(std::process::id()), 5));
    drop((held, event, barrier));
    drop(locks);
    let seen = look();
    assert_eq!((seen.objects.len(), seen.free, seen.used, seen.holders.len()), (0, 576, 0, 0));

    // A block that means nothing, and a slab that cannot be.
    let file = writable(&place);
    let tail = stat(place.name()).unwrap().file_len - (1 << 20);
    file.write_all_at(&u64::MAX.to_ne_bytes(), tail).unwrap();
    file.write_all_at(&u64::MAX.to_ne_bytes(), tail - 4096 + 8).unwrap();
    let seen = look();
    assert_eq!((seen.corrupt, seen.reserved), (1, 1 << 16));
}

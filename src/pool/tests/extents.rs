//! Large payloads.

use super::*;
use crate::error::{Error, Kind};
use crate::segment::Segment;
use crate::segment::create::{Expected, Terms};
use crate::segment::layout::Plan;

const MIB: u64 = 1 << 20;
const LARGE: Demand = Demand { messages: 4, max_held: 0, usual: 64, largest: 64, max_bytes: MIB, share: 0 };

#[test]
fn all_extents_together_take_no_more_than_they_may() {
    let heap = Heap::of(LARGE);
    let half = heap.reserve(1, MIB / 2).unwrap();
    let quarter = heap.reserve(1, MIB / 4).unwrap();
    assert_eq!(heap.reserve(1, MIB / 2).unwrap_err(), ReserveError::Full);
    assert_eq!(heap.pool.extent_bytes(), 3 * MIB / 4);
    let last = heap.reserve(1, MIB / 4).unwrap();
    assert_eq!(heap.reserve(1, 65).unwrap_err(), ReserveError::Full);
    // What is freed stays warm until another needs the room.
    heap.pool.give_up(half);
    assert_eq!(heap.pool.extent_bytes(), MIB);
    let calls = heap.space.calls.load(RELAXED);
    let warm = heap.reserve(1, MIB / 2).unwrap();
    assert_eq!(heap.space.calls.load(RELAXED), calls, "not asked for again");
    [warm, quarter, last].into_iter().for_each(|loan| heap.pool.give_up(loan));
    let whole = heap.reserve(1, MIB).unwrap();
    assert_eq!(heap.pool.extent_bytes(), MIB);
    heap.pool.give_up(whole);
    assert_eq!(heap.pool.trim(1, &heap.space), MIB);
    assert_eq!((heap.pool.extent_bytes(), heap.space.left.load(RELAXED)), (0, 1 << 60));
    heap.all_free();
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_lost() {
    let heap = Heap::of(LARGE);
    heap.space.left.store(10 * 4096, RELAXED);
    let loan = heap.reserve(1, 6 * 4096).unwrap();
    let needed = 5 * 4096;
    assert_eq!(heap.reserve(1, needed - 1).unwrap_err(), ReserveError::NoSpace { needed });
    assert_eq!(heap.pool.extent_bytes(), 6 * 4096);
    assert_eq!(
        heap.space.left.load(RELAXED) % (1 << 40),
        4 * 4096 + needed,
        "punched, in case it was reserved in part"
    );
    heap.space.left.store(4 * 4096, RELAXED);
    // Free extents give their space first.
    heap.pool.give_up(loan);
    let loan = heap.reserve(1, 10 * 4096).unwrap();
    heap.pool.give_up(loan);
    heap.all_free();
}

#[test]
fn small_messages_leave_large_extents_to_large_messages() {
    let heap = Heap::of(LARGE);
    let large = heap.reserve(1, MIB / 2).unwrap();
    let chunk = large.chunk();
    heap.pool.give_up(large);
    let small = heap.reserve(1, 100).unwrap();
    assert_ne!(small.chunk(), chunk);
    assert_eq!(heap.reserve(1, MIB / 2).unwrap().chunk(), chunk);
    assert_eq!(heap.pool.extent_bytes(), MIB / 2 + 4096);
}

/// Whoever dies while it reserves or trims leaves more counted than reserved, never less.
#[test]
fn deaths_in_between_leave_the_books_on_the_safe_side() {
    let heap = Heap::of(LARGE);
    let large = heap.reserve(9, MIB / 2).unwrap();
    let extent = heap.pool.extent(large.chunk().index());
    // In `trim`, before the punching; in `grow`, before the reserving.
    for (backed, bytes) in [(0, MIB / 2), (MIB / 2, MIB)] {
        extent.backed.store(backed, RELAXED);
        extent.bytes.store(bytes, RELAXED);
        heap.pool.sweep(5, &heap.slots(), |who| who == 9);
        assert_eq!(heap.pool.extent_bytes(), bytes);
        let again = heap.reserve(1, MIB).unwrap();
        assert_eq!(heap.pool.room(&again), MIB);
        assert_eq!(extent.backed.load(RELAXED), MIB);
        heap.pool.give_up(again);
        assert_eq!(heap.pool.extent_bytes(), MIB);
    }
    heap.pool.trim(1, &heap.space);
    assert_eq!(heap.pool.extent_bytes(), 0);
}

/// What one that was killed while it reserved left counted must not keep others from what there is.
#[test]
fn what_a_dead_one_left_counted_is_given_to_who_needs_it() {
    let heap = Heap::of(LARGE);
    let dead = heap.reserve(9, MIB).unwrap();
    heap.pool.extent(dead.chunk().index()).backed.store(0, RELAXED);
    heap.pool.sweep(5, &heap.slots(), |who| who == 9);
    let small = heap.reserve(1, MIB / 4).unwrap();
    assert_eq!(small.chunk(), dead.chunk(), "all have nothing that is certain, this is the first");
    assert_eq!(heap.pool.extent_bytes(), MIB / 4, "the rest is not kept from others");
    assert!(heap.pool.has_room(MIB / 2));
    let other = heap.reserve(1, MIB / 2).unwrap();
    [small, other].into_iter().for_each(|loan| heap.pool.give_up(loan));
    heap.all_free();
}

#[test]
fn a_message_longer_than_what_is_reserved_for_it_is_corrupt() {
    let heap = Heap::of(LARGE);
    heap.send(1, &[7; 5000]).unwrap();
    let claim = heap.next(2);
    let tag = heap.pool.tag(&heap.slots(), claim);
    let (chunk, _) = heap.pool.layout().admit(tag).unwrap();
    let stamp = heap.slots();
    let stamp = stamp.stamp(claim.position.index);
    stamp.tag.store(Tag::of(chunk, 3 * 4096).0, RELAXED);
    let corrupt = heap.pool.receive_kept(&heap.slots(), claim, 2).unwrap_err();
    assert_eq!((corrupt.found, corrupt.limit), (3 * 4096, 2 * 4096));
    assert!(heap.slots().take_next(2).is_err(), "and it blocks nobody");
    heap.sweep(&[1]);
    heap.all_free();
}

/// A pool in a real segment.
fn segment(demand: Demand) -> (Segment, Pool) {
    let layout = Layout::of(demand).unwrap();
    let plan = Plan {
        kind: Kind::Unknown(78),
        element: (1, 8),
        capacity: demand.messages,
        variant: 0,
        body_len: size_of::<Header>() as u64,
        data_len: layout.len(),
        areas: 1,
        tail_len: layout.tail_len(),
        params: demand.params(),
    };
    let terms = Terms {
        participants: 4,
        mode: 0o600,
        owner: None,
        pages: Default::default(),
        ephemeral: false,
        trusted: None,
    };
    let expected = Expected { plan, exact_capacity: true, sweep: |_, _| {} };
    let segment = Segment::anonymous(&expected, &terms).unwrap();
    let geometry = segment.geometry();
    assert_eq!(Demand::of_params(geometry.capacity, geometry.params), demand);
    assert_eq!((geometry.data_len as u64, geometry.tail_len as u64), (layout.len(), layout.tail_len()));
    // SAFETY: the segment was planned with these lengths, and outlives the pool in every test.
    let pool = unsafe { Pool::new(segment.body().cast(), segment.data(0), segment.tail(), layout) };
    (segment, pool)
}

/// The bytes that the segment really takes.
fn taken(segment: &Segment) -> Result<u64, Error> {
    use std::os::{fd::AsFd, unix::fs::MetadataExt};
    let fd = segment.as_fd().try_clone_to_owned().map_err(|source| Error::Os { action: "copy", source })?;
    Ok(std::fs::File::from(fd).metadata().unwrap().blocks() * 512)
}

#[test]
fn messages_up_to_a_gigabyte_lie_in_the_file_only_while_they_are_needed() {
    let (segment, pool) = segment(Demand { max_bytes: 1 << 30, ..LARGE });
    assert!(pool.layout().tail_len() >= 4 << 30);
    let finder = Finder::new();
    let before = taken(&segment).unwrap();
    for len in [1, 64, 65, 4096, 4097, 10 * MIB, 1 << 30] {
        let loan = pool.reserve(1, len, &finder, &segment).unwrap();
        assert!(pool.room(&loan) >= len);
        for at in [0, len / 2, len - 1] {
            assert_eq!(pool.copy_in(&loan, at, &[at as u8 ^ 7]), 1);
        }
        // SAFETY: the loan has room for `len` bytes.
        let last = unsafe { pool.address(loan.chunk()).add(len as usize - 1) };
        // SAFETY: ours, written above.
        assert_eq!(unsafe { last.read_volatile() }, (len - 1) as u8 ^ 7);
        pool.give_up(loan);
    }
    assert_eq!(taken(&segment).unwrap() - before, pool.extent_bytes());
    assert_eq!(pool.extent_bytes(), 1 << 30);
    pool.trim(1, &segment);
    assert_eq!(taken(&segment).unwrap(), before);
    let max = 1 << 30;
    assert!(matches!(pool.reserve(1, max + 1, &finder, &segment), Err(ReserveError::TooLarge { .. })));
}

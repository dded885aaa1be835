//! Chunks that get their space when they are needed.

use super::*;
use crate::error::Corrupt;
use std::cell::Cell;

const STEP: u64 = 64 << 10;
/// A hundred of 64 bytes, of 128, and so on to 4 KiB; no extents.
const GROWING: Demand =
    Demand { messages: 100, max_held: 0, usual: 64, largest: 4096, max_bytes: 0, share: 1 << 20 };

fn spaces(heap: &Heap) -> (u64, u64) {
    ((1 << 60) - heap.space.left.load(RELAXED), heap.space.calls.load(RELAXED))
}

#[test]
fn the_usual_size_has_its_space_and_the_others_get_it_in_steps() {
    let heap = Heap::of(GROWING);
    assert!(heap.pool.layout().len() < 64 << 10 && heap.pool.layout().tail_len() > 100 * 4096);
    let usual: Vec<_> = (0..10).map(|_| heap.reserve(1, 64).unwrap()).collect();
    assert_eq!(spaces(&heap), (0, 0));
    // Sixteen of these in each step, and a rest.
    let large: Vec<_> = (0..100)
        .map(|number: u64| {
            let loan = heap.reserve(1, 4000).unwrap();
            let steps = number / 16 + 1;
            assert_eq!(spaces(&heap), ((steps * STEP).min(100 * 4096), steps), "{number}");
            loan
        })
        .collect();
    assert_eq!(heap.reserve(1, 4000).unwrap_err(), ReserveError::Full);
    assert!(!heap.pool.has_room(4000) && heap.pool.has_room(2000));
    usual.into_iter().chain(large).for_each(|loan| heap.pool.give_up(loan));
    // What a class has got, it keeps.
    let before = spaces(&heap);
    let again: Vec<_> = (0..100).map(|_| heap.reserve(2, 4000).unwrap()).collect();
    assert_eq!(spaces(&heap), before);
    again.into_iter().for_each(|loan| heap.pool.give_up(loan));
    heap.all_free();
}

#[test]
fn a_class_that_is_in_use_grows_before_a_larger_one_is_taken() {
    let heap = Heap::of(GROWING);
    let loans: Vec<_> = (0..150).map(|_| heap.reserve(1, 1024).unwrap()).collect();
    let classes = |size| loans.iter().filter(|loan| heap.pool.capacity(loan.chunk()) == size).count();
    assert_eq!((classes(1024), classes(2048)), (100, 50));
    loans.into_iter().for_each(|loan| heap.pool.give_up(loan));
    heap.all_free();
}

#[test]
fn all_chunks_of_all_classes_hold_what_they_were_given() {
    let heap = Heap::of(GROWING);
    let sizes = [64, 128, 256, 512, 1024, 2048, 4096];
    for (number, size) in (0_u8..100).zip(sizes.iter().cycle()) {
        heap.send(1, &vec![number; *size]).unwrap();
    }
    for (number, size) in (0_u8..100).zip(sizes.iter().cycle()) {
        assert_eq!(heap.recv(2), vec![number; *size]);
    }
    heap.all_free();
}

#[test]
fn a_full_disk_is_an_error_and_what_is_there_stays_usable() {
    let heap = Heap::of(GROWING);
    heap.space.left.store(STEP, RELAXED);
    let sixteen: Vec<_> = (0..16).map(|_| heap.reserve(1, 4096).unwrap()).collect();
    assert_eq!(heap.reserve(1, 4096).unwrap_err(), ReserveError::NoSpace { needed: STEP });
    // No promise that cannot be kept: who waits for room is told what there is to wait for.
    assert!(heap.pool.has_room(4096));
    // The usual size needs nothing.
    heap.pool.give_up(heap.reserve(1, 64).unwrap());
    sixteen.into_iter().for_each(|loan| heap.pool.give_up(loan));
    heap.pool.give_up(heap.reserve(1, 4096).unwrap());
    heap.space.left.store(STEP, RELAXED);
    let more: Vec<_> = (0..32).map(|_| heap.reserve(1, 4096).unwrap()).collect();
    more.into_iter().for_each(|loan| heap.pool.give_up(loan));
    heap.all_free();
}

#[test]
fn what_the_dead_had_of_a_class_that_grew_comes_back() {
    let heap = Heap::of(GROWING);
    let dead: Vec<_> = (0..40).map(|_| heap.reserve(7, 4096).unwrap()).collect();
    let last = dead.iter().map(|loan| loan.chunk().index()).max();
    assert_eq!(last, Some(39));
    assert_eq!(heap.sweep(&[7]).freed, 40);
    heap.all_free();
}

/// Another process does the same between the two steps of ours.
struct Meddler<'a> {
    heap: &'a Heap,
    theirs: Finder,
    taken: Cell<Option<Loan>>,
}

impl Backing for Meddler<'_> {
    fn reserve(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.heap.space.reserve(at, len)?;
        let loan = self.heap.pool.reserve(2, 4096, &self.theirs, &self.heap.space).unwrap();
        self.taken.set(Some(loan));
        Ok(())
    }

    fn punch(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.heap.space.punch(at, len)
    }
}

#[test]
fn two_that_grow_a_class_at_the_same_time_get_different_chunks() {
    let heap = Heap::of(GROWING);
    let meddler = Meddler { heap: &heap, theirs: Finder::new(), taken: Cell::new(None) };
    let ours = heap.pool.reserve(1, 4096, &heap.finder, &meddler).unwrap();
    let theirs = meddler.taken.take().unwrap();
    assert_ne!(ours.chunk(), theirs.chunk());
    // Both reserved the same space, and both know it.
    assert_eq!(spaces(&heap), (2 * STEP, 2));
    let rest: Vec<_> = (0..14).map(|_| heap.reserve(3, 4096).unwrap()).collect();
    assert_eq!(spaces(&heap).1, 2);
    rest.into_iter().chain([ours, theirs]).for_each(|loan| heap.pool.give_up(loan));
    heap.all_free();
}

/// One that believes nobody.
struct Sceptic<'a>(&'a Space);

impl Backing for Sceptic<'_> {
    fn reserve(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.0.reserve(at, len)
    }

    fn punch(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.0.punch(at, len)
    }

    fn believes(&self) -> bool {
        false
    }
}

#[test]
fn who_does_not_believe_sees_to_it_himself() {
    let heap = Heap::of(GROWING);
    heap.pool.lie_about_growth(u32::MAX);
    let (finder, space) = (Finder::new(), Sceptic(&heap.space));
    let loans: Vec<_> = (0..17).map(|_| heap.pool.reserve(1, 4096, &finder, &space).unwrap()).collect();
    assert_eq!(spaces(&heap), (2 * STEP, 2), "once for sixteen");
    let other = Finder::new();
    assert!(heap.pool.makes_certain(loans[16].chunk(), &finder, &space));
    assert_eq!(spaces(&heap).1, 2, "known");
    assert!(heap.pool.makes_certain(loans[16].chunk(), &other, &space));
    assert_eq!(spaces(&heap), (2 * STEP + 17 * 4096, 3));
    heap.space.left.store(0, RELAXED);
    assert!(!heap.pool.makes_certain(loans[15].chunk(), &Finder::new(), &space));
    loans.into_iter().for_each(|loan| heap.pool.give_up(loan));
    heap.all_free();
}

#[test]
fn a_message_where_nothing_is_reserved_is_corrupt() {
    let heap = Heap::of(GROWING);
    heap.send(1, &[7; 1000]).unwrap();
    heap.pool.lie_about_growth(0);
    let claim = heap.slots().take_next(2).unwrap();
    let received = heap.pool.receive_kept(&heap.slots(), claim, 2);
    let Err(Corrupt { field, found: 0, limit: 0, .. }) = received else { panic!("{received:?}") };
    assert_eq!(field, "chunk of a message");
    // Whatever is there, no more chunks than the layout has.
    heap.pool.lie_about_growth(u32::MAX);
    let loans: Vec<_> = (0..100).map_while(|_| heap.reserve(1, 4096).ok()).collect();
    assert_eq!(loans.len(), 100);
    assert_eq!(heap.reserve(1, 4096).unwrap_err(), ReserveError::Full);
}

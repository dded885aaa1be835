//! The dictionary: whoever reads beside a writer has what was there at one moment, and wherever a writer dies, what he did
//! has happened or not, for all at once, and the next one finds all the memory that is not in use.
//!
//! A chunk is one unit here, with a key and two halves of a value. A writer dies when he finds himself killed between two steps.

use crate::harness::Model;
use crate::map::{Bits, Books, Entry, Look, Piece, Sum, Table, Unread};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "read_against_two_replacements",
        preemptions: 3,
        body: read_against_two_replacements,
        kills: &["map.recheck", "map.recheck_fence", "map.change_fence", "map.commit", "map.word"],
    },
    Model {
        name: "inserted_in_front_of_what_is_sought",
        preemptions: 2,
        body: inserted_in_front_of_what_is_sought,
        kills: &["map.link", "map.head"],
    },
    Model {
        name: "led_astray",
        preemptions: 2,
        body: led_astray,
        kills: &["map.ended_recheck", "map.ended_fence", "map.change_fence"],
    },
    Model {
        name: "counted_beside_a_writer",
        preemptions: 3,
        body: counted_beside_a_writer,
        kills: &["map.turn", "map.announce", "map.record", "map.sum_recheck", "map.sum_fence", "map.link_first"],
    },
    Model {
        name: "collected_beside_a_clearing",
        preemptions: 3,
        body: collected_beside_a_clearing,
        kills: &["map.floor_last", "map.collect_recheck", "map.collect_fence"],
    },
    Model {
        name: "dies_inserting",
        preemptions: 2,
        body: dies_in::<INSERT>,
        kills: &["map.settled", "map.mending", "map.commit_first"],
    },
    Model { name: "dies_replacing", preemptions: 2, body: dies_in::<REPLACE>, kills: &["map.settled", "map.mending"] },
    Model { name: "dies_removing", preemptions: 2, body: dies_in::<REMOVE>, kills: &["map.settled", "map.mending"] },
    Model { name: "dies_clearing", preemptions: 1, body: dies_in::<CLEAR>, kills: &["map.settled"] },
    Model { name: "dies_mending", preemptions: 2, body: dies_mending, kills: &["map.mending"] },
];

const ENTRIES: usize = 2;
const UNITS: usize = 3;

const INSERT: u8 = 0;
const REPLACE: u8 = 1;
const REMOVE: u8 = 2;
const CLEAR: u8 = 3;

#[derive(Default)]
struct Unit {
    key: AtomicU64,
    halves: [AtomicU64; 2],
}

struct Shared {
    books: Books,
    entries: [Entry; ENTRIES],
    heads: [AtomicU32; 2],
    taken: [AtomicU64; 1],
    units: [AtomicU64; 1],
    heap: [Unit; UNITS],
    killed: AtomicU32,
}

/// Half of the keys are in each of two chains.
fn hash(key: u64) -> u32 {
    key as u32 & 1
}

/// The items of different keys weigh differently.
fn weight(key: u64) -> u64 {
    10_u64.pow(key as u32)
}

impl Shared {
    /// With these items.
    fn with(items: &[u64]) -> Arc<Self> {
        let shared = Arc::new(Shared {
            books: Books::new(),
            entries: std::array::from_fn(|_| Entry::new()),
            heads: [0; 2].map(AtomicU32::new),
            taken: [AtomicU64::new(0)],
            units: [AtomicU64::new(0)],
            heap: std::array::from_fn(|_| Unit::default()),
            killed: AtomicU32::new(0),
        });
        items.iter().for_each(|&key| shared.insert(key, 1, false));
        shared
    }

    fn table<'a>(&'a self, breathe: &'a dyn Fn()) -> Table<'a> {
        Table {
            books: &self.books,
            entries: &self.entries,
            heads: &self.heads,
            taken: Bits::new(&self.taken, ENTRIES as u32),
            units: Bits::new(&self.units, UNITS as u32),
            breathe,
        }
    }

    /// Where the mortal may die.
    fn breathe(&self, is_mortal: bool) {
        if is_mortal && self.killed.load(Ordering::Relaxed) == 1 {
            resume_unwind(Box::new("killed"));
        }
    }

    fn look(&self, key: u64, unit: u32) -> Look<[u64; 2]> {
        let unit = &self.heap[unit as usize];
        if unit.key.load(Ordering::Relaxed) != key {
            return Look::Other;
        }
        Look::This([0, 1].map(|half: usize| unit.halves[half].load(Ordering::Relaxed)))
    }

    /// The value of a key, if nobody came between too often.
    fn get(&self, key: u64) -> Result<Option<[u64; 2]>, Unread> {
        self.table(&|| ()).find(hash(key), |_, unit| self.look(key, unit))
    }

    fn sum(&self) -> Result<Sum, Unread> {
        self.table(&|| ()).sum()
    }

    // The holder of the lock.

    fn place(&self, key: u64) -> (u32, Piece) {
        let found = self.table(&|| ()).find(hash(key), |entry, unit| match self.look(key, unit) {
            Look::This(_) => Look::This((entry, Piece { unit, len: 1 })),
            _ => Look::Other,
        });
        found.unwrap().expect("it is there")
    }

    fn fill(&self, unit: u32, key: u64, value: u64, is_mortal: bool) {
        let unit = &self.heap[unit as usize];
        unit.key.store(key, Ordering::Relaxed);
        unit.halves[0].store(value, Ordering::Relaxed);
        self.breathe(is_mortal);
        unit.halves[1].store(value, Ordering::Relaxed);
    }

    fn insert(&self, key: u64, value: u64, is_mortal: bool) {
        let breathe = || self.breathe(is_mortal);
        let table = self.table(&breathe);
        let before = table.sum().unwrap();
        let after = Sum { items: before.items + 1, bytes: before.bytes + weight(key) };
        let (entry, new) = (table.find_entry().unwrap(), table.find_units(1).unwrap());
        table.insert(entry, hash(key), new, [before, after], || self.fill(new.unit, key, value, is_mortal));
    }

    fn replace(&self, key: u64, value: u64, is_mortal: bool) {
        let breathe = || self.breathe(is_mortal);
        let table = self.table(&breathe);
        let sum = table.sum().unwrap();
        let ((entry, old), new) = (self.place(key), table.find_units(1).unwrap());
        table.replace(entry, old, new, [sum, sum], || self.fill(new.unit, key, value, is_mortal));
    }

    fn remove(&self, key: u64, is_mortal: bool) {
        let breathe = || self.breathe(is_mortal);
        let table = self.table(&breathe);
        let before = table.sum().unwrap();
        let after = Sum { items: before.items - 1, bytes: before.bytes - weight(key) };
        let (entry, old) = self.place(key);
        table.remove(entry, old, [before, after]);
    }

    fn clear(&self, is_mortal: bool) {
        let breathe = || self.breathe(is_mortal);
        let table = self.table(&breathe);
        table.clear(table.sum().unwrap());
    }

    /// As whoever gets the lock does.
    fn enter(&self, is_mortal: bool) {
        if !self.books.is_settled() {
            let breathe = || self.breathe(is_mortal);
            self.table(&breathe).mend(|unit| Some((1, weight(self.heap[unit as usize].key.load(Ordering::Relaxed)))));
        }
    }

    /// All is in order: there is what can be found, and no memory is lost.
    fn must_be_whole(&self, expected: &[(u64, u64)]) {
        let table = self.table(&|| ());
        for &(key, value) in expected {
            assert_eq!(self.get(key), Ok(Some([value; 2])));
        }
        let sum = Sum {
            items: expected.len() as u32,
            bytes: expected.iter().map(|&(key, _)| weight(key)).sum(),
        };
        assert_eq!(table.sum(), Ok(sum));
        let in_use = self.units[0].load(Ordering::Relaxed).count_ones() as usize;
        let taken = self.taken[0].load(Ordering::Relaxed).count_ones() as usize;
        assert_eq!((in_use, taken), (expected.len(), expected.len()), "lost, or free though it is in use");
    }
}

/// A value is replaced twice, so that the second one lies where the first one was.
fn read_against_two_replacements() {
    let shared = Shared::with(&[1]);
    let writer = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.replace(1, 2, false);
            shared.replace(1, 3, false);
        }
    });
    match shared.get(1) {
        Ok(Some(value)) => assert!(value[0] == value[1] && value[0] != 0, "torn: {value:?}"),
        Ok(None) => panic!("it was there all the time"),
        Err(why) => assert_eq!(why, Unread::Overtaken),
    }
    writer.join().unwrap();
    shared.must_be_whole(&[(1, 3)]);
}

/// Whatever becomes part of a chain in front of an item, that is found. The entry had been the last one of a chain before.
fn inserted_in_front_of_what_is_sought() {
    let shared = Shared::with(&[3, 1]);
    shared.remove(3, false);
    let writer = thread::spawn({
        let shared = shared.clone();
        move || shared.insert(5, 2, false)
    });
    assert!(!matches!(shared.get(1), Ok(None)), "it was there all the time");
    writer.join().unwrap();
    shared.must_be_whole(&[(1, 1), (5, 2)]);
}

/// Who stands on an entry that is removed and becomes part of another chain finds what comes after it nevertheless.
fn led_astray() {
    let shared = Shared::with(&[1, 3]);
    let writer = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.remove(3, false);
            shared.insert(2, 2, false);
        }
    });
    assert!(!matches!(shared.get(1), Ok(None)), "it was there all the time");
    writer.join().unwrap();
    shared.must_be_whole(&[(1, 1), (2, 2)]);
}

/// One and two, then both, then only the second: the sum is that of one of these moments, and none is followed by an earlier one.
fn counted_beside_a_writer() {
    let shared = Shared::with(&[1]);
    let writer = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.insert(2, 2, false);
            shared.remove(1, false);
        }
    });
    let moment = |sum: Sum| match (sum.items, sum.bytes) {
        (1, 10) => 0,
        (2, 110) => 1,
        (1, 100) => 2,
        _ => panic!("of no moment: {sum:?}"),
    };
    if let Ok(sum) = shared.sum() {
        let moment = moment(sum);
        if moment > 0 {
            assert_ne!(shared.get(2), Ok(None), "it was counted");
        }
        if moment > 1 {
            assert_eq!(shared.get(1), Ok(None), "it is not counted any more");
        }
    }
    writer.join().unwrap();
    shared.must_be_whole(&[(2, 2)]);
}

/// All are removed at once, and another one comes.
fn collected_beside_a_clearing() {
    let shared = Shared::with(&[1, 2]);
    let writer = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.clear(false);
            shared.insert(3, 3, false);
        }
    });
    let mut seen = vec![];
    let table = shared.table(&|| ());
    let floor = table.collect(|_, order, unit| {
        seen.push((order, shared.heap[unit as usize].key.load(Ordering::Relaxed)));
        true
    });
    if let Ok(floor) = floor {
        seen.retain(|&(order, _)| order >= floor);
        seen.sort();
        let keys: Vec<u64> = seen.into_iter().map(|(_, key)| key).collect();
        assert!([&[1, 2][..], &[], &[3]].contains(&&keys[..]), "of no moment: {keys:?}");
    }
    writer.join().unwrap();
    shared.must_be_whole(&[(3, 3)]);
}

/// A writer dies at any step. Beside his heir, who puts all in order and changes something himself, one looks.
fn dies_in<const WHAT: u8>() {
    // One is at the end of a chain, and the other one is changed.
    let shared = Shared::with(if WHAT == INSERT { &[1] } else { &[1, 3] });
    let victim = thread::spawn({
        let shared = shared.clone();
        move || {
            catch_unwind(AssertUnwindSafe(|| match WHAT {
                INSERT => shared.insert(3, 2, true),
                REPLACE => shared.replace(3, 2, true),
                REMOVE => shared.remove(3, true),
                _ => shared.clear(true),
            }))
            .is_ok()
        }
    });
    shared.killed.store(1, Ordering::Relaxed);
    let lived = victim.join().unwrap();
    let (one, three, sum) = (shared.get(1).unwrap(), shared.get(3).unwrap(), shared.sum().unwrap());
    let happened = match (WHAT, one, three, sum.items) {
        (INSERT, Some([1, 1]), None, 1) | (REPLACE | REMOVE | CLEAR, Some([1, 1]), Some([1, 1]), 2) => false,
        (INSERT | REPLACE, Some([1, 1]), Some([2, 2]), 2) => true,
        (REMOVE, Some([1, 1]), None, 1) | (CLEAR, None, None, 0) => true,
        other => panic!("neither: {other:?}"),
    };
    assert!(happened || !lived, "it was lost");
    let reader = thread::spawn({
        let shared = shared.clone();
        move || assert_eq!(shared.get(1), Ok(one), "nobody changed that")
    });
    shared.enter(false);
    let mut expected: Vec<(u64, u64)> = [(1, one), (3, three)]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?[0])))
        .collect();
    shared.must_be_whole(&expected);
    if expected.len() < ENTRIES {
        shared.insert(5, 5, false);
        expected.push((5, 5));
    } else {
        shared.replace(3, 9, false);
        expected[1].1 = 9;
    }
    reader.join().unwrap();
    shared.must_be_whole(&expected);
}

/// Who puts in order what a dead one left dies of it too. All items are to be seen all the time.
fn dies_mending() {
    let shared = Shared::with(&[1, 3]);
    let died = catch_unwind(AssertUnwindSafe(|| {
        let table = shared.table(&|| ());
        let sum = table.sum().unwrap();
        let ((entry, old), new) = (shared.place(1), table.find_units(1).unwrap());
        table.replace(entry, old, new, [sum, sum], || resume_unwind(Box::new("killed")));
    }));
    assert!(died.is_err());
    let second = thread::spawn({
        let shared = shared.clone();
        move || catch_unwind(AssertUnwindSafe(|| shared.enter(true))).is_ok()
    });
    shared.killed.store(1, Ordering::Relaxed);
    assert_eq!(shared.get(1), Ok(Some([1, 1])), "nobody changed that");
    second.join().unwrap();
    shared.enter(false);
    shared.must_be_whole(&[(1, 1), (3, 1)]);
}

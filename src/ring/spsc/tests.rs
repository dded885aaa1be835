use core::ptr::NonNull;
use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// A ring on the heap, between two rows of canaries.
struct Heap {
    header: Box<Header>,
    slots: Vec<Slot<u64>>,
    geometry: Geometry,
}

const CANARY: u64 = 0xCA9A_21E5_0DD5_EED5;
const GUARD: usize = 16;

impl Heap {
    fn new(capacity: u64, start: u64) -> Heap {
        let geometry = Geometry::new(capacity).unwrap();
        let slots: Vec<_> = (0..geometry.slots() as usize + 2 * GUARD).map(|_| Slot::vacant()).collect();
        for (i, slot) in slots.iter().enumerate() {
            let inside = i >= GUARD && i < slots.len() - GUARD;
            // SAFETY: nobody else knows the slots yet.
            unsafe { slot.write(if inside { 0 } else { CANARY }) };
        }
        Heap { header: Box::new(Header::starting_at(start)), slots, geometry }
    }

    fn ring(&self) -> Ring<u64> {
        // SAFETY: header and slots are initialised and stay where they are as long as `self`, which the tests
        // keep longer than the ring.
        unsafe { Ring::new(NonNull::from(&*self.header), NonNull::from(&self.slots[GUARD]), self.geometry) }
    }

    /// Both sides. The tests use each from one thread and drop them before they make others.
    fn pair(&self) -> (Writer<u64>, Reader<u64>) {
        (self.writer().unwrap(), self.reader().unwrap())
    }

    fn writer(&self) -> Result<Writer<u64>, Corrupt> {
        // SAFETY: see `pair`.
        unsafe { Writer::attach(self.ring()) }
    }

    fn reader(&self) -> Result<Reader<u64>, Corrupt> {
        // SAFETY: see `pair`.
        unsafe { Reader::attach(self.ring()) }
    }

    fn assert_canaries(&self) {
        let end = self.slots.len() - GUARD;
        for slot in self.slots[..GUARD].iter().chain(&self.slots[end..]) {
            // SAFETY: initialised in `new`, and no other thread runs.
            assert_eq!(unsafe { slot.read() }, CANARY, "the ring wrote outside its slots");
        }
    }
}

#[test]
fn geometry_takes_any_capacity_but_none_and_too_much() {
    assert_eq!(Geometry::new(0), None);
    assert_eq!(Geometry::new(u64::MAX), None);
    assert_eq!(Geometry::new(Geometry::MAX_CAPACITY + 1), None);
    assert!(Geometry::new(Geometry::MAX_CAPACITY).is_some());
    for (capacity, slots) in [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1000, 1024)] {
        assert_eq!(Geometry::new(capacity).unwrap().slots(), slots);
        assert_eq!(Geometry::new(capacity).unwrap().capacity(), capacity);
    }
}

#[test]
fn full_at_exactly_the_capacity() {
    for capacity in 1..=9 {
        let heap = Heap::new(capacity, u64::MAX - 3);
        let (mut tx, mut rx) = heap.pair();
        for lap in 0..3 {
            for i in 0..capacity {
                tx.push(lap * 100 + i).unwrap();
            }
            assert_eq!(tx.push(0), Err(WriteError::Full), "capacity {capacity}");
            for i in 0..capacity {
                assert_eq!(rx.pop(), Ok(lap * 100 + i));
            }
            assert_eq!(rx.pop(), Err(ReadError::Empty));
        }
    }
}

#[test]
fn a_batch_appears_at_once_and_returns_at_once() {
    let heap = Heap::new(5, 0);
    let (mut tx, mut rx) = heap.pair();
    assert_eq!(tx.claim(), Ok(5));
    for i in 0..4 {
        assert!(tx.write(i, 10 + i));
        assert_eq!(rx.available(), Err(ReadError::Empty), "written is not published");
    }
    assert!(!tx.write(5, 0), "slot 5 was never claimed");
    tx.publish(4);
    assert_eq!(rx.available(), Ok(4));
    assert_eq!(
        (0..5).map(|i| rx.read(i)).collect::<Vec<_>>(),
        [Some(10), Some(11), Some(12), Some(13), None]
    );
    assert_eq!(tx.claim(), Ok(1));
    tx.publish(9);
    assert_eq!(tx.claim(), Err(WriteError::Full), "more than claimed cannot be published");
    rx.release(3);
    assert_eq!(tx.claim(), Ok(3));
    assert_eq!(rx.read(0), Some(13));
    rx.release(u64::MAX);
    assert_eq!(rx.position(), 4, "more than seen cannot be released");
    assert_eq!(heap.header.counts(), Counts { written: 5, read: 4 });
}

#[test]
fn a_new_owner_goes_on_where_the_dead_one_stopped() {
    let heap = Heap::new(3, u64::MAX);
    let (mut tx, mut rx) = heap.pair();
    tx.push(1).unwrap();
    tx.push(2).unwrap();
    tx.claim().unwrap();
    tx.write(0, 666); // dies before publishing
    assert_eq!(rx.pop(), Ok(1));
    rx.available().unwrap();
    assert_eq!(rx.read(0), Some(2)); // dies before releasing
    let (mut tx, mut rx) = heap.pair();
    assert_eq!(tx.claim(), Ok(2));
    tx.push(3).unwrap();
    assert_eq!((rx.pop(), rx.pop(), rx.pop()), (Ok(2), Ok(3), Err(ReadError::Empty)));
}

#[test]
fn an_impossible_index_is_told_with_its_numbers() {
    let heap = Heap::new(4, 100);
    let (mut tx, mut rx) = heap.pair();
    heap.header.tail.store(105, Ordering::Relaxed);
    let corrupt = Corrupt { field: "tail", found: 5, limit: 4, place: None };
    assert_eq!(rx.pop(), Err(ReadError::Corrupt(corrupt)));
    assert_eq!(rx.pop(), Err(ReadError::Corrupt(corrupt)), "it stays corrupt until repaired");
    assert_eq!(corrupt.to_string(), "the shared memory is corrupt: tail is 5, the limit is 4");
    assert_eq!(heap.reader().unwrap_err(), corrupt);
    heap.header.tail.store(99, Ordering::Relaxed);
    assert_eq!(
        rx.refresh(),
        Err(Corrupt { field: "tail", found: u64::MAX, limit: 4, place: None }),
        "backwards"
    );
    heap.header.tail.store(100, Ordering::Relaxed);
    assert_eq!(rx.pop(), Err(ReadError::Empty), "and is fine when it is");

    heap.header.head.store(101, Ordering::Relaxed);
    assert_eq!(
        tx.refresh(),
        Err(Corrupt { field: "head", found: 1, limit: 0, place: None }),
        "past the tail"
    );
    assert!(heap.writer().is_err());
    heap.header.head.store(100, Ordering::Relaxed);
    for i in 0..4 {
        tx.push(i).unwrap();
    }
    heap.header.head.store(99, Ordering::Relaxed);
    assert_eq!(
        tx.push(0),
        Err(WriteError::Corrupt(Corrupt { field: "head", found: u64::MAX, limit: 4, place: None }))
    );
    heap.header.head.store(100, Ordering::Relaxed);
    assert_eq!(tx.push(0), Err(WriteError::Full));
    heap.assert_canaries();
}

#[derive(Debug, Clone)]
enum Step {
    Push(u64),
    Batch(u64),
    Pop,
    Drain(u64),
    NewWriter,
    NewReader,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<u64>().prop_map(Step::Push),
        2 => (0_u64..20).prop_map(Step::Batch),
        4 => Just(Step::Pop),
        2 => (0_u64..20).prop_map(Step::Drain),
        1 => Just(Step::NewWriter),
        1 => Just(Step::NewReader),
    ]
}

#[derive(Debug, Clone)]
enum Scribble {
    Tail(u64),
    Head(u64),
    TailNear(u64),
    HeadNear(u64),
    Honest(Step),
}

fn scribble() -> impl Strategy<Value = Scribble> {
    prop_oneof![
        1 => any::<u64>().prop_map(Scribble::Tail),
        1 => any::<u64>().prop_map(Scribble::Head),
        2 => (0_u64..40).prop_map(Scribble::TailNear),
        2 => (0_u64..40).prop_map(Scribble::HeadNear),
        8 => step().prop_map(Scribble::Honest),
    ]
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), (0_u64..64).prop_map(|back| u64::MAX - back), any::<u64>()]
}

proptest! {
    /// Any sequence of honest operations does what a queue does, wherever the positions start.
    #[test]
    fn behaves_as_a_queue(
        capacity in 1_u64..20,
        start in start(),
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let heap = Heap::new(capacity, start);
        let (mut tx, mut rx) = heap.pair();
        let mut oracle = VecDeque::new();
        let free = |oracle: &VecDeque<u64>| capacity - oracle.len() as u64;
        for step in steps {
            match step {
                Step::Push(value) => {
                    let expected = if free(&oracle) > 0 { Ok(()) } else { Err(WriteError::Full) };
                    prop_assert_eq!(tx.push(value), expected);
                    if expected.is_ok() {
                        oracle.push_back(value);
                    }
                }
                Step::Batch(n) => {
                    tx.refresh().unwrap();
                    prop_assert_eq!(tx.claimed(), free(&oracle));
                    let n = n.min(tx.claimed());
                    for i in 0..n {
                        prop_assert!(tx.write(i, i));
                    }
                    tx.publish(n);
                    oracle.extend(0..n);
                }
                Step::Pop => {
                    prop_assert_eq!(rx.pop().ok(), oracle.pop_front());
                }
                Step::Drain(n) => {
                    rx.refresh().unwrap();
                    prop_assert_eq!(rx.seen(), oracle.len() as u64);
                    let n = n.min(rx.seen());
                    for i in 0..n {
                        prop_assert_eq!(rx.read(i), oracle.pop_front());
                    }
                    rx.release(n);
                }
                Step::NewWriter => tx = heap.writer().unwrap(),
                Step::NewReader => rx = heap.reader().unwrap(),
            }
            let counts = heap.header.counts();
            prop_assert_eq!(counts.written.wrapping_sub(counts.read), oracle.len() as u64);
        }
        heap.assert_canaries();
    }

    /// Whatever stands in the shared header, every call ends with a value or an error and stays in its slots.
    #[test]
    fn survives_a_hostile_peer(
        capacity in 1_u64..20,
        start in start(),
        steps in proptest::collection::vec(scribble(), 1..200),
    ) {
        let heap = Heap::new(capacity, start);
        let (mut tx, mut rx) = heap.pair();
        for step in steps {
            match step {
                Scribble::Tail(value) => heap.header.tail.store(value, Ordering::Relaxed),
                Scribble::Head(value) => heap.header.head.store(value, Ordering::Relaxed),
                Scribble::TailNear(ahead) => {
                    heap.header.tail.store(rx.position().wrapping_add(ahead).wrapping_sub(20), Ordering::Relaxed);
                }
                Scribble::HeadNear(ahead) => {
                    heap.header.head.store(tx.position().wrapping_add(ahead).wrapping_sub(20), Ordering::Relaxed);
                }
                Scribble::Honest(Step::Push(value)) => {
                    let _ = tx.push(value);
                }
                Scribble::Honest(Step::Batch(n)) => {
                    if let Ok(claimed) = tx.claim() {
                        prop_assert!(claimed <= capacity);
                        for i in 0..n {
                            tx.write(i, i);
                        }
                        tx.publish(n);
                    }
                }
                Scribble::Honest(Step::Pop) => prop_assert_ne!(rx.pop(), Ok(CANARY)),
                Scribble::Honest(Step::Drain(n)) => {
                    if let Ok(seen) = rx.available() {
                        prop_assert!(seen <= capacity);
                        for i in 0..n {
                            prop_assert_ne!(rx.read(i), Some(CANARY));
                        }
                        rx.release(n);
                    }
                }
                Scribble::Honest(Step::NewWriter) => tx = heap.writer().unwrap_or(tx),
                Scribble::Honest(Step::NewReader) => rx = heap.reader().unwrap_or(rx),
            }
            prop_assert!(tx.claimed() <= capacity && rx.seen() <= capacity);
        }
        heap.assert_canaries();
    }
}

/// A million messages through rings of every small size, checked one by one by another thread.
#[test]
fn two_threads_agree_on_every_message() {
    for capacity in [1, 3, 64] {
        let heap = Heap::new(capacity, u64::MAX - 1000);
        let (mut tx, mut rx) = heap.pair();
        let total = if capacity == 1 { 20_000 } else { 300_000 };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for i in 0..total {
                    while tx.push(i) == Err(WriteError::Full) {
                        std::thread::yield_now();
                    }
                }
            });
            for i in 0..total {
                let value = loop {
                    match rx.pop() {
                        Ok(value) => break value,
                        Err(ReadError::Empty) => std::thread::yield_now(),
                        Err(corrupt) => panic!("{corrupt}"),
                    }
                };
                assert_eq!(value, i);
            }
        });
        heap.assert_canaries();
    }
}

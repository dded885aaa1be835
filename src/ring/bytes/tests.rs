use core::ptr::NonNull;
use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::ring::{ReadError, WriteError};

/// A ring whose mirrored storage lies between two pages that kill whoever touches them.
struct Mapped {
    header: Box<Header>,
    base: NonNull<u8>,
    size: u64,
}

// SAFETY: the mapping belongs to the value and is unmapped with it.
unsafe impl Sync for Mapped {}

const PAGE: usize = 4096;

impl Mapped {
    fn new(size: u64, start: u64) -> Mapped {
        assert!((size as usize).is_multiple_of(PAGE));
        let n = size as usize;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh reservation; it touches nothing that exists.
        let reserved =
            unsafe { libc::mmap(core::ptr::null_mut(), 2 * n + 2 * PAGE, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(reserved, libc::MAP_FAILED);
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"ring-test".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0);
        // SAFETY: a number and a length.
        assert_eq!(unsafe { libc::ftruncate(fd, n as libc::off_t) }, 0);
        for half in 0..2 {
            let at = reserved.cast::<u8>().wrapping_add(PAGE + half * n).cast();
            let rw = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: replaces part of the reservation made above.
            let mapped = unsafe { libc::mmap(at, n, rw, libc::MAP_SHARED | libc::MAP_FIXED, fd, 0) };
            assert_eq!(mapped, at);
        }
        // SAFETY: opened above.
        unsafe { libc::close(fd) };
        let base = NonNull::new(reserved.cast::<u8>().wrapping_add(PAGE)).unwrap();
        Mapped { header: Box::new(Header::starting_at(start)), base, size }
    }

    fn ring(&self) -> Ring {
        // SAFETY: mapped twice in a row in `new`, for as long as `self`, which the tests keep longer.
        let region = unsafe { Region::new(self.base, self.size) }.unwrap();
        // SAFETY: the header stays where it is as long as `self`.
        unsafe { Ring::new(NonNull::from(&*self.header), region) }
    }

    /// Both sides. The tests use each from one thread and drop them before they make others.
    fn pair(&self) -> (Writer, Reader) {
        (self.writer().unwrap(), self.reader().unwrap())
    }

    fn writer(&self) -> Result<Writer, Corrupt> {
        // SAFETY: see `pair`.
        unsafe { Writer::attach(self.ring()) }
    }

    fn reader(&self) -> Result<Reader, Corrupt> {
        // SAFETY: see `pair`.
        unsafe { Reader::attach(self.ring()) }
    }

    fn scribble(&self, position: u64, word: u64) {
        // SAFETY: one thread.
        unsafe { self.ring().region().store(position, word) };
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let start = self.base.as_ptr().wrapping_sub(PAGE).cast();
        // SAFETY: the reservation of `new`, whole; nobody uses it any more.
        unsafe { libc::munmap(start, 2 * self.size as usize + 2 * PAGE) };
    }
}

fn payload(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9).rotate_left(13) as u8).collect()
}

fn pop(rx: &mut Reader) -> Result<(Vec<u8>, u32), ReadError> {
    let record = rx.peek()?;
    let mut bytes = vec![0; record.len()];
    assert_eq!(rx.pop(&mut bytes)?, record);
    Ok((bytes, record.tag()))
}

#[test]
fn sizes_are_powers_of_two_from_a_page_on() {
    for size in [0, 1, 2048, 4095, 4097, 12288, 1 << 45, u64::MAX] {
        assert!(!Region::is_valid_size(size), "{size}");
    }
    assert!(Region::is_valid_size(4096) && Region::is_valid_size(1 << 44));
}

#[test]
fn one_record_may_fill_the_ring_and_none_more() {
    let ring = Mapped::new(4096, u64::MAX - 4095 + 8);
    let (mut tx, mut rx) = ring.pair();
    let whole = payload(4088, 7);
    for _ in 0..3 {
        tx.push(&whole, 5).unwrap();
        assert_eq!(tx.push(&[], 0), Err(WriteError::Full));
        assert_eq!(pop(&mut rx), Ok((whole.clone(), 5)));
        assert_eq!(rx.peek(), Err(ReadError::Empty));
        tx.push(&[], 1).unwrap();
        assert_eq!(tx.push(&whole, 5), Err(WriteError::Full));
        assert_eq!(pop(&mut rx), Ok((vec![], 1)));
    }
    for len in [4089, 1 << 32, usize::MAX] {
        let too_large = WriteError::TooLarge { len: len as u64, max: 4088 };
        assert_eq!(tx.reserve(len).unwrap_err(), too_large);
    }
}

#[test]
fn every_length_at_every_place() {
    let ring = Mapped::new(4096, 0);
    let (mut tx, mut rx) = ring.pair();
    for len in (0..=4088).chain((0..=4088).rev().step_by(7)) {
        let bytes = payload(len, len as u64);
        tx.push(&bytes, len as u32).unwrap();
        let record = rx.peek().unwrap();
        let mut part = [0; 5];
        let copied = rx.copy_out(&record, len / 2, &mut part);
        assert_eq!(part[..copied], bytes[len / 2..(len / 2 + 5).min(len)]);
        assert_eq!(rx.copy_out(&record, len + 1, &mut part), 0);
        assert_eq!(pop(&mut rx), Ok((bytes, len as u32)));
    }
    let counts = ring.header.counts();
    assert_eq!((counts.written, counts.read), (4089 + 585, 4089 + 585));
    assert_eq!(counts.written_bytes, counts.read_bytes);
}

#[test]
fn a_record_is_contiguous_across_the_end() {
    let ring = Mapped::new(4096, 4096 - 16);
    let (mut tx, mut rx) = ring.pair();
    let reservation = tx.reserve(1000).unwrap();
    let bytes = payload(1000, 3);
    let place = ring.ring().region().address(reservation.payload());
    // SAFETY: the reservation is 1000 bytes of mapped memory that nobody else uses.
    unsafe { place.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), 1000) };
    tx.commit(reservation, 999, 0);
    let record = rx.peek().unwrap();
    let place = ring.ring().region().address(record.payload());
    // SAFETY: the record's bytes; nobody writes them until it is released.
    assert_eq!(unsafe { core::slice::from_raw_parts(place.as_ptr(), record.len()) }, &bytes[..999]);
}

#[test]
fn staged_records_appear_at_once_and_return_at_once() {
    let ring = Mapped::new(4096, 0);
    let (mut tx, mut rx) = ring.pair();
    for i in 0..4 {
        let reservation = tx.reserve(8).unwrap();
        assert_eq!(tx.fill(&reservation, 0, &[i; 9]), 8, "no more than reserved");
        assert_eq!(tx.fill(&reservation, 9, &[i]), 0);
        tx.stage(reservation, usize::from(i), u32::from(i));
        assert_eq!(rx.peek(), Err(ReadError::Empty), "staged is not published");
    }
    tx.publish();
    let first = rx.peek().unwrap();
    for i in 0..4_u8 {
        let record = rx.peek().unwrap();
        assert_eq!((record.len(), record.tag()), (usize::from(i), u32::from(i)));
        rx.advance(&record);
    }
    assert_eq!(rx.peek(), Err(ReadError::Empty));
    assert_eq!(ring.header.counts().read, 0);
    rx.rewind();
    assert_eq!(rx.peek(), Ok(first), "not released, so it comes again");
    rx.advance(&first);
    rx.release();
    assert_eq!((ring.header.counts().read, ring.header.counts().written), (1, 4));
    let mut byte = [0];
    assert_eq!(rx.copy_out(&first, 0, &mut byte), 0, "released, so it is out of reach");

    let reservation = tx.reserve(8).unwrap();
    tx.stage(reservation, 8, 9);
    tx.discard();
    tx.publish();
    assert_eq!(ring.header.counts().written, 4);
}

#[test]
fn a_new_owner_goes_on_where_the_dead_one_stopped() {
    let ring = Mapped::new(4096, u64::MAX - 15);
    let (mut tx, mut rx) = ring.pair();
    tx.push(b"one", 1).unwrap();
    tx.push(b"two", 2).unwrap();
    let reservation = tx.reserve(100).unwrap();
    tx.fill(&reservation, 0, &[6; 66]);
    tx.stage(reservation, 66, 666); // dies before publishing
    assert_eq!(pop(&mut rx), Ok((b"one".to_vec(), 1)));
    let record = rx.peek().unwrap();
    rx.advance(&record); // dies before releasing
    let (mut tx, mut rx) = ring.pair();
    tx.push(b"three", 3).unwrap();
    assert_eq!(pop(&mut rx), Ok((b"two".to_vec(), 2)));
    assert_eq!(pop(&mut rx), Ok((b"three".to_vec(), 3)));
    assert_eq!(rx.peek(), Err(ReadError::Empty));
    assert_eq!((ring.header.counts().written, ring.header.counts().read), (3, 3));
}

#[test]
fn reload_follows_another_holder_of_the_same_side() {
    let ring = Mapped::new(4096, 0);
    let (mut tx, mut rx) = ring.pair();
    let mut other = ring.writer().unwrap();
    for i in 0..200_u8 {
        other.push(&[i; 1000], 0).unwrap();
        // SAFETY: here and below the two writers take turns in one thread, as holders of a lock would.
        unsafe { tx.reload() }.unwrap();
        tx.push(&[!i; 1000], 1).unwrap();
        // SAFETY: as above.
        unsafe { other.reload() }.unwrap();
        assert_eq!(pop(&mut ring.reader().unwrap()), Ok((vec![i; 1000], 0)));
        // SAFETY: as above.
        unsafe { rx.reload() }.unwrap();
        assert_eq!(pop(&mut rx), Ok((vec![!i; 1000], 1)));
    }
    assert_eq!((ring.header.counts().written, ring.header.counts().read), (400, 400));
}

#[test]
fn impossible_words_are_told_with_their_numbers() {
    let ring = Mapped::new(4096, 0);
    let (mut tx, mut rx) = ring.pair();
    tx.push(&[1; 100], 0).unwrap();
    ring.scribble(0, 105);
    let corrupt = Corrupt { field: "record length", found: 105, limit: 104, place: None };
    assert_eq!(rx.peek(), Err(ReadError::Corrupt(corrupt)));
    ring.scribble(0, u64::from(u32::MAX));
    let corrupt = Corrupt { field: "record length", found: u64::from(u32::MAX), limit: 104, place: None };
    assert_eq!(rx.pop(&mut []), Err(ReadError::Corrupt(corrupt)));
    ring.scribble(0, 104);
    assert_eq!(rx.peek().unwrap().len(), 104, "padding may be payload: the bytes are the record's own");

    ring.header.tail.position.store(116, Ordering::Relaxed);
    assert_eq!(rx.refresh(), Err(Corrupt { field: "tail", found: 4, limit: 0, place: None }));
    assert_eq!(ring.writer().unwrap_err(), Corrupt { field: "tail", found: 4, limit: 0, place: None });
    ring.header.tail.position.store(4096 + 8, Ordering::Relaxed);
    assert_eq!(rx.refresh(), Err(Corrupt { field: "tail", found: 3992, limit: 3984, place: None }));
    ring.header.tail.position.store(112, Ordering::Relaxed);
    ring.header.head.position.store(120, Ordering::Relaxed);
    assert_eq!(tx.refresh(), Err(Corrupt { field: "head", found: 120, limit: 112, place: None }));
    ring.header.head.position.store(u64::MAX - 7, Ordering::Relaxed);
    assert_eq!(tx.refresh(), Err(Corrupt { field: "head", found: u64::MAX - 7, limit: 112, place: None }));
    ring.header.head.position.store(0, Ordering::Relaxed);
    assert_eq!(tx.refresh(), Ok(()));
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Stage(usize, usize),
    Publish,
    Discard,
    Pop,
    Advance,
    Release,
    Rewind,
    NewWriter,
    NewReader,
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0_usize..40, 2 => 0_usize..1500, 1 => 4000_usize..4100, 1 => any::<usize>()]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => len().prop_map(Step::Push),
        4 => (len(), len()).prop_map(|(len, actual)| Step::Stage(len, actual)),
        3 => Just(Step::Publish),
        1 => Just(Step::Discard),
        6 => Just(Step::Pop),
        4 => Just(Step::Advance),
        3 => Just(Step::Release),
        1 => Just(Step::Rewind),
        1 => Just(Step::NewWriter),
        1 => Just(Step::NewReader),
    ]
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        (0_u64..1024).prop_map(|back| (u64::MAX - 7) - 8 * back),
        any::<u64>().prop_map(|p| p & !7)
    ]
}

proptest! {
    /// Any sequence of honest operations does what a queue of byte strings does, wherever the positions start.
    #[test]
    fn behaves_as_a_queue(
        start in start(),
        doubled in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let size = if doubled { 8192 } else { 4096 };
        let ring = Mapped::new(size, start);
        let (mut tx, mut rx) = ring.pair();
        let mut staged: Vec<(Vec<u8>, u32)> = Vec::new();
        let mut queue: VecDeque<(Vec<u8>, u32)> = VecDeque::new();
        let mut passed = 0;
        let used = |queue: &VecDeque<(Vec<u8>, u32)>, staged: &Vec<(Vec<u8>, u32)>| -> u64 {
            queue.iter().chain(staged).map(|(bytes, _)| footprint(bytes.len() as u64)).sum()
        };
        for (i, step) in (0_u32..).zip(steps) {
            match step {
                Step::Push(len) | Step::Stage(len, _) => {
                    let max = size - 8;
                    let expected = if len as u64 > max {
                        Err(WriteError::TooLarge { len: len as u64, max })
                    } else if footprint(len as u64) > size - used(&queue, &staged) {
                        Err(WriteError::Full)
                    } else {
                        Ok(())
                    };
                    let bytes = payload(if expected.is_ok() { len } else { 0 }, u64::from(i));
                    match (tx.reserve(len), expected) {
                        (Err(error), Err(expected)) => prop_assert_eq!(error, expected),
                        (Ok(reservation), Ok(())) => {
                            prop_assert_eq!(tx.fill(&reservation, 0, &bytes), len);
                            if let Step::Stage(_, actual) = step {
                                tx.stage(reservation, actual, i);
                                staged.push((bytes[..actual.min(len)].to_vec(), i));
                            } else {
                                tx.commit(reservation, len, i);
                                queue.extend(staged.drain(..));
                                queue.push_back((bytes, i));
                            }
                        }
                        (got, expected) => prop_assert!(false, "{got:?} instead of {expected:?}"),
                    }
                }
                Step::Publish => {
                    tx.publish();
                    queue.extend(staged.drain(..));
                }
                Step::Discard => {
                    tx.discard();
                    staged.clear();
                }
                Step::Pop => {
                    let expected = queue.get(passed).cloned();
                    prop_assert_eq!(pop(&mut rx).ok(), expected.clone());
                    if expected.is_some() {
                        queue.drain(..=passed);
                        passed = 0;
                    }
                }
                Step::Advance => match (rx.peek(), queue.get(passed)) {
                    (Ok(record), Some((bytes, tag))) => {
                        let mut copy = vec![0; record.len()];
                        prop_assert_eq!(rx.copy_out(&record, 0, &mut copy), bytes.len());
                        prop_assert_eq!((&copy, record.tag()), (bytes, *tag));
                        rx.advance(&record);
                        passed += 1;
                    }
                    (Err(ReadError::Empty), None) => {}
                    (got, expected) => prop_assert!(false, "{got:?} instead of {expected:?}"),
                },
                Step::Release => {
                    rx.release();
                    queue.drain(..passed);
                    passed = 0;
                }
                Step::Rewind => {
                    rx.rewind();
                    passed = 0;
                }
                Step::NewWriter => {
                    tx = ring.writer().unwrap();
                    staged.clear();
                }
                Step::NewReader => {
                    rx = ring.reader().unwrap();
                    passed = 0;
                }
            }
            let counts = ring.header.counts();
            prop_assert_eq!(counts.written_bytes.wrapping_sub(counts.read_bytes), used(&queue, &Vec::new()));
            prop_assert_eq!(counts.written - counts.read, queue.len() as u64);
        }
    }

    /// Whatever stands in the header and in the storage, every call ends with a value or an error; the pages
    /// around the storage would kill the test if one left it.
    #[test]
    fn survives_a_hostile_peer(
        start in start(),
        steps in proptest::collection::vec((any::<u8>(), any::<u64>(), step()), 1..200),
    ) {
        let ring = Mapped::new(4096, start);
        let (mut tx, mut rx) = ring.pair();
        for (what, value, step) in steps {
            let near = (value % 1024).wrapping_mul(8).wrapping_sub(4096);
            match what % 16 {
                0 => ring.header.tail.position.store(value, Ordering::Relaxed),
                1 => ring.header.head.position.store(value, Ordering::Relaxed),
                2 => ring.header.tail.position.store(rx.position().wrapping_add(near), Ordering::Relaxed),
                3 => ring.header.head.position.store(tx.position().wrapping_add(near), Ordering::Relaxed),
                4 => ring.header.tail.records.store(value, Ordering::Relaxed),
                5 => ring.scribble(value, value),
                6 => ring.scribble(rx.position(), value % 4200),
                // SAFETY: one thread, one writer, one reader.
                7 => drop(unsafe { tx.reload() }.is_ok()),
                // SAFETY: as above.
                8 => drop(unsafe { rx.reload() }.is_ok()),
                _ => {}
            }
            match step {
                Step::Push(len) => {
                    let _ = tx.push(&vec![1; len.min(5000)], 0);
                }
                Step::Stage(len, actual) => {
                    if let Ok(reservation) = tx.reserve(len) {
                        prop_assert_eq!(tx.fill(&reservation, 0, &vec![2; len]), len);
                        tx.stage(reservation, actual, 0);
                    }
                }
                Step::Publish => tx.publish(),
                Step::Discard => tx.discard(),
                Step::Pop | Step::Advance => {
                    if let Ok(record) = rx.peek() {
                        let mut copy = vec![0; record.len()];
                        prop_assert_eq!(rx.copy_out(&record, 0, &mut copy), copy.len());
                        rx.advance(&record);
                    }
                }
                Step::Release => rx.release(),
                Step::Rewind => rx.rewind(),
                Step::NewWriter => tx = ring.writer().unwrap_or(tx),
                Step::NewReader => rx = ring.reader().unwrap_or(rx),
            }
            prop_assert!(tx.free() <= 4096 && rx.seen() <= 4096);
            prop_assert!(tx.position() % 8 == 0 && rx.position() % 8 == 0);
        }
    }
}

/// Records of all lengths through a small ring, checked byte for byte by another thread.
#[test]
fn two_threads_agree_on_every_byte() {
    let ring = Mapped::new(4096, u64::MAX - 1023);
    let (mut tx, mut rx) = ring.pair();
    let length = |i: u64| (i.wrapping_mul(2_654_435_761) >> 7) as usize % 700;
    const TOTAL: u64 = 20_000;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for i in 0..TOTAL {
                let bytes = payload(length(i), i);
                while tx.push(&bytes, i as u32) == Err(WriteError::Full) {
                    std::thread::yield_now();
                }
            }
        });
        for i in 0..TOTAL {
            let (bytes, tag) = loop {
                match pop(&mut rx) {
                    Ok(record) => break record,
                    Err(ReadError::Empty) => std::thread::yield_now(),
                    Err(corrupt) => panic!("{corrupt}"),
                }
            };
            assert_eq!((bytes, tag), (payload(length(i), i), i as u32));
        }
    });
}

use super::*;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

const BARRIER: Barrier = Barrier::Fence;

/// A ring on the heap.
struct Heap<T> {
    header: Box<Header>,
    cells: Box<[Cell<T>]>,
}

impl<T: AnyBitPattern> Heap<T> {
    fn starting_at(lap: u64, capacity: u32) -> Self {
        let hint = Position::new(lap, 0).pack();
        Heap {
            header: Box::new(Header::hinting(hint, hint)),
            cells: (0..capacity).map(|_| Cell::vacant(lap)).collect(),
        }
    }

    fn new(capacity: u32) -> Self {
        Self::starting_at(0, capacity)
    }

    fn ring(&self) -> Ring<T> {
        let first = NonNull::from(&self.cells[..]).cast();
        // SAFETY: the boxes outlive the rings of each test, and hold what `new` asks for.
        unsafe { Ring::new(NonNull::from(&*self.header), first, self.cells.len() as u64) }.unwrap()
    }

    fn word(&self, index: usize) -> Word {
        Word(self.cells[index].word.load(crate::sync::Ordering::SeqCst))
    }

    fn set(&self, index: usize, word: Word) {
        self.cells[index].word.store(word.0, crate::sync::Ordering::SeqCst);
    }

    fn hint(&self, tail: u64, head: u64) {
        self.header.tail.store(tail, crate::sync::Ordering::SeqCst);
        self.header.head.store(head, crate::sync::Ordering::SeqCst);
    }
}

fn alive(_: u16) -> bool {
    false
}

fn nine_is_dead(index: u16) -> bool {
    index == 9
}

fn push(ring: Ring<u64>, value: u64) -> Result<u64, PushError> {
    ring.push(1, value, BARRIER)
}

fn pop(ring: Ring<u64>) -> Result<u64, PopError> {
    ring.pop(2, nine_is_dead).map(|popped| popped.value)
}

#[test]
fn any_capacity_is_exact_also_where_the_laps_wrap() {
    for capacity in [1, 2, 3, 5, 8] {
        for lap in [0, (1 << 40) - 2] {
            let heap = Heap::starting_at(lap, capacity);
            let ring = heap.ring();
            let mut next = 0;
            for _ in 0..4 {
                let first = next;
                while push(ring, next).is_ok() {
                    next += 1;
                }
                assert_eq!(next - first, u64::from(capacity));
                assert!(matches!(push(ring, 0), Err(PushError::Full(_))));
                for value in first..next {
                    assert_eq!(pop(ring), Ok(value));
                }
                assert_eq!(pop(ring), Err(PopError::Empty));
            }
        }
    }
}

#[test]
fn ids_count_the_messages() {
    let heap = Heap::new(3);
    let ring = heap.ring();
    for id in 0..20 {
        assert_eq!(push(ring, 100 + id), Ok(id));
        assert_eq!(ring.pop(2, alive), Ok(Popped { value: 100 + id, id, deliveries: 0 }));
    }
}

#[test]
fn rows_are_single_messages() {
    let heap = Heap::starting_at((1 << 40) - 2, 5);
    let ring = heap.ring();
    let row = |ring: Ring<u64>, most| {
        let mut taken = vec![];
        assert_eq!(ring.pop_row(2, most, |value| taken.push(value)), taken.len());
        taken
    };
    let mut next = 0;
    for _ in 0..4 {
        assert_eq!(ring.push_row(1, &[next, next + 1, next + 2], BARRIER), 3);
        assert_eq!(push(ring, next + 3).map(|id| id % 5), Ok((next + 3) % 5), "the hint has moved");
        assert_eq!(ring.push_row(1, &[next + 4, next + 5], BARRIER), 1, "there is space for one more");
        assert_eq!(ring.push_row(1, &[99], BARRIER), 0);
        assert_eq!(row(ring, 2), [next, next + 1]);
        assert_eq!(pop(ring), Ok(next + 2));
        assert_eq!(row(ring, 9), [next + 3, next + 4]);
        assert_eq!(row(ring, 9), []);
        next += 5;
    }
}

#[test]
fn rows_stop_before_what_is_not_plain() {
    let heap = Heap::<u64>::new(4);
    let ring = heap.ring();
    assert_eq!(ring.push_row(1, &[0, 1], BARRIER), 2);
    // A sender is writing the third.
    let third = ring.slots().claim(1).unwrap();
    assert_eq!(ring.push_row(1, &[3, 4], BARRIER), 1);
    assert_eq!(ring.pop_row(2, 9, |_| {}), 2);
    assert_eq!(ring.pop_row(2, 9, |_| {}), 0);
    ring.fill(third, 2);
    // A receiver died with it: orphans come first, by the long way.
    let _died = ring.slots().take_next(9).unwrap();
    ring.slots().sweep(nine_is_dead);
    assert_eq!(ring.pop_row(2, 9, |_| {}), 0);
    assert_eq!(ring.pop_straight(2), None);
    assert_eq!([pop(ring), pop(ring)], [Ok(2), Ok(3)]);
    assert_eq!(pop(ring), Err(PopError::Empty));
    // Nobody sends to a closed queue.
    heap.header.closing.begin();
    assert_eq!(ring.push_row(1, &[5, 6], BARRIER), 0);
    assert!(!ring.push_straight(1, 5, BARRIER));
    assert_eq!(pop(ring), Err(PopError::Empty));
}

#[test]
fn old_hints_of_rows_hide_nothing() {
    let heap = Heap::new(6);
    let ring = heap.ring();
    let (tail, head) = heap.header.hints();
    assert_eq!(ring.push_row(1, &[0, 1, 2], BARRIER), 3);
    // The sender died before it moved the hint.
    heap.hint(tail, head);
    assert_eq!(ring.push_row(1, &[9], BARRIER), 0, "the hinted place is taken: the long way finds the next");
    push(ring, 3).unwrap();
    assert_eq!(ring.pop_row(2, 2, |_| {}), 2);
    // And the receiver did.
    let (tail, _) = heap.header.hints();
    heap.hint(tail, head);
    assert_eq!(ring.slots().look(), Ok(()));
    assert_eq!([pop(ring), pop(ring)], [Ok(2), Ok(3)]);
}

#[test]
fn a_slot_is_as_large_as_its_content_needs() {
    assert_eq!(Geometry::of::<u64>(10).unwrap().stride(), 16);
    assert_eq!(Geometry::of::<[u64; 2]>(10).unwrap().stride(), 32);
    assert_eq!(Geometry::of::<[u64; 7]>(10).unwrap().stride(), 64);
    assert_eq!(Geometry::of::<[u8; 1000]>(10).unwrap().stride(), 1008);
    assert_eq!(Geometry::of::<()>(1).unwrap().bytes(), 16);
    assert!(Geometry::of::<u64>(0).is_none());
    assert!(Geometry::of::<u64>(MAX_CAPACITY + 1).is_none());
}

#[test]
fn a_dead_writers_place_is_skipped() {
    let heap = Heap::new(3);
    let ring = heap.ring();
    push(ring, 0).unwrap();
    let _died = ring.slots().claim(9).unwrap();
    push(ring, 2).unwrap();
    assert_eq!(pop(ring), Ok(0));
    let Err(PopError::Busy(blocker)) = ring.pop(2, alive) else { panic!("not busy") };
    assert_eq!(blocker.owner(), Some(9));
    assert_eq!(ring.slots().repair(blocker), Repairs { skipped: 1, ..Default::default() });
    assert_eq!(ring.slots().repair(blocker), Repairs::default(), "only once");
    assert_eq!(pop(ring), Ok(2));
    assert_eq!(pop(ring), Err(PopError::Empty));
    // The capacity is back.
    assert_eq!((0..3).map(|value| push(ring, value)).filter(Result::is_ok).count(), 3);
}

#[test]
fn a_dead_receivers_message_comes_again_and_says_so() {
    let heap = Heap::new(2);
    let ring = heap.ring();
    push(ring, 7).unwrap();
    push(ring, 8).unwrap();
    for round in 0..MAX_DELIVERIES {
        let claim = ring.slots().take_orphan(9, alive).unwrap_or_else(|| ring.slots().take_next(9).unwrap());
        assert_eq!((claim.position.index, claim.word.deliveries()), (0, round));
        assert!(matches!(push(ring, 9), Err(PushError::Full(Blocker { index: 0, .. }))));
        assert_eq!(ring.slots().sweep(nine_is_dead), Repairs { redelivered: 1, ..Default::default() });
    }
    let claim = ring.slots().take_orphan(9, alive).unwrap();
    assert_eq!(claim.word.deliveries(), MAX_DELIVERIES);
    assert_eq!(ring.slots().sweep(nine_is_dead), Repairs { given_up: 1, ..Default::default() });
    assert_eq!(ring.pop(2, alive), Ok(Popped { value: 8, id: 1, deliveries: 0 }));
    assert_eq!(pop(ring), Err(PopError::Empty));
    assert_eq!(heap.header.orphans.read() & 1, 0, "cleared");
}

#[test]
fn orphans_come_oldest_first_and_before_the_rest() {
    let heap = Heap::new(4);
    let ring = heap.ring();
    for value in 0..4 {
        push(ring, value).unwrap();
    }
    for value in 0..3 {
        assert_eq!(pop(ring), Ok(value));
    }
    for value in 4..7 {
        push(ring, value).unwrap();
    }
    // Receiver 9 takes 3, 4 and 5, which lie in slots 3, 0 and 1, and dies.
    for _ in 0..3 {
        let _taken = ring.slots().take_next(9).unwrap();
    }
    assert_eq!(ring.slots().sweep(nine_is_dead).redelivered, 3);
    let order: Vec<_> =
        (0..4).map(|_| ring.pop(2, alive).unwrap()).map(|p| (p.value, p.deliveries)).collect();
    assert_eq!(order, [(3, 1), (4, 1), (5, 1), (6, 0)]);
}

#[test]
fn an_orphan_met_a_lap_later_keeps_its_id() {
    let heap = Heap::new(2);
    let ring = heap.ring();
    push(ring, 7).unwrap();
    push(ring, 8).unwrap();
    let taken = ring.slots().take_next(9).unwrap();
    assert_eq!(pop(ring), Ok(8));
    // The head is at the same slot again, one lap on.
    ring.slots().sweep(nine_is_dead);
    let claim = ring.slots().take_next(2).unwrap();
    assert_eq!(claim.position, taken.position);
    ring.slots().free(claim);
}

/// The repairer died between its exchange and the second raising of the word.
#[test]
fn an_orphan_is_found_by_the_word_raised_before() {
    let heap = Heap::new(4);
    let ring = heap.ring();
    push(ring, 1).unwrap();
    let _taken = ring.slots().take_next(9).unwrap();
    // As if the repairer had only raised the word: the receiver repairs what it meets.
    let orphan = heap.word(0).ready(1);
    assert_eq!(ring.slots().sweep(nine_is_dead).redelivered, 1);
    assert_eq!(heap.word(0), orphan);
    assert_eq!(pop(ring), Ok(1));
}

/// What a slot laps ahead says of its neighbours: nothing. Jumping by it would leave 1, 2 and 3 behind.
#[test]
fn a_stale_hint_beside_skipped_places_loses_nothing() {
    let heap = Heap::new(4);
    let ring = heap.ring();
    push(ring, 0).unwrap();
    for value in 1..4 {
        push(ring, value).unwrap();
    }
    assert_eq!(pop(ring), Ok(0));
    // Two writers die in slot 0, one after the other.
    for _ in 0..2 {
        let claim = ring.slots().claim(9).unwrap();
        assert_eq!(claim.position.index, 0);
        ring.slots().sweep(nine_is_dead);
        heap.hint(Position::new(claim.position.lap + 1, 0).pack(), 0);
    }
    heap.hint(Position::new(2, 0).pack(), 0);
    for value in 1..4 {
        assert_eq!(pop(ring), Ok(value));
    }
    assert_eq!(pop(ring), Err(PopError::Empty));
}

/// Except what is plausible: a peer can keep the queue full or empty that way, as it can by filling or draining it.
#[test]
fn hints_may_say_anything() {
    for capacity in [1_u32, 3, 4] {
        for lie in [0, 1, 2, 5 << 24, 1 << 30, (1 << 40) - 1, 1 << 63, u64::MAX, 4 << 24 | 2, 2 << 24 | 1] {
            let heap = Heap::starting_at(2, capacity);
            let ring = heap.ring();
            heap.hint(lie, lie);
            assert_eq!(pop(ring), Err(PopError::Empty), "capacity {capacity}, hint {lie:#x}");
            heap.hint(lie, lie);
            for value in 0..u64::from(capacity) {
                push(ring, value).unwrap();
                heap.hint(lie, lie);
            }
            assert!(matches!(push(ring, 99), Err(PushError::Full(_))), "capacity {capacity}, hint {lie:#x}");
            for value in 0..u64::from(capacity) {
                heap.hint(lie, lie);
                assert_eq!(ring.slots().look(), Ok(()));
                assert_eq!(pop(ring), Ok(value), "capacity {capacity}, hint {lie:#x}");
            }
            assert_eq!(pop(ring), Err(PopError::Empty));
        }
    }
}

#[test]
fn words_may_say_anything_and_every_call_ends() {
    let mut random = 1_u64;
    let mut step = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        random >> 7
    };
    for _ in 0..2000 {
        let heap = Heap::new(1 + (step() % 5) as u32);
        let ring = heap.ring();
        for index in 0..heap.cells.len() {
            let lap = [0, 1, 2, 1 << 39, (1 << 40) - 1, step()][(step() % 6) as usize];
            heap.set(index, Word(lap << 24 | step() & 0xff_ffff));
        }
        heap.hint(step(), step() % 100);
        for _ in 0..10 {
            let _ = push(ring, 1);
            let _ = pop(ring);
            let _ = ring.slots().look();
            ring.slots().sweep(|owner| owner % 3 == 0);
        }
    }
}

#[test]
fn nobody_sends_into_a_closed_queue_and_the_rest_is_received() {
    let heap = Heap::new(3);
    let ring = heap.ring();
    push(ring, 1).unwrap();
    let closing = &heap.header.closing;
    assert_eq!(closing.phase(), Phase::Open);
    assert!(closing.begin() && !closing.begin());
    assert_eq!(push(ring, 2), Err(PushError::Closed));
    closing.finish();
    assert_eq!(closing.phase(), Phase::Closed);
    assert_eq!(push(ring, 3), Err(PushError::Closed));
    assert_eq!(pop(ring), Ok(1));
    assert_eq!(pop(ring), Err(PopError::Empty), "places given back are passed over");
    closing.finish();
    assert_eq!(closing.phase(), Phase::Closed);
}

/// Threads that send numbered messages and threads that receive them: each comes once, each sender's in order.
#[test]
fn everything_arrives_once_and_in_order() {
    const EACH: u64 = 20_000;
    for (senders, receivers, capacity) in [(1, 1, 1), (2, 2, 2), (3, 2, 7), (2, 3, 64)] {
        let heap = Arc::new(Heap::<[u64; 4]>::new(capacity));
        let (collected, results) = mpsc::channel();
        let total = EACH * senders;
        let taken = Arc::new(crate::sync::AtomicU64::new(0));
        let mut threads = vec![];
        for sender in 0..senders {
            let heap = heap.clone();
            threads.push(thread::spawn(move || {
                let message = |number| [sender, number, !number, sender ^ number];
                let mut number = 0;
                while number < EACH {
                    // Singly and in rows of up to four by turns.
                    let row = [0, 1, 2, 3].map(|ahead| message(number + ahead));
                    let row = &row[..(EACH - number).min(number % 5) as usize];
                    let sent = match heap.ring().push_row(1 + sender as u16, row, BARRIER) as u64 {
                        0 => heap.ring().push(1 + sender as u16, message(number), BARRIER).is_ok().into(),
                        sent => sent,
                    };
                    number += sent;
                    if sent == 0 {
                        thread::yield_now();
                    }
                }
            }));
        }
        for receiver in 0..receivers {
            let (heap, taken, collected) = (heap.clone(), taken.clone(), collected.clone());
            threads.push(thread::spawn(move || {
                let mut last = vec![None; senders as usize];
                let mut count = 0;
                while taken.load(crate::sync::Ordering::SeqCst) < total {
                    let mut row = vec![];
                    if heap.ring().pop_row(100 + receiver, count as usize % 4, |message| row.push(message))
                        == 0
                    {
                        row.extend(heap.ring().pop(100 + receiver, alive).map(|popped| popped.value));
                    }
                    if row.is_empty() {
                        thread::yield_now();
                    }
                    taken.fetch_add(row.len() as u64, crate::sync::Ordering::SeqCst);
                    for [sender, number, inverse, mixed] in row {
                        assert_eq!((inverse, mixed), (!number, sender ^ number), "torn");
                        assert!(last[sender as usize].is_none_or(|last| last < number), "out of order");
                        last[sender as usize] = Some(number);
                        count += number;
                    }
                }
                collected.send(count).unwrap();
            }));
        }
        drop(collected);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(results.iter().sum::<u64>(), senders * EACH * (EACH - 1) / 2);
    }
}

#[test]
fn places_without_a_message_do_not_count() {
    let heap = Heap::new(4);
    let ring = heap.ring();
    // Skipped by a repairer, at the end of what was sent.
    push(ring, 1).unwrap();
    let _ = ring.slots().claim(9).unwrap();
    assert_eq!(ring.slots().len(), 1);
    assert_eq!(ring.slots().sweep(nine_is_dead).skipped, 1);
    assert_eq!(ring.slots().len(), 1);
    pop(ring).unwrap();
    assert_eq!(ring.slots().len(), 0);
    // Given back by senders that came too late.
    push(ring, 2).unwrap();
    assert!(heap.header.closing.begin());
    for _ in 0..10 {
        push(ring, 3).unwrap_err();
        assert_eq!(ring.slots().len(), 1);
    }
    pop(ring).unwrap();
    assert_eq!(ring.slots().len(), 0);
}

/// A sender that was stopped before it moved the hint leaves it laps behind when it goes on.
#[test]
fn a_look_for_space_by_an_old_hint_finds_what_a_claim_would() {
    for lap in [1, 2, 5] {
        let heap = Heap::starting_at(0, 3);
        let ring = heap.ring();
        // The receiver of slot 0 is slow, those of the others are not.
        heap.set(0, Word::free(lap - 1).writing(1).ready(0).reading(2));
        heap.set(1, Word::free(lap));
        heap.set(2, Word::free(lap));
        for hint in
            [Position::new(0, 0), Position::new(0, 1), Position::new(lap - 1, 2), Position::new(lap, 0)]
        {
            heap.hint(hint.pack(), Position::new(lap, 0).pack());
            let looked = ring.slots().look_for_space();
            assert!(matches!(looked, Err(PushError::Full(_))), "{lap} {hint:?}: {looked:?}");
            assert!(matches!(push(ring, 0), Err(PushError::Full(_))));
        }
    }
}

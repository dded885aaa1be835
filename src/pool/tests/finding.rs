//! Where senders find chunks.

use super::*;
use std::collections::{HashSet, VecDeque};

fn heap(count: u64) -> Heap {
    Heap::of(Demand { messages: count, max_held: 0, usual: 64, largest: 64, max_bytes: 0, share: 0 })
}

/// Which chunks a sender uses that has so many messages in flight.
fn used(heap: &Heap, in_flight: usize, rounds: usize) -> usize {
    let mut flying = VecDeque::new();
    let mut used = HashSet::new();
    for round in 0..rounds {
        let loan = heap.reserve(1, 10).unwrap();
        if round >= rounds / 2 {
            used.insert(loan.chunk().index());
        }
        flying.push_back(loan);
        if flying.len() > in_flight {
            heap.pool.give_up(flying.pop_front().unwrap());
        }
    }
    flying.into_iter().for_each(|loan| heap.pool.give_up(loan));
    used.len()
}

#[test]
fn few_messages_in_flight_lie_in_few_chunks() {
    let heap = heap(1000);
    assert!(used(&heap, 0, 100) <= 1);
    assert!(used(&heap, 3, 200) <= 8);
    // Also after many were.
    assert!(used(&heap, 500, 3000) >= 500);
    assert!(used(&heap, 0, 1000) <= 2);
    assert!(used(&heap, 3, 1000) <= 12);
    heap.all_free();
}

#[test]
fn a_chunk_that_is_held_for_long_is_passed_by() {
    let heap = heap(100);
    let held = heap.reserve(1, 10).unwrap();
    let before = used(&heap, 1, 100);
    assert!(before <= 8, "{before}");
    heap.pool.give_up(held);
    heap.all_free();
}

#[test]
fn every_chunk_is_found_whatever_is_remembered() {
    let mut random = 1_u64;
    let mut step = move |limit: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % limit
    };
    for count in [1, 2, 5, 31, 32, 33, 200] {
        let heap = heap(count as u64);
        let mut loans = vec![];
        for _ in 0..2000 {
            if step(2) == 0 || loans.is_empty() {
                match heap.reserve(1, 64) {
                    Ok(loan) => loans.push(loan),
                    Err(error) => assert_eq!((error, loans.len()), (ReserveError::Full, count)),
                }
            } else {
                heap.pool.give_up(loans.swap_remove(step(loans.len())));
            }
        }
        while let Ok(loan) = heap.reserve(1, 64) {
            loans.push(loan);
        }
        assert_eq!(loans.len(), count, "none is lost");
        let different: HashSet<_> = loans.iter().map(|loan| loan.chunk().index()).collect();
        assert_eq!(different.len(), count, "none is doubled");
        loans.into_iter().for_each(|loan| heap.pool.give_up(loan));
        heap.all_free();
    }
}

//! A death after every step of every operation: what was committed arrives, and every chunk comes back.

use super::messages::held;
use super::*;
use crate::ring::mpmc::{Blocker, MAX_DELIVERIES};

const DEAD: u16 = 9;

/// A sender that dies after so many steps; whether it had sent.
fn send_and_die(heap: &Heap, steps: u32) -> bool {
    let loan = heap.reserve(DEAD, 4).unwrap();
    heap.pool.copy_in(&loan, 0, b"last");
    if steps == 0 {
        return false;
    }
    let claim = heap.slots().claim(DEAD).unwrap();
    if steps == 1 {
        return false;
    }
    heap.pool.send_uncommitted(&heap.slots(), claim, &loan, 4);
    if steps == 2 {
        return false;
    }
    heap.slots().commit(claim);
    true
}

#[test]
fn a_dead_senders_message_is_whole_or_was_never_there() {
    for steps in 0..4 {
        for swept_first in [false, true] {
            let heap = Heap::new();
            heap.send(1, b"first").unwrap();
            let sent = send_and_die(&heap, steps);
            if swept_first {
                let swept = heap.sweep(&[DEAD]);
                assert_eq!((swept.queued, swept.freed), (sent.into(), (!sent).into()));
                assert_eq!(heap.sweep(&[DEAD]), Swept::default(), "only once");
            }
            assert_eq!(heap.recv(2), b"first");
            if sent {
                assert_eq!(heap.recv(2), b"last");
            }
            heap.sweep(&[DEAD]);
            assert!(heap.slots().take_next(2).is_err());
            heap.all_free();
            // The ring has its capacity, too.
            assert!((0..4).all(|number| heap.send(1, &[number]).is_ok()));
        }
    }
}

/// A receiver that dies after so many steps.
fn receive_and_die(heap: &Heap, steps: u32, task: bool) {
    let claim = heap.next(DEAD);
    if steps == 0 {
        return;
    }
    if steps == 1 {
        // The slot is not freed: taken by hand.
        let stamp = if task { chunk::Purpose::Work } else { chunk::Purpose::Keep };
        let tag = heap.pool.tag(&heap.slots(), claim);
        let _held = heap.pool.take(tag, claim.position, stamp, DEAD, claim.word.deliveries()).unwrap();
    } else if task {
        let _task = heap.pool.receive_task(&heap.slots(), claim, DEAD).unwrap();
    } else {
        let _kept = heap.pool.receive_kept(&heap.slots(), claim, DEAD).unwrap();
    }
}

#[test]
fn what_a_dead_receiver_kept_is_gone_and_all_else_comes_again() {
    for task in [false, true] {
        for steps in 0..3 {
            for sender_dead in [false, true] {
                let heap = Heap::new();
                let position = heap.send(1, b"message").unwrap();
                let dead: &[u16] = if sender_dead { &[1, DEAD] } else { &[DEAD] };
                if sender_dead {
                    heap.sweep(&[1]);
                }
                receive_and_die(&heap, steps, task);
                heap.sweep(dead);
                heap.sweep(dead);
                match (steps, task) {
                    (2, false) => {}
                    (2, true) => {
                        let task = heap.pool.take_orphan(2).unwrap().unwrap();
                        assert_eq!((task.position(), task.deliveries(), task.len()), (position, 1, 7));
                        assert_eq!(heap.content_of_task(&task), b"message");
                        heap.pool.done(task).unwrap();
                    }
                    _ => {
                        let kept = heap.keep(2);
                        assert_eq!((kept.position(), kept.deliveries()), (position, 1));
                        assert_eq!(heap.content(&kept), b"message");
                        heap.pool.free(kept);
                    }
                }
                assert!(heap.slots().take_next(2).is_err() && heap.pool.take_orphan(2).unwrap().is_none());
                heap.all_free();
            }
        }
    }
}

/// Nobody swept in between: the next receiver finds the dead one's name on the chunk.
#[test]
fn a_receiver_takes_over_what_its_dead_predecessor_had_stamped() {
    for task in [false, true] {
        let heap = Heap::new();
        heap.send(1, b"message").unwrap();
        receive_and_die(&heap, 1, task);
        heap.slots().sweep(|who| who == DEAD);
        assert_eq!(heap.recv(2), b"message");
        assert_eq!(heap.sweep(&[DEAD]), Swept::default());
        heap.all_free();
    }
}

#[test]
fn deliveries_add_up_in_the_slot_and_in_the_chunk() {
    let heap = Heap::new();
    heap.send(1, b"heavy").unwrap();
    for _ in 0..3 {
        receive_and_die(&heap, 0, true);
        heap.sweep(&[DEAD]);
    }
    receive_and_die(&heap, 2, true);
    for round in 4..=70 {
        assert_eq!(heap.sweep(&[DEAD]).orphaned, 1);
        let task = heap.pool.take_orphan(DEAD).unwrap().unwrap();
        assert_eq!(task.deliveries(), round.min(63));
    }
    heap.sweep(&[DEAD]);
    let task = heap.pool.take_orphan(2).unwrap().unwrap();
    assert_eq!(heap.content_of_task(&task), b"heavy");
    heap.pool.done(task).unwrap();
    heap.all_free();
}

/// A repairer died between making the orphan and telling: whoever sweeps that repairer tells.
#[test]
fn an_orphan_is_announced_by_whoever_sweeps_its_maker() {
    let heap = Heap::new();
    heap.send(1, b"task").unwrap();
    let task = heap.work(2);
    let word = task.0.word;
    let orphan = word.to(State::Orphan, DEAD, 1);
    assert!(heap.pool.exchange(task.chunk(), word, orphan));
    assert!(heap.pool.take_orphan(3).unwrap().is_none(), "nobody has told");
    assert_eq!(heap.sweep(&[7]), Swept::default());
    assert!(heap.pool.take_orphan(3).unwrap().is_none());
    heap.sweep(&[DEAD]);
    let task = heap.pool.take_orphan(3).unwrap().unwrap();
    heap.pool.done(task).unwrap();
    heap.all_free();
}

/// The ring gives up a message that took 64 receivers with it, all between taking the slot and stamping the chunk.
#[test]
fn a_message_given_up_by_the_ring_leaves_its_chunk_free() {
    for sender_dead in [false, true] {
        let heap = Heap::new();
        heap.send(1, b"deadly").unwrap();
        if sender_dead {
            heap.sweep(&[1]);
        }
        for round in 0..=MAX_DELIVERIES {
            let claim = heap.next(DEAD);
            assert_eq!(claim.word.deliveries(), round);
            let blocker = Blocker { index: claim.position.index, word: claim.word };
            heap.pool.disown(&heap.slots(), blocker);
            let repairs = heap.slots().repair(blocker);
            assert_eq!(repairs.given_up, u64::from(round == MAX_DELIVERIES));
        }
        assert_eq!(heap.pool.sweep(5, &heap.slots(), |_| false), Swept { freed: 1, ..Default::default() });
        heap.all_free();
    }
}

#[test]
fn disowning_leaves_alone_what_has_moved_on() {
    let heap = Heap::new();
    heap.send(1, b"deadly").unwrap();
    for _ in 0..MAX_DELIVERIES {
        receive_and_die(&heap, 0, false);
        heap.slots().sweep(|who| who == DEAD);
    }
    let claim = heap.next(DEAD);
    let blocker = Blocker { index: claim.position.index, word: claim.word };
    heap.pool.disown(&heap.slots(), blocker);
    heap.slots().repair(blocker);
    heap.sweep(&[]);
    heap.all_free();
    // The same chunk is somebody's loan when another repairer wakes up.
    let loans: Vec<_> = (0..6).map(|_| heap.reserve(3, 64).unwrap()).collect();
    heap.pool.disown(&heap.slots(), blocker);
    assert!(loans.iter().all(|loan| heap.pool.word(loan.chunk()) == loan.word));
}

/// Every judgement made late meets a word that has moved.
#[test]
fn late_exchanges_fail() {
    let heap = Heap::new();
    heap.send(DEAD, b"one").unwrap();
    let chunk = heap.pool.words().find(|(_, word)| !word.is_free()).unwrap().0;
    let mut seen = vec![heap.pool.word(chunk)];
    heap.sweep(&[DEAD]);
    seen.push(heap.pool.word(chunk));
    let task = heap.work(DEAD);
    seen.push(heap.pool.word(chunk));
    let _gone = Task(held(&task));
    heap.sweep(&[DEAD]);
    seen.push(heap.pool.word(chunk));
    let task = heap.pool.take_orphan(DEAD).unwrap().unwrap();
    for old in seen {
        assert!(!heap.pool.exchange(chunk, old, old.to(State::Free, 0, 0)), "{old:?}");
    }
    heap.pool.done(task).unwrap();
    heap.all_free();
}

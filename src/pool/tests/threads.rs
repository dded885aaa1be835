//! Threads as participants.

use super::*;
use crate::sync::Ordering;
use std::sync::Arc;
use std::thread;

/// Senders, receivers that keep, workers that give some back, and one that sweeps for nobody: all arrive once, whole.
#[test]
fn everything_arrives_once_and_whole() {
    const EACH: u64 = 4000;
    const SENDERS: u64 = 2;
    let heap = Arc::new(Heap::of(Demand {
        messages: 8,
        max_held: 4,
        usual: 32,
        largest: 256,
        max_bytes: 1 << 20,
        share: 0,
    }));
    let (sum, count) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut threads = vec![];
    for sender in 0..SENDERS {
        let heap = heap.clone();
        threads.push(thread::spawn(move || {
            let finder = Finder::new();
            for number in 0..EACH {
                let id = sender * EACH + number;
                let len = 16 + (id * 37 % 400) / 8 * 8;
                let message: Vec<u8> = id.to_ne_bytes().iter().copied().cycle().take(len as usize).collect();
                loop {
                    let me = 1 + sender as u16;
                    let Ok(loan) = heap.pool.reserve(me, len, &finder, &heap.space) else {
                        thread::yield_now();
                        continue;
                    };
                    heap.pool.copy_in(&loan, 0, &message);
                    match heap.slots().claim(me) {
                        Ok(claim) => break heap.pool.send(&heap.slots(), claim, loan, len),
                        Err(_) => heap.pool.give_up(loan),
                    }
                    thread::yield_now();
                }
            }
        }));
    }
    for receiver in 0..3_u16 {
        let (heap, sum, count) = (heap.clone(), sum.clone(), count.clone());
        threads.push(thread::spawn(move || {
            let me = 100 + receiver;
            let check = |content: Vec<u8>| {
                let id = u64::from_ne_bytes(content[..8].try_into().unwrap());
                assert!(content.chunks(8).all(|piece| piece == &id.to_ne_bytes()[..piece.len()]), "torn");
                sum.fetch_add(id, Ordering::SeqCst);
                count.fetch_add(1, Ordering::SeqCst);
            };
            while count.load(Ordering::SeqCst) < SENDERS * EACH {
                let task = match heap.pool.take_orphan(me).unwrap() {
                    Some(task) => task,
                    None => {
                        let Ok(claim) = heap.slots().take_next(me) else {
                            thread::yield_now();
                            continue;
                        };
                        if receiver == 0 {
                            let kept = heap.pool.receive_kept(&heap.slots(), claim, me).unwrap();
                            check(heap.content(&kept));
                            heap.pool.free(kept);
                            continue;
                        }
                        heap.pool.receive_task(&heap.slots(), claim, me).unwrap()
                    }
                };
                if task.deliveries() < 2 && task.position().index % 2 == 0 {
                    heap.pool.give_back(task, me).unwrap();
                } else {
                    check(heap.content_of_task(&task));
                    heap.pool.done(task).unwrap();
                }
            }
        }));
    }
    while count.load(Ordering::SeqCst) < SENDERS * EACH {
        assert_eq!(heap.pool.sweep(99, &heap.slots(), |_| false), Swept::default(), "nobody is dead");
        thread::yield_now();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let all = SENDERS * EACH;
    assert_eq!((count.load(Ordering::SeqCst), sum.load(Ordering::SeqCst)), (all, all * (all - 1) / 2));
    heap.all_free();
}

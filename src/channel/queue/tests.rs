mod bytes;
mod hostile;
mod sequences;
mod watching;

use super::*;
use crate::{Deadline, RecvError, SendError};
use bytemuck::Pod;
use std::collections::HashSet;
use std::time::Duration;

const SOON: Duration = Duration::from_millis(5);

#[test]
fn who_is_refused_leaves_nothing_that_counts() {
    for capacity in [1, 2, 3, 8] {
        let queue = Queue::<u64>::anonymous(capacity).unwrap();
        for number in 0..capacity as u64 {
            queue.send(number).unwrap();
        }
        queue.recv().unwrap();
        queue.close();
        for _ in 0..3 * capacity {
            assert!(matches!(queue.try_send(0), Err(SendError::Closed)));
            assert_eq!(queue.len(), capacity - 1);
        }
        assert_eq!(queue.iter().count(), capacity - 1);
        assert!(queue.is_empty());
        assert_eq!(queue.len(), 0);
    }
}

#[test]
fn any_capacity_and_any_size() {
    fn check<T: Pod + PartialEq + fmt::Debug>(value: T) {
        for capacity in [1, 2, 3, 100] {
            let queue = Queue::<T>::anonymous(capacity).unwrap();
            for _ in 0..3 {
                for sent in 0..capacity {
                    assert_eq!((queue.len(), queue.is_full(), queue.is_empty()), (sent, false, sent == 0));
                    queue.try_send(value).unwrap();
                }
                assert!(queue.is_full() && matches!(queue.try_send(value), Err(SendError::Full)));
                assert!(matches!(queue.send_timeout(value, SOON), Err(SendError::Timeout)));
                for _ in 0..capacity {
                    assert_eq!(queue.try_recv().unwrap(), value);
                }
                assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
                assert!(matches!(queue.recv_timeout(SOON), Err(RecvError::Timeout)));
            }
        }
    }
    check(7_u8);
    check(0x0123_4567_89ab_cdef_u64);
    check([0x55_u8; 48]);
    check([0xaa_u64; 128]);
}

#[test]
fn what_cannot_be_a_queue_is_refused() {
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    struct Nothing;
    assert!(matches!(Queue::<u8>::anonymous(0), Err(Error::BadCapacity { asked: 0, .. })));
    assert!(matches!(Queue::<u8>::anonymous(usize::MAX), Err(Error::BadCapacity { .. })));
    assert!(matches!(Queue::<Nothing>::anonymous(1), Err(Error::BadElement { size: 0, .. })));
}

#[test]
fn another_type_or_object_does_not_open() {
    let name = format!("queue-type-{}", std::process::id());
    let queue = Queue::<u64>::options().capacity(3).ephemeral(true).create(&name).unwrap();
    assert!(matches!(Queue::<u32>::open(&name), Err(Error::WrongElement { .. })));
    assert!(matches!(
        Queue::<u64>::open_or_create(&name, 4),
        Err(Error::WrongCapacity { found: 3, expected: 4 })
    ));
    assert!(matches!(crate::spsc::Producer::<u64>::open(&name), Err(Error::WrongKind { .. })));
    let again = Queue::<u64>::open(&name).unwrap();
    queue.send(5).unwrap();
    assert_eq!(again.recv().unwrap(), 5);
}

#[test]
fn batches_are_messages_of_their_own() {
    let queue = Queue::<u32>::anonymous(5).unwrap();
    let values: Vec<u32> = (0..8).collect();
    let unsent = queue.send_many_deadline(&values, Deadline::NOW).unwrap_err();
    assert!(unsent.sent == 5 && matches!(unsent.error, SendError::Full), "{unsent}");
    let mut got = vec![99];
    assert_eq!(queue.recv_many(&mut got, 3, Deadline::NOW).unwrap(), 3);
    assert_eq!(queue.recv_many(&mut got, 30, Deadline::NEVER).unwrap(), 2);
    assert_eq!(got, [99, 0, 1, 2, 3, 4]);
    assert!(matches!(queue.recv_many(&mut got, 1, Deadline::NOW), Err(RecvError::Empty)));
    assert_eq!(queue.recv_many(&mut got, 0, Deadline::NEVER).unwrap(), 0);
    queue.send_many(&[]).unwrap();
    let receiver = std::thread::spawn({
        let queue = queue.clone();
        move || queue.iter().collect::<Vec<_>>()
    });
    queue.send_many(&values).unwrap();
    assert!(queue.close() && !queue.close());
    assert_eq!(receiver.join().unwrap(), values);
    assert!(matches!(queue.send(1), Err(SendError::Closed)));
    assert!(matches!(queue.try_recv(), Err(RecvError::Closed)));
}

#[test]
fn closing_wakes_everybody() {
    for wait in [Wait::Spin, Wait::Adaptive, Wait::Park] {
        let full = Queue::<u8>::options().capacity(1).wait(wait).anonymous().unwrap();
        full.send(1).unwrap();
        let empty = Queue::<u8>::options().capacity(1).wait(wait).anonymous().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert!(matches!(full.send(2), Err(SendError::Closed))));
                scope.spawn(|| assert!(matches!(empty.recv(), Err(RecvError::Closed))));
            }
            std::thread::yield_now();
            full.close();
            empty.close();
        });
        assert_eq!(full.recv().unwrap(), 1);
        assert!(matches!(full.recv(), Err(RecvError::Closed)));
    }
}

/// More threads than processors, in every way of waiting: all arrives once.
#[test]
fn many_to_many() {
    const EACH: u64 = 3000;
    for (wait, capacity) in [(Wait::Park, 1), (Wait::Adaptive, 3), (Wait::Spin, 8), (Wait::Adaptive, 64)] {
        let queue = Queue::<u64>::options().capacity(capacity).wait(wait).anonymous().unwrap();
        let mut seen: Vec<u64> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..8)
                .map(|sender| {
                    let queue = &queue;
                    scope.spawn(move || (0..EACH).for_each(|n| queue.send(sender * EACH + n).unwrap()))
                })
                .collect();
            let receivers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| queue.iter().collect::<Vec<_>>())).collect();
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            queue.close();
            receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()).collect()
        });
        assert_eq!(seen.len() as u64, 8 * EACH);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len() as u64, 8 * EACH);
    }
}

#[test]
fn ids_are_in_the_order_of_sending() {
    let queue = Queue::<u16>::anonymous(2).unwrap();
    let mut ids = HashSet::new();
    for value in 0..10 {
        queue.send(value).unwrap();
        let received = queue.recv_with_id(Deadline::NOW).unwrap();
        assert_eq!((received.value, received.id, received.deliveries), (value, value.into(), 0));
        assert!(ids.insert(received.id));
    }
}

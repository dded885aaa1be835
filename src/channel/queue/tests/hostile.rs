//! Bytes that a peer wrote against the rules.

use super::bytes::distrusting;
use super::*;
use crate::error::Corrupt;
use crate::pool::Tag;
use crate::ring::mpmc::{Slots, Word};
use crate::sync::Ordering;

/// What lies in a slot is replaced by a message of `len` bytes in the same chunk, or by one in the slot itself.
fn lie(queue: &Queue<[u8]>, index: u32, tag: impl Fn(Tag) -> u64) {
    let place = &queue.core.slots.stamp(index).tag;
    place.store(tag(Tag(place.load(Ordering::SeqCst))), Ordering::SeqCst);
}

/// One false message is an error once, for whoever receives it, and then is gone.
#[test]
fn a_false_message_is_told_and_gone() {
    let queue = Queue::<[u8]>::anonymous(4).unwrap();
    queue.send(&[1; 48]).unwrap();
    queue.send(b"good").unwrap();
    queue.send(&[1; 100]).unwrap();
    lie(&queue, 0, |_| Tag::inline(49).0);
    lie(&queue, 2, |tag| tag.0 ^ 1);
    assert!(matches!(queue.try_recv(), Err(RecvError::Corrupt(Corrupt { found: 49, limit: 48, .. }))));
    assert_eq!(&*queue.recv().unwrap(), b"good");
    assert!(matches!(queue.recv(), Err(RecvError::Corrupt(_))));
    assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
}

/// A message is no longer than what the segment takes, whatever its books say.
#[test]
fn no_memory_is_taken_for_what_is_not_there() {
    let queue = Queue::<[u8]>::options().capacity(4).max_bytes(1 << 30).anonymous().unwrap();
    let other = distrusting(&queue);
    queue.send(&vec![7; 70_000]).unwrap();
    let (pool, longer) = (&queue.core.store().pool, (1 << 30) - (64 << 20));
    pool.lie_about_extents(1 << 30);
    lie(&queue, 0, |tag| tag.0 & ((1 << 30) - 1) | longer << 30);
    let mut buffer = b"as it was".to_vec();
    let refused = other.recv_into(&mut buffer, Deadline::NOW);
    assert!(
        matches!(&refused, Err(RecvError::Corrupt(Corrupt { found, limit, .. })) if *found == longer && *limit < 64 << 20),
        "{refused:?}"
    );
    assert_eq!(buffer, b"as it was");
    // Whoever does not trust the books reserves what they say is there, and reads a hole without filling it.
    pool.lie_about_extents(1 << 30);
    let before = queue.core.segment.allocated().unwrap();
    other.send(&vec![9; 8 << 20]).unwrap();
    assert!(queue.core.segment.allocated().unwrap() >= before + (7 << 20));
    lie(&queue, 1, |tag| tag.0 & ((1 << 30) - 1) | ((8 << 20) + (64 << 10)) << 30);
    let before = queue.core.segment.allocated().unwrap();
    let message = other.recv().unwrap();
    assert!(
        message[..8 << 20].iter().all(|&byte| byte == 9) && message[8 << 20..].iter().all(|&byte| byte == 0)
    );
    assert_eq!(queue.core.segment.allocated().unwrap(), before);
}

/// A peer can make messages that nobody survived, as many as there are places.
#[test]
fn giving_up_ends() {
    const CAPACITY: u32 = 500;
    let orphans = |slots: &Slots| {
        for index in 0..CAPACITY {
            slots.stamp(index).word.store(Word::free(0).ready(5).0, Ordering::SeqCst);
        }
        slots.announce_orphan();
    };
    let values = Queue::<u64>::anonymous(CAPACITY as usize).unwrap().with_drop_after(3).unwrap();
    orphans(&values.core.slots);
    assert!(matches!(values.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(values.recv_timeout(SOON), Err(RecvError::Timeout)));

    let bytes = Queue::<[u8]>::anonymous(CAPACITY as usize).unwrap();
    (0..CAPACITY).for_each(|index| lie(&bytes, index, |_| Tag::inline(3).0));
    orphans(&bytes.core.slots);
    let bytes = bytes.with_drop_after(3).unwrap();
    for _ in 0..CAPACITY / 64 {
        assert!(matches!(bytes.try_recv(), Err(RecvError::Empty)));
    }
    assert!(bytes.try_recv().is_err() && bytes.is_empty());
    bytes.close();
    assert!(matches!(bytes.try_recv(), Err(RecvError::Closed)));
}

//! Queues of bytes: small messages in the slots, others in chunks and extents, held on to by whoever likes.

mod memory;
mod sweeps;

use super::pooled::{
    CHUNK, EXTENT, Found, MESSAGE_SIZE, Remains, TWO_EXTENTS, all_memory_is_free, message, numbers, read,
    reserve_everything,
};
use crate::process::{elsewhere, killed_elsewhere};
use crate::scenario::{Death, Scenario, operation};
use ringway::queue::Message;
use ringway::{Deadline, Options, Queue, RecvError, SendError, Wait};

type Blobs = Queue<[u8]>;

/// Fits a slot.
const SMALL: usize = 24;

/// Places for participants: the survivor's, the victim's, and one for who must take the dead one's.
const PLACES: u16 = 3;

/// One class of chunks, as many as the queue holds messages, and one more.
fn options(capacity: usize) -> Options<Blobs> {
    let options = Blobs::options().capacity(capacity).participants(PLACES).wait(Wait::Park);
    options.message_size(MESSAGE_SIZE).max_held(1).max_bytes(0)
}

/// The same, and extents.
fn options_with_extents(capacity: usize) -> Options<Blobs> {
    options(capacity).max_bytes(TWO_EXTENTS)
}

fn open() -> Blobs {
    Blobs::options().wait(Wait::Park).open("queue").unwrap()
}

/// A queue with some messages of this length in it, the first of which is number 0.
fn fill(options: Options<Blobs>, len: usize, messages: u64) -> Blobs {
    let blobs = options.create("queue").unwrap();
    // Not from the first slot on, so that the messages go over the end. What comes later finds chunks that were used.
    blobs.send(&message(9, len)).unwrap();
    drop(blobs.recv().unwrap());
    (0..messages).for_each(|number| blobs.try_send(&message(number, len)).unwrap());
    blobs
}

fn with(capacity: usize, len: usize, messages: u64) -> Blobs {
    fill(options(capacity), len, messages)
}

/// What can be received without waiting.
fn take_all(blobs: &Blobs) -> Vec<Found> {
    let mut all = vec![];
    loop {
        match blobs.recv_deadline(Deadline::NOW) {
            Ok(message) => {
                all.push(Found { number: read(&message), id: message.id(), deliveries: message.deliveries() })
            }
            Err(RecvError::Timeout | RecvError::Closed) => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The queue is empty. Others come, take the places of the dead, and have all of it.
fn must_be_as_good_as_new(blobs: Blobs) {
    all_memory_is_free();
    let capacity = blobs.capacity() as u64;
    let has_extents = blobs.max_message() > MESSAGE_SIZE as u64;
    let filled = elsewhere(move || {
        let blobs = open();
        blobs.trim(); // else a large message's extent may serve for a small one
        let extents = if has_extents { capacity + 1 } else { 0 };
        reserve_everything(extents, |len| blobs.try_reserve(len));
        (100..).take_while(|&number| blobs.try_send(&message(number, CHUNK)).is_ok()).collect()
    });
    assert_eq!(filled.len() as u64, capacity, "not all of the queue can be used");
    let all = numbers(&take_all(&blobs));
    assert!(all.iter().copied().eq(100..100 + capacity), "{all:?}");
    assert!(blobs.is_empty() && !blobs.is_full());
    all_memory_is_free();
    blobs.close();
    assert!(matches!(blobs.recv(), Err(RecvError::Closed)));
    ringway::unlink("queue").unwrap();
}

/// `before` messages were there when the victim began to send `sending` more.
fn survives_sender(blobs: Blobs, before: u64, sending: u64, death: Death) -> u64 {
    let all = take_all(&blobs);
    let count = all.len() as u64;
    assert!(all.iter().all(|found| found.deliveries == 0), "{all:?}");
    assert!(numbers(&all).into_iter().eq(0..count), "{all:?}");
    let came = count.checked_sub(before).expect("a message is lost that was sent before");
    assert!(came <= sending && (came == sending || !death.after), "{came} messages of {sending}");
    must_be_as_good_as_new(blobs);
    came
}

/// The victim began to receive the first `receiving` of `messages`. What it has not taken comes again, late.
fn survives_receiver(blobs: Blobs, messages: u64, receiving: u64, death: Death) -> u64 {
    let all = take_all(&blobs);
    let again = all.iter().filter(|found| found.deliveries > 0).count() as u64;
    assert!(again <= 1 && all.iter().all(|found| found.deliveries <= 1), "{all:?}");
    // The message that went ahead has id 0.
    assert!(all.iter().all(|found| found.id == found.number + 1), "{all:?}");
    let mut left = numbers(&all);
    left.sort_unstable();
    let taken = messages - left.len() as u64;
    assert!(left.iter().copied().eq(taken..messages), "not the first ones are gone: {all:?}");
    assert!(taken <= receiving && (taken == receiving || !death.after), "{all:?}");
    must_be_as_good_as_new(blobs);
    2 * taken + again
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = senders();
    all.extend(memory::scenarios());
    all.extend(receivers());
    all.extend(sweeps::scenarios());
    all.extend(ends());
    all
}

fn send(blobs: &Blobs, number: u64, len: usize) {
    let message = message(number, len);
    operation(|| blobs.send(&message).unwrap());
}

fn senders() -> Vec<Scenario> {
    let sends = |name, capacity: usize, before: u64, sending: u64, victim: fn(Blobs)| {
        Scenario::new(
            name,
            move || with(capacity, CHUNK, before),
            move |_| victim(open()),
            move |blobs, death| survives_sender(blobs, before, sending, death),
        )
    };
    vec![
        sends("byte-queue/send-small", 3, 1, 1, |blobs| send(&blobs, 1, SMALL)),
        sends("byte-queue/send-chunk", 3, 1, 1, |blobs| send(&blobs, 1, CHUNK)),
        sends("byte-queue/send-one-place", 1, 0, 1, |blobs| send(&blobs, 0, CHUNK)),
        sends("byte-queue/try-send-full", 2, 2, 0, |blobs| {
            let message = message(2, CHUNK);
            operation(|| assert!(matches!(blobs.try_send(&message), Err(SendError::Full))));
        }),
        sends("byte-queue/send-many", 4, 1, 2, |blobs| {
            let batch = [message(1, SMALL), message(2, CHUNK)];
            operation(|| blobs.send_many(&batch, Deadline::NEVER).unwrap());
        }),
        // All chunks of the usual size are held, so one of the next class serves.
        Scenario::new(
            "byte-queue/send-larger",
            || {
                let blobs = fill(options(2).message_size(CHUNK), CHUNK, 0);
                (hold(&blobs, 3), blobs)
            },
            |_| send(&open(), 0, CHUNK),
            |(held, blobs), death| {
                drop(held);
                survives_sender(blobs, 0, 1, death)
            },
        ),
    ]
}

/// So many messages that were received and are held on to.
fn hold(blobs: &Blobs, count: u64) -> Vec<Message<'static>> {
    let held = (0..count).map(|number| {
        blobs.try_send(&message(50 + number, CHUNK)).unwrap();
        blobs.try_recv().unwrap().detach()
    });
    held.collect()
}

fn receivers() -> Vec<Scenario> {
    let receives = |name, capacity: usize, len: usize, messages: u64, receiving: u64, victim: fn(Blobs)| {
        let options = move || if len == EXTENT { options_with_extents(capacity) } else { options(capacity) };
        Scenario::new(
            name,
            move || fill(options(), len, messages),
            move |_| victim(open()),
            move |blobs, death| survives_receiver(blobs, messages, receiving, death),
        )
    };
    let one = |blobs: Blobs| operation(|| assert_eq!(read(&blobs.recv().unwrap()), 0));
    vec![
        receives("byte-queue/recv-small", 3, SMALL, 3, 1, one),
        receives("byte-queue/recv-chunk", 3, CHUNK, 3, 1, one),
        receives("byte-queue/recv-one-place", 1, CHUNK, 1, 1, one),
        receives("byte-queue/recv-extent", 2, EXTENT, 2, 1, |blobs| {
            operation(|| assert_eq!(blobs.recv().unwrap().len(), EXTENT));
        }),
        receives("byte-queue/recv-into", 3, CHUNK, 3, 1, |blobs| {
            let mut buffer = Vec::with_capacity(CHUNK);
            operation(|| assert_eq!(blobs.recv_into(&mut buffer, Deadline::NEVER).unwrap(), CHUNK));
            assert_eq!(read(&buffer), 0);
        }),
        receives("byte-queue/detach", 3, CHUNK, 3, 1, |blobs| {
            operation(|| {
                let message = blobs.recv().unwrap().detach();
                drop(blobs);
                drop(message);
            });
        }),
        // Dropped out of order; one is held when the process dies behind the operation.
        receives("byte-queue/recv-many", 3, CHUNK, 3, 2, |blobs| {
            let mut batch = Vec::with_capacity(3);
            operation(|| {
                assert_eq!(blobs.recv_many(&mut batch, 2, Deadline::NOW).unwrap(), 2);
                drop(batch.pop());
            });
        }),
        receives("byte-queue/try-recv-empty", 2, CHUNK, 0, 0, |blobs| {
            operation(|| assert!(matches!(blobs.try_recv(), Err(RecvError::Empty))));
        }),
    ]
}

fn ends() -> Vec<Scenario> {
    vec![
        // A sleeping sender learns of it, whatever it waits for.
        Scenario::new(
            "byte-queue/close",
            || with(3, CHUNK, 1),
            |_| {
                let blobs = open();
                operation(|| assert!(blobs.close()));
            },
            |blobs, death| {
                let closed = blobs.is_closed();
                assert!(closed || !death.after, "not closed though the call had returned");
                match blobs.try_send(&message(1, CHUNK)) {
                    Err(SendError::Closed) if closed => {}
                    Ok(()) if !closed => {}
                    other => panic!("closed: {closed}, but {other:?}"),
                }
                let all = take_all(&blobs);
                assert_eq!(all.len(), 1 + usize::from(!closed));
                assert_eq!(all[0], Found { number: 0, id: 1, deliveries: 0 });
                if closed {
                    all_memory_is_free();
                    assert!(matches!(blobs.recv(), Err(RecvError::Closed)));
                    ringway::unlink("queue").unwrap();
                } else {
                    must_be_as_good_as_new(blobs);
                }
                closed.into()
            },
        ),
        Scenario::new(
            "byte-queue/drop",
            || with(3, CHUNK, 2),
            |_| {
                let blobs = open();
                operation(|| drop(blobs));
            },
            |blobs, death| survives_sender(blobs, 2, 0, death),
        ),
        Scenario::new(
            "byte-queue/open",
            || with(3, CHUNK, 2),
            |_| {
                super::ring::know_oneself();
                drop(operation(open));
            },
            |blobs, death| survives_sender(blobs, 2, 0, death),
        ),
        policy("byte-queue/drop-after", false),
        policy("byte-queue/dead-letters", true),
    ]
}

/// A receiver died with message 0, and the victim gives it up.
fn policy(name: &'static str, to_letters: bool) -> Scenario {
    let letters = || Blobs::options().participants(PLACES).open("letters").unwrap();
    Scenario::new(
        name,
        move || {
            let blobs = with(2, CHUNK, 2);
            killed_elsewhere(open);
            Remains::of(2).was_receiving(2, 1, None);
            options(2).create("letters").unwrap();
            blobs
        },
        move |_| {
            let blobs = open();
            let blobs = if to_letters {
                blobs.with_dead_letters(1, &letters()).unwrap()
            } else {
                blobs.with_drop_after(1).unwrap()
            };
            operation(|| assert_eq!(read(&blobs.try_recv().unwrap()), 1));
        },
        move |blobs, death| {
            let mut left: Vec<_> =
                take_all(&blobs).iter().map(|found| (found.number, found.deliveries)).collect();
            left.sort_unstable();
            let effect = match left[..] {
                [(0, again @ 1..=2), (1, 0)] => u64::from(again) - 1,
                [(1, again @ 0..=1)] => 2 + u64::from(again),
                [] => 4,
                _ => panic!("{left:?}"),
            };
            assert!(effect == 4 || !death.after, "{left:?}");
            let letters = letters();
            let posted = numbers(&take_all(&letters));
            // Whoever dies with it in his hands takes it along, as any receiver.
            assert!(posted.is_empty() || posted == [0] && to_letters && effect >= 2, "{posted:?} {left:?}");
            assert!(!to_letters || effect < 3 || posted == [0], "no letter: {left:?}");
            drop(letters);
            ringway::unlink("letters").unwrap();
            must_be_as_good_as_new(blobs);
            effect
        },
    )
}

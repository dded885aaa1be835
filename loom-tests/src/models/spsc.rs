//! The ring of fixed messages: nothing is seen half, twice or out of order, and a new owner can take over from
//! one that died anywhere.

use crate::harness::Model;
use crate::ring::spsc::{Geometry, Header, Reader, Ring, Writer};
use crate::ring::{ReadError, WriteError};
use crate::sync::Slot;
use loom::thread;
use std::ptr::NonNull;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "one_slot",
        preemptions: 3,
        body: one_slot,
        kills: &[
            "spsc.publish",
            "spsc.observe",
            "spsc.reuse",
            "spsc.release",
            "spsc.publish_before_write",
            "spsc.release_before_read",
            "spsc.one_too_many",
        ],
    },
    Model {
        name: "three_in_four_slots",
        preemptions: 2,
        body: three_in_four_slots,
        kills: &["spsc.observe", "spsc.reuse", "spsc.publish_before_write", "spsc.one_too_many"],
    },
    Model {
        name: "batches",
        preemptions: 3,
        body: batches,
        kills: &["spsc.publish", "spsc.observe", "spsc.reuse", "spsc.release"],
    },
    Model {
        name: "writer_dies_after_claim",
        preemptions: 3,
        body: writer_dies::<0>,
        kills: &["spsc.publish", "spsc.observe", "spsc.write_takeover_one_early"],
    },
    Model {
        name: "writer_dies_after_write",
        preemptions: 3,
        body: writer_dies::<1>,
        kills: &["spsc.publish", "spsc.observe", "spsc.write_takeover_one_early"],
    },
    Model {
        name: "writer_dies_after_publish",
        preemptions: 3,
        body: writer_dies::<2>,
        kills: &["spsc.publish", "spsc.observe", "spsc.write_takeover_one_early"],
    },
    Model {
        name: "reader_dies_after_look",
        preemptions: 3,
        body: reader_dies::<0>,
        kills: &["spsc.reuse", "spsc.release", "spsc.read_takeover_one_late"],
    },
    Model {
        name: "reader_dies_after_read",
        preemptions: 3,
        body: reader_dies::<1>,
        kills: &["spsc.reuse", "spsc.release", "spsc.read_takeover_one_late"],
    },
    Model {
        name: "reader_dies_after_release",
        preemptions: 3,
        body: reader_dies::<2>,
        kills: &["spsc.reuse", "spsc.release", "spsc.read_takeover_one_late"],
    },
];

/// Each message fills two words, so that a torn one shows even where loom's cells would not.
type Message = [u64; 2];

/// Where the positions start: the wrap of the counters is in the middle of every model.
const START: u64 = u64::MAX;

struct Memory {
    header: Header,
    slots: Vec<Slot<Message>>,
    geometry: Geometry,
}

impl Memory {
    fn new(capacity: u64) -> Arc<Memory> {
        let geometry = Geometry::new(capacity).unwrap();
        let slots = (0..geometry.slots()).map(|_| Slot::vacant()).collect();
        Arc::new(Memory { header: Header::starting_at(START), slots, geometry })
    }

    fn ring(&self) -> Ring<Message> {
        // SAFETY: `self` outlives the model's threads, which join before it is dropped.
        unsafe { Ring::new(NonNull::from(&self.header), NonNull::from(&self.slots[0]), self.geometry) }
    }

    fn writer(&self) -> Writer<Message> {
        // SAFETY: each model makes one, or the next after the first is dead.
        unsafe { Writer::attach(self.ring()) }.expect("no corruption")
    }

    fn reader(&self) -> Reader<Message> {
        // SAFETY: as for the writer.
        unsafe { Reader::attach(self.ring()) }.expect("no corruption")
    }
}

fn message(number: u64) -> Message {
    [number, !number]
}

fn push(writer: &mut Writer<Message>, number: u64) {
    loop {
        match writer.push(message(number)) {
            Ok(()) => return,
            Err(WriteError::Full) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn pop(reader: &mut Reader<Message>) -> u64 {
    loop {
        match reader.pop() {
            Ok(found) => {
                assert_eq!(found, message(found[0]), "torn");
                return found[0];
            }
            Err(ReadError::Empty) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn stream(capacity: u64, messages: u64) {
    let memory = Memory::new(capacity);
    let (mut writer, mut reader) = (memory.writer(), memory.reader());
    let sending = thread::spawn(move || (0..messages).for_each(|number| push(&mut writer, number)));
    (0..messages).for_each(|number| assert_eq!(pop(&mut reader), number, "lost or out of order"));
    sending.join().unwrap();
    assert_eq!(reader.pop(), Err(ReadError::Empty));
}

/// One slot, used again and again, over the wrap of the positions.
fn one_slot() {
    stream(1, 3);
}

/// A capacity that is no power of two: full one slot early.
fn three_in_four_slots() {
    stream(3, 5);
}

/// Two messages appear at once and two slots return at once.
fn batches() {
    let memory = Memory::new(2);
    let (mut writer, mut reader) = (memory.writer(), memory.reader());
    let sending = thread::spawn(move || {
        for number in [0, 2] {
            while writer.claimed() < 2 {
                writer.refresh().unwrap();
                thread::yield_now();
            }
            assert!(writer.write(0, message(number)) && writer.write(1, message(number + 1)));
            writer.publish(2);
        }
    });
    for number in [0, 2] {
        loop {
            match reader.available() {
                Ok(seen) => break assert_eq!(seen, 2, "half a batch"),
                Err(ReadError::Empty) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((reader.read(0), reader.read(1)), (Some(message(number)), Some(message(number + 1))));
        reader.release(2);
    }
    sending.join().unwrap();
}

/// The writer dies in its second push: after the claim, after the write, or after publishing. Whoever knows that it
/// is dead takes over; the reader gets each message whole or not at all.
fn writer_dies<const POINT: u8>() {
    let memory = Memory::new(2);
    let (mut first, mut reader) = (memory.writer(), memory.reader());
    let victim = thread::spawn(move || {
        push(&mut first, 0);
        first.claim().unwrap();
        if POINT >= 1 {
            first.write(0, message(1));
        }
        if POINT >= 2 {
            first.publish(1);
        }
    });
    let receiving = thread::spawn(move || {
        assert_eq!(pop(&mut reader), 0);
        if POINT == 2 {
            assert_eq!(pop(&mut reader), 1);
        }
        assert_eq!(pop(&mut reader), 2, "the unpublished message never was");
    });
    victim.join().unwrap();
    push(&mut memory.writer(), 2);
    receiving.join().unwrap();
}

/// The reader dies in its second pop: after looking, after reading, or after releasing. Its heir gets what it
/// had not released, while the writer goes on.
fn reader_dies<const POINT: u8>() {
    let memory = Memory::new(1);
    let (mut writer, mut first) = (memory.writer(), memory.reader());
    let sending = thread::spawn(move || (0..3).for_each(|number| push(&mut writer, number)));
    let victim = thread::spawn(move || {
        assert_eq!(pop(&mut first), 0);
        while first.available().is_err() {
            thread::yield_now();
        }
        if POINT >= 1 {
            assert_eq!(first.read(0), Some(message(1)));
        }
        if POINT >= 2 {
            first.release(1);
        }
    });
    victim.join().unwrap();
    let mut heir = memory.reader();
    if POINT < 2 {
        assert_eq!(pop(&mut heir), 1, "not released, so it comes again");
    }
    assert_eq!(pop(&mut heir), 2);
    sending.join().unwrap();
}

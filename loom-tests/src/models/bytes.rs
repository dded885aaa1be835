//! The ring of records: as the ring of fixed messages, with headers, payloads of several words, and batches.

use crate::harness::Model;
use crate::ring::bytes::{Header, Reader, Ring, Writer};
use crate::ring::region::Region;
use crate::ring::{ReadError, WriteError};
use crate::sync::Slot;
use loom::thread;
use std::ptr::NonNull;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "one_record_fills_the_ring",
        preemptions: 3,
        body: one_record_fills_the_ring,
        kills: &[
            "bytes.publish",
            "bytes.observe",
            "bytes.reuse",
            "bytes.release",
            "bytes.publish_before_record",
            "bytes.publish_before_payload",
            "bytes.release_before_copy",
            "bytes.one_too_many",
        ],
    },
    Model {
        name: "records_across_the_end",
        preemptions: 3,
        body: records_across_the_end,
        kills: &["bytes.observe", "bytes.reuse", "bytes.publish_before_payload", "bytes.release_before_copy"],
    },
    Model {
        name: "batches",
        preemptions: 3,
        body: batches,
        kills: &["bytes.publish", "bytes.observe", "bytes.reuse", "bytes.release"],
    },
    Model {
        name: "writer_dies_after_reserve",
        preemptions: 2,
        body: writer_dies::<0>,
        kills: &["bytes.publish", "bytes.observe", "bytes.write_takeover_one_early"],
    },
    Model {
        name: "writer_dies_in_the_payload",
        preemptions: 2,
        body: writer_dies::<1>,
        kills: &["bytes.publish", "bytes.observe", "bytes.write_takeover_one_early"],
    },
    Model {
        name: "writer_dies_after_the_payload",
        preemptions: 2,
        body: writer_dies::<2>,
        kills: &["bytes.publish", "bytes.observe", "bytes.write_takeover_one_early"],
    },
    Model {
        name: "writer_dies_after_stage",
        preemptions: 2,
        body: writer_dies::<3>,
        kills: &["bytes.publish", "bytes.observe", "bytes.write_takeover_one_early"],
    },
    Model {
        name: "writer_dies_after_publish",
        preemptions: 2,
        body: writer_dies::<4>,
        kills: &["bytes.publish", "bytes.observe", "bytes.write_takeover_one_early"],
    },
    Model {
        name: "reader_dies_after_peek",
        preemptions: 2,
        body: reader_dies::<0>,
        kills: &["bytes.reuse", "bytes.release", "bytes.read_takeover_one_late"],
    },
    Model {
        name: "reader_dies_after_copy",
        preemptions: 2,
        body: reader_dies::<1>,
        kills: &["bytes.reuse", "bytes.release", "bytes.read_takeover_one_late"],
    },
    Model {
        name: "reader_dies_after_advance",
        preemptions: 2,
        body: reader_dies::<2>,
        kills: &["bytes.reuse", "bytes.release", "bytes.read_takeover_one_late"],
    },
    Model {
        name: "reader_dies_after_release",
        preemptions: 2,
        body: reader_dies::<3>,
        kills: &["bytes.reuse", "bytes.release", "bytes.read_takeover_one_late"],
    },
];

/// Where the positions start: the wrap of the counters is in the middle of every model.
const START: u64 = u64::MAX - 7;

struct Memory {
    header: Header,
    words: Vec<Slot<u64>>,
}

impl Memory {
    fn new(size: usize) -> Arc<Memory> {
        let words: Vec<_> = (0..size / 8).map(|_| Slot::vacant()).collect();
        for word in &words {
            // SAFETY: nobody else knows it yet.
            unsafe { word.write(0) };
        }
        Arc::new(Memory { header: Header::starting_at(START), words })
    }

    fn ring(&self) -> Ring {
        let size = 8 * self.words.len() as u64;
        // SAFETY: `self` outlives the model's threads, which join before it is dropped.
        let region = unsafe { Region::new(NonNull::from(&self.words[0]), size) }.expect("a valid size");
        // SAFETY: as above.
        unsafe { Ring::new(NonNull::from(&self.header), region) }
    }

    fn writer(&self) -> Writer {
        // SAFETY: each model makes one, or the next after the first is dead.
        unsafe { Writer::attach(self.ring()) }.expect("no corruption")
    }

    fn reader(&self) -> Reader {
        // SAFETY: as for the writer.
        unsafe { Reader::attach(self.ring()) }.expect("no corruption")
    }
}

fn push(writer: &mut Writer, payload: &[u8]) {
    loop {
        match writer.push(payload, !u32::from(payload[0])) {
            Ok(()) => return,
            Err(WriteError::Full) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Pops one record and demands that it is `payload`, whole and with its tag.
fn expect(reader: &mut Reader, payload: &[u8]) {
    let mut found = [0; 32];
    let record = loop {
        match reader.pop(&mut found) {
            Ok(record) => break record,
            Err(ReadError::Empty) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(&found[..record.len()], payload, "torn, lost or out of order");
    assert_eq!(record.tag(), !u32::from(payload[0]));
}

fn stream(size: usize, records: &'static [&'static [u8]]) {
    let memory = Memory::new(size);
    let (mut writer, mut reader) = (memory.writer(), memory.reader());
    let sending = thread::spawn(move || records.iter().for_each(|record| push(&mut writer, record)));
    records.iter().for_each(|record| expect(&mut reader, record));
    sending.join().unwrap();
    assert_eq!(reader.peek(), Err(ReadError::Empty));
}

/// Sixteen bytes: a header word, a payload word, and no room for a second record.
fn one_record_fills_the_ring() {
    stream(16, &[b"1one1one", b"2two", b"3three33"]);
}

/// Records of different lengths, some of them across the end of the storage.
fn records_across_the_end() {
    stream(32, &[b"1one1one1", b"2two2two2", b"3three3three3t"]);
}

/// Two records appear at once and return at once.
fn batches() {
    let memory = Memory::new(32);
    let (mut writer, mut reader) = (memory.writer(), memory.reader());
    let sending = thread::spawn(move || {
        for number in [0_u8, 2] {
            while writer.free() < 32 {
                writer.refresh().unwrap();
                thread::yield_now();
            }
            for payload in [[number], [number + 1]] {
                let reservation = writer.reserve(8).unwrap();
                assert_eq!(writer.fill(&reservation, 0, &payload), 1);
                writer.stage(reservation, 1, 0);
            }
            writer.publish();
        }
    });
    for number in [0_u8, 2] {
        while reader.peek().is_err() {
            thread::yield_now();
        }
        assert_eq!(reader.seen(), 32, "half a batch");
        for payload in [[number], [number + 1]] {
            let (record, mut found) = (reader.peek().unwrap(), [0]);
            assert_eq!((reader.copy_out(&record, 0, &mut found), found), (1, payload));
            reader.advance(&record);
        }
        reader.release();
    }
    sending.join().unwrap();
}

/// The writer dies in its second record: reserved, half filled, filled, staged, or published. The next writer
/// goes on from there; the reader gets each record whole or not at all.
fn writer_dies<const POINT: u8>() {
    let memory = Memory::new(64);
    let (mut first, mut reader) = (memory.writer(), memory.reader());
    let victim = thread::spawn(move || {
        push(&mut first, b"1");
        let reservation = first.reserve(16).unwrap();
        if POINT >= 1 {
            first.fill(&reservation, 0, b"2twotwo2");
        }
        if POINT >= 2 {
            first.fill(&reservation, 8, b"TWO");
        }
        if POINT >= 3 {
            first.stage(reservation, 11, !u32::from(b'2'));
        }
        if POINT >= 4 {
            first.publish();
        }
    });
    let receiving = thread::spawn(move || {
        expect(&mut reader, b"1");
        if POINT == 4 {
            expect(&mut reader, b"2twotwo2TWO");
        }
        expect(&mut reader, b"3");
    });
    victim.join().unwrap();
    push(&mut memory.writer(), b"3");
    receiving.join().unwrap();
}

/// The reader dies in its second record: found, copied out, advanced over, or released. Its heir gets what it had
/// not released, while the writer goes on.
fn reader_dies<const POINT: u8>() {
    let memory = Memory::new(16);
    let (mut writer, mut first) = (memory.writer(), memory.reader());
    let sending =
        thread::spawn(move || [b"1", b"2", b"3"].into_iter().for_each(|payload| push(&mut writer, payload)));
    let victim = thread::spawn(move || {
        expect(&mut first, b"1");
        let record = loop {
            match first.peek() {
                Ok(record) => break record,
                Err(_) => thread::yield_now(),
            }
        };
        if POINT >= 1 {
            let mut found = [0; 1];
            assert_eq!((first.copy_out(&record, 0, &mut found), &found), (1, b"2"));
        }
        if POINT >= 2 {
            first.advance(&record);
        }
        if POINT >= 3 {
            first.release();
        }
    });
    victim.join().unwrap();
    let mut heir = memory.reader();
    if POINT < 3 {
        expect(&mut heir, b"2");
    }
    expect(&mut heir, b"3");
    sending.join().unwrap();
}

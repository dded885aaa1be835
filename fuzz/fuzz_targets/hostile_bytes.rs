//! A ring of byte records whose indices, records and roles a hostile peer has written: every call of the producer
//! and of the consumer says exactly what follows from those bytes by the rules, and touches nothing else.
//!
//! What has to follow is computed by a model of either side (`src/sides.rs`): which record, how long, with
//! which bytes, or which of the errors. Both sides stay open from one input to the next and are brought back to an
//! empty ring at its beginning, so that an input costs microseconds; an input can open them anew, at any indices.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway::bytes::{Consumer, Producer};
use ringway::{Deadline, PopError, RecvError, SendError};
use ringway_fuzz::raw::{Raw, ring};
use ringway_fuzz::sides::{MAX_LEN, No, Reading, SIZE, Writing, footprint};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};

/// The one participant there is; who holds a role under another number is dead.
const ME: u64 = 1;

#[derive(Arbitrary, Debug)]
struct Input {
    trusted: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// The index of the producer, so far from the honest one.
    Tail(i16),
    /// Any index at all.
    WildTail(u64),
    Head(i16),
    WildHead(u64),
    /// Record headers, from so far in front of or behind the reader's position.
    Records(i16, Vec<(u32, u32)>),
    /// Bytes, the same way.
    Payload(i16, Vec<u8>),
    Role(Side, u64),
    HeldBy(Side, u8),
    Pop,
    Peek,
    Keep,
    Drain(u8),
    Receive,
    Push(u16),
    Loan(u16, u16),
    Batch(Vec<u16>, bool),
    Send(u16),
    Open(Side, u64, u64),
}

#[derive(Arbitrary, Debug, Clone, Copy, PartialEq)]
enum Side {
    Producer,
    Consumer,
}

struct World {
    raw: Raw,
    memory: OwnedFd,
    trusted: bool,
    producer: Option<(Producer, Writing)>,
    consumer: Option<(Consumer, Reading)>,
}

/// What a record of the producer holds.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ len) as u8).collect()
}

impl World {
    fn new() -> World {
        let first = Producer::anonymous(SIZE as usize).expect("cannot make a ring");
        let memory = first.as_fd().try_clone_to_owned().expect("no descriptor left");
        let raw = Raw::map(&memory, ring::LEN);
        World { raw, memory, trusted: false, producer: None, consumer: None }
    }

    fn set(&self, at: usize, word: u64) {
        self.raw.set(self.raw.body + at, word);
    }

    fn word(&self, at: usize) -> u64 {
        self.raw.word(self.raw.body + at)
    }

    /// An empty ring with both its ends, at position 0 or at another one that is no different.
    fn begin(&mut self, trusted: bool) {
        if self.trusted != trusted || self.producer.is_none() || self.consumer.is_none() {
            self.trusted = trusted;
            (self.producer, self.consumer) = (None, None);
            for at in (0..ring::LEN).step_by(8) {
                self.set(at, 0);
            }
            self.open(Side::Producer);
            self.open(Side::Consumer);
        }
        self.raw.set_bytes(self.raw.data, &[0; SIZE as usize]);
        let at = self.bring_producer_round();
        self.bring_consumer_round(at);
        self.set(ring::PRODUCER, 1 << 24 | 1 << 16 | ME);
        self.set(ring::CONSUMER, 1 << 24 | 1 << 16 | ME);
    }

    /// Makes the producer write up to the ring's end, and says where that is.
    fn bring_producer_round(&mut self) -> u64 {
        let World { raw, producer, .. } = self;
        let Some((producer, writing)) = producer else { panic!("no producer") };
        loop {
            raw.set(raw.body + ring::HEAD, writing.published);
            let rest = SIZE - writing.published % SIZE;
            // All of it is free, and that is seen.
            assert!(producer.reserve(MAX_LEN as usize).is_some(), "{writing:?} of {producer:?}");
            writing.reserve(raw, MAX_LEN).unwrap();
            if rest == SIZE {
                return writing.published;
            }
            producer.push(&vec![0; rest as usize - 8]).unwrap();
            writing.stage(rest - 8);
            writing.published = writing.tail;
        }
    }

    /// Makes the consumer read up to the ring's end, and then the two agree where that is.
    fn bring_consumer_round(&mut self, at: u64) {
        let World { raw, consumer, .. } = self;
        let Some((consumer, reading)) = consumer else { panic!("no consumer") };
        // What it has seen is one record, and from there to the end another one.
        while reading.head != reading.tail || !reading.head.is_multiple_of(SIZE) {
            let seen = reading.tail.wrapping_sub(reading.head);
            let len = if seen > 0 { seen } else { SIZE - reading.head % SIZE };
            raw.set(raw.data + (reading.head % SIZE) as usize, len - 8);
            raw.set(raw.body + ring::TAIL, reading.head.wrapping_add(len));
            let record = reading.peek(raw).unwrap();
            assert_eq!(consumer.pop().as_deref(), Ok(&record[..]), "{reading:?} of {consumer:?}");
            reading.advance(&record);
            reading.release();
        }
        raw.set_bytes(raw.data, &[0; SIZE as usize]);
        if reading.head != at {
            // The producer was opened anew somewhere else: so must the consumer be.
            raw.set(raw.body + ring::HEAD, at);
            raw.set(raw.body + ring::TAIL, at);
            self.consumer = None;
            self.open(Side::Consumer);
        }
        self.set(ring::HEAD, at);
        self.set(ring::TAIL, at);
    }

    /// Opens one side, at whatever indices there are.
    fn open(&mut self, side: Side) {
        let memory = self.memory.try_clone().expect("no descriptor left");
        // No error but that of the indices: nobody alive has the role.
        let at = if side == Side::Producer { ring::PRODUCER } else { ring::CONSUMER };
        if side == Side::Producer {
            self.producer = None
        } else {
            self.consumer = None
        }
        self.set(at, 0);
        match side {
            Side::Producer => {
                let opened = Producer::options().trusted(self.trusted).from_fd(memory);
                let writing = Writing::open(&self.raw, self.raw.body);
                assert_eq!(opened.is_ok(), writing.is_ok(), "{opened:?}, {writing:?}");
                self.producer = opened.ok().zip(writing.ok());
            }
            Side::Consumer => {
                let opened = Consumer::options().trusted(self.trusted).from_fd(memory);
                let reading = Reading::open(&self.raw, self.raw.body, self.raw.data);
                assert_eq!(opened.is_ok(), reading.is_ok(), "{opened:?}, {reading:?}");
                self.consumer = opened.ok().zip(reading.ok());
            }
        }
    }

    /// Whether whoever held this side has left or died, by its word.
    fn is_over(&self, side: Side) -> bool {
        let word = self.word(if side == Side::Producer { ring::PRODUCER } else { ring::CONSUMER });
        match word >> 16 & 0xff {
            1 => word & 0xffff != ME,
            2 | 3 => true,
            _ => false,
        }
    }

    /// The honest position of a side that exists.
    fn position(&self, side: Side) -> u64 {
        match side {
            Side::Producer => self.producer.as_ref().map_or(0, |(_, writing)| writing.published),
            Side::Consumer => self.consumer.as_ref().map_or(0, |(_, reading)| reading.released),
        }
    }

    fn take(&mut self, step: &Step) {
        let over = (self.is_over(Side::Producer), self.is_over(Side::Consumer));
        let (writes_at, reads_at) = (self.position(Side::Producer), self.position(Side::Consumer));
        match step {
            Step::Tail(by) => self.set(ring::TAIL, reads_at.wrapping_add_signed(i64::from(*by))),
            Step::WildTail(tail) => self.set(ring::TAIL, *tail),
            Step::Head(by) => self.set(ring::HEAD, writes_at.wrapping_add_signed(i64::from(*by))),
            Step::WildHead(head) => self.set(ring::HEAD, *head),
            Step::Records(by, records) => {
                let mut at = reads_at.wrapping_add_signed(i64::from(*by) & !7);
                for (len, tag) in records {
                    let place = self.raw.data + (at % SIZE) as usize;
                    self.raw.set(place, u64::from(*tag) << 32 | u64::from(*len));
                    at = at.wrapping_add(footprint((*len).into()));
                }
            }
            Step::Payload(by, bytes) => {
                let at = (reads_at.wrapping_add_signed((*by).into()) % SIZE) as usize;
                let len = bytes.len().min(SIZE as usize - at);
                self.raw.set_bytes(self.raw.data + at, &bytes[..len]);
            }
            Step::Role(Side::Producer, word) => self.set(ring::PRODUCER, *word),
            Step::Role(Side::Consumer, word) => self.set(ring::CONSUMER, *word),
            Step::HeldBy(Side::Producer, who) => self.set(ring::PRODUCER, 1 << 16 | u64::from(*who)),
            Step::HeldBy(Side::Consumer, who) => self.set(ring::CONSUMER, 1 << 16 | u64::from(*who)),
            Step::Open(side, tail, head) => {
                self.set(ring::TAIL, *tail);
                self.set(ring::HEAD, *head);
                self.open(*side);
            }
            Step::Pop | Step::Peek | Step::Keep | Step::Drain(_) | Step::Receive => {
                let World { raw, consumer, .. } = self;
                if let Some((consumer, reading)) = consumer {
                    read(step, raw, consumer, reading, over.0);
                    assert!(consumer.len() as u64 <= SIZE / 8);
                }
            }
            Step::Push(_) | Step::Loan(..) | Step::Batch(..) | Step::Send(_) => {
                let World { raw, producer, .. } = self;
                if let Some((producer, writing)) = producer {
                    write(step, raw, producer, writing, over.1);
                    assert!(producer.len() as u64 <= SIZE / 8);
                }
            }
        }
    }
}

fn read(step: &Step, raw: &Raw, consumer: &mut Consumer, reading: &mut Reading, producer_is_over: bool) {
    // A drain of none does not even look.
    let expected = if let Step::Drain(_) = step { Err(No::Nothing) } else { reading.peek(raw) };
    match step {
        Step::Pop => match (consumer.pop(), &expected) {
            (Ok(found), Ok(record)) => {
                assert_eq!(&found, record);
                taken(raw, reading, record);
            }
            (Err(PopError::Empty), Err(No::Nothing)) | (Err(PopError::Corrupt(_)), Err(No::Corrupt)) => {}
            other => panic!("{other:?}"),
        },
        Step::Peek => match (consumer.peek(), &expected) {
            (Some(found), Ok(record)) => {
                assert_eq!(&*found, record);
                drop(found);
                taken(raw, reading, record);
            }
            (None, Err(_)) => {}
            other => panic!("{other:?}"),
        },
        Step::Keep => match (consumer.peek(), &expected) {
            (Some(found), Ok(record)) => {
                assert_eq!(&*found, record);
                found.keep();
            }
            (None, Err(_)) => {}
            other => panic!("{other:?}"),
        },
        Step::Drain(count) => {
            let mut drain = consumer.drain();
            for _ in 0..*count {
                let expected = reading.peek(raw).ok();
                let found = drain.next();
                assert_eq!(found, expected.as_deref());
                match expected {
                    Some(record) => reading.advance(&record),
                    None => break,
                }
            }
            drop(drain);
            reading.release();
            assert_eq!(raw.word(raw.body + ring::HEAD), reading.released);
        }
        _ => {
            let mut buffer = b"as it was".to_vec();
            match (consumer.recv_into(&mut buffer, Deadline::NOW), &expected) {
                (Ok(len), Ok(record)) => {
                    assert_eq!((len, &buffer), (record.len(), record));
                    return taken(raw, reading, record);
                }
                (Err(RecvError::Closed), Err(No::Nothing)) => assert!(producer_is_over),
                (Err(RecvError::Timeout), Err(No::Nothing)) => assert!(!producer_is_over),
                (Err(RecvError::Corrupt(_)), Err(No::Corrupt)) => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(buffer, b"as it was");
        }
    }
}

fn taken(raw: &Raw, reading: &mut Reading, record: &[u8]) {
    reading.advance(record);
    reading.release();
    assert_eq!(raw.word(raw.body + ring::HEAD), reading.released);
}

fn write(step: &Step, raw: &Raw, producer: &mut Producer, writing: &mut Writing, consumer_is_over: bool) {
    match step {
        Step::Push(len) => {
            let expected = writing.reserve(raw, (*len).into());
            match (producer.push(&pattern((*len).into())), &expected) {
                (Ok(()), Ok(())) => written(raw, writing, (*len).into()),
                (Err(SendError::Full), Err(No::Nothing))
                | (Err(SendError::Corrupt(_)), Err(No::Corrupt))
                | (Err(SendError::TooLarge { .. }), Err(No::TooLarge)) => {}
                other => panic!("{other:?}"),
            }
        }
        Step::Loan(len, used) => {
            let expected = writing.reserve(raw, (*len).into());
            match (producer.reserve((*len).into()), &expected) {
                (Some(mut loan), Ok(())) => {
                    assert_eq!(loan.len(), usize::from(*len));
                    if used > len {
                        return; // given back
                    }
                    loan[..(*used).into()].copy_from_slice(&pattern((*used).into()));
                    loan.commit_len((*used).into());
                    written(raw, writing, (*used).into());
                }
                (None, Err(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        Step::Batch(lens, commit) => {
            let mut batch = producer.batch();
            for len in lens {
                let expected = writing.reserve(raw, (*len).into());
                assert_eq!(batch.push(&pattern((*len).into())).is_ok(), expected.is_ok());
                if expected.is_ok() {
                    writing.stage((*len).into());
                }
            }
            if *commit {
                batch.commit();
                writing.published = writing.tail;
                assert_eq!(raw.word(raw.body + ring::TAIL), writing.published);
            } else {
                drop(batch);
                writing.tail = writing.published;
            }
        }
        Step::Send(len) => {
            let expected = writing.reserve(raw, (*len).into());
            match (producer.send_deadline(&pattern((*len).into()), Deadline::NOW), &expected) {
                (Ok(()), Ok(())) => written(raw, writing, (*len).into()),
                (Err(SendError::Closed), Err(No::Nothing)) => assert!(consumer_is_over),
                (Err(SendError::Timeout), Err(No::Nothing)) => assert!(!consumer_is_over),
                (Err(SendError::Corrupt(_)), Err(No::Corrupt))
                | (Err(SendError::TooLarge { .. }), Err(No::TooLarge)) => {}
                other => panic!("{other:?}"),
            }
        }
        _ => {}
    }
}

/// The record of `len` bytes that was just published stands where it must.
fn written(raw: &Raw, writing: &mut Writing, len: u64) {
    let end = writing.tail.wrapping_add(footprint(len));
    let mut reading = Reading::between(writing.tail, end, raw.body, raw.data);
    assert_eq!(reading.peek(raw).as_deref(), Ok(&pattern(len as usize)[..]));
    writing.stage(len);
    writing.published = writing.tail;
    assert_eq!(raw.word(raw.body + ring::TAIL), writing.published);
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(|input: Input| {
    WORLD.with_borrow_mut(|world| {
        world.begin(input.trusted);
        for step in input.steps.iter().take(200) {
            world.take(step);
        }
    });
});

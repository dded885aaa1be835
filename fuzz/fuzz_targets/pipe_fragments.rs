//! A stream of fragments as no honest sender writes it, in a pipe's ring: any lengths, flags and numbers in any order,
//! among them lengths that lie, and a sender that is alive, dead or has given up. Each receive says exactly what the
//! rules make of it, whatever the way of receiving, and with two connections at the end one keeps its place.
//!
//! What the rules make of it, [`Receiver::expect`] says: a model of its own, beside `stream.rs` and `receive.rs`.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway::{Connection, Deadline, End, Pipe, RecvError};
use ringway_fuzz::place;
use ringway_fuzz::raw::{Raw, held_lock, pipe, ring};
use ringway_fuzz::sides::{No, Reading, SIZE, footprint};
use std::cell::RefCell;
use std::time::Duration;

const FIRST: u32 = 1 << 24;
const LAST: u32 = 1 << 25;
const ABORT: u32 = 1 << 26;
const WHOLE: u32 = FIRST | LAST;
const ID: u32 = FIRST - 1;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Receives what lies there by reference, and messages of a mebibyte rather than of 1500 bytes.
    trusted: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// A record with these flags, number, length and first bytes, if there is space for it.
    Record {
        flags: u8,
        id: u8,
        len: u16,
        announced: Announced,
    },
    /// A record whose header says anything.
    Word {
        word: u64,
        len: u16,
    },
    /// The sender's index, so far from the honest one.
    Tail(i16),
    /// The number of the message in pieces that is being sent.
    OpenId(u64),
    Lock(Lock),
    /// By the one connection or the other.
    Receive {
        other: bool,
        way: Way,
    },
    Poll,
    /// The other connection is closed.
    Close,
}

/// What a first piece says of the length of the whole.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Announced {
    Nothing,
    Small(u16),
    Any(u64),
}

/// The send lock's word.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Lock {
    Free,
    HeldByTheDead,
    HeldByTheLiving,
    Died,
    Any(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Way {
    Try,
    Into,
    Ref,
    Timeout,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Message(Vec<u8>),
    Nothing,
    TooLong,
    Corrupt,
}

#[derive(Debug)]
struct Partial {
    id: u32,
    bytes: Vec<u8>,
    received: usize,
}

/// A connection, and what it must be keeping.
struct Receiver {
    connection: Connection,
    reading: Option<Reading>,
    partial: Option<Partial>,
}

struct World {
    name: String,
    raw: Raw,
    trusted: bool,
    /// The longest message accepted.
    max: usize,
    one: Receiver,
    other: Option<Receiver>,
    /// Where the next honest record goes.
    written: u64,
    number: u64,
}

impl Receiver {
    fn new(connection: Connection) -> Self {
        Receiver { connection, reading: None, partial: None }
    }

    /// What a receive must say now. `abandoned`: whoever was sending in pieces does not go on.
    fn expect(&mut self, raw: &Raw, max: usize, abandoned: bool) -> Outcome {
        let opened = match &mut self.reading {
            Some(reading) => reading.reload(raw),
            None => Reading::open(raw, raw.body, raw.data).map(|reading| self.reading = Some(reading)),
        };
        let (Ok(()), Some(reading)) = (opened, &mut self.reading) else { return Outcome::Corrupt };
        loop {
            let payload = match reading.peek(raw) {
                Ok(payload) => payload,
                Err(No::Nothing) if self.partial.is_some() && abandoned => {
                    self.partial = None;
                    continue;
                }
                Err(No::Nothing) => return Outcome::Nothing,
                Err(_) => return Outcome::Corrupt,
            };
            let tag = (raw.word(raw.data + (reading.head % SIZE) as usize) >> 32) as u32;
            let current = self.partial.as_ref().is_some_and(|partial| partial.id == tag & ID);
            let begins = tag & FIRST != 0;
            let ends = tag & LAST != 0;
            reading.advance(&payload);
            reading.release();
            if tag & ABORT != 0 {
                if current {
                    self.partial = None;
                }
            } else if begins && ends {
                self.partial = None;
                return if payload.len() <= max { Outcome::Message(payload) } else { Outcome::TooLong };
            } else if begins || current {
                let from = if begins { payload.len().min(8) } else { 0 };
                let fresh = || Partial { id: tag & ID, bytes: Vec::new(), received: 0 };
                let mut partial = if begins { fresh() } else { self.partial.take().unwrap_or_else(fresh) };
                partial.bytes.extend(&payload[from..]);
                partial.received += payload.len() - from;
                if ends {
                    let fits = partial.received <= max;
                    return if fits { Outcome::Message(partial.bytes) } else { Outcome::TooLong };
                }
                self.partial = Some(partial);
            }
        }
    }

    fn receive(&mut self, way: Way) -> Outcome {
        let connection = &self.connection;
        let result = match way {
            Way::Try => connection.try_recv(),
            Way::Timeout => connection.recv_timeout(Duration::ZERO),
            Way::Ref => connection.recv_ref_deadline(Deadline::NOW).map(|message| message.to_vec()),
            Way::Into => {
                let mut buffer = vec![7; 100];
                match connection.recv_into(&mut buffer, Deadline::NOW) {
                    Ok(len) => {
                        assert_eq!(len, buffer.len());
                        Ok(buffer)
                    }
                    Err(error) => {
                        assert_eq!(buffer, [7; 100]);
                        Err(error)
                    }
                }
            }
        };
        match result {
            Ok(message) => Outcome::Message(message),
            Err(RecvError::Empty | RecvError::Timeout) => Outcome::Nothing,
            Err(RecvError::TooLong { .. }) => Outcome::TooLong,
            Err(RecvError::Corrupt(_)) => Outcome::Corrupt,
            // The sending end is never closed here, because nobody ever came to it.
            Err(other) => panic!("{other:?}"),
        }
    }
}

impl World {
    fn new(trusted: bool) -> World {
        let name = place::name(if trusted { "fragments-trusted" } else { "fragments" });
        // Never more than this is reserved at the word of a first piece.
        let max = if trusted { 1 << 20 } else { 1500 };
        let options =
            Pipe::options().capacity(SIZE as usize).participants(4).trusted(trusted).max_message(max);
        let one = options.end(End::Second).create(&name).expect("cannot make a pipe");
        let raw = Raw::map(one.memory(), pipe::LEN);
        World { name, raw, trusted, max, one: Receiver::new(one), other: None, written: 0, number: 0 }
    }

    fn set(&self, at: usize, word: u64) {
        self.raw.set(self.raw.body + at, word);
    }

    fn word(&self, at: usize) -> u64 {
        self.raw.word(self.raw.body + at)
    }

    /// An empty ring at its beginning, no message in progress, and one connection.
    fn begin(&mut self) {
        self.other = None;
        self.set(pipe::OPEN_ID, 0);
        self.set(pipe::SEND_LOCK, 0);
        self.number = 0;
        // Whole messages end whatever was in progress: one for what is seen of the ring, one up to its end.
        loop {
            let (head, tail) = match &self.one.reading {
                Some(reading) if reading.released == self.word(ring::HEAD) => (reading.head, reading.tail),
                _ => (self.word(ring::HEAD), self.word(ring::HEAD)),
            };
            let seen = tail.wrapping_sub(head);
            if seen == 0 && head.is_multiple_of(SIZE) && self.one.partial.is_none() {
                break;
            }
            self.written = head;
            let len = if seen > 0 { seen } else { SIZE - head % SIZE };
            self.append(len - 8, u64::from(WHOLE) << 32 | (len - 8), &[]);
            self.receive(false, Way::Into);
        }
        self.written = self.word(ring::HEAD);
        self.set(ring::TAIL, self.written);
    }

    /// A record with this header that takes the space of `len` bytes, if there is so much.
    fn append(&mut self, len: u64, word: u64, payload: &[u8]) {
        let held = self.written.wrapping_sub(self.word(ring::HEAD));
        if held > SIZE || footprint(len) > SIZE - held {
            return;
        }
        let place = |at: u64| self.raw.data + (at % SIZE) as usize;
        for (at, part) in (self.written.wrapping_add(8)..).step_by(8).zip(payload.chunks_exact(8)) {
            self.raw.set(place(at), u64::from_le_bytes(part.try_into().unwrap()));
        }
        self.raw.set(place(self.written), word);
        self.written = self.written.wrapping_add(footprint(len));
        self.set(ring::TAIL, self.written);
    }

    /// Whether whoever was sending in pieces died or gave up, by the words it left.
    fn is_abandoned(&self) -> bool {
        const ME: u16 = 1;
        let lock = self.word(pipe::SEND_LOCK);
        let owner = lock as u16;
        match lock >> 16 & 15 {
            0 if owner == 0 => self.word(pipe::OPEN_ID) != 0,
            1 if owner != 0 => owner != ME,
            2 => owner == 0,
            _ => false,
        }
    }

    fn receive(&mut self, by_other: bool, way: Way) {
        let abandoned = self.is_abandoned();
        if by_other && self.other.is_none() {
            let options = Pipe::options().trusted(self.trusted).max_message(self.max).end(End::Second);
            self.other = Some(Receiver::new(options.open(&self.name).unwrap()));
        }
        let World { raw, max, one, other, .. } = self;
        let (receiver, keeper) = match other {
            Some(other) if by_other => (other, one),
            Some(other) => (one, other),
            None => {
                let expected = one.expect(raw, *max, abandoned);
                return assert_eq!(one.receive(way), expected);
            }
        };
        if keeper.partial.is_some() {
            // It is in the middle of a message and keeps its place.
            return assert_eq!(receiver.receive(way), Outcome::Nothing);
        }
        let expected = receiver.expect(raw, *max, abandoned);
        assert_eq!(receiver.receive(way), expected);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Record { flags, id, len, announced } => {
                self.number += 1;
                let seed = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let len = u64::from(len).min(SIZE - 8);
                let mut payload: Vec<u8> =
                    (0..footprint(len) - 8).map(|at| (seed >> (at % 8 * 8)) as u8).collect();
                let total = match announced {
                    Announced::Nothing => None,
                    Announced::Small(total) => Some(total.into()),
                    Announced::Any(total) => Some(total),
                };
                if let (Some(total), Some(prefix)) = (total, payload.get_mut(..8)) {
                    prefix.copy_from_slice(&total.to_le_bytes());
                }
                let tag = u32::from(flags) << 24 | u32::from(id);
                self.append(len, u64::from(tag) << 32 | len, &payload);
            }
            Step::Word { word, len } => self.append(u64::from(len).min(SIZE - 8), word, &[]),
            Step::Tail(by) => self.set(ring::TAIL, self.written.wrapping_add_signed(by.into())),
            Step::OpenId(id) => self.set(pipe::OPEN_ID, id),
            Step::Lock(lock) => self.set(
                pipe::SEND_LOCK,
                match lock {
                    Lock::Free => 3 << 21,
                    Lock::HeldByTheDead => held_lock(3),
                    Lock::HeldByTheLiving => held_lock(1),
                    Lock::Died => 5 << 21 | 2 << 16,
                    Lock::Any(word) => word,
                },
            ),
            Step::Receive { other, way } => self.receive(other, way),
            Step::Poll => {
                let there = self.word(ring::TAIL) != self.word(ring::HEAD);
                assert_eq!(self.one.connection.poll(Duration::ZERO).unwrap(), there);
            }
            Step::Close => self.other = None,
        }
    }
}

thread_local! {
    static WORLDS: RefCell<[World; 2]> = RefCell::new([false, true].map(World::new));
}

fuzz_target!(|input: Input| {
    WORLDS.with_borrow_mut(|worlds| {
        let world = &mut worlds[usize::from(input.trusted)];
        world.begin();
        for step in input.steps.iter().take(200) {
            world.take(step);
        }
    });
});

//! A peer that writes nonsense: each call ends with a value or an error, in bounded time, and nothing panics.

use process_tests::message::scramble;
use process_tests::test;
use ringway::{Deadline, Error, PopError, RecvError, SendError, Wait, bytes, inspect, spsc};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const ROWS_AT: u64 = 4096;
const BODY_AT: u64 = 4096 + 4096; // few participants: one page of rows
const BODY_LEN: u64 = 768;
const SOON: Duration = Duration::from_micros(30);

/// How many calls did what they should, and how many found the memory corrupt. (More end in other ways.)
#[derive(Debug, Default)]
struct Outcomes {
    done: u64,
    corrupt: u64,
}

/// A ring under attack.
trait Victim: Sized {
    /// Makes the ring, and both its ends with no trust in anybody.
    fn create(path: &str, wait: Wait) -> Result<Self, Error>;
    /// Makes every call of the producer.
    fn write(&mut self, outcomes: &mut Outcomes);
    /// Makes every call of the consumer.
    fn read(&mut self, outcomes: &mut Outcomes);
    /// What tells about the ring.
    fn tell(&self);
    /// All calls, in either order: the first one of a side that moves its index sets it right again.
    fn exercise(&mut self, outcomes: &mut Outcomes, reading_first: bool) {
        if reading_first {
            self.read(outcomes);
        }
        self.write(outcomes);
        if !reading_first {
            self.read(outcomes);
        }
        self.tell();
    }
    /// Opens more ends, which mostly fails.
    fn open(path: &str, wait: Wait) -> [Result<(), Error>; 2];
}

struct Typed(spsc::Producer<u64>, spsc::Consumer<u64>);
struct Bytes(bytes::Producer, bytes::Consumer);

impl Victim for Typed {
    fn create(path: &str, wait: Wait) -> Result<Self, Error> {
        let options = spsc::Producer::options().capacity(16).participants(8).trusted(false).wait(wait);
        let tx = options.create(path)?;
        Ok(Typed(tx, spsc::Consumer::options().trusted(false).wait(wait).open(path)?))
    }

    fn write(&mut self, outcomes: &mut Outcomes) {
        let Typed(tx, _) = self;
        for result in [
            tx.push(1).map_err(|error| matches!(error, spsc::PushError::Corrupt(1, _))),
            tx.push_slice(&[2; 5]).map(drop).map_err(|error| matches!(error, spsc::PushError::Corrupt(..))),
            tx.reserve().map(|slot| slot.commit()).ok_or(false),
            tx.send_timeout(3, SOON).map_err(|error| matches!(error, spsc::SendError::Corrupt(3, _))),
            tx.send_deadline(4, Deadline::NOW)
                .map_err(|error| matches!(error, spsc::SendError::Corrupt(4, _))),
        ] {
            outcomes.count(result);
        }
    }

    fn read(&mut self, outcomes: &mut Outcomes) {
        let Typed(_, rx) = self;
        let mut place = [0; 5];
        for result in [
            rx.pop().map(drop).map_err(is_corrupt),
            rx.pop_slice(&mut place).map(drop).map_err(is_corrupt),
            rx.peek().map(drop).ok_or(false),
            rx.peek().map(|message| message.keep()).ok_or(false),
            rx.recv_timeout(SOON).map(drop).map_err(is_corrupt_too),
            rx.recv_deadline(Deadline::NOW).map(drop).map_err(is_corrupt_too),
        ] {
            outcomes.count(result);
        }
        assert!(rx.drain().count() <= 16);
    }

    fn tell(&self) {
        let Typed(tx, rx) = self;
        assert!(tx.len() <= 16 && rx.len() <= 16);
        assert_eq!((tx.capacity(), rx.capacity()), (16, 16));
        let _ = (tx.is_empty(), tx.is_full(), rx.is_empty(), rx.is_full(), format!("{tx:?} {rx:?}"));
    }

    fn open(path: &str, wait: Wait) -> [Result<(), Error>; 2] {
        let tx = spsc::Producer::<u64>::options().trusted(false).wait(wait).open(path);
        let rx = spsc::Consumer::<u64>::options().trusted(false).wait(wait).open(path);
        [tx.map(drop), rx.map(drop)]
    }
}

impl Victim for Bytes {
    fn create(path: &str, wait: Wait) -> Result<Self, Error> {
        let options = bytes::Producer::options().capacity(4096).participants(8).trusted(false).wait(wait);
        let tx = options.create(path)?;
        Ok(Bytes(tx, bytes::Consumer::options().trusted(false).wait(wait).open(path)?))
    }

    fn write(&mut self, outcomes: &mut Outcomes) {
        let Bytes(tx, _) = self;
        let mut batch = tx.batch();
        let batched = batch.push(b"12345678").and_then(|()| batch.push(b""));
        batch.commit();
        let sent = |error| matches!(error, SendError::Corrupt(_));
        for result in [
            batched.map_err(sent),
            tx.push(&[7; 100]).map_err(sent),
            tx.reserve(50).map(|loan| loan.commit_len(33)).ok_or(false),
            tx.send_timeout(&[8; 1000], SOON).map_err(sent),
            tx.send_deadline(b"now", Deadline::NOW).map_err(sent),
            tx.reserve_deadline(500, Deadline::after(SOON)).map(|loan| loan.commit()).map_err(sent),
        ] {
            outcomes.count(result);
        }
    }

    fn read(&mut self, outcomes: &mut Outcomes) {
        let Bytes(_, rx) = self;
        let mut place = Vec::new();
        for result in [
            rx.pop().map(|record| assert!(record.len() <= 4088)).map_err(is_corrupt),
            rx.pop_into(&mut place).map(|len| assert!(len == place.len())).map_err(is_corrupt),
            rx.peek().map(|view| assert!(view.len() <= 4088)).ok_or(false),
            rx.peek().map(|view| view.keep()).ok_or(false),
            rx.peek_deadline(Deadline::after(SOON)).map(drop).map_err(is_corrupt_too),
            rx.recv_timeout(SOON).map(drop).map_err(is_corrupt_too),
            rx.recv_into(&mut place, Deadline::NOW).map(drop).map_err(is_corrupt_too),
        ] {
            outcomes.count(result);
        }
        let mut drain = rx.drain();
        let mut drained = 0;
        while let Some(record) = drain.next() {
            drained += 8 + record.len();
        }
        assert!(drained <= 4096);
    }

    fn tell(&self) {
        let Bytes(tx, rx) = self;
        assert!(tx.len() <= 512 && rx.len() <= 512);
        assert_eq!((tx.capacity(), rx.capacity(), rx.max_len()), (4096, 4096, 4088));
        let _ = (tx.is_empty(), rx.is_empty(), format!("{tx:?} {rx:?}"));
    }

    fn open(path: &str, wait: Wait) -> [Result<(), Error>; 2] {
        let tx = bytes::Producer::options().trusted(false).wait(wait).open(path);
        let rx = bytes::Consumer::options().trusted(false).wait(wait).open(path);
        [tx.map(drop), rx.map(drop)]
    }
}

fn is_corrupt(error: PopError) -> bool {
    matches!(error, PopError::Corrupt(_))
}

fn is_corrupt_too(error: RecvError) -> bool {
    matches!(error, RecvError::Corrupt(_))
}

impl Outcomes {
    fn count(&mut self, result: Result<(), bool>) {
        self.done += u64::from(result.is_ok());
        self.corrupt += u64::from(result == Err(true));
    }
}

/// Thousands of strokes with a broad brush, each followed by every call.
fn scribbled_between_calls<V: Victim>(test: &process_tests::support::Test, seed: u64) {
    let mut state = seed;
    let mut outcomes = Outcomes::default();
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..400 {
        let path = test.path("ring");
        let wait = process_tests::ends::WAITS[(scramble(&mut state) % 3) as usize];
        let mut victim = V::create(&path, wait).unwrap();
        victim.exercise(&mut outcomes, false);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        for _ in 0..10 {
            let draw = scramble(&mut state);
            let at = match draw % 8 {
                0 => ROWS_AT + draw / 8 % 512,
                1 => BODY_AT + BODY_LEN + draw / 8 % (4096 - BODY_LEN),
                2 | 3 => BODY_AT + 4096 + draw / 8 % 256, // the first messages, with their lengths
                4 => BODY_AT + draw / 8 % 2 * 128,        // an index
                5 => BODY_AT + 512 + draw / 8 % 2 * 128,  // a role
                _ => BODY_AT + draw / 8 % BODY_LEN,
            } & !7;
            let mut old = [0; 8];
            file.read_exact_at(&mut old, at).unwrap();
            let old = u64::from_ne_bytes(old);
            let random = scramble(&mut state);
            let new = match draw >> 32 & 7 {
                0 => random,
                1 => old.wrapping_add(random % 32),
                2 => old.wrapping_sub(random % 32),
                3 => old ^ 1 << (random % 64),
                4 => (random % 5) << 16 | random >> 8 & 15,
                5 => 0,
                6 => u64::MAX - random % 16,
                _ => old.wrapping_add(random % 600 * 8),
            };
            file.write_all_at(&new.to_ne_bytes(), at).unwrap();
            victim.exercise(&mut outcomes, draw >> 40 & 1 == 0);
            for result in V::open(&path, wait) {
                match result {
                    Ok(()) => opened += 1,
                    Err(Error::RoleTaken { .. } | Error::Corrupt(_) | Error::TooManyParticipants { .. }) => {
                        refused += 1;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            inspect::stat(&path).unwrap();
        }
        drop(victim);
        std::fs::remove_file(&path).unwrap();
    }
    println!("{outcomes:?}, opened {opened}, refused {refused}");
    assert!(outcomes.done > 2000 && outcomes.corrupt > 1000, "{outcomes:?}");
    assert!(opened > 100 && refused > 1000, "opened {opened}, refused {refused}");
}

#[test]
fn nonsense_in_a_typed_ring_between_calls() {
    scribbled_between_calls::<Typed>(&test!("typed-between"), 1);
}

#[test]
fn nonsense_in_a_byte_ring_between_calls() {
    scribbled_between_calls::<Bytes>(&test!("bytes-between"), 2);
}

/// Another process scribbles all the time, in the middle of each call.
fn scribbled_during_calls<V: Victim>(test: &process_tests::support::Test, seed: u64) {
    let mut outcomes = Outcomes::default();
    let mut state = seed;
    for round in 0..24 {
        let path = test.path("ring");
        let wait = process_tests::ends::WAITS[round % 3];
        let mut victim = V::create(&path, wait).unwrap();
        // The index of one side alone leaves the other side's calls a chance.
        let (from, len) = match round / 3 % 4 {
            0 => (ROWS_AT, BODY_AT + 8192 - ROWS_AT),
            1 => (BODY_AT + 4096, 4096),
            2 => (BODY_AT + 256, 512),
            _ => (BODY_AT + 128, 8),
        };
        let seed = scramble(&mut state) % 1000;
        let mut scribbler = test.start(&format!("scribble {path} {from} {len} {seed}"));
        scribbler.expect("scribbling");
        for turn in 0..100 {
            victim.exercise(&mut outcomes, turn % 2 == 0);
            for result in V::open(&path, wait) {
                if let Err(error) = result {
                    let known = matches!(
                        error,
                        Error::RoleTaken { .. } | Error::Corrupt(_) | Error::TooManyParticipants { .. }
                    );
                    assert!(known, "{error:?}");
                }
            }
            inspect::stat(&path).unwrap();
        }
        drop(victim);
        scribbler.kill();
        scribbler.was_killed();
    }
    println!("{outcomes:?}");
    assert!(outcomes.done > 500 && outcomes.corrupt > 500, "{outcomes:?}");
}

#[test]
fn nonsense_in_a_typed_ring_during_calls() {
    scribbled_during_calls::<Typed>(&test!("typed-during"), 3);
}

#[test]
fn nonsense_in_a_byte_ring_during_calls() {
    scribbled_during_calls::<Bytes>(&test!("bytes-during"), 4);
}

/// What only a peer's index can do to us, value by value.
#[test]
fn an_index_out_of_bounds_is_corrupt_and_comes_right_again() {
    let test = test!("index");
    let path = test.path("ring");
    let Typed(mut tx, mut rx) = Typed::create(&path, Wait::Park).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let set = |at: u64, value: u64| file.write_all_at(&value.to_ne_bytes(), BODY_AT + at).unwrap();
    for _ in 0..10 {
        tx.push(1).unwrap();
    }
    rx.pop().unwrap();
    while rx.pop().is_ok() {}
    for tail in [10 + 17, u64::MAX, 9, 0] {
        set(0, tail);
        assert!(matches!(rx.pop(), Err(PopError::Corrupt(corrupt)) if corrupt.field == "tail"), "{tail}");
        assert!(matches!(rx.recv(), Err(RecvError::Corrupt(_))));
        assert!(rx.peek().is_none());
    }
    set(0, 10);
    assert!(matches!(rx.pop(), Err(PopError::Empty)));
    tx.push(2).unwrap();
    assert_eq!(rx.pop().unwrap(), 2);
    while tx.push(3).is_ok() {}
    for head in [u64::MAX, 28, 100] {
        set(128, head);
        assert!(matches!(tx.push(4), Err(spsc::PushError::Corrupt(4, corrupt)) if corrupt.field == "head"));
        assert!(matches!(tx.send(4), Err(spsc::SendError::Corrupt(4, _))));
        assert!(tx.reserve().is_none());
    }
    set(128, 11);
    assert!(matches!(tx.push(4), Err(spsc::PushError::Full(4))));
    assert_eq!(rx.pop().unwrap(), 3);
    tx.push(4).unwrap();
}

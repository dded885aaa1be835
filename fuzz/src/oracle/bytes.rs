//! The ring of byte records and its queue.

use super::{Side, footprint, message, of_the_dead};
use crate::raw::{Raw, ring};
use arbitrary::Arbitrary;
use ringway::bytes::{Consumer, Producer};
use ringway::{Deadline, Error, PopError, RecvError, SendError};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

/// A call, or what happens to a side.
#[derive(Arbitrary, Debug)]
pub enum Step {
    Push(u16),
    Loan {
        reserved: u16,
        used: u16,
        commit: bool,
    },
    Batch {
        lens: Vec<u16>,
        commit: bool,
    },
    Send(u16),
    Pop,
    PopInto,
    Peek,
    Keep,
    Drain(u8),
    Receive,
    PeekOrWait,
    Open(Side),
    Close(Side),
    /// The process that has this side is killed.
    Die(Side),
}

const SIZE: usize = 4096;
const MAX_LEN: usize = SIZE - 8;

/// A ring, both its sides as far as they are there, and what must be in it.
pub struct World {
    raw: Raw,
    memory: OwnedFd,
    trusted: bool,
    producer: Option<Producer>,
    consumer: Option<Consumer>,
    /// Whether anybody ever had these sides.
    had: [bool; 2],
    held: VecDeque<Vec<u8>>,
    /// Bytes of the ring that they take.
    used: usize,
    /// Where in the ring the next record goes.
    place: usize,
    pushed: u64,
}

impl World {
    /// A ring whose handles lend out what lies in it if they are `trusted`, and copies if not.
    pub fn new(trusted: bool) -> Self {
        let first = Producer::anonymous(SIZE).expect("cannot make a ring");
        let memory = first.as_fd().try_clone_to_owned().expect("no descriptor left");
        World {
            raw: Raw::map(&memory, ring::LEN),
            memory,
            trusted,
            producer: None,
            consumer: None,
            had: [true, false],
            held: VecDeque::new(),
            used: 0,
            place: 0,
            pushed: 0,
        }
    }

    /// Begins with both sides, or `fresh`, as if the ring had just been made and nobody had come.
    pub fn run(&mut self, fresh: bool, steps: &[Step]) {
        if fresh {
            (self.producer, self.consumer) = (None, None);
            for at in (0..ring::LEN).step_by(8) {
                self.raw.set(self.raw.body + at, 0);
            }
            self.held.clear();
            (self.had, self.used, self.place) = ([false; 2], 0, 0);
        } else {
            self.make_whole();
        }
        for step in steps {
            self.take(step);
            self.compare_lengths();
        }
    }

    /// Both sides there, nothing in the ring, and its next record at the beginning.
    fn make_whole(&mut self) {
        if self.producer.is_none() {
            self.open(Side::Producer);
        }
        if self.consumer.is_none() {
            self.open(Side::Consumer);
        }
        while !self.held.is_empty() || self.place != 0 {
            if self.held.is_empty() {
                self.take(&Step::Push((SIZE - self.place - 8) as u16));
            }
            self.take(&Step::Pop);
        }
        self.pushed = 0;
    }

    fn open(&mut self, side: Side) {
        let memory = self.memory.try_clone().expect("no descriptor left");
        let taken = self.is_there(side);
        let refused = |error: Error| {
            assert!(taken && matches!(error, Error::RoleTaken { .. }), "{error:?}");
        };
        match side {
            Side::Producer => match Producer::options().trusted(self.trusted).from_fd(memory) {
                Ok(producer) => {
                    assert!(!taken && producer.capacity() == SIZE);
                    self.producer = Some(producer);
                }
                Err(error) => refused(error),
            },
            Side::Consumer => match Consumer::options().trusted(self.trusted).from_fd(memory) {
                Ok(consumer) => {
                    assert!(!taken && consumer.capacity() == SIZE);
                    self.consumer = Some(consumer);
                }
                Err(error) => refused(error),
            },
        }
        self.had[side as usize] = true;
    }

    fn is_there(&self, side: Side) -> bool {
        match side {
            Side::Producer => self.producer.is_some(),
            Side::Consumer => self.consumer.is_some(),
        }
    }

    fn is_over(&self, side: Side) -> bool {
        self.had[side as usize] && !self.is_there(side)
    }

    fn compare_lengths(&self) {
        let expected = (self.held.len(), self.held.is_empty());
        if let Some(producer) = &self.producer {
            assert_eq!((producer.len(), producer.is_empty()), expected);
        }
        if let Some(consumer) = &self.consumer {
            assert_eq!((consumer.len(), consumer.is_empty()), expected);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Push(_) | Step::Loan { .. } | Step::Batch { .. } | Step::Send(_) => self.write(step),
            Step::Open(side) => self.open(*side),
            Step::Close(Side::Producer) => self.producer = None,
            Step::Close(Side::Consumer) => self.consumer = None,
            Step::Die(side) => {
                let at = if *side == Side::Producer { ring::PRODUCER } else { ring::CONSUMER };
                if self.is_there(*side) {
                    // What a dead process leaves is its name in the role. (It then goes without saying so.)
                    let word = self.raw.word(self.raw.body + at);
                    self.raw.set(self.raw.body + at, of_the_dead(word));
                    self.take(&Step::Close(*side));
                }
            }
            _ => self.read(step),
        }
    }

    fn came(&mut self, record: Vec<u8>) {
        let taken = footprint(record.len());
        (self.used, self.place) = (self.used + taken, (self.place + taken) % SIZE);
        self.pushed += 1;
        self.held.push_back(record);
    }

    fn went(&mut self) {
        if let Some(record) = self.held.pop_front() {
            self.used -= footprint(record.len());
        }
    }

    fn write(&mut self, step: &Step) {
        let over = self.is_over(Side::Consumer);
        let (free, number) = (SIZE - self.used, self.pushed);
        let fits = |len: u16| footprint(len.into()) <= free;
        let Some(producer) = &mut self.producer else { return };
        match step {
            Step::Push(len) => {
                let record = message(number, (*len).into());
                match producer.push(&record) {
                    Ok(()) => {
                        assert!(fits(*len));
                        self.came(record);
                    }
                    Err(SendError::Full) => assert!(!fits(*len) && record.len() <= MAX_LEN),
                    Err(SendError::TooLarge { .. }) => assert!(record.len() > MAX_LEN),
                    Err(other) => panic!("{other:?}"),
                }
            }
            Step::Loan { reserved, used, commit } => match producer.reserve((*reserved).into()) {
                Some(mut loan) => {
                    assert!(fits(*reserved) && loan.len() == usize::from(*reserved));
                    let record = message(number, (*used).min(*reserved).into());
                    loan[..record.len()].copy_from_slice(&record);
                    if *commit {
                        loan.commit_len((*used).into());
                        self.came(record);
                    }
                }
                None => assert!(!fits(*reserved)),
            },
            Step::Batch { lens, commit } => {
                let mut batch = producer.batch();
                let mut staged = Vec::new();
                let mut free = free;
                for (len, number) in lens.iter().zip(number..) {
                    let record = message(number, (*len).into());
                    let fits = footprint(record.len()) <= free;
                    assert_eq!(batch.push(&record).is_ok(), fits);
                    if fits {
                        free -= footprint(record.len());
                        staged.push(record);
                    }
                }
                if *commit {
                    batch.commit();
                    staged.into_iter().for_each(|record| self.came(record));
                }
            }
            Step::Send(len) => {
                let record = message(number, (*len).into());
                match producer.send_deadline(&record, Deadline::NOW) {
                    Ok(()) => {
                        assert!(fits(*len));
                        self.came(record);
                    }
                    Err(SendError::Closed) => assert!(!fits(*len) && record.len() <= MAX_LEN && over),
                    Err(SendError::Timeout) => assert!(!fits(*len) && record.len() <= MAX_LEN && !over),
                    Err(SendError::TooLarge { .. }) => assert!(record.len() > MAX_LEN),
                    Err(other) => panic!("{other:?}"),
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, step: &Step) {
        let over = self.is_over(Side::Producer);
        let Some(consumer) = &mut self.consumer else { return };
        let expected = self.held.front().map(Vec::as_slice);
        let waited = |error: RecvError| match error {
            RecvError::Closed => assert!(over && expected.is_none()),
            RecvError::Timeout => assert!(!over && expected.is_none()),
            other => panic!("{other:?}"),
        };
        match step {
            Step::Pop => assert_eq!(consumer.pop().as_deref(), expected.ok_or(&PopError::Empty)),
            Step::PopInto => {
                let mut buffer = vec![1; 3];
                match consumer.pop_into(&mut buffer) {
                    Ok(len) => assert!(Some(&buffer[..]) == expected && buffer.len() == len),
                    Err(PopError::Empty) => assert!(expected.is_none() && buffer == [1; 3]),
                    Err(other) => panic!("{other:?}"),
                }
            }
            Step::Peek => assert_eq!(consumer.peek().as_deref(), expected),
            Step::Keep => {
                let record = consumer.peek();
                assert_eq!(record.as_deref(), expected);
                return record.into_iter().for_each(|record| record.keep());
            }
            Step::Drain(count) => {
                let mut drain = consumer.drain();
                let mut taken = 0;
                while taken < (*count).into() {
                    assert_eq!(drain.next(), self.held.get(taken).map(Vec::as_slice));
                    if taken == self.held.len() {
                        break;
                    }
                    taken += 1;
                }
                drop(drain);
                return (0..taken).for_each(|_| self.went());
            }
            Step::PeekOrWait => match consumer.peek_deadline(Deadline::NOW) {
                Ok(record) => assert_eq!(Some(&*record), expected),
                Err(error) => waited(error),
            },
            _ => match consumer.recv_deadline(Deadline::NOW) {
                Ok(record) => assert_eq!(Some(&record[..]), expected),
                Err(error) => waited(error),
            },
        }
        self.went();
    }
}

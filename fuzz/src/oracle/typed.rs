//! The typed ring and its queue.

use super::{Side, of_the_dead};
use crate::raw::{Raw, ring};
use arbitrary::Arbitrary;
use bytemuck::Pod;
use ringway::spsc::{Consumer, Producer, PushError, SendError};
use ringway::{Deadline, Error, PopError, RecvError};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::os::fd::{AsFd, OwnedFd};

/// A call, or what happens to a side.
#[derive(Arbitrary, Debug)]
pub enum Step {
    Push,
    PushSlice(u8),
    Reserve {
        commit: bool,
    },
    Send,
    Pop,
    PopSlice(u8),
    Peek,
    Keep,
    Drain(u8),
    Receive,
    Open(Side),
    Close(Side),
    /// The process that has this side is killed.
    Die(Side),
}

/// A message that shows which one it is.
pub trait Sample: Pod + Debug + PartialEq {
    fn number(number: u64) -> Self;
}

impl Sample for u64 {
    fn number(number: u64) -> Self {
        number
    }
}

impl Sample for u8 {
    fn number(number: u64) -> Self {
        number as u8
    }
}

impl Sample for [u8; 24] {
    fn number(number: u64) -> Self {
        super::message(number, 24).try_into().unwrap()
    }
}

/// A ring, both its sides as far as they are there, and what must be in it.
pub struct World<T: Sample> {
    raw: Raw,
    memory: OwnedFd,
    capacity: usize,
    trusted: bool,
    producer: Option<Producer<T>>,
    consumer: Option<Consumer<T>>,
    /// Whether anybody ever had these sides.
    had: [bool; 2],
    held: VecDeque<T>,
    pushed: u64,
}

impl<T: Sample> World<T> {
    /// A ring of `capacity`, whose handles lend out what lies in it if they are `trusted`, and copies if not.
    pub fn new(capacity: usize, trusted: bool) -> Self {
        let first = Producer::<T>::anonymous(capacity).expect("cannot make a ring");
        let memory = first.as_fd().try_clone_to_owned().expect("no descriptor left");
        let raw = Raw::map(&memory, ring::LEN);
        World {
            raw,
            memory,
            capacity,
            trusted,
            producer: None,
            consumer: None,
            had: [true, false],
            held: VecDeque::new(),
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
            (self.had, self.pushed) = ([false; 2], 0);
            self.held.clear();
        } else {
            self.make_whole();
        }
        for step in steps {
            self.take(step);
            self.compare_lengths();
        }
    }

    /// Both sides there, nothing in the ring, and its next slot the first one.
    fn make_whole(&mut self) {
        if self.producer.is_none() {
            self.open(Side::Producer);
        }
        if self.consumer.is_none() {
            self.open(Side::Consumer);
        }
        while !self.held.is_empty() || self.pushed % self.capacity.next_power_of_two() as u64 != 0 {
            if self.held.is_empty() {
                self.take(&Step::Push);
            }
            self.take(&Step::Pop);
        }
    }

    fn open(&mut self, side: Side) {
        let memory = self.memory.try_clone().expect("no descriptor left");
        let taken = match side {
            Side::Producer => self.producer.is_some(),
            Side::Consumer => self.consumer.is_some(),
        };
        let refused = |error: Error| {
            assert!(taken && matches!(error, Error::RoleTaken { .. }), "{error:?}");
        };
        match side {
            Side::Producer => match Producer::options().trusted(self.trusted).from_fd(memory) {
                Ok(producer) => {
                    assert!(!taken && producer.capacity() == self.capacity);
                    self.producer = Some(producer);
                }
                Err(error) => refused(error),
            },
            Side::Consumer => match Consumer::options().trusted(self.trusted).from_fd(memory) {
                Ok(consumer) => {
                    assert!(!taken && consumer.capacity() == self.capacity);
                    self.consumer = Some(consumer);
                }
                Err(error) => refused(error),
            },
        }
        self.had[side as usize] = true;
    }

    fn is_over(&self, side: Side) -> bool {
        let is_there = match side {
            Side::Producer => self.producer.is_some(),
            Side::Consumer => self.consumer.is_some(),
        };
        self.had[side as usize] && !is_there
    }

    fn came(&mut self, value: T) {
        self.held.push_back(value);
        self.pushed += 1;
    }

    fn compare_lengths(&self) {
        let len = self.held.len();
        let full = len == self.capacity;
        if let Some(producer) = &self.producer {
            let found = (producer.len(), producer.is_empty(), producer.is_full());
            assert_eq!(found, (len, len == 0, full));
        }
        if let Some(consumer) = &self.consumer {
            let found = (consumer.len(), consumer.is_empty(), consumer.is_full());
            assert_eq!(found, (len, len == 0, full));
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Push | Step::PushSlice(_) | Step::Reserve { .. } | Step::Send => self.write(step),
            Step::Open(side) => self.open(*side),
            Step::Close(Side::Producer) => self.producer = None,
            Step::Close(Side::Consumer) => self.consumer = None,
            Step::Die(side) => {
                let (at, is_there) = match side {
                    Side::Producer => (ring::PRODUCER, self.producer.is_some()),
                    Side::Consumer => (ring::CONSUMER, self.consumer.is_some()),
                };
                if is_there {
                    // What a dead process leaves is its name in the role. (It then goes without saying so.)
                    let word = self.raw.word(self.raw.body + at);
                    self.raw.set(self.raw.body + at, of_the_dead(word));
                    self.take(&Step::Close(*side));
                }
            }
            _ => self.read(step),
        }
    }

    fn write(&mut self, step: &Step) {
        let space = self.capacity - self.held.len();
        let (value, over) = (T::number(self.pushed), self.is_over(Side::Consumer));
        let Some(producer) = &mut self.producer else { return };
        match step {
            Step::Push => match producer.push(value) {
                Ok(()) => assert!(space > 0),
                Err(PushError::Full(back)) => return assert!(space == 0 && back == value),
                Err(other) => panic!("{other:?}"),
            },
            Step::PushSlice(count) => {
                let values: Vec<T> = (self.pushed..).map(T::number).take((*count).into()).collect();
                let pushed = producer.push_slice(&values).unwrap();
                assert_eq!(pushed, space.min(values.len()));
                self.held.extend(&values[..pushed]);
                self.pushed += pushed as u64;
                return;
            }
            Step::Reserve { commit } => match producer.reserve() {
                Some(mut slot) => {
                    assert!(space > 0);
                    *slot = value;
                    if !commit {
                        return;
                    }
                    slot.commit();
                }
                None => return assert!(space == 0),
            },
            _ => match producer.send_deadline(value, Deadline::NOW) {
                Ok(()) => assert!(space > 0),
                Err(SendError::Closed(back)) => return assert!(space == 0 && over && back == value),
                Err(SendError::Timeout(back)) => return assert!(space == 0 && !over && back == value),
                Err(other) => panic!("{other:?}"),
            },
        }
        self.came(value);
    }

    fn read(&mut self, step: &Step) {
        let over = self.is_over(Side::Producer);
        let Some(consumer) = &mut self.consumer else { return };
        let expected = self.held.front().copied();
        match step {
            Step::Pop => assert_eq!(consumer.pop(), expected.ok_or(PopError::Empty)),
            Step::PopSlice(count) => {
                let mut values = vec![T::zeroed(); (*count).into()];
                let popped = consumer.pop_slice(&mut values).unwrap();
                assert_eq!(popped, self.held.len().min(values.len()));
                let expected: Vec<T> = self.held.drain(..popped).collect();
                assert_eq!(values[..popped], expected);
                return;
            }
            Step::Peek => assert_eq!(consumer.peek().map(|message| *message), expected),
            Step::Keep => {
                let message = consumer.peek();
                assert_eq!(message.as_deref().copied(), expected);
                return message.into_iter().for_each(|message| message.keep());
            }
            Step::Drain(count) => {
                let taken: Vec<T> = consumer.drain().take((*count).into()).collect();
                assert_eq!(taken.len(), self.held.len().min((*count).into()));
                let expected: Vec<T> = self.held.drain(..taken.len()).collect();
                return assert_eq!(taken, expected);
            }
            _ => match (consumer.recv_deadline(Deadline::NOW), expected) {
                (Ok(value), Some(expected)) => assert_eq!(value, expected),
                (Err(RecvError::Closed), None) => assert!(over),
                (Err(RecvError::Timeout), None) => assert!(!over),
                other => panic!("{other:?}"),
            },
        }
        self.held.pop_front();
    }
}

//! Messages of queues that tell whether they are whole, and the books about who received what.

use bytemuck::{Pod, Zeroable};
use std::collections::BTreeSet;

/// Fills a slot of two cache lines, so that one torn between them shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Message {
    sender: u64,
    number: u64,
    filling: [u64; 10],
}

impl Message {
    /// The message of that number.
    pub fn new(sender: u64, number: u64) -> Self {
        Message { sender, number, filling: std::array::from_fn(|at| filling(sender, number, at as u64)) }
    }

    /// Who sent it, and its number.
    ///
    /// # Panics
    /// If it is not whole.
    pub fn check(self) -> (u64, u64) {
        assert_eq!(self, Message::new(self.sender, self.number), "torn");
        (self.sender, self.number)
    }
}

fn filling(sender: u64, number: u64, at: u64) -> u64 {
    (sender << 48 ^ number).wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What was received, by sender and number.
#[derive(Debug, Default)]
pub struct Books {
    received: BTreeSet<(u64, u64)>,
}

impl Books {
    /// Notes a message.
    ///
    /// # Panics
    /// If it was received before.
    pub fn note(&mut self, message: (u64, u64)) {
        assert!(self.received.insert(message), "{message:?} came twice");
    }

    /// Notes a line that a receiver printed.
    ///
    /// # Panics
    /// If it is no message.
    pub fn note_line(&mut self, line: &str) {
        let (sender, number) = line.split_once(' ').expect("a message");
        self.note((sender.parse().expect("a sender"), number.parse().expect("a number")));
    }

    /// Notes all that is in other books.
    ///
    /// # Panics
    /// If a message is in both.
    pub fn add(&mut self, other: Books) {
        other.received.into_iter().for_each(|message| self.note(message));
    }

    /// How many of the first `count` messages of `sender` are missing.
    pub fn missing(&self, sender: u64, count: u64) -> u64 {
        (0..count).filter(|&number| !self.received.contains(&(sender, number))).count() as u64
    }

    /// How many were received.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }
}

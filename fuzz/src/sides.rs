//! The two sides of a byte ring, modelled: what each must make of the bytes that it finds.
//!
//! Written down from the rules in `src/ring/bytes.rs`, not from the code.

use crate::raw::{Raw, ring};

/// Bytes of the rings here.
pub const SIZE: u64 = 4096;
pub const MAX_LEN: u64 = SIZE - 8;

/// The bytes that a record of `len` takes in a ring.
pub const fn footprint(len: u64) -> u64 {
    8 + ((len + 7) & !7)
}

/// What the consumer keeps privately.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Where the ring's indices are in the segment, and where its records.
    header: usize,
    data: usize,
    pub released: u64,
    pub head: u64,
    pub tail: u64,
}

/// What the producer keeps privately.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    /// Where the ring's indices are in the segment.
    header: usize,
    pub published: u64,
    pub tail: u64,
    pub limit: u64,
    pub ready: u64,
}

#[derive(Debug, PartialEq)]
pub enum No {
    Nothing,
    Corrupt,
    TooLarge,
}

impl Reading {
    /// A reader of what lies between two positions.
    pub fn between(head: u64, tail: u64, header: usize, data: usize) -> Reading {
        Reading { header, data, released: head, head, tail }
    }

    /// Looks at the reader's own index again: another one may have read in its name.
    pub fn reload(&mut self, raw: &Raw) -> Result<(), No> {
        let head = raw.word(self.header + ring::HEAD);
        if head == self.released {
            self.head = head;
            return Ok(());
        }
        if !head.is_multiple_of(8) {
            return Err(No::Corrupt);
        }
        let known = if self.tail.wrapping_sub(head) <= SIZE { self.tail } else { head };
        let mut moved = Reading::between(head, known, self.header, self.data);
        if known == head && self.tail != head {
            moved.refresh(raw)?;
        }
        *self = moved;
        Ok(())
    }

    /// A consumer that is opened at these indices.
    pub fn open(raw: &Raw, header: usize, data: usize) -> Result<Reading, No> {
        let head = raw.word(header + ring::HEAD);
        if !head.is_multiple_of(8) {
            return Err(No::Corrupt);
        }
        let mut reading = Reading { header, data, released: head, head, tail: head };
        reading.refresh(raw)?;
        Ok(reading)
    }

    pub fn refresh(&mut self, raw: &Raw) -> Result<(), No> {
        let tail = raw.word(self.header + ring::TAIL);
        let room = SIZE - self.tail.wrapping_sub(self.released);
        if tail.wrapping_sub(self.tail) > room || !tail.wrapping_sub(self.tail).is_multiple_of(8) {
            return Err(No::Corrupt);
        }
        self.tail = tail;
        Ok(())
    }

    /// The next record.
    pub fn peek(&mut self, raw: &Raw) -> Result<Vec<u8>, No> {
        if self.tail == self.head {
            self.refresh(raw)?;
            if self.tail == self.head {
                return Err(No::Nothing);
            }
        }
        let len = raw.word(self.data + (self.head % SIZE) as usize) as u32;
        if u64::from(len) > self.tail.wrapping_sub(self.head) - 8 {
            return Err(No::Corrupt);
        }
        let (from, len) = ((self.head.wrapping_add(8) % SIZE) as usize, len as usize);
        let before_the_end = len.min(SIZE as usize - from);
        let mut record = raw.bytes(self.data + from, before_the_end);
        record.extend(raw.bytes(self.data, len - before_the_end));
        Ok(record)
    }

    pub fn advance(&mut self, record: &[u8]) {
        self.head = self.head.wrapping_add(footprint(record.len() as u64));
    }

    pub fn release(&mut self) {
        self.released = self.head;
    }
}

impl Writing {
    pub fn open(raw: &Raw, header: usize) -> Result<Writing, No> {
        let tail = raw.word(header + ring::TAIL);
        if !tail.is_multiple_of(8) {
            return Err(No::Corrupt);
        }
        let mut writing = Writing { header, published: tail, tail, limit: tail, ready: tail };
        writing.refresh(raw)?;
        Ok(writing)
    }

    pub fn refresh(&mut self, raw: &Raw) -> Result<(), No> {
        let head = raw.word(self.header + ring::HEAD);
        let seen = self.limit.wrapping_sub(SIZE);
        let moved = head.wrapping_sub(seen);
        if moved > self.published.wrapping_sub(seen) || !moved.is_multiple_of(8) {
            return Err(No::Corrupt);
        }
        self.limit = head.wrapping_add(SIZE);
        Ok(())
    }

    pub fn reserve(&mut self, raw: &Raw, len: u64) -> Result<(), No> {
        if len > MAX_LEN {
            return Err(No::TooLarge);
        }
        let needed = footprint(len);
        if needed > self.ready.wrapping_sub(self.tail) {
            if needed > self.free() {
                self.refresh(raw)?;
                if needed > self.free() {
                    return Err(No::Nothing);
                }
            }
            self.ready = self.tail.wrapping_add(needed.max(self.free().min(512)));
        }
        Ok(())
    }

    pub fn free(&self) -> u64 {
        self.limit.wrapping_sub(self.tail)
    }

    pub fn stage(&mut self, len: u64) {
        self.tail = self.tail.wrapping_add(footprint(len));
    }
}

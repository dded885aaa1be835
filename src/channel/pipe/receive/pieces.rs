//! Messages that come in pieces, put together.

use super::{ReceiveState, Turn};
use crate::channel::RecvError;
use crate::channel::bytes::append;
use crate::channel::pipe::connection::Connection;
use crate::channel::pipe::layout::Lane;
use crate::channel::pipe::stream::{PREFIX, Partial, Step, judge};
use crate::lock::State;
use crate::ring::ReadError;
use crate::ring::bytes::Record;
use crate::sync::{Ordering, mutated};
use crate::wait::{Deadline, TimedOut};
use core::cell::RefCell;
use core::mem;

impl Turn<'_> {
    /// Deals with a record that is not simply a message; the message it completes, if it does.
    #[cold]
    pub(super) fn take_piece(&mut self, record: &Record) -> Result<Option<Vec<u8>>, RecvError> {
        let step = judge(record.tag(), self.state.partial.as_ref());
        let last = match step {
            // A new message while one is unfinished: that one's sender broke off without a word.
            Step::Whole => {
                self.state.partial = None;
                return Ok(None); // the record is still there and comes next
            }
            Step::Begin => {
                self.begin(record)?;
                false
            }
            Step::Continue { last } => {
                self.add(record, 0)?;
                last
            }
            Step::Abort => {
                let taken_for_the_end = mutated!("pipe.abort_ends");
                if !taken_for_the_end {
                    self.state.partial = None;
                }
                taken_for_the_end
            }
            Step::Drop => false,
        };
        self.release(record)?;
        if !last {
            return Ok(None);
        }
        match self.state.partial.take() {
            Some(partial) if !partial.skipped => Ok(Some(partial.bytes)),
            _ => Err(RecvError::TooLong { max: self.connection.max_message as u64 }),
        }
    }

    fn begin(&mut self, record: &Record) -> Result<(), RecvError> {
        let mut prefix = [0; PREFIX];
        let announced = match self.reader()?.copy_out(record, 0, &mut prefix) {
            PREFIX => u64::from_le_bytes(prefix),
            _ => 0,
        };
        // The announced length only saves copying: a peer that lies about it gains a bounded reservation.
        const MAX_TRUST: u64 = 1 << 26;
        let trusted = if self.connection.trusted { u64::MAX } else { MAX_TRUST };
        let expected = announced.min(trusted).min(self.connection.max_message as u64);
        let mut bytes = mem::take(&mut self.state.spare);
        if bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX)).is_err() {
            bytes = Vec::new(); // it may yet fit as it grows; if not, `add` skips it
        }
        self.state.partial = Some(Partial::new(record.tag(), bytes));
        self.add(record, PREFIX)
    }

    /// Adds a record's payload, from byte `from` on, to the message in progress.
    fn add(&mut self, record: &Record, from: usize) -> Result<(), RecvError> {
        let max = self.connection.max_message as u64;
        let ReceiveState { reader, partial, .. } = &mut **self.state;
        let (Some(reader), Some(partial)) = (reader, partial) else { return Ok(()) };
        let len = record.len().saturating_sub(from);
        partial.received += len as u64;
        if partial.received > max || (!partial.skipped && partial.bytes.try_reserve(len).is_err()) {
            partial.skipped = true;
            partial.bytes = Vec::new();
        }
        if !partial.skipped {
            append(reader, record, from, &mut partial.bytes);
        }
        Ok(())
    }

    /// Waits, with the lock held, for the next piece of the message in progress, or drops that message if none
    /// will come.
    #[cold]
    pub(super) fn await_piece(&mut self, deadline: Deadline) -> Result<(), RecvError> {
        let (connection, lane) = (self.connection, self.lane);
        let state = &mut **self.state;
        let Some(reader) = &mut state.reader else { return Err(RecvError::Empty) };
        let mut waiter = state.waiter;
        let reader = RefCell::new(reader);
        let has_piece = || !matches!(reader.borrow_mut().peek(), Err(ReadError::Empty));
        let attempt = || if has_piece() { Some(true) } else { abandoned(lane, has_piece) };
        let patrol = || {
            let dead = sender_is_dead(connection, lane) || connection.peers_are_gone();
            // Whoever sees the sender dead sees all it sent, but only by looking again.
            if dead { Some(has_piece()) } else { None }
        };
        let waited = waiter.wait(&lane.items, connection.barrier, deadline, attempt, patrol, || false);
        state.waiter = waiter;
        match waited {
            Ok(true) => Ok(()),
            Ok(false) => self.drop_unfinished(),
            Err(TimedOut) => Err(RecvError::Timeout),
        }
    }

    /// Drops the message in progress. If others can send on, that is all: to them it never was a message.
    fn drop_unfinished(&mut self) -> Result<(), RecvError> {
        let received = self.state.partial.take().map_or(0, |partial| partial.received);
        if self.connection.peers_are_gone() { Err(RecvError::Torn { received }) } else { Ok(()) }
    }
}

/// `Some(false)` if the message in progress was left unfinished by a sender that lives: it timed out and found
/// no space to say so.
fn abandoned(lane: &Lane, has_piece: impl Fn() -> bool) -> Option<bool> {
    // Acquire, inside `read`: pairs with the unlocking; who finds the lock free sees all its holder sent.
    let free = lane.sending.lock.word().read().state() == Some(State::Free);
    if free && lane.sending.open_id.load(Ordering::Acquire) != 0 { Some(has_piece()) } else { None }
}

/// Whether whoever was sending has died: nobody else will finish its message.
fn sender_is_dead(connection: &Connection, lane: &Lane) -> bool {
    // The word first, the question after it.
    let word = lane.sending.lock.word().read();
    match word.state() {
        Some(State::Held) => {
            let owner = word.owner();
            connection.me().is_ok_and(|me| me != owner) && connection.segment().is_dead(owner)
        }
        Some(State::Died) => true,
        _ => false,
    }
}

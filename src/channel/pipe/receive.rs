//! The receiving side of a connection.

mod pieces;

use super::connection::Connection;
use super::layout::Lane;
use super::message::{Content, Message};
use super::straight::Straight;
use super::stream::{Partial, Step, judge};
use crate::channel::bytes::append;
use crate::channel::{RecvError, SendError};
use crate::error::Corrupt;
use crate::lock::{Grant, Held};
use crate::ring::ReadError;
use crate::ring::bytes::{Reader, Record, Ring, footprint};
use crate::sync::{Entered, Ordering, mutated};
use crate::wait::{ALL, Deadline, TimedOut, Waiter};
use core::mem::{self, ManuallyDrop};
use core::time::Duration;

/// What this process keeps for receiving; touched only under the lane's receive lock.
#[derive(Debug)]
pub(super) struct ReceiveState {
    /// `None` until the first receive, and in a forked child.
    pub(super) reader: Option<Reader>,
    waiter: Waiter,
    /// The message whose pieces are coming in. While there is one, this process keeps the receive lock.
    pub(super) partial: Option<Partial>,
    /// The memory of a message that its receiver gave for another: empty, for the next one in pieces.
    spare: Vec<u8>,
}

impl ReceiveState {
    pub(super) fn new(waiter: Waiter) -> Self {
        ReceiveState { reader: None, waiter, partial: None, spare: Vec::new() }
    }
}

/// The right to receive, for one message.
pub(super) struct Turn<'a> {
    connection: &'a Connection,
    lane: &'a Lane,
    ring: Ring,
    pub(super) state: ManuallyDrop<Entered<'a, ReceiveState>>,
    held: ManuallyDrop<Held>,
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: taken here only, in the drop of the whole.
        let state = unsafe { ManuallyDrop::take(&mut self.state) };
        // SAFETY: as above.
        let held = unsafe { ManuallyDrop::take(&mut self.held) };
        let generation = state.generation();
        if self.connection.generation() != generation {
            // A child forked in mid-turn. It may have a turn of its own by now, which this must not end.
            return mem::forget(state);
        }
        let midway = state.partial.is_some();
        // The state first: whoever gets the lock next must find it free.
        drop(state);
        let (gate, barrier) = (&self.lane.recv_lock, self.connection.barrier);
        if midway {
            // Relaxed: `park` publishes it, and wakes those who waited while it said otherwise.
            self.connection.parked_by.store(generation, Ordering::Relaxed);
            gate.park(held, barrier);
        } else {
            gate.unlock(held, barrier);
        }
    }
}

/// What a look into the ring brought.
enum Found {
    /// A whole message, still in the ring.
    Record(Record),
    /// A whole message, put together from its pieces.
    Assembled(Vec<u8>),
    /// Nothing now.
    Nothing,
}

impl Connection {
    /// Receives a message, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if nothing is left and nobody who could send more; [`RecvError::NotReadable`];
    /// others of [`RecvError`].
    pub fn recv(&self) -> Result<Vec<u8>, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives a message if one is there. Of a message in pieces it takes what is there, and
    /// [`Empty`](RecvError::Empty) then means "not all yet".
    ///
    /// # Errors
    /// [`RecvError::Empty`] if none is there, or somebody else is receiving; else as [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Vec<u8>, RecvError> {
        match self.recv_deadline(Deadline::NOW) {
            Err(RecvError::Timeout) => Err(RecvError::Empty),
            result => result,
        }
    }

    /// Receives a message, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), or [`RecvError::Timeout`]. If a message in pieces has begun to arrive, this
    /// connection keeps its place: the next call goes on with it.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        self.recv_deadline(Deadline::after(timeout))
    }

    /// Receives a message, waiting for it until `deadline`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(&self, deadline: Deadline) -> Result<Vec<u8>, RecvError> {
        let mut message = Vec::new();
        self.recv_into(&mut message, deadline)?;
        Ok(message)
    }

    /// Receives a message into `buffer`, which it replaces, and says how long it is: without allocating if the
    /// buffer is large enough. With [`Deadline::NEVER`] waits as long as it takes.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout); `buffer` stays as it is.
    #[inline]
    pub fn recv_into(&self, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvError> {
        match self.recv_at_once(buffer) {
            Some(len) => Ok(len),
            None => self.receive_by_turns(buffer, deadline),
        }
    }

    /// The fast half of [`recv_into`](Self::recv_into): receives a message if one lies there in one piece and nothing stands
    /// in the way. It waits for nobody, makes no system call for nothing, and gives no reason: if there is no message for it,
    /// `recv_into` finds out why, and does whatever is to be done.
    ///
    /// For bindings, which must let go of their interpreter before they wait, and had better not if there is no need.
    #[inline]
    pub fn recv_at_once(&self, buffer: &mut Vec<u8>) -> Option<usize> {
        match self.receive_straight(buffer) {
            Straight::Received(len) => Some(len),
            Straight::NeedsRoom(len) => {
                buffer.reserve(len.saturating_sub(buffer.len()));
                match self.receive_straight(buffer) {
                    Straight::Received(len) => Some(len),
                    _ => None,
                }
            }
            Straight::Not => None,
        }
    }

    /// Receives a message, whatever that takes.
    #[cold]
    #[inline(never)]
    fn receive_by_turns(&self, buffer: &mut Vec<u8>, deadline: Deadline) -> Result<usize, RecvError> {
        let (mut turn, found) = self.await_message(deadline)?;
        match found {
            Found::Record(record) => {
                let max = self.max_message;
                let fits = record.len() <= max;
                if fits {
                    buffer.clear();
                    append(turn.reader()?, &record, 0, buffer);
                }
                turn.release(&record)?;
                if fits { Ok(record.len()) } else { Err(RecvError::TooLong { max: max as u64 }) }
            }
            Found::Assembled(message) => {
                turn.state.spare = mem::replace(buffer, message);
                turn.state.spare.clear();
                Ok(buffer.len())
            }
            Found::Nothing => Err(RecvError::Empty),
        }
    }

    /// Receives a message without copying it: the result lends it out where it lies, and gives the space back
    /// when it is dropped. While it lives, nobody else can receive from this end. (A message that came in
    /// pieces, or from a peer that is not trusted, is a copy.)
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_ref(&self) -> Result<Message<'_>, RecvError> {
        self.recv_ref_deadline(Deadline::NEVER)
    }

    /// The same, waiting only until `deadline`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_ref_deadline(&self, deadline: Deadline) -> Result<Message<'_>, RecvError> {
        let (mut turn, found) = self.await_message(deadline)?;
        let content = match found {
            Found::Record(record) if record.len() > self.max_message => {
                turn.release(&record)?;
                return Err(RecvError::TooLong { max: self.max_message as u64 });
            }
            Found::Record(record) if self.trusted => Content::Shared { turn, record },
            Found::Record(record) => {
                let mut copy = Vec::new();
                append(turn.reader()?, &record, 0, &mut copy);
                turn.release(&record)?;
                Content::Private(copy)
            }
            Found::Assembled(message) => Content::Private(message),
            Found::Nothing => return Err(RecvError::Empty),
        };
        Ok(Message::new(content))
    }

    /// Whether [`recv`](Self::recv) has something to say: waits at most `timeout` for a message, or the first
    /// piece of one, or the end of the stream. Takes nothing. Of several processes that are told so, one gets
    /// the message; and a message of which only the first pieces are there may yet be given up by its sender.
    ///
    /// # Errors
    /// [`RecvError::NotReadable`].
    pub fn poll(&self, timeout: Duration) -> Result<bool, RecvError> {
        let (lane, _) = self.incoming().ok_or(RecvError::NotReadable)?;
        let deadline = Deadline::after(timeout);
        let mut waiter = self.waiter;
        match self.await_item(lane, &mut waiter, deadline) {
            Err(RecvError::Timeout) => {
                // A byte that came late would have whoever polls the descriptor ask again and again.
                if lane.bell.is_watched() {
                    self.settle_between_turns();
                }
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Makes the descriptor unreadable if there is nothing to receive, unless somebody is receiving: he does so himself.
    #[cold]
    pub(super) fn settle_between_turns(&self) {
        if let Some((lane, ring)) = self.incoming()
            && let Ok(Some(_turn)) = self.turn_to_receive(lane, ring, Deadline::NOW)
        {
            self.settle(lane);
        }
    }

    /// Waits for a message and for the turn to take it.
    fn await_message(&self, deadline: Deadline) -> Result<(Turn<'_>, Found), RecvError> {
        let (lane, ring) = self.incoming().ok_or(RecvError::NotReadable)?;
        let mut closed = false;
        let mut waited = None;
        loop {
            let Some(mut turn) = self.turn_to_receive(lane, ring, deadline)? else { continue };
            let again = waited.is_some();
            if let Some(waiter) = waited.take() {
                turn.state.waiter = waiter; // with what it has learnt
            }
            match turn.look(deadline)? {
                Found::Nothing if closed => return Err(RecvError::Closed),
                // Somebody else was faster, or the indices make no sense.
                Found::Nothing if again && deadline.has_passed() => return Err(RecvError::Timeout),
                Found::Nothing => {
                    self.settle(lane);
                    let mut waiter = turn.state.waiter;
                    drop(turn);
                    // Whoever sees that all senders are gone sees all they sent, but only by looking again.
                    closed = self.await_item(lane, &mut waiter, deadline)?;
                    waited = Some(waiter);
                }
                found => return Ok((turn, found)),
            }
        }
    }

    /// Takes the receive lock and makes everything ready behind it. `None` if it came from another connection of
    /// this process, which is in the middle of a message: try again.
    #[inline]
    fn turn_to_receive<'a>(
        &'a self,
        lane: &'a Lane,
        ring: Ring,
        deadline: Deadline,
    ) -> Result<Option<Turn<'a>>, RecvError> {
        let me = self.me().map_err(RecvError::Attach)?;
        let generation = self.generation();
        let parked = || self.parked_by.load(Ordering::Relaxed) == generation;
        let (held, _) = self.lock(&lane.recv_lock, me, parked, deadline).map_err(from_lock)?;
        let Some(state) = self.receiver.enter(generation, || ReceiveState::new(self.waiter)) else {
            return Err(RecvError::Corrupt(Corrupt {
                field: "receive lock",
                found: 0,
                limit: 0,
                place: None,
            }));
        };
        if held.grant() == Grant::Resumed {
            self.parked_by.store(0, Ordering::Relaxed);
            if state.partial.is_none() {
                drop(state);
                self.leave_to_the_other(lane, held, deadline)?;
                return Ok(None);
            }
        }
        let (state, held) = (ManuallyDrop::new(state), ManuallyDrop::new(held));
        let mut turn = Turn { connection: self, lane, ring, state, held };
        turn.prepare()?;
        Ok(Some(turn))
    }

    /// Puts back a lock that another connection of this process parked: our own thread was faster than we,
    /// ended its message, and left the lock to that one.
    #[cold]
    fn leave_to_the_other(&self, lane: &Lane, held: Held, deadline: Deadline) -> Result<(), RecvError> {
        lane.recv_lock.park(held, self.barrier);
        if deadline.has_passed() { Err(RecvError::Timeout) } else { Ok(()) }
    }

    /// Waits until something lies in the ring (`false`) or nobody is left to send (`true`).
    fn await_item(&self, lane: &Lane, waiter: &mut Waiter, deadline: Deadline) -> Result<bool, RecvError> {
        let has_item = || {
            let (tail, head) = lane.header.positions();
            tail != head
        };
        let attempt = || {
            if has_item() { Some(false) } else { self.peers_are_gone_by_sign().then_some(true) }
        };
        let patrol = || self.peers_are_gone().then_some(true);
        waiter
            .wait(&lane.items, self.barrier, deadline, attempt, patrol, has_item)
            .map_err(|TimedOut| RecvError::Timeout)
    }

    /// Gives up a message of which some pieces have come: nobody can go on with it.
    pub(super) fn give_up_midway(&mut self) {
        let Some((lane, _)) = self.incoming() else { return };
        let generation = self.generation();
        let Some(mut state) = self.receiver.enter(generation, || ReceiveState::new(self.waiter)) else {
            return;
        };
        if state.partial.take().is_none() {
            return;
        }
        drop(state);
        if let Ok(me) = self.me()
            && let Ok(held) = lane.recv_lock.try_lock(me)
        {
            lane.recv_lock.unlock(held, self.barrier);
        }
    }
}

/// What taking a lock can say, on this side.
fn from_lock(error: SendError) -> RecvError {
    match error {
        SendError::Corrupt(corrupt) => RecvError::Corrupt(corrupt),
        SendError::Attach(error) => RecvError::Attach(error),
        _ => RecvError::Timeout,
    }
}

impl Turn<'_> {
    /// Whether this process is the one that took the turn: `false` in a child forked meanwhile.
    #[inline]
    pub(super) fn is_ours(&self) -> bool {
        self.connection.generation() == self.state.generation()
    }

    #[inline]
    fn reader(&mut self) -> Result<&mut Reader, RecvError> {
        // `prepare` has put it there.
        self.state.reader.as_mut().ok_or(RecvError::Empty)
    }

    #[inline]
    fn prepare(&mut self) -> Result<(), RecvError> {
        match &mut self.state.reader {
            Some(_) if mutated!("pipe.reload_reader") => Ok(()),
            // SAFETY: we hold the receive lock until this turn ends, and whoever held it before has unlocked
            // it, or died, before we took it.
            Some(reader) => unsafe { reader.reload() }.map_err(RecvError::Corrupt),
            None => {
                // SAFETY: as above.
                self.state.reader = Some(unsafe { Reader::attach(self.ring) }.map_err(RecvError::Corrupt)?);
                Ok(())
            }
        }
    }

    /// Looks for a message: one that is whole, or one in pieces, for which it waits once it has begun.
    ///
    /// Beyond the deadline it takes what is there, but at most a ring full: a sender may be faster than we are.
    fn look(&mut self, deadline: Deadline) -> Result<Found, RecvError> {
        let mut unasked = 0;
        loop {
            let record = match self.reader()?.peek() {
                Ok(record) => record,
                Err(ReadError::Corrupt(corrupt)) => return Err(RecvError::Corrupt(corrupt)),
                Err(ReadError::Empty) if self.state.partial.is_none() => return Ok(Found::Nothing),
                Err(ReadError::Empty) => {
                    self.await_piece(deadline)?;
                    continue;
                }
            };
            if self.state.partial.is_none() && judge(record.tag(), None) == Step::Whole {
                return Ok(Found::Record(record));
            }
            unasked += footprint(record.len() as u64);
            if unasked > self.ring.region().size() {
                if deadline.has_passed() {
                    return Err(RecvError::Timeout);
                }
                unasked = 0;
            }
            if let Some(message) = self.take_piece(&record)? {
                return Ok(Found::Assembled(message));
            }
        }
    }

    /// Gives a record's space back and wakes all who wait for space: it may be too little for one of them and
    /// do for another.
    #[inline]
    pub(super) fn release(&mut self, record: &Record) -> Result<(), RecvError> {
        let reader = self.reader()?;
        reader.advance(record);
        reader.release();
        let left_empty = reader.seen() == 0;
        if !mutated!("channel.wake_space") {
            self.lane.space.wake(ALL, self.connection.barrier);
        }
        if left_empty {
            self.connection.settle(self.lane);
        }
        Ok(())
    }
}

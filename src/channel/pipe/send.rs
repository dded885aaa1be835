//! The sending side of a connection.

mod loan;

pub use loan::Loan;

use super::connection::Connection;
use super::layout::Lane;
use super::stream::{self, ABORT, FIRST, LAST, PREFIX, WHOLE};
use crate::channel::SendError;
use crate::error::Corrupt;
use crate::lock::{Gate, Held, LockFailed};
use crate::ring::WriteError;
use crate::ring::bytes::{RECORD_HEADER, Ring, Writer, footprint};
use crate::sync::{Entered, Ordering, mutated};
use crate::sys::clock;
use crate::wait::{ALL, Deadline, TimedOut, Waiter};
use core::convert::Infallible;
use core::mem::{self, ManuallyDrop};
use core::time::Duration;

/// What this process keeps for sending; touched only under the lane's send lock.
#[derive(Debug)]
pub(super) struct SendState {
    /// `None` until the first send, and in a forked child.
    pub(super) writer: Option<Writer>,
    waiter: Waiter,
    /// When we last asked the kernel whether anybody is left to receive, on the coarse clock.
    pub(super) asked_at: u64,
    /// Where loans are written while the peer is not trusted. Only grows; all of it is initialised.
    scratch: Vec<u8>,
}

impl SendState {
    pub(super) fn new(waiter: Waiter) -> Self {
        SendState { writer: None, waiter, asked_at: 0, scratch: Vec::new() }
    }
}

/// The right to send, for one message.
struct Turn<'a> {
    connection: &'a Connection,
    lane: &'a Lane,
    ring: Ring,
    state: ManuallyDrop<Entered<'a, SendState>>,
    held: ManuallyDrop<Held>,
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: taken here only, in the drop of the whole.
        let state = unsafe { ManuallyDrop::take(&mut self.state) };
        // SAFETY: as above.
        let held = unsafe { ManuallyDrop::take(&mut self.held) };
        if self.connection.generation() != state.generation() {
            // A child forked in mid-turn. It may have a turn of its own by now, which this must not end.
            return mem::forget(state);
        }
        // The state first: whoever gets the lock next must find it free.
        drop(state);
        self.lane.sending.lock.unlock(held, self.connection.barrier);
    }
}

impl Connection {
    /// Sends a message, waiting for space as long as it takes. A message larger than about half of
    /// [`capacity`](Self::capacity) is sent in pieces, while somebody receives it.
    ///
    /// # Errors
    /// [`SendError::Closed`] if nobody is left to receive; [`SendError::NotWritable`]; others of [`SendError`].
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_deadline(message, Deadline::NEVER)
    }

    /// Sends a message if that needs no waiting.
    ///
    /// # Errors
    /// [`SendError::Full`] if there is no space now or somebody else is sending; [`SendError::TooLarge`] if it
    /// would have to be sent in pieces, which always waits; else as [`send`](Self::send).
    pub fn try_send(&self, message: &[u8]) -> Result<(), SendError> {
        let (_, ring) = self.outgoing().ok_or(SendError::NotWritable)?;
        let (len, max) = (message.len() as u64, whole_max(ring) as u64);
        if len > max {
            return Err(SendError::TooLarge { len, max });
        }
        match self.send_deadline(message, Deadline::NOW) {
            Err(SendError::Timeout) => Err(SendError::Full),
            result => result,
        }
    }

    /// Sends a message, waiting at most `timeout` for space and for others to finish sending.
    ///
    /// # Errors
    /// As [`send`](Self::send), or [`SendError::Timeout`]: nothing of the message will be received.
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_deadline(message, Deadline::after(timeout))
    }

    /// Sends a message, waiting until `deadline` for space and for others to finish sending.
    ///
    /// # Errors
    /// As [`send`](Self::send), or [`SendError::Timeout`]: nothing of the message will be received.
    #[inline]
    pub fn send_deadline(&self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        if self.send_straight(message) { Ok(()) } else { self.send_by_turns(message, deadline) }
    }

    /// Sends a message, whatever that takes.
    #[cold]
    #[inline(never)]
    fn send_by_turns(&self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let (lane, ring) = self.outgoing().ok_or(SendError::NotWritable)?;
        if message.len() > whole_max(ring) {
            return self.turn_to_send(lane, ring, deadline)?.send_in_pieces(&[], message, deadline);
        }
        let mut waited = None;
        loop {
            let mut turn = self.turn_to_send(lane, ring, deadline)?;
            turn.learn(waited);
            match turn.writer()?.push(message, stream::tag(WHOLE, 0)) {
                Ok(()) => {
                    turn.announce();
                    return Ok(());
                }
                // Nobody is kept from sending by one who waits for space: a smaller message may fit.
                Err(WriteError::Full) => {
                    waited = Some(turn.leave_and_await_space(message.len(), waited.is_some(), deadline)?);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends one message that consists of `header` and `body`, which need not lie together, waiting until `deadline` as
    /// [`send_deadline`](Self::send_deadline) does.
    ///
    /// ```
    /// use ringway::{Deadline, Pipe};
    ///
    /// let (tx, rx) = Pipe::simplex()?;
    /// tx.send_with_header(&[7], b"body", Deadline::NEVER)?;
    /// assert_eq!(rx.recv()?, b"\x07body");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_with_header(&self, header: &[u8], body: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let (lane, ring) = self.outgoing().ok_or(SendError::NotWritable)?;
        let len = header.len().saturating_add(body.len());
        if len > whole_max(ring) {
            return self.turn_to_send(lane, ring, deadline)?.send_in_pieces(header, body, deadline);
        }
        let mut loan = self.reserve_deadline(len, deadline)?;
        let bytes: &mut [u8] = &mut loan;
        let (first, rest) = bytes.split_at_mut(header.len().min(bytes.len()));
        // In a process forked meanwhile the loan is empty.
        if first.len() == header.len() && rest.len() == body.len() {
            first.copy_from_slice(header);
            rest.copy_from_slice(body);
        }
        loan.commit();
        Ok(())
    }

    /// Space for a message of up to `len` bytes, to be written in place and committed; it holds bytes of older
    /// messages, or zeros. While the loan lives, nobody else can send from this end: if its owner sends by other
    /// means, that waits for ever.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] for more than about half of [`capacity`](Self::capacity): such messages are not
    /// contiguous anywhere, [`send`](Self::send) them. Else as [`send`](Self::send).
    pub fn reserve(&self, len: usize) -> Result<Loan<'_>, SendError> {
        self.reserve_deadline(len, Deadline::NEVER)
    }

    /// The same, waiting only until `deadline` for space and for others to finish sending.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), or [`SendError::Timeout`].
    pub fn reserve_deadline(&self, len: usize, deadline: Deadline) -> Result<Loan<'_>, SendError> {
        let (lane, ring) = self.outgoing().ok_or(SendError::NotWritable)?;
        if len > whole_max(ring) {
            return Err(SendError::TooLarge { len: len as u64, max: whole_max(ring) as u64 });
        }
        let mut waited = None;
        loop {
            let mut turn = self.turn_to_send(lane, ring, deadline)?;
            turn.learn(waited);
            match turn.writer()?.reserve(len) {
                Ok(reservation) => return Ok(Loan::of(turn, reservation)),
                Err(WriteError::Full) => {
                    waited = Some(turn.leave_and_await_space(len, waited.is_some(), deadline)?);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the send lock and makes everything ready behind it: the indices as the last holder left them, a
    /// message that somebody left unfinished ended, and somebody there to receive.
    fn turn_to_send<'a>(
        &'a self,
        lane: &'a Lane,
        ring: Ring,
        deadline: Deadline,
    ) -> Result<Turn<'a>, SendError> {
        let me = self.me().map_err(SendError::Attach)?;
        let (held, mended) = self.lock(&lane.sending.lock, me, || false, deadline)?;
        if mended {
            // The dead one may have sent a message and told nobody.
            lane.items.wake(1, self.barrier);
            self.ring(lane);
        }
        let Some(state) = self.sender.enter(self.generation(), || SendState::new(self.waiter)) else {
            // The shared lock let in two of our threads: somebody wrote to it against the rules. It is not
            // unlocked here, because it is not ours: the thread inside will do that.
            return Err(SendError::Corrupt(Corrupt { field: "send lock", found: 0, limit: 0, place: None }));
        };
        let (state, held) = (ManuallyDrop::new(state), ManuallyDrop::new(held));
        let mut turn = Turn { connection: self, lane, ring, state, held };
        turn.prepare(deadline)?;
        Ok(turn)
    }

    /// Takes a gate, taking it over from a dead holder. What the locks of a pipe protect needs no repair of the
    /// lock: the ring's indices are always consistent, and an unfinished message is known by its own word. The
    /// second result tells whether somebody died with the lock.
    ///
    /// A lock that this process parked in mid-message belongs to one of its connections: `parked` tells whether
    /// it is this one.
    #[inline]
    pub(super) fn lock(
        &self,
        gate: &Gate,
        me: u16,
        parked: impl Fn() -> bool,
        deadline: Deadline,
    ) -> Result<(Held, bool), SendError> {
        let held = match gate.try_lock_as(me, parked()) {
            Ok(held) => held,
            Err(_) => self.lock_slowly(gate, me, parked, deadline)?,
        };
        Ok(if held.inconsistent() { (gate.recovered(held), true) } else { (held, false) })
    }

    #[cold]
    fn lock_slowly(
        &self,
        gate: &Gate,
        me: u16,
        parked: impl Fn() -> bool,
        deadline: Deadline,
    ) -> Result<Held, SendError> {
        let mut waiter = self.waiter;
        let dead = |index| self.segment().is_dead(index);
        let never = || None::<Infallible>;
        let held = gate.lock_as(me, parked, &mut waiter, self.barrier, deadline, dead, never);
        held.map_err(|failure| match failure {
            LockFailed::TimedOut => SendError::Timeout,
            LockFailed::NotRecoverable => corrupt_lock(0),
            LockFailed::Corrupt(word) => corrupt_lock(word),
            LockFailed::Interrupted(never) => match never {},
        })
    }
}

fn corrupt_lock(found: u64) -> SendError {
    SendError::Corrupt(Corrupt { field: "lock word", found, limit: 0, place: None })
}

/// The longest message that travels whole: it must leave space for others to be on their way.
#[inline(always)]
pub(super) fn whole_max(ring: Ring) -> usize {
    ring.max_len().min(ring.region().size() / 2) as usize
}

/// The payload of a piece: small enough that one is copied in while another is copied out.
fn piece_max(ring: Ring) -> usize {
    (ring.region().size() / 4 - RECORD_HEADER) as usize
}

impl<'a> Turn<'a> {
    /// Whether this process is the one that took the turn: `false` in a child forked meanwhile.
    #[inline]
    fn is_ours(&self) -> bool {
        self.connection.generation() == self.state.generation()
    }

    /// Keeps what was learnt about waiting while the turn was somebody else's.
    #[inline]
    fn learn(&mut self, waited: Option<Waiter>) {
        if let Some(waiter) = waited {
            self.state.waiter = waiter;
        }
    }

    #[inline]
    fn writer(&mut self) -> Result<&mut Writer, SendError> {
        // `prepare` has put it there.
        self.state.writer.as_mut().ok_or(SendError::Full)
    }

    fn prepare(&mut self, deadline: Deadline) -> Result<(), SendError> {
        match &mut self.state.writer {
            Some(_) if mutated!("pipe.reload_writer") => {}
            // SAFETY: we hold the send lock until this turn ends, and whoever held it before has unlocked it,
            // or died, before we took it.
            Some(writer) => unsafe { writer.reload() }.map_err(SendError::Corrupt)?,
            None => {
                // SAFETY: as above.
                self.state.writer = Some(unsafe { Writer::attach(self.ring) }.map_err(SendError::Corrupt)?);
            }
        }
        // Asking the kernel each time would cost more than all the rest. The coarse clock ticks every few
        // milliseconds: whoever sends more rarely than that asks each time.
        let now = clock::tick();
        if (now != self.state.asked_at && self.connection.peers_are_gone())
            || self.connection.peers_are_gone_by_sign()
        {
            return Err(SendError::Closed);
        }
        self.state.asked_at = now;
        // Relaxed: moved under the lock we hold.
        match self.lane.sending.open_id.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ if mutated!("pipe.abort") => Ok(()),
            open => self.end_unfinished(open, deadline),
        }
    }

    /// Tells receivers that the message `id`, whose sender died or gave up, will not be finished.
    #[cold]
    fn end_unfinished(&mut self, id: u64, deadline: Deadline) -> Result<(), SendError> {
        self.push_piece([&[]; 3], stream::tag(ABORT, id), deadline)?;
        self.lane.sending.open_id.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Sends one message that is `header` and `body`.
    fn send_in_pieces(mut self, header: &[u8], body: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let sending = &self.lane.sending;
        let id = sending.last_id.load(Ordering::Relaxed).wrapping_add(1) & 0xff_ffff;
        let id = id.max(1);
        sending.last_id.store(id, Ordering::Relaxed);
        // Before the first piece: from here on until the last one is there, our successor ends this message.
        sending.open_id.store(id, Ordering::Release);
        let piece_max = piece_max(self.ring);
        let prefix = (header.len() as u64).saturating_add(body.len() as u64).to_le_bytes();
        let mut rest: [&[u8]; 3] = [&prefix, header, body];
        let mut flags = FIRST;
        loop {
            let mut room = piece_max;
            let piece = rest.each_mut().map(|part| {
                let (now, later) = part.split_at(part.len().min(room));
                room -= now.len();
                *part = later;
                now
            });
            let is_last = rest.iter().all(|part| part.is_empty());
            flags |= if is_last { LAST } else { 0 };
            if let Err(error) = self.push_piece(piece, stream::tag(flags, id), deadline) {
                // What has been sent must not be taken for a message. If there is no space to say so, the next
                // sender does, or the receiver finds it out: by this wake, if it has begun to sleep meanwhile.
                let said = self.end_unfinished(id, Deadline::NOW).is_ok();
                let (lane, barrier) = (self.lane, self.connection.barrier);
                drop(self);
                if !said {
                    lane.items.wake(ALL, barrier);
                }
                return Err(error);
            }
            if is_last {
                // Release: pairs with the Acquire in `Connection::is_abandoned`; the last piece comes before.
                self.lane.sending.open_id.store(0, Ordering::Release);
                return Ok(());
            }
            flags = 0;
        }
    }

    /// Sends one record, waiting for space with the lock held: the pieces of a message stay together.
    fn push_piece(&mut self, parts: [&[u8]; 3], tag: u32, deadline: Deadline) -> Result<(), SendError> {
        let len = parts.iter().map(|part| part.len()).sum();
        let mut waited = false;
        let reservation = loop {
            match self.writer()?.reserve(len) {
                Err(WriteError::Full) if waited && deadline.has_passed() => return Err(SendError::Timeout),
                Err(WriteError::Full) => {
                    let mut waiter = self.state.waiter;
                    let outcome =
                        await_space(self.connection, self.lane, self.ring, &mut waiter, len, deadline);
                    self.state.waiter = waiter;
                    outcome?;
                    waited = true;
                }
                result => break result?,
            }
        };
        let writer = self.writer()?;
        let mut at = 0;
        for part in parts {
            writer.fill(&reservation, at, part);
            at += part.len();
        }
        writer.commit(reservation, len, tag);
        self.announce();
        Ok(())
    }

    /// Ends the turn and waits until a message of `len` bytes would fit. Whoever comes here `again`, because
    /// somebody else was faster or the indices make no sense, must not do so beyond the deadline.
    #[cold]
    fn leave_and_await_space(self, len: usize, again: bool, deadline: Deadline) -> Result<Waiter, SendError> {
        let (connection, lane, ring) = (self.connection, self.lane, self.ring);
        let mut waiter = self.state.waiter;
        drop(self);
        if again && deadline.has_passed() {
            return Err(SendError::Timeout);
        }
        await_space(connection, lane, ring, &mut waiter, len, deadline)?;
        Ok(waiter)
    }

    /// Wakes a receiver.
    #[inline]
    fn announce(&self) {
        if !mutated!("channel.wake_items") {
            self.lane.items.wake(1, self.connection.barrier);
        }
        self.connection.ring(self.lane);
    }
}

/// Waits until the ring has, or just had, space for a record of `len` bytes.
fn await_space(
    connection: &Connection,
    lane: &Lane,
    ring: Ring,
    waiter: &mut Waiter,
    len: usize,
    deadline: Deadline,
) -> Result<(), SendError> {
    let size = ring.region().size();
    let needed = footprint(len as u64);
    let has_space = || {
        let (tail, head) = lane.header.positions();
        let used = tail.wrapping_sub(head);
        // Nonsense in the indices is for whoever holds the lock to find.
        used > size || size - used >= needed
    };
    let attempt = || {
        if has_space() {
            Some(Ok(()))
        } else {
            connection.peers_are_gone_by_sign().then_some(Err(SendError::Closed))
        }
    };
    let patrol = || connection.peers_are_gone().then_some(Err(SendError::Closed));
    // No baton: receivers wake all who wait for space, because what is too little for one may do for another.
    match waiter.wait(&lane.space, connection.barrier, deadline, attempt, patrol, || false) {
        Ok(result) => result,
        Err(TimedOut) => Err(SendError::Timeout),
    }
}

const _: () = assert!(PREFIX == size_of::<u64>());

//! Sending and receiving.

use super::belated::Belated;
use crate::backlog::{self, Backlog};
use crate::codec::{Outgoing, Received, decode, decode_in_place};
use crate::errors;
use crate::pins;
use crate::ring::Ring;
use crate::waits::waiting;
use pyo3::prelude::*;
use ringway::queue::Message;
use ringway::{Deadline, RecvError, SendError};
use std::sync::Arc;
use std::time::Duration;

/// How long a `put` that does not block waits for room, before it uses the backlog: receivers that are at work are faster.
const PATIENCE: Duration = Duration::from_micros(200);

/// Between two looks whether receivers are at work: about a microsecond. After so many looks in vain none is; and so many are
/// enough.
const SPINS: u32 = 32;
const IDLE: u32 = 6;
const LONGEST_LULL: u32 = 100;

/// How often one that waits for two things looks at the other.
const SLICE: Duration = Duration::from_millis(20);

/// An open queue.
pub(super) struct Inner {
    pub(super) ring: Ring,
    /// How many messages there may be.
    pub(super) most: usize,
    pub(super) backlog: Arc<Backlog>,
    pub(super) belated: Belated,
}

/// Why a message was not sent, or has no room.
pub(crate) fn refused(py: Python<'_>, error: SendError) -> PyErr {
    match error {
        SendError::Full | SendError::Timeout => errors::FULL.raise(py),
        SendError::Closed => over(py),
        error => errors::sending(error),
    }
}

/// What a queue that was shut down says.
fn over(py: Python<'_>) -> PyErr {
    errors::SHUT_DOWN.raise(py)
}

impl Inner {
    /// How many messages there are, as far as this process knows.
    pub(super) fn count(&self) -> usize {
        self.ring.len() + self.backlog.len()
    }

    /// Refuses at once what would be refused anyhow. Before it is pickled: that may have effects, a descriptor that is duplicated
    /// for somebody else, say.
    #[inline]
    pub(super) fn expect_room(&self, py: Python<'_>, until: Deadline) -> PyResult<()> {
        if until == Deadline::NOW && self.count() >= self.most {
            return Err(if self.ring.is_closed() { over(py) } else { errors::FULL.raise(py) });
        }
        Ok(())
    }

    #[inline]
    pub(super) fn send(&self, py: Python<'_>, out: &Outgoing<'_>, until: Deadline) -> PyResult<()> {
        if self.backlog.len() == 0 {
            match self.send_now(out) {
                Ok(()) => return Ok(()),
                Err(SendError::Full) => {}
                Err(SendError::Closed) => return Err(over(py)),
                Err(error) => return Err(errors::sending(error)),
            }
        }
        self.send_slowly(py, out, until)
    }

    #[inline]
    fn send_now(&self, out: &Outgoing<'_>) -> Result<(), SendError> {
        match out.in_one_piece() {
            Some(message) => self.ring.try_send(message),
            None => {
                let mut loan = self.ring.try_reserve(out.len())?;
                out.write(&mut loan);
                match loan.commit_deadline(Deadline::NOW) {
                    Ok(()) => Ok(()),
                    Err(uncommitted) => Err(match uncommitted.error {
                        SendError::Timeout => SendError::Full,
                        error => error,
                    }),
                }
            }
        }
    }

    #[cold]
    fn send_slowly(&self, py: Python<'_>, out: &Outgoing<'_>, until: Deadline) -> PyResult<()> {
        let message = out.to_vec();
        let capacity = self.ring.capacity();
        loop {
            pins::sweep();
            if self.ring.is_closed() {
                return Err(over(py));
            }
            let has_place = self.count() < self.most;
            if self.backlog.len() == 0 {
                // With a place to go beside the ring there is little to wait for: receivers that are at work, and so make
                // room in the ring or in the memory of its messages.
                let send = || {
                    let is_worth_it =
                        until != Deadline::NOW && has_place && (self.lull() || self.ring.len() >= capacity);
                    self.ring.send_deadline(
                        &message,
                        match (has_place, is_worth_it) {
                            (true, true) => until.min(Deadline::after(PATIENCE)),
                            (true, false) => Deadline::NOW,
                            (false, _) => until.min(Deadline::after(SLICE)),
                        },
                    )
                };
                match waiting(py, send)? {
                    Ok(()) => return Ok(()),
                    Err(SendError::Timeout | SendError::Full) => {}
                    Err(SendError::Closed) => return Err(over(py)),
                    Err(error) => return Err(errors::sending(error)),
                }
            } else if !has_place && !until.has_passed() {
                let slice = until.min(Deadline::after(SLICE));
                backlog::until(py, slice, |slice| self.backlog.flush(slice))?;
            }
            if has_place && self.count() < self.most && self.ring.promise() {
                self.backlog.push(&self.ring, message);
                return Ok(());
            }
            if until.has_passed() {
                return Err(errors::FULL.raise(py));
            }
        }
    }

    /// Lets receivers that are at work get ahead, so that the next messages find room at once: a wait for each costs both
    /// sides more than the message. Soon `false` if nobody is at work.
    fn lull(&self) -> bool {
        let from = self.ring.len();
        let (mut last, mut idle) = (from, 0);
        for _ in 0..LONGEST_LULL {
            if last <= from / 2 || idle == IDLE {
                break;
            }
            for _ in 0..SPINS {
                core::hint::spin_loop();
            }
            let now = self.ring.len();
            idle = if now < last { 0 } else { idle + 1 };
            last = now;
        }
        last < from
    }

    /// Receives an object.
    #[inline]
    pub(super) fn get<'py>(&self, py: Python<'py>, until: Deadline) -> PyResult<Bound<'py, PyAny>> {
        self.belated.check()?;
        match self.get_now(py) {
            Ok(object) => object,
            Err(RecvError::Empty) => decode(py, Received::Held(self.receive_slowly(py, until)?)),
            Err(RecvError::Closed) => Err(over(py)),
            Err(error) => Err(errors::receiving(error)),
        }
    }

    /// Receives what is there: an object, or why it cannot be made of the message.
    #[inline]
    pub(super) fn get_now<'py>(&self, py: Python<'py>) -> Result<PyResult<Bound<'py, PyAny>>, RecvError> {
        let received = self.ring.try_recv();
        if let Ok(message) = &received
            && let Some(object) = decode_in_place(py, message)
        {
            return Ok(object);
        }
        received.map(|message| decode(py, Received::Held(message)))
    }

    /// Receives a message.
    #[inline]
    pub(super) fn receive(&self, py: Python<'_>, until: Deadline) -> PyResult<Message<'_>> {
        self.belated.check()?;
        match self.ring.try_recv() {
            Ok(message) => Ok(message),
            Err(RecvError::Empty) => self.receive_slowly(py, until),
            Err(RecvError::Closed) => Err(over(py)),
            Err(error) => Err(errors::receiving(error)),
        }
    }

    #[cold]
    fn receive_slowly(&self, py: Python<'_>, until: Deadline) -> PyResult<Message<'_>> {
        if until == Deadline::NOW {
            // Who only looks, for ever, waits too.
            pins::sweep();
            return Err(errors::EMPTY.raise(py));
        }
        loop {
            // What children let go of may be what others wait for, before they can send.
            let end = pins::look_again(until);
            match waiting(py, || self.ring.recv_deadline(end))? {
                Ok(message) => return Ok(message),
                Err(RecvError::Timeout | RecvError::Empty) if until.has_passed() => {
                    return Err(errors::EMPTY.raise(py));
                }
                Err(RecvError::Timeout | RecvError::Empty) => {}
                Err(RecvError::Closed) => return Err(over(py)),
                Err(error) => return Err(errors::receiving(error)),
            }
        }
    }
}

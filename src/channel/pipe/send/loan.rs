//! Messages written in place.

use super::Turn;
use crate::channel::pipe::stream::{self, WHOLE};
use crate::ring::bytes::Reservation;
use core::fmt;
use core::ops::{Deref, DerefMut};

/// Space for a message, to be written in place; see [`Connection::reserve`](super::Connection::reserve). In a process forked meanwhile it is
/// empty.
#[must_use = "reserved space becomes a message only when it is committed"]
pub struct Loan<'a> {
    turn: Turn<'a>,
    reservation: Reservation,
}

impl<'a> Loan<'a> {
    pub(super) fn of(mut turn: Turn<'a>, reservation: Reservation) -> Self {
        let len = reservation.len();
        if !turn.connection.trusted && turn.state.scratch.len() < len {
            turn.state.scratch.resize(len, 0);
        }
        Loan { turn, reservation }
    }

    /// Sends all of it as one message. In a process forked meanwhile it does nothing.
    pub fn commit(self) {
        let len = self.reservation.len();
        self.commit_len(len);
    }

    /// Sends the first `len` bytes as one message; all of them if there are not so many. In a process forked
    /// meanwhile it does nothing.
    pub fn commit_len(self, len: usize) {
        let Loan { mut turn, reservation } = self;
        if !turn.is_ours() {
            return;
        }
        let len = len.min(reservation.len());
        let trusted = turn.connection.trusted;
        let state = &mut **turn.state;
        let Some(writer) = &mut state.writer else { return };
        if !trusted {
            writer.fill(&reservation, 0, &state.scratch[..len]);
        }
        writer.commit(reservation, len, stream::tag(WHOLE, 0));
        turn.announce();
    }
}

impl Deref for Loan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if !self.turn.is_ours() {
            return &[];
        }
        if !self.turn.connection.trusted {
            return &self.turn.state.scratch[..self.reservation.len()];
        }
        let start = self.turn.ring.region().address(self.reservation.payload());
        // SAFETY: the reserved bytes lie inside the mirror and are initialised; they are ours alone while we
        // hold the send lock, and the handle trusts its peers to keep to that.
        unsafe { core::slice::from_raw_parts(start.as_ptr(), self.reservation.len()) }
    }
}

impl DerefMut for Loan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if !self.turn.is_ours() {
            return &mut [];
        }
        if !self.turn.connection.trusted {
            return &mut self.turn.state.scratch[..self.reservation.len()];
        }
        let start = self.turn.ring.region().address(self.reservation.payload());
        // SAFETY: as in `deref`, and this guard is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), self.reservation.len()) }
    }
}

impl fmt::Debug for Loan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("len", &self.reservation.len()).finish_non_exhaustive()
    }
}

//! A descriptor that is readable when there is something to receive, for event loops.

use super::connection::Connection;
use super::layout::Lane;
use crate::error::Error;
use crate::lock::State;
use crate::sync::spin_loop;
use crate::sys::cpus;
use crate::sys::socket::{Fifo, Line};
use crate::wait::{Clapper, Ear};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

/// The FIFOs beside a named pipe, each opened when first needed. An anonymous pipe has its sockets.
#[derive(Debug, Default)]
pub(super) struct Fifos {
    lanes: [OnceLock<Fifo>; 2],
}

/// How often to look for the end of a sender's turn: some ten microseconds' worth. One that lasts longer costs whoever polls
/// a look in vain at worst.
const PATIENCE: u32 = 1024;

/// The descriptor through which a lane's receivers are told.
struct Rope<'a> {
    connection: &'a Connection,
    /// The lane, by the end that sends on it.
    lane: usize,
}

impl Connection {
    /// A descriptor that is readable, by `poll`, `epoll` and what builds on them, when [`recv`](Self::recv) has
    /// something to say: a message, the first piece of one, or the end of the stream.
    ///
    /// It is level-triggered. Only poll it: what is read from it is ours. From the first call on, the other end
    /// pays one system call for each time that this end has received everything there was. So receive until
    /// [`try_recv`](Self::try_recv) says [`Empty`](crate::RecvError::Empty).
    ///
    /// A sender killed within the few instructions between sending and ringing leaves a message that the
    /// descriptor does not tell of until the next one, and the end of a *named* pipe whose last sender was killed is
    /// not told at all: an event loop that must know uses a timer beside it. `recv` itself misses neither.
    ///
    /// ```
    /// # use std::os::fd::AsRawFd;
    /// let (tx, rx) = ringway::Pipe::simplex()?;
    /// let ready = rx.readiness()?.as_raw_fd();
    /// # let is_readable = |fd| {
    /// #     let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    /// #     unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    /// # };
    /// assert!(!is_readable(ready)); // by poll(2)
    /// tx.send(b"hello")?;
    /// assert!(is_readable(ready));
    /// rx.recv()?;
    /// assert!(!is_readable(ready));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this end only sends; what the operating system refuses.
    pub fn readiness(&self) -> Result<BorrowedFd<'_>, Error> {
        let Some((lane, _)) = self.incoming() else {
            return Err(Error::Unsupported { what: "readiness of an end that only sends" });
        };
        let rope = self.rope_of_incoming();
        match self.socket() {
            Some(socket) => {
                if !lane.bell.is_watched() {
                    lane.bell.enable();
                    // The first message ever has put a byte there, and may have been received since.
                    self.settle_between_turns();
                }
                Ok(socket)
            }
            None => {
                let fifo = rope.fifo().ok_or(Error::Unsupported { what: "a FIFO beside the named pipe" })?;
                lane.bell.enable_with(&rope);
                Ok(fifo.as_fd())
            }
        }
    }

    /// Tells those who poll the other end that there is something for them.
    #[inline]
    pub(super) fn ring(&self, lane: &Lane) {
        lane.bell.ring(self.barrier, &Rope { connection: self, lane: self.end().index() });
    }

    /// Makes the descriptor unreadable if there is nothing to receive. Called under the receive lock by each
    /// receive that finds or leaves the lane empty.
    #[inline]
    pub(super) fn settle(&self, lane: &Lane) {
        if lane.bell.is_watched() {
            self.settle_watched(lane);
        }
    }

    #[cold]
    fn settle_watched(&self, lane: &Lane) {
        let has_nothing = || {
            let counts = lane.header.counts();
            counts.written_bytes == counts.read_bytes
        };
        // A sender publishes its message, rings, and ends its turn. We may have that message by now: the byte that comes
        // after it would stay behind, and whoever polls would be told of nothing.
        for round in 0..PATIENCE {
            // Acquire, inside `read`: pairs with the unlocking; who finds the lock free finds the byte.
            if lane.sending.lock.word().read().state() != Some(State::Held) || !has_nothing() {
                break;
            }
            if round % 64 == 63 { cpus::give_way() } else { spin_loop() }
        }
        // A socket whose other end is gone is readable without a byte.
        let tells_the_end = self.socket().is_some();
        let is_empty = || has_nothing() && (tells_the_end || !self.peers_are_gone());
        // Whoever polls comes back if the descriptor stays readable, so what `settle` found out changes nothing.
        let _ = lane.bell.settle_if_watched(self.barrier, &self.rope_of_incoming(), is_empty);
    }

    fn rope_of_incoming(&self) -> Rope<'_> {
        Rope { connection: self, lane: 1 - self.end().index() }
    }
}

impl<'a> Rope<'a> {
    fn fifo(&self) -> Option<&'a Fifo> {
        let Rope { connection, lane } = *self;
        let place = &connection.fifos.lanes[lane];
        if let Some(fifo) = place.get() {
            return Some(fifo);
        }
        // A failure is not remembered: descriptors that ran out come back.
        let fifo = connection.segment().fifo(lane).ok()?;
        Some(place.get_or_init(|| fifo))
    }
}

impl Clapper for Rope<'_> {
    fn put(&self) -> bool {
        match self.connection.socket() {
            Some(socket) => Line::new(socket).put(),
            None => self.fifo().is_some_and(Fifo::put),
        }
    }
}

impl Ear for Rope<'_> {
    fn is_there(&self) -> bool {
        match self.connection.socket() {
            Some(socket) => Line::new(socket).is_there(),
            None => self.fifo().is_some_and(Fifo::is_there),
        }
    }

    fn take(&self) -> bool {
        match self.connection.socket() {
            Some(socket) => Line::new(socket).take(),
            None => self.fifo().is_some_and(Fifo::take),
        }
    }
}

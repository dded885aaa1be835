//! One end of a pipe, as one process holds it.

use super::layout::{self, Body, Lane, SIMPLEX, announce_departure, one_handle};
use super::readiness::Fifos;
use super::receive::ReceiveState;
use super::send::SendState;
use crate::error::Error;
use crate::handover;
use crate::options::{Object, Options, Settings};
use crate::ring::bytes::Ring;
use crate::segment::layout::Plan;
use crate::segment::{Segment, Sweep, create};
use crate::sync::{AtomicU64, Exclusive, Ordering};
use crate::sys::file::Stat;
use crate::sys::socket;
use crate::wait::{Barrier, Waiter};
use core::fmt;
use core::ptr::NonNull;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Arc;

/// Which end of a pipe. In a simplex pipe the first end sends and the second receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The end that [`Pipe::create`](crate::Pipe::create) takes.
    First,
    /// The end that [`Pipe::open`](crate::Pipe::open) takes.
    Second,
}

impl End {
    pub(super) const fn index(self) -> usize {
        match self {
            End::First => 0,
            End::Second => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            End::First => End::Second,
            End::Second => End::First,
        }
    }
}

/// One end of a [`Pipe`](crate::Pipe), in this process.
///
/// All methods take `&self`: threads may share a connection, and a forked child may go on using the one it
/// inherited. While one sends, others wait their turn, as they do if they hold the end in another process.
pub struct Connection {
    end: End,
    /// The rings we send on and receive from; `None` in the direction that a simplex pipe lacks.
    outgoing: Option<Ring>,
    incoming: Option<Ring>,
    /// `generation << 16 | index`: as whom this handle is counted among the holders of its end.
    member: AtomicU64,
    /// The departures from the other end up to which we have asked whether anybody is left there.
    departures_judged: AtomicU64,
    pub(super) sender: Exclusive<SendState>,
    pub(super) receiver: Exclusive<ReceiveState>,
    /// The process (by its generation) in which this connection has parked the receive lock in the middle of a
    /// message; 0 if it has not. Written with the lock held.
    pub(super) parked_by: AtomicU64,
    pub(super) barrier: Barrier,
    pub(super) trusted: bool,
    /// How to wait, with nothing learnt yet.
    pub(super) waiter: Waiter,
    pub(super) max_message: usize,
    /// Held by all who hold this end: the kernel tells the other end when the last copy is gone.
    socket: Option<OwnedFd>,
    pub(super) fifos: Fifos,
    segment: Arc<Segment>,
}

impl Object for Connection {
    const SWEEP: Sweep = layout::SWEEP;

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        layout::plan(settings)
    }

    fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
        Connection::take(segment, settings.end, None, settings)
    }
}

impl Options<Connection> {
    /// One direction instead of two: from the first end to the second. The opener of a pipe takes it as it is.
    pub fn simplex(mut self, yes: bool) -> Self {
        self.settings.simplex = yes;
        self
    }

    /// Which end of a named pipe to take ([`End::First`]).
    pub fn end(mut self, end: End) -> Self {
        self.settings.end = end;
        self
    }

    /// The longest message this end accepts, in bytes (any). Longer ones are dropped on arrival, with
    /// [`TooLong`](crate::RecvError::TooLong): a peer that is not trusted could otherwise fill our memory.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.settings.max_message = bytes;
        self
    }

    /// Makes a pipe without a name and both its ends.
    ///
    /// # Errors
    /// [`Error::BadCapacity`], [`Error::NoSpace`], and what the operating system refuses.
    pub fn pair(&self) -> Result<(Connection, Connection), Error> {
        let segment = Arc::new(Segment::anonymous(&self.expected()?, &self.settings.terms)?);
        let sockets =
            socket::pair().map_err(|source| Error::Os { action: "make a pair of sockets", source })?;
        let body = layout::body(&segment);
        for (state, socket) in body.ends.iter().zip([&sockets.0, &sockets.1]) {
            state.socket.store(inode(socket)?, Ordering::Relaxed);
        }
        for lane in &body.lanes {
            lane.bell.start();
        }
        let first = Connection::take(Arc::clone(&segment), End::First, Some(sockets.0), &self.settings)?;
        let second = Connection::take(segment, End::Second, Some(sockets.1), &self.settings)?;
        Ok((first, second))
    }

    /// Takes the end that was handed over as two descriptors, the memory and the socket. Which end it is, the
    /// socket tells.
    ///
    /// # Errors
    /// [`Error::NotSealed`] unless the memory is sealed against truncation, or
    /// [`trusted`](Options::trusted); [`Error::BadGeometry`] if the socket is not one of this pipe's.
    pub fn from_fds(&self, memory: OwnedFd, socket: OwnedFd) -> Result<Connection, Error> {
        let segment = Arc::new(Segment::from_fd(memory, &self.expected()?, &self.settings.terms)?);
        let found = inode(&socket)?;
        let known = [0, 1].map(|end| layout::body(&segment).ends[end].socket.load(Ordering::Relaxed));
        let end = match known.iter().position(|&inode| inode == found) {
            Some(0) => End::First,
            Some(_) => End::Second,
            None => return Err(Error::BadGeometry { field: "socket", found, expected: known[0] }),
        };
        Connection::take(segment, end, Some(socket), &self.settings)
    }

    /// Takes the end that our parent handed over under this key. Each key can be taken once.
    ///
    /// # Errors
    /// [`Error::NotInherited`]; else as [`from_fds`](Self::from_fds).
    pub fn inherited(&self, key: &str) -> Result<Connection, Error> {
        let [memory, socket] = handover::take(key)?;
        let mut options = self.clone();
        // Our parent chose our program, arguments and environment: it need not lie to us.
        options.settings.terms.trusted.get_or_insert(true);
        options.from_fds(memory, socket)
    }
}

/// The byte ring that `from` sends on, after checking that its geometry is one we would have made.
fn ring_in(segment: &Segment, from: End) -> Result<Ring, Error> {
    let region = super::super::bytes::region_of(segment, from.index())?;
    let header = NonNull::from(&layout::body(segment).lanes[from.index()].header);
    // SAFETY: the header is part of the body, mapped as long as the segment, which the connection keeps.
    Ok(unsafe { Ring::new(header, region) })
}

fn inode(socket: &OwnedFd) -> Result<u64, Error> {
    let stat = Stat::of(socket).map_err(|source| Error::Os { action: "examine a socket", source })?;
    Ok(stat.id().inode)
}

impl Connection {
    fn take(
        segment: Arc<Segment>,
        end: End,
        socket: Option<OwnedFd>,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let geometry = segment.geometry();
        let simplex = geometry.variant == SIMPLEX;
        create::expect("areas", geometry.areas as u64, if simplex { 1 } else { 2 })?;
        let first_sends = Some(ring_in(&segment, End::First)?);
        let second_sends = if simplex { None } else { Some(ring_in(&segment, End::Second)?) };
        let (outgoing, incoming) = match end {
            End::First => (first_sends, second_sends),
            End::Second => (second_sends, first_sends),
        };
        let generation = segment.generation().current();
        let waiter = Waiter::new(settings.wait);
        let connection = Connection {
            end,
            outgoing,
            incoming,
            member: AtomicU64::new(0),
            departures_judged: AtomicU64::new(0),
            sender: Exclusive::new(generation, SendState::new(waiter)),
            receiver: Exclusive::new(generation, ReceiveState::new(waiter)),
            parked_by: AtomicU64::new(0),
            barrier: Barrier::of_this_process(),
            trusted: segment.is_trusted(),
            waiter,
            max_message: settings.max_message,
            socket,
            fifos: Fifos::default(),
            segment,
        };
        connection.me()?;
        Ok(connection)
    }

    /// This process's participant index. The first call in a process, also in a forked child, counts this
    /// handle among the holders of its end.
    #[inline]
    pub(super) fn me(&self) -> Result<u16, Error> {
        // Relaxed: written by threads of this process; the value stands for itself.
        let member = self.member.load(Ordering::Relaxed);
        if self.segment.generation().is(member >> 16) { Ok(member as u16) } else { self.arrive(member) }
    }

    /// The same if this process has arrived: no system call, no error.
    #[inline(always)]
    pub(super) fn me_at_once(&self) -> Option<u16> {
        // Relaxed: as above.
        let member = self.member.load(Ordering::Relaxed);
        self.segment.generation().is(member >> 16).then_some(member as u16)
    }

    #[cold]
    fn arrive(&self, seen: u64) -> Result<u16, Error> {
        let me = self.segment.me()?;
        let member = self.segment.generation().current() << 16 | u64::from(me);
        // Another thread of a forked child may be counting this handle at the same time.
        if self.member.compare_exchange(seen, member, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let end = self.end.index();
            self.segment.row(me).roles.fetch_add(one_handle(end), Ordering::AcqRel);
            // AcqRel: pairs with the Acquire in `peers_are_gone`: who sees the arrival finds the row.
            self.body().ends[end].arrivals.fetch_add(1, Ordering::AcqRel);
        }
        Ok(me)
    }

    pub(super) fn generation(&self) -> u64 {
        self.segment.generation().current()
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(super) fn body(&self) -> &Body {
        layout::body(&self.segment)
    }

    /// The lane we send on and its ring, unless this end only receives.
    #[inline]
    pub(super) fn outgoing(&self) -> Option<(&Lane, Ring)> {
        Some((&self.body().lanes[self.end.index()], self.outgoing?))
    }

    /// The lane we receive from and its ring, unless this end only sends.
    #[inline]
    pub(super) fn incoming(&self) -> Option<(&Lane, Ring)> {
        Some((&self.body().lanes[self.end.other().index()], self.incoming?))
    }

    /// Whether somebody has left the other end since we last asked who is left.
    #[inline(always)]
    pub(super) fn somebody_left(&self) -> bool {
        // Relaxed, both: whoever sees it move asks properly.
        let departures = self.body().ends[self.end.other().index()].departures.load(Ordering::Relaxed);
        departures != self.departures_judged.load(Ordering::Relaxed)
    }

    /// Whether every holder of the other end has closed it or died, asked only if there is a sign of it.
    #[inline]
    pub(super) fn peers_are_gone_by_sign(&self) -> bool {
        // Acquire: pairs with the AcqRel in `announce_departure`: what the leaver sent comes before.
        let departures = self.body().ends[self.end.other().index()].departures.load(Ordering::Acquire);
        departures != self.departures_judged.load(Ordering::Relaxed) && self.judge_departures(departures)
    }

    #[cold]
    fn judge_departures(&self, departures: u64) -> bool {
        let gone = self.peers_are_gone();
        if !gone {
            self.departures_judged.store(departures, Ordering::Relaxed);
        }
        gone
    }

    /// Whether every holder of the other end has closed it or died: asks the kernel. `false` while nobody has
    /// come there yet.
    #[cold]
    pub(super) fn peers_are_gone(&self) -> bool {
        let other = self.end.other().index();
        if let Some(socket) = &self.socket {
            let gone = socket::is_hung_up(socket.as_fd());
            if gone {
                layout::count_out_all(&self.segment, other);
            }
            return gone;
        }
        // Acquire: pairs with the AcqRel in `arrive`.
        let somebody_came = self.body().ends[other].arrivals.load(Ordering::Acquire) > 0;
        somebody_came && !layout::is_held(&self.segment, other)
    }

    /// Which end this is.
    pub fn end(&self) -> End {
        self.end
    }

    /// Whether this end can receive.
    pub fn is_readable(&self) -> bool {
        self.incoming.is_some()
    }

    /// Whether this end can send.
    pub fn is_writable(&self) -> bool {
        self.outgoing.is_some()
    }

    /// The size of each direction in bytes. Messages up to about half of it travel in one piece.
    pub fn capacity(&self) -> usize {
        self.segment.geometry().capacity as usize
    }

    /// How many processes that held the other end died instead of closing it, as far as anybody noticed. With
    /// [`Closed`](crate::RecvError::Closed), tells a finished stream from one cut off.
    pub fn peer_deaths(&self) -> u64 {
        self.body().ends[self.end.other().index()].deaths.load(Ordering::Acquire)
    }

    /// How many bytes were ever received from this end's lane, by whomever, framing included; 0 before the first
    /// message was taken.
    pub fn received_before(&self) -> u64 {
        self.incoming.map_or(0, |ring| ring.header().counts().read_bytes)
    }

    /// The pipe's memory, to be sent to a peer together with [`socket`](Self::socket).
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.segment.as_fd()
    }

    /// This end's socket; `None` for a named pipe. Whoever has a copy of it holds this end.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Shares this end with the child that `command` will start; there,
    /// [`Pipe::inherited`](crate::Pipe::inherited)`(key)` takes it. This connection must live until the child is
    /// spawned. To give the end away instead, see [`spawn`](Self::spawn). The two ends of one pair go to different
    /// children: they share a descriptor, which a child takes only once.
    ///
    /// # Errors
    /// [`Error::InvalidName`] if the key has other than letters, digits and underscores;
    /// [`Error::Unsupported`] for a named pipe, which the child can open by its name.
    pub fn inherit(&self, command: &mut Command, key: &str) -> Result<(), Error> {
        match &self.socket {
            Some(socket) => handover::give(command, key, [self.memory(), socket.as_fd()]),
            None => Err(Error::Unsupported { what: "inheriting an end of a named pipe: open it by name" }),
        }
    }

    /// Starts `command` and gives this end to the child, which takes it with
    /// [`Pipe::inherited`](crate::Pipe::inherited)`(key)`: here it is closed.
    ///
    /// # Errors
    /// As [`inherit`](Self::inherit), and if the child cannot be started.
    pub fn spawn(self, command: &mut Command, key: &str) -> Result<Child, Error> {
        self.inherit(command, key)?;
        command.spawn().map_err(|source| Error::Os { action: "start the child", source })
    }

    /// Whether the pipe's name has been removed or given to another pipe: nobody new will come by it.
    pub fn is_retired(&self) -> bool {
        self.segment.is_retired()
    }

    /// Removes the pipe's name, unless it means another object by now. Whoever is attached goes on.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it has none, or not any more.
    pub fn unlink(&self) -> Result<(), Error> {
        self.segment.unlink()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.give_up_midway();
        // The handle before the socket, so that nobody takes this for a death; both before whoever is woken
        // below finds out the truth.
        if let Some(me) = self.me_at_once() {
            layout::give_up_handle(self.segment.row(me), self.end.index());
        }
        self.socket = None;
        announce_departure(self.body(), self.end.index());
        if let Some((lane, _)) = self.outgoing() {
            self.ring(lane);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.segment.name())
            .field("end", &self.end)
            .field("readable", &self.is_readable())
            .field("writable", &self.is_writable())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

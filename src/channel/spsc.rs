//! A ring of fixed-size messages with one producer and one consumer, in one process or two.
//!
//! The fastest way from one process to another: no system call, no fence and no locked instruction for a
//! message while nobody sleeps. Messages are any [`bytemuck::Pod`] type: plain data without pointers or padding.
//!
//! ```
//! use bytemuck::{Pod, Zeroable};
//! use ringway::spsc;
//!
//! #[repr(C)]
//! #[derive(Clone, Copy, Pod, Zeroable)]
//! struct Tick { id: u64, px: f64, qty: f64 }
//!
//! # let name = format!("doc-spsc-{}", std::process::id());
//! let mut tx = spsc::Producer::<Tick>::create(&name, 1024)?; // in one process
//! let mut rx = spsc::Consumer::<Tick>::open(&name)?; //          in another
//!
//! tx.push(Tick { id: 1, px: 101.25, qty: 10.0 })?;
//! if let Some(mut slot) = tx.reserve() {
//!     *slot = Tick { id: 2, px: 101.5, qty: 5.0 }; // written in place
//!     slot.commit();
//! }
//!
//! assert_eq!(rx.pop()?.id, 1);
//! if let Some(tick) = rx.peek() {
//!     assert_eq!(tick.id, 2); // read in place; released on drop
//! }
//! # ringway::unlink(&name)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When a process dies
//! A message is there as a whole or not at all. What the dead producer had pushed can still be popped; then
//! [`Consumer::recv`] says [`Closed`](RecvError::Closed). What the dead consumer had only peeked at comes again.
//! Another process can take over a dead one's role at any time.

use super::endpoint::endpoint;
use super::role::{Body, Claim, Side};
use super::{PopError, RecvError, error::FORKED};
use crate::error::{Corrupt, Error, Kind};
use crate::options::{Object, Settings};
use crate::ring::spsc::{Geometry, Header, Reader, Ring, Writer};
use crate::ring::{ReadError, WriteError};
use crate::segment::layout::{self, Plan};
use crate::segment::{Segment, Sweep};
use crate::sync::Slot;
use crate::wait::{Barrier, Deadline, TimedOut, Waiter};
use bytemuck::Pod;
use core::fmt;
use core::mem::{align_of, size_of};
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use std::sync::Arc;

/// Why a message was not pushed; it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// There is no space now.
    Full(T),
    /// This handle was inherited by `fork` and the role stayed with the parent.
    Forked(T),
    /// The consumer wrote to the shared memory against the rules.
    Corrupt(T, Corrupt),
}

/// Why a message was not sent; it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The deadline passed before there was space.
    Timeout(T),
    /// There was a consumer and it is gone.
    Closed(T),
    /// This handle was inherited by `fork` and the role stayed with the parent.
    Forked(T),
    /// The consumer wrote to the shared memory against the rules.
    Corrupt(T, Corrupt),
}

impl<T> PushError<T> {
    /// The message that was not pushed.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(value) | PushError::Forked(value) | PushError::Corrupt(value, _) => value,
        }
    }
}

impl<T> SendError<T> {
    /// The message that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Timeout(value)
            | SendError::Closed(value)
            | SendError::Forked(value)
            | SendError::Corrupt(value, _) => value,
        }
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PushError::Full(_) => f.write_str("the ring is full"),
            PushError::Forked(_) => f.write_str(FORKED),
            PushError::Corrupt(_, corrupt) => corrupt.fmt(f),
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Timeout(_) => f.write_str("timed out waiting for space"),
            SendError::Closed(_) => f.write_str("nobody is left to receive"),
            SendError::Forked(_) => f.write_str(FORKED),
            SendError::Corrupt(_, corrupt) => corrupt.fmt(f),
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushError({self})")
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendError({self})")
    }
}

impl<T> std::error::Error for PushError<T> {}
impl<T> std::error::Error for SendError<T> {}

/// What the two endpoints share.
macro_rules! half {
    ($endpoint:ident, $half:ident, $role:expr) => {
        endpoint!([T: Pod], $endpoint<T>, "the number of messages it holds");

        impl<T: Pod> $endpoint<T> {
            /// How many messages the ring holds before it is full.
            pub fn capacity(&self) -> usize {
                self.side.ring().geometry().capacity() as usize
            }
        }

        impl<T: Pod> fmt::Debug for $endpoint<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($endpoint))
                    .field("name", &self.claim.segment().name())
                    .field("capacity", &self.capacity())
                    .field("position", &self.side.position())
                    .finish_non_exhaustive()
            }
        }

        impl<T: Pod> Object for $endpoint<T> {
            const SWEEP: Sweep = sweep;

            fn plan(settings: &Settings) -> Result<Plan, Error> {
                plan::<T>(settings.capacity)
            }

            fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
                let ring = ring_in::<T>(&segment)?;
                // SAFETY: a segment of the kind Spsc was planned with this body.
                let claim = unsafe { Claim::take(segment, $role)? };
                // SAFETY: the role is ours, and `Role::claim` orders its last holder before us.
                let side = unsafe { $half::attach(ring)? };
                Ok($endpoint {
                    side,
                    waiter: Waiter::new(settings.wait),
                    barrier: Barrier::of_this_process(),
                    scratch: (!claim.segment().is_trusted()).then(|| Box::new(T::zeroed())),
                    claim,
                })
            }
        }
    };
}

/// The writing end of a ring.
///
/// Never blocks unless asked to: [`push`](Self::push) and [`reserve`](Self::reserve) answer at once,
/// [`send`](Self::send) waits. There is one producer at a time in all processes together.
pub struct Producer<T: Pod> {
    side: Writer<T>,
    waiter: Waiter,
    barrier: Barrier,
    /// Where a reserved message is written while the peer is not trusted. (Not in the guard: guards are moved.)
    scratch: Option<Box<T>>,
    /// Last, so that the role is given up when nothing of ours touches the ring any more.
    claim: Claim<Header>,
}

/// The reading end of a ring.
///
/// Never blocks unless asked to: [`pop`](Self::pop) and [`peek`](Self::peek) answer at once,
/// [`recv`](Self::recv) waits. There is one consumer at a time in all processes together.
pub struct Consumer<T: Pod> {
    side: Reader<T>,
    waiter: Waiter,
    barrier: Barrier,
    /// Where a message that is peeked at is copied to while the peer is not trusted.
    scratch: Option<Box<T>>,
    /// Last, so that the role is given up when nothing of ours touches the ring any more.
    claim: Claim<Header>,
}

half!(Producer, Writer, Side::Producer);
half!(Consumer, Reader, Side::Consumer);

/// Makes a ring without a name with both its ends in this process, for two threads or to be handed over.
///
/// # Errors
/// As [`Producer::anonymous`].
///
/// ```
/// let (mut tx, mut rx) = ringway::spsc::pair::<u64>(16)?;
/// let sum = std::thread::spawn(move || (0..1000).map(|_| rx.recv().unwrap()).sum::<u64>());
/// for n in 0..1000 {
///     tx.send(n)?;
/// }
/// assert_eq!(sum.join().unwrap(), 499_500);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pair<T: Pod>(capacity: usize) -> Result<(Producer<T>, Consumer<T>), Error> {
    let producer = Producer::anonymous(capacity)?;
    let consumer =
        Consumer::attach(Arc::clone(producer.claim.segment()), &Consumer::<T>::options().settings)?;
    Ok((producer, consumer))
}

fn plan<T>(capacity: Option<usize>) -> Result<Plan, Error> {
    let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    if size == 0 || align > 4096 {
        return Err(Error::BadElement { size, align });
    }
    let asked = capacity.map_or(1, |capacity| capacity as u64);
    let max = (1 << 45) / size.next_power_of_two();
    let geometry =
        Geometry::new(asked).filter(|_| asked <= max).ok_or(Error::BadCapacity { asked, min: 1, max })?;
    Ok(Plan {
        kind: Kind::Spsc,
        element: (size, align),
        capacity: asked,
        variant: 0,
        body_len: size_of::<Body<Header>>() as u64,
        data_len: geometry.slots() * size,
        areas: 1,
    })
}

/// Checks that a segment of the kind Spsc has a geometry we would have given it.
pub(crate) fn check_geometry(found: &layout::Geometry) -> Result<Geometry, Error> {
    let bad = |field, found, expected| Error::BadGeometry { field, found, expected };
    let geometry = Geometry::new(found.capacity)
        .ok_or_else(|| bad("capacity", found.capacity, Geometry::MAX_CAPACITY))?;
    let needed = geometry.slots().saturating_mul(found.element.0);
    if found.areas != 1 || (found.data_len as u64) < needed {
        return Err(bad("data length", (found.data_len * found.areas) as u64, needed));
    }
    Ok(geometry)
}

/// Finds the ring in a segment whose header was made for elements of type `T`.
fn ring_in<T: Pod>(segment: &Segment) -> Result<Ring<T>, Error> {
    let geometry = check_geometry(segment.geometry())?;
    debug_assert_eq!(segment.geometry().element.0, size_of::<T>() as u64);
    let header = segment.body().cast::<Header>();
    let slots = segment.data(0).cast::<Slot<T>>();
    // SAFETY: the body starts with the header and the area holds the slots, both checked above and mapped as
    // long as the segment, which whoever holds this ring holds too. Fresh pages are zero, so initialised.
    Ok(unsafe { Ring::new(header, slots, geometry) })
}

fn sweep(segment: &Segment, index: u16) {
    // SAFETY: this function is the sweep of segments of the kind Spsc only, which have this body.
    unsafe { segment.body_as::<Body<Header>>() }.sweep(index);
}

impl<T: Pod> Producer<T> {
    /// Pushes a message.
    ///
    /// # Errors
    /// [`PushError::Full`] if there is no space now. The message comes back in every error.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        if !self.claim.is_ours() {
            return Err(PushError::Forked(value));
        }
        match self.side.push(value) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(WriteError::Corrupt(corrupt)) => Err(PushError::Corrupt(value, corrupt)),
            Err(_) => Err(PushError::Full(value)),
        }
    }

    /// Pushes as many of `values` as there is space for, all visible at once, and says how many.
    ///
    /// # Errors
    /// As [`push`](Self::push), except that no space is not an error but 0.
    #[inline]
    pub fn push_slice(&mut self, values: &[T]) -> Result<usize, PushError<()>> {
        if !self.claim.is_ours() {
            return Err(PushError::Forked(()));
        }
        if (self.side.claimed() as usize) < values.len() {
            self.side.refresh().map_err(|corrupt| PushError::Corrupt((), corrupt))?;
        }
        let count = values.len().min(self.side.claimed() as usize);
        for (ahead, value) in values[..count].iter().enumerate() {
            self.side.write(ahead as u64, *value);
        }
        if count > 0 {
            self.side.publish(count as u64);
            self.wake();
        }
        Ok(count)
    }

    /// The next slot, to be written in place and committed. `None` if the ring is full, and on every failure
    /// that [`push`](Self::push) would report.
    ///
    /// The slot holds some older message or zeros. Dropping it without [`Reserve::commit`] publishes nothing.
    #[inline]
    pub fn reserve(&mut self) -> Option<Reserve<'_, T>> {
        if !self.claim.is_ours() || self.side.claim().is_err() {
            return None;
        }
        let slot = self.side.slot(0).as_ptr();
        Some(Reserve { producer: self, slot })
    }

    /// Sends a message, waiting for space as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`] if there was a consumer and it is gone. While there has been none yet, this waits.
    #[inline]
    pub fn send(&mut self, value: T) -> Result<(), SendError<T>> {
        self.send_deadline(value, Deadline::NEVER)
    }

    /// Sends a message, waiting at most `timeout` for space.
    ///
    /// # Errors
    /// As [`send`](Self::send), or [`SendError::Timeout`].
    pub fn send_timeout(&mut self, value: T, timeout: Duration) -> Result<(), SendError<T>> {
        match self.push(value) {
            Ok(()) => Ok(()),
            Err(PushError::Full(value)) => self.send_deadline(value, Deadline::after(timeout)),
            Err(PushError::Forked(value)) => Err(SendError::Forked(value)),
            Err(PushError::Corrupt(value, corrupt)) => Err(SendError::Corrupt(value, corrupt)),
        }
    }

    /// Sends a message, waiting until `deadline` for space.
    ///
    /// # Errors
    /// As [`send`](Self::send), or [`SendError::Timeout`].
    #[inline]
    pub fn send_deadline(&mut self, value: T, deadline: Deadline) -> Result<(), SendError<T>> {
        match self.push(value) {
            Ok(()) => Ok(()),
            Err(PushError::Full(value)) => self.send_slowly(value, deadline),
            Err(PushError::Forked(value)) => Err(SendError::Forked(value)),
            Err(PushError::Corrupt(value, corrupt)) => Err(SendError::Corrupt(value, corrupt)),
        }
    }

    fn send_slowly(&mut self, value: T, deadline: Deadline) -> Result<(), SendError<T>> {
        let Producer { side, waiter, barrier, claim, .. } = self;
        let body = claim.body();
        // Whether there is space, or never will be.
        let mut attempt = || match side.claim() {
            Ok(_) => Some(Ok(())),
            Err(WriteError::Corrupt(corrupt)) => Some(Err(SendError::Corrupt(value, corrupt))),
            Err(_) if body.consumer.is_over() => Some(Err(SendError::Closed(value))),
            Err(_) => None,
        };
        let patrol = || {
            let gone = body.consumer.is_over_for_sure(claim.segment());
            gone.then_some(Err(SendError::Closed(value)))
        };
        match waiter.wait(&body.space, *barrier, deadline, &mut attempt, patrol, || false) {
            Ok(Ok(())) => {
                side.write(0, value);
                side.publish(1);
                self.wake();
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(TimedOut) => Err(SendError::Timeout(value)),
        }
    }

    #[inline(always)]
    fn wake(&self) {
        self.claim.body().items.wake(1, self.barrier);
    }

    /// How many messages were in the ring a moment ago.
    ///
    /// The consumer may take messages meanwhile, never add any. So this may be too high at once:
    /// ```
    /// let (mut tx, mut rx) = ringway::spsc::pair::<u8>(4)?;
    /// tx.push(1)?;
    /// let before = tx.len();
    /// rx.pop()?; // perhaps in another process
    /// assert!(tx.len() <= before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    /// but a ring that had space keeps it until this producer pushes:
    /// ```
    /// let (mut tx, rx) = ringway::spsc::pair::<u8>(4)?;
    /// if tx.len() < tx.capacity() {
    ///     tx.push(1)?; // cannot be full
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        count(self.side.ring())
    }

    /// Whether the ring was empty a moment ago; see [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the ring was full a moment ago; see [`len`](Self::len). Once it is not, it stays so until this
    /// producer pushes.
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }
}

/// What lies in the ring by the shared indices, as an onlooker sees it.
fn count<T: Pod>(ring: Ring<T>) -> usize {
    let counts = ring.header().counts();
    counts.written.wrapping_sub(counts.read).min(ring.geometry().capacity()) as usize
}

/// A slot of the ring to be written in place; see [`Producer::reserve`].
#[must_use = "a reserved slot becomes a message only when it is committed"]
pub struct Reserve<'a, T: Pod> {
    producer: &'a mut Producer<T>,
    /// Used only if the peer is trusted.
    slot: *mut T,
}

impl<T: Pod> Reserve<'_, T> {
    /// Publishes the message. In a process forked meanwhile it does nothing.
    #[inline]
    pub fn commit(self) {
        if !self.producer.claim.is_ours() {
            return;
        }
        if let Some(private) = &self.producer.scratch {
            self.producer.side.write(0, **private);
        }
        self.producer.side.publish(1);
        self.producer.wake();
    }
}

impl<T: Pod> Deref for Reserve<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.producer.scratch {
            // SAFETY: the slot is claimed, so ours alone while the producer is borrowed; the handle trusts its
            // peers to keep to that; memory of the mapping is initialised and any bits are a valid Pod.
            None => unsafe { &*self.slot },
            Some(private) => private,
        }
    }
}

impl<T: Pod> DerefMut for Reserve<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.producer.scratch {
            // SAFETY: as in `deref`, and this guard is borrowed exclusively.
            None => unsafe { &mut *self.slot },
            Some(private) => private,
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Reserve<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reserve").field(&**self).finish()
    }
}

impl<T: Pod> Consumer<T> {
    /// Takes the next message.
    ///
    /// # Errors
    /// [`PopError::Empty`] if there is none now.
    #[inline]
    pub fn pop(&mut self) -> Result<T, PopError> {
        if !self.claim.is_ours() {
            return Err(PopError::Forked);
        }
        let value = self.side.pop()?;
        self.wake();
        Ok(value)
    }

    /// Takes as many messages as there are and `values` has room for, gives their slots back at once, and says
    /// how many.
    ///
    /// # Errors
    /// As [`pop`](Self::pop), except that an empty ring is not an error but 0.
    #[inline]
    pub fn pop_slice(&mut self, values: &mut [T]) -> Result<usize, PopError> {
        if !self.claim.is_ours() {
            return Err(PopError::Forked);
        }
        if (self.side.seen() as usize) < values.len() {
            self.side.refresh().map_err(PopError::Corrupt)?;
        }
        let count = values.len().min(self.side.seen() as usize);
        for (ahead, value) in values[..count].iter_mut().enumerate() {
            if let Some(message) = self.side.read(ahead as u64) {
                *value = message;
            }
        }
        if count > 0 {
            self.side.release(count as u64);
            self.wake();
        }
        Ok(count)
    }

    /// The next message, read in place and released when the guard is dropped. `None` if the ring is empty, and
    /// on every failure that [`pop`](Self::pop) would report.
    #[inline]
    pub fn peek(&mut self) -> Option<Peek<'_, T>> {
        if !self.claim.is_ours() || self.side.available().is_err() {
            return None;
        }
        if let Some(private) = &mut self.scratch {
            **private = self.side.read(0)?;
        }
        let slot = self.side.slot(0).as_ptr();
        Some(Peek { consumer: self, slot })
    }

    /// Takes the messages that are there, one after the other, and gives all their slots back at once when the
    /// iterator ends or is dropped. Messages that come meanwhile are taken too; a message not reached stays.
    ///
    /// ```
    /// let (mut tx, mut rx) = ringway::spsc::pair::<u64>(8)?;
    /// tx.push_slice(&[1, 2, 3])?;
    /// assert_eq!(rx.drain().sum::<u64>(), 6);
    /// assert!(rx.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain(&mut self) -> Drain<'_, T> {
        Drain { consumer: self, taken: 0 }
    }

    /// Receives the next message, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if nothing is left and the producer is gone. While there has been no producer yet,
    /// this waits.
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives the next message, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), or [`RecvError::Timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
        match self.pop() {
            Err(PopError::Empty) => self.recv_deadline(Deadline::after(timeout)),
            result => result.map_err(RecvError::from),
        }
    }

    /// Receives the next message, waiting for it until `deadline`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), or [`RecvError::Timeout`].
    #[inline]
    pub fn recv_deadline(&mut self, deadline: Deadline) -> Result<T, RecvError> {
        match self.pop() {
            Err(PopError::Empty) => self.recv_slowly(deadline),
            result => result.map_err(RecvError::from),
        }
    }

    fn recv_slowly(&mut self, deadline: Deadline) -> Result<T, RecvError> {
        let Consumer { side, waiter, barrier, claim, .. } = self;
        let body = claim.body();
        let side = core::cell::RefCell::new(side);
        // Whether a message is there, or never will be.
        let look = || match side.borrow_mut().available() {
            Ok(_) => Some(Ok(())),
            Err(ReadError::Corrupt(corrupt)) => Some(Err(RecvError::Corrupt(corrupt))),
            Err(ReadError::Empty) => None,
        };
        // Who sees that the producer has left sees all it published, but only by looking again.
        let attempt = || {
            look().or_else(|| {
                if body.producer.is_over() { look().or(Some(Err(RecvError::Closed))) } else { None }
            })
        };
        let patrol = || {
            let gone = body.producer.is_over_for_sure(claim.segment());
            if gone { look().or(Some(Err(RecvError::Closed))) } else { None }
        };
        match waiter.wait(&body.items, *barrier, deadline, attempt, patrol, || false) {
            Ok(Ok(())) => self.pop().map_err(RecvError::from),
            Ok(Err(error)) => Err(error),
            Err(TimedOut) => Err(RecvError::Timeout),
        }
    }

    #[inline(always)]
    fn wake(&self) {
        self.claim.body().space.wake(1, self.barrier);
    }

    /// How many messages were in the ring a moment ago.
    ///
    /// The producer may add messages meanwhile, never take any. So this may be too low at once:
    /// ```
    /// let (mut tx, rx) = ringway::spsc::pair::<u8>(4)?;
    /// let before = rx.len();
    /// tx.push(1)?; // perhaps in another process
    /// assert!(rx.len() >= before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    /// but a message that is there stays until this consumer takes it:
    /// ```
    /// let (mut tx, mut rx) = ringway::spsc::pair::<u8>(4)?;
    /// # tx.push(1)?;
    /// if !rx.is_empty() {
    ///     rx.pop()?; // cannot be empty
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        count(self.side.ring())
    }

    /// Whether the ring was empty a moment ago; see [`len`](Self::len). Once it is not, it stays so until this
    /// consumer pops.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the ring was full a moment ago; see [`len`](Self::len).
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }
}

impl From<PopError> for RecvError {
    fn from(error: PopError) -> Self {
        match error {
            PopError::Empty => RecvError::Empty,
            PopError::Forked => RecvError::Forked,
            PopError::Corrupt(corrupt) => RecvError::Corrupt(corrupt),
        }
    }
}

/// A message read in place; see [`Consumer::peek`].
pub struct Peek<'a, T: Pod> {
    consumer: &'a mut Consumer<T>,
    /// Used only if the peer is trusted.
    slot: *const T,
}

impl<T: Pod> Peek<'_, T> {
    /// Leaves the message in the ring: it is the next one again.
    pub fn keep(self) {
        core::mem::forget(self); // the guard holds nothing but borrows and plain data
    }
}

impl<T: Pod> Deref for Peek<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.consumer.scratch {
            // SAFETY: the slot holds a message until it is released, which this guard does on drop; the handle
            // trusts its peers not to write it meanwhile; any bits are a valid Pod.
            None => unsafe { &*self.slot },
            Some(private) => private,
        }
    }
}

impl<T: Pod> Drop for Peek<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.consumer.claim.is_ours() {
            self.consumer.side.release(1);
            self.consumer.wake();
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Peek<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peek").field(&**self).finish()
    }
}

/// An iterator that empties the ring; see [`Consumer::drain`].
#[derive(Debug)]
pub struct Drain<'a, T: Pod> {
    consumer: &'a mut Consumer<T>,
    taken: u64,
}

impl<T: Pod> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let Consumer { side, claim, .. } = &mut *self.consumer;
        if !claim.is_ours() {
            return None;
        }
        if self.taken >= side.seen() && (side.refresh().is_err() || self.taken >= side.seen()) {
            return None;
        }
        let value = side.read(self.taken)?;
        self.taken += 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.consumer.side.seen().saturating_sub(self.taken) as usize, None)
    }
}

impl<T: Pod> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        if self.taken > 0 && self.consumer.claim.is_ours() {
            self.consumer.side.release(self.taken);
            self.consumer.wake();
        }
    }
}

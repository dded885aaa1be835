//! The way of bytes through a queue: small ones in the slot, others in a chunk of the pool.

use super::core::Core;
use super::layout::INLINE;
use super::policy::AT_ONCE;
use crate::channel::{RecvError, SendError};
use crate::error::{Corrupt, Kind};
use crate::pool::{Backing, Chunk, Finder, Kept, Loan, Pool, ReserveError, Tag, Task};
use crate::ring::copy;
use crate::ring::mpmc::{Claim, PopError, PushError};
use crate::segment::Segment;
use crate::sync::Ordering;
use crate::wait::Deadline;
use core::mem::MaybeUninit;

/// The pool as one handle uses it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) pool: Pool,
    finder: Finder,
    /// Whether views of the pool may be lent out.
    pub(super) is_trusting: bool,
    /// Whether small messages need a chunk too, because receivers hold on to them as tasks.
    holds_tasks: bool,
}

/// A message that was received for good. Filled where it stays: it is large enough for moves to cost.
#[derive(Debug)]
pub(super) struct Parcel {
    small: Small,
    /// The message is in a chunk; else in `small`.
    pub(super) chunk: Option<Kept>,
    /// Of a small message.
    len: u8,
    pub(super) deliveries: u8,
    pub(super) id: u64,
}

/// As large as what a slot holds, and aligned so that a copy is a few moves.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
struct Small([u8; INLINE]);

impl Parcel {
    pub(super) const EMPTY: Parcel =
        Parcel { small: Small([0; INLINE]), chunk: None, len: 0, deliveries: 0, id: 0 };

    /// The message, if it does not lie in a chunk.
    #[inline(always)]
    pub(super) fn small(&self) -> &[u8] {
        &self.small.0[..usize::from(self.len)]
    }
}

impl Store {
    pub(super) fn new(pool: Pool, segment: &Segment) -> Self {
        let holds_tasks = matches!(segment.geometry().kind, Kind::JoinableQueue | Kind::TallyQueue);
        Store { pool, finder: Finder::new(), is_trusting: segment.is_trusted(), holds_tasks }
    }

    /// Whether there is memory for a message of that length. Loads only.
    pub(super) fn has_room(&self, len: u64) -> bool {
        usize::try_from(len).is_ok_and(|len| self.is_small(len)) || self.pool.has_room(len)
    }

    /// Whether a message of that length lies in its slot.
    #[inline(always)]
    pub(super) fn is_small(&self, len: usize) -> bool {
        len <= INLINE && !self.holds_tasks
    }
}

/// Where chunks and extents get their file space, and whom to tell when some of it was taken in vain.
struct Space<'a>(&'a Core);

impl Backing for Space<'_> {
    fn reserve(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.0.segment.reserve_tail(at, len)
    }

    fn punch(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.0.segment.punch_tail(at, len)
    }

    fn believes(&self) -> bool {
        self.0.segment.is_trusted()
    }

    fn took_back(&self) {
        self.0.made_room();
    }
}

/// Sending.
impl Core {
    /// Sends a copy of `message`, waiting until `deadline`; without one it does not wait.
    #[inline]
    pub(super) fn send_bytes(&self, message: &[u8], deadline: Option<Deadline>) -> Result<(), SendError> {
        let store = self.store();
        if store.is_small(message.len()) {
            return self.send_when(deadline, |me| self.push_small(me, message));
        }
        // A long copy in vain is worth a look. What can never fit is refused for that, and not for want of space.
        if deadline.is_none() && message.len() > LONG && message.len() as u64 <= store.pool.layout().max_len()
        {
            self.try_send(|_| self.slots.look_for_space())?;
        }
        // A reason apart from the result, so that the loan stays in registers.
        let mut reason = SendError::Full;
        let Some(loan) = self.reserve(message.len() as u64, deadline, &mut reason) else {
            return Err(reason);
        };
        store.pool.copy_in(&loan, 0, message);
        let mut loan = Some(loan);
        match self.send_loan(&mut loan, message.len() as u64, deadline) {
            // Said anew, instead of moved: the error is large.
            Ok(()) => Ok(()),
            Err(error) => {
                self.give_up_unsent(loan);
                Err(error)
            }
        }
    }

    #[cold]
    fn give_up_unsent(&self, loan: Option<Loan>) {
        if let Some(loan) = loan {
            self.give_up(loan);
        }
    }

    #[inline(always)]
    fn send_when<R>(
        &self,
        deadline: Option<Deadline>,
        attempt: impl FnMut(u16) -> Result<R, PushError>,
    ) -> Result<R, SendError> {
        match deadline {
            None => self.try_send(attempt),
            Some(deadline) => self.send(deadline, attempt),
        }
    }

    #[inline(always)]
    fn push_small(&self, me: u16, message: &[u8]) -> Result<(), PushError> {
        let claim = self.slots.claim_open(me, self.barrier)?;
        // Relaxed: the commit orders it.
        self.slots
            .stamp(claim.position.index)
            .tag
            .store(Tag::inline(message.len() as u64).0, Ordering::Relaxed);
        let to = self.slots.content(claim);
        // SAFETY: `is_small`, so it fits the slot, which is ours: its word names us. The message is private memory.
        unsafe { copy::contended(message.as_ptr(), to.as_ptr(), message.len().min(INLINE)) };
        self.slots.commit(claim);
        Ok(())
    }

    /// Takes a chunk for `len` bytes; if there is none, `reason` says why.
    #[inline(always)]
    pub(super) fn reserve(
        &self,
        len: u64,
        deadline: Option<Deadline>,
        reason: &mut SendError,
    ) -> Option<Loan> {
        let store = self.store();
        if let Ok(me) = self.me()
            && let Ok(loan) = store.pool.reserve(me, len, &store.finder, &Space(self))
        {
            return Some(loan);
        }
        self.reserve_late(len, deadline, reason)
    }

    #[cold]
    fn reserve_late(&self, len: u64, deadline: Option<Deadline>, reason: &mut SendError) -> Option<Loan> {
        let store = self.store();
        let attempt = || {
            let reserved = match self.me() {
                Err(error) => return Some(Err(SendError::Attach(error))),
                Ok(me) => store.pool.reserve(me, len, &store.finder, &Space(self)),
            };
            match reserved {
                Ok(loan) => Some(Ok(loan)),
                Err(why) => refused(why).map(Err),
            }
        };
        let reserved = attempt().unwrap_or_else(|| self.reserve_slowly(deadline, attempt));
        if matches!(reserved, Err(SendError::Full)) {
            self.found_no_space(len);
        }
        reserved.map_err(|why| *reason = why).ok()
    }

    /// Sends a loan of which `len` bytes are filled; takes it out of its place if that succeeds.
    #[inline(always)]
    pub(super) fn send_loan(
        &self,
        loan: &mut Option<Loan>,
        len: u64,
        deadline: Option<Deadline>,
    ) -> Result<(), SendError> {
        let pool = &self.store().pool;
        self.send_when(deadline, |me| {
            let claim = self.slots.claim_open(me, self.barrier)?;
            match loan.take() {
                Some(loan) => pool.send(&self.slots, claim, loan, len),
                None => self.slots.give_back(claim),
            }
            Ok(())
        })
    }

    /// Gives a loan back unsent.
    pub(super) fn give_up(&self, loan: Loan) {
        self.store().pool.give_up(loan);
        self.made_room();
    }
}

/// From so many bytes on a copy is worth a look beforehand.
const LONG: usize = 4096;

#[cold]
fn too_long(found: u64, limit: u64) -> RecvError {
    RecvError::Corrupt(Corrupt { field: "length of a large message", found, limit, place: None })
}

/// Messages from peers that are not trusted are believed to be so long without a look.
const BELIEVED: u64 = 1 << 20;

/// What no waiting helps against.
fn refused(why: ReserveError) -> Option<SendError> {
    match why {
        ReserveError::Full => None,
        ReserveError::TooLarge { len, max } => Some(SendError::TooLarge { len, max }),
        ReserveError::NoSpace { needed } => Some(SendError::NoSpace { needed }),
        ReserveError::Refused { errno } => Some(SendError::Os(std::io::Error::from_raw_os_error(errno))),
    }
}

/// Receiving.
impl Core {
    /// Receives by `attempt`, waiting until `deadline`; without one it does not wait.
    #[inline(always)]
    pub(super) fn recv_when<R>(
        &self,
        deadline: Option<Deadline>,
        attempt: impl FnMut(u16) -> Result<R, PopError>,
    ) -> Result<R, RecvError> {
        match deadline {
            None => self.try_recv(attempt),
            Some(deadline) => self.recv(deadline, attempt),
        }
    }

    /// Takes the slot of the next message.
    #[inline(always)]
    fn take_slot(&self, me: u16) -> Result<Claim, PopError> {
        match self.slots.take_orphan(me, |owner| self.is_dead(owner)) {
            Some(claim) => Ok(claim),
            None => self.slots.take_next(me),
        }
    }

    /// Takes one message out for good.
    #[inline(always)]
    pub(super) fn pop_parcel(&self, me: u16, parcel: &mut Parcel) -> Result<(), PopError> {
        for _ in 0..AT_ONCE {
            let claim = self.take_slot(me)?;
            parcel.id = claim.position.number(self.slots.geometry().capacity());
            parcel.deliveries = claim.word.deliveries();
            if let Err(why) = self.unpack(claim, me, parcel) {
                return Err(self.passed_over(why.at(claim.position.index)));
            }
            if !self.policy.gives_up(parcel.deliveries, self.body(), |letters| self.post(letters, parcel)) {
                return Ok(());
            }
            if let Some(kept) = parcel.chunk.take() {
                self.free(kept);
            }
            self.freed(1);
        }
        Err(PopError::Contended)
    }

    /// Takes the message out of a slot that was taken, and frees the slot.
    #[inline(always)]
    fn unpack(&self, claim: Claim, me: u16, parcel: &mut Parcel) -> Result<(), Corrupt> {
        let pool = &self.store().pool;
        let tag = pool.tag(&self.slots, claim);
        if tag.is_inline() {
            parcel.len = self.read_small(claim, tag, &mut parcel.small)?;
        } else {
            parcel.chunk = Some(pool.receive_kept(&self.slots, claim, me)?);
        }
        Ok(())
    }

    /// Puts a copy of a message among the dead letters, if there is space.
    fn post(&self, letters: &Core, parcel: &Parcel) -> bool {
        let mut copy = Vec::new();
        let bytes = match &parcel.chunk {
            None => parcel.small(),
            Some(kept) => {
                if self.copy_kept(kept, &mut copy).is_err() {
                    return false;
                }
                &copy
            }
        };
        letters.send_bytes(bytes, None).is_ok()
    }

    /// Takes one message out to work on it: one that came back before one that is new.
    #[inline(always)]
    pub(super) fn pop_task(&self, me: u16) -> Result<Task, PopError> {
        let pool = &self.store().pool;
        if let Some(task) = pool.take_orphan(me).map_err(|why| self.passed_over(why))? {
            return Ok(task);
        }
        let claim = self.take_slot(me)?;
        let task = pool.receive_task(&self.slots, claim, me);
        task.map_err(|why| self.passed_over(why.at(claim.position.index)))
    }

    /// A false message was taken out of its slot, which is free for the next one.
    #[cold]
    fn passed_over(&self, why: Corrupt) -> PopError {
        self.freed(1);
        self.made_room();
        self.finished();
        PopError::Corrupt(why)
    }

    /// Copies a small message out of a slot that was taken, and frees the slot.
    #[inline(always)]
    fn read_small(&self, claim: Claim, tag: Tag, small: &mut Small) -> Result<u8, Corrupt> {
        let len = tag.len();
        if len > INLINE as u64 {
            self.slots.free(claim);
            let (field, limit) = ("length of the message in slot", INLINE as u64);
            return Err(Corrupt { field, found: len, limit, place: None });
        }
        let from = self.slots.content(claim);
        // The whole of it: a copy of fixed length is a few moves.
        // SAFETY: a slot has that many bytes, and is ours: its word names us. A process that breaks that rule makes the
        // bytes wrong, no more.
        unsafe { copy::contended(from.as_ptr(), small.0.as_mut_ptr(), INLINE) };
        self.slots.free(claim);
        Ok(len as u8)
    }
}

/// Copying and freeing.
impl Core {
    /// Receives a message into `buffer`, whose content it replaces.
    #[inline]
    pub(super) fn recv_bytes(
        &self,
        buffer: &mut Vec<u8>,
        deadline: Option<Deadline>,
    ) -> Result<usize, RecvError> {
        let mut parcel = Parcel::EMPTY;
        self.recv_when(deadline, |me| self.pop_parcel(me, &mut parcel))?;
        match parcel.chunk {
            Some(kept) => self.copy_and_free(kept, buffer)?,
            None => {
                // All of it, and then only so much of that: a copy of fixed length is a few moves.
                buffer.clear();
                buffer.extend_from_slice(&parcel.small.0);
                buffer.truncate(parcel.len.into());
            }
        }
        Ok(buffer.len())
    }

    /// Replaces the content of `buffer` by that of a message, and frees its chunk.
    pub(super) fn copy_and_free(&self, kept: Kept, buffer: &mut Vec<u8>) -> Result<(), RecvError> {
        let copied = self.copy_kept(&kept, buffer);
        self.free(kept);
        copied
    }

    fn copy_kept(&self, kept: &Kept, buffer: &mut Vec<u8>) -> Result<(), RecvError> {
        self.copy(kept.chunk(), kept.len(), buffer, |out| self.store().pool.copy_kept(kept, 0, out))
    }

    /// Replaces the content of `buffer` by that of a task.
    pub(super) fn copy_task(&self, task: &Task, buffer: &mut Vec<u8>) -> Result<(), RecvError> {
        self.copy(task.chunk(), task.len(), buffer, |out| self.store().pool.copy_task(task, 0, out))
    }

    /// Replaces the content of `buffer` by the `len` bytes in `chunk`. `copy_out` copies through the mapping and says how
    /// many there were.
    fn copy(
        &self,
        chunk: Chunk,
        len: u64,
        buffer: &mut Vec<u8>,
        copy_out: impl FnOnce(&mut [MaybeUninit<u8>]) -> usize,
    ) -> Result<(), RecvError> {
        let is_trusting = self.store().is_trusting;
        if !is_trusting && len > BELIEVED {
            self.check_there_is_so_much(len)?;
        }
        let wanted = usize::try_from(len).unwrap_or(usize::MAX);
        if buffer.capacity() < wanted {
            let mut larger = Vec::new();
            larger.try_reserve(wanted).map_err(|_| RecvError::NoMemory { needed: len })?;
            *buffer = larger;
        }
        buffer.clear();
        let out = &mut buffer.spare_capacity_mut()[..wanted];
        let copied = match self.store().pool.place_in_tail(chunk) {
            // What a peer says is reserved may be a hole.
            Some(at) if !is_trusting && !self.makes_certain(chunk) => {
                self.segment.read_tail(at, out).unwrap_or(0)
            }
            _ => copy_out(out),
        };
        let copied = copied.min(wanted);
        // SAFETY: so many bytes of the spare capacity were initialised, as the pool and the system promise of their copies.
        unsafe { buffer.set_len(copied) };
        if copied < wanted {
            return Err(too_long(len, copied as u64));
        }
        Ok(())
    }

    /// See [`Pool::makes_certain`].
    fn makes_certain(&self, chunk: Chunk) -> bool {
        let store = self.store();
        store.pool.makes_certain(chunk, &store.finder, &Space(self))
    }

    /// A peer can write down any length, but for one message we take no more memory than the whole segment has.
    #[cold]
    fn check_there_is_so_much(&self, len: u64) -> Result<(), RecvError> {
        let limit = self.segment.allocated().unwrap_or(0);
        if len <= limit { Ok(()) } else { Err(too_long(len, limit)) }
    }

    /// Frees a message that was received for good.
    #[inline(always)]
    pub(super) fn free(&self, kept: Kept) {
        self.store().pool.free(kept);
        self.made_room();
    }

    /// Gives the space of unused extents back.
    pub(super) fn trim(&self) -> u64 {
        self.me().map_or(0, |me| self.store().pool.trim(me, &Space(self)))
    }
}

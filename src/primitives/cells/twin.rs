//! Bytes that lie there twice, so that they change as a whole.

use super::super::holding::Words;
use super::super::site::Site;
use super::super::waiting::Attachment;
use super::error::CellError;
use crate::error::Corrupt;
use crate::lock::{Gate, Held, Journal, LockFailed, Stretch, Unread, Unwritten, Version};
use crate::options::Settings;
use crate::sync::{copy_in, copy_out, copy_within};
use crate::wait::{Barrier, Deadline, Wait};
use core::mem::size_of;
use core::ptr::NonNull;
use core::time::Duration;
use std::sync::Arc;

/// The words in front of bytes that change as a whole, as they lie in their block.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Body {
    /// The lock for whoever asks for it.
    pub(crate) words: Words,
    pub(crate) ledger: Ledger,
}

/// Who writes, and what.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Held by who writes: for the time of two copies, and never while a user's code runs.
    pub(crate) gate: Gate,
    pub(crate) journal: Journal,
}

pub(super) const BODY: usize = size_of::<Body>();
const _: () = assert!(size_of::<Ledger>() == 56 && BODY == 112);

/// A handle to such bytes.
#[derive(Debug)]
pub(super) struct Twin {
    attachment: Arc<Attachment>,
    ledger: NonNull<Ledger>,
    /// Where the bytes are, and where the new ones come first: both at multiples of eight.
    main: NonNull<u8>,
    log: NonNull<u8>,
    len: usize,
    /// How long to wait for a writer who is alive.
    patience: Duration,
}

// SAFETY: the addresses are of memory that `attachment` keeps mapped, and that is accessed by atomics only.
unsafe impl Send for Twin {}
// SAFETY: as above.
unsafe impl Sync for Twin {}

impl Twin {
    /// The bytes of an object.
    ///
    /// # Safety
    /// The object at `site` begins with a [`Body`], and has `len` bytes each at `main` and at `log`, both at multiples of
    /// eight and apart from each other.
    pub(super) unsafe fn new(
        site: Site,
        settings: &Settings,
        main: NonNull<u8>,
        log: NonNull<u8>,
        len: usize,
    ) -> Arc<Self> {
        // SAFETY: the caller's promise; all of it is atomic.
        let ledger = NonNull::from(&unsafe { site.body::<Body>() }.ledger);
        let attachment = Attachment::new(site, settings.wait);
        Arc::new(Twin { attachment, ledger, main, log, len, patience: settings.write_timeout })
    }

    /// Another handle to the same bytes, which waits in another way.
    pub(super) fn with_wait(&self, wait: Wait) -> Arc<Self> {
        Arc::new(Twin { attachment: self.attachment.with_wait(wait), ..*self })
    }

    #[inline(always)]
    fn ledger(&self) -> &Ledger {
        // SAFETY: in the block of the attachment's site, which is mapped as long as this lives; all of it is atomic.
        unsafe { self.ledger.as_ref() }
    }

    #[inline(always)]
    fn limit(&self) -> u64 {
        self.len as u64
    }

    /// Where the bytes are. Changed there directly, they do not change as a whole.
    #[inline(always)]
    pub(super) fn main(&self) -> NonNull<u8> {
        self.main
    }

    /// Whether the bytes at [`main`](Self::main) are not all of the value just now. If so because a writer died, it is put
    /// right; others are soon done.
    #[inline(always)]
    pub(super) fn is_open(&self) -> bool {
        self.ledger().journal.is_open() && self.is_open_still()
    }

    #[cold]
    #[inline(never)]
    fn is_open_still(&self) -> bool {
        let Ok(member) = self.attachment.site.member() else { return true };
        let gate = &self.ledger().gate;
        let dead = |index| self.attachment.site.is_dead(index);
        let held = gate.try_lock(member.index()).ok().or_else(|| gate.take_from_dead(member.index(), dead));
        if let Some(held) = held {
            // What nonsense it was, whoever reads or writes is told.
            let settled = self.ledger().journal.settle(self.limit(), |stretch| self.apply(stretch));
            self.give_back(held, settled.is_ok());
        }
        self.ledger().journal.is_open()
    }

    /// Copies `len` bytes, from `at` on, to `to`: as they were at one moment, as far as [`write`](Self::write) changed them.
    ///
    /// # Errors
    /// [`CellError::Timeout`], [`CellError::Corrupt`], [`CellError::Attach`]; then the copy is worth nothing.
    ///
    /// # Safety
    /// So many bytes are there, and at `to` they are the caller's to write.
    #[inline]
    pub(super) unsafe fn read(&self, at: usize, len: usize, to: *mut u8) -> Result<Version, CellError> {
        debug_assert!(at + len <= self.len);
        // SAFETY: the caller's promise, and the stretch was checked against our length.
        let copy = |stretch: Option<Stretch>| unsafe { self.copy(at, len, to, stretch) };
        match self.ledger().journal.try_read(self.limit(), copy) {
            Ok(version) => Ok(version),
            // SAFETY: the caller's promise.
            Err(_) => unsafe { self.read_slowly(at, len, to) },
        }
    }

    /// Tries again; if each try is overtaken, waits for the writers' lock, or until a try succeeds meanwhile.
    ///
    /// # Safety
    /// As for [`read`](Self::read).
    #[cold]
    #[inline(never)]
    unsafe fn read_slowly(&self, at: usize, len: usize, to: *mut u8) -> Result<Version, CellError> {
        // SAFETY: the caller's promise, and the stretch was checked against our length.
        let copy = |stretch: Option<Stretch>| unsafe { self.copy(at, len, to, stretch) };
        let journal = &self.ledger().journal;
        match journal.read(self.limit(), copy) {
            Err(Unread::Overtaken) => {}
            done => return done.map_err(|why| self.unread(why)),
        }
        let meanwhile = || match journal.try_read(self.limit(), copy) {
            Err(Unread::Overtaken) => None,
            done => Some(done),
        };
        let held = match self.lock(meanwhile)? {
            Ok(held) => held,
            Err(done) => return done.map_err(|why| self.unread(why)),
        };
        let settled = journal.settle(self.limit(), |stretch| self.apply(stretch));
        if settled.is_ok() {
            copy(None);
        }
        self.give_back(held, settled.is_ok());
        settled.map_err(|stretch| self.nonsense(stretch))
    }

    /// Replaces bytes, from `at` on, as a whole; if `expected` is given, only if nothing was written since that version.
    ///
    /// # Errors
    /// [`CellError::Overtaken`]; else as [`read`](Self::read). Nothing was written.
    pub(super) fn write(&self, at: usize, from: &[u8], expected: Option<Version>) -> Result<(), CellError> {
        assert!(at.checked_add(from.len()).is_some_and(|end| end <= self.len), "the caller has checked it");
        if from.is_empty() {
            return Ok(());
        }
        let held = match self.try_lock_simply() {
            Some(held) => held,
            None => match self.lock(|| None::<core::convert::Infallible>)? {
                Ok(held) => held,
                Err(never) => match never {},
            },
        };
        let stretch = Stretch { at: at as u64, len: from.len() as u64 };
        let log = || {
            let to = self.log.as_ptr().wrapping_add(at);
            // SAFETY: inside, as was just checked; and shared memory is accessed by atomics.
            unsafe { copy_in(from.as_ptr(), to, from.len()) };
        };
        let apply = |stretch| self.apply(stretch);
        let written = self.ledger().journal.write(stretch, self.limit(), expected, log, apply);
        self.give_back(held, !matches!(written, Err(Unwritten::Nonsense(_))));
        written.map_err(|why| match why {
            Unwritten::Overtaken => CellError::Overtaken,
            Unwritten::Nonsense(stretch) => self.nonsense(stretch),
        })
    }

    /// # Safety
    /// As for [`read`](Self::read), and `stretch` ends within our length.
    #[inline(always)]
    unsafe fn copy(&self, at: usize, len: usize, to: *mut u8, stretch: Option<Stretch>) {
        let main = self.main.as_ptr().wrapping_add(at);
        // SAFETY: inside, and `to` is good, by the caller's promise; shared memory is accessed by atomics.
        unsafe { copy_out(main, to, len) };
        let Some(stretch) = stretch else { return };
        let (first, last) = (stretch.at as usize, (stretch.at + stretch.len) as usize);
        let (first, last) = (first.max(at), last.min(at + len));
        if first < last {
            let log = self.log.as_ptr().wrapping_add(first);
            // SAFETY: a part of both the stretch and what is asked for, so it is inside on either side.
            unsafe { copy_out(log, to.wrapping_add(first - at), last - first) };
        }
    }

    /// Copies a stretch that was checked against our length from the log to its place.
    fn apply(&self, stretch: Stretch) {
        let (at, len) = (stretch.at as usize, stretch.len as usize);
        let (from, to) = (self.log.as_ptr().wrapping_add(at), self.main.as_ptr().wrapping_add(at));
        // SAFETY: inside both, which are multiples of eight apart; shared memory is accessed by atomics.
        unsafe { copy_within(from, to, len) };
    }

    #[inline]
    fn try_lock_simply(&self) -> Option<Held> {
        let member = self.attachment.site.member_if_known()?;
        self.ledger().gate.word().try_lock_whole(member.index())
    }

    /// Takes the writers' lock, if need be from a dead one, unless `meanwhile` has something first.
    #[cold]
    fn lock<R>(&self, meanwhile: impl FnMut() -> Option<R>) -> Result<Result<Held, R>, CellError> {
        let Attachment { site, barrier, learnt, .. } = &*self.attachment;
        let member = site.member().map_err(CellError::Attach)?;
        let gate = &self.ledger().gate;
        let dead = |index| site.is_dead(index);
        let deadline = Deadline::after(self.patience);
        let wait = |waiter: &mut _| gate.lock(member.index(), waiter, *barrier, deadline, dead, meanwhile);
        match learnt.use_for(wait) {
            Ok(held) => Ok(Ok(held)),
            Err(LockFailed::Interrupted(what)) => Ok(Err(what)),
            Err(LockFailed::Corrupt(found)) => Err(self.corrupt("the writers' lock", found, 0)),
            Err(LockFailed::TimedOut) => Err(CellError::Timeout),
            // Nobody honest gives it up.
            Err(LockFailed::NotRecoverable) => {
                Err(self.corrupt("the writers' lock", gate.word().read().to_bits(), 0))
            }
        }
    }

    #[inline]
    fn give_back(&self, held: Held, is_settled: bool) {
        let (gate, barrier): (_, Barrier) = (&self.ledger().gate, self.attachment.barrier);
        let held = if held.inconsistent() && is_settled { gate.recovered(held) } else { held };
        gate.unlock(held, barrier);
    }

    #[cold]
    fn unread(&self, why: Unread) -> CellError {
        match why {
            Unread::Overtaken => CellError::Overtaken,
            Unread::Nonsense(stretch) => self.nonsense(stretch),
        }
    }

    #[cold]
    fn nonsense(&self, Stretch { at, len }: Stretch) -> CellError {
        self.corrupt("the end of the last write", at.saturating_add(len), self.limit())
    }

    #[cold]
    fn corrupt(&self, field: &'static str, found: u64, limit: u64) -> CellError {
        CellError::Corrupt(Corrupt { field, found, limit, place: None })
    }
}

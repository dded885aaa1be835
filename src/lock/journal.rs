//! The journal: a stretch of bytes that changes as a whole, whoever dies while he changes it.
//!
//! Pure: it neither copies, nor waits, nor asks who is alive. Who writes holds a lock, and a dead one's lock goes to the
//! next.

use crate::sync::{AtomicU64, Ordering, fence, mutated, order, spin_loop};

/// What lies beside two copies of the same bytes: `main`, which always has the value, or is about to have it, and `log`, into
/// which whoever writes puts the new bytes first. All-zero bytes are a new one.
///
/// ```text
/// seq     moved by                                     to
/// ------  -------------------------------------------  -----------------------------------------------
/// even    the holder of the lock, when `log` has all   odd: from here on the write exists
/// odd     the holder of the lock, when `main` has all  even
///         a later holder, who has finished the job
/// ```
///
/// - While `seq` is even, `main` is the value, and readers do not look at anything else. While it is odd, `log` is the value
///   of the stretch `at..at + len`, and `main` that of the rest.
/// - A reader who finds `seq` unchanged after he has copied has the value of one moment.
/// - Who dies before `seq` is odd has written nothing. Who dies after it has written all: readers see it at once, and the
///   next holder of the lock copies the stretch into `main`, as often as it takes.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Journal {
    seq: AtomicU64,
    /// Where the stretch of the last write begins.
    at: AtomicU64,
    /// How long it is.
    len: AtomicU64,
}

/// Which bytes a write changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) at: u64,
    pub(crate) len: u64,
}

impl Stretch {
    /// Whether it ends within `limit` bytes.
    fn fits(self, limit: u64) -> bool {
        self.at.checked_add(self.len).is_some_and(|end| end <= limit)
    }
}

/// What a value is the result of: the number of writes, twice. Two reads of the same version have the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version(u64);

impl Version {
    /// How many writes it is the result of.
    #[cfg(loom)]
    pub(crate) fn writes(self) -> u64 {
        self.0 / 2
    }
}

/// Why there is no copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// There was a write during each try.
    Overtaken,
    /// No honest process leaves such a stretch.
    Nonsense(Stretch),
}

/// Why nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwritten {
    /// There is another version by now.
    Overtaken,
    /// No honest process leaves such a stretch.
    Nonsense(Stretch),
}

/// So often a reader copies before he asks for the lock.
const PATIENCE: u32 = if cfg!(loom) { 2 } else { 16 };

impl Journal {
    /// A new one.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Journal { seq: AtomicU64::new(0), at: AtomicU64::new(0), len: AtomicU64::new(0) }
    }

    /// Whether `log` is part of the value now.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        // Acquire: as in `try_read`.
        is_odd(self.seq.load(order!(Acquire, "journal.look")))
    }

    /// How many writes there were.
    pub(crate) fn writes(&self) -> u64 {
        // Relaxed: a figure for onlookers.
        self.seq.load(Ordering::Relaxed).div_ceil(2)
    }

    /// Copies the value, trying several times. `copy` copies what the caller wants of `main`, and then, over it, what of it
    /// lies in the stretch of `log` that it is given; that ends within `limit` bytes.
    ///
    /// # Errors
    /// [`Unread`]: what `copy` last made is worth nothing.
    #[inline]
    pub(crate) fn read(&self, limit: u64, mut copy: impl FnMut(Option<Stretch>)) -> Result<Version, Unread> {
        for _ in 0..PATIENCE {
            match self.try_read(limit, &mut copy) {
                Err(Unread::Overtaken) => spin_loop(),
                done => return done,
            }
        }
        Err(Unread::Overtaken)
    }

    /// The same by a single try.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub(crate) fn try_read(&self, limit: u64, copy: impl FnOnce(Option<Stretch>)) -> Result<Version, Unread> {
        // Acquire: pairs with the Release of `commit`, so that `log` has all of the stretch, and with that of `applied`, so
        // that `main` has.
        let seq = self.seq.load(order!(Acquire, "journal.look"));
        // Relaxed: as what is copied, it counts only if `seq` stays.
        let stretch = is_odd(seq).then(|| self.stretch());
        let sane = stretch.is_none_or(|stretch| stretch.fits(limit));
        if sane {
            copy(stretch);
        }
        // Acquire: pairs with the Release fences in `write`. Who has copied a byte that was written after one of them sees
        // here that `seq` has moved before it.
        if !mutated!("journal.recheck_fence") {
            fence(Ordering::Acquire);
        }
        if self.seq.load(Ordering::Relaxed) != seq && !mutated!("journal.recheck") {
            return Err(Unread::Overtaken);
        }
        match stretch {
            Some(stretch) if !sane => Err(Unread::Nonsense(stretch)),
            _ => Ok(version(seq)),
        }
    }

    /// Ends what a dead holder of the lock may have begun. `apply` copies a stretch from `log` to `main`. Only for who holds
    /// the lock.
    ///
    /// # Errors
    /// A stretch that does not end within `limit` bytes.
    #[inline]
    pub(crate) fn settle(&self, limit: u64, apply: impl FnOnce(Stretch)) -> Result<Version, Stretch> {
        // Relaxed: the lock orders all that its former holders did.
        let seq = self.seq.load(Ordering::Relaxed);
        if is_odd(seq) && !mutated!("journal.settle") {
            self.finish(seq, limit, apply)?;
        }
        Ok(version(seq))
    }

    #[cold]
    fn finish(&self, seq: u64, limit: u64, apply: impl FnOnce(Stretch)) -> Result<(), Stretch> {
        let stretch = self.stretch();
        if !stretch.fits(limit) {
            return Err(stretch);
        }
        // Release: as in `write`, for those who looked before the dead one's commit.
        if !mutated!("journal.finish_fence") {
            fence(Ordering::Release);
        }
        apply(stretch);
        self.applied(seq.wrapping_add(1));
        Ok(())
    }

    /// Changes the bytes of `stretch`: `log` copies the new ones into the log, `apply` copies a stretch from there to `main`.
    /// If `expected` is given, only if the value is still of that version. Only for who holds the lock.
    ///
    /// # Errors
    /// [`Unwritten`].
    #[inline]
    pub(crate) fn write(
        &self,
        stretch: Stretch,
        limit: u64,
        expected: Option<Version>,
        log: impl FnOnce(),
        apply: impl Fn(Stretch),
    ) -> Result<(), Unwritten> {
        debug_assert!(stretch.fits(limit), "the caller's own stretch");
        let Version(seq) = self.settle(limit, &apply).map_err(Unwritten::Nonsense)?;
        if expected.is_some_and(|expected| expected != Version(seq)) && !mutated!("journal.expected") {
            return Err(Unwritten::Overtaken);
        }
        // Release: pairs with the Acquire fence of a reader who still copies from `log` what the write before this one put
        // there: he sees that `seq` has moved since.
        if !mutated!("journal.log_fence") {
            fence(Ordering::Release);
        }
        // Relaxed: they are part of what the commit publishes.
        self.at.store(stretch.at, Ordering::Relaxed);
        self.len.store(stretch.len, Ordering::Relaxed);
        if mutated!("journal.log_first") {
            self.commit(seq);
            log();
        } else {
            log();
            self.commit(seq);
        }
        // Release: pairs with the Acquire fence of a reader who copies from `main` because he looked before the commit: if
        // he has one of the bytes that follow, he sees the commit as well.
        if !mutated!("journal.apply_fence") {
            fence(Ordering::Release);
        }
        apply(stretch);
        self.applied(seq.wrapping_add(2));
        Ok(())
    }

    /// From here on the write exists.
    #[inline(always)]
    fn commit(&self, seq: u64) {
        // Release: pairs with the Acquire in `try_read`, which then finds the stretch and its bytes in `log`.
        self.seq.store(seq.wrapping_add(1), order!(Release, "journal.commit"));
    }

    /// `main` has all; `seq` is the even number that says so.
    #[inline(always)]
    fn applied(&self, seq: u64) {
        // Release: pairs with the Acquire in `try_read`, which then finds the bytes in `main`.
        self.seq.store(seq, order!(Release, "journal.applied"));
    }

    fn stretch(&self) -> Stretch {
        Stretch { at: self.at.load(Ordering::Relaxed), len: self.len.load(Ordering::Relaxed) }
    }
}

fn is_odd(seq: u64) -> bool {
    seq & 1 != 0
}

/// A write that exists counts, whether or not it was applied.
fn version(seq: u64) -> Version {
    Version(seq.wrapping_add(seq & 1))
}

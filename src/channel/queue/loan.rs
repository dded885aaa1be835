//! Shared memory that is being written to become a message.

use super::core::Core;
use crate::channel::SendError;
use crate::pool;
use crate::wait::Deadline;
use core::fmt;
use core::ops::{Deref, DerefMut};

/// Shared memory for a message, to be written in place; see [`Queue::reserve`](crate::Queue::reserve).
///
/// Dropping it sends nothing and gives the memory back. One that is [forgotten](core::mem::forget) is given back when
/// this process ends. In a process forked meanwhile it is empty, and cannot be committed.
#[must_use = "reserved memory becomes a message only when it is committed"]
pub struct Loan<'q> {
    core: &'q Core,
    loan: Option<pool::Loan>,
    /// Where the message is written while the peers are not trusted; else empty.
    private: Vec<u8>,
    len: usize,
    generation: u64,
}

/// A loan that was not sent, and why; see [`Loan::commit_deadline`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Uncommitted<'q> {
    /// The loan, as it was.
    pub loan: Loan<'q>,
    /// Why it was not sent.
    pub error: SendError,
}

impl fmt::Display for Uncommitted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Uncommitted<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<'q> Loan<'q> {
    #[inline(always)]
    pub(super) fn reserve(core: &'q Core, len: usize, deadline: Option<Deadline>) -> Result<Self, SendError> {
        let mut reason = SendError::Full;
        let loan = core.reserve(len as u64, deadline, &mut reason);
        if loan.is_none() {
            return Err(reason);
        }
        let mut loan =
            Loan { core, loan, private: Vec::new(), len, generation: core.segment.generation().current() };
        if !core.store().is_trusting {
            loan.private.resize(len, 0);
        }
        Ok(loan)
    }

    /// Makes the message shorter: only its first `len` bytes will be sent. Longer it does not get.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Sends it, waiting for a place in the queue as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`]; the memory is given back. [`SendError::Forked`] in a process forked meanwhile.
    #[inline]
    pub fn commit(mut self) -> Result<(), SendError> {
        match self.try_commit(Some(Deadline::NEVER)) {
            // Said anew, instead of moved: the error is large.
            Ok(()) => Ok(()),
            refused => refused,
        }
    }

    /// The same, waiting until `deadline`; with [`Deadline::NOW`] not at all.
    ///
    /// # Errors
    /// [`Uncommitted`], with the loan as it was: [`SendError::Timeout`] ([`SendError::Full`] for [`Deadline::NOW`]),
    /// [`SendError::Closed`], [`SendError::Forked`].
    pub fn commit_deadline(mut self, deadline: Deadline) -> Result<(), Uncommitted<'q>> {
        match self.try_commit((deadline != Deadline::NOW).then_some(deadline)) {
            Ok(()) => Ok(()),
            Err(error) => Err(Uncommitted { loan: self, error }),
        }
    }

    #[inline(always)]
    fn try_commit(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        if !self.is_ours() {
            return Err(SendError::Forked);
        }
        if let Some(loan) = &self.loan
            && !self.private.is_empty()
        {
            self.core.store().pool.copy_in(loan, 0, &self.private[..self.len]);
        }
        self.core.send_loan(&mut self.loan, self.len as u64, deadline)
    }

    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.core.segment.generation().is(self.generation)
    }

    /// Where the bytes are, if they may be touched: they are ours, and the peers are trusted.
    #[inline(always)]
    fn shared(&self) -> Option<*mut u8> {
        let loan = self.loan.as_ref().filter(|_| self.is_ours())?;
        Some(self.core.store().pool.address(loan.chunk()).as_ptr())
    }
}

impl Deref for Loan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if !self.private.is_empty() {
            return &self.private[..self.len];
        }
        match self.shared() {
            // SAFETY: `len` bytes were reserved there; a mapping is initialised. They are ours alone: the chunk's word names
            // us, this guard is all that there is of it here, and the peers are trusted to keep to that.
            Some(start) => unsafe { core::slice::from_raw_parts(start, self.len) },
            None => &[],
        }
    }
}

impl DerefMut for Loan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if !self.private.is_empty() {
            return &mut self.private[..self.len];
        }
        match self.shared() {
            // SAFETY: as in `deref`, and this guard is borrowed exclusively.
            Some(start) => unsafe { core::slice::from_raw_parts_mut(start, self.len) },
            None => &mut [],
        }
    }
}

impl Drop for Loan<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take()
            && self.is_ours()
        {
            self.core.give_up(loan);
        }
    }
}

impl fmt::Debug for Loan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("len", &self.len).finish_non_exhaustive()
    }
}

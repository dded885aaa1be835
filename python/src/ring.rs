//! The two kinds of queues: one that counts what is done, and one that does not.

use ringway::queue::{Loan, Message};
use ringway::{Deadline, Error, Queue, RecvError, SendError, TallyQueue};
use std::os::fd::{AsFd, BorrowedFd};

/// A queue of bytes.
#[derive(Clone)]
pub(crate) enum Ring {
    Plain(Queue<[u8]>),
    Tally(TallyQueue),
}

/// The same call of either kind.
macro_rules! of_either {
    ($ring:expr, $queue:ident => $call:expr) => {
        match $ring {
            Ring::Plain($queue) => $call,
            Ring::Tally($queue) => $call,
        }
    };
}

impl Ring {
    #[inline]
    pub(crate) fn try_send(&self, message: &[u8]) -> Result<(), SendError> {
        of_either!(self, queue => queue.try_send(message))
    }

    pub(crate) fn send_deadline(&self, message: &[u8], until: Deadline) -> Result<(), SendError> {
        of_either!(self, queue => queue.send_deadline(message, until))
    }

    #[inline]
    pub(crate) fn try_reserve(&self, length: usize) -> Result<Loan<'_>, SendError> {
        of_either!(self, queue => queue.try_reserve(length))
    }

    pub(crate) fn reserve_deadline(&self, length: usize, until: Deadline) -> Result<Loan<'_>, SendError> {
        of_either!(self, queue => queue.reserve_deadline(length, until))
    }

    #[inline]
    pub(crate) fn try_recv(&self) -> Result<Message<'_>, RecvError> {
        of_either!(self, queue => queue.try_recv())
    }

    pub(crate) fn recv_deadline(&self, until: Deadline) -> Result<Message<'_>, RecvError> {
        of_either!(self, queue => queue.recv_deadline(until))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        of_either!(self, queue => queue.len())
    }

    pub(crate) fn capacity(&self) -> usize {
        of_either!(self, queue => queue.capacity())
    }

    pub(crate) fn close(&self) -> bool {
        of_either!(self, queue => queue.close())
    }

    pub(crate) fn is_closed(&self) -> bool {
        of_either!(self, queue => queue.is_closed())
    }

    pub(crate) fn readiness(&self) -> Result<BorrowedFd<'_>, Error> {
        of_either!(self, queue => queue.readiness())
    }

    pub(crate) fn unlink(&self) -> Result<(), Error> {
        of_either!(self, queue => queue.unlink())
    }

    pub(crate) fn memory(&self) -> BorrowedFd<'_> {
        of_either!(self, queue => queue.as_fd())
    }

    /// Counts a message that has no room yet, if messages are counted. `false` if it cannot be.
    pub(crate) fn promise(&self) -> bool {
        self.tally().is_none_or(|queue| queue.promise().unwrap_or(false))
    }

    /// A message that was promised has been sent, or never will be.
    pub(crate) fn redeem(&self) {
        if let Some(queue) = self.tally() {
            // Only in a child that cannot take part, which has promised nothing.
            let _ = queue.redeem();
        }
    }

    /// The one that counts.
    pub(crate) fn tally(&self) -> Option<&TallyQueue> {
        match self {
            Ring::Plain(_) => None,
            Ring::Tally(queue) => Some(queue),
        }
    }
}

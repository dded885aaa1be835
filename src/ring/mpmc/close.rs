//! The end of a queue: nobody sends any more, what is there can still be received.
//!
//! ```text
//! OPEN ──begin──> CLOSING ──(heavy barrier)──> CLOSED       anybody who meets CLOSING finishes it
//! ```
//!
//! A sender looks at the state *after* it has claimed a slot. Between the two stands the light half of a barrier,
//! between CLOSING and CLOSED the heavy one. So a sender either sees that the end has come, and gives the slot back, or
//! its claim is visible to whoever sees CLOSED, and that one waits for it.

use crate::sync::{AtomicU64, Ordering, order};

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Senders may send.
    Open,
    /// Somebody is closing, or died while doing so.
    Closing,
    /// No message will come that is not claimed already.
    Closed,
}

/// The word that says so. Memory of all zeros is open.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Closing(AtomicU64);

const OPEN: u64 = 0;
const CLOSING: u64 = 1;
const CLOSED: u64 = 2;

impl Closing {
    #[cfg(any(test, loom))]
    pub(crate) fn new() -> Self {
        Closing(AtomicU64::new(OPEN))
    }

    /// For senders, after the claim and the light barrier.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        // Relaxed: ordered against the claim by the pair of barriers.
        self.0.load(Ordering::Relaxed) == OPEN
    }

    /// For receivers, before the look that finds nothing.
    pub(crate) fn phase(&self) -> Phase {
        // Acquire: pairs with the Release in `finish`: the claims of before are visible.
        match self.0.load(order!(Acquire, "mpmc.closed_seen")) {
            OPEN => Phase::Open,
            CLOSED => Phase::Closed,
            // What nobody wrote by the rules closes too: it lets nobody send.
            _ => Phase::Closing,
        }
    }

    /// OPEN → CLOSING. Whether it was this call that did it.
    pub(crate) fn begin(&self) -> bool {
        self.0.compare_exchange(OPEN, CLOSING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// CLOSING → CLOSED, after the heavy barrier.
    pub(crate) fn finish(&self) {
        let seen = self.0.load(Ordering::Relaxed);
        if seen != OPEN && seen != CLOSED {
            // Release: pairs with the Acquire in `phase`.
            let _ =
                self.0.compare_exchange(seen, CLOSED, order!(AcqRel, "mpmc.closed_told"), Ordering::Relaxed);
        }
    }
}

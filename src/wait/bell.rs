//! A condition that can be polled: one byte in a descriptor says that there is something to receive.
//!
//! Event loops (`epoll`, asyncio, tokio) wait for descriptors, not for futexes. A bell is a word in shared
//! memory and a descriptor with a byte in it or none. The word lets a sender see, by one load, that the byte is
//! there already; so a stream of messages costs one byte for each time that the receiver ran dry, not for each
//! message.

use super::Barrier;
use crate::sync::{AtomicU64, Ordering, mutated};
#[cfg(not(loom))]
use crate::sys::socket::{Fifo, Line};

/// The sending side of the descriptor.
pub(crate) trait Clapper {
    /// Adds one byte, without waiting. `false` if it could not be put there.
    ///
    /// The kernel's lock on the queue orders it: what the caller did before is visible to whoever sees the byte.
    fn put(&self) -> bool;
}

/// The receiving side of the descriptor.
pub(crate) trait Ear {
    /// Whether a byte of the bell is there.
    fn is_there(&self) -> bool;

    /// Removes exactly one byte of the bell. Returns whether another one seems to be behind it.
    fn take(&self) -> bool;
}

/// The word beside the descriptor. All-zero bytes are a valid one, [off](Bell::is_off).
///
/// ```text
/// word:  seq:61 | WATCHED:1 | state:2
///
/// OFF      nobody listens: senders do nothing. Left for good by `start` or `enable_with`
/// ARMED    who publishes puts a byte and then moves the word to RUNG
/// RUNG     a byte is there: who publishes does nothing
/// WATCHED  somebody polls the descriptor by his own means, and will not tell us when
/// seq      the armings so far
///
///   OFF ──start──> ARMED(s) ──sender: put, then CAS──────────> RUNG(s)
///    │              ^  │  ^                                     │  │
///    │  take one    │  │  │   receiver, ring seen empty:        │  │
///    │              └──┘  └──── CAS, HEAVY, look, take one ─────┘  │
///    │           s+1, stale byte            s+1                    │
///    └──enable_with: put, then CAS──────────────────> RUNG <───────┘
///                                          ring not empty: CAS ARMED(s+1) -> RUNG(s+1), the byte stays
/// ```
///
/// Senders and receivers may die between any two steps. What always holds:
///
/// - **RUNG means that a byte is there.** It is put before the word says so, and the word stops saying so before
///   the byte is taken.
/// - **A byte is taken only from a ring that was seen empty after arming.** A sender that found RUNG and kept
///   silent published before the arming became visible to it, so by the fences of [`Barrier`] the receiver's look
///   finds its message and the byte stays.
/// - **No word value recurs.** A sender that put its byte late moves the word only if no receiver armed since;
///   otherwise that receiver's look came after the sender's message, and the byte is one too many.
/// - So there may be bytes too many: after a kill, or when two senders ring at once. One costs a poller a look at
///   an empty ring, which removes it. There is never one too few for a message whose sender lived to finish
///   [`ring`](Bell::ring).
///
/// No owner and no liveness is needed: a sender that finds another one half-way rings itself.
///
/// What is left: a sender killed between publishing and putting its byte leaves a message that no descriptor
/// tells of, until the next message or until somebody who cleans up after it calls [`ring`](Bell::ring) once more.
///
/// Every access is Relaxed. What orders a message against the word is the pair of fences in [`Barrier`]; what
/// orders the bytes against the word is the kernel's lock on their queue: a taking that precedes a putting there
/// precedes the sender's move of the word too.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Bell(AtomicU64);

const STATE: u64 = 3;
const OFF: u64 = 0;
const ARMED: u64 = 1;
/// So is 3, which only a peer that breaks the rules can write.
const RUNG: u64 = 2;
const WATCHED: u64 = 4;
const STEP: u64 = 8;

/// Honest rounds end after a few: each further one is due to a byte too many or to a sender that rang in between.
/// This many in a row are a peer scribbling over the word or stuffing the descriptor.
const PATIENCE: u32 = 64;

/// What a receiver knows after [`Bell::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a receiver sleeps only by a bell that is quiet"]
pub(crate) enum Settled {
    /// Nothing is there. The descriptor will be readable when something is.
    Quiet,
    /// Nothing was there, but the kernel did not let us reach publishers that rely on the heavy barrier: one may
    /// have been missed, so sleep in slices of a few milliseconds.
    Blind,
    /// Something is there, or may be: try again before sleeping.
    Ready,
}

impl Bell {
    /// A bell that is off.
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Self {
        Bell(AtomicU64::new(OFF))
    }

    /// Switches a new bell on, before any process but its creator knows it.
    ///
    /// For descriptors into which only the sending side can put a byte, as a socket: the first message ever puts
    /// one, whether somebody listens or not, and so there is one when somebody comes to listen later. Until then
    /// it stays, and senders pay one load.
    pub(crate) fn start(&self) {
        // Relaxed: published with the segment.
        self.0.store(ARMED, Ordering::Relaxed);
    }

    /// Whether nobody has ever listened.
    #[cfg(any(loom, test))]
    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.0.load(Ordering::Relaxed) & STATE == OFF
    }

    /// Whether somebody polls the descriptor by his own means.
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        self.0.load(Ordering::Relaxed) & WATCHED != 0
    }

    /// Makes the descriptor readable, unless it is or nobody listens. Called by a sender after the store that
    /// publishes its message, and on behalf of a dead sender by who cleans up after it.
    #[inline(always)]
    pub(crate) fn ring(&self, barrier: Barrier, clapper: &impl Clapper) {
        // Orders the caller's store before the load, against `heavy` between a receiver's arming and its look.
        barrier.before_wake();
        let seen = self.0.load(Ordering::Relaxed);
        if seen & STATE == ARMED {
            self.strike(seen, clapper);
        }
    }

    #[cold]
    #[inline(never)]
    fn strike(&self, armed: u64, clapper: &impl Clapper) {
        let rung = armed & !STATE | RUNG;
        if mutated!("bell.put_first") && !self.moved(armed, rung) {
            return;
        }
        // A byte that finds no room leaves the bell armed: the next sender tries again. There is no room only
        // behind hundreds of other bytes, and then the descriptor is readable anyway.
        if clapper.put() || mutated!("bell.put_failed") {
            // Failing means that another sender's byte counts, or that a receiver armed since we looked. Ours
            // is then one too many, unless that receiver has taken it already.
            self.moved(armed, rung);
        }
    }

    /// [`settle`](Self::settle) if somebody polls the descriptor by his own means. Called by each receive that
    /// finds or leaves the ring empty, under the same lock.
    #[inline(always)]
    pub(crate) fn settle_if_watched(
        &self,
        barrier: Barrier,
        ear: &impl Ear,
        is_empty: impl FnMut() -> bool,
    ) -> Option<Settled> {
        let watched = self.0.load(Ordering::Relaxed) & WATCHED != 0 && !mutated!("bell.watched");
        watched.then(|| self.settle(barrier, ear, is_empty))
    }

    /// Takes the byte out of the descriptor if the ring is empty, and sees to it that the next message puts one
    /// in. Called before a sleep by the descriptor, under the lock that all receivers of this end share.
    ///
    /// `is_empty` tells whether a receive would have to wait. It must look at the shared memory anew, at every
    /// call, and must say `false` for ever once the end is closed, so that pollers learn of that.
    #[cold]
    pub(crate) fn settle(
        &self,
        barrier: Barrier,
        ear: &impl Ear,
        mut is_empty: impl FnMut() -> bool,
    ) -> Settled {
        for _ in 0..PATIENCE {
            let seen = self.0.load(Ordering::Relaxed);
            let stale = seen & STATE == ARMED;
            if seen & STATE == OFF {
                return Settled::Blind;
            }
            if stale && (!ear.is_there() || mutated!("bell.stale")) {
                // Whoever took the last byte looked at the ring after arming.
                return Settled::quiet(matches!(barrier, Barrier::Light(_)));
            }
            let late = mutated!("bell.arm_first") && {
                ear.take();
                true
            };
            let Some(armed) = self.arm(seen) else { continue };
            // Pairs with `Barrier::before_wake` of every sender: it sees us armed, or we see its message.
            let reached_all = barrier.heavy();
            if !mutated!("bell.look") && !is_empty() {
                // The byte stays. Failing means that the bell was rung meanwhile, with a byte of its own.
                self.moved(armed, armed & !STATE | RUNG);
                return Settled::Ready;
            }
            let more = !late && ear.take();
            if mutated!("bell.take_one") {
                ear.take();
            }
            if !more {
                return Settled::quiet(reached_all);
            }
        }
        Settled::Ready
    }

    /// From RUNG, or from ARMED with a byte that was seen there, to ARMED.
    ///
    /// A new value in the second case too: the byte may be that of a sender which is about to move the word, and
    /// must not do so once the byte is gone.
    fn arm(&self, seen: u64) -> Option<u64> {
        let step = if mutated!("bell.rearm") && seen & STATE == ARMED { 0 } else { STEP };
        let armed = (seen & !STATE).wrapping_add(step) | ARMED;
        self.moved(seen, armed).then_some(armed)
    }

    /// Tells all receivers, for good, that the descriptor is polled by somebody who will not tell when.
    ///
    /// For bells that were [started](Self::start). What is in the ring already has its byte.
    pub(crate) fn enable(&self) {
        for _ in 0..PATIENCE {
            let seen = self.0.load(Ordering::Relaxed);
            if seen & WATCHED != 0 || self.moved(seen, seen | WATCHED) {
                return;
            }
        }
    }

    /// The same for descriptors into which the receiving side, too, can put a byte, as a FIFO; they need no
    /// [`start`](Self::start). Called each time that one is opened: the bytes in a FIFO vanish with the last
    /// process that has it open, while the word remains.
    ///
    /// A first poll finds the descriptor readable, whether there is a message or not: senders may have published
    /// while the bell was off, or silently behind a byte that has vanished.
    pub(crate) fn enable_with(&self, clapper: &impl Clapper) {
        for _ in 0..PATIENCE {
            // In this order, as in `strike`: a receiver that takes the byte has armed first, and the move fails.
            let mut seen = self.0.load(Ordering::Relaxed);
            if !mutated!("bell.enable_puts") {
                clapper.put();
            }
            if mutated!("bell.enable_looks_first") {
                seen = self.0.load(Ordering::Relaxed);
            }
            if self.moved(seen, seen & !STATE | WATCHED | RUNG) {
                return;
            }
        }
    }

    /// A receiver that dies as soon as it has armed, and whether it got so far.
    #[cfg(loom)]
    pub(crate) fn arm_and_die(&self) -> bool {
        self.arm(self.0.load(Ordering::Relaxed)).is_some()
    }

    /// For models: whether the word promises a byte. The latest value, by a read-modify-write.
    #[cfg(loom)]
    pub(crate) fn is_rung(&self) -> bool {
        self.0.fetch_add(0, Ordering::Relaxed) & STATE == RUNG
    }

    fn moved(&self, seen: u64, next: u64) -> bool {
        self.0.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Settled {
    fn quiet(reached_all: bool) -> Self {
        if reached_all { Settled::Quiet } else { Settled::Blind }
    }
}

#[cfg(not(loom))]
impl Clapper for Line<'_> {
    fn put(&self) -> bool {
        Line::put(*self)
    }
}

#[cfg(not(loom))]
impl Ear for Line<'_> {
    fn is_there(&self) -> bool {
        Line::is_there(*self)
    }

    fn take(&self) -> bool {
        Line::take(*self)
    }
}

#[cfg(not(loom))]
impl Clapper for Fifo {
    fn put(&self) -> bool {
        Fifo::put(self)
    }
}

#[cfg(not(loom))]
impl Ear for Fifo {
    fn is_there(&self) -> bool {
        Fifo::is_there(self)
    }

    fn take(&self) -> bool {
        Fifo::take(self)
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bell>() == 8 && align_of::<Bell>() == 8);

#[cfg(all(test, not(loom)))]
mod stress;
#[cfg(all(test, not(loom)))]
mod tests;

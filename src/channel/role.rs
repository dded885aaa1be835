//! The two roles of a bare ring: who is its producer, who its consumer.
//!
//! ```text
//! word:  claims:40 | state:8 | owner:16
//!
//! VACANT ──claim──> HELD(me) ──drop──> LEFT ──claim──> HELD(other) ...
//!                      │ owner dead: by anybody, exactly this word
//!                      └─────────────> DIED ──claim──> HELD(other) ...
//! ```
//!
//! Every claim raises `claims`, so no HELD word recurs and a stalled repairer's exchange fails. VACANT means
//! that nobody has held the role yet: a peer then waits instead of calling the ring closed.

use crate::error::{Corrupt, Error};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, mutated};
use crate::sys::fork::Generation;
use crate::wait::{ALL, Barrier, EventCount};
use core::mem::size_of;
use core::ptr::NonNull;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// The shared words of a bare ring: the ring's own header, then what the endpoints add.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Body<H> {
    pub(crate) header: H,
    /// Consumers wait here; producers wake.
    pub(crate) items: CachePadded<EventCount>,
    /// Producers wait here; consumers wake.
    pub(crate) space: CachePadded<EventCount>,
    pub(crate) producer: CachePadded<Role>,
    pub(crate) consumer: CachePadded<Role>,
}

const _: () = assert!(size_of::<Body<crate::ring::spsc::Header>>() == 256 + 4 * 128);

/// One side of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Producer,
    Consumer,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Side::Producer => "producer",
            Side::Consumer => "consumer",
        }
    }
}

impl<H> Body<H> {
    pub(super) fn role(&self, side: Side) -> &Role {
        match side {
            Side::Producer => &self.producer,
            Side::Consumer => &self.consumer,
        }
    }

    /// Where the other side waits for what this side does.
    fn peers_of(&self, side: Side) -> &EventCount {
        match side {
            Side::Producer => &self.items,
            Side::Consumer => &self.space,
        }
    }

    /// Ends the claims of a dead participant and tells those who wait for it.
    pub(super) fn sweep(&self, index: u16) {
        for side in [Side::Producer, Side::Consumer] {
            if self.role(side).bury(index) {
                self.peers_of(side).wake(ALL, Barrier::of_this_process());
            }
        }
    }
}

/// One role word.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Role(AtomicU64);

/// An honest exchange loses to another claim, which then answers, or to a declaration of death. This many losses
/// in a row are a peer scribbling over the word.
const PATIENCE: u32 = 1000;

const VACANT: u64 = 0;
const HELD: u64 = 1;
const LEFT: u64 = 2;
const DIED: u64 = 3;

const fn state(word: u64) -> u64 {
    word >> 16 & 0xff
}

const fn owner(word: u64) -> u16 {
    word as u16
}

const fn with_state(word: u64, state: u64) -> u64 {
    word & !(0xff << 16) | state << 16
}

/// A role word, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// How often the role was claimed.
    pub(crate) claims: u64,
    pub(crate) holding: Holding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    Never,
    By(u16),
    Left,
    Died(u16),
    Nonsense,
}

impl Role {
    /// Whether somebody held the role and nobody does now, as far as the word itself tells.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        // Acquire: pairs with the Release in `Claim::drop` and in `bury`: who sees that the producer has left
        // sees everything it published.
        matches!(state(self.0.load(Ordering::Acquire)), LEFT | DIED)
    }

    /// The same, asking the kernel about the owner as well. Marks a dead one.
    #[cold]
    pub(super) fn is_over_for_sure(&self, segment: &Segment) -> bool {
        // Acquire: the word is read before the kernel is asked; see `Segment::is_dead`.
        let word = self.0.load(Ordering::Acquire);
        match state(word) {
            LEFT | DIED => true,
            // A failed exchange: somebody else declared it dead, or has taken it over already.
            HELD if segment.is_dead(owner(word)) => self.declare_dead(word) || self.is_over(),
            _ => false,
        }
    }

    /// What the word says, for onlookers.
    pub(crate) fn read(&self) -> Reading {
        // Relaxed: nothing is concluded from it.
        let word = self.0.load(Ordering::Relaxed);
        let claims = word >> 24;
        match state(word) {
            VACANT => Reading { claims, holding: Holding::Never },
            HELD => Reading { claims, holding: Holding::By(owner(word)) },
            LEFT => Reading { claims, holding: Holding::Left },
            DIED => Reading { claims, holding: Holding::Died(owner(word)) },
            _ => Reading { claims, holding: Holding::Nonsense },
        }
    }

    fn bury(&self, index: u16) -> bool {
        let word = self.0.load(Ordering::Acquire);
        state(word) == HELD && owner(word) == index && self.declare_dead(word)
    }

    fn declare_dead(&self, word: u64) -> bool {
        // Release: pairs with the Acquire in `is_over`; what the dead published is visible to us, because the
        // kernel said so after its last instruction, and so to whoever sees this.
        self.0.compare_exchange(word, with_state(word, DIED), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// HELD(me), from anything but the role of somebody alive. Returns the new word.
    fn claim(&self, me: u16, segment: &Segment, side: Side) -> Result<u64, Error> {
        let mut word = self.0.load(Ordering::Acquire);
        for _ in 0..PATIENCE {
            let of_the_living = || !segment.is_dead(owner(word)) && !segment.is_inherited(owner(word));
            if state(word) == HELD && (mutated!("role.keep_dead") || of_the_living()) {
                let pid = segment.describe_any(owner(word)).map_or(0, |process| process.pid as u32);
                return Err(Error::RoleTaken { role: side.name(), pid });
            }
            let claims = (word >> 24).wrapping_add(1) << 24;
            let mine = claims | HELD << 16 | u64::from(me);
            // Acquire: pairs with the Release of whoever left or was declared dead: its operations happened
            // before ours, which the rings demand of a takeover.
            // On failure Acquire as well: the word is judged like the first one.
            match self.0.compare_exchange(word, mine, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(mine),
                Err(now) => word = now,
            }
        }
        Err(Error::Corrupt(Corrupt { field: "role", found: word, limit: DIED, place: None }))
    }
}

/// A role held by this process, given up on drop.
#[derive(Debug)]
pub(super) struct Claim<H: 'static> {
    /// Keeps `body` mapped.
    segment: Arc<Segment>,
    /// Where the words are, so that each operation need not ask the segment.
    body: NonNull<Body<H>>,
    side: Side,
    word: u64,
    now: Generation,
    /// Who we were when we claimed it. A forked child is not.
    generation: u64,
}

// SAFETY: the words are atomics, mapped as long as the segment that comes along, which may be sent itself.
unsafe impl<H: Sync> Send for Claim<H> {}
// SAFETY: a shared claim gives out nothing but a reference to atomics.
unsafe impl<H: Sync> Sync for Claim<H> {}

impl<H: 'static> Claim<H> {
    /// # Safety
    /// The segment's kind has a `Body<H>` as its body.
    pub(super) unsafe fn take(segment: Arc<Segment>, side: Side) -> Result<Self, Error> {
        let me = segment.me()?;
        let now = segment.generation();
        let generation = now.current();
        // SAFETY: the caller's word.
        let body = unsafe { segment.body_as::<Body<H>>() };
        let word = body.role(side).claim(me, &segment, side)?;
        let body = NonNull::from(body);
        Ok(Claim { segment, body, side, word, now, generation })
    }

    #[inline(always)]
    pub(super) fn body(&self) -> &Body<H> {
        // SAFETY: made from a reference in `take`, and still mapped, because we hold the segment.
        unsafe { self.body.as_ref() }
    }

    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Whether the running process is the one that claimed the role: `false` in a forked child.
    #[inline(always)]
    pub(super) fn is_ours(&self) -> bool {
        self.now.is(self.generation)
    }
}

impl<H: 'static> Drop for Claim<H> {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        let body = self.body();
        // Release: pairs with the Acquire in `is_over` and `claim`: all we did in the role comes before. An
        // exchange, because a hostile word is not ours to overwrite.
        let left = with_state(self.word, LEFT);
        let role = &body.role(self.side).0;
        let _ = role.compare_exchange(self.word, left, Ordering::AcqRel, Ordering::Relaxed);
        body.peers_of(self.side).wake(ALL, Barrier::of_this_process());
    }
}

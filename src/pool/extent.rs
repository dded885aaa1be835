//! Large payloads: extents, stretches of address space in the sparse tail of the file.
//!
//! An extent has an entry and a word like any chunk, and goes the same ways. What is its own is how much of it is
//! reserved in the file: none at first; as much as its largest message needed, later. It keeps that when it is freed,
//! because a mapping that was used before is several times as fast as a fresh one, until somebody trims it.
//!
//! ```text
//! reserve   FREE → LOANED;  bytes := needed;  sum of all bytes in bounds?;  reserve space;  backed := needed
//! trim      FREE → LOANED;  backed := 0;  punch;  bytes := 0;  → FREE
//! ```
//!
//! So at every instant, also that of a death, `backed` ≤ reserved ≤ `bytes` (up to what a death in `reserve` left over,
//! which is counted). The bound holds for the sum of `bytes` over *all* extents, taken after one's own was raised: of two
//! that together go beyond it, at least one sees that. A counter would be skewed by a death.

use super::chunk::Loan;
use super::tag::Chunk;
#[cfg(not(loom))]
use super::word::State;
use super::{Extent, Pool, ReserveError};
use crate::error::Corrupt;
use crate::sync::{Ordering, fence, mutated};

/// Where extents get their file space: the tail of the segment.
pub(crate) trait Backing {
    /// Reserves `len` bytes of the tail from `at` on.
    ///
    /// # Errors
    /// The system's.
    fn reserve(&self, at: u64, len: u64) -> std::io::Result<()>;

    /// Gives `len` bytes of the tail from `at` on back.
    ///
    /// # Errors
    /// The system's.
    fn punch(&self, at: u64, len: u64) -> std::io::Result<()>;

    /// Whether to believe what the books say is reserved. Who does not trust its peers reserves it once more: that costs
    /// a look where it is true, and where it is not, writing there may meet a full file system.
    fn believes(&self) -> bool {
        true
    }

    /// Extents, or what counts towards the bound, were taken for a moment and are there again. Whoever found nothing
    /// meanwhile should look once more.
    fn took_back(&self) {}
}

#[cfg(not(loom))]
impl Backing for crate::segment::Segment {
    fn reserve(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.reserve_tail(at, len)
    }

    fn punch(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.punch_tail(at, len)
    }

    fn believes(&self) -> bool {
        self.is_trusted()
    }
}

pub(super) const PAGE: u64 = if cfg!(loom) { 1 } else { 4096 };

/// How often a search starts anew because others took what it had chosen.
const ROUNDS: u32 = 8;

/// An extent is not given to a message this many times smaller than what it has, if there is another way: its
/// bytes count as long as the message is held.
const TOO_GOOD: u64 = 8;

impl Extent {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Extent { bytes: crate::sync::AtomicU64::new(0), backed: crate::sync::AtomicU64::new(0) }
    }
}

impl Pool {
    /// Takes an extent and reserves `len` bytes for it.
    #[inline(never)]
    pub(crate) fn reserve_extent(
        &self,
        me: u16,
        len: u64,
        backing: &impl Backing,
    ) -> Result<Loan, ReserveError> {
        let needed = in_pages(len);
        for _ in 0..ROUNDS {
            let Some(chunk) = self.choose_extent(needed) else { return Err(ReserveError::Full) };
            // What cannot be is not tried: two that wait would wake each other again and again by giving up.
            if self.backed(chunk) < needed && !self.bounds_allow(len) {
                return Err(ReserveError::Full);
            }
            let Some(loan) = self.loan(chunk, me) else { continue };
            match self.grow(me, chunk, needed, backing) {
                Ok(()) => {
                    self.slim(chunk, needed, backing);
                    return Ok(loan);
                }
                Err(error) => {
                    self.give_up(loan);
                    backing.took_back();
                    return Err(error);
                }
            }
        }
        Err(ReserveError::Full)
    }

    /// The free extent that suits best: the smallest that has enough; else the largest, which needs least.
    fn choose_extent(&self, needed: u64) -> Option<Chunk> {
        let mut best: Option<(u64, Chunk)> = None;
        for (chunk, _) in self.extents().filter(|&(chunk, _)| self.word(chunk).is_free()) {
            let backed = self.backed(chunk);
            let cost = match backed.checked_sub(needed) {
                Some(spare) if backed / TOO_GOOD < needed => spare,
                None => (1 << 40) + (needed - backed),
                Some(spare) => (1 << 50) + spare,
            };
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, chunk));
            }
        }
        best.map(|(_, chunk)| chunk)
    }

    /// Whether what is reserved of an extent is enough for a message of `len` bytes, and not far too much.
    pub(super) fn suits(&self, chunk: Chunk, len: u64) -> bool {
        let (backed, needed) = (self.backed(chunk), in_pages(len));
        backed >= needed && backed / TOO_GOOD < needed
    }

    /// Reserves so much for an extent that is ours, unless it has it already.
    fn grow(&self, me: u16, chunk: Chunk, needed: u64, backing: &impl Backing) -> Result<(), ReserveError> {
        let (extent, stretch) = (self.extent(chunk.index()), self.capacity(chunk));
        let backed = if backing.believes() { self.backed(chunk) } else { 0 };
        if needed <= backed {
            return Ok(());
        }
        let certain = self.backed(chunk);
        // What a dead one reserved in part is counted already. More of that than we need would only count.
        if extent.bytes.load(Ordering::Relaxed).min(stretch) > needed.max(certain) {
            self.shed(chunk, certain, backing);
        }
        let before = extent.bytes.load(Ordering::Relaxed).min(stretch);
        extent.bytes.store(needed.max(before), Ordering::Relaxed);
        if !self.is_within_bounds() {
            self.trim_until(me, backing, || self.is_within_bounds());
            if !self.is_within_bounds() {
                extent.bytes.store(before, Ordering::Relaxed);
                return Err(ReserveError::Full);
            }
        }
        let at = self.place(chunk) + backed;
        let mut reserved = backing.reserve(at, needed - backed);
        if reserved.as_ref().is_err_and(is_no_space) && self.trim_until(me, backing, || false) > 0 {
            reserved = backing.reserve(at, needed - backed);
        }
        match reserved {
            Ok(()) => {
                extent.backed.store(needed.max(self.backed(chunk)), Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                self.shed(chunk, backed, backing);
                Err(if is_no_space(&error) {
                    ReserveError::NoSpace { needed }
                } else {
                    ReserveError::Refused { errno: error.raw_os_error().unwrap_or(0) }
                })
            }
        }
    }

    /// Gives back what an extent of ours has far beyond its message, if the bound may be needed for others: all of it counts
    /// as long as the message is held.
    pub(super) fn slim(&self, chunk: Chunk, needed: u64, backing: &impl Backing) {
        if self.backed(chunk) / 2 > needed && self.extent_bytes() > self.layout().max_bytes() / 2 {
            self.shed(chunk, needed, backing);
        }
    }

    /// What has to be reserved for a message of `len` bytes.
    pub(super) fn pages_for(len: u64) -> u64 {
        in_pages(len)
    }

    /// Whether all extents together take no more than they may. To be asked after one's own `bytes` were raised.
    fn is_within_bounds(&self) -> bool {
        // SeqCst: of two who raise and then add up, at least one sees the other's.
        if !mutated!("pool.bound") {
            fence(Ordering::SeqCst);
        }
        let bytes = |(chunk, extent): (Chunk, &Extent)| {
            // Relaxed: ordered by the fence. What a peer scribbles there is at most the whole stretch.
            extent.bytes.load(Ordering::Relaxed).min(self.capacity(chunk))
        };
        let sum = self.extents().map(bytes).fold(0, u64::saturating_add);
        sum <= self.layout().max_bytes()
    }

    /// Whether there could be `len` bytes more, if all that nobody uses were given back. A look, no promise.
    pub(super) fn bounds_allow(&self, len: u64) -> bool {
        let used = |(chunk, extent): (Chunk, &Extent)| {
            let bytes = extent.bytes.load(Ordering::Relaxed).min(self.capacity(chunk));
            if self.word(chunk).is_free() { 0 } else { bytes }
        };
        let sum = self.extents().map(used).fold(in_pages(len), u64::saturating_add);
        sum <= self.layout().max_bytes()
    }

    /// Gives back what lies beyond the first `keep` bytes of an extent that is ours.
    fn shed(&self, chunk: Chunk, keep: u64, backing: &impl Backing) -> bool {
        let extent = self.extent(chunk.index());
        let bytes = extent.bytes.load(Ordering::Relaxed).min(self.capacity(chunk));
        extent.backed.store(keep, Ordering::Relaxed);
        let shed = bytes <= keep || backing.punch(self.place(chunk) + keep, bytes - keep).is_ok();
        if shed {
            extent.bytes.store(keep, Ordering::Relaxed);
        }
        shed
    }

    /// Gives the space of free extents back to the file system; how many bytes.
    pub(crate) fn trim(&self, me: u16, backing: &impl Backing) -> u64 {
        self.trim_until(me, backing, || false)
    }

    fn trim_until(&self, me: u16, backing: &impl Backing, enough: impl Fn() -> bool) -> u64 {
        let mut freed = 0;
        for (chunk, extent) in self.extents() {
            // Relaxed: a guess, until the extent is ours.
            if extent.bytes.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let Some(loan) = self.loan(chunk, me) else { continue };
            let bytes = extent.bytes.load(Ordering::Relaxed).min(self.capacity(chunk));
            if self.shed(chunk, 0, backing) {
                freed += bytes;
            }
            self.give_up(loan);
            backing.took_back();
            if enough() {
                break;
            }
        }
        freed
    }

    /// How many bytes the extents take of the file, at most.
    pub(crate) fn extent_bytes(&self) -> u64 {
        let bytes = |(chunk, extent): (Chunk, &Extent)| {
            extent.bytes.load(Ordering::Relaxed).min(self.capacity(chunk))
        };
        self.extents().map(bytes).fold(0, u64::saturating_add)
    }

    /// Whether receivers hold on to at most half of the chunks of this one's size, or of the extents and the bytes that these
    /// may take. A look, no promise.
    #[cfg(not(loom))]
    pub(crate) fn leaves_enough(&self, chunk: Chunk) -> bool {
        let class = chunk.class();
        let count = self.layout().class(class).map_or(0, |class| class.count);
        let chunks = (0..count).filter_map(|index| self.layout().chunk(class, index));
        let (mut held, mut bytes) = (0, 0_u64);
        for chunk in chunks.filter(|&chunk| self.word(chunk).state() == Some(State::Kept)) {
            held += 1;
            if class == self.layout().chunk_classes() {
                bytes = bytes.saturating_add(self.backed(chunk));
            }
        }
        held <= count / 2 && bytes <= self.layout().max_bytes() / 2
    }

    /// Refuses a message that lies where nothing is reserved, or is longer than what is: reading it would touch a hole.
    #[inline(always)]
    pub(super) fn check_backing(&self, chunk: Chunk, len: u64) -> Result<(), Corrupt> {
        if chunk.class() < self.layout().chunk_classes() {
            return self.check_grown(chunk);
        }
        let limit = self.backed(chunk);
        if len <= limit {
            Ok(())
        } else {
            Err(Corrupt { field: "length of a large message", found: len, limit, place: None })
        }
    }

    /// Says that so much is reserved for each extent.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn lie_about_extents(&self, backed: u64) {
        self.extents().for_each(|(_, extent)| extent.backed.store(backed, Ordering::SeqCst));
    }

    /// How much of an extent is certainly reserved.
    pub(super) fn backed(&self, chunk: Chunk) -> u64 {
        // Relaxed: written by the owner of its entry; a search guesses, an owner has seen the entry's word.
        self.extent(chunk.index()).backed.load(Ordering::Relaxed).min(self.capacity(chunk))
    }

    /// Where in the tail a chunk begins, if it lies there.
    pub(crate) fn place_in_tail(&self, chunk: Chunk) -> Option<u64> {
        (chunk.class() > 0).then(|| self.place(chunk))
    }

    /// Where in the tail a chunk begins that lies there.
    pub(super) fn place(&self, chunk: Chunk) -> u64 {
        let class = self.layout().class(chunk.class());
        class.map_or(0, |class| class.data_at + class.stride * u64::from(chunk.index()))
    }

    fn extents(&self) -> impl Iterator<Item = (Chunk, &Extent)> {
        let class = self.layout().chunk_classes();
        let count = self.layout().extents().map_or(0, |class| class.count);
        (0..count).filter_map(move |index| Some((self.layout().chunk(class, index)?, self.extent(index))))
    }
}

/// What has to be reserved for a message of `len` bytes.
fn in_pages(len: u64) -> u64 {
    len.max(1).div_ceil(PAGE) * PAGE
}

pub(super) fn is_no_space(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(NO_SPACE | QUOTA | TOO_LARGE | NO_MEMORY))
}

#[cfg(not(loom))]
use libc::{EDQUOT as QUOTA, EFBIG as TOO_LARGE, ENOMEM as NO_MEMORY, ENOSPC as NO_SPACE};
#[cfg(loom)]
const NO_SPACE: i32 = 28;
#[cfg(loom)]
const QUOTA: i32 = 122;
#[cfg(loom)]
const TOO_LARGE: i32 = 27;
#[cfg(loom)]
const NO_MEMORY: i32 = 12;

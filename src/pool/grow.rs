//! Chunks of unusual size: a class gets space in the file when it is needed, some chunks at a time.
//!
//! ```text
//! grow   all chunks below `grown` in use?;  reserve space for the next some;  grown := as many, if it is not more already
//! ```
//!
//! So at every instant, also that of a death, there is space for the first `grown` chunks. Reserving what is reserved already
//! changes nothing: whoever was killed between the two steps, or did both at the same time as somebody else, is in nobody's
//! way. The space is never given back, so a chunk that was once below `grown` stays usable.
//!
//! Who does not trust its peers goes by what it has seen to itself, and not by `grown`: reserving once more costs nothing where
//! they told the truth.

use super::extent::{PAGE, is_no_space};
use super::find::{Finder, Lane};
use super::tag::Chunk;
use super::{Backing, Pool, ReserveError};
use crate::error::Corrupt;
use crate::sync::{AtomicU32, Ordering};

/// So many bytes at a time, or a chunk.
const STEP: u64 = 64 << 10;

impl Pool {
    /// How many chunks of the class have space, as everybody says; not below what the class says of itself. All, if it is
    /// not one that grows.
    #[inline]
    pub(super) fn grown(&self, class: u8) -> u32 {
        let Some(count) = self.layout().growing(class).map(|class| class.count) else {
            return self.layout().class(class).map_or(0, |class| class.count);
        };
        // Relaxed: whoever got a chunk from somebody sees what that one had seen, by the Release and the Acquire that passed
        // it on. A search guesses.
        self.growth(class).map_or(0, |grown| grown.load(Ordering::Relaxed)).min(count)
    }

    fn growth(&self, class: u8) -> Option<&AtomicU32> {
        // SAFETY: mapped for as long as this is used, as promised to `new`, and made of atomics.
        let header: &super::Header = unsafe { self.header.as_ref() };
        header.grown.get(usize::from(class).checked_sub(1)?)
    }

    /// How many chunks of the class this handle may search.
    #[cold]
    pub(super) fn usable(&self, class: u8, lane: &Lane, backing: &impl Backing) -> u32 {
        if backing.believes() || self.layout().growing(class).is_none() {
            return self.grown(class);
        }
        lane.seen_to.load(Ordering::Relaxed)
    }

    /// Gives the class space for more chunks. `false` if it has all.
    ///
    /// # Errors
    /// [`ReserveError::NoSpace`] or [`Refused`](ReserveError::Refused): then it has what it had.
    pub(super) fn grow_class(
        &self,
        class: u8,
        finder: &Finder,
        backing: &impl Backing,
    ) -> Result<bool, ReserveError> {
        let (Some(growing), Some(lane)) = (self.layout().growing(class), finder.lane(class)) else {
            return Ok(false);
        };
        let has = self.usable(class, lane, backing);
        let more = (STEP / growing.size).clamp(1, growing.count.into()) as u32;
        let wanted = has.saturating_add(more).min(growing.count);
        if wanted == has {
            return Ok(false);
        }
        self.see_to(class, has, wanted, lane, backing).map(|()| true)
    }

    /// Reserves space for the chunks `from..to` of a class that grows.
    fn see_to(
        &self,
        class: u8,
        from: u32,
        to: u32,
        lane: &Lane,
        backing: &impl Backing,
    ) -> Result<(), ReserveError> {
        let (Some(growing), Some(growth)) = (self.layout().growing(class), self.growth(class)) else {
            return Ok(());
        };
        // Of small chunks a part of the last page was reserved before.
        let begin = (growing.data_at + u64::from(from) * growing.stride) / PAGE * PAGE;
        let end = (growing.data_at + u64::from(to) * growing.stride).next_multiple_of(PAGE);
        backing.reserve(begin, end - begin).map_err(|error| {
            if is_no_space(&error) {
                ReserveError::NoSpace { needed: end - begin }
            } else {
                ReserveError::Refused { errno: error.raw_os_error().unwrap_or(0) }
            }
        })?;
        // Relaxed: see `grown`.
        growth.fetch_max(to, Ordering::Relaxed);
        lane.seen_to.fetch_max(to, Ordering::Relaxed);
        Ok(())
    }

    /// Refuses a chunk that nobody can have got: there is no space for it.
    #[inline(always)]
    pub(super) fn check_grown(&self, chunk: Chunk) -> Result<(), Corrupt> {
        if chunk.class() == 0 {
            return Ok(());
        }
        let limit = self.grown(chunk.class());
        if chunk.index() < limit {
            return Ok(());
        }
        Err(Corrupt {
            field: "chunk of a message",
            found: chunk.index().into(),
            limit: limit.into(),
            place: None,
        })
    }

    /// Makes certain that there is space for a chunk, for those who do not believe it; `false` if there is none, or it is an
    /// extent.
    #[cfg(not(loom))]
    pub(crate) fn makes_certain(&self, chunk: Chunk, finder: &Finder, backing: &impl Backing) -> bool {
        let (class, index) = (chunk.class(), chunk.index());
        let (Some(_), Some(lane)) = (self.layout().growing(class), finder.lane(class)) else { return false };
        let seen_to = lane.seen_to.load(Ordering::Relaxed);
        index < seen_to || self.see_to(class, seen_to, index + 1, lane, backing).is_ok()
    }

    /// Says that there is space for all chunks.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn lie_about_growth(&self, grown: u32) {
        (1..self.layout().chunk_classes()).filter_map(|class| self.growth(class)).for_each(|growth| {
            growth.store(grown, Ordering::Relaxed);
        });
    }
}

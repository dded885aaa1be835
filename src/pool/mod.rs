//! Where payloads lie that are too large for a slot, or that somebody holds on to: chunks of shared memory, each with a
//! word that says whose it is.
//!
//! ```text
//!   Header   +0    orphans  whether tasks have come back, see `give_back`
//!            +128  grown    how many chunks of each class have space in the file, see `grow`
//!   area     entries of the chunks, then their data; see `layout`
//!   tail     what is reserved when it is needed: chunks of unusual size, and large payloads; see `grow` and `extent`
//! ```
//!
//! A sender takes a chunk ([`Pool::reserve`]), fills it at leisure, then claims a slot of the ring and lets it refer to
//! the chunk ([`Pool::send`]). A receiver that has the slot in its hands stamps the chunk as its own, frees the slot, and
//! keeps the message for as long as it likes ([`Pool::receive_kept`], [`Pool::receive_task`]). So no slot is ever held
//! while user code runs, and whatever a user holds is a chunk, whose word names its owner ([`Word`]). Whoever finds an
//! owner dead ends what that one began ([`Pool::sweep`]).
//!
//! Nothing here waits, allocates, reads a clock or does I/O, except that it calls back for file space ([`Backing`]). Every word that a peer can write is read once and checked; a wrong one is [`Corrupt`], or a chunk that
//! nobody gets any more. Where to look for a free chunk is private knowledge ([`Finder`]): the chunk's own word decides,
//! so no free list can be torn by a death.
//!
//! | store | pairs with | what it carries |
//! |---|---|---|
//! | `free`, `done`, `sweep`: word, Release | `loan`: word, Acquire | that the last user has done with the content |
//! | `claim`, `take`, `retake`: word, Release | `judge`: word, Acquire | who the owner is, before it is asked after |
//! | `take`, `sweep`: word, Release | `judge`, `orphan`: word, Acquire | the content, on its way from owner to owner |
//! | `give_back`: word, Release | `orphan`: word, Acquire | the content |
//! | commit of the slot, Release | take of the slot, Acquire | the content, the position and the length |

mod chunk;
mod extent;
mod find;
mod grow;
mod join;
mod layout;
mod orphan;
mod promises;
mod sweep;
mod tag;
mod tally;
mod through;
mod word;

use core::mem::{offset_of, size_of};
use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::ring::mpmc::Orphans;
use crate::sync::{AtomicU32, AtomicU64};

pub(crate) use chunk::{Kept, Loan, Task};
pub(crate) use extent::Backing;
pub(crate) use find::Finder;
pub(crate) use join::{is_finished, tell};
use layout::Class;
pub(crate) use layout::{Demand, ENTRY, Layout};
pub(crate) use promises::Promises;
#[cfg(any(test, loom))]
pub(crate) use sweep::Census;
pub(crate) use sweep::Swept;
pub(crate) use tag::{Chunk, Tag};
pub(crate) use tally::{Books, DoneRefused, MAX_ENTRIES, Tally};
#[cfg(loom)]
pub(crate) use word::MAX_DELIVERIES;
pub(crate) use word::{State, Word};

/// The shared part of a pool that is not in its area. Memory of all zeros is right.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    /// Written rarely, so that every process can keep its own copy of the line.
    orphans: CachePadded<Orphans>,
    /// No fewer chunks than these have space in the file, for each class above the usual size. Raised after reserving, never
    /// lowered; written rarely, as above.
    grown: CachePadded<[AtomicU32; GROWING]>,
}

/// The classes that can grow: all but the smallest, and the extents.
const GROWING: usize = if cfg!(loom) { 0 } else { layout::MAX_CLASSES - 2 };

#[cfg(any(test, loom))]
impl Header {
    pub(crate) fn new() -> Self {
        Header {
            orphans: CachePadded::new(Orphans::new()),
            grown: CachePadded::new(core::array::from_fn(|_| AtomicU32::new(0))),
        }
    }
}

/// What is known of a chunk. The rest of its line is reserved, or holds a tiny chunk's data.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry {
    /// Who uses the chunk for what; see [`Word`].
    word: AtomicU64,
    /// The packed position of the slot that refers to it, which is the message's id. Written by the sender before
    /// it commits the slot, always Relaxed: the words of the slot and the chunk order it.
    pos: AtomicU64,
    /// The message's length in bytes. The same.
    len: AtomicU64,
}

#[cfg(loom)]
impl Entry {
    /// The entry of a chunk that is free, or has gone through that much.
    pub(crate) fn new(word: Word) -> Self {
        Entry { word: AtomicU64::new(word.0), pos: AtomicU64::new(0), len: AtomicU64::new(0) }
    }
}

/// What is known of an extent besides. Written by the owner of its entry; Relaxed, ordered by the entry's word.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Extent {
    /// No more bytes than these are reserved. Raised before reserving, lowered after punching; everybody adds it up.
    bytes: AtomicU64,
    /// No fewer bytes than these are reserved. Raised after reserving, lowered before punching.
    backed: AtomicU64,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 256 && offset_of!(Header, grown) == 128);
    assert!(size_of::<Entry>() == 24 && offset_of!(Entry, pos) == 8 && offset_of!(Entry, len) == 16);
    assert!(size_of::<Extent>() == 16 && offset_of!(Extent, backed) == 8);
    assert!(size_of::<Entry>() as u64 <= layout::ENTRY / 2);
};

/// How far apart entries and extents lie.
const fn stride<T>() -> usize {
    if cfg!(loom) { size_of::<T>() } else { layout::ENTRY as usize }
}

/// Why nothing could be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReserveError {
    /// Everything that is large enough is in use. Whoever frees a chunk makes some.
    Full,
    /// Nothing of the pool is ever large enough.
    TooLarge {
        /// The length asked for, in bytes.
        len: u64,
        /// The largest possible length, in bytes.
        max: u64,
    },
    /// The file system has no room for an extent, though the pool would.
    NoSpace {
        /// The bytes that were to be reserved.
        needed: u64,
    },
    /// The operating system refused to reserve space, with this error number.
    Refused {
        /// What `errno` said.
        errno: i32,
    },
}

/// Where a pool lies in this process.
#[derive(Debug)]
pub(crate) struct Pool {
    header: NonNull<Header>,
    area: NonNull<u8>,
    extents: NonNull<u8>,
    tail: NonNull<u8>,
    /// In queues that count what was handed out and done.
    tally: Option<NonNull<Tally>>,
    layout: Layout,
}

// SAFETY: addresses of memory that consists of atomics, as far as safe functions reach it; the rest is decided by the
// chunks' words.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Names the place of a pool.
    ///
    /// # Safety
    /// As long as this value is used, `header` points to an aligned, mapped, writable [`Header`], `area` to
    /// `layout.len()` mapped, writable bytes and `tail` to `layout.tail_len()` mapped ones, both page-aligned. Their
    /// content may be anything at any time. (Under loom: `area` points to as many [`Entry`]s as the layout has.)
    pub(crate) unsafe fn new(
        header: NonNull<Header>,
        area: NonNull<u8>,
        tail: NonNull<u8>,
        layout: Layout,
    ) -> Self {
        #[cfg(not(loom))]
        // SAFETY: the extents are inside the area, by the layout.
        let extents = unsafe { area.add(layout.extents_at() as usize) };
        // In a model they lie in the tail, which is nothing else there.
        #[cfg(loom)]
        let extents = tail;
        Pool { header, area, extents, tail, tally: None, layout }
    }

    /// The same pool, whose messages are counted when they are handed out.
    ///
    /// # Safety
    /// As long as this value is used, `tally` points to an aligned, mapped, writable [`Tally`], whose content may be anything
    /// at any time.
    pub(crate) unsafe fn with_tally(self, tally: NonNull<Tally>) -> Self {
        Pool { tally: Some(tally), ..self }
    }

    #[inline(always)]
    pub(crate) fn tally(&self) -> Option<&Tally> {
        // SAFETY: mapped for as long as this is used, as promised to `with_tally`, and made of atomics.
        self.tally.map(|tally| unsafe { tally.as_ref() })
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    #[inline(always)]
    fn orphans(&self) -> &Orphans {
        // SAFETY: mapped for as long as this is used, as promised to `new`, and made of atomics.
        let header: &Header = unsafe { self.header.as_ref() };
        &header.orphans
    }

    /// What is known of `chunk`.
    #[inline(always)]
    fn entry(&self, chunk: Chunk) -> &Entry {
        let first = self.layout.class(chunk.class()).map_or(0, |class| class.first);
        self.entry_at(first + chunk.index())
    }

    /// The entry of that number, which is one of the layout's.
    #[inline(always)]
    fn entry_at(&self, number: u32) -> &Entry {
        debug_assert!(number < self.layout.entries());
        // SAFETY: every number comes from a `Chunk`, which the layout admitted, or from a loop over its classes, and the
        // area begins with that many entries.
        let entry = unsafe { self.area.add(number as usize * stride::<Entry>()) };
        // SAFETY: mapped and aligned, as promised to `new`, and made of atomics.
        unsafe { entry.cast().as_ref() }
    }

    /// What is known of the extent of that number, which is one of the layout's.
    fn extent(&self, number: u32) -> &Extent {
        debug_assert!(self.layout.extents().is_some_and(|class| number < class.count));
        // SAFETY: the numbers come from loops over the extents, or chunks of their class; the layout has places for all.
        let extent = unsafe { self.extents.add(number as usize * stride::<Extent>()) };
        // SAFETY: mapped and aligned, as promised to `new`, and made of atomics.
        unsafe { extent.cast().as_ref() }
    }

    /// Every chunk there is, with its entry.
    fn each(&self) -> impl Iterator<Item = (Chunk, &Entry)> {
        self.each_of(|_, class| class.count)
    }

    /// Every chunk that anybody can have got so far: all that had space in the file at this moment.
    fn each_grown(&self) -> impl Iterator<Item = (Chunk, &Entry)> {
        self.each_of(|number, _| self.grown(number))
    }

    /// The first so many chunks of each class.
    fn each_of(&self, many: impl Fn(u8, &Class) -> u32) -> impl Iterator<Item = (Chunk, &Entry)> {
        let classes = (0_u8..).zip(self.layout.classes()).map(move |(number, class)| {
            let count = many(number, class).min(class.count);
            (number, class.first, count)
        });
        let chunks =
            classes.flat_map(|(number, first, count)| (0..count).map(move |index| (number, first, index)));
        chunks.filter_map(|(class, first, index)| {
            Some((self.layout.chunk(class, index)?, self.entry_at(first + index)))
        })
    }

    /// The address of the chunk's content; as many bytes as its class says are the chunk's, if it has space in the file. Those
    /// of an extent may be touched up to the length that was reserved.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(crate) fn address(&self, chunk: Chunk) -> NonNull<u8> {
        let Some(class) = self.layout.class(chunk.class()) else { return NonNull::dangling() };
        let base = if chunk.class() > 0 { self.tail } else { self.area };
        // SAFETY: the layout made this chunk, and its class lies inside the area or the tail.
        unsafe { base.add((class.data_at + u64::from(chunk.index()) * class.stride) as usize) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

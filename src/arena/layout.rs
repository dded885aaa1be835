//! An arena as it lies in its segment.
//!
//! ```text
//! body   64 bytes of its own
//! data   a word for each slab there can be
//! tail   the slabs, 64 KiB each, reserved one by one as they are needed
//!
//! slab   blocks of one stride, one behind the other
//! block  Head | users: a bit for each participant | at a multiple of 64: the object's body | its table
//! ```

use super::tenure::Tenure;
use crate::error::{Corrupt, Kind};
use crate::primitives::{Block, Needs};
use crate::segment::Segment;
use crate::sync::{AtomicU32, AtomicU64, Ordering, mutated};
use core::mem::size_of;
use core::ptr::NonNull;

/// Bytes of a slab.
pub(crate) const SLAB: u64 = 1 << 16;
/// The strides that slabs can have, in units of 64 bytes.
const STRIDES: [u16; 18] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 341, 512, 1024];
/// How many strides there are.
pub(crate) const CLASSES: usize = STRIDES.len();
/// No slab has more blocks.
pub(super) const BLOCKS: u32 = (SLAB / UNIT / STRIDES[0] as u64) as u32;
const UNIT: u64 = 64;

/// The arena's own words. All-zero bytes are an empty one.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Body {
    /// One more than the highest slab that was ever taken.
    pub(super) high: AtomicU32,
}

/// What becomes of the piece of the tail that belongs to a slab. All-zero bytes are an unused one.
///
/// ```text
/// class:16 | state:4 | owner:16
///
/// state    owner   may be moved by                        to
/// -------  ------  -------------------------------------  -------------
/// UNUSED   0       anybody                         (CAS)  TAKING
/// TAKING   taker   the taker, having reserved it (store)  IN_USE, UNUSED
///                  anybody, once the taker is dead (CAS)  UNUSED
/// IN_USE   0       nobody                                 for ever
/// ```
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Slab(AtomicU64);

const TAKING: u64 = 1 << 16;
const IN_USE: u64 = 2 << 16;
const CLASS_AT: u32 = 20;

impl Slab {
    /// The class of its blocks, if it is in use: see [`View::class`].
    fn class(&self) -> Option<usize> {
        // Acquire: pairs with the Release in `take`: what is in use has been reserved.
        class_of(self.0.load(Ordering::Acquire))
    }

    /// Takes it for blocks of `class`, if it is unused; `reserve` sees to it that there is memory. `None` if it is not.
    pub(super) fn take<E>(
        &self,
        class: usize,
        me: u16,
        reserve: impl FnOnce() -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        // Relaxed: nothing is in an unused one; whoever sees it in use pairs with the store below.
        self.0.compare_exchange(0, TAKING | u64::from(me), Ordering::Relaxed, Ordering::Relaxed).ok()?;
        let reserved = reserve();
        let next = if reserved.is_ok() { (class as u64) << CLASS_AT | IN_USE } else { 0 };
        // Release: pairs with the Acquire in `class`.
        self.0.store(next, Ordering::Release);
        Some(reserved)
    }

    pub(super) fn sweep(&self, dead: u16) {
        let taken_by_dead = TAKING | u64::from(dead);
        let _ = self.0.compare_exchange(taken_by_dead, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The class in a slab's word, if it is in use, and by no more than the words that honest processes write.
pub(crate) fn class_of(word: u64) -> Option<usize> {
    let class = (word >> CLASS_AT) as usize;
    (word & ((1 << CLASS_AT) - 1) == IN_USE && class < CLASSES).then_some(class)
}

/// The beginning of a block. What it says of the object is written by its maker, before others can refer to it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) word: AtomicU64,
    pub(crate) id: AtomicU64,
    /// `kind:16 | log2 of the alignment:16 | bytes of the body:16 | bytes of the table:16`
    pub(crate) shape: AtomicU64,
    /// `bytes of an element:32 | capacity:32`
    pub(crate) extent: AtomicU64,
}

/// How many words that is; behind them are those of the users.
pub(crate) const HEAD_WORDS: usize = size_of::<Head>() / 8;

/// What an object in a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) kind: Kind,
    pub(crate) element: (u64, u64),
    pub(crate) capacity: u64,
    pub(crate) body_len: u64,
    pub(crate) table_len: u64,
}

impl Described {
    pub(super) fn new(kind: Kind, needs: &Needs) -> Self {
        let Needs { element, capacity, body_len, table_len } = *needs;
        Described { kind, element, capacity, body_len, table_len }
    }

    /// The two words that say so; `None` if the object is too large for a block.
    pub(super) fn pack(&self) -> Option<[u64; 2]> {
        let short = |number: u64| u16::try_from(number).ok().map(u64::from);
        let long = |number: u64| u32::try_from(number).ok().map(u64::from);
        let align = u64::from(self.element.1.trailing_zeros());
        let shape = short(self.kind.number().into())? << 48
            | align << 32
            | short(self.body_len)? << 16
            | short(self.table_len)?;
        Some([shape, long(self.element.0)? << 32 | long(self.capacity)?])
    }

    /// What they say.
    pub(crate) fn unpack([shape, extent]: [u64; 2]) -> Self {
        Described {
            kind: Kind::from_number((shape >> 48) as u32),
            element: (extent >> 32, 1_u64.checked_shl((shape >> 32 & 0xffff) as u32).unwrap_or(0)),
            capacity: extent & 0xffff_ffff,
            body_len: shape >> 16 & 0xffff,
            table_len: shape & 0xffff,
        }
    }
}

/// How blocks are divided in an arena with places for so many participants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Division {
    /// Words of users' bits in each block.
    pub(crate) user_words: usize,
    /// Bytes before the object's body.
    pub(crate) head_len: u64,
}

impl Division {
    pub(crate) fn new(participants: u16) -> Self {
        let user_words = usize::from(participants) / 64 + 1;
        let head_len = ((size_of::<Head>() + user_words * 8) as u64).next_multiple_of(UNIT);
        Division { user_words, head_len }
    }

    /// Where the table is, behind a body of `body_len` bytes.
    fn table_at(self, body_len: u64) -> u64 {
        self.head_len + body_len.next_multiple_of(UNIT)
    }

    /// How many bytes there are for an object at most.
    pub(super) fn most(self) -> u64 {
        SLAB - self.head_len
    }

    /// The smallest class with room for such an object.
    pub(super) fn class_for(self, needs: &Needs) -> Option<usize> {
        let wanted = self.table_at(needs.body_len).checked_add(needs.table_len)?;
        (0..CLASSES).find(|&class| stride(class) >= wanted)
    }

    /// Whether blocks of `class` have room for their heads and an object, however small. Those of honest arenas do.
    pub(crate) fn allows(self, class: usize) -> bool {
        self.head_len + UNIT <= stride(class)
    }

    /// Whether an object that says so of itself lies within a block of `class`.
    pub(crate) fn fits(self, described: &Described, class: usize) -> bool {
        self.table_at(described.body_len) + described.table_len <= stride(class)
    }
}

/// Bytes from one block to the next.
pub(crate) fn stride(class: usize) -> u64 {
    u64::from(STRIDES[class]) * UNIT
}

/// How many blocks a slab has.
pub(crate) fn blocks(class: usize) -> u32 {
    (SLAB / stride(class)) as u32
}

/// The words and blocks of an attached arena.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) segment: &'a Segment,
    division: Division,
}

impl<'a> View<'a> {
    /// The segment must be an arena's.
    pub(super) fn new(segment: &'a Segment) -> Self {
        View { segment, division: Division::new(segment.geometry().participants) }
    }

    pub(super) fn division(self) -> Division {
        self.division
    }

    pub(super) fn body(self) -> &'a Body {
        // SAFETY: an arena's body begins with these words, all of them atomic.
        unsafe { self.segment.body_as::<Body>() }
    }

    /// All slabs there can be.
    pub(super) fn slabs(self) -> &'a [Slab] {
        let geometry = self.segment.geometry();
        // That there are as many words as slabs is checked at attach, after the first sweep.
        let words = geometry.areas.min(1) * geometry.data_len / size_of::<Slab>();
        let count = words.min(geometry.tail_len / SLAB as usize);
        if count == 0 {
            return &[];
        }
        // SAFETY: the data area has so many words, which are atomics, at a multiple of 4096, mapped as long as the segment.
        unsafe { core::slice::from_raw_parts(self.segment.data(0).cast().as_ptr(), count) }
    }

    /// The class of a slab's blocks, if it is in use.
    pub(super) fn class(self, slab: &Slab) -> Option<usize> {
        slab.class().filter(|&class| self.division.allows(class))
    }

    /// The slabs of which any may be in use.
    pub(super) fn known_slabs(self) -> &'a [Slab] {
        let slabs = self.slabs();
        // Relaxed: who is to find a block was told of it by somebody who had written this.
        &slabs[..(self.body().high.load(Ordering::Relaxed) as usize).min(slabs.len())]
    }

    /// The block `index` of a slab that is in use and was found to be of [`class`](Self::class).
    pub(super) fn block(self, slab: usize, class: usize, index: u32) -> Place<'a> {
        debug_assert!(slab < self.slabs().len() && index < blocks(class) && self.division.allows(class));
        let at = slab * SLAB as usize + index as usize * stride(class) as usize;
        // SAFETY: in the tail, which has as many slabs.
        let start = unsafe { self.segment.tail().add(at) };
        Place { start, class, division: self.division, segment: self.segment }
    }

    /// The block with a number, if there can be one.
    pub(super) fn numbered(self, number: u32) -> Option<Place<'a>> {
        let (slab, index) = ((number / BLOCKS) as usize, number % BLOCKS);
        let class = self.class(self.slabs().get(slab)?)?;
        (index < blocks(class)).then(|| self.block(slab, class, index))
    }

    /// All blocks of slabs in use, with their numbers.
    pub(super) fn all(self) -> impl Iterator<Item = (u32, Place<'a>)> {
        let in_use = self
            .known_slabs()
            .iter()
            .enumerate()
            .filter_map(move |(slab, word)| Some((slab, self.class(word)?)));
        in_use.flat_map(move |(slab, class)| {
            let first = slab as u32 * BLOCKS;
            (0..blocks(class)).map(move |index| (first + index, self.block(slab, class, index)))
        })
    }
}

/// A block in a mapped arena.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    start: NonNull<u8>,
    class: usize,
    division: Division,
    segment: &'a Segment,
}

impl<'a> Place<'a> {
    pub(super) fn head(self) -> &'a Head {
        // SAFETY: a block begins with it; it consists of atomics, at a multiple of 64, mapped as long as the segment.
        unsafe { self.start.cast().as_ref() }
    }

    pub(super) fn tenure(self) -> Tenure<'a> {
        let Head { word, id, .. } = self.head();
        // SAFETY: behind the head, inside the block.
        let users = unsafe { self.start.add(size_of::<Head>()) }.cast::<AtomicU64>();
        // SAFETY: so many words of users fit before `head_len`; they are atomics, mapped as long as the segment.
        let users = unsafe { core::slice::from_raw_parts(users.as_ptr(), self.division.user_words) };
        Tenure { word, id, users }
    }

    /// What the object in it is. Makes sense while the object is referred to.
    ///
    /// # Errors
    /// If it says that it is larger than its block.
    pub(super) fn describe(self) -> Result<Described, Corrupt> {
        let head = self.head();
        // Relaxed: complete before the object was LIVE, which was acquired.
        let words = [head.shape.load(Ordering::Relaxed), head.extent.load(Ordering::Relaxed)];
        let described = Described::unpack(words);
        if self.division.fits(&described, self.class) {
            Ok(described)
        } else {
            let limit = stride(self.class);
            Err(Corrupt { field: "the shape of an arena's object", found: words[0], limit, place: None })
        }
    }

    /// Makes the block an object's that has just been taken for it: all zero but for its description.
    pub(super) fn lay_out(self, described: &Described, words: [u64; 2]) -> Block {
        let head = self.head();
        head.shape.store(words[0], Ordering::Relaxed);
        head.extent.store(words[1], Ordering::Relaxed);
        let len = (stride(self.class) - self.division.head_len) as usize;
        // SAFETY: inside the block.
        let body = unsafe { self.start.add(self.division.head_len as usize) };
        // SAFETY: the rest of the block, at a multiple of 8; what lies there, perhaps seen by stragglers, are atomics.
        let words = unsafe { core::slice::from_raw_parts(body.cast::<AtomicU64>().as_ptr(), len / 8) };
        if !mutated!("arena.wipe") {
            words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        self.block(described)
    }

    /// Where the object's words are. It was described by the block itself, or fits.
    pub(super) fn block(self, described: &Described) -> Block {
        debug_assert!(self.division.fits(described, self.class));
        let Described { body_len, table_len, capacity, .. } = *described;
        // SAFETY: inside the block.
        let body = unsafe { self.start.add(self.division.head_len as usize) };
        // SAFETY: inside the block, or at its end.
        let table = unsafe { self.start.add(self.division.table_at(body_len) as usize) };
        let _ = self.segment;
        Block::new(body, body_len as usize, table, table_len as usize, capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_room_for_what_they_are_for() {
        for participants in [1, 63, 64, 254, 16_000] {
            let division = Division::new(participants);
            assert!(division.head_len as usize >= size_of::<Head>() + division.user_words * 8);
            for body_len in [1, 8, 63, 64, 65, 1000, 30_000] {
                let needs = Needs { element: (8, 8), capacity: 1, body_len, table_len: 8 };
                let Some(class) = division.class_for(&needs) else { continue };
                assert!(division.fits(&Described::new(Kind::Mutex, &needs), class));
                assert!(class == 0 || !division.fits(&Described::new(Kind::Mutex, &needs), class - 1));
            }
        }
        assert_eq!(Division::new(254).head_len, 64, "a lock with a word takes two lines");
        assert!((0..CLASSES).all(|class| blocks(class) <= BLOCKS && blocks(class) >= 1));
    }

    #[test]
    fn descriptions_survive_packing() {
        let described = Described {
            kind: Kind::Semaphore,
            element: (24, 64),
            capacity: 2_147_483_647,
            body_len: 40,
            table_len: 65_000,
        };
        assert_eq!(Described::unpack(described.pack().unwrap()), described);
        assert_eq!(Described { body_len: 1 << 16, ..described }.pack(), None);
        assert_eq!(Described { capacity: 1 << 32, ..described }.pack(), None);
    }
}

//! How much of what a pool has, and where it lies.
//!
//! ```text
//! area   entries   64 bytes for each chunk, class after class, then for each extent
//!        extents   64 bytes more for each extent: how much of it is reserved
//!        data      page-aligned: the chunks of the usual size
//! tail   data      those of the larger classes, one class after the other, each chunk as aligned as it is large (up to a
//!                  page); they get their space in the file when they are needed, see `grow`
//!        extents   stretches of address space
//! ```
//!
//! All of it follows from the numbers of a [`Demand`], which stand in the segment's header. So nothing of it is ever read
//! from shared memory: whoever attaches computes the same.
//!
//! | for 1024 messages | with 0 more held, `max_bytes` 64 MiB, usual 256 B, largest 64 KiB |
//! |---|---|
//! | chunks of 256 B | 1024 |
//! | 512 B, 1 KiB | 1024 each |
//! | 2, 4, 8, 16, 32, 64 KiB | 512, 256, 128, 64, 32, 16: a 64th of `max_bytes` each, at most 1 MiB |
//! | extents | 64, of up to 64 MiB each and together |
//! | reserved at creation | 0.5 MiB |
//! | address space | 4 GiB and 7.5 MiB |

use super::tag;

/// A chunk of this size lies in the line of its entry.
const TINY: u64 = 32;

/// How far apart the entries are, in bytes; those of the extents' books too.
pub(crate) const ENTRY: u64 = 64;

const PAGE: u64 = 4096;

/// The largest class there can be.
const MAX_CHUNK: u64 = 1 << 30;

/// From 32 bytes to 1 GiB, and the extents.
pub(super) const MAX_CLASSES: usize = 27;

/// The most bytes that a class gets for the sake of `max_bytes`.
const MAX_SHARE: u64 = 1 << 20;

/// The most extents of a pool. Who looks for one looks at all.
const MAX_EXTENTS: u64 = 64;

/// The longest stretch of an extent, which is the largest message there can be.
const MAX_STRETCH: u64 = 1 << 33;

/// All stretches together: a small part of the address space, and of what file systems let a file have.
const MAX_TAIL: u64 = 1 << 40;

/// What a pool is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// How many messages the ring holds.
    pub(crate) messages: u64,
    /// How many more there can be of the usual size: held by receivers, or being written.
    pub(crate) max_held: u64,
    /// The usual size in bytes: there is a chunk for each of that many messages of up to this size.
    pub(crate) usual: u64,
    /// What is larger than this, in bytes, goes to extents.
    pub(crate) largest: u64,
    /// How many bytes all extents may take together, and how large a message can be. No extents if this is not more
    /// than the largest class.
    pub(crate) max_bytes: u64,
    /// How many bytes each class above the usual size may come to take; a power of two, or 0 for as many as the usual size
    /// has, or more.
    pub(crate) share: u64,
}

/// Where in the first number of the header the logarithm of the share stands, which is more than 0.
const SHARE_SHIFT: u32 = 56;

impl Demand {
    /// The numbers that go into the segment's header; the capacity stands there anyway.
    pub(crate) const fn params(&self) -> [u64; 4] {
        let share = if self.share == 0 { 0 } else { self.share.trailing_zeros() as u64 };
        [self.max_held | share << SHARE_SHIFT, self.usual, self.largest, self.max_bytes]
    }

    /// The demand by which a segment was made.
    pub(crate) const fn of_params(messages: u64, params: [u64; 4]) -> Self {
        let [first, usual, largest, max_bytes] = params;
        let (max_held, share) = (first & ((1 << SHARE_SHIFT) - 1), first >> SHARE_SHIFT);
        let share = if share == 0 { 0 } else { 1 << (share % 64) };
        Demand { messages, max_held, usual, largest, max_bytes, share }
    }
}

/// Chunks of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    /// Bytes of a chunk.
    pub(crate) size: u64,
    pub(crate) count: u32,
    /// The number of the first one's entry.
    pub(super) first: u32,
    /// Where the data of the first one begins: in the area if it is the smallest class, else in the tail.
    pub(super) data_at: u64,
    /// How far apart they are.
    pub(super) stride: u64,
}

/// See the introduction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    classes: [Class; MAX_CLASSES],
    /// How many classes of chunks there are.
    chunks: u8,
    /// How many classes there are, the extents included.
    used: u8,
    /// The base-2 logarithm of the smallest class's size.
    smallest: u32,
    extents_at: u64,
    len: u64,
    tail: u64,
    max_bytes: u64,
}

const fn pages(bytes: u64) -> Option<u64> {
    match bytes.checked_add(PAGE - 1) {
        Some(up) => Some(up & !(PAGE - 1)),
        None => None,
    }
}

impl Layout {
    /// Lays out a pool. `None` if it cannot be made: no message, more chunks than can be counted, absurd sizes.
    pub(crate) fn of(demand: Demand) -> Option<Self> {
        let Demand { messages, max_held, usual, largest, max_bytes, share } = demand;
        let all = messages.checked_add(max_held).filter(|&all| all > 0 && all <= tag::MAX_INDEX)?;
        let smallest = usual.max(TINY).checked_next_power_of_two().filter(|&size| size <= MAX_CHUNK)?;
        let largest = largest.max(smallest).checked_next_power_of_two().filter(|&size| size <= MAX_CHUNK)?;
        let nothing = Class { size: 0, count: 0, first: 0, data_at: 0, stride: 0 };
        let mut classes = [nothing; MAX_CLASSES];
        // Each class gets as many bytes as the smallest, or a good part of what extents may take.
        let share = match share {
            0 => smallest.checked_mul(all)?.max((max_bytes / 64).min(MAX_SHARE)),
            share => share,
        };
        let mut chunks = 0;
        let mut entries = 0_u64;
        let mut size = smallest;
        while size <= largest {
            let count = if size == smallest { all } else { (share / size).clamp(2, all.max(2)).min(all) };
            let first = u32::try_from(entries).ok()?;
            classes[chunks] = Class { size, count: count as u32, first, data_at: 0, stride: size };
            entries += count;
            chunks += 1;
            size *= 2;
        }
        let stretch = pages(max_bytes)?.min(MAX_STRETCH);
        let extents = if max_bytes <= largest { 0 } else { MAX_EXTENTS.min(all).min(MAX_TAIL / stretch) };
        let first = u32::try_from(entries).ok()?;
        classes[chunks] = Class { size: stretch, count: extents as u32, first, data_at: 0, stride: stretch };
        entries += extents;
        u32::try_from(entries).ok()?;
        let extents_at = entries * ENTRY;
        let mut len = pages(extents_at + extents * ENTRY)?;
        let usual = &mut classes[0];
        if usual.size == TINY {
            // In the second half of the entry's line.
            usual.data_at = ENTRY - TINY;
            usual.stride = ENTRY;
        } else {
            usual.data_at = len;
            len = pages(len.checked_add(usual.size.checked_mul(usual.count.into())?)?)?;
        }
        let mut tail = 0_u64;
        for class in &mut classes[1..=chunks] {
            class.data_at = tail;
            tail = pages(tail.checked_add(class.size.checked_mul(class.count.into())?)?)?;
        }
        if tail > 2 * MAX_TAIL {
            return None;
        }
        Some(Layout {
            classes,
            chunks: chunks as u8,
            used: chunks as u8 + u8::from(extents > 0),
            smallest: smallest.trailing_zeros(),
            extents_at,
            len,
            tail,
            max_bytes: if extents > 0 { pages(max_bytes)? } else { 0 },
        })
    }

    /// All classes, the extents last if there are any.
    pub(crate) fn classes(&self) -> &[Class] {
        &self.classes[..usize::from(self.used)]
    }

    /// The class of that number.
    #[inline(always)]
    pub(super) fn class(&self, number: u8) -> Option<&Class> {
        if number < self.used { self.classes.get(usize::from(number)) } else { None }
    }

    /// The number of the smallest class whose chunks hold `len` bytes; that of the extents if none does.
    #[inline(always)]
    pub(super) fn class_for(&self, len: u64) -> u8 {
        let log = u64::BITS - len.saturating_sub(1).leading_zeros();
        (log.saturating_sub(self.smallest) as u8).min(self.chunks)
    }

    /// The class of that number, if its chunks get their space when they are needed.
    #[inline(always)]
    pub(super) fn growing(&self, number: u8) -> Option<&Class> {
        if 0 < number && number < self.chunks { self.class(number) } else { None }
    }

    /// How many classes are chunks.
    #[inline(always)]
    pub(super) const fn chunk_classes(&self) -> u8 {
        self.chunks
    }

    /// The extents, if there are any.
    pub(crate) fn extents(&self) -> Option<&Class> {
        self.class(self.chunks)
    }

    /// The largest message, in bytes.
    pub(crate) fn max_len(&self) -> u64 {
        self.classes().last().map_or(0, |class| class.size)
    }

    /// How many bytes all extents may take together.
    pub(crate) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> u32 {
        self.classes().last().map_or(0, |class| class.first + class.count)
    }

    /// Where in the area the extents' books begin.
    pub(crate) const fn extents_at(&self) -> u64 {
        self.extents_at
    }

    /// The bytes of the area, in whole pages. Memory of all zeros is a pool in which everything is free.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// The bytes of the sparse tail.
    pub(crate) const fn tail_len(&self) -> u64 {
        self.tail
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;
    const DEFAULT: Demand =
        Demand { messages: 1024, max_held: 0, usual: 256, largest: 64 << 10, max_bytes: 64 * MIB, share: 0 };

    #[test]
    fn the_table_in_the_introduction_is_true() {
        let layout = Layout::of(DEFAULT).unwrap();
        let counts: Vec<_> = layout.classes().iter().map(|class| (class.size, class.count)).collect();
        assert_eq!(
            counts,
            [
                (256, 1024),
                (512, 1024),
                (1 << 10, 1024),
                (2 << 10, 512),
                (4 << 10, 256),
                (8 << 10, 128),
                (16 << 10, 64),
                (32 << 10, 32),
                (64 << 10, 16),
                (64 * MIB, 64),
            ]
        );
        assert_eq!(layout.len() * 10 / MIB, 5);
        assert_eq!((layout.tail_len() - (4 << 30)) * 10 / MIB, 75);
        assert_eq!((layout.max_len(), layout.max_bytes()), (64 * MIB, 64 * MIB));
    }

    #[test]
    fn messages_of_one_size_need_one_class() {
        let demand = Demand { usual: 24, largest: 24, max_bytes: 0, max_held: 16, ..DEFAULT };
        let layout = Layout::of(demand).unwrap();
        let [class] = layout.classes() else { panic!("{layout:?}") };
        assert_eq!((class.size, class.count, class.data_at, class.stride), (32, 1040, 32, 64));
        assert_eq!((layout.len(), layout.tail_len(), layout.max_len()), (69_632, 0, 32));
        assert_eq!(layout.class_for(33), layout.chunk_classes(), "no class");
        assert!(layout.extents().is_none());
    }

    #[test]
    fn a_length_goes_to_the_smallest_class_that_holds_it() {
        let layout = Layout::of(DEFAULT).unwrap();
        for (len, class) in
            [(0, 0), (1, 0), (255, 0), (256, 0), (257, 1), (512, 1), (513, 2), (65_536, 8), (65_537, 9)]
        {
            assert_eq!(layout.class_for(len), class, "{len}");
            assert!(layout.classes()[usize::from(class)].size >= len);
        }
        assert_eq!(layout.class_for(u64::MAX), 9);
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        for demand in [
            Demand { messages: 0, ..DEFAULT },
            Demand { messages: tag::MAX_INDEX, max_held: 1, ..DEFAULT },
            Demand { max_held: u64::MAX, ..DEFAULT },
            Demand { usual: (1 << 30) + 1, ..DEFAULT },
            Demand { usual: u64::MAX, ..DEFAULT },
            Demand { largest: u64::MAX, ..DEFAULT },
            Demand { max_bytes: u64::MAX, ..DEFAULT },
        ] {
            assert_eq!(Layout::of(demand), None, "{demand:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_everything_is_inside(
            messages in 1_u64..3000, max_held in 0_u64..100, usual in 0_u64..5000,
            largest in 0_u64..300_000, max_bytes in 0_u64..1 << 34, share in 0_u32..31,
        ) {
            let share = if share == 0 { 0 } else { 1_u64 << share };
            let demand = Demand { messages, max_held, usual, largest, max_bytes, share };
            prop_assert_eq!(Demand::of_params(messages, demand.params()), demand);
            let layout = Layout::of(demand).unwrap();
            prop_assert_eq!(Layout::of(demand).unwrap(), layout.clone());
            let chunks = &layout.classes()[..usize::from(layout.chunk_classes())];
            prop_assert!(u64::from(chunks[0].count) == messages + max_held && chunks[0].size >= usual);
            let books = layout.extents_at() + layout.extents().map_or(0, |e| u64::from(e.count) * ENTRY);
            let (mut area, mut tail) = (vec![(0, books)], Vec::new());
            for (number, class) in layout.classes().iter().enumerate() {
                prop_assert!(class.count > 0);
                if class.size == TINY {
                    prop_assert_eq!((number, class.data_at, class.stride), (0, TINY, ENTRY));
                    continue;
                }
                prop_assert_eq!(class.data_at % class.size.min(PAGE), 0);
                let place = (class.data_at, class.data_at + class.size * u64::from(class.count));
                if number == 0 { area.push(place) } else { tail.push(place) }
            }
            for (mut places, len) in [(area, layout.len()), (tail, layout.tail_len())] {
                places.sort_unstable();
                prop_assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{:?}", places);
                prop_assert!(places.last().is_none_or(|last| last.1 <= len) && len.is_multiple_of(PAGE));
            }
            let entries: u32 = layout.classes().iter().map(|class| class.count).sum();
            prop_assert_eq!(entries, layout.entries());
            prop_assert!(layout.max_len() >= usual);
            if let Some(extents) = layout.extents() {
                prop_assert!(extents.size >= max_bytes.min(MAX_STRETCH) && layout.tail_len() <= 2 * MAX_TAIL);
            }
        }
    }
}

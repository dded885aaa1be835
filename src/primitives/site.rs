//! Where an object lies.

use crate::arena::Share;
use crate::error::{Error, Kind};
use crate::options::Settings;
use crate::segment::layout::{PARAMS, Plan};
use crate::segment::{Member, Segment};
use crate::sync::{AtomicU64, Ordering};
use core::mem::{align_of, size_of};
use core::ptr::NonNull;
use std::sync::Arc;

/// The place of an object and its handle's share in the segment around it.
///
/// A segment may hold one object or thousands: nothing here, or above, assumes that it is the only one.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    segment: Arc<Segment>,
    block: Block,
    /// As whom this process takes part in the object: the segment's word, or that of its share in an arena.
    member: NonNull<AtomicU64>,
    /// Keeps the block, if there are others in the segment.
    share: Option<Arc<Share>>,
}

// SAFETY: the addresses are of memory that is shared with other processes anyway: whoever uses it reckons with others.
unsafe impl Send for Site {}
// SAFETY: as above.
unsafe impl Sync for Site {}

/// The stretches of a mapping that belong to one object. Valid as long as the segment is mapped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    body: NonNull<u8>,
    body_len: usize,
    table: NonNull<u8>,
    table_len: usize,
    capacity: u64,
}

/// An object that is small enough to share a segment with others.
pub(crate) trait Primitive: Sized {
    const KIND: Kind;

    /// What it needs; see [`Needs`].
    fn needs(settings: &Settings) -> Result<Needs, Error>;

    /// Gives a new one what it does not have if all its bytes are zero. Nobody else can see it yet.
    fn initialise(_block: Block, _settings: &Settings) -> Result<(), Error> {
        Ok(())
    }

    /// A handle to the object at `site`, whose kind, element and body length were found to agree with
    /// [`needs`](Self::needs).
    fn attach(site: Site, settings: &Settings) -> Result<Self, Error>;

    /// Undoes or finishes what the dead participant `dead` left in the object; see [`Sweep`](crate::segment::Sweep).
    fn sweep(block: Block, dead: u16);
}

/// The memory and the description of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// Size and alignment of the value in it.
    pub(crate) element: (u64, u64),
    /// How much it holds; what that means is the kind's business.
    pub(crate) capacity: u64,
    /// Bytes of the body: the same for all objects of a kind and element. It lies at a multiple of 64.
    pub(crate) body_len: u64,
    /// Bytes of the table: what grows with the capacity.
    pub(crate) table_len: u64,
}

impl Needs {
    /// Without a value, and of one size.
    pub(super) fn body<B>() -> Self {
        Needs { element: (0, 1), capacity: 1, body_len: size_of::<B>() as u64, table_len: 0 }
    }

    /// The segment that holds nothing else.
    pub(super) fn plan(self, kind: Kind) -> Plan {
        Plan {
            kind,
            element: self.element,
            capacity: self.capacity,
            variant: 0,
            body_len: self.body_len,
            data_len: self.table_len,
            areas: u64::from(self.table_len > 0),
            tail_len: 0,
            params: [0; PARAMS],
        }
    }
}

/// The capacity of a kind that has only one.
pub(super) fn only_one(settings: &Settings) -> Result<(), Error> {
    match settings.capacity {
        None | Some(1) => Ok(()),
        Some(asked) => Err(Error::BadCapacity { asked: asked as u64, min: 1, max: 1 }),
    }
}

impl Block {
    /// A block of an arena. All of it is mapped, at multiples of 64.
    pub(crate) fn new(
        body: NonNull<u8>,
        body_len: usize,
        table: NonNull<u8>,
        table_len: usize,
        capacity: u64,
    ) -> Self {
        Block { body, body_len, table, table_len, capacity }
    }

    /// The one block of a segment that holds nothing else.
    pub(super) fn whole(segment: &Segment) -> Self {
        let geometry = segment.geometry();
        let (table, table_len) = match geometry.areas {
            0 => (NonNull::dangling(), 0),
            _ => (segment.data(0), geometry.data_len),
        };
        let (body, capacity) = (segment.body(), geometry.capacity);
        Block { body, body_len: geometry.body_len, table, table_len, capacity }
    }

    pub(super) fn capacity(self) -> u64 {
        self.capacity
    }

    /// The object's own words.
    ///
    /// # Safety
    /// `B` is `repr(C)`, made of atomics and valid whatever its bytes are; the segment stays mapped for `'a`.
    #[inline(always)]
    pub(super) unsafe fn body<'a, B>(self) -> &'a B {
        const { assert!(align_of::<B>() <= 64) };
        debug_assert!(size_of::<B>() <= self.body_len);
        // SAFETY: as long as the kind says, at a multiple of 64, and mapped by the caller's word.
        unsafe { self.body.cast().as_ref() }
    }

    /// The place of a value behind the object's own words.
    pub(super) fn value(self, at: usize, len: usize) -> NonNull<u8> {
        assert!(at + len <= self.body_len, "the body has room for the value");
        // SAFETY: inside the block, as was just checked.
        unsafe { self.body.add(at) }
    }

    /// The table, of one `W` for each unit of the capacity.
    ///
    /// # Errors
    /// If the segment is too small for that: it lies.
    ///
    /// # Safety
    /// As for [`body`](Self::body).
    pub(super) unsafe fn table<'a, W>(self) -> Result<&'a [W], Error> {
        const { assert!(align_of::<W>() <= 64) };
        let lie = || Error::BadGeometry {
            field: "capacity",
            found: self.capacity,
            expected: (self.table_len / size_of::<W>()) as u64,
        };
        let count = usize::try_from(self.capacity).map_err(|_| lie())?;
        if count.checked_mul(size_of::<W>()).is_none_or(|len| len > self.table_len) {
            return Err(lie());
        }
        // SAFETY: so many of them fit, as was just checked, at a multiple of 64; mapped by the caller's word.
        Ok(unsafe { core::slice::from_raw_parts(self.table.cast().as_ptr(), count) })
    }
}

impl Block {
    /// The first `len` bytes of the table, for a kind that makes something else of it. They lie at a multiple of 64.
    ///
    /// # Errors
    /// If the segment is too small for that: it lies.
    pub(super) fn table_bytes(self, len: u64) -> Result<NonNull<u8>, Error> {
        if len > self.table_len as u64 {
            return Err(Error::BadGeometry {
                field: "capacity",
                found: self.capacity,
                expected: self.table_len as u64,
            });
        }
        Ok(self.table)
    }
}

impl Site {
    /// In a segment that holds nothing else.
    pub(super) fn whole(segment: Arc<Segment>) -> Self {
        let block = Block::whole(&segment);
        let member = NonNull::from(segment.member_cell());
        Site { segment, block, member, share: None }
    }

    /// A block of an arena.
    pub(crate) fn shared(segment: Arc<Segment>, block: Block, share: Arc<Share>) -> Self {
        let member = NonNull::from(share.member_cell());
        Site { segment, block, member, share: Some(share) }
    }

    /// The share in an arena, if the object lies in one.
    pub(super) fn share(&self) -> Option<&Share> {
        self.share.as_deref()
    }

    /// Sees to it that the object stays there while it is used. It does anyway, but for one in an arena that a forked child
    /// has not used yet: that one takes part here.
    ///
    /// # Errors
    /// [`Error::Gone`] if its parent and all others have dropped it meanwhile; what keeps a child from taking part.
    #[inline]
    pub(super) fn keep(&self) -> Result<(), Error> {
        if self.share.is_none() || self.member_if_known().is_some() {
            Ok(())
        } else {
            self.member().map(drop)
        }
    }

    /// Whether the object is there at this moment: the same without taking part, for signal handlers.
    #[inline]
    pub(super) fn is_there(&self) -> bool {
        self.share.is_none() || self.member_if_known().is_some() || self.is_still_there()
    }

    #[cold]
    fn is_still_there(&self) -> bool {
        self.share.as_ref().is_none_or(|share| share.is_live())
    }

    #[inline]
    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The attachment that it is a place in.
    pub(super) fn attachment(&self) -> &Arc<Segment> {
        &self.segment
    }

    #[inline]
    pub(super) fn block(&self) -> Block {
        self.block
    }

    /// The object's own words.
    ///
    /// # Safety
    /// `B` is `repr(C)`, made of atomics and valid whatever its bytes are.
    #[inline(always)]
    pub(super) unsafe fn body<B>(&self) -> &B {
        // SAFETY: the segment is mapped as long as this is borrowed; the rest is the caller's promise.
        unsafe { self.block.body() }
    }

    /// The table; see [`Block::table`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As for [`body`](Self::body).
    pub(super) unsafe fn table<W>(&self) -> Result<&[W], Error> {
        // SAFETY: the segment is mapped as long as this is borrowed; the rest is the caller's promise.
        unsafe { self.block.table() }
    }

    /// As whom this process takes part.
    ///
    /// # Errors
    /// Only in a forked child's first call.
    #[inline]
    pub(super) fn member(&self) -> Result<Member, Error> {
        match (self.member_if_known(), &self.share) {
            (Some(member), _) => Ok(member),
            (None, None) => self.segment.member(),
            (None, Some(share)) => share.come_back(),
        }
    }

    /// The same, if it is the one it was at the last call.
    #[inline(always)]
    pub(super) fn member_if_known(&self) -> Option<Member> {
        // SAFETY: in the segment or in the share, both of which live as long as this.
        let member = unsafe { self.member.as_ref() };
        // Relaxed: written by threads of this process that hold the registry; the value stands for itself.
        Member::of(member.load(Ordering::Relaxed), self.segment.generation())
    }

    /// Whether the holder of `index` is gone, or its index has a new holder that has not cleaned up yet. Never asked
    /// about our own. Ask after the word that names it was read.
    pub(super) fn is_dead(&self, index: u16) -> bool {
        self.segment.is_dead(index) || self.segment.is_inherited(index)
    }
}

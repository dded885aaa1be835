//! One writer, one reader, records of any length: a ring of bytes that lies in memory twice in a row.
//!
//! ```text
//!   Header   +0    tail      position behind the last published record   \  stored by the writer only
//!            +8    written   records published so far                    /
//!            +128  head      position of the first unreleased record     \  stored by the reader only
//!            +136  read      records released so far                     /
//!   Region   size bytes, a power of two, mirrored
//!
//!   Record   +0    len: u32   payload bytes
//!            +4    tag: u32   the user's
//!            +8    payload, then up to 7 bytes of padding; the next record follows
//!
//!   head <= tail <= head + size           (differences wrap; all positions are multiples of 8)
//! ```
//!
//! The indices work as in [`spsc`](super::spsc), and so does a crash: what is not behind the tail never was, what
//! is not before the head comes again. Both sides can do several records with one move of their index: the writer
//! [stages](Writer::stage) and then [publishes](Writer::publish), the reader [advances](Reader::advance) and then
//! [releases](Reader::release).
//!
//! | store | pairs with | what it carries |
//! |---|---|---|
//! | `publish`: tail, Release | `observe`: tail, Acquire | the records' headers and payloads |
//! | `release`: head, Release | `reuse`: head, Acquire | that the reader has done with the bytes |

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::region::Region;
use super::spsc::check_moved;
use crate::error::Corrupt;
use crate::sync::{AtomicU64, Ordering};

mod reader;
mod writer;

pub(crate) use reader::{Reader, Record};
pub(crate) use writer::{Reservation, Writer};

/// Bytes in front of each payload.
pub(crate) const RECORD_HEADER: u64 = 8;

/// The shared part of the ring. Memory of all zeros is an empty ring.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Header {
    /// Stored by the writer, loaded by the reader.
    tail: CachePadded<Side>,
    /// Stored by the reader, loaded by the writer.
    head: CachePadded<Side>,
}

/// What one side says: all in one cache line, which only that side writes. The rest of the line is reserved and
/// zero.
#[derive(Debug)]
#[repr(C)]
struct Side {
    /// Its index.
    position: AtomicU64,
    /// How many records it has done, for onlookers only. A killed owner may leave it one batch
    /// ahead of its index.
    records: AtomicU64,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 256 && align_of::<Header>() == 128);
    assert!(core::mem::offset_of!(Header, tail) == 0);
    assert!(core::mem::offset_of!(Header, head) == 128);
    assert!(core::mem::offset_of!(Side, position) == 0);
    assert!(core::mem::offset_of!(Side, records) == 8);
};

impl Header {
    /// An empty ring whose next record has `position`, a multiple of 8. Positions usually start at 0; any other
    /// start behaves alike.
    #[cfg(any(test, loom))]
    pub(crate) fn starting_at(position: u64) -> Self {
        let side =
            || CachePadded::new(Side { position: AtomicU64::new(position), records: AtomicU64::new(0) });
        Header { tail: side(), head: side() }
    }

    /// The published tail and the released head, as an onlooker sees them: not of one instant.
    #[inline]
    pub(crate) fn positions(&self) -> (u64, u64) {
        // Relaxed: hints for those who wait; whoever then takes the role looks again.
        (self.tail.position.load(Ordering::Relaxed), self.head.position.load(Ordering::Relaxed))
    }

    /// What was ever written and read. On a live ring the figures are not of one instant.
    pub(crate) fn counts(&self) -> Counts {
        // Relaxed: figures for an onlooker, nothing is concluded from them.
        Counts {
            read_bytes: self.head.position.load(Ordering::Relaxed),
            read: self.head.records.load(Ordering::Relaxed),
            written_bytes: self.tail.position.load(Ordering::Relaxed),
            written: self.tail.records.load(Ordering::Relaxed),
        }
    }
}

/// Records and bytes since the ring was created; see [`Header::counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records published.
    pub(crate) written: u64,
    /// Bytes published, with the records' headers and padding.
    pub(crate) written_bytes: u64,
    /// Records released.
    pub(crate) read: u64,
    /// Bytes released, with the records' headers and padding.
    pub(crate) read_bytes: u64,
}

/// Where a ring lies in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ring {
    header: NonNull<Header>,
    region: Region,
}

// SAFETY: addresses and a number; who may use what lies there is decided by the roles that `Writer::attach` and
// `Reader::attach` demand.
unsafe impl Send for Ring {}
// SAFETY: a shared `Ring` only gives out copies of itself and loads of atomics.
unsafe impl Sync for Ring {}

impl Ring {
    /// Names the place of a ring.
    ///
    /// # Safety
    /// As long as this value, a copy of it, or a writer or reader attached to it is used, `header` points to an
    /// aligned, mapped, writable [`Header`], whatever its content. (For `region` its own constructor was promised
    /// the same.)
    pub(crate) const unsafe fn new(header: NonNull<Header>, region: Region) -> Self {
        Ring { header, region }
    }

    /// The shared header.
    #[inline(always)]
    pub(crate) fn header<'a>(self) -> &'a Header {
        // SAFETY: `new` was promised a mapped header for as long as this ring is used, and callers keep the
        // reference no longer than the call they are in. It holds nothing but atomics.
        unsafe { self.header.as_ref() }
    }

    /// The storage.
    pub(crate) const fn region(&self) -> Region {
        self.region
    }

    /// The largest payload: a record may fill the whole ring, and its length must fit the record's header.
    #[inline(always)]
    pub(crate) const fn max_len(&self) -> u64 {
        let space = self.region.size() - RECORD_HEADER;
        if space > u32::MAX as u64 { u32::MAX as u64 } else { space }
    }
}

/// The bytes a record of `len` payload bytes takes in the ring. `len` is at most `u32::MAX`.
#[inline(always)]
pub(crate) const fn footprint(len: u64) -> u64 {
    RECORD_HEADER + ((len + 7) & !7)
}

/// Judges an index just read; see [`check_moved`]. It must also be a multiple of 8, as all were before it.
#[inline(always)]
fn check_index(field: &'static str, moved: u64, room: u64) -> Result<(), Corrupt> {
    check_moved(field, moved, room)?;
    check_aligned(field, moved)
}

/// The same bytes, for who will only write them.
#[inline(always)]
fn as_uninit(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let len = bytes.len();
    // SAFETY: the same memory, borrowed exclusively, and of the same layout. The result goes to
    // `Region::copy_out` alone, which stores nothing but initialised bytes.
    unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) }
}

/// Refuses a position that is no multiple of 8.
#[inline(always)]
fn check_aligned(field: &'static str, position: u64) -> Result<(), Corrupt> {
    if position.is_multiple_of(8) {
        Ok(())
    } else {
        Err(Corrupt { field, found: position % 8, limit: 0, place: None })
    }
}

/// How far a side was when it last looked at the other's index.
#[derive(Debug, Clone, Copy)]
struct Looked {
    position: u64,
    records: u64,
}

#[cfg(all(test, not(loom)))]
mod tests;

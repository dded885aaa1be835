//! A ring of byte records of any length with one producer and one consumer, in one process or two.
//!
//! Each record lies in memory in one piece, also where the ring wraps round: the ring's memory is mapped twice in
//! a row. So a record can be written in place ([`Producer::reserve`]) and read in place ([`Consumer::peek`])
//! whatever its length.
//!
//! ```
//! use ringway::bytes;
//!
//! # let name = format!("doc-bytes-{}", std::process::id());
//! let mut tx = bytes::Producer::create(&name, 64 * 1024)?; // in one process
//! let mut rx = bytes::Consumer::open(&name)?; //              in another
//!
//! tx.push(b"hello")?;
//! if let Some(mut loan) = tx.reserve(100) {
//!     loan[..5].copy_from_slice(b"world"); // written in place
//!     loan.commit_len(5);
//! }
//!
//! assert_eq!(rx.pop()?, b"hello");
//! if let Some(record) = rx.peek() {
//!     assert_eq!(&*record, b"world"); // read in place; released on drop
//! }
//! # ringway::unlink(&name)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For messages larger than the ring, for several processes at one end, and for both directions there is the
//! [`Pipe`](crate::Pipe). What happens when a process dies is told in [`spsc`](crate::spsc#when-a-process-dies).

use super::endpoint::endpoint;
use super::role::{Body, Claim, Side};
use crate::error::{Error, Kind};
use crate::options::{Object, Settings};
use crate::ring::bytes::{Header, Reader, Ring, Writer};
use crate::ring::region::Region;
use crate::segment::layout::{self, PARAMS, Plan};
use crate::segment::{Segment, Sweep};
use crate::wait::{Barrier, Wait, Waiter};
use core::fmt;
use core::mem::size_of;
use std::sync::Arc;

mod consumer;
mod producer;

pub use consumer::{Consumer, Drain, View};
pub(super) use consumer::{append, in_place};
pub use producer::{Batch, Loan, Producer};

/// What the two endpoints share.
macro_rules! half {
    ($endpoint:ident, $half:ident, $role:expr) => {
        endpoint!(
            [],
            $endpoint,
            "ring",
            " and takes this role",
            "its size in bytes, rounded up to a power of two of at least 4096"
        );

        impl $endpoint {
            fn segment(&self) -> &Segment {
                self.claim.segment()
            }

            /// Changes how the blocking calls wait.
            pub fn set_wait(&mut self, wait: Wait) {
                self.waiter = Waiter::new(wait);
            }

            /// The size of the ring in bytes. A record takes 8 more than its length, rounded up to 8.
            pub fn capacity(&self) -> usize {
                self.side.ring().region().size() as usize
            }

            /// The longest record possible, in bytes.
            pub fn max_len(&self) -> usize {
                self.side.ring().max_len() as usize
            }

            /// How many records were in the ring a moment ago. The other side may have changed it since.
            pub fn len(&self) -> usize {
                let counts = self.side.ring().header().counts();
                // A killed side can leave its count ahead of its index. A record takes 8 bytes at least, and one
                // is there if any byte is.
                let held = counts.written_bytes.wrapping_sub(counts.read_bytes).min(self.capacity() as u64);
                let records = counts.written.wrapping_sub(counts.read);
                records.max(u64::from(held > 0)).min(held / 8) as usize
            }

            /// Whether the ring was empty a moment ago.
            pub fn is_empty(&self) -> bool {
                let counts = self.side.ring().header().counts();
                counts.written_bytes == counts.read_bytes
            }
        }

        impl fmt::Debug for $endpoint {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($endpoint))
                    .field("name", &self.claim.segment().name())
                    .field("capacity", &self.capacity())
                    .field("position", &self.side.position())
                    .finish_non_exhaustive()
            }
        }

        impl Object for $endpoint {
            const SWEEP: Sweep = sweep;

            fn plan(settings: &Settings) -> Result<Plan, Error> {
                let area = area(settings.capacity)?;
                Ok(Plan {
                    kind: Kind::Bytes,
                    element: (1, 8),
                    capacity: area,
                    variant: 0,
                    body_len: size_of::<Body<Header>>() as u64,
                    data_len: area,
                    areas: 1,
                    tail_len: 0,
                    params: [0; PARAMS],
                })
            }

            fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
                if segment.geometry().areas != 1 {
                    let found = segment.geometry().areas as u64;
                    return Err(Error::BadGeometry { field: "areas", found, expected: 1 });
                }
                let region = region_of(&segment, 0)?;
                // SAFETY: the body starts with the header, mapped as long as the segment, which the claim keeps.
                let ring = unsafe { Ring::new(segment.body().cast(), region) };
                // SAFETY: a segment of the kind Bytes was planned with this body.
                let claim = unsafe { Claim::take(segment, $role)? };
                // SAFETY: the role is ours, and `Role::claim` orders its last holder before us.
                let side = unsafe { $half::attach(ring)? };
                Ok($endpoint {
                    side,
                    waiter: Waiter::new(settings.wait),
                    barrier: Barrier::of_this_process(),
                    trusted: claim.segment().is_trusted(),
                    scratch: Vec::new(),
                    claim,
                })
            }
        }
    };
}

half!(Producer, Writer, Side::Producer);
half!(Consumer, Reader, Side::Consumer);

/// Makes a ring without a name with both its ends in this process, for two threads or to be handed over.
///
/// # Errors
/// As [`Producer::anonymous`].
///
/// ```
/// let (mut tx, mut rx) = ringway::bytes::pair(4096)?;
/// let reader = std::thread::spawn(move || rx.recv());
/// tx.send(b"hello")?;
/// assert_eq!(reader.join().unwrap()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pair(capacity: usize) -> Result<(Producer, Consumer), Error> {
    let producer = Producer::anonymous(capacity)?;
    let consumer = Consumer::attach(Arc::clone(producer.claim.segment()), &Consumer::options().settings)?;
    Ok((producer, consumer))
}

/// The size of the data area for a capacity asked for: a power of two of at least a page.
pub(super) fn area(capacity: Option<usize>) -> Result<u64, Error> {
    let asked = capacity.unwrap_or(1) as u64;
    let bad = Error::BadCapacity { asked, min: 1, max: Region::MAX_SIZE };
    if asked == 0 || asked > Region::MAX_SIZE {
        Err(bad)
    } else {
        Ok(asked.next_power_of_two().max(Region::MIN_SIZE))
    }
}

/// Checks that each data area of a mirrored segment is a storage we would have made, and says how large.
pub(crate) fn check_geometry(found: &layout::Geometry) -> Result<u64, Error> {
    let size = found.data_len as u64;
    if found.capacity != size {
        return Err(Error::BadGeometry { field: "data length", found: size, expected: found.capacity });
    }
    if !Region::is_valid_size(size) {
        let expected = size.clamp(Region::MIN_SIZE, Region::MAX_SIZE).next_power_of_two();
        return Err(Error::BadGeometry { field: "capacity", found: size, expected });
    }
    Ok(size)
}

/// The storage in data area `index` of a mirrored segment.
pub(super) fn region_of(segment: &Segment, index: usize) -> Result<Region, Error> {
    let size = check_geometry(segment.geometry())?;
    // SAFETY: the area has `size` bytes, page-aligned and mapped twice in a row since the segment is mirrored.
    let region = unsafe { Region::new(segment.data(index), size) };
    region.ok_or(Error::BadGeometry { field: "capacity", found: size, expected: Region::MAX_SIZE })
}

fn sweep(segment: &Segment, index: u16) {
    // SAFETY: this function is the sweep of segments of the kind Bytes only, which have this body.
    unsafe { segment.body_as::<Body<Header>>() }.sweep(index);
}

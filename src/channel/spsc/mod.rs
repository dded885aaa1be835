//! A ring of fixed-size messages with one producer and one consumer, in one process or two.
//!
//! The fastest way from one process to another: no system call, no fence and no locked instruction for a
//! message while nobody sleeps. Messages are any [`bytemuck::Pod`] type: plain data without pointers or padding.
//!
//! ```
//! use bytemuck::{Pod, Zeroable};
//! use ringway::spsc;
//!
//! #[repr(C)]
//! #[derive(Clone, Copy, Pod, Zeroable)]
//! struct Tick { id: u64, px: f64, qty: f64 }
//!
//! # let name = format!("doc-spsc-{}", std::process::id());
//! let mut tx = spsc::Producer::<Tick>::create(&name, 1024)?; // in one process
//! let mut rx = spsc::Consumer::<Tick>::open(&name)?; //          in another
//!
//! tx.push(Tick { id: 1, px: 101.25, qty: 10.0 })?;
//! if let Some(mut slot) = tx.reserve() {
//!     *slot = Tick { id: 2, px: 101.5, qty: 5.0 }; // written in place
//!     slot.commit();
//! }
//!
//! assert_eq!(rx.pop()?.id, 1);
//! if let Some(tick) = rx.peek() {
//!     assert_eq!(tick.id, 2); // read in place; released on drop
//! }
//! # ringway::unlink(&name)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When a process dies
//! A message is there as a whole or not at all. What the dead producer had pushed can still be popped; then
//! [`Consumer::recv`] says [`Closed`](crate::RecvError::Closed). What the dead consumer had only peeked at comes again.
//! Another process can take over a dead one's role at any time.

use super::endpoint::endpoint;
use super::role::{Body, Claim, Side};
use crate::error::{Error, Kind};
use crate::options::{Object, Settings};
use crate::ring::spsc::{Geometry, Header, Reader, Ring, Writer};
use crate::segment::layout::{self, PARAMS, Plan};
use crate::segment::{Segment, Sweep};
use crate::sync::Slot;
use crate::wait::{Barrier, Wait, Waiter};
use bytemuck::Pod;
use core::fmt;
use core::mem::{align_of, size_of};
use std::sync::Arc;

mod consumer;
mod error;
mod producer;

pub use consumer::{Consumer, Drain, Peek};
pub use error::{PushError, SendError};
pub use producer::{Producer, Reserve};

/// What the two endpoints share.
macro_rules! half {
    ($endpoint:ident, $half:ident, $role:expr) => {
        endpoint!(
            [T: Pod],
            $endpoint<T>,
            "ring",
            " and takes this role",
            "the number of messages it holds"
        );

        impl<T: Pod> $endpoint<T> {
            fn segment(&self) -> &Segment {
                self.claim.segment()
            }

            /// Changes how the blocking calls wait.
            pub fn set_wait(&mut self, wait: Wait) {
                self.waiter = Waiter::new(wait);
            }

            /// How many messages the ring holds before it is full.
            pub fn capacity(&self) -> usize {
                self.side.ring().geometry().capacity() as usize
            }
        }

        impl<T: Pod> fmt::Debug for $endpoint<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($endpoint))
                    .field("name", &self.claim.segment().name())
                    .field("capacity", &self.capacity())
                    .field("position", &self.side.position())
                    .finish_non_exhaustive()
            }
        }

        impl<T: Pod> Object for $endpoint<T> {
            const SWEEP: Sweep = sweep;

            fn plan(settings: &Settings) -> Result<Plan, Error> {
                plan::<T>(settings.capacity)
            }

            fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error> {
                let ring = ring_in::<T>(&segment)?;
                // SAFETY: a segment of the kind Spsc was planned with this body.
                let claim = unsafe { Claim::take(segment, $role)? };
                // SAFETY: the role is ours, and `Role::claim` orders its last holder before us.
                let side = unsafe { $half::attach(ring)? };
                Ok($endpoint {
                    side,
                    waiter: Waiter::new(settings.wait),
                    barrier: Barrier::of_this_process(),
                    scratch: (!claim.segment().is_trusted()).then(|| Box::new(T::zeroed())),
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
/// let (mut tx, mut rx) = ringway::spsc::pair::<u64>(16)?;
/// let sum = std::thread::spawn(move || (0..1000).map(|_| rx.recv().unwrap()).sum::<u64>());
/// for n in 0..1000 {
///     tx.send(n)?;
/// }
/// assert_eq!(sum.join().unwrap(), 499_500);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pair<T: Pod>(capacity: usize) -> Result<(Producer<T>, Consumer<T>), Error> {
    let producer = Producer::anonymous(capacity)?;
    let consumer =
        Consumer::attach(Arc::clone(producer.claim.segment()), &Consumer::<T>::options().settings)?;
    Ok((producer, consumer))
}

fn plan<T>(capacity: Option<usize>) -> Result<Plan, Error> {
    let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    if size == 0 || align > 4096 {
        return Err(Error::BadElement { size, align });
    }
    let asked = capacity.map_or(1, |capacity| capacity as u64);
    let max = (1 << 45) / size.next_power_of_two();
    let geometry =
        Geometry::new(asked).filter(|_| asked <= max).ok_or(Error::BadCapacity { asked, min: 1, max })?;
    Ok(Plan {
        kind: Kind::Spsc,
        element: (size, align),
        capacity: asked,
        variant: 0,
        body_len: size_of::<Body<Header>>() as u64,
        data_len: geometry.slots() * size,
        areas: 1,
        tail_len: 0,
        params: [0; PARAMS],
    })
}

/// Checks that a segment of the kind Spsc has a geometry we would have given it.
pub(crate) fn check_geometry(found: &layout::Geometry) -> Result<Geometry, Error> {
    let bad = |field, found, expected| Error::BadGeometry { field, found, expected };
    let geometry = Geometry::new(found.capacity)
        .ok_or_else(|| bad("capacity", found.capacity, Geometry::MAX_CAPACITY))?;
    let needed = geometry.slots().saturating_mul(found.element.0);
    if found.areas != 1 || (found.data_len as u64) < needed {
        return Err(bad("data length", (found.data_len * found.areas) as u64, needed));
    }
    Ok(geometry)
}

/// Finds the ring in a segment whose header was made for elements of type `T`.
fn ring_in<T: Pod>(segment: &Segment) -> Result<Ring<T>, Error> {
    let geometry = check_geometry(segment.geometry())?;
    debug_assert_eq!(segment.geometry().element.0, size_of::<T>() as u64);
    let header = segment.body().cast::<Header>();
    let slots = segment.data(0).cast::<Slot<T>>();
    // SAFETY: the body starts with the header and the area holds the slots, both checked above and mapped as
    // long as the segment, which whoever holds this ring holds too. Fresh pages are zero, so initialised.
    Ok(unsafe { Ring::new(header, slots, geometry) })
}

fn sweep(segment: &Segment, index: u16) {
    // SAFETY: this function is the sweep of segments of the kind Spsc only, which have this body.
    unsafe { segment.body_as::<Body<Header>>() }.sweep(index);
}

/// What lies in the ring by the shared indices, as an onlooker sees it.
fn count<T: Pod>(ring: Ring<T>) -> usize {
    let counts = ring.header().counts();
    counts.written.wrapping_sub(counts.read).min(ring.geometry().capacity()) as usize
}

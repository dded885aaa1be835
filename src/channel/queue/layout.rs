//! A queue as it lies in its segment.
//!
//! ```text
//! body   Body    the ring's header, where senders and receivers wait, figures for onlookers
//! data   slots   capacity of them
//! ```

use crate::error::{Error, Kind};
use crate::ring::mpmc::{Geometry, Header, MAX_CAPACITY, Repairs, Slots};
use crate::segment::layout::{self, PARAMS, Plan};
use crate::segment::{Segment, Sweep};
use crate::sync::{AtomicU64, Ordering};
use crate::wait::{ALL, Barrier, EventCount};
use core::mem::{align_of, size_of};
use core::ptr::NonNull;
use crossbeam_utils::CachePadded;

/// Messages a queue holds unless asked otherwise.
const DEFAULT_CAPACITY: u64 = 1024;

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Body {
    pub(crate) header: Header,
    /// Receivers wait here; senders wake.
    pub(crate) items: CachePadded<EventCount>,
    /// Senders wait here; receivers wake.
    pub(crate) space: CachePadded<EventCount>,
    pub(crate) figures: CachePadded<Figures>,
}

/// What repairs have done since the queue was made. Figures for onlookers: a repairer that dies may leave its own out.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Figures {
    pub(crate) skipped: AtomicU64,
    pub(crate) redelivered: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) deaths: AtomicU64,
}

/// [`Figures`] as they were.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) skipped: u64,
    pub(crate) redelivered: u64,
    pub(crate) given_up: u64,
    pub(crate) deaths: u64,
}

impl Figures {
    pub(crate) fn read(&self) -> Counted {
        // Relaxed: nothing is concluded from them.
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Counted {
            skipped: read(&self.skipped),
            redelivered: read(&self.redelivered),
            given_up: read(&self.given_up),
            deaths: read(&self.deaths),
        }
    }

    pub(super) fn count(&self, repairs: Repairs) {
        // Relaxed: nothing is concluded from them.
        self.skipped.fetch_add(repairs.skipped, Ordering::Relaxed);
        self.redelivered.fetch_add(repairs.redelivered, Ordering::Relaxed);
        self.given_up.fetch_add(repairs.given_up, Ordering::Relaxed);
    }
}

pub(super) fn body(segment: &Segment) -> &Body {
    // SAFETY: only segments of the kind Queue come here, which are planned with this body, made of atomics.
    unsafe { segment.body_as::<Body>() }
}

pub(super) fn plan<T>(capacity: Option<usize>) -> Result<Plan, Error> {
    let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    let asked = capacity.map_or(DEFAULT_CAPACITY, |capacity| capacity as u64);
    let Some(stride) = stride_of((size, align)) else { return Err(Error::BadElement { size, align }) };
    let max = MAX_CAPACITY.min((1 << 45) / stride as u64);
    let geometry = Geometry::new(asked, stride).filter(|_| asked <= max);
    let geometry = geometry.ok_or(Error::BadCapacity { asked, min: 1, max })?;
    Ok(Plan {
        kind: Kind::Queue,
        element: (size, align),
        capacity: asked,
        variant: 0,
        body_len: size_of::<Body>() as u64,
        data_len: geometry.bytes(),
        areas: 1,
        tail_len: 0,
        params: [0; PARAMS],
    })
}

/// How far apart slots with a content of this size and alignment are; `None` if there can be none.
fn stride_of((size, align): (u64, u64)) -> Option<usize> {
    // A slot is `Cell<T>`: a stamp of 16 bytes, then the content where its alignment lets it begin.
    let ok = size > 0 && size <= 1 << 40 && align.is_power_of_two() && align <= 64;
    ok.then(|| (16_u64.next_multiple_of(align) + size).next_multiple_of(64) as usize)
}

/// Checks that a segment of the kind Queue has a geometry we would have given it.
pub(crate) fn check_geometry(found: &layout::Geometry) -> Result<Geometry, Error> {
    let bad = |field, found, expected| Error::BadGeometry { field, found, expected };
    let stride = stride_of(found.element).ok_or_else(|| bad("element size", found.element.0, 1 << 40))?;
    let geometry =
        Geometry::new(found.capacity, stride).ok_or_else(|| bad("capacity", found.capacity, MAX_CAPACITY))?;
    if found.areas != 1 || (found.data_len as u64) < geometry.bytes() {
        return Err(bad("data length", (found.data_len * found.areas) as u64, geometry.bytes()));
    }
    Ok(geometry)
}

/// The slots in a segment of the kind Queue.
pub(super) fn slots_in(segment: &Segment) -> Result<Slots, Error> {
    let geometry = check_geometry(segment.geometry())?;
    let header = NonNull::from(&body(segment).header);
    // SAFETY: the body starts with the header, and the area holds the slots, as was just checked; both are mapped as
    // long as the segment, which whoever uses the slots holds.
    Ok(unsafe { Slots::new(header, segment.data(0), geometry) })
}

/// Ends what a dead participant began. Its index is held by the caller, who has made no claim yet, or by nobody; then
/// `is_dead` asks once more, after each word was read.
pub(super) fn clean(segment: &Segment, index: u16, is_dead: impl Fn(u16) -> bool) {
    let body = body(segment);
    let Ok(slots) = slots_in(segment) else { return };
    let repairs = slots.sweep(|owner| owner == index && is_dead(owner));
    body.figures.count(repairs);
    if repairs.is_any() {
        let barrier = Barrier::of_this_process();
        // A message may have come back, and a slot become free, for whoever waits first.
        body.items.wake(ALL, barrier);
        body.space.wake(ALL, barrier);
    }
}

pub(super) const SWEEP: Sweep = |segment, index| clean(segment, index, |_| true);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::mpmc::Cell;

    #[test]
    fn the_stride_is_the_size_of_a_slot() {
        macro_rules! check {
            ($($t:ty),*) => {$(
                let element = (size_of::<$t>() as u64, align_of::<$t>() as u64);
                assert_eq!(stride_of(element), Some(size_of::<Cell<$t>>()), stringify!($t));
            )*};
        }
        #[derive(Clone, Copy)]
        #[repr(align(64))]
        #[allow(dead_code)]
        struct Line([u8; 64]);
        check!(u8, u64, u128, [u8; 48], [u8; 49], [u64; 6], [u64; 7], [u8; 1000], [u128; 3], Line);
        assert_eq!(stride_of((0, 1)), None);
        assert_eq!(stride_of((8, 128)), None);
        assert_eq!(stride_of((8, 3)), None);
    }
}

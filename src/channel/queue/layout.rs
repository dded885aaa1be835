//! A queue as it lies in its segment.
//!
//! ```text
//! body   Body    the headers of ring and pool, where everybody waits, figures for onlookers
//!        Tally   in a queue that counts what was handed out and done
//! data   slots   capacity of them
//!        pool    page-aligned, if there is one: what is too large for a slot, or is held on to
//! tail   extents of the pool
//! ```
//!
//! A queue of plain values has them in its slots, and no pool. One of bytes or of tasks has slots of one line, and
//! the pool that its [`Demand`] asks for, which stands in the segment's header.

use crate::error::{Error, Kind};
use crate::options::Settings;
use crate::pool::{self, Demand, Layout, MAX_ENTRIES, Pool, Swept, Tally};
use crate::ring::mpmc::{Geometry, Header, MAX_CAPACITY, Repairs, Slots, State};
use crate::segment::layout::{self, PARAMS, Plan};
use crate::segment::{Segment, Sweep};
use crate::sync::{AtomicU64, Ordering, mutated};
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
    pub(crate) pool: pool::Header,
    /// Senders wait here for a chunk; whoever frees one wakes all: a larger one does not help everybody.
    pub(crate) room: CachePadded<EventCount>,
    /// Whoever waits for all tasks to be done waits here.
    pub(crate) finished: CachePadded<EventCount>,
}

/// The body of a queue that counts what was handed out and done.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct TallyBody {
    pub(crate) body: Body,
    pub(crate) tally: CachePadded<Tally>,
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

    pub(super) fn count_swept(&self, swept: Swept) {
        self.redelivered.fetch_add(swept.orphaned, Ordering::Relaxed);
    }

    pub(super) fn count_given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_redelivered(&self) {
        self.redelivered.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn body(segment: &Segment) -> &Body {
    // SAFETY: only segments of the queues' kinds come here, which are planned with this body, made of atomics.
    unsafe { segment.body_as::<Body>() }
}

/// Where a [`Body`] lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(NonNull<Body>);

// SAFETY: the address of what consists of atomics.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    pub(super) fn of(body: &Body) -> Self {
        Place(NonNull::from(body))
    }

    /// # Safety
    /// The segment it lies in is mapped for as long as what is returned is used.
    #[inline(always)]
    pub(super) unsafe fn get<'a>(self) -> &'a Body {
        // SAFETY: it was a body when this was made, and is mapped, as the caller promises.
        unsafe { self.0.as_ref() }
    }
}

pub(super) fn plan<T>(capacity: Option<usize>) -> Result<Plan, Error> {
    let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    let asked = capacity.map_or(DEFAULT_CAPACITY, |capacity| capacity as u64);
    let Some(stride) = stride_of((size, align)) else { return Err(Error::BadElement { size, align }) };
    let max = most(stride);
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

/// How many slots of that stride there can be. Their bytes can be counted.
fn most(stride: usize) -> u64 {
    MAX_CAPACITY.min((1 << 45) / stride as u64)
}

/// How far apart slots with a content of this size and alignment are; `None` if there can be none.
fn stride_of((size, align): (u64, u64)) -> Option<usize> {
    // A slot is `Cell<T>`: a word, then the content where its alignment lets it begin. None lies across a line that it
    // could lie within.
    let ok = size > 0 && size <= 1 << 40 && align.is_power_of_two() && align <= 64;
    ok.then(|| match 8_u64.next_multiple_of(align) + size {
        small @ ..=64 => small.next_power_of_two().max(16) as usize,
        large => large.next_multiple_of(64) as usize,
    })
}

/// The bytes that a slot of one line holds besides its stamp.
pub(super) const INLINE: usize = 48;

/// The stride of the slots beside a pool.
const LINE: usize = 64;

/// Messages of up to so many bytes have a chunk waiting for each of them, unless asked otherwise.
const USUAL: u64 = 256;

/// Larger messages than this lie in extents.
const LARGEST: u64 = 64 << 10;

/// The bytes that all extents may take together, unless asked otherwise. They cost nothing before they are used.
const MAX_BYTES: u64 = 1 << 30;

/// How many messages may be held, beside those in the queue, unless asked otherwise: one for each process there can be.
const MAX_HELD: u64 = 254;

/// The largest chunk there can be.
const MAX_SIZE: u64 = 1 << 30;

/// No file system lets files have holes much larger than these extents.
const MAX_LARGE: u64 = 1 << 40;

/// What is asked of the pool of a queue of bytes.
pub(super) fn demand_for_bytes(settings: &Settings) -> Demand {
    let usual = settings.message_size.unwrap_or(USUAL);
    Demand {
        messages: capacity_of(settings),
        max_held: settings.max_held.unwrap_or(MAX_HELD),
        usual,
        largest: LARGEST.max(usual),
        max_bytes: settings.max_bytes.unwrap_or(MAX_BYTES),
        share: settings.spare.map_or(0, |bytes| bytes.clamp(2, MAX_SIZE).next_power_of_two()),
    }
}

/// What is asked of the pool of a queue of tasks of `size` bytes each.
pub(super) fn demand_for_values(settings: &Settings, size: u64) -> Demand {
    let max_held = settings.max_held.unwrap_or(MAX_HELD);
    Demand { messages: capacity_of(settings), max_held, usual: size, largest: size, max_bytes: 0, share: 0 }
}

fn capacity_of(settings: &Settings) -> u64 {
    settings.capacity.map_or(DEFAULT_CAPACITY, |capacity| capacity as u64)
}

/// A queue with a pool.
pub(super) fn plan_pooled(kind: Kind, element: (u64, u64), demand: Demand) -> Result<Plan, Error> {
    let asked = demand.messages;
    let limits = [
        ("message_size", demand.usual, MAX_SIZE),
        ("max_held", demand.max_held, MAX_CAPACITY - 1),
        ("max_bytes", demand.max_bytes, MAX_LARGE),
    ];
    if let Some(&(option, asked, max)) = limits.iter().find(|(_, asked, max)| asked > max) {
        return Err(Error::BadOption { option, asked, max });
    }
    let impossible = Error::BadCapacity { asked, min: 1, max: MAX_CAPACITY - demand.max_held };
    let Some(slots) = Geometry::new(asked, LINE) else { return Err(impossible) };
    let countable = |pool: &Layout| kind != Kind::TallyQueue || pool.entries() <= MAX_ENTRIES;
    let Some(pool) = Layout::of(demand).filter(countable) else { return Err(impossible) };
    let data_len = slots.bytes().next_multiple_of(PAGE).checked_add(pool.len()).ok_or(impossible)?;
    Ok(Plan {
        kind,
        element,
        capacity: asked,
        variant: 0,
        body_len: body_len(kind),
        data_len,
        areas: 1,
        tail_len: pool.tail_len(),
        params: demand.params(),
    })
}

const PAGE: u64 = 4096;

const fn body_len(kind: Kind) -> u64 {
    match kind {
        Kind::TallyQueue => size_of::<TallyBody>() as u64,
        _ => size_of::<Body>() as u64,
    }
}

/// Checks that a segment of a queue's kind has a geometry we would have given it.
pub(crate) fn check_geometry(found: &layout::Geometry) -> Result<Geometry, Error> {
    let bad = |field, found, expected| Error::BadGeometry { field, found, expected };
    let pool = check_pool(found)?;
    let stride = match pool {
        Some(_) => LINE,
        None => stride_of(found.element).ok_or_else(|| bad("element size", found.element.0, 1 << 40))?,
    };
    let geometry = Geometry::new(found.capacity, stride)
        .filter(|_| found.capacity <= most(stride))
        .ok_or_else(|| bad("capacity", found.capacity, most(stride)))?;
    let needed = geometry.bytes().next_multiple_of(PAGE) + pool.map_or(0, |pool| pool.len());
    if found.areas != 1 || (found.data_len as u64) != needed {
        return Err(bad("data length", (found.data_len * found.areas) as u64, needed));
    }
    Ok(geometry)
}

/// How the pool of a queue lies, if its kind has one.
pub(crate) fn check_pool(found: &layout::Geometry) -> Result<Option<Layout>, Error> {
    if found.kind == Kind::Queue {
        return Ok(None);
    }
    let bad = |field, found, expected| Error::BadGeometry { field, found, expected };
    let demand = Demand::of_params(found.capacity, found.params);
    let pool = Layout::of(demand).ok_or_else(|| bad("pool", demand.usual, MAX_CAPACITY))?;
    if found.tail_len as u64 != pool.tail_len() {
        return Err(bad("tail length", found.tail_len as u64, pool.tail_len()));
    }
    if found.kind == Kind::JoinableQueue && found.element != BYTES && found.element.0 > demand.usual {
        return Err(bad("element size", found.element.0, demand.usual));
    }
    if found.kind == Kind::TallyQueue {
        if found.element != BYTES {
            return Err(bad("element size", found.element.0, BYTES.0));
        }
        if pool.entries() > MAX_ENTRIES {
            return Err(bad("pool", pool.entries().into(), MAX_ENTRIES.into()));
        }
        // Before anybody looks for the counts behind the rest.
        if found.body_len as u64 != body_len(found.kind) {
            return Err(bad("body length", found.body_len as u64, body_len(found.kind)));
        }
    }
    Ok(Some(pool))
}

/// The element of queues of bytes: no plain value has it.
pub(super) const BYTES: (u64, u64) = (1, 8);

/// The slots in a segment of a queue's kind.
pub(super) fn slots_in(segment: &Segment) -> Result<Slots, Error> {
    let geometry = check_geometry(segment.geometry())?;
    let header = NonNull::from(&body(segment).header);
    // SAFETY: the body starts with the header, and the area holds the slots, as was just checked; both are mapped as
    // long as the segment, which whoever uses the slots holds.
    Ok(unsafe { Slots::new(header, segment.data(0), geometry) })
}

/// The pool in a segment of a queue's kind, if it has one.
pub(super) fn pool_in(segment: &Segment) -> Result<Option<Pool>, Error> {
    let slots = check_geometry(segment.geometry())?;
    let Some(layout) = check_pool(segment.geometry())? else { return Ok(None) };
    let header = NonNull::from(&body(segment).pool);
    // SAFETY: the area holds the slots and then the pool, as was just checked.
    let area = unsafe { segment.data(0).add(slots.bytes().next_multiple_of(PAGE) as usize) };
    // SAFETY: header, area and tail lie in the mapping, the latter as long as the layout says, as was just checked; they
    // are mapped as long as the segment, which whoever uses the pool holds.
    let pool = unsafe { Pool::new(header, area, segment.tail(), layout) };
    if segment.geometry().kind != Kind::TallyQueue {
        return Ok(Some(pool));
    }
    // SAFETY: only segments of this kind have this body, as was just checked; it is made of atomics.
    let body = unsafe { segment.body_as::<TallyBody>() };
    // SAFETY: in the mapping, for as long.
    Ok(Some(unsafe { pool.with_tally(NonNull::from(&*body.tally)) }))
}

/// Ends what a dead participant began. Its index is held by the caller, who has made no claim yet, or by nobody; then
/// `is_dead` asks once more, after each word was read. `me` is who does it: in the first case, that index itself.
pub(super) fn clean(segment: &Segment, me: u16, index: u16, is_dead: impl Fn(u16) -> bool) {
    let body = body(segment);
    let (Ok(slots), Ok(pool)) = (slots_in(segment), pool_in(segment)) else { return };
    let dead = |owner| owner == index && is_dead(owner);
    if let Some(pool) = &pool {
        slots.each_held(|blocker| {
            if blocker.word.state() == State::Reading && dead(blocker.word.owner()) {
                pool.disown(&slots, blocker);
            }
        });
    }
    let repairs = slots.sweep(dead);
    let pool = pool.filter(|_| !mutated!("channel.sweep_pool"));
    let broken =
        pool.as_ref().and_then(Pool::tally).is_some_and(|tally| tally.promises().forget(index, &is_dead));
    let swept = pool.map_or(Swept::default(), |pool| pool.sweep(me, &slots, dead));
    body.figures.count(repairs);
    body.figures.count_swept(swept);
    if (repairs.is_any() || swept.is_any() || broken) && !mutated!("channel.wake_swept") {
        wake_everybody(body, Barrier::of_this_process());
    }
}

/// A message may have come back, a slot or a chunk be free, the last task be done: for whoever waits first.
pub(super) fn wake_everybody(body: &Body, barrier: Barrier) {
    for condition in [&body.items, &body.space, &body.room, &body.finished] {
        condition.wake(ALL, barrier);
    }
}

pub(super) const SWEEP: Sweep = |segment, index| clean(segment, index, index, |_| true);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::mpmc::Cell;

    #[test]
    fn a_slot_lies_within_a_line_or_begins_one() {
        macro_rules! check {
            ($($t:ty),*) => {$(
                let element = (size_of::<$t>() as u64, align_of::<$t>() as u64);
                let (stride, slot) = (stride_of(element).unwrap(), size_of::<Cell<$t>>());
                assert!(slot <= stride && (stride < 2 * slot), stringify!($t));
                assert!(stride % align_of::<Cell<$t>>() == 0 && (64 % stride == 0 || stride % 64 == 0));
            )*};
        }
        #[derive(Clone, Copy)]
        #[repr(align(64))]
        #[allow(dead_code)]
        struct Line([u8; 64]);
        assert_eq!(
            [stride_of((1, 1)), stride_of((8, 8)), stride_of((24, 8))],
            [Some(16), Some(16), Some(32)]
        );
        assert_eq!(
            [stride_of((56, 8)), stride_of((57, 1)), stride_of((64, 64))],
            [Some(64), Some(128), Some(128)]
        );
        check!(u8, u64, u128, [u8; 48], [u8; 49], [u64; 6], [u64; 7], [u8; 1000], [u128; 3], Line);
        assert_eq!(stride_of((0, 1)), None);
        assert_eq!(stride_of((8, 128)), None);
        assert_eq!(stride_of((8, 3)), None);
    }
}

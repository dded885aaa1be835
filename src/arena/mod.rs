//! Many small objects in one segment.
//!
//! | file | what it holds |
//! |---|---|
//! | `tenure` | for how long a block belongs to its object |
//! | `layout` | slabs and blocks as they lie in memory |
//! | `heap` | finding room, attaching, and cleaning up after the dead |
//! | `share` | a process's hold on an object |

mod heap;
pub(crate) mod layout;
mod share;
pub(crate) mod tenure;

use crate::channel::endpoint::endpoint;
use crate::error::{Error, Kind};
use crate::options::{Object, Options, Settings};
use crate::primitives::Primitive;
use crate::segment::layout::{Geometry, PARAMS, Plan};
use crate::segment::{Segment, Sweep};
use core::fmt;
use core::str::FromStr;
use heap::Heap;
use layout::{Body, SLAB, Slab};
pub(crate) use share::{FAREWELL, Share};
use std::sync::Arc;

/// Memory that many small objects share: one file, one descriptor and one place among the participants for all of them.
///
/// A [`Mutex`](crate::Mutex) of its own takes three pages and two descriptors; in an arena it takes 128 bytes. Objects are
/// made by [`Options::create_in`], told of by their [`Place`], which is a few bytes to be sent by any means, and opened
/// by [`Options::open_in`]. An object is there as long as any process has a handle to it; those who died count as gone.
///
/// ```
/// use ringway::{Arena, Mutex, Place};
///
/// let arena = Arena::anonymous(1 << 20)?; // or by a name, or inherited: in each process
/// let counter = Mutex::options().value(7_u64).create_in(&arena)?;
/// let place = counter.place().expect("it lies in an arena").to_string(); // for the others
///
/// let place: Place = place.parse()?; // in another process
/// let again = Mutex::<u64>::options().open_in(&arena, place)?;
/// assert_eq!(*again.lock()?, 7);
/// # drop(again);
/// # drop(counter);
/// # assert!(matches!(Mutex::<u64>::options().open_in(&arena, place), Err(ringway::Error::Gone)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The arena takes memory as it needs it, up to its capacity, and keeps what it has taken for further objects. What is
/// larger than 63 KiB needs a segment of its own.
///
/// # Forks
/// A child of [`fork`](https://man7.org/linux/man-pages/man2/fork.2.html) can use the objects of its parent. So that it finds
/// them there, a parent that has forked keeps, until it ends, what it has dropped since.
#[derive(Clone)]
pub struct Arena {
    heap: Arc<Heap>,
}

/// Where an object lies in its [`Arena`].
///
/// It means that one object, also when the memory is another's later: then opening it fails with [`Error::Gone`]. As text
/// (by `Display` and `FromStr`) it fits an argument or an environment variable; as bytes, a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Place {
    block: u64,
    id: u64,
}

/// What is no [`Place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPlace(());

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.block, self.id)
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let (block, id) = text.split_once(':').ok_or(BadPlace(()))?;
        let number = |text: &str| text.parse().map_err(|_| BadPlace(()));
        Ok(Place { block: number(block)?, id: number(id)? })
    }
}

impl fmt::Display for BadPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a place in an arena: it looks like 12:34")
    }
}

impl core::error::Error for BadPlace {}

endpoint!(
    [],
    Arena,
    "arena",
    "",
    "how many bytes it may take for its objects, in steps of 64 KiB; unused ones take none"
);

/// 256 MiB: a million locks and more.
const CAPACITY: u64 = 1 << 28;
/// So that numbers of blocks fit 32 bits.
const MOST: u64 = 1 << 36;

impl Arena {
    fn segment(&self) -> &Segment {
        self.heap.segment()
    }

    /// How many objects there were a moment ago. Looks at each.
    pub fn len(&self) -> usize {
        let is_live = |place: layout::Place<'_>| place.tenure().read().state() == Some(tenure::State::Live);
        self.heap.view().all().filter(|&(_, place)| is_live(place)).count()
    }

    /// Whether there was no object a moment ago.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes it has taken for its objects.
    pub fn reserved(&self) -> u64 {
        let view = self.heap.view();
        view.known_slabs().iter().filter(|slab| view.class(slab).is_some()).count() as u64 * SLAB
    }

    /// Gives back what processes that died without dropping it had of the arena. That also happens by itself: whenever
    /// somebody takes the place of a dead one, and before the arena grows. Returns how many dead there were.
    ///
    /// # Errors
    /// Only in a forked child that cannot take part.
    pub fn clean(&self) -> Result<usize, Error> {
        self.heap.clean()
    }
}

#[allow(private_bounds, reason = "the objects are a closed family; how one is made of a block is no promise")]
impl<E: Primitive> Options<E> {
    /// Creates the object in an arena. What the options say about names, modes and participants is the arena's business.
    ///
    /// # Errors
    /// [`Error::ArenaFull`], [`Error::NoSpace`]; [`Error::BadOption`] for one that is too large for an arena; else as
    /// [`create`](Self::create).
    pub fn create_in(&self, arena: &Arena) -> Result<E, Error> {
        arena.heap.make(&self.settings)
    }

    /// Opens an object that was created in the arena.
    ///
    /// # Errors
    /// [`Error::Gone`]; [`Error::WrongKind`], [`Error::WrongElement`], [`Error::WrongCapacity`]; [`Error::Corrupt`].
    pub fn open_in(&self, arena: &Arena, place: Place) -> Result<E, Error> {
        let number = u32::try_from(place.block).map_err(|_| Error::Gone)?;
        arena.heap.attach(number, place.id, &self.settings)
    }
}

impl Share {
    /// Where the object lies.
    pub(crate) fn place(&self) -> Place {
        Place { block: self.number().into(), id: self.id() }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("name", &self.segment().name())
            .field("objects", &self.len())
            .finish_non_exhaustive()
    }
}

impl Object for Arena {
    const SWEEP: Sweep = heap::sweep;

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        let asked = settings.capacity.map_or(CAPACITY, |bytes| bytes as u64);
        if !(1..=MOST).contains(&asked) {
            return Err(Error::BadCapacity { asked, min: 1, max: MOST });
        }
        let tail_len = asked.next_multiple_of(SLAB);
        Ok(Plan {
            kind: Kind::Arena,
            element: (1, 64),
            capacity: tail_len,
            variant: 0,
            body_len: size_of::<Body>() as u64,
            data_len: words_len(tail_len),
            areas: 1,
            tail_len,
            params: [0; PARAMS],
        })
    }

    fn attach(segment: Arc<Segment>, _settings: &Settings) -> Result<Self, Error> {
        check_geometry(segment.geometry())?;
        Ok(Arena { heap: Arc::new(Heap::new(segment)) })
    }
}

/// Whether an arena can lie so in its segment.
pub(crate) fn check_geometry(geometry: &Geometry) -> Result<(), Error> {
    let (capacity, tail_len) = (geometry.capacity, geometry.tail_len as u64);
    let bad = |field, found, expected| Err(Error::BadGeometry { field, found, expected });
    if tail_len != capacity || !(1..=MOST).contains(&capacity) || !capacity.is_multiple_of(SLAB) {
        return bad("tail length", tail_len, capacity);
    }
    if geometry.areas != 1 || (geometry.data_len as u64) < words_len(capacity) {
        return bad("data length", geometry.data_len as u64, words_len(capacity));
    }
    Ok(())
}

/// Bytes of the slabs' words.
fn words_len(tail_len: u64) -> u64 {
    tail_len / SLAB * size_of::<Slab>() as u64
}

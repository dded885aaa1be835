//! How an object is made, opened and waited for.

use crate::channel::End;
use crate::error::Error;
use crate::handover;
use crate::segment::create::{Expected, Terms};
use crate::segment::layout::Plan;
use crate::segment::{Segment, Sweep, admin};
use crate::wait::Wait;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How to create or open an endpoint `E`, where the plain `create` and `open` are not enough.
///
/// The same options serve every kind of object. Those about making one (capacity, participants, mode,
/// ephemeral) matter only to the process that creates it; the others describe this process's own handle.
///
/// # Trust
/// Views of shared bytes without a copy are sound only if no peer writes to them against the rules. A handle
/// *trusts* its peers if it was made here, opened by name from a file that only this user can write to (such a
/// process could write to our memory anyway), or handed over by our parent. A handle made from a descriptor,
/// or from a file that other users can write to, does not; [`trusted`](Self::trusted) overrides either. An
/// untrusting handle has the same methods and is safe against any bytes a peer may write: its guards lend out
/// private copies.
///
/// ```
/// use ringway::{Wait, spsc};
///
/// let name = format!("doc-options-{}", std::process::id());
/// let mut ticks = spsc::Producer::<u64>::options()
///     .capacity(1 << 16)
///     .prefault(true)
///     .ephemeral(true)
///     .wait(Wait::Spin)
///     .create(&name)?;
/// ticks.push(1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Options<E> {
    pub(crate) settings: Settings,
    endpoint: PhantomData<fn() -> E>,
}

/// The options without their type.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) terms: Terms,
    pub(crate) capacity: Option<usize>,
    pub(crate) wait: Wait,
    /// Only for pipes: one direction instead of two.
    pub(crate) simplex: bool,
    /// Only for pipes: which end to take.
    pub(crate) end: End,
    /// Only for pipes: the longest message to be received, in bytes.
    pub(crate) max_message: usize,
    /// Only for queues with a pool: the usual size of a message, in bytes.
    pub(crate) message_size: Option<u64>,
    /// Only for queues with a pool: how many messages may be held beside those in the queue.
    pub(crate) max_held: Option<u64>,
    /// Only for queues of bytes: how many bytes each size of larger messages has.
    pub(crate) spare: Option<u64>,
    /// Only for queues of bytes: how many bytes the large messages may take together.
    pub(crate) max_bytes: Option<u64>,
    /// Only for objects that hold one value: what it is at first. Zeros, unless asked otherwise.
    pub(crate) initial: Option<Arc<[u8]>>,
    /// Only for semaphores: how many permits there are at first.
    pub(crate) permits: Option<u32>,
    /// Only for tokens: whether it is held at first.
    pub(crate) held: bool,
    /// Only for locks: whether holders write down when they took it.
    pub(crate) timed: bool,
    /// Only for values and arrays: how long a write waits for another one to end.
    pub(crate) write_timeout: Duration,
}

/// What can be made of a segment.
pub(crate) trait Object: Sized {
    /// The segment that `settings` ask for.
    fn plan(settings: &Settings) -> Result<Plan, Error>;

    /// See [`Sweep`].
    const SWEEP: Sweep;

    /// Gives a new object what it does not have if all its bytes are zero. Nobody else can see it yet.
    fn initialise(_segment: &Segment, _settings: &Settings) -> Result<(), Error> {
        Ok(())
    }

    /// Takes the endpoint's role in a segment whose header agrees with [`plan`](Self::plan).
    fn attach(segment: Arc<Segment>, settings: &Settings) -> Result<Self, Error>;
}

/// Objects that one descriptor hands over whole.
pub(crate) trait Portable: Object {}

impl<E> Options<E> {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            terms: Terms {
                participants: 254,
                mode: 0o600,
                owner: None,
                pages: Default::default(),
                ephemeral: false,
                trusted: None,
            },
            capacity: None,
            wait: Wait::default(),
            simplex: false,
            end: End::First,
            max_message: isize::MAX as usize,
            message_size: None,
            max_held: None,
            spare: None,
            max_bytes: None,
            initial: None,
            permits: None,
            held: false,
            timed: false,
            write_timeout: Duration::from_secs(10),
        };
        Options { settings, endpoint: PhantomData }
    }

    /// How much the object holds: elements of a typed ring, bytes of a byte ring or of each direction of a
    /// pipe. Byte capacities are rounded up to a power of two of at least one page. Opening an existing object
    /// with another capacity fails; without this option it is taken as found.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.settings.capacity = Some(capacity);
        self
    }

    /// How many processes can be attached at once (254).
    pub fn participants(mut self, count: u16) -> Self {
        self.settings.terms.participants = count;
        self
    }

    /// The permission bits of a named object (`0o600`). The opener must mention them too: a file that lets in
    /// more users than its opener expects is refused.
    pub fn mode(mut self, bits: u32) -> Self {
        self.settings.terms.mode = bits & 0o666;
        self
    }

    /// Opens objects that belong to user `uid` as well as our own.
    pub fn owner(mut self, uid: u32) -> Self {
        self.settings.terms.owner = Some(uid);
        self
    }

    /// Touches every page now, so that no operation meets a page fault (about 5 µs each) later.
    pub fn prefault(mut self, yes: bool) -> Self {
        self.settings.terms.pages.prefault = yes;
        self
    }

    /// Asks the kernel for transparent huge pages; an error where shared memory cannot have them.
    pub fn huge_pages(mut self, yes: bool) -> Self {
        self.settings.terms.pages.huge = yes;
        self
    }

    /// Removes the name when the last attached process drops its last handle. One that ends without doing so (by a
    /// kill, or by [`exit`](std::process::exit)) leaves the name to [`clean`](crate::clean).
    pub fn ephemeral(mut self, yes: bool) -> Self {
        self.settings.terms.ephemeral = yes;
        self
    }

    /// Says whether the peers are trusted not to write against the rules; see the type's introduction.
    pub fn trusted(mut self, yes: bool) -> Self {
        self.settings.terms.trusted = Some(yes);
        self
    }

    /// How the blocking calls wait ([`Wait::Adaptive`]).
    pub fn wait(mut self, wait: Wait) -> Self {
        self.settings.wait = wait;
        self
    }
}

#[allow(
    private_bounds,
    reason = "the endpoints are a closed family; how one is made of a segment is no promise"
)]
impl<E: Object> Options<E> {
    /// Creates the object and this endpoint.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; [`Error::BadCapacity`], [`Error::NoSpace`] and others for what cannot be made.
    pub fn create(&self, name: &str) -> Result<E, Error> {
        let (segment, unlinked) = Segment::create(name, &self.expected()?, &self.settings.terms)?;
        E::initialise(&segment, &self.settings)?;
        let segment = Arc::new(segment);
        let endpoint = E::attach(Arc::clone(&segment), &self.settings)?;
        unlinked.link(&segment)?;
        Ok(endpoint)
    }

    /// Opens an existing object and takes this endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::RoleTaken`]; and one for each way a file can be unfit.
    pub fn open(&self, name: &str) -> Result<E, Error> {
        let segment = Segment::open(name, &self.expected()?, &self.settings.terms)?;
        E::attach(Arc::new(segment), &self.settings)
    }

    /// Opens the object, or creates it if there is none or one from before the machine was last booted.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`open`](Self::open).
    pub fn open_or_create(&self, name: &str) -> Result<E, Error> {
        loop {
            match self.open(name) {
                Err(Error::NotFound { .. }) => {}
                Err(Error::StaleBoot { .. }) => match admin::remove_stale(name) {
                    Err(error) if !matches!(error, Error::NotFound { .. }) => return Err(error),
                    _ => {}
                },
                result => return result,
            }
            match self.create(name) {
                Err(Error::AlreadyExists { .. }) => {}
                result => return result,
            }
        }
    }

    pub(crate) fn expected(&self) -> Result<Expected, Error> {
        Ok(Expected {
            plan: E::plan(&self.settings)?,
            exact_capacity: self.settings.capacity.is_some(),
            sweep: E::SWEEP,
        })
    }
}

#[allow(private_bounds, reason = "as above")]
impl<E: Portable> Options<E> {
    /// Creates an object without a name, to be handed over by descriptor. It vanishes with its last process.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn anonymous(&self) -> Result<E, Error> {
        let segment = Segment::anonymous(&self.expected()?, &self.settings.terms)?;
        E::initialise(&segment, &self.settings)?;
        E::attach(Arc::new(segment), &self.settings)
    }

    /// Attaches to the object behind a descriptor, as received over a socket.
    ///
    /// # Errors
    /// [`Error::NotSealed`] unless the descriptor is sealed against truncation, or
    /// [`trusted`](Self::trusted); else as [`open`](Self::open).
    pub fn from_fd(&self, fd: OwnedFd) -> Result<E, Error> {
        let segment = Segment::from_fd(fd, &self.expected()?, &self.settings.terms)?;
        E::attach(Arc::new(segment), &self.settings)
    }

    /// Attaches to the object that our parent handed over with `inherit` under this key. Each key can be
    /// taken once.
    ///
    /// # Errors
    /// [`Error::NotInherited`]; else as [`open`](Self::open).
    pub fn inherited(&self, key: &str) -> Result<E, Error> {
        let [fd] = handover::take(key)?;
        let mut settings = self.settings.clone();
        // Our parent chose our program, arguments and environment: it need not lie to us.
        settings.terms.trusted.get_or_insert(true);
        let segment = Segment::from_fd(fd, &self.expected()?, &settings.terms)?;
        E::attach(Arc::new(segment), &settings)
    }
}

impl<E> Clone for Options<E> {
    fn clone(&self) -> Self {
        Options { settings: self.settings.clone(), endpoint: PhantomData }
    }
}

impl<E> fmt::Debug for Options<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Options").field(&self.settings).finish()
    }
}

//! A place where a number of parties wait for each other.

use super::error::BarrierError;
use super::handle::{attached, handle};
use super::site::{Block, Needs, Primitive, Site};
use super::waiting::Attachment;
use crate::error::{Corrupt, Error, Kind};
use crate::lock::{Arrival, MeetError, Phase, Rendezvous};
use crate::options::{Options, Settings};
use crate::wait::Deadline;
use core::mem::size_of;
use core::time::Duration;
use std::sync::Arc;

/// A place where a number of parties, threads or processes, wait until all have come; then all go on, and it can be used
/// again.
///
/// The handle is cheap to clone, and may be shared by threads.
///
/// ```
/// use ringway::Barrier;
///
/// # let name = format!("doc-barrier-{}", std::process::id());
/// let barrier = Barrier::open_or_create(&name, 2)?; // in each process
/// # let other = barrier.clone();
/// # let waiting = std::thread::spawn(move || other.wait().unwrap().is_leader());
/// if barrier.wait()?.is_leader() {
///     // one of them, after all have come
/// }
/// # waiting.join().unwrap();
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a process dies
/// If it was waiting here, the barrier is broken: the others learn it after a tenth of a second at most, and it stays
/// broken until somebody [resets](Self::reset) it. So it is if somebody's time runs out, or he calls
/// [`abort`](Self::abort). Of one that dies before it has come the barrier knows nothing: wait with a deadline. If all
/// have come, they have met, whoever dies then; also if one has died before the last one came, and nobody had found out:
/// who comes last does not look around.
#[derive(Clone)]
pub struct Barrier {
    attachment: Arc<Attachment>,
}

handle!(
    [], Barrier, "barrier", (parties: u32), |options| options.parties(parties),
    " `parties` is how many wait for each other; one that exists with another number is refused."
);
attached!(Barrier, "barrier");

/// More would take too long to look through.
const MOST: u64 = 65_536;

/// That all parties have come, and which of them this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    place: usize,
}

impl Met {
    /// Whether this is the one of the parties that may do what is to be done once.
    pub fn is_leader(self) -> bool {
        self.place == 0
    }

    /// A number below the number of parties, another one for each of them.
    pub fn index(self) -> usize {
        self.place
    }
}

impl Barrier {
    fn rendezvous(&self) -> &Rendezvous {
        // SAFETY: the body of a barrier is a rendezvous, made of atomics.
        unsafe { self.site().body::<Rendezvous>() }
    }

    fn places(&self) -> &[Arrival] {
        // SAFETY: its table consists of arrivals, which are atomic.
        let places = unsafe { self.site().table::<Arrival>() };
        places.unwrap_or_else(|_| unreachable!("checked at attach"))
    }

    /// How many parties wait for each other.
    pub fn parties(&self) -> u32 {
        self.places().len() as u32
    }

    /// How many of them were waiting a moment ago.
    pub fn waiting(&self) -> u32 {
        self.rendezvous().waiting_in(self.places()).count() as u32
    }

    /// Waits for the others, as long as it takes.
    ///
    /// # Errors
    /// [`BarrierError::Broken`].
    pub fn wait(&self) -> Result<Met, BarrierError> {
        self.wait_deadline(Deadline::NEVER)
    }

    /// Waits at most `timeout` for the others. If they do not come, the barrier is broken.
    ///
    /// # Errors
    /// [`BarrierError::Timeout`]; else as [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Met, BarrierError> {
        self.wait_deadline(Deadline::after(timeout))
    }

    /// Waits until `deadline` for the others. If they do not come, the barrier is broken.
    ///
    /// # Errors
    /// [`BarrierError::Timeout`]; else as [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Deadline) -> Result<Met, BarrierError> {
        let Attachment { site, learnt, .. } = &*self.attachment;
        let me = site.member().map_err(BarrierError::Attach)?.index();
        let dead = |index| site.is_dead(index);
        let meet = |waiter: &mut _| self.rendezvous().meet(self.places(), me, waiter, deadline, dead);
        match learnt.use_for(meet) {
            Ok(place) => Ok(Met { place }),
            Err(MeetError::Broken) => Err(BarrierError::Broken),
            Err(MeetError::TimedOut) => Err(BarrierError::Timeout),
            Err(MeetError::Corrupt(word)) => Err(BarrierError::Corrupt(corrupt(word))),
        }
    }

    /// Breaks it: who waits, and who comes, is told [`BarrierError::Broken`], until somebody resets it.
    pub fn abort(&self) {
        if self.site().keep().is_ok() {
            self.rendezvous().abort();
        }
    }

    /// Makes it as good as new; who waits is told [`BarrierError::Broken`].
    ///
    /// # Errors
    /// [`BarrierError::Corrupt`], and in a forked child [`BarrierError::Attach`].
    pub fn reset(&self) -> Result<(), BarrierError> {
        self.site().member().map_err(BarrierError::Attach)?;
        match self.rendezvous().reset(self.places()) {
            Err(MeetError::Corrupt(word)) => Err(BarrierError::Corrupt(corrupt(word))),
            _ => Ok(()),
        }
    }

    /// Whether it was broken a moment ago.
    pub fn is_broken(&self) -> bool {
        self.rendezvous().phase() != Some(Phase::Open)
    }
}

fn corrupt(word: u64) -> Corrupt {
    Corrupt { field: "the barrier's word", found: word, limit: 0, place: None }
}

impl Options<Barrier> {
    /// How many parties wait for each other (1).
    pub fn parties(self, parties: u32) -> Self {
        self.capacity(parties as usize)
    }
}

impl Primitive for Barrier {
    const KIND: Kind = Kind::Barrier;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        let capacity = settings.capacity.map_or(1, |parties| parties as u64);
        if !(1..=MOST).contains(&capacity) {
            return Err(Error::BadCapacity { asked: capacity, min: 1, max: MOST });
        }
        let table_len = capacity * size_of::<Arrival>() as u64;
        Ok(Needs { capacity, table_len, ..Needs::body::<Rendezvous>() })
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        // SAFETY: its table consists of arrivals, which are atomic.
        let count = unsafe { site.table::<Arrival>() }?.len() as u64;
        if !(1..=MOST).contains(&count) {
            return Err(Error::BadGeometry { field: "capacity", found: count, expected: MOST });
        }
        Ok(Barrier { attachment: Attachment::new(site, settings.wait) })
    }

    fn sweep(block: Block, dead: u16) {
        // SAFETY: the body of a barrier is a rendezvous, made of atomics; the caller's segment is mapped.
        let rendezvous = unsafe { block.body::<Rendezvous>() };
        // SAFETY: as above; its table consists of arrivals.
        if let Ok(places) = unsafe { block.table::<Arrival>() } {
            rendezvous.sweep(places, dead);
        }
    }
}

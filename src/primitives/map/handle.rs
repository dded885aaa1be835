//! How a map comes about.

use super::super::handle::handle;
use super::super::holding::{self, Holding};
use super::super::site::{Block, Needs, Primitive, Site};
use super::layout::{Body, Layout, MOST_BYTES, MOST_ITEMS};
use super::{Map, Parts};
use crate::error::{Error, Kind};
use crate::options::{Options, Settings};
use crate::sync::Ordering;
use core::ptr::NonNull;
use core::time::Duration;
use std::hash::{BuildHasher, Hasher, RandomState};

handle!(
    [], Map, "map", (max_items: usize, max_bytes: u64), |options| options.max_items(max_items).max_bytes(max_bytes),
    " It has room for `max_items` items whose keys and values have together up to `max_bytes` bytes; one that exists with other
    numbers is refused."
);

/// What a new one has room for, unless the options say otherwise.
const BYTES: u64 = 1 << 20;
const ITEMS: u64 = 1024;

fn asked(settings: &Settings) -> (u64, u64) {
    (settings.capacity.map_or(ITEMS, |items| items as u64), settings.max_bytes.unwrap_or(BYTES))
}

impl Primitive for Map {
    const KIND: Kind = Kind::Map;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        let (items, bytes) = asked(settings);
        if !(1..=MOST_BYTES).contains(&bytes) {
            return Err(Error::BadOption { option: "max_bytes", asked: bytes, max: MOST_BYTES });
        }
        let layout =
            Layout::of(items, bytes).ok_or(Error::BadCapacity { asked: items, min: 1, max: MOST_ITEMS })?;
        Ok(Needs { capacity: items, table_len: layout.len as u64, ..Needs::body::<Body>() })
    }

    fn initialise(block: Block, settings: &Settings) -> Result<(), Error> {
        // SAFETY: the body of a map is that, all of it atomic; the caller's segment is mapped.
        let body = unsafe { block.body::<Body>() };
        // Relaxed, all: nobody else can see it yet.
        body.max_bytes.store(asked(settings).1, Ordering::Relaxed);
        // The standard library's hash tables have secrets of their own, from the kernel: what is hashed by one is as good.
        let random = RandomState::new();
        for (at, word) in body.secret.iter().enumerate() {
            let mut hasher = random.build_hasher();
            hasher.write_usize(at);
            word.store(hasher.finish(), Ordering::Relaxed);
        }
        Ok(())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        let block = site.block();
        // SAFETY: the body of a map is that, all of it atomic.
        let body = unsafe { site.body::<Body>() };
        // Relaxed: written before anybody could see it, and read once.
        let (items, bytes) = (block.capacity(), body.max_bytes.load(Ordering::Relaxed));
        if let Some(expected) = settings.max_bytes.filter(|&expected| expected != bytes) {
            return Err(Error::WrongCapacity { found: bytes, expected });
        }
        let bad = |field, found, expected| Error::BadGeometry { field, found, expected };
        let layout = Layout::of(items, bytes).ok_or_else(|| bad("capacity", items, MOST_ITEMS))?;
        let table = block.table_bytes(layout.len as u64)?;
        let [k0, k1] = &body.secret;
        let secret = [k0.load(Ordering::Relaxed), k1.load(Ordering::Relaxed)];
        let parts = Parts { body: NonNull::from(body), table, layout };
        Ok(Map {
            holding: Holding::new(site, settings),
            parts,
            secret,
            max_items: layout.items,
            max_bytes: bytes,
            patience: settings.write_timeout,
        })
    }

    fn sweep(block: Block, dead: u16) {
        // What the dead one left half done, the next one to take the lock mends.
        holding::sweep(block, dead);
    }
}

impl Options<Map> {
    /// How many items there can be (1024). Opening an existing map with another number fails; without this option it is
    /// taken as found.
    pub fn max_items(self, items: usize) -> Self {
        self.capacity(items)
    }

    /// How many bytes their keys and values can have together (1 MiB). Opening an existing map with another number fails;
    /// without this option it is taken as found.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.max_bytes = Some(bytes);
        self
    }

    /// How long an operation waits for the lock (10 s). Others have it for one operation each, unless they
    /// [took it](Map::lock) for several.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.settings.write_timeout = timeout;
        self
    }

    /// Whether this handle writes down when it takes the lock; see [`timed`](Options::<crate::Mutex<u64>>::timed).
    pub fn timed(mut self, yes: bool) -> Self {
        self.settings.timed = yes;
        self
    }
}

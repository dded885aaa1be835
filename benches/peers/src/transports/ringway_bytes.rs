//! Our ring of records of any length.

use std::os::fd::{AsFd, OwnedFd};

use ringway::{Deadline, bytes};

use super::{Group, Link, Mode, Named, Opener, Peer, Place, Result, Setup, Transport, ringway_spsc};
use crate::worker;

pub(crate) static PEER: Peer = Peer {
    name: "ringway-bytes",
    title: "Ringway bytes",
    group: Group::Ours,
    place: Place::Processes,
    modes: &[Mode::Spin, Mode::Adaptive, Mode::Park],
    longest: 1 << 20,
    copies: 1,
    blocks: true,
    note: "records of any length, read in place; has batches, not used here",
    optional: false,
    run: worker::measure::<Bytes>,
    open: Some(worker::measure_opening::<Bytes>),
    many: None,
};

pub(crate) static THREADS: Peer = Peer {
    name: "ringway-bytes-threads",
    title: "Ringway bytes (threads)",
    place: Place::Threads,
    modes: &[Mode::Spin],
    open: None,
    ..PEER
};

struct Bytes;

struct Rings {
    tx: bytes::Producer,
    rx: bytes::Consumer,
}

impl Link for Rings {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.tx.send(message)?)
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if let Some(record) = self.rx.peek() {
            return Ok(read(&record));
        }
        Ok(read(&self.rx.peek_deadline(Deadline::NEVER)?))
    }
}

impl Transport for Bytes {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (wait, capacity) = (ringway_spsc::wait(setup.mode), setup.depth_bytes());
        let tx = bytes::Producer::options().capacity(capacity).prefault(true).wait(wait).anonymous()?;
        let rx = bytes::Consumer::options().capacity(capacity).prefault(true).wait(wait).anonymous()?;
        let to: OwnedFd = tx.as_fd().try_clone_to_owned()?;
        let fro: OwnedFd = rx.as_fd().try_clone_to_owned()?;
        // The other end is this very program: it is trusted.
        let far = move || {
            let rx = bytes::Consumer::options().prefault(true).trusted(true).wait(wait).from_fd(to)?;
            let tx = bytes::Producer::options().prefault(true).trusted(true).wait(wait).from_fd(fro)?;
            Ok(Rings { tx, rx })
        };
        Ok((move || Ok(Rings { tx, rx }), far))
    }
}

impl Named for Bytes {
    type Context = ();
    type Made = bytes::Producer;
    type Attached = bytes::Consumer;

    fn prepare(_: &Setup) -> Result<()> {
        Ok(())
    }

    fn create((): &(), name: &str) -> Result<Self::Made> {
        Ok(bytes::Producer::create(name, 64 << 10)?)
    }

    fn attach((): &(), name: &str) -> Result<Self::Attached> {
        Ok(bytes::Consumer::open(name)?)
    }

    fn remove((): &(), name: &str) -> Result<()> {
        Ok(ringway::unlink(name)?)
    }
}

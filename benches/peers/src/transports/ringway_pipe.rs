//! Our pipe.

use ringway::{Connection, Deadline, End, Pipe as Ours};

use super::{Group, Link, Mode, Named, Opener, Peer, Place, Result, Setup, Transport, ringway_spsc};
use crate::worker;

pub(crate) static PEER: Peer = Peer {
    name: "ringway-pipe",
    title: "Ringway Pipe",
    group: Group::Ours,
    place: Place::Processes,
    modes: &[Mode::Spin, Mode::Adaptive, Mode::Park],
    longest: 1 << 20,
    copies: 1,
    blocks: true,
    note: "both directions, any number of holders of each end; up to 4 KiB copied out, longer ones read in place",
    optional: false,
    run: worker::measure::<Pipe>,
    open: Some(worker::measure_opening::<Pipe>),
    many: None,
};

struct Pipe;

/// Up to here copying a message out costs less than the guard that lends it out.
const COPIED: usize = 4096;

struct Side {
    connection: Connection,
    len: usize,
    buffer: Vec<u8>,
}

impl Link for Side {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.connection.send(message)?)
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if self.len <= COPIED {
            self.connection.recv_into(&mut self.buffer, Deadline::NEVER)?;
            return Ok(read(&self.buffer));
        }
        Ok(read(&self.connection.recv_ref()?))
    }
}

impl Transport for Pipe {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (wait, len) = (ringway_spsc::wait(setup.mode), setup.len);
        let side = move |connection| Side { connection, len, buffer: Vec::with_capacity(COPIED) };
        let options = Ours::options().capacity(setup.depth_bytes()).prefault(true).wait(wait);
        let (near, far) = options.pair()?;
        let socket = far.socket().ok_or("a pipe without a socket")?.try_clone_to_owned()?;
        let memory = far.memory().try_clone_to_owned()?;
        // From here on the far end is held by its descriptors; the other end is this very program: it is trusted.
        let far = move || {
            let options = Ours::options().wait(wait).prefault(true).trusted(true);
            Ok(side(options.from_fds(memory, socket)?))
        };
        Ok((move || Ok(side(near)), far))
    }
}

impl Named for Pipe {
    type Context = ();
    type Made = Connection;
    type Attached = Connection;

    fn prepare(_: &Setup) -> Result<()> {
        Ok(())
    }

    fn create((): &(), name: &str) -> Result<Connection> {
        Ok(Ours::options().capacity(64 << 10).end(End::First).create(name)?)
    }

    fn attach((): &(), name: &str) -> Result<Connection> {
        Ok(Ours::options().end(End::Second).open(name)?)
    }

    fn remove((): &(), name: &str) -> Result<()> {
        Ok(ringway::unlink(name)?)
    }
}

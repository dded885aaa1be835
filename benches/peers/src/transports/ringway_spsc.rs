//! Our ring of plain values.

use std::{
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
};

use ringway::{Wait, spsc};

use super::{
    Group, Link, Message, Mode, Named, Opener, Outcome, Peer, Place, Result, Setup, Transport, measure_typed,
};
use crate::worker::{self, Job, measure_fixed};

pub(crate) static PEER: Peer = Peer {
    name: "ringway-spsc",
    title: "Ringway spsc",
    group: Group::Ours,
    place: Place::Processes,
    modes: &[Mode::Spin, Mode::Adaptive, Mode::Park],
    longest: 1024,
    copies: 1,
    blocks: true,
    note: "plain values, read in place above 64 B; for larger ones there is bytes; has batches, not used here",
    optional: false,
    run,
    open: Some(worker::measure_opening::<Spsc<super::Word>>),
    many: None,
};

pub(crate) static THREADS: Peer = Peer {
    name: "ringway-spsc-threads",
    title: "Ringway spsc (threads)",
    place: Place::Threads,
    modes: &[Mode::Spin],
    open: None,
    ..PEER
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, measure_fixed, Spsc up to 1024)
}

/// How our endpoints wait in this mode.
pub(crate) fn wait(mode: Mode) -> Wait {
    match mode {
        Mode::Spin | Mode::Poll => Wait::Spin,
        Mode::Adaptive => Wait::Adaptive,
        Mode::Park | Mode::Block => Wait::Park,
    }
}

struct Spsc<M>(PhantomData<M>);

struct Rings<M: Message> {
    tx: spsc::Producer<M>,
    rx: spsc::Consumer<M>,
}

impl<M: Message> Link for Rings<M> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let message = M::of(message)?;
        // What fits into a few registers is quicker by value, what does not is written where it will lie.
        if size_of::<M>() > 64
            && let Some(mut slot) = self.tx.reserve()
        {
            *slot = *message;
            slot.commit();
            return Ok(());
        }
        self.tx.send(*message).map_err(|error| error.to_string().into())
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if size_of::<M>() > 64
            && let Some(message) = self.rx.peek()
        {
            return Ok(read(bytemuck::bytes_of(&*message)));
        }
        let message = self.rx.recv()?;
        Ok(read(bytemuck::bytes_of(&message)))
    }
}

impl<M: Message> Transport for Spsc<M> {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (wait, depth) = (wait(setup.mode), setup.depth());
        let tx = spsc::Producer::<M>::options().capacity(depth).prefault(true).wait(wait).anonymous()?;
        let rx = spsc::Consumer::<M>::options().capacity(depth).prefault(true).wait(wait).anonymous()?;
        let to: OwnedFd = tx.as_fd().try_clone_to_owned()?;
        let fro: OwnedFd = rx.as_fd().try_clone_to_owned()?;
        // The other end is this very program: it is trusted.
        let far = move || {
            let rx = spsc::Consumer::options().prefault(true).trusted(true).wait(wait).from_fd(to)?;
            let tx = spsc::Producer::options().prefault(true).trusted(true).wait(wait).from_fd(fro)?;
            Ok(Rings::<M> { tx, rx })
        };
        Ok((move || Ok(Rings { tx, rx }), far))
    }
}

impl<M: Message> Named for Spsc<M> {
    type Context = ();
    type Made = spsc::Producer<M>;
    type Attached = spsc::Consumer<M>;

    fn prepare(_: &Setup) -> Result<()> {
        Ok(())
    }

    fn create((): &(), name: &str) -> Result<Self::Made> {
        Ok(spsc::Producer::create(name, (64 << 10) / size_of::<M>())?)
    }

    fn attach((): &(), name: &str) -> Result<Self::Attached> {
        Ok(spsc::Consumer::open(name)?)
    }

    fn remove((): &(), name: &str) -> Result<()> {
        Ok(ringway::unlink(name)?)
    }
}

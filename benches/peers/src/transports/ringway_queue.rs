//! Our queue of plain values: any number of processes at both ends.

use std::{
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
};

use ringway::{Deadline, Queue, Wait};

use super::{
    Group, Link, Many, Message, Mode, Named, Opener, Outcome, Peer, Place, Result, Setup, Shared, Transport,
    measure_typed, ringway_spsc::wait,
};
use crate::{
    many,
    worker::{self, Job, measure_fixed},
};

pub(crate) static PEER: Peer = Peer {
    name: "ringway-queue",
    title: "Ringway Queue",
    group: Group::Ours,
    place: Place::Processes,
    modes: &[Mode::Spin, Mode::Adaptive, Mode::Park],
    longest: 4096,
    copies: 2,
    blocks: true,
    note: "plain values; many to many; survives the death of any of them",
    optional: false,
    run,
    open: Some(worker::measure_opening::<Pair<super::Word>>),
    many: Some(Many { longest: 4096, batches: true, hogs: false, run: run_many }),
};

pub(crate) static THREADS: Peer = Peer {
    name: "ringway-queue-threads",
    title: "Ringway Queue (threads)",
    place: Place::Threads,
    modes: &[Mode::Spin, Mode::Adaptive],
    open: None,
    many: Some(Many { longest: 4096, batches: true, hogs: false, run: run_many_threads }),
    ..PEER
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, measure_fixed, Pair up to 4096)
}

fn run_many(job: &Job) -> Result<Outcome> {
    use many::measure_fixed;
    measure_typed!(job, measure_fixed, OneFile up to 4096)
}

fn run_many_threads(job: &Job) -> Result<Outcome> {
    use many::measure_fixed;
    measure_typed!(job, measure_fixed, OneHandle up to 4096)
}

struct Ends<M> {
    tx: Queue<M>,
    rx: Queue<M>,
    /// Messages that came together.
    batch: Vec<M>,
}

impl<M: Message> Ends<M> {
    fn of(tx: Queue<M>, rx: Queue<M>) -> Self {
        Ends { tx, rx, batch: Vec::with_capacity(256) }
    }
}

impl<M: Message> Link for Ends<M> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.tx.send(*M::of(message)?)?)
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        Ok(read(bytemuck::bytes_of(&self.rx.recv()?)))
    }

    #[inline]
    fn send_row(&mut self, row: &[u8]) -> Result<()> {
        let row: &[M] =
            bytemuck::try_cast_slice(row).map_err(|error| format!("no such messages: {error}"))?;
        Ok(self.tx.send_many(row)?)
    }

    #[inline]
    fn receive_row(&mut self, most: usize, read: &mut impl FnMut(&[u8])) -> Result<()> {
        self.batch.clear();
        self.rx.recv_many(&mut self.batch, most, Deadline::NEVER)?;
        self.batch.iter().for_each(|message| read(bytemuck::bytes_of(message)));
        Ok(())
    }
}

fn make<M: Message>(setup: &Setup) -> Result<Queue<M>> {
    Ok(Queue::options().capacity(setup.depth()).prefault(true).wait(wait(setup.mode)).anonymous()?)
}

/// The other users are this very program: they are trusted.
fn join<M: Message>(fd: OwnedFd, wait: Wait) -> Result<Queue<M>> {
    Ok(Queue::options().prefault(true).trusted(true).wait(wait).from_fd(fd)?)
}

/// Two queues, for there and back.
struct Pair<M>(PhantomData<M>);

impl<M: Message> Transport for Pair<M> {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let wait = wait(setup.mode);
        let (to, fro) = (make::<M>(setup)?, make::<M>(setup)?);
        let (far_to, far_fro) = (to.as_fd().try_clone_to_owned()?, fro.as_fd().try_clone_to_owned()?);
        let far = move || Ok(Ends::<M>::of(join(far_fro, wait)?, join(far_to, wait)?));
        Ok((move || Ok(Ends::of(to, fro)), far))
    }
}

/// One queue, which every process attaches to.
struct OneFile<M>(Queue<M>);

impl<M: Message> Shared for OneFile<M> {
    type End = Ends<M>;

    fn make(setup: &Setup) -> Result<Self> {
        make(setup).map(OneFile)
    }

    fn join(&self, setup: &Setup) -> Result<Ends<M>> {
        let queue: Queue<M> = join(self.0.as_fd().try_clone_to_owned()?, wait(setup.mode))?;
        Ok(Ends::of(queue.clone(), queue))
    }
}

/// One queue, whose handle every thread has a clone of.
struct OneHandle<M>(Queue<M>);

impl<M: Message> Shared for OneHandle<M> {
    type End = Ends<M>;

    fn make(setup: &Setup) -> Result<Self> {
        make(setup).map(OneHandle)
    }

    fn join(&self, _: &Setup) -> Result<Ends<M>> {
        Ok(Ends::of(self.0.clone(), self.0.clone()))
    }
}

impl<M: Message> Named for Pair<M> {
    type Context = ();
    type Made = Queue<M>;
    type Attached = Queue<M>;

    fn prepare(_: &Setup) -> Result<()> {
        Ok(())
    }

    fn create((): &(), name: &str) -> Result<Self::Made> {
        Ok(Queue::create(name, 1024)?)
    }

    fn attach((): &(), name: &str) -> Result<Self::Attached> {
        Ok(Queue::open(name)?)
    }

    fn remove((): &(), name: &str) -> Result<()> {
        Ok(ringway::unlink(name)?)
    }
}

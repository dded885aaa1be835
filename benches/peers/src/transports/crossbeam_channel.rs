//! crossbeam's bounded channel: any number of threads at both ends.

use std::marker::PhantomData;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    Group, Link, Many, Message, Mode, Opener, Outcome, Peer, Place, Result, Setup, Shared, Transport,
    measure_typed,
};
use crate::{
    many,
    worker::{Job, measure_fixed},
};

pub(crate) static PEER: Peer = Peer {
    name: "crossbeam-channel",
    title: "crossbeam channel (threads)",
    group: Group::Library,
    place: Place::Threads,
    modes: &[Mode::Block],
    longest: 4096,
    copies: 2,
    blocks: true,
    note: "plain values; many to many; spins before it sleeps",
    optional: false,
    run,
    open: None,
    many: Some(Many { longest: 4096, batches: false, hogs: false, run: run_many }),
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, measure_fixed, Channel up to 4096)
}

fn run_many(job: &Job) -> Result<Outcome> {
    use many::measure_fixed;
    measure_typed!(job, measure_fixed, OneChannel up to 4096)
}

struct Channel<M>(PhantomData<M>);

/// One for all threads.
struct OneChannel<M>(Sender<M>, Receiver<M>);

impl<M: Message> Shared for OneChannel<M> {
    type End = Channels<M>;

    fn make(setup: &Setup) -> Result<Self> {
        let (tx, rx) = bounded(setup.depth());
        Ok(OneChannel(tx, rx))
    }

    fn join(&self, _: &Setup) -> Result<Channels<M>> {
        Ok(Channels { tx: self.0.clone(), rx: self.1.clone() })
    }
}

struct Channels<M> {
    tx: Sender<M>,
    rx: Receiver<M>,
}

impl<M: Message> Link for Channels<M> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.tx.send(*M::of(message)?).map_err(|_| "nobody receives".into())
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let message = self.rx.recv()?;
        Ok(read(bytemuck::bytes_of(&message)))
    }
}

impl<M: Message> Transport for Channel<M> {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (near_tx, far_rx) = bounded::<M>(setup.depth());
        let (far_tx, near_rx) = bounded::<M>(setup.depth());
        Ok((
            move || Ok(Channels { tx: near_tx, rx: near_rx }),
            move || Ok(Channels { tx: far_tx, rx: far_rx }),
        ))
    }
}

//! crossbeam's bounded queue: any number of threads at both ends.

use std::{marker::PhantomData, sync::Arc};

use crossbeam_queue::ArrayQueue;

use super::{
    Group, Link, Many, Message, Mode, Opener, Outcome, Patience, Peer, Place, Result, Setup, Shared,
    Transport, measure_typed,
};
use crate::{
    many,
    worker::{Job, measure_fixed},
};

pub(crate) static PEER: Peer = Peer {
    name: "crossbeam-queue",
    title: "crossbeam ArrayQueue (threads)",
    group: Group::Library,
    place: Place::Threads,
    modes: &[Mode::Poll],
    longest: 4096,
    copies: 2,
    blocks: false,
    note: "plain values; many to many",
    optional: false,
    run,
    open: None,
    many: Some(Many { longest: 4096, batches: false, hogs: false, run: run_many }),
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, measure_fixed, Array up to 4096)
}

fn run_many(job: &Job) -> Result<Outcome> {
    use many::measure_fixed;
    measure_typed!(job, measure_fixed, Queue up to 4096)
}

struct Array<M>(PhantomData<M>);

/// One for all threads.
struct Queue<M>(Arc<ArrayQueue<M>>);

impl<M: Message> Shared for Queue<M> {
    type End = Queues<M>;

    fn make(setup: &Setup) -> Result<Self> {
        Ok(Queue(Arc::new(ArrayQueue::new(setup.depth()))))
    }

    fn join(&self, _: &Setup) -> Result<Queues<M>> {
        Ok(Queues { tx: Arc::clone(&self.0), rx: Arc::clone(&self.0) })
    }
}

struct Queues<M> {
    tx: Arc<ArrayQueue<M>>,
    rx: Arc<ArrayQueue<M>>,
}

impl<M: Message> Link for Queues<M> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut message = *M::of(message)?;
        let mut patience = Patience::default();
        while let Err(back) = self.tx.push(message) {
            message = back;
            patience.wait();
        }
        Ok(())
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let mut patience = Patience::default();
        loop {
            if let Some(message) = self.rx.pop() {
                return Ok(read(bytemuck::bytes_of(&message)));
            }
            patience.wait();
        }
    }
}

impl<M: Message> Transport for Array<M> {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (to, fro) =
            (Arc::new(ArrayQueue::<M>::new(setup.depth())), Arc::new(ArrayQueue::new(setup.depth())));
        let far = Queues { tx: Arc::clone(&fro), rx: Arc::clone(&to) };
        Ok((move || Ok(Queues { tx: to, rx: fro }), move || Ok(far)))
    }
}

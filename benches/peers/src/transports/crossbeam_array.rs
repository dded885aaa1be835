//! crossbeam's bounded queue: any number of threads at both ends.

use std::{marker::PhantomData, sync::Arc};

use crossbeam_queue::ArrayQueue;

use super::{
    Group, Link, Message, Mode, Opener, Outcome, Peer, Place, Result, Setup, Transport, measure_typed,
};
use crate::worker::Job;

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
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, Array up to 4096)
}

struct Array<M>(PhantomData<M>);

struct Queues<M> {
    tx: Arc<ArrayQueue<M>>,
    rx: Arc<ArrayQueue<M>>,
}

impl<M: Message> Link for Queues<M> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut message = *M::of(message)?;
        while let Err(back) = self.tx.push(message) {
            message = back;
            std::hint::spin_loop();
        }
        Ok(())
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        loop {
            if let Some(message) = self.rx.pop() {
                return Ok(read(bytemuck::bytes_of(&message)));
            }
            std::hint::spin_loop();
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

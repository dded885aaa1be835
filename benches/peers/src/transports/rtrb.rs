//! rtrb: a ring for two threads.

use std::marker::PhantomData;

use super::{
    Group, Link, Message, Mode, Opener, Outcome, Peer, Place, Result, Setup, Transport, measure_typed,
};
use crate::worker::{Job, measure_fixed};

pub(crate) static PEER: Peer = Peer {
    name: "rtrb",
    title: "rtrb (threads)",
    group: Group::Library,
    place: Place::Threads,
    modes: &[Mode::Poll],
    longest: 4096,
    copies: 1,
    blocks: false,
    note: "plain values; read in place; has batches, not used here",
    optional: false,
    run,
    open: None,
    many: None,
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, measure_fixed, Rtrb up to 4096)
}

struct Rtrb<M>(PhantomData<M>);

struct Rings<M> {
    tx: rtrb::Producer<M>,
    rx: rtrb::Consumer<M>,
}

impl<M: Message> Link for Rings<M> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let message = M::of(message)?;
        while self.tx.push(*message).is_err() {
            std::hint::spin_loop();
        }
        Ok(())
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        loop {
            if size_of::<M>() <= 64 {
                if let Ok(message) = self.rx.pop() {
                    return Ok(read(bytemuck::bytes_of(&message)));
                }
            } else if let Ok(chunk) = self.rx.read_chunk(1) {
                let result = read(bytemuck::cast_slice(chunk.as_slices().0));
                chunk.commit_all();
                return Ok(result);
            }
            std::hint::spin_loop();
        }
    }
}

impl<M: Message> Transport for Rtrb<M> {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (near_tx, far_rx) = rtrb::RingBuffer::<M>::new(setup.depth());
        let (far_tx, near_rx) = rtrb::RingBuffer::<M>::new(setup.depth());
        Ok((move || Ok(Rings { tx: near_tx, rx: near_rx }), move || Ok(Rings { tx: far_tx, rx: far_rx })))
    }
}

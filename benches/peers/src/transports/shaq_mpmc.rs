//! shaq's ring for many producers and many consumers, with one of each.

use std::marker::PhantomData;

use shaq::mpmc::{Consumer, Producer, minimum_file_size};

use super::{
    Group, Link, Message, Mode, Opener, Outcome, Peer, Place, Result, Setup, Transport, measure_typed,
    shaq_spsc::{FOREVER, file},
};
use crate::worker::Job;

pub(crate) static PEER: Peer = Peer {
    name: "shaq-mpmc",
    title: "shaq mpmc",
    group: Group::Library,
    place: Place::Processes,
    modes: &[Mode::Poll, Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "plain values; the guard that reads in place copies the message when dropped; many to many; only receiving can sleep; has batches, not used here",
    optional: false,
    run,
    open: None,
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, Mpmc)
}

struct Mpmc<M>(PhantomData<M>);

struct Rings<M> {
    tx: Producer<M>,
    rx: Consumer<M>,
    sleeps: bool,
}

impl<M: Message> Link for Rings<M> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let message = M::of(message)?;
        loop {
            // SAFETY: the guard is written to at once, so it is neither leaked nor dropped without a value.
            if let Some(guard) = unsafe { self.tx.try_reserve_write() } {
                guard.write(*message);
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        loop {
            let guard = if self.sleeps {
                Some(self.rx.reserve_read_timeout(FOREVER).map_err(|error| format!("{error:?}"))?)
            } else {
                self.rx.try_reserve_read()
            };
            if let Some(guard) = guard {
                return Ok(read(bytemuck::bytes_of(guard.as_ref())));
            }
            std::hint::spin_loop();
        }
    }
}

impl<M: Message> Transport for Mpmc<M> {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (depth, sleeps) = (setup.depth(), setup.mode == Mode::Block);
        let size = minimum_file_size::<M>(depth);
        let (to, fro) = (file(size)?, file(size)?);
        // SAFETY: the file is fresh and nobody else's.
        let tx = unsafe { Producer::<M>::create(&to, size) }.map_err(|error| format!("{error:?}"))?;
        // SAFETY: as above.
        let rx = unsafe { Consumer::<M>::create(&fro, size) }.map_err(|error| format!("{error:?}"))?;
        let far = move || {
            // SAFETY: both queues were created with this type.
            let rx = unsafe { Consumer::<M>::join(&to) }.map_err(|error| format!("{error:?}"))?;
            // SAFETY: as above.
            let tx = unsafe { Producer::<M>::join(&fro) }.map_err(|error| format!("{error:?}"))?;
            Ok(Rings { tx, rx, sleeps })
        };
        Ok((move || Ok(Rings { tx, rx, sleeps }), far))
    }
}

//! shaq's ring for many producers and many consumers.

use std::{fs::File, marker::PhantomData, num::NonZeroUsize};

use shaq::mpmc::{Consumer, Producer, minimum_file_size};

use super::{
    Group, Link, Many, Message, Mode, Opener, Outcome, Patience, Peer, Place, Result, Setup, Shared,
    Transport, measure_typed,
    shaq_spsc::{FOREVER, file},
};
use crate::{
    many,
    worker::{Job, measure_fixed},
};

pub(crate) static PEER: Peer = Peer {
    name: "shaq-mpmc",
    title: "shaq mpmc",
    group: Group::Library,
    place: Place::Processes,
    modes: &[Mode::Poll, Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "plain values; the guard that reads in place copies the message when dropped; many to many; only receiving can sleep; spins for whoever was interrupted, so not with more users than CPUs",
    optional: false,
    run,
    open: None,
    many: Some(Many { longest: 1 << 20, batches: true, hogs: true, run: run_many }),
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, measure_fixed, Mpmc)
}

fn run_many(job: &Job) -> Result<Outcome> {
    use many::measure_fixed;
    measure_typed!(job, measure_fixed, Queue)
}

struct Mpmc<M>(PhantomData<M>);

/// One for all processes.
struct Queue<M> {
    file: File,
    made: Producer<M>,
}

impl<M: Message> Shared for Queue<M> {
    type End = Rings<M>;

    fn make(setup: &Setup) -> Result<Self> {
        let size = minimum_file_size::<M>(setup.depth());
        let file = file(size)?;
        // SAFETY: the file is fresh and nobody else's.
        let made = unsafe { Producer::create(&file, size) }.map_err(|error| format!("{error:?}"))?;
        Ok(Queue { file, made })
    }

    fn join(&self, setup: &Setup) -> Result<Rings<M>> {
        // SAFETY: the queue was created with this type.
        let tx = unsafe { Producer::join(&self.file) }.map_err(|error| format!("{error:?}"))?;
        let rx = self.made.join_as_consumer();
        Ok(Rings { tx, rx, sleeps: setup.mode == Mode::Block })
    }
}

struct Rings<M> {
    tx: Producer<M>,
    rx: Consumer<M>,
    sleeps: bool,
}

impl<M: Message> Link for Rings<M> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let message = M::of(message)?;
        let mut patience = Patience::default();
        loop {
            // SAFETY: the guard is written to at once, so it is neither leaked nor dropped without a value.
            if let Some(guard) = unsafe { self.tx.try_reserve_write() } {
                guard.write(*message);
                return Ok(());
            }
            patience.wait();
        }
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let mut patience = Patience::default();
        loop {
            let guard = if self.sleeps {
                Some(self.rx.reserve_read_timeout(FOREVER).map_err(|error| format!("{error:?}"))?)
            } else {
                self.rx.try_reserve_read()
            };
            if let Some(guard) = guard {
                return Ok(read(bytemuck::bytes_of(guard.as_ref())));
            }
            patience.wait();
        }
    }

    #[inline]
    fn send_row(&mut self, row: &[u8]) -> Result<()> {
        let row: &[M] =
            bytemuck::try_cast_slice(row).map_err(|error| format!("no such messages: {error}"))?;
        let mut patience = Patience::default();
        while !self.tx.try_write_slice(row) {
            patience.wait();
        }
        Ok(())
    }

    #[inline]
    fn receive_row(&mut self, most: usize, read: &mut impl FnMut(&[u8])) -> Result<()> {
        let most = NonZeroUsize::new(most).ok_or("a batch of none")?;
        let mut patience = Patience::default();
        loop {
            let batch = if self.sleeps {
                let batch = self.rx.reserve_read_batch_timeout(most, FOREVER);
                Some(batch.map_err(|error| format!("{error:?}"))?)
            } else {
                self.rx.try_reserve_read_batch(most)
            };
            if let Some(batch) = batch {
                batch.iter().for_each(|message| read(bytemuck::bytes_of(message)));
                return Ok(());
            }
            patience.wait();
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

//! shaq's ring for one producer and one consumer.

use std::{
    fs::{self, File, OpenOptions},
    marker::PhantomData,
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use shaq::spsc::{Consumer, Producer, minimum_file_size};

use super::{
    Group, Link, Message, Mode, Named, Opener, Outcome, Peer, Place, Result, Setup, Transport, measure_typed,
};
use crate::{
    sys,
    worker::{self, Job, measure_fixed},
};

pub(crate) static PEER: Peer = Peer {
    name: "shaq-spsc",
    title: "shaq spsc",
    group: Group::Library,
    place: Place::Processes,
    modes: &[Mode::Poll, Mode::Block],
    longest: 1 << 20,
    copies: 1,
    blocks: true,
    note: "plain values, written and read in place; only receiving can sleep; has batches, used with one message",
    optional: false,
    run,
    open: Some(worker::measure_opening::<Spsc<super::Word>>),
    many: None,
};

fn run(job: &Job) -> Result<Outcome> {
    measure_typed!(job, measure_fixed, Spsc)
}

/// Longer than any measurement.
pub(crate) const FOREVER: Duration = Duration::from_secs(3600);

struct Spsc<M>(PhantomData<M>);

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
            if size_of::<M>() <= 64 {
                if self.tx.try_write(*message).is_ok() {
                    return Ok(());
                }
            } else {
                let mut batch = self.tx.write_batch();
                // SAFETY: the slot is written below, before the batch is dropped, which is what publishes it.
                if let Some(slot) = unsafe { batch.try_as_mut() } {
                    slot.write(*message);
                    return Ok(());
                }
            }
            std::hint::spin_loop();
        }
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        const ONE: NonZeroUsize = NonZeroUsize::MIN;
        loop {
            let batch = if self.sleeps {
                Some(self.rx.reserve_read_batch_timeout(ONE, FOREVER).map_err(|error| format!("{error:?}"))?)
            } else {
                self.rx.try_reserve_read_batch(ONE)
            };
            if let Some(batch) = batch {
                let message = batch.get(0).ok_or("an empty batch")?;
                return Ok(read(bytemuck::bytes_of(message)));
            }
            std::hint::spin_loop();
        }
    }
}

/// A file in memory for one queue.
pub(crate) fn file(bytes: usize) -> Result<File> {
    let file = sys::memory_file(c"shaq")?;
    file.set_len(bytes as u64)?;
    Ok(file)
}

impl<M: Message> Transport for Spsc<M> {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (depth, sleeps) = (setup.depth(), setup.mode == Mode::Block);
        let size = minimum_file_size::<M>(depth);
        let (to, fro) = (file(size)?, file(size)?);
        // SAFETY: of each fresh file this is the one producer, or the one consumer.
        let tx = unsafe { Producer::<M>::create(&to, size) }.map_err(|error| format!("{error:?}"))?;
        // SAFETY: as above.
        let rx = unsafe { Consumer::<M>::create(&fro, size) }.map_err(|error| format!("{error:?}"))?;
        let far = move || {
            // SAFETY: both queues were created with this type, and this is the only other end of each.
            let rx = unsafe { Consumer::<M>::join(&to) }.map_err(|error| format!("{error:?}"))?;
            // SAFETY: as above.
            let tx = unsafe { Producer::<M>::join(&fro) }.map_err(|error| format!("{error:?}"))?;
            Ok(Rings { tx, rx, sleeps })
        };
        Ok((move || Ok(Rings { tx, rx, sleeps }), far))
    }
}

fn path(setup: &Setup, name: &str) -> PathBuf {
    setup.dir.join(name)
}

impl<M: Message> Named for Spsc<M> {
    type Context = Setup;
    type Made = (File, Producer<M>);
    type Attached = (File, Consumer<M>);

    fn prepare(setup: &Setup) -> Result<Setup> {
        Ok(setup.clone())
    }

    fn create(setup: &Setup, name: &str) -> Result<Self::Made> {
        let size = minimum_file_size::<M>((64 << 10) / size_of::<M>());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path(setup, name))?;
        // SAFETY: the file is fresh, and this its one producer.
        let producer = unsafe { Producer::create(&file, size) }.map_err(|error| format!("{error:?}"))?;
        Ok((file, producer))
    }

    fn attach(setup: &Setup, name: &str) -> Result<Self::Attached> {
        let file = OpenOptions::new().read(true).write(true).open(path(setup, name))?;
        // SAFETY: the queue was created with this type, and this is its one consumer.
        let consumer = unsafe { Consumer::join(&file) }.map_err(|error| format!("{error:?}"))?;
        Ok((file, consumer))
    }

    fn remove(setup: &Setup, name: &str) -> Result<()> {
        Ok(fs::remove_file(path(setup, name))?)
    }
}

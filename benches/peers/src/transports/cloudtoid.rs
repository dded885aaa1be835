//! Cloudtoid Interprocess: queues of bytes, many to many, in a mapped file.

use cloudtoid_interprocess::{Options, Publisher, Subscriber};

use super::{
    Group, Link, Many, Mode, Named, Opener, Patience, Peer, Place, Result, Setup, Shared, Transport,
};
use crate::{many, plan::Crew, worker};

pub(crate) static PEER: Peer = Peer {
    name: "cloudtoid",
    title: "Cloudtoid Interprocess",
    group: Group::Library,
    place: Place::Processes,
    modes: &[Mode::Poll, Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "bytes; many to many; only receiving can sleep, into a fresh vector; batches of those sent only",
    optional: false,
    run: worker::measure::<Cloudtoid>,
    open: Some(worker::measure_opening::<Cloudtoid>),
    many: Some(Many { longest: 1 << 20, batches: true, hogs: false, run: many::measure::<Queue> }),
};

struct Cloudtoid;

struct Queues {
    tx: Publisher,
    rx: Subscriber,
    sleeps: bool,
    buffer: Box<[u8]>,
    len: usize,
}

/// One for all processes.
struct Queue(Options);

impl Shared for Queue {
    type End = Queues;

    fn make(setup: &Setup) -> Result<Self> {
        // A message takes eight bytes more.
        let capacity = setup.depth() * (setup.len + 8);
        Ok(Queue(Options::new(setup.name.clone(), capacity).with_path(&*setup.dir)))
    }

    fn join(&self, setup: &Setup) -> Result<Queues> {
        let (tx, rx) = (Publisher::open(&self.0)?, Subscriber::open(&self.0)?);
        let (len, sleeps) = (setup.len, setup.mode == Mode::Block);
        Ok(Queues { tx, rx, sleeps, buffer: vec![1; len].into(), len })
    }
}

impl Link for Queues {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut patience = Patience::default();
        loop {
            match self.tx.try_send(message) {
                Err(error) if error.is_full() => patience.wait(),
                result => return Ok(result?),
            }
        }
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if self.sleeps {
            return Ok(read(&self.rx.recv()?));
        }
        let mut patience = Patience::default();
        loop {
            if let Some(len) = self.rx.try_recv_into(&mut self.buffer)? {
                return Ok(read(&self.buffer[..len]));
            }
            patience.wait();
        }
    }

    #[inline]
    fn send_row(&mut self, row: &[u8]) -> Result<()> {
        let mut messages = [&row[..0]; Crew::BATCH];
        let mut patience = Patience::default();
        for row in row.chunks(Crew::BATCH * self.len) {
            let count = row.len() / self.len;
            for (place, message) in messages.iter_mut().zip(row.chunks_exact(self.len)) {
                *place = message;
            }
            let mut rest = &messages[..count];
            while !rest.is_empty() {
                match self.tx.try_send_batch(rest)? {
                    0 => patience.wait(),
                    sent => rest = &rest[sent..],
                }
            }
        }
        Ok(())
    }
}

impl Transport for Cloudtoid {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (len, sleeps) = (setup.len, setup.mode == Mode::Block);
        // A message takes eight bytes more.
        let capacity = setup.depth() * (len + 8);
        let [to, fro] = setup.names().map(|name| Options::new(name, capacity).with_path(&*setup.dir));
        let end = move |to: Options, fro: Options| {
            move || {
                let (tx, rx) = (Publisher::open(&to)?, Subscriber::open(&fro)?);
                Ok(Queues { tx, rx, sleeps, buffer: vec![1; len].into(), len })
            }
        };
        Ok((end(to.clone(), fro.clone()), end(fro, to)))
    }
}

fn options(setup: &Setup, name: &str) -> Options {
    Options::new(name, 64 << 10).with_path(&*setup.dir)
}

impl Named for Cloudtoid {
    type Context = Setup;
    type Made = Publisher;
    type Attached = Subscriber;

    fn prepare(setup: &Setup) -> Result<Setup> {
        Ok(setup.clone())
    }

    fn create(setup: &Setup, name: &str) -> Result<Publisher> {
        Ok(Publisher::open(&options(setup, name))?)
    }

    fn attach(setup: &Setup, name: &str) -> Result<Subscriber> {
        Ok(Subscriber::open(&options(setup, name))?)
    }

    /// It goes with its last user.
    fn remove(_: &Setup, _: &str) -> Result<()> {
        Ok(())
    }
}

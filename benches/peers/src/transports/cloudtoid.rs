//! Cloudtoid Interprocess: queues of bytes, many to many, in a mapped file.

use cloudtoid_interprocess::{Options, Publisher, Subscriber};

use super::{Group, Link, Mode, Named, Opener, Peer, Place, Result, Setup, Transport};
use crate::worker;

pub(crate) static PEER: Peer = Peer {
    name: "cloudtoid",
    title: "Cloudtoid Interprocess",
    group: Group::Library,
    place: Place::Processes,
    modes: &[Mode::Poll, Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "bytes; many to many; only receiving can sleep, into a fresh vector; has batches, not used here",
    optional: false,
    run: worker::measure::<Cloudtoid>,
    open: Some(worker::measure_opening::<Cloudtoid>),
};

struct Cloudtoid;

struct Queues {
    tx: Publisher,
    rx: Subscriber,
    sleeps: bool,
    buffer: Box<[u8]>,
}

impl Link for Queues {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        loop {
            match self.tx.try_send(message) {
                Err(error) if error.is_full() => std::hint::spin_loop(),
                result => return Ok(result?),
            }
        }
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if self.sleeps {
            return Ok(read(&self.rx.recv()?));
        }
        loop {
            if let Some(len) = self.rx.try_recv_into(&mut self.buffer)? {
                return Ok(read(&self.buffer[..len]));
            }
            std::hint::spin_loop();
        }
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
                Ok(Queues { tx, rx, sleeps, buffer: vec![1; len].into() })
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

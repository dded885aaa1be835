//! Our queue of bytes: any number of processes at both ends, messages of any length, lent out in place.

use std::{
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
};

use ringway::{Deadline, Queue, Wait};

use super::{
    Group, Link, Many, Mode, Opener, Peer, Place, Result, Setup, Shared, Transport, ringway_spsc::wait,
};
use crate::{many, worker};

/// Sends by copying, as most will.
pub(crate) static PEER: Peer = Peer {
    name: "ringway-queue-bytes",
    title: "Ringway Queue<[u8]>",
    group: Group::Ours,
    place: Place::Processes,
    modes: &[Mode::Spin, Mode::Adaptive],
    longest: 1 << 20,
    copies: 1,
    blocks: true,
    note: "any length; many to many; survives the death of any; up to 4 KiB copied out, longer ones read in place",
    optional: false,
    run: worker::measure::<Pair<Copying>>,
    open: None,
    many: Some(Many { longest: 1 << 20, batches: false, hogs: false, run: many::measure::<One<Copying>> }),
};

/// Writes in place.
pub(crate) static LOAN: Peer = Peer {
    name: "ringway-queue-loan",
    title: "Ringway Queue<[u8]>, loaned",
    modes: &[Mode::Spin],
    note: "the same, but written and read in place",
    run: worker::measure::<Pair<Lending>>,
    many: Some(Many { longest: 1 << 20, batches: false, hogs: false, run: many::measure::<One<Lending>> }),
    ..PEER
};

/// Only the first word of a loan of `LEN` bytes is written and read: what handing over such a message costs by itself.
const fn untouched<const LEN: usize>(name: &'static str, title: &'static str) -> Peer {
    Peer {
        name,
        title,
        group: Group::Ours,
        place: Place::Processes,
        modes: &[Mode::Spin],
        longest: 8,
        copies: 1,
        blocks: true,
        note: "only the first word of a longer loan is written and read",
        optional: false,
        run: worker::measure::<Pair<Untouched<LEN>>>,
        open: None,
        many: None,
    }
}

pub(crate) static LOAN_8: Peer = untouched::<8>("ringway-loan-8", "Ringway loan of 8 B");
pub(crate) static LOAN_64K: Peer =
    untouched::<{ 64 << 10 }>("ringway-loan-64K", "Ringway loan of 64 KiB, untouched");
pub(crate) static LOAN_1M: Peer =
    untouched::<{ 1 << 20 }>("ringway-loan-1M", "Ringway loan of 1 MiB, untouched");
pub(crate) static LOAN_64M: Peer =
    untouched::<{ 64 << 20 }>("ringway-loan-64M", "Ringway loan of 64 MiB, untouched");

/// How messages get in and out.
pub(crate) trait Way {
    /// How long messages are, if not as asked for.
    const LEN: Option<usize> = None;

    fn send(queue: &Queue<[u8]>, message: &[u8]) -> Result<()>;
    fn receive<R>(queue: &Queue<[u8]>, buffer: &mut Vec<u8>, read: impl FnOnce(&[u8]) -> R) -> Result<R>;
}

pub(crate) struct Copying;

impl Way for Copying {
    #[inline]
    fn send(queue: &Queue<[u8]>, message: &[u8]) -> Result<()> {
        Ok(queue.send(message)?)
    }

    #[inline]
    fn receive<R>(queue: &Queue<[u8]>, buffer: &mut Vec<u8>, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if buffer.capacity() == 0 {
            return Ok(read(&queue.recv()?));
        }
        queue.recv_into(buffer, Deadline::NEVER)?;
        Ok(read(buffer))
    }
}

pub(crate) struct Lending;

impl Way for Lending {
    #[inline]
    fn send(queue: &Queue<[u8]>, message: &[u8]) -> Result<()> {
        let mut loan = queue.reserve(message.len())?;
        loan.copy_from_slice(message);
        loan.commit().map_err(|uncommitted| uncommitted.to_string().into())
    }

    #[inline]
    fn receive<R>(queue: &Queue<[u8]>, _: &mut Vec<u8>, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        Ok(read(&queue.recv()?))
    }
}

pub(crate) struct Untouched<const LEN: usize>;

impl<const LEN: usize> Way for Untouched<LEN> {
    const LEN: Option<usize> = Some(LEN);

    #[inline]
    fn send(queue: &Queue<[u8]>, message: &[u8]) -> Result<()> {
        let mut loan = queue.reserve(LEN)?;
        loan[..message.len()].copy_from_slice(message);
        loan.commit().map_err(|uncommitted| uncommitted.to_string().into())
    }

    #[inline]
    fn receive<R>(queue: &Queue<[u8]>, _: &mut Vec<u8>, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let message = queue.recv()?;
        Ok(read(message.get(..8).ok_or("a message of less than a word")?))
    }
}

/// Up to here copying a message out costs less than the guard that lends it out.
const COPIED: usize = 4096;

pub(crate) struct Ends<W> {
    tx: Queue<[u8]>,
    rx: Queue<[u8]>,
    /// With room for a message if that is to be copied out.
    buffer: Vec<u8>,
    way: PhantomData<W>,
}

impl<W: Way> Ends<W> {
    fn of(tx: Queue<[u8]>, rx: Queue<[u8]>, setup: &Setup) -> Self {
        let room = if setup.len <= COPIED { setup.len } else { 0 };
        Ends { tx, rx, buffer: Vec::with_capacity(room), way: PhantomData }
    }
}

impl<W: Way> Link for Ends<W> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        W::send(&self.tx, message)
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        W::receive(&self.rx, &mut self.buffer, read)
    }
}

fn make<W: Way>(setup: &Setup) -> Result<Queue<[u8]>> {
    let options = Queue::<[u8]>::options().wait(wait(setup.mode));
    let options = match W::LEN {
        Some(_) => options.capacity(16_usize).max_held(4).max_bytes(1 << 30),
        // Every user has one message in its hands.
        None => {
            options.capacity(setup.depth()).message_size(setup.len).max_held(if setup.many { 16 } else { 2 })
        }
    };
    Ok(options.prefault(true).anonymous()?)
}

/// The other users are this very program: they are trusted.
fn join(fd: OwnedFd, wait: Wait) -> Result<Queue<[u8]>> {
    Ok(Queue::<[u8]>::options().prefault(true).trusted(true).wait(wait).from_fd(fd)?)
}

/// Two queues, for there and back.
pub(crate) struct Pair<W>(PhantomData<W>);

impl<W: Way> Transport for Pair<W> {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (to, fro) = (make::<W>(setup)?, make::<W>(setup)?);
        let (far_to, far_fro) = (to.as_fd().try_clone_to_owned()?, fro.as_fd().try_clone_to_owned()?);
        let (setup, far_setup) = (setup.clone(), setup.clone());
        let far = move || {
            let wait = wait(far_setup.mode);
            Ok(Ends::<W>::of(join(far_fro, wait)?, join(far_to, wait)?, &far_setup))
        };
        Ok((move || Ok(Ends::<W>::of(to, fro, &setup)), far))
    }
}

/// One queue, which every process attaches to.
pub(crate) struct One<W>(Queue<[u8]>, PhantomData<fn() -> W>);

impl<W: Way> Shared for One<W> {
    type End = Ends<W>;

    fn make(setup: &Setup) -> Result<Self> {
        Ok(One(make::<W>(setup)?, PhantomData))
    }

    fn join(&self, setup: &Setup) -> Result<Ends<W>> {
        let queue = join(self.0.as_fd().try_clone_to_owned()?, wait(setup.mode))?;
        Ok(Ends::of(queue.clone(), queue, setup))
    }
}

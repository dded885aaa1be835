//! A pair of Unix sockets that keep messages apart.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
};

use super::{Group, Link, Many, Mode, Opener, Peer, Place, Result, Setup, Shared, Transport};
use crate::{many, sys, worker};

pub(crate) static PEER: Peer = Peer {
    name: "seqpacket",
    title: "Unix seqpacket",
    group: Group::System,
    place: Place::Processes,
    modes: &[Mode::Block],
    longest: 64 << 10, // a message must fit into the socket's buffer
    copies: 2,
    blocks: true,
    note: "the kernel's own buffer sizes",
    optional: false,
    run: worker::measure::<Seqpacket>,
    open: None,
    many: Some(Many { longest: 64 << 10, batches: false, hogs: false, run: many::measure::<Pair> }),
};

struct Seqpacket;

/// One pair for all processes: they send on the one socket and receive on the other.
struct Pair(OwnedFd, OwnedFd);

impl Shared for Pair {
    type End = Packets;

    fn make(_: &Setup) -> Result<Self> {
        let (source, sink) = sys::seqpacket_pair()?;
        Ok(Pair(source, sink))
    }

    fn join(&self, setup: &Setup) -> Result<Packets> {
        let (source, sink) = (self.0.try_clone()?.into(), self.1.try_clone()?.into());
        Ok(Packets { source, sink, buffer: vec![1; setup.len].into() })
    }
}

struct Packets {
    source: File,
    sink: File,
    buffer: Box<[u8]>,
}

impl Link for Packets {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        match self.sink.write(message)? {
            n if n == message.len() => Ok(()),
            n => Err(format!("{n} bytes of a packet were sent").into()),
        }
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let n = self.source.read(&mut self.buffer)?;
        Ok(read(&self.buffer[..n]))
    }
}

impl Transport for Seqpacket {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (near, far) = sys::seqpacket_pair()?;
        let len = setup.len;
        let end = move |socket: OwnedFd| {
            move || {
                let source = socket.try_clone()?.into();
                Ok(Packets { source, sink: socket.into(), buffer: vec![1; len].into() })
            }
        };
        Ok((end(near), end(far)))
    }
}

//! A pair of Unix sockets that keep messages apart.

use std::{
    fs::File,
    io::{Read, Write},
};

use super::{Group, Link, Mode, Opener, Peer, Place, Result, Setup, Transport};
use crate::{sys, worker};

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
};

struct Seqpacket;

struct Packets {
    socket: File,
    buffer: Box<[u8]>,
}

impl Link for Packets {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        match self.socket.write(message)? {
            n if n == message.len() => Ok(()),
            n => Err(format!("{n} bytes of a packet were sent").into()),
        }
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let n = self.socket.read(&mut self.buffer)?;
        Ok(read(&self.buffer[..n]))
    }
}

impl Transport for Seqpacket {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (near, far) = sys::seqpacket_pair()?;
        let len = setup.len;
        let end =
            move |socket| move || Ok(Packets { socket: File::from(socket), buffer: vec![1; len].into() });
        Ok((end(near), end(far)))
    }
}

//! ipc-channel: Servo's, over Unix sockets.

use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, bytes_channel};

use super::{Group, Link, Mode, Opener, Peer, Place, Result, Setup, Transport};
use crate::worker;

pub(crate) static PEER: Peer = Peer {
    name: "ipc-channel",
    title: "ipc-channel",
    group: Group::Library,
    place: Place::Processes,
    modes: &[Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "bytes, into a fresh vector; depth cannot be chosen",
    optional: false,
    run: worker::measure::<Channel>,
    open: None,
    many: None,
};

struct Channel;

struct Channels {
    tx: IpcBytesSender,
    rx: IpcBytesReceiver,
}

impl Link for Channels {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.tx.send(message)?)
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let message = self.rx.recv().map_err(|error| format!("{error:?}"))?;
        Ok(read(&message))
    }
}

impl Transport for Channel {
    fn ends(_: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (near_tx, far_rx) = bytes_channel()?;
        let (far_tx, near_rx) = bytes_channel()?;
        Ok((
            move || Ok(Channels { tx: near_tx, rx: near_rx }),
            move || Ok(Channels { tx: far_tx, rx: far_rx }),
        ))
    }
}

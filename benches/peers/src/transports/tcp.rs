//! TCP through the loopback device.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::{Group, Mode, Opener, Peer, Place, Result, Setup, Transport, stream::Stream};
use crate::worker;

pub(crate) static PEER: Peer = Peer {
    name: "tcp",
    title: "TCP loopback",
    group: Group::System,
    place: Place::Processes,
    modes: &[Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "no delay; the kernel's own buffer sizes",
    optional: false,
    run: worker::measure::<Tcp>,
    open: None,
    many: None,
};

struct Tcp;

impl Transport for Tcp {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let far = listener.accept()?.0;
        for socket in [&near, &far] {
            socket.set_nodelay(true)?;
        }
        let len = setup.len;
        let end = move |socket: TcpStream| move || Stream::duplex(socket.into(), len);
        Ok((end(near), end(far)))
    }
}

//! A pair of Unix stream sockets.

use std::os::unix::net::UnixStream;

use super::{Group, Mode, Opener, Peer, Place, Result, Setup, Transport, stream::Stream};
use crate::worker;

pub(crate) static PEER: Peer = Peer {
    name: "unix",
    title: "Unix stream",
    group: Group::System,
    place: Place::Processes,
    modes: &[Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "the kernel's own buffer sizes",
    optional: false,
    run: worker::measure::<Unix>,
    open: None,
    many: None,
};

struct Unix;

impl Transport for Unix {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (near, far) = UnixStream::pair()?;
        let len = setup.len;
        let end = move |socket: UnixStream| move || Stream::duplex(socket.into(), len);
        Ok((end(near), end(far)))
    }
}

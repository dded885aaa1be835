//! Two pipes of the operating system, one each way.

use std::io;

use super::{Group, Mode, Opener, Peer, Place, Result, Setup, Transport, stream::Stream};
use crate::{sys, worker};

pub(crate) static PEER: Peer = Peer {
    name: "pipe",
    title: "pipe",
    group: Group::System,
    place: Place::Processes,
    modes: &[Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "widened to the common depth, as far as the system allows (1 MiB)",
    optional: false,
    run: worker::measure::<Pipe>,
    open: None,
};

struct Pipe;

impl Transport for Pipe {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let (far_source, near_sink) = io::pipe()?;
        let (near_source, far_sink) = io::pipe()?;
        for pipe in [&near_sink, &far_sink] {
            sys::widen_pipe(pipe, setup.depth_bytes());
        }
        let len = setup.len;
        Ok((
            move || Ok(Stream::new(near_source.into(), near_sink.into(), len)),
            move || Ok(Stream::new(far_source.into(), far_sink.into(), len)),
        ))
    }
}

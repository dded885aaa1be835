//! Two pipes of the operating system, one each way.

use std::io::{self, PipeReader, PipeWriter};

use super::{Group, Many, Mode, Opener, Peer, Place, Result, Setup, Shared, Transport, stream::Stream};
use crate::{many, sys, worker};

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
    // So long the system promises to keep messages whole.
    many: Some(Many { longest: libc::PIPE_BUF, batches: false, hogs: false, run: many::measure::<OnePipe> }),
};

struct Pipe;

/// One for all processes.
struct OnePipe(PipeReader, PipeWriter);

impl Shared for OnePipe {
    type End = Stream;

    fn make(setup: &Setup) -> Result<Self> {
        let (source, sink) = io::pipe()?;
        sys::widen_pipe(&sink, setup.depth_bytes());
        Ok(OnePipe(source, sink))
    }

    fn join(&self, setup: &Setup) -> Result<Stream> {
        Ok(Stream::shared(self.0.try_clone()?.into(), self.1.try_clone()?.into(), setup.len))
    }
}

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

//! What the kernel's byte streams have in common: one message is one `write`; the reader reads through a buffer of
//! 64 KiB, or of one message if that is larger, and sees the message there.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::fd::OwnedFd,
};

use super::{Link, Result};

/// One end.
#[derive(Debug)]
pub(crate) struct Stream {
    source: File,
    sink: File,
    len: usize,
    buffer: Box<[u8]>,
    /// `buffer[from..to]` was read ahead.
    from: usize,
    to: usize,
}

impl Stream {
    pub(crate) fn new(source: OwnedFd, sink: OwnedFd, len: usize) -> Self {
        let buffer = vec![1; len.max(64 << 10)].into();
        Stream { source: source.into(), sink: sink.into(), len, buffer, from: 0, to: 0 }
    }

    /// An end that reads no further than the message it waits for: what follows is for others.
    pub(crate) fn shared(source: OwnedFd, sink: OwnedFd, len: usize) -> Self {
        Stream { source: source.into(), sink: sink.into(), len, buffer: vec![1; len].into(), from: 0, to: 0 }
    }

    /// An end that is one descriptor.
    pub(crate) fn duplex(socket: OwnedFd, len: usize) -> Result<Self> {
        Ok(Stream::new(socket.try_clone()?, socket, len))
    }

    fn refill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        while self.to < self.len {
            match self.source.read(&mut self.buffer[self.to..]) {
                Ok(0) => return Err("the stream has ended".into()),
                Ok(n) => self.to += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Link for Stream {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sink.write_all(message).map_err(Into::into)
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        if self.to - self.from < self.len {
            self.refill()?;
        }
        let message = &self.buffer[self.from..self.from + self.len];
        self.from += self.len;
        Ok(read(message))
    }
}

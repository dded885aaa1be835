//! Ringway's own: the typed ring, the byte ring and the pipe, as a program would use them.
//!
//! All without a name, handed over by descriptor. Messages are written and read where they lie; only who has to
//! wait first copies a message of a typed ring.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use bytemuck::{Pod, bytes_of, bytes_of_mut};
use ringway::{Connection, Deadline, RecvError, SendError, Wait, bytes, spsc};

use super::{CHUNK, Link, Mode, TickLink, Transport, Work, work::Tick, wrong_descriptors};

/// The memory of a ring: small enough to stay in a processor's own cache.
const RING_BYTES: usize = 256 * 1024;

/// Messages that a ring holds if that is not too much: then what one side has written has mostly left its own
/// cache for the shared one by the time the other reads it, which is the faster way.
const MESSAGES: usize = 256;

/// A ring larger than this would leave the shared cache too.
const MOST_BYTES: usize = 16 << 20;

/// Where messages are large, a ring holds this many of them, so that one is written while others are read.
const LEAST_MESSAGES: usize = 4;

impl From<Mode> for Wait {
    fn from(mode: Mode) -> Wait {
        match mode {
            Mode::Spin => Wait::Spin,
            Mode::Adaptive => Wait::Adaptive,
            Mode::Park => Wait::Park,
        }
    }
}

/// Every failure of the library, for who only knows those of the system.
fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

fn unsupported(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}

/// After the end nothing is sent any more.
fn finished() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

fn sent(result: Result<(), SendError>) -> io::Result<()> {
    result.map_err(|error| match error {
        SendError::Closed => io::ErrorKind::BrokenPipe.into(),
        error => other(error),
    })
}

/// `None` is the orderly end.
fn received<R>(result: Result<R, RecvError>) -> io::Result<Option<R>> {
    match result {
        Ok(message) => Ok(Some(message)),
        Err(RecvError::Closed) => Ok(None),
        Err(error) => Err(other(error)),
    }
}

fn wrong_length(len: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{len} bytes are not the length of these messages"))
}

/// Bytes of a ring for messages of `len` bytes.
fn ring_bytes(len: usize) -> usize {
    let len = len.next_power_of_two();
    (MESSAGES * len).clamp(RING_BYTES, MOST_BYTES).max(LEAST_MESSAGES * len)
}

fn copy_of(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// The two ends of rings that go there and, for answers, back.
macro_rules! two_ways {
    ($link:ident $(<$word:ident>)?, $producer:ty, $consumer:ty, $capacity:expr) => {
        impl$(<$word: Pod>)? $link$(<$word>)? {
            /// Our end and what the other process needs. Who sends one way needs one ring.
            fn pair(mode: Mode, work: Work) -> io::Result<(Self, Vec<OwnedFd>)> {
                let capacity = $capacity(work.message_len());
                let tx = <$producer>::options()
                    .capacity(capacity)
                    .prefault(true)
                    .wait(mode.into())
                    .anonymous()
                    .map_err(other)?;
                let mut fds = vec![copy_of(tx.as_fd())?];
                let mut rx = None;
                if let Work::Echo(_) = work {
                    let back = <$consumer>::options()
                        .capacity(capacity)
                        .prefault(true)
                        .wait(mode.into())
                        .anonymous()
                        .map_err(other)?;
                    fds.push(copy_of(back.as_fd())?);
                    rx = Some(back);
                }
                Ok(($link { tx: Some(tx), rx }, fds))
            }

            /// The other end. Its maker is this very program, so it is trusted.
            fn accept(fds: Vec<OwnedFd>, mode: Mode, work: Work) -> io::Result<Self> {
                let (got, want) = (fds.len(), if matches!(work, Work::Echo(_)) { 2 } else { 1 });
                if got != want {
                    return Err(wrong_descriptors(got, want));
                }
                let mut fds = fds.into_iter();
                let rx = fds.next().map(|fd| {
                    <$consumer>::options().wait(mode.into()).prefault(true).trusted(true).from_fd(fd)
                });
                let tx = fds.next().map(|fd| {
                    <$producer>::options().wait(mode.into()).prefault(true).trusted(true).from_fd(fd)
                });
                Ok($link { tx: tx.transpose().map_err(other)?, rx: rx.transpose().map_err(other)? })
            }
        }
    };
}

/// Rings of one plain type.
#[derive(Debug)]
pub(crate) struct TypedLink<T: Pod> {
    tx: Option<spsc::Producer<T>>,
    rx: Option<spsc::Consumer<T>>,
}

two_ways!(TypedLink<T>, spsc::Producer::<T>, spsc::Consumer::<T>, |len: usize| ring_bytes(len) / len);

impl<T: Pod> TypedLink<T> {
    #[cold]
    fn send_when_there_is_space(
        producer: &mut spsc::Producer<T>,
        fill: impl FnOnce(&mut [u8]),
    ) -> io::Result<()> {
        let mut message = T::zeroed();
        fill(bytes_of_mut(&mut message));
        producer.send(message).map_err(|error| match error {
            spsc::SendError::Closed(_) => io::ErrorKind::BrokenPipe.into(),
            error => io::Error::other(error.to_string()),
        })
    }

    #[cold]
    fn recv_when_there_is_one<R>(
        consumer: &mut spsc::Consumer<T>,
        read: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<Option<R>> {
        Ok(received(consumer.recv())?.map(|message| read(bytes_of(&message))))
    }
}

impl<T: Pod> Link for TypedLink<T> {
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<()> {
        if len != size_of::<T>() {
            return Err(wrong_length(len));
        }
        let producer = self.tx.as_mut().ok_or_else(finished)?;
        if let Some(mut slot) = producer.reserve() {
            fill(bytes_of_mut(&mut *slot));
            slot.commit();
            return Ok(());
        }
        Self::send_when_there_is_space(producer, fill)
    }

    #[inline]
    fn recv_with<R>(&mut self, len: usize, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        if len != size_of::<T>() {
            return Err(wrong_length(len));
        }
        let consumer = self.rx.as_mut().ok_or_else(finished)?;
        if let Some(message) = consumer.peek() {
            return Ok(Some(read(bytes_of(&*message))));
        }
        Self::recv_when_there_is_one(consumer, read)
    }

    fn send_chunk(&mut self, _: &[u8]) -> io::Result<()> {
        Err(unsupported("a typed ring carries no stream of bytes"))
    }

    fn recv_chunk<R>(&mut self, _: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        Err(unsupported("a typed ring carries no stream of bytes"))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.tx = None;
        Ok(())
    }
}

/// A ring of ticks.
#[derive(Debug)]
pub(crate) struct TickRing(TypedLink<Tick>);

impl TickLink for TickRing {
    #[inline]
    fn send_tick(&mut self, tick: Tick) -> io::Result<()> {
        let producer = self.0.tx.as_mut().ok_or_else(finished)?;
        producer.send(tick).map_err(|error| match error {
            spsc::SendError::Closed(_) => io::ErrorKind::BrokenPipe.into(),
            error => io::Error::other(error.to_string()),
        })
    }

    #[inline]
    fn recv_tick(&mut self) -> io::Result<Option<Tick>> {
        received(self.0.rx.as_mut().ok_or_else(finished)?.recv())
    }

    fn finish_ticks(&mut self) -> io::Result<()> {
        self.0.finish()
    }
}

/// Typed rings of messages of `WORDS` times eight bytes.
#[derive(Debug)]
pub(crate) struct Typed<const WORDS: usize>;

impl<const WORDS: usize> Transport for Typed<WORDS>
where
    [u64; WORDS]: Pod,
{
    type Link = TypedLink<[u64; WORDS]>;
    type TickLink = TickRing;

    fn pair(mode: Mode, work: Work) -> io::Result<(Self::Link, Vec<OwnedFd>)> {
        match work {
            Work::Messages(len) | Work::Echo(len) if len == 8 * WORDS => TypedLink::pair(mode, work),
            Work::Bytes(_) => Err(unsupported("a typed ring carries no stream of bytes")),
            _ => Err(wrong_length(work.message_len())),
        }
    }

    fn accept(fds: Vec<OwnedFd>, mode: Mode, work: Work) -> io::Result<Self::Link> {
        TypedLink::accept(fds, mode, work)
    }

    fn tick_pair(mode: Mode) -> io::Result<(TickRing, Vec<OwnedFd>)> {
        let (link, fds) = TypedLink::pair(mode, Work::Ticks)?;
        Ok((TickRing(link), fds))
    }

    fn tick_accept(fds: Vec<OwnedFd>, mode: Mode) -> io::Result<TickRing> {
        TypedLink::accept(fds, mode, Work::Ticks).map(TickRing)
    }
}

/// Rings of byte records.
#[derive(Debug)]
pub(crate) struct ByteLink {
    tx: Option<bytes::Producer>,
    rx: Option<bytes::Consumer>,
}

two_ways!(ByteLink, bytes::Producer, bytes::Consumer, ring_bytes);

impl Link for ByteLink {
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let producer = self.tx.as_mut().ok_or_else(finished)?;
        if let Some(mut record) = producer.reserve(len) {
            fill(&mut record);
            record.commit();
            return Ok(());
        }
        match producer.reserve_deadline(len, Deadline::NEVER) {
            Ok(mut record) => {
                fill(&mut record);
                record.commit();
                Ok(())
            }
            Err(error) => sent(Err(error)),
        }
    }

    #[inline]
    fn recv_with<R>(&mut self, len: usize, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        let consumer = self.rx.as_mut().ok_or_else(finished)?;
        if let Some(record) = consumer.peek()
            && record.len() == len
        {
            return Ok(Some(read(&record)));
        }
        match received(consumer.peek_deadline(Deadline::NEVER))? {
            Some(record) if record.len() == len => Ok(Some(read(&record))),
            Some(record) => Err(wrong_length(record.len())),
            None => Ok(None),
        }
    }

    fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_with(bytes.len(), |record| record.copy_from_slice(bytes))
    }

    fn recv_chunk<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        let consumer = self.rx.as_mut().ok_or_else(finished)?;
        Ok(received(consumer.peek_deadline(Deadline::NEVER))?.map(|record| read(&record)))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.tx = None;
        Ok(())
    }
}

/// One end of a pipe of ours: both directions in one.
#[derive(Debug)]
pub(crate) struct PipeLink(Option<Connection>);

impl Link for PipeLink {
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<()> {
        match self.0.as_ref().ok_or_else(finished)?.reserve(len) {
            Ok(mut message) => {
                fill(&mut message);
                message.commit();
                Ok(())
            }
            Err(error) => sent(Err(error)),
        }
    }

    #[inline]
    fn recv_with<R>(&mut self, len: usize, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        match received(self.0.as_ref().ok_or_else(finished)?.recv_ref())? {
            Some(message) if message.len() == len => Ok(Some(read(&message))),
            Some(message) => Err(wrong_length(message.len())),
            None => Ok(None),
        }
    }

    fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        sent(self.0.as_ref().ok_or_else(finished)?.send(bytes))
    }

    fn recv_chunk<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        Ok(received(self.0.as_ref().ok_or_else(finished)?.recv_ref())?.map(|message| read(&message)))
    }

    /// The end as a whole: nothing is received any more either.
    fn finish(&mut self) -> io::Result<()> {
        self.0 = None;
        Ok(())
    }
}

/// What byte rings and pipes have in common: they carry ticks as messages.
macro_rules! ticks_are_messages {
    ($link:ty) => {
        type Link = $link;
        type TickLink = $link;

        fn tick_pair(mode: Mode) -> io::Result<($link, Vec<OwnedFd>)> {
            Self::pair(mode, Work::Ticks)
        }

        fn tick_accept(fds: Vec<OwnedFd>, mode: Mode) -> io::Result<$link> {
            Self::accept(fds, mode, Work::Ticks)
        }
    };
}

/// Byte rings, one each way.
#[derive(Debug)]
pub(crate) struct Bytes;

impl Transport for Bytes {
    ticks_are_messages!(ByteLink);

    fn pair(mode: Mode, work: Work) -> io::Result<(ByteLink, Vec<OwnedFd>)> {
        ByteLink::pair(mode, work)
    }

    fn accept(fds: Vec<OwnedFd>, mode: Mode, work: Work) -> io::Result<ByteLink> {
        ByteLink::accept(fds, mode, work)
    }
}

/// A [`ringway::Pipe`].
#[derive(Debug)]
pub(crate) struct Pipe;

impl Transport for Pipe {
    ticks_are_messages!(PipeLink);

    fn pair(mode: Mode, work: Work) -> io::Result<(PipeLink, Vec<OwnedFd>)> {
        let options = ringway::Pipe::options().capacity(ring_bytes(work.message_len())).prefault(true);
        let (near, far) = options.wait(mode.into()).pair().map_err(other)?;
        let socket = far.socket().ok_or_else(|| unsupported("a pipe without a socket"))?;
        let fds = vec![copy_of(far.memory())?, copy_of(socket)?];
        Ok((PipeLink(Some(near)), fds))
    }

    fn accept(fds: Vec<OwnedFd>, mode: Mode, _: Work) -> io::Result<PipeLink> {
        let [memory, socket] =
            <[OwnedFd; 2]>::try_from(fds).map_err(|fds| wrong_descriptors(fds.len(), 2))?;
        let options = ringway::Pipe::options().wait(mode.into()).prefault(true).trusted(true);
        Ok(PipeLink(Some(options.from_fds(memory, socket).map_err(other)?)))
    }
}

/// The largest message of a byte ring or pipe, so that the smallest ring holds a chunk in one piece.
const _: () = assert!(CHUNK * LEAST_MESSAGES <= RING_BYTES);

#[cfg(test)]
mod tests;

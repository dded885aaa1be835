//! What the operating system offers: pipes, Unix sockets, TCP.
//!
//! Each is used as a program would use it with care: one message is one `write`, the reader reads through a
//! buffer of 64 KiB (or of one message, if that is larger), and buffer sizes in the kernel are the defaults.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use super::{CHUNK, Link, Mode, Transport, Work, wrong_descriptors};

/// One end of a byte stream in both directions.
#[derive(Debug)]
pub(crate) struct Stream {
    source: File,
    sink: Sink,
    /// Where messages are put together before they are written.
    outgoing: Vec<u8>,
    /// What was read ahead: `incoming[from..to]` is yet to be handed out.
    incoming: Box<[u8]>,
    from: usize,
    to: usize,
}

/// The sending side, and how to end it.
#[derive(Debug)]
enum Sink {
    /// A pipe: the reader sees the end when the last writer closes.
    Pipe(Option<File>),
    /// A socket shared with the reading side: sending alone is shut down.
    Socket(File),
}

impl Stream {
    fn new(source: OwnedFd, sink: Sink, work: Work) -> Self {
        let len = work.message_len();
        let incoming = vec![0; len.max(CHUNK)].into_boxed_slice();
        Stream { source: source.into(), sink, outgoing: vec![0; len], incoming, from: 0, to: 0 }
    }

    fn socket(socket: OwnedFd, work: Work) -> io::Result<Self> {
        let sink = Sink::Socket(socket.try_clone()?.into());
        Ok(Stream::new(socket, sink, work))
    }

    /// Reads until at least `len` bytes are at hand; `false` if the stream ended before the first of them.
    #[inline]
    fn fetch(&mut self, len: usize) -> io::Result<bool> {
        if self.to - self.from >= len { Ok(true) } else { self.refill(len) }
    }

    fn refill(&mut self, len: usize) -> io::Result<bool> {
        if len > self.incoming.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the message is larger than was planned",
            ));
        }
        self.incoming.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        while self.to < len {
            match self.source.read(&mut self.incoming[self.to..]) {
                Ok(0) if self.to == 0 => return Ok(false),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.to += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Sink {
    #[inline]
    fn file(&mut self) -> io::Result<&mut File> {
        match self {
            Sink::Pipe(Some(file)) | Sink::Socket(file) => Ok(file),
            Sink::Pipe(None) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Link for Stream {
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let message = self.outgoing.get_mut(..len).ok_or(io::ErrorKind::InvalidInput)?;
        fill(message);
        self.sink.file()?.write_all(message)
    }

    #[inline]
    fn recv_with<R>(&mut self, len: usize, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        if !self.fetch(len)? {
            return Ok(None);
        }
        let message = &self.incoming[self.from..self.from + len];
        self.from += len;
        Ok(Some(read(message)))
    }

    fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.file()?.write_all(bytes)
    }

    fn recv_chunk<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        if !self.fetch(1)? {
            return Ok(None);
        }
        let bytes = &self.incoming[self.from..self.to];
        self.from = self.to;
        Ok(Some(read(bytes)))
    }

    fn finish(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Pipe(file) => *file = None,
            // `UnixStream::shutdown` is shutdown(2), which serves sockets of every family.
            Sink::Socket(file) => {
                UnixStream::from(OwnedFd::from(file.try_clone()?)).shutdown(Shutdown::Write)?
            }
        }
        Ok(())
    }
}

/// The functions of [`Transport`] that are the same for all streams: ticks are messages.
macro_rules! ticks_are_messages {
    () => {
        type Link = Stream;
        type TickLink = Stream;

        fn tick_pair(mode: Mode) -> io::Result<(Stream, Vec<OwnedFd>)> {
            Self::pair(mode, Work::Ticks)
        }

        fn tick_accept(fds: Vec<OwnedFd>, mode: Mode) -> io::Result<Stream> {
            Self::accept(fds, mode, Work::Ticks)
        }
    };
}

/// Two OS pipes, one each way.
#[derive(Debug)]
pub(crate) struct Pipe;

impl Transport for Pipe {
    ticks_are_messages!();

    fn pair(_: Mode, work: Work) -> io::Result<(Stream, Vec<OwnedFd>)> {
        let (their_source, sink) = io::pipe()?;
        let (source, their_sink) = io::pipe()?;
        let sink = Sink::Pipe(Some(OwnedFd::from(sink).into()));
        Ok((Stream::new(source.into(), sink, work), vec![their_source.into(), their_sink.into()]))
    }

    fn accept(fds: Vec<OwnedFd>, _: Mode, work: Work) -> io::Result<Stream> {
        let [source, sink] = <[OwnedFd; 2]>::try_from(fds).map_err(|fds| wrong_descriptors(fds.len(), 2))?;
        Ok(Stream::new(source, Sink::Pipe(Some(sink.into())), work))
    }
}

fn accept_socket(fds: Vec<OwnedFd>, work: Work) -> io::Result<Stream> {
    let [socket] = <[OwnedFd; 1]>::try_from(fds).map_err(|fds| wrong_descriptors(fds.len(), 1))?;
    Stream::socket(socket, work)
}

/// A connected pair of Unix stream sockets.
#[derive(Debug)]
pub(crate) struct Unix;

impl Transport for Unix {
    ticks_are_messages!();

    fn pair(_: Mode, work: Work) -> io::Result<(Stream, Vec<OwnedFd>)> {
        let (near, far) = UnixStream::pair()?;
        Ok((Stream::socket(near.into(), work)?, vec![far.into()]))
    }

    fn accept(fds: Vec<OwnedFd>, _: Mode, work: Work) -> io::Result<Stream> {
        accept_socket(fds, work)
    }
}

/// A TCP connection over the loopback interface.
#[derive(Debug)]
pub(crate) struct Tcp;

impl Transport for Tcp {
    ticks_are_messages!();

    fn pair(_: Mode, work: Work) -> io::Result<(Stream, Vec<OwnedFd>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let ours = near.local_addr()?;
        // Any process of the machine may connect to the port; take the connection that is our own.
        let far = loop {
            let (far, peer) = listener.accept()?;
            if peer == ours {
                break far;
            }
        };
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        Ok((Stream::socket(near.into(), work)?, vec![far.into()]))
    }

    fn accept(fds: Vec<OwnedFd>, _: Mode, work: Work) -> io::Result<Stream> {
        accept_socket(fds, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Messages one way, an answer back, and the end seen after the last message.
    fn carries<T: Transport>() {
        let work = Work::Messages(200_000);
        let (mut near, fds) = T::pair(Mode::Park, work).unwrap();
        let receiver = thread::spawn(move || {
            let mut far = T::accept(fds, Mode::Park, work).unwrap();
            let mut got = Vec::new();
            for len in [8, 200_000, 64, 8] {
                got.push(far.recv_with(len, <[u8]>::to_vec).unwrap().unwrap());
            }
            assert!(far.recv_with(8, |_| ()).unwrap().is_none());
            far.send_with(5, |answer| answer.copy_from_slice(b"thank")).unwrap();
            got
        });
        for (number, len) in [8, 200_000, 64, 8].into_iter().enumerate() {
            near.send_with(len, |message| message.fill(number as u8)).unwrap();
        }
        near.finish().unwrap();
        assert_eq!(near.recv_with(5, <[u8]>::to_vec).unwrap().unwrap(), b"thank");
        let got = receiver.join().unwrap();
        assert_eq!(got, [vec![0; 8], vec![1; 200_000], vec![2; 64], vec![3; 8]]);
    }

    #[test]
    fn pipes_carry() {
        carries::<Pipe>();
    }

    #[test]
    fn unix_sockets_carry() {
        carries::<Unix>();
    }

    #[test]
    fn tcp_carries() {
        carries::<Tcp>();
    }

    #[test]
    fn an_end_inside_a_message_is_an_error() {
        let (mut near, fds) = Pipe::pair(Mode::Park, Work::Messages(64)).unwrap();
        let mut far = Pipe::accept(fds, Mode::Park, Work::Messages(64)).unwrap();
        near.send_chunk(b"only these").unwrap();
        near.finish().unwrap();
        let error = far.recv_with(64, |_| ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(near.send_with(8, |_| ()).is_err(), "nothing is sent after the end");
    }

    #[test]
    fn a_gone_reader_is_an_error_and_no_signal() {
        let (mut near, fds) = Unix::pair(Mode::Park, Work::Ticks).unwrap();
        drop(fds);
        assert_eq!(near.send_chunk(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(Unix::accept(Vec::new(), Mode::Park, Work::Ticks).is_err());
    }
}

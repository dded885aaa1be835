//! The transports that are compared, all behind one pair of traits.
//!
//! The traits cost nothing: workers are generic over them, and the choice between transports is made once,
//! outside every loop (`with_transport!`).

pub(crate) mod floor;
pub(crate) mod ring;
pub(crate) mod stream;
pub(crate) mod work;

use std::{fmt, io, os::fd::OwnedFd, str::FromStr};

use clap::ValueEnum;
use work::{TICK_LEN, Tick};

/// The transports by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Ringway's ring of one plain type, `ringway::spsc`; messages of up to 4 KiB.
    Spsc,
    /// Ringway's ring of byte records, `ringway::bytes`.
    Bytes,
    /// Ringway's pipe for any number of processes, `ringway::Pipe`.
    RingwayPipe,
    /// Two OS pipes, one each way.
    Pipe,
    /// A connected pair of Unix stream sockets.
    Unix,
    /// A TCP connection over the loopback interface, with TCP_NODELAY.
    Tcp,
    /// One cache line handed back and forth, both sides spinning: no transport can be faster.
    FloorCacheline,
    /// One futex handed back and forth, both sides asleep: no transport that sleeps can be faster.
    FloorFutex,
}

impl Kind {
    /// What carries data; the floors only go back and forth.
    pub(crate) const CARRIERS: [Kind; 6] =
        [Kind::Spsc, Kind::Bytes, Kind::RingwayPipe, Kind::Pipe, Kind::Unix, Kind::Tcp];
    /// The lower bounds this machine sets.
    pub(crate) const FLOORS: [Kind; 2] = [Kind::FloorCacheline, Kind::FloorFutex];

    /// The name in arguments and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Spsc => "spsc",
            Kind::Bytes => "bytes",
            Kind::RingwayPipe => "ringway-pipe",
            Kind::Pipe => "pipe",
            Kind::Unix => "unix",
            Kind::Tcp => "tcp",
            Kind::FloorCacheline => "floor-cacheline",
            Kind::FloorFutex => "floor-futex",
        }
    }

    /// The name in tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Kind::Spsc => "Ringway typed ring",
            Kind::Bytes => "Ringway byte ring",
            Kind::RingwayPipe => "Ringway pipe",
            Kind::Pipe => "OS pipe",
            Kind::Unix => "Unix socket",
            Kind::Tcp => "TCP loopback",
            Kind::FloorCacheline => "floor: cache line",
            Kind::FloorFutex => "floor: futex",
        }
    }

    /// The ways of waiting it knows.
    pub(crate) fn modes(self) -> &'static [Mode] {
        match self {
            Kind::Spsc | Kind::Bytes | Kind::RingwayPipe => &[Mode::Spin, Mode::Adaptive, Mode::Park],
            Kind::Pipe | Kind::Unix | Kind::Tcp | Kind::FloorFutex => &[Mode::Park],
            Kind::FloorCacheline => &[Mode::Spin],
        }
    }

    /// Whether it is one of Ringway's own.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Kind::Spsc | Kind::Bytes | Kind::RingwayPipe)
    }

    /// Whether it carries messages of `len` bytes. A typed ring does if there is a type for them.
    pub(crate) fn carries(self, len: usize) -> bool {
        self != Kind::Spsc || TYPED_LENS.contains(&len)
    }

    /// Whether it carries bytes of any number.
    pub(crate) fn carries_streams(self) -> bool {
        self != Kind::Spsc && !self.is_floor()
    }

    /// Whether it is a lower bound and no transport.
    pub(crate) fn is_floor(self) -> bool {
        Kind::FLOORS.contains(&self)
    }
}

/// The lengths of messages for which `with_transport!` knows a type.
const TYPED_LENS: [usize; 9] = [8, 16, 32, 64, 128, 256, 512, 1024, 4096];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a side waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Looks again and again.
    Spin,
    /// Looks for a while, then sleeps.
    Adaptive,
    /// Sleeps in the kernel at once.
    Park,
}

impl Mode {
    /// The name in arguments and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Spin => "spin",
            Mode::Adaptive => "adaptive",
            Mode::Park => "park",
        }
    }
}

/// What is to be done over a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Typed messages one way: [`work::Ticks`].
    Ticks,
    /// Messages of so many bytes one way.
    Messages(usize),
    /// A stream of bytes one way: a file of so many bytes, over and over.
    Bytes(u64),
    /// Messages of so many bytes there and back, one at a time.
    Echo(usize),
}

impl Work {
    /// The largest message.
    pub(crate) fn message_len(self) -> usize {
        match self {
            Work::Ticks => TICK_LEN,
            Work::Messages(len) | Work::Echo(len) => len,
            Work::Bytes(_) => CHUNK,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Ticks => f.write_str("ticks"),
            Work::Messages(len) => write!(f, "messages:{len}"),
            Work::Bytes(len) => write!(f, "bytes:{len}"),
            Work::Echo(len) => write!(f, "echo:{len}"),
        }
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, len) = text.split_once(':').unwrap_or((text, "0"));
        let len: u64 = len.parse().map_err(|_| format!("{len:?} is no length"))?;
        let payload = || match usize::try_from(len) {
            Ok(len) if work::is_payload(len) => Ok(len),
            _ => Err(format!("a payload has a multiple of 8 bytes, not {len}")),
        };
        match name {
            "ticks" => Ok(Work::Ticks),
            "messages" => payload().map(Work::Messages),
            "echo" => payload().map(Work::Echo),
            "bytes" if len > 0 => Ok(Work::Bytes(len)),
            _ => Err(format!("{text:?} is no work")),
        }
    }
}

/// How a stream of bytes is cut for sending: in writes of this many bytes.
pub(crate) const CHUNK: usize = 64 * 1024;

/// A way to set up a connection to another process.
pub(crate) trait Transport {
    /// What carries bytes.
    type Link: Link;
    /// What carries ticks: the same, unless the transport has a typed form.
    type TickLink: TickLink;

    /// Our end, and the descriptors from which the other process makes its own.
    fn pair(mode: Mode, work: Work) -> io::Result<(Self::Link, Vec<OwnedFd>)>;
    /// The other end, in the process that has been handed the descriptors.
    fn accept(fds: Vec<OwnedFd>, mode: Mode, work: Work) -> io::Result<Self::Link>;
    /// As [`pair`](Transport::pair), for ticks.
    fn tick_pair(mode: Mode) -> io::Result<(Self::TickLink, Vec<OwnedFd>)>;
    /// As [`accept`](Transport::accept), for ticks.
    fn tick_accept(fds: Vec<OwnedFd>, mode: Mode) -> io::Result<Self::TickLink>;
}

/// One end of a connection that carries messages or a stream, in both directions.
pub(crate) trait Link {
    /// Sends a message of `len` bytes, which `fill` writes to where the transport wants them.
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<()>;

    /// Receives the next message, which `read` sees where the transport has it; `None` once the sender has
    /// finished. The caller knows its length, because streams have no message boundaries.
    fn recv_with<R>(&mut self, len: usize, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>>;

    /// Sends bytes without boundaries, at most [`CHUNK`] at a time.
    fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Receives whatever bytes come next, at least one; `None` once the sender has finished.
    fn recv_chunk<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>>;

    /// Tells the other side that no more will be sent. Receiving goes on.
    fn finish(&mut self) -> io::Result<()>;
}

/// One end of a connection that carries ticks.
pub(crate) trait TickLink {
    /// Sends a tick.
    fn send_tick(&mut self, tick: Tick) -> io::Result<()>;
    /// Receives the next tick; `None` once the sender has finished.
    fn recv_tick(&mut self) -> io::Result<Option<Tick>>;
    /// Tells the other side that no more will be sent.
    fn finish_ticks(&mut self) -> io::Result<()>;
}

/// Ticks as messages of 32 bytes, for transports that know only bytes.
impl<L: Link> TickLink for L {
    #[inline]
    fn send_tick(&mut self, tick: Tick) -> io::Result<()> {
        self.send_with(TICK_LEN, |message| message.copy_from_slice(bytemuck::bytes_of(&tick)))
    }

    #[inline]
    fn recv_tick(&mut self) -> io::Result<Option<Tick>> {
        self.recv_with(TICK_LEN, bytemuck::pod_read_unaligned)
    }

    fn finish_ticks(&mut self) -> io::Result<()> {
        self.finish()
    }
}

/// Calls a function that is generic over the [`Transport`], for the one that a [`Kind`] names. The typed ring has
/// a type for each length of messages.
macro_rules! with_transport {
    ($kind:expr, $len:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        use $crate::transport::{Kind, floor, ring, stream};
        match ($kind, $len) {
            (Kind::Spsc, 16) => $function::<ring::Typed<2>>($($argument),*),
            (Kind::Spsc, 32) => $function::<ring::Typed<4>>($($argument),*),
            (Kind::Spsc, 64) => $function::<ring::Typed<8>>($($argument),*),
            (Kind::Spsc, 128) => $function::<ring::Typed<16>>($($argument),*),
            (Kind::Spsc, 256) => $function::<ring::Typed<32>>($($argument),*),
            (Kind::Spsc, 512) => $function::<ring::Typed<64>>($($argument),*),
            (Kind::Spsc, 1024) => $function::<ring::Typed<128>>($($argument),*),
            (Kind::Spsc, 4096) => $function::<ring::Typed<512>>($($argument),*),
            // This one refuses all lengths but its own.
            (Kind::Spsc, _) => $function::<ring::Typed<1>>($($argument),*),
            (Kind::Bytes, _) => $function::<ring::Bytes>($($argument),*),
            (Kind::RingwayPipe, _) => $function::<ring::Pipe>($($argument),*),
            (Kind::Pipe, _) => $function::<stream::Pipe>($($argument),*),
            (Kind::Unix, _) => $function::<stream::Unix>($($argument),*),
            (Kind::Tcp, _) => $function::<stream::Tcp>($($argument),*),
            (Kind::FloorCacheline, _) => $function::<floor::CacheLine>($($argument),*),
            (Kind::FloorFutex, _) => $function::<floor::Futex>($($argument),*),
        }
    }};
}
pub(crate) use with_transport;

/// The error of a side that was handed the wrong number of descriptors.
fn wrong_descriptors(got: usize, want: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{got} descriptors were handed over, not {want}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_survives_the_command_line() {
        for work in [Work::Ticks, Work::Messages(64), Work::Bytes(12345), Work::Echo(1 << 20)] {
            assert_eq!(work.to_string().parse::<Work>().unwrap(), work);
        }
        for bad in ["", "tick", "messages", "messages:7", "echo:-8", "bytes:0", "echo:x"] {
            assert!(bad.parse::<Work>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_arguments() {
        for kind in Kind::CARRIERS.into_iter().chain(Kind::FLOORS) {
            assert_eq!(kind.to_possible_value().unwrap().get_name(), kind.name());
            assert!(!kind.modes().is_empty());
        }
    }

    #[test]
    fn every_length_of_a_typed_ring_has_a_type() {
        fn makes<T: Transport>(len: usize) -> bool {
            T::pair(Mode::Park, Work::Messages(len)).is_ok()
        }
        for len in (8..=5000).step_by(8) {
            assert_eq!(with_transport!(Kind::Spsc, len, makes(len)), Kind::Spsc.carries(len), "{len}");
        }
    }
}

//! Everybody who is measured. A new peer is a file here and a line in [`ALL`].

use std::{error::Error, fmt, path::Path};

use bytemuck::Pod;

use crate::{locks, plan::Crew, worker::Job};

mod boost;
mod cacheline;
mod cloudtoid;
mod crossbeam_array;
mod crossbeam_channel;
mod futex;
mod iceoryx2;
mod ipc_channel;
mod memcpy;
mod mqueue;
mod pipe;
mod ringway_bytes;
mod ringway_pipe;
mod ringway_queue;
mod ringway_queue_bytes;
mod ringway_spsc;
mod rtrb;
mod seqpacket;
mod shaq_mpmc;
mod shaq_spsc;
mod stream;
mod tcp;
mod unix;

pub(crate) use ringway_spsc::wait;

/// All of them, in the order of the tables.
pub(crate) static ALL: &[&Peer] = &[
    &cacheline::PEER,
    &futex::PEER,
    &memcpy::PEER,
    &ringway_spsc::PEER,
    &ringway_bytes::PEER,
    &ringway_pipe::PEER,
    &ringway_queue::PEER,
    &ringway_queue_bytes::PEER,
    &ringway_queue_bytes::LOAN,
    &ringway_queue_bytes::LOAN_8,
    &ringway_queue_bytes::LOAN_64K,
    &ringway_queue_bytes::LOAN_1M,
    &ringway_queue_bytes::LOAN_64M,
    &iceoryx2::PEER,
    &shaq_spsc::PEER,
    &shaq_mpmc::PEER,
    &cloudtoid::PEER,
    &boost::PEER,
    &ipc_channel::PEER,
    &pipe::PEER,
    &unix::PEER,
    &seqpacket::PEER,
    &tcp::PEER,
    &mqueue::PEER,
    &ringway_spsc::THREADS,
    &ringway_bytes::THREADS,
    &ringway_queue::THREADS,
    &rtrb::PEER,
    &crossbeam_array::PEER,
    &crossbeam_channel::PEER,
];

/// Whatever went wrong. It may come from any peer, and is only ever shown.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// What cannot be measured here, through nobody's fault.
#[derive(Debug)]
pub(crate) struct Unavailable(pub(crate) String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unavailable {}

/// How both sides wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mode {
    /// Ringway's blocking calls that never sleep; whoever sleeps at the other end would be woken.
    Spin,
    /// Ringway's default: spin while it pays, then sleep.
    Adaptive,
    /// Ringway's blocking calls that sleep at once.
    Park,
    /// Calls that do not block, in a loop.
    Poll,
    /// The peer's own blocking calls.
    Block,
}

impl Mode {
    /// As it is written in tables and figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Spin => "spin",
            Mode::Adaptive => "adaptive",
            Mode::Park => "park",
            Mode::Poll => "poll",
            Mode::Block => "block",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Mode> {
        let all = [Mode::Spin, Mode::Adaptive, Mode::Park, Mode::Poll, Mode::Block];
        all.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether it keeps a processor busy for as long as nothing comes.
    pub(crate) fn is_busy(self) -> bool {
        matches!(self, Mode::Spin | Mode::Poll)
    }
}

/// Where the two sides run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a process each.
    Processes,
    /// In a thread each.
    Threads,
    /// There is one side only.
    Alone,
}

/// Whom a peer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// What the machine itself takes.
    Floor,
    /// Ringway.
    Ours,
    /// A library.
    Library,
    /// The operating system.
    System,
}

/// One way from one side to the other, and how it is measured.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What it is called on the command line and in figures.
    pub(crate) name: &'static str,
    /// What it is called in tables and plots.
    pub(crate) title: &'static str,
    pub(crate) group: Group,
    pub(crate) place: Place,
    pub(crate) modes: &'static [Mode],
    /// The longest message, in bytes.
    pub(crate) longest: usize,
    /// How often the payload is copied between the sender's own memory and the place where the receiver reads it.
    pub(crate) copies: u8,
    /// Whether a side can sleep until there is something to do.
    pub(crate) blocks: bool,
    /// What else there is to know.
    pub(crate) note: &'static str,
    /// May be missing without making the run a failure.
    pub(crate) optional: bool,
    /// Carries out a job. To be called in a process of one thread, once.
    pub(crate) run: fn(&Job) -> Result<Outcome>,
    /// Measures making an object and attaching to it, if it has a name.
    pub(crate) open: Option<fn(&Job) -> Result<Outcome>>,
    /// How it is with several at each end, if that can be.
    pub(crate) many: Option<Many>,
}

/// A peer with several at each end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Many {
    /// The longest message, in bytes.
    pub(crate) longest: usize,
    /// Whether it has calls for several messages at once.
    pub(crate) batches: bool,
    /// Whether a user that was interrupted in a call leaves the others spinning, without giving way. With more users than
    /// processors that takes a slice of the scheduler each time.
    pub(crate) hogs: bool,
    /// Carries out a job. To be called in a process of one thread, once.
    pub(crate) run: fn(&Job) -> Result<Outcome>,
}

impl Many {
    /// Whether it can be measured with such messages and such a crew on this machine.
    pub(crate) fn can(&self, len: usize, crew: Crew) -> bool {
        let cpus = || crate::sys::usable_cpus().map_or(1, |cpus| cpus.len());
        len <= self.longest && (crew.batch == 1 || self.batches) && !(self.hogs && crew.users() > cpus())
    }
}

/// Names and values of what a job has measured.
pub(crate) type Outcome = Vec<(Metric, f64)>;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Metric {
    Messages,
    Bytes,
    Rtt50,
    Rtt90,
    Rtt99,
    Rtt999,
    RttMax,
    Create,
    Attach,
    /// Nanoseconds to take a lock and give it back.
    Pass,
    /// How often a second a crowd gets a lock.
    Takes,
    /// What the one of a crowd gets that gets least, as a part of what each would get if all got the same.
    Share,
    /// Nanoseconds of a meeting.
    Round,
}

impl Metric {
    pub(crate) const ALL: [Metric; 13] = [
        Metric::Messages,
        Metric::Bytes,
        Metric::Rtt50,
        Metric::Rtt90,
        Metric::Rtt99,
        Metric::Rtt999,
        Metric::RttMax,
        Metric::Create,
        Metric::Attach,
        Metric::Pass,
        Metric::Takes,
        Metric::Share,
        Metric::Round,
    ];

    /// The percentiles of the round trip and the fraction each stands for.
    pub(crate) const TRIPS: [(Metric, f64); 5] = [
        (Metric::Rtt50, 0.5),
        (Metric::Rtt90, 0.9),
        (Metric::Rtt99, 0.99),
        (Metric::Rtt999, 0.999),
        (Metric::RttMax, 1.0),
    ];

    /// The name in figures, with the unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Metric::Messages => "throughput_msgs",
            Metric::Bytes => "throughput_bytes",
            Metric::Rtt50 => "rtt_p50_ns",
            Metric::Rtt90 => "rtt_p90_ns",
            Metric::Rtt99 => "rtt_p99_ns",
            Metric::Rtt999 => "rtt_p999_ns",
            Metric::RttMax => "rtt_max_ns",
            Metric::Create => "create_us",
            Metric::Attach => "attach_us",
            Metric::Pass => "pass_ns",
            Metric::Takes => "takes",
            Metric::Share => "least_share",
            Metric::Round => "round_ns",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

/// What a transport is set up for.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Bytes of every message: a multiple of 8.
    pub(crate) len: usize,
    pub(crate) mode: Mode,
    /// Whether there may be several at each end.
    pub(crate) many: bool,
    /// A directory of this run alone, in memory, removed afterwards.
    pub(crate) dir: Box<Path>,
    /// A name that nobody else has. Whatever lies under `/dev/shm` with it as a part of its name is removed
    /// afterwards.
    pub(crate) name: String,
}

impl Setup {
    /// How many messages lie between the two sides before the sender has to wait, for all peers where it can be
    /// chosen: 256, more if they come to less than 64 KiB, fewer if they come to more than 4 MiB. (More than that
    /// leaves the caches: a plain copy of 1 MiB into sixteen places in turn is half as fast as into four.)
    ///
    /// Where many share a queue it is 1024, or fewer if they come to more than 4 MiB.
    pub(crate) fn depth(&self) -> usize {
        if self.many {
            return 1024.min((4 << 20) / self.len).max(16);
        }
        256.max((64 << 10) / self.len).min((4 << 20) / self.len).max(4)
    }

    /// The same in bytes.
    pub(crate) fn depth_bytes(&self) -> usize {
        self.depth() * self.len
    }

    /// Two names, for there and back.
    pub(crate) fn names(&self) -> [String; 2] {
        [format!("{}-to", self.name), format!("{}-fro", self.name)]
    }
}

/// One end: sends messages of one length, and receives such messages.
pub(crate) trait Link {
    /// Sends a message, whose bytes stay the caller's; waits for space in the mode of the set-up.
    fn send(&mut self, message: &[u8]) -> Result<()>;

    /// Waits for the next message and lets `read` see it, where it lies if the transport allows.
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R>;

    /// Sends the messages that lie in `row`, with as few calls as the transport allows.
    #[inline]
    fn send_row(&mut self, row: &[u8]) -> Result<()> {
        self.send(row)
    }

    /// Waits for a message, and lets `read` see it and what came with it, up to `most` messages.
    #[inline]
    fn receive_row(&mut self, _most: usize, read: &mut impl FnMut(&[u8])) -> Result<()> {
        self.receive(read)
    }
}

/// What many share: a queue that each of them joins, where it will be used, to send and to receive.
pub(crate) trait Shared: Send + Sync + Sized {
    type End: Link;

    /// Makes it, before its users part.
    fn make(setup: &Setup) -> Result<Self>;

    /// Joins it, in the process or the thread of a user.
    fn join(&self, setup: &Setup) -> Result<Self::End>;
}

/// How calls that do not block are repeated: spinning, and giving way to others when that has lasted as long as a
/// processor shared with others is worth (some 30 µs).
#[derive(Debug, Default)]
pub(crate) struct Patience(u32);

impl Patience {
    #[inline]
    pub(crate) fn wait(&mut self) {
        if self.0 < 2000 {
            self.0 += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// Opens an end where it will be used: in its own process or thread.
pub(crate) trait Opener: Send {
    type Link: Link;

    fn open(self) -> Result<Self::Link>;
}

impl<L: Link, F: FnOnce() -> Result<L> + Send> Opener for F {
    type Link = L;

    fn open(self) -> Result<L> {
        self()
    }
}

/// What can be measured.
pub(crate) trait Transport {
    /// Makes what the two sides share, before they part, and for each the way to open its end. Both ends send and
    /// receive. The second one is not used by the process that called this, if there are two.
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)>;
}

/// Objects with names.
pub(crate) trait Named {
    /// What a process makes once, before it creates or attaches to anything.
    type Context;
    /// What whoever creates an object holds.
    type Made;
    /// What whoever attaches to one holds.
    type Attached;

    fn prepare(setup: &Setup) -> Result<Self::Context>;
    fn create(context: &Self::Context, name: &str) -> Result<Self::Made>;
    fn attach(context: &Self::Context, name: &str) -> Result<Self::Attached>;
    /// Undoes `create`, after everybody has let go.
    fn remove(context: &Self::Context, name: &str) -> Result<()>;
}

/// A message as a type, for transports whose messages have one.
pub(crate) trait Message: Pod + Send + Sync + fmt::Debug {
    /// The message that these bytes are, if they are one.
    #[inline]
    fn of(bytes: &[u8]) -> Result<&Self> {
        bytemuck::try_from_bytes(bytes).map_err(|error| format!("not such a message: {error}").into())
    }
}

/// One word.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(crate) struct Word(u64);

impl Message for Word {}

/// Whole cache lines, each in one.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lines<const N: usize>([[u64; 8]; N]);

// SAFETY: an array of integers, for which all zeroes is a value.
unsafe impl<const N: usize> bytemuck::Zeroable for Lines<N> {}
// SAFETY: an array of integers, as long as a multiple of its alignment, so without padding.
unsafe impl<const N: usize> Pod for Lines<N> {}

impl<const N: usize> Message for Lines<N> {}

/// The lengths that messages can have.
pub(crate) const SIZES: [usize; 9] = [8, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// Measures a transport, by the function named, over the [`Message`] of the length that a job asks for.
macro_rules! measure_typed {
    ($job:expr, $measure:ident, $transport:ident) => {
        measure_typed!(@ $job, $measure, $transport; 256 4, 1024 16, 4096 64, 16384 256, 65536 1024, 262144 4096, 1048576 16384)
    };
    ($job:expr, $measure:ident, $transport:ident up to 4096) => {
        measure_typed!(@ $job, $measure, $transport; 256 4, 1024 16, 4096 64)
    };
    ($job:expr, $measure:ident, $transport:ident up to 1024) => {
        measure_typed!(@ $job, $measure, $transport; 256 4, 1024 16)
    };
    (@ $job:expr, $measure:ident, $transport:ident; $($bytes:literal $lines:literal),*) => {
        match $job.setup.len {
            8 => $measure::<$transport<$crate::transports::Word>, 8>($job),
            64 => $measure::<$transport<$crate::transports::Lines<1>>, 64>($job),
            $($bytes => $measure::<$transport<$crate::transports::Lines<$lines>>, 0>($job),)*
            len => Err(format!("no message of this transport has {len} bytes").into()),
        }
    };
}
pub(crate) use measure_typed;

/// All that carry messages, and then all that users agree by.
pub(crate) fn everybody() -> impl Iterator<Item = &'static Peer> {
    ALL.iter().copied().chain(locks::ALL.iter().map(|tool| &tool.peer))
}

/// The one that is called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Peer> {
    everybody().find(|peer| peer.name == name)
}

//! Opening bytes as an object of some kind, and calling what that gives.

use crate::calls::{self, Call};
use crate::locks::{Meeting, Value as Guarded};
use crate::{maps, raw};
use arbitrary::Arbitrary;
use ringway::{
    Array, Barrier, Condvar, Connection, End, Error, Event, JoinableQueue, Map, Memory, Mutex, Options,
    OwnedSemaphore, Pipe, Queue, ReentrantMutex, Semaphore, TallyQueue, Token, Value, Wait, bytes, spsc,
};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// As what to open it.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum What {
    TypedProducer,
    TypedConsumer,
    WideProducer,
    WideConsumer,
    ByteProducer,
    ByteConsumer,
    First,
    Second,
    Values,
    Bytestrings,
    Tasks,
    ByteTasks,
    Mutex,
    Reentrant,
    Semaphore,
    Owned,
    Event,
    Condvar,
    Barrier,
    Number,
    Large,
    Array,
    Memory,
    Token,
    Map,
    Tally,
}

pub type Typed = u64;
pub type Wide = [u32; 6];

/// What opening gives.
#[allow(clippy::large_enum_variant, reason = "there are few, and not for long")]
pub enum Endpoint {
    TypedProducer(spsc::Producer<Typed>),
    TypedConsumer(spsc::Consumer<Typed>),
    WideProducer(spsc::Producer<Wide>),
    WideConsumer(spsc::Consumer<Wide>),
    ByteProducer(bytes::Producer),
    ByteConsumer(bytes::Consumer),
    Connection(Connection),
    Values(Queue<Wide>),
    Bytestrings(Queue<[u8]>),
    Tasks(JoinableQueue<Typed>),
    ByteTasks(JoinableQueue<[u8]>),
    Mutex(Mutex<Guarded>),
    Reentrant(ReentrantMutex<Guarded>),
    Semaphore(Semaphore),
    Owned(OwnedSemaphore),
    Event(Event),
    Condvar(Meeting),
    Barrier(Barrier),
    Number(Value<Typed>),
    Large(Value<Wide>),
    Array(Array<u32>),
    Memory(Memory),
    Token(Token),
    Map(Map),
    Tally(TallyQueue),
}

/// The longest message that pipes accept here.
const MAX: usize = 1 << 16;
/// How long a writer is waited for.
const SHORT: Duration = Duration::from_micros(20);
/// Objects may be used that are no longer.
pub const USABLE: u64 = 1 << 24;

/// One way of opening.
pub struct Opening<'a> {
    pub name: &'a str,
    /// Nobody else's, for conditions.
    pub mutex: &'a Mutex<Guarded>,
    pub fd: &'a OwnedFd,
    pub named: bool,
    pub body_at: u64,
    pub trusted: Option<bool>,
    pub exactly: Option<u16>,
    pub or_create: bool,
}

/// The methods of `Options<E>` for each `E`, whose bounds have no name outside the library.
macro_rules! open_ring {
    ($opening:expr, $endpoint:ty) => {
        open_ring!($opening, $endpoint, |options| options)
    };
    ($opening:expr, $endpoint:ty, $more:expr) => {{
        let Opening { name, fd, named, or_create, .. } = *$opening;
        let more: fn(Options<$endpoint>) -> Options<$endpoint> = $more;
        let options = more($opening.options(<$endpoint>::options()));
        if !named {
            options.from_fd(fd.try_clone().expect("no descriptor left"))
        } else if or_create {
            options.participants(4).open_or_create(name)
        } else {
            options.open(name)
        }
    }};
}

impl Opening<'_> {
    fn options<E>(&self, mut options: Options<E>) -> Options<E> {
        if let Some(trusted) = self.trusted {
            options = options.trusted(trusted);
        }
        if let Some(capacity) = self.exactly {
            options = options.capacity(capacity.into());
        }
        options.wait(if self.or_create { Wait::Spin } else { Wait::Park })
    }

    /// Opens it.
    ///
    /// # Errors
    /// What the library says.
    pub fn open(&self, what: What) -> Result<Endpoint, Error> {
        Ok(match what {
            What::TypedProducer => Endpoint::TypedProducer(open_ring!(self, spsc::Producer<Typed>)?),
            What::TypedConsumer => Endpoint::TypedConsumer(open_ring!(self, spsc::Consumer<Typed>)?),
            What::WideProducer => Endpoint::WideProducer(open_ring!(self, spsc::Producer<Wide>)?),
            What::WideConsumer => Endpoint::WideConsumer(open_ring!(self, spsc::Consumer<Wide>)?),
            What::ByteProducer => Endpoint::ByteProducer(open_ring!(self, bytes::Producer)?),
            What::ByteConsumer => Endpoint::ByteConsumer(open_ring!(self, bytes::Consumer)?),
            What::First => Endpoint::Connection(self.connection(End::First)?),
            What::Second => Endpoint::Connection(self.connection(End::Second)?),
            What::Values => Endpoint::Values(open_ring!(self, Queue<Wide>)?),
            What::Bytestrings => Endpoint::Bytestrings(open_ring!(self, Queue<[u8]>)?),
            What::Tasks => Endpoint::Tasks(open_ring!(self, JoinableQueue<Typed>)?),
            What::ByteTasks => Endpoint::ByteTasks(open_ring!(self, JoinableQueue<[u8]>)?),
            What::Mutex => Endpoint::Mutex(open_ring!(self, Mutex<Guarded>)?),
            What::Reentrant => Endpoint::Reentrant(open_ring!(self, ReentrantMutex<Guarded>)?),
            What::Semaphore => Endpoint::Semaphore(open_ring!(self, Semaphore)?),
            What::Owned => Endpoint::Owned(open_ring!(self, OwnedSemaphore)?),
            What::Event => Endpoint::Event(open_ring!(self, Event)?),
            What::Condvar => {
                Endpoint::Condvar(Meeting { condvar: open_ring!(self, Condvar)?, mutex: self.mutex.clone() })
            }
            What::Barrier => Endpoint::Barrier(open_ring!(self, Barrier)?),
            // Nobody waits long for whom the bytes call a writer.
            What::Number => Endpoint::Number(open_ring!(self, Value<Typed>)?),
            What::Large => {
                Endpoint::Large(open_ring!(self, Value<Wide>, |options| options.write_timeout(SHORT))?)
            }
            What::Array => {
                Endpoint::Array(open_ring!(self, Array<u32>, |options| options.write_timeout(SHORT))?)
            }
            What::Memory => Endpoint::Memory(open_ring!(self, Memory)?),
            What::Token => Endpoint::Token(open_ring!(self, Token)?),
            What::Map => Endpoint::Map(open_ring!(self, Map, |options| options.write_timeout(SHORT))?),
            What::Tally => Endpoint::Tally(open_ring!(self, TallyQueue)?),
        })
    }

    fn connection(&self, end: End) -> Result<Connection, Error> {
        let options = self.options(Pipe::options()).end(end).max_message(MAX);
        if !self.named {
            // The pipe knows its sockets by their inodes, in a word for each end.
            let (socket, _) = UnixStream::pair().expect("no descriptor left");
            let socket = File::from(OwnedFd::from(socket));
            let memory = File::from(self.fd.try_clone().expect("no descriptor left"));
            let at = self.body_at.saturating_add((raw::pipe::ENDS + raw::pipe::SOCKET) as u64);
            let at = at.saturating_add(if end == End::First { 0 } else { 128 });
            if at < USABLE {
                let _ = memory.write_all_at(&socket.metadata().unwrap().ino().to_le_bytes(), at);
            }
            return options.from_fds(memory.into(), socket.into());
        }
        if self.or_create {
            options.participants(4).open_or_create(self.name)
        } else {
            options.open(self.name)
        }
    }
}

impl Endpoint {
    /// Makes a call on it.
    pub fn call(&mut self, call: Call) {
        match self {
            Endpoint::TypedProducer(producer) => calls::typed_producer(producer, call),
            Endpoint::TypedConsumer(consumer) => calls::typed_consumer(consumer, call),
            Endpoint::WideProducer(producer) => calls::typed_producer(producer, call),
            Endpoint::WideConsumer(consumer) => calls::typed_consumer(consumer, call),
            Endpoint::ByteProducer(producer) => calls::byte_producer(producer, call),
            Endpoint::ByteConsumer(consumer) => calls::byte_consumer(consumer, call),
            Endpoint::Connection(connection) => calls::connection(connection, MAX, call),
            Endpoint::Values(queue) => calls::queue(queue, &mut Vec::new(), call),
            Endpoint::Bytestrings(queue) => calls::queue(queue, &mut Vec::new(), call),
            Endpoint::Tasks(queue) => calls::queue(queue, &mut Vec::new(), call),
            Endpoint::ByteTasks(queue) => calls::queue(queue, &mut Vec::new(), call),
            Endpoint::Mutex(mutex) => calls::lock(mutex, call),
            Endpoint::Reentrant(mutex) => calls::lock(mutex, call),
            Endpoint::Semaphore(semaphore) => calls::lock(semaphore, call),
            Endpoint::Owned(semaphore) => calls::lock(semaphore, call),
            Endpoint::Event(event) => calls::lock(event, call),
            Endpoint::Condvar(meeting) => calls::lock(meeting, call),
            Endpoint::Barrier(barrier) => calls::lock(barrier, call),
            Endpoint::Number(value) => calls::lock(value, call),
            Endpoint::Large(value) => calls::lock(value, call),
            Endpoint::Array(array) => calls::lock(array, call),
            Endpoint::Memory(memory) => calls::memory(memory, call),
            Endpoint::Token(token) => calls::lock(token, call),
            Endpoint::Map(map) => maps::call(map, &mut Vec::new(), maps::Call::of(call)),
            Endpoint::Tally(queue) => calls::queue(queue, &mut Vec::new(), call),
        }
    }
}

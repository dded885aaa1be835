//! Any bytes as a segment: opening them as each kind of object, and looking at them from outside, gives a value or a
//! typed error; what does open answers every call, in bounded steps.
//!
//! The bytes are arbitrary ones, or those of a used object of each kind with some of them changed; then the header can
//! be laid out and signed again, so that it lies consistently and the checks behind the checksum are reached. They come
//! as a named file, as a sealed memfd, or as one that is not sealed.
#![no_main]

use arbitrary::Arbitrary;
use bytemuck::Pod;
use libfuzzer_sys::fuzz_target;
use ringway::{
    Array, Barrier, Condvar, Connection, Deadline, End, Error, Event, JoinableQueue, Mutex, Options,
    OwnedSemaphore, Pipe, Queue, ReentrantMutex, Semaphore, Value, Wait, bytes, inspect, spsc,
};
use ringway_fuzz::calls::{self, Call};
use ringway_fuzz::crew::wake_in_time;
use ringway_fuzz::list::{Few, Rest};
use ringway_fuzz::locks::Meeting;
use ringway_fuzz::{place, raw};
use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    holder: Holder,
    length: Length,
    bytes: Bytes<'a>,
    actions: Rest<Action, 24>,
}

#[derive(Arbitrary, Debug)]
enum Bytes<'a> {
    Object { of: Object, header: Few<Edit, 4>, repair: Repair, words: Few<(Part, Edit), 16> },
    Any(&'a [u8]),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Object {
    Typed,
    Wide,
    Bytes,
    Pipe,
    Simplex,
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
}

/// What to do to a word (in the header a half one).
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Edit {
    at: u16,
    change: Change,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Change {
    Set(u64),
    SetSmall(u8),
    Add(i16),
    Flip(u8),
    Shift(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Repair {
    None,
    Sign,
    /// Places and lengths follow from the other numbers.
    LayOut,
    /// Those of a queue with a pool follow from its maker's wishes.
    LayOutPool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Part {
    Retired,
    Rows,
    Body,
    Data,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Holder {
    File,
    Sealed,
    NotSealed,
}

/// How long the file is.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Length {
    AsTheBytes,
    AsTheHeaderSays,
    Off(i16),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Action {
    Stat,
    StatDescriptor,
    List,
    Open { what: What, trusted: Option<bool>, exactly: Option<u16>, or_create: bool },
    Call(u8, Call),
    Drop(u8),
    Unlink,
    UnlinkUnused,
    Clean,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum What {
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
}

type Typed = u64;
type Wide = [u32; 6];
/// What locks protect.
type Guarded = ringway_fuzz::locks::Value;

#[allow(clippy::large_enum_variant, reason = "there are few, and not for long")]
enum Endpoint {
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
}

/// The longest message that pipes accept here.
const MAX: usize = 1 << 16;
/// How long a writer is waited for.
const SHORT: Duration = Duration::from_micros(20);
/// Files are not made longer than this; up to here they may be used, too.
const LONGEST: u64 = 1 << 40;
const USABLE: u64 = 1 << 24;

struct World {
    name: String,
    /// The bytes of a used object of each kind.
    objects: [Vec<u8>; 19],
    /// Nobody else's, for conditions.
    mutex: Mutex<Guarded>,
}

/// The bytes of an object that `fill` has made and used.
fn object<E>(fill: impl FnOnce(&str) -> E) -> Vec<u8> {
    let name = place::name("template");
    let endpoints = fill(&name);
    let mut bytes = std::fs::read(&name).unwrap();
    // A sparse tail is zeros anyway.
    bytes.truncate(bytes.len() - raw::word_in(&bytes, raw::TAIL_LEN) as usize);
    drop(endpoints);
    ringway::unlink(&name).unwrap();
    bytes
}

fn typed<T: Pod>(name: &str) -> (spsc::Producer<T>, spsc::Consumer<T>) {
    let mut tx = spsc::Producer::<T>::options().participants(4).capacity(6).create(name).unwrap();
    let mut rx = spsc::Consumer::<T>::open(name).unwrap();
    tx.push_slice(&[T::zeroed(); 5]).unwrap();
    rx.pop().unwrap();
    (tx, rx)
}

fn pipe(name: &str, simplex: bool) -> (Connection, Connection) {
    let a = Pipe::options().capacity(4096).participants(4).simplex(simplex).create(name).unwrap();
    let z = Pipe::open(name).unwrap();
    for len in [0, 10, 500, 2500] {
        a.send(&vec![1; len]).unwrap();
    }
    z.recv().unwrap();
    if !simplex {
        z.send(b"back").unwrap();
    }
    (a, z)
}

impl World {
    fn new() -> World {
        wake_in_time();
        let objects = [
            object(typed::<Typed>),
            object(typed::<Wide>),
            object(|name| {
                let mut tx = bytes::Producer::options().participants(4).capacity(4096).create(name).unwrap();
                let mut rx = bytes::Consumer::open(name).unwrap();
                for len in [3, 0, 1000, 17] {
                    tx.push(&vec![1; len]).unwrap();
                }
                rx.pop().unwrap();
                (tx, rx)
            }),
            object(|name| pipe(name, false)),
            object(|name| pipe(name, true)),
            object(|name| {
                let queue = Queue::<Wide>::options().participants(4).capacity(3).create(name).unwrap();
                queue.send_many(&[[1; 6]; 3]).unwrap();
                queue.recv().unwrap();
                queue
            }),
            object(|name| {
                let options = Queue::<[u8]>::options().participants(4).capacity(3).max_held(1);
                let queue = options.message_size(100).max_bytes(100_000).create(name).unwrap();
                for len in [10, 100, 80_000] {
                    queue.send(&vec![1; len]).unwrap();
                }
                let held = queue.recv().unwrap().detach();
                (queue, held)
            }),
            object(|name| {
                let options = JoinableQueue::<Typed>::options().participants(4).capacity(3).max_held(2);
                let queue = options.create(name).unwrap();
                queue.send_many(&[1, 2, 3], Deadline::NOW).unwrap();
                drop(queue.recv().unwrap());
                let [first, second] = [queue.recv().unwrap().detach(), queue.recv().unwrap().detach()];
                (second.done().unwrap(), first, queue)
            }),
            object(|name| {
                let options = JoinableQueue::<[u8]>::options().participants(4).capacity(2).max_held(2);
                let queue = options.message_size(32).max_bytes(100_000).create(name).unwrap();
                queue.send(b"one").unwrap();
                queue.send(&[2; 70_000]).unwrap();
                drop(queue.recv().unwrap());
                queue.close();
                queue
            }),
            object(|name| {
                let mutex = Mutex::<Guarded>::options().participants(4).timed(true).create(name).unwrap();
                // The guard leaves the lock taken, as a dead process does.
                core::mem::forget(mutex.lock().unwrap());
                mutex
            }),
            object(|name| {
                let mutex = ReentrantMutex::<Guarded>::options().participants(4).create(name).unwrap();
                core::mem::forget((mutex.lock().unwrap(), mutex.lock().unwrap()));
                mutex
            }),
            object(|name| {
                let semaphore =
                    Semaphore::options().permits(3).bound(6).participants(4).create(name).unwrap();
                semaphore.try_acquire().unwrap();
                semaphore
            }),
            object(|name| {
                let semaphore = OwnedSemaphore::options().permits(5).participants(4).create(name).unwrap();
                core::mem::forget(semaphore.try_acquire().unwrap());
                semaphore
            }),
            object(|name| {
                let event = Event::options().participants(4).create(name).unwrap();
                event.set();
                event
            }),
            object(|name| {
                let condvar = Condvar::options().participants(4).create(name).unwrap();
                condvar.notify_all();
                condvar
            }),
            object(|name| {
                let barrier = Barrier::options().parties(3).participants(4).create(name).unwrap();
                // Time runs out, and it is broken; then it is not any more.
                assert!(barrier.wait_deadline(Deadline::NOW).is_err());
                barrier.reset().unwrap();
                barrier
            }),
            object(|name| {
                let value = Value::<Typed>::options().value(7).participants(4).create(name).unwrap();
                core::mem::forget(value.lock().unwrap());
                value
            }),
            object(|name| {
                let value = Value::<Wide>::options().participants(4).create(name).unwrap();
                value.write([7; 6]).unwrap();
                value
            }),
            object(|name| {
                let array = Array::<u32>::options().capacity(5).participants(4).create(name).unwrap();
                array.write_slice(1, &[7; 3]).unwrap();
                array
            }),
        ];
        World { name: place::name("object"), objects, mutex: Mutex::anonymous([0; 4]).unwrap() }
    }

    fn run(&self, input: &Input) {
        let bytes = self.bytes(&input.bytes);
        let has_header = bytes.len() >= raw::HEADER;
        let [says, body_at] =
            [raw::FILE_LEN, raw::BODY_AT].map(|at| if has_header { raw::word_in(&bytes, at) } else { 0 });
        let len = match input.length {
            Length::AsTheBytes => match &input.bytes {
                Bytes::Any(_) => bytes.len() as u64,
                Bytes::Object { of, .. } => raw::word_in(&self.objects[*of as usize], raw::FILE_LEN),
            },
            Length::AsTheHeaderSays => says,
            Length::Off(by) => says.saturating_add_signed(by.into()),
        };
        let len = if len <= LONGEST { len } else { bytes.len() as u64 };
        let Some(fd) = self.hold(input.holder, &bytes, len) else { return };
        let named = matches!(input.holder, Holder::File);
        let mut endpoints = Vec::new();
        for action in input.actions.iter() {
            match *action {
                Action::Stat => drop(inspect::stat(&self.name)),
                Action::StatDescriptor => drop(inspect::stat_fd(fd.as_fd())),
                Action::List => drop(inspect::list()),
                Action::Open { what, trusted, exactly, or_create } => {
                    let opening =
                        Opening { world: self, fd: &fd, named, body_at, trusted, exactly, or_create };
                    if let Ok(endpoint) = opening.open(what) {
                        endpoints.push(endpoint);
                    }
                }
                // A ring of terabytes opens, but its messages may be of gigabytes.
                Action::Call(..) if len > USABLE => {}
                Action::Call(which, call) => {
                    let count = endpoints.len().max(1);
                    if let Some(endpoint) = endpoints.get_mut(usize::from(which) % count) {
                        endpoint.call(call);
                    }
                }
                Action::Drop(which) => {
                    if !endpoints.is_empty() {
                        drop(endpoints.swap_remove(usize::from(which) % endpoints.len()));
                    }
                }
                Action::Unlink => drop(ringway::unlink(&self.name)),
                Action::UnlinkUnused => drop(ringway::unlink_unused(&self.name)),
                Action::Clean => drop(ringway::clean()),
            }
        }
    }

    fn bytes(&self, bytes: &Bytes) -> Vec<u8> {
        let (of, header, repair, words) = match bytes {
            Bytes::Any(bytes) => return bytes.to_vec(),
            Bytes::Object { of, header, repair, words } => (of, header, repair, words),
        };
        let mut bytes = self.objects[*of as usize].clone();
        for edit in header.iter() {
            let at = usize::from(edit.at) * 4 % raw::HEADER;
            let half = u32::from_le_bytes(bytes[at..][..4].try_into().unwrap());
            bytes[at..][..4].copy_from_slice(&(edit.change.apply(half.into()) as u32).to_le_bytes());
        }
        match repair {
            Repair::None => {}
            Repair::Sign => raw::sign(&mut bytes),
            Repair::LayOut => raw::lay_out(&mut bytes),
            Repair::LayOutPool => raw::lay_out_pool(&mut bytes),
        }
        // By the honest places: a header that lies about them is refused.
        let honest = &self.objects[*of as usize];
        let [body, body_len, data, data_len] = [raw::BODY_AT, raw::BODY_LEN, raw::DATA_AT, raw::DATA_LEN]
            .map(|at| raw::word_in(honest, at) as usize);
        for (part, edit) in words.iter() {
            let (from, len) = match part {
                Part::Retired => (raw::HEADER, 8),
                Part::Rows => (raw::ROWS, 64 * 4),
                Part::Body => (body, body_len & !7),
                Part::Data if data_len > 0 => (data, data_len),
                Part::Data => (body, body_len & !7),
            };
            let at = from + usize::from(edit.at) * 8 % len;
            let word = edit.change.apply(raw::word_in(&bytes, at));
            raw::set_word_in(&mut bytes, at, word);
        }
        bytes
    }

    /// Puts the bytes where they are to be found. `None` if the kernel has no room for them.
    fn hold(&self, holder: Holder, bytes: &[u8], len: u64) -> Option<OwnedFd> {
        if !matches!(holder, Holder::File) {
            return raw::memfd(bytes, len, matches!(holder, Holder::Sealed)).ok();
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.mode(0o600).open(&self.name).unwrap();
        file.set_len(len).ok()?;
        file.write_all_at(&bytes[..bytes.len().min(len as usize)], 0).ok()?;
        Some(file.into())
    }
}

impl Change {
    fn apply(self, word: u64) -> u64 {
        match self {
            Change::Set(value) => value,
            Change::SetSmall(value) => value.into(),
            Change::Add(by) => word.wrapping_add_signed(by.into()),
            Change::Flip(bit) => word ^ 1 << (bit % 64),
            Change::Shift(by) => word.rotate_left(by.into()),
        }
    }
}

/// One way of opening.
struct Opening<'a> {
    world: &'a World,
    fd: &'a OwnedFd,
    named: bool,
    body_at: u64,
    trusted: Option<bool>,
    exactly: Option<u16>,
    or_create: bool,
}

/// The methods of `Options<E>` for each `E`, whose bounds have no name outside the library.
macro_rules! open_ring {
    ($opening:expr, $endpoint:ty) => {
        open_ring!($opening, $endpoint, |options| options)
    };
    ($opening:expr, $endpoint:ty, $more:expr) => {{
        let Opening { world, fd, named, or_create, .. } = *$opening;
        let more: fn(Options<$endpoint>) -> Options<$endpoint> = $more;
        let options = more($opening.options(<$endpoint>::options()));
        if !named {
            options.from_fd(fd.try_clone().expect("no descriptor left"))
        } else if or_create {
            options.participants(4).open_or_create(&world.name)
        } else {
            options.open(&world.name)
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

    fn open(&self, what: What) -> Result<Endpoint, Error> {
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
            What::Condvar => Endpoint::Condvar(Meeting {
                condvar: open_ring!(self, Condvar)?,
                mutex: self.world.mutex.clone(),
            }),
            What::Barrier => Endpoint::Barrier(open_ring!(self, Barrier)?),
            // Nobody waits long for whom the bytes call a writer.
            What::Number => Endpoint::Number(open_ring!(self, Value<Typed>)?),
            What::Large => {
                Endpoint::Large(open_ring!(self, Value<Wide>, |options| options.write_timeout(SHORT))?)
            }
            What::Array => {
                Endpoint::Array(open_ring!(self, Array<u32>, |options| options.write_timeout(SHORT))?)
            }
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
            options.participants(4).open_or_create(&self.world.name)
        } else {
            options.open(&self.world.name)
        }
    }
}

impl Endpoint {
    fn call(&mut self, call: Call) {
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
        }
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(|input: Input| {
    WORLD.with_borrow(|world| world.run(&input));
});

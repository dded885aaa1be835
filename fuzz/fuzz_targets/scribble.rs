//! Another thread scribbles over the shared memory, through a mapping of its own, all the while that the victim calls
//! one operation after the other on handles that do not trust: over indices, records, words to sleep by, locks, roles,
//! participants' rows and the header. Each call ends, with a value that there can be or an error. At a pipe a second
//! victim uses the same connections, so that a lock which lets two threads in is found out.
//!
//! What is written where is the input's; when it is seen is chance.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway::{Connection, Pipe, Wait, bytes, spsc};
use ringway_fuzz::calls::{self, Call};
use ringway_fuzz::crew::{Mate, wake_in_time};
use ringway_fuzz::raw::{self, Raw, pipe, ring};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
struct Input {
    object: Object,
    wait: Waiting,
    /// One after the other, over and over again.
    scribbles: Vec<Scribble>,
    /// How often the victims do all they do.
    rounds: u8,
    victim: Vec<Act>,
    second_victim: Vec<(bool, Call)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Object {
    Typed,
    Bytes,
    Pipe,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Waiting {
    Spin,
    Adaptive,
    Park,
}

#[derive(Arbitrary, Debug)]
struct Scribble {
    place: Place,
    at: u8,
    what: What,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    /// Indices, locks, words to sleep by, and whatever else the object keeps.
    Body,
    /// The words of the body that matter most, so that they are met more often.
    Index,
    Lock,
    Sleep,
    Data,
    Rows,
    Header,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum What {
    Set(u64),
    Add(i16),
    Flip(u8),
    /// What stood there when the object was new.
    Restore,
    /// An honest word of somebody who is dead.
    Held(u8),
}

/// What the victim does: a call on the one end or the other, or opening it anew.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Act {
    Call(bool, Call),
    Open(bool),
}

const MAX: usize = 1 << 14;
const CAPACITY: usize = 4096;

/// A segment that stays, with its bytes when it was new.
struct Segment {
    raw: Raw,
    memory: OwnedFd,
    /// Of a pipe.
    sockets: Option<[OwnedFd; 2]>,
    new: Vec<u8>,
    /// Where its indices, its locks or roles, and its words to sleep by are.
    indices: &'static [usize],
    locks: &'static [usize],
    sleeps: &'static [usize],
}

struct World {
    typed: Segment,
    bytes: Segment,
    pipe: Segment,
    scribbler: Mate,
    second: Mate,
}

#[allow(clippy::large_enum_variant, reason = "there is one")]
enum Ends {
    Typed(Option<spsc::Producer<[u32; 6]>>, Option<spsc::Consumer<[u32; 6]>>),
    Bytes(Option<bytes::Producer>, Option<bytes::Consumer>),
    Pipe(Option<Connection>, Option<Connection>),
}

const LANE: usize = pipe::LANE;

impl Segment {
    fn new(memory: OwnedFd, sockets: Option<[OwnedFd; 2]>, body_len: usize) -> Segment {
        let raw = Raw::map(&memory, body_len);
        let new = raw.bytes(0, raw.len());
        let [indices, locks, sleeps]: [&[usize]; 3] = if sockets.is_none() {
            [&[0, 8, 128, 136], &[ring::PRODUCER, ring::CONSUMER], &[256, 384]]
        } else {
            [
                &[0, 8, 128, 136, LANE, LANE + 128],
                &[640, 672, 680, 768, LANE + 640, LANE + 680, LANE + 768],
                &[256, 384, 512, 648, 776, LANE + 256, LANE + 384, LANE + 512],
            ]
        };
        Segment { raw, memory, sockets, new, indices, locks, sleeps }
    }

    fn place(&self, scribble: &Scribble) -> usize {
        let at = usize::from(scribble.at);
        let one_of = |places: &[usize]| self.raw.body + places[at % places.len()];
        match scribble.place {
            Place::Body => self.raw.body + at * 8 % (self.raw.data - self.raw.body),
            Place::Index => one_of(self.indices),
            Place::Lock => one_of(self.locks),
            Place::Sleep => one_of(self.sleeps),
            Place::Data => self.raw.data + at * 8,
            Place::Rows => raw::ROWS + at * 8 % (64 * 4),
            Place::Header => at * 8 % (raw::HEADER + 8),
        }
    }

    /// One pass of the scribbler.
    fn scribble(&self, scribbles: &[Scribble]) {
        for scribble in scribbles {
            let at = self.place(scribble);
            let word = match scribble.what {
                What::Set(word) => word,
                What::Add(by) => self.raw.word(at).wrapping_add_signed(by.into()),
                What::Flip(bit) => self.raw.word(at) ^ 1 << (bit % 64),
                What::Restore => raw::word_in(&self.new, at),
                What::Held(who) if self.sockets.is_some() => raw::held_lock(who.into()),
                What::Held(who) => raw::held_role(who.into()),
            };
            self.raw.set(at, word);
        }
    }

    fn renew(&self) {
        self.raw.set_bytes(0, &self.new);
    }

    fn memory(&self) -> OwnedFd {
        self.memory.try_clone().expect("no descriptor left")
    }

    fn connect(&self, second: bool, wait: Wait) -> Option<Connection> {
        let socket = self.sockets.as_ref()?[usize::from(second)].try_clone().expect("no descriptor left");
        Pipe::options().wait(wait).max_message(MAX).from_fds(self.memory(), socket).ok()
    }
}

impl Ends {
    fn open(&mut self, segment: &Segment, second: bool, wait: Wait) {
        match self {
            Ends::Typed(producer, _) if !second => {
                *producer = None;
                *producer = spsc::Producer::options().wait(wait).from_fd(segment.memory()).ok();
            }
            Ends::Typed(_, consumer) => {
                *consumer = None;
                *consumer = spsc::Consumer::options().wait(wait).from_fd(segment.memory()).ok();
            }
            Ends::Bytes(producer, _) if !second => {
                *producer = None;
                *producer = bytes::Producer::options().wait(wait).from_fd(segment.memory()).ok();
            }
            Ends::Bytes(_, consumer) => {
                *consumer = None;
                *consumer = bytes::Consumer::options().wait(wait).from_fd(segment.memory()).ok();
            }
            Ends::Pipe(first, _) if !second => *first = segment.connect(false, wait),
            Ends::Pipe(_, other) => *other = segment.connect(true, wait),
        }
    }

    fn call(&mut self, second: bool, call: Call) {
        match self {
            Ends::Typed(Some(producer), _) if !second => calls::typed_producer(producer, call),
            Ends::Typed(_, Some(consumer)) if second => calls::typed_consumer(consumer, call),
            Ends::Bytes(Some(producer), _) if !second => calls::byte_producer(producer, call),
            Ends::Bytes(_, Some(consumer)) if second => calls::byte_consumer(consumer, call),
            Ends::Pipe(Some(connection), _) if !second => calls::connection(connection, MAX, call),
            Ends::Pipe(_, Some(connection)) if second => calls::connection(connection, MAX, call),
            _ => {}
        }
    }
}

impl World {
    fn new() -> World {
        wake_in_time();
        let own = |fd: &dyn AsFd| fd.as_fd().try_clone_to_owned().expect("no descriptor left");
        let typed = spsc::Producer::<[u32; 6]>::options().participants(4).capacity(6).anonymous().unwrap();
        let typed = Segment::new(own(&typed), None, ring::LEN);
        let bytes = bytes::Producer::options().participants(4).capacity(CAPACITY).anonymous().unwrap();
        let bytes = Segment::new(own(&bytes), None, ring::LEN);
        let (a, z) = Pipe::options().participants(4).capacity(CAPACITY).pair().unwrap();
        let sockets = [&a, &z].map(|connection| own(&connection.socket().unwrap()));
        let pipe = Segment::new(own(&a.memory()), Some(sockets), pipe::LEN);
        World { typed, bytes, pipe, scribbler: Mate::new(), second: Mate::new() }
    }

    fn run(&self, input: &Input) {
        let wait = match input.wait {
            Waiting::Spin => Wait::Spin,
            Waiting::Adaptive => Wait::Adaptive,
            Waiting::Park => Wait::Park,
        };
        let (segment, mut ends) = match input.object {
            Object::Typed => (&self.typed, Ends::Typed(None, None)),
            Object::Bytes => (&self.bytes, Ends::Bytes(None, None)),
            Object::Pipe => (&self.pipe, Ends::Pipe(None, None)),
        };
        segment.renew();
        for second in [false, true] {
            ends.open(segment, second, wait);
        }
        let (begun, over) = (OnceLock::new(), OnceLock::new());
        let scribbles = &input.scribbles[..input.scribbles.len().min(32)];
        let scribble = || {
            while over.get().is_none() {
                segment.scribble(scribbles);
                begun.get_or_init(|| ());
            }
        };
        self.scribbler.while_doing(scribble, || {
            // The victims begin when the scribbler has.
            while begun.get().is_none() {
                std::thread::yield_now();
            }
            let acts = &input.victim[..input.victim.len().min(16)];
            for round in 0..1 + input.rounds % 8 {
                if let Ends::Pipe(Some(first), Some(second)) = &ends
                    && round % 2 == 0
                    && !input.second_victim.is_empty()
                {
                    let connections = [first, second];
                    let calls = &input.second_victim[..input.second_victim.len().min(16)];
                    let others = || {
                        for (second, call) in calls {
                            calls::connection(connections[usize::from(*second)], MAX, *call);
                        }
                    };
                    self.second.while_doing(others, || {
                        for act in acts {
                            if let Act::Call(second, call) = act {
                                calls::connection(connections[usize::from(*second)], MAX, *call);
                            }
                        }
                    });
                    continue;
                }
                for act in acts {
                    match act {
                        Act::Call(second, call) => ends.call(*second, *call),
                        Act::Open(second) => ends.open(segment, *second, wait),
                    }
                }
            }
            // The ends close in the midst of it.
            drop(ends);
            over.get_or_init(|| ());
        });
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(|input: Input| {
    WORLD.with_borrow(|world| world.run(&input));
});

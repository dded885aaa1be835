//! A peer without manners at a lock, a semaphore, an event, a condition, a barrier, a value and an array: it writes anything into their words,
//! tables and values, into the participants' rows and the header, between the calls of handles that do not trust it, and
//! from another thread during them. Each call ends, with a value that there can be or an error, and so does each opening;
//! what a guard leads to stays as it is.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway::{
    Array, Barrier, Condvar, Event, Mutex, Options, OwnedSemaphore, ReentrantMutex, Semaphore, Token,
    Value as Cell, Wait,
};
use ringway_fuzz::crew::{Mate, wake_in_time};
use ringway_fuzz::list::{Few, Rest};
use ringway_fuzz::locks::{BOUND, Call, Meeting, PARTIES, PERMITS, Value, Victim};
use ringway_fuzz::raw::{self, Raw};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Input {
    kind: Kind,
    wait: Waiting,
    /// Another thread writes these, one after the other, over and over again. None, and there is no such thread.
    during: Few<Scribble, 16>,
    /// How often the victim does all it does.
    rounds: u8,
    acts: Rest<Act, 40>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
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
    Token,
}

impl Kind {
    /// What a handle says of the object's size.
    fn size(self) -> u64 {
        match self {
            Kind::Semaphore => BOUND.into(),
            Kind::Owned => PERMITS.into(),
            Kind::Barrier => PARTIES.into(),
            Kind::Array => ELEMENTS as u64,
            _ => 0,
        }
    }
}

/// How many elements the array has.
const ELEMENTS: usize = 5;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Waiting {
    Spin,
    Adaptive,
    Park,
}

#[derive(Arbitrary, Debug)]
enum Act {
    Call(bool, Call),
    Write(Scribble),
    /// One more handle, to whatever the segment says it is by now, its checksum put right or not.
    Open {
        sign: bool,
    },
}

#[derive(Arbitrary, Debug)]
struct Scribble {
    place: Place,
    what: What,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    /// The first word says who has it, or how many there are, or what became of it.
    First,
    Body(u8),
    Table(u8),
    Rows(u8),
    Header(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum What {
    Set(u64),
    Small(u8),
    Add(i16),
    Flip(u8),
    /// What stood there when the object was new, and what stands at another place now.
    Restore,
    Copy(u8),
    /// Words of honest form, so far from the one that stands there: of a lock, or of a place at a barrier.
    Lock {
        ahead: i8,
        inconsistent: bool,
        state: u8,
        owner: u8,
    },
    Arrival {
        ahead: i8,
        owner: u8,
    },
}

/// A segment that stays, with its first bytes when it was new.
struct Segment {
    raw: Raw,
    memory: OwnedFd,
    new: Vec<u8>,
    body_len: usize,
}

impl Segment {
    fn new(object: &impl AsFd, body_len: usize) -> Segment {
        let memory = object.as_fd().try_clone_to_owned().expect("no descriptor left");
        let raw = Raw::map(&memory, body_len);
        let new = raw.bytes(0, raw.len());
        Segment { raw, memory, new, body_len }
    }

    fn place(&self, place: Place) -> usize {
        match place {
            Place::First => self.raw.body,
            Place::Body(at) => self.raw.body + usize::from(at) * 8 % self.body_len,
            Place::Table(at) if self.raw.area > 0 => self.raw.data + usize::from(at) % 4 * 8,
            Place::Table(at) => self.raw.body + usize::from(at) * 8 % self.body_len,
            Place::Rows(at) => raw::ROWS + usize::from(at) * 8 % (64 * 4),
            Place::Header(at) => usize::from(at) * 8 % (raw::HEADER + 8),
        }
    }

    /// Word by word: another thread may be writing.
    fn sign(&self) {
        let mut header = Vec::new();
        (0..raw::HEADER).step_by(8).for_each(|at| header.extend(self.raw.word(at).to_le_bytes()));
        raw::sign(&mut header);
        (0..raw::HEADER).step_by(8).for_each(|at| self.raw.set(at, raw::word_in(&header, at)));
    }

    fn write(&self, scribble: &Scribble) {
        let at = self.place(scribble.place);
        let old = self.raw.word(at);
        let word = match scribble.what {
            What::Set(word) => word,
            What::Small(word) => word.into(),
            What::Add(by) => old.wrapping_add_signed(by.into()),
            What::Flip(bit) => old ^ 1 << (bit % 64),
            What::Restore => raw::word_in(&self.new, at),
            What::Copy(from) => self.raw.word(self.place(Place::Body(from))),
            What::Lock { ahead, inconsistent, state, owner } => {
                (old >> 21).wrapping_add_signed(ahead.into()) << 21
                    | u64::from(inconsistent) << 20
                    | u64::from(state % 6) << 16
                    | u64::from(owner % 5)
            }
            What::Arrival { ahead, owner } => {
                (old >> 16).wrapping_add_signed(ahead.into()) << 16 | u64::from(owner % 5)
            }
        };
        self.raw.set(at, word);
    }
}

struct World {
    /// In the order of `Kind`.
    segments: [Segment; 11],
    /// Nobody else's, for the condition.
    mutex: Mutex<Value>,
    scribbler: Mate,
}

impl World {
    fn new() -> World {
        wake_in_time();
        let segments = [
            Segment::new(
                &Mutex::<Value>::options().value([7; 4]).participants(4).anonymous().unwrap(),
                56 + 32,
            ),
            Segment::new(
                &ReentrantMutex::<Value>::options().value([7; 4]).participants(4).anonymous().unwrap(),
                56 + 32,
            ),
            Segment::new(
                &Semaphore::options().permits(PERMITS).bound(BOUND).participants(4).anonymous().unwrap(),
                40,
            ),
            Segment::new(
                &OwnedSemaphore::options().permits(PERMITS).participants(4).anonymous().unwrap(),
                32,
            ),
            Segment::new(&Event::options().participants(4).anonymous().unwrap(), 32),
            Segment::new(&Condvar::options().participants(4).anonymous().unwrap(), 192),
            Segment::new(&Barrier::options().parties(PARTIES).participants(4).anonymous().unwrap(), 96),
            Segment::new(&Cell::<u64>::options().value(7).participants(4).anonymous().unwrap(), 56 + 8),
            Segment::new(
                &Cell::<Value>::options().value([7; 4]).participants(4).anonymous().unwrap(),
                112 + 2 * 32,
            ),
            Segment::new(
                &Array::<u32>::options().values(&[7; ELEMENTS]).participants(4).anonymous().unwrap(),
                112,
            ),
            Segment::new(&Token::options().participants(4).anonymous().unwrap(), 40),
        ];
        World { segments, mutex: Mutex::anonymous([0; 4]).unwrap(), scribbler: Mate::new() }
    }

    fn run(&self, input: &Input) {
        let wait = match input.wait {
            Waiting::Spin => Wait::Spin,
            Waiting::Adaptive => Wait::Adaptive,
            Waiting::Park => Wait::Park,
        };
        let segment = &self.segments[input.kind as usize];
        segment.raw.set_bytes(0, &segment.new);
        let memory = || segment.memory.try_clone().expect("no descriptor left");
        /// Two handles of one kind.
        macro_rules! two {
            ($object:ty) => {
                two!($object, |object| object)
            };
            ($object:ty, $victim:expr) => {
                two!($object, $victim, |options| options)
            };
            ($object:ty, $victim:expr, $more:expr) => {{
                let more: fn(Options<$object>) -> Options<$object> = $more;
                let open = || more(<$object>::options().wait(wait)).from_fd(memory()).expect("it is new");
                let victim = $victim;
                let again = || drop(<$object>::from_fd(memory()).map(|object| format!("{object:?}")));
                self.both(input, segment, &[victim(open()), victim(open())], again)
            }};
        }
        /// The same of cells, whose writers are not waited for long.
        macro_rules! two_cells {
            ($object:ty) => {
                two!($object, |cell| cell, |options| options.write_timeout(Duration::from_micros(20)))
            };
        }
        match input.kind {
            Kind::Mutex => two!(Mutex<Value>),
            Kind::Reentrant => two!(ReentrantMutex<Value>),
            Kind::Semaphore => two!(Semaphore),
            Kind::Owned => two!(OwnedSemaphore),
            Kind::Event => two!(Event),
            Kind::Condvar => two!(Condvar, |condvar| Meeting { condvar, mutex: self.mutex.clone() }),
            Kind::Barrier => two!(Barrier),
            Kind::Number => two_cells!(Cell<u64>),
            Kind::Large => two_cells!(Cell<Value>),
            Kind::Array => two_cells!(Array<u32>),
            Kind::Token => two!(Token),
        }
    }

    fn both<V: Victim>(&self, input: &Input, segment: &Segment, objects: &[V; 2], again: impl Fn()) {
        let size = input.kind.size();
        self.attack(input, segment, objects, again);
        assert!(objects.iter().all(|object| object.size() == size), "that is settled when it is opened");
    }

    fn attack<V: Victim>(&self, input: &Input, segment: &Segment, objects: &[V; 2], again: impl Fn()) {
        let victim = || {
            let (mut held, mut others) = (Vec::new(), Vec::new());
            for _ in 0..1 + input.rounds % 4 {
                for act in input.acts.iter() {
                    match act {
                        Act::Call(false, call) => objects[0].call(&mut held, *call),
                        Act::Call(true, call) => objects[1].call(&mut others, *call),
                        Act::Write(scribble) => segment.write(scribble),
                        Act::Open { sign } => {
                            if *sign {
                                segment.sign();
                            }
                            again();
                        }
                    }
                }
            }
        };
        if input.during.is_empty() {
            return victim();
        }
        let (begun, over) = (OnceLock::new(), OnceLock::new());
        let scribble = || {
            while over.get().is_none() {
                input.during.iter().for_each(|scribble| segment.write(scribble));
                begun.get_or_init(|| ());
            }
        };
        self.scribbler.while_doing(scribble, || {
            for patience in 0.. {
                if begun.get().is_some() {
                    break;
                }
                if patience < 1000 { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
            victim();
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

//! A peer without manners at a map: it writes anything into its books, records, entries, chains, bits and chunks, into the
//! words of its lock, the participants' rows and the header, between the calls of handles and from another thread during
//! them. Each call ends, with a value that there can be or an error. Once the peer is gone, whoever writes puts all in order.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway::{Map, Wait};
use ringway_fuzz::crew::{Mate, wake_in_time};
use ringway_fuzz::list::{Few, Rest};
use ringway_fuzz::maps::{self, Call};
use ringway_fuzz::raw::map as places;
use ringway_fuzz::raw::{self, Raw};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Input {
    wait: Waiting,
    /// Another thread writes these, one after the other, over and over again. None, and there is no such thread.
    during: Few<Scribble, 16>,
    /// How often the victim does all it does.
    rounds: u8,
    acts: Rest<Act, 40>,
}

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
    Turn,
    Settled,
    Floor,
    Low(bool),
    Record(u8),
    /// The word of an entry, the order in which it came, its hash and what follows it in its chain.
    Entry(u8),
    Head(u8),
    TakenEntries,
    TakenUnits,
    /// The header of the chunk that the entry of that number refers to: the lengths of its key and value.
    Lengths(u8),
    Heap(u8),
    Lock(u8),
    Body(u8),
    Rows(u8),
    Header(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum What {
    Set(u64),
    Small(u8),
    Add(i16),
    Flip(u8),
    /// What stood there when the map was new, and what stands at another place now.
    Restore,
    Copy(u8),
    /// Words of honest form: of two halves; of a lock, so far from the one that stands there.
    Halves(u16, u16),
    Held {
        ahead: i8,
        inconsistent: bool,
        state: u8,
        owner: u8,
    },
}

const ITEMS: usize = 8;
const BYTES: u64 = 600;

/// A segment that stays, with its first bytes when it was new.
struct Segment {
    raw: Raw,
    memory: OwnedFd,
    new: Vec<u8>,
}

impl Segment {
    fn new() -> Segment {
        let map = Map::options().max_items(ITEMS).max_bytes(BYTES).participants(4).anonymous().unwrap();
        for key in 1..4 {
            map.insert(&[key; 5], &[key; 50]).unwrap();
        }
        let memory = map.as_fd().try_clone_to_owned().expect("no descriptor left");
        let raw = Raw::map(&memory, places::LEN);
        let new = raw.bytes(0, raw.len());
        Segment { raw, memory, new }
    }

    fn place(&self, place: Place) -> usize {
        let (body, table) = (self.raw.body, self.raw.data);
        let parts = places::parts(ITEMS, BYTES);
        let among = |at: u8, from: usize, to: usize| from + usize::from(at) * 8 % (to - from);
        match place {
            Place::Turn => body + places::TURN,
            Place::Settled => body + places::TURN + 8,
            Place::Floor => body + places::TURN + 16,
            Place::Low(of_units) => body + places::TURN + if of_units { 24 } else { 32 },
            Place::Record(at) => body + among(at, places::RECORDS, places::SECRET),
            Place::Entry(at) => table + among(at, 0, ITEMS * places::ENTRY),
            Place::Head(at) => table + among(at, parts.heads, parts.heads + ITEMS * 4),
            Place::TakenEntries => table + parts.taken,
            Place::TakenUnits => table + parts.units,
            Place::Lengths(entry) => {
                let word = self.raw.word(table + usize::from(entry) % ITEMS * places::ENTRY);
                let unit = (word as u32).saturating_sub(1) as usize % parts.unit_count;
                table + parts.heap + unit * places::UNIT
            }
            Place::Heap(at) => table + among(at, parts.heap, parts.heap + parts.unit_count * places::UNIT),
            Place::Lock(at) => body + among(at, 0, places::MAX_BYTES),
            Place::Body(at) => body + among(at, 0, places::LEN),
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
            What::Copy(from) => self.raw.word(self.place(Place::Entry(from))),
            What::Halves(high, low) => u64::from(high) << 32 | u64::from(low),
            What::Held { ahead, inconsistent, state, owner } => {
                (old >> 21).wrapping_add_signed(ahead.into()) << 21
                    | u64::from(inconsistent) << 20
                    | u64::from(state % 6) << 16
                    | u64::from(owner % 5)
            }
        };
        self.raw.set(at, word);
    }

    fn open(&self, wait: Wait) -> Result<Map, ringway::Error> {
        let memory = self.memory.try_clone().expect("no descriptor left");
        Map::options().wait(wait).write_timeout(Duration::from_micros(20)).from_fd(memory)
    }

    /// Nobody has the lock, the map is as large as it was, and those who are there are who they were.
    fn heal(&self) {
        for (from, to) in [(0, self.raw.body), (self.raw.body, self.raw.body + places::TURN)] {
            (from..to).step_by(8).for_each(|at| self.raw.set(at, raw::word_in(&self.new, at)));
        }
    }
}

struct World {
    segment: Segment,
    scribbler: Mate,
}

impl World {
    fn new() -> World {
        wake_in_time();
        World { segment: Segment::new(), scribbler: Mate::new() }
    }

    fn run(&self, input: &Input) {
        let wait = match input.wait {
            Waiting::Spin => Wait::Spin,
            Waiting::Adaptive => Wait::Adaptive,
            Waiting::Park => Wait::Park,
        };
        let segment = &self.segment;
        segment.raw.set_bytes(0, &segment.new);
        let open = || segment.open(wait).expect("it is new");
        let both = [open(), open()];
        self.attack(input, &both, || drop(segment.open(wait).map(|map| format!("{map:?}"))));
        for map in &both {
            assert!(
                map.max_items() == ITEMS && map.max_bytes() == BYTES,
                "that is settled when it is opened"
            );
        }
        segment.heal();
        maps::is_well_again(&both[0]);
        drop(both);
        maps::is_well_again(&open());
    }

    fn attack(&self, input: &Input, both: &[Map; 2], again: impl Fn()) {
        let segment = &self.segment;
        let victim = || {
            let (mut held, mut others) = (Vec::new(), Vec::new());
            for _ in 0..1 + input.rounds % 4 {
                for act in input.acts.iter() {
                    match act {
                        Act::Call(false, call) => maps::call(&both[0], &mut held, *call),
                        Act::Call(true, call) => maps::call(&both[1], &mut others, *call),
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

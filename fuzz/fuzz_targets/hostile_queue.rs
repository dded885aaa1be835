//! A peer without manners at a queue of each kind: it writes anything into the words of slots and chunks, into tags,
//! positions, lengths, the books of extents, hints, flags and words to sleep by, between the calls of handles that do not
//! trust it, and from another thread during them. Each call ends, with a value that there can be or an error; what was
//! received stays as it is, and takes no more memory than the queue has.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway::{JoinableQueue, Queue, TallyQueue, Wait};
use ringway_fuzz::calls::Call;
use ringway_fuzz::crew::{Mate, wake_in_time};
use ringway_fuzz::list::{Few, Rest};
use ringway_fuzz::queues::{self, Victim};
use ringway_fuzz::raw::queue::{self, ENTRY};
use ringway_fuzz::raw::{self, Raw};
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

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
    Values,
    Bytes,
    Tasks,
    ByteTasks,
    Tally,
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
}

#[derive(Arbitrary, Debug)]
struct Scribble {
    place: Place,
    what: What,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    SlotWord(u8),
    Tag(u8),
    /// Of the chunk of that number, or that the tag of that slot names.
    Chunk(Of, Field),
    Backed(u8),
    Bytes(u8),
    Hint {
        tail: bool,
    },
    Flag(Flag),
    Sleep(u8),
    /// Of a queue that counts.
    Taken,
    Done,
    Promise(u8),
    /// Anything in the body, the slots, the entries; what is in the messages; the participants' rows; the header.
    Body(u8),
    Data(u16),
    Rows(u8),
    Header(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Of {
    Number(u8),
    Slot(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Field {
    Word,
    Position,
    Len,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Flag {
    Orphans,
    Closing,
    Returned,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum What {
    Set(u64),
    Small(u8),
    Add(i16),
    Flip(u8),
    /// What stood there when the queue was new, and what stands at another place now.
    Restore,
    Copy(Near),
    /// Words of honest form. Their laps and versions are so far from those that stand there.
    Slot {
        ahead: i8,
        deliveries: u8,
        state: u8,
        owner: u8,
    },
    Chunk {
        ahead: i8,
        deliveries: u8,
        state: u8,
        owner: u8,
    },
    Tag {
        len: Length,
        class: u8,
        index: u8,
    },
    Position {
        lap: i8,
        index: u8,
    },
    Length(Length),
    /// So many more were handed out, and the chunk of that number, and one, just is.
    Count {
        ahead: i8,
        chunk: u8,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Near {
    SlotWord(u8),
    Tag(u8),
    Position(u8),
    Hint { tail: bool },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Length {
    Small(u8),
    Middle(u16),
    Power { log: u8, off: i8 },
}

impl Length {
    fn bytes(self) -> u64 {
        match self {
            Length::Small(len) => len.into(),
            Length::Middle(len) => u64::from(len) * 3,
            Length::Power { log, off } => (1_u64 << (log % 36)).wrapping_add_signed(off.into()),
        }
    }
}

const CAPACITY: usize = 3;

/// A segment that stays, with its first bytes when it was new.
struct Segment {
    raw: Raw,
    memory: OwnedFd,
    new: Vec<u8>,
    body_len: usize,
    /// The bytes of a slot, and where the entries of chunks and the books of extents are.
    stride: usize,
    entries: usize,
    entry_count: usize,
    books: usize,
    book_count: usize,
}

impl Segment {
    fn new(queue: &impl AsFd, body_len: usize, stride: usize) -> Segment {
        let memory = queue.as_fd().try_clone_to_owned().expect("no descriptor left");
        let raw = Raw::map(&memory, body_len);
        let params = std::array::from_fn(|at| raw.word(raw::PARAMS + 8 * at));
        let (mut classes, mut extents) = (vec![], 0);
        if params != [0; 4] {
            let (found, has_extents) = queue::classes(CAPACITY as u64, params).unwrap();
            let (data, tail) = queue::lengths(CAPACITY as u64, params).unwrap();
            assert_eq!((data, tail), (raw.area as u64, raw.word(raw::TAIL_LEN)), "the layout has changed");
            extents = if has_extents { found.last().unwrap().1 as usize } else { 0 };
            classes = found;
        }
        let entry_count: usize = classes.iter().map(|(_, count): &(u64, u64)| *count as usize).sum();
        let entries = raw.data + (CAPACITY * stride).next_multiple_of(4096);
        let books = entries + entry_count * ENTRY;
        let end = (books + extents * ENTRY).min(raw.data + raw.area);
        let new = raw.bytes(0, end);
        Segment { raw, memory, new, body_len, stride, entries, entry_count, books, book_count: extents }
    }

    fn slot(&self, number: u8) -> usize {
        self.raw.data + usize::from(number) % CAPACITY * self.stride
    }

    fn entry(&self, number: usize) -> usize {
        // Of a queue without a pool: some place in its slots.
        if self.entry_count == 0 {
            self.slot(number as u8)
        } else {
            self.entries + number % self.entry_count * ENTRY
        }
    }

    fn book(&self, number: u8) -> usize {
        if self.book_count == 0 {
            self.slot(number)
        } else {
            self.books + usize::from(number) % self.book_count * ENTRY
        }
    }

    /// The entry that the tag of a slot refers to.
    fn referred(&self, slot: u8) -> usize {
        let tag = self.raw.word(self.slot(slot) + 8);
        let params = std::array::from_fn(|at| raw::word_in(&self.new, raw::PARAMS + 8 * at));
        let Some((classes, _)) = queue::classes(CAPACITY as u64, params) else { return self.entry(0) };
        let class = (tag >> 24 & 63) as usize;
        let before: u64 = classes.iter().take(class).map(|(_, count)| *count).sum();
        self.entry((before + (tag & 0xff_ffff)) as usize)
    }

    fn place(&self, place: Place) -> usize {
        let body = self.raw.body;
        match place {
            Place::SlotWord(number) => self.slot(number),
            Place::Tag(number) => self.slot(number) + 8,
            Place::Chunk(of, field) => {
                let entry = match of {
                    Of::Number(number) => self.entry(number.into()),
                    Of::Slot(slot) => self.referred(slot),
                };
                entry + [0, 8, 16][field as usize]
            }
            Place::Bytes(number) => self.book(number),
            Place::Backed(number) => self.book(number) + 8,
            Place::Hint { tail } => body + if tail { queue::TAIL } else { queue::HEAD },
            Place::Flag(flag) => body + [queue::ORPHANS, queue::CLOSING, queue::RETURNED][flag as usize],
            Place::Sleep(which) => {
                let conditions = [queue::ITEMS, queue::SPACE, queue::ROOM, queue::FINISHED];
                body + conditions[usize::from(which) % 4] + usize::from(which) / 4 % 4 * 8
            }
            // In others there is nothing there.
            Place::Taken | Place::Done | Place::Promise(_) if self.body_len == queue::LEN => body,
            Place::Taken => body + queue::TAKEN,
            Place::Done => body + queue::DONE,
            Place::Promise(participant) => body + queue::PROMISES + usize::from(participant % 5) * 8,
            Place::Body(at) => body + usize::from(at) * 8 % self.body_len,
            Place::Data(at) => self.raw.data + usize::from(at) * 8 % self.raw.area,
            Place::Rows(at) => raw::ROWS + usize::from(at) * 8 % (64 * 4),
            Place::Header(at) => usize::from(at) * 8 % (raw::HEADER + 8),
        }
    }

    /// The message in a slot is so long, say its tag, its entry, and the books of all extents.
    fn inflate(&self, slot: u8, len: u64) {
        let tag = self.slot(slot) + 8;
        self.raw.set(tag, self.raw.word(tag) & ((1 << 30) - 1) | len << 30);
        self.raw.set(self.referred(slot) + 16, len);
        (0..self.book_count as u8).for_each(|number| self.raw.set(self.book(number) + 8, len));
    }

    fn write(&self, scribble: &Scribble) {
        if let (Place::Tag(slot), What::Length(len)) = (scribble.place, scribble.what)
            && self.entry_count > 0
        {
            return self.inflate(slot, len.bytes());
        }
        let at = self.place(scribble.place);
        let old = self.raw.word(at);
        let word = match scribble.what {
            What::Set(word) => word,
            What::Small(word) => word.into(),
            What::Add(by) => old.wrapping_add_signed(by.into()),
            What::Flip(bit) => old ^ 1 << (bit % 64),
            What::Restore => {
                if at + 8 <= self.new.len() {
                    raw::word_in(&self.new, at)
                } else {
                    0
                }
            }
            What::Copy(near) => self.raw.word(match near {
                Near::SlotWord(number) => self.slot(number),
                Near::Tag(number) => self.slot(number) + 8,
                Near::Position(number) => self.entry(number.into()) + 8,
                Near::Hint { tail } => self.place(Place::Hint { tail }),
            }),
            What::Slot { ahead, deliveries, state, owner } => {
                queue::slot_word((old >> 24).wrapping_add_signed(ahead.into()), deliveries, state, owner % 5)
            }
            What::Chunk { ahead, deliveries, state, owner } => {
                queue::chunk_word((old >> 26).wrapping_add_signed(ahead.into()), deliveries, state, owner % 5)
            }
            What::Tag { len, class, index } => queue::tag(len.bytes(), class, index),
            What::Position { lap, index } => {
                (old >> 24).wrapping_add_signed(lap.into()) << 24 | u64::from(index)
            }
            What::Length(len) => len.bytes(),
            What::Count { ahead, chunk } => {
                (old >> 26).wrapping_add_signed(ahead.into()) << 26 | u64::from(chunk % 16)
            }
        };
        self.raw.set(at, word);
    }

    fn memory(&self) -> OwnedFd {
        self.memory.try_clone().expect("no descriptor left")
    }
}

struct World {
    /// In the order of `Kind`.
    segments: [Segment; 5],
    scribbler: Mate,
}

impl World {
    fn new() -> World {
        wake_in_time();
        let values = Queue::<[u32; 6]>::options().participants(4).capacity(CAPACITY).anonymous().unwrap();
        let bytes = Queue::<[u8]>::options().participants(4).capacity(CAPACITY).max_held(3);
        let bytes = bytes.message_size(100).max_bytes(1 << 30).anonymous().unwrap();
        let tasks = JoinableQueue::<u64>::options().participants(4).capacity(CAPACITY).max_held(3);
        let tasks = tasks.anonymous().unwrap();
        let byte_tasks = JoinableQueue::<[u8]>::options().participants(4).capacity(CAPACITY).max_held(2);
        let byte_tasks = byte_tasks.message_size(32).max_bytes(100_000).anonymous().unwrap();
        let tally = TallyQueue::options().participants(4).capacity(CAPACITY).max_held(2);
        let tally = tally.message_size(32).max_bytes(100_000).anonymous().unwrap();
        let segments = [
            Segment::new(&values, queue::LEN, 64),
            Segment::new(&bytes, queue::LEN, queue::SLOT),
            Segment::new(&tasks, queue::LEN, queue::SLOT),
            Segment::new(&byte_tasks, queue::LEN, queue::SLOT),
            Segment::new(&tally, queue::TALLY_LEN, queue::SLOT),
        ];
        World { segments, scribbler: Mate::new() }
    }

    fn run(&self, input: &Input) {
        let wait = match input.wait {
            Waiting::Spin => Wait::Spin,
            Waiting::Adaptive => Wait::Adaptive,
            Waiting::Park => Wait::Park,
        };
        let segment = &self.segments[input.kind as usize];
        segment.raw.set_bytes(0, &segment.new);
        let (first, second) = (segment.memory(), segment.memory());
        /// Two handles of one kind.
        macro_rules! two {
            ($queue:ty) => {{
                let open = |fd| <$queue>::options().wait(wait).from_fd(fd).expect("it is new");
                self.both(input, segment, &[open(first), open(second)])
            }};
        }
        match input.kind {
            Kind::Values => two!(Queue<[u32; 6]>),
            Kind::Bytes => two!(Queue<[u8]>),
            Kind::Tasks => two!(JoinableQueue<u64>),
            Kind::ByteTasks => two!(JoinableQueue<[u8]>),
            Kind::Tally => two!(TallyQueue),
        }
    }

    fn both<V: Victim>(&self, input: &Input, segment: &Segment, queues: &[V; 2]) {
        let victim = || {
            let (mut held, mut others) = (Vec::new(), Vec::new());
            for _ in 0..1 + input.rounds % 4 {
                for act in input.acts.iter() {
                    match act {
                        Act::Call(false, call) => queues::distrusting(&queues[0], &mut held, *call),
                        Act::Call(true, call) => queues::distrusting(&queues[1], &mut others, *call),
                        Act::Write(scribble) => segment.write(scribble),
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

//! A peer without manners in an arena: it writes anything into the words of slabs, heads of blocks, users' bits, shapes,
//! objects and tables, between the calls of handles that do not trust it, and from another thread during them. Each call
//! ends, with a value that there can be or an error, and nothing outside the arena's memory is touched.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway::{
    Arena, Barrier, Condvar, Deadline, Error, Event, Mutex, OwnedSemaphore, Place, ReentrantMutex, Semaphore,
    Wait, inspect,
};
use ringway_fuzz::crew::{Mate, wake_in_time};
use ringway_fuzz::list::{Few, Rest};
use ringway_fuzz::raw::{self, Raw};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Input {
    /// With many participants a block's head is long.
    many: bool,
    /// Another thread writes these, one after the other, over and over again. None, and there is no such thread.
    during: Few<Scribble, 12>,
    acts: Rest<Act, 50>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Act {
    Make(What),
    /// Of kind `What`, at the place of the object `of`, or at one that is made up.
    Open(What, Where),
    Use(u8),
    Drop(u8),
    Clean,
    Look,
    /// Another handle to the arena comes, which sweeps, and the last one of them goes.
    Come,
    Go,
    Write(Scribble),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum What {
    Mutex,
    Large,
    Reentrant,
    Semaphore,
    Owned(u8),
    Event,
    Condvar,
    Barrier(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Where {
    Of(u8),
    At { block: u16, id: u8 },
    Wild(u64, u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Scribble {
    spot: Spot,
    value: Value,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Spot {
    Slab(u8),
    High,
    /// A word of a block: of its head, its users, and its object.
    Block {
        slab: u8,
        block: u8,
        stride: Stride,
        word: u8,
    },
    Tail(u16),
    Row(u8),
    Header(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Stride {
    Two,
    Three,
    Four,
    Eight,
    Forty,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Value {
    Set(u64),
    Small(u8),
    Add(i16),
    Flip(u8),
    /// Words of honest form.
    State {
        ahead: i8,
        state: u8,
        owner: u8,
    },
    Slab {
        class: u8,
        state: u8,
        owner: u8,
    },
    Shape {
        kind: u8,
        align: u8,
        body: u16,
        table: u16,
    },
    Extent {
        size: u16,
        capacity: u16,
    },
}

impl Value {
    fn word(self, old: u64) -> u64 {
        match self {
            Value::Set(word) => word,
            Value::Small(word) => word.into(),
            Value::Add(by) => old.wrapping_add_signed(by.into()),
            Value::Flip(bit) => old ^ 1 << (bit % 64),
            Value::State { ahead, state, owner } => {
                let moves = (old >> 20).wrapping_add_signed(ahead.into());
                moves << 20 | u64::from(state % 5) << 16 | u64::from(owner % 4)
            }
            Value::Slab { class, state, owner } => {
                u64::from(class % 20) << 20 | u64::from(state % 4) << 16 | u64::from(owner % 4)
            }
            Value::Shape { kind, align, body, table } => {
                u64::from(kind % 18) << 48 | u64::from(align) << 32 | u64::from(body) << 16 | u64::from(table)
            }
            Value::Extent { size, capacity } => u64::from(size) << 32 | u64::from(capacity),
        }
    }
}

const SLABS: usize = 6;
const SLAB: usize = 1 << 16;

/// Objects of any kind.
enum Thing {
    Mutex(Mutex<u64>),
    Large(Mutex<[u64; 256]>),
    Reentrant(ReentrantMutex<u64>),
    Semaphore(Semaphore),
    Owned(OwnedSemaphore),
    Event(Event),
    Condvar(Condvar, Option<Mutex<u64>>),
    Barrier(Barrier),
}

impl What {
    /// Makes one, or opens the one that is there.
    fn get(self, arena: &Arena, place: Option<Place>) -> Result<Thing, Error> {
        macro_rules! come {
            ($options:expr) => {
                match place {
                    None => $options.wait(Wait::Park).create_in(arena)?,
                    Some(place) => $options.wait(Wait::Park).open_in(arena, place)?,
                }
            };
        }
        Ok(match self {
            What::Mutex => Thing::Mutex(come!(Mutex::options().value(1))),
            What::Large => Thing::Large(come!(Mutex::options().value([1; 256]))),
            What::Reentrant => Thing::Reentrant(come!(ReentrantMutex::options().value(1))),
            What::Semaphore => Thing::Semaphore(come!(Semaphore::options().permits(1))),
            What::Owned(permits) if place.is_none() => {
                Thing::Owned(come!(OwnedSemaphore::options().permits(u32::from(permits) + 1)))
            }
            What::Owned(_) => Thing::Owned(come!(OwnedSemaphore::options())),
            What::Event => Thing::Event(come!(Event::options())),
            What::Condvar => {
                let lock = Mutex::options().value(1).create_in(arena).ok();
                Thing::Condvar(come!(Condvar::options()), lock)
            }
            What::Barrier(parties) if place.is_none() => {
                Thing::Barrier(come!(Barrier::options().parties(u32::from(parties) + 1)))
            }
            What::Barrier(_) => Thing::Barrier(come!(Barrier::options())),
        })
    }
}

impl Thing {
    fn place(&self) -> Option<Place> {
        match self {
            Thing::Mutex(it) => it.place(),
            Thing::Large(it) => it.place(),
            Thing::Reentrant(it) => it.place(),
            Thing::Semaphore(it) => it.place(),
            Thing::Owned(it) => it.place(),
            Thing::Event(it) => it.place(),
            Thing::Condvar(it, _) => it.place(),
            Thing::Barrier(it) => it.place(),
        }
    }

    /// Any answer will do.
    fn be_used(&self) {
        let soon = Duration::from_micros(20);
        match self {
            Thing::Mutex(lock) => {
                if let Ok(mut guard) = lock.lock_timeout(soon) {
                    *guard = guard.wrapping_add(1);
                }
            }
            Thing::Large(lock) => {
                if let Ok(mut guard) = lock.lock_timeout(soon) {
                    guard[255] = guard[0];
                }
            }
            Thing::Reentrant(lock) => {
                if let Ok(guard) = lock.lock_timeout(soon) {
                    guard.set(guard.get().wrapping_add(1));
                    let _ = lock.try_lock().map(|again| again.get());
                }
            }
            Thing::Semaphore(semaphore) => {
                let _ = (semaphore.release(), semaphore.acquire_many(2, Deadline::after(soon)));
            }
            Thing::Owned(semaphore) => {
                let first = semaphore.try_acquire();
                let _ = (semaphore.acquire_timeout(soon).is_ok(), semaphore.available(), first.is_ok());
            }
            Thing::Event(event) => {
                event.set();
                let _ = (event.clear(), event.wait_timeout(soon), event.is_set());
            }
            Thing::Condvar(condvar, lock) => {
                condvar.notify_all();
                if let Some(guard) = lock.as_ref().and_then(|lock| lock.try_lock().ok()) {
                    let _ = condvar.wait_timeout(guard, soon).is_ok();
                }
            }
            Thing::Barrier(barrier) => {
                let _ = (barrier.wait_timeout(soon), barrier.waiting(), barrier.reset());
                barrier.abort();
            }
        }
    }
}

/// A segment that stays, with its first bytes when it was new.
struct Segment {
    raw: Raw,
    memory: OwnedFd,
    new: Vec<u8>,
    tail: usize,
}

impl Segment {
    fn new(participants: u16) -> Self {
        let arena = Arena::options()
            .participants(participants)
            .capacity(SLABS * SLAB)
            .anonymous()
            .expect("no memory");
        let memory = arena.as_fd().try_clone_to_owned().expect("no descriptor left");
        let raw = Raw::map(&memory, 64);
        let tail = raw.data + raw.area;
        drop(arena);
        let new = raw.bytes(0, tail);
        Segment { raw, memory, new, tail }
    }

    fn again(&self) -> Result<Arena, Error> {
        Arena::options().trusted(false).from_fd(self.memory.try_clone().expect("no descriptor left"))
    }

    /// As it was when it was new. What lies in its slabs is not looked at before it is made anew.
    fn restore(&self) {
        self.raw.set_bytes(0, &self.new);
        let zeros = [0; SLAB];
        (0..SLABS).for_each(|slab| self.raw.set_bytes(self.tail + slab * SLAB, &zeros));
    }

    fn spot(&self, spot: Spot) -> usize {
        match spot {
            Spot::Slab(slab) => self.raw.data + usize::from(slab) % (SLABS + 2) * 8,
            Spot::High => self.raw.body,
            Spot::Block { slab, block, stride, word } => {
                let lines = [2, 3, 4, 8, 40][stride as usize];
                let at = (usize::from(block) * lines * 64 + usize::from(word) % 16 * 8) % SLAB;
                self.tail + usize::from(slab) % SLABS * SLAB + at
            }
            Spot::Tail(at) => self.tail + usize::from(at) * 8 % (SLABS * SLAB),
            Spot::Row(at) => raw::ROWS + usize::from(at) * 8 % (64 * 4),
            Spot::Header(at) => usize::from(at) * 8 % (raw::HEADER + 8),
        }
    }

    fn write(&self, scribble: &Scribble) {
        let at = self.spot(scribble.spot);
        self.raw.set(at, scribble.value.word(self.raw.word(at)));
    }
}

struct World {
    segments: [Segment; 2],
    scribbler: Mate,
}

impl World {
    fn new() -> World {
        wake_in_time();
        World { segments: [Segment::new(4), Segment::new(700)], scribbler: Mate::new() }
    }

    fn run(&self, input: &Input) {
        let segment = &self.segments[usize::from(input.many)];
        segment.restore();
        let mut player =
            Player { segment, arenas: vec![segment.again().expect("it is new")], things: VecDeque::new() };
        let mut victim = || input.acts.iter().for_each(|act| player.act(*act));
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

struct Player<'a> {
    segment: &'a Segment,
    /// At least one.
    arenas: Vec<Arena>,
    things: VecDeque<Thing>,
}

impl Player<'_> {
    fn thing(&self, number: u8) -> Option<&Thing> {
        self.things.get(usize::from(number) % self.things.len().max(1))
    }

    fn act(&mut self, act: Act) {
        let arena = &self.arenas[self.arenas.len() - 1];
        match act {
            Act::Make(what) => self.things.extend(what.get(arena, None).ok()),
            Act::Open(what, place) => {
                let place = match place {
                    Where::Of(number) => self.thing(number).and_then(Thing::place),
                    Where::At { block, id } => format!("{block}:{id}").parse().ok(),
                    Where::Wild(block, id) => format!("{block}:{id}").parse().ok(),
                };
                self.things.extend(place.and_then(|place| what.get(arena, Some(place)).ok()));
            }
            Act::Use(number) => self.thing(number).into_iter().for_each(Thing::be_used),
            Act::Drop(number) => {
                let at = usize::from(number) % self.things.len().max(1);
                drop(self.things.remove(at));
            }
            Act::Clean => drop(arena.clean()),
            Act::Look => {
                assert!(arena.len() <= SLABS * 512 && arena.reserved() <= (SLABS * SLAB) as u64);
                let _ = inspect::stat_fd(self.segment.memory.as_fd());
            }
            Act::Come => self.arenas.extend(self.segment.again().ok()),
            Act::Go => {
                if self.arenas.len() > 1 {
                    self.arenas.pop();
                }
            }
            Act::Write(scribble) => self.segment.write(&scribble),
        }
        self.things.truncate(40);
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(|input: Input| {
    WORLD.with_borrow(|world| world.run(&input));
});

//! Objects in an arena that are made, told of, opened, used and dropped by processes which are killed and stopped
//! meanwhile: what anybody has stays what it is, a place never means another object than it did, and when all are gone
//! every byte is free.
//!
//! An object is a lock whose value is a message: the first to open it by the place that its maker sent takes that message,
//! once, and everybody who has it sees that it stays.

use super::bare::{LANE, fault};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{Call, Repair};
use crate::message::Sizes;
use crate::plan::Plan;
use ringway::inspect::{self, Detail};
use ringway::{
    Arena as Objects, Error, LockError, Mutex, OwnedSemaphore, Place, Queue, RecvError, SendError,
};
use std::collections::VecDeque;
use std::time::Duration;

pub(super) struct Arena;

const NAME: &str = "arena";
const PLACES: &str = "places";
const WALKERS: usize = 4;
/// Whoever cleans up has the place of a dead one meanwhile, and may be stopped with it.
const SEATS: u16 = 2 * WALKERS as u16 + 1;
const WALKER: Part =
    Part { name: "walker", only_sends: false, drains: false, ends: 0, is_spared: false, is_free: false };

/// Bytes of a message; behind it are two counts that are the same when nobody is in the middle of it.
const LEN: usize = 64;
const WORDS: usize = LEN / 8 + 2;
const SLAB: u64 = 1 << 16;
/// What a walker keeps at most, and how many places it remembers of what it has dropped.
const MOST: usize = 40;
const REMEMBERED: usize = 64;

type Lock = Mutex<[u64; WORDS]>;

/// What is sent of an object: its place in two words, the number of its message, and whether that was taken.
type Told = [u64; 4];

fn slabs(plan: &Plan) -> u64 {
    plan.pick("slabs", &[2, 3, 8])
}

fn open(plan: &Plan) -> Result<Objects, Error> {
    Objects::options().capacity((slabs(plan) * SLAB) as usize).participants(SEATS).open_or_create(NAME)
}

fn open_places() -> Result<Queue<Told>, Error> {
    Queue::options().capacity(32).participants(SEATS).open_or_create(PLACES)
}

impl Scenario for Arena {
    fn name(&self) -> &'static str {
        "arena"
    }

    fn about(&self) -> &'static str {
        "many locks in one segment, made, told of, opened, used and dropped"
    }

    fn cast(&self, _: &Plan) -> Vec<Part> {
        vec![WALKER; WALKERS]
    }

    fn sizes(&self, _: &Plan) -> Sizes {
        Sizes::only(LEN)
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        vec![NAME.to_owned(), PLACES.to_owned()]
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let plan = actor.plan.clone();
        let arena = actor.call(Call::Open, || open(&plan)).map_err(|error| fault("open the arena", error))?;
        let places = actor.call(Call::Open, open_places).map_err(|error| fault("open the places", error))?;
        actor.attached(true);
        let mut walker = Walker { arena, places, kept: Vec::new(), gone: VecDeque::new() };
        let result = walker.walk(actor);
        actor.attached(false);
        actor.call(Call::Close, || drop(walker));
        result
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let arena = open(&judge.plan).map_err(|error| fault("the judge's arena", error))?;
        let swept = arena.clean().map_err(|error| fault("clean", error))?;
        judge.repaired(Repair::Place, swept as u64);
        let seen = look()?;
        if !arena.is_empty() || seen.making + seen.unused + seen.corrupt > 0 || seen.free != seen.blocks {
            return Err(format!("nobody is left, and there is {seen:?}"));
        }
        let mut all = Vec::new();
        while let Some(lock) =
            unless_full(Lock::options().value([all.len() as u64; WORDS]).create_in(&arena))?
        {
            all.push(lock);
        }
        for (number, lock) in (0..).zip(&all) {
            let value = *lock.lock().map_err(|error| fault("a new lock", error))?;
            if value != [number; WORDS] {
                return Err(format!("lock {number} has {value:?}"));
            }
        }
        // Memory that was once taken for smaller ones stays theirs.
        let (mut permits, mut small) = (Vec::new(), Vec::new());
        while let Some(made) = unless_full(OwnedSemaphore::options().permits(3).create_in(&arena))? {
            permits.push(made);
        }
        while let Some(made) = unless_full(Mutex::options().value(7_u64).create_in(&arena))? {
            small.push(made);
        }
        let (seen, made) = (look()?, (all.len() + permits.len() + small.len()) as u64);
        if seen.free != 0 || seen.blocks != made || seen.reserved != slabs(&judge.plan) * SLAB {
            return Err(format!("the judge has made {made} objects, and there is {seen:?}"));
        }
        drop((permits, small));
        drop(all);
        if !arena.is_empty() {
            return Err("the judge has dropped all, and there is something left".to_owned());
        }
        for name in [NAME, PLACES] {
            ringway::unlink(name).map_err(|error| fault("remove the name", error))?;
        }
        Ok(())
    }
}

/// `None` if the arena was full.
fn unless_full<T>(made: Result<T, Error>) -> Result<Option<T>, Fault> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(Error::ArenaFull { .. }) => Ok(None),
        Err(error) => Err(fault("make an object", error)),
    }
}

fn look() -> Result<inspect::Arena, Fault> {
    match inspect::stat(NAME).map_err(|error| fault("look at the arena", error))?.detail {
        Detail::Arena(arena) => Ok(*arena),
        other => Err(format!("no arena: {other:?}")),
    }
}

/// An object that somebody has, or had.
#[derive(Clone, Copy)]
struct Known {
    place: Place,
    id: u64,
}

struct Walker {
    arena: Objects,
    places: Queue<Told>,
    kept: Vec<(Lock, Known)>,
    /// What this process has dropped; it may be there still, because others have it.
    gone: VecDeque<Known>,
}

impl Walker {
    fn walk(&mut self, actor: &mut Actor) -> Result<(), Fault> {
        while actor.may_send() {
            match actor.random.below(20) {
                0..5 => self.make(actor)?,
                5..10 => self.come(actor)?,
                10..14 => self.use_one(actor)?,
                14..17 => self.leave_one(actor),
                17 => self.come_too_late(actor)?,
                18 => make_others(actor, &self.arena)?,
                _ => self.tidy(actor)?,
            }
            if actor.random.one_in(100) {
                actor.idle(2000);
            }
        }
        Ok(())
    }

    /// Makes one, and tells of it.
    fn make(&mut self, actor: &mut Actor) -> Result<(), Fault> {
        let mut message = Vec::new();
        if self.kept.len() >= MOST {
            self.leave_one(actor);
        }
        let Some(id) = actor.draft(LANE, &mut message) else { return Ok(()) };
        let mut value = [0_u64; WORDS];
        bytemuck::cast_slice_mut(&mut value)[..LEN].copy_from_slice(&message);
        let lock =
            unless_full(actor.call(Call::Open, || Lock::options().value(value).create_in(&self.arena)))?;
        // What the dead had, somebody else may be giving back just now.
        let Some(lock) = lock else {
            actor.not_sent(id);
            return Ok(());
        };
        let place = lock.place().ok_or("a lock in an arena has no place")?;
        let known = Known { place, id };
        if let Some((_, other)) = self.kept.iter().find(|(_, other)| other.place == place) {
            return Err(format!("duplicate: {id:#x} has the place of {:#x}", other.id));
        }
        visit(actor, &lock, id)?;
        self.tell(actor, known, false)?;
        self.kept.push((lock, known));
        Ok(())
    }

    fn tell(&self, actor: &Actor, known: Known, was_taken: bool) -> Result<(), Fault> {
        let [block, number]: [u64; 2] = bytemuck::cast(known.place);
        let told = [block, number, known.id, was_taken.into()];
        match actor.call(Call::Send, || self.places.try_send(told)) {
            Ok(()) | Err(SendError::Full) => Ok(()),
            Err(error) => Err(fault("tell of a place", error)),
        }
    }

    /// Comes to one by what somebody told.
    fn come(&mut self, actor: &mut Actor) -> Result<(), Fault> {
        let [block, number, id, was_taken] = match actor.call(Call::Receive, || self.places.try_recv()) {
            Ok(told) => told,
            Err(RecvError::Empty) => return Ok(()),
            Err(error) => return Err(fault("hear of a place", error)),
        };
        let known = Known { place: bytemuck::cast([block, number]), id };
        let Some(lock) = self.open(actor, known)? else { return Ok(()) };
        if let Some(message) = visit(actor, &lock, id)?
            && was_taken == 0
        {
            actor.took_perhaps_late(LANE, &message)?;
        }
        if actor.random.one_in(2) {
            self.tell(actor, known, true)?;
        }
        if self.kept.len() >= MOST {
            self.leave_one(actor);
        }
        self.kept.push((lock, known));
        Ok(())
    }

    fn open(&self, actor: &Actor, known: Known) -> Result<Option<Lock>, Fault> {
        match actor.call(Call::Open, || Lock::options().open_in(&self.arena, known.place)) {
            Ok(lock) => Ok(Some(lock)),
            Err(Error::Gone) if self.kept.iter().any(|(_, kept)| kept.id == known.id) => {
                Err(format!("lost: {:#x} is gone, and we have it", known.id))
            }
            Err(Error::Gone) => Ok(None),
            Err(error) => Err(fault("open a lock by its place", error)),
        }
    }

    /// What was dropped is gone, or is what it was.
    fn come_too_late(&mut self, actor: &mut Actor) -> Result<(), Fault> {
        let Some(known) = self.gone.pop_front() else { return Ok(()) };
        if let Some(lock) = self.open(actor, known)? {
            visit(actor, &lock, known.id)?;
        }
        Ok(())
    }

    fn use_one(&mut self, actor: &mut Actor) -> Result<(), Fault> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let (lock, known) = &self.kept[actor.random.below(self.kept.len() as u64) as usize];
        visit(actor, lock, known.id).map(drop)
    }

    fn leave_one(&mut self, actor: &mut Actor) {
        if !self.kept.is_empty() {
            let at = actor.random.below(self.kept.len() as u64) as usize;
            let (lock, known) = self.kept.swap_remove(at);
            actor.call(Call::Close, || drop(lock));
            self.gone.push_back(known);
            self.gone.truncate(REMEMBERED);
        }
    }

    fn tidy(&mut self, actor: &Actor) -> Result<(), Fault> {
        actor.call(Call::Other, || self.arena.clean()).map_err(|error| fault("clean up", error))?;
        let seen = look()?;
        let me = std::process::id();
        let mine = seen.holders.iter().find(|holder| holder.participant.pid == Some(me));
        let mut own: Vec<_> = self.kept.iter().map(|(_, known)| known.id).collect();
        own.sort_unstable();
        own.dedup();
        // Each object counts once, however many handles there are to it.
        match mine.map_or(0, |holder| holder.objects) {
            found if found == own.len() as u64 => Ok(()),
            found => Err(format!("lost: we have {} objects, and {found} say so", own.len())),
        }
    }
}

/// Takes the lock, sees that it is that of the message `id`, whole, and changes the counts. Returns the message, unless
/// somebody else has the lock.
fn visit(actor: &mut Actor, lock: &Lock, id: u64) -> Result<Option<Vec<u8>>, Fault> {
    let patience = Duration::from_micros(actor.random.below(300));
    let mut guard = match actor.call(Call::Other, || lock.lock_timeout(patience)) {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(inherited)) => {
            actor.repaired(Repair::Lock, 1);
            inherited.recover(|value| value[WORDS - 1] = value[WORDS - 2])
        }
        Err(LockError::Timeout) => return Ok(None),
        Err(error) => return Err(format!("lock {id:#x}: {error}")),
    };
    let message = bytemuck::cast_slice::<u64, u8>(&guard[..])[..LEN].to_vec();
    actor.still_whole(id, &message)?;
    if guard[WORDS - 2] != guard[WORDS - 1] {
        return Err(format!("torn: {:?} in {id:#x}, and nobody died", &guard[WORDS - 2..]));
    }
    guard[WORDS - 2] += 1;
    if actor.random.one_in(50) {
        actor.idle(300);
    }
    guard[WORDS - 1] += 1;
    actor.call(Call::Other, || drop(guard));
    Ok(Some(message))
}

/// Makes objects of other kinds, which are new, and drops them.
fn make_others(actor: &mut Actor, arena: &Objects) -> Result<(), Fault> {
    let made = actor.call(Call::Open, || -> Result<_, Error> {
        let permits = OwnedSemaphore::options().permits(3).create_in(arena)?;
        Ok((permits, Mutex::options().value(7_u64).create_in(arena)?))
    });
    let Some((permits, small)) = unless_full(made)? else { return Ok(()) };
    let value = *small.lock().map_err(|error| fault("a new lock", error))?;
    if value != 7 || permits.available() != 3 || permits.recovered() != 0 {
        return Err(format!("torn: new objects have {value} and {} permits", permits.available()));
    }
    let permit = permits.try_acquire().map_err(|error| fault("a new permit", error))?;
    actor.idle(50);
    // Given back by whoever notices, as the rest.
    core::mem::forget(permit);
    actor.call(Call::Close, || drop((permits, small)));
    Ok(())
}

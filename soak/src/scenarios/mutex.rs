//! A mutex and a reentrant one, whose owners are killed: never do two have one at a time, no change is lost, and whoever
//! finds a value half changed was told that its owner had died.

use super::bare::fault;
use super::locks::{self, SEATS, cell, come, go, keep_on};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{COUNT, Call, Recovery};
use crate::message::Sizes;
use crate::plan::Plan;
use bytemuck::{Pod, Zeroable};
use ringway::{Deadline, Error, LockError, Mutex, MutexGuard, ReentrantMutex, ReentrantMutexGuard};
use std::hint::black_box;

pub(super) struct Mutexes;

const NAMES: [&str; 2] = ["mutex", "reentrant"];

/// Which of the two.
const PLAIN: usize = 0;
const REENTRANT: usize = 1;

/// Where the board has how many changes were begun, and how many were made for certain, of each of the two.
const BEGUN: usize = 0;
const MADE: usize = 2;

/// As often a thread takes the reentrant mutex at most.
const DEEPEST: u32 = 4;

/// Both counts are equal, and nobody is named, whenever nobody is at work.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Books {
    first: u64,
    who: u64,
    second: u64,
    repairs: u64,
}

type Plain = Mutex<Books>;
type Reentrant = ReentrantMutex<Books>;

fn open(actor: &mut Actor) -> impl FnOnce() -> Result<(Plain, Reentrant), Error> + use<> {
    let (one, other) = (actor.any_wait(), actor.any_wait());
    let (trusted, timed) = (!actor.random.one_in(4), actor.random.one_in(4));
    move || {
        let plain = Plain::options().participants(SEATS).wait(one).timed(timed);
        let plain = if trusted { plain } else { plain.trusted(false) };
        let reentrant = Reentrant::options().participants(SEATS).wait(other);
        Ok((plain.open_or_create(NAMES[PLAIN])?, reentrant.open_or_create(NAMES[REENTRANT])?))
    }
}

impl Scenario for Mutexes {
    fn name(&self) -> &'static str {
        "mutex"
    }

    fn about(&self) -> &'static str {
        "a mutex and a reentrant one; owners die in the middle of a change, and others go on"
    }

    fn cast(&self, plan: &Plan) -> Vec<Part> {
        locks::cast(plan)
    }

    fn sizes(&self, _: &Plan) -> Sizes {
        Sizes::only(0)
    }

    fn is_in_order(&self) -> bool {
        false
    }

    fn is_gentle(&self, plan: &Plan) -> bool {
        locks::is_gentle(plan)
    }

    fn names(&self, _: &Plan) -> Vec<String> {
        NAMES.map(str::to_owned).to_vec()
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let open = open(actor);
        let handles = come(actor, open)?;
        let (plain, reentrant) = &handles;
        keep_on(actor, |actor| match actor.random.below(8) {
            0..4 => change(actor, plain, None),
            4..7 => {
                let depth = actor.random.between(1, DEEPEST.into()) as u32;
                enter(actor, reentrant, 1, depth)
            }
            _ => change(actor, plain, Some(reentrant)),
        })?;
        go(actor, handles);
        Ok(())
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let (plain, reentrant) = open(judge)().map_err(|error| fault("the judge's mutexes", error))?;
        change(judge, &plain, Some(&reentrant))?;
        enter(judge, &reentrant, 1, DEEPEST)?;
        drop((plain, reentrant));
        locks::remove(&NAMES)
    }
}

/// Nobody is at work on these, and they agree with the board.
fn check(actor: &Actor, which: usize, books: &Books) -> Result<(), Fault> {
    let made = cell(actor, MADE + which);
    let Books { first, who, second, .. } = *books;
    if first != second || who != 0 {
        return Err(format!("torn: {} was had as a whole one, with {books:?}", NAMES[which]));
    }
    let begun = cell(actor, BEGUN + which);
    if (made..=begun).contains(&first) {
        Ok(())
    } else {
        Err(format!("lost: {} has {first} changes of {made} to {begun}", NAMES[which]))
    }
}

/// Ends what the dead one began.
fn repair(which: usize, books: &mut Books) -> Result<(), Fault> {
    let most = if which == PLAIN { 1 } else { u64::from(DEEPEST) };
    if books.first.abs_diff(books.second) > most {
        return Err(format!("torn: {} of a dead owner has {books:?}", NAMES[which]));
    }
    books.second = books.first;
    books.who = 0;
    books.repairs += 1;
    Ok(())
}

/// Nobody else has been here.
fn still_mine(which: usize, books: &Books, me: u64) -> Result<(), Fault> {
    if books.who == me {
        Ok(())
    } else {
        Err(format!("two at once: {me:#x} has {}, and finds {books:?}", NAMES[which]))
    }
}

/// A name for this change, that nobody else has.
fn sign(actor: &mut Actor) -> u64 {
    actor.random.next() | 1
}

/// Takes the mutex in one of the ways there are; `None` if it is not to be had now.
fn take<'a>(actor: &mut Actor, plain: &'a Plain) -> Result<Option<MutexGuard<'a, Books>>, Fault> {
    let timeout = actor.any_timeout();
    let late = |result: &Result<_, LockError<_>>| matches!(result, Err(LockError::Timeout));
    let result = match actor.random.below(4) {
        0 => actor.call(Call::Other, || plain.try_lock()),
        1 => actor.timed(Call::Other, timeout, late, |deadline| plain.lock_deadline(deadline))?,
        _ => actor.call(Call::Other, || plain.lock()),
    };
    match result {
        Ok(guard) => {
            check(actor, PLAIN, &guard)?;
            Ok(Some(guard))
        }
        Err(LockError::OwnerDied(inherited)) => {
            let mut fault = Ok(());
            let nap = actor.random.one_in(4);
            let guard = inherited.recover(|books| {
                if nap {
                    actor.wait(200);
                }
                fault = repair(PLAIN, books);
            });
            actor.recovered(Recovery::Mutex, 1);
            fault?;
            check(actor, PLAIN, &guard)?;
            Ok(Some(guard))
        }
        Err(LockError::WouldBlock | LockError::Timeout) => Ok(None),
        Err(error) => Err(fault("lock", error.without_guard())),
    }
}

/// Makes a change, and sometimes one under the other mutex in the middle of it.
fn change(actor: &mut Actor, plain: &Plain, then: Option<&Reentrant>) -> Result<(), Fault> {
    let Some(mut books) = take(actor, plain)? else {
        actor.wait(100);
        return Ok(());
    };
    let me = sign(actor);
    actor.board.cells[BEGUN + PLAIN].fetch_add(1, COUNT);
    books.first += 1;
    black_box(&mut *books).who = me;
    if actor.random.one_in(8) {
        actor.idle(400);
    }
    if actor.random.one_in(20) {
        match plain.try_lock() {
            Err(LockError::WouldDeadlock) => {}
            Ok(_) => return Err("two at once: a thread has the mutex twice".to_owned()),
            Err(error) => return Err(fault("lock again", error.without_guard())),
        }
    }
    if let Some(reentrant) = then {
        enter(actor, reentrant, 1, 1)?;
    }
    still_mine(PLAIN, black_box(&books), me)?;
    books.second += 1;
    black_box(&mut *books).who = 0;
    actor.call(Call::Other, || drop(books));
    made(actor, PLAIN);
    Ok(())
}

/// The change was made, and the mutex given back.
fn made(actor: &mut Actor, which: usize) {
    actor.board.cells[MADE + which].fetch_add(1, COUNT);
    actor.turned();
}

/// Takes the reentrant mutex for the `at`th time, makes a change, and in the middle of it takes it again, up to `depth`.
fn enter(actor: &mut Actor, reentrant: &Reentrant, at: u32, depth: u32) -> Result<(), Fault> {
    let Some(guard) = take_again(actor, reentrant, at)? else {
        actor.wait(100);
        return Ok(());
    };
    if guard.depth() != at {
        return Err(format!("taken {at} times, and the depth is {}", guard.depth()));
    }
    let me = sign(actor);
    let before = guard.get();
    actor.board.cells[BEGUN + REENTRANT].fetch_add(1, COUNT);
    guard.set(Books { first: before.first + 1, who: me, ..before });
    if actor.random.one_in(8) {
        actor.idle(400);
    }
    if at < depth {
        enter(actor, reentrant, at + 1, depth)?;
    }
    let books = guard.get();
    still_mine(REENTRANT, &books, me)?;
    if guard.depth() != at {
        return Err(format!("taken {at} times, and the depth is {} afterwards", guard.depth()));
    }
    // Those who came in between have made theirs.
    guard.set(Books { second: books.second + 1, who: before.who, ..books });
    actor.call(Call::Other, || drop(guard));
    made(actor, REENTRANT);
    Ok(())
}

fn take_again<'a>(
    actor: &mut Actor,
    reentrant: &'a Reentrant,
    at: u32,
) -> Result<Option<ReentrantMutexGuard<'a, Books>>, Fault> {
    let late = |result: &Result<_, LockError<_>>| matches!(result, Err(LockError::Timeout));
    let result = if at > 1 {
        actor.call(Call::Other, || reentrant.try_lock())
    } else if actor.random.one_in(4) {
        let timeout = actor.any_timeout();
        actor.timed(Call::Other, timeout, late, |deadline: Deadline| reentrant.lock_deadline(deadline))?
    } else {
        actor.call(Call::Other, || reentrant.lock())
    };
    match result {
        Ok(guard) if at > 1 => Ok(Some(guard)),
        Ok(guard) => {
            check(actor, REENTRANT, &guard.get())?;
            Ok(Some(guard))
        }
        Err(LockError::OwnerDied(inherited)) => {
            let mut repaired = Ok(());
            let guard = inherited.recover(|mut books| {
                repaired = repair(REENTRANT, &mut books);
                books
            });
            actor.recovered(Recovery::Mutex, 1);
            repaired?;
            check(actor, REENTRANT, &guard.get())?;
            Ok(Some(guard))
        }
        Err(LockError::Timeout) if at == 1 => Ok(None),
        Err(error) => Err(fault("lock again", error.without_guard())),
    }
}

//! A turn that goes round: a mutex says whose turn it is, and a condition variable or an event for each tells him. Nobody
//! may sleep through his turn, whoever dies beside him.

use super::bare::fault;
use super::locks::{self, SEATS, come, go};
use super::{Part, Scenario};
use crate::actor::{Actor, Fault};
use crate::board::{Call, Phase, Recovery};
use crate::message::Sizes;
use crate::plan::Plan;
use bytemuck::{Pod, Zeroable};
use ringway::{Condvar, Deadline, Error, Event, LockError, Mutex, MutexGuard};
use std::time::Duration;

pub(super) struct Turns;

const MUTEX: &str = "turn";
const CONDVAR: &str = "passed";

fn event(part: usize) -> String {
    format!("turn-{part}")
}

#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Turn {
    /// How often it has been passed: it is the turn of that one, modulo their number.
    passed: u64,
    /// The same again, once that is done.
    told: u64,
    /// Nobody is to wait any more.
    over: u64,
}

/// Whether everybody is told by an event of his own, or all by one condition variable.
fn has_events(plan: &Plan) -> bool {
    plan.once_in(2, "events")
}

struct Handles {
    turn: Mutex<Turn>,
    passed: Condvar,
    events: Vec<Event>,
}

fn open(actor: &mut Actor, parties: usize) -> impl FnOnce() -> Result<Handles, Error> + use<> {
    let waits = [actor.any_wait(), actor.any_wait(), actor.any_wait()];
    move || {
        let turn = Mutex::options().participants(SEATS).wait(waits[0]).open_or_create(MUTEX)?;
        let passed = Condvar::options().participants(SEATS).wait(waits[1]).open_or_create(CONDVAR)?;
        let event = |part| Event::options().participants(SEATS).wait(waits[2]).open_or_create(&event(part));
        Ok(Handles { turn, passed, events: (0..parties).map(event).collect::<Result<_, _>>()? })
    }
}

impl Scenario for Turns {
    fn name(&self) -> &'static str {
        "turns"
    }

    fn about(&self) -> &'static str {
        "a turn that goes round by a condition variable or by events; nobody may sleep through his turn"
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

    fn names(&self, plan: &Plan) -> Vec<String> {
        let events = (0..self.cast(plan).len()).map(event);
        [MUTEX.to_owned(), CONDVAR.to_owned()].into_iter().chain(events).collect()
    }

    fn play(&self, actor: &mut Actor) -> Result<(), Fault> {
        let open = open(actor, self.cast(&actor.plan).len());
        let handles = come(actor, open)?;
        while !actor.must_leave() && actor.board.phase() == Phase::Run {
            let is_over = if has_events(&actor.plan) {
                turn_by_event(actor, &handles)?
            } else {
                turn_by_condition(actor, &handles)?
            };
            if is_over {
                break;
            }
        }
        if actor.board.phase() != Phase::Run {
            end(actor, &handles)?;
        }
        go(actor, handles);
        Ok(())
    }

    fn judge(&self, judge: &mut Actor) -> Result<(), Fault> {
        let parties = self.cast(&judge.plan).len();
        let handles = open(judge, parties)().map_err(|error| fault("the judge's", error))?;
        drop(take(judge, &handles.turn)?);
        handles.events[0].set();
        if !handles.events[0].wait_timeout(Duration::ZERO) || !handles.events[0].clear() {
            return Err("an event that was set is not".to_owned());
        }
        drop(handles);
        let names = self.names(&judge.plan);
        locks::remove(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

type Guard<'a> = MutexGuard<'a, Turn>;

fn take<'a>(actor: &Actor, turn: &'a Mutex<Turn>) -> Result<Guard<'a>, Fault> {
    whole(actor, actor.call(Call::Other, || turn.lock()))
}

/// What the mutex protects, repaired if need be.
fn whole<'a>(
    actor: &Actor,
    locked: Result<Guard<'a>, LockError<ringway::Inherited<'a, Turn>>>,
) -> Result<Guard<'a>, Fault> {
    let guard = match locked {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(inherited)) => {
            let torn = inherited.passed.abs_diff(inherited.told) > 1;
            let guard = inherited.recover(|turn| turn.told = turn.passed);
            actor.recovered(Recovery::Mutex, 1);
            if torn {
                return Err(format!("torn: the turn of a dead owner was {:?}", *guard));
            }
            guard
        }
        Err(error) => return Err(fault("lock", error.without_guard())),
    };
    if guard.passed == guard.told {
        Ok(guard)
    } else {
        Err(format!("torn: the turn was had as a whole one, with {:?}", *guard))
    }
}

/// How long to wait: if nobody is killed, until somebody says something.
fn patience(actor: &mut Actor) -> Deadline {
    if locks::is_gentle(&actor.plan) { Deadline::NEVER } else { Deadline::after(actor.any_timeout()) }
}

fn is_mine(actor: &Actor, handles: &Handles, turn: &Turn) -> bool {
    turn.passed % handles.events.len() as u64 == actor.part as u64
}

/// Passes the turn on, if it is here.
fn pass(actor: &mut Actor, turn: &mut Turn) {
    turn.passed += 1;
    if actor.random.one_in(20) {
        actor.idle(300);
    }
    std::hint::black_box(&mut *turn).told += 1;
    actor.turned();
}

/// Waits for its turn and passes it on; whether all is over.
fn turn_by_condition(actor: &mut Actor, handles: &Handles) -> Result<bool, Fault> {
    let Handles { turn, passed, .. } = handles;
    let mut guard = take(actor, turn)?;
    let deadline = patience(actor);
    while !is_mine(actor, handles, &guard) && guard.over == 0 {
        // Others may sleep through theirs only as long as this one lives: `Receive` may take as long as it takes, and the
        // lane tells whether the turn goes round.
        let waited = actor.call(Call::Receive, || passed.wait_deadline(guard, deadline));
        let (again, told) = match waited {
            Ok((guard, told)) => (Ok(guard), told),
            Err(error) => (Err(error), true),
        };
        guard = whole(actor, again)?;
        if !told {
            return Ok(false);
        }
    }
    if guard.over != 0 {
        return Ok(true);
    }
    pass(actor, &mut guard);
    // With the mutex or without.
    if actor.random.one_in(2) {
        actor.call(Call::Other, || drop(guard));
        tell(actor, handles);
    } else {
        tell(actor, handles);
        actor.call(Call::Other, || drop(guard));
    }
    Ok(false)
}

fn tell(actor: &mut Actor, handles: &Handles) {
    let is_only_one = handles.events.len() == 2;
    actor.call(Call::Other, || {
        if is_only_one { handles.passed.notify_one() } else { handles.passed.notify_all() }
    });
}

/// The same, told by its event. Whoever is told clears it first, so that what he is told then is not lost.
fn turn_by_event(actor: &mut Actor, handles: &Handles) -> Result<bool, Fault> {
    let Handles { turn, events, .. } = handles;
    let own = &events[actor.part];
    let guard = take(actor, turn)?;
    let (mine, over) = (is_mine(actor, handles, &guard), guard.over != 0);
    actor.call(Call::Other, || drop(guard));
    if over {
        return Ok(true);
    }
    if !mine {
        let deadline = patience(actor);
        if actor.call(Call::Receive, || own.wait_deadline(deadline)) {
            actor.call(Call::Other, || own.clear());
        }
        return Ok(false);
    }
    let mut guard = take(actor, turn)?;
    pass(actor, &mut guard);
    let next = &events[guard.passed as usize % events.len()];
    if actor.random.one_in(2) {
        actor.call(Call::Other, || drop(guard));
        actor.call(Call::Other, || next.set());
    } else {
        actor.call(Call::Other, || next.set());
        actor.call(Call::Other, || drop(guard));
    }
    Ok(false)
}

/// Tells all who wait that nobody will pass anything on.
fn end(actor: &mut Actor, handles: &Handles) -> Result<(), Fault> {
    let mut guard = take(actor, &handles.turn)?;
    guard.over = 1;
    actor.call(Call::Other, || drop(guard));
    actor.call(Call::Other, || handles.passed.notify_all());
    for event in &handles.events {
        actor.call(Call::Other, || event.set());
    }
    Ok(())
}

//! What `ls` and `stat` say of locks and of what else processes agree by.

use std::time::Duration;

use ringway::{
    Kind,
    inspect::{
        Barrier, Condvar, Detail, Event, Lock, Mutex, Object as Seen, OwnedSemaphore, Participant, Semaphore,
        Token, TokenState,
    },
};

use super::{cells, json_process, json_traffic, line, map, times, traffic, who};
use crate::{
    leash,
    list::{age, living},
    lock::note::{Holder, Note, Reading},
    program,
    report::{json::Object, units},
};

/// What is capacity for them, in words; `None` for other objects.
pub(super) fn capacity(seen: &Seen) -> Option<String> {
    Some(match (&seen.detail, &seen.kind) {
        (Detail::Cell(_), _) => cells::capacity(seen),
        (Detail::Map(map), _) => map::capacity(seen, map),
        (Detail::Lock(_), _) => format!("a value of {} bytes", units::count(seen.element_size)),
        (Detail::Semaphore(_), _) => format!("at most {} permits", units::count(seen.capacity)),
        (Detail::OwnedSemaphore(_), _) => format!("{} permits", units::count(seen.capacity)),
        (Detail::Barrier(_), _) => format!("{} parties", units::count(seen.capacity)),
        (Detail::Token(_), _) => "one holder".into(),
        (_, Kind::Event | Kind::Condvar) => "any number of those who wait".into(),
        _ => return None,
    })
}

/// The note of a holder in a lock of `ringway lock`, if it is that of who has the lock now.
fn note(lock: &Mutex) -> Option<Holder> {
    let Lock::Held(process) = &lock.state else { return None };
    match Note::read(&lock.value) {
        Reading::Holder(holder) if Some(holder.pid) == process.pid => Some(holder),
        _ => None,
    }
}

/// Who has the lock, since when and for what, in a sentence.
pub(crate) fn whose(lock: &Mutex) -> String {
    match &lock.state {
        Lock::Free => "nobody has it now".into(),
        Lock::Held(process) => {
            let since = lock.held_for.map_or_else(String::new, |time| format!(" for {}", age(time)));
            let what = note(lock).map_or_else(String::new, |holder| format!(": {}", holder.command));
            format!("{} has had it{since}{what}", who(process))
        }
        Lock::Died => "its last holder died with it: the next one recovers".into(),
        Lock::NotRecoverable => "it was given up for lost: nobody gets it again".into(),
        _ => "nonsense: the shared memory is corrupt".into(),
    }
}

/// What a line of `ls` says of it: how full it is, if that is a question, and notes.
pub(crate) fn in_short(seen: &Seen) -> (Option<f64>, Vec<String>) {
    let share = |part: u64, whole: u64| Some(part as f64 / whole.max(1) as f64);
    let notes_if = |yes: bool, note: &str| Vec::from_iter(yes.then(|| note.to_owned()));
    match &seen.detail {
        Detail::Lock(lock) => (None, lock_notes(lock)),
        Detail::Cell(cell) => (None, cells::notes(seen, cell)),
        Detail::Map(map) => (Some(map::share(seen, map)), map::notes(map)),
        Detail::Semaphore(semaphore) => {
            (None, vec![format!("{} available", units::count(semaphore.available))])
        }
        Detail::OwnedSemaphore(semaphore) => {
            let held = semaphore.holders.iter().map(|holder| holder.permits).sum();
            (share(held, semaphore.permits), notes_if(semaphore.corrupt > 0, "corrupt"))
        }
        Detail::Event(event) => (None, notes_if(event.set, "set")),
        Detail::Barrier(barrier) => {
            (share(barrier.arrived.len() as u64, barrier.parties), notes_if(barrier.broken, "broken"))
        }
        Detail::Arena(arena) => (None, vec![super::arena::in_short(arena)]),
        Detail::Token(token) => (None, token_notes(token)),
        _ => (None, vec![]),
    }
}

/// The number of a process, if it is known.
pub(super) fn pid(process: &Participant) -> String {
    process.pid.map_or_else(|| "?".into(), |pid| pid.to_string())
}

/// What a line of `ls` says of a lock.
pub(super) fn lock_notes(lock: &Mutex) -> Vec<String> {
    let mut notes = match &lock.state {
        Lock::Held(process) if process.alive => vec![format!("held by {}", pid(process))],
        Lock::Held(process) => vec![format!("left by {}", pid(process))],
        Lock::Died => vec!["left".into()],
        Lock::NotRecoverable => vec!["given up".into()],
        Lock::Free => vec![],
        _ => vec!["corrupt".into()],
    };
    if lock.inconsistent && matches!(&lock.state, Lock::Held(process) if process.alive) {
        notes.push("being repaired".into());
    }
    notes
}

/// What a line of `ls` says of a token.
fn token_notes(token: &Token) -> Vec<String> {
    match &token.state {
        TokenState::Held(process) if process.alive => vec![format!("held by {}", pid(process))],
        TokenState::Held(process) => vec![format!("left by {}", pid(process))],
        TokenState::HandedOver => vec!["handed over".into()],
        TokenState::Free => vec![],
        _ => vec!["corrupt".into()],
    }
}

/// Adds what is in it to `out`.
pub(super) fn describe(out: &mut String, seen: &Seen) {
    match &seen.detail {
        Detail::Lock(lock) => describe_lock(out, seen, lock),
        Detail::Cell(cell) => cells::describe(out, seen, cell),
        Detail::Map(map) => map::describe(out, seen, map),
        Detail::Semaphore(semaphore) => {
            line(out, "available", &format!("{} permits", units::count(semaphore.available)));
            waiting(out, seen, &traffic(&semaphore.waiting));
        }
        Detail::OwnedSemaphore(semaphore) => describe_owned(out, seen, semaphore),
        Detail::Token(token) => describe_token(out, seen, token),
        Detail::Event(event) => {
            let set = if event.set { "set" } else { "not set" };
            line(out, "event", &format!("{set}; was set {}", times(event.settings)));
            waiting(out, seen, &traffic(&event.waiting));
        }
        Detail::Condvar(condvar) => {
            line(out, "notified", &times(condvar.notifications));
            waiting(out, seen, &traffic(&condvar.waiting));
        }
        Detail::Barrier(barrier) => {
            let state = if barrier.broken { "broken" } else { "open" };
            let met = format!("{state}; the parties met, or it broke, {}", times(barrier.generation));
            line(out, "barrier", &met);
            let mut what = "arrived";
            for process in &barrier.arrived {
                line(out, what, &by_name(seen, process));
                what = "";
            }
            waiting(out, seen, &traffic(&barrier.waiting));
        }
        _ => {}
    }
}

/// A process with its program, if that is known.
pub(super) fn by_name(seen: &Seen, process: &Participant) -> String {
    match program::of(process, seen) {
        Some(program) => format!("{}: {program}", who(process)),
        None => who(process),
    }
}

/// How many processes may be waiting: who does is not written down anywhere.
fn waiters(seen: &Seen) -> usize {
    let (awaited, others) = match &seen.detail {
        Detail::Lock(lock) => (lock.awaited, living(seen).saturating_sub(holders(lock))),
        Detail::Cell(cell) => (cell.lock.awaited, living(seen).saturating_sub(holders(&cell.lock))),
        Detail::Map(map) => (map.lock.awaited, living(seen).saturating_sub(holders(&map.lock))),
        Detail::Semaphore(semaphore) => (semaphore.awaited, living(seen)),
        Detail::OwnedSemaphore(semaphore) => (semaphore.awaited, living(seen)),
        Detail::Token(token) => (token.awaited, living(seen)),
        Detail::Event(event) => (event.awaited, living(seen)),
        Detail::Condvar(condvar) => (condvar.awaited, living(seen)),
        Detail::Barrier(barrier) => (true, barrier.arrived.iter().filter(|process| process.alive).count()),
        _ => (false, 0),
    };
    if awaited { others } else { 0 }
}

/// How many living processes have it: 0 or 1.
fn holders(lock: &Mutex) -> usize {
    usize::from(matches!(&lock.state, Lock::Held(process) if process.alive))
}

fn waiting(out: &mut String, seen: &Seen, traffic: &str) {
    let now = match waiters(seen) {
        0 => "nobody now".into(),
        1 => "perhaps one process".into(),
        n => format!("perhaps {n} processes"),
    };
    line(out, "waiting", &format!("{now}; those who did {traffic}"));
}

pub(super) fn describe_lock(out: &mut String, seen: &Seen, lock: &Mutex) {
    let holder = match &lock.state {
        Lock::Held(process) => {
            let note = note(lock);
            let dead = if process.alive { "" } else { ": the next one recovers" };
            line(out, "held by", &format!("{}{dead}", by_name(seen, process)));
            if let Some(holder) = note {
                line(out, "", &format!("runs {}", holder.command));
            }
            let mut more = Vec::new();
            more.extend(lock.held_for.map(|time| format!("since {}", age(time))));
            more.extend(lock.thread.map(|thread| format!("by its thread number {thread}")));
            if lock.depth > 1 {
                more.push(times(lock.depth.into()));
            }
            more.join(", ")
        }
        _ => whose(lock),
    };
    let what = if matches!(lock.state, Lock::Held(_)) { "" } else { "lock" };
    if !holder.is_empty() {
        line(out, what, &holder);
    }
    if lock.inconsistent {
        line(out, "", "somebody died with it, and what it protects is not repaired yet");
    }
    // A dead one's note stays until the next one has recovered.
    if let (Reading::Holder(last), Lock::Died) = (Note::read(&lock.value), &lock.state) {
        line(out, "", &format!("the last holder was process {} ({})", last.pid, last.command));
    }
    if lock.inconsistent || matches!(&lock.state, Lock::Held(process) if !process.alive) {
        let keepers = leash::keepers(seen.inode);
        let is_at_work = matches!(&lock.state, Lock::Held(process) if process.pid.is_some_and(|pid| keepers.contains(&pid)));
        for pid in keepers.into_iter().filter(|_| !is_at_work) {
            let what = program::command_line(pid).unwrap_or_default();
            line(out, "", &format!("process {pid}, which the dead one started, still runs: {what}"));
        }
    }
    line(out, "recoveries", &format!("taken from a dead holder {}", times(lock.deaths.into())));
    waiting(out, seen, &traffic(&lock.waiting));
}

fn describe_owned(out: &mut String, seen: &Seen, semaphore: &OwnedSemaphore) {
    let (available, permits) = (units::count(semaphore.available), units::count(semaphore.permits));
    line(out, "available", &format!("{available} of {permits} permits"));
    let mut what = "held by";
    for holder in &semaphore.holders {
        let many = match holder.permits {
            1 => String::new(),
            n => format!(" ({} permits)", units::count(n)),
        };
        line(out, what, &format!("{}{many}", by_name(seen, &holder.participant)));
        what = "";
    }
    if semaphore.corrupt > 0 {
        let corrupt = units::count(semaphore.corrupt);
        line(out, "", &format!("{corrupt} permits lost: the shared memory is corrupt"));
    }
    let recovered = format!("{} permits came back from dead holders", units::count(semaphore.recovered));
    line(out, "recoveries", &recovered);
    waiting(out, seen, &traffic(&semaphore.waiting));
}

fn describe_token(out: &mut String, seen: &Seen, token: &Token) {
    match &token.state {
        TokenState::Held(process) => {
            let dead = if process.alive { "" } else { ": the next one recovers" };
            line(out, "held by", &format!("{}{dead}", by_name(seen, process)));
        }
        TokenState::HandedOver => {
            line(out, "token", "held by nobody in particular, until somebody gives it back")
        }
        TokenState::Free => line(out, "token", "nobody has it now"),
        _ => line(out, "token", "nonsense: the shared memory is corrupt"),
    }
    match &token.state {
        TokenState::Free if token.holder_died => {
            line(out, "", "its last holder died with it: the next one is told")
        }
        _ if token.holder_died => line(out, "", "the holder before died with it"),
        _ => {}
    }
    line(out, "recoveries", &format!("came back from a dead holder {}", times(token.recovered)));
    waiting(out, seen, &traffic(&token.waiting));
}

fn json_token(object: Object, seen: &Seen, token: &Token) -> Object {
    let state = match &token.state {
        TokenState::Free => "free",
        TokenState::Held(_) => "held",
        TokenState::HandedOver => "handed over",
        _ => "corrupt",
    };
    let object = object.string("state", state);
    let object = match &token.state {
        TokenState::Held(process) => object.object("holder", json_by_name(seen, process)),
        _ => object.null("holder"),
    };
    object
        .boolean("holder_died", token.holder_died)
        .integer("recovered", token.recovered)
        .integer("waiters", waiters(seen) as u64)
        .object("waiting", json_traffic(&token.waiting))
}

/// Adds what is in it to `object`.
pub(super) fn json(object: Object, seen: &Seen) -> Object {
    match &seen.detail {
        Detail::Lock(lock) => json_lock(object, seen, lock),
        Detail::Cell(cell) => cells::json(object, seen, cell),
        Detail::Map(map) => map::json(object, seen, map),
        Detail::Semaphore(Semaphore { available, waiting, .. }) => object
            .integer("available", *available)
            .integer("waiters", waiters(seen) as u64)
            .object("waiting", json_traffic(waiting)),
        Detail::OwnedSemaphore(semaphore) => object
            .integer("permits", semaphore.permits)
            .integer("available", semaphore.available)
            .list(
                "holders",
                semaphore
                    .holders
                    .iter()
                    .map(|holder| json_by_name(seen, &holder.participant).integer("permits", holder.permits)),
            )
            .integer("recovered", semaphore.recovered)
            .integer("corrupt", semaphore.corrupt)
            .integer("waiters", waiters(seen) as u64)
            .object("waiting", json_traffic(&semaphore.waiting)),
        Detail::Event(Event { set, settings, waiting, .. }) => object
            .boolean("set", *set)
            .integer("settings", *settings)
            .integer("waiters", waiters(seen) as u64)
            .object("waiting", json_traffic(waiting)),
        Detail::Condvar(Condvar { notifications, waiting, .. }) => object
            .integer("notifications", *notifications)
            .integer("waiters", waiters(seen) as u64)
            .object("waiting", json_traffic(waiting)),
        Detail::Barrier(barrier) => json_barrier(object, seen, barrier),
        Detail::Token(token) => json_token(object, seen, token),
        _ => object,
    }
}

fn json_barrier(object: Object, seen: &Seen, barrier: &Barrier) -> Object {
    object
        .integer("parties", barrier.parties)
        .list("arrived", barrier.arrived.iter().map(|process| json_by_name(seen, process)))
        .integer("generation", barrier.generation)
        .boolean("broken", barrier.broken)
        .integer("waiters", waiters(seen) as u64)
        .object("waiting", json_traffic(&barrier.waiting))
}

pub(super) fn json_lock(object: Object, seen: &Seen, lock: &Mutex) -> Object {
    let state = match &lock.state {
        Lock::Free => "free",
        Lock::Held(_) => "held",
        Lock::Kept(_) => "kept",
        Lock::Died => "died",
        Lock::NotRecoverable => "not recoverable",
        _ => "corrupt",
    };
    let object = object.string("state", state);
    let object = match &lock.state {
        Lock::Held(process) => object.object("holder", json_by_name(seen, process)),
        _ => object.null("holder"),
    };
    let object = match note(lock) {
        Some(holder) => object.string("command", &holder.command),
        None => object.null("command"),
    };
    let object = match lock.held_for.map(|time: Duration| time.as_secs_f64()) {
        Some(seconds) => object.number("held_seconds", seconds),
        None => object.null("held_seconds"),
    };
    let object = match lock.thread {
        Some(thread) => object.integer("thread", thread.into()),
        None => object.null("thread"),
    };
    object
        .integer("depth", lock.depth.into())
        .boolean("inconsistent", lock.inconsistent)
        .integer("recoveries", lock.deaths.into())
        .integer("waiters", waiters(seen) as u64)
        .object("waiting", json_traffic(&lock.waiting))
}

/// A process, with its program if that is known.
pub(super) fn json_by_name(seen: &Seen, process: &Participant) -> Object {
    match program::of(process, seen) {
        Some(program) => json_process(process).string("program", &program),
        None => json_process(process).null("program"),
    }
}

//! What `ls` and `stat` say of an arena.

use ringway::{
    Kind,
    inspect::{Arena, Object as Seen, ObjectsOfKind},
};

use super::{line, primitives::by_name, primitives::json_by_name};
use crate::report::{json::Object, units};

/// How many objects there are.
fn objects(arena: &Arena) -> u64 {
    arena.objects.iter().map(|of| of.count).sum()
}

/// What a line of `ls` adds.
pub(crate) fn in_short(arena: &Arena) -> String {
    match objects(arena) {
        1 => "1 object".into(),
        n => format!("{} objects", units::count(n)),
    }
}

/// Adds what is in it to `out`.
pub(super) fn describe(out: &mut String, seen: &Seen, arena: &Arena) {
    line(out, "objects", &units::count(objects(arena)));
    for of in &arena.objects {
        let locked = match of.locked {
            0 => String::new(),
            n => format!(", {} of them held", units::count(n)),
        };
        line(out, "", &format!("{} {}{locked}", units::count(of.count), plural(of)));
    }
    let (used, reserved) = (units::count(arena.used), units::count(arena.reserved));
    line(out, "memory", &format!("{used} bytes used of {reserved} taken so far"));
    let (free, blocks) = (units::count(arena.free), units::count(arena.blocks));
    line(out, "", &format!("{free} of {blocks} blocks free"));
    for (count, what) in [
        (arena.making, "being made"),
        (arena.unused, "in use by nobody, and not free yet"),
        (arena.corrupt, "lost: the shared memory is corrupt"),
    ] {
        if count > 0 {
            line(out, "", &format!("{} {what}", units::count(count)));
        }
    }
    let mut what = "used by";
    for holder in &arena.holders {
        let dead = if holder.participant.alive { "" } else { ": free when somebody cleans up" };
        let who = by_name(seen, &holder.participant);
        line(out, what, &format!("{who} has {}{dead}", units::count(holder.objects)));
        what = "";
    }
}

/// Adds what is in it to `object`.
pub(super) fn json(object: Object, seen: &Seen, arena: &Arena) -> Object {
    object
        .integer("objects", objects(arena))
        .list(
            "kinds",
            arena.objects.iter().map(|of| {
                Object::new().string("kind", name(of)).integer("count", of.count).integer("locked", of.locked)
            }),
        )
        .integer("making", arena.making)
        .integer("unused", arena.unused)
        .integer("reserved_bytes", arena.reserved)
        .integer("used_bytes", arena.used)
        .integer("blocks", arena.blocks)
        .integer("free", arena.free)
        .integer("corrupt", arena.corrupt)
        .list(
            "holders",
            arena
                .holders
                .iter()
                .map(|holder| json_by_name(seen, &holder.participant).integer("objects", holder.objects)),
        )
}

fn name(of: &ObjectsOfKind) -> &'static str {
    match of.kind {
        Kind::Mutex => "mutex",
        Kind::ReentrantMutex => "reentrant mutex",
        Kind::Semaphore => "semaphore",
        Kind::OwnedSemaphore => "owned semaphore",
        Kind::Event => "event",
        Kind::Condvar => "condition variable",
        Kind::Barrier => "barrier",
        Kind::Token => "token",
        Kind::Value => "value",
        Kind::Array => "array",
        Kind::Memory => "memory",
        _ => "unknown",
    }
}

fn plural(of: &ObjectsOfKind) -> String {
    match (name(of), of.count) {
        ("unknown", _) => "of a kind that this version does not know".into(),
        ("memory", 1) => "piece of memory".into(),
        ("memory", _) => "pieces of memory".into(),
        (name, 1) => name.into(),
        (name, _) if name.ends_with("mutex") => format!("{name}es"),
        (name, _) => format!("{name}s"),
    }
}

//! `ringway stat`: all that can be seen of one object.

pub(crate) mod arena;
pub(crate) mod cells;
mod map;
mod pipe;
pub(crate) mod primitives;
mod queue;
mod ring;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use clap::Args;
use ringway::{
    Kind,
    inspect::{self, Detail, Object as Seen, Participant, Traffic},
};

use crate::{
    error::Failure,
    list::{WatchArgs, age, kind, living, printable},
    rendezvous::about,
    report::{json::Object, units},
};

/// Shows one object: what is in it, who has it, who is attached, how often they waited
///
/// Looking disturbs nobody. Figures of a live object are not of one instant.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway stat x                           for people
  ringway stat x --watch                   again every second
  ringway stat x --json | jq .forth.held   one JSON object")]
pub(crate) struct StatArgs {
    /// The name, or the absolute path of a file
    pub(crate) name: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Shows.
pub(crate) fn run(args: &StatArgs) -> Result<(), Failure> {
    show(args, |_| Ok(()))
}

/// Shows what `is_wanted`, and fails with its error if it is not.
pub(crate) fn show(args: &StatArgs, is_wanted: impl Fn(&Seen) -> Result<(), Failure>) -> Result<(), Failure> {
    args.watch.repeat(|| {
        let seen = inspect::stat(&args.name).map_err(|error| about(&args.name, error))?;
        is_wanted(&seen)?;
        Ok(if args.json {
            format!("{}\n", json(&args.name, &seen).finish())
        } else {
            describe(&args.name, &seen, SystemTime::now())
        })
    })
}

/// A line: what, then what about it.
fn line(text: &mut String, what: &str, value: &str) {
    text.push_str(&format!("{what:<12}{value}\n"));
}

fn describe(name: &str, seen: &Seen, now: SystemTime) -> String {
    let mut text = String::new();
    let out = &mut text;
    line(out, "name", &printable(name));
    let mut what = kind(seen).to_owned();
    let ago = now.duration_since(seen.created).map_or_else(|_| "in the future".into(), |t| age(t) + " ago");
    for (yes, note) in [
        (seen.ephemeral, "vanishes with its last process"),
        (seen.retired, "its name is removed"),
        (seen.stale, "made before the machine was last booted"),
    ] {
        if yes {
            what += &format!(", {note}");
        }
    }
    line(out, "kind", &what);
    let capacity = match seen.kind {
        Kind::Spsc => {
            format!(
                "{} messages of {} bytes, aligned to {}",
                units::count(seen.capacity),
                seen.element_size,
                seen.element_align
            )
        }
        Kind::Queue => {
            format!("{} messages of {} bytes", units::count(seen.capacity), seen.element_size)
        }
        Kind::ByteQueue => format!("{} messages", units::count(seen.capacity)),
        Kind::JoinableQueue => match kind(seen) {
            "joinable queue" => format!(
                "{} messages of {} bytes, besides those that are being worked on",
                units::count(seen.capacity),
                seen.element_size
            ),
            _ => format!("{} messages, besides those that are being worked on", units::count(seen.capacity)),
        },
        Kind::TallyQueue => {
            format!("{} messages, besides those that are not done", units::count(seen.capacity))
        }
        Kind::Pipe if kind(seen) == "pipe" => format!("{} bytes each way", units::count(seen.capacity)),
        _ => primitives::capacity(seen).unwrap_or_else(|| format!("{} bytes", units::count(seen.capacity))),
    };
    line(out, "capacity", &capacity);
    let taken = match seen.kind {
        Kind::ByteQueue | Kind::JoinableQueue | Kind::TallyQueue | Kind::Arena => {
            " (most of them only when they are needed)"
        }
        _ => "",
    };
    line(
        out,
        "file",
        &format!("{} bytes{taken}, mode {:04o}, user {}", units::count(seen.file_len), seen.mode, seen.owner),
    );
    line(out, "made", &format!("{ago} by process {}", seen.creator));
    let table = format!("{} of at most {}", living(seen), seen.max_participants);
    line(out, "attached", &table);
    for process in &seen.participants {
        let joined = process.joined.and_then(|joined| now.duration_since(joined).ok());
        let since = joined.map_or_else(String::new, |t| format!(", since {}", age(t)));
        line(out, "", &format!("{}{since}", primitives::by_name(seen, process)));
    }
    match &seen.detail {
        Detail::Ring(ring) => ring::describe(out, seen, ring),
        Detail::Pipe(pipe) => pipe::describe(out, pipe),
        Detail::Queue(queue) => queue::describe(out, queue),
        Detail::Arena(arena) => arena::describe(out, seen, arena),
        _ => primitives::describe(out, seen),
    }
    text
}

fn who(process: &Participant) -> String {
    let pid = process.pid.map_or_else(|| "a process just attaching".into(), |pid| format!("process {pid}"));
    if process.alive { pid } else { format!("{pid} (dead)") }
}

fn moved(out: &mut String, what: &str, messages: u64, bytes: u64, padding: &str) {
    let text = format!("{} messages, {} bytes{padding}", units::count(messages), units::count(bytes));
    line(out, what, &text);
}

fn times(n: u64) -> String {
    match n {
        1 => "once".into(),
        n => format!("{} times", units::count(n)),
    }
}

fn traffic(traffic: &Traffic) -> String {
    format!("slept {}, was woken {}", times(traffic.sleeps), times(traffic.wakes))
}

fn json(name: &str, seen: &Seen) -> Object {
    let created = seen.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let object = Object::new()
        .string("name", name)
        .string("kind", kind(seen))
        .integer("capacity", seen.capacity)
        .integer("element_size", seen.element_size)
        .integer("element_align", seen.element_align)
        .integer("file_bytes", seen.file_len)
        .string("mode", &format!("{:04o}", seen.mode))
        .integer("owner", seen.owner.into())
        .number("created", created.as_secs_f64())
        .integer("creator", seen.creator)
        .boolean("ephemeral", seen.ephemeral)
        .boolean("retired", seen.retired)
        .boolean("stale", seen.stale)
        .integer("max_participants", seen.max_participants.into())
        .list(
            "participants",
            seen.participants.iter().map(|process| primitives::json_by_name(seen, process)),
        );
    match &seen.detail {
        Detail::Ring(ring) => ring::json(object, ring),
        Detail::Pipe(pipe) => pipe::json(object, pipe),
        Detail::Queue(queue) => queue::json(object, queue),
        Detail::Arena(arena) => arena::json(object, seen, arena),
        _ => primitives::json(object, seen),
    }
}

fn json_process(process: &Participant) -> Object {
    let object = Object::new().integer("index", process.index.into()).boolean("alive", process.alive);
    match process.pid {
        Some(pid) => object.integer("pid", pid.into()),
        None => object.null("pid"),
    }
}

fn json_traffic(traffic: &Traffic) -> Object {
    Object::new().integer("sleeps", traffic.sleeps).integer("wakes", traffic.wakes)
}

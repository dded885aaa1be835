//! `ringway ls`, `ringway rm`, `ringway clean`: names.

use std::{
    any::Any,
    io::{self, IsTerminal, Write},
    os::fd::BorrowedFd,
    thread,
    time::{Duration, SystemTime},
};

use clap::Args;
use ringway::{
    Error, Kind, Token,
    inspect::{self, Detail, Object, TokenState},
};

use crate::{
    args::parse_patience,
    error::Failure,
    event, lock, queue,
    queue::is_of_bytes,
    rendezvous::about,
    report::{
        style::{Style, stdout_width},
        table::Table,
        units,
    },
    sem,
    stat::{cells::is_kept, primitives},
};

/// Lists the named rings, pipes, queues, locks, values and their kin of this user
///
/// Looks at $RINGWAY_DIR, or else /dev/shm/ringway-UID. Looking disturbs nobody.
#[derive(Args, Debug)]
#[command(after_help = "\
Columns:
  capacity  messages of a typed ring or a queue, bytes of a byte ring or of each direction of a pipe, permits of a
            semaphore that owns them, parties of a barrier, elements of an array
  element   bytes of a message where all have the same length, of what a lock protects, of a value, of an element
  fill      how much of the capacity is in use; for a pipe, of its fuller direction
  attached  living processes
  notes     unused       nobody is attached: `ringway clean` removes it, unless something is in it (see there)
            stale        made before the machine was last booted: whoever creates the name anew replaces it
            died         a process died attached to it, and nobody has cleaned up after it yet
            closed       nobody can put anything into the queue any more
            held by N    process N has the lock
            left by N    process N died with the lock, and nobody has got it since
            given up     nobody gets the lock any more: what it protects could not be repaired
            N available  so many permits a semaphore has now
            N (0xN)      a value of up to eight bytes, as an unsigned number
            N writes     process N is in the middle of writing a value or an array
            N died writing  it was killed there; whoever writes next ends what it began
            set, broken  an event, a barrier")]
pub(crate) struct LsArgs {
    #[command(flatten)]
    watch: WatchArgs,
}

/// Whether to look once, or again and again.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// Look again every second, or as often as this says
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = parse_patience)]
    watch: Option<Duration>,
}

/// The shortest time between two looks.
const GLANCE: Duration = Duration::from_millis(10);

impl WatchArgs {
    /// Shows what `look` returns, once or as long as it returns something. On a terminal each replaces the one before.
    pub(crate) fn repeat(&self, look: impl Fn() -> Result<String, Failure>) -> Result<(), Failure> {
        let Some(pause) = self.watch.map(|pause| pause.max(GLANCE)) else {
            return io::stdout().lock().write_all(look()?.as_bytes()).map_err(Failure::from_stdout);
        };
        let home = if io::stdout().is_terminal() { "\x1b[H\x1b[J" } else { "" };
        loop {
            let text = format!("{home}{}", look()?);
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::from_stdout)?;
            drop(out);
            thread::sleep(pause);
        }
    }
}

/// Removes names; whoever is attached goes on without
#[derive(Args, Debug)]
pub(crate) struct RmArgs {
    /// Names, or absolute paths of files
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Removes all names nobody is attached to, and what killed creators left behind
///
/// What means something without anybody attached stays: queues of bytes with messages in them or not done, semaphores that scripts
/// count by, values, arrays and maps, events that are set, tokens that were left held or whose holder was killed, and what
/// `ringway lock` and `ringway sem run` made if a command of a killed one still runs or has yet to be recovered from.
/// The rest goes, such as a queue with nothing in it or a lock that is free: whoever makes or opens one of that name gets a new one,
/// but whoever only attaches finds none.
#[derive(Args, Debug)]
pub(crate) struct CleanArgs {
    /// Those too
    #[arg(long)]
    all: bool,
}

/// Lists.
pub(crate) fn ls(args: &LsArgs) -> Result<(), Failure> {
    args.watch.repeat(list)
}

fn list() -> Result<String, Failure> {
    let listed = inspect::list().map_err(|error| about("the directory for names", error))?;
    let mut table = Table::new(&["name", "kind", "capacity", "element", "fill", "attached", "age", "notes"])
        .left(&[1, 7]);
    let now = SystemTime::now();
    for entry in &listed {
        let cells = match &entry.object {
            Ok(object) => cells(&entry.name, object, now),
            Err(error) => {
                let mut cells = vec![String::new(); 8];
                cells[0] = printable(&entry.name);
                cells[7] = reason(error);
                cells
            }
        };
        table.row(cells, None, false);
    }
    Ok(if listed.is_empty() { String::new() } else { table.render(stdout_width(), Style::of_stdout()) })
}

/// Why an entry is no object, in few words.
fn reason(error: &Error) -> String {
    match error {
        Error::BadMagic { .. } => "not ours".into(),
        Error::WrongVersion { found, .. } => format!("layout version {found}"),
        Error::NotRegular { what, .. } => (*what).into(),
        _ => "damaged".into(),
    }
}

/// A name on one line of a terminal, whatever characters it has.
pub(crate) fn printable(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn cells(name: &str, object: &Object, now: SystemTime) -> Vec<String> {
    let attached = living(object);
    let died = object.participants.iter().any(|process| !process.alive);
    let mut notes = Vec::new();
    if object.stale {
        notes.push("stale");
    } else if attached == 0 {
        notes.push("unused");
    } else if died {
        notes.push("died");
    }
    if matches!(&object.detail, Detail::Queue(queue) if queue.closed) {
        notes.push("closed");
    }
    if corrupt(object) {
        notes.push("corrupt");
    }
    let (share, more) = primitives::in_short(object);
    notes.extend(more.iter().map(String::as_str));
    let capacity = match object.kind {
        Kind::Spsc | Kind::Queue | Kind::ByteQueue | Kind::JoinableQueue => units::count(object.capacity),
        Kind::TallyQueue => units::count(object.capacity),
        Kind::OwnedSemaphore | Kind::Barrier | Kind::Array | Kind::Map => units::count(object.capacity),
        Kind::Mutex | Kind::ReentrantMutex | Kind::Semaphore | Kind::Event | Kind::Condvar | Kind::Value => {
            String::new()
        }
        Kind::Token => String::new(),
        _ => usize::try_from(object.capacity).map_or_else(|_| units::bytes(object.capacity), units::payload),
    };
    let element = match object.kind {
        Kind::Spsc | Kind::Queue | Kind::Mutex | Kind::ReentrantMutex | Kind::Value | Kind::Array => {
            format!("{} B", object.element_size)
        }
        Kind::JoinableQueue if !is_of_bytes(object) => format!("{} B", object.element_size),
        _ => String::new(),
    };
    vec![
        printable(name),
        kind(object).into(),
        capacity,
        element,
        fill(object).or(share).map_or_else(String::new, |fill| format!("{:.0} %", fill * 100.0)),
        attached.to_string(),
        now.duration_since(object.created).map_or_else(|_| String::new(), age),
        notes.join(", "),
    ]
}

/// How many living processes are attached.
pub(crate) fn living(object: &Object) -> usize {
    object.participants.iter().filter(|process| process.alive).count()
}

/// What it is, in a word or two.
pub(crate) fn kind(object: &Object) -> &'static str {
    match (&object.kind, &object.detail) {
        (Kind::Spsc, _) => "typed ring",
        (Kind::Bytes, _) => "byte ring",
        (Kind::Pipe, Detail::Pipe(pipe)) if pipe.simplex => "simplex pipe",
        (Kind::Pipe, _) => "pipe",
        (Kind::Queue, _) => "queue",
        (Kind::ByteQueue, _) => "queue of bytes",
        (Kind::JoinableQueue, _) if is_of_bytes(object) => "joinable queue of bytes",
        (Kind::JoinableQueue, _) => "joinable queue",
        (Kind::TallyQueue, _) => "tally queue",
        (Kind::Mutex, _) => "mutex",
        (Kind::ReentrantMutex, _) => "reentrant mutex",
        (Kind::Semaphore, _) => "semaphore",
        (Kind::OwnedSemaphore, _) => "owned semaphore",
        (Kind::Event, _) => "event",
        (Kind::Condvar, _) => "condition variable",
        (Kind::Barrier, _) => "barrier",
        (Kind::Value, _) => "value",
        (Kind::Array, _) => "array",
        (Kind::Arena, _) => "arena",
        (Kind::Token, _) => "token",
        (Kind::Memory, _) => "memory",
        (Kind::Map, _) => "map",
        _ => "unknown",
    }
}

/// How full it is, 0 to 1.
fn fill(object: &Object) -> Option<f64> {
    let (held, whole) = match &object.detail {
        Detail::Ring(ring) if object.kind == Kind::Spsc => (ring.held, object.capacity),
        Detail::Ring(ring) => (ring.held_bytes, object.capacity),
        Detail::Pipe(pipe) => {
            let back = pipe.back.as_ref().map_or(0, |lane| lane.held_bytes);
            (pipe.forth.held_bytes.max(back), object.capacity)
        }
        Detail::Queue(queue) => (queue.held, object.capacity),
        Detail::Arena(arena) => (arena.used, object.capacity),
        _ => return None,
    };
    Some(held as f64 / whole.max(1) as f64)
}

fn corrupt(object: &Object) -> bool {
    match &object.detail {
        Detail::Ring(ring) => ring.corrupt.is_some(),
        Detail::Pipe(pipe) => {
            [Some(&pipe.forth), pipe.back.as_ref()].into_iter().flatten().any(|lane| lane.corrupt.is_some())
        }
        Detail::Queue(queue) => queue.chunks.is_some_and(|chunks| chunks.corrupt > 0),
        Detail::Arena(arena) => arena.corrupt > 0,
        _ => false,
    }
}

/// A duration in its two largest units.
pub(crate) fn age(duration: Duration) -> String {
    match duration.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        s @ 3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        s => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

/// Removes names: all that can be removed, and then says which could not.
pub(crate) fn rm(args: &RmArgs) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut usage = false;
    for name in &args.names {
        if let Err(error) = ringway::unlink(name) {
            let failure = about(name, error);
            usage |= matches!(failure, Failure::Usage(_));
            failures.push(failure.to_string());
        }
    }
    match failures.join("\nringway: ") {
        text if text.is_empty() => Ok(()),
        text if usage => Err(Failure::Usage(text)),
        text => Err(Failure::Runtime(text)),
    }
}

/// Holds on to all that means something without anybody attached.
fn hold_meaningful() -> Result<Vec<Box<dyn Any>>, Failure> {
    fn boxed<T: 'static>(held: Option<T>) -> Option<Box<dyn Any>> {
        held.map(|held| Box::new(held) as Box<dyn Any>)
    }
    let listed = inspect::list().map_err(|error| about("the directory for names", error))?;
    let hold = |entry: inspect::Listed| {
        let (name, seen) = (entry.name.as_str(), &entry.object.ok()?);
        boxed(queue::hold_if_filled(name, seen))
            .or_else(|| boxed(lock::hold_if_left_behind(name, seen)))
            .or_else(|| boxed(sem::hold_if_meaningful(name, seen)))
            .or_else(|| boxed(event::hold_if_set(name, seen)))
            .or_else(|| boxed(hold_if_left(name, seen)))
    };
    Ok(listed.into_iter().filter_map(hold).collect())
}

/// Opens a token that `ringway clean` is to leave alone: somebody ended and left it held, for whoever comes to give it back; or was
/// killed with it, which the next one is to be told.
fn hold_if_left(name: &str, seen: &Object) -> Option<Token> {
    match &seen.detail {
        Detail::Token(token) => match &token.state {
            TokenState::HandedOver => Token::open(name).ok(),
            TokenState::Held(holder) if !holder.alive => Token::open(name).ok(),
            TokenState::Free if token.holder_died => Token::open(name).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Removes what is not in use, and says what that was.
pub(crate) fn clean(args: &CleanArgs) -> Result<(), Failure> {
    // What somebody is attached to is not removed.
    let _held = if args.all { Vec::new() } else { hold_meaningful()? };
    // What is in a value, an array or a map is nowhere else, and nothing of it says whether anybody will want it.
    let is_litter =
        |_: &str, file: BorrowedFd<'_>| args.all || !inspect::stat_fd(file).is_ok_and(|seen| is_kept(&seen));
    let removed = ringway::clean_if(is_litter).map_err(|error| about("the directory for names", error))?;
    let text: String = removed.iter().map(|name| format!("{}\n", printable(name))).collect();
    io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::from_stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        let age = |seconds| age(Duration::from_secs(seconds));
        assert_eq!([0, 59, 60, 3599].map(age), ["0s", "59s", "1m00s", "59m59s"]);
        assert_eq!([3600, 86_399, 86_400, 1_000_000].map(age), ["1h00m", "23h59m", "1d00h", "11d13h"]);
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\nç"), "a\\u{1b}[2Jb\\nç");
    }

    #[test]
    fn an_object_is_told_in_a_line() {
        let (tx, rx) = ringway::Pipe::options().simplex(true).capacity(4096).pair().unwrap();
        tx.send(&[0; 1016]).unwrap();
        let object = inspect::stat_fd(tx.memory()).unwrap();
        let cells = cells("x", &object, object.created + Duration::from_secs(61));
        assert_eq!(cells, ["x", "simplex pipe", "4 KiB", "", "25 %", "1", "1m01s", ""]);
        drop((tx, rx));
    }
}

//! `ringway stat`: all that can be seen of one object.

pub(crate) mod arena;
pub(crate) mod cells;
mod map;
pub(crate) mod primitives;

use std::time::SystemTime;

use clap::Args;
use ringway::{
    Kind,
    inspect::{
        self, Detail, Holder, InHand, Lane, Lock, Object as Seen, Participant, PipeEnd, Queue, Ring,
        RoleState, Traffic,
    },
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
        Detail::Ring(ring) => describe_ring(out, seen, ring),
        Detail::Pipe(pipe) => {
            let there = if pipe.simplex { "sends" } else { "holds the first end" };
            let here = if pipe.simplex { "receives" } else { "holds the second end" };
            describe_end(out, "first end", &pipe.first, there);
            describe_end(out, "second end", &pipe.second, here);
            describe_lane(out, if pipe.simplex { "stream" } else { "first lane" }, &pipe.forth);
            if let Some(back) = &pipe.back {
                describe_lane(out, "second lane", back);
            }
        }
        Detail::Queue(queue) => describe_queue(out, queue),
        Detail::Arena(arena) => arena::describe(out, seen, arena),
        _ => primitives::describe(out, seen),
    }
    text
}

fn who(process: &Participant) -> String {
    let pid = process.pid.map_or_else(|| "a process just attaching".into(), |pid| format!("process {pid}"));
    if process.alive { pid } else { format!("{pid} (dead)") }
}

fn describe_ring(out: &mut String, seen: &Seen, ring: &Ring) {
    for (side, role) in [("producer", &ring.producer), ("consumer", &ring.consumer)] {
        let holder = match &role.holder {
            Holder::Never => "nobody yet".into(),
            Holder::Held(process) => who(process),
            Holder::Left => "nobody any more: the last one left".into(),
            Holder::Died { .. } => "nobody any more: the last one died".into(),
            _ => "nonsense: the shared memory is corrupt".into(),
        };
        line(out, side, &format!("{holder}; taken {}", times(role.claims)));
    }
    let padding = if seen.kind == Kind::Spsc { "" } else { " with headers and padding" };
    moved(out, "written", ring.written, ring.written_bytes, padding);
    moved(out, "read", ring.read, ring.read_bytes, padding);
    moved(out, "in it", ring.held, ring.held_bytes, padding);
    if let Some(corrupt) = &ring.corrupt {
        line(out, "", &corrupt.to_string());
    }
    line(out, "consumer", &traffic(&ring.items));
    line(out, "producer", &traffic(&ring.space));
}

fn describe_queue(out: &mut String, queue: &Queue) {
    let again = match queue.orphans {
        0 => String::new(),
        orphans => format!(", {} of them once more", units::count(orphans)),
    };
    let bytes = queue
        .chunks
        .map_or_else(String::new, |chunks| format!(", {} bytes", units::count(chunks.queued_bytes)));
    line(out, "in it", &format!("{} messages{bytes}{again}", units::count(queue.held)));
    line(out, "sent", &format!("{} messages", units::count(queue.sent)));
    if let Some(tally) = &queue.tally {
        let (unfinished, done) = (units::count(tally.unfinished), units::count(tally.done));
        line(out, "unfinished", &format!("{unfinished} messages, {done} are done"));
    }
    let mut what = "in hand";
    for hand in &queue.in_hand {
        line(out, what, &format!("{} {}", who(&hand.participant), in_hand(hand)));
        what = "";
    }
    if queue.closed {
        line(out, "closed", "nobody can send any more");
    }
    if let Some(chunks) = &queue.chunks {
        let used = format!("{} of {} chunks in use", units::count(chunks.used), units::count(chunks.total));
        line(out, "memory", &used);
        let (large, most) = (units::count(chunks.large_bytes), units::count(chunks.max_large_bytes));
        if chunks.max_large_bytes > 0 {
            line(
                out,
                "",
                &format!("{large} of at most {most} bytes reserved for messages of more than 64 KiB"),
            );
        }
        if chunks.corrupt > 0 {
            let corrupt = units::count(chunks.corrupt);
            line(out, "", &format!("{corrupt} chunks lost: the shared memory is corrupt"));
        }
    }
    let repairs = format!(
        "{} processes died; {} messages delivered again, {} given up, {} places skipped",
        units::count(queue.deaths),
        units::count(queue.redelivered),
        units::count(queue.given_up),
        units::count(queue.skipped)
    );
    line(out, "repairs", &repairs);
    line(out, "receivers", &traffic(&queue.items));
    line(out, "senders", &traffic(&queue.space));
    if queue.chunks.is_some() {
        line(out, "for memory", &traffic(&queue.room));
        line(out, "for the end", &traffic(&queue.finished));
    }
}

/// What a process does with how many messages.
fn in_hand(hand: &InHand) -> String {
    let parts = [
        ("is sending", hand.sending),
        ("is receiving", hand.receiving),
        ("is writing", hand.writing),
        ("keeps", hand.kept),
        ("works on", hand.tasks),
    ];
    let said: Vec<_> = parts
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(does, n)| format!("{does} {}", units::count((*n).into())))
        .collect();
    said.join(", ")
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

fn describe_end(out: &mut String, what: &str, end: &PipeEnd, does: &str) {
    let coming = format!(
        "taken {}, closed {}, {} died holding it",
        times(end.arrivals),
        times(end.departures.saturating_sub(end.deaths)),
        units::count(end.deaths)
    );
    line(out, what, &coming);
    for holding in &end.holders {
        let more =
            if holding.connections > 1 { format!(" ({} times)", holding.connections) } else { String::new() };
        line(out, "", &format!("{} {does}{more}", who(&holding.participant)));
    }
}

fn describe_lane(out: &mut String, what: &str, lane: &Lane) {
    const PADDING: &str = " with headers and padding";
    moved(out, what, lane.written, lane.written_bytes, &format!("{PADDING}, were written"));
    moved(out, "", lane.read, lane.read_bytes, &format!("{PADDING}, were read"));
    moved(out, "", lane.held, lane.held_bytes, &format!("{PADDING}, are in it"));
    if let Some(corrupt) = &lane.corrupt {
        line(out, "", &corrupt.to_string());
    }
    for (what, lock) in [("sending", &lane.sending), ("receiving", &lane.receiving)] {
        let text = match lock {
            Lock::Free => continue,
            Lock::Held(process) => format!("it is the turn of {}", who(process)),
            Lock::Kept(process) => format!("{} is in the middle of a long message", who(process)),
            Lock::Died => "its holder died in the middle".into(),
            _ => "nonsense: the shared memory is corrupt".into(),
        };
        line(out, "", &format!("{what}: {text}"));
    }
    line(out, "", &format!("receivers: {}", traffic(&lane.items)));
    line(out, "", &format!("senders: {}", traffic(&lane.space)));
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
        Detail::Ring(ring) => object
            .object("producer", json_role(&ring.producer))
            .object("consumer", json_role(&ring.consumer))
            .integer("written", ring.written)
            .integer("read", ring.read)
            .integer("held", ring.held)
            .integer("written_bytes", ring.written_bytes)
            .integer("read_bytes", ring.read_bytes)
            .integer("held_bytes", ring.held_bytes)
            .boolean("corrupt", ring.corrupt.is_some())
            .object("items", json_traffic(&ring.items))
            .object("space", json_traffic(&ring.space)),
        Detail::Pipe(pipe) => {
            let object = object
                .boolean("simplex", pipe.simplex)
                .object("first_end", json_end(&pipe.first))
                .object("second_end", json_end(&pipe.second))
                .object("forth", json_lane(&pipe.forth));
            match &pipe.back {
                Some(back) => object.object("back", json_lane(back)),
                None => object.null("back"),
            }
        }
        Detail::Queue(queue) => json_queue(object, queue),
        Detail::Arena(arena) => arena::json(object, seen, arena),
        _ => primitives::json(object, seen),
    }
}

fn json_queue(object: Object, queue: &Queue) -> Object {
    let object = object
        .integer("held", queue.held)
        .integer("sent", queue.sent)
        .integer("orphans", queue.orphans)
        .list(
            "in_hand",
            queue.in_hand.iter().map(|hand| {
                json_process(&hand.participant)
                    .integer("sending", hand.sending.into())
                    .integer("receiving", hand.receiving.into())
                    .integer("writing", hand.writing.into())
                    .integer("kept", hand.kept.into())
                    .integer("tasks", hand.tasks.into())
            }),
        )
        .boolean("closed", queue.closed)
        .integer("skipped", queue.skipped)
        .integer("redelivered", queue.redelivered)
        .integer("given_up", queue.given_up)
        .integer("deaths", queue.deaths)
        .object("items", json_traffic(&queue.items))
        .object("space", json_traffic(&queue.space))
        .object("room", json_traffic(&queue.room))
        .object("finished", json_traffic(&queue.finished));
    let object = match &queue.tally {
        Some(tally) => object.object(
            "tally",
            Object::new()
                .integer("taken", tally.taken)
                .integer("done", tally.done)
                .integer("unfinished", tally.unfinished),
        ),
        None => object,
    };
    match &queue.chunks {
        Some(chunks) => object.object(
            "memory",
            Object::new()
                .integer("queued_bytes", chunks.queued_bytes)
                .integer("chunks", chunks.total)
                .integer("used", chunks.used)
                .integer("large_bytes", chunks.large_bytes)
                .integer("max_large_bytes", chunks.max_large_bytes)
                .integer("corrupt", chunks.corrupt),
        ),
        None => object.null("memory"),
    }
}

fn json_process(process: &Participant) -> Object {
    let object = Object::new().integer("index", process.index.into()).boolean("alive", process.alive);
    match process.pid {
        Some(pid) => object.integer("pid", pid.into()),
        None => object.null("pid"),
    }
}

fn json_role(role: &RoleState) -> Object {
    let object = Object::new().integer("claims", role.claims);
    match &role.holder {
        Holder::Never => object.string("state", "never held"),
        Holder::Held(process) => object.string("state", "held").object("holder", json_process(process)),
        Holder::Left => object.string("state", "left"),
        Holder::Died { .. } => object.string("state", "died"),
        _ => object.string("state", "corrupt"),
    }
}

fn json_traffic(traffic: &Traffic) -> Object {
    Object::new().integer("sleeps", traffic.sleeps).integer("wakes", traffic.wakes)
}

fn json_end(end: &PipeEnd) -> Object {
    Object::new()
        .integer("arrivals", end.arrivals)
        .integer("departures", end.departures)
        .integer("deaths", end.deaths)
        .list(
            "holders",
            end.holders.iter().map(|holding| {
                json_process(&holding.participant).integer("connections", holding.connections.into())
            }),
        )
}

fn json_lane(lane: &Lane) -> Object {
    let lock = |lock: &Lock| match lock {
        Lock::Free => Object::new().string("state", "free"),
        Lock::Held(process) => Object::new().string("state", "held").object("holder", json_process(process)),
        Lock::Kept(process) => Object::new().string("state", "kept").object("holder", json_process(process)),
        Lock::Died => Object::new().string("state", "died"),
        _ => Object::new().string("state", "corrupt"),
    };
    Object::new()
        .integer("written", lane.written)
        .integer("read", lane.read)
        .integer("held", lane.held)
        .integer("written_bytes", lane.written_bytes)
        .integer("read_bytes", lane.read_bytes)
        .integer("held_bytes", lane.held_bytes)
        .boolean("corrupt", lane.corrupt.is_some())
        .object("sending", lock(&lane.sending))
        .object("receiving", lock(&lane.receiving))
        .object("items", json_traffic(&lane.items))
        .object("space", json_traffic(&lane.space))
        .object("turns_to_send", json_traffic(&lane.turns_to_send))
        .object("turns_to_receive", json_traffic(&lane.turns_to_receive))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(seen: &Seen) -> serde_json::Value {
        serde_json::from_str(&json("x", seen).finish()).unwrap()
    }

    #[test]
    fn a_pipe_is_told_to_people_and_programs() {
        let (tx, rx) = ringway::Pipe::simplex().unwrap();
        tx.send(b"12345678").unwrap();
        tx.send(b"").unwrap();
        rx.recv().unwrap();
        let seen = inspect::stat_fd(tx.memory()).unwrap();
        let text = describe("x", &seen, seen.created);
        let pid = std::process::id();
        assert!(text.contains(&format!("process {pid} sends")), "{text}");
        assert!(
            text.contains("stream      2 messages, 24 bytes with headers and padding, were written"),
            "{text}"
        );
        assert!(text.contains("1 messages, 8 bytes with headers and padding, are in it"), "{text}");
        let value = parsed(&seen);
        assert_eq!((&value["kind"], &value["forth"]["held"]), (&"simplex pipe".into(), &1.into()));
        assert_eq!(value["first_end"]["holders"][0]["pid"], pid);
        assert!(value["back"].is_null());
    }

    #[test]
    fn a_queue_is_told_to_people_and_programs() {
        use std::os::fd::AsFd;
        let queue = ringway::Queue::<[u64; 1024]>::anonymous(3).unwrap();
        for n in 0..3 {
            queue.send([n; 1024]).unwrap();
        }
        queue.recv().unwrap();
        queue.close();
        let seen = inspect::stat_fd(queue.as_fd()).unwrap();
        let text = describe("x", &seen, seen.created);
        assert!(text.contains("in it       2 messages") && text.contains("sent        3 messages"), "{text}");
        assert!(text.contains("closed      nobody can send any more"), "{text}");
        let value = parsed(&seen);
        assert_eq!((&value["kind"], &value["held"]), (&"queue".into(), &2.into()));
        assert_eq!((&value["closed"], &value["memory"].is_null()), (&true.into(), &true));
        assert_eq!((&value["deaths"], &value["orphans"]), (&0.into(), &0.into()));
    }

    #[test]
    fn a_ring_is_told_to_people_and_programs() {
        let mut tx = ringway::spsc::Producer::<u64>::anonymous(10).unwrap();
        tx.push(1).unwrap();
        let seen = inspect::stat_fd(std::os::fd::AsFd::as_fd(&tx)).unwrap();
        let text = describe("x", &seen, seen.created);
        assert!(text.contains("capacity    10 messages of 8 bytes, aligned to 8"), "{text}");
        assert!(text.contains("consumer    nobody yet; taken 0 times"), "{text}");
        let value = parsed(&seen);
        assert_eq!((&value["held"], &value["producer"]["state"]), (&1.into(), &"held".into()));
    }
}

//! What `stat` says of pipes.

use ringway::inspect::{Lane, Lock, Pipe, PipeEnd};

use super::{json_process, json_traffic, line, moved, times, traffic, who};
use crate::report::{json::Object, units};

/// Adds what is in it to `out`.
pub(super) fn describe(out: &mut String, pipe: &Pipe) {
    let there = if pipe.simplex { "sends" } else { "holds the first end" };
    let here = if pipe.simplex { "receives" } else { "holds the second end" };
    describe_end(out, "first end", &pipe.first, there);
    describe_end(out, "second end", &pipe.second, here);
    describe_lane(out, if pipe.simplex { "stream" } else { "first lane" }, &pipe.forth);
    if let Some(back) = &pipe.back {
        describe_lane(out, "second lane", back);
    }
}

/// The same for programs.
pub(super) fn json(object: Object, pipe: &Pipe) -> Object {
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

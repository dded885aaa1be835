//! What `stat` says of rings.

use ringway::{
    Kind,
    inspect::{Holder, Object as Seen, Ring, RoleState},
};

use super::{json_process, json_traffic, line, moved, times, traffic, who};
use crate::report::json::Object;

/// Adds what is in it to `out`.
pub(super) fn describe(out: &mut String, seen: &Seen, ring: &Ring) {
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

/// The same for programs.
pub(super) fn json(object: Object, ring: &Ring) -> Object {
    object
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
        .object("space", json_traffic(&ring.space))
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

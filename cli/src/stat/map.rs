//! What `ls` and `stat` say of maps.

use ringway::inspect::{Lock, Map, Object as Seen};

use super::{
    line,
    primitives::{describe_lock, json_lock, lock_notes},
    times,
};
use crate::report::{json::Object, units};

/// Whether a change was begun by one who is gone.
fn is_cut_off(map: &Map) -> bool {
    map.unsettled && !matches!(&map.lock.state, Lock::Held(process) if process.alive)
}

/// How much fits, in words.
pub(super) fn capacity(seen: &Seen, map: &Map) -> String {
    format!("{} items of together {} bytes", units::count(seen.capacity), units::count(map.max_bytes))
}

/// The notes of a line of `ls`: how much there is, who has the lock.
pub(super) fn notes(map: &Map) -> Vec<String> {
    let items = if map.items == 1 { "item" } else { "items" };
    let mut notes = vec![format!("{} {items}", units::count(map.items))];
    if map.corrupt.is_some() {
        notes.push("corrupt".into());
    }
    if is_cut_off(map) {
        notes.push("writer died".into());
    }
    notes.extend(lock_notes(&map.lock));
    notes
}

/// How full it is: of items or of bytes, whichever is fuller.
pub(super) fn share(seen: &Seen, map: &Map) -> f64 {
    let part = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    part(map.items, seen.capacity).max(part(map.bytes, map.max_bytes))
}

/// Adds what is in it to `out`.
pub(super) fn describe(out: &mut String, seen: &Seen, map: &Map) {
    line(out, "items", &format!("{}, of {} bytes", units::count(map.items), units::count(map.bytes)));
    if let Some(corrupt) = &map.corrupt {
        line(out, "", &corrupt.to_string());
    }
    line(out, "changed", &times(map.changes));
    if is_cut_off(map) {
        line(out, "", "the last one has happened or not; the next writer puts the books in order");
    }
    describe_lock(out, seen, &map.lock);
}

/// Adds what is in it to `object`: the fields of a lock, and its own.
pub(super) fn json(object: Object, seen: &Seen, map: &Map) -> Object {
    let object = object
        .integer("items", map.items)
        .integer("bytes", map.bytes)
        .integer("max_bytes", map.max_bytes)
        .integer("changes", map.changes)
        .boolean("unsettled", map.unsettled)
        .boolean("corrupt", map.corrupt.is_some());
    json_lock(object, seen, &map.lock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway::inspect;
    use std::os::fd::AsFd;

    #[test]
    fn a_map_is_told_in_words() {
        let map = ringway::Map::anonymous(2000, 5000).unwrap();
        map.insert(b"key", &[0; 2497]).unwrap();
        let seen = inspect::stat_fd(map.as_fd()).unwrap();
        let inspect::Detail::Map(inside) = &seen.detail else { panic!("no map: {seen:?}") };
        assert_eq!(capacity(&seen, inside), "2,000 items of together 5,000 bytes");
        assert_eq!((notes(inside), share(&seen, inside)), (vec!["1 item".into()], 0.5));
        let mut text = String::new();
        describe(&mut text, &seen, inside);
        assert!(text.contains("1, of 2,500 bytes") && !text.contains("books"), "{text}");
    }
}

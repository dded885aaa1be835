//! What `ls` and `stat` say of values and arrays.

use ringway::{
    Kind,
    inspect::{Cell, Journal, Lock, Object as Seen},
};

use super::{
    json_traffic, line,
    primitives::{by_name, describe_lock, json_by_name, json_lock, lock_notes, pid},
    times, traffic,
};
use crate::report::{json::Object, units};

/// What an object of this kind holds, in words.
pub(super) fn capacity(seen: &Seen) -> String {
    let size = units::count(seen.element_size);
    match seen.kind {
        Kind::Array => format!("{} elements of {size} bytes", units::count(seen.capacity)),
        _ => format!("a value of {size} bytes"),
    }
}

/// A value of one to eight bytes as an unsigned number: what it means, only its programs know.
fn number(seen: &Seen, cell: &Cell) -> Option<u64> {
    let bytes = &cell.lock.value[..];
    if seen.kind != Kind::Value || cell.journal.is_some() || !(1..=8).contains(&bytes.len()) {
        return None;
    }
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    Some(u64::from_le_bytes(word))
}

/// The notes of a line of `ls`: the number, who writes or has the lock.
pub(super) fn notes(seen: &Seen, cell: &Cell) -> Vec<String> {
    let mut notes = Vec::from_iter(number(seen, cell).map(|number| format!("{number} (0x{number:x})")));
    if let Some(journal) = &cell.journal {
        notes.extend(match &journal.writer {
            Lock::Free => None,
            Lock::Held(process) if process.alive => Some(format!("{} writes", pid(process))),
            Lock::Held(process) => Some(format!("{} died writing", pid(process))),
            Lock::Died => Some("writer died".into()),
            _ => Some("corrupt".into()),
        });
    }
    notes.extend(lock_notes(&cell.lock));
    notes
}

/// Adds what is in it to `out`.
pub(super) fn describe(out: &mut String, seen: &Seen, cell: &Cell) {
    if let Some(number) = number(seen, cell) {
        line(out, "value", &format!("{} (0x{number:x})", units::count(number)));
    }
    if let Some(journal) = &cell.journal {
        describe_journal(out, seen, journal);
    }
    describe_lock(out, seen, &cell.lock);
}

fn has_died(writer: &Lock) -> bool {
    match writer {
        Lock::Held(process) => !process.alive,
        other => *other == Lock::Died,
    }
}

fn describe_journal(out: &mut String, seen: &Seen, journal: &Journal) {
    line(out, "written", &times(journal.writes));
    let writer = match &journal.writer {
        Lock::Free => "nobody now".into(),
        Lock::Held(process) => by_name(seen, process),
        Lock::Died => "the last one died in the middle".into(),
        _ => "nonsense: the shared memory is corrupt".into(),
    };
    let what = match (has_died(&journal.writer), journal.open) {
        (true, true) => ": its last write is there as a whole, and the next writer ends the copying",
        (true, false) => ": its last write is there as a whole, or not at all",
        (false, true) => ": the last write is there as a whole, and is just being copied to its place",
        (false, false) => "",
    };
    line(out, "writer", &format!("{writer}{what}"));
    line(out, "writers", &traffic(&journal.waiting));
}

/// Adds what is in it to `object`: the fields of a lock, and `value` and `journal`, which may be null.
pub(super) fn json(object: Object, seen: &Seen, cell: &Cell) -> Object {
    let object = match number(seen, cell) {
        Some(number) => object.integer("value", number).string("value_hex", &format!("0x{number:x}")),
        None => object.null("value").null("value_hex"),
    };
    let object = match &cell.journal {
        Some(journal) => object.object("journal", json_journal(seen, journal)),
        None => object.null("journal"),
    };
    json_lock(object, seen, &cell.lock)
}

fn json_journal(seen: &Seen, journal: &Journal) -> Object {
    let object = Object::new().integer("writes", journal.writes).boolean("open", journal.open);
    let object = match &journal.writer {
        Lock::Held(process) => object.string("state", "held").object("writer", json_by_name(seen, process)),
        Lock::Free => object.string("state", "free").null("writer"),
        Lock::Died => object.string("state", "died").null("writer"),
        _ => object.string("state", "corrupt").null("writer"),
    };
    object.object("waiting", json_traffic(&journal.waiting))
}

/// Whether its content means something to whoever comes next, with nobody attached now. What can never be opened again
/// means nothing.
pub(crate) fn is_kept(seen: &Seen) -> bool {
    matches!(seen.kind, Kind::Value | Kind::Array | Kind::Map) && !seen.stale && !seen.retired
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway::{Array, Value, inspect};
    use std::os::fd::AsFd;

    fn look(cell: &impl AsFd) -> (Seen, Option<u64>) {
        let seen = inspect::stat_fd(cell.as_fd()).unwrap();
        let inspect::Detail::Cell(cell) = &seen.detail else { panic!("no cell: {seen:?}") };
        let number = number(&seen, cell);
        (seen, number)
    }

    #[test]
    fn small_values_are_numbers_whatever_their_type() {
        fn shown<T: bytemuck::Pod>(value: T) -> Option<u64> {
            look(&Value::anonymous(value).unwrap()).1
        }
        assert_eq!(shown(u64::MAX), Some(u64::MAX));
        assert_eq!(shown(-1_i32), Some(0xffff_ffff));
        assert_eq!(shown(1.0_f64), Some(0x3ff0_0000_0000_0000));
        assert_eq!(shown([1_u8, 2, 3]), Some(0x03_0201));
        assert_eq!(shown([7_u8; 8]), Some(0x0707_0707_0707_0707));
        assert_eq!(shown([7_u8; 9]), None);
        assert_eq!(shown(()), None);
        assert_eq!(look(&Array::<u64>::anonymous(1).unwrap()).1, None);
    }

    #[test]
    fn capacities_are_told_in_words() {
        let (seen, _) = look(&Array::<[u16; 3]>::anonymous(1000).unwrap());
        assert_eq!(capacity(&seen), "1,000 elements of 6 bytes");
        let (seen, _) = look(&Value::anonymous([0_u64; 128]).unwrap());
        assert_eq!(capacity(&seen), "a value of 1,024 bytes");
    }
}

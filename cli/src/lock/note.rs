//! What a holder leaves in the lock: who it is, since when, and what it runs.

use std::{
    ffi::OsString,
    fmt::Write,
    time::{Duration, SystemTime},
};

use bytemuck::{Pod, Zeroable};

use crate::list::printable;

/// The value of the mutex behind `ringway lock`. Whoever may open it can write anything into it, and a holder may be
/// killed in the middle: it is checked whenever it is read, and believed only for what people are told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct Note {
    /// Tells it from the value of a mutex that some program made.
    magic: [u8; 8],
    /// Of all that follows.
    sum: u64,
    /// Nanoseconds since 1970.
    taken: u64,
    /// 0 is nobody.
    pid: u32,
    /// How much of `command` is text.
    len: u32,
    command: [u8; MOST],
}

const MAGIC: [u8; 8] = *b"rw-lock1";
const MOST: usize = 256;
const SIZE: usize = size_of::<Note>();
const _: () = assert!(SIZE == 288);

/// What a note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is the value of some program's mutex.
    NotOurs,
    /// Nobody has the lock, or whoever has it has not yet said so.
    Nobody,
    /// It was cut off in the middle, or is wrong.
    Nonsense,
    Holder(Holder),
}

/// Who has a lock, by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its process, as it sees itself.
    pub(crate) pid: u32,
    /// When it took the lock.
    pub(crate) taken: SystemTime,
    /// What it runs; fit for a terminal.
    pub(crate) command: String,
}

impl Note {
    /// Of a lock that nobody has.
    pub(crate) fn nobody() -> Note {
        Note { magic: MAGIC, ..Note::zeroed() }.signed()
    }

    /// Of this process, which has just taken the lock to run `command`.
    pub(crate) fn ours(command: &[OsString]) -> Note {
        let text = spell(command);
        let mut note = Note::nobody();
        note.command[..text.len()].copy_from_slice(text.as_bytes());
        note.len = text.len() as u32;
        note.pid = std::process::id();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        note.taken = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        note.signed()
    }

    /// What the bytes of a mutex' value say.
    pub(crate) fn read(bytes: &[u8]) -> Reading {
        let Ok(note) = bytemuck::try_pod_read_unaligned::<Note>(bytes) else { return Reading::NotOurs };
        if note.magic != MAGIC {
            return Reading::NotOurs;
        }
        let text = note.command.get(..note.len as usize).and_then(|text| str::from_utf8(text).ok());
        match text {
            _ if note.sum != note.sum_of_rest() => Reading::Nonsense,
            Some("") if note.pid == 0 => Reading::Nobody,
            Some(text) if note.pid != 0 => Reading::Holder(Holder {
                pid: note.pid,
                taken: SystemTime::UNIX_EPOCH + Duration::from_nanos(note.taken),
                command: printable(text),
            }),
            _ => Reading::Nonsense,
        }
    }

    fn signed(mut self) -> Note {
        self.sum = self.sum_of_rest();
        self
    }

    /// FNV-1a: against accidents, not against malice.
    fn sum_of_rest(&self) -> u64 {
        let rest = &bytemuck::bytes_of(self)[16..];
        rest.iter()
            .fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }
}

/// A command as one would type it, cut to what a note has room for.
fn spell(command: &[OsString]) -> String {
    let mut text = String::new();
    for (at, part) in command.iter().enumerate() {
        let part = part.to_string_lossy();
        let gap = if at == 0 { "" } else { " " };
        let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%^".contains(c);
        let done = if !part.is_empty() && part.chars().all(is_plain) {
            write!(text, "{gap}{part}")
        } else {
            write!(text, "{gap}'{}'", part.replace('\'', r"'\''"))
        };
        done.expect("writing to a string cannot fail");
        if text.len() > MOST {
            return shorten(&text, MOST);
        }
    }
    text
}

/// At most `most` bytes, three of which say that there was more.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most - 3).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(parts: &[&str]) -> Vec<OsString> {
        parts.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_note_is_read_back() {
        let note = Note::ours(&command(&["make", "-j4", "CC=a b", "it's", ""]));
        let Reading::Holder(holder) = Note::read(bytemuck::bytes_of(&note)) else { panic!("that was ours") };
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(holder.command, r"make -j4 'CC=a b' 'it'\''s' ''");
        assert!(SystemTime::now().duration_since(holder.taken).unwrap() < Duration::from_secs(3600));
        assert_eq!(Note::read(bytemuck::bytes_of(&Note::nobody())), Reading::Nobody);
    }

    #[test]
    fn long_commands_are_cut_between_characters() {
        for len in 45..55 {
            let text = spell(&command(&["echo", &"ä€".repeat(len)]));
            assert!(text.len() <= MOST, "{}", text.len());
            assert!(text.ends_with('…') == (7 + 5 * len > MOST), "{text}");
        }
        assert_eq!(spell(&command(&[&"x".repeat(MOST)])).len(), MOST);
        assert_eq!(shorten("abcdef", 5), "ab…");
    }

    #[test]
    fn no_bytes_are_believed_that_do_not_fit_together() {
        let good = Note::ours(&command(&["sleep", "1000"]));
        // Each byte counts.
        for at in 0..SIZE {
            let mut bytes = bytemuck::bytes_of(&good).to_vec();
            bytes[at] ^= 0x40;
            let wanted = if at < 8 { Reading::NotOurs } else { Reading::Nonsense };
            assert_eq!(Note::read(&bytes), wanted, "byte {at}");
        }
        // Nor what is signed and wrong all the same.
        let forged = [
            Note { len: 257, ..good },
            Note { len: u32::MAX, ..good },
            Note { pid: 0, ..good },
            Note { command: [0xff; MOST], ..good },
        ];
        for note in forged {
            assert_eq!(Note::read(bytemuck::bytes_of(&note.signed())), Reading::Nonsense);
        }
        let mut escape = good;
        escape.command[..5].copy_from_slice(b"\x1b[2Jx");
        let Reading::Holder(holder) = Note::read(bytemuck::bytes_of(&escape.signed())) else {
            panic!("signed")
        };
        assert_eq!(holder.command, "\\u{1b}[2Jx 1000");
        for taken in [0, u64::MAX] {
            let note = Note { taken, ..good }.signed();
            assert!(matches!(Note::read(bytemuck::bytes_of(&note)), Reading::Holder(_)));
        }
        for bytes in [&[][..], &[0; SIZE - 1], &[0; SIZE], &[0xff; SIZE + 1]] {
            assert_eq!(Note::read(bytes), Reading::NotOurs);
        }
    }
}

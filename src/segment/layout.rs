//! The segment as it lies in the file: the contract between processes, versions and languages.
//!
//! ```text
//! 0        Header      written once, before the file has a name; read once, at attach
//! 192      retired     the only header word that changes: the name was removed or replaced
//! 4096     rows        64 bytes for each participant index, row i at 4096 + 64 * (i - 1)
//! body     page-aligned: the object's own words (indices, locks, eventcounts)
//! data     page-aligned: `areas` stretches of `data_len` bytes, mapped twice in a row if the kind says so
//! tail     page-aligned: `tail_len` bytes that are part of the file, but only a hole in it until the object
//!          reserves a piece
//! ```
//!
//! Every change of meaning or place raises [`VERSION`] and gets a line in CHANGELOG.md.

use crate::error::{Error, Kind};
use crate::sync::AtomicU64;
use crate::sys::identity::ProcessId;
use bytemuck::{Pod, Zeroable};
use core::mem::{offset_of, size_of};

pub(crate) const MAGIC: [u8; 8] = *b"RINGWAY\n";
pub(crate) const VERSION: u32 = 2;
const ENDIAN: u32 = 0x0a0b_0c0d;

pub(crate) const PAGE: u64 = 4096;
const ROW: u64 = size_of::<Row>() as u64;
pub(crate) const ROWS_AT: u64 = PAGE;
pub(crate) const RETIRED_AT: u64 = size_of::<Header>() as u64;

/// The most participants a segment can have: the owner field of every claim has 16 bits, and a quarter of
/// them is plenty.
pub(crate) const MAX_PARTICIPANTS: u16 = 16_000;

/// No file is made larger than this, so that sums of lengths cannot overflow.
const MAX_LEN: u64 = 1 << 46;

/// How many numbers a kind can keep in the header.
pub(crate) const PARAMS: usize = 4;

/// The last participant out removes the name.
pub(crate) const EPHEMERAL: u32 = 1;
/// All flags there are. An unknown one may mean anything: such a segment is refused.
const FLAGS: u32 = EPHEMERAL;

/// The immutable part of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) endian: u32,
    pub(crate) version: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    /// Size and alignment of an element in bytes; 1 and 8 for byte rings and pipes.
    pub(crate) element_size: u64,
    pub(crate) element_align: u64,
    /// Elements of a typed ring, bytes of a byte ring or of each direction of a pipe.
    pub(crate) capacity: u64,
    /// What the kind makes of it: 1 for a simplex pipe.
    pub(crate) variant: u32,
    pub(crate) participants: u32,
    pub(crate) body_at: u64,
    pub(crate) body_len: u64,
    pub(crate) data_at: u64,
    pub(crate) data_len: u64,
    pub(crate) areas: u64,
    pub(crate) file_len: u64,
    pub(crate) boot: [u8; 16],
    /// Nanoseconds since 1970, for people.
    pub(crate) created: u64,
    pub(crate) creator: u64,
    /// Bytes of the sparse end of the file; 0 for most kinds.
    pub(crate) tail_len: u64,
    /// What else the kind needs to know of its maker's wishes.
    pub(crate) params: [u64; PARAMS],
    pub(crate) spare: u64,
    /// Over everything above: tells damage from intent, nothing more.
    pub(crate) checksum: u64,
}

const _: () = {
    assert!(size_of::<Header>() == 192);
    assert!(offset_of!(Header, magic) == 0);
    assert!(offset_of!(Header, endian) == 8);
    assert!(offset_of!(Header, version) == 12);
    assert!(offset_of!(Header, kind) == 16);
    assert!(offset_of!(Header, capacity) == 40);
    assert!(offset_of!(Header, boot) == 104);
    assert!(offset_of!(Header, tail_len) == 136);
    assert!(offset_of!(Header, params) == 144);
    assert!(offset_of!(Header, checksum) == 184);
    assert!(size_of::<Row>() == 64);
};

/// What a process says of itself. Only the holder of the row's index writes it.
///
/// ```text
/// word 0   0 while the row is being written or empty, else the number of the attach
/// ```
#[repr(C)]
pub(crate) struct Row {
    pub(crate) valid: AtomicU64,
    pub(crate) pid: AtomicU64,
    pub(crate) namespace: AtomicU64,
    pub(crate) unique: AtomicU64,
    /// Which ends or roles the process holds. What the bits mean is the object's business, and so is clearing
    /// them: its sweep does, before the row gets its next owner.
    pub(crate) roles: AtomicU64,
    /// Nanoseconds since 1970, for people.
    pub(crate) joined: AtomicU64,
    pub(crate) spare: [AtomicU64; 2],
}

/// What an object needs of a new segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) element: (u64, u64),
    pub(crate) capacity: u64,
    pub(crate) variant: u32,
    pub(crate) body_len: u64,
    pub(crate) data_len: u64,
    pub(crate) areas: u64,
    /// Bytes of the sparse tail. They belong to the file's length and are mapped, but nothing is reserved for
    /// them; see [`Segment::reserve_tail`](super::Segment::reserve_tail).
    pub(crate) tail_len: u64,
    /// For the kind to keep, and to check at attach.
    pub(crate) params: [u64; PARAMS],
}

/// A validated header: where everything lies. Kept privately and never read again from shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) kind: Kind,
    pub(crate) flags: u32,
    pub(crate) element: (u64, u64),
    pub(crate) capacity: u64,
    pub(crate) variant: u32,
    pub(crate) participants: u16,
    pub(crate) body_at: usize,
    pub(crate) body_len: usize,
    pub(crate) data_at: usize,
    pub(crate) data_len: usize,
    pub(crate) areas: usize,
    pub(crate) tail_at: usize,
    pub(crate) tail_len: usize,
    pub(crate) params: [u64; PARAMS],
    pub(crate) file_len: u64,
    pub(crate) boot: [u8; 16],
    pub(crate) created: u64,
    pub(crate) creator: u64,
}

fn pages(bytes: u64) -> Option<u64> {
    bytes.checked_add(PAGE - 1).map(|up| up & !(PAGE - 1))
}

/// Where everything lies, in bytes.
struct Places {
    body_at: u64,
    data_at: u64,
    data_len: u64,
    tail_len: u64,
    file_len: u64,
}

impl Plan {
    /// `None` if the file would be absurdly large.
    fn places(&self, participants: u16) -> Option<Places> {
        let body_at = pages(ROWS_AT + ROW * u64::from(participants))?;
        let data_at = body_at.checked_add(pages(self.body_len)?)?;
        let data_len = pages(self.data_len)?;
        let tail_at = data_len.checked_mul(self.areas)?.checked_add(data_at)?;
        let tail_len = pages(self.tail_len)?;
        let file_len = tail_at.checked_add(tail_len)?;
        (file_len <= MAX_LEN && self.areas <= 2).then_some(Places {
            body_at,
            data_at,
            data_len,
            tail_len,
            file_len,
        })
    }
}

impl Header {
    /// Lays out a new segment. `None` if it would be absurdly large.
    pub(crate) fn lay_out(plan: &Plan, participants: u16, flags: u32, boot: [u8; 16]) -> Option<Self> {
        let Places { body_at, data_at, data_len, tail_len, file_len } = plan.places(participants)?;
        let header = Header {
            magic: MAGIC,
            endian: ENDIAN,
            version: VERSION,
            kind: plan.kind.number(),
            flags,
            element_size: plan.element.0,
            element_align: plan.element.1,
            capacity: plan.capacity,
            variant: plan.variant,
            participants: u32::from(participants),
            body_at,
            body_len: plan.body_len,
            data_at,
            data_len,
            areas: plan.areas,
            file_len,
            boot,
            created: now_in_nanoseconds(),
            creator: ProcessId::own().pid,
            tail_len,
            params: plan.params,
            spare: 0,
            checksum: 0,
        };
        Some(header.signed())
    }

    /// With the right checksum.
    pub(crate) fn signed(mut self) -> Self {
        self.checksum = self.sum();
        self
    }

    /// A step for each word that loses nothing, so no change of a single word goes unseen.
    fn sum(&self) -> u64 {
        let words: [u64; size_of::<Header>() / 8] = bytemuck::cast(*self);
        let signed = &words[..words.len() - 1];
        signed.iter().fold(0x5249_4e47_5741_5901, |sum, word| {
            (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
        })
    }

    /// Checks a header that somebody else wrote against the length of its file. It must be exactly what
    /// [`lay_out`](Self::lay_out) would have made of its own numbers.
    pub(crate) fn validate(&self, file_len: u64) -> Result<Geometry, Error> {
        if self.magic != MAGIC {
            return Err(Error::BadMagic { found: self.magic });
        }
        if self.endian == ENDIAN.swap_bytes() {
            return Err(Error::WrongEndian);
        }
        expect("byte-order mark", self.endian.into(), ENDIAN.into())?;
        if self.version != VERSION {
            return Err(Error::WrongVersion { found: self.version, expected: VERSION });
        }
        let participants = u16::try_from(self.participants)
            .ok()
            .filter(|count| (1..=MAX_PARTICIPANTS).contains(count))
            .ok_or(Error::BadGeometry {
                field: "participants",
                found: self.participants.into(),
                expected: MAX_PARTICIPANTS.into(),
            })?;
        let plan = Plan {
            kind: Kind::from_number(self.kind),
            element: (self.element_size, self.element_align),
            capacity: self.capacity,
            variant: self.variant,
            body_len: self.body_len,
            data_len: self.data_len,
            areas: self.areas,
            tail_len: self.tail_len,
            params: self.params,
        };
        let bad = |field, found, expected| Error::BadGeometry { field, found, expected };
        if self.flags & !FLAGS != 0 {
            return Err(bad("flags", self.flags.into(), FLAGS.into()));
        }
        let honest = plan.places(participants).ok_or_else(|| bad("file length", self.file_len, MAX_LEN))?;
        expect("body offset", self.body_at, honest.body_at)?;
        expect("data offset", self.data_at, honest.data_at)?;
        expect("data length", self.data_len, honest.data_len)?;
        expect("tail length", self.tail_len, honest.tail_len)?;
        expect("file length", self.file_len, honest.file_len)?;
        expect("unused word", self.spare, 0)?;
        if is_plain(plan.kind) {
            expect("tail length", self.tail_len, 0)?;
            self.params.iter().try_for_each(|&word| expect("unused word", word, 0))?;
        }
        if self.checksum != self.sum() {
            return Err(bad("checksum", self.checksum, self.sum()));
        }
        if file_len < self.file_len {
            return Err(Error::Truncated { needed: self.file_len, found: file_len });
        }
        let word =
            |field, value: u64| usize::try_from(value).map_err(|_| bad(field, value, usize::MAX as u64));
        Ok(Geometry {
            kind: plan.kind,
            flags: self.flags,
            element: plan.element,
            capacity: plan.capacity,
            variant: plan.variant,
            participants,
            body_at: word("body offset", self.body_at)?,
            body_len: word("body length", self.body_len)?,
            data_at: word("data offset", self.data_at)?,
            data_len: word("data length", self.data_len)?,
            areas: word("areas", self.areas)?,
            tail_at: word("tail offset", self.file_len - self.tail_len)?,
            tail_len: word("tail length", self.tail_len)?,
            params: self.params,
            file_len: self.file_len,
            boot: self.boot,
            created: self.created,
            creator: self.creator,
        })
    }
}

/// Whether the kind has neither a tail nor numbers of its own in the header. What the others have there is for them
/// to check.
fn is_plain(kind: Kind) -> bool {
    !matches!(kind, Kind::ByteQueue | Kind::JoinableQueue | Kind::Arena | Kind::TallyQueue | Kind::Unknown(_))
}

fn expect(field: &'static str, found: u64, expected: u64) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::BadGeometry { field, found, expected }) }
}

/// The wall clock, for people; nothing is ever decided by it.
pub(crate) fn now_in_nanoseconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn honest() -> Header {
        let plan = Plan {
            kind: Kind::Spsc,
            element: (8, 8),
            capacity: 1000,
            variant: 0,
            body_len: 512,
            data_len: 8192,
            areas: 1,
            tail_len: 0,
            params: [0; PARAMS],
        };
        Header::lay_out(&plan, 254, 0, [7; 16]).unwrap()
    }

    /// A header of a kind that has a tail.
    fn with_tail(tail_len: u64) -> Option<Header> {
        let plan = Plan {
            kind: Kind::Unknown(77),
            element: (1, 8),
            capacity: 10,
            variant: 0,
            body_len: 512,
            data_len: 8192,
            areas: 1,
            tail_len,
            params: [1, 2, 3, u64::MAX],
        };
        Header::lay_out(&plan, 254, 0, [7; 16])
    }

    #[test]
    fn a_tail_is_the_end_of_the_file() {
        let header = with_tail((5 << 30) + 1).unwrap();
        let geometry = header.validate(header.file_len).unwrap();
        assert_eq!(geometry.tail_at, geometry.data_at + geometry.data_len);
        assert_eq!(geometry.tail_len, (5 << 30) + 4096, "in whole pages");
        assert_eq!((geometry.tail_at + geometry.tail_len) as u64, geometry.file_len);
        assert_eq!(geometry.params, [1, 2, 3, u64::MAX]);
        for absurd in [MAX_LEN, u64::MAX - 4096, u64::MAX] {
            assert!(with_tail(absurd).is_none());
        }
        let lie = |change: fn(&mut Header)| {
            let mut header = header;
            change(&mut header);
            header.signed().validate(u64::MAX).unwrap_err()
        };
        assert!(matches!(lie(|h| h.tail_len -= 1), Error::BadGeometry { field: "tail length", .. }));
        assert!(matches!(lie(|h| h.tail_len += PAGE), Error::BadGeometry { field: "file length", .. }));
        assert!(matches!(lie(|h| h.tail_len = u64::MAX), Error::BadGeometry { .. }));
        assert!(matches!(lie(|h| h.kind = 1), Error::BadGeometry { field: "tail length", expected: 0, .. }));
        assert!(matches!(lie(|h| h.spare = 1), Error::BadGeometry { field: "unused word", found: 1, .. }));
    }

    #[test]
    fn what_is_laid_out_is_valid() {
        let header = honest();
        let geometry = header.validate(header.file_len).unwrap();
        assert_eq!(geometry.capacity, 1000);
        assert_eq!(geometry.body_at, 4096 + 4 * 4096);
        assert_eq!(geometry.file_len, header.file_len);
    }

    #[test]
    fn every_lie_has_its_error() {
        let len = honest().file_len;
        let lie = |change: fn(&mut Header)| {
            let mut header = honest();
            change(&mut header);
            header.signed().validate(len).unwrap_err()
        };
        assert!(matches!(lie(|h| h.magic[0] = b'X'), Error::BadMagic { .. }));
        assert!(matches!(lie(|h| h.endian = h.endian.swap_bytes()), Error::WrongEndian));
        assert!(matches!(lie(|h| h.endian = 1), Error::BadGeometry { field: "byte-order mark", .. }));
        assert!(matches!(lie(|h| h.version = 9), Error::WrongVersion { found: 9, expected: 1 }));
        assert!(matches!(lie(|h| h.participants = 0), Error::BadGeometry { field: "participants", .. }));
        assert!(matches!(lie(|h| h.participants = 70_000), Error::BadGeometry { .. }));
        assert!(matches!(lie(|h| h.flags = 2), Error::BadGeometry { field: "flags", found: 2, expected: 1 }));
        assert!(matches!(lie(|h| h.body_at = 64), Error::BadGeometry { field: "body offset", .. }));
        assert!(matches!(lie(|h| h.body_len = u64::MAX), Error::BadGeometry { .. }));
        assert!(matches!(lie(|h| h.data_len = u64::MAX - 1), Error::BadGeometry { .. }));
        assert!(matches!(lie(|h| h.data_len += 1), Error::BadGeometry { field: "data length", .. }));
        assert!(matches!(lie(|h| h.data_at += PAGE), Error::BadGeometry { field: "data offset", .. }));
        assert!(matches!(lie(|h| h.areas = u64::MAX), Error::BadGeometry { .. }));
        assert!(matches!(lie(|h| h.file_len -= 1), Error::BadGeometry { field: "file length", .. }));
        assert!(matches!(
            lie(|h| h.params[3] = 7),
            Error::BadGeometry { field: "unused word", found: 7, .. }
        ));
        assert!(matches!(lie(|h| h.spare = 8), Error::BadGeometry { field: "unused word", found: 8, .. }));
        assert!(matches!(
            lie(|h| {
                h.tail_len += PAGE;
                h.file_len += PAGE;
            }),
            Error::BadGeometry { field: "tail length", found: PAGE, expected: 0 }
        ));
        let damaged = Header { created: 0, ..honest() };
        assert!(matches!(damaged.validate(len), Err(Error::BadGeometry { field: "checksum", .. })));
        assert!(
            matches!(honest().validate(len - 1), Err(Error::Truncated { needed, found }) if needed == found + 1)
        );
    }
}

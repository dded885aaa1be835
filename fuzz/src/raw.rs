//! A segment as a peer without manners sees it: bytes to be read and written at will.
//!
//! The places are those of layout version 2 (`src/segment/layout.rs` and the bodies beside the endpoints). They are
//! written down again here rather than taken from the library: what a peer can do is up to nobody but the peer.

use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

/// Bytes of the header that its checksum protects, with it.
pub const HEADER: usize = 192;
/// Where the participants' rows begin; 64 bytes for each.
pub const ROWS: usize = 4096;
/// Where the number of participants stands, and that of the areas.
pub const PARTICIPANTS: usize = 52;
pub const BODY_AT: usize = 56;
pub const BODY_LEN: usize = 64;
pub const DATA_AT: usize = 72;
pub const DATA_LEN: usize = 80;
pub const AREAS: usize = 88;
pub const FILE_LEN: usize = 96;
/// The capacity; the bytes of the sparse tail; what else a queue's maker asked for.
pub const CAPACITY: usize = 40;
pub const TAIL_LEN: usize = 136;
pub const PARAMS: usize = 144;
const CHECKSUM: usize = 184;

/// Places in the body of a ring of either kind.
pub mod ring {
    pub const TAIL: usize = 0;
    pub const HEAD: usize = 128;
    pub const PRODUCER: usize = 512;
    pub const CONSUMER: usize = 640;
    pub const LEN: usize = 768;
}

/// Places in the body of a pipe; those of a lane from the lane's beginning on.
pub mod pipe {
    pub const LANE: usize = 896;
    pub const TAIL: usize = 0;
    pub const HEAD: usize = 128;
    pub const SEND_LOCK: usize = 640;
    pub const RECV_LOCK: usize = 768;
    pub const OPEN_ID: usize = 680;
    pub const ENDS: usize = 2 * LANE;
    /// In an end's words: the inode of its socket.
    pub const SOCKET: usize = 24;
    pub const LEN: usize = 2 * LANE + 256;
}

/// Places in the body of a queue, in its slots, and in the pool behind them.
pub mod queue {
    pub const TAIL: usize = 0;
    pub const HEAD: usize = 128;
    pub const ORPHANS: usize = 256;
    pub const CLOSING: usize = 264;
    /// What receivers and senders sleep by.
    pub const ITEMS: usize = 384;
    pub const SPACE: usize = 512;
    pub const FIGURES: usize = 640;
    /// Whether tasks came back.
    pub const RETURNED: usize = 768;
    /// How many chunks of each class above the usual size have space.
    pub const GROWN: usize = 896;
    pub const ROOM: usize = 1024;
    pub const FINISHED: usize = 1152;
    pub const LEN: usize = 1280;
    /// Of a queue that counts: how many messages were handed out, how many are done, and what each participant has promised.
    pub const TAKEN: usize = 1280;
    pub const DONE: usize = 1288;
    pub const PROMISES: usize = 1296;
    pub const TALLY_LEN: usize = 5504;

    /// A slot beside a pool; its word, and then its tag.
    pub const SLOT: usize = 64;
    /// How far apart the entries of chunks are, and the books of extents: a word, a position, a length; bytes, backed.
    pub const ENTRY: usize = 64;

    pub const fn slot_word(lap: u64, deliveries: u8, state: u8, owner: u8) -> u64 {
        lap << 24 | (deliveries as u64 & 63) << 18 | (state as u64 & 3) << 16 | owner as u64
    }

    pub const fn chunk_word(version: u64, deliveries: u8, state: u8, owner: u8) -> u64 {
        version << 26 | (deliveries as u64 & 63) << 20 | (state as u64 & 15) << 16 | owner as u64
    }

    pub const fn tag(len: u64, class: u8, index: u8) -> u64 {
        len << 30 | (class as u64 & 63) << 24 | index as u64
    }

    /// The classes of a pool: how large its chunks are, and how many there are; the extents last, if there are any.
    /// `None` if nobody can make it, or only one that is larger than anybody would look at here.
    pub fn classes(messages: u64, params: [u64; 4]) -> Option<(Vec<(u64, u64)>, bool)> {
        let [held, usual, largest, max_bytes] = params;
        let all = messages.checked_add(held).filter(|all| (1..1 << 20).contains(all))?;
        let size_of = |bytes: u64| bytes.max(32).checked_next_power_of_two().filter(|size| *size <= 1 << 24);
        let smallest = size_of(usual)?;
        let largest = size_of(largest.max(smallest))?;
        let share = (smallest * all).max((max_bytes / 64).min(1 << 20));
        let mut classes = vec![(smallest, all)];
        while let Some(&(size, _)) = classes.last().filter(|(size, _)| *size < largest) {
            classes.push((2 * size, (share / (2 * size)).clamp(2, all.max(2)).min(all)));
        }
        let stretch = max_bytes.checked_next_multiple_of(4096)?.min(1 << 33);
        let extents = if max_bytes <= largest { 0 } else { all.min(64).min((1 << 40) / stretch) };
        if extents > 0 {
            classes.push((stretch, extents));
        }
        Some((classes, extents > 0))
    }

    /// The bytes of data and tail of a queue with a pool.
    pub fn lengths(messages: u64, params: [u64; 4]) -> Option<(u64, u64)> {
        let (classes, has_extents) = classes(messages, params)?;
        let extents = classes.last().filter(|_| has_extents).map_or(0, |(_, count)| *count);
        let entries: u64 = classes.iter().map(|(_, count)| count).sum::<u64>() + extents;
        let pages = |bytes: u64| bytes.next_multiple_of(4096);
        // The chunks of the usual size are in the data, tiny ones in their entries; all others are in the tail.
        let usual = classes.first().filter(|(size, _)| *size > 32).map_or(0, |(size, count)| size * count);
        let tail = classes.iter().skip(1).fold(0, |tail, (size, count)| pages(tail + size * count));
        Some((pages(messages * SLOT as u64) + pages(entries * ENTRY as u64) + pages(usual), tail))
    }
}

/// Places in the body of a map, and in its table.
pub mod map {
    /// Behind the words of its lock.
    pub const MAX_BYTES: usize = 56;
    pub const TURN: usize = 64;
    pub const RECORDS: usize = 104;
    pub const SECRET: usize = 184;
    pub const LEN: usize = 200;

    /// How far apart the entries are, and the units.
    pub const ENTRY: usize = 24;
    pub const UNIT: usize = 32;

    /// Where the chains begin; which entries are taken, and which units; where the units begin, and how many there are.
    #[derive(Clone, Copy, Debug)]
    pub struct Parts {
        pub heads: usize,
        pub taken: usize,
        pub units: usize,
        pub heap: usize,
        pub unit_count: usize,
    }

    pub fn parts(items: usize, bytes: u64) -> Parts {
        let unit_count = 2 * (bytes as usize + 46 * items).div_ceil(UNIT);
        let words = |bits: usize| bits.div_ceil(64) * 8;
        let heads = (items * ENTRY).next_multiple_of(64);
        let taken = (heads + items.next_power_of_two() * 4).next_multiple_of(64);
        let units = (taken + words(items)).next_multiple_of(64);
        let heap = (units + words(unit_count)).next_multiple_of(64);
        Parts { heads, taken, units, heap, unit_count }
    }
}

/// A word that says HELD by the participant `owner`, in a lock; and the same in a role.
pub const fn held_lock(owner: u16) -> u64 {
    7 << 21 | 1 << 16 | owner as u64
}
pub const fn held_role(owner: u16) -> u64 {
    7 << 24 | 1 << 16 | owner as u64
}

/// A mapped segment.
pub struct Raw {
    map: MmapRaw,
    pub body: usize,
    pub data: usize,
    /// The length of each data area.
    pub area: usize,
}

impl Raw {
    /// Maps the segment behind a descriptor, of a kind whose body has `body_len` bytes.
    pub fn map(fd: impl AsFd, body_len: usize) -> Raw {
        let file = File::from(fd.as_fd().try_clone_to_owned().expect("no descriptor left"));
        let map = MmapOptions::new().map_raw(&file).expect("cannot map the segment");
        let mut raw = Raw { map, body: 0, data: 0, area: 0 };
        let place = |at| raw.word(at) as usize;
        let (body, found) = (place(BODY_AT), place(BODY_LEN));
        assert_eq!(found, body_len, "the layout has changed: so must the tables here");
        (raw.body, raw.data, raw.area) = (body, place(DATA_AT), place(DATA_LEN));
        raw
    }

    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    fn at(&self, at: usize) -> *mut u64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.map.len());
        // SAFETY: inside the mapping, as just checked.
        unsafe { self.map.as_mut_ptr().add(at) }.cast()
    }

    /// The word at byte `at`, a multiple of 8.
    pub fn word(&self, at: usize) -> u64 {
        // SAFETY: mapped and aligned; volatile, because others write it.
        unsafe { self.at(at).read_volatile() }
    }

    pub fn set(&self, at: usize, word: u64) {
        // SAFETY: mapped and aligned; volatile, because others read it. The library reads the segment at another
        // address, by atomics and volatile words, as it does with what another process writes.
        unsafe { self.at(at).write_volatile(word) }
    }

    /// The bytes from `at` to `at + len`, all of them in the segment.
    pub fn bytes(&self, at: usize, len: usize) -> Vec<u8> {
        assert!(at + len <= self.map.len());
        let mut bytes = vec![0; len];
        // SAFETY: inside the mapping.
        let start = unsafe { self.map.as_ptr().add(at) };
        // SAFETY: `len` bytes of either side, of which one is private; who calls this has no thread that writes
        // the segment.
        unsafe { start.copy_to_nonoverlapping(bytes.as_mut_ptr(), len) };
        bytes
    }

    pub fn set_bytes(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.map.len());
        // SAFETY: inside the mapping.
        let start = unsafe { self.map.as_mut_ptr().add(at) };
        // SAFETY: as in `bytes`.
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}

/// A header that its maker's checksum agrees with; see `Header::sum`.
pub fn sign(segment: &mut [u8]) {
    let Some(header) = segment.get_mut(..HEADER) else { return };
    let sum = header[..CHECKSUM].chunks_exact(8).fold(0x5249_4e47_5741_5901_u64, |sum, word| {
        (sum ^ word_in(word, 0)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
    });
    header[CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
}

/// Makes the header's places those that follow from its other numbers, and signs it. Nonsense may stay nonsense.
pub fn lay_out(segment: &mut [u8]) {
    if segment.len() < HEADER {
        return;
    }
    let pages = |bytes: u64| bytes.wrapping_add(4095) & !4095;
    let participants = u64::from(u32::from_le_bytes(segment[PARTICIPANTS..][..4].try_into().unwrap()));
    let body_at = pages(ROWS as u64 + 64 * participants);
    let data_at = body_at.wrapping_add(pages(word_in(segment, BODY_LEN)));
    let data_len = pages(word_in(segment, DATA_LEN));
    let tail_len = pages(word_in(segment, TAIL_LEN));
    let file_len =
        data_len.wrapping_mul(word_in(segment, AREAS)).wrapping_add(data_at).wrapping_add(tail_len);
    let places = [
        (BODY_AT, body_at),
        (DATA_AT, data_at),
        (DATA_LEN, data_len),
        (TAIL_LEN, tail_len),
        (FILE_LEN, file_len),
    ];
    for (at, word) in places {
        set_word_in(segment, at, word);
    }
    sign(segment);
}

/// The same for a queue with a pool, whose lengths follow from its capacity and its maker's wishes.
pub fn lay_out_pool(segment: &mut [u8]) {
    if segment.len() < HEADER {
        return;
    }
    let params = std::array::from_fn(|at| word_in(segment, PARAMS + 8 * at));
    if let Some((data_len, tail_len)) = queue::lengths(word_in(segment, CAPACITY), params) {
        set_word_in(segment, DATA_LEN, data_len);
        set_word_in(segment, TAIL_LEN, tail_len);
    }
    lay_out(segment);
}

pub fn word_in(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..][..8].try_into().unwrap())
}

pub fn set_word_in(bytes: &mut [u8], at: usize, word: u64) {
    bytes[at..][..8].copy_from_slice(&word.to_le_bytes());
}

/// A memfd of `len` bytes that begins with `bytes` (cut off there), sealed against truncation if asked to be.
pub fn memfd(bytes: &[u8], len: u64, sealed: bool) -> io::Result<OwnedFd> {
    // SAFETY: the name is a C string.
    let fd =
        unsafe { libc::memfd_create(c"ringway-fuzz".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else's.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.set_len(len)?;
    file.write_all(&bytes[..bytes.len().min(len as usize)])?;
    file.rewind()?;
    if sealed {
        // SAFETY: takes numbers only.
        unsafe {
            libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL)
        };
    }
    Ok(file.into())
}

//! Any bytes as a segment: opening them as each kind of object, and looking at them from outside, gives a value or a
//! typed error; what does open answers every call, in bounded steps.
//!
//! The bytes are arbitrary ones, or those of a used object of each kind with some of them changed; then the header can
//! be laid out and signed again, so that it lies consistently and the checks behind the checksum are reached. They come
//! as a named file, as a sealed memfd, or as one that is not sealed.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway::{Mutex, inspect};
use ringway_fuzz::calls::Call;
use ringway_fuzz::crew::wake_in_time;
use ringway_fuzz::list::{Few, Rest};
use ringway_fuzz::objects::{self, Object};
use ringway_fuzz::opening::{Opening, USABLE, What};
use ringway_fuzz::{locks, place, raw};
use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    holder: Holder,
    length: Length,
    bytes: Bytes<'a>,
    actions: Rest<Action, 24>,
}

#[derive(Arbitrary, Debug)]
enum Bytes<'a> {
    Object { of: Object, header: Few<Edit, 4>, repair: Repair, words: Few<(Part, Edit), 16> },
    Any(&'a [u8]),
}

/// What to do to a word (in the header a half one).
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Edit {
    at: u16,
    change: Change,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Change {
    Set(u64),
    SetSmall(u8),
    Add(i16),
    Flip(u8),
    Shift(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Repair {
    None,
    Sign,
    /// Places and lengths follow from the other numbers.
    LayOut,
    /// Those of a queue with a pool follow from its maker's wishes.
    LayOutPool,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Part {
    Retired,
    Rows,
    Body,
    Data,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Holder {
    File,
    Sealed,
    NotSealed,
}

/// How long the file is.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Length {
    AsTheBytes,
    AsTheHeaderSays,
    Off(i16),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Action {
    Stat,
    StatDescriptor,
    List,
    Open { what: What, trusted: Option<bool>, exactly: Option<u16>, or_create: bool },
    Call(u8, Call),
    Drop(u8),
    Unlink,
    UnlinkUnused,
    Clean,
}

/// Files are not made longer than this.
const LONGEST: u64 = 1 << 40;

struct World {
    name: String,
    /// The bytes of a used object of each kind.
    objects: [Vec<u8>; objects::KINDS],
    /// Nobody else's, for conditions.
    mutex: Mutex<locks::Value>,
}

impl World {
    fn new() -> World {
        wake_in_time();
        let mutex = Mutex::anonymous([0; 4]).unwrap();
        World { name: place::name("object"), objects: objects::all(), mutex }
    }

    fn run(&self, input: &Input) {
        let bytes = self.bytes(&input.bytes);
        let has_header = bytes.len() >= raw::HEADER;
        let [says, body_at] =
            [raw::FILE_LEN, raw::BODY_AT].map(|at| if has_header { raw::word_in(&bytes, at) } else { 0 });
        let len = match input.length {
            Length::AsTheBytes => match &input.bytes {
                Bytes::Any(_) => bytes.len() as u64,
                Bytes::Object { of, .. } => raw::word_in(&self.objects[*of as usize], raw::FILE_LEN),
            },
            Length::AsTheHeaderSays => says,
            Length::Off(by) => says.saturating_add_signed(by.into()),
        };
        let len = if len <= LONGEST { len } else { bytes.len() as u64 };
        let Some(fd) = self.hold(input.holder, &bytes, len) else { return };
        let named = matches!(input.holder, Holder::File);
        let mut endpoints = Vec::new();
        for action in input.actions.iter() {
            match *action {
                Action::Stat => drop(inspect::stat(&self.name)),
                Action::StatDescriptor => drop(inspect::stat_fd(fd.as_fd())),
                Action::List => drop(inspect::list()),
                Action::Open { what, trusted, exactly, or_create } => {
                    let (name, mutex, fd) = (&*self.name, &self.mutex, &fd);
                    let opening = Opening { name, mutex, fd, named, body_at, trusted, exactly, or_create };
                    if let Ok(endpoint) = opening.open(what) {
                        endpoints.push(endpoint);
                    }
                }
                // A ring of terabytes opens, but its messages may be of gigabytes.
                Action::Call(..) if len > USABLE => {}
                Action::Call(which, call) => {
                    let count = endpoints.len().max(1);
                    if let Some(endpoint) = endpoints.get_mut(usize::from(which) % count) {
                        endpoint.call(call);
                    }
                }
                Action::Drop(which) => {
                    if !endpoints.is_empty() {
                        drop(endpoints.swap_remove(usize::from(which) % endpoints.len()));
                    }
                }
                Action::Unlink => drop(ringway::unlink(&self.name)),
                Action::UnlinkUnused => drop(ringway::unlink_unused(&self.name)),
                Action::Clean => drop(ringway::clean()),
            }
        }
    }

    fn bytes(&self, bytes: &Bytes) -> Vec<u8> {
        let (of, header, repair, words) = match bytes {
            Bytes::Any(bytes) => return bytes.to_vec(),
            Bytes::Object { of, header, repair, words } => (of, header, repair, words),
        };
        let mut bytes = self.objects[*of as usize].clone();
        for edit in header.iter() {
            let at = usize::from(edit.at) * 4 % raw::HEADER;
            let half = u32::from_le_bytes(bytes[at..][..4].try_into().unwrap());
            bytes[at..][..4].copy_from_slice(&(edit.change.apply(half.into()) as u32).to_le_bytes());
        }
        match repair {
            Repair::None => {}
            Repair::Sign => raw::sign(&mut bytes),
            Repair::LayOut => raw::lay_out(&mut bytes),
            Repair::LayOutPool => raw::lay_out_pool(&mut bytes),
        }
        // By the honest places: a header that lies about them is refused.
        let honest = &self.objects[*of as usize];
        let [body, body_len, data, data_len] = [raw::BODY_AT, raw::BODY_LEN, raw::DATA_AT, raw::DATA_LEN]
            .map(|at| raw::word_in(honest, at) as usize);
        for (part, edit) in words.iter() {
            let (from, len) = match part {
                Part::Retired => (raw::HEADER, 8),
                Part::Rows => (raw::ROWS, 64 * 4),
                // Some have no body, and others no data.
                Part::Body if body_len > 0 => (body, body_len & !7),
                Part::Data if data_len == 0 => (body, body_len & !7),
                Part::Body | Part::Data => (data, data_len),
            };
            let at = from + usize::from(edit.at) * 8 % len;
            let word = edit.change.apply(raw::word_in(&bytes, at));
            raw::set_word_in(&mut bytes, at, word);
        }
        bytes
    }

    /// Puts the bytes where they are to be found. `None` if the kernel has no room for them.
    fn hold(&self, holder: Holder, bytes: &[u8], len: u64) -> Option<OwnedFd> {
        if !matches!(holder, Holder::File) {
            return raw::memfd(bytes, len, matches!(holder, Holder::Sealed)).ok();
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.mode(0o600).open(&self.name).unwrap();
        file.set_len(len).ok()?;
        file.write_all_at(&bytes[..bytes.len().min(len as usize)], 0).ok()?;
        Some(file.into())
    }
}

impl Change {
    fn apply(self, word: u64) -> u64 {
        match self {
            Change::Set(value) => value,
            Change::SetSmall(value) => value.into(),
            Change::Add(by) => word.wrapping_add_signed(by.into()),
            Change::Flip(bit) => word ^ 1 << (bit % 64),
            Change::Shift(by) => word.rotate_left(by.into()),
        }
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

fuzz_target!(|input: Input| {
    WORLD.with_borrow(|world| world.run(&input));
});

//! What the processes of an episode know of each other: memory of our own, made by the supervisor, that outlives
//! whoever is killed. It has nothing to do with the library under test.
//!
//! A process that is killed leaves its slot as it was at its last instruction: in which call it was, what it had
//! begun to send, what it was about to take.

#![allow(clippy::disallowed_types, reason = "the judge must not stand on what it judges")]

use memmap2::MmapRaw;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::atomic::compiler_fence;
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// How the board is read, written and counted in. No more than that: a full fence of ours between two calls of the
/// library would do its work for it.
pub(crate) const READ: Ordering = Ordering::Acquire;
pub(crate) const WRITE: Ordering = Ordering::Release;
pub(crate) const COUNT: Ordering = Ordering::AcqRel;

/// As many words as a scenario has for itself.
pub(crate) const CELLS: usize = 128;
/// As many processes as an episode can have at once.
pub(crate) const SLOTS: usize = 8;
/// As many messages as an episode can have.
pub(crate) const IDS: usize = 1 << 23;
/// Ids are handed out in blocks, so that senders do not meet at a counter.
pub(crate) const BLOCK: usize = 64;
/// Directions in which messages go: from the first end to the second, and back.
pub(crate) const LANES: usize = 2;

/// What became of a message, as far as its sender knows; 0 is nothing yet.
pub(crate) const BEGUN: u8 = 1;
pub(crate) const SENT: u8 = 2;
pub(crate) const NOT_SENT: u8 = 3;

/// Somebody has called `done`, and perhaps did not live to see it return.
pub(crate) const ENDING: u8 = 1;
pub(crate) const DONE: u8 = 2;

/// Everything is in this one file, zero at first.
#[repr(C)]
pub(crate) struct Sheet {
    /// A [`Phase`].
    pub(crate) phase: AtomicU32,
    /// The time for which nobody was stopped or held, in nanoseconds: the clock by which others may be waited for.
    pub(crate) clock: AtomicU64,
    /// The block of ids to be handed out next.
    pub(crate) next_block: AtomicU64,
    /// Which ends the supervisor itself holds: bit 0 the first, bit 1 the second.
    pub(crate) held_by_supervisor: AtomicU32,
    /// Messages that a receiver gave up in the middle of on purpose, by lane.
    pub(crate) given_up: [AtomicU64; LANES],
    /// The last message that was received from each lane, plus one.
    pub(crate) last: [AtomicU64; LANES],
    /// How often somebody came to send, by lane.
    pub(crate) arrivals: [AtomicU64; LANES],
    /// Repairs that somebody noticed, by [`Repair`].
    pub(crate) repairs: [AtomicU64; REPAIRS],
    /// What survivors took over from the dead and went on with, as they were told, by [`Recovery`].
    pub(crate) recoveries: [AtomicU64; RECOVERIES],
    /// What else the processes of a scenario write down for each other.
    pub(crate) cells: [AtomicU64; CELLS],
    /// Messages that were received although others had had them before: what their deliveries said.
    pub(crate) redeliveries: AtomicU64,
    pub(crate) slots: [Slot; SLOTS],
    /// Whose ids those of each block are: the slot, plus one.
    pub(crate) owners: [AtomicU8; IDS / BLOCK],
    /// Of each message, what its sender knows.
    pub(crate) sent: [AtomicU8; IDS],
    /// Of each message, how often it was received.
    pub(crate) received: [AtomicU8; IDS],
    /// Of each message that is a task, how far it is: 0, `ENDING` or `DONE`.
    pub(crate) done: [AtomicU8; IDS],
}

/// One process.
#[repr(C, align(64))]
pub(crate) struct Slot {
    /// Which process of this slot it is, from 1 on.
    pub(crate) incarnation: AtomicU64,
    /// The incarnation that is being killed: what it holds may be gone.
    pub(crate) doomed: AtomicU64,
    /// `incarnation << 2 | ends`: what it holds for certain; 0 if nothing.
    pub(crate) holding: AtomicU64,
    /// Whether it is attached to the object.
    pub(crate) attached: AtomicU32,
    /// The supervisor asks it to leave.
    pub(crate) leave: AtomicU32,
    /// In which call of the library it is: a [`Call`].
    pub(crate) call: AtomicU32,
    /// Counts its calls.
    pub(crate) calls: AtomicU64,
    /// Until when the call may take, in nanoseconds of the monotonic clock; 0 is for ever.
    pub(crate) due: AtomicU64,
    /// What it wants to do: bit `lane` to send, bit `4 + lane` to receive. Not while it idles on purpose.
    pub(crate) wants: AtomicU32,
    /// Whether it is held at an access to shared memory: `HELD` or `TRAPPED`.
    pub(crate) inside: AtomicU32,
    /// At which access from now on it is to be held until further notice; 0 at none.
    pub(crate) trap: AtomicU32,
    /// Messages sent and received by this slot's processes, by lane.
    pub(crate) sent: [AtomicU64; LANES],
    pub(crate) received: [AtomicU64; LANES],
    /// What its processes have done where no messages are sent.
    pub(crate) turns: AtomicU64,
    /// The last message that it has sent for certain, plus one.
    pub(crate) last_sent: [AtomicU64; LANES],
    /// What is lost, or comes twice, if it dies now: `kind << 8 | lane`, a [`Risk`]; 0 is nothing.
    pub(crate) risk: AtomicU32,
    /// The messages from this id on, and how many of them.
    pub(crate) risk_from: AtomicU64,
    pub(crate) risk_count: AtomicU64,
    /// What it has to say when it finds something wrong.
    pub(crate) text_len: AtomicU32,
    pub(crate) text: [AtomicU8; 1024],
}

/// Held at an access for a moment, to widen a window.
#[cfg(ringway_instruments)]
pub(crate) const HELD: u32 = 1;
/// Held at an access until the supervisor has decided.
pub(crate) const TRAPPED: u32 = 2;

/// How far the episode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u32)]
pub(crate) enum Phase {
    /// Everybody does what he does.
    Run,
    /// Nobody begins to send.
    Quiet,
    /// All who only send are gone.
    Drain,
}

/// A call of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Call {
    Open = 1,
    Send,
    Receive,
    Close,
    Other,
}

/// The name of a [`Call`], by its number.
pub(crate) fn call_name(call: u32) -> &'static str {
    ["nothing", "Open", "Send", "Receive", "Close", "Other"].get(call as usize).unwrap_or(&"?")
}

/// What a death can do to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Risk {
    /// They are taken and not yet recorded.
    Lost = 1,
    /// They are recorded and not yet released.
    Again,
}

/// What survivors did for the dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Repair {
    /// The role of a dead process was taken over.
    Role,
    /// A lock that a dead process held was taken over.
    Lock,
    /// A dead holder of a pipe's end was counted out.
    Holder,
    /// A message whose sender died in the middle of it was dropped.
    Torn,
    /// The place of a dead participant was cleaned up and given to another.
    Place,
    /// A name that dead processes left was removed.
    Name,
    /// A place in a queue whose sender died in the middle of a message was passed over.
    Skipped,
}

pub(crate) const REPAIRS: usize = 7;
pub(crate) const REPAIR_NAMES: [&str; REPAIRS] = [
    "roles taken over",
    "locks taken over",
    "dead holders counted out",
    "torn messages dropped",
    "places reused",
    "names of the dead removed",
    "places of dead senders passed over",
];

/// What the survivors of a death are told by the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Recovery {
    /// The mutex of a dead owner was taken, and what it protects repaired.
    Mutex,
    /// A permit of a dead holder was taken.
    Permit,
    /// A barrier that was broken was reset.
    Barrier,
    /// The token of a dead holder was taken.
    Token,
    /// The lock of a map was taken whose last writer had died with it.
    Map,
}

pub(crate) const RECOVERIES: usize = 5;
pub(crate) const RECOVERY_NAMES: [&str; RECOVERIES] = [
    "mutexes of dead owners",
    "permits of dead holders",
    "broken barriers",
    "tokens of dead holders",
    "maps of dead writers",
];

/// The mapped file.
pub(crate) struct Board {
    map: MmapRaw,
}

impl Board {
    /// Makes a fresh one.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(size_of::<Sheet>() as u64)?;
        Ok(Board { map: MmapRaw::map_raw(&file)? })
    }

    /// Opens what the supervisor made.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        if file.metadata()?.len() != size_of::<Sheet>() as u64 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Board { map: MmapRaw::map_raw(&file)? })
    }
}

impl std::ops::Deref for Board {
    type Target = Sheet;

    fn deref(&self) -> &Sheet {
        // SAFETY: the map is page-aligned, as long as a `Sheet` (set in `create`, checked in `open`) and lives as
        // long as we; a `Sheet` is all atomics, for which any bits are valid.
        unsafe { &*self.map.as_ptr().cast::<Sheet>() }
    }
}

impl Sheet {
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(READ) {
            0 => Phase::Run,
            1 => Phase::Quiet,
            _ => Phase::Drain,
        }
    }

    /// How many ids are out.
    pub(crate) fn ids(&self) -> usize {
        (self.next_block.load(READ) as usize * BLOCK).min(IDS)
    }
}

impl Slot {
    /// Leaves a word for the supervisor. The first one counts.
    pub(crate) fn say(&self, text: &str) {
        if self.text_len.load(READ) != 0 {
            return;
        }
        let bytes = text.as_bytes();
        let len = bytes.len().min(self.text.len());
        for (place, &byte) in self.text.iter().zip(bytes) {
            place.store(byte, WRITE);
        }
        self.text_len.store(len as u32, WRITE);
    }

    /// The word it left.
    pub(crate) fn said(&self) -> Option<String> {
        let len = (self.text_len.load(READ) as usize).min(self.text.len());
        let bytes: Vec<u8> = self.text[..len].iter().map(|byte| byte.load(READ)).collect();
        (len > 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Keeps the compiler from moving what the library does across what we note about it. The processor does not matter:
/// what a process has stored before it is killed gets to memory.
pub(crate) fn in_this_order() {
    compiler_fence(Ordering::SeqCst);
}

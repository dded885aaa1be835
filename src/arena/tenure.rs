//! For how long a block of an arena belongs to its object: until nobody refers to it any more.
//!
//! Pure: it neither waits nor asks who is alive.

use crate::sync::{AtomicU64, Ordering, fence, mutated, order, store_beside_cas};
use core::fmt;

/// The state of a block, and who refers to it. All-zero bytes are a free block.
///
/// ```text
/// moves:44 | state:4 | owner:16     every move is counted, so no word recurs
///
/// state    owner   may be moved by                       to
/// -------  ------  ------------------------------------  -------------------------------------
/// FREE     0       anybody                        (CAS)  MAKING
/// MAKING   maker   the maker                    (store)  LIVE, FREE
///                  anybody, once the maker is dead (CAS) FREE
/// LIVE     0       anybody who finds no users     (CAS)  CLOSING
/// CLOSING  closer  anybody who has looked again   (CAS)  FREE, if there still are none; else LIVE
/// ```
///
/// Beside it are the id of its object, which is no other object's of this block, and a bit for each participant that
/// refers to it. Who comes sets his bit first and looks at the state afterwards; who closes marks the state first and looks
/// at the bits afterwards. So one of them sees the other. A closing belongs to nobody: whoever meets one, because its closer
/// is slow or dead, looks and decides by himself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenure<'a> {
    pub(crate) word: &'a AtomicU64,
    /// The maker writes it.
    pub(crate) id: &'a AtomicU64,
    /// The bits, that of index `i` at `i % 64` of word `i / 64`.
    pub(crate) users: &'a [AtomicU64],
}

/// What a state word held at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

/// The states of the table at [`Tenure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free = 0,
    Making = 1,
    Live = 2,
    Closing = 3,
}

const OWNER_BITS: u32 = 16;
const STATE_BITS: u32 = 4;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;
const MOVE: u64 = 1 << (OWNER_BITS + STATE_BITS);

/// An honest try fails only because somebody else got further. So many failures in a row are a peer that scribbles.
const PATIENCE: u32 = 1000;

/// Why an object could not be referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is gone, or never was.
    Gone,
    /// No honest process leaves such a word.
    Corrupt(u64),
}

impl Word {
    /// A copy that somebody took, perhaps from a file.
    #[cfg(not(loom))]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Word(bits)
    }

    /// `None` if no honest process writes such a word.
    pub(crate) fn state(self) -> Option<State> {
        match ((self.0 >> OWNER_BITS) & STATE_MASK, self.owner() != 0) {
            (0, false) => Some(State::Free),
            (1, true) => Some(State::Making),
            (2, false) => Some(State::Live),
            (3, true) => Some(State::Closing),
            _ => None,
        }
    }

    fn owner(self) -> u16 {
        self.0 as u16
    }

    fn next(self, state: State, owner: u16) -> Self {
        let step = if mutated!("tenure.count") { 0 } else { MOVE };
        let moves = (self.0 & !(MOVE - 1)).wrapping_add(step);
        Word(moves | (state as u64) << OWNER_BITS | u64::from(owner))
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.0 / MOVE, self.state(), self.owner())
    }
}

/// A block that is being made an object of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making {
    word: Word,
    /// The object's.
    pub(crate) id: u64,
}

impl Tenure<'_> {
    /// Takes the block for a new object, if it is free.
    pub(crate) fn make(&self, me: u16) -> Option<Making> {
        let seen = self.read();
        if seen.state() != Some(State::Free) {
            return None;
        }
        let word = seen.next(State::Making, me);
        // The count of moves is no other object's; 0 is no object.
        self.exchange(seen, word).then_some(Making { word, id: word.0 / MOVE + 1 })
    }

    /// The maker `me` has finished the object: now others may refer to it, as he does himself.
    pub(crate) fn announce(&self, making: Making, me: u16) {
        // Relaxed, all of them: the store of the state releases them. What is wiped are marks of those who came for another
        // object, or too early.
        for users in self.users {
            users.fetch_and(0, Ordering::Relaxed);
        }
        let (at, bit) = place(me);
        self.users[at].fetch_or(bit, Ordering::Relaxed);
        self.id.store(making.id, Ordering::Relaxed);
        // Release: pairs with the Acquire in `read`: who finds it LIVE sees the object complete.
        store_beside_cas(self.word, making.word.next(State::Live, 0).0, order!(Release, "tenure.announce"));
    }

    /// The maker gives up.
    pub(crate) fn give_up(&self, making: Making) {
        // Release: pairs with the Acquire in `read` by the next maker.
        store_beside_cas(self.word, making.word.next(State::Free, 0).0, Ordering::Release);
    }

    /// Refers to the object `id` as the process `me`, of which one thread at a time comes here.
    ///
    /// # Errors
    /// [`Refused`]; nothing is referred to then.
    pub(crate) fn enter(&self, id: u64, me: u16) -> Result<(), Refused> {
        let (at, bit) = place(me);
        let users = &self.users[at];
        for _ in 0..PATIENCE {
            if !mutated!("tenure.mark_first") {
                // Relaxed: what counts is the fence between the mark and the look at the state; see `close`.
                users.fetch_or(bit, Ordering::Relaxed);
            }
            if !mutated!("tenure.enter_fence") {
                fence(Ordering::SeqCst);
            }
            let seen = self.read();
            if mutated!("tenure.mark_first") {
                users.fetch_or(bit, Ordering::Relaxed);
            }
            match seen.state() {
                // Relaxed: written before the LIVE that was acquired, and if it is another object's it is not ours.
                Some(State::Live) if self.id.load(Ordering::Relaxed) == id => {
                    // Its maker may have wiped the mark if we came before he was ready.
                    if users.load(Ordering::Relaxed) & bit != 0 {
                        return Ok(());
                    }
                }
                Some(State::Closing) => {
                    // With our mark there it is not to be closed, whatever it is.
                    if !mutated!("tenure.reopen") {
                        self.exchange(seen, seen.next(State::Live, 0));
                    }
                }
                Some(_) => {
                    self.leave(me);
                    return Err(Refused::Gone);
                }
                None => return Err(Refused::Corrupt(seen.0)),
            }
        }
        Err(Refused::Corrupt(self.read().0))
    }

    /// Refers to no object of the block any more, as the process `me`, and frees the block if nobody else does.
    pub(crate) fn leave(&self, me: u16) {
        self.unmark(me);
        if !mutated!("tenure.leave_closes") {
            self.close(me);
        }
    }

    fn unmark(&self, index: u16) {
        let (at, bit) = place(index);
        // Release: pairs with the Acquire in `has_users`: who frees the block does so after all that we did with it. (No
        // model breaks this: loom lets nobody come between it and the fence in `close`.)
        self.users[at].fetch_and(!bit, Ordering::Release);
    }

    /// Whether the process `index` refers to an object of the block.
    pub(crate) fn is_used_by(&self, index: u16) -> bool {
        let (at, bit) = place(index);
        // Relaxed: asked about ourselves, about the dead, or out of curiosity.
        self.users[at].load(Ordering::Relaxed) & bit != 0
    }

    /// Frees the block if there is an object in it that nobody refers to.
    fn close(&self, me: u16) {
        for _ in 0..PATIENCE {
            // Pairs with the one in `enter`: between the word as it is, or as we marked it, and the look at the users.
            if !mutated!("tenure.close_fence") {
                fence(Ordering::SeqCst);
            }
            let seen = self.read();
            match seen.state() {
                Some(State::Live) => {
                    if self.has_users() {
                        return;
                    }
                    let next =
                        if mutated!("tenure.look_again") { (State::Free, 0) } else { (State::Closing, me) };
                    self.exchange(seen, seen.next(next.0, next.1));
                }
                Some(State::Closing) => {
                    // What is closed is exactly the closing that was seen before the users were looked at.
                    let next = if self.has_users() { State::Live } else { State::Free };
                    self.exchange(seen, seen.next(next, 0));
                }
                Some(State::Free | State::Making) | None => return,
            }
        }
    }

    /// Whether there is an object, complete, that stays as long as the mark of `index` does; nobody but the caller may take
    /// that one away meanwhile. The mark may be one that its owner, before it died, never looked behind.
    pub(crate) fn is_kept_by(&self, index: u16) -> bool {
        for _ in 0..PATIENCE {
            if !self.is_used_by(index) {
                return false;
            }
            // As in `enter`: here the mark was seen instead of set, and who closes after this sees it as well.
            if !mutated!("tenure.kept_fence") {
                fence(Ordering::SeqCst);
            }
            let seen = self.read();
            match seen.state() {
                _ if mutated!("tenure.kept") => return true,
                // The mark may have been wiped before the object was announced.
                Some(State::Live) if self.is_used_by(index) => return true,
                Some(State::Closing) => drop(self.exchange(seen, seen.next(State::Live, 0))),
                Some(State::Live) => {}
                _ => return false,
            }
        }
        false
    }

    /// Ends what the dead participant `dead` was about, and what it referred to, as the next holder of its index.
    pub(crate) fn sweep(&self, dead: u16) {
        let seen = self.read();
        if seen.state() == Some(State::Making) && seen.owner() == dead {
            self.exchange(seen, seen.next(State::Free, 0));
        }
        if self.is_used_by(dead) {
            self.unmark(dead);
        }
        // Even if it did not refer to it: it may have died between leaving and closing.
        if !mutated!("tenure.sweep_closes") {
            self.close(dead);
        }
    }

    /// The state as it is now.
    pub(crate) fn read(&self) -> Word {
        // Acquire: pairs with the Release in `announce`, and with that of an exchange: who makes the next object comes
        // after all that was done with the last one.
        Word(self.word.load(order!(Acquire, "tenure.read")))
    }

    fn has_users(&self) -> bool {
        // Acquire: pairs with the Release in `unmark`.
        self.users.iter().any(|users| users.load(Ordering::Acquire) != 0)
    }

    fn exchange(&self, seen: Word, next: Word) -> bool {
        // Release: pairs with the Acquire in `read`. (For the models the fence before it does the same.)
        self.word.compare_exchange(seen.0, next.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}

/// Where the bit of `index` is.
fn place(index: u16) -> (usize, u64) {
    (usize::from(index) / 64, 1 << (index % 64))
}

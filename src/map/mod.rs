//! The protocol of a dictionary: one writes, under a lock; anybody reads, and waits for nobody.
//!
//! | file | what it holds |
//! |---|---|
//! | `word` | what an entry refers to, and how changes are numbered |
//! | `books` | which change is going on, and how much there is |
//! | `table` | the entries, the chains that lead to them, and how they are read |
//! | `change` | how the holder of the lock changes them |
//! | `mend` | how he rebuilds what a dead one left half done |
//! | `bits` | which entries and which units of memory are taken |
//! | `hash` | keyed hashing |
//!
//! **The truth** is the word of each entry, and one number, the floor: which chunk of memory has the key and the value, or that
//! there is none. Every change of the dictionary is one store to one of these words, so it has happened or it has not, wherever
//! its writer dies. **All else is derived** from them, and is made anew if a writer died in the middle of a change: the chains,
//! and what is taken. So no memory can be lost, whatever was half done.
//!
//! Pure: it neither copies what is in the chunks, nor waits, nor asks who is alive.

mod bits;
mod books;
mod change;
mod hash;
mod mend;
mod table;
mod word;

pub(crate) use bits::{Bits, words_for};
pub(crate) use books::{Books, Sum};
#[allow(unused_imports, reason = "for those who look from outside")]
pub(crate) use books::{FLOOR, Named};
pub(crate) use change::Piece;
pub(crate) use hash::{Key, hash};
pub(crate) use table::{Entry, Look, Table, Unread};
#[allow(unused_imports, reason = "for the models, and those who look from outside")]
pub(crate) use word::{Turn, Word};

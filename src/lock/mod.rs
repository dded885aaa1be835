//! Locks that survive their owner's death.
//!
//! | file | what it holds |
//! |---|---|
//! | `word` | the 64-bit word: who holds the lock, and what became of him |
//! | `gate` | the word with an eventcount beside it: a lock that can be waited for |
//! | `owner` | which thread of the holding process it is |

mod gate;
mod owner;
mod word;

#[allow(unused_imports, reason = "for the channels above")]
pub(crate) use gate::{Gate, LockFailed};
#[allow(unused_imports, reason = "for the channels above, and the models")]
pub(crate) use owner::Owner;
#[allow(unused_imports, reason = "as above")]
pub(crate) use word::{Grant, Held, LockWord, Refused, State, Word};

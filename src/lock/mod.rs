//! Locks that survive their owner's death.
//!
//! | file | what it holds |
//! |---|---|
//! | `word` | the 64-bit word: who holds the lock, and what became of him |
//! | `gate` | the word with an eventcount beside it: a lock that can be waited for |

mod gate;
mod word;

#[allow(unused_imports, reason = "for the channels above")]
pub(crate) use gate::{Gate, LockFailed};
#[allow(unused_imports, reason = "for the channels above, and the models")]
pub(crate) use word::{Grant, Held, LockWord, Refused, State};

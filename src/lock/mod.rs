//! Locks that survive their owner's death.
//!
//! | file | what it holds |
//! |---|---|
//! | `word` | the 64-bit word: who holds the lock, and what became of him |
//! | `gate` | the word with an eventcount beside it: a lock that can be waited for |

mod gate;
mod word;

pub(crate) use gate::{Gate, LockFailed};
pub(crate) use word::{Grant, Held, LockWord, Refused, State, Word};

//! Locks that survive their owner's death.
//!
//! | file | what it holds |
//! |---|---|
//! | `word` | the 64-bit word: who holds the lock, and what became of him |
//! | `gate` | the word with an eventcount beside it: a lock that can be waited for |
//! | `backoff` | how those who spin keep out of the holder's way |
//! | `owner` | which thread of the holding process it is |
//! | `condition` | being told of something while one lets go of a lock |
//! | `groups` | those who wait for that, by when they came |
//! | `attendance` | which processes are at something |
//! | `flag` | something that has happened, or not |
//! | `count` | permits that anybody may give |
//! | `journal` | bytes that change as a whole |
//! | `permits` | permits that come back if their holder dies |
//! | `token` | a lock that anybody may give back |
//! | `rendezvous` | parties that wait for each other |

mod attendance;
mod backoff;
mod condition;
mod count;
mod flag;
mod gate;
mod groups;
mod journal;
mod owner;
mod permits;
mod rendezvous;
mod token;
mod word;

#[allow(unused_imports, reason = "for the primitives above")]
pub(crate) use attendance::{Attendance, Seat};
#[allow(unused_imports, reason = "for the models")]
pub(crate) use condition::Begun as Waiting;
pub(crate) use condition::Condition;
pub(crate) use count::{Count, CountError};
#[allow(unused_imports, reason = "for the models")]
pub(crate) use flag::Begun;
pub(crate) use flag::Flag;
#[allow(unused_imports, reason = "for the channels above")]
pub(crate) use gate::{Gate, LockFailed};
#[allow(unused_imports, reason = "for the models")]
pub(crate) use journal::{Journal, Stretch, Unread, Unwritten, Version};
pub(crate) use owner::Owner;
pub(crate) use permits::{Desk, Permit, PermitError};
pub(crate) use rendezvous::{Arrival, MeetError, Phase, Rendezvous};
pub(crate) use token::{GiveError, TakeError, Token, TokenState, TokenWord};
#[allow(unused_imports, reason = "for the channels above, and the models")]
pub(crate) use word::{Grant, Held, LockWord, Refused, State, Word};

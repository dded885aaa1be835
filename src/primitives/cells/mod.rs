//! Values in shared memory: [`Value`] and [`Array`].
//!
//! | file | what it holds |
//! |---|---|
//! | `atomic` | the types whose values change in one step |
//! | `error` | why an operation did nothing |
//! | `lockable` | the lock in front, for whoever asks for it |
//! | `twin` | bytes that lie there twice, so that they change as a whole: the journal, with memory and a lock |
//! | `small` | values of up to eight bytes, which need none of that |
//! | `value` | [`Value`] |
//! | `array`, `elements` | [`Array`], and what is done to single elements of it |
//!
//! In front lies a lock that may be taken several times by its thread, for whoever asks for it. Nothing here lends out
//! references to shared memory: lone atomic operations are allowed at any time, whoever holds the lock.

mod array;
mod atomic;
mod elements;
mod error;
mod lockable;
mod small;
mod twin;
mod value;

pub use array::{Array, ArrayGuard, ArrayInherited};
pub use atomic::{Atomic, Integer};
pub use error::CellError;
pub(crate) use twin::Body;
pub use value::{Value, ValueGuard, ValueInherited};

/// So often another one's change may come between reading and writing before an update gives up.
const PATIENCE: u32 = 100_000;

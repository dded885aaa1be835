//! What users hold: the endpoints, put together from a segment, a ring, roles or locks, and waiting.

pub mod bytes;
pub(crate) mod endpoint;
mod error;
pub(crate) mod pipe;
pub mod queue;
pub(crate) mod role;
mod simple_queue;
pub mod spsc;

pub use error::{PopError, RecvError, SendError};
pub use pipe::{Connection, End, Loan, Message, Pipe};
pub use queue::{JoinableQueue, Queue, TallyQueue};
pub use simple_queue::SimpleQueue;

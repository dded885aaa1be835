//! Zero-copy, crash-tolerant rings and pipes between the processes of one Linux machine.

#![allow(dead_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("ringway uses futexes, memfds and open-file-description locks: it runs on Linux");
#[cfg(not(target_has_atomic = "64"))]
compile_error!("ringway needs lock-free 64-bit atomics");

mod channel;
mod error;
mod handover;
pub mod inspect;
mod lock;
mod options;
mod ring;
mod segment;
mod sync;
mod sys;
mod wait;

pub use channel::{Connection, End, Loan, Message, Pipe, PopError, RecvError, SendError, bytes, spsc};
pub use error::{Corrupt, Error, Kind};
pub use options::Options;
pub use segment::admin::{clean, unlink};
pub use wait::{Deadline, Wait};

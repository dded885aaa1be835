//! `Connection` and `SimpleQueue`: ends of a pipe, as `multiprocessing` has them.
//!
//! | file | what it holds |
//! |---|---|
//! | `end` | sending and receiving: at once if possible, else without the interpreter's lock |
//! | `handle` | closing what other threads use, also in a forked child |
//! | `lineage` | which process this is, and which of its threads came along |
//! | `object` | the class `Connection`, and how its objects are made |
//! | `buffers` | bytes of Python objects |
//! | `simple_queue` | the class `SimpleQueue` |

mod buffers;
mod end;
mod handle;
mod lineage;
mod object;
mod simple_queue;

pub(crate) use object::{Connection, pipe, take_end};
pub(crate) use simple_queue::SimpleQueue;

//! What the tests and the helper program `peer` have in common.
//!
//! | module | what it holds |
//! |---|---|
//! | [`message`] | messages that tell whether they are whole and in order |
//! | [`ends`] | the two ends of a ring, typed or of bytes, under one face |
//! | [`parcel`] | the same for pipes, up to gigabytes |
//! | [`support`] | names, child processes, and the watchdog of each test |
//! | [`books`] | messages of queues, and the books about them |
//! | [`halves`] | what the mutexes of the tests protect |
//! | [`items`] | items of maps that tell whether they are whole |
//! | [`fd`] | descriptors sent over a socket |

pub mod books;
pub mod ends;
pub mod fd;
pub mod halves;
pub mod items;
pub mod message;
pub mod parcel;
pub mod support;

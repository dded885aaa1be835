//! Waiting for another process: spin, sleep, wake.
//!
//! Each condition somebody can wait for (items, space, a lock) has an [`EventCount`] in shared memory. Who
//! makes the condition true calls [`EventCount::wake`], which costs one load while nobody sleeps. Who needs it
//! calls [`Waiter::wait`], which spins for as long as that has paid off lately and then sleeps.
//!
//! | file | what it holds |
//! |---|---|
//! | `eventcount` | the word, arming, sleeping, waking |
//! | `barrier` | the fence between publishing and looking for sleepers, as cheap as the kernel allows |
//! | `bell` | the same as a descriptor, for event loops: [`Bell`] |
//! | `deadline` | until when |
//! | `interrupt` | who else may end a wait: [`interruptible`] |
//! | `strategy` | how to wait: [`Wait`], and how long to spin |
//! | `waiter` | the whole of a wait: try, spin, arm, try, sleep, and again |

mod barrier;
mod bell;
mod deadline;
mod eventcount;
mod interrupt;
mod strategy;
#[cfg(all(test, not(loom)))]
mod stress;
mod waiter;

pub(crate) use barrier::Barrier;
#[cfg(loom)]
pub(crate) use bell::Settled;
pub(crate) use bell::{Bell, Clapper, Ear};
pub use deadline::Deadline;
pub(crate) use eventcount::{ALL, EventCount};
pub use interrupt::interruptible;
pub(crate) use interrupt::or_a_last_try;
pub use strategy::Wait;
pub(crate) use waiter::{TimedOut, Waiter};

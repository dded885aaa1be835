//! Telling event loops and futures, which cannot sleep at a futex.
//!
//! A thread of this process sleeps at the condition in their stead. When there is something, it raises a descriptor and
//! wakes the futures, and then waits until somebody found nothing again. All of that is private to the process: nothing
//! of it is in shared memory, a peer that is killed leaves nothing behind, and processes that use none of it pay
//! nothing.
//!
//! ```text
//!            ┌─────────── an operation finds or leaves nothing; a future waits ──────────┐
//!            v                                                                           │
//!         ARMED: the thread sleeps at the condition ── there is something ──> told: the descriptor is readable
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `watched` | one condition of one handle, watched or not: [`Watched`] |
//! | `thread` | the thread that sleeps for others |
//!
//! What the condition is, and how one sleeps at it, the endpoint says: [`Subject`].

mod thread;
mod watched;

pub(crate) use watched::Watched;

/// What a thread can sleep at for others.
///
/// `wanted` is what somebody waits for, in the endpoint's own terms; the less, the more easily it is there.
pub(crate) trait Subject: Send + Sync {
    /// Whether there is what somebody wants: whoever tries now has something to do, or to be told.
    fn is_there(&self, wanted: u64) -> bool;

    /// Whether there will always be something from now on, so that nobody need be told again.
    fn is_over(&self) -> bool {
        false
    }

    /// Sleeps until `is_there` says so, for a thread that takes nothing: if it was woken in another's stead, it wakes
    /// that one. Looks after the dead meanwhile, who wake nobody.
    fn sleep_until(&self, is_there: &dyn Fn() -> bool);

    /// Makes whoever sleeps there look again.
    fn wake(&self);
}

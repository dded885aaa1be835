//! The fence between publishing and looking for sleepers.
//!
//! A publisher stores its message and then looks whether somebody sleeps; a sleeper announces itself and then
//! looks whether there is a message. One of the two must see the other, which needs a full fence on each side,
//! and the publisher's would cost more than all the rest of its work. So the sleeper, who is about to lose
//! microseconds anyway, makes the kernel execute the publishers' fences for them.
//!
//! ThreadSanitizer knows no fences: its silence means nothing here, where all accesses are relaxed atomics. The models
//! and the stress of real processes are what tells.

use crate::sync::{Ordering, fence, light_fence, mutated};
use crate::sys::membarrier;

/// Which pair of fences this process uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Barrier {
    /// Publishers fence the compiler only; [`Barrier::heavy`] interrupts them where it matters.
    Light(Registered),
    /// Everybody fences for himself. For kernels, or filters, without `membarrier`; publishers elsewhere may have it.
    Fence,
    /// Everybody fences for himself, and so does everybody else who publishes this. For what is published so rarely that
    /// a fence each time is cheaper than interrupting all processors for each sleeper.
    Mutual,
}

/// Proof that this process is registered with the kernel, so that every sleeper's heavy barrier reaches it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered(());

impl Barrier {
    /// What this process can have: the light barrier if it is registered.
    #[inline]
    pub(crate) fn of_this_process() -> Self {
        if membarrier::registered() { Barrier::Light(Registered(())) } else { Barrier::Fence }
    }

    /// Stands between the store that publishes and the look at the sleepers.
    #[inline(always)]
    pub(crate) fn before_wake(self) {
        if mutated!("barrier.publisher") {
            return;
        }
        match self {
            // Pairs with `heavy`: the kernel runs a full barrier on this processor between a sleeper's
            // announcement and its last look, and the compiler may not move the look before the store.
            Barrier::Light(_) => light_fence(),
            Barrier::Fence | Barrier::Mutual => full_fence(),
        }
    }

    /// Stands between a sleeper's announcement and its last look. Returns whether it reached the publishers of
    /// other processes as well: `false` means that one which publishes lightly may have been missed, so that
    /// the sleep must be short.
    pub(crate) fn heavy(self) -> bool {
        if mutated!("barrier.sleeper") {
            return true;
        }
        if matches!(self, Barrier::Light(_)) && membarrier::heavy() {
            return true;
        }
        // Pairs with the fence of a publisher that has no light barrier.
        fence(Ordering::SeqCst);
        matches!(self, Barrier::Mutual)
    }
}

/// Out of line, so that the light barrier's code has no fence in it, not even one that is jumped over.
#[cold]
#[inline(never)]
fn full_fence() {
    // Pairs with `Barrier::heavy`: of two SeqCst fences one is first, and what lies before it is visible behind
    // the other.
    fence(Ordering::SeqCst);
}

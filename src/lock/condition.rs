//! A condition to be told of while one lets go of a lock.

use super::groups::Groups;
use crate::sync::{AtomicU64, Ordering, mutated, order};
use crate::wait::{ALL, Barrier, Deadline, EventCount, TimedOut, Waiter};

/// The part of a condition variable that is not its lock. All-zero bytes are one that nobody waits for.
///
/// Whoever waits is counted before he lets go of the lock, so nothing told after that is lost; whoever tells `n` lets
/// exactly `n` of those go who were counted by then, the first to come in the first [groups](Groups). One word says it all,
/// and each step is one exchange of it: who dies in the middle has done it or has not.
///
/// A waiter who dies stays counted, and may be told in another's stead. Who that one was, this here cannot know: so whoever
/// finds him dead [releases](Self::release) all, who look for themselves then. Until somebody does, those whom a
/// notification passed over ask who is dead at the end of each slice.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Condition {
    /// [`Groups`]: moved by anybody, by compare-and-swap.
    groups: AtomicU64,
    /// How often somebody who waited was told, or was about to be. All accesses are Relaxed: it is a figure, and a bound on
    /// how often the groups have moved.
    told: AtomicU64,
    /// Where those sleep who came in a generation of even number, and of odd number: so whoever tells one group wakes
    /// nobody of the other in its stead.
    waiting: [EventCount; 2],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Condition>() == 64);

/// An honest compare-and-swap loses only to another that succeeds. This many losses in a row are a peer that scribbles.
const PATIENCE: u32 = 100_000;

/// After so many notifications the number of a generation may be another's soon, which only a waiter finds who was stopped,
/// or whom a peer lied to. A fourth of the numbers there are: each moves the generation by two at most.
const FAR: u64 = 1 << 14;

/// One who waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    generation: u16,
    /// Not so if there was no room for one more.
    is_counted: bool,
    told: u64,
}

/// Counted as one who waits, until he goes: also if a panic is why.
struct Counted<'a> {
    condition: &'a Condition,
    begun: Begun,
    barrier: Barrier,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.condition.leave(self.begun, self.barrier);
    }
}

impl Condition {
    /// One that nobody waits for.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Condition {
            groups: AtomicU64::new(0),
            told: AtomicU64::new(0),
            waiting: [EventCount::new(), EventCount::new()],
        }
    }

    /// Lets go of the lock by `let_go`, and waits until told or `deadline`; returns whether told.
    ///
    /// `bury` is called at the end of a slice if a notification went to others since this one came: it sees to it that
    /// [`release`](Self::release) is called if one of those who wait is dead.
    pub(crate) fn wait(
        &self,
        let_go: impl FnOnce(),
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
        bury: impl FnMut(),
    ) -> bool {
        let begun = if mutated!("condition.look_before_unlock") {
            let_go();
            self.begin()
        } else {
            let counted = Counted { condition: self, begun: self.begin(), barrier };
            let_go();
            let begun = counted.begun;
            core::mem::forget(counted);
            begun
        };
        self.wait_on(begun, waiter, barrier, deadline, bury)
    }

    /// The same for one who was counted already.
    pub(crate) fn wait_on(
        &self,
        begun: Begun,
        waiter: &mut Waiter,
        barrier: Barrier,
        deadline: Deadline,
        mut bury: impl FnMut(),
    ) -> bool {
        let patrol = || {
            if self.told_since(begun) > 0 && !mutated!("condition.bury") {
                bury();
            }
            self.try_go(begun, barrier)
        };
        let attempt = || self.try_go(begun, barrier);
        // No baton: whoever of the group a wake reaches finds the permit it was for, or somebody else of the group took it.
        match waiter.wait(self.eventcount(begun.generation), barrier, deadline, attempt, patrol, || false) {
            Ok(()) => true,
            Err(TimedOut) => self.leave(begun, barrier),
        }
    }

    /// Counts one who waits.
    pub(crate) fn begin(&self) -> Begun {
        // Before the groups are read: it may count more moves than there were, never fewer.
        let told = self.told.load(Ordering::Relaxed);
        let mut seen = self.groups.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            let groups = Groups::from_bits(seen);
            let Some(next) = groups.with_one_more() else { break };
            // Relaxed: whoever tells has had the lock since, or does not know of us.
            match self.groups.compare_exchange(seen, next.to_bits(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Begun { generation: groups.generation, is_counted: true, told },
                Err(now) => seen = now,
            }
        }
        Begun { generation: Groups::from_bits(seen).generation, is_counted: false, told }
    }

    /// Goes if he was told.
    fn try_go(&self, begun: Begun, barrier: Barrier) -> Option<()> {
        let told_since = self.told_since(begun);
        if !begun.is_counted {
            // There is no telling whom that was for.
            return (told_since > 0).then_some(());
        }
        if told_since >= FAR {
            // His generation's number may be another's by now.
            self.release(barrier);
            return Some(());
        }
        for _ in 0..PATIENCE {
            // Acquire: pairs with the Release in `tell`, by way of the exchanges that came between: who is told sees what
            // was written before.
            let seen = self.groups.load(order!(Acquire, "condition.look"));
            let groups = Groups::from_bits(seen);
            if groups.are_told(begun.generation) {
                return Some(());
            }
            let may_take = groups.are_old(begun.generation)
                || mutated!("condition.newcomers_wait") && groups.generation == begun.generation;
            if !may_take || groups.permits == 0 {
                return None;
            }
            if mutated!("condition.takes") {
                return Some(());
            }
            // Relaxed: `seen` was acquired.
            let next = groups.with_one_let_go().to_bits();
            if self.groups.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Some(());
            }
        }
        None
    }

    /// Stops waiting; returns whether he was told after all.
    fn leave(&self, begun: Begun, barrier: Barrier) -> bool {
        let told_since = self.told_since(begun);
        if !begun.is_counted {
            return told_since > 0;
        }
        if told_since >= FAR {
            self.release(barrier);
            return true;
        }
        if mutated!("condition.leavers_are_counted_off") {
            return false;
        }
        for _ in 0..PATIENCE {
            // Acquire: as in `try_go`.
            let seen = self.groups.load(order!(Acquire, "condition.look_at_last"));
            let groups = Groups::from_bits(seen);
            if groups.are_told(begun.generation) {
                return true;
            }
            let is_old = groups.are_old(begun.generation);
            let is_told = is_old && groups.permits > 0 && !mutated!("condition.leavers_take");
            let next = match (is_old, is_told) {
                (_, true) => groups.with_one_let_go(),
                (true, false) => groups.with_one_old_less(),
                (false, false) => groups.with_one_young_less(),
            };
            if self
                .groups
                .compare_exchange(seen, next.to_bits(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return is_told;
            }
        }
        false
    }

    /// Lets up to `count` of those go who wait, and returns how many that are.
    #[inline]
    pub(crate) fn tell(&self, count: u32, barrier: Barrier) -> u32 {
        // Relaxed: whoever was counted before our caller had the lock is seen.
        let groups = Groups::from_bits(self.groups.load(Ordering::Relaxed));
        if groups.untold() == 0 || count == 0 {
            return 0;
        }
        self.tell_some(count, barrier)
    }

    #[cold]
    #[inline(never)]
    fn tell_some(&self, count: u32, barrier: Barrier) -> u32 {
        // First: see `begin`.
        self.told.fetch_add(1, Ordering::Relaxed);
        let mut seen = self.groups.load(Ordering::Relaxed);
        for _ in 0..PATIENCE {
            let groups = Groups::from_bits(seen);
            let (mut next, told) = groups.with_some_told(count);
            if mutated!("condition.moves") {
                next = groups;
            }
            // Release: pairs with the Acquire in `try_go` and in `leave`.
            let done = self.groups.compare_exchange(
                seen,
                next.to_bits(),
                order!(Release, "condition.tell"),
                Ordering::Relaxed,
            );
            match done {
                Ok(_) => {
                    if !mutated!("condition.wakes") {
                        let old = groups.generation.wrapping_sub(1);
                        self.wake(old, told.wake_old, barrier);
                        self.wake(groups.generation, told.wake_young, barrier);
                    }
                    return told.count;
                }
                Err(now) => seen = now,
            }
        }
        0
    }

    fn wake(&self, generation: u16, count: u32, barrier: Barrier) {
        if count > 0 {
            self.eventcount(generation).wake(count, barrier);
        }
    }

    /// One who waited is dead, and may be told in another's stead, or may have been: all go, and look for themselves.
    pub(crate) fn release(&self, barrier: Barrier) {
        if !mutated!("condition.release") {
            self.tell(ALL, barrier);
        }
    }

    fn eventcount(&self, generation: u16) -> &EventCount {
        let parity = if mutated!("condition.sleep_apart") { 0 } else { generation & 1 };
        &self.waiting[usize::from(parity)]
    }

    fn told_since(&self, begun: Begun) -> u64 {
        self.told.load(Ordering::Relaxed).wrapping_sub(begun.told)
    }

    /// How many wait whom nobody has told; with those who died waiting, until somebody finds them.
    pub(crate) fn waiters(&self) -> u32 {
        Groups::from_bits(self.groups.load(Ordering::Relaxed)).untold()
    }

    /// How often somebody who waited was told, for `stat`.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// Where they sleep, for `stat`.
    pub(crate) fn waiting(&self) -> &[EventCount; 2] {
        &self.waiting
    }
}

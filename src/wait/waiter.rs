//! The whole of a wait: try, spin, arm, try, sleep, and again.

use super::strategy::Budget;
use super::{Barrier, Deadline, EventCount, Wait, interrupt};
use crate::sync::{mutated, spin_loop};
use crate::sys::futex::Slept;
use crate::sys::{clock, cpus};

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// How one endpoint waits. Private to it and small: an endpoint that is shared keeps it with what it locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    strategy: Wait,
    budget: Budget,
    /// The first slice of a sleep, in nanoseconds.
    first_slice: u64,
    /// Whether this thread had a single processor when last asked.
    confined: bool,
}

/// No sleep is longer than a slice: the dead wake nobody, so a sleeper looks around itself. It looks often at
/// first, when a death in the middle of an exchange is likely, then rarely, so that idling costs nothing.
const FIRST_SLICE: u64 = 10_000_000;
const LAST_SLICE: u64 = 100_000_000;
/// The slice of a sleeper whose heavy barrier may not reach every publisher. Such a one can miss a wake, and
/// this is how late it then is.
const BLIND_SLICE: u64 = 2_000_000;

/// A spin that has lasted so long (in nanoseconds) may be in the way of whom it waits for.
const ALONE: u64 = 50_000;

/// How long one who could not fall asleep goes on trying, in nanoseconds: about what the next attempt to fall asleep costs
/// him and those he waits for, and twice as long each time it fails, up to what a sleep and a wake-up cost.
const FIRST_LINGERING: u64 = 2_000;
const LONGEST_LINGERING: u64 = 16_000;

/// Tries between two looks at the clock: a look costs as much as several tries.
const TRIES: u32 = 32;

impl Waiter {
    pub(crate) fn new(strategy: Wait) -> Self {
        #[cfg(ringway_instruments)]
        let first_slice = if crate::instruments::is_unsliced() { u64::MAX } else { FIRST_SLICE };
        #[cfg(not(ringway_instruments))]
        let first_slice = FIRST_SLICE;
        Waiter { strategy, budget: Budget::new(), first_slice, confined: cpus::usable() == 1 }
    }

    /// Sleeps without slices, so that a lost wake-up stays lost and a test sees it.
    #[cfg(any(loom, test))]
    pub(crate) fn unsliced(strategy: Wait) -> Self {
        Waiter { first_slice: u64::MAX, ..Waiter::new(strategy) }
    }

    /// Waits until `attempt` gives a result, or the deadline passes.
    ///
    /// - `attempt` tries the operation. Success, `Closed` and errors all are results; `None` means that it would
    ///   have to wait, and nothing less: losing a race to another who took one of several is a reason to try on
    ///   inside. It is called often: it should only load what it waits for, and write nothing until it is there.
    /// - `patrol` does what cannot be left to wakers, because they may be dead: it looks for dead owners and
    ///   gone peers, repairs, and tries again. It is called before the first sleep, at the end of each slice
    ///   (10 to 100 ms), after a signal, and when the deadline has passed.
    /// - `more` tells whether a further try, now, would not have to wait. Wakes reach sleepers in another order
    ///   than items become takeable; so a sleeper that got what it wanted and sees more wakes the next one.
    ///
    /// # Errors
    /// [`TimedOut`] if the deadline passed and a last try failed too, or somebody gave up in our name
    /// ([`interruptible`](interrupt::interruptible)). A deadline of [`Deadline::NOW`] tries,
    /// patrols, and does not wait.
    #[inline]
    pub(crate) fn wait<R>(
        &mut self,
        ec: &EventCount,
        barrier: Barrier,
        deadline: Deadline,
        attempt: impl FnMut() -> Option<R>,
        patrol: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> Result<R, TimedOut> {
        self.wait_by(self.strategy, ec, barrier, deadline, attempt, patrol, more)
    }

    /// Whether the first patrol of a [`wait`](Self::wait) comes before its first sleep, and not at the end of a slice or of
    /// the wait.
    pub(crate) fn patrols_early(&self, deadline: Deadline) -> bool {
        self.strategy != Wait::Spin && deadline != Deadline::NOW
    }

    /// As [`wait`](Self::wait), but never spins without bound: for what a thread holds that may need this very
    /// processor to let go of it.
    #[inline]
    pub(crate) fn wait_a_bit_then_sleep<R>(
        &mut self,
        ec: &EventCount,
        barrier: Barrier,
        deadline: Deadline,
        attempt: impl FnMut() -> Option<R>,
        patrol: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> Result<R, TimedOut> {
        let strategy = if self.strategy == Wait::Spin { Wait::Adaptive } else { self.strategy };
        self.wait_by(strategy, ec, barrier, deadline, attempt, patrol, more)
    }

    /// As [`wait`](Self::wait), for one of so many `parties` that wait until all have come. If there are more of them than
    /// processors, at least one needs the very processor that spinning would keep from it.
    #[expect(clippy::too_many_arguments, reason = "the parts of a wait, each a closure of its own type")]
    pub(crate) fn wait_among<R>(
        &mut self,
        parties: usize,
        ec: &EventCount,
        barrier: Barrier,
        deadline: Deadline,
        attempt: impl FnMut() -> Option<R>,
        patrol: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> Result<R, TimedOut> {
        let is_crowded = self.strategy == Wait::Adaptive && parties > cpus::online();
        let strategy = if is_crowded { Wait::Park } else { self.strategy };
        self.wait_by(strategy, ec, barrier, deadline, attempt, patrol, more)
    }

    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the parts of a wait, each a closure of its own type")]
    fn wait_by<R>(
        &mut self,
        strategy: Wait,
        ec: &EventCount,
        barrier: Barrier,
        deadline: Deadline,
        mut attempt: impl FnMut() -> Option<R>,
        mut patrol: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> Result<R, TimedOut> {
        if let Some(done) = attempt() {
            return Ok(done);
        }
        if deadline == Deadline::NOW {
            return patrol().ok_or(TimedOut);
        }
        let began = match strategy {
            Wait::Spin => return self.spin_on(deadline, attempt, patrol),
            Wait::Adaptive if self.budget.nanos() > 0 => match self.spin_a_little(deadline, &mut attempt) {
                Spun::Done(done) => return Ok(done),
                Spun::Fruitless { began } => Some(began),
            },
            Wait::Adaptive | Wait::Park => None,
        };
        let now = clock::now();
        let outcome = self.park(ec, barrier, deadline, attempt, patrol, more);
        if strategy == Wait::Adaptive {
            let total = clock::now().saturating_sub(began.unwrap_or(now));
            self.budget.slept(total, began.is_some());
        }
        outcome
    }

    /// Tries for as long as the budget lasts.
    #[inline]
    fn spin_a_little<R>(&mut self, deadline: Deadline, mut attempt: impl FnMut() -> Option<R>) -> Spun<R> {
        let mut began = None;
        loop {
            for _ in 0..TRIES {
                spin_loop();
                if let Some(done) = attempt() {
                    self.budget.hit(began.map_or(0, |began| clock::now().saturating_sub(began)));
                    return Spun::Done(done);
                }
            }
            let now = clock::now();
            let began = *began.get_or_insert(now);
            if now.saturating_sub(began) >= self.budget.nanos() || deadline.passed_at(|| now) {
                return Spun::Fruitless { began };
            }
        }
    }

    /// Tries for as long as it takes.
    #[inline]
    fn spin_on<R>(
        &mut self,
        deadline: Deadline,
        mut attempt: impl FnMut() -> Option<R>,
        mut patrol: impl FnMut() -> Option<R>,
    ) -> Result<R, TimedOut> {
        let (mut began, mut patrol_at) = (0, 0);
        loop {
            for _ in 0..TRIES {
                spin_loop();
                if let Some(done) = attempt() {
                    return Ok(done);
                }
            }
            let now = clock::now();
            if deadline.passed_at(|| now) {
                return patrol().ok_or(TimedOut);
            }
            if patrol_at == 0 {
                began = now;
                patrol_at = now.saturating_add(self.first_slice);
            } else if now >= patrol_at {
                self.confined = cpus::usable() == 1;
                if let Some(done) = patrol() {
                    return Ok(done);
                }
                if interrupt::is_asked_for() {
                    return Err(TimedOut);
                }
                patrol_at = now.saturating_add(self.first_slice);
            }
            // With more threads than processors, whom we wait for may be waiting for this one.
            if self.confined || now.saturating_sub(began) > ALONE {
                cpus::give_way();
            }
        }
    }

    /// Sleeps until woken, slice by slice.
    #[cold]
    #[inline(never)]
    fn park<R>(
        &mut self,
        ec: &EventCount,
        barrier: Barrier,
        deadline: Deadline,
        mut attempt: impl FnMut() -> Option<R>,
        mut patrol: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> Result<R, TimedOut> {
        // Whoever is dead in our way is so already, and need not cost a slice.
        if let Some(done) = patrol() {
            return Ok(done);
        }
        let pass_the_baton = || {
            if !mutated!("waiter.baton") && more() {
                ec.wake(1, barrier);
            }
        };
        let mut slice = self.first_slice;
        let mut lingering = FIRST_LINGERING;
        let mut patrol_at = clock::now().saturating_add(slice);
        loop {
            let ticket = ec.arm();
            // Pairs with `Barrier::before_wake` of every publisher: it sees us, or we see what it published.
            let reached_all = barrier.heavy();
            if !mutated!("waiter.try_when_armed")
                && let Some(done) = attempt()
            {
                pass_the_baton();
                return Ok(done);
            }
            let now = clock::now();
            // Unsliced is unsliced: tests with fences on all sides must show a lost wake-up too.
            let longest = if reached_all || slice == u64::MAX { slice } else { BLIND_SLICE };
            let slept = ec.sleep(ticket, deadline.nanos().min(now.saturating_add(longest)));
            let mut found = attempt();
            if slept == Slept::Changed && found.is_none() {
                found = linger(lingering, &mut attempt);
                lingering = (2 * lingering).min(LONGEST_LINGERING);
            }
            if let Some(done) = found {
                pass_the_baton();
                return Ok(done);
            }
            let now = clock::now();
            let over = deadline.passed_at(|| now);
            if over || now >= patrol_at || matches!(slept, Slept::TimedOut | Slept::Interrupted) {
                let result = patrol();
                // Who gives up takes nothing: his caller has something else to say.
                if over || result.is_some() || interrupt::is_asked_for() {
                    // A wake was meant for one who takes. We leave without, so somebody else gets it: the last
                    // try above makes up for it only if the caller's tries never fail for lesser reasons.
                    if slept == Slept::Woken || more() {
                        ec.wake(1, barrier);
                    }
                    return result.ok_or(TimedOut);
                }
                slice = slice.saturating_mul(2).min(LAST_SLICE.max(self.first_slice));
                patrol_at = now.saturating_add(slice);
            }
        }
    }
}

/// Tries for so many nanoseconds more. A waker moved the word before we could fall asleep on it, and yet others took what
/// there was: things change hands faster than one falls asleep. To arm again at once would make each waker pay for a
/// sleeper that is not there, and the heavy barrier would interrupt whoever is about to give us what we wait for.
#[cold]
fn linger<R>(nanos: u64, attempt: &mut impl FnMut() -> Option<R>) -> Option<R> {
    if cfg!(loom) {
        return None; // a model has no time; what comes next tries again
    }
    let until = clock::now().saturating_add(nanos);
    loop {
        for _ in 0..TRIES / 2 {
            spin_loop();
            if let Some(done) = attempt() {
                return Some(done);
            }
        }
        if clock::now() >= until {
            return None;
        }
    }
}

enum Spun<R> {
    Done(R),
    Fruitless { began: u64 },
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{AtomicU32, Ordering};
    use std::time::Duration;

    const STRATEGIES: [Wait; 3] = [Wait::Spin, Wait::Adaptive, Wait::Park];

    fn barriers() -> [Barrier; 2] {
        [Barrier::of_this_process(), Barrier::Fence]
    }

    #[test]
    fn what_is_there_needs_no_waiting() {
        let ec = EventCount::new();
        for strategy in STRATEGIES {
            let mut waiter = Waiter::new(strategy);
            let patrol = || panic!("patrolled for nothing");
            let got = waiter.wait(&ec, Barrier::Fence, Deadline::NOW, || Some(7), patrol, || false);
            assert_eq!(got, Ok(7));
        }
        assert_eq!(ec.counts(), (0, 0));
    }

    #[test]
    fn no_deadline_is_overslept_or_cut_short() {
        let ec = EventCount::new();
        for strategy in STRATEGIES {
            for barrier in barriers() {
                for millis in [0, 3] {
                    let timeout = Duration::from_millis(millis);
                    let began = std::time::Instant::now();
                    let mut patrols = 0;
                    let patrol = || {
                        patrols += 1;
                        None::<()>
                    };
                    let deadline = Deadline::after(timeout);
                    let got = Waiter::new(strategy).wait(&ec, barrier, deadline, || None, patrol, || false);
                    assert_eq!(got, Err(TimedOut));
                    assert!(began.elapsed() >= timeout);
                    assert!(patrols > 0, "who times out has looked for the dead at least once");
                }
            }
        }
    }

    #[test]
    fn a_patrol_ends_the_wait() {
        let ec = EventCount::new();
        for strategy in STRATEGIES {
            let mut left = 3;
            let patrol = || {
                left -= 1;
                (left == 0).then_some("gone")
            };
            let mut waiter = Waiter::new(strategy);
            let got = waiter.wait(&ec, Barrier::Fence, Deadline::NEVER, || None, patrol, || false);
            assert_eq!(got, Ok("gone"));
        }
    }

    /// No slice would end this sleep: the second patrol is the signal's.
    #[test]
    fn a_signal_calls_the_patrol() {
        let got = crate::sys::futex::interrupted(|| {
            let mut patrols = 0;
            let patrol = || {
                patrols += 1;
                (patrols == 2).then_some("signal")
            };
            let mut waiter = Waiter::unsliced(Wait::Park);
            waiter.wait(&EventCount::new(), Barrier::Fence, Deadline::NEVER, || None, patrol, || false)
        });
        assert_eq!(got, Ok("signal"));
    }

    #[test]
    fn a_hook_ends_the_wait_whatever_the_strategies() {
        for strategy in STRATEGIES {
            let (mut asked, mut inner) = (0, 0);
            let wait = || {
                let ec = EventCount::new();
                Waiter::new(strategy).wait(
                    &ec,
                    Barrier::Fence,
                    Deadline::NEVER,
                    || None::<()>,
                    || None,
                    || false,
                )
            };
            let mut innermost = || {
                inner += 1;
                true
            };
            let hook = || {
                asked += 1;
                // One of its own, and back to this.
                assert_eq!(interrupt::interruptible(&mut innermost, wait), Err(TimedOut));
                asked == 2
            };
            let ec = EventCount::new();
            let got = interrupt::interruptible(hook, || {
                Waiter::new(strategy).wait(
                    &ec,
                    Barrier::Fence,
                    Deadline::NEVER,
                    || None::<()>,
                    || None,
                    || false,
                )
            });
            assert_eq!((got, asked, inner), (Err(TimedOut), 2, 2));
        }
    }

    #[test]
    fn a_wake_ends_the_wait_whatever_the_strategies() {
        for strategy in STRATEGIES {
            for barrier in barriers() {
                let (ec, turn) = (EventCount::new(), AtomicU32::new(0));
                let play = |mine: u32| {
                    let mut waiter = Waiter::unsliced(strategy);
                    for round in 0..100 {
                        let attempt = || (turn.load(Ordering::Acquire) == 2 * round + mine).then_some(());
                        waiter.wait(&ec, barrier, Deadline::NEVER, attempt, || None, || false).unwrap();
                        turn.store(2 * round + mine + 1, Ordering::Release);
                        ec.wake(1, barrier);
                    }
                };
                std::thread::scope(|scope| {
                    scope.spawn(|| play(0));
                    play(1);
                });
                assert_eq!(turn.load(Ordering::Relaxed), 200);
            }
        }
    }

    #[test]
    fn who_spins_without_bound_on_messages_sleeps_for_locks() {
        let ec = EventCount::new();
        let mut waiter = Waiter::new(Wait::Spin);
        let deadline = Deadline::after(Duration::from_millis(1));
        let got =
            waiter.wait_a_bit_then_sleep(&ec, Barrier::Fence, deadline, || None::<()>, || None, || false);
        assert_eq!(got, Err(TimedOut));
        assert!(ec.counts().1 > 0, "it slept");
    }

    #[test]
    fn who_cannot_fall_asleep_tries_on_before_he_arms_again() {
        let ec = EventCount::new();
        let mut tries = 0;
        let attempt = || {
            tries += 1;
            if tries == 2 {
                // The look after arming: a waker that passes now moves the word under the sleeper.
                ec.wake(1, Barrier::Fence);
            }
            (tries == 5).then_some(())
        };
        let mut waiter = Waiter::unsliced(Wait::Park);
        waiter.wait(&ec, Barrier::Fence, Deadline::NEVER, attempt, || None, || false).unwrap();
        assert_eq!(ec.counts().1, 1, "it was armed once");
    }

    #[test]
    fn the_baton_goes_on_only_after_a_sleep_and_only_if_there_is_more() {
        for (more, wakes) in [(true, 1), (false, 0)] {
            let ec = EventCount::new();
            let mut tries = 0;
            // Found at the look after arming.
            let attempt = || {
                tries += 1;
                (tries == 2).then_some(())
            };
            let mut waiter = Waiter::new(Wait::Park);
            waiter.wait(&ec, Barrier::Fence, Deadline::NEVER, attempt, || None, || more).unwrap();
            assert_eq!(ec.counts().0, wakes);
        }
    }
}

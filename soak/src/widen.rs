//! Holding a process up in the middle of what it does, so that others meet it there: only in builds with
//! `--cfg ringway_instruments`, whose library asks before each access to shared memory.

/// Whether this build can do it.
pub(crate) const AVAILABLE: bool = cfg!(ringway_instruments);

#[cfg(not(ringway_instruments))]
pub(crate) use absent::{plant, start};
#[cfg(ringway_instruments)]
pub(crate) use present::{plant, start};

#[cfg(not(ringway_instruments))]
mod absent {
    use crate::board::Slot;

    /// Nothing can be widened in this build.
    pub(crate) fn start(_: &'static Slot, _: u64) {}

    /// Nothing can be broken in this build.
    pub(crate) fn plant(_: &str) {}
}

#[cfg(ringway_instruments)]
mod present {
    use crate::board::{HELD, READ, Slot, TRAPPED, WRITE};
    use crate::random::Random;
    use crate::sys;
    use std::cell::RefCell;
    use std::time::Duration;

    /// What one thread knows of its own holding up.
    struct Holder {
        slot: &'static Slot,
        random: Random,
        /// Accesses until it is held up again.
        countdown: u64,
        /// How many that are on average. It learns.
        mean: u64,
        /// When it was last let go.
        since: u64,
    }

    thread_local! {
        static HOLDER: RefCell<Option<Holder>> = const { RefCell::new(None) };
    }

    /// The most that is between two holds on average: about a hundredth of a second of nothing else.
    const MOST: u64 = 1 << 20;
    /// A trap that nobody comes to look after opens by itself.
    const TRAPPED_FOR_GOOD: u64 = 5_000_000_000;

    /// From now on this process is held up now and then.
    pub(crate) fn start(slot: &'static Slot, seed: u64) {
        let holder = Holder { slot, random: Random::new(seed), countdown: 1, mean: 64, since: sys::now() };
        HOLDER.with_borrow_mut(|place| *place = Some(holder));
        ringway::instruments::before_each_access(|| {
            // Other threads of a process, and one that is ending, are left alone.
            let _ = HOLDER.try_with(|holder| {
                if let Ok(mut holder) = holder.try_borrow_mut()
                    && let Some(holder) = holder.as_mut()
                {
                    holder.access();
                }
            });
        });
    }

    /// Breaks a step of the library in this process.
    pub(crate) fn plant(site: &str) {
        ringway::instruments::plant(String::leak(site.to_owned()));
    }

    impl Holder {
        fn access(&mut self) {
            let trap = self.slot.trap.load(READ);
            // An exchange, because the supervisor may change its mind meanwhile.
            if trap > 0 && self.slot.trap.compare_exchange(trap, trap - 1, READ, READ).is_ok() && trap == 1 {
                self.stay();
            }
            self.countdown -= 1;
            if self.countdown == 0 {
                self.hold();
            }
        }

        /// Stays here until the supervisor has decided what becomes of us.
        fn stay(&mut self) {
            let until = sys::now() + TRAPPED_FOR_GOOD;
            self.slot.inside.store(TRAPPED, WRITE);
            while self.slot.inside.load(READ) == TRAPPED && sys::now() < until {
                sys::nap(Duration::from_micros(100));
            }
            self.slot.inside.store(0, WRITE);
            self.since = sys::now();
        }

        /// Stays here for a moment. It aims at a third of the time spent so, however many accesses that are.
        fn hold(&mut self) {
            let spent = sys::now() - self.since;
            let micros = if self.random.one_in(4) { 0 } else { self.random.between(20, 500) };
            self.slot.inside.store(HELD, WRITE);
            if micros == 0 {
                std::thread::yield_now()
            } else {
                sys::nap(Duration::from_micros(micros))
            }
            self.slot.inside.store(0, WRITE);
            let longer = spent < 2 * micros * 1000;
            self.mean = if longer { self.mean + self.mean / 4 + 1 } else { self.mean - self.mean / 4 };
            self.mean = self.mean.clamp(4, MOST);
            self.countdown = self.random.between(1, 2 * self.mean);
            self.since = sys::now();
        }
    }
}

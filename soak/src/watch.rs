//! How long somebody could not go on who should have: who is alive, not stopped, waits for nobody who is stopped, and
//! has what it waits for.

use crate::board::{Call, LANES, READ, SLOTS, Sheet};

/// A stall so long is no stall.
pub(crate) const HANG: u64 = 20_000_000_000;

/// The clocks of an episode.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The last moment at which somebody was stopped, or something happened that starts all waiting anew.
    reset: u64,
    lanes: [Lane; LANES],
    senders: [Sender; SLOTS],
    /// The longest so far, in nanoseconds.
    pub(crate) longest: u64,
    /// Who stood still then.
    pub(crate) who: String,
}

#[derive(Debug, Default, Clone, Copy)]
struct Lane {
    moved: u64,
    since: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sender {
    calls: u64,
    since: u64,
}

impl Watch {
    /// Looks at everybody who is alive and not stopped. Returns for how long the worst of them has been standing still
    /// by now.
    pub(crate) fn look(&mut self, sheet: &Sheet, running: &[usize], anybody_stopped: bool, now: u64) -> u64 {
        if anybody_stopped {
            self.reset = now;
        }
        let wants = |at: usize| sheet.slots[at].wants.load(READ);
        let mut worst = 0;
        for lane in 0..LANES {
            let sends = running.iter().any(|&at| wants(at) & 1 << lane != 0);
            let receives = running.iter().any(|&at| wants(at) & 1 << (4 + lane) != 0);
            let count = |at: &usize| {
                let slot = &sheet.slots[*at];
                slot.sent[lane].load(READ) + slot.received[lane].load(READ)
            };
            let moved = (0..SLOTS).map(|at| count(&at)).sum();
            let clock = &mut self.lanes[lane];
            if moved != clock.moved || !(sends && receives) {
                *clock = Lane { moved, since: now };
            }
            let stall = now.saturating_sub(clock.since.max(self.reset));
            worst = worst.max(self.note(stall, || format!("lane {lane}")));
            for &at in running {
                let slot = &sheet.slots[at];
                let (calls, call) = (slot.calls.load(READ), slot.call.load(READ));
                let sending = call == Call::Send as u32 && wants(at) & 1 << lane != 0;
                let clock = &mut self.senders[at];
                if wants(at) & 1 << lane == 0 && wants(at) & 0xf != 0 {
                    continue; // it sends on the other lane
                }
                if !sending || !receives || clock.calls != calls {
                    *clock = Sender { calls, since: now };
                }
                let stall = now.saturating_sub(clock.since.max(self.reset));
                worst = worst.max(self.note(stall, || format!("process {at}, sending")));
            }
        }
        for &at in running {
            let slot = &sheet.slots[at];
            let calls = slot.calls.load(READ);
            let (due, call) = (slot.due.load(READ), slot.call.load(READ));
            // Of one and the same call.
            if due != 0 && call != 0 && slot.calls.load(READ) == calls {
                let stall = now.saturating_sub(due.max(self.reset));
                worst = worst.max(self.note(stall, || format!("process {at}, beyond its deadline")));
            }
        }
        worst
    }

    /// All begin to wait now.
    pub(crate) fn reset(&mut self, now: u64) {
        self.reset = now;
    }

    /// For how long nobody has been stopped, and nothing else of that kind has happened.
    pub(crate) fn since_reset(&self, now: u64) -> u64 {
        now.saturating_sub(self.reset)
    }

    fn note(&mut self, stall: u64, who: impl FnOnce() -> String) -> u64 {
        if stall > self.longest {
            self.longest = stall;
            self.who = who();
        }
        stall
    }
}

//! How long somebody could not go on who should have: who is alive, not stopped, waits for nobody who is stopped, and
//! has what it waits for.
//!
//! The clock stands still while anybody is stopped or held, so a standstill does not begin anew with each of them; and
//! while the watch itself is kept from running, because then others are too. For those who wait for nobody there is another
//! one, which goes on while others are stopped.

use crate::board::{Call, LANES, READ, SLOTS, Sheet, WRITE, call_name};

/// A stall so long is no stall: twenty seconds.
pub(crate) const HANG: u64 = 20_000_000_000;

/// The most that counts between two looks, which are half a millisecond apart if the machine lets us.
const BLINK: u64 = 20_000_000;

/// The clocks of an episode, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Watch {
    /// When we last looked.
    looked: u64,
    /// The time for which nobody was stopped.
    clock: u64,
    /// The time for which we were running.
    all_the_time: u64,
    /// What the clock was when this stage began.
    stage: u64,
    /// What the clock was when something was last sent or received.
    lanes: [Since; LANES],
    /// What it was when each sender's call began, or could first go on.
    senders: [Since; SLOTS],
    /// What it was when each call's deadline had passed.
    overdue: [Since; SLOTS],
    /// What the other clock was when each call of those who wait for nobody began.
    free: [Since; SLOTS],
    /// The longest so far.
    pub(crate) longest: u64,
    /// Who stood still then.
    pub(crate) who: String,
}

/// Since when a number has not changed.
#[derive(Debug, Default, Clone, Copy)]
struct Since {
    number: u64,
    clock: u64,
}

impl Since {
    /// For how long it has been this number, and there was reason to expect another.
    fn look(&mut self, number: u64, expected: bool, clock: u64) -> u64 {
        if number != self.number || !expected {
            *self = Since { number, clock };
        }
        clock - self.clock
    }
}

impl Watch {
    pub(crate) fn new(now: u64) -> Self {
        let (lanes, senders, overdue, free) = Default::default();
        let (clock, all_the_time, stage) = Default::default();
        let (longest, who) = Default::default();
        Watch { looked: now, clock, all_the_time, stage, lanes, senders, overdue, free, longest, who }
    }

    /// Looks at everybody who is alive. Returns for how long the worst of them has been standing still by now. Those who are
    /// `free` wait for nobody, and nothing holds them.
    pub(crate) fn look(
        &mut self,
        sheet: &Sheet,
        running: &[usize],
        free: &[usize],
        anybody_stopped: bool,
        now: u64,
    ) -> u64 {
        let passed = now.saturating_sub(self.looked).min(BLINK);
        self.all_the_time += passed;
        if !anybody_stopped {
            self.clock += passed;
        }
        self.looked = now;
        sheet.clock.store(self.clock, WRITE);
        let clock = self.clock;
        let wants = |at: usize| sheet.slots[at].wants.load(READ);
        let mut worst = 0;
        for lane in 0..LANES {
            let (to_send, to_receive) = (1 << lane, 1 << (4 + lane));
            let sends = running.iter().any(|&at| wants(at) & to_send != 0);
            let receives = running.iter().any(|&at| wants(at) & to_receive != 0);
            let moved = sheet.slots.iter().map(|slot| {
                slot.sent[lane].load(READ) + slot.received[lane].load(READ) + slot.turns.load(READ)
            });
            let stall = self.lanes[lane].look(moved.sum(), sends && receives, clock);
            worst = worst.max(self.note(stall, || format!("lane {lane}")));
            for &at in running.iter().filter(|&&at| wants(at) & to_send != 0) {
                let slot = &sheet.slots[at];
                let sending = slot.call.load(READ) == Call::Send as u32;
                let stall = self.senders[at].look(slot.calls.load(READ), sending && receives, clock);
                worst = worst.max(self.note(stall, || format!("process {at}, sending")));
            }
        }
        for &at in running {
            let slot = &sheet.slots[at];
            let calls = slot.calls.load(READ);
            let (due, call) = (slot.due.load(READ), slot.call.load(READ));
            // Of one and the same call.
            let late = due != 0 && due < now && call != 0 && slot.calls.load(READ) == calls;
            let stall = self.overdue[at].look(calls, late, clock);
            worst = worst.max(self.note(stall, || format!("process {at}, late in {}", call_name(call))));
        }
        for at in 0..SLOTS {
            let slot = &sheet.slots[at];
            let calls = slot.calls.load(READ);
            let is_in_one = slot.call.load(READ) != 0 && slot.calls.load(READ) == calls;
            let expected = is_in_one && free.contains(&at);
            let stall = self.free[at].look(calls, expected, self.all_the_time);
            worst = worst.max(self.note(stall, || format!("process {at}, who waits for nobody,")));
        }
        worst
    }

    /// Another stage begins.
    pub(crate) fn begin_stage(&mut self) {
        self.stage = self.clock;
    }

    /// For how long this stage has been going on.
    pub(crate) fn in_stage(&self) -> u64 {
        self.clock - self.stage
    }

    fn note(&mut self, stall: u64, who: impl FnOnce() -> String) -> u64 {
        if stall > self.longest {
            self.longest = stall;
            self.who = who();
        }
        stall
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;

    fn board(name: &str) -> Board {
        let path = std::env::temp_dir().join(format!("soak-watch-{name}-{}", std::process::id()));
        let board = Board::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        board.slots[3].call.store(Call::Other as u32, WRITE);
        board.slots[3].calls.store(7, WRITE);
        board
    }

    #[test]
    fn who_waits_for_nobody_is_late_also_while_others_are_stopped() {
        let board = board("late");
        for (free, stall) in [(&[3][..], 9 * BLINK), (&[], 0)] {
            let mut watch = Watch::new(0);
            let looks = (1..=10).map(|look| watch.look(&board, &[3], free, true, look * BLINK));
            assert_eq!(looks.max(), Some(stall));
        }
    }

    #[test]
    fn who_goes_on_is_not_late() {
        let board = board("on");
        let mut watch = Watch::new(0);
        for look in 1..=10 {
            board.slots[3].calls.store(look, WRITE);
            assert_eq!(watch.look(&board, &[3], &[3], true, look * BLINK), 0);
        }
    }
}

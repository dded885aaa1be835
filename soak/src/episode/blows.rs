//! What the supervisor does to the members of an episode while it runs.

use super::{Episode, MILLI, Player};
use crate::board::{COUNT, READ, Repair, TRAPPED, WRITE};
use crate::{sys, widen};
use ringway::inspect::{Detail, Lock};

/// What is being done to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Nothing,
    /// It is to be held at one of its next accesses; not beyond this time.
    Trapping(u64, Then),
    /// It is held there, until then.
    Held(u64, Then),
    /// It is stopped, until then.
    Stopped(u64, Then),
    /// It was asked to go.
    Leaving,
    /// It was killed, and the kernel may still be at it.
    Killed,
}

/// How holding or stopping ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Kill,
    GoOn,
}

impl Episode {
    /// Does something to one of them, or to several.
    pub(super) fn strike(&mut self, now: u64) {
        let victims: Vec<usize> = (0..self.players.len()).filter(|&at| self.is_free(at)).collect();
        if victims.is_empty() {
            return;
        }
        let at = victims[self.random.below(victims.len() as u64) as usize];
        let then = if self.random.one_in(3) { Then::GoOn } else { Then::Kill };
        let then = if self.is_gentle { Then::GoOn } else { then };
        let trap = if widen::AVAILABLE { 12 } else { 0 };
        let kill = if self.is_gentle { 0 } else { 1 };
        match self.random.weighted(&[trap, 4 * kill, 4, 2 * kill, kill]) {
            0 => {
                // Few accesses for what ends a call or begins one, many for the middle of something long.
                let bound = [4, 30, 300][self.random.below(3) as usize];
                self.set_trap(at, bound, then, now);
            }
            1 => self.kill(at),
            2 => self.stop(at, then, now),
            3 => {
                self.board.slots[self.players[at].slot].leave.store(1, WRITE);
                self.players[at].fate = Fate::Leaving;
            }
            _ => {
                // Several at once.
                for at in victims {
                    if self.random.one_in(2) {
                        self.kill(at);
                    }
                }
            }
        }
    }

    /// Somebody died in the middle of something, and another is about to find out: that one is held up in turn, or
    /// killed, while the rest finds out too.
    fn meet_the_repairer(&mut self, now: u64) {
        let others: Vec<usize> = (0..self.players.len()).filter(|&at| self.is_free(at)).collect();
        if others.is_empty() || !widen::AVAILABLE || self.random.one_in(3) {
            return;
        }
        let at = others[self.random.below(others.len() as u64) as usize];
        let then = if self.random.one_in(3) { Then::Kill } else { Then::GoOn };
        self.set_trap(at, 40, then, now);
    }

    /// Has a member held at one of its next `bound` accesses.
    fn set_trap(&mut self, at: usize, bound: u64, then: Then, now: u64) {
        let accesses = self.random.between(1, bound) as u32;
        self.board.slots[self.players[at].slot].trap.store(accesses, WRITE);
        self.players[at].fate = Fate::Trapping(now + 100 * MILLI, then);
    }

    fn is_free(&self, at: usize) -> bool {
        self.players[at].child.is_some() && self.players[at].fate == Fate::Nothing
    }

    /// Ends what was begun.
    pub(super) fn go_on_with_fates(&mut self, now: u64) {
        for at in 0..self.players.len() {
            let slot = &self.board.slots[self.players[at].slot];
            if self.players[at].child.is_none() {
                continue;
            }
            match self.players[at].fate {
                Fate::Trapping(until, then) => {
                    if slot.inside.load(READ) == TRAPPED {
                        self.tally.stops += 1;
                        // Sometimes at once, sometimes when all others have run into it.
                        let time = [0, 2, 20, 150][self.random.weighted(&[4, 4, 4, 1])] * MILLI;
                        let time = self.random.below(time + 1);
                        self.players[at].fate = Fate::Held(now + time, then);
                        self.note_the_free(at);
                    } else if now > until {
                        // It sleeps, or does nothing shared. If it walks into the trap just now, we see it later.
                        slot.trap.store(0, WRITE);
                        if slot.inside.load(READ) != TRAPPED {
                            self.players[at].fate = Fate::Nothing;
                        }
                    }
                }
                Fate::Held(until, then) if now >= until && self.the_free_went_on(at) => {
                    if then == Then::Kill {
                        self.look_what_it_holds(at);
                        self.kill(at);
                        self.meet_the_repairer(now);
                    } else if self.random.one_in(3) {
                        // From one kind of standstill into the other, and killed there or not.
                        let kills = !self.is_gentle && self.random.one_in(2);
                        let then = if kills { Then::Kill } else { Then::GoOn };
                        self.stop(at, then, now);
                    } else {
                        self.release(at);
                    }
                }
                Fate::Stopped(until, then) if now >= until && self.the_free_went_on(at) => {
                    if then == Then::Kill {
                        self.look_what_it_holds(at);
                        self.kill(at);
                        self.meet_the_repairer(now);
                    } else {
                        self.release(at);
                    }
                }
                // Somebody walked into a trap that was meant to be gone.
                Fate::Nothing | Fate::Leaving if slot.inside.load(READ) == TRAPPED => self.release(at),
                _ => {}
            }
        }
    }

    fn signal(&self, at: usize, number: i32) {
        if let Some(child) = &self.players[at].child {
            sys::signal(child.id(), number);
        }
    }

    fn kill(&mut self, at: usize) {
        if self.players[at].part.is_spared {
            return self.release(at);
        }
        let player = &mut self.players[at];
        player.fate = Fate::Killed;
        let slot = &self.board.slots[player.slot];
        slot.doomed.store(player.incarnation, WRITE);
        self.signal(at, libc::SIGKILL);
    }

    fn stop(&mut self, at: usize, then: Then, now: u64) {
        self.tally.stops += 1;
        let millis = self.random.weighted(&[3, 3, 1]);
        let time = self.random.below([2, 30, 200][millis] * MILLI);
        self.players[at].fate = Fate::Stopped(now + time, then);
        self.note_the_free(at);
        self.signal(at, libc::SIGSTOP);
    }

    /// How many calls those have made who wait for nobody, now that this one stands still.
    fn note_the_free(&mut self, at: usize) {
        self.players[at].calls_of_others = self.board.slots.each_ref().map(|slot| slot.calls.load(READ));
    }

    /// Whether all of them have made another one since, from its beginning to its end.
    fn the_free_went_on(&self, at: usize) -> bool {
        let before = &self.players[at].calls_of_others;
        let went_on =
            |player: &Player| self.board.slots[player.slot].calls.load(READ) > before[player.slot] + 1;
        self.players.iter().filter(|player| self.is_free_to_go(player)).all(went_on)
    }

    /// Whether this one waits for nobody, and nothing holds it.
    pub(super) fn is_free_to_go(&self, player: &Player) -> bool {
        player.part.is_free
            && player.child.is_some()
            && matches!(player.fate, Fate::Nothing | Fate::Leaving | Fate::Trapping(..))
            && self.board.slots[player.slot].attached.load(READ) != 0
    }

    /// Lets a member go on.
    pub(super) fn release(&mut self, at: usize) {
        let slot = &self.board.slots[self.players[at].slot];
        slot.trap.store(0, WRITE);
        let _ = slot.inside.compare_exchange(TRAPPED, 0, COUNT, READ);
        if matches!(self.players[at].fate, Fate::Stopped(..)) {
            self.signal(at, libc::SIGCONT);
        }
        self.players[at].fate = Fate::Nothing;
    }

    /// A process that stands still and is about to die: what others will have to take from its hands.
    fn look_what_it_holds(&self, at: usize) {
        let Some(child) = &self.players[at].child else { return };
        for object in self.objects() {
            let Detail::Pipe(pipe) = &object.detail else { continue };
            let lanes = [Some(&pipe.forth), pipe.back.as_ref()].into_iter().flatten();
            let locks = lanes.flat_map(|lane| [lane.sending, lane.receiving]);
            let held = locks.filter(|lock| match lock {
                Lock::Held(owner) | Lock::Kept(owner) => owner.pid == Some(child.id()),
                _ => false,
            });
            // That they are taken over, the judge makes sure.
            self.repaired(Repair::Lock, held.count() as u64);
        }
    }

    pub(super) fn repaired(&self, what: Repair, count: u64) {
        self.board.repairs[what as usize].fetch_add(count, COUNT);
    }
}

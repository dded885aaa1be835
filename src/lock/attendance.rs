//! Which processes are at something.

use crate::sync::{AtomicU32, Ordering, mutated};

/// How many threads of which processes are at something just now: so that, if one dies, the others know whether it was.
/// All-zero bytes are nobody.
///
/// ```text
/// seat     index of the process:16 | its threads here:16      taken, counted and left by compare-and-swap
/// others   threads for which there was no seat
/// ```
///
/// A process is written down before it begins and struck off after it has ended, so it may be written down in vain if it
/// dies between, but never be missing. Nothing is learnt of `others` but how many there are, or died there.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Attendance {
    seats: [AtomicU32; SEATS],
    others: AtomicU32,
}

/// As many processes are known by their index.
const SEATS: usize = if cfg!(loom) { 2 } else { 31 };

#[cfg(not(loom))]
const _: () = assert!(size_of::<Attendance>() == 128);

/// An honest compare-and-swap loses only to another that succeeds. This many losses in a row are a peer that scribbles.
const PATIENCE: u32 = 100_000;

/// Where a thread was written down.
#[derive(Clone, Copy, Debug)]
#[must_use = "it stays there"]
pub(crate) struct Seat(Option<usize>);

fn owner(seat: u32) -> u16 {
    (seat >> 16) as u16
}

fn threads(seat: u32) -> u32 {
    seat & 0xffff
}

// All accesses are Relaxed: who asks after the dead comes after them, by the kernel's word.
impl Attendance {
    /// Nobody.
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Self {
        Attendance { seats: core::array::from_fn(|_| AtomicU32::new(0)), others: AtomicU32::new(0) }
    }

    /// A thread of the process `me` comes.
    pub(crate) fn enter(&self, me: u16) -> Seat {
        let mine = |seat: &u32| owner(*seat) == me && threads(*seat) < 0xffff;
        let free = |seat: &u32| *seat == 0;
        if mutated!("attendance.enter") {
            return Seat(None);
        }
        for _ in 0..PATIENCE {
            let found = self.find(mine).or_else(|| self.find(free));
            let Some((at, seen)) = found else { break };
            let next = if seen == 0 { u32::from(me) << 16 | 1 } else { seen + 1 };
            if self.seats[at].compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Seat(Some(at));
            }
        }
        change(&self.others, |seen| seen.saturating_add(1));
        Seat(None)
    }

    /// It goes.
    pub(crate) fn leave(&self, seat: Seat, me: u16) {
        match seat.0 {
            // A seat that is another's by now was taken away by a peer against the rules.
            Some(at) => change(&self.seats[at], |seen| match threads(seen) {
                _ if owner(seen) != me => seen,
                0 | 1 => 0,
                _ => seen - 1,
            }),
            None => change(&self.others, |seen| seen.saturating_sub(1)),
        }
    }

    fn find(&self, wanted: impl Fn(&u32) -> bool) -> Option<(usize, u32)> {
        self.seats.iter().map(|seat| seat.load(Ordering::Relaxed)).enumerate().find(|(_, seat)| wanted(seat))
    }

    /// The processes that are here and known by their index.
    pub(crate) fn present(&self) -> impl Iterator<Item = u16> {
        self.seats.iter().map(|seat| owner(seat.load(Ordering::Relaxed))).filter(|&index| index != 0)
    }

    /// Whether there are some of whom no more is known, or were and died.
    pub(crate) fn has_others(&self) -> bool {
        self.others.load(Ordering::Relaxed) != 0
    }

    /// Whether the process `who` is here, or may be.
    pub(crate) fn may_have(&self, who: u16) -> bool {
        self.has_others() || self.present().any(|index| index == who)
    }

    /// Strikes the dead process `dead` off.
    pub(crate) fn forget(&self, dead: u16) {
        for seat in &self.seats {
            change(seat, |seen| if owner(seen) == dead { 0 } else { seen });
        }
    }
}

fn change(word: &AtomicU32, how: impl Fn(u32) -> u32) {
    let mut seen = word.load(Ordering::Relaxed);
    for _ in 0..PATIENCE {
        let next = how(seen);
        if next == seen {
            return;
        }
        match word.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_is_here_is_known() {
        let attendance = Attendance::new();
        let first = attendance.enter(7);
        let second = attendance.enter(7);
        let other = attendance.enter(300);
        assert_eq!(attendance.present().collect::<Vec<_>>(), [7, 300]);
        attendance.leave(first, 7);
        assert!(attendance.may_have(7));
        attendance.leave(second, 7);
        assert!(!attendance.may_have(7) && attendance.may_have(300));
        attendance.forget(300);
        assert!(!attendance.may_have(300));
        // It was struck off, and the seat is another's: not to be taken from him.
        let heir = attendance.enter(8);
        assert_eq!(heir.0, Some(0));
        attendance.leave(other, 300);
        attendance.leave(Seat(Some(0)), 300);
        assert_eq!(attendance.present().collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn those_for_whom_there_is_no_seat_may_be_anybody() {
        let attendance = Attendance::new();
        let seats: Vec<_> = (1..=SEATS as u16 + 2).map(|index| (attendance.enter(index), index)).collect();
        assert!(attendance.may_have(1) && attendance.may_have(999));
        seats.into_iter().rev().for_each(|(seat, index)| attendance.leave(seat, index));
        assert!(!attendance.may_have(1) && !attendance.may_have(999) && !attendance.has_others());
    }

    #[test]
    fn threads_come_and_go() {
        let attendance = Attendance::new();
        std::thread::scope(|scope| {
            for index in 1..=3 {
                for _ in 0..2 {
                    let attendance = &attendance;
                    scope.spawn(move || {
                        for _ in 0..2_000 {
                            let seat = attendance.enter(index);
                            assert!(attendance.may_have(index));
                            attendance.leave(seat, index);
                        }
                    });
                }
            }
        });
        assert!(attendance.present().next().is_none() && !attendance.has_others());
    }
}

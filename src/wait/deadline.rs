//! Until when to wait.

use crate::sys::clock;
use std::time::{Duration, Instant};

/// An instant on the monotonic clock up to which a call may wait.
///
/// Deadlines rather than time-outs are what the calls of this library pass on: a call that waits for several
/// things in turn gives each of them the same one.
///
/// ```
/// # use ringway::Deadline;
/// use std::time::Duration;
/// let soon = Deadline::after(Duration::from_millis(20));
/// assert!(Deadline::NOW < soon && soon < Deadline::NEVER);
/// assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(u64);

impl Deadline {
    /// Has always passed: try once, do not wait.
    pub const NOW: Deadline = Deadline(0);
    /// Never passes: wait for as long as it takes.
    pub const NEVER: Deadline = Deadline(u64::MAX);

    /// `timeout` from now. A time-out too long for the clock (centuries) means for ever.
    #[must_use]
    pub fn after(timeout: Duration) -> Deadline {
        match u64::try_from(timeout.as_nanos()) {
            Ok(0) => Deadline::NOW,
            Ok(nanos) => Deadline(clock::now().saturating_add(nanos)),
            Err(_) => Deadline::NEVER,
        }
    }

    /// At `instant`. One that has passed already is [`Deadline::NOW`].
    #[must_use]
    pub fn at(instant: Instant) -> Deadline {
        // `Instant` does not tell its number, so the distance from now has to do. The order of the two
        // questions makes the deadline late by their distance, never early.
        let left = instant.saturating_duration_since(Instant::now());
        Deadline::after(left)
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.passed_at(clock::now)
    }

    /// The same, asking for the time only if that matters.
    #[inline]
    pub(crate) fn passed_at(self, now: impl FnOnce() -> u64) -> bool {
        self != Deadline::NEVER && (self == Deadline::NOW || now() >= self.0)
    }

    /// Nanoseconds of the system's monotonic clock; `u64::MAX` is never.
    #[inline]
    pub(crate) fn nanos(self) -> u64 {
        self.0
    }
}

impl From<Duration> for Deadline {
    /// [`Deadline::after`].
    fn from(timeout: Duration) -> Deadline {
        Deadline::after(timeout)
    }
}

impl From<Instant> for Deadline {
    /// [`Deadline::at`].
    fn from(instant: Instant) -> Deadline {
        Deadline::at(instant)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn overflow_means_for_ever() {
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
        assert_eq!(Deadline::after(Duration::from_nanos(u64::MAX)), Deadline::NEVER);
        assert!(!Deadline::NEVER.has_passed());
    }

    #[test]
    fn nothing_and_the_past_are_now() {
        assert_eq!(Deadline::after(Duration::ZERO), Deadline::NOW);
        let past = Instant::now();
        assert_eq!(Deadline::at(past), Deadline::NOW);
        assert!(Deadline::NOW.has_passed());
    }

    #[test]
    fn a_deadline_passes_at_its_time_and_not_before() {
        let instant = Instant::now() + Duration::from_millis(3);
        let deadline = Deadline::at(instant);
        while !deadline.has_passed() {
            std::thread::yield_now();
        }
        assert!(Instant::now() >= instant);
    }
}

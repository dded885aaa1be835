//! When to stop sending.

use std::time::Duration;

use crate::{report::progress::Progress, sys};

/// How much to send: at least `least`, at most `most`, and between the two no longer than `time`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// This much is sent however long it takes.
    pub(crate) least: u64,
    /// More than this is not sent.
    pub(crate) most: u64,
    /// How long the sender goes on beyond `least`.
    pub(crate) time: Duration,
}

impl Limits {
    /// As much as fits into `time`, up to `most`.
    pub(crate) fn up_to(most: u64, time: Duration) -> Self {
        Limits { least: 0, most, time }
    }

    /// Exactly this much.
    pub(crate) fn exactly(count: u64) -> Self {
        Limits { least: count, most: count, time: Duration::ZERO }
    }
}

/// Between two looks at the clock lie about this many nanoseconds of sending.
const LOOK_NS: u64 = 300_000;
/// The most that is sent between two looks.
const MOST_BATCH: u64 = 1 << 40;

/// Deals out batches until the limits are reached, and keeps the progress bar going.
///
/// Batches grow while they take little time, so that a transport of five nanoseconds a message is not slowed
/// by the clock and one of five microseconds still stops in time.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    limits: Limits,
    start_ns: u64,
    last_ns: u64,
    batch: u64,
    progress: &'a mut Progress,
}

impl<'a> Pace<'a> {
    /// Starts the clock. The first batch has `batch` items.
    pub(crate) fn start(limits: Limits, batch: u64, progress: &'a mut Progress) -> Self {
        let now = sys::now_ns();
        Pace { limits, start_ns: now, last_ns: now, batch, progress }
    }

    /// When the clock was started.
    pub(crate) fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// How many to send before asking again, `sent` being what was sent so far; 0 at the end.
    pub(crate) fn next(&mut self, sent: u64) -> u64 {
        self.next_at(sent, sys::now_ns())
    }

    fn next_at(&mut self, sent: u64, now: u64) -> u64 {
        let Limits { least, most, time } = self.limits;
        let elapsed = now.saturating_sub(self.start_ns);
        if sent >= most || (sent >= least && u128::from(elapsed) >= time.as_nanos()) {
            return 0;
        }
        let part = |done: f64, all: f64| if all > 0.0 { done / all } else { 0.0 };
        self.progress.advance(now, || {
            part(sent as f64, most as f64).max(part(elapsed as f64, time.as_nanos() as f64))
        });
        match now.saturating_sub(self.last_ns) {
            took if took < LOOK_NS && sent > 0 => self.batch = (self.batch * 2).min(MOST_BATCH),
            took if took > 4 * LOOK_NS => self.batch = (self.batch / 2).max(1),
            _ => {}
        }
        self.last_ns = now;
        self.batch.min(most - sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as if each item took `item_ns`; returns how many were sent and how often the clock was asked.
    fn simulate(limits: Limits, item_ns: u64) -> (u64, u64) {
        let mut progress = Progress::new(1);
        let mut pace = Pace::start(limits, 16, &mut progress);
        let (mut now, mut sent, mut looks) = (pace.start_ns(), 0, 0);
        loop {
            let batch = pace.next_at(sent, now);
            looks += 1;
            if batch == 0 {
                return (sent, looks);
            }
            sent += batch;
            now += batch * item_ns;
        }
    }

    #[test]
    fn slow_transports_stop_soon_after_their_time() {
        let (sent, _) = simulate(Limits::up_to(10_000_000, Duration::from_secs(1)), 5_000);
        assert!((200_000..203_000).contains(&sent), "{sent} items of 5 µs in a second");
        let (sent, _) = simulate(Limits::up_to(100, Duration::from_secs(1)), 100_000_000);
        assert!(sent <= 16, "{sent} items of 100 ms in a second");
    }

    #[test]
    fn fast_transports_are_not_slowed_by_the_clock() {
        let (sent, looks) = simulate(Limits::exactly(10_000_000), 4);
        assert_eq!(sent, 10_000_000);
        assert!(looks < 400, "{looks} looks at the clock");
    }

    #[test]
    fn exactly_means_exactly_however_slow() {
        assert_eq!(simulate(Limits::exactly(1000), 10_000_000).0, 1000);
        assert_eq!(simulate(Limits::exactly(0), 1).0, 0);
    }

    #[test]
    fn a_least_is_sent_beyond_the_time() {
        let limits = Limits { least: 500, most: u64::MAX, time: Duration::from_millis(1) };
        let (sent, _) = simulate(limits, 1_000_000);
        assert!((500..600).contains(&sent), "{sent}");
    }
}

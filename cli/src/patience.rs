//! Waiting for something that may take a while, or for ever: for so long, not at all, or until a signal comes.

use std::time::{Duration, Instant};

use clap::Args;
use ringway::Deadline;

use crate::{
    args::parse_patience,
    error::Failure,
    sys::{self, Signals},
};

/// The longest time without a look at whether a signal has come, or the name has gone.
const SLICE: Duration = Duration::from_millis(100);
/// The shortest and the longest pause between two looks at what wakes nobody.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// How long to wait, and how to say that it was in vain. The names are those of flock(1).
#[derive(Args, Clone, Debug)]
pub(crate) struct PatienceArgs {
    /// Do not wait
    #[arg(short, long, alias = "nb", conflicts_with = "timeout")]
    nonblock: bool,
    /// Wait no longer than this
    #[arg(short = 'w', long, alias = "wait", value_name = "SECONDS", value_parser = parse_patience)]
    timeout: Option<Duration>,
    /// The exit status if it was not to be had in time
    #[arg(short = 'E', long, value_name = "N", default_value_t = 1)]
    pub(crate) conflict_exit_code: u8,
}

impl PatienceArgs {
    /// From now on.
    pub(crate) fn begin(&self) -> Patience {
        Patience::of(if self.nonblock { Some(Duration::ZERO) } else { self.timeout })
    }
}

/// How long there is left to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    begun: Instant,
    /// `None` is for ever.
    until: Option<Instant>,
}

/// What came of waiting.
#[derive(Debug)]
pub(crate) enum Waited<T> {
    Done(T),
    /// The time is over.
    InVain,
}

impl Patience {
    /// For so long, from now on; `None` is for ever.
    pub(crate) fn of(timeout: Option<Duration>) -> Patience {
        let begun = Instant::now();
        Patience { begun, until: timeout.and_then(|timeout| begun.checked_add(timeout)) }
    }

    /// The same, but at most `most` from now on.
    pub(crate) fn but_at_most(&self, most: Duration) -> Patience {
        let until = Patience::of(Some(most)).until;
        Patience {
            until: self.until.map_or(until, |mine| Some(until.map_or(mine, |other| mine.min(other)))),
            ..*self
        }
    }

    /// How long it has been waited.
    pub(crate) fn spent(&self) -> Duration {
        self.begun.elapsed()
    }

    fn left(&self) -> Duration {
        self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Waits until `attempt` has a result. It is asked without a deadline first, and is not to wait then; later with one
    /// until which it may.
    ///
    /// # Errors
    /// Those of `attempt`; [`Failure::Signal`] if one comes first.
    pub(crate) fn wait<T>(
        &self,
        signals: Option<&Signals>,
        mut attempt: impl FnMut(Option<Deadline>) -> Result<Option<T>, Failure>,
    ) -> Result<Waited<T>, Failure> {
        let mut deadline = None;
        loop {
            if let Some(result) = attempt(deadline)? {
                return Ok(Waited::Done(result));
            }
            if let Some(caught) = signals.and_then(Signals::next) {
                return Err(Failure::Signal(caught.signal));
            }
            let left = self.left();
            if left.is_zero() {
                return Ok(Waited::InVain);
            }
            deadline = Some(Deadline::after(left.min(SLICE)));
        }
    }

    /// The same for what cannot be waited for otherwise than by looking again.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub(crate) fn look<T>(
        &self,
        signals: &Signals,
        mut attempt: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<Waited<T>, Failure> {
        let mut pause = PAUSES[0];
        self.wait(Some(signals), |deadline| {
            if deadline.is_some() {
                // A signal ends the pause.
                sys::poll_input([signals.fd(); 2], pause.min(self.left()));
                pause = (pause * 2).min(PAUSES[1]);
            }
            attempt()
        })
    }
}

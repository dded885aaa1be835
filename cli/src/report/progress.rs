//! A progress bar on standard error, if that is a terminal.

use std::{
    io::{self, IsTerminal, Write},
    os::fd::AsRawFd,
};

use super::table::bar;
use crate::sys;

/// How often the bar is drawn at most, in nanoseconds.
const REDRAW_NS: u64 = 100_000_000;
const ROOM: usize = 24;

/// Whether somebody at a terminal would see progress on standard error: not if this program runs in the background.
pub(crate) fn is_wanted() -> bool {
    io::stderr().is_terminal() && sys::is_in_foreground(io::stderr().as_raw_fd())
}

/// Progress through a known number of steps.
///
/// Drawn by the thread that does the work, between two measurements or two batches: a thread of its own
/// would disturb what is being measured.
#[derive(Debug)]
pub(crate) struct Progress {
    visible: bool,
    steps: usize,
    done: usize,
    label: String,
    drawn_ns: u64,
}

impl Progress {
    /// A bar over `steps` steps. It stays silent unless standard error is a terminal.
    pub(crate) fn new(steps: usize) -> Self {
        Progress { visible: is_wanted(), steps, done: 0, label: String::new(), drawn_ns: 0 }
    }

    /// Starts the next step.
    pub(crate) fn begin(&mut self, label: String) {
        self.label = label;
        self.draw(0.0);
    }

    /// Ends the step that was begun last.
    pub(crate) fn end(&mut self) {
        self.done += 1;
    }

    /// Says how far the current step is, 0 to 1. Returns whether it drew, which takes some microseconds.
    #[inline]
    pub(crate) fn advance(&mut self, now_ns: u64, fraction: impl FnOnce() -> f64) -> bool {
        let due = self.visible && now_ns.saturating_sub(self.drawn_ns) >= REDRAW_NS;
        if due {
            self.draw(fraction());
        }
        due
    }

    #[cold]
    fn draw(&mut self, fraction: f64) {
        if !self.visible {
            return;
        }
        self.drawn_ns = sys::now_ns();
        let whole = ((self.done as f64 + fraction.clamp(0.0, 1.0)) / self.steps.max(1) as f64).min(1.0);
        let bar = bar(whole, ROOM);
        let pad = " ".repeat(ROOM - bar.chars().count());
        // A terminal that cannot be written to shows no progress; nothing else is lost.
        let _ = write!(io::stderr(), "\r\x1b[2K{bar}{pad} {:3.0} %  {}", whole * 100.0, self.label);
    }
}

impl Drop for Progress {
    /// Takes the bar away, so that the results stand alone.
    fn drop(&mut self) {
        if self.visible {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

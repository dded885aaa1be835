//! What is being done, on standard error, if somebody watches.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// One line that is written over again and again.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    done: usize,
    all: usize,
    start: Instant,
}

impl Progress {
    pub(crate) fn new(all: usize) -> Progress {
        Progress { shown: io::stderr().is_terminal(), done: 0, all, start: Instant::now() }
    }

    /// Another step begins.
    pub(crate) fn step(&mut self, what: &str) {
        if self.shown {
            let left = self.start.elapsed().mul_f64(self.all as f64 / self.done.max(1) as f64 - 1.0);
            let left = if self.done < 5 { String::new() } else { format!(", {} left", rough(left)) };
            let left = if self.done > self.all { String::new() } else { left };
            let percent = self.done * 100 / self.all.max(1);
            self.write(&format!("{percent:3} %{left}: {what}"));
        }
        self.done += 1;
    }

    /// A line that stays.
    pub(crate) fn say(&self, text: &str) {
        self.clear();
        eprintln!("peers: {text}");
    }

    fn clear(&self) {
        if self.shown {
            self.write("");
        }
    }

    fn write(&self, text: &str) {
        let mut err = io::stderr().lock();
        // Nobody is told that the progress cannot be shown.
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 90 { format!("{} min", (seconds + 30) / 60) } else { format!("{seconds} s") }
}

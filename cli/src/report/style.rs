//! Whether and how text is highlighted.

use std::{
    env,
    io::{self, IsTerminal},
    os::fd::AsRawFd,
};

use crate::sys;

/// Highlighting, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// No escape codes.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Style { colour: false }
    }

    /// Escape codes.
    #[cfg(test)]
    pub(crate) fn coloured() -> Self {
        Style { colour: true }
    }

    /// Escape codes if standard output is a terminal and the user has not set `NO_COLOR` (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style { colour: io::stdout().is_terminal() && !refused }
    }

    /// Text that stands out.
    pub(crate) fn bold(self, text: String) -> String {
        self.wrap(text, "1")
    }

    /// Text that steps back.
    pub(crate) fn dim(self, text: String) -> String {
        self.wrap(text, "2")
    }

    fn wrap(self, text: String, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    }
}

/// How many columns standard output has: the terminal's, else `COLUMNS`, else 100.
pub(crate) fn stdout_width() -> usize {
    let asked = || env::var("COLUMNS").ok()?.parse().ok().filter(|&columns| columns > 0);
    sys::terminal_width(io::stdout().as_raw_fd()).or_else(asked).unwrap_or(100)
}

//! A command run in our stead: it has our terminal, gets our signals, and we end as it does.

use std::{
    ffi::OsString,
    io,
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    process::{Command, ExitStatus},
    time::Duration,
};

use crate::{
    error::{Context, Failure},
    leash::Leash,
    monitor,
    sys::{self, Signals},
};

/// As long as it takes.
const FOR_EVER: Duration = Duration::from_secs(1 << 20);
/// The exit codes of shells for what cannot be run, and for what is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// How a command is run.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// What is protected, for messages.
    pub(crate) name: &'a str,
    pub(crate) signals: &'a Signals,
    /// What it keeps as long as it runs.
    pub(crate) leash: &'a Leash,
    /// It is killed if this process is.
    pub(crate) dies_with_us: bool,
    pub(crate) environment: &'a [(&'static str, String)],
}

impl Run<'_> {
    /// Runs `command` to its end.
    ///
    /// # Errors
    /// [`Failure::Code`], with a word to the user, if it cannot be run.
    pub(crate) fn to_its_end(&self, command: &[OsString]) -> Result<ExitStatus, Failure> {
        let program = command.first().map_or_else(Default::default, OsString::clone);
        let mut prepared = Command::new(&program);
        prepared.args(command.get(1..).unwrap_or_default());
        prepared.envs(self.environment.iter().map(|(name, value)| (name, value)));
        sys::give_signals_back(&mut prepared, self.signals.before());
        sys::keep_open(&mut prepared, vec![self.leash.raw()]);
        if self.dies_with_us {
            sys::die_with_us(&mut prepared);
        }
        let mut child = match prepared.spawn() {
            Ok(child) => child,
            Err(error) => {
                monitor::tell(format_args!("{}: cannot run {}: {error}", self.name, program.display()));
                let is_missing = error.kind() == io::ErrorKind::NotFound;
                return Err(Failure::Code(if is_missing { NOT_FOUND } else { CANNOT_RUN }));
            }
        };
        let watched = sys::watch_for_end(child.id());
        let watched = watched.or_else(|error| {
            // Whoever cannot wait for it must not let go of what it relies on.
            child.kill().and_then(|()| child.wait())?;
            Err(error)
        });
        let watched = watched.context(|| format!("{}: cannot wait for the command", self.name))?;
        loop {
            let [signalled, over] = sys::poll_input([self.signals.fd(), watched.as_raw_fd()], FOR_EVER);
            if over {
                // Not reaped before, so no signal of ours met another process of that number.
                return child.wait().context(|| format!("{}: cannot wait for the command", self.name));
            }
            if let Some(caught) = signalled.then(|| self.signals.next()).flatten()
                // What comes from the terminal it has already.
                && !caught.by_terminal
            {
                sys::send_signal(child.id(), caught.signal);
            }
        }
    }
}

/// What we end with when our command has: the same, or 128 and the number of the signal that ended it.
pub(crate) fn like(status: ExitStatus) -> Result<(), Failure> {
    let of_signal = || status.signal().map_or(255, |signal| 128 + signal);
    match u8::try_from(status.code().unwrap_or_else(of_signal)).unwrap_or(u8::MAX) {
        0 => Ok(()),
        code => Err(Failure::Code(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_shells() {
        let code = |raw| like(ExitStatus::from_raw(raw)).map_err(|failure| failure.exit_code());
        assert_eq!([code(0), code(7 << 8), code(255 << 8)], [Ok(()), Err(7), Err(255)]);
        assert_eq!([code(9), code(15), code(11 | 128)], [Err(137), Err(143), Err(139)]);
    }
}

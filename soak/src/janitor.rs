//! Whoever kills the supervisor leaves a directory in /dev/shm. A process that does nothing but wait for that removes
//! it: it holds one end of a pipe whose other end all others hold.

use crate::sys;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

/// The first argument of such a process.
pub(crate) const ROLE: &str = "--tidy";

/// It, and the pipe.
pub(crate) struct Janitor {
    child: Child,
    line: Option<ChildStdin>,
}

impl Janitor {
    pub(crate) fn hire(program: &Path, root: &Path) -> io::Result<Self> {
        let mut child = Command::new(program).arg(ROLE).arg(root).stdin(Stdio::piped()).spawn()?;
        let line = child.stdin.take();
        if let Some(line) = &line {
            sys::keep_over_exec(line.as_raw_fd()); // every process of the soak holds it
        }
        Ok(Janitor { child, line })
    }

    /// Nobody is left: it may go, and has removed everything when this returns.
    pub(crate) fn dismiss(mut self) -> io::Result<()> {
        drop(self.line.take());
        self.child.wait().map(drop)
    }
}

/// Waits until all are gone and removes their directory.
pub(crate) fn run(root: Option<String>) -> ExitCode {
    let Some(root) = root.map(PathBuf::from) else { return ExitCode::from(2) };
    sys::detach();
    let _ = io::stdin().read_to_end(&mut Vec::new());
    match std::fs::remove_dir_all(&root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            eprintln!("soak: cannot remove {}: {error}", root.display());
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

//! Which program a process runs.

use std::fs;

use ringway::inspect::{Object, Participant};

use crate::{list::printable, lock::note::shorten, sys};

/// As much of a command line as is shown.
const MOST: usize = 80;

/// The command line of `process`, fit for a terminal. `None` if it is not known for sure: a number may be that of another
/// process, if it is one of another PID namespace or if the process is gone. So it is asked whether that one has the
/// object in its memory.
pub(crate) fn of(process: &Participant, seen: &Object) -> Option<String> {
    let pid = process.pid.filter(|_| process.alive)?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let (major, minor) = sys::numbers_of_device(seen.device);
    let (device, inode) = (format!("{major:02x}:{minor:02x}"), seen.inode.to_string());
    let is_it = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(3);
        fields.next() == Some(&device) && fields.next() == Some(&inode)
    };
    if !maps.lines().any(is_it) {
        return None;
    }
    command_line(pid)
}

/// The command line of process `pid`, fit for a terminal.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words: Vec<_> = line.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
    // The program without its place.
    if let Some((_, program)) = words[0].rsplit_once('/') {
        words[0] = program.to_owned().into();
    }
    let line = words.join(" ");
    let line = line.trim_end();
    (!line.is_empty()).then(|| shorten(&printable(line), MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn only_who_has_the_object_is_named() {
        let event = ringway::Event::anonymous().unwrap();
        let mut seen = ringway::inspect::stat_fd(event.as_fd()).unwrap();
        let me = seen.participants[0];
        let myself = std::env::args().next().unwrap();
        let program = myself.rsplit('/').next().unwrap();
        assert!(of(&me, &seen).unwrap().starts_with(program));
        seen.inode += 1;
        assert_eq!(of(&me, &seen), None);
    }
}

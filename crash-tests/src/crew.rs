//! The workers of many scenarios, side by side: one on each processor.

use crate::process;
use crate::scenario::Scenario;
use crate::worker::{self, Outcome, Thoroughness, Worker};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What is known while the work goes on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Scenarios that are done.
    pub done: usize,
    /// Kills so far.
    pub kills: usize,
}

struct Running {
    scenario: usize,
    processor: usize,
    pid: i32,
    from: File,
    text: Vec<u8>,
    kills: usize,
}

/// Lets a worker make all kills of each scenario, in this order. `tell` gets what each found out, in the order in
/// which they end, and says whether to go on.
///
/// # Errors
/// What the system refuses.
pub fn work(
    scenarios: &[&Scenario],
    thoroughness: Thoroughness,
    mut progress: impl FnMut(&Progress),
    mut tell: impl FnMut(&Scenario, Outcome) -> bool,
) -> std::io::Result<()> {
    let mut free = process::processors();
    let mut next = 0;
    let mut running: Vec<Running> = Vec::new();
    let mut so_far = Progress::default();
    loop {
        while next < scenarios.len()
            && let Some(processor) = free.pop()
        {
            running.push(start(scenarios[next], next, processor, thoroughness)?);
            next += 1;
        }
        if running.is_empty() {
            return Ok(());
        }
        wait(&running);
        let mut ended = Vec::new();
        for (index, worker) in running.iter_mut().enumerate() {
            if worker.hear()? {
                ended.push(index);
            }
        }
        let current: usize = running.iter().map(|worker| worker.kills).sum();
        progress(&Progress { kills: so_far.kills + current, ..so_far });
        for index in ended.into_iter().rev() {
            let worker = running.remove(index);
            let outcome = worker.outcome();
            so_far.done += 1;
            so_far.kills += outcome.kills;
            free.push(worker.processor);
            if !tell(scenarios[worker.scenario], outcome) {
                for worker in &running {
                    process::kill(worker.pid);
                    worker::clean_up_after(worker.pid);
                }
                return Ok(());
            }
        }
    }
}

fn start(
    scenario: &Scenario,
    number: usize,
    processor: usize,
    thoroughness: Thoroughness,
) -> std::io::Result<Running> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` is a valid place for two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned these descriptors to us.
    let [from, mut to] = fds.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
    // SAFETY: the descriptor is ours; only what we read must not wait.
    unsafe { libc::fcntl(from.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let pid = process::fork("a worker", || {
        // Failing means that nobody listens any more.
        let mut say = |text: &str| drop(to.write_all(text.as_bytes()));
        let outcome = process::settle_on(processor).and_then(|()| Worker::new(scenario)).map(|worker| {
            worker.kill_everywhere(thoroughness, |kills| {
                if kills % 256 == 0 {
                    say(&format!("kills {kills}\n"));
                }
            })
        });
        let trouble = |error| Outcome { trouble: Some(format!("{error}")), ..Outcome::default() };
        say(&outcome.unwrap_or_else(trouble).to_text());
    });
    Ok(Running { scenario: number, processor, pid, from, text: Vec::new(), kills: 0 })
}

/// Waits until one of them says something, or ends.
fn wait(running: &[Running]) {
    let entry =
        |worker: &Running| libc::pollfd { fd: worker.from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut polls: Vec<_> = running.iter().map(entry).collect();
    // SAFETY: so many entries are there.
    unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, -1) };
}

impl Running {
    /// Reads what it says; whether that was all.
    fn hear(&mut self) -> std::io::Result<bool> {
        match self.from.read_to_end(&mut self.text) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let text = String::from_utf8_lossy(&self.text);
        let last = text.lines().rev().find_map(|line| line.strip_prefix("kills ")?.parse().ok());
        self.kills = last.unwrap_or(self.kills);
        Ok(false)
    }

    fn outcome(&self) -> Outcome {
        let status = process::wait(self.pid);
        let text = String::from_utf8_lossy(&self.text);
        Outcome::from_text(&text).unwrap_or_else(|| Outcome {
            trouble: Some(format!("its worker ended with status {status:#x}")),
            ..Outcome::default()
        })
    }
}

impl Outcome {
    /// A line for each part, with a last line that tells it is whole.
    fn to_text(&self) -> String {
        let one_line = |text: &str| text.replace('\n', "\u{1f}");
        let mut text = format!("kills {}\n", self.kills);
        text += &format!("instructions {}\n", self.instructions);
        text += &format!("sleeps {}\n", self.sleeps);
        text += &format!("astray {}\n", self.astray);
        text += &format!("missed {}\n", self.missed);
        self.effects.iter().for_each(|number| text += &format!("effect {number}\n"));
        self.violations.iter().for_each(|violation| text += &format!("violation {}\n", one_line(violation)));
        self.trouble.iter().for_each(|trouble| text += &format!("trouble {}\n", one_line(trouble)));
        text + "end \n"
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut outcome = Outcome::default();
        for line in text.lines() {
            let (word, rest) = line.split_once(' ')?;
            let lines = || rest.replace('\u{1f}', "\n");
            match word {
                "kills" => outcome.kills = rest.parse().ok()?,
                "instructions" => outcome.instructions = rest.parse().ok()?,
                "sleeps" => outcome.sleeps = rest.parse().ok()?,
                "astray" => outcome.astray = rest.parse().ok()?,
                "missed" => outcome.missed = rest.parse().ok()?,
                "effect" => outcome.effects.push(rest.parse().ok()?),
                "violation" => outcome.violations.push(lines()),
                "trouble" => outcome.trouble = Some(lines()),
                _ => return Some(outcome),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_survive_the_pipe() {
        let outcome = Outcome {
            instructions: 100,
            sleeps: 1,
            kills: 102,
            astray: 3,
            missed: 2,
            effects: vec![40, 70],
            violations: vec!["one\n    of two lines".to_owned(), "another".to_owned()],
            trouble: Some("some".to_owned()),
        };
        assert_eq!(Outcome::from_text(&outcome.to_text()), Some(outcome));
        assert_eq!(Outcome::from_text("kills 256\nkills 512\n"), None);
    }
}

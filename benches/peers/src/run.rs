//! Starting a measuring process for each case, hearing its figures, and ending it if it hangs.

use std::{
    env, fs,
    io::{self, Read},
    os::{
        fd::{AsRawFd, RawFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    plan::{Case, Crew, Work},
    sys,
    transports::{self, Metric, Mode, Outcome, Place, Result, Setup, Unavailable},
    worker::{FAILED, Job, UNAVAILABLE, fail},
};

/// What the cases of a run have in common.
#[derive(Debug)]
pub(crate) struct Runner {
    /// A directory in memory for the files of the peers.
    dir: PathBuf,
    /// In every name that a case leaves anywhere.
    tag: String,
    cpus: [usize; 2],
    time: Duration,
    cases: u64,
}

/// How a case ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Measured(Outcome),
    /// It cannot be measured here.
    Unavailable(String),
    Failed(String),
}

/// How much longer than planned a case may take. Others may keep the machine busy, and memory has to be made.
const PATIENCE: Duration = Duration::from_secs(60);

impl Runner {
    pub(crate) fn new(cpus: [usize; 2], time: Duration) -> io::Result<Runner> {
        sweep_up_after_the_dead();
        let tag = format!("{TAG}{}", process::id());
        let dir = Path::new("/dev/shm").join(&tag);
        fs::create_dir(&dir)?;
        Ok(Runner { dir, tag, cpus, time, cases: 0 })
    }

    /// Measures a case in a process of its own.
    pub(crate) fn run(&mut self, case: Case) -> Ended {
        self.cases += 1;
        let name = format!("{}-{}", self.tag, self.cases);
        let ended = self.start(case, &name).and_then(|child| self.hear(child));
        self.sweep();
        ended.unwrap_or_else(|error| Ended::Failed(error.to_string()))
    }

    fn start(&self, case: Case, name: &str) -> io::Result<Child> {
        let (work, len) = match case.work {
            Work::Messages(len) => ("messages".into(), len),
            Work::Many(len, crew) => (crew.to_string(), len),
            Work::Open => ("open".into(), 8),
            Work::Tool(task) => (format!("{TOOL}{task}"), 8),
        };
        let [near, far] = self.cpus.map(|cpu| cpu.to_string());
        let mut command = Command::new("/proc/self/exe");
        command.arg("--worker").args([
            case.peer.name,
            case.mode.name(),
            &work,
            &len.to_string(),
            name,
            &near,
            &far,
        ]);
        command.arg(self.time.as_nanos().to_string()).arg(&self.dir);
        // Our own named objects go where those of the peers go.
        command.env("RINGWAY_DIR", &self.dir);
        // A group of its own, so that all of it can be ended.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
    }

    fn hear(&self, mut child: Child) -> io::Result<Ended> {
        let mut said = String::new();
        let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let patience = PATIENCE + self.time * 20;
        let in_time = read_all(&mut stdout, &mut said, Instant::now() + patience);
        if !matches!(in_time, Ok(true)) {
            // Not reaped yet: the group is still ours.
            sys::kill_group(child.id());
        }
        let status = child.wait()?;
        if !in_time? {
            return Ok(Ended::Failed(format!("no answer within {} s", patience.as_secs())));
        }
        let mut outcome = Outcome::new();
        for line in said.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (word, Metric::from_name(word), rest.parse()) {
                (FAILED, ..) => return Ok(Ended::Failed(rest.into())),
                (UNAVAILABLE, ..) => return Ok(Ended::Unavailable(rest.into())),
                (_, Some(metric), Ok(value)) => outcome.push((metric, value)),
                _ => {} // a peer that talks
            }
        }
        Ok(if status.success() && !outcome.is_empty() {
            Ended::Measured(outcome)
        } else {
            Ended::Failed(format!("it ended without figures ({status})"))
        })
    }

    /// Removes what the last case has left behind.
    fn sweep(&self) {
        let remove = |path: PathBuf| {
            // What cannot be removed is found by whoever looks into /dev/shm; the figures stand.
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        };
        let list = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        list(&self.dir).for_each(remove);
        let ours = |path: &PathBuf| {
            *path != self.dir
                && path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().contains(&format!("{}-", self.tag)))
        };
        list(Path::new("/dev/shm")).filter(ours).for_each(remove);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.sweep();
        let _ = fs::remove_dir(&self.dir);
    }
}

/// What the name of every run begins with.
const TAG: &str = "ringway-peers-";

/// Removes what runs that were killed have left behind: their names have the numbers of processes that are gone.
fn sweep_up_after_the_dead() {
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(at) = name.find(TAG) else { continue };
        let number: String = name[at + TAG.len()..].chars().take_while(char::is_ascii_digit).collect();
        if number.is_empty() || Path::new("/proc").join(&number).exists() {
            continue;
        }
        // As in `sweep`: what cannot be removed does no harm.
        let path = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

/// Reads to the end; `false` if there was none in time.
fn read_all(from: &mut (impl Read + AsRawFd), into: &mut String, deadline: Instant) -> io::Result<bool> {
    let fd: RawFd = from.as_raw_fd();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        if sys::await_input(fd, left.as_millis().clamp(1, 1000) as i32)? {
            match from.read(&mut buffer)? {
                0 => return Ok(true),
                n => into.push_str(&String::from_utf8_lossy(&buffer[..n])),
            }
        }
    }
}

/// Carries out one job in this process, as told by the arguments that [`Runner::start`] gives.
pub(crate) fn work(arguments: &[String]) -> ! {
    // A group of its own hears no Ctrl-C from the terminal.
    let outcome = sys::die_with_parent().map_err(Into::into).and_then(|()| job(arguments));
    let outcome = outcome.and_then(|(run, job)| run(&job));
    match outcome {
        Ok(outcome) => {
            for (metric, value) in outcome {
                println!("{} {value}", metric.name());
            }
            process::exit(0)
        }
        Err(error) => fail(&error),
    }
}

/// What the work of a tool begins with.
const TOOL: &str = "tool-";

type Run = fn(&Job) -> Result<Outcome>;

fn job(arguments: &[String]) -> Result<(Run, Job)> {
    let [peer, mode, work, len, name, near, far, nanos, dir] = arguments else {
        return Err("a job has nine arguments".into());
    };
    let peer = transports::find(peer).ok_or("no such transport")?;
    let mode = Mode::from_name(mode).ok_or("no such mode")?;
    let (mut crew, mut many, mut task) = (Crew::PAIR, false, None);
    let run = match work.as_str() {
        "open" => peer.open.ok_or_else(|| Unavailable("it has no name".into()))?,
        "messages" => peer.run,
        work if let Some(text) = work.strip_prefix(TOOL) => {
            task = Some(text.parse()?);
            peer.run
        }
        numbers => {
            (crew, many) = (numbers.parse()?, true);
            peer.many.as_ref().ok_or("it is not for many")?.run
        }
    };
    let place = if work == "open" { Place::Processes } else { peer.place };
    let dir = Path::new(dir).into();
    let job = Job {
        setup: Setup { len: len.parse()?, mode, many, dir, name: name.clone() },
        place,
        cpus: [near.parse()?, far.parse()?],
        crew,
        time: Duration::from_nanos(nanos.parse()?),
        task,
        only_trips: peer.group == transports::Group::Floor,
    };
    Ok((run, job))
}

/// The machine, as far as it says what it is.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(env::consts::ARCH, |(_, name)| name.trim());
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split(['-', '\n']).next().unwrap_or_default();
    format!("{cpus} × {model}, Linux {kernel}")
}

//! Locks, and what else users agree by: the tools that are measured, and what is done with each.
//!
//! | file | what it holds |
//! |---|---|
//! | `alone` | a tool used by one who is in nobody's way |
//! | `crowd` | several who want the same lock at once |
//! | `turns` | two who wait for each other in turn |
//! | `meet` | several who wait until all have come |
//! | `ours`, `pthread`, `posix`, `library`, `system`, `floor` | the tools |
//!
//! Whatever is measured is counted by plain, not atomic, additions to numbers that the tool protects, and what these come
//! to is compared with what the users did: a lock that lets two in at once makes the run fail.

use std::{fmt, str::FromStr};

use crate::{
    transports::{Mode, Outcome, Peer, Result, Setup},
    worker::Job,
};

pub(crate) mod alone;
pub(crate) mod crowd;
mod floor;
mod library;
pub(crate) mod meet;
mod ours;
mod posix;
mod pthread;
mod system;
pub(crate) mod turns;

/// What is measured, in the order of the tables.
pub(crate) static ALL: &[&Tool] = &[
    &floor::CACHE_LINE,
    &floor::FUTEX,
    &ours::MUTEX,
    &ours::ANONYMOUS,
    &ours::REENTRANT,
    &ours::AGAIN,
    &ours::SEMAPHORE,
    &ours::OWNED_SEMAPHORE,
    &ours::EVENT,
    &ours::CONDVAR,
    &ours::BARRIER,
    &pthread::ROBUST,
    &pthread::PLAIN,
    &pthread::ADAPTIVE,
    &pthread::AGAIN,
    &pthread::CONDVAR,
    &pthread::BARRIER,
    &posix::SEMAPHORE,
    &system::EVENTFD,
    &system::FLOCK,
    &system::FCNTL,
    &ours::THREADS,
    &library::STD,
    &library::PARKING_LOT,
];

/// Something users agree by.
#[derive(Debug)]
pub(crate) struct Tool {
    /// What it is called, and how it is measured. It carries no messages.
    pub(crate) peer: Peer,
    /// What can be done with it, and how whoever does it may wait.
    pub(crate) does: &'static [(Skill, &'static [Mode])],
}

impl Tool {
    /// The ways of waiting in which it can do this.
    pub(crate) fn modes(&self, task: Task) -> &'static [Mode] {
        self.does.iter().find(|(skill, _)| *skill == task.skill()).map_or(&[], |(_, modes)| modes)
    }
}

/// Kinds of [`Task`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skill {
    Alone,
    Crowd,
    Turns,
    Meet,
}

/// What is done with a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Task {
    /// One takes it and gives it back, and nobody else is about.
    Alone,
    /// So many want it at once.
    Crowd(usize, Section),
    /// Two take turns.
    Turns,
    /// So many wait for each other.
    Meet(usize),
}

/// What whoever has a lock does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Section {
    /// Adds one to each of two counters.
    Short,
    /// Computes for a microsecond in between.
    Long,
}

impl Section {
    pub(crate) const ALL: [Section; 2] = [Section::Short, Section::Long];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Section::Short => "short",
            Section::Long => "long",
        }
    }
}

/// How many are in a crowd, and at a meeting.
pub(crate) const CROWDS: [usize; 3] = [2, 4, 8];
pub(crate) const MEETINGS: [usize; 2] = [2, 4];

impl Task {
    /// All of them, in the order of the tables.
    pub(crate) fn all() -> impl Iterator<Item = Task> {
        let crowds = Section::ALL
            .into_iter()
            .flat_map(|section| CROWDS.into_iter().map(move |users| Task::Crowd(users, section)));
        [Task::Alone].into_iter().chain(crowds).chain([Task::Turns]).chain(MEETINGS.map(Task::Meet))
    }

    fn skill(self) -> Skill {
        match self {
            Task::Alone => Skill::Alone,
            Task::Crowd(..) => Skill::Crowd,
            Task::Turns => Skill::Turns,
            Task::Meet(_) => Skill::Meet,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Alone => f.write_str("alone"),
            Task::Crowd(users, section) => write!(f, "crowd-{users}-{}", section.name()),
            Task::Turns => f.write_str("turns"),
            Task::Meet(users) => write!(f, "meet-{users}"),
        }
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Task, String> {
        Task::all().find(|task| task.to_string() == text).ok_or_else(|| format!("{text} is no task"))
    }
}

/// A lock and `N` numbers that it protects.
pub(crate) trait Lock<const N: usize>: Send + Sync + Sized {
    /// What a user holds.
    type End;

    /// Makes it, before its users part.
    fn make(setup: &Setup) -> Result<Self>;

    /// Joins it, in the process or the thread of a user.
    fn join(&self, setup: &Setup) -> Result<Self::End>;

    /// Takes it, has `inside` use the numbers, and gives it back.
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R>;
}

/// Carries out a job with the lock of the given name, which is generic over how many numbers it protects.
macro_rules! run_lock {
    ($lock:ident) => {
        |job: &$crate::worker::Job| match job.task {
            Some($crate::locks::Task::Alone) => $crate::locks::alone::measure::<$lock<1>>(job),
            Some($crate::locks::Task::Crowd(users, section)) => {
                $crate::locks::crowd::measure::<$lock<2>>(job, users, section)
            }
            task => $crate::locks::cannot(task),
        }
    };
}
use run_lock;

/// The answer of a tool to what it is not for.
fn cannot(task: Option<Task>) -> Result<Outcome> {
    Err(match task {
        Some(task) => format!("it is not for {task}"),
        None => "it carries no messages".into(),
    }
    .into())
}

/// What a tool has that carries no messages; the rest is for each to say.
const TOOL: Peer = Peer {
    name: "",
    title: "",
    group: crate::transports::Group::System,
    place: crate::transports::Place::Processes,
    modes: &[],
    longest: 0,
    copies: 0,
    blocks: true,
    note: "",
    optional: false,
    run: no_job,
    open: None,
    many: None,
};

fn no_job(job: &Job) -> Result<Outcome> {
    cannot(job.task)
}

/// The one that is called `name`.
#[cfg(test)]
pub(crate) fn find(name: &str) -> Option<&'static Tool> {
    ALL.iter().copied().find(|tool| tool.peer.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_as_they_are_written() {
        for task in Task::all() {
            assert_eq!(task.to_string().parse(), Ok(task));
        }
        assert!("crowd".parse::<Task>().is_err());
    }

    #[test]
    fn every_tool_is_for_something_and_no_name_is_there_twice() {
        for (at, tool) in ALL.iter().enumerate() {
            assert!(Task::all().any(|task| !tool.modes(task).is_empty()), "{}", tool.peer.name);
            let others = ALL[..at].iter().map(|tool| &tool.peer);
            let mut others = others.chain(crate::transports::ALL.iter().copied());
            assert!(others.all(|peer| peer.name != tool.peer.name), "{}", tool.peer.name);
        }
    }
}

//! `ringway sem`: semaphores for shell scripts.

use std::{ffi::OsString, mem, os::fd::AsFd, time::Duration};

use clap::{Args, Subcommand};
use ringway::{
    AcquireError, Error, OwnedSemaphore, Permit, Semaphore,
    inspect::{self, Detail},
};

use crate::{
    command::{Run, like},
    error::{Context, Failure},
    leash::Leash,
    lock, monitor,
    names::{is_deserted, is_nameless},
    patience::{Patience, PatienceArgs, Waited},
    rendezvous::about,
    report::units,
    sys::Signals,
};

/// How long what a killed command leaves behind may take to end before that is said.
const LEAVING: Duration = Duration::from_millis(300);
/// How many may run or wait at once.
const MOST: u16 = 1024;

/// Lets so many at once, or counts what there is
///
/// `ringway sem run` runs commands, at most so many at once, in whichever shells; what a killed one had comes back by
/// itself. The others are for scripts that count something themselves: anybody may release what another has acquired,
/// so nothing comes back by itself.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway sem run gpu --permits 2 -- ./train       two at once, in whichever shells
  ringway sem create slots --permits 3
  ringway sem acquire slots -w 10 && { ./work; ringway sem release slots; }")]
pub(crate) struct SemArgs {
    #[command(subcommand)]
    command: SemCommand,
}

#[derive(Debug, Subcommand)]
enum SemCommand {
    Run(RunArgs),
    Create(CreateArgs),
    #[command(alias = "wait")]
    Acquire(AcquireArgs),
    #[command(alias = "post")]
    Release(ReleaseArgs),
}

/// Runs a command while it holds a permit: at most so many at once
///
/// The semaphore is made when it is missing, and its name stays. `ringway stat NAME` shows who holds permits.
#[derive(Args, Debug)]
#[command(after_help = "\
If `ringway sem run` is killed while the command runs, the command is killed too (SIGKILL), and its permit goes to the
next one when all that the command has started has ended: everything that inherited its open files. With --survive the
command is left alone, and the next one waits for its end. What a command that has *ended* leaves running does not
matter: the permit is free then.

The command has RINGWAY_SEM in its environment, the name, and RINGWAY_RECOVERED: 1 if the permit's last holder died with
it, else 0. SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to it.

Exit status: that of the command, or 128 and the number of the signal that ended it; 126 if it cannot be run, 127 if it
is not there; 1, or what -E says, if there was no permit in time; 1 if something else failed, 2 if the command line
makes no sense.")]
struct RunArgs {
    /// The name, or the absolute path of a file to be the semaphore
    name: String,
    /// How many at once; may be left out once the semaphore is there
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    permits: Option<u32>,
    #[command(flatten)]
    patience: PatienceArgs,
    /// Let the command go on if `ringway sem run` is killed; it keeps its permit until it ends
    #[arg(long)]
    survive: bool,
    /// If the semaphore is made now: remove its name when the last one that holds or wants a permit is done
    #[arg(long)]
    ephemeral: bool,
    /// Say nothing of those who died
    #[arg(short, long)]
    quiet: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Makes a semaphore for `acquire` and `release`
#[derive(Args, Debug)]
struct CreateArgs {
    /// The name, or the absolute path of a file to be the semaphore
    name: String,
    /// How many permits there are at first
    #[arg(short, long, value_name = "N")]
    permits: u32,
    /// How many there can be at most; releasing more fails
    #[arg(long, value_name = "N")]
    bound: Option<u32>,
}

/// Takes permits, all at once, waiting until there are so many
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status: 0 if they were taken; 1, or what -E says, if there were too few in time; 1 if something else failed.")]
struct AcquireArgs {
    /// The name, or the absolute path of a file
    name: String,
    /// How many
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Gives permits, whoever took them
#[derive(Args, Debug)]
struct ReleaseArgs {
    /// The name, or the absolute path of a file
    name: String,
    /// How many
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

/// Does what the command line says.
pub(crate) fn run(args: &SemArgs) -> Result<(), Failure> {
    match &args.command {
        SemCommand::Run(args) => run_a_command(args),
        SemCommand::Create(args) => create(args),
        SemCommand::Acquire(args) => acquire(args),
        SemCommand::Release(args) => {
            let released = open(&args.name)?.release_many(args.count);
            released.map_err(|error| Failure::Runtime(format!("{}: {error}", args.name)))
        }
    }
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let mut options = Semaphore::options().permits(args.permits).participants(MOST);
    if let Some(bound) = args.bound {
        options = options.bound(bound);
    }
    loop {
        match options.create(&args.name) {
            // One from before the last boot is in nobody's way.
            Err(error @ Error::AlreadyExists { .. }) => match inspect::stat(&args.name) {
                Ok(object) if object.stale && ringway::unlink_unused(&args.name).is_ok() => {}
                _ => return Err(about(&args.name, error)),
            },
            made => return made.map(drop).map_err(|error| about(&args.name, error)),
        }
    }
}

fn open(name: &str) -> Result<Semaphore, Failure> {
    Semaphore::open(name).map_err(|error| match error {
        Error::NotFound { .. } => Failure::Runtime(format!("{error}; `ringway sem create {name}` makes one")),
        error => about(name, error),
    })
}

fn acquire(args: &AcquireArgs) -> Result<(), Failure> {
    let semaphore = open(&args.name)?;
    let waited = args.patience.begin().wait(None, |deadline| {
        let acquired = match deadline {
            None => semaphore.try_acquire_many(args.count),
            Some(deadline) => semaphore.acquire_many(args.count, deadline),
        };
        match acquired {
            Ok(()) => Ok(Some(())),
            Err(AcquireError::WouldBlock | AcquireError::Timeout) if is_deserted(semaphore.as_fd()) => {
                let why = "its name was removed and nobody else is attached: nobody can release any";
                Err(Failure::Runtime(format!("{}: {why}", args.name)))
            }
            Err(AcquireError::WouldBlock | AcquireError::Timeout) => Ok(None),
            Err(error) => Err(Failure::Runtime(format!("{}: {error}", args.name))),
        }
    })?;
    match waited {
        Waited::Done(()) => Ok(()),
        Waited::InVain => Err(Failure::Code(args.patience.conflict_exit_code)),
    }
}

/// Opens a semaphore that `ringway clean` is to leave alone, if this is one: what it counts is in it and nowhere else, or
/// what a killed holder started still runs.
pub(crate) fn hold_if_meaningful(name: &str, seen: &inspect::Object) -> Option<Held> {
    match &seen.detail {
        Detail::Semaphore(_) => Semaphore::open(name).ok().map(Held::Counting),
        Detail::OwnedSemaphore(_) => {
            let semaphore = OwnedSemaphore::open(name).ok()?;
            runs_on(&semaphore).then_some(Held::Running(semaphore))
        }
        _ => None,
    }
}

/// See [`hold_if_meaningful`].
#[derive(Debug)]
pub(crate) enum Held {
    Counting(#[expect(dead_code, reason = "is held on to")] Semaphore),
    Running(#[expect(dead_code, reason = "is held on to")] OwnedSemaphore),
}

/// Whether a command that was run under it still runs.
fn runs_on(semaphore: &OwnedSemaphore) -> bool {
    let leash = Leash::of(semaphore.as_fd(), semaphore.permits());
    // What cannot be asked is left alone.
    leash.and_then(|leash| leash.is_taken()).unwrap_or(true)
}

/// Opens the semaphore, or makes it. One with another number that is not in use is made anew.
fn open_owned(args: &RunArgs) -> Result<OwnedSemaphore, Failure> {
    let name = &args.name;
    let Some(permits) = args.permits else {
        return OwnedSemaphore::open(name).map_err(|error| match error {
            Error::NotFound { .. } => Failure::Runtime(format!("{error}; --permits N makes one")),
            error => about(name, error),
        });
    };
    let options = OwnedSemaphore::options().permits(permits).participants(MOST).ephemeral(args.ephemeral);
    loop {
        let found = match options.open_or_create(name) {
            Err(Error::WrongCapacity { found, .. }) => found,
            opened => return opened.map_err(|error| about(name, error)),
        };
        let is_idle = match OwnedSemaphore::open(name) {
            Ok(other) => !runs_on(&other),
            // It has gone, or changed.
            Err(_) => true,
        };
        match ringway::unlink_unused(name) {
            _ if !is_idle => {}
            Ok(true) | Err(Error::NotFound { .. }) => continue,
            Ok(false) => {}
            Err(error) => return Err(about(name, error)),
        }
        let found = units::count(found);
        return Err(Failure::Runtime(format!(
            "{name}: it lets {found} run at once, not {permits}, and is in use"
        )));
    }
}

fn run_a_command(args: &RunArgs) -> Result<(), Failure> {
    let signals = Signals::take_for_a_command().context(|| "cannot watch for signals".into())?;
    let patience = args.patience.begin();
    loop {
        let semaphore = open_owned(args)?;
        let waited = patience.wait(Some(&signals), |deadline| {
            let acquired = match deadline {
                None => semaphore.try_acquire(),
                Some(deadline) => semaphore.acquire_deadline(deadline),
            };
            let permit = match acquired {
                Ok(permit) => Some(permit),
                Err(AcquireError::WouldBlock | AcquireError::Timeout) => None,
                Err(error) => return Err(Failure::Runtime(format!("{}: {error}", args.name))),
            };
            // `Some(None)`: the name means another one, or none.
            let is_nameless = semaphore.is_retired() || is_nameless(semaphore.as_fd());
            Ok(if is_nameless { Some(None) } else { permit.map(Some) })
        })?;
        match waited {
            Waited::Done(None) => {}
            Waited::Done(Some(permit)) => return work(args, &semaphore, permit, &signals, patience),
            Waited::InVain => {
                let say = format!("{} run already", units::count(semaphore.permits().into()));
                return Err(conflict(args, &say));
            }
        }
    }
}

fn conflict(args: &RunArgs, why: &str) -> Failure {
    if !args.quiet {
        monitor::note(&args.name, why);
    }
    Failure::Code(args.patience.conflict_exit_code)
}

/// A permit under which nothing has run yet. Dropped as it is, one that a dead holder left is left as that one did, so that the
/// next one is told.
struct Untried<'s>(Option<Permit<'s>>);

impl<'s> Untried<'s> {
    fn was_recovered(&self) -> bool {
        self.0.as_ref().is_some_and(Permit::was_recovered)
    }

    fn begin(mut self) -> Option<Permit<'s>> {
        self.0.take()
    }
}

impl Drop for Untried<'_> {
    fn drop(&mut self) {
        // What this process still has when it ends comes back as what a killed one had does.
        if self.was_recovered() {
            mem::forget(self.0.take());
        }
    }
}

fn work(
    args: &RunArgs,
    semaphore: &OwnedSemaphore,
    permit: Permit<'_>,
    signals: &Signals,
    patience: Patience,
) -> Result<(), Failure> {
    let say = |text: &str| {
        if !args.quiet {
            monitor::note(&args.name, text);
        }
    };
    let untried = Untried(Some(permit));
    let was_recovered = untried.was_recovered();
    if was_recovered {
        say("the last holder of this permit died with it");
    }
    let failed = || format!("{}: cannot lock the file", args.name);
    let mut leash = Leash::of(semaphore.as_fd(), semaphore.permits()).context(failed)?;
    let mut take =
        |patience: Patience| patience.look(signals, || Ok(leash.try_take().context(failed)?.then_some(())));
    if let Waited::InVain = take(patience.but_at_most(LEAVING))? {
        let what = || lock::what_still_runs(semaphore.as_fd());
        say(&format!("of a killed holder, {}; waiting until that has ended", what()));
        if let Waited::InVain = take(patience)? {
            return Err(conflict(args, &format!("of a killed holder, {}", what())));
        }
    }
    let permit = untried.begin();
    let environment =
        [("RINGWAY_SEM", args.name.clone()), ("RINGWAY_RECOVERED", u8::from(was_recovered).to_string())];
    let run = Run {
        name: &args.name,
        signals,
        leash: &leash,
        dies_with_us: !args.survive,
        environment: &environment,
    };
    let ended = run.to_its_end(&args.command);
    drop(leash);
    drop(permit);
    like(ended?)
}

//! `ringway lock`: runs a command under a named lock.

pub(crate) mod note;

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, SystemTime},
};

use clap::Args;
use ringway::{
    Error, Inherited, LockError, Mutex, MutexGuard,
    inspect::{self, Detail},
};

use self::note::{Note, Reading};
use crate::{
    command::{Run, like},
    error::{Context, Failure},
    leash::{self, Leash},
    list::age,
    monitor,
    names::is_nameless,
    patience::{Patience, PatienceArgs, Waited},
    program,
    rendezvous::about,
    stat::primitives,
    sys::Signals,
};

/// How long to wait before saying so to whoever sits there.
const SILENCE: Duration = Duration::from_secs(1);
/// How long what a killed command leaves behind may take to end before that is said.
const LEAVING: Duration = Duration::from_millis(300);
/// How many may run or wait at once.
const MOST: u16 = 1024;

/// Runs a command under a named lock: one at a time, in whichever shell
///
/// Like flock(1), with a name instead of a file. The lock says who has it, since when and for which command (`ringway
/// stat NAME`), and when its holder is killed the next one gets it and is told so. It is made when it is missing, and its
/// name stays.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway lock deploy -- ./deploy.sh            one at a time
  ringway lock -n deploy -- ./deploy.sh         or not at all
  ringway lock db --on-recovery ./check-db -- ./migrate
  ringway stat deploy                           who has it, since when, for what

If `ringway lock` is killed while the command runs, the command is killed too (SIGKILL), and the next one gets the lock
when all that the command has started has ended: everything that inherited its open files. With --survive the command
is left alone, and the next one waits for its end. What a command that has *ended* leaves running does not matter: the
lock is free then. Like a file that is locked by flock(1), a lock whose name is removed while somebody has it does not
keep out those who come later.

The command has RINGWAY_LOCK in its environment, the name, and RINGWAY_RECOVERED: 1 if the last holder died with the
lock, else 0. SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to it.

Exit status: that of the command, or 128 and the number of the signal that ended it; 126 if it cannot be run, 127 if it
is not there; 1, or what -E says, if the lock was not to be had in time; 1 if something else failed, 2 if the command
line makes no sense.")]
pub(crate) struct LockArgs {
    /// The name, or the absolute path of a file to be the lock
    name: String,
    #[command(flatten)]
    patience: PatienceArgs,
    /// If the last holder died with the lock, run this first, by sh; if it fails, the next one has to recover
    #[arg(long, value_name = "CMD")]
    on_recovery: Option<OsString>,
    /// Let the command go on if `ringway lock` is killed; it keeps the lock until it ends
    #[arg(long)]
    survive: bool,
    /// If the lock is made now: remove its name when the last one that holds or wants it is done
    #[arg(long)]
    ephemeral: bool,
    /// Say nothing of who has the lock, or died with it
    #[arg(short, long)]
    quiet: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What came of waiting for the lock.
enum Got<'m> {
    Whole(MutexGuard<'m, Note>),
    /// From a dead one.
    Inherited(Left<'m>),
    /// It is not what the name means any more.
    Nameless,
}

/// A lock whose last holder died with it. Dropped as it is, it stays that way: when the handle is dropped, the next one is
/// told. (An [`Inherited`] that is dropped gives the lock up for ever.)
type Left<'m> = ManuallyDrop<Inherited<'m, Note>>;

/// Runs the command under the lock.
pub(crate) fn run(args: &LockArgs) -> Result<(), Failure> {
    let signals = Signals::take_for_a_command().context(|| "cannot watch for signals".into())?;
    let patience = args.patience.begin();
    let mut has_said = false;
    loop {
        let mutex = open(&args.name, args.ephemeral)?;
        let attempt = Attempt { args, mutex: &mutex, signals: &signals, patience };
        match attempt.take(&mut has_said)? {
            Got::Nameless => {}
            Got::Whole(guard) => return attempt.work(guard, None),
            Got::Inherited(left) => return attempt.recover(left),
        }
    }
}

/// Opens the lock, or makes it.
fn open(name: &str, ephemeral: bool) -> Result<Mutex<Note>, Failure> {
    let options = Mutex::options().value(Note::nobody()).timed(true).participants(MOST).ephemeral(ephemeral);
    let stranger = || {
        let why = "this mutex belongs to a program that keeps a value of its own in it";
        Failure::Runtime(format!("{name}: {why}, not to `ringway lock`"))
    };
    let mutex = options.open_or_create(name).map_err(|error| match error {
        Error::WrongElement { .. } => stranger(),
        error => about(name, error),
    })?;
    let seen = inspect::stat_fd(mutex.as_fd()).map_err(|error| about(name, error))?;
    match seen.detail {
        Detail::Lock(lock) if Note::read(&lock.value) != Reading::NotOurs => Ok(mutex),
        _ => Err(stranger()),
    }
}

/// Opens a lock that `ringway lock` made, so that nobody takes it for a leftover, if that matters: its last holder died
/// with it, and nobody has recovered it yet.
pub(crate) fn hold_if_left_behind(name: &str, seen: &inspect::Object) -> Option<impl Sized + use<>> {
    let Detail::Lock(lock) = &seen.detail else { return None };
    if Note::read(&lock.value) == Reading::NotOurs {
        return None;
    }
    let was_left = lock.inconsistent || !matches!(lock.state, inspect::Lock::Free);
    let mutex = was_left.then(|| Mutex::<Note>::open(name).ok()).flatten()?;
    Some(mutex)
}

struct Attempt<'a> {
    args: &'a LockArgs,
    mutex: &'a Mutex<Note>,
    signals: &'a Signals,
    patience: Patience,
}

impl<'a> Attempt<'a> {
    /// Something for the user to know.
    fn say(&self, text: &str) {
        if !self.args.quiet {
            monitor::note(&self.args.name, text);
        }
    }

    /// Who has the lock, since when and for what.
    fn whose(&self) -> String {
        let seen = inspect::stat_fd(self.mutex.as_fd());
        match seen.as_ref().map(|seen| &seen.detail) {
            Ok(Detail::Lock(lock)) => primitives::whose(lock),
            _ => "somebody has it".into(),
        }
    }

    fn conflict(&self, why: &str) -> Failure {
        self.say(why);
        Failure::Code(self.args.patience.conflict_exit_code)
    }

    fn take(&self, has_said: &mut bool) -> Result<Got<'a>, Failure> {
        let mutex = self.mutex;
        let waited = self.patience.wait(Some(self.signals), |deadline| {
            let locked = match deadline {
                None => mutex.try_lock(),
                Some(deadline) => mutex.lock_deadline(deadline),
            };
            let got = match locked {
                Ok(guard) => Some(Got::Whole(guard)),
                Err(LockError::OwnerDied(inherited)) => Some(Got::Inherited(Left::new(inherited))),
                Err(LockError::WouldBlock | LockError::Timeout) => None,
                Err(error) => return Err(self.unlockable(error.without_guard())),
            };
            if mutex.is_retired() || is_nameless(mutex.as_fd()) {
                return Ok(Some(Got::Nameless));
            }
            if got.is_none() && !*has_said && self.patience.spent() > SILENCE && io::stderr().is_terminal() {
                self.say(&format!("{}; waiting", self.whose()));
                *has_said = true;
            }
            Ok(got)
        })?;
        match waited {
            Waited::Done(got) => Ok(got),
            Waited::InVain => Err(self.conflict(&self.whose())),
        }
    }

    fn unlockable(&self, error: LockError) -> Failure {
        let name = &self.args.name;
        let more = match error {
            LockError::NotRecoverable => format!("; `ringway rm {name}` makes room for a new one"),
            _ => String::new(),
        };
        Failure::Runtime(format!("{name}: {error}{more}"))
    }

    fn take_leash(&self, patience: &Patience) -> Result<Waited<Leash>, Failure> {
        let failed = || format!("{}: cannot lock the file", self.args.name);
        let mut leash = Leash::of(self.mutex.as_fd(), 1).context(failed)?;
        let waited = patience.look(self.signals, || {
            let taken = leash.try_take().context(failed)?;
            Ok(taken.then_some(()))
        })?;
        Ok(match waited {
            Waited::Done(()) => Waited::Done(leash),
            Waited::InVain => Waited::InVain,
        })
    }

    fn runs<'l>(&self, leash: &'l Leash, environment: &'l [(&'static str, String)]) -> Run<'l>
    where
        'a: 'l,
    {
        Run {
            name: &self.args.name,
            signals: self.signals,
            leash,
            dies_with_us: !self.args.survive,
            environment,
        }
    }

    fn environment(&self, recovered: bool) -> [(&'static str, String); 2] {
        let recovered = u8::from(recovered).to_string();
        [("RINGWAY_LOCK", self.args.name.clone()), ("RINGWAY_RECOVERED", recovered)]
    }

    /// Runs the command. `leash` is there if the last holder died.
    fn work(&self, mut guard: MutexGuard<'_, Note>, leash: Option<Leash>) -> Result<(), Failure> {
        let environment = self.environment(leash.is_some());
        let leash = match leash {
            Some(leash) => leash,
            None => match self.take_leash(&self.patience)? {
                Waited::Done(leash) => leash,
                Waited::InVain => {
                    return Err(self.conflict("the file of the lock is locked by another program"));
                }
            },
        };
        *guard = Note::ours(&self.args.command);
        let ended = self.runs(&leash, &environment).to_its_end(&self.args.command);
        *guard = Note::nobody();
        drop(leash);
        drop(guard);
        like(ended?)
    }

    /// Goes on from where somebody died.
    fn recover(&self, left: Left<'_>) -> Result<(), Failure> {
        let last = **left;
        self.say(&died(&last));
        match self.await_end_of_last()? {
            Some(leash) => self.work(self.repair(left, &last, &leash)?, Some(leash)),
            None => Err(self.conflict(&what_still_runs(self.mutex.as_fd()))),
        }
    }

    /// Waits until all that the dead one started has ended.
    fn await_end_of_last(&self) -> Result<Option<Leash>, Failure> {
        if let Waited::Done(leash) = self.take_leash(&self.patience.but_at_most(LEAVING))? {
            return Ok(Some(leash));
        }
        self.say(&format!("{}; waiting until that has ended", what_still_runs(self.mutex.as_fd())));
        match self.take_leash(&self.patience)? {
            Waited::Done(leash) => Ok(Some(leash)),
            Waited::InVain => Ok(None),
        }
    }

    fn repair<'m>(
        &self,
        mut left: Left<'m>,
        last: &Note,
        leash: &Leash,
    ) -> Result<MutexGuard<'m, Note>, Failure> {
        let ours = Note::ours(&self.args.command);
        if let Some(repair) = &self.args.on_recovery {
            let command = ["sh".into(), "-c".into(), repair.clone()];
            **left = Note::ours(&command);
            let ended = self.runs(leash, &self.environment(true)).to_its_end(&command);
            let failed = match ended {
                Ok(status) if status.success() => None,
                Ok(status) => Some(format!("{} ended with {status}", repair.display())),
                Err(failure) => failure.text().or_else(|| Some("it could not be repaired".into())),
            };
            if let Some(why) = failed {
                **left = *last;
                let name = &self.args.name;
                return Err(Failure::Runtime(format!("{name}: {why}: left to the next one to recover")));
            }
        }
        Ok(Left::into_inner(left).recover(|note| *note = ours))
    }
}

/// What a killed holder has left running under the object behind `fd`.
pub(crate) fn what_still_runs(fd: BorrowedFd<'_>) -> String {
    let keepers = inspect::stat_fd(fd).map_or_else(|_| Vec::new(), |seen| leash::keepers(seen.inode));
    let who = match keepers.as_slice() {
        [] => String::new(),
        [first, rest @ ..] => {
            let what = program::command_line(*first).map_or_else(String::new, |line| format!(": {line}"));
            let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
            format!(" (process {first}{what}{more})")
        }
    };
    format!("what it started still runs{who}")
}

/// What is known of the dead one.
fn died(last: &Note) -> String {
    match Note::read(bytemuck::bytes_of(last)) {
        Reading::Holder(holder) => {
            let taken = SystemTime::now().duration_since(holder.taken).ok();
            let ago = taken.map_or_else(String::new, |taken| format!("; it had taken it {} ago", age(taken)));
            format!("the last holder, process {} ({}), died with it{ago}", holder.pid, holder.command)
        }
        Reading::Nobody => {
            "the last holder died with it, before its command began or after it had ended".into()
        }
        Reading::Nonsense | Reading::NotOurs => {
            "the last holder died with it, who that was cannot be read".into()
        }
    }
}

//! `ringway event`: events for shell scripts.

use std::{os::fd::AsFd, process, thread, time::Duration};

use clap::{Args, Subcommand};
use ringway::{
    Deadline, Error, Event,
    inspect::{self, Detail},
};

use crate::{
    args::parse_patience,
    error::{Failure, USAGE},
    monitor,
    names::is_deserted,
    rendezvous::about,
};

/// Waits for something that happens, or says that it has
///
/// Any number may wait; all go on when it is set, and it stays set until it is cleared. Its name stays too, until
/// `ringway rm`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway event wait ready --create      in one shell
  ./prepare && ringway event set ready   in another
  if ringway event is-set ready; then ...

Exit status: 0 if it was set; of `wait` and `is-set` 1 if it was not, in time; 2 if that cannot be told, since there is
no such event or the command line makes no sense.")]
pub(crate) struct EventArgs {
    #[command(subcommand)]
    command: EventCommand,
}

#[derive(Debug, Subcommand)]
enum EventCommand {
    /// Waits until it is set; not at all if it is set already
    Wait {
        #[command(flatten)]
        which: Which,
        /// Wait no longer than this
        #[arg(short = 'w', long, value_name = "SECONDS", value_parser = parse_patience)]
        timeout: Option<Duration>,
    },
    /// Sets it: all who wait go on
    Set {
        #[command(flatten)]
        which: Which,
    },
    /// Clears it: who comes now waits for the next time
    Clear {
        #[command(flatten)]
        which: Which,
    },
    /// Tells by the exit status whether it is set
    IsSet {
        /// The name, or the absolute path of a file
        name: String,
    },
}

/// Which event.
#[derive(Args, Debug)]
struct Which {
    /// The name, or the absolute path of a file to be the event
    name: String,
    /// Make it if it is missing, not set
    #[arg(long)]
    create: bool,
}

/// How many may wait at once.
const MOST: u16 = 1024;
/// How often to look whether anybody can still set it.
const LOOK: Duration = Duration::from_millis(200);
/// The exit code of what is not so.
const NO: u8 = 1;

impl Which {
    fn open(&self) -> Result<Event, Failure> {
        let options = Event::options().participants(MOST);
        let opened = if self.create { options.open_or_create(&self.name) } else { options.open(&self.name) };
        opened.map_err(|error| match error {
            Error::NotFound { .. } => Failure::Runtime(format!("{error}; --create makes one")),
            error => about(&self.name, error),
        })
    }
}

/// Does what the command line says.
pub(crate) fn run(args: &EventArgs) -> Result<(), Failure> {
    match try_to(&args.command) {
        // 1 is an answer, so what goes wrong is something else.
        Err(failure @ (Failure::Runtime(_) | Failure::Io(..))) => {
            monitor::tell(&failure);
            Err(Failure::Code(USAGE))
        }
        done => done,
    }
}

fn try_to(command: &EventCommand) -> Result<(), Failure> {
    match command {
        EventCommand::Set { which } => which.open()?.set(),
        EventCommand::Clear { which } => drop(which.open()?.clear()),
        EventCommand::IsSet { name } => {
            let event = Event::open(name).map_err(|error| about(name, error))?;
            return if event.is_set() { Ok(()) } else { Err(Failure::Code(NO)) };
        }
        EventCommand::Wait { which, timeout } => return wait(which, *timeout),
    }
    Ok(())
}

fn wait(which: &Which, timeout: Option<Duration>) -> Result<(), Failure> {
    let event = which.open()?;
    let (name, watched) = (which.name.clone(), event.clone());
    // Beside the one call that waits: between two calls the event might be set and cleared again.
    thread::spawn(move || {
        while !is_deserted(watched.as_fd()) || watched.is_set() {
            thread::sleep(LOOK);
        }
        monitor::note(&name, "its name was removed and nobody else is attached: nobody can set it");
        process::exit(USAGE.into());
    });
    match event.wait_deadline(timeout.map_or(Deadline::NEVER, Deadline::after)) {
        true => Ok(()),
        false => Err(Failure::Code(NO)),
    }
}

/// Opens an event that `ringway clean` is to leave alone: it is set, which whoever comes may want to know.
pub(crate) fn hold_if_set(name: &str, seen: &inspect::Object) -> Option<Event> {
    match &seen.detail {
        Detail::Event(event) if event.set => Event::open(name).ok(),
        _ => None,
    }
}

//! `ringway queue put`: cuts an input into messages.

use std::{path::PathBuf, thread, time::Duration};

use clap::Args;
use ringway::SendError;

use super::{
    Making,
    handle::{Attended, DESERTED, Handle, Interrupt, Unsent},
};
use crate::{
    error::{Context, Failure},
    framing::Framing,
    monitor::{Count, Monitor, Watched},
    report::units,
    send::{Input, Stop, parse_block, pump},
    sys::{self, Signals},
};

/// How long what was begun may take after a signal.
const GRACE: Duration = Duration::from_millis(250);

/// Puts a file or standard input into a queue, as one message or cut into several
///
/// Waits while the queue is full. Ends when all is in the queue, whether anybody has got it or not.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  seq 1000 | ringway queue put jobs --lines          each line is a message, its newline included
  seq 1000 | ringway queue put jobs --lines --close  the same, and whoever gets ends when all are done
  ringway queue put jobs picture.jpg                 the whole file is one message

Exit status: 0 if all was put; 1 if not, because the input could not be read, a message is too long, the queue is
closed, or the file system is full. What came before is in the queue then, and it is not closed.")]
pub(super) struct PutArgs {
    /// The name, or the absolute path of a file
    name: String,
    /// What to put; standard input if left out or `-`
    file: Option<PathBuf>,
    /// One message a line. Messages keep their line ending; the last may have none
    #[arg(long, group = "cut")]
    lines: bool,
    /// One message for so many bytes; K, M and G are powers of two
    #[arg(long, value_name = "N", group = "cut", value_parser = parse_block)]
    block: Option<usize>,
    /// The input already consists of messages, each after its length as a little-endian u32
    #[arg(long, group = "cut")]
    length_prefixed: bool,
    /// Close the queue when all is in it: nobody can put more, whoever gets ends when all is done
    #[arg(long)]
    close: bool,
    /// Make the queue if it is missing, as `ringway queue create` does by default
    #[arg(long)]
    create: bool,
}

impl PutArgs {
    fn framing(&self) -> Framing {
        match (self.lines, self.length_prefixed) {
            (true, _) => Framing::Lines,
            (_, true) => Framing::LengthPrefixed,
            _ => self.block.map_or(Framing::Whole, Framing::Blocks),
        }
    }
}

/// Puts.
pub(super) fn run(args: &PutArgs) -> Result<(), Failure> {
    let input = Input::open(args.file.as_deref())?;
    let signals = Signals::take().context(|| "cannot watch for signals".into())?;
    let name = &args.name;
    let handle =
        if args.create { Handle::open_or_create(name, &Making::default())? } else { Handle::open(name)? };
    let max = handle.max_message();
    let framing = args.framing();
    if let Framing::Blocks(len) = framing
        && len > max
    {
        return Err(Failure::Runtime(format!(
            "{name}: a message has at most {} bytes there",
            units::count(max as u64)
        )));
    }
    let (count, interrupt) = (Count::default(), Interrupt::default());
    let subject = Attended { handle: &handle, interrupt: &interrupt, grace: GRACE, when_empty: "all is got" };
    let outcome = thread::scope(|scope| {
        let watched = Watched {
            name,
            count: &count,
            total: input.total,
            may_draw: !input.is_terminal,
            subject: &subject,
        };
        let monitor = Monitor::start(scope, &signals, watched)?;
        let outcome = pump(input.file, framing, max, |message| {
            handle.send(message, &interrupt).map_err(|error| explain(name, error, &count))?;
            count.add(message.len());
            Ok(())
        });
        drop(monitor);
        outcome.map_err(|stop| match stop {
            Stop::Ring(failure) => failure,
            Stop::Input(failure) => so_far(&failure, &count),
        })
    });
    let outcome = outcome.and_then(|()| match handle.is_deserted() {
        true => Err(Failure::Runtime(format!("{name}: {DESERTED}"))),
        false => Ok(()),
    });
    if args.close && outcome.is_ok() && interrupt.signal().is_none() {
        handle.close();
    }
    drop(handle);
    match interrupt.signal() {
        Some(signal) => sys::die_of(signal),
        None => outcome,
    }
}

/// A failure, and what was put before it.
fn so_far(failure: &Failure, count: &Count) -> Failure {
    let put = units::count(count.messages());
    Failure::Runtime(format!("{failure}; {put} messages before that were put"))
}

fn explain(name: &str, error: Unsent, count: &Count) -> Failure {
    let why = match error {
        Unsent::Interrupted => "interrupted".into(),
        Unsent::Deserted => DESERTED.into(),
        Unsent::Failed(SendError::Closed) => "the queue is closed".into(),
        Unsent::Failed(error) => error.to_string(),
    };
    so_far(&Failure::Runtime(format!("{name}: {why}")), count)
}

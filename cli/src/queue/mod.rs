//! `ringway queue`: queues for shell scripts.

mod exec;
mod get;
mod handle;
mod letters;
mod put;
mod tally;

use std::io::{self, Write};

use clap::{Args, Subcommand};
use ringway::{
    Kind, RecvError,
    inspect::{self, Detail},
};

use self::{get::GetArgs, handle::Handle, put::PutArgs};
use crate::{args::parse_bytes, error::Failure, stat};

/// Feeds workers: any number of processes put messages into a queue, any number get them, each goes to one
///
/// A queue lasts until `ringway rm`, whoever comes and goes. Unless made with --plain, it keeps each message until
/// whoever got it is done with it: if that one dies, another gets it. So nothing is lost, but work that was cut off is
/// done twice.
///
/// A tally queue, such as Python's ringway.JoinableQueue(name=...), only counts: what a killed process had got is gone,
/// and stays unfinished. What Python puts by `put_bytes` comes out as it is, and what is put here Python gets by
/// `get_bytes`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ringway queue create jobs
  ringway queue get jobs --exec ./work        in as many shells as there shall be workers
  ls *.wav | ringway queue put jobs --lines --close")]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    Create(CreateArgs),
    Put(PutArgs),
    Get(GetArgs),
    Close(CloseArgs),
    Stat(QueueStatArgs),
    Drain(DrainArgs),
}

/// Makes a queue
///
/// Memory is taken at once for messages of the usual size; for larger ones when they come.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status: 0 if it was made; 1 if there is something of that name, or no room for it.")]
struct CreateArgs {
    /// The name, or the absolute path of a file to be the queue
    name: String,
    #[command(flatten)]
    making: Making,
}

/// How a queue is made.
#[derive(Args, Clone, Debug, Default)]
struct Making {
    /// How many messages it holds, besides those that are being worked on [default: 1024]
    #[arg(long, value_name = "N")]
    capacity: Option<usize>,
    /// The usual size of a message; larger ones share other memory [default: 256]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    message_size: Option<usize>,
    /// How many messages may be worked on without taking memory from those that wait [default: 254]
    #[arg(long, value_name = "N")]
    max_held: Option<usize>,
    /// How much memory messages of more than 64K may take together; none is longer than that [default: 1G]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    max_bytes: Option<usize>,
    /// A message is gone as soon as somebody has got it: faster, no --exec, and lost if that process dies
    #[arg(long)]
    plain: bool,
    /// Counts what was put and what is done, and no more: what Python's ringway.JoinableQueue(name=...) is
    #[arg(long, conflicts_with = "plain")]
    tally: bool,
}

/// Says that nothing more will be put: whoever gets ends when all is done
///
/// What is in the queue can still be got. A closed queue cannot be opened again; closing it twice is no error.
#[derive(Args, Debug)]
struct CloseArgs {
    /// The name, or the absolute path of a file
    name: String,
}

/// Shows a queue: what is in it, who works on what, what was delivered again
///
/// The same as `ringway stat`, for queues only.
#[derive(Args, Debug)]
struct QueueStatArgs {
    #[command(flatten)]
    stat: stat::StatArgs,
}

/// Throws away all messages that wait in a queue, and says how many those were
///
/// Those that somebody works on are left to him.
#[derive(Args, Debug)]
struct DrainArgs {
    /// The name, or the absolute path of a file
    name: String,
}

/// Does what the command line says.
pub(crate) fn run(args: &QueueArgs) -> Result<(), Failure> {
    match &args.command {
        QueueCommand::Create(args) => Handle::create(&args.name, &args.making).map(drop),
        QueueCommand::Put(args) => put::run(args),
        QueueCommand::Get(args) => get::run(args),
        QueueCommand::Close(args) => {
            Handle::open(&args.name)?.close();
            Ok(())
        }
        QueueCommand::Stat(args) => show(&args.stat),
        QueueCommand::Drain(args) => drain(&args.name),
    }
}

fn show(args: &stat::StatArgs) -> Result<(), Failure> {
    stat::show(args, |seen| match seen.detail {
        Detail::Queue(_) => Ok(()),
        _ => Err(Failure::Runtime(format!("{}: this is {}, no queue", args.name, seen.kind))),
    })
}

fn drain(name: &str) -> Result<(), Failure> {
    let queue = Handle::open(name)?;
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    let end = loop {
        match queue.try_recv() {
            Ok(message) => {
                bytes += message.len() as u64;
                messages += 1;
                message.done(name)?;
            }
            Err(RecvError::Empty | RecvError::Timeout | RecvError::Closed) => break Ok(()),
            Err(error) => break Err(Failure::Runtime(format!("{name}: {error}"))),
        }
    };
    let text = format!("{messages} messages, {bytes} bytes\n");
    io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::from_stdout)?;
    end
}

/// Whether it is a queue that this command can put into and get from.
pub(crate) fn is_of_bytes(seen: &inspect::Object) -> bool {
    match seen.kind {
        Kind::ByteQueue | Kind::TallyQueue => true,
        // Those of plain values have the size of the value.
        Kind::JoinableQueue => (seen.element_size, seen.element_align) == (1, 8),
        _ => false,
    }
}

/// Opens a queue with messages in it, or that are being worked on, so that nobody takes it for a leftover.
pub(crate) fn hold_if_filled(name: &str, seen: &inspect::Object) -> Option<impl Sized + use<>> {
    let Detail::Queue(queue) = &seen.detail else { return None };
    let tasks = queue.in_hand.iter().map(|hand| u64::from(hand.tasks)).sum::<u64>();
    // What was handed out and is not done is counted nowhere else.
    let unfinished = queue.tally.as_ref().map_or(0, |tally| tally.unfinished);
    let is_filled = is_of_bytes(seen) && queue.held + tasks + unfinished > 0;
    // What cannot be opened is either in use or of no use to anybody.
    is_filled.then(|| Handle::open(name).ok()).flatten()
}

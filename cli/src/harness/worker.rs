//! The other process, seen from inside: it serves the far end of a transport.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    os::fd::{OwnedFd, RawFd},
};

use clap::Args;

use super::control::{GO, Report, Said};
use crate::{
    error::{Context, Failure},
    sys,
    transport::{
        Link, Mode, TickLink, Transport, Work, with_transport,
        work::{PassSum, TickSum, fill_message, read_message},
    },
};

/// The arguments of a worker.
#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    transport: crate::transport::Kind,
    #[arg(long)]
    mode: Mode,
    #[arg(long)]
    work: Work,
    #[arg(long)]
    cpu: usize,
    #[arg(long, value_delimiter = ',', required = true)]
    fds: Vec<RawFd>,
}

/// Serves one measurement. A failure is told to the parent and returned.
pub(crate) fn run(args: &WorkerArgs) -> Result<(), Failure> {
    let fds = adopt_all(&args.fds)?;
    sys::pin_to(args.cpu).context(|| format!("cannot run on CPU {}", args.cpu))?;
    match with_transport!(args.transport, args.work.message_len(), serve(fds, args.mode, args.work)) {
        Ok(report) => say(&Said::Report(report)),
        Err(error) => {
            // The parent may be gone; then nobody is left to tell.
            let _ = say(&Said::Failed(error.to_string()));
            Err(Failure::Io("the worker failed".into(), error))
        }
    }
    .map_err(|error| match error {
        Failure::ReaderGone => Failure::Runtime("the parent has gone".into()),
        other => other,
    })
}

/// Takes over the descriptors that were named on the command line.
fn adopt_all(numbers: &[RawFd]) -> Result<Vec<OwnedFd>, Failure> {
    let distinct: BTreeSet<_> = numbers.iter().collect();
    let ours = |&&fd: &&RawFd| fd > 2 && sys::is_open(fd);
    if distinct.len() != numbers.len() || numbers.iter().filter(ours).count() != numbers.len() {
        let text = format!("{numbers:?} are not open descriptors: ringway starts its workers by itself");
        return Err(Failure::Usage(text));
    }
    // SAFETY: each was just seen to be open, is no standard stream, and occurs once; this process has opened
    // nothing else yet, so they are what its parent handed over.
    Ok(numbers.iter().map(|&fd| unsafe { sys::adopt(fd) }).collect())
}

fn say(said: &Said) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{said}").and_then(|()| out.flush()).map_err(Failure::from_stdout)
}

/// Says that all is ready and waits for the word.
fn await_go() -> io::Result<()> {
    say(&Said::Ready).map_err(|failure| io::Error::other(failure.to_string()))?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    match line.trim_end() {
        GO => Ok(()),
        other => Err(io::Error::other(format!("heard {other:?} where \"{GO}\" was due"))),
    }
}

fn serve<T: Transport>(fds: Vec<OwnedFd>, mode: Mode, work: Work) -> io::Result<Report> {
    let (count, sum) = match work {
        Work::Ticks => {
            let mut link = T::tick_accept(fds, mode)?;
            await_go()?;
            receive_ticks(&mut link)?
        }
        Work::Messages(len) => {
            let mut link = T::accept(fds, mode, work)?;
            await_go()?;
            receive_messages(&mut link, len)?
        }
        Work::Bytes(pass_len) => {
            let mut link = T::accept(fds, mode, work)?;
            await_go()?;
            receive_bytes(&mut link, pass_len)?
        }
        Work::Echo(len) => {
            let mut link = T::accept(fds, mode, work)?;
            await_go()?;
            echo(&mut link, len)?
        }
    };
    Ok(Report { count, sum, end_ns: sys::now_ns() })
}

fn receive_ticks(link: &mut impl TickLink) -> io::Result<(u64, u64)> {
    let (mut count, mut sum) = (0, TickSum::default());
    while let Some(tick) = link.recv_tick()? {
        sum.add(&tick);
        count += 1;
    }
    Ok((count, sum.value()))
}

/// The order is checked on the way: each message names its number in its first word.
fn receive_messages(link: &mut impl Link, len: usize) -> io::Result<(u64, u64)> {
    let (mut count, mut sum) = (0u64, 0u64);
    while let Some((first, read)) = link.recv_with(len, read_message)? {
        if first != crate::transport::work::message_base(count) {
            return Err(io::Error::other(format!("message {count} is not the one that was sent")));
        }
        sum = sum.wrapping_add(read);
        count += 1;
    }
    Ok((count, sum))
}

fn receive_bytes(link: &mut impl Link, pass_len: u64) -> io::Result<(u64, u64)> {
    let (mut count, mut sum) = (0, PassSum::new(pass_len));
    while let Some(len) = link.recv_chunk(|bytes| {
        sum.update(bytes);
        bytes.len() as u64
    })? {
        count += len;
    }
    Ok((count, sum.value()))
}

/// Answers each message with one of the same length whose words start from the complement.
fn echo(link: &mut impl Link, len: usize) -> io::Result<(u64, u64)> {
    let (mut count, mut sum) = (0, 0u64);
    while let Some((first, read)) = link.recv_with(len, read_message)? {
        link.send_with(len, |answer| fill_message(answer, !first))?;
        sum = sum.wrapping_add(read);
        count += 1;
    }
    Ok((count, sum))
}

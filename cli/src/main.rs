//! The `ringway` command: shows and measures what Ringway does, and gives shells access to its rings, queues
//! and locks.

mod args;
mod bench;
mod command;
mod demo;
mod error;
mod event;
mod framing;
mod harness;
mod leash;
mod list;
mod lock;
mod monitor;
mod names;
mod patience;
mod program;
mod queue;
mod recv;
mod rendezvous;
mod report;
mod sem;
mod send;
mod stat;
mod sys;
mod transport;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use error::Failure;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Recv(args) => recv::run(&args),
        Command::Queue(args) => queue::run(&args),
        Command::Lock(args) => lock::run(&args),
        Command::Sem(args) => sem::run(&args),
        Command::Event(args) => event::run(&args),
        Command::Ls(args) => list::ls(&args),
        Command::Stat(args) => stat::run(&args),
        Command::Rm(args) => list::rm(&args),
        Command::Clean(args) => list::clean(&args),
        Command::Worker(args) => harness::worker::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text() {
                monitor::tell(text);
            }
            if let Failure::Signal(signal) = failure {
                sys::die_of(signal);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

//! The `ringway` command: shows and measures what Ringway does, and gives shells access to its rings.

mod args;
mod bench;
mod demo;
mod error;
mod framing;
mod harness;
mod list;
mod monitor;
mod queue;
mod recv;
mod rendezvous;
mod report;
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
        Command::Ls(_) => list::ls(),
        Command::Stat(args) => stat::run(&args),
        Command::Rm(args) => list::rm(&args),
        Command::Clean(args) => list::clean(&args),
        Command::Worker(args) => harness::worker::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::ReaderGone) {
                eprintln!("ringway: {failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

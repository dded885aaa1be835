//! The soak: companies of processes talk through Ringway while a supervisor kills and stops them at random, and every
//! message is accounted for.

mod actor;
mod args;
mod audit;
mod board;
mod episode;
mod janitor;
mod message;
mod plan;
mod random;
mod scenarios;
mod supervisor;
mod sys;
mod tally;
mod watch;
mod widen;
mod worker;

use args::Order;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    match words.peek().map(String::as_str) {
        Some(worker::ROLE) => return worker::run(words.skip(1)),
        Some(janitor::ROLE) => return janitor::run(words.nth(1)),
        _ => {}
    }
    match args::parse(words) {
        Ok(Order::Soak(args)) => supervisor::run(&args),
        Ok(Order::Help) => {
            print!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Order::List) => {
            for scenario in scenarios::ALL {
                println!("{:10} {}", scenario.name(), scenario.about());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

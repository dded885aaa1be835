//! The command line.

use crate::{scenarios, sys, widen};

pub(crate) const HELP: &str = "\
Kills and stops real processes at random, and counts what becomes of every message.

Usage: soak [OPTIONS] [SECONDS]

  SECONDS            how long (10)
  --seed N           the seed of every choice (the clock)
  --scenario NAME    only this one; can be given several times
  --list             say which there are
  --episode N        play the Nth episode of this seed again and again
  --jobs N           episodes at once (2); each has up to four processes
  --plant SITE       break this step of the library in the members, which must be noticed; needs a build
                     with RUSTFLAGS=\"--cfg ringway_instruments\"
  --keep-going       do not stop at the first violation
  --verbose          a line for each episode

With RUSTFLAGS=\"--cfg ringway_instruments\" members are held up at their accesses to shared memory, and most are
killed there: those are the kills \"inside an operation\". Without, that means: between call and return.

A stall is the longest time for which somebody could not go on although it was alive, it and whom it waits for were
not stopped, and what it waits for was there. It includes the noise of the machine, as far as the supervisor did not
suffer from it too; 20 s are a violation, with a planted bug 4 s.

The last line is what happened. The exit code is 1 if anything was violated, or if nothing happened.
";

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Args {
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) scenarios: Vec<usize>,
    pub(crate) episode: Option<u64>,
    pub(crate) jobs: usize,
    pub(crate) plant: String,
    pub(crate) keep_going: bool,
    pub(crate) verbose: bool,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Order {
    Soak(Args),
    Help,
    List,
}

/// Reads the command line, or says what is wrong with it.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut args = Args {
        seconds: 10,
        seed: sys::now() ^ u64::from(std::process::id()) << 40,
        scenarios: Vec::new(),
        episode: None,
        jobs: 2,
        plant: String::new(),
        keep_going: false,
        verbose: false,
    };
    // Short enough to be typed.
    args.seed %= 1_000_000_000;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match &*word {
            "--help" | "-h" => return Ok(Order::Help),
            "--list" => return Ok(Order::List),
            "--seed" => args.seed = number(&value()?)?,
            "--episode" => args.episode = Some(number(&value()?)?),
            "--jobs" => args.jobs = number(&value()?)?.clamp(1, 16) as usize,
            "--plant" => args.plant = value()?,
            "--scenario" => {
                let name = value()?;
                let found = scenarios::ALL.iter().position(|scenario| scenario.name() == name);
                args.scenarios
                    .push(found.ok_or_else(|| format!("there is no scenario {name:?}; see --list"))?);
            }
            "--keep-going" => args.keep_going = true,
            "--verbose" | "-v" => args.verbose = true,
            _ if word.starts_with('-') => return Err(format!("{word} is no option; see --help")),
            _ => args.seconds = number(&word)?,
        }
    }
    if args.scenarios.is_empty() {
        args.scenarios = (0..scenarios::ALL.len()).collect();
    }
    if !args.plant.is_empty() && !widen::AVAILABLE {
        return Err("--plant needs a build with RUSTFLAGS=\"--cfg ringway_instruments\"".to_owned());
    }
    Ok(Order::Soak(args))
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

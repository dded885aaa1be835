//! Runs episode after episode until the time is over, and tells what happened.

use crate::args::Args;
use crate::episode::{Episode, House};
use crate::janitor::Janitor;
use crate::random::{Random, mix};
use crate::scenarios::{self, Scenario};
use crate::tally::Tally;
use crate::{sys, widen};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Between two looks at everybody.
const TICK: Duration = Duration::from_micros(500);

/// Does what was asked for.
pub(crate) fn run(args: &Args) -> ExitCode {
    println!(
        "soak: {} s, seed {}, {} build{}",
        args.seconds,
        args.seed,
        if widen::AVAILABLE { "instrumented" } else { "shipping" },
        if args.plant.is_empty() { String::new() } else { format!(", {} broken", args.plant) }
    );
    match soak(args) {
        Ok(total) => {
            // A build that holds members up and never does has tested something else than it says.
            let inert = widen::AVAILABLE && total.inside == 0;
            let nothing = total.kills == 0 || total.messages == 0 || inert;
            if nothing {
                println!("soak: nothing happened{}", if inert { " inside an operation" } else { "" });
            }
            println!("soak: {total}, seed {}", args.seed);
            ExitCode::from(u8::from(nothing || total.violations > 0))
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Soak<'a> {
    args: &'a Args,
    house: House,
    /// By scenario.
    tallies: Vec<Tally>,
    began: u64,
    /// Which episode is the next, and which scenarios are still to come in this round.
    next: u64,
    round: Vec<usize>,
    serial: u64,
    shows_progress: bool,
}

fn soak(args: &Args) -> io::Result<Tally> {
    let root = PathBuf::from(format!("/dev/shm/ringway-soak-{}", std::process::id()));
    std::fs::create_dir(&root)?;
    let program = std::env::current_exe()?;
    let janitor = Janitor::hire(&program, &root)?;
    let each = args.seconds * 1000 * args.jobs as u64 / args.scenarios.len() as u64;
    let house =
        House { program, root: root.clone(), plant: args.plant.clone(), run_millis: each.clamp(300, 2000) };
    let mut soak = Soak {
        args,
        house,
        tallies: vec![Tally::default(); scenarios::ALL.len()],
        began: sys::now(),
        next: 0,
        round: Vec::new(),
        serial: 0,
        shows_progress: io::stderr().is_terminal(),
    };
    // If this fails, the members die with us, and the janitor goes after them.
    soak.run()?;
    soak.clear_progress();
    janitor.dismiss()?;
    if root.exists() {
        return Err(io::Error::other(format!("{} is still there", root.display())));
    }
    Ok(soak.report())
}

impl Soak<'_> {
    fn run(&mut self) -> io::Result<()> {
        let end = self.began + self.args.seconds * 1_000_000_000;
        let mut playing: Vec<Episode> = Vec::new();
        let mut drawn = 0;
        loop {
            let now = sys::now();
            let going_on = self.args.keep_going || self.tallies.iter().all(|tally| tally.violations == 0);
            let unplayed = self.next < self.args.scenarios.len() as u64 && self.args.episode.is_none();
            if playing.len() < self.args.jobs && going_on && (now < end || unplayed) {
                playing.push(self.begin()?);
            }
            if !going_on {
                return playing.into_iter().try_for_each(Episode::abandon);
            }
            if playing.is_empty() {
                return Ok(());
            }
            let mut at = 0;
            while at < playing.len() {
                if playing[at].step(now) {
                    let episode = playing.swap_remove(at);
                    self.end(&episode);
                } else {
                    at += 1;
                }
            }
            if self.shows_progress && now > drawn + 200_000_000 {
                drawn = now;
                self.show_progress(&playing, now);
            }
            sys::nap(TICK);
        }
    }

    fn begin(&mut self) -> io::Result<Episode> {
        let number = self.args.episode.unwrap_or(self.next);
        let (scenario, seed) = self.draw(number);
        self.next += 1;
        self.serial += 1;
        Episode::start(&self.house, scenario, number, seed, self.serial)
    }

    /// What the episode of this number is. All scenarios come once in a round, each round in another order.
    fn draw(&mut self, number: u64) -> (&'static dyn Scenario, u64) {
        let count = self.args.scenarios.len() as u64;
        let (round, place) = (number / count, number % count);
        let mut random = Random::new(mix(self.args.seed, round));
        self.round.clone_from(&self.args.scenarios);
        for at in (1..self.round.len()).rev() {
            self.round.swap(at, random.below(at as u64 + 1) as usize);
        }
        (scenarios::ALL[self.round[place as usize]], mix(self.args.seed, number ^ 1 << 63))
    }

    fn end(&mut self, episode: &Episode) {
        let name = episode.scenario.name();
        if self.args.verbose || !episode.faults.is_empty() {
            self.clear_progress();
            let Tally { messages, who, .. } = &episode.tally;
            println!("{name}: episode {}: {messages} messages, {} ({who})", episode.number, episode.tally);
        }
        if !episode.faults.is_empty() {
            for fault in &episode.faults {
                println!("{name}: VIOLATION: {fault}");
            }
            println!("{name}: seed {}; again: {}", self.args.seed, self.command(episode.number));
        }
        let at = scenarios::ALL.iter().position(|scenario| scenario.name() == name);
        if let Some(tally) = at.and_then(|at| self.tallies.get_mut(at)) {
            tally.add(&episode.tally);
        }
    }

    /// The command that plays an episode again.
    fn command(&self, episode: u64) -> String {
        let mut command =
            format!("{} 60 --seed {} --episode {episode}", self.house.program.display(), self.args.seed);
        if self.args.scenarios.len() < scenarios::ALL.len() {
            for &at in &self.args.scenarios {
                command += &format!(" --scenario {}", scenarios::ALL[at].name());
            }
        }
        if !self.args.plant.is_empty() {
            command += &format!(" --plant {}", self.args.plant);
        }
        command
    }

    fn report(&self) -> Tally {
        let mut total = Tally::default();
        for (scenario, tally) in scenarios::ALL.iter().zip(&self.tallies) {
            if tally.episodes == 0 {
                continue;
            }
            total.add(tally);
            println!(
                "{:8} {} messages in {} episodes, {tally}",
                scenario.name(),
                tally.messages,
                tally.episodes
            );
        }
        println!("repaired: {}; recovered: {}", total.repairs_by_kind(), total.recoveries_by_kind());
        println!(
            "{} clean exits; {} messages went with receivers that were killed while they took them; the longest \
             stall was {}",
            total.exits,
            total.taken_along,
            if total.who.is_empty() { "nobody's" } else { &total.who }
        );
        total
    }

    fn show_progress(&self, playing: &[Episode], now: u64) {
        let mut total = Tally::default();
        self.tallies
            .iter()
            .chain(playing.iter().map(|episode| &episode.tally))
            .for_each(|tally| total.add(tally));
        let names: Vec<&str> = playing.iter().map(|episode| episode.scenario.name()).collect();
        eprint!(
            "\r\x1b[2K{} s of {}: {} kills, {} stops ({})",
            (now - self.began) / 1_000_000_000,
            self.args.seconds,
            total.kills,
            total.stops,
            names.join(", ")
        );
        let _ = io::stderr().flush();
    }

    fn clear_progress(&self) {
        if self.shows_progress {
            eprint!("\r\x1b[2K");
        }
    }
}

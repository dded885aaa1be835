//! The command line.

use crash_tests::planted::{self, PLANTED, Planted};
use crash_tests::scenario::Scenario;
use crash_tests::worker::{Outcome, Thoroughness, Worker};
use crash_tests::{crew, process, scenarios};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

const HELP: &str = "\
Kills a process after each instruction of each operation, and sees what its peers are left with.

usage: crash [OPTION…] [NAME…]      scenarios whose names contain one of the NAMEs; without any, all

  --list            the scenarios, and stop
  --count           how many instructions each has, without a kill, and stop
  --where           the same, and in which functions most of them are
  --every           kill at all instructions of long operations too, not only where others see a difference
  --step N          kill once, at instruction N of the one scenario named, and tell all about it
  --plant SITE      break that step first, and stop at the first violation (needs a build with instruments)
  --planted         for each bug of the list, plant it and let the scenarios find it (the same)
  --patience S      call it a violation if a survivor waits longer than S seconds (20; with planted bugs 3)
  --help            this

The last line is `N kills, 0 violations`; otherwise the exit code is 1.";

#[derive(Debug, Default)]
struct Wanted {
    list: bool,
    count: bool,
    places: bool,
    every: bool,
    step: Option<usize>,
    plant: Option<String>,
    planted: bool,
    patience: Option<u64>,
    names: Vec<String>,
}

pub(crate) fn run() -> ExitCode {
    let wanted = match parse(std::env::args().skip(1)) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => return usage(&why),
    };
    let all = scenarios::all();
    // A whole name means that scenario, a part of one all that contain it.
    let is_whole = |name: &str| all.iter().any(|scenario| scenario.name() == name);
    let means = |name: &str, scenario: &Scenario| {
        if is_whole(name) { scenario.name() == name } else { scenario.name().contains(name) }
    };
    let is_named = |scenario: &&Scenario| {
        wanted.names.is_empty() || wanted.names.iter().any(|name| means(name, scenario))
    };
    let chosen: Vec<&Scenario> = all.iter().filter(is_named).collect();
    if wanted.list {
        chosen.iter().for_each(|scenario| println!("{}", scenario.name()));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() && !wanted.planted {
        return usage("no scenario has such a name");
    }
    let patient = if wanted.planted || wanted.plant.is_some() { 3 } else { 20 };
    process::set_patience(wanted.patience.unwrap_or(patient));
    process::turn_panics_into_violations();
    if wanted.planted {
        return find_all(&all, &wanted.names);
    }
    if let Some(site) = &wanted.plant
        && !planted::plant(site.clone().leak())
    {
        return no_instruments();
    }
    if wanted.count || wanted.places {
        return count(&chosen, wanted.places);
    }
    match (wanted.step, &chosen[..]) {
        (Some(number), [scenario]) => step(scenario, number),
        (Some(_), _) => usage("--step needs the name of one scenario"),
        (None, _) => {
            let stop_at_first = wanted.plant.is_some();
            kill_everywhere(&chosen, Thoroughness { stop_at_first, at_every_one: wanted.every })
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Wanted>, String> {
    let mut wanted = Wanted::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let bad = |_| format!("{word} needs a number");
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--list" => wanted.list = true,
            "--every" => wanted.every = true,
            "--count" => wanted.count = true,
            "--where" => wanted.places = true,
            "--planted" => wanted.planted = true,
            "--step" => wanted.step = Some(value()?.parse().map_err(bad)?),
            "--patience" => wanted.patience = Some(value()?.parse().map_err(bad)?),
            "--plant" => wanted.plant = Some(value()?),
            _ if word.starts_with('-') => return Err(format!("no such option: {word}")),
            _ => wanted.names.push(word),
        }
    }
    Ok(Some(wanted))
}

fn usage(why: &str) -> ExitCode {
    eprintln!("crash: {why}\n{HELP}");
    ExitCode::from(2)
}

fn no_instruments() -> ExitCode {
    usage("bugs can be planted only in a build with RUSTFLAGS=--cfg=ringway_instruments")
}

fn kill_everywhere(chosen: &[&Scenario], thoroughness: Thoroughness) -> ExitCode {
    let terminal = std::io::stderr().is_terminal();
    let mut total = Outcome::default();
    let worked = crew::work(
        chosen,
        thoroughness,
        |progress| {
            if terminal {
                eprint!("\r{} of {} scenarios, {} kills ", progress.done, chosen.len(), progress.kills);
                let _ = std::io::stderr().flush();
            }
        },
        |scenario, outcome| {
            if terminal {
                eprint!("\r\x1b[K");
            }
            println!("{}", line(scenario, &outcome));
            total.kills += outcome.kills;
            outcome.violations.iter().for_each(|violation| println!("{violation}"));
            total.violations.extend(outcome.violations.iter().cloned());
            total.violations.extend(outcome.trouble.map(|trouble| format!("{}: {trouble}", scenario.name())));
            outcome.violations.is_empty() || !thoroughness.stop_at_first
        },
    );
    if let Err(error) = worked {
        eprintln!("crash: {error}");
        return ExitCode::FAILURE;
    }
    // Once more, where a log that is cut off at its top still has them.
    total.violations.iter().for_each(|violation| println!("{violation}"));
    println!("{} kills, {} violations", total.kills, total.violations.len());
    if total.kills > 0 && total.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One operation.
fn line(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut line = format!(
        "{}: {} instructions, {} kills, {} violations",
        scenario.name(),
        outcome.instructions,
        outcome.kills,
        outcome.violations.len()
    );
    if outcome.sleeps > 0 {
        line += &format!("; asleep {} times", outcome.sleeps);
    }
    if !outcome.effects.is_empty() {
        let numbers: Vec<_> = outcome.effects.iter().map(usize::to_string).collect();
        line += &format!("; takes effect at {}", numbers.join(", "));
    }
    if outcome.astray > 0 {
        line += &format!("; {} astray", outcome.astray);
    }
    if outcome.missed > 0 {
        line += &format!("; {} not met again", outcome.missed);
    }
    line
}

/// Says how long the operations are.
fn count(chosen: &[&Scenario], places: bool) -> ExitCode {
    let mut failures = 0;
    let mut total = 0;
    for scenario in chosen {
        match Worker::new(scenario).map_err(|error| error.to_string()).and_then(|worker| worker.count(places))
        {
            Ok((count, places)) => {
                total += count;
                println!("{}: {count} instructions", scenario.name());
                places.iter().for_each(|(count, place)| println!("    {count} in {place}"));
            }
            Err(why) => {
                failures += 1;
                println!("{}: {why}", scenario.name());
            }
        }
    }
    println!("{total} instructions");
    ExitCode::from(u8::from(failures > 0))
}

fn step(scenario: &Scenario, number: usize) -> ExitCode {
    let worker = match Worker::new(scenario) {
        Ok(worker) => worker,
        Err(error) => return usage(&error.to_string()),
    };
    let settled = process::processors().last().map(|&processor| process::settle_on(processor));
    if let Some(Err(error)) = settled {
        eprintln!("crash: {error}");
    }
    match worker.kill_once(number) {
        Ok((text, outcome)) => {
            print!("{text}");
            println!("1 kills, {} violations", outcome.violations.len());
            ExitCode::from(u8::from(!outcome.violations.is_empty()))
        }
        Err(why) => usage(&why),
    }
}

/// Planted bugs that are searched for at a time. Most of them leave somebody asleep for good, which takes no processor.
const SEARCHES: usize = 6;

/// Plants each bug in a process of its own, because one process can have one bug only.
fn find_all(all: &[Scenario], names: &[String]) -> ExitCode {
    let is_named = |bug: &&Planted| {
        let has = |text: &str| names.iter().any(|name| text.contains(name.as_str()));
        names.is_empty() || has(bug.site) || bug.scenarios.iter().any(|scenario| has(scenario))
    };
    let bugs: Vec<_> = PLANTED.iter().filter(is_named).collect();
    if bugs.is_empty() {
        if !all.iter().any(|scenario| names.iter().any(|name| scenario.name().contains(name.as_str()))) {
            return usage("no planted bug and no scenario has such a name");
        }
        println!("no bug is planted for these scenarios");
        return ExitCode::SUCCESS;
    }
    let mut missed = u32::from(names.is_empty() && !notices_faults());
    let processors = process::processors();
    let mut searches = std::collections::VecDeque::new();
    let mut ended = |pid| missed += u32::from(process::wait(pid) != 0);
    for (number, bug) in bugs.iter().enumerate() {
        if searches.len() == SEARCHES {
            searches.pop_front().into_iter().for_each(&mut ended);
        }
        let processor = processors[number % processors.len()];
        searches.push_back(process::start_check("a search", move || search(bug, all, processor)));
    }
    searches.into_iter().for_each(ended);
    println!("{missed} of {} planted bugs not found", bugs.len());
    ExitCode::from(u8::from(missed > 0))
}

/// Whether the bug is found, in this process.
fn search(bug: &Planted, all: &[Scenario], processor: usize) -> bool {
    if let Err(error) = process::settle_on(processor) {
        say(&format!("planted {}: {error}", bug.site));
        return false;
    }
    process::in_child(|| is_quiet_without(bug, all))
        && process::in_child(|| {
            if !planted::plant(bug.site) {
                no_instruments();
                return false;
            }
            find(bug, all)
        })
}

/// Says something of several lines in one piece, because others speak too.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(format!("{text}\n").as_bytes());
    let _ = std::io::stdout().flush();
}

/// Whether the harness notices what is wrong with scenarios that are wrong.
fn notices_faults() -> bool {
    let faulty = scenarios::faulty();
    let chosen: Vec<_> = faulty.iter().map(|(scenario, _)| scenario).collect();
    let mut noticed = 0;
    let worked = crew::work(
        &chosen,
        Thoroughness::default(),
        |_| {},
        |scenario, outcome| {
            let said = outcome.violations.into_iter().chain(outcome.trouble).collect::<String>();
            let expected = faulty.iter().find(|(other, _)| other.name() == scenario.name());
            if expected.is_some_and(|(_, text)| said.contains(text)) {
                noticed += 1;
            } else {
                println!("a scenario that {} is not noticed: {said}", scenario.name());
            }
            true
        },
    );
    println!("{noticed} of {} faulty scenarios noticed", faulty.len());
    worked.is_ok() && noticed == faulty.len()
}

/// Whether the bug's scenarios find nothing while nothing is broken. Otherwise what they find with the bug (no space in
/// /dev/shm, say) is not the bug.
fn is_quiet_without(bug: &Planted, all: &[Scenario]) -> bool {
    scenarios_of(bug, all).into_iter().all(|scenario| {
        let played =
            Worker::new(scenario).map_err(|error| error.to_string()).and_then(|worker| worker.kill_once(0));
        let why = match played {
            Ok((_, outcome)) => outcome.violations.into_iter().next(),
            Err(why) => Some(why),
        };
        if let Some(why) = &why {
            say(&format!("planted {}: {} fails without it: {why}", bug.site, scenario.name()));
        }
        why.is_none()
    })
}

fn scenarios_of<'a>(bug: &Planted, all: &'a [Scenario]) -> Vec<&'a Scenario> {
    all.iter().filter(|scenario| bug.scenarios.contains(&scenario.name())).collect()
}

fn find(bug: &Planted, all: &[Scenario]) -> bool {
    let chosen = scenarios_of(bug, all);
    if chosen.len() != bug.scenarios.len() {
        say(&format!("planted {}: there is no scenario of that name", bug.site));
        return false;
    }
    let mut found = None;
    let worked = crew::work(
        &chosen,
        Thoroughness { stop_at_first: true, at_every_one: false },
        |_| {},
        |scenario, outcome| {
            // Some bugs need no kill of the victim's: one of those who died before it is enough.
            let violation = outcome.trouble.filter(|trouble| trouble.starts_with("without a kill"));
            let recorded = violation.map(|violation| format!("{}: {violation}", scenario.name()));
            found = outcome.violations.into_iter().next().or(recorded);
            found.is_none()
        },
    );
    say(&match (worked, &found) {
        (Ok(()), Some(found)) => format!("planted {}: found at {found}", bug.site),
        (Ok(()), None) => format!("planted {}: NOT FOUND by {}", bug.site, bug.scenarios.join(", ")),
        (Err(error), _) => format!("planted {}: {error}", bug.site),
    });
    found.is_some()
}

//! Ringway beside its peers: the same work over each, in one run. See `--help`.

mod args;
mod crew;
mod locks;
mod many;
mod payload;
mod plan;
mod report;
mod run;
mod sys;
mod transports;
mod worker;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Parser;

use crate::{
    args::Args,
    plan::{Case, Results},
    report::{Run, json, plots, progress::Progress, table, table::Style, targets},
    run::{Ended, Runner},
    transports::{Peer, Result},
};

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.worker.is_empty() {
        run::work(&args.worker);
    }
    if args.list {
        let list = transports::everybody().filter(|peer| args.wants(peer));
        print!("{}", table::notes(list, Style::of_stdout()));
        return ExitCode::SUCCESS;
    }
    match measure(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, reports; whether everything that had to be measured was.
fn measure(args: &Args) -> Result<bool> {
    let cpus = cpus(args)?;
    let rounds = args.rounds.unwrap_or(if args.quick { 2 } else { 7 });
    let time = Duration::from_millis(args.time.unwrap_or(if args.quick { 40 } else { 100 }));
    let cases = plan::cases(args);
    // Files are opened before, not after, ten minutes of work.
    let json = args.json.as_ref().map(File::create).transpose()?;
    fs::create_dir_all(&args.plots)?;

    let mut runner = Runner::new(cpus, time)?;
    let mut progress = Progress::new(cases.len() * rounds as usize);
    let mut results = Results::default();
    let mut out: Vec<Case> = Vec::new();
    let mut complete = true;
    for round in 0..rounds as usize {
        for case in plan::rotated(&cases, round) {
            progress.step(&format!("round {} of {rounds}, {case}", round + 1));
            if out.contains(&case) {
                continue;
            }
            match runner.run(case) {
                Ended::Measured(outcome) => {
                    for (metric, value) in outcome {
                        results.add(round, case, metric, value);
                    }
                }
                Ended::Unavailable(reason) => {
                    progress.say(&format!("NOT MEASURED: {case}: {reason}"));
                    complete &= case.peer.optional;
                    out.push(case);
                }
                Ended::Failed(reason) => {
                    progress.say(&format!("FAILED: {case}: {reason}"));
                    complete &= case.peer.optional;
                    out.push(case);
                }
            }
        }
    }
    drop(progress);
    drop(runner);
    if results.is_empty() {
        return Err("nothing was measured".into());
    }
    let run = Run { cases, results, machine: run::machine(), commit: commit(), date: date()?, cpus, rounds };
    if let Some(file) = json {
        json::write(&run, BufWriter::new(file))?;
    }
    let files = plots::write(&run, &args.plots)?;
    print(&run, args, &files, &out)?;
    Ok(complete)
}

fn print(run: &Run, args: &Args, files: &[PathBuf], out: &[Case]) -> Result<()> {
    let style = Style::of_stdout();
    let measured = |peer: &&Peer| run.cases.iter().any(|case| case.peer.name == peer.name);
    let peers = transports::everybody().filter(measured);
    let mut text = table::render(run, style);
    text += &format!("\n{}", table::notes(peers, style));
    text += &targets::render(run, style);
    for case in out {
        text += &format!("not measured: {case}\n");
    }
    text.push('\n');
    for file in files.iter().chain(&args.json) {
        text += &format!("wrote {}\n", file.display());
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

/// The CPUs of the two sides.
fn cpus(args: &Args) -> Result<[usize; 2]> {
    let usable = sys::usable_cpus()?;
    let chosen = match args.cpus[..] {
        [near, far] => [near, far],
        _ => *usable
            .first_chunk()
            .ok_or("two CPUs are needed: a side that spins would wait for the other in vain")?,
    };
    if chosen[0] == chosen[1] || !chosen.iter().all(|cpu| usable.contains(cpu)) {
        return Err(format!("CPUs {} and {} are not two of {usable:?}", chosen[0], chosen[1]).into());
    }
    Ok(chosen)
}

/// The revision that is measured, with a + if it has been changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    match (git(&["rev-parse", "--short=10", "HEAD"]), git(&["status", "--porcelain", "--untracked-files=no"]))
    {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => commit + "+",
        (None, _) => "unknown revision".into(),
    }
}

/// Today, in UTC, as year-month-day.
fn date() -> Result<String> {
    let days = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 86_400;
    Ok(civil(days))
}

/// The date so many days after 1970-01-01: Hinnant's algorithm, in which years begin in March.
fn civil(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn dates() {
        assert_eq!(civil(0), "1970-01-01");
        assert_eq!(civil(11_016), "2000-02-29");
        assert_eq!(civil(20_819), "2027-01-01");
    }
}

//! `ringway demo`.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use crate::{
    args::DemoArgs,
    bench::latency_cells,
    error::{Context, Failure},
    harness::{self, Carried, Setup, pace::Limits},
    report::{
        histogram::Histogram,
        progress::Progress,
        style::{Style, stdout_width},
        table::Table,
        units,
    },
    transport::{Kind, Mode, work::TICK_LEN},
};

/// The file is held in memory, so that reading it is no part of what is measured.
const MOST_FILE: u64 = 1_000_000_000;

/// What one transport came to. Typed rings carry no files.
struct Outcome {
    kind: Kind,
    ticks: Carried,
    trips: Histogram,
    bytes: Option<Carried>,
}

/// Steps of the progress bar for each transport.
fn steps(kind: Kind) -> usize {
    if kind.carries_streams() { 3 } else { 2 }
}

/// Runs the demo and prints it.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let setup = Setup::new(args.patience)?;
    let (file, name) = match &args.input {
        Some(path) => (load(path, MOST_FILE)?, path.display().to_string()),
        None => (load(Path::new("/proc/self/exe"), MOST_FILE)?, "this program's own file".into()),
    };
    let mut progress = Progress::new(Kind::CARRIERS.into_iter().map(steps).sum());
    let mut outcomes = Vec::new();
    for kind in Kind::CARRIERS {
        outcomes.push(measure(&setup, kind, &file, args, &mut progress)?);
    }
    drop(progress);
    let text = render(&setup, args, &outcomes, (&file, &name), Style::of_stdout(), stdout_width());
    io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::from_stdout)
}

/// Reads a whole file of at least one and at most `most` bytes.
fn load(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).context(|| format!("cannot open {}", path.display()))?;
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.context(|| format!("cannot read {}", path.display()))?;
    match bytes.len() as u64 {
        0 => Err(Failure::Usage(format!("{} is empty: there is nothing to move", path.display()))),
        len if len > most => {
            let (path, most) = (path.display(), units::bytes(most));
            Err(Failure::Usage(format!("{path} is larger than the {most} the demo holds in memory")))
        }
        _ => Ok(bytes),
    }
}

/// The way of waiting that a program would choose: adaptive where there is a choice.
fn mode_of(kind: Kind) -> Mode {
    let modes = kind.modes();
    if modes.contains(&Mode::Adaptive) { Mode::Adaptive } else { modes[0] }
}

fn measure(
    setup: &Setup,
    kind: Kind,
    file: &[u8],
    args: &DemoArgs,
    progress: &mut Progress,
) -> Result<Outcome, Failure> {
    let mode = mode_of(kind);
    let (whole, len) = (args.size, file.len() as u64);
    progress.begin(format!("{}: ticks", kind.title()));
    // The typed ring carries every tick, whatever the machine does meanwhile; the others as much as fits into
    // their time.
    let limits = if kind == Kind::Spsc { Limits::exactly(whole) } else { Limits::up_to(whole, args.time) };
    let ticks = harness::ticks(setup, kind, mode, limits, progress)?;
    progress.end();
    progress.begin(format!("{}: round trips", kind.title()));
    let trips = harness::round_trips(setup, (kind, mode), TICK_LEN, args.time / 2, progress)?;
    progress.end();
    if !kind.carries_streams() {
        return Ok(Outcome { kind, ticks, trips, bytes: None });
    }
    progress.begin(format!("{}: the file", kind.title()));
    // The byte ring carries the whole file at least once.
    let least = if kind == Kind::Bytes { len } else { 0 };
    let limits = Limits { least, most: u64::MAX, time: args.time / 2 };
    let bytes = harness::bytes(setup, (kind, mode), file, limits, progress)?;
    progress.end();
    Ok(Outcome { kind, ticks, trips, bytes: Some(bytes) })
}

fn render(
    setup: &Setup,
    args: &DemoArgs,
    outcomes: &[Outcome],
    (file, name): (&[u8], &str),
    style: Style,
    width: usize,
) -> String {
    let mut text = format!("Between {}.\n", setup.pins);

    let head = format!("{} market ticks of {TICK_LEN} bytes, one way", units::count(args.size));
    text.push_str(&format!("\n{}\n", style.bold(head)));
    let mut table = Table::new(&["", "moved", "checksum", "ticks"]);
    for Outcome { kind, ticks, .. } in outcomes {
        let sum = format!("✓ {:08x}", ticks.sum >> 32);
        let cells = vec![kind.title().into(), units::count(ticks.count), sum, units::rate(ticks.rate())];
        table.row(cells, Some(ticks.rate()), kind.is_ours());
    }
    text.push_str(&table.render(width, style));

    let head =
        format!("One message of {TICK_LEN} bytes there and back (bars: the median; shorter is better)");
    text.push_str(&format!("\n{}\n", style.bold(head)));
    let mut table = Table::new(&["", "p50", "p99", "p99.9", "max"]);
    for Outcome { kind, trips, .. } in outcomes {
        let mut cells = vec![kind.title().to_owned()];
        cells.extend(latency_cells(trips));
        table.row(cells, Some(trips.percentile(0.5) as f64), kind.is_ours());
    }
    text.push_str(&table.render(width, style));

    let len = file.len() as u64;
    let head = format!("The {} of {name}, over and over, one way", units::bytes(len));
    text.push_str(&format!("\n{}\n", style.bold(head)));
    let mut table = Table::new(&["", "moved", "passes", "checksum", "bytes"]);
    for Outcome { kind, bytes, .. } in outcomes {
        let Some(bytes) = bytes else { continue };
        let sum = format!("✓ {:08x}", bytes.sum >> 32);
        let passes = format!("{:.1}", bytes.count as f64 / len as f64);
        let rate = units::bandwidth(bytes.rate());
        let cells = vec![kind.title().into(), units::bytes(bytes.count), passes, sum, rate];
        table.row(cells, Some(bytes.rate()), kind.is_ours());
    }
    text.push_str(&table.render(width, style));

    let time = |time: Duration| units::nanos(time.as_nanos() as u64);
    text.push_str(&format!(
        "\n✓: sender and receiver came to the same checksum over every byte. All transports send the same\n\
         sequence; all but the typed ring (ticks) and the byte ring (the file) stop when their time is up\n\
         ({} for ticks, {} for the file). Ringway's wait adaptively: they spin for a while, then sleep.\n{}\n",
        time(args.time),
        time(args.time / 2),
        harness::method(setup)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_files_are_refused_with_a_reason() {
        let refused = |path: &str| load(Path::new(path), 1000).unwrap_err();
        assert!(refused("/nonexistent").to_string().starts_with("cannot open /nonexistent: "));
        assert!(refused("/proc/self").to_string().starts_with("cannot read /proc/self: "));
        assert_eq!(refused("/dev/null").exit_code(), 2);
        assert_eq!(
            refused("/dev/zero").to_string(),
            "/dev/zero is larger than the 1.00 kB the demo holds in memory"
        );
    }
}

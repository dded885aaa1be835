//! `ringway bench`.

use std::io::{self, Write};

use crate::{
    args::BenchArgs,
    error::Failure,
    harness::{self, Carried, Setup, pace::Limits, pin::Pins},
    monitor,
    report::{
        histogram::Histogram,
        json::Object,
        progress::Progress,
        style::{Style, stdout_width},
        table::Table,
        units,
    },
    transport::{Kind, Mode},
};

/// One line of the plan: a transport in one mode with one payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    kind: Kind,
    mode: Mode,
    payload: usize,
}

/// What a case came to. Floors carry nothing.
struct Outcome {
    case: Case,
    carried: Option<Carried>,
    trips: Histogram,
}

/// Runs the measurements and prints them.
pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let setup = Setup::new(args.patience)?;
    let (cases, left_out) = plan(args, setup.pins);
    let mut progress = Progress::new(cases.len() * 2);
    let mut outcomes = Vec::with_capacity(cases.len());
    for case in cases {
        let outcome = measure(&setup, case, args, &mut progress)?;
        if args.json {
            print_json(&outcome)?;
        }
        outcomes.push(outcome);
    }
    drop(progress);
    if left_out {
        monitor::tell("with a single usable CPU nothing that spins can be measured; it is left out");
    }
    if args.json { Ok(()) } else { print_tables(&setup, &outcomes) }
}

/// The cases in the order in which they are run; whether some were left out for lack of CPUs. By payload, so
/// that what stands side by side was measured within seconds.
fn plan(args: &BenchArgs, pins: Pins) -> (Vec<Case>, bool) {
    let wanted = |kind: &Kind| args.transports.is_empty() || args.transports.contains(kind);
    let with_modes = |kind: Kind, payload| kind.modes().iter().map(move |&mode| Case { kind, mode, payload });
    let floors = Kind::FLOORS.into_iter().filter(wanted).flat_map(|kind| with_modes(kind, 8));
    let carriers = args.sizes.iter().flat_map(|&payload| {
        let fit = move |kind: &Kind| wanted(kind) && kind.carries(payload);
        Kind::CARRIERS.into_iter().filter(fit).flat_map(move |kind| with_modes(kind, payload))
    });
    let mut cases: Vec<Case> = floors.chain(carriers).collect();
    let all = cases.len();
    if let Pins::One(_) = pins {
        cases.retain(|case| case.mode != Mode::Spin);
    }
    let left_out = cases.len() < all;
    (cases, left_out)
}

fn measure(setup: &Setup, case: Case, args: &BenchArgs, progress: &mut Progress) -> Result<Outcome, Failure> {
    let Case { kind, mode, payload } = case;
    let label = format!("{}, {}", kind.title(), units::payload(payload));
    progress.begin(format!("{label}, one way"));
    let carried = if kind.is_floor() {
        None
    } else {
        let limits = Limits::up_to(u64::MAX, args.time);
        Some(harness::messages(setup, (kind, mode), payload, limits, progress)?)
    };
    progress.end();
    progress.begin(format!("{label}, round trip"));
    let trips = harness::round_trips(setup, (kind, mode), payload, args.time, progress)?;
    progress.end();
    Ok(Outcome { case, carried, trips })
}

/// The percentiles shown, with their names in JSON and in tables.
const PERCENTILES: [(f64, &str, &str); 3] =
    [(0.5, "rtt_p50_ns", "p50"), (0.99, "rtt_p99_ns", "p99"), (0.999, "rtt_p999_ns", "p99.9")];

fn print_json(outcome: &Outcome) -> Result<(), Failure> {
    let Case { kind, mode, payload } = outcome.case;
    let object = |metric| {
        Object::new()
            .string("transport", kind.name())
            .string("mode", mode.name())
            .integer("payload_bytes", payload as u64)
            .string("metric", metric)
    };
    let mut lines = Vec::new();
    if let Some(carried) = outcome.carried {
        lines.push(object("throughput_msgs").number("value", carried.rate()));
        lines.push(object("throughput_bytes").number("value", carried.rate() * payload as f64));
    }
    for (quantile, metric, _) in PERCENTILES {
        lines.push(object(metric).integer("value", outcome.trips.percentile(quantile)));
    }
    lines.push(object("rtt_max_ns").integer("value", outcome.trips.max()));
    let mut out = io::stdout().lock();
    let mut print = || {
        for line in lines.drain(..) {
            writeln!(out, "{}", line.finish())?;
        }
        out.flush()
    };
    print().map_err(Failure::from_stdout)
}

fn print_tables(setup: &Setup, outcomes: &[Outcome]) -> Result<(), Failure> {
    let (style, width) = (Style::of_stdout(), stdout_width());
    let mut text = format!("Between {}.\n", setup.pins);
    let floors: Vec<_> = outcomes.iter().filter(|outcome| outcome.case.kind.is_floor()).collect();
    if !floors.is_empty() {
        let mut table = Table::new(&["round trip, 8 B", "mode", "p50", "p99", "p99.9", "max"]).left(&[1]);
        for outcome in floors {
            let mut cells = vec![outcome.case.kind.title().into(), outcome.case.mode.name().into()];
            cells.extend(latency_cells(&outcome.trips));
            table.row(cells, None, false);
        }
        text.push('\n');
        text.push_str(&table.render(width, style));
    }
    let mut payloads: Vec<usize> = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.case.kind.is_floor()) {
        if !payloads.contains(&outcome.case.payload) {
            payloads.push(outcome.case.payload);
        }
    }
    for payload in payloads {
        let head = units::payload(payload);
        let mut table =
            Table::new(&[&head, "mode", "p50", "p99", "p99.9", "max", "messages", "bytes"]).left(&[1]);
        for outcome in outcomes {
            let Some(carried) = outcome.carried.filter(|_| outcome.case.payload == payload) else { continue };
            let mut cells = vec![outcome.case.kind.title().into(), outcome.case.mode.name().into()];
            cells.extend(latency_cells(&outcome.trips));
            cells.push(units::rate(carried.rate()));
            cells.push(units::bandwidth(carried.rate() * payload as f64));
            table.row(cells, Some(carried.rate()), outcome.case.kind.is_ours());
        }
        text.push('\n');
        text.push_str(&table.render(width, style));
    }
    text.push_str(&format!("\n{}\n", harness::method(setup)));
    io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::from_stdout)
}

/// Percentiles and maximum of round trips, for a table.
pub(crate) fn latency_cells(trips: &Histogram) -> impl Iterator<Item = String> {
    let percentiles = PERCENTILES.map(|(quantile, ..)| trips.percentile(quantile));
    percentiles.into_iter().chain([trips.max()]).map(units::nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn planned(arguments: &[&str], pins: Pins) -> (Vec<Case>, bool) {
        let cli = Cli::parse_from([&["ringway", "bench"], arguments].concat());
        let Command::Bench(args) = cli.command else { panic!("that was bench") };
        plan(&args, pins)
    }

    #[test]
    fn everything_is_planned_unless_asked_otherwise() {
        let (cases, left_out) = planned(&["--sizes", "8,64"], Pins::Two(0, 1));
        let modes = |kinds: &[Kind]| kinds.iter().map(|kind| kind.modes().len()).sum::<usize>();
        assert_eq!(cases.len(), modes(&Kind::FLOORS) + 2 * modes(&Kind::CARRIERS));
        assert!(!left_out);
        let (cases, _) = planned(&["--sizes", "64", "--transports", "tcp"], Pins::Two(0, 1));
        assert_eq!(cases, [Case { kind: Kind::Tcp, mode: Mode::Park, payload: 64 }]);
        let (cases, _) = planned(&["--sizes", "1K,64K", "--transports", "spsc"], Pins::Two(0, 1));
        assert!(cases.len() == 3 && cases.iter().all(|case| case.payload == 1024), "{cases:?}");
    }

    #[test]
    fn nothing_spins_on_a_single_cpu() {
        let (cases, left_out) = planned(&[], Pins::One(3));
        assert!(left_out && !cases.is_empty());
        assert!(cases.iter().all(|case| case.mode != Mode::Spin));
    }
}

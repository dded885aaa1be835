//! Which charts are drawn of a run.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Run,
    chart::{Chart, Line, Marker, Panel, Point, Stroke},
    table,
    units::{self, Unit},
};
use crate::{
    plan::{Case, Work},
    transports::{ALL, Group, Metric, Mode, Place},
};

/// Draws everything there is to draw into `dir`; the files written.
pub(crate) fn write(run: &Run, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut charts = vec![
        (
            "throughput".to_owned(),
            throughput(run, Metric::Messages, "Messages a second, one way", units::rate),
        ),
        ("bandwidth".to_owned(), throughput(run, Metric::Bytes, "Bytes a second, one way", units::bandwidth)),
    ];
    charts.extend(table::sizes(run).into_iter().map(|len| (format!("latency-{len}"), latency(run, len))));
    let mut files = Vec::new();
    for (name, chart) in charts {
        if let Some(drawing) = chart.render() {
            let file = dir.join(name + ".svg");
            fs::write(&file, drawing)?;
            files.push(file);
        }
    }
    Ok(files)
}

fn subtitle(run: &Run) -> String {
    let [near, far] = run.cpus;
    format!(
        "two processes (dotted: two threads) pinned to CPUs {near} and {far} · {} · ringway {} · {} · medians and range of {} rounds",
        run.machine, run.commit, run.date, run.rounds
    )
}

/// Those who keep a processor busy while they wait, and those who may sleep.
fn panels(run: &Run, hide_alone: bool, points: impl Fn(Case) -> Vec<Point>) -> Vec<Panel> {
    let mut panels = [
        Panel { title: "Both sides awake: spinning or polling".into(), lines: Vec::new() },
        Panel { title: "Either side may sleep until it is woken".into(), lines: Vec::new() },
    ];
    for case in table::lines(run) {
        let points = points(case);
        // How often a core can copy eight bytes is nobody's floor.
        if points.is_empty() || case.peer.place == Place::Alone && hide_alone {
            continue;
        }
        let panel = &mut panels[usize::from(!case.mode.is_busy())];
        let name = match case.mode {
            Mode::Adaptive | Mode::Park => format!("{}, {}", case.peer.title, case.mode.name()),
            _ => case.peer.title.into(),
        };
        panel.lines.push(Line { name, points, stroke: stroke(case) });
    }
    panels.into_iter().filter(|panel| !panel.lines.is_empty()).collect()
}

/// Ours in colours that are told apart by every eye (Okabe and Ito's), the others in greys and by their markers.
fn stroke(case: Case) -> Stroke {
    let nth =
        ALL.iter().filter(|peer| peer.group == case.peer.group).position(|peer| peer.name == case.peer.name);
    let nth = nth.unwrap_or(0);
    let hollow = Marker::HOLLOW[nth % Marker::HOLLOW.len()];
    let (colour, marker) = match case.peer.group {
        Group::Ours => (["#c2410c", "#0062a8", "#00805c"][nth % 3], Marker::Disc),
        Group::Library => ("#3f4a58", hollow),
        Group::System => ("#8a94a1", hollow),
        Group::Floor => ("#8b6b00", hollow),
    };
    let bold = case.peer.group == Group::Ours && case.peer.place == Place::Processes;
    let dash = match (case.peer.place, case.mode, case.peer.group) {
        (Place::Threads, ..) => "2 4",
        (_, Mode::Park, _) => "9 4",
        (_, _, Group::System) => "6 3",
        _ => "",
    };
    let width = if bold { 3.2 } else { 1.4 };
    Stroke { colour, width, dash, marker, bold }
}

fn throughput(run: &Run, metric: Metric, title: &str, unit: Unit) -> Chart {
    let sizes = table::sizes(run);
    let points = |line: Case| {
        let point = |(step, &len): (usize, &usize)| {
            let figure = run.results.figure(Case { work: Work::Messages(len), ..line }, metric)?;
            Some(Point { step, value: figure.median, low: figure.low, high: figure.high })
        };
        sizes.iter().enumerate().filter_map(point).collect()
    };
    Chart {
        title: title.into(),
        subtitle: subtitle(run),
        axis: "payload of a message".into(),
        steps: sizes.iter().map(|&len| units::payload(len)).collect(),
        unit,
        panels: panels(run, metric == Metric::Messages, points),
    }
}

fn latency(run: &Run, len: usize) -> Chart {
    let points = |line: Case| {
        let point = |(step, (metric, _)): (usize, (Metric, f64))| {
            let figure = run.results.figure(Case { work: Work::Messages(len), ..line }, metric)?;
            Some(Point { step, value: figure.median, low: figure.low, high: figure.high })
        };
        Metric::TRIPS.into_iter().enumerate().filter_map(point).collect()
    };
    Chart {
        title: format!("Round trip of {} by percentile", units::payload(len)),
        subtitle: subtitle(run),
        axis: "percentile of the round trips".into(),
        steps: ["50", "90", "99", "99.9", "max"].map(str::to_owned).into(),
        unit: units::nanos,
        panels: panels(run, true, points),
    }
}

//! The tables on the terminal.

use std::io::{self, IsTerminal};

use super::{
    Run, locks,
    units::{self, Unit},
};
use crate::{
    plan::{Case, Crew, Figure, Work},
    transports::{ALL, Group, Metric, Peer, Place},
};

/// Whether to use the terminal's colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style(bool);

impl Style {
    pub(crate) fn of_stdout() -> Style {
        Style(io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }
}

/// How a row is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weight {
    Head,
    Normal,
    Ours,
    Bad,
}

/// Cells that line up: the first `left` columns to the left, the others to the right.
#[derive(Debug)]
pub(crate) struct Grid {
    left: usize,
    rows: Vec<(Weight, Vec<String>)>,
}

impl Grid {
    pub(crate) fn new(left: usize, head: Vec<String>) -> Grid {
        Grid { left, rows: vec![(Weight::Head, head)] }
    }

    pub(crate) fn row(&mut self, weight: Weight, cells: Vec<String>) {
        self.rows.push((weight, cells));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    pub(crate) fn render(&self, style: Style) -> String {
        let columns = self.rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        let wide = |text: &str| text.chars().count();
        let width =
            |at: usize| self.rows.iter().filter_map(|(_, cells)| cells.get(at)).map(|cell| wide(cell)).max();
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        let mut out = String::new();
        for (weight, cells) in &self.rows {
            let mut line = String::new();
            for (at, cell) in cells.iter().enumerate() {
                let pad = " ".repeat(widths[at] - wide(cell));
                let gap = if at == 0 { "" } else { "  " };
                let parts = if at < self.left { [gap, cell, &pad] } else { [gap, &pad, cell] };
                line.extend(parts);
            }
            let line = line.trim_end();
            out += &match weight {
                Weight::Head => style.dim(line),
                Weight::Normal => line.into(),
                Weight::Ours => style.bold(line),
                Weight::Bad => style.red(line),
            };
            out.push('\n');
        }
        out
    }
}

/// The spread of a figure about its median: half of what lies between the extremes.
pub(crate) fn spread(figure: Figure) -> String {
    if figure.rounds < 2 {
        return String::new();
    }
    let percent = (figure.high - figure.low) / 2.0 / figure.median * 100.0;
    format!(" ±{}%", percent.round().min(999.0))
}

/// Everything that was measured, metric by metric.
pub(crate) fn render(run: &Run, style: Style) -> String {
    let [near, far] = run.cpus;
    let mut out = format!(
        "{}, CPUs {near} and {far}, {}, {}; medians of {} rounds ± half of what lies between the extremes\n",
        run.machine, run.commit, run.date, run.rounds
    );
    let parts: [(&str, Metric, Unit); 3] = [
        ("messages a second, one way", Metric::Messages, units::rate),
        ("bytes a second, one way", Metric::Bytes, units::bandwidth),
        ("round trip, median", Metric::Rtt50, units::nanos),
    ];
    for (title, metric, unit) in parts {
        out += &by_size(run, title, metric, unit, style);
    }
    out += &percentiles(run, style);
    out += &many(run, style);
    out += &opening(run, style);
    out += &locks::render(run, style);
    out
}

/// The payloads measured, in ascending order.
pub(crate) fn sizes(run: &Run) -> Vec<usize> {
    let mut sizes: Vec<usize> = run
        .cases
        .iter()
        .filter_map(|case| if let Work::Messages(len) = case.work { Some(len) } else { None })
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// A row for each transport and mode, in the order of the list.
pub(crate) fn lines(run: &Run) -> Vec<Case> {
    let mut lines: Vec<Case> = Vec::new();
    for peer in ALL {
        for &mode in peer.modes {
            lines.extend(run.cases.iter().find(|case| case.peer.name == peer.name && case.mode == mode));
        }
    }
    lines
}

pub(super) fn weight(peer: &Peer) -> Weight {
    if peer.group == Group::Ours { Weight::Ours } else { Weight::Normal }
}

fn by_size(run: &Run, title: &str, metric: Metric, unit: Unit, style: Style) -> String {
    let sizes = sizes(run);
    let mut grid = Grid::new(
        2,
        [title.into(), "mode".into()]
            .into_iter()
            .chain(sizes.iter().map(|&len| units::payload(len)))
            .collect(),
    );
    for line in lines(run) {
        let figures: Vec<Option<Figure>> = sizes
            .iter()
            .map(|&len| run.results.figure(Case { work: Work::Messages(len), ..line }, metric))
            .collect();
        if figures.iter().all(Option::is_none) {
            continue;
        }
        let cell = |figure: Option<Figure>| figure.map_or("–".into(), |f| unit(f.median) + &spread(f));
        let mut cells = vec![line.peer.title.to_owned(), line.mode.name().to_owned()];
        cells.extend(figures.into_iter().map(cell));
        grid.row(weight(line.peer), cells);
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", grid.render(style)) }
}

fn percentiles(run: &Run, style: Style) -> String {
    let Some(&len) = sizes(run).first() else { return String::new() };
    let title = format!("round trip, {}", units::payload(len));
    let mut grid =
        Grid::new(2, [&title, "mode", "p50", "p90", "p99", "p99.9", "max"].map(str::to_owned).into());
    for line in lines(run) {
        let case = Case { work: Work::Messages(len), ..line };
        let figures = Metric::TRIPS.map(|(metric, _)| run.results.figure(case, metric));
        if figures.iter().any(Option::is_none) {
            continue;
        }
        let mut cells = vec![line.peer.title.to_owned(), line.mode.name().to_owned()];
        cells.extend(figures.iter().flatten().map(|figure| units::nanos(figure.median)));
        grid.row(weight(line.peer), cells);
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", grid.render(style)) }
}

/// Queues with several at each end: a table for each payload, a column for each crew.
fn many(run: &Run, style: Style) -> String {
    let works: Vec<(usize, Crew)> = run
        .cases
        .iter()
        .filter_map(|case| if let Work::Many(len, crew) = case.work { Some((len, crew)) } else { None })
        .collect();
    let mut lens: Vec<usize> = works.iter().map(|work| work.0).collect();
    lens.dedup();
    let mut out = String::new();
    for len in lens {
        let mut crews: Vec<Crew> =
            works.iter().filter(|work| work.0 == len).map(|work| work.1.batched(1)).collect();
        crews.sort_unstable_by_key(|crew| (crew.users(), crew.receivers));
        crews.dedup();
        let mut batches: Vec<usize> =
            works.iter().filter(|work| work.0 == len).map(|work| work.1.batch).collect();
        batches.sort_unstable();
        batches.dedup();
        let title = format!("messages a second, {}", units::payload(len));
        let mut grid = Grid::new(
            2,
            [title, "mode".into()].into_iter().chain(crews.iter().map(|crew| crew.to_string())).collect(),
        );
        for peer in ALL {
            for (&mode, &batch) in
                peer.modes.iter().flat_map(|mode| batches.iter().map(move |batch| (mode, batch)))
            {
                let figure = |crew: &Crew| {
                    let case = Case { peer, mode, work: Work::Many(len, crew.batched(batch)) };
                    run.results.figure(case, Metric::Messages)
                };
                let figures: Vec<Option<Figure>> = crews.iter().map(figure).collect();
                if figures.iter().all(Option::is_none) {
                    continue;
                }
                let title =
                    if batch == 1 { peer.title.into() } else { format!("{}, by {batch}", peer.title) };
                let cell = |figure: Option<Figure>| {
                    figure.map_or("–".into(), |f| units::rate(f.median) + &spread(f))
                };
                let mut cells = vec![title, mode.name().to_owned()];
                cells.extend(figures.into_iter().map(cell));
                grid.row(weight(peer), cells);
            }
        }
        if !grid.is_empty() {
            out += &format!("\n{}", grid.render(style));
        }
    }
    out
}

fn opening(run: &Run, style: Style) -> String {
    let mut grid = Grid::new(1, ["objects with names", "create", "attach"].map(str::to_owned).into());
    for case in run.cases.iter().filter(|case| case.work == Work::Open) {
        let figures = [Metric::Create, Metric::Attach].map(|metric| run.results.figure(*case, metric));
        if let [Some(create), Some(attach)] = figures {
            let cell = |figure: Figure| units::nanos(figure.median * 1e3) + &spread(figure);
            grid.row(weight(case.peer), vec![case.peer.title.into(), cell(create), cell(attach)]);
        }
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", grid.render(style)) }
}

/// What is to be known about each transport.
pub(crate) fn notes(peers: impl Iterator<Item = &'static Peer>, style: Style) -> String {
    let head = ["name", "between", "modes", "up to", "copies", "sleeps", "notes"];
    let mut grid = Grid::new(7, head.map(str::to_owned).into());
    for peer in peers {
        let between = match peer.place {
            Place::Processes => "processes",
            Place::Threads => "threads",
            Place::Alone => "–",
        };
        let modes: Vec<_> = peer.modes.iter().map(|mode| mode.name()).collect();
        let optional = if peer.optional { " (optional)" } else { "" };
        let cells = vec![
            peer.name.into(),
            between.into(),
            modes.join(", "),
            if peer.longest == 0 { "–".into() } else { units::payload(peer.longest) },
            if peer.longest == 0 { "–".into() } else { peer.copies.to_string() },
            if peer.blocks { "yes" } else { "no" }.into(),
            format!("{}{optional}", peer.note),
        ];
        grid.row(weight(peer), cells);
    }
    grid.render(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transports::everybody;

    #[test]
    fn cells_line_up() {
        let mut grid = Grid::new(1, vec!["a".into(), "b".into()]);
        grid.row(Weight::Ours, vec!["long name".into(), "1".into()]);
        grid.row(Weight::Normal, vec!["x".into(), "12 µs".into()]);
        assert_eq!(grid.render(Style(false)), "a              b\nlong name      1\nx          12 µs\n");
        assert!(grid.render(Style(true)).contains("\x1b[1mlong name"));
    }

    #[test]
    fn the_spread_is_half_of_the_range() {
        let figure = Figure { median: 100.0, low: 90.0, high: 130.0, rounds: 3 };
        assert_eq!(spread(figure), " ±20%");
        assert_eq!(spread(Figure { rounds: 1, ..figure }), "");
    }

    #[test]
    fn every_transport_has_notes_on_a_line_of_its_own() {
        let text = notes(everybody(), Style(false));
        assert_eq!(text.lines().count(), everybody().count() + 1);
    }
}

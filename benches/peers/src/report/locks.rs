//! The tables of the locks, and what we have set ourselves to reach with them.

use super::{
    Run,
    table::{Grid, Style, spread, weight},
    targets::{Bound, Point, point, ratio},
    units,
};
use crate::{
    locks::{ALL, CROWDS, MEETINGS, Section, Task, Tool},
    plan::{Case, Figure, Work},
    transports::{Metric, Mode},
};

/// Everything that was measured of locks.
pub(crate) fn render(run: &Run, style: Style) -> String {
    let mut out = String::new();
    out += &grid(run, style, &["alone: take and give back"], &[Task::Alone], |case| {
        run.results.figure(case, Metric::Pass).map(time)
    });
    for (section, title) in [
        (Section::Short, "a second, of two additions (least share)"),
        (Section::Long, "a second, of 1 µs (least share)"),
    ] {
        let heads: Vec<String> = CROWDS.iter().map(|users| format!("{users} users")).collect();
        let heads: Vec<&str> = [title].into_iter().chain(heads.iter().map(String::as_str)).collect();
        out += &grid(run, style, &heads, &CROWDS.map(|users| Task::Crowd(users, section)), |case| {
            let (takes, share) =
                (run.results.figure(case, Metric::Takes)?, run.results.figure(case, Metric::Share)?);
            Some(format!("{}{} ({:.2})", units::rate(takes.median), spread(takes), share.median))
        });
    }
    out += &turns(run, style);
    let heads: Vec<String> = MEETINGS.iter().map(|parties| format!("{parties} parties")).collect();
    let heads: Vec<&str> = ["a meeting"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    out + &grid(run, style, &heads, &MEETINGS.map(Task::Meet), |case| {
        run.results.figure(case, Metric::Round).map(time)
    })
}

fn time(figure: Figure) -> String {
    units::nanos(figure.median) + &spread(figure)
}

/// A row for each tool and way of waiting with a figure in one of the columns, which stand for `tasks`.
fn grid(
    run: &Run,
    style: Style,
    heads: &[&str],
    tasks: &[Task],
    cell: impl Fn(Case) -> Option<String>,
) -> String {
    let (title, columns) = (heads[0], &heads[1..]);
    let columns = if columns.is_empty() { &["each"][..] } else { columns };
    let mut grid = Grid::new(2, [title, "mode"].iter().chain(columns).map(|&head| head.into()).collect());
    for (tool, mode) in rows(tasks[0]) {
        let of = |&task| {
            let case = Case { peer: &tool.peer, mode, work: Work::Tool(task) };
            if run.cases.contains(&case) { cell(case) } else { None }
        };
        let found: Vec<Option<String>> = tasks.iter().map(of).collect();
        if found.iter().all(Option::is_none) {
            continue;
        }
        let mut cells = vec![tool.peer.title.to_owned(), mode.name().to_owned()];
        cells.extend(found.into_iter().map(|cell| cell.unwrap_or("–".into())));
        grid.row(weight(&tool.peer), cells);
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", grid.render(style)) }
}

fn rows(task: Task) -> impl Iterator<Item = (&'static Tool, Mode)> {
    ALL.iter().flat_map(move |&tool| tool.modes(task).iter().map(move |&mode| (tool, mode)))
}

fn turns(run: &Run, style: Style) -> String {
    let mut grid = Grid::new(
        2,
        ["turns, there and back", "mode", "p50", "p90", "p99", "p99.9"].map(str::to_owned).into(),
    );
    for (tool, mode) in rows(Task::Turns) {
        let case = Case { peer: &tool.peer, mode, work: Work::Tool(Task::Turns) };
        let of = |&(metric, _): &(Metric, f64)| run.results.figure(case, metric);
        let figures: Vec<Figure> = Metric::TRIPS[..4].iter().filter_map(of).collect();
        let [median, others @ ..] = &figures[..] else { continue };
        let mut cells = vec![tool.peer.title.to_owned(), mode.name().to_owned(), time(*median)];
        cells.extend(others.iter().map(|figure| units::nanos(figure.median)));
        grid.row(weight(&tool.peer), cells);
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", grid.render(style)) }
}

/// The targets of the locks.
pub(super) fn targets(run: &Run, add: &mut impl FnMut(String, &str, Bound, Option<Figure>)) {
    use Bound::{AtLeast, AtMost};
    use Mode::{Adaptive, Block, Park, Poll, Spin};

    let of =
        |name: &str, mode, task, metric| -> Option<Point> { point(name, mode, Work::Tool(task), metric) };
    let alone = |name, mode| of(name, mode, Task::Alone, Metric::Pass);
    for (ours, what, theirs, title, bound) in [
        ("ringway-mutex", "Mutex", "pthread-robust", "pthread robust", 0.8),
        ("ringway-anonymous-mutex", "Mutex, anonymous", "pthread-robust", "pthread robust", 0.8),
        ("ringway-reentrant-mutex", "ReentrantMutex", "pthread-robust", "pthread robust", 1.0),
        (
            "ringway-reentrant-again",
            "ReentrantMutex, again",
            "pthread-recursive-again",
            "pthread recursive",
            1.0,
        ),
        ("ringway-semaphore", "Semaphore", "posix-semaphore", "sem_t", 1.0),
        ("ringway-owned-semaphore", "OwnedSemaphore", "pthread-robust", "pthread robust", 1.0),
    ] {
        let figure = ratio(run, alone(ours, Adaptive), alone(theirs, Block));
        add(format!("{what}, alone, take and give back"), title, AtMost(bound), figure);
    }
    for section in Section::ALL {
        for users in CROWDS {
            let takes = |name, mode| of(name, mode, Task::Crowd(users, section), Metric::Takes);
            for (ours, what, theirs, title) in [
                ("ringway-mutex", "Mutex", "pthread-robust", "pthread robust"),
                ("ringway-semaphore", "Semaphore", "posix-semaphore", "sem_t"),
            ] {
                let figure = ratio(run, takes(ours, Adaptive), takes(theirs, Block));
                let what = format!("{what}, {users} users, {} sections, a second", section.name());
                add(what, title, AtLeast(1.0), figure);
            }
        }
    }
    let trip = |name, mode| of(name, mode, Task::Turns, Metric::Rtt50);
    for (ours, what, theirs, title) in [
        ("ringway-condvar", "Condvar", "pthread-cond", "pthread"),
        ("ringway-semaphore", "Semaphore", "posix-semaphore", "sem_t"),
        ("ringway-event", "Event", "turns-futex", "futex"),
    ] {
        let asleep = ratio(run, trip(ours, Park), trip(theirs, Block));
        add(format!("{what}, both asleep, there and back"), title, AtMost(1.1), asleep);
        let awake = ratio(run, trip(ours, Adaptive), trip(ours, Spin));
        add(format!("{what}, adaptive, busy peer, there and back"), "spinning", AtMost(2.0), awake);
    }
    let floor = trip("turns-cacheline", Poll);
    for (ours, what) in [("ringway-semaphore", "Semaphore"), ("ringway-event", "Event")] {
        let figure = ratio(run, trip(ours, Spin), floor);
        add(format!("{what}, both awake, there and back"), "cache line", AtMost(3.0), figure);
    }
    for parties in MEETINGS {
        let round = |name, mode| of(name, mode, Task::Meet(parties), Metric::Round);
        let figure = ratio(run, round("ringway-barrier", Adaptive), round("pthread-barrier", Block));
        add(format!("Barrier of {parties}, a meeting"), "pthread", AtMost(1.0), figure);
    }
}

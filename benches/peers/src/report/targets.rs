//! What we have set ourselves to reach, judged by ratios within the run.
//!
//! A ratio is taken in each round, of what was measured within seconds, and the median of those is compared.

use super::{
    Run, locks,
    table::{Grid, Style, Weight},
    units,
};
use crate::{
    plan::{Case, Crew, Figure, Work},
    transports::{self, Metric, Mode},
};

/// The side of the target on which it is reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Something measured.
pub(super) type Point = (Case, Metric);

/// A target: what it is about, against what it is measured, and what there should be.
struct Target {
    work: String,
    against: String,
    bound: Bound,
    figure: Option<Figure>,
    /// In what the figure and the bound are.
    unit: &'static str,
}

impl Target {
    fn passed(&self) -> Option<bool> {
        let median = self.figure?.median;
        Some(match self.bound {
            Bound::AtLeast(bound) => median >= bound,
            Bound::AtMost(bound) => median <= bound,
        })
    }
}

pub(super) fn point(name: &str, mode: Mode, work: Work, metric: Metric) -> Option<Point> {
    Some((Case { peer: transports::find(name)?, mode, work }, metric))
}

/// The ratio of two points, round by round.
pub(super) fn ratio(run: &Run, ours: Option<Point>, theirs: Option<Point>) -> Option<Figure> {
    let (ours, theirs) = (ours?, theirs?);
    let ours = run.results.by_round(ours.0, ours.1)?;
    let theirs = run.results.by_round(theirs.0, theirs.1)?;
    Figure::of(ours.iter().filter_map(|(round, value)| Some(value / theirs.get(round)?)))
}

/// The mode in which a peer does best.
fn best(run: &Run, name: &str, work: Work, metric: Metric) -> Option<Point> {
    let peer = transports::find(name)?;
    let value = |mode: &Mode| run.results.figure(Case { peer, mode: *mode, work }, metric);
    let best = peer
        .modes
        .iter()
        .filter_map(|mode| Some((mode, value(mode)?.median)))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    point(name, *best.0, work, metric)
}

fn targets(run: &Run) -> Vec<Target> {
    use Bound::{AtLeast, AtMost};
    use Metric::{Bytes, Messages, Rtt50};
    use Mode::{Adaptive, Block, Park, Poll, Spin};

    let mut list = Vec::new();
    let mut add = |work: String, against: &str, bound, figure| {
        list.push(Target { work, against: against.into(), bound, figure, unit: "×" });
    };
    let size = Work::Messages;

    let u64s = point("ringway-spsc", Spin, size(8), Messages);
    add(
        "spsc u64, messages/s".into(),
        "rtrb (threads)",
        AtLeast(2.0),
        ratio(run, u64s, point("rtrb", Poll, size(8), Messages)),
    );
    let threads = point("ringway-spsc-threads", Spin, size(8), Messages);
    add(
        "spsc u64 between threads, messages/s".into(),
        "rtrb (threads)",
        AtLeast(2.0),
        ratio(run, threads, point("rtrb", Poll, size(8), Messages)),
    );
    add(
        "spsc u64, messages/s".into(),
        "shaq spsc, its better mode",
        AtLeast(8.0),
        ratio(run, u64s, best(run, "shaq-spsc", size(8), Messages)),
    );
    let floor = point("floor-cacheline", Poll, size(8), Rtt50);
    add(
        "spsc u64, round trip".into(),
        "cache line",
        AtMost(1.15),
        ratio(run, point("ringway-spsc", Spin, size(8), Rtt50), floor),
    );

    many(run, &mut add);
    locks::targets(run, &mut add);

    let small = point("ringway-loan-8", Spin, size(8), Rtt50);
    let others =
        [("ringway-loan-64K", 64 << 10), ("ringway-loan-1M", 1 << 20), ("ringway-loan-64M", 64 << 20)];
    for (name, len) in others {
        add(
            format!("loan of {}, payload left alone, round trip", units::payload(len)),
            "loan of 8 B",
            AtMost(1.2),
            ratio(run, point(name, Spin, size(8), Rtt50), small),
        );
    }
    for (theirs, title) in [("iceoryx2", "iceoryx2"), ("floor-memcpy", "memcpy")] {
        let bound = if theirs == "iceoryx2" { 1.0 } else { 0.9 };
        let large = size(1 << 20);
        add(
            "Queue, 1 MiB copied in, read in place, bytes/s".into(),
            title,
            AtLeast(bound),
            ratio(run, point("ringway-queue-bytes", Spin, large, Bytes), point(theirs, Poll, large, Bytes)),
        );
    }

    for (len, bound) in [(8, 30.0), (64, 15.0), (1 << 10, 6.0)] {
        let ours = point("ringway-bytes", Spin, size(len), Messages);
        add(
            format!("bytes {}, messages/s", units::payload(len)),
            "iceoryx2",
            AtLeast(bound),
            ratio(run, ours, point("iceoryx2", Poll, size(len), Messages)),
        );
    }
    for len in [8, 64, 1 << 10] {
        let theirs = point("rtrb", Poll, size(len), Messages);
        for (ours, how) in [("ringway-bytes", ""), ("ringway-bytes-threads", " between threads")] {
            let ours = point(ours, Spin, size(len), Messages);
            add(
                format!("bytes {}{how}, messages/s", units::payload(len)),
                "rtrb (threads)",
                AtLeast(1.0),
                ratio(run, ours, theirs),
            );
        }
    }

    let large = size(1 << 20);
    let ours = point("ringway-bytes", Spin, large, Bytes);
    add(
        "bytes 1 MiB copied in, read in place, bytes/s".into(),
        "iceoryx2",
        AtLeast(1.0),
        ratio(run, ours, point("iceoryx2", Poll, large, Bytes)),
    );
    add(
        "bytes 1 MiB copied in, read in place, bytes/s".into(),
        "memcpy",
        AtLeast(0.9),
        ratio(run, ours, point("floor-memcpy", Poll, large, Bytes)),
    );

    for (name, what) in [
        ("ringway-spsc", "spsc u64"),
        ("ringway-bytes", "bytes 8 B"),
        ("ringway-pipe", "Pipe 8 B"),
        ("ringway-queue", "Queue u64"),
    ] {
        let park = point(name, Park, size(8), Rtt50);
        add(
            format!("{what}, both asleep, round trip"),
            "futex",
            AtMost(1.1),
            ratio(run, park, point("floor-futex", Block, size(8), Rtt50)),
        );
        let spin = point(name, Spin, size(8), Rtt50);
        add(
            format!("{what}, adaptive, busy peer, round trip"),
            "spinning",
            AtMost(2.0),
            ratio(run, point(name, Adaptive, size(8), Rtt50), spin),
        );
    }

    for (name, theirs) in [("pipe", "pipe"), ("unix", "Unix stream")] {
        for len in [8, 64, 1 << 10] {
            let ours = point("ringway-pipe", Adaptive, size(len), Messages);
            add(
                format!("Pipe {}, messages/s", units::payload(len)),
                theirs,
                AtLeast(20.0),
                ratio(run, ours, point(name, Block, size(len), Messages)),
            );
        }
        for len in [64 << 10, 1 << 20] {
            let ours = point("ringway-pipe", Adaptive, size(len), Bytes);
            add(
                format!("Pipe {}, bytes/s", units::payload(len)),
                theirs,
                AtLeast(4.0),
                ratio(run, ours, point(name, Block, size(len), Bytes)),
            );
        }
        let awake = point("ringway-pipe", Spin, size(8), Rtt50);
        add(
            "Pipe 8 B, both awake, round trip".into(),
            theirs,
            AtMost(1.0 / 40.0),
            ratio(run, awake, point(name, Block, size(8), Rtt50)),
        );
    }

    for name in ["ringway-spsc", "ringway-bytes", "ringway-pipe", "ringway-queue"] {
        for (metric, what, bound) in
            [(Metric::Attach, "attach to one that exists", 100.0), (Metric::Create, "create", 200.0)]
        {
            let figure = point(name, Spin, Work::Open, metric)
                .and_then(|(case, metric)| run.results.figure(case, metric));
            let title = transports::find(name).map_or(name, |peer| peer.title);
            list.push(Target {
                work: format!("{title}, {what}"),
                against: "–".into(),
                bound: AtMost(bound),
                figure,
                unit: "µs",
            });
        }
    }
    list
}

/// The targets of the queue, with its users in processes of their own and in threads of one.
fn many(run: &Run, add: &mut impl FnMut(String, &str, Bound, Option<Figure>)) {
    use Bound::AtLeast;
    use Mode::{Adaptive, Block, Poll, Spin};

    for (ours, place) in [("ringway-queue", ""), ("ringway-queue-threads", " between threads")] {
        for crew in [Crew::PAIR, Crew::of(2, 2)] {
            let work = Work::Many(8, crew);
            let of = |mode, work| point(ours, mode, work, Metric::Messages);
            let spinning = of(Spin, work);
            let theirs = |name, mode| point(name, mode, work, Metric::Messages);
            let mut add = |what: &str, against: &str, bound, figure| {
                add(format!("Queue u64 {crew}{place}{what}, messages/s"), against, AtLeast(bound), figure);
            };
            let array = theirs("crossbeam-queue", Poll);
            add("", "crossbeam ArrayQueue", 1.0, ratio(run, spinning, array));
            for (name, title) in
                [("shaq-mpmc", "shaq mpmc, its better mode"), ("cloudtoid", "Cloudtoid, its better mode")]
            {
                add("", title, 2.0, ratio(run, spinning, best(run, name, work, Metric::Messages)));
            }
            let batches = of(Spin, Work::Many(8, crew.batched(Crew::BATCH)));
            add(" by 32", "crossbeam ArrayQueue", 2.0, ratio(run, batches, array));
            let channel = theirs("crossbeam-channel", Block);
            add(", adaptive", "crossbeam channel", 1.5, ratio(run, of(Adaptive, work), channel));
        }
    }
}

/// The targets that this run can judge.
pub(crate) fn render(run: &Run, style: Style) -> String {
    let head = ["target", "against", "wanted", "found", "lowest", "highest", ""];
    let mut grid = Grid::new(2, head.map(str::to_owned).into());
    let (mut passed, mut all) = (0, 0);
    for target in targets(run) {
        let (Some(figure), Some(pass)) = (target.figure, target.passed()) else { continue };
        let unit = target.unit;
        let number = |value: f64| match value {
            value if value < 0.1 => format!("1/{:.1} {unit}", 1.0 / value),
            value => format!("{} {unit}", units::ratio(value)),
        };
        let wanted = match target.bound {
            Bound::AtLeast(bound) => format!("≥ {}", number(bound)),
            Bound::AtMost(bound) => format!("≤ {}", number(bound)),
        };
        (passed, all) = (passed + usize::from(pass), all + 1);
        let verdict = if pass { "pass" } else { "MISS" };
        grid.row(
            if pass { Weight::Normal } else { Weight::Bad },
            vec![
                target.work,
                target.against,
                wanted,
                number(figure.median),
                number(figure.low),
                number(figure.high),
                verdict.into(),
            ],
        );
    }
    if grid.is_empty() {
        return String::new();
    }
    format!("\n{}{passed} of {all} targets reached in this run\n", grid.render(style))
}

//! What is measured, and in which order.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{
    args::Args,
    locks::{self, Task},
    transports::{self, Metric, Mode, Peer},
};

/// One line of the plan.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) peer: &'static Peer,
    pub(crate) mode: Mode,
    pub(crate) work: Work,
}

/// What is done with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Work {
    /// Messages of so many bytes from one to one: throughput and round trips.
    Messages(usize),
    /// Messages of so many bytes through a queue with several at each end: throughput.
    Many(usize, Crew),
    /// Objects are made and attached to.
    Open,
    /// Users agree by it.
    Tool(Task),
}

/// How many send and receive at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Crew {
    pub(crate) senders: usize,
    pub(crate) receivers: usize,
    /// How many messages go in one call.
    pub(crate) batch: usize,
}

impl Crew {
    /// One sender, one receiver, one message at a time.
    pub(crate) const PAIR: Crew = Crew { senders: 1, receivers: 1, batch: 1 };
    /// So many messages go in one call where they go in batches.
    pub(crate) const BATCH: usize = 32;
    /// The most at one end.
    const MOST: usize = 64;

    pub(crate) const fn of(senders: usize, receivers: usize) -> Crew {
        Crew { senders, receivers, batch: 1 }
    }

    pub(crate) const fn batched(self, batch: usize) -> Crew {
        Crew { batch, ..self }
    }

    /// Those at both ends together.
    pub(crate) const fn users(self) -> usize {
        self.senders + self.receivers
    }
}

impl fmt::Display for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.senders, self.receivers)?;
        if self.batch > 1 { write!(f, "/{}", self.batch) } else { Ok(()) }
    }
}

impl FromStr for Crew {
    type Err = String;

    fn from_str(text: &str) -> Result<Crew, String> {
        let (crew, batch) = text.split_once('/').unwrap_or((text, "1"));
        let number = |text: &str| text.parse().ok().filter(|number| (1..=Crew::MOST).contains(number));
        let parse = || {
            let (senders, receivers) = crew.split_once('x')?;
            Some(Crew { senders: number(senders)?, receivers: number(receivers)?, batch: number(batch)? })
        };
        parse().ok_or_else(|| format!("{text} is no crew like 2x2, of up to {} at each end", Crew::MOST))
    }
}

impl Case {
    fn key(&self) -> (&'static str, Mode, Work) {
        (self.peer.name, self.mode, self.work)
    }
}

impl PartialEq for Case {
    fn eq(&self, other: &Case) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Case {}

impl PartialOrd for Case {
    fn partial_cmp(&self, other: &Case) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Case {
    fn cmp(&self, other: &Case) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.peer.name, self.mode.name())?;
        match self.work {
            Work::Messages(len) => write!(f, ", {len} B)"),
            Work::Many(len, crew) => write!(f, ", {len} B, {crew})"),
            Work::Open => write!(f, ", opening)"),
            Work::Tool(task) => write!(f, ", {task})"),
        }
    }
}

/// The payloads, if nobody asked for others.
const USUAL: [usize; 5] = [8, 64, 1 << 10, 64 << 10, 1 << 20];

/// The crews, if nobody asked for others.
const CREWS: [Crew; 5] = [Crew::PAIR, Crew::of(2, 2), Crew::of(4, 4), Crew::of(8, 1), Crew::of(1, 8)];
/// Those of a quick run.
const QUICK_CREWS: [Crew; 2] = [Crew::PAIR, Crew::of(2, 2)];
/// Whose throughput is measured with the longer payloads too.
const CREW_OF_ALL_SIZES: Crew = Crew::of(2, 2);

/// All cases, by payload, so that what is compared was measured within seconds.
pub(crate) fn cases(args: &Args) -> Vec<Case> {
    let mut sizes = if args.sizes.is_empty() { USUAL.to_vec() } else { args.sizes.clone() };
    sizes.sort_unstable();
    sizes.dedup();
    let crews = match &args.crews[..] {
        [] if args.quick => &QUICK_CREWS[..],
        [] => &CREWS,
        crews => crews,
    };
    let does = |work| args.works.is_empty() || args.works.contains(&work);
    let peers = || transports::ALL.iter().copied().filter(|peer| args.wants(peer));
    let wanted = |mode: &Mode| args.modes.is_empty() || args.modes.contains(mode);
    let mut cases = Vec::new();
    for &len in sizes.iter().filter(|_| does(Kind::Messages)) {
        for peer in peers().filter(|peer| len <= peer.longest) {
            for mode in peer.modes.iter().copied().filter(wanted) {
                cases.push(Case { peer, mode, work: Work::Messages(len) });
            }
        }
    }
    // Longer payloads are for one crew only, unless they were asked for.
    let usual = args.sizes.is_empty();
    for (&len, &crew) in sizes.iter().flat_map(|len| crews.iter().map(move |crew| (len, crew))) {
        let longer = len != sizes[0];
        if !does(Kind::Many) || longer && usual && (args.quick || crew != CREW_OF_ALL_SIZES) {
            continue;
        }
        for peer in peers() {
            let Some(many) = peer.many.as_ref().filter(|many| many.can(len, crew)) else { continue };
            for mode in peer.modes.iter().copied().filter(wanted) {
                cases.push(Case { peer, mode, work: Work::Many(len, crew) });
                if many.batches && crew.batch == 1 && !longer {
                    let work = Work::Many(len, crew.batched(Crew::BATCH));
                    cases.push(Case { peer, mode, work });
                }
            }
        }
    }
    for peer in peers().filter(|peer| peer.open.is_some() && peer.modes.iter().any(wanted)) {
        if does(Kind::Open) {
            cases.push(Case { peer, mode: peer.modes[0], work: Work::Open });
        }
    }
    for task in Task::all().filter(|_| does(Kind::Locks)) {
        for tool in locks::ALL.iter().filter(|tool| args.wants(&tool.peer)) {
            for mode in tool.modes(task).iter().copied().filter(wanted) {
                cases.push(Case { peer: &tool.peer, mode, work: Work::Tool(task) });
            }
        }
    }
    cases
}

/// Kinds of [`Work`], as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// From one to one
    Messages,
    /// With several at each end
    Many,
    /// Making objects and attaching to them
    Open,
    /// Locks, semaphores, events, conditions and barriers: alone, crowded, in turns
    Locks,
}

impl Work {
    /// What is compared with each other: the same but for the batches.
    fn group(self) -> Work {
        match self {
            Work::Many(len, crew) => Work::Many(len, crew.batched(1)),
            other => other,
        }
    }
}

/// The cases in the order of round number `round`: within one work, each peer comes first once in a while, and every
/// other round goes backwards.
pub(crate) fn rotated(cases: &[Case], round: usize) -> Vec<Case> {
    let mut order = Vec::with_capacity(cases.len());
    for group in cases.chunk_by(|a, b| a.work.group() == b.work.group()) {
        let mut group = group.to_vec();
        // A step that is no divisor of most lengths brings neighbours apart as well.
        let by = round * 7 % group.len();
        group.rotate_left(by);
        if round % 2 == 1 {
            group.reverse();
        }
        order.extend(group);
    }
    order
}

/// What has been measured: a value for each round in which it was.
#[derive(Debug, Default)]
pub(crate) struct Results(BTreeMap<(Case, Metric), BTreeMap<usize, f64>>);

/// A figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) rounds: usize,
}

impl Figure {
    /// The median and the extremes; `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Figure> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (&low, &high) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            (values[middle - 1] + values[middle]) / 2.0
        } else {
            values[middle]
        };
        Some(Figure { median, low, high, rounds: values.len() })
    }
}

impl Results {
    pub(crate) fn add(&mut self, round: usize, case: Case, metric: Metric, value: f64) {
        self.0.entry((case, metric)).or_default().insert(round, value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values by round.
    pub(crate) fn by_round(&self, case: Case, metric: Metric) -> Option<&BTreeMap<usize, f64>> {
        self.0.get(&(case, metric))
    }

    pub(crate) fn figure(&self, case: Case, metric: Metric) -> Option<Figure> {
        Figure::of(self.by_round(case, metric)?.values().copied())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (Case, Metric, Figure)> {
        self.0.iter().filter_map(|(&(case, metric), values)| {
            Some((case, metric, Figure::of(values.values().copied())?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn medians() {
        let figure = Figure::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((figure.median, figure.low, figure.high, figure.rounds), (2.0, 1.0, 3.0, 3));
        assert_eq!(Figure::of([1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Figure::of([]), None);
    }

    #[test]
    fn every_round_has_every_case_and_another_beginning() {
        let cases = cases(&Args::parse_from(["peers", "--sizes", "64"]));
        let mut sorted = cases.clone();
        sorted.sort();
        let mut beginnings = Vec::new();
        for round in 0..5 {
            let mut order = rotated(&cases, round);
            beginnings.push(order[0]);
            order.sort();
            assert_eq!(order, sorted);
        }
        beginnings.sort();
        beginnings.dedup();
        assert!(beginnings.len() >= 4, "{beginnings:?}");
    }

    #[test]
    fn crews_are_read_as_they_are_written() {
        for crew in CREWS.into_iter().chain([Crew::of(2, 3).batched(32)]) {
            assert_eq!(crew.to_string().parse(), Ok(crew));
        }
        for wrong in ["", "2", "x", "0x1", "1x0", "1x1/0", "65x1", "2x2x2"] {
            assert!(wrong.parse::<Crew>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_case_is_there_twice_or_too_long() {
        let mut cases = cases(&Args::parse_from(["peers"]));
        assert!(cases.iter().all(|case| match case.work {
            Work::Messages(len) => len <= case.peer.longest,
            Work::Many(len, crew) => {
                case.peer.many.is_some_and(|many| many.can(len, crew))
            }
            Work::Open => case.peer.open.is_some(),
            Work::Tool(task) =>
                locks::find(case.peer.name).is_some_and(|tool| tool.modes(task).contains(&case.mode)),
        }));
        let all = cases.len();
        cases.sort();
        cases.dedup();
        assert_eq!(cases.len(), all);
    }
}

//! What is measured, and in which order.

use std::{collections::BTreeMap, fmt};

use crate::{
    args::Args,
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
    /// Messages of so many bytes: throughput and round trips.
    Messages(usize),
    /// Objects are made and attached to.
    Open,
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
            Work::Open => write!(f, ", opening)"),
        }
    }
}

/// The payloads, if nobody asked for others.
const USUAL: [usize; 5] = [8, 64, 1 << 10, 64 << 10, 1 << 20];

/// All cases, by payload, so that what is compared was measured within seconds.
pub(crate) fn cases(args: &Args) -> Vec<Case> {
    let mut sizes = if args.sizes.is_empty() { USUAL.to_vec() } else { args.sizes.clone() };
    sizes.sort_unstable();
    sizes.dedup();
    let peers = || transports::ALL.iter().copied().filter(|peer| args.wants(peer));
    let wanted = |mode: &Mode| args.modes.is_empty() || args.modes.contains(mode);
    let mut cases = Vec::new();
    for len in sizes {
        for peer in peers().filter(|peer| len <= peer.longest) {
            for mode in peer.modes.iter().copied().filter(wanted) {
                cases.push(Case { peer, mode, work: Work::Messages(len) });
            }
        }
    }
    for peer in peers().filter(|peer| peer.open.is_some() && peer.modes.iter().any(wanted)) {
        cases.push(Case { peer, mode: peer.modes[0], work: Work::Open });
    }
    cases
}

/// The cases in the order of round number `round`: within one work, each peer comes first once in a while, and every
/// other round goes backwards.
pub(crate) fn rotated(cases: &[Case], round: usize) -> Vec<Case> {
    let mut order = Vec::with_capacity(cases.len());
    for group in cases.chunk_by(|a, b| a.work == b.work) {
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
    fn no_case_is_there_twice_or_too_long() {
        let mut cases = cases(&Args::parse_from(["peers"]));
        assert!(cases.iter().all(|case| match case.work {
            Work::Messages(len) => len <= case.peer.longest,
            Work::Open => case.peer.open.is_some(),
        }));
        let all = cases.len();
        cases.sort();
        cases.dedup();
        assert_eq!(cases.len(), all);
    }
}

//! What was recorded of an operation, and the shortest way to each of its instructions.

use std::ops::Range;

/// Where a victim can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    /// The instruction it would execute next.
    pub(crate) address: u64,
    /// Whether that is a system call in which it sleeps.
    pub(crate) asleep: bool,
}

/// A position that a recording has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) position: Position,
    /// Whether others see something else than at the position before, as far as somebody looked.
    pub(crate) is_news: bool,
}

const ASLEEP: u8 = 1;
const NEWS: u8 = 2;

impl Position {
    /// What was not planned.
    pub(crate) const NOWHERE: Self = Position { address: 0, asleep: false };

    pub(crate) fn to_bytes(self) -> [u8; 9] {
        Met { position: self, is_news: false }.to_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 9]) -> Self {
        Met::from_bytes(bytes).position
    }
}

impl Met {
    pub(crate) fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [(u8::from(self.position.asleep) * ASLEEP) | (u8::from(self.is_news) * NEWS); 9];
        bytes[..8].copy_from_slice(&self.position.address.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; 9]) -> Self {
        let [address @ .., flags] = bytes;
        let position = Position { address: u64::from_le_bytes(address), asleep: flags & ASLEEP != 0 };
        Met { position, is_news: flags & NEWS != 0 }
    }
}

/// How to bring a victim from its first position to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// An address, and how often to run into a breakpoint there.
    pub(crate) anchor: Option<(u64, u32)>,
    /// Single steps after that.
    pub(crate) steps: u32,
    /// Whether one step more is begun, and the victim killed asleep in it.
    pub(crate) asleep: bool,
}

impl Way {
    /// To where the address is met first, whatever happens before.
    pub(crate) fn to_first(position: Position) -> Self {
        Way { anchor: Some((position.address, 1)), steps: 0, asleep: position.asleep }
    }
}

/// The positions of an operation in the order in which they are met: the first is before its first instruction, the
/// last behind its last one.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    positions: Vec<Position>,
    ways: Vec<Way>,
    /// Whether others see something else than at the position before.
    news: Vec<bool>,
}

/// An operation of so many instructions is not long.
const SHORT: usize = 500;

/// See [`Trace::choose`].
const ONE_IN: usize = 16;

/// So many of them are enough.
const SAMPLES: usize = 400;

/// What running into a breakpoint costs, in steps.
const HIT: u32 = 3;

impl Trace {
    /// `unfit` are addresses where there can be no breakpoint.
    pub(crate) fn new(all: &[Met], unfit: &Range<u64>) -> Self {
        let positions: Vec<_> = all.iter().map(|met| met.position).collect();
        let mut met = std::collections::BTreeMap::new();
        let mut ways: Vec<Way> = Vec::with_capacity(positions.len());
        let mut awake = Way { anchor: None, steps: 0, asleep: false };
        for (index, position) in positions.iter().enumerate() {
            if position.asleep {
                ways.push(Way { asleep: true, ..awake });
                continue;
            }
            if index > 0 {
                awake.steps += 1;
                let hits = met.entry(position.address).or_insert(0);
                *hits += 1;
                let cost = awake.steps + HIT * awake.anchor.map_or(0, |(_, hits)| hits);
                if HIT * *hits < cost && !unfit.contains(&position.address) {
                    awake = Way { anchor: Some((position.address, *hits)), steps: 0, asleep: false };
                }
            }
            ways.push(awake);
        }
        let news = all.iter().map(|met| met.is_news).collect();
        Trace { positions, ways, news }
    }

    /// Whether both went the same way.
    pub(crate) fn is_alike(&self, other: &Trace) -> bool {
        self.positions == other.positions
    }

    /// Whether a victim on its way to this position falls asleep, so that single steps alone do not lead there.
    pub(crate) fn sleeps_before(&self, number: usize) -> bool {
        self.positions[..=number].iter().any(|position| position.asleep)
    }

    /// The numbers of the positions to kill at. All, unless the operation is long: then those where others see
    /// something else than at the one before, and of the rest one in so many, but none in the middle of a copy in
    /// private memory.
    pub(crate) fn choose(&self, at_every_one: bool) -> Vec<usize> {
        let all = at_every_one || !self.is_long();
        let one_in = ONE_IN.max(self.last() / SAMPLES);
        let chosen = |&number: &usize| {
            let sampled = number.is_multiple_of(one_in) && !self.is_repeated(number);
            all || self.news[number] || sampled || number == self.last()
        };
        (0..=self.last()).filter(chosen).collect()
    }

    /// Whether there are so many instructions that not all are killed at.
    pub(crate) fn is_long(&self) -> bool {
        self.last() >= SHORT
    }

    /// Whether one instruction stands there and at the position before, because it repeats itself.
    fn is_repeated(&self, number: usize) -> bool {
        number > 0 && self.positions[number] == self.positions[number - 1]
    }

    /// The number of the last position: as many instructions lie before it, and sleeps.
    pub(crate) fn last(&self) -> usize {
        self.positions.len().saturating_sub(1)
    }

    pub(crate) fn position(&self, number: usize) -> Position {
        self.positions[number]
    }

    pub(crate) fn way(&self, number: usize) -> Way {
        self.ways[number]
    }

    pub(crate) fn positions(&self) -> &[Position] {
        &self.positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(&address: &u64) -> Met {
        Met { position: Position { address, asleep: false }, is_news: false }
    }

    fn trace(addresses: &[u64]) -> Trace {
        Trace::new(&addresses.iter().map(met).collect::<Vec<_>>(), &(90..100))
    }

    /// Follows a way along the trace, as a victim would.
    fn follow(trace: &Trace, way: Way) -> usize {
        let mut at = 0;
        if let Some((address, hits)) = way.anchor {
            for _ in 0..hits {
                at += 1;
                while trace.position(at).address != address {
                    at += 1;
                }
            }
        }
        at + way.steps as usize
    }

    #[test]
    fn each_way_leads_where_it_should() {
        let looping: Vec<u64> = (0..300).map(|n| if n < 100 { n } else { 200 + n % 7 }).collect();
        let trace = trace(&looping);
        for number in 0..=trace.last() {
            assert_eq!(follow(&trace, trace.way(number)), number);
        }
    }

    #[test]
    fn straight_code_costs_one_hit_and_forbidden_addresses_get_none() {
        let trace = trace(&(0..200).collect::<Vec<_>>());
        assert_eq!(trace.way(80), Way { anchor: Some((80, 1)), steps: 0, asleep: false });
        assert_eq!(trace.way(95), Way { anchor: Some((89, 1)), steps: 6, asleep: false });
    }

    #[test]
    fn a_sleep_is_reached_from_the_call_before_it() {
        let mut positions: Vec<_> = (0..20).map(|address| met(&address)).collect();
        positions.insert(11, Met { position: Position { address: 10, asleep: true }, is_news: false });
        let trace = Trace::new(&positions, &(0..0));
        assert_eq!(trace.way(11), Way { asleep: true, ..trace.way(10) });
        assert_eq!(trace.way(12).anchor, Some((11, 1)));
        assert_eq!(trace.last(), 20);
    }

    #[test]
    fn positions_survive_the_log() {
        let position = Position { address: 0x1234_5678_9abc, asleep: true };
        assert_eq!(Position::from_bytes(position.to_bytes()), position);
        for is_news in [false, true] {
            let met = Met { position, is_news };
            assert_eq!(Met::from_bytes(met.to_bytes()), met);
        }
    }

    #[test]
    fn a_short_operation_is_killed_in_everywhere_and_a_long_one_where_others_see_something() {
        assert_eq!(trace(&(0..100).collect::<Vec<_>>()).choose(false), (0..100).collect::<Vec<_>>());
        let mut long: Vec<_> = (0..=5000).map(|address| met(&address)).collect();
        for at in [33, 34, 4001] {
            long[at].is_news = true;
        }
        let trace = Trace::new(&long, &(0..0));
        let sampled = (0..5000).step_by(ONE_IN).chain([33, 34, 4001, 5000]);
        let expected: std::collections::BTreeSet<usize> = sampled.collect();
        assert_eq!(trace.choose(false), expected.into_iter().collect::<Vec<_>>());
        assert_eq!(trace.choose(true).len(), 5001);
    }
}

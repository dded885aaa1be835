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

impl Position {
    pub(crate) fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [u8::from(self.asleep); 9];
        bytes[..8].copy_from_slice(&self.address.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; 9]) -> Self {
        let [address @ .., asleep] = bytes;
        Position { address: u64::from_le_bytes(address), asleep: asleep != 0 }
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    positions: Vec<Position>,
    ways: Vec<Way>,
}

/// What running into a breakpoint costs, in steps.
const HIT: u32 = 3;

impl Trace {
    /// `unfit` are addresses where there can be no breakpoint.
    pub(crate) fn new(positions: Vec<Position>, unfit: &Range<u64>) -> Self {
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
        Trace { positions, ways }
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

    fn trace(addresses: &[u64]) -> Trace {
        let at = |&address| Position { address, asleep: false };
        Trace::new(addresses.iter().map(at).collect(), &(90..100))
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
        let mut positions: Vec<_> = (0..20).map(|address| Position { address, asleep: false }).collect();
        positions.insert(11, Position { address: 10, asleep: true });
        let trace = Trace::new(positions, &(0..0));
        assert_eq!(trace.way(11), Way { asleep: true, ..trace.way(10) });
        assert_eq!(trace.way(12).anchor, Some((11, 1)));
        assert_eq!(trace.last(), 20);
    }

    #[test]
    fn positions_survive_the_log() {
        let position = Position { address: 0x1234_5678_9abc, asleep: true };
        assert_eq!(Position::from_bytes(position.to_bytes()), position);
    }
}

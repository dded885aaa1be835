//! What is counted, and how it is told.

use crate::board::{RECOVERIES, RECOVERY_NAMES, REPAIR_NAMES, REPAIRS};
use std::fmt;

/// What happened in an episode, a scenario, or the whole soak.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) episodes: u64,
    pub(crate) messages: u64,
    pub(crate) kills: u64,
    /// Kills of processes that were inside an operation.
    pub(crate) inside: u64,
    pub(crate) stops: u64,
    /// Clean exits in the middle of an episode.
    pub(crate) exits: u64,
    pub(crate) repairs: [u64; REPAIRS],
    /// What was taken over from the dead, as those were told who did.
    pub(crate) recoveries: [u64; RECOVERIES],
    /// Messages that came although others had had them before, as their deliveries said.
    pub(crate) redeliveries: u64,
    /// Episodes in which one came twice without that, and those in which one was not whole.
    pub(crate) duplicates: u64,
    pub(crate) torn: u64,
    /// Messages that killed receivers took along.
    pub(crate) taken_along: u64,
    pub(crate) violations: u64,
    /// Nanoseconds.
    pub(crate) longest_stall: u64,
    /// Who stood still then.
    pub(crate) who: String,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.episodes += other.episodes;
        self.messages += other.messages;
        self.kills += other.kills;
        self.inside += other.inside;
        self.stops += other.stops;
        self.exits += other.exits;
        for (sum, count) in self.repairs.iter_mut().zip(other.repairs) {
            *sum += count;
        }
        for (sum, count) in self.recoveries.iter_mut().zip(other.recoveries) {
            *sum += count;
        }
        self.redeliveries += other.redeliveries;
        self.duplicates += other.duplicates;
        self.torn += other.torn;
        self.taken_along += other.taken_along;
        self.violations += other.violations;
        if other.longest_stall > self.longest_stall {
            self.longest_stall = other.longest_stall;
            self.who.clone_from(&other.who);
        }
    }

    pub(crate) fn all_repairs(&self) -> u64 {
        self.repairs.iter().sum()
    }

    pub(crate) fn all_recoveries(&self) -> u64 {
        self.recoveries.iter().sum()
    }

    /// What was repaired, in words.
    pub(crate) fn repairs_by_kind(&self) -> String {
        by_kind(&self.repairs, &REPAIR_NAMES)
    }

    /// What was recovered, in words.
    pub(crate) fn recoveries_by_kind(&self) -> String {
        by_kind(&self.recoveries, &RECOVERY_NAMES)
    }
}

fn by_kind(counts: &[u64], names: &[&str]) -> String {
    let kinds = counts.iter().zip(names).filter(|&(&count, _)| count > 0);
    let words: Vec<String> = kinds.map(|(count, name)| format!("{count} {name}")).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills ({} inside an operation), {} stops, {} repairs, {} recoveries, {} redeliveries, {} violations ({} duplicates, \
             {} torn), longest stall {} ms",
            self.kills,
            self.inside,
            self.stops,
            self.all_repairs(),
            self.all_recoveries(),
            self.redeliveries,
            self.violations,
            self.duplicates,
            self.torn,
            self.longest_stall.div_ceil(1_000_000)
        )
    }
}

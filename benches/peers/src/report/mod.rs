//! What becomes of the figures.

pub(crate) mod chart;
pub(crate) mod json;
pub(crate) mod locks;
pub(crate) mod plots;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod targets;
pub(crate) mod units;

use crate::plan::{Case, Results};

/// A whole run.
#[derive(Debug)]
pub(crate) struct Run {
    /// In the order of the tables.
    pub(crate) cases: Vec<Case>,
    pub(crate) results: Results,
    pub(crate) machine: String,
    /// The revision measured, as git tells it.
    pub(crate) commit: String,
    /// The day, as year, month, day.
    pub(crate) date: String,
    pub(crate) cpus: [usize; 2],
    pub(crate) rounds: u32,
}

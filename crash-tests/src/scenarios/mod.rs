//! All scenarios, by subject.

mod spsc;

use crate::scenario::Scenario;

/// All of them; those that take long come first, so that the processors end at about the same time.
pub fn all() -> Vec<Scenario> {
    [spsc::scenarios()].into_iter().flatten().collect()
}

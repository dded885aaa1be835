//! All scenarios, by subject.

mod bytes;
mod line;
mod pipe;
mod ring;
mod segment;
mod spsc;

use crate::scenario::Scenario;

/// All of them; those that take long come first, so that the processors end at about the same time.
pub fn all() -> Vec<Scenario> {
    [segment::scenarios(), pipe::scenarios(), spsc::scenarios(), bytes::scenarios()]
        .into_iter()
        .flatten()
        .collect()
}

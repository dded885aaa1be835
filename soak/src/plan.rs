//! What an episode is like: drawn from its seed, the same in all its processes.

use crate::random::mix;
use std::path::PathBuf;

/// One episode.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The scenario's name.
    pub(crate) scenario: String,
    pub(crate) seed: u64,
    /// The directory of its names.
    pub(crate) dir: PathBuf,
}

impl Plan {
    /// A number that belongs to this word.
    pub(crate) fn draw(&self, word: &str) -> u64 {
        word.bytes().fold(mix(self.seed, word.len() as u64), |seed, byte| mix(seed, u64::from(byte)))
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&self, word: &str, from: &[T]) -> T {
        from[self.draw(word) as usize % from.len()]
    }

    /// True once in so many episodes.
    pub(crate) fn once_in(&self, count: u64, word: &str) -> bool {
        self.draw(word).is_multiple_of(count)
    }
}

//! Tasks that came back: given back by their workers, or left by dead ones.
//!
//! They need no slot of the ring, so redelivery can never block on a full one. Receivers find them by the word
//! [`Orphans`](crate::ring::mpmc::Orphans), which is raised *after* an orphan is made. Whoever made it stands in the orphan's word until
//! somebody takes it: if that one died before he raised the word, whoever sweeps him does it.

use super::Pool;
use super::chunk::{Held, Task};
use super::tag::Chunk;
use super::word::{State, Word};
use crate::error::Corrupt;
use crate::sync::{Ordering, mutated, order};

/// The flag in the word of [`Orphans`](crate::ring::mpmc::Orphans).
const SET: u64 = 1;

/// How many orphans others may snatch away before the search counts as in vain.
const ROUNDS: u32 = 64;

impl Pool {
    /// Gives a task back, to be worked on by whoever receives next: TASK → ORPHAN, one delivery more.
    ///
    /// # Errors
    /// [`Corrupt`] if the word is not what this process left there.
    pub(crate) fn give_back(&self, task: Task, me: u16) -> Result<(), Corrupt> {
        self.return_untold(task, me)?;
        self.announce();
        Ok(())
    }

    /// The same without a word to anybody, as if the worker had died right after it.
    pub(crate) fn return_untold(&self, task: Task, me: u16) -> Result<(), Corrupt> {
        let Held { chunk, word: mine, .. } = task.0;
        let next = mine.step(State::Orphan, maker(me), mine.one_delivery_more());
        let word = &self.entry(chunk).word;
        // give_back. Release: pairs with the Acquire in `find_orphan`: the content that we have seen, and what we did
        // to it, comes before.
        let moved =
            word.compare_exchange(mine.0, next.0, order!(Release, "pool.give_back"), Ordering::Relaxed);
        moved.map(drop).map_err(|found| super::chunk::corrupt(Word(found), mine))
    }

    /// Tells receivers that there is an orphan.
    pub(super) fn announce(&self) {
        if !mutated!("pool.announce") {
            self.orphans().raise();
        }
    }

    /// Whether receivers should look for orphans. One load.
    #[inline(always)]
    pub(crate) fn may_have_orphans(&self) -> bool {
        self.orphans().is_set()
    }

    /// Takes the oldest task that came back, if there is one: ORPHAN → TASK.
    ///
    /// # Errors
    /// [`Corrupt`] if its entry says what cannot be; then the message is lost, and its chunk free.
    #[inline(always)]
    pub(crate) fn take_orphan(&self, me: u16) -> Result<Option<Task>, Corrupt> {
        if self.may_have_orphans() { self.find_orphan(me) } else { Ok(None) }
    }

    #[cold]
    fn find_orphan(&self, me: u16) -> Result<Option<Task>, Corrupt> {
        for _ in 0..ROUNDS {
            let flag = self.orphans().read();
            if flag & SET == 0 {
                return Ok(None);
            }
            let mut oldest: Option<(Chunk, Word, u64)> = None;
            self.each().for_each(|(chunk, entry)| {
                // orphan. Acquire: pairs with the Releases in `give_back` and `sweep`: the content is visible.
                let word = Word(entry.word.load(order!(Acquire, "pool.orphan")));
                if word.state() != Some(State::Orphan) {
                    return;
                }
                let position = entry.pos.load(Ordering::Relaxed);
                // Positions wrap, lap and all.
                let older = |(_, _, best): (_, _, u64)| (position.wrapping_sub(best) as i64) < 0;
                if oldest.is_none_or(older) {
                    oldest = Some((chunk, word, position));
                }
            });
            match oldest {
                Some((chunk, seen, _)) => {
                    if let Some(task) = self.retake(chunk, seen, me) {
                        return task.map(Some);
                    }
                }
                // Only if nothing was announced since.
                None => self.orphans().clear(flag),
            }
        }
        Ok(None)
    }

    /// ORPHAN → TASK, from exactly `seen`.
    fn retake(&self, chunk: Chunk, seen: Word, me: u16) -> Option<Result<Task, Corrupt>> {
        let mine = seen.step(State::Task, me, seen.deliveries());
        let word = &self.entry(chunk).word;
        let seen = if mutated!("pool.retake_exactly") { word.load(Ordering::Relaxed) } else { seen.0 };
        // retake. Release: pairs with the Acquire in `judge`, as in `take`.
        word.compare_exchange(seen, mine.0, order!(Release, "pool.retake"), Ordering::Relaxed).ok()?;
        match self.origin(chunk) {
            Ok((position, len)) => Some(Ok(Task(Held { chunk, word: mine, len, position }))),
            Err(corrupt) => {
                self.release(chunk, mine);
                Some(Err(corrupt))
            }
        }
    }
}

/// Who stands in the word of an orphan.
pub(super) fn maker(me: u16) -> u16 {
    if mutated!("pool.maker") { 0 } else { me }
}

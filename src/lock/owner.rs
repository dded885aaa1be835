//! Which thread holds a lock: the lock word itself names only the process.

use super::word::Word;
use crate::sync::{AtomicU64, Ordering, mutated};

/// The thread that holds a lock, for those of its own process that ask whether it is they. All-zero bytes name nobody.
///
/// ```text
/// acquisition:32 | thread:32      only the holder writes it, right after it took the lock
/// ```
///
/// It is never cleared. Between the taking and the signing it still names the last holder, and that may be the very
/// thread which asks; so it counts only together with the lock word it was written for.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Owner(AtomicU64);

impl Owner {
    /// Nobody.
    #[cfg(any(loom, test))]
    pub(crate) fn new() -> Self {
        Owner(AtomicU64::new(0))
    }

    /// The holder, who has just left `held` in the lock word, is the thread `thread` of its process.
    #[inline]
    pub(crate) fn sign(&self, held: Word, thread: u32) {
        // Relaxed: it means something only to the thread that wrote it, which sees its own writes.
        self.0.store(tag(held) << 32 | u64::from(thread), Ordering::Relaxed);
    }

    /// Whether the thread `thread` of the process that `seen` names is the one that left it there.
    #[inline]
    pub(crate) fn is(&self, seen: Word, thread: u32) -> bool {
        let signed = self.0.load(Ordering::Relaxed);
        let current = mutated!("owner.of_this_word") || signed >> 32 == tag(seen);
        current && signed as u32 == thread
    }

    /// The thread that signed `seen`, by its number in its process; `None` if the holder has not signed yet.
    pub(crate) fn thread(&self, seen: Word) -> Option<u32> {
        let signed = self.0.load(Ordering::Relaxed);
        (signed >> 32 == tag(seen)).then_some(signed as u32)
    }
}

/// The last holder signed a word of a few transitions ago: 32 bits tell them apart.
#[inline]
fn tag(word: Word) -> u64 {
    word.acquisition() & 0xffff_ffff
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::lock::LockWord;

    #[test]
    fn a_signature_counts_for_one_word() {
        let (lock, owner) = (LockWord::new(), Owner::new());
        let held = lock.try_lock(1).unwrap();
        assert_eq!(owner.thread(lock.read()), None, "not signed yet");
        owner.sign(held.word(), 7);
        assert!(owner.is(lock.read(), 7) && !owner.is(lock.read(), 8));
        lock.unlock(held);
        let held = lock.try_lock(1).unwrap();
        assert!(!owner.is(lock.read(), 7), "another thread has it and has not signed yet");
        owner.sign(held.word(), 8);
        assert_eq!(owner.thread(lock.read()), Some(8));
        lock.unlock(held);
    }
}

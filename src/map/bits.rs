//! Which of many equal things are taken: a bit for each. Only for who holds the lock.

use crate::sync::{AtomicU64, Ordering};

/// A bit for each of `len` things; set, it is taken. Whatever the words hold, nothing at or beyond `len` is ever found free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bits<'a> {
    words: &'a [AtomicU64],
    len: u32,
}

/// So many words have `count` bits.
pub(crate) const fn words_for(count: u32) -> usize {
    count.div_ceil(64) as usize
}

impl<'a> Bits<'a> {
    /// The words of `len` things.
    #[inline(always)]
    pub(crate) fn new(words: &'a [AtomicU64], len: u32) -> Self {
        debug_assert!(words.len() >= words_for(len));
        Bits { words, len }
    }

    // Relaxed, all: nobody but the holder of the lock looks, and the lock orders one holder after the other.

    #[inline]
    fn word(self, at: usize) -> u64 {
        self.words.get(at).map_or(u64::MAX, |word| word.load(Ordering::Relaxed))
    }

    /// The first `count` free things in a row, at `from` or after it.
    #[inline]
    pub(crate) fn find(self, from: u32, count: u32) -> Option<u32> {
        let (len, count) = (u64::from(self.len), u64::from(count));
        let (mut start, mut at) = (u64::from(from), u64::from(from));
        while at < len {
            let offset = at % 64;
            let word = self.word((at / 64) as usize) >> offset;
            let free = if word == 0 { 64 - offset } else { u64::from(word.trailing_zeros()) };
            if (at + free).min(len) - start >= count {
                return Some(start as u32);
            }
            at += free;
            if word != 0 {
                at += u64::from((word >> free).trailing_ones());
                start = at;
            }
        }
        None
    }

    /// What is taken, from the first on.
    pub(crate) fn taken(self) -> impl Iterator<Item = u32> {
        let places = 0..words_for(self.len);
        let all = places.flat_map(move |place| {
            let mut left = self.word(place);
            core::iter::from_fn(move || {
                let at = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(place as u32 * 64 + at)
            })
        });
        all.take_while(move |&at| at < self.len)
    }

    /// Whether these are things that there are, all of them free.
    pub(crate) fn are_free(self, at: u32, count: u32) -> bool {
        let end = u64::from(at) + u64::from(count);
        end <= u64::from(self.len) && masks(at, count).all(|(word, mask)| self.word(word) & mask == 0)
    }

    /// Takes them.
    #[inline]
    pub(crate) fn take(self, at: u32, count: u32) {
        self.change(at, count, |word, mask| word | mask);
    }

    /// Frees them.
    #[inline]
    pub(crate) fn free(self, at: u32, count: u32) {
        self.change(at, count, |word, mask| word & !mask);
    }

    #[inline]
    fn change(self, at: u32, count: u32, how: impl Fn(u64, u64) -> u64) {
        for (place, mask) in masks(at, count) {
            if let Some(word) = self.words.get(place) {
                word.store(how(word.load(Ordering::Relaxed), mask), Ordering::Relaxed);
            }
        }
    }

    /// Frees all.
    pub(crate) fn wipe(self) {
        self.words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

/// The words in which these bits are, and which bits of them.
#[inline]
fn masks(at: u32, count: u32) -> impl Iterator<Item = (usize, u64)> {
    let (mut at, end) = (u64::from(at), u64::from(at) + u64::from(count));
    core::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|&left| left > 0)?;
        let (word, offset) = ((at / 64) as usize, at % 64);
        let here = left.min(64 - offset);
        at += here;
        Some((word, (u64::MAX >> (64 - here)) << offset))
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// As a list of booleans does it.
        #[test]
        fn as_a_list(len in 1_u32..300, steps in prop::collection::vec((0_u32..300, 1_u32..140, 0_u8..3), 1..40)) {
            let words: Vec<AtomicU64> = (0..words_for(len)).map(|_| AtomicU64::new(0)).collect();
            let bits = Bits::new(&words, len);
            let mut model = vec![false; len as usize];
            for (at, count, what) in steps {
                let all_in = at + count <= len;
                let range = at as usize..(at + count).min(len).max(at) as usize;
                match what {
                    0 if all_in => {
                        bits.take(at, count);
                        model[range].fill(true);
                    }
                    1 if all_in => {
                        bits.free(at, count);
                        model[range].fill(false);
                    }
                    _ => {
                        let expected = (at..len).find(|&start| {
                            model.get(start as usize..(start + count) as usize).is_some_and(|run| !run.contains(&true))
                        });
                        prop_assert_eq!(bits.find(at, count), expected);
                        let free = all_in && !model[range].contains(&true);
                        prop_assert_eq!(bits.are_free(at, count), free);
                        let taken = model.iter().enumerate().filter(|(_, is_taken)| **is_taken);
                        prop_assert!(bits.taken().eq(taken.map(|(at, _)| at as u32)));
                    }
                }
            }
        }
    }
}

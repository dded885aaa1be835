//! What is sent: a program's own bytes, copied into the transport by the sender and read from it by the receiver.
//!
//! The sender changes up to sixteen words of its message before each sending and then hands over all of it. The
//! receiver reads one word in every cache line, where the transport lets it see them, and adds them up; the sums of
//! both sides must agree. Before anything is timed, messages of which every word is different are compared in full.

/// Bytes in a cache line.
pub(crate) const LINE: usize = 64;
/// How many words of a message tell it from the one before.
const MOST_STAMPS: usize = 16;
/// An odd number: what tells the stamps of one message from those of the next.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Plain bytes that lie as a program's messages would.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// The sender's message.
///
/// `FIXED` is its length where that is known when the program is compiled, so that the harness costs a ring of
/// integers next to nothing, and 0 otherwise.
#[derive(Debug)]
pub(crate) struct Payload<const FIXED: usize> {
    lines: Box<[Line]>,
    len: usize,
    /// Where the stamps are, in bytes.
    stamps: Box<[usize]>,
    /// What the words that the receiver reads and that are no stamps add up to.
    rest: u64,
}

/// The word at `index` of a message's unchanging part: no two neighbours alike, none zero.
fn filler(index: usize) -> u64 {
    (index as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93) | 1
}

#[inline]
fn base(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(STEP)
}

/// The number whose [`base`] this is.
fn number(base: u64) -> u64 {
    // An odd number times what Newton finds is 1: each round doubles the bits that are right, from three on.
    let inverse =
        (0..5).fold(STEP, |inverse, _| inverse.wrapping_mul(2_u64.wrapping_sub(STEP.wrapping_mul(inverse))));
    base.wrapping_mul(inverse).wrapping_sub(1)
}

/// The first word of stamped message number `number`.
#[inline]
pub(crate) fn word(number: u64) -> u64 {
    base(number)
}

/// The first word of a message.
#[inline]
pub(crate) fn first_word(message: &[u8]) -> u64 {
    message.first_chunk().map_or(0, |&bytes| u64::from_ne_bytes(bytes))
}

/// Which test message this claims to be.
pub(crate) fn exact_number(message: &[u8]) -> u64 {
    number(first_word(message).wrapping_sub(filler(0)))
}

impl<const FIXED: usize> Payload<FIXED> {
    /// A message of `len` bytes, a multiple of 8.
    pub(crate) fn new(len: usize) -> Self {
        assert!(len >= 8 && len.is_multiple_of(8) && (FIXED == 0 || FIXED == len), "{len} bytes");
        let count = len.div_ceil(LINE);
        let stamped = count.min(MOST_STAMPS);
        let stamps: Box<[usize]> =
            (0..stamped).map(|at| at * (count - 1) / (stamped - 1).max(1) * LINE).collect();
        let rest = (0..len).step_by(LINE).filter(|at| !stamps.contains(at)).map(|at| filler(at / 8));
        let rest = rest.fold(0, u64::wrapping_add);
        let mut payload = Payload { lines: vec![Line([0; LINE]); count].into(), len, stamps, rest };
        for at in (0..len).step_by(8) {
            payload.put(at, filler(at / 8));
        }
        payload
    }

    #[inline]
    fn put(&mut self, at: usize, word: u64) {
        self.lines[at / LINE].0[at % LINE..at % LINE + 8].copy_from_slice(&word.to_ne_bytes());
    }

    /// Message number `number`.
    #[inline]
    pub(crate) fn stamp(&mut self, number: u64) -> &[u8] {
        let base = base(number);
        if FIXED == 8 || FIXED == LINE {
            self.put(0, base);
            return &self.lines[0].0[..FIXED];
        }
        for index in 0..self.stamps.len() {
            self.put(self.stamps[index], base.wrapping_add(index as u64));
        }
        self.bytes()
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the lines are `lines.len() * LINE >= len` initialised bytes in one piece, borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// Message number `number` of a test: no word is like any other, of it or of its neighbours.
    pub(crate) fn exact(&mut self, number: u64) -> &[u8] {
        for at in (0..self.len).step_by(8) {
            self.put(at, base(number).wrapping_add(filler(at / 8)));
        }
        self.bytes()
    }

    /// Whether `message` is test message `number`, byte for byte.
    pub(crate) fn is_exact(&mut self, number: u64, message: &[u8]) -> bool {
        self.exact(number) == message
    }

    /// What the receiver makes of the words that it reads of messages `first..first + count`.
    fn words(&self, first: u64, count: u64) -> impl Iterator<Item = u64> {
        let stamps = self.stamps.len() as u64;
        let rest = (stamps * (stamps - 1) / 2).wrapping_add(self.rest);
        (first..first + count).map(move |number| base(number).wrapping_mul(stamps).wrapping_add(rest))
    }

    /// What [`Sum`] comes to over messages `0..count`.
    pub(crate) fn expected(&self, count: u64) -> u64 {
        let mut sum = Sum::default();
        self.words(0, count).for_each(|words| sum.take(words));
        sum.value()
    }

    /// Adds what a [`Tally`] of messages `first..first + count` comes to.
    pub(crate) fn tally(&self, first: u64, count: u64, tally: &mut Tally) {
        self.words(first, count).for_each(|words| tally.take(words));
    }
}

/// What the receiver makes of the words that it reads of a message: the first of each cache line.
///
/// A message of another length would have too few or too many words that differ from those expected.
#[inline]
fn read_words<const FIXED: usize>(message: &[u8]) -> u64 {
    if FIXED == 8 || FIXED == LINE {
        if message.len() == FIXED { first_word(message) } else { 0 }
    } else {
        message.chunks(LINE).fold(0, |sum, line| sum.wrapping_add(first_word(line)))
    }
}

/// Messages that lie in a row, to be sent in one call.
#[derive(Debug)]
pub(crate) struct Row {
    lines: Box<[Line]>,
    len: usize,
}

impl Row {
    /// Room for `most` messages like `payload`.
    pub(crate) fn new<const FIXED: usize>(most: usize, payload: &Payload<FIXED>) -> Self {
        let lines = vec![Line([0; LINE]); (most * payload.len).div_ceil(LINE)];
        Row { lines: lines.into(), len: payload.len }
    }

    /// Messages `first..first + count`.
    #[inline]
    pub(crate) fn fill<const FIXED: usize>(
        &mut self,
        first: u64,
        count: u64,
        payload: &mut Payload<FIXED>,
    ) -> &[u8] {
        let bytes = self.lines.len() * LINE;
        // SAFETY: the lines are so many initialised bytes in one piece, and borrowed with `self`.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<u8>(), bytes) };
        let len = if FIXED == 0 { self.len } else { FIXED };
        for (place, number) in bytes.chunks_exact_mut(len).zip(first..first + count) {
            place.copy_from_slice(payload.stamp(number));
        }
        &bytes[..count as usize * len]
    }
}

/// A receiver's count, and two sums that do not depend on the order: of the words read, and of their squares. So a
/// message lost cannot be made up for by one that came twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(pub(crate) [u64; 3]);

impl Tally {
    /// Reads the first word of each cache line of a message.
    #[inline]
    pub(crate) fn add<const FIXED: usize>(&mut self, message: &[u8]) {
        self.take(read_words::<FIXED>(message));
    }

    #[inline]
    fn take(&mut self, words: u64) {
        *self = self.and(Tally([1, words, words.wrapping_mul(words)]));
    }

    /// Of both together.
    #[inline]
    pub(crate) fn and(self, other: Tally) -> Tally {
        Tally(std::array::from_fn(|at| self.0[at].wrapping_add(other.0[at])))
    }
}

/// The receiver's sum over what it has read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Reads the first word of each cache line of a message.
    #[inline]
    pub(crate) fn add<const FIXED: usize>(&mut self, message: &[u8]) {
        self.take(read_words::<FIXED>(message));
    }

    /// The rotation makes the order of the messages count.
    #[inline]
    fn take(&mut self, words: u64) {
        self.0 = self.0.rotate_left(1).wrapping_add(words);
    }

    /// The sum so far.
    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums_agree<const FIXED: usize>(len: usize) {
        let mut payload = Payload::<FIXED>::new(len);
        let mut sum = Sum::default();
        for number in 0..100 {
            let message = payload.stamp(number);
            assert_eq!(message.len(), len);
            sum.add::<FIXED>(message);
        }
        assert_eq!(sum.value(), payload.expected(100), "{len} bytes");
        assert_ne!(sum.value(), payload.expected(99), "{len} bytes");
    }

    #[test]
    fn the_receiver_comes_to_what_the_sender_expects() {
        sums_agree::<8>(8);
        sums_agree::<64>(64);
        for len in [8, 64, 72, 128, 1024, 1088, 65536, 1 << 20] {
            sums_agree::<0>(len);
        }
    }

    #[test]
    fn lost_doubled_swapped_and_damaged_messages_are_told() {
        let mut payload = Payload::<0>::new(1024);
        let messages: Vec<Vec<u8>> = (0..4).map(|number| payload.stamp(number).to_vec()).collect();
        let sum = |order: &[usize]| {
            let mut sum = Sum::default();
            order.iter().for_each(|&at| sum.add::<0>(&messages[at]));
            sum.value()
        };
        assert_eq!(sum(&[0, 1, 2, 3]), payload.expected(4));
        for wrong in [[0, 1, 1, 3], [0, 2, 1, 3], [0, 1, 2, 2], [1, 2, 3, 0]] {
            assert_ne!(sum(&wrong), payload.expected(4), "{wrong:?}");
        }
        let mut damaged = Sum::default();
        let mut message = messages[0].clone();
        message[960] ^= 1;
        damaged.add::<0>(&message);
        assert_ne!(damaged.value(), payload.expected(1));
    }

    #[test]
    fn tallies_tell_what_is_lost_or_doubled_in_any_order() {
        let mut payload = Payload::<0>::new(1024);
        let messages: Vec<Vec<u8>> = (5..9).map(|number| payload.stamp(number).to_vec()).collect();
        let tally = |order: &[usize]| {
            let mut tally = Tally::default();
            order.iter().for_each(|&at| tally.add::<0>(&messages[at]));
            tally
        };
        let mut expected = Tally::default();
        payload.tally(5, 4, &mut expected);
        assert_eq!(tally(&[2, 0, 3, 1]), expected);
        assert_eq!(tally(&[2, 0]).and(tally(&[3, 1])), expected);
        // The numbers 5 to 8 are in a row: the sum of the two in the middle is that of the outer ones.
        for wrong in [&[0, 1, 2][..], &[0, 0, 3, 3], &[1, 1, 2, 2], &[0, 1, 2, 3, 3]] {
            assert_ne!(tally(wrong), expected, "{wrong:?}");
        }
    }

    #[test]
    fn rows_hold_what_would_be_sent_singly() {
        let mut payload = Payload::<8>::new(8);
        let mut row = Row::new(32, &payload);
        let bytes = row.fill(7, 5, &mut payload).to_vec();
        assert_eq!(bytes.len(), 40);
        for (message, number) in bytes.chunks(8).zip(7..) {
            assert_eq!(message, payload.stamp(number));
            assert_eq!(first_word(message), word(number));
        }
    }

    #[test]
    fn test_messages_say_their_number() {
        let mut payload = Payload::<0>::new(128);
        for number in [0, 1, 7 << 40, u64::MAX - 1, u64::MAX] {
            assert_eq!(exact_number(payload.exact(number)), number);
        }
    }

    #[test]
    fn test_messages_are_compared_in_full() {
        let mut payload = Payload::<0>::new(256);
        let mut message = payload.exact(3).to_vec();
        assert!(payload.is_exact(3, &message));
        assert!(!payload.is_exact(4, &message));
        message[255] ^= 1;
        assert!(!payload.is_exact(3, &message));
    }
}

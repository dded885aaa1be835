//! What is sent, and how the receiver proves that it has read it: the same for every transport.

use bytemuck::{Pod, Zeroable};

/// The SplitMix64 generator: one multiply-xor chain a number, so that making data costs next to nothing.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix {
    state: u64,
}

impl SplitMix {
    /// A generator; equal seeds give equal numbers.
    pub(crate) fn new(seed: u64) -> Self {
        SplitMix { state: seed }
    }

    /// The next number.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A market tick: what the demo sends ten million of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub(crate) struct Tick {
    /// Counts up from 0.
    pub(crate) id: u64,
    /// Which of 4096 instruments.
    pub(crate) instrument: u32,
    /// Side and aggressor.
    pub(crate) flags: u32,
    /// In whole cents, from 100.
    pub(crate) price: f64,
    /// Lots.
    pub(crate) quantity: f64,
}

/// Bytes of a tick.
pub(crate) const TICK_LEN: usize = size_of::<Tick>();
const TICK_SEED: u64 = 0x5249_4e47_5741_5921;

/// The one fixed sequence of ticks.
#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    random: SplitMix,
    id: u64,
}

impl Ticks {
    /// The sequence from its start.
    pub(crate) fn new() -> Self {
        Ticks { random: SplitMix::new(TICK_SEED), id: 0 }
    }

    /// The next tick. The sequence has no end.
    #[inline]
    pub(crate) fn next(&mut self) -> Tick {
        let random = self.random.next();
        let tick = Tick {
            id: self.id,
            instrument: (random & 0xfff) as u32,
            flags: (random >> 12 & 3) as u32,
            price: 100.0 + (random >> 20 & 0xffff) as f64 * 0.01,
            quantity: (random >> 40 & 0xfff) as f64,
        };
        self.id += 1;
        tick
    }
}

/// A checksum over all fields of all ticks, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TickSum {
    sum: u64,
}

impl TickSum {
    /// Takes in the next tick.
    #[inline]
    pub(crate) fn add(&mut self, tick: &Tick) {
        let names = u64::from(tick.instrument) << 32 | u64::from(tick.flags);
        // Odd factors, one a field: no two fields, and no two bits of one, can stand in for each other. The
        // rotation makes the order count. Four independent multiplications take no longer than one.
        let mixed = (tick.id.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_add(names.wrapping_mul(0xc2b2_ae3d_27d4_eb4f))
            .wrapping_add(tick.price.to_bits().wrapping_mul(0x1656_67b1_9e37_79f9))
            .wrapping_add(tick.quantity.to_bits().wrapping_mul(0x27d4_eb2f_1656_67c5));
        self.sum = self.sum.rotate_left(5).wrapping_add(mixed);
    }

    /// The checksum so far.
    pub(crate) fn value(self) -> u64 {
        self.sum
    }

    /// The checksum of the first `count` ticks, made from the generator and not from what was sent.
    pub(crate) fn expected(count: u64) -> u64 {
        let (mut ticks, mut sum) = (Ticks::new(), TickSum::default());
        for _ in 0..count {
            sum.add(&ticks.next());
        }
        sum.value()
    }
}

/// What tells one message from the next.
const MESSAGE_STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// The receiver reads one word in this many bytes: one in a cache line.
const STRIDE: usize = 64;

/// Whether a payload of `len` bytes can carry the pattern: whole words, at least one.
pub(crate) fn is_payload(len: usize) -> bool {
    len >= 8 && len.is_multiple_of(8)
}

/// The first word of message number `number`.
#[inline]
pub(crate) fn message_base(number: u64) -> u64 {
    number.wrapping_mul(MESSAGE_STEP)
}

/// Writes every word of a message: `base`, `base + 1`, and so on.
#[inline]
pub(crate) fn fill_message(message: &mut [u8], base: u64) {
    for (at, word) in message.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&base.wrapping_add(at as u64).to_ne_bytes());
    }
}

/// Reads the first word of each cache line of a message; returns the very first and the sum of all.
#[inline]
pub(crate) fn read_message(message: &[u8]) -> (u64, u64) {
    let word = |line: &[u8]| line.first_chunk().map_or(0, |&bytes| u64::from_ne_bytes(bytes));
    let sum = message.chunks(STRIDE).fold(0u64, |sum, line| sum.wrapping_add(word(line)));
    (word(message), sum)
}

/// What [`read_message`] must add up to over messages `0..count` of `len` bytes.
pub(crate) fn expected_messages(count: u64, len: usize) -> u64 {
    let lines = len.div_ceil(STRIDE) as u64;
    let pairs = |n: u64| (u128::from(n) * u128::from(n.saturating_sub(1)) / 2) as u64;
    let bases = lines.wrapping_mul(MESSAGE_STEP).wrapping_mul(pairs(count));
    let offsets = (STRIDE as u64 / 8).wrapping_mul(pairs(lines)).wrapping_mul(count);
    bases.wrapping_add(offsets)
}

/// A checksum over a stream of bytes that does not depend on how the stream is cut.
///
/// Eight lanes of Fletcher's sum over 64-bit words: it reads every byte at about the speed of a copy, and
/// tells swapped, lost, doubled and altered bytes.
#[derive(Clone, Debug)]
pub(crate) struct StreamSum {
    sums: [u64; 8],
    sums_of_sums: [u64; 8],
    part: [u8; 64],
    part_len: usize,
    len: u64,
}

impl StreamSum {
    /// The sum of no bytes.
    pub(crate) fn new() -> Self {
        StreamSum { sums: [0; 8], sums_of_sums: [0; 8], part: [0; 64], part_len: 0, len: 0 }
    }

    /// Takes in the next bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.part_len > 0 {
            let n = bytes.len().min(64 - self.part_len);
            self.part[self.part_len..self.part_len + n].copy_from_slice(&bytes[..n]);
            self.part_len += n;
            bytes = &bytes[n..];
            if self.part_len < 64 {
                return;
            }
            let part = self.part;
            self.block(&part);
            self.part_len = 0;
        }
        let (blocks, rest) = bytes.as_chunks::<64>();
        for block in blocks {
            self.block(block);
        }
        self.part[..rest.len()].copy_from_slice(rest);
        self.part_len = rest.len();
    }

    #[inline]
    fn block(&mut self, block: &[u8; 64]) {
        for (lane, &word) in block.as_chunks::<8>().0.iter().enumerate() {
            self.sums[lane] = self.sums[lane].wrapping_add(u64::from_le_bytes(word));
            self.sums_of_sums[lane] = self.sums_of_sums[lane].wrapping_add(self.sums[lane]);
        }
    }

    /// The checksum of all bytes so far.
    pub(crate) fn value(&self) -> u64 {
        let mut last = self.clone();
        let mut part = [0; 64];
        part[..self.part_len].copy_from_slice(&self.part[..self.part_len]);
        last.block(&part);
        let lanes = last.sums.iter().chain(&last.sums_of_sums);
        // The length tells trailing zeroes from none.
        lanes.fold(self.len, |mix, &lane| SplitMix::new(mix.rotate_left(17) ^ lane).next())
    }
}

/// A checksum over a file that is sent again and again: one value for all passes and the last, cut one.
#[derive(Clone, Debug)]
pub(crate) struct PassSum {
    pass_len: u64,
    folded: u64,
    current: StreamSum,
}

impl PassSum {
    /// The sum of nothing, for a file of `pass_len` bytes (at least 1).
    pub(crate) fn new(pass_len: u64) -> Self {
        PassSum { pass_len: pass_len.max(1), folded: 0, current: StreamSum::new() }
    }

    /// Takes in the next bytes of the stream.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = self.pass_len - self.current.len;
            let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.current.update(&bytes[..n]);
            bytes = &bytes[n..];
            if self.current.len == self.pass_len {
                self.folded = fold(self.folded, self.current.value());
                self.current = StreamSum::new();
            }
        }
    }

    /// The checksum so far.
    pub(crate) fn value(&self) -> u64 {
        fold(self.folded, self.current.value())
    }

    /// What the receiver of `sent` bytes of `file`, sent over and over, must come to.
    pub(crate) fn expected(file: &[u8], sent: u64) -> u64 {
        let sum = |bytes: &[u8]| {
            let mut sum = StreamSum::new();
            sum.update(bytes);
            sum.value()
        };
        let len = (file.len() as u64).max(1);
        let whole = sum(file);
        let folded = (0..sent / len).fold(0, |folded, _| fold(folded, whole));
        fold(folded, sum(&file[..(sent % len) as usize]))
    }
}

fn fold(sum: u64, next: u64) -> u64 {
    SplitMix::new(sum.rotate_left(1) ^ next).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_a_fixed_sequence() {
        let mut ticks = Ticks::new();
        let first = ticks.next();
        assert_eq!((first.id, ticks.next().id), (0, 1));
        assert!((100.0..756.0).contains(&first.price));
        assert_eq!(TICK_LEN, 32);
        // Computed apart, in Python: whoever changes the sequence or its sum must mean to.
        assert_eq!(TickSum::expected(1000), 0xd875_34c3_3796_ee40);
    }

    #[test]
    fn every_field_and_the_order_count() {
        let mut ticks = Ticks::new();
        let (a, b) = (ticks.next(), ticks.next());
        let sum = |list: &[Tick]| {
            let mut sum = TickSum::default();
            list.iter().for_each(|tick| sum.add(tick));
            sum.value()
        };
        let right = sum(&[a, b]);
        assert_eq!(right, TickSum::expected(2));
        for at in 0..TICK_LEN * 8 {
            let mut damaged = a;
            bytemuck::bytes_of_mut(&mut damaged)[at / 8] ^= 1 << (at % 8);
            assert_ne!(sum(&[damaged, b]), right, "bit {at}");
        }
        assert_ne!(sum(&[b, a]), right);
    }

    #[test]
    fn the_closed_form_is_what_reading_adds_up_to() {
        for len in [8, 16, 64, 72, 128, 1024, 4104] {
            for count in [0, 1, 2, 77] {
                let mut message = vec![0; len];
                let mut sum = 0u64;
                for number in 0..count {
                    fill_message(&mut message, message_base(number));
                    let (first, all) = read_message(&message);
                    assert_eq!(first, message_base(number));
                    sum = sum.wrapping_add(all);
                }
                assert_eq!(sum, expected_messages(count, len), "{count} messages of {len} bytes");
            }
        }
        assert!(is_payload(8) && is_payload(1 << 20) && !is_payload(0) && !is_payload(12));
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut random = SplitMix::new(3);
        (0..len).map(|_| random.next() as u8).collect()
    }

    #[test]
    fn the_stream_sum_ignores_how_the_stream_is_cut() {
        let data = noise(5000);
        let mut whole = StreamSum::new();
        whole.update(&data);
        let mut random = SplitMix::new(9);
        for _ in 0..200 {
            let (mut rest, mut sum) = (&data[..], StreamSum::new());
            while !rest.is_empty() {
                let n = (random.next() as usize % 200).min(rest.len());
                sum.update(&rest[..n]);
                rest = &rest[n..];
            }
            assert_eq!(sum.value(), whole.value());
        }
    }

    #[test]
    fn the_stream_sum_tells_damage() {
        let data = noise(300);
        let sum = |bytes: &[u8]| {
            let mut sum = StreamSum::new();
            sum.update(bytes);
            sum.value()
        };
        let right = sum(&data);
        for at in 0..data.len() {
            let mut damaged = data.clone();
            damaged[at] ^= 0x80;
            assert_ne!(sum(&damaged), right, "byte {at} altered");
            damaged.copy_from_slice(&data);
            damaged.remove(at);
            assert_ne!(sum(&damaged), right, "byte {at} lost");
        }
        let mut swapped = data.clone();
        swapped.copy_within(64..128, 0);
        swapped[64..128].copy_from_slice(&data[..64]);
        assert_ne!(sum(&swapped), right, "blocks swapped");
        assert_ne!(sum(&[&data[..], &[0]].concat()), right, "a zero more");
        assert_ne!(sum(&[]), sum(&[0]));
    }

    #[test]
    fn passes_add_up_whatever_the_cut() {
        let file = noise(1000);
        let stream = file.repeat(4);
        for sent in [0, 1, 999, 1000, 1001, 3500] {
            let mut sum = PassSum::new(1000);
            stream[..sent].chunks(333).for_each(|chunk| sum.update(chunk));
            assert_eq!(sum.value(), PassSum::expected(&file, sent as u64), "{sent} bytes");
        }
        assert_ne!(PassSum::expected(&file, 1000), PassSum::expected(&file, 2000));
    }
}

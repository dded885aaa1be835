//! Percentiles of many durations in little memory: a log-linear histogram.

/// Each power of two is cut into this many equal buckets, so a bucket is at most 1/128 of its values wide
/// and its middle is within 0.4 % of each of them.
const PER_OCTAVE: usize = 128;
const OCTAVE_BITS: u32 = PER_OCTAVE.ilog2();
/// Values below 128 have a bucket each; above, 128 buckets for each of the other 57 leading-bit positions.
const BUCKETS: usize = PER_OCTAVE * (1 + 64 - OCTAVE_BITS as usize);

/// Counts of values, by default nanoseconds, over the whole range of `u64`.
///
/// Percentiles are exact below 256 and within 0.4 % above; the largest value is exact.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// An empty histogram. All its memory is set aside and touched now, so that recording never page-faults.
    pub(crate) fn new() -> Self {
        Histogram { counts: vec![0; BUCKETS].into_boxed_slice(), total: 0, max: 0 }
    }

    /// Counts one value.
    #[inline]
    pub(crate) fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// How many values were recorded.
    pub(crate) fn len(&self) -> u64 {
        self.total
    }

    /// The largest value, 0 if there is none.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The smallest recorded value that at least the fraction `quantile` of all values do not exceed (nearest
    /// rank); 0 if there is none. `quantile` is 0.5 for the median.
    pub(crate) fn percentile(&self, quantile: f64) -> u64 {
        let rank = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(index).min(self.max);
            }
        }
        0
    }
}

/// The bucket a value belongs to.
#[inline]
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - (value | 1).leading_zeros()).saturating_sub(OCTAVE_BITS + 1);
    // For shift > 0 the shifted value lies in 128..256: each further shift adds one octave of buckets.
    shift as usize * PER_OCTAVE + (value >> shift) as usize
}

/// The middle of a bucket's values.
fn middle(index: usize) -> u64 {
    let shift = (index / PER_OCTAVE).saturating_sub(1) as u32;
    let low = ((index - shift as usize * PER_OCTAVE) as u64) << shift;
    low + ((1u64 << shift) - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::work::SplitMix;

    #[test]
    fn buckets_are_contiguous_and_cover_u64() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        for bit in 0..64 {
            let value = 1u64 << bit;
            assert!(bucket(value) - bucket(value - 1) <= 1, "gap below {value}");
        }
        let mut last = 0;
        for value in 0..100_000 {
            let now = bucket(value);
            assert!(now == last || now == last + 1, "gap at {value}");
            last = now;
        }
    }

    #[test]
    fn the_middle_of_a_bucket_is_close_to_its_values() {
        let mut random = SplitMix::new(1);
        for _ in 0..100_000 {
            let value = random.next() >> (random.next() % 64);
            let middle = middle(bucket(value));
            assert_eq!(bucket(middle), bucket(value));
            let off = middle.abs_diff(value) as f64;
            assert!(off <= value as f64 * 0.004, "{value} is shown as {middle}");
        }
    }

    /// Percentiles against a sorted list, over several shapes of distribution.
    #[test]
    fn percentiles_match_a_sorted_list() {
        let mut random = SplitMix::new(2);
        for shape in [0, 20, 40, 60] {
            let mut histogram = Histogram::new();
            let mut all: Vec<u64> =
                (0..10_000).map(|_| (random.next() >> 4) >> (random.next() % (shape + 1))).collect();
            all.iter().for_each(|&value| histogram.record(value));
            all.sort_unstable();
            for quantile in [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
                let rank = ((all.len() as f64 * quantile).ceil() as usize).clamp(1, all.len());
                let (exact, got) = (all[rank - 1], histogram.percentile(quantile));
                let off = exact.abs_diff(got) as f64;
                assert!(off <= exact as f64 * 0.01, "{quantile}: {got}, not {exact}");
            }
            assert_eq!(histogram.max(), *all.last().unwrap());
            assert_eq!(histogram.len(), 10_000);
        }
    }

    #[test]
    fn an_empty_one_is_all_zero_and_a_single_value_is_every_percentile() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.percentile(0.5), histogram.max()), (0, 0));
        histogram.record(150);
        assert_eq!([0.0, 0.5, 1.0].map(|quantile| histogram.percentile(quantile)), [150; 3]);
    }
}

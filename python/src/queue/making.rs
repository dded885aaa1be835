//! How queues are made: how large, and of which kind.

use ringway::TallyQueue;

/// What `multiprocessing` means by no limit.
const NO_LIMIT: usize = i32::MAX as usize;

/// Longer queues have a ring of so many places, and each process keeps the rest to itself.
const LONGEST_RING: usize = 8192;

/// The ring of a queue without a limit.
const USUAL_RING: usize = 512;

/// Messages of up to so many bytes have memory of their own from the beginning; there is more for larger ones when they are sent:
/// so a queue is made quickly.
const USUAL_SIZE: usize = 128;
const USUAL_HELD: usize = 64;

/// So many bytes for each size. A ring full of messages of 1 KiB and a header has room; what has none waits in the backlog.
const USUAL_SPARE: usize = 1 << 20;

/// Processes that can use a queue at the same time.
const PARTICIPANTS: u16 = 1022;

/// As Python says it.
pub(super) fn limit(maxsize: i64) -> usize {
    usize::try_from(maxsize).ok().filter(|&most| most > 0).unwrap_or(NO_LIMIT)
}

/// How a queue is made.
pub(super) struct Making {
    pub(super) most: usize,
    pub(super) message_size: Option<usize>,
    pub(super) max_bytes: Option<u64>,
    pub(super) mode: Option<u32>,
    pub(super) counts: bool,
}

/// Opens a queue of either kind by `$open`, a call of its options.
macro_rules! open {
    ($making:expr, $options:ident => $open:expr) => {
        if $making.counts {
            let $options = $making.fit(ringway::TallyQueue::options());
            $open.map($crate::ring::Ring::Tally)
        } else {
            let $options = $making.fit(ringway::Queue::<[u8]>::options());
            $open.map($crate::ring::Ring::Plain)
        }
    };
}

pub(super) use open;

/// The options that both kinds have.
macro_rules! fit {
    ($($queue:ty),*) => {$(
        impl Fit<$queue> for Making {
            fn fit(&self, options: ringway::Options<$queue>) -> ringway::Options<$queue> {
                let capacity = if self.most == NO_LIMIT { USUAL_RING } else { self.most.min(LONGEST_RING) };
                let mut options = options
                    .capacity(capacity)
                    .message_size(self.message_size.unwrap_or(USUAL_SIZE))
                    .max_held(USUAL_HELD)
                    .participants(PARTICIPANTS)
                    .spare(USUAL_SPARE);
                if let Some(bytes) = self.max_bytes {
                    options = options.max_bytes(bytes);
                }
                if let Some(mode) = self.mode {
                    options = options.mode(mode);
                }
                options
            }
        }
    )*};
}

/// Gives its options to a queue of that kind.
pub(super) trait Fit<Q> {
    fn fit(&self, options: ringway::Options<Q>) -> ringway::Options<Q>;
}

fit!(ringway::Queue<[u8]>, TallyQueue);

//! The monotonic clock, in nanoseconds: the clock that futexes measure their deadlines by.

/// Nanoseconds since some fixed point before this process; never runs backwards, stands still in suspend.
#[inline]
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec of ours for the call to fill.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    debug_assert_eq!(outcome, 0, "CLOCK_MONOTONIC is part of every Linux");
    (time.tv_sec as u64).saturating_mul(NANOS_PER_SECOND).saturating_add(time.tv_nsec as u64)
}

/// A number that changes every few milliseconds, for a fifth of the price of [`now`].
#[inline]
pub(crate) fn tick() -> u64 {
    let time = coarse();
    // Nanoseconds within the second take 30 bits.
    (time.tv_sec as u64) << 30 | time.tv_nsec as u64
}

/// As [`now`], a few milliseconds late, for a fifth of its price.
#[inline]
pub(crate) fn recently() -> u64 {
    let time = coarse();
    (time.tv_sec as u64).wrapping_mul(NANOS_PER_SECOND).wrapping_add(time.tv_nsec as u64)
}

#[inline]
fn coarse() -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec of ours for the call to fill.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    debug_assert_eq!(outcome, 0, "CLOCK_MONOTONIC_COARSE is part of every Linux since 2.6.32");
    time
}

/// Nanoseconds as the kernel takes them. A time beyond what it can hold becomes the latest it can.
pub(super) fn timespec(nanos: u64) -> libc::timespec {
    // 2⁶⁴ ns are 584 years of seconds: they fit an i64, and on 32-bit targets are clamped.
    let seconds = (nanos / NANOS_PER_SECOND).try_into().unwrap_or(i32::MAX.into());
    libc::timespec { tv_sec: seconds, tv_nsec: (nanos % NANOS_PER_SECOND) as libc::c_long }
}

/// Rests for about `nanos`: what is left when the kernel refuses to let us wait properly.
pub(crate) fn pause(nanos: u64) {
    let time = timespec(nanos);
    // SAFETY: `time` is ours and valid; a null remainder asks for none. An early return does no harm.
    unsafe { libc::nanosleep(&raw const time, core::ptr::null_mut()) };
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn runs_as_fast_as_the_clock_of_std() {
        let (outer, before) = (std::time::Instant::now(), now());
        let inner = std::time::Instant::now();
        pause(2_000_000);
        let (inner, after) = (inner.elapsed(), now());
        let measured = u128::from(after - before);
        assert!(measured >= 2_000_000, "rested for {measured} ns only");
        assert!((inner.as_nanos()..=outer.elapsed().as_nanos()).contains(&measured));
    }

    #[test]
    fn timespecs_are_normal() {
        let time = timespec(u64::MAX);
        assert!((0..1_000_000_000).contains(&time.tv_nsec));
        assert_eq!((timespec(1_500_000_000).tv_sec, timespec(1_500_000_000).tv_nsec), (1, 500_000_000));
    }
}

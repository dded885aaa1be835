//! Numbers as people read them.

/// Three significant digits: `2.31`, `23.1`, `231`.
fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// Scales `value` to the largest of `units`, given as (size, name) from large to small.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    // 999.6 ns reads better as 1.00 µs, so a unit begins just below its size.
    let fits = units.iter().find(|(size, _)| value >= size * 0.9995);
    let &(size, name) = fits.unwrap_or(&units[units.len() - 1]);
    format!("{} {name}", three_digits(value / size))
}

/// Messages a second: `231 M/s`.
pub(crate) fn rate(per_second: f64) -> String {
    scaled(per_second, &[(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")])
}

/// Bytes a second, in powers of ten: `6.40 GB/s`.
pub(crate) fn bandwidth(per_second: f64) -> String {
    scaled(per_second, &[(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")])
}

/// Bytes, in powers of ten: `6.40 GB`.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1000 => format!("{count} B"),
        _ => scaled(count as f64, &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]),
    }
}

/// A duration: `150 ns`, `12.3 µs`.
pub(crate) fn nanos(ns: u64) -> String {
    match ns {
        0..1000 => format!("{ns} ns"),
        _ => scaled(ns as f64, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs")]),
    }
}

/// A payload size, in powers of two where it is one: `64 KiB`.
pub(crate) fn payload(bytes: usize) -> String {
    match bytes {
        b if b >= 1 << 20 && b.is_multiple_of(1 << 20) => format!("{} MiB", b >> 20),
        b if b >= 1 << 10 && b.is_multiple_of(1 << 10) => format!("{} KiB", b >> 10),
        b => format!("{b} B"),
    }
}

/// A count with its thousands apart: `10,000,000`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_size() {
        assert_eq!(rate(231_400_000.0), "231 M/s");
        assert_eq!(rate(151_000.0), "151 k/s");
        assert_eq!(rate(0.5), "0.50 /s");
        assert_eq!(bandwidth(6.404e9), "6.40 GB/s");
        assert_eq!(nanos(150), "150 ns");
        assert_eq!(nanos(12_345), "12.3 µs");
        assert_eq!(nanos(999_999), "1.00 ms");
        assert_eq!(nanos(1_500_000_000), "1.50 s");
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(8_123_456), "8.12 MB");
        assert_eq!(payload(65_536), "64 KiB");
        assert_eq!(payload(1000), "1000 B");
        assert_eq!(payload(1 << 20), "1 MiB");
    }

    #[test]
    fn digits_do_not_jump_when_rounding() {
        assert_eq!(three_digits(9.996), "10.0");
        assert_eq!(three_digits(99.96), "100");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1000, 10_000_000].map(count), ["0", "999", "1,000", "10,000,000"]);
    }
}

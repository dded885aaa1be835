//! Numbers for people: three digits and a unit.

/// How a value is written.
pub(crate) type Unit = fn(f64) -> String;

/// A rate: `118 M`.
pub(crate) fn rate(value: f64) -> String {
    scaled(value, &[(1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")])
}

/// Bytes a second: `12.3 GB/s`.
pub(crate) fn bandwidth(value: f64) -> String {
    scaled(value, &[(1e9, " GB/s"), (1e6, " MB/s"), (1e3, " kB/s"), (1.0, " B/s")])
}

/// A time in nanoseconds: `151 ns`.
pub(crate) fn nanos(value: f64) -> String {
    scaled(value, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")])
}

/// A payload: `64 KiB`.
pub(crate) fn payload(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// A ratio: `2.31`, `0.94`, `412`.
pub(crate) fn ratio(value: f64) -> String {
    digits(value)
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    // 999.6 k is 1.00 M.
    let unit = units.iter().find(|(scale, _)| value >= scale * 0.9995).or(units.last());
    unit.map_or_else(String::new, |(scale, unit)| digits(value / scale) + unit)
}

fn digits(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        assert_eq!(rate(118_432_000.0), "118 M");
        assert_eq!(rate(999_700.0), "1.00 M");
        assert_eq!(rate(12_345.0), "12.3 k");
        assert_eq!(bandwidth(22.04e9), "22.0 GB/s");
        assert_eq!(nanos(151.0), "151 ns");
        assert_eq!(nanos(12_340.0), "12.3 µs");
        assert_eq!(payload(8) + &payload(65536) + &payload(1 << 20), "8 B64 KiB1 MiB");
        assert_eq!(ratio(0.94), "0.94");
    }
}

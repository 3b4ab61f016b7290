//! How figures are written.

use crate::results::Measure;

/// Of something measured, with its unit. A rate stands under `requests/s`, and has none.
pub(super) fn figure(measure: Measure, value: f64) -> String {
    match measure {
        Measure::RequestsPerSecond => grouped(value),
        Measure::P50Us | Measure::P99Us | Measure::StartUs if value >= 1000.0 => format!("{:.2} ms", value / 1e3),
        Measure::P50Us | Measure::P99Us | Measure::StartUs => format!("{value:.0} µs"),
        Measure::CpuUs | Measure::StoreCpuUs | Measure::ServiceCpuUs => format!("{value:.1} µs"),
        Measure::RssBytes | Measure::StoreRssBytes => format!("{:.1} MB", value / 1e6),
        Measure::BytesPerSecond => format!("{:.0} MB/s", value / 1e6),
        Measure::Descriptors => grouped(value),
        Measure::Share => format!("{value:.1} %"),
    }
}

/// A whole number with its thousands apart.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of a body.
pub(super) fn length(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    match bytes {
        _ if bytes >= KIB * KIB => format!("{:.0} MiB", bytes / KIB / KIB),
        _ if bytes >= KIB => format!("{:.0} KiB", bytes / KIB),
        _ => format!("{bytes:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(figure(Measure::RequestsPerSecond, 1_234_567.4), "1,234,567");
        assert_eq!(figure(Measure::RequestsPerSecond, 100.0), "100");
        assert_eq!(figure(Measure::P99Us, 1234.0), "1.23 ms");
        assert_eq!(figure(Measure::P50Us, 99.0), "99 µs");
        assert_eq!(length(8.0 * 1024.0 * 1024.0), "8 MiB");
        assert_eq!(length(0.0), "0");
    }
}

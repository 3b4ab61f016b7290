//! Whether something grows: judged over the second half of a run, when caches and stores have come to their size.

use serde::Serialize;

use super::sample::Sample;

/// What memory may grow in the second half, as noise: a share of it, and the allocator's own steps.
const MAX_GROWTH: f64 = 0.02;
const MAX_GROWTH_BYTES: f64 = 512.0 * 1024.0;
/// A store keeps what came within a fixed time, and that many vary; a file grows by steps.
const MAX_STORE_GROWTH: f64 = 0.10;
const MAX_STORE_GROWTH_BYTES: f64 = 2.0 * 1024.0 * 1024.0;
/// Connections come and go, so that descriptors do: by their median.
const MAX_MORE_DESCRIPTORS: f64 = 4.0;

/// One measure over a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Trend {
    pub(super) what: &'static str,
    /// The median of the second half.
    pub(super) median: f64,
    /// The greatest of the whole run.
    pub(super) greatest: f64,
    /// By the slope of the second half.
    pub(super) growth_per_hour: f64,
    pub(super) is_flat: bool,
}

/// What is judged, out of samples in their order.
pub(super) fn judge(samples: &[Sample]) -> Vec<Trend> {
    let of = |what, value: fn(&Sample) -> u64, allowed: fn(f64) -> f64| {
        let points: Vec<_> = samples.iter().map(|sample| (sample.seconds, value(sample) as f64)).collect();
        trend(what, &points, allowed)
    };
    vec![
        of("memory", |sample| sample.rss_bytes, |median| median * MAX_GROWTH + MAX_GROWTH_BYTES),
        of("descriptors", |sample| sample.descriptors, |_| MAX_MORE_DESCRIPTORS),
        of("threads", |sample| sample.threads, |_| MAX_MORE_DESCRIPTORS),
        of("store", |sample| sample.store_bytes, |median| median * MAX_STORE_GROWTH + MAX_STORE_GROWTH_BYTES),
    ]
}

/// Flat is what does not grow by more than `allowed`, given the median, in the second half.
fn trend(what: &'static str, points: &[(f64, f64)], allowed: fn(f64) -> f64) -> Trend {
    let second = &points[points.len() / 2..];
    let middle = median(second.iter().map(|(_, value)| *value).collect());
    let slope = slope(second);
    let length = second.last().map_or(0.0, |(to, _)| to - second.first().map_or(0.0, |(from, _)| *from));
    let is_flat = !second.is_empty() && slope * length <= allowed(middle);
    let greatest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    Trend { what, median: middle, greatest, growth_per_hour: slope * 3600.0, is_flat }
}

/// The median of all slopes between two points (Theil and Sen): what a few outliers do not move.
fn slope(points: &[(f64, f64)]) -> f64 {
    let pairs = points.iter().enumerate().flat_map(|(at, one)| points[at + 1..].iter().map(move |other| (one, other)));
    median(pairs.filter(|(one, other)| other.0 > one.0).map(|(one, other)| (other.1 - one.1) / (other.0 - one.0)).collect())
}

fn median(values: Vec<f64>) -> f64 {
    crate::results::median(values).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    fn of(rss: impl Fn(f64) -> f64) -> Trend {
        let samples = (0..360).map(|at| {
            let seconds = f64::from(at) * 5.0;
            let rss_bytes = rss(seconds) as u64;
            Sample { seconds, rss_bytes, descriptors: 40, threads: 5, store_bytes: 1 << 20 }
        });
        judge(&samples.collect::<Vec<_>>()).remove(0)
    }

    #[test]
    fn what_fills_at_first_and_then_stays_is_flat() {
        assert!(of(|at| 12.0 * MIB + 8.0 * MIB * (at / 300.0).min(1.0)).is_flat);
        assert!(of(|at| 20.0 * MIB + (at * 7.3).sin() * MIB).is_flat, "noise");
        assert!(of(|at| if at == 1700.0 { 90.0 * MIB } else { 20.0 * MIB }).is_flat, "an outlier");
    }

    #[test]
    fn a_slow_leak_is_seen_through_noise() {
        // 5 MiB in an hour of a process of 20.
        let leak = of(|at| 20.0 * MIB + 5.0 * MIB * at / 3600.0 + (at * 7.3).sin() * MIB / 4.0);
        assert!(!leak.is_flat, "{leak:?}");
        assert!((leak.growth_per_hour - 5.0 * MIB).abs() < MIB, "{leak:?}");
    }

    #[test]
    fn nothing_seen_is_not_flat() {
        assert!(judge(&[]).iter().all(|trend| !trend.is_flat));
    }
}

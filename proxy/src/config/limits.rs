//! Numbers that bound something: `limits`, and what they have in common with other bounds.

use std::time::Duration;

use saga_config::{
    units::{ByteCount, DurationText},
    yaml::Pointer,
};

use super::{Limits, findings::Findings, raw};

pub(super) fn limits(raw: &raw::Limits, findings: &mut Findings) -> Limits {
    let at = |name: &str| Pointer::root().child("limits").child(name);
    Limits {
        header_bytes: at_least_one(raw.header_bytes, bytes(64 << 10), &at("header_bytes"), findings),
        headers: count(raw.headers, 100),
        connections: count(raw.connections, 10_000),
        in_flight: count(raw.in_flight, 1024),
        buffered: at_least_one(raw.buffered, bytes(64 << 20), &at("buffered"), findings),
        header_timeout: positive(raw.header_timeout, Duration::from_secs(10), &at("header_timeout"), findings),
        idle_timeout: positive(raw.idle_timeout, Duration::from_secs(75), &at("idle_timeout"), findings),
        drain: positive(raw.drain, Duration::from_secs(30), &at("drain"), findings),
    }
}

/// A duration that was written at `at`, if it was, and is not 0.
pub(super) fn positive(written: Option<DurationText>, default: Duration, at: &Pointer, findings: &mut Findings) -> Duration {
    let duration = written.map_or(default, DurationText::get);
    if duration.is_zero() {
        findings.error("zero", at, "this is no time at all", "write a duration such as 1s");
    }
    duration
}

/// A size that was written at `at`, if it was, and is not 0.
pub(super) fn at_least_one(written: Option<ByteCount>, default: ByteCount, at: &Pointer, findings: &mut Findings) -> ByteCount {
    let size = written.unwrap_or(default);
    if size.get() == 0 {
        findings.error("zero", at, "nothing has this size", "write a size such as 64KiB");
    }
    size
}

/// A number that the schema bounds below.
pub(super) fn count(written: Option<u32>, default: usize) -> usize {
    written.map_or(default, |number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// A default size: up to 1024 GiB.
pub(super) const fn bytes(size: u64) -> ByteCount {
    ByteCount::new(size).expect("defaults are far below the greatest size")
}

//! The one place that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// For durations.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A text that no other run has, for keys: long enough by itself for those who want long ones.
pub(crate) fn nonce() -> String {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:024x}", since.as_nanos())
}

//! Time: the one place that reads a clock.
//!
//! Pure code takes `now` as an argument. Async code uses tokio's timers, or asks here. `Instant::now` and `SystemTime::now` are
//! disallowed methods everywhere else (see `clippy.toml`).

use std::{
    cell::RefCell,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, by the clock of whoever says it (for records: the store's clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch itself: before every other timestamp.
    pub const ZERO: Self = Self(0);

    /// From milliseconds since the Unix epoch.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_unix_ms(self) -> u64 {
        self.0
    }

    /// Microseconds since the Unix epoch; saturates.
    pub const fn as_unix_us(self) -> u64 {
        self.0.saturating_mul(1000)
    }

    /// This time plus `by`, to the millisecond; saturates.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(whole_ms(by)))
    }

    /// This time plus `by`, in whole milliseconds that have passed; saturates. For what has been measured, as [`Timestamp::plus`] is
    /// for what is promised.
    #[must_use]
    pub fn plus_whole(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `self` until `later`; zero if `later` is not later.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// A duration in whole milliseconds, rounded up, so that a bound never becomes shorter at a millisecond edge.
pub fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// The wall clock. For stamps and for the embedded store's clock at open, never for leases between processes.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn monotonic_now() -> Instant {
    Instant::now()
}

/// A point in time, as HTTP writes it (RFC 9110, section 5.6.7): whole seconds. The last one is kept, for many answers of one second
/// say the same.
pub fn http_date(at: Timestamp) -> HeaderValue {
    thread_local! {
        static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((u64::MAX, HeaderValue::from_static("0"))) };
    }
    const LAST_OF_9999: u64 = 253_402_300_799;
    let second = (at.0 / 1000).min(LAST_OF_9999);
    LAST.with_borrow_mut(|(of, value)| {
        if *of != second {
            let at = UNIX_EPOCH.checked_add(Duration::from_secs(second)).unwrap_or(UNIX_EPOCH);
            *value = HeaderValue::try_from(httpdate::fmt_http_date(at)).unwrap_or(HeaderValue::from_static("0"));
            *of = second;
        }
        value.clone()
    })
}

/// A point in time as HTTP writes it, in any of the three forms (RFC 9110, section 5.6.7); `None`: it is none, or before the epoch.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(Timestamp)
}

//! The store's clock, for the stores that live in this process.
//!
//! Leases and retention are judged by one clock that never goes back: it starts at the wall clock (or later, where the store
//! remembers a later time) and then advances with the monotonic clock alone. Tests set it by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::time::{Timestamp, monotonic_now, wall_now, whole_ms};

/// A clock that never goes back.
#[derive(Clone, Debug)]
pub struct StoreClock(Source);

#[derive(Clone, Debug)]
enum Source {
    Real { base: Timestamp, since: Instant },
    Manual(ManualClock),
}

impl StoreClock {
    /// Starts at the wall clock and advances with the monotonic clock.
    pub fn real() -> Self {
        Self(Source::Real { base: wall_now(), since: monotonic_now() })
    }

    /// A clock that stands still until a test moves it.
    pub fn manual(start: Timestamp) -> (Self, ManualClock) {
        let hand = ManualClock(Arc::new(AtomicU64::new(start.as_unix_ms())));
        (Self(Source::Manual(hand.clone())), hand)
    }

    /// The same clock, set forward to `floor` if it is behind.
    #[must_use]
    pub fn not_before(self, floor: Timestamp) -> Self {
        match self.0 {
            Source::Real { base, since } => Self(Source::Real { base: base.max(floor), since }),
            Source::Manual(hand) => {
                hand.0.fetch_max(floor.as_unix_ms(), Ordering::AcqRel);
                Self(Source::Manual(hand))
            }
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::Real { base, since } => base.plus(monotonic_now().saturating_duration_since(*since)),
            Source::Manual(hand) => Timestamp::from_unix_ms(hand.0.load(Ordering::Acquire)),
        }
    }
}

/// The hand of a [`StoreClock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Moves the clock forward by `by`, in whole milliseconds, rounded up.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(whole_ms(by), Ordering::AcqRel);
    }

    /// The time that it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_clock_starts_no_earlier_than_its_floor() {
        let far = Timestamp::from_unix_ms(u64::MAX / 2);
        assert!(StoreClock::real().not_before(far).now() >= far);
        assert!(StoreClock::real().not_before(Timestamp::ZERO).now() > Timestamp::ZERO);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(5));
        assert_eq!(clock.now(), Timestamp::from_unix_ms(5));
        hand.advance(Duration::from_micros(1));
        assert_eq!(clock.now(), Timestamp::from_unix_ms(6));
    }
}

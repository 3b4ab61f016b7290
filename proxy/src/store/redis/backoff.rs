//! How long to leave an unreachable Redis alone.

use std::time::Duration;

use rand::Rng;

const FIRST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_secs(1);

/// Doubling waits with jitter, up to one second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure: between half and all of the doubled time.
    pub(super) fn after_failure(&mut self) -> Duration {
        let longest = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        longest.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// It was reached.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_no_further() {
        let mut backoff = Backoff::default();
        assert!(backoff.after_failure() <= FIRST);
        let last = (0..1000).map(|_| backoff.after_failure()).last().unwrap();
        assert!(last >= LONGEST / 2 && last <= LONGEST);
        backoff.reset();
        assert!(backoff.after_failure() <= FIRST);
    }
}

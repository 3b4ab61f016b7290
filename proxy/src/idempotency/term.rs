//! How long a lease holds, as far as this process knows: when to renew it, and whether anything may still begin under it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The term of one lease, of a claim or of a saga.
#[derive(Debug)]
pub struct Term {
    length: Duration,
    /// When the lease was first asked for.
    asked: Instant,
    /// Microseconds after `asked`: the lease holds before this.
    valid_until: AtomicU64,
    /// Microseconds after `asked`: when to renew it.
    renew_at: AtomicU64,
}

impl Term {
    /// Of a lease that was asked for at `asked`: it cannot have begun earlier.
    pub fn new(length: Duration, asked: Instant) -> Self {
        let term = Self { length, asked, valid_until: AtomicU64::new(0), renew_at: AtomicU64::new(0) };
        term.renewed(asked);
        term
    }

    /// The length, from each renewal.
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// The lease was renewed, by what was asked at `asked`. An older renewal whose answer comes late changes nothing.
    pub fn renewed(&self, asked: Instant) {
        self.valid_until.fetch_max(self.micros(asked + self.length), Ordering::Relaxed);
        self.renew_at.fetch_max(self.micros(asked + self.length / 3), Ordering::Relaxed);
    }

    /// Whether it is to be renewed before `by`.
    pub fn is_due(&self, by: Instant) -> bool {
        self.renew_at.load(Ordering::Relaxed) <= self.micros(by)
    }

    /// Whether at least a third of the lease is left: then no other owner can have begun, nor begin for a while.
    pub fn lets_begin(&self, now: Instant) -> bool {
        let third = u64::try_from(self.length.as_micros() / 3).unwrap_or(u64::MAX);
        self.micros(now).saturating_add(third) <= self.valid_until.load(Ordering::Relaxed)
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.asked).as_micros()).unwrap_or(u64::MAX)
    }
}

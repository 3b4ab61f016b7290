//! Circuit breakers: an upstream that fails again and again is left alone for a while, so that budgets are not spent on it and it
//! can come back. One for each upstream that has one configured, shared by all cores.

mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::state::Health;
use self::state::{Admission, Pass, State};
use crate::{config::BreakerConfig, metrics::Metrics, time::monotonic_now};

/// The breaker of one upstream.
#[derive(Debug)]
pub struct Breaker {
    upstream: String,
    state: Mutex<State>,
    metrics: Metrics,
}

impl Breaker {
    /// A closed breaker for `upstream`.
    pub fn new(upstream: &str, config: BreakerConfig, metrics: &Metrics) -> Self {
        metrics.breaker(upstream, false);
        Self { upstream: upstream.to_owned(), state: Mutex::new(State::new(config)), metrics: metrics.clone() }
    }

    /// A place for one call.
    ///
    /// # Errors
    ///
    /// It is open: how long it will be, as far as known.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, Duration> {
        match self.lock().admit(monotonic_now()) {
            Admission::Through(pass) => Ok(Permit { breaker: Arc::clone(self), pass: Some(pass) }),
            Admission::Refused(left) => Err(left),
        }
    }

    fn report(&self, pass: Pass, health: Health) {
        let (was_closed, is_closed) = {
            let mut state = self.lock();
            let was_closed = state.is_closed();
            state.report(pass, health, monotonic_now());
            (was_closed, state.is_closed())
        };
        if was_closed != is_closed {
            self.metrics.breaker(&self.upstream, !is_closed);
            tracing::warn!(upstream = self.upstream, is_open = !is_closed, "the breaker of an upstream has changed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through. Dropped without a word, it says nothing of the upstream.
#[derive(Debug)]
pub struct Permit {
    breaker: Arc<Breaker>,
    pass: Option<Pass>,
}

impl Permit {
    /// Tells what came of the call.
    pub fn report(mut self, health: Health) {
        if let Some(pass) = self.pass.take() {
            self.breaker.report(pass, health);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.report(pass, Health::Untold);
        }
    }
}

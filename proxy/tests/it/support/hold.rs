//! Which request a service holds, and where.

use std::sync::{Mutex, PoisonError};

use super::gate::{Gate, Moment};

/// At most one hold at a time, of requests to endpoints of some kind.
pub(crate) struct Holds<E>(Mutex<Option<Hold<E>>>);

struct Hold<E> {
    which: Which<E>,
    moment: Moment,
    gate: Gate,
}

enum Which<E> {
    /// After this many more.
    Nth(usize),
    /// All to one endpoint.
    At(E),
}

impl<E> Default for Holds<E> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<E: Copy + PartialEq> Holds<E> {
    /// Holds the `n`th request to come from now on, counted from 1. Replaces an earlier hold.
    pub(crate) fn nth(&self, n: usize, moment: Moment) -> Gate {
        self.put(Which::Nth(n), moment)
    }

    /// Holds all requests to an endpoint. Replaces an earlier hold.
    pub(crate) fn at(&self, endpoint: E, moment: Moment) -> Gate {
        self.put(Which::At(endpoint), moment)
    }

    /// Holds nothing any more. What is held stays so until its gate is opened.
    pub(crate) fn none(&self) {
        *self.lock() = None;
    }

    /// Whether a request that came now is held, and where.
    pub(crate) fn take(&self, endpoint: E) -> Option<(Moment, Gate)> {
        let mut hold = self.lock();
        let Hold { which, moment, gate } = hold.as_mut()?;
        let is_meant = match which {
            Which::At(at) => *at == endpoint,
            Which::Nth(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
        };
        if !is_meant {
            return None;
        }
        let found = (*moment, gate.clone());
        if matches!(which, Which::Nth(_)) {
            *hold = None;
        }
        Some(found)
    }

    fn put(&self, which: Which<E>, moment: Moment) -> Gate {
        let gate = Gate::closed();
        *self.lock() = Some(Hold { which, moment, gate: gate.clone() });
        gate
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Hold<E>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

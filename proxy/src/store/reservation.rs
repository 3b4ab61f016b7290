//! The rules of a reservation ([`super::Store::reserve`]), as pure functions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Reserved;
use crate::{ids::RecordName, time::Timestamp};

/// A payload's name, held by one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The record that has it.
    pub holder: RecordName,
    /// Until when. A repeat by the holder does not move it.
    pub expires_at: Timestamp,
}

impl Reservation {
    /// This reservation, if it has not expired.
    pub fn live(self, now: Timestamp) -> Option<Self> {
        (self.expires_at > now).then_some(self)
    }
}

/// The answer to a reservation, and what to store, if anything.
pub fn reserve(
    current: Option<Reservation>,
    holder: RecordName,
    ttl: Duration,
    now: Timestamp,
) -> (Reserved, Option<Reservation>) {
    match current.and_then(|current| current.live(now)) {
        Some(current) if current.holder == holder => (Reserved::Ours, None),
        Some(_) => (Reserved::Theirs, None),
        None => (Reserved::Ours, Some(Reservation { holder, expires_at: now.plus(ttl) })),
    }
}

/// Whether `holder` has this reservation and may give it back.
pub fn is_held_by(current: Option<Reservation>, holder: RecordName) -> bool {
    current.is_some_and(|current| current.holder == holder)
}

//! What this process knows of its Redis, from whatever connection learnt it last.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    super::{Health, StoreError},
    facts::Facts,
    fault::{ConnectError, OpenError},
};
use crate::time::{Timestamp, monotonic_now};

/// Shared by all handles of a process.
#[derive(Debug)]
pub(super) struct HealthState {
    address: String,
    allow_eviction: bool,
    known: Mutex<Known>,
    /// Whether new claims are refused: read on every claim.
    refuses: AtomicBool,
    /// Outages that ended.
    recoveries: AtomicU64,
    round_trips: AtomicU64,
}

#[derive(Debug)]
struct Known {
    contact: Contact,
    facts: Option<Facts>,
    /// Restarts, failovers and promotions seen.
    changes: u64,
    /// How often another key of record names was found in the store.
    hash_key_changes: u64,
    writes_may_be_lost_since: Option<Timestamp>,
    memory: Option<Memory>,
    recovered_at: Option<Instant>,
    may_fence: bool,
    may_subscribe: bool,
}

/// Since when nothing is lost, as far as one run of Redis tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) since: Timestamp,
    pub(super) run_id: String,
}

#[derive(Debug)]
enum Contact {
    NotYet,
    Up,
    Down(ConnectError),
}

impl HealthState {
    pub(super) fn new(address: String, allow_eviction: bool) -> Self {
        let known = Known {
            contact: Contact::NotYet,
            facts: None,
            changes: 0,
            hash_key_changes: 0,
            writes_may_be_lost_since: None,
            memory: None,
            recovered_at: None,
            may_fence: true,
            may_subscribe: true,
        };
        Self {
            address,
            allow_eviction,
            known: Mutex::new(known),
            refuses: AtomicBool::new(false),
            recoveries: AtomicU64::new(0),
            round_trips: AtomicU64::new(0),
        }
    }

    /// Redis answered, and says this of itself.
    pub(super) fn reached(&self, facts: Facts) {
        self.refuses.store(!self.allow_eviction && facts.evicts().is_some(), Ordering::Release);
        let mut known = self.lock();
        let mut recovered = matches!(known.contact, Contact::Down(_));
        if let Some(before) = &known.facts
            && facts.differs_from(before)
        {
            let since = before.persistence.may_lose_since(before.at);
            known.writes_may_be_lost_since = Some(known.writes_may_be_lost_since.map_or(since, |earlier| earlier.min(since)));
            known.changes += 1;
            recovered = true;
            tracing::warn!(
                redis = self.address,
                since_unix_ms = since.as_unix_ms(),
                "Redis was restarted or replaced: acknowledged writes may have been lost"
            );
        }
        if known.facts.as_ref().and_then(Facts::evicts) != facts.evicts()
            && let Some(reason) = facts.evicts()
        {
            tracing::error!(redis = self.address, %reason, allowed = self.allow_eviction, "records may be evicted");
        }
        known.contact = Contact::Up;
        known.remember(&facts);
        known.facts = Some(facts);
        if recovered {
            known.recovered_at = Some(monotonic_now());
            self.recoveries.fetch_add(1, Ordering::AcqRel);
            tracing::info!(redis = self.address, "Redis is reached again");
        }
    }

    /// Redis did not answer, or is not what is needed.
    pub(super) fn lost(&self, error: &ConnectError) {
        let mut known = self.lock();
        if !matches!(known.contact, Contact::Down(_)) {
            tracing::warn!(redis = self.address, reason = %StoreError::from(error.clone()), "Redis is lost");
        }
        known.contact = Contact::Down(error.clone());
    }

    /// The store holds another key of record names than this process has used.
    pub(super) fn hash_key_changed(&self) {
        self.lock().hash_key_changes += 1;
        tracing::error!(
            redis = self.address,
            "Redis lost the key of record names and has another one: earlier keys are forgotten"
        );
    }

    /// Whether a new connection may end its predecessor on the server.
    pub(super) fn may_fence(&self, may: bool) {
        self.lock().may_fence = may;
    }

    /// Whether this process may listen to its mailbox.
    pub(super) fn may_subscribe(&self, may: bool) {
        self.lock().may_subscribe = may;
    }

    /// Refuses what begins something while Redis may forget it.
    pub(super) fn admits_claims(&self) -> Result<(), StoreError> {
        if !self.refuses.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.eviction_refused() {
            Some(reason) => Err(StoreError::Refused(reason.to_string())),
            None => Ok(()),
        }
    }

    /// Why new claims are refused, if they are.
    pub(super) fn eviction_refused(&self) -> Option<OpenError> {
        if self.allow_eviction { None } else { self.lock().facts.as_ref().and_then(Facts::evicts) }
    }

    /// The number of outages that ended so far.
    pub(super) fn recoveries(&self) -> u64 {
        self.recoveries.load(Ordering::Acquire)
    }

    /// Counts an exchange with Redis.
    pub(super) fn count_round_trip(&self) {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
    }

    /// Since when nothing is lost, and by which run of Redis; `None`: nothing is known, or records may be evicted.
    pub(super) fn memory(&self) -> Option<Memory> {
        self.lock().memory.clone()
    }

    pub(super) fn snapshot(&self, closed: bool) -> Health {
        let eviction_refused = self.eviction_refused();
        let known = self.lock();
        let ready = match &known.contact {
            _ if closed => Err("the store was closed".to_owned()),
            Contact::NotYet => Err(format!("Redis at {} was not reached yet", self.address)),
            Contact::Down(error) => Err(StoreError::from(error.clone()).to_string()),
            Contact::Up => eviction_refused.map_or(Ok(()), |reason| Err(reason.to_string())),
        };
        Health {
            ready,
            durability: known.facts.as_ref().map_or_else(|| "redis, not reached yet".to_owned(), Facts::durability),
            warnings: known.warnings(),
            recovered_at: known.recovered_at,
            writes_may_be_lost_since: known.writes_may_be_lost_since,
            remembers_since: known.memory.as_ref().map(|memory| memory.since),
            round_trips: self.round_trips.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What these facts say of losses. Of one run that has not changed, the first word counts: a promoted replica says again and again
    /// that it does not know.
    fn remember(&mut self, facts: &Facts) {
        let same = self.facts.as_ref().is_some_and(|before| !facts.differs_from(before));
        if facts.evicts().is_some() {
            // What is evicted next, nobody knows.
            self.memory = None;
        } else if !same || self.memory.is_none() {
            let earlier = self.memory.as_ref().map_or(Timestamp::ZERO, |memory| memory.since);
            self.memory = Some(Memory { since: facts.remembers_since.max(earlier), run_id: facts.run_id.clone() });
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(facts) = &self.facts {
            if !facts.persistence.aof {
                warnings.push("AOF is off: a restart of Redis loses what it acknowledged since its last snapshot".to_owned());
            }
            if facts.persistence.fsync.as_deref() == Some("no") {
                warnings.push("appendfsync is no: a crash of Redis's machine loses what the kernel had not written".to_owned());
            }
            warnings.extend(facts.evicts().map(|reason| reason.to_string()));
        }
        if self.changes > 0 {
            warnings
                .push(format!("Redis was restarted or replaced {} times: acknowledged writes may have been lost", self.changes));
        }
        if self.hash_key_changes > 0 {
            warnings.push("Redis lost the key of record names and has another one: earlier keys are forgotten".to_owned());
        }
        if !self.may_fence {
            warnings.push(
                "the Redis user may not run CLIENT INFO or CLIENT KILL: a command whose answer was lost may be applied late, \
                 after its owner gave it up"
                    .to_owned(),
            );
        }
        if !self.may_subscribe {
            warnings.push(
                "the Redis user may not SUBSCRIBE to refrain:m:*: waiting requests are woken by their timers only".to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(run_id: &str, policy: &str) -> Facts {
        Facts {
            run_id: run_id.to_owned(),
            eviction_policy: policy.to_owned(),
            at: Timestamp::from_unix_ms(9000),
            ..Facts::default()
        }
    }

    #[test]
    fn an_outage_ends_with_a_recovery_and_a_first_contact_is_none() {
        let state = HealthState::new("host:1".to_owned(), false);
        assert!(state.snapshot(false).ready.is_err());
        state.reached(facts("a", "noeviction"));
        assert_eq!((state.snapshot(false).ready, state.snapshot(false).recovered_at), (Ok(()), None));
        state.lost(&ConnectError::Unreachable("gone".to_owned()));
        assert!(state.snapshot(false).ready.unwrap_err().contains("gone"));
        state.reached(facts("a", "noeviction"));
        let health = state.snapshot(false);
        assert!(health.ready.is_ok() && health.recovered_at.is_some());
        assert_eq!(health.writes_may_be_lost_since, None);
    }

    #[test]
    fn another_run_is_remembered_as_a_loss_even_if_no_call_failed() {
        let state = HealthState::new("host:1".to_owned(), false);
        state.reached(facts("a", "noeviction"));
        state.reached(facts("b", "noeviction"));
        state.reached(facts("b", "noeviction"));
        let health = state.snapshot(false);
        assert_eq!(health.writes_may_be_lost_since, Some(Timestamp::ZERO));
        assert!(health.recovered_at.is_some());
        assert!(health.warnings.iter().any(|warning| warning.contains("1 times")), "{:?}", health.warnings);
    }

    #[test]
    fn a_policy_that_evicts_refuses_claims_until_it_is_corrected() {
        let state = HealthState::new("host:1".to_owned(), false);
        state.reached(facts("a", "allkeys-lru"));
        assert!(matches!(state.admits_claims(), Err(StoreError::Refused(_))));
        assert!(state.snapshot(false).ready.is_err());
        state.reached(facts("a", "noeviction"));
        assert_eq!(state.admits_claims(), Ok(()));
        let allowed = HealthState::new("host:1".to_owned(), true);
        allowed.reached(facts("a", "allkeys-lru"));
        assert_eq!((allowed.admits_claims(), allowed.snapshot(false).ready), (Ok(()), Ok(())));
        assert!(!allowed.snapshot(false).warnings.is_empty());
    }
}

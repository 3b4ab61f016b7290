//! The claims of this process: held, renewed by the control thread, and given up if their exchange dies.
//!
//! An exchange holds a [`Lease`]. It is renewed at a third of its length by [`super::heartbeat`], on another thread, so that no
//! request's work delays it. Dropping a lease that was not finished tells the control thread to give the record up: *unknown* if
//! the send had begun, free if it had not.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    backlog::{Backlog, Deferred},
    term::Term,
};
use crate::{
    metrics::{Metrics, UnknownCause},
    store::{Held, Renewal, Token},
    upstream::Gate,
};

/// How many independent locks there are. Leases are numbered, so they spread evenly.
const SHARDS: usize = 16;

/// The leases that this process holds.
#[derive(Clone, Debug)]
pub struct Leases(Arc<Registry>);

type Shard = HashMap<u64, Arc<State>, BuildHasherDefault<NumberHasher>>;

#[derive(Debug)]
struct Registry {
    held: [Mutex<Shard>; SHARDS],
    next: AtomicU64,
    /// Milliseconds: the shortest lease that any policy gives.
    shortest: AtomicU64,
    backlog: Backlog,
    metrics: Metrics,
}

/// One claim in the hands of an exchange.
#[derive(Debug)]
pub struct Lease {
    id: u64,
    state: Arc<State>,
    leases: Leases,
    finished: bool,
}

#[derive(Debug)]
struct State {
    token: Token,
    term: Term,
    sent: AtomicBool,
    lost: AtomicBool,
}

/// Spreads numbers that count up: nobody chooses them.
#[derive(Debug, Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((self.0 << 8) | u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio's bits: neighbours come far apart, in the high bits as well as in the low.
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Leases {
    /// None yet. What is given up goes to `backlog`.
    pub fn new(backlog: Backlog, metrics: Metrics) -> Self {
        let (held, next) = (Default::default(), AtomicU64::new(0));
        Self(Arc::new(Registry { held, next, shortest: AtomicU64::new(3000), backlog, metrics }))
    }

    /// Holds a claim. `claimed` is when the claim was *sent*: the lease cannot have begun earlier.
    pub fn hold(&self, token: Token, length: Duration, claimed: Instant) -> Lease {
        let state = Arc::new(State {
            token,
            term: Term::new(length, claimed),
            sent: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        });
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.lock(id).insert(id, Arc::clone(&state));
        Lease { id, state, leases: self.clone(), finished: false }
    }

    /// Expects leases of this length at the shortest.
    pub fn expect(&self, shortest: Duration) {
        self.0.shortest.store(u64::try_from(shortest.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// The shortest lease to expect.
    pub(super) fn shortest(&self) -> Duration {
        Duration::from_millis(self.0.shortest.load(Ordering::Relaxed))
    }

    /// The number of leases held.
    pub fn len(&self) -> usize {
        self.0.held.iter().map(|shard| locked(shard).len()).sum()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is due for renewal before `by`.
    pub(super) fn due(&self, by: Instant) -> Vec<(u64, Renewal)> {
        let mut due = Vec::new();
        for shard in &self.0.held {
            let held = locked(shard);
            due.extend(held.iter().filter(|(_, state)| state.term.is_due(by)).map(|(id, state)| (*id, state.renewal())));
        }
        due
    }

    /// The store's answer to a renewal that was sent at `at`.
    pub(super) fn renewed(&self, id: u64, held: Held, at: Instant) {
        let mut all = self.lock(id);
        match held {
            Held::Kept => {
                if let Some(state) = all.get(&id) {
                    state.term.renewed(at);
                }
            }
            Held::Lost => {
                if let Some(state) = all.remove(&id) {
                    state.lost.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn lock(&self, id: u64) -> MutexGuard<'_, Shard> {
        locked(&self.0.held[usize::try_from(id % SHARDS as u64).unwrap_or_default()])
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lease {
    /// The claim.
    pub fn token(&self) -> Token {
        self.state.token
    }

    /// The claim was made again, and granted again, by a request that was sent at `claimed`.
    pub fn claimed_again(&self, claimed: Instant) {
        self.state.term.renewed(claimed);
    }

    /// What is asked before the first byte leaves.
    pub fn gate(&self) -> Arc<dyn Gate> {
        Arc::clone(&self.state) as Arc<dyn Gate>
    }

    /// Whether the send has begun.
    pub fn is_sent(&self) -> bool {
        self.state.sent.load(Ordering::Relaxed)
    }

    /// The record has been told how it went: nothing is left to give up.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.lock(self.id).remove(&self.id);
        if !self.finished && !self.state.lost.load(Ordering::Relaxed) {
            let token = self.state.token;
            let given_up = if self.is_sent() {
                self.leases.0.metrics.became_unknown(UnknownCause::Abandoned);
                Deferred::Doubt(token)
            } else {
                Deferred::release(token)
            };
            self.leases.0.backlog.push(given_up);
        }
    }
}

impl State {
    fn renewal(&self) -> Renewal {
        Renewal { token: self.token, lease: self.term.length(), sent: self.sent.load(Ordering::Relaxed) }
    }
}

/// Opens while at least a third of the lease is left: then no other owner can have begun, nor begin for a while.
impl Gate for State {
    fn open(&self) -> bool {
        let opens = !self.lost.load(Ordering::Relaxed) && self.term.lets_begin(Instant::now());
        if opens {
            self.sent.store(true, Ordering::Relaxed);
        }
        opens
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ids::{Fence, Owner, RecordName};

    const LENGTH: Duration = Duration::from_secs(3);

    fn token() -> Token {
        Token { name: RecordName::from_bytes([1; 32]), owner: Owner::random(), fence: Fence(1) }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_when_less_than_a_third_of_the_lease_is_left() {
        let (backlog, _deferred) = Backlog::new(8);
        let lease = Leases::new(backlog, Metrics::new()).hold(token(), LENGTH, Instant::now());
        tokio::time::advance(LENGTH * 2 / 3).await;
        assert!(lease.gate().open());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!lease.gate().open());
        lease.claimed_again(Instant::now());
        assert!(lease.gate().open());
        lease.finish();
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_due_at_a_third_and_a_lost_one_never_again() {
        let (backlog, _deferred) = Backlog::new(8);
        let leases = Leases::new(backlog, Metrics::new());
        let lease = leases.hold(token(), LENGTH, Instant::now());
        assert!(leases.due(Instant::now()).is_empty());
        tokio::time::advance(LENGTH / 3).await;
        let due = leases.due(Instant::now());
        assert_eq!(due.len(), 1);
        leases.renewed(due[0].0, Held::Kept, Instant::now());
        assert!(leases.due(Instant::now()).is_empty());
        leases.renewed(due[0].0, Held::Lost, Instant::now());
        assert!(leases.is_empty());
        assert!(!lease.gate().open());
    }

    #[tokio::test]
    async fn a_dropped_lease_is_given_up_as_far_as_the_send_had_come() {
        let (backlog, mut deferred) = Backlog::new(8);
        let leases = Leases::new(backlog, Metrics::new());
        let unsent = leases.hold(token(), LENGTH, Instant::now());
        let unsent_token = unsent.token();
        drop(unsent);
        assert!(matches!(deferred.next().await.unwrap(), Deferred::Release { owner, .. } if owner == unsent_token.owner));
        let sent = leases.hold(token(), LENGTH, Instant::now());
        let sent_token = sent.token();
        assert!(sent.gate().open());
        drop(sent);
        assert!(matches!(deferred.next().await.unwrap(), Deferred::Doubt(token) if token == sent_token));
        leases.hold(token(), LENGTH, Instant::now()).finish();
        assert!(leases.is_empty());
    }
}

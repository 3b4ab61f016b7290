//! The sagas that this process drives: held under leases, renewed by the control thread, handed back or left to lapse.
//!
//! A driver holds a [`SagaLease`]. All that are due are renewed in one pipelined round trip ([`run`]), on another thread, so that no
//! call's work delays it. The store's answer also tells that an operator has spoken. A lease that is dropped is only forgotten
//! here: what it covers lapses by the store's clock, or its driver has handed it back before.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use crate::{
    idempotency::term::Term,
    ids::SagaId,
    metrics::{Metrics, StoreOperation},
    store::journal::{Journal, SagaHeld, SagaRenewal, SagaToken},
    upstream::Gate,
};

/// Leases renewed in one round trip.
const BATCH: usize = 1000;

/// The leases of sagas that this process holds.
#[derive(Clone, Debug, Default)]
pub struct SagaLeases {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<HashMap<u64, Arc<State>>>,
    next: AtomicU64,
}

/// One saga in the hands of its driver.
#[derive(Debug)]
pub struct SagaLease {
    number: u64,
    state: Arc<State>,
    leases: SagaLeases,
}

#[derive(Debug)]
struct State {
    token: SagaToken,
    term: Term,
    lost: CancellationToken,
    commands: AtomicBool,
    spoken: Notify,
}

impl SagaLeases {
    /// Holds a saga. `asked` is when the lease was asked for: it cannot have begun earlier.
    pub fn hold(&self, token: SagaToken, length: Duration, asked: Instant) -> SagaLease {
        let state = Arc::new(State {
            token,
            term: Term::new(length, asked),
            lost: CancellationToken::new(),
            commands: AtomicBool::new(false),
            spoken: Notify::new(),
        });
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::clone(&state));
        SagaLease { number, state, leases: self.clone() }
    }

    /// The number of sagas that this process drives.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether it drives none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A command waits for a saga: its driver hears of it at once, if it is driven here.
    pub fn spoken_to(&self, id: SagaId) {
        self.lock().values().filter(|state| state.token.id == id).for_each(|state| state.hear());
    }

    /// What is due for renewal before `by`.
    fn due(&self, by: Instant) -> Vec<(u64, SagaRenewal)> {
        let held = self.lock();
        let due = held.iter().filter(|(_, state)| state.term.is_due(by));
        due.map(|(number, state)| (*number, SagaRenewal { token: state.token, lease: state.term.length() })).collect()
    }

    /// The store's answer to a renewal that was sent at `at`.
    fn renewed(&self, number: u64, held: SagaHeld, at: Instant) {
        let mut all = self.lock();
        match held {
            SagaHeld::Kept { commands } => {
                if let Some(state) = all.get(&number) {
                    state.term.renewed(at);
                    if commands {
                        state.hear();
                    }
                }
            }
            SagaHeld::Lost => {
                if let Some(state) = all.remove(&number) {
                    state.lost.cancel();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<State>>> {
        self.inner.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SagaLease {
    /// The lease.
    pub fn token(&self) -> SagaToken {
        self.state.token
    }

    /// Its length, from each renewal.
    pub fn length(&self) -> Duration {
        self.state.term.length()
    }

    /// A write that renews the lease was asked for at `asked`, and was made.
    pub fn renewed(&self, asked: Instant) {
        self.state.term.renewed(asked);
    }

    /// Whether the lease holds now, with a third of it left: a call may begin.
    pub fn is_good(&self) -> bool {
        self.state.open()
    }

    /// Resolves when the saga is somebody else's. Cancel-safe.
    pub async fn lost(&self) {
        self.state.lost.cancelled().await;
    }

    /// Whether the saga is known to be somebody else's.
    pub fn is_lost(&self) -> bool {
        self.state.lost.is_cancelled()
    }

    /// The saga is somebody else's: nothing begins under this lease any more.
    pub fn lose(&self) {
        self.state.lost.cancel();
    }

    /// The store said whether commands wait: if so, [`SagaLease::commands`] resolves.
    pub fn told(&self, commands: bool) {
        match commands {
            true => self.state.hear(),
            false => self.state.commands.store(false, Ordering::Release),
        }
    }

    /// Resolves when commands wait for the driver that it has not been told of. Cancel-safe.
    pub async fn commands(&self) {
        loop {
            if self.state.commands.swap(false, Ordering::AcqRel) {
                return;
            }
            self.state.spoken.notified().await;
        }
    }

    /// What is asked before the first byte of a call leaves.
    pub fn gate(&self) -> Arc<dyn Gate> {
        Arc::clone(&self.state) as Arc<dyn Gate>
    }
}

impl Drop for SagaLease {
    fn drop(&mut self) {
        self.leases.lock().remove(&self.number);
        // Whoever still has the gate begins nothing any more.
        self.state.lost.cancel();
    }
}

impl State {
    fn hear(&self) {
        self.commands.store(true, Ordering::Release);
        self.spoken.notify_one();
    }
}

impl Gate for State {
    fn open(&self) -> bool {
        !self.lost.is_cancelled() && self.term.lets_begin(Instant::now())
    }
}

/// Renews what is due until `stop`.
pub async fn run<S: Journal>(store: S, leases: SagaLeases, plan: Arc<ArcSwap<Plan>>, metrics: Metrics, stop: CancellationToken) {
    loop {
        // A lease is due at a third; looked at twice as often, it is renewed before half is over.
        let every = (plan.load().lease / 6).max(Duration::from_millis(5));
        tokio::select! {
            () = tokio::time::sleep(every) => beat(&store, &leases, every, &metrics).await,
            () = stop.cancelled() => return,
        }
    }
}

async fn beat<S: Journal>(store: &S, leases: &SagaLeases, every: Duration, metrics: &Metrics) {
    let due = leases.due(Instant::now() + every / 2);
    for batch in due.chunks(BATCH) {
        let at = Instant::now();
        match store.extend_sagas(batch.iter().map(|(_, renewal)| *renewal).collect()).await {
            Ok(answers) => batch.iter().zip(answers).for_each(|((number, _), held)| leases.renewed(*number, held, at)),
            Err(error) => {
                metrics.store_failed(StoreOperation::ExtendSagas);
                tracing::warn!(%error, sagas = batch.len(), "sagas' leases could not be renewed; they are tried again");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ids::{Fence, Owner};

    const LENGTH: Duration = Duration::from_secs(3);

    fn token() -> SagaToken {
        SagaToken { id: SagaId::random(), owner: Owner::random(), fence: Fence(1) }
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_begins_when_less_than_a_third_of_the_lease_is_left_or_it_is_lost_or_dropped() {
        let leases = SagaLeases::default();
        let lease = leases.hold(token(), LENGTH, Instant::now());
        let gate = lease.gate();
        tokio::time::advance(LENGTH * 2 / 3).await;
        assert!(gate.open());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!gate.open());
        lease.renewed(Instant::now());
        assert!(gate.open());
        drop(lease);
        assert!(!gate.open());
        let lost = leases.hold(token(), LENGTH, Instant::now());
        lost.lose();
        assert!(!lost.is_good());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_due_at_a_third_and_a_lost_one_never_again() {
        let leases = SagaLeases::default();
        let lease = leases.hold(token(), LENGTH, Instant::now());
        assert!(leases.due(Instant::now()).is_empty());
        tokio::time::advance(LENGTH / 3).await;
        let due = leases.due(Instant::now());
        assert_eq!(due.len(), 1);
        leases.renewed(due[0].0, SagaHeld::Kept { commands: false }, Instant::now());
        assert!(leases.due(Instant::now()).is_empty());
        leases.renewed(due[0].0, SagaHeld::Lost, Instant::now());
        lease.lost().await;
        assert!(leases.is_empty());
    }

    #[tokio::test]
    async fn a_renewal_tells_that_commands_wait_even_to_a_driver_that_does_not_listen_yet() {
        let leases = SagaLeases::default();
        let lease = leases.hold(token(), LENGTH, Instant::now());
        leases.renewed(lease.number, SagaHeld::Kept { commands: true }, Instant::now());
        lease.commands().await;
        assert!(!lease.state.commands.load(Ordering::Relaxed));
    }
}

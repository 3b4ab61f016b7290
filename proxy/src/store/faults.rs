//! A store whose calls fail on request. Its users are tests, in this crate and in others.
//!
//! [`Faulty`] counts the calls of all its handles. A test runs its subject clean to learn that it makes N calls, then N times for
//! each [`Fault`], and checks its invariants each time:
//!
//! ```
//! use refrain::{ids::RecordName, store::{Store, StoreError, faults::{Fault, Faulty}, memory::MemoryStore, wakes::Wakes}};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let name = RecordName::from_bytes([0; 32]);
//! let clean = Faulty::new(MemoryStore::new(Wakes::default()));
//! clean.forget(name).await.unwrap();
//! for n in 1..=clean.calls() {
//!     let store = Faulty::new(MemoryStore::new(Wakes::default()));
//!     store.fail(n, Fault::AnswerLost);
//!     assert!(matches!(store.forget(name).await, Err(StoreError::AnswerLost(_))));
//! }
//! # });
//! ```

use std::{
    collections::BTreeMap,
    future::{Future, pending},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Claim, Claimed, Complete, Completed, Health, Held, Inspection, Renewal, Reserved, Resolution, Resolved, Settle, Settled,
    Store, StoreError, Token, Undo, Undone,
};
use crate::ids::{Fence, HashKey, Owner, RecordName};

mod sagas;

/// How many operations [`Faulty::operations`] remembers: the first ones.
const REMEMBERED: usize = 10_000;

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// [`StoreError::NotReached`], and nothing is applied.
    NotReached,
    /// [`StoreError::AnswerLost`], after it was applied.
    AnswerLost,
    /// [`StoreError::Refused`], and nothing is applied.
    Refused,
    /// Nothing is applied, and there is never an answer: the caller can only drop the call.
    Hang,
    /// It is applied, and there is never an answer.
    HangAfter,
    /// It waits for the gate, then it is applied and answered.
    Delay(Gate),
    /// It is applied, and the answer waits for the gate.
    DelayAnswer(Gate),
}

/// What a delayed call waits for. Clones are the same gate; it opens once and stays open.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    /// Opens the gate for all who wait and all who will come.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        // The sender lives in `self`, so the channel cannot close under this wait.
        let mut open = self.0.subscribe();
        let _opened = open.wait_for(|open| *open).await;
    }
}

/// The methods of [`Store`] and of [`super::journal::Journal`] that are counted as calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Operation {
    HashKey,
    Claim,
    Complete,
    Extend,
    Doubt,
    Release,
    Undo,
    Settle,
    Reserve,
    Unreserve,
    Resolve,
    Forget,
    Inspect,
    Create,
    Append,
    ExtendSagas,
    Lease,
    Due,
    Command,
    Commands,
    Attach,
    Load,
    List,
    Count,
    Pin,
    Definition,
}

/// A store that fails by plan. Clones and handles share the plan and the count.
#[derive(Clone, Debug)]
pub struct Faulty<S> {
    store: S,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    state: Mutex<PlanState>,
    calls: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct PlanState {
    faults: BTreeMap<u64, Fault>,
    outage: Option<Fault>,
    operations: Vec<Operation>,
}

impl<S: Store> Faulty<S> {
    /// `store`, without any fault planned.
    pub fn new(store: S) -> Self {
        Self { store, plan: Arc::new(Plan { state: Mutex::default(), calls: watch::Sender::new(0) }) }
    }

    /// The store itself, whose calls neither count nor fail.
    pub fn inner(&self) -> &S {
        &self.store
    }

    /// Plans a fault for call `n`, counted from 1.
    pub fn fail(&self, n: u64, fault: Fault) {
        self.state().faults.insert(n, fault);
    }

    /// Plans a fault for the next call.
    pub fn fail_next(&self, fault: Fault) {
        self.fail(self.calls() + 1, fault);
    }

    /// Every call from now on has this fault, until [`Faulty::heal`]; [`Store::health`] says that the store is not ready.
    pub fn break_down(&self, fault: Fault) {
        self.state().outage = Some(fault);
    }

    /// Ends what [`Faulty::break_down`] began.
    pub fn heal(&self) {
        self.state().outage = None;
    }

    /// The number of calls begun so far.
    pub fn calls(&self) -> u64 {
        *self.plan.calls.borrow()
    }

    /// Resolves when call `n` has begun: what hangs there can be dropped or let go.
    pub async fn begun(&self, n: u64) {
        // The sender lives in `self`, so the channel cannot close under this wait.
        let mut calls = self.plan.calls.subscribe();
        let _begun = calls.wait_for(|calls| *calls >= n).await;
    }

    /// The calls begun so far, in order; the first 10,000 of them.
    pub fn operations(&self) -> Vec<Operation> {
        self.state().operations.clone()
    }

    fn state(&self) -> MutexGuard<'_, PlanState> {
        self.plan.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.state();
        let mut n = 0;
        self.plan.calls.send_modify(|calls| {
            *calls += 1;
            n = *calls;
        });
        if state.operations.len() < REMEMBERED {
            state.operations.push(operation);
        }
        state.faults.remove(&n).or_else(|| state.outage.clone())
    }

    async fn call<T>(&self, operation: Operation, apply: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match self.begin(operation) {
            None => apply.await,
            Some(Fault::NotReached) => Err(StoreError::NotReached("as planned".to_owned())),
            Some(Fault::Refused) => Err(StoreError::Refused("as planned".to_owned())),
            Some(Fault::AnswerLost) => {
                apply.await?;
                Err(StoreError::AnswerLost("as planned".to_owned()))
            }
            Some(Fault::Hang) => pending().await,
            Some(Fault::HangAfter) => {
                apply.await?;
                pending().await
            }
            Some(Fault::Delay(gate)) => {
                gate.passed().await;
                apply.await
            }
            Some(Fault::DelayAnswer(gate)) => {
                let answer = apply.await;
                gate.passed().await;
                answer
            }
        }
    }
}

impl<S: Store> Store for Faulty<S> {
    fn handle(&self) -> Self {
        Self { store: self.store.handle(), plan: Arc::clone(&self.plan) }
    }

    async fn hash_key(&self) -> Result<HashKey, StoreError> {
        self.call(Operation::HashKey, self.store.hash_key()).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.call(Operation::Claim, self.store.claim(claim)).await
    }

    async fn complete(&self, complete: Complete) -> Result<Completed, StoreError> {
        self.call(Operation::Complete, self.store.complete(complete)).await
    }

    async fn extend(&self, renewals: Vec<Renewal>) -> Result<Vec<Held>, StoreError> {
        self.call(Operation::Extend, self.store.extend(renewals)).await
    }

    async fn doubt(&self, token: Token) -> Result<Held, StoreError> {
        self.call(Operation::Doubt, self.store.doubt(token)).await
    }

    async fn release(&self, name: RecordName, owner: Owner, fence: Option<Fence>) -> Result<Held, StoreError> {
        self.call(Operation::Release, self.store.release(name, owner, fence)).await
    }

    async fn undo(&self, undo: Undo) -> Result<Undone, StoreError> {
        self.call(Operation::Undo, self.store.undo(undo)).await
    }

    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError> {
        self.call(Operation::Settle, self.store.settle(settle)).await
    }

    async fn reserve(&self, name: RecordName, holder: RecordName, ttl: Duration) -> Result<Reserved, StoreError> {
        self.call(Operation::Reserve, self.store.reserve(name, holder, ttl)).await
    }

    async fn unreserve(&self, name: RecordName, holder: RecordName) -> Result<(), StoreError> {
        self.call(Operation::Unreserve, self.store.unreserve(name, holder)).await
    }

    async fn resolve(&self, name: RecordName, resolution: Resolution) -> Result<Resolved, StoreError> {
        self.call(Operation::Resolve, self.store.resolve(name, resolution)).await
    }

    async fn forget(&self, name: RecordName) -> Result<bool, StoreError> {
        self.call(Operation::Forget, self.store.forget(name)).await
    }

    async fn inspect(&self, name: RecordName) -> Result<Option<Inspection>, StoreError> {
        self.call(Operation::Inspect, self.store.inspect(name)).await
    }

    fn health(&self) -> Arc<Health> {
        let health = self.store.health();
        if self.state().outage.is_none() {
            return health;
        }
        Arc::new(Health { ready: Err("it is down, as planned".to_owned()), ..Health::clone(&health) })
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt;

    use super::*;
    use crate::store::{memory::MemoryStore, wakes::Wakes};

    const NAME: RecordName = RecordName::from_bytes([9; 32]);
    const TTL: Duration = Duration::from_secs(60);

    async fn kept(store: &Faulty<MemoryStore>) -> bool {
        let stranger = RecordName::from_bytes([1; 32]);
        store.inner().reserve(NAME, stranger, TTL).await.unwrap() == Reserved::Theirs
    }

    #[tokio::test]
    async fn each_fault_applies_or_does_not_as_it_says() {
        let gate = Gate::default();
        gate.open();
        let open = gate.clone();
        for (fault, answers, applies) in [
            (Fault::NotReached, Some(false), false),
            (Fault::Refused, Some(false), false),
            (Fault::AnswerLost, Some(false), true),
            (Fault::Hang, None, false),
            (Fault::HangAfter, None, true),
            (Fault::Delay(Gate::default()), None, false),
            (Fault::DelayAnswer(Gate::default()), None, true),
            (Fault::Delay(open), Some(true), true),
            (Fault::DelayAnswer(gate), Some(true), true),
        ] {
            let store = Faulty::new(MemoryStore::new(Wakes::default()));
            store.fail(2, fault.clone());
            store.hash_key().await.unwrap();
            let answer = store.handle().reserve(NAME, NAME, TTL).now_or_never();
            assert_eq!(answer.map(|answer| answer.is_ok()), answers, "{fault:?}");
            assert_eq!(kept(&store).await, applies, "{fault:?}");
            assert_eq!(store.operations(), [Operation::HashKey, Operation::Reserve]);
            store.begun(2).await;
        }
    }

    #[tokio::test]
    async fn a_breakdown_fails_every_call_until_it_is_healed() {
        let store = Faulty::new(MemoryStore::new(Wakes::default()));
        store.break_down(Fault::NotReached);
        assert!(store.inspect(NAME).await.is_err() && store.inspect(NAME).await.is_err());
        assert!(store.health().ready.is_err());
        store.heal();
        assert!(store.inspect(NAME).await.is_ok() && store.health().ready.is_ok());
    }
}

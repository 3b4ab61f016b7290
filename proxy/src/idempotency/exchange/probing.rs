//! The prober's part: ask the service, and settle what it said.

use std::time::Duration;

use tokio::time::Instant;

use super::{Claimant, Exchange, Next, Sender};
use crate::{
    idempotency::{
        backlog::Deferred,
        policy::UnknownPolicy,
        probe::{self, Finding},
        view::RequestView,
    },
    ids::{Fence, Owner},
    metrics::StoreOperation,
    problem::ProblemName,
    store::{OnAbsent, ProbeVerdict, Settle, Settled, Store, Token},
};

impl<S: Store, U: Sender> Exchange<S, U> {
    /// Asks the service whether an earlier send was done. "Done" is trusted at once; "not done" only when the send can no longer be
    /// on its way.
    pub(super) async fn probe(&mut self, prober: Owner, fence: Fence, sent_ago: Duration, claimed_at: Instant) -> Next {
        let (UnknownPolicy::Probe(probe), Some(call)) = (&self.about.policy.on_unknown, &self.call) else {
            self.unknown();
            return Next::Finished;
        };
        let request = RequestView::new(&call.request, &self.about.body).value();
        let finding = match probe::question(probe, request, self.about.key.as_str()) {
            Ok(question) => probe::ask(probe, &question, self.inner.clone(), call, &self.context.budget).await,
            Err(reason) => Finding::CannotTell(reason),
        };
        let is_late_enough = sent_ago + claimed_at.elapsed() >= probe.after;
        let verdict = match finding {
            Finding::Done(recorded) => {
                ProbeVerdict::Done { response: self.context.seal(self.about.name, fence, &recorded), ttl: self.about.policy.ttl }
            }
            Finding::NotDone if is_late_enough && self.about.on_absent() != OnAbsent::Begin => {
                ProbeVerdict::Seal { ttl: self.about.policy.ttl }
            }
            Finding::NotDone if is_late_enough => {
                ProbeVerdict::NotDone { lease: self.about.policy.lease, ttl: self.about.policy.ttl }
            }
            Finding::NotDone => ProbeVerdict::Undecided,
            Finding::CannotTell(reason) => {
                tracing::info!(record = %self.about.name.short(), %reason, "a probe could not tell");
                ProbeVerdict::Undecided
            }
        };
        let settled_at = Instant::now();
        let settle = Settle { name: self.about.name, prober, fence, verdict };
        match self.context.store.settle(settle).await {
            Ok(Settled::Done(done)) => self.replay(&done, false),
            Ok(Settled::Retake(grant)) => {
                let token = Token { name: self.about.name, owner: prober, fence: grant.fence };
                let lease = self.context.leases.hold(token, self.about.policy.lease, settled_at);
                return self.execute(Claimant { grant, lease }).await;
            }
            Ok(Settled::Sealed) => self.answerer.problem(ProblemName::StepCancelled),
            Ok(Settled::Freed) => self.unknown(),
            Ok(Settled::Lost) => return Next::Wait(super::LONGEST_LOOK),
            Err(error) => {
                self.context.metrics.store_failed(StoreOperation::Settle);
                tracing::warn!(record = %self.about.name.short(), %error, "a probe could not be settled");
                if error.may_have_applied() {
                    self.context.backlog.push(Deferred::release_unseen(self.about.name, prober));
                }
                self.answerer.problem(ProblemName::StoreLost);
            }
        }
        Next::Finished
    }
}

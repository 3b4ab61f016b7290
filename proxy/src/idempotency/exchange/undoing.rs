//! An undo's part: what stands in its way is its step.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Exchange, LONGEST_LOOK, Next, Seen, Sender, Undoing};
use crate::{
    idempotency::{
        backlog::Deferred,
        note,
        probe::{self, Finding},
    },
    ids::{Fence, Owner},
    metrics::{ClaimResult, StoreOperation},
    problem::ProblemName,
    store::{OnStepUnknown, ProbeVerdict, Settle, Settled, Store, StoreError, Undo, Undone},
};

/// What an undo has found out of its step by asking the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Asked {
    /// It has not asked.
    #[default]
    No,
    /// The service could not tell this time.
    Undecided,
    /// The step cannot be asked for at all: it is one without a probe.
    Unaskable,
}

/// What a step's prober was told.
struct Doubt {
    prober: Owner,
    fence: Fence,
    sent_ago: Duration,
    note: Bytes,
}

impl<S: Store, U: Sender> Exchange<S, U> {
    /// One look at the step and at the undo's own record.
    pub(super) async fn undo(&self, undoing: &Undoing, owner: Owner, seen: &Seen) -> Result<Undone, StoreError> {
        let undo = Undo {
            claim: self.claim(owner, seen),
            step: undoing.step,
            knows_done: undoing.knows_done,
            absence: undoing.absence,
            on_step_unknown: self.on_step_unknown(undoing, seen),
        };
        self.context.store.undo(undo).await
    }

    fn on_step_unknown(&self, undoing: &Undoing, seen: &Seen) -> OnStepUnknown {
        let policy = &self.about.policy;
        let otherwise = self.about.resends().then_some(undoing.step_may_act_for);
        match seen.of_step {
            // After an outage owners renew first: for one lease, a lapsed record is nobody's to decide on.
            _ if self.context.is_just_back(policy.lease) => OnStepUnknown::Hold,
            Asked::Undecided => OnStepUnknown::Hold,
            Asked::Unaskable => otherwise.map_or(OnStepUnknown::Hold, |after| OnStepUnknown::Send { after }),
            Asked::No => {
                let lease = policy.lease.max(self.context.barrier.longest_probe() + LONGEST_LOOK);
                OnStepUnknown::Probe { lease, otherwise }
            }
        }
    }

    /// What is done while the step decides.
    pub(super) async fn step_stands(
        &mut self,
        undoing: &Undoing,
        found: Undone,
        owner: Owner,
        claimed_at: Instant,
        seen: &mut Seen,
    ) -> Next {
        match found {
            // The caller has taken this out already; if it had not, it would be looked at again.
            Undone::Own(_) => Next::Again,
            Undone::StepInFlight { left } => {
                self.context.metrics.claimed(ClaimResult::InFlight);
                Next::Wait(left)
            }
            Undone::StepUnknown { probing: true } => {
                self.context.metrics.claimed(ClaimResult::Unknown);
                Next::Wait(LONGEST_LOOK)
            }
            Undone::StepUnknown { probing: false } => {
                self.context.metrics.claimed(ClaimResult::Unknown);
                self.step_unknown(undoing)
            }
            Undone::StepProbe { fence, sent_ago, note } => {
                self.context.metrics.claimed(ClaimResult::Probe);
                let doubt = Doubt { prober: owner, fence, sent_ago: sent_ago + claimed_at.elapsed(), note };
                self.ask_for_step(undoing, doubt, seen).await
            }
        }
    }

    /// Asks the service whether the step was done, and settles its record. Whether the undo is then sent, the next look tells.
    async fn ask_for_step(&mut self, undoing: &Undoing, doubt: Doubt, seen: &mut Seen) -> Next {
        let began = Instant::now();
        let ttl = self.about.policy.ttl;
        let verdict = match self.find_out(undoing, &doubt).await {
            None => {
                seen.of_step = Asked::Unaskable;
                ProbeVerdict::Undecided
            }
            Some((_, Finding::Done(recorded))) => {
                ProbeVerdict::Done { response: self.context.seal(undoing.step, doubt.fence, &recorded), ttl }
            }
            Some((after, Finding::NotDone)) if doubt.sent_ago + began.elapsed() >= after => ProbeVerdict::Seal { ttl },
            Some((_, Finding::NotDone)) => {
                seen.of_step = Asked::Undecided;
                ProbeVerdict::Undecided
            }
            Some((_, Finding::CannotTell(reason))) => {
                tracing::info!(record = %undoing.step.short(), %reason, "a probe could not tell");
                seen.of_step = Asked::Undecided;
                ProbeVerdict::Undecided
            }
        };
        let settle = Settle { name: undoing.step, prober: doubt.prober, fence: doubt.fence, verdict };
        match self.context.store.settle(settle).await {
            Ok(Settled::Done(_) | Settled::Sealed | Settled::Retake(_)) => {
                self.context.unknowns.resolved(undoing.step);
                Next::Again
            }
            Ok(Settled::Freed) if seen.of_step == Asked::Unaskable => Next::Again,
            Ok(Settled::Freed) => self.step_unknown(undoing),
            Ok(Settled::Lost) => Next::Wait(LONGEST_LOOK),
            Err(error) => {
                self.context.metrics.store_failed(StoreOperation::Settle);
                tracing::warn!(record = %undoing.step.short(), %error, "a probe could not be settled");
                if error.may_have_applied() {
                    self.context.backlog.push(Deferred::release_unseen(undoing.step, doubt.prober));
                }
                self.answerer.problem(ProblemName::StoreLost);
                Next::Finished
            }
        }
    }

    /// What the service says of the step, and from when on its "not done" counts; `None`: the step cannot be asked for.
    async fn find_out(&self, undoing: &Undoing, doubt: &Doubt) -> Option<(Duration, Finding)> {
        let call = self.call.as_ref()?;
        let unreadable = |error: &dyn std::fmt::Display| {
            tracing::warn!(record = %undoing.step.short(), %error, "what a step left for its undo cannot be read");
        };
        let note = self.context.open_note(undoing.step, &doubt.note).inspect_err(|error| unreadable(error)).ok()?;
        let note = note::read(&note).inspect_err(|error| unreadable(error)).ok()?;
        let Some(probe) = self.context.barrier.probe(&note.probe) else {
            tracing::warn!(record = %undoing.step.short(), "the probe that a step was made under is not configured any more");
            return None;
        };
        let question = note.question(undoing.key.as_str()).inspect_err(|error| unreadable(error)).ok()?;
        let finding = probe::ask(&probe, &question, self.inner.clone(), call, &self.context.budget).await;
        Some((probe.after, finding))
    }

    fn step_unknown(&mut self, undoing: &Undoing) -> Next {
        self.context.unknowns.seen(undoing.step);
        self.answerer.step_unknown();
        Next::Finished
    }
}

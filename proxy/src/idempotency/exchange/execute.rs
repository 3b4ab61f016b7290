//! The owner's part: send, judge the answer, record it, and only then answer.

use std::pin::pin;

use bytes::Bytes;
use http::{HeaderMap, Response, response::Parts};
use tokio::time::Instant;

use super::{Claimant, Exchange, Next, Sender};
use crate::{
    body::{Body, Budget, Collected, Share, collect},
    idempotency::{
        backlog::Deferred,
        marker::Status,
        response::{NotKept, Recorded, Tombstone},
        verdict::{self, Verdict},
    },
    metrics::{Limit, StoreOperation, UnknownCause},
    pass::begin,
    problem::ProblemName,
    store::{Complete, Completed, Done, Reserved, Store, StoreError},
    upstream::{Call, NotSent, SendError},
};

/// What became of a send.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and is moved once")]
enum Outcome {
    Replied(Parts, Reply),
    NotSent(NotSent, Option<Box<Call>>),
    Unknown(String),
}

/// Whose answer is kept.
enum Kept {
    /// This one, now or as soon as the store is back.
    Ours,
    /// The one of another owner, which is this, if it is done.
    Winners(Option<Done>),
}

/// The body of a reply.
enum Reply {
    /// All of it, and what it takes of the budget.
    Whole(Bytes, Option<HeaderMap>, Share),
    /// It cannot be kept, and flows on.
    NotKept(NotKept, Body),
}

impl Reply {
    fn into_body(self) -> Body {
        match self {
            Self::Whole(bytes, trailers, share) => Body::with_trailers(bytes, trailers).holding(share),
            Self::NotKept(_, body) => body,
        }
    }
}

impl<S: Store, U: Sender> Exchange<S, U> {
    /// Sends, judges the answer, records it, and answers. The caller is told to ask again if that takes longer than it may wait.
    pub(super) async fn execute(&mut self, claimant: Claimant) -> Next {
        if let Some(problem) = self.refuse_same_payload().await {
            self.release(claimant).await;
            self.answerer.problem(problem);
            return Next::Finished;
        }
        let Some(mut call) = self.call.take() else {
            // The call is gone only after a send, and after a send nothing is claimed again.
            self.release(claimant).await;
            self.answerer.in_flight(super::LONGEST_LOOK);
            return Next::Finished;
        };
        call.gate = Some(claimant.lease.gate());
        match self.send(call).await {
            Some(Outcome::Replied(parts, reply)) => self.replied(claimant, parts, reply).await,
            Some(Outcome::NotSent(NotSent::GateClosed, Some(call))) => {
                self.call = Some(*call);
                return Next::Renew(claimant);
            }
            Some(Outcome::NotSent(reason, _)) => {
                tracing::warn!(record = %self.about.name.short(), %reason, "a request was not sent");
                self.release(claimant).await;
                self.not_sent(&reason);
            }
            Some(Outcome::Unknown(reason)) => {
                tracing::warn!(record = %self.about.name.short(), %reason, "the outcome of a request is unknown");
                self.doubt(claimant, UnknownCause::Broken).await;
                self.answerer.outcome_unknown_now();
            }
            None if !claimant.lease.is_sent() => {
                self.release(claimant).await;
                self.answerer.problem(ProblemName::UpstreamNotReached);
            }
            None => {
                tracing::warn!(record = %self.about.name.short(), "no answer within max_execution: the outcome is unknown");
                self.doubt(claimant, UnknownCause::TimedOut).await;
                self.answerer.outcome_unknown_now();
            }
        }
        Next::Finished
    }

    /// `None`: no answer within `max_execution`.
    async fn send(&mut self, call: Call) -> Option<Outcome> {
        let began = Instant::now();
        let end = began + self.about.policy.max_execution;
        let patience = began + self.about.upstream.config().response_timeout;
        let cap = self.about.policy.max_stored_body.get();
        // Begun here, so that no future but the sender's own holds the call.
        let sending = begin(self.inner.clone(), call);
        let mut sending = pin!(read(sending, cap, &self.context.budget, end));
        if let Ok(outcome) = tokio::time::timeout_at(patience.min(end), sending.as_mut()).await {
            return Some(outcome);
        }
        if patience < end {
            self.answerer.problem(ProblemName::InProgress);
        }
        let outcome = tokio::time::timeout_at(end, sending).await.ok()?;
        self.context.metrics.late_replies.inc();
        Some(outcome)
    }

    async fn replied(&mut self, claimant: Claimant, mut parts: Parts, reply: Reply) {
        let from_refrain = self.about.upstream.config().refrain;
        let attempt = claimant.grant.attempt;
        match verdict::judge(&self.about.policy.statuses, self.about.kind(), from_refrain, parts.status, &parts.headers) {
            Verdict::Keep => match self.keep(claimant, &parts, &reply).await {
                Kept::Ours => self.answerer.executed(parts, reply.into_body(), attempt, self.about.policy.ttl),
                Kept::Winners(Some(done)) => self.replay(&done, true),
                Kept::Winners(None) => self.answerer.in_flight(super::LONGEST_LOOK),
            },
            Verdict::Release => {
                self.release(claimant).await;
                self.answerer.upstreams(parts, reply.into_body(), Status::Executed, attempt);
            }
            Verdict::Unknown => {
                self.doubt(claimant, UnknownCause::Status).await;
                parts.headers.remove(http::header::RETRY_AFTER);
                self.answerer.upstreams(parts, reply.into_body(), Status::OutcomeUnknown, attempt);
            }
        }
    }

    /// Records the answer. If the store is away, it is given all the same, and recorded when the store is back.
    async fn keep(&self, claimant: Claimant, parts: &Parts, reply: &Reply) -> Kept {
        let token = claimant.lease.token();
        let response = match reply {
            Reply::Whole(bytes, trailers, _) => {
                self.context.seal_answer(&token, parts, bytes, trailers.as_ref(), &self.about.policy.drop_headers)
            }
            Reply::NotKept(reason, _) => {
                let tombstone = Recorded::Tombstone(Tombstone { status: parts.status, reason: *reason });
                self.context.seal(token.name, token.fence, &tombstone)
            }
        };
        let complete = Complete {
            token,
            attempt: claimant.grant.attempt,
            fingerprint: self.about.fingerprint,
            ttl: self.about.policy.ttl,
            response,
        };
        let mut written = self.context.store.complete(complete.clone()).await;
        if written.as_ref().is_err_and(StoreError::may_have_applied) {
            // Once more before the caller is answered: a process that slept finds its store call timed out, and perhaps another
            // owner's answer in the record.
            written = Box::pin(self.context.store.complete(complete.clone())).await;
        }
        match written {
            Ok(Completed::Kept | Completed::Already) => {
                claimant.lease.finish();
                self.context.unknowns.resolved(token.name);
            }
            Ok(Completed::Fenced(winner)) => {
                claimant.lease.finish();
                self.context.metrics.fenced_completions.inc();
                tracing::warn!(record = %token.name.short(), fence = %token.fence, "a completion came after another owner's claim");
                return Kept::Winners(winner);
            }
            Err(error) => {
                self.context.metrics.store_failed(StoreOperation::Complete);
                tracing::error!(record = %token.name.short(), %error, "a response is not recorded yet; it is tried again");
                self.context.backlog.push(Deferred::Complete { complete: Box::new(complete), lease: claimant.lease });
            }
        }
        Kept::Ours
    }

    /// Nothing was done: the key is free again (or, on a later attempt, as unknown as it was).
    pub(super) async fn release(&self, claimant: Claimant) {
        let token = claimant.lease.token();
        claimant.lease.finish();
        if self.context.store.release(token.name, token.owner, Some(token.fence)).await.is_err() {
            self.context.metrics.store_failed(StoreOperation::Release);
            self.context.backlog.push(Deferred::release(token));
        }
        let Some(payload) = self.about.payload else { return };
        if self.context.store.unreserve(payload, token.name).await.is_err() {
            self.context.backlog.push(Deferred::Unreserve { name: payload, holder: token.name });
        }
    }

    async fn doubt(&self, claimant: Claimant, cause: UnknownCause) {
        let token = claimant.lease.token();
        claimant.lease.finish();
        self.context.metrics.became_unknown(cause);
        self.context.unknowns.seen(token.name);
        if self.context.store.doubt(token).await.is_err() {
            self.context.metrics.store_failed(StoreOperation::Doubt);
            self.context.backlog.push(Deferred::Doubt(token));
        }
    }

    /// Where the same payload under another key is refused, reserves it. The reservation is claimed, not looked at and acted upon.
    async fn refuse_same_payload(&self) -> Option<ProblemName> {
        let payload = self.about.payload?;
        match self.context.store.reserve(payload, self.about.name, self.about.policy.ttl).await {
            Ok(Reserved::Ours) => None,
            Ok(Reserved::Theirs) => Some(ProblemName::DuplicatePayload),
            Err(error) => {
                self.context.metrics.store_failed(StoreOperation::Reserve);
                tracing::warn!(%error, "a payload could not be reserved");
                Some(ProblemName::StoreLost)
            }
        }
    }

    fn not_sent(&mut self, reason: &NotSent) {
        if reason.is_overload() {
            self.context.metrics.refused_at(Limit::Upstream);
        }
        self.answerer.not_sent(reason);
    }

    /// Without a store, by `on_store_loss: open`: sent once, recorded nowhere, and said so.
    pub(super) async fn execute_unprotected(&mut self, call: Call) {
        match self.send(call).await {
            Some(Outcome::Replied(parts, reply)) => {
                self.answerer.upstreams(parts, reply.into_body(), Status::Unprotected, 1);
            }
            Some(Outcome::NotSent(reason, _)) => self.not_sent(&reason),
            Some(Outcome::Unknown(_)) => self.answerer.outcome_unknown_now(),
            None => self.answerer.outcome_unknown_now(),
        }
    }
}

async fn read(
    sending: impl Future<Output = Result<Response<Body>, SendError>>,
    cap: u64,
    budget: &Budget,
    end: Instant,
) -> Outcome {
    let response = match sending.await {
        Ok(response) => response,
        Err(SendError::NotSent(reason, call)) => return Outcome::NotSent(reason, call),
        Err(SendError::Unknown(reason)) => return Outcome::Unknown(reason),
    };
    let (parts, body) = response.into_parts();
    if verdict::is_stream(&parts.headers) {
        return Outcome::Replied(parts, Reply::NotKept(NotKept::Stream, body));
    }
    match collect(body, cap, budget, Some(end)).await {
        Collected::Whole { bytes, trailers, share } => Outcome::Replied(parts, Reply::Whole(bytes, trailers, share)),
        // What the process has no room for is not kept either: the upstream has acted, and its answer must reach the caller.
        Collected::Over(body) | Collected::NoBudget(body) => Outcome::Replied(parts, Reply::NotKept(NotKept::TooLarge, body)),
        Collected::Broken(error) => Outcome::Unknown(format!("the answer broke off: {error}")),
        Collected::TimedOut => Outcome::Unknown("the answer did not end within max_execution".to_owned()),
    }
}

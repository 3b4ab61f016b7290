//! The layer that makes keyed requests happen once: it names a request's record, and starts the exchange.

use std::{
    borrow::Borrow,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use futures_util::FutureExt as _;
use http::Response;

use super::{
    answer,
    context::Context,
    detached::Detached,
    exchange::{self, Keyed, OfStep, Purpose, Sender, Undoing},
    intake::{self, NotRead, Read, Start},
    key::Key,
    marker::{self, Status},
    name,
    policy::{Dedupe, OnStoreLoss, Policy},
    verdict::CallKind,
    view::RequestView,
};
use crate::{
    body::Body,
    ids::HashKey,
    metrics::StoreOperation,
    pass::pass,
    peers::StepCall,
    problem::{Problem, ProblemName},
    server::Shared,
    store::{Absence, FirstSend, Store},
    upstream::Call,
};

/// Wraps a service that sends calls.
#[derive(Debug)]
pub struct IdempotencyLayer<S> {
    context: Arc<Context<S>>,
    shared: Shared,
}

impl<S> IdempotencyLayer<S> {
    /// A layer for one core.
    pub const fn new(context: Arc<Context<S>>, shared: Shared) -> Self {
        Self { context, shared }
    }
}

impl<S, U> tower::Layer<U> for IdempotencyLayer<S> {
    type Service = Idempotency<S, U>;

    fn layer(&self, inner: U) -> Self::Service {
        Idempotency(Arc::new(Parts { context: Arc::clone(&self.context), shared: self.shared.clone(), inner }))
    }
}

/// The service that makes keyed requests happen once. Clones are the same one.
#[derive(Debug)]
pub struct Idempotency<S, U>(Arc<Parts<S, U>>);

#[derive(Debug)]
struct Parts<S, U> {
    context: Arc<Context<S>>,
    shared: Shared,
    inner: U,
}

impl<S, U> Clone for Idempotency<S, U> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, U> Borrow<Shared> for Idempotency<S, U> {
    fn borrow(&self) -> &Shared {
        &self.0.shared
    }
}

/// A call on its way to its answer.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A call on a route with a policy.
#[derive(Debug)]
pub struct Protected {
    /// The call.
    pub call: Call,
    /// The route's policy.
    pub policy: Arc<Policy>,
    /// The call of a saga's step, where a trusted peer sent one. Its key counts instead of the client's.
    pub step: Option<StepCall>,
}

impl<S: Store, U: Sender> tower::Service<Protected> for Idempotency<S, U> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, protected: Protected) -> Self::Future {
        Box::pin(self.handle(protected).map(Ok))
    }
}

impl<S: Store, U: Sender> Idempotency<S, U> {
    /// Answers a call. Dropping the future stops what has no key, and only the waiting for what has one.
    pub fn handle(&self, protected: Protected) -> Answering {
        let Protected { call, policy, step } = protected;
        if let Some(step) = step {
            let key = step.key.clone();
            return match contradiction(&step) {
                Some(detail) => answered(answer::problem(Problem::new(ProblemName::Malformed, detail), policy.dialect)),
                None => Box::pin(self.clone().protect(call, policy, Some(key), Some(step))),
            };
        }
        match intake::start(&call.request, &policy) {
            Err(problem) => answered(answer::problem(problem, policy.dialect)),
            Ok(Start::Pass(status)) => Box::pin(self.clone().pass(call, status)),
            Ok(Start::Keyed(key)) => Box::pin(self.clone().protect(call, policy, Some(key), None)),
            Ok(Start::KeyFromBody) => Box::pin(self.clone().protect(call, policy, None, None)),
        }
    }

    fn pass(self, call: Call, status: Option<Status>) -> impl Future<Output = Response<Body>> {
        pass(self.0.inner.clone(), call, self).map(move |mut response| {
            if let Some(status) = status {
                marker::mark(response.headers_mut(), status);
            }
            response
        })
    }

    async fn protect(self, mut call: Call, policy: Arc<Policy>, key: Option<Key>, step: Option<StepCall>) -> Response<Body> {
        let context = &self.0.context;
        let kind = if step.is_some() { CallKind::Step } else { CallKind::Client };
        let hash_key = match context.store.hash_key().await {
            Ok(hash_key) => hash_key,
            Err(error) => {
                context.metrics.store_failed(StoreOperation::HashKey);
                tracing::warn!(%error, "the store did not tell the key of its record names");
                return Box::pin(self.without_store(call, &policy, kind, key.as_ref())).await;
            }
        };
        let Read { bytes, trailers, share } = match intake::read(&mut call.request, &policy, kind, context).await {
            Ok(read) => read,
            Err(NotRead::Refused(problem)) => return answer::problem(problem, policy.dialect),
            Err(NotRead::TooLarge) => return Box::pin(self.pass(call, Some(Status::Unprotected))).await,
        };
        let view = RequestView::new(&call.request, &bytes);
        let key = match key.map_or_else(|| view.key(&policy), |key| Ok(Some(key))) {
            Ok(Some(key)) => key,
            Ok(None) if policy.key.required => {
                return answer::problem(intake::no_key(call.request.headers(), &policy, &view), policy.dialect);
            }
            Ok(None) => {
                *call.request.body_mut() = Body::with_trailers(bytes, trailers);
                return Box::pin(self.pass(call, None)).await;
            }
            Err(error) => return answer::problem(intake::key_invalid(&error, None), policy.dialect),
        };
        let scope = match intake::scope(call.request.headers(), &policy, kind, &view) {
            Ok(scope) => scope,
            Err(problem) => return answer::problem(problem, policy.dialect),
        };
        let fingerprint = intake::fingerprint(hash_key, &call.request, &policy, &bytes).await;
        let upstream = call.upstream.config().name.as_str();
        let name = match &step {
            None => name::record_name(&hash_key, &scope, upstream, &key),
            Some(step) => name::step_name(&hash_key, &step.saga, upstream, &key),
        };
        let step = step.map(|step| self.of_step(step, &hash_key, upstream, &policy));
        let by_payload = policy.dedupe == Dedupe::Payload && kind == CallKind::Client;
        let payload = by_payload.then(|| name::payload_name(&hash_key, &scope, upstream, &fingerprint));
        *call.request.body_mut() = Body::with_trailers(bytes.clone(), trailers);
        let dialect = policy.dialect;
        let keyed = Keyed { name, payload, fingerprint, policy, step, key, call, body: bytes, share };
        let (exchange, answer) = exchange::begin(Arc::clone(context), self.0.inner.clone(), keyed);
        // The exchange goes on if this is dropped: a client that hangs up cancels only its own waiting.
        Detached::new(exchange, answer, &self.0.shared.tasks).await.unwrap_or_else(|| {
            answer::problem(Problem::new(ProblemName::Internal, "the exchange ended without an answer"), dialect)
        })
    }

    /// What a saga's driver wants, in the words of the records.
    fn of_step(&self, step: StepCall, hash_key: &HashKey, upstream: &str, policy: &Policy) -> OfStep {
        let terms = self.0.context.barrier.terms(upstream);
        let kept_for = terms.map_or(Duration::ZERO, |terms| terms.kept_for.min(policy.ttl));
        let since = step.first_sent.map(|at| Absence::ProofSince(FirstSend { at, kept_for }));
        let purpose = match step.undo {
            Some(undo) => Purpose::Undo(Undoing {
                step: name::step_name(hash_key, &step.saga, upstream, &undo.of),
                key: undo.of,
                knows_done: undo.knows_done,
                absence: since.unwrap_or(Absence::NoProof),
                step_may_act_for: terms.map_or(policy.max_execution, |terms| terms.may_act_for.max(policy.max_execution)),
            }),
            None if step.resolve => Purpose::Ask(since.unwrap_or(Absence::Proof)),
            None => Purpose::Act,
        };
        OfStep { resend: step.resend, purpose }
    }

    /// The store has not said how records are named: nothing can be claimed.
    async fn without_store(self, call: Call, policy: &Policy, kind: CallKind, key: Option<&Key>) -> Response<Body> {
        if policy.on_store_loss == OnStoreLoss::Open && kind == CallKind::Client {
            return self.pass(call, Some(Status::Unprotected)).await;
        }
        answer::store_lost(policy.dialect, key)
    }
}

fn answered(response: Response<Body>) -> Answering {
    Box::pin(std::future::ready(response))
}

/// What a driver cannot mean.
fn contradiction(step: &StepCall) -> Option<&'static str> {
    let undo = step.undo.as_ref()?;
    if step.resolve {
        return Some("an undo is carried out: what became of it is not asked with `Saga-Resolve`");
    }
    (undo.of == step.key).then_some("an undo has a key of its own, other than its step's")
}

//! The layer that makes keyed requests happen once: it reads the request, names its record, and starts the exchange.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use bytes::Bytes;
use http::{Response, header};
use tokio::sync::oneshot;

use super::{
    answer,
    context::Context,
    exchange::{self, Keyed, Sender},
    fingerprint::fingerprint,
    key::{self, Key, KeyError},
    marker::{self, Status},
    name::{self, ScopeValue},
    policy::{Dedupe, OnStoreLoss, OverBody, Policy, Scope},
    verdict::CallKind,
    view::RequestView,
};
use crate::{
    body::{Body, Collected, Share, collect},
    ids::HashKey,
    metrics::{Limit, StoreOperation},
    pass::{pass, wants_upgrade},
    peers::StepCall,
    problem::{Problem, ProblemName},
    server::Shared,
    store::Store,
    upstream::Call,
};

/// Bodies from this size on are fingerprinted on another thread, so that a core's other connections do not wait.
const LARGE_BODY: usize = 128 * 1024;

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
        Idempotency { context: Arc::clone(&self.context), shared: self.shared.clone(), inner }
    }
}

/// The service that makes keyed requests happen once.
#[derive(Debug)]
pub struct Idempotency<S, U> {
    context: Arc<Context<S>>,
    shared: Shared,
    inner: U,
}

impl<S, U: Clone> Clone for Idempotency<S, U> {
    fn clone(&self) -> Self {
        Self { context: Arc::clone(&self.context), shared: self.shared.clone(), inner: self.inner.clone() }
    }
}

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
        let this = self.clone();
        Box::pin(async move { Ok(this.handle(protected).await) })
    }
}

/// What a request is, before its body is read.
enum Start {
    /// Nothing to protect; with what to say of it, if anything.
    Pass(Option<Status>),
    /// A key in the headers.
    Keyed(Key, CallKind),
    /// The key is in the body, perhaps.
    KeyFromBody,
}

impl<S: Store, U: Sender> Idempotency<S, U> {
    async fn handle(self, protected: Protected) -> Response<Body> {
        let Protected { call, policy, step } = protected;
        let resend = step.as_ref().is_some_and(|step| step.resend);
        match start(&call, &policy, step) {
            Err(problem) => answer::problem(problem, policy.dialect),
            Ok(Start::Pass(status)) => self.pass(call, status).await,
            Ok(Start::Keyed(key, kind)) => self.protect(call, policy, Some(key), kind, resend).await,
            Ok(Start::KeyFromBody) => self.protect(call, policy, None, CallKind::Client, false).await,
        }
    }

    async fn pass(self, call: Call, status: Option<Status>) -> Response<Body> {
        let mut response = pass(self.inner, call, &self.shared).await;
        if let Some(status) = status {
            marker::mark(response.headers_mut(), status);
        }
        response
    }

    async fn protect(
        self,
        mut call: Call,
        policy: Arc<Policy>,
        key: Option<Key>,
        kind: CallKind,
        resend: bool,
    ) -> Response<Body> {
        let hash_key = match self.context.store.hash_key().await {
            Ok(hash_key) => hash_key,
            Err(error) => {
                self.context.metrics.store_failed(StoreOperation::HashKey);
                tracing::warn!(%error, "the store did not tell the key of its record names");
                return self.without_store(call, &policy, kind, key.as_ref()).await;
            }
        };
        let (bytes, trailers, share) = match self.read(&mut call, &policy, kind).await {
            Ok(read) => read,
            Err(NotRead::Answer(response)) => return *response,
            Err(NotRead::TooLarge) => return self.pass(call, Some(Status::Unprotected)).await,
        };
        let view = RequestView::new(&call.request, &bytes);
        let key = match key.map_or_else(|| view.key(&policy), |key| Ok(Some(key))) {
            Ok(Some(key)) => key,
            Ok(None) if policy.key.required => return answer::problem(key_missing(&policy), policy.dialect),
            Ok(None) => {
                *call.request.body_mut() = Body::with_trailers(bytes, trailers);
                return self.pass(call, None).await;
            }
            Err(error) => return answer::problem(key_invalid(&error, None), policy.dialect),
        };
        let scope = match scope(&call, &policy, kind, &view) {
            Ok(scope) => scope,
            Err(detail) => return answer::problem(Problem::new(ProblemName::KeyInvalid, detail), policy.dialect),
        };
        let fingerprint = self.fingerprint(hash_key, &call, &policy, &bytes).await;
        let upstream = call.upstream.config().name.as_str();
        let name = match kind {
            CallKind::Client => name::record_name(&hash_key, &scope, upstream, &key),
            CallKind::Step => name::step_name(&hash_key, upstream, &key),
        };
        let by_payload = policy.dedupe == Dedupe::Payload && kind == CallKind::Client;
        let payload = by_payload.then(|| name::payload_name(&hash_key, &scope, upstream, &fingerprint));
        *call.request.body_mut() = Body::with_trailers(bytes.clone(), trailers);
        let dialect = policy.dialect;
        let keyed = Keyed { name, payload, fingerprint, policy, kind, resend, key, call, body: bytes, share };
        let (caller, answer) = oneshot::channel();
        self.shared.tasks.spawn(exchange::run(self.context, self.inner, keyed, caller));
        // The exchange goes on if this is dropped: a client that hangs up cancels only its own waiting.
        answer.await.unwrap_or_else(|_| {
            answer::problem(Problem::new(ProblemName::Internal, "the exchange ended without an answer"), dialect)
        })
    }

    /// Reads the request's body whole.
    async fn read(
        &self,
        call: &mut Call,
        policy: &Policy,
        kind: CallKind,
    ) -> Result<(Bytes, Option<http::HeaderMap>, Share), NotRead> {
        let body = std::mem::take(call.request.body_mut());
        let cap = policy.max_request_body.get();
        let until = tokio::time::Instant::now() + policy.max_execution;
        match collect(body, cap, &self.context.budget, Some(until)).await {
            Collected::Whole { bytes, trailers, share } => {
                // The body is here: nobody waits for a "100 Continue" any more.
                call.request.headers_mut().remove(header::EXPECT);
                Ok((bytes, trailers, share))
            }
            Collected::Over(body) if policy.over_request_body == OverBody::Unprotected && kind == CallKind::Client => {
                *call.request.body_mut() = body;
                Err(NotRead::TooLarge)
            }
            Collected::Over(_) => {
                let detail = format!("a protected request's body may have {} at most", policy.max_request_body);
                Err(NotRead::problem(Problem::new(ProblemName::TooLarge, detail), policy))
            }
            Collected::NoBudget(_) => {
                self.context.metrics.refused_at(Limit::Buffered);
                let problem = Problem::new(ProblemName::Overloaded, "too many request bodies are held at once");
                Err(NotRead::problem(problem, policy))
            }
            Collected::Broken(error) => {
                let detail = format!("the request's body broke off: {error}");
                Err(NotRead::problem(Problem::new(ProblemName::BodyIncomplete, detail), policy))
            }
            Collected::TimedOut => {
                let detail = "the request's body did not end in time";
                Err(NotRead::problem(Problem::new(ProblemName::BodyIncomplete, detail), policy))
            }
        }
    }

    async fn fingerprint(&self, hash_key: HashKey, call: &Call, policy: &Arc<Policy>, bytes: &Bytes) -> crate::ids::Fingerprint {
        let request = &call.request;
        if bytes.len() < LARGE_BODY {
            return fingerprint(&hash_key, &policy.fingerprint, request.method(), request.uri(), request.headers(), bytes);
        }
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
        let (for_thread, body) = (Arc::clone(policy), bytes.clone());
        let computed =
            tokio::task::spawn_blocking(move || fingerprint(&hash_key, &for_thread.fingerprint, &method, &uri, &headers, &body));
        match computed.await {
            Ok(computed) => computed,
            // The runtime is going down, or the pool's thread died: here, then.
            Err(_) => fingerprint(&hash_key, &policy.fingerprint, request.method(), request.uri(), request.headers(), bytes),
        }
    }

    /// The store has not said how records are named: nothing can be claimed.
    async fn without_store(self, call: Call, policy: &Policy, kind: CallKind, key: Option<&Key>) -> Response<Body> {
        if policy.on_store_loss == OnStoreLoss::Open && kind == CallKind::Client {
            return self.pass(call, Some(Status::Unprotected)).await;
        }
        answer::store_lost(policy.dialect, key)
    }
}

/// Why a body was not read.
enum NotRead {
    /// It is too large to be protected; it is in the call again.
    TooLarge,
    Answer(Box<Response<Body>>),
}

impl NotRead {
    fn problem(problem: Problem, policy: &Policy) -> Self {
        Self::Answer(Box::new(answer::problem(problem, policy.dialect)))
    }
}

fn start(call: &Call, policy: &Policy, step: Option<StepCall>) -> Result<Start, Problem> {
    if let Some(StepCall { key, .. }) = step {
        return Ok(Start::Keyed(key, CallKind::Step));
    }
    let request = &call.request;
    let sent = headers_have_key(request.headers(), policy);
    if !policy.methods.contains(request.method()) {
        return Ok(Start::Pass(sent.then_some(Status::Ignored)));
    }
    let cannot_keep = wants_upgrade(request) || crate::headers::is_grpc(request.headers());
    if cannot_keep {
        return Ok(Start::Pass(sent.then_some(Status::Unprotected)));
    }
    match key::find(request.headers(), &policy.key.headers, &policy.key.form) {
        Ok(Some(key)) => Ok(Start::Keyed(key, CallKind::Client)),
        Ok(None) if policy.key.from.is_some() => Ok(Start::KeyFromBody),
        Ok(None) if policy.key.required => Err(key_missing(policy)),
        Ok(None) => Ok(Start::Pass(None)),
        Err(error) => Err(key_invalid(&error, key::as_sent(request.headers(), &policy.key.headers))),
    }
}

fn headers_have_key(headers: &http::HeaderMap, policy: &Policy) -> bool {
    policy.key.headers.iter().any(|name| headers.contains_key(name))
}

fn key_missing(policy: &Policy) -> Problem {
    let names = policy.key.headers.iter().map(http::HeaderName::as_str).collect::<Vec<_>>().join(" or ");
    Problem::new(ProblemName::KeyMissing, format!("this route needs a key in {names}"))
}

fn key_invalid(error: &KeyError, sent: Option<String>) -> Problem {
    Problem::new(ProblemName::KeyInvalid, error.to_string()).key_as_sent(sent)
}

fn scope(call: &Call, policy: &Policy, kind: CallKind, view: &RequestView<'_>) -> Result<ScopeValue, String> {
    match &policy.scope {
        // A step's key is unique by itself.
        _ if kind == CallKind::Step => Ok(ScopeValue::Global),
        Scope::Authorization => Ok(name::authorization_scope(call.request.headers())),
        Scope::Global => Ok(ScopeValue::Global),
        Scope::Expression(template) => view.scope(template),
    }
}

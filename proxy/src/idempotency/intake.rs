//! What a keyed request is: whether there is anything to protect, its key, its body, its scope and its fingerprint.
//!
//! The same reading serves ordinary routes ([`super::layer`]) and the routes that start sagas ([`crate::saga`]). It sends nothing and
//! asks no store.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, header};

use super::{
    context::Context,
    fingerprint,
    key::{self, Key, KeyError},
    marker::Status,
    name::{self, ScopeValue},
    policy::{OverBody, Policy, Scope},
    verdict::CallKind,
    view::RequestView,
};
use crate::{
    body::{Body, Collected, Share, collect},
    ids::{Fingerprint, HashKey},
    metrics::Limit,
    pass::wants_upgrade,
    problem::{Problem, ProblemName},
};

/// Bodies from this size on are fingerprinted on another thread, so that a core's other connections do not wait.
const LARGE_BODY: usize = 128 * 1024;

/// What a request is, before its body is read.
#[derive(Debug)]
pub enum Start {
    /// Nothing to protect; with what to say of it, if anything.
    Pass(Option<Status>),
    /// A key in the headers.
    Keyed(Key),
    /// The key is in the body, perhaps.
    KeyFromBody,
}

/// What a client's request is, before its body is read.
///
/// # Errors
///
/// What the client gets: there is no key where one is required, or not one that the route accepts.
pub fn start(request: &Request<Body>, policy: &Policy) -> Result<Start, Problem> {
    // Looked for only where it is not used: what is kept is looked for once, below.
    let sent = || policy.key.headers.iter().any(|name| request.headers().contains_key(name));
    if !policy.methods.contains(request.method()) {
        return Ok(Start::Pass(sent().then_some(Status::Ignored)));
    }
    let cannot_keep = wants_upgrade(request) || crate::headers::is_grpc(request.headers());
    if cannot_keep {
        return Ok(Start::Pass(sent().then_some(Status::Unprotected)));
    }
    match find_key(request, policy)? {
        Some(key) => Ok(Start::Keyed(key)),
        None if policy.key.from.is_some() => Ok(Start::KeyFromBody),
        None if policy.key.required => Err(key_missing(policy)),
        None => Ok(Start::Pass(None)),
    }
}

/// The key in a request's headers.
///
/// # Errors
///
/// What the client gets: it is not a key that the route accepts.
pub fn find_key(request: &Request<Body>, policy: &Policy) -> Result<Option<Key>, Problem> {
    key::find(request.headers(), &policy.key.headers, &policy.key.form)
        .map_err(|error| key_invalid(&error, key::as_sent(request.headers(), &policy.key.headers)))
}

/// A body that was read whole.
#[derive(Debug)]
pub struct Read {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
    /// Its share of the bytes that may be held.
    pub share: Share,
}

/// Why a body was not read.
#[derive(Debug)]
pub enum NotRead {
    /// It is too large to be protected, and the policy says to let it pass; it is in the request again.
    TooLarge,
    /// What the client gets.
    Refused(Problem),
}

/// Reads a request's body whole, within the policy's cap and `max_execution`.
///
/// # Errors
///
/// See [`NotRead`].
pub async fn read<S>(
    request: &mut Request<Body>,
    policy: &Policy,
    kind: CallKind,
    context: &Context<S>,
) -> Result<Read, NotRead> {
    let body = std::mem::take(request.body_mut());
    let cap = policy.max_request_body.get();
    let until = tokio::time::Instant::now() + policy.max_execution;
    let refused = |name, detail: String| Err(NotRead::Refused(Problem::new(name, detail)));
    match collect(body, cap, &context.budget, Some(until)).await {
        Collected::Whole { bytes, trailers, share } => {
            // The body is here: nobody waits for a "100 Continue" any more.
            request.headers_mut().remove(header::EXPECT);
            Ok(Read { bytes, trailers, share })
        }
        Collected::Over(body) if policy.over_request_body == OverBody::Unprotected && kind == CallKind::Client => {
            *request.body_mut() = body;
            Err(NotRead::TooLarge)
        }
        Collected::Over(_) => refused(ProblemName::TooLarge, too_large(policy)),
        Collected::NoBudget(_) => {
            context.metrics.refused_at(Limit::Buffered);
            refused(ProblemName::Overloaded, "too many request bodies are held at once".to_owned())
        }
        Collected::Broken(error) => refused(ProblemName::BodyIncomplete, format!("the request's body broke off: {error}")),
        Collected::TimedOut => refused(ProblemName::BodyIncomplete, "the request's body did not end in time".to_owned()),
    }
}

/// What to tell a client whose body is too large to be protected.
pub fn too_large(policy: &Policy) -> String {
    format!("a protected request's body may have {} at most", policy.max_request_body)
}

/// What makes the request the same request. Large bodies are hashed on another thread.
pub async fn fingerprint(hash_key: HashKey, request: &Request<Body>, policy: &Arc<Policy>, bytes: &Bytes) -> Fingerprint {
    let here = |bytes: &Bytes| {
        let rules = &policy.fingerprint;
        fingerprint::fingerprint(&hash_key, rules, request.method(), request.uri(), request.headers(), bytes)
    };
    if bytes.len() < LARGE_BODY {
        return here(bytes);
    }
    let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
    let (for_thread, body) = (Arc::clone(policy), bytes.clone());
    let computed = tokio::task::spawn_blocking(move || {
        fingerprint::fingerprint(&hash_key, &for_thread.fingerprint, &method, &uri, &headers, &body)
    });
    match computed.await {
        Ok(computed) => computed,
        // The runtime is going down, or the pool's thread died: here, then.
        Err(_) => here(bytes),
    }
}

/// Whose keys these are.
///
/// # Errors
///
/// What the client gets: the route's scope cannot be had from this request.
pub fn scope(headers: &HeaderMap, policy: &Policy, kind: CallKind, view: &RequestView<'_>) -> Result<ScopeValue, Problem> {
    match &policy.scope {
        // A step's key is unique by itself.
        _ if kind == CallKind::Step => Ok(ScopeValue::Global),
        Scope::Authorization => Ok(name::authorization_scope(headers)),
        Scope::Global => Ok(ScopeValue::Global),
        Scope::Expression(template) => view.scope(template).map_err(|detail| {
            let reads_claims = template.expressions().any(|(expression, _)| expression.touches(&["claims"]));
            match reads_claims && !view.has_claims() {
                true => caller_unknown(headers),
                false => Problem::new(ProblemName::KeyInvalid, detail),
            }
        }),
    }
}

/// `claims` are needed, and no token was verified.
pub fn caller_unknown(headers: &HeaderMap) -> Problem {
    let is_token =
        |line: &http::HeaderValue| line.as_bytes().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "));
    match headers.get_all(header::AUTHORIZATION).iter().any(is_token) {
        true => Problem::new(
            ProblemName::TokenInvalid,
            "the request's token does not count, and it is needed to tell whose the request is",
        ),
        false => Problem::new(ProblemName::TokenMissing, "the request needs a token, to tell whose it is"),
    }
}

/// The body has been read, and there is no key, and there must be one. A key that is taken from `claims` needs a token first.
pub fn no_key(headers: &HeaderMap, policy: &Policy, view: &RequestView<'_>) -> Problem {
    match policy.key.from.as_ref().is_some_and(|from| from.touches(&["claims"])) && !view.has_claims() {
        true => caller_unknown(headers),
        false => key_missing(policy),
    }
}

/// There is no key, and there must be one.
pub fn key_missing(policy: &Policy) -> Problem {
    let names = policy.key.headers.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(" or ");
    Problem::new(ProblemName::KeyMissing, format!("this route needs a key in {names}"))
}

/// There is a key that is none.
pub fn key_invalid(error: &KeyError, sent: Option<String>) -> Problem {
    Problem::new(ProblemName::KeyInvalid, error.to_string()).key_as_sent(sent)
}

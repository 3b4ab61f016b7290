//! From a frozen request to the message that goes out. Pure.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, USER_AGENT},
    uri::PathAndQuery,
};
use saga_config::{names::SecretName, saga::Effect as StepEffect};

use super::CallContext;
use crate::{
    body::Body,
    config::{Secrets, ServiceAuth},
    headers::{
        self, IDEMPOTENCY_KEY, SAGA_ATTEMPT, SAGA_FIRST_SENT, SAGA_ID, SAGA_IN_DOUBT, SAGA_RESOLVE, SAGA_STEP, SAGA_STEP_KEY,
        SAGA_UNDO_KNOWS, SAGA_UNDO_OF, TRACEPARENT, TRACESTATE, X_IDEMPOTENCY_KEY,
    },
    saga::{
        entry::{FrozenRequest, HeaderPart},
        turn::{CheckEffect, SendEffect, UndoKnows},
    },
    time::Timestamp,
};

/// Those that say which call it is, and those that every call has.
const USUAL_HEADERS: usize = 12;

/// Who gets the message: a Refrain reads more than a service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A service, or the own one behind the own layer.
    Service,
    /// Another Refrain.
    Refrain,
}

/// What a message is given that is written down nowhere else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credentials<'a> {
    /// The upstream's own, where the call asks for them.
    pub(super) auth: Option<&'a ServiceAuth>,
    /// What headers name as `secret('name')`.
    pub(super) secrets: &'a Secrets,
}

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsendable {
    /// There is no such secret now, or it cannot stand in a header. It may be put right while the saga goes on; what else there is
    /// here is wrong in the definition or in the journal, and trying again does not help.
    #[error("the secret `{0}` {1}")]
    Secret(SecretName, &'static str),
    #[error("its method is none")]
    Method,
    #[error("its target is not a path and a query")]
    Target,
    #[error("its header `{0}` cannot be sent")]
    Header(String),
}

/// The message of a step's call or its undo's. `span`: the id of the call's own span.
pub(super) fn of_send(
    saga: &CallContext,
    effect: &SendEffect,
    reader: Reader,
    credentials: Credentials<'_>,
    span: u64,
) -> Result<Request<Body>, Unsendable> {
    let mut request = of_frozen(&effect.request, credentials.secrets)?;
    let headers = request.headers_mut();
    set_common(headers, saga, effect.of.step.as_str(), credentials.auth, span)?;
    headers.insert(SAGA_ATTEMPT, HeaderValue::from(effect.attempt));
    if effect.effect == StepEffect::None {
        return Ok(request);
    }
    let key = value(IDEMPOTENCY_KEY, &effect.key)?;
    headers.insert(IDEMPOTENCY_KEY, key.clone());
    if let Some(undo) = &effect.undo {
        headers.insert(SAGA_UNDO_OF, value(SAGA_UNDO_OF, &undo.of)?);
    }
    if reader == Reader::Refrain {
        headers.insert(SAGA_STEP_KEY, key);
        headers.insert(SAGA_IN_DOUBT, HeaderValue::from_static(if effect.resend { "resend" } else { "hold" }));
        if effect.resolve {
            headers.insert(SAGA_RESOLVE, HeaderValue::from_static("true"));
        }
        if let Some(undo) = &effect.undo {
            let knows = match undo.knows {
                UndoKnows::Done => "done",
                UndoKnows::Unknown => "unknown",
            };
            headers.insert(SAGA_UNDO_KNOWS, HeaderValue::from_static(knows));
        }
        if let Some(at) = first_sent(effect) {
            headers.insert(SAGA_FIRST_SENT, HeaderValue::from(at.as_unix_ms()));
        }
    }
    Ok(request)
}

/// When the step was first sent; for an undo, the step that is undone.
pub(super) fn first_sent(effect: &SendEffect) -> Option<Timestamp> {
    effect.undo.as_ref().map(|undo| undo.first_sent).or(effect.first_sent)
}

/// The message of a probe.
pub(super) fn of_check(
    saga: &CallContext,
    effect: &CheckEffect,
    credentials: Credentials<'_>,
    span: u64,
) -> Result<Request<Body>, Unsendable> {
    let mut request = of_frozen(&effect.request, credentials.secrets)?;
    set_common(request.headers_mut(), saga, effect.of.step.as_str(), credentials.auth, span)?;
    Ok(request)
}

fn of_frozen(frozen: &FrozenRequest, secrets: &Secrets) -> Result<Request<Body>, Unsendable> {
    let method = Method::from_bytes(frozen.method.as_bytes()).map_err(|_| Unsendable::Method)?;
    let target = Some(frozen.target.as_str()).filter(|target| target.starts_with('/'));
    let target = target.and_then(|target| PathAndQuery::try_from(target).ok()).ok_or(Unsendable::Target)?;
    let mut request = Request::new(frozen.body.as_ref().map_or_else(Body::empty, |body| Body::full(Bytes::from(body.clone()))));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    let headers = request.headers_mut();
    headers.reserve(USUAL_HEADERS + frozen.headers.len() + frozen.secret_headers.len());
    for (name, text) in &frozen.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unsendable::Header(name.clone()))?;
        if !is_ours(&name) {
            let value = value(name.clone(), text)?;
            headers.append(name, value);
        }
    }
    for (name, parts) in &frozen.secret_headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unsendable::Header(name.clone()))?;
        if !is_ours(&name) {
            let value = bound(&name, parts, secrets)?;
            headers.append(name, value);
        }
    }
    let mut by_default = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    by_default(ACCEPT, "application/json");
    by_default(USER_AGENT, "refrain");
    if frozen.body.is_some() {
        by_default(CONTENT_TYPE, "application/json");
    }
    Ok(request)
}

/// A header's value with the secrets in it. It is never shown, nor indexed by HPACK (RFC 7541, section 7.1.3).
fn bound(name: &HeaderName, parts: &[HeaderPart], secrets: &Secrets) -> Result<HeaderValue, Unsendable> {
    let mut text = String::new();
    for part in parts {
        match part {
            HeaderPart::Text(part) => text.push_str(part),
            HeaderPart::Secret(secret) => {
                let wrong = |why| Unsendable::Secret(secret.clone(), why);
                let value = secrets.get(secret.as_str()).ok_or_else(|| wrong("is not there"))?.expose();
                if HeaderValue::from_bytes(value.as_bytes()).is_err() {
                    return Err(wrong("cannot stand in a header"));
                }
                text.push_str(value);
            }
        }
    }
    let mut value = value(name.clone(), &text)?;
    value.set_sensitive(true);
    Ok(value)
}

fn set_common(
    headers: &mut HeaderMap,
    saga: &CallContext,
    step: &str,
    auth: Option<&ServiceAuth>,
    span: u64,
) -> Result<(), Unsendable> {
    headers.insert(SAGA_ID, value(SAGA_ID, &saga.id.to_string())?);
    headers.insert(SAGA_STEP, value(SAGA_STEP, step)?);
    if let Some(child) = saga.traceparent.as_deref().and_then(|parent| child_of(parent, span)) {
        headers.insert(TRACEPARENT, value(TRACEPARENT, &child)?);
    }
    if let Some(ServiceAuth { authorization }) = auth {
        let mut authorization = value(AUTHORIZATION, authorization.expose())?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
    }
    Ok(())
}

/// Whether a header is not the definition's to set: it says which call this is, where it goes, or how it is framed.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 7] = [IDEMPOTENCY_KEY, X_IDEMPOTENCY_KEY, TRACEPARENT, TRACESTATE, HOST, CONTENT_LENGTH, EXPECT];
    headers::is_saga(name) || headers::is_hop_by_hop(name) || OURS.contains(name)
}

fn value(name: HeaderName, text: &str) -> Result<HeaderValue, Unsendable> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Unsendable::Header(name.as_str().to_owned()))
}

/// The `traceparent` of a call under `parent` (W3C Trace Context, section 3.2): the same trace and flags, another span. `None` if
/// `parent` is none.
fn child_of(parent: &str, span: u64) -> Option<String> {
    let is_hex = |text: &str| text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |text: &str, length: usize| text.len() == length && is_hex(text) && text.bytes().any(|c| c != b'0');
    let mut parts = parent.trim().split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_version = version.len() == 2 && is_hex(version) && version != "ff" && (version != "00" || parts.next().is_none());
    let is_sound = is_version && is_id(trace, 32) && is_id(parent, 16) && flags.len() == 2 && is_hex(flags);
    // A span's id is not 0.
    is_sound.then(|| format!("00-{trace}-{:016x}-{flags}", span.max(1)))
}

#[cfg(test)]
mod tests;

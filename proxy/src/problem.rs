//! The problems that Refrain itself answers with (RFC 9457), and the one table that says what each of them means.
//!
//! A caller can act on a problem without reading its text: `retryable` and `retry` say whether to send the request again and with
//! which key, `Retry-After` says when, and the header `Refrain-Problem` says that it was not the service who answered.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LINK, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    headers::REFRAIN_PROBLEM,
    idempotency::{key::Key, marker::Dialect},
};

/// Where the pages of the problems are; the problem's name is the fragment.
const PAGES: &str = "https://github.com/refrain-proxy/refrain/blob/main/docs/problems.md";
/// Where the draft's own sections are.
const DRAFT: &str = "https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07";

/// What went wrong. Each has a section in `docs/problems.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemName {
    /// The route requires a key, and there is none.
    KeyMissing,
    /// There is a key, but not one that the route accepts.
    KeyInvalid,
    /// The key was used with another request.
    KeyReused,
    /// The same payload was sent under another key.
    DuplicatePayload,
    /// A request with this key is under way.
    InFlight,
    /// This request is under way, and its caller waited long enough.
    InProgress,
    /// Nobody knows whether the upstream acted.
    OutcomeUnknown,
    /// The upstream acted, but its answer was not kept.
    ResponseNotKept,
    /// The store of records is not there; nothing was sent.
    StoreLost,
    /// The upstream is not there; nothing was sent.
    UpstreamNotReached,
    /// The request's body is larger than the route protects.
    TooLarge,
    /// Too much is under way; nothing was sent.
    Overloaded,
    /// The step's undo came first.
    StepCancelled,
    /// A saga call of a peer that is not trusted.
    UntrustedPeer,
    /// The request must carry a token, and carries none.
    TokenMissing,
    /// The request's token does not count.
    TokenInvalid,
    /// The token counts, and its claims do not suffice.
    ClaimsRefused,
    /// It cannot be found out whether the token counts; nothing was sent.
    AuthenticationUnavailable,
    /// The route is closed.
    Denied,
    /// The saga waits for an operator.
    Quarantined,
    /// What the request says is not what the saga needs.
    InputInvalid,
    /// No route takes the request.
    NotFound,
    /// The request's head can be read in more than one way.
    Malformed,
    /// The request's head took too long to arrive.
    HeaderTimeout,
    /// The request's body broke off, or took too long to arrive.
    BodyIncomplete,
    /// An unprotected request was sent, and its answer broke off.
    UpstreamFailed,
    /// An unprotected request was sent, and its answer took too long.
    UpstreamTimeout,
    /// It is not asked for so.
    MethodNotAllowed,
    /// Nobody waits for this callback.
    CallbackUnknown,
    /// The callback came before, and was another.
    CallbackUsed,
    /// The callback came too late.
    CallbackOver,
    /// A fault of Refrain's own.
    Internal,
}

/// Whether and how to send a request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// With the same key: it is safe.
    SameKey,
    /// As another request, with a key of its own.
    NewKey,
    /// Not at all: it would fail again, or might act twice.
    Never,
}

/// A row of the table.
struct Meaning {
    name: &'static str,
    status: StatusCode,
    title: &'static str,
    /// Whether this very request can succeed later.
    retryable: bool,
    retry: Retry,
    /// Unless the problem says otherwise: when to come back, in seconds.
    retry_after: Option<u64>,
    /// The section of the draft that speaks of it.
    draft_section: Option<&'static str>,
    /// What `WWW-Authenticate` says: a 401 has it always (RFC 9110, section 11.6.1).
    challenge: Option<&'static str>,
}

impl ProblemName {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::KeyMissing,
        Self::KeyInvalid,
        Self::KeyReused,
        Self::DuplicatePayload,
        Self::InFlight,
        Self::InProgress,
        Self::OutcomeUnknown,
        Self::ResponseNotKept,
        Self::StoreLost,
        Self::UpstreamNotReached,
        Self::TooLarge,
        Self::Overloaded,
        Self::StepCancelled,
        Self::UntrustedPeer,
        Self::TokenMissing,
        Self::TokenInvalid,
        Self::ClaimsRefused,
        Self::AuthenticationUnavailable,
        Self::Denied,
        Self::Quarantined,
        Self::InputInvalid,
        Self::NotFound,
        Self::Malformed,
        Self::HeaderTimeout,
        Self::BodyIncomplete,
        Self::UpstreamFailed,
        Self::UpstreamTimeout,
        Self::MethodNotAllowed,
        Self::CallbackUnknown,
        Self::CallbackUsed,
        Self::CallbackOver,
        Self::Internal,
    ];

    /// The table.
    const fn meaning(self) -> Meaning {
        use StatusCode as Code;
        const fn refused(name: &'static str, status: StatusCode, title: &'static str, retry: Retry) -> Meaning {
            Meaning { name, status, title, retryable: false, retry, retry_after: None, draft_section: None, challenge: None }
        }
        const fn later(name: &'static str, status: StatusCode, title: &'static str, seconds: u64) -> Meaning {
            Meaning {
                name,
                status,
                title,
                retryable: true,
                retry: Retry::SameKey,
                retry_after: Some(seconds),
                draft_section: None,
                challenge: None,
            }
        }
        const fn drafted(section: &'static str, meaning: Meaning) -> Meaning {
            Meaning { draft_section: Some(section), ..meaning }
        }
        const fn unauthorized(name: &'static str, title: &'static str, challenge: &'static str) -> Meaning {
            Meaning { challenge: Some(challenge), ..refused(name, Code::UNAUTHORIZED, title, Retry::Never) }
        }
        match self {
            Self::KeyMissing => {
                drafted("2.1", refused("key-missing", Code::BAD_REQUEST, "The request needs an idempotency key", Retry::NewKey))
            }
            Self::KeyInvalid => {
                drafted("2.1", refused("key-invalid", Code::BAD_REQUEST, "The idempotency key is malformed", Retry::NewKey))
            }
            Self::KeyReused => drafted(
                "2.2",
                refused(
                    "key-reused",
                    Code::UNPROCESSABLE_ENTITY,
                    "The idempotency key was used with another request",
                    Retry::NewKey,
                ),
            ),
            Self::DuplicatePayload => {
                refused("duplicate-payload", Code::CONFLICT, "The same request was made under another key", Retry::Never)
            }
            Self::InFlight => {
                drafted("2.6", later("in-flight", Code::CONFLICT, "A request with this idempotency key is being processed", 1))
            }
            Self::InProgress => later("in-progress", Code::GATEWAY_TIMEOUT, "The request is still being processed", 1),
            Self::OutcomeUnknown => {
                later("outcome-unknown", Code::CONFLICT, "Nobody knows whether an earlier attempt was carried out", 5)
            }
            Self::ResponseNotKept => refused(
                "response-not-kept",
                Code::CONFLICT,
                "The request was carried out, but its response was not kept",
                Retry::Never,
            ),
            Self::StoreLost => later("store-lost", Code::SERVICE_UNAVAILABLE, "The record of requests cannot be reached", 1),
            Self::UpstreamNotReached => {
                later("upstream-not-reached", Code::SERVICE_UNAVAILABLE, "The service cannot be reached", 1)
            }
            Self::TooLarge => {
                refused("too-large", Code::PAYLOAD_TOO_LARGE, "The request is too large to be protected", Retry::Never)
            }
            Self::Overloaded => later("overloaded", Code::SERVICE_UNAVAILABLE, "Too many requests are being processed", 1),
            Self::StepCancelled => refused("step-cancelled", Code::CONFLICT, "The step was undone before it began", Retry::Never),
            Self::UntrustedPeer => {
                refused("untrusted-peer", Code::FORBIDDEN, "Saga calls are not taken from this peer", Retry::Never)
            }
            Self::TokenMissing => unauthorized("token-missing", "The request needs a token", "Bearer realm=\"refrain\""),
            Self::TokenInvalid => unauthorized(
                "token-invalid",
                "The request's token does not count",
                "Bearer realm=\"refrain\", error=\"invalid_token\"",
            ),
            Self::ClaimsRefused => {
                refused("claims-refused", Code::FORBIDDEN, "The request is not allowed with this token", Retry::Never)
            }
            Self::AuthenticationUnavailable => {
                later("authentication-unavailable", Code::SERVICE_UNAVAILABLE, "Tokens cannot be verified", 1)
            }
            Self::Denied => refused("denied", Code::FORBIDDEN, "The route is closed to this caller", Retry::Never),
            Self::Quarantined => later("quarantined", Code::INTERNAL_SERVER_ERROR, "The saga waits for an operator", 60),
            Self::InputInvalid => refused(
                "input-invalid",
                Code::UNPROCESSABLE_ENTITY,
                "The request does not have what the saga needs",
                Retry::Never,
            ),
            Self::NotFound => refused("not-found", Code::NOT_FOUND, "No route takes this request", Retry::Never),
            Self::Malformed => refused("malformed", Code::BAD_REQUEST, "The request is malformed", Retry::Never),
            Self::HeaderTimeout => later("header-timeout", Code::REQUEST_TIMEOUT, "The request's head did not arrive in time", 1),
            Self::BodyIncomplete => later("body-incomplete", Code::BAD_REQUEST, "The request's body did not arrive whole", 1),
            Self::UpstreamFailed => refused("upstream-failed", Code::BAD_GATEWAY, "The service's answer broke off", Retry::Never),
            Self::UpstreamTimeout => {
                refused("upstream-timeout", Code::GATEWAY_TIMEOUT, "The service took too long to answer", Retry::Never)
            }
            Self::MethodNotAllowed => {
                refused("method-not-allowed", Code::METHOD_NOT_ALLOWED, "The path is not used with this method", Retry::Never)
            }
            Self::CallbackUnknown => refused("callback-unknown", Code::NOT_FOUND, "Nobody waits for this callback", Retry::Never),
            Self::CallbackUsed => {
                refused("callback-used", Code::CONFLICT, "The callback was made before, with something else", Retry::Never)
            }
            Self::CallbackOver => refused("callback-over", Code::GONE, "The callback is not waited for any more", Retry::Never),
            Self::Internal => refused("internal", Code::INTERNAL_SERVER_ERROR, "Refrain itself failed", Retry::Never),
        }
    }

    /// As in the header `Refrain-Problem` and in the page's address.
    pub const fn as_str(self) -> &'static str {
        self.meaning().name
    }

    /// The status of the answer.
    pub fn status(self, dialect: Dialect) -> StatusCode {
        match (dialect, self) {
            (Dialect::Stripe, Self::KeyReused) => StatusCode::BAD_REQUEST,
            _ => self.meaning().status,
        }
    }

    /// Where the problem is explained: the `type` of RFC 9457.
    pub fn page(self, dialect: Dialect) -> String {
        match (dialect, self.meaning()) {
            (Dialect::IdempotJs, Meaning { draft_section: Some(section), .. }) => format!("{DRAFT}#section-{section}"),
            (_, Meaning { name, .. }) => format!("{PAGES}#{name}"),
        }
    }
}

impl fmt::Display for ProblemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name of a problem that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a problem")]
pub struct UnknownProblem;

impl FromStr for ProblemName {
    type Err = UnknownProblem;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or(UnknownProblem)
    }
}

/// A problem, on its way to the caller. Its texts are the caller's: what an operator should know belongs in the log.
#[derive(Clone)]
pub struct Problem {
    name: ProblemName,
    detail: String,
    retry_after: Option<u64>,
    retry: Option<Retry>,
    key: Option<Box<str>>,
    original_status: Option<StatusCode>,
}

impl Problem {
    /// A problem, and what the caller should know about this case of it.
    pub fn new(name: ProblemName, detail: impl Into<String>) -> Self {
        let retry_after = name.meaning().retry_after;
        Self { name, detail: detail.into(), retry_after, retry: None, key: None, original_status: None }
    }

    /// The request's key is known to a Refrain further on: the same request, with the same key, gets its answer there.
    #[must_use]
    pub fn known_further_on(self) -> Self {
        Self { retry: Some(Retry::SameKey), retry_after: self.retry_after.or(Some(1)), ..self }
    }

    /// When to come back, in seconds. Without it: what the table says.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The key that was sent.
    #[must_use]
    pub fn key(self, key: &Key) -> Self {
        Self { key: Some(key.as_str().into()), ..self }
    }

    /// The text that was sent as a key, but is none, see [`crate::idempotency::key::as_sent`].
    #[must_use]
    pub fn key_as_sent(self, text: Option<String>) -> Self {
        Self { key: text.map(String::into), ..self }
    }

    /// The status of the response that was not kept.
    #[must_use]
    pub fn original_status(self, status: StatusCode) -> Self {
        Self { original_status: Some(status), ..self }
    }

    /// What went wrong.
    pub const fn name(&self) -> ProblemName {
        self.name
    }

    /// The answer, under a new instance id.
    pub fn into_response(self, dialect: Dialect) -> Response<Bytes> {
        self.respond(dialect, Uuid::new_v4())
    }

    fn respond(self, dialect: Dialect, instance: Uuid) -> Response<Bytes> {
        let meaning = self.name.meaning();
        let page = self.name.page(dialect);
        let status = self.name.status(dialect);
        let document = Document {
            kind: &page,
            title: meaning.title,
            status: status.as_u16(),
            detail: &self.detail,
            instance: instance.urn().to_string(),
            retryable: meaning.retryable || self.retry == Some(Retry::SameKey),
            retry: self.retry.unwrap_or(meaning.retry),
            idempotency_key: self.key.as_deref().filter(|key| !key.is_empty() || dialect == Dialect::IdempotJs),
            original_status: self.original_status.map(|status| status.as_u16()),
        };
        let body = serde_json::to_vec(&document).expect("texts, numbers and truth values always have a JSON form");
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFRAIN_PROBLEM, HeaderValue::from_static(meaning.name));
        let link = format!("<{page}>; rel=\"describedby\"");
        headers.insert(LINK, HeaderValue::try_from(link).expect("the pages' addresses are ASCII without controls"));
        if let Some(challenge) = meaning.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl fmt::Debug for Problem {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problem({}: {})", self.name, self.detail)
    }
}

/// The members of the document (RFC 9457, section 3), and ours.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    retryable: bool,
    retry: Retry,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_status: Option<u16>,
}

#[cfg(test)]
mod tests;

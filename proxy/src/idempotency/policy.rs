//! What a route promises for keyed requests: the validated policy. Pure data; [`crate::config`] builds it, [`super::layer`] obeys it.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method, StatusCode};
use saga_config::{
    expr::Expression,
    template::{Template, ValueTemplate},
    units::ByteCount,
};

/// Whose customs the answers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dialect {
    /// draft-ietf-httpapi-idempotency-key-header-07, with our markers.
    #[default]
    Ietf,
    /// As Stripe's API answers.
    Stripe,
    /// As the idempot-js middleware answers.
    IdempotJs,
}

/// The policy of one route.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whose customs the answers follow.
    pub dialect: Dialect,
    /// Methods that a key protects.
    pub methods: Vec<Method>,
    /// Where the key is and what it may look like.
    pub key: KeyRules,
    /// Whose keys are apart from whose.
    pub scope: Scope,
    /// What makes a request the same request.
    pub fingerprint: FingerprintRules,
    /// Whether the same payload under another key is refused.
    pub dedupe: Dedupe,
    /// How long a record is kept. Longer than `max_execution` plus `lease`.
    pub ttl: Duration,
    /// How long a claim holds without renewal.
    pub lease: Duration,
    /// How long a request may still act after it was sent; the send ends then.
    pub max_execution: Duration,
    /// What a duplicate of a running request gets.
    pub on_in_flight: OnInFlight,
    /// What a request gets whose earlier outcome nobody knows.
    pub on_unknown: UnknownPolicy,
    /// What happens without a store.
    pub on_store_loss: OnStoreLoss,
    /// Which answers are kept.
    pub statuses: StatusPolicy,
    /// The largest request body that is protected.
    pub max_request_body: ByteCount,
    /// What happens to a larger one.
    pub over_request_body: OverBody,
    /// The largest response body that is kept; over it, a tombstone.
    pub max_stored_body: ByteCount,
    /// Response headers that are not replayed, beside those that never are.
    pub drop_headers: Vec<HeaderName>,
}

/// Where the key is and what it may look like.
#[derive(Clone, Debug)]
pub struct KeyRules {
    /// Header names, in the order in which they are looked for.
    pub headers: Vec<HeaderName>,
    /// An expression over the request that gives the key where no header does. Names: `request`.
    pub from: Option<Expression>,
    /// Whether a request without a key is refused (400).
    pub required: bool,
    /// Whether bare tokens are refused, so that only RFC 8941 strings are keys.
    pub strict: bool,
    /// In characters, at least 1.
    pub min_length: usize,
    /// In characters, at most 1,024.
    pub max_length: usize,
    /// What the characters must be.
    pub format: KeyFormat,
    /// Whether a comma is refused.
    pub no_comma: bool,
}

/// What a key's characters must be.
#[derive(Clone, Debug, Default)]
pub enum KeyFormat {
    /// Visible ASCII and spaces.
    #[default]
    Any,
    /// A UUID in its usual text form (RFC 9562, section 4).
    Uuid,
    /// A regular expression that the whole key matches.
    Pattern(regex::Regex),
}

/// Whose keys are apart from whose.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Apart by the `Authorization` header.
    Authorization,
    /// All callers share their keys.
    Global,
    /// Apart by the text this renders to. Names: `request`.
    Expression(Template),
}

/// What makes a request the same request, beside method, path and query.
#[derive(Clone, Debug, Default)]
pub struct FingerprintRules {
    /// How JSON bodies count.
    pub json: JsonBody,
    /// Places in a JSON body that do not count (RFC 6901).
    pub exclude: Vec<JsonPointer>,
    /// Headers that count too.
    pub headers: Vec<HeaderName>,
}

/// How JSON bodies count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum JsonBody {
    /// Member order and white space do not count; numbers count as written.
    #[default]
    Canonical,
    /// Every byte counts.
    Raw,
}

/// A JSON pointer (RFC 6901): the unescaped reference tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(pub Vec<String>);

/// What counts as a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dedupe {
    /// The same key.
    #[default]
    Key,
    /// The same key, and the same payload under another key (409).
    Payload,
}

/// What a duplicate of a running request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInFlight {
    /// 409 with `Retry-After`.
    Conflict,
    /// It waits for the answer, this long at the most.
    Wait(Duration),
}

/// What a request gets whose earlier outcome nobody knows.
#[derive(Clone, Debug)]
pub enum UnknownPolicy {
    /// 409: never sent again.
    Hold,
    /// Sent again, with the same key.
    Resend,
    /// The service is asked.
    Probe(Arc<Probe>),
}

/// How the service is asked whether it acted.
#[derive(Clone, Debug)]
pub struct Probe {
    /// For which requests the probe can tell; for others the record is held. Names: `key`, `request`.
    pub when: Option<Expression>,
    /// The method of the probe's request: GET or HEAD.
    pub method: Method,
    /// Its path and query. Names: `key`, `request`.
    pub path: Template,
    /// "Not done" counts only this long after the send began.
    pub after: Duration,
    /// Whether the answer says that the upstream acted. Names: `key`, `request`, `response`.
    pub done: Expression,
    /// The response that is recorded then; absent: the probe's own answer. Names as for `done`.
    pub response: Option<ProbeResponse>,
    /// How long one probe may take.
    pub timeout: Duration,
}

/// The response built from a probe's answer.
#[derive(Clone, Debug)]
pub struct ProbeResponse {
    /// Its status.
    pub status: ValueTemplate,
    /// Its JSON body.
    pub body: ValueTemplate,
}

/// What happens without a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnStoreLoss {
    /// 503 with `Retry-After`.
    #[default]
    Closed,
    /// The request is forwarded, marked `unprotected`.
    Open,
}

/// What happens to a request body over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OverBody {
    /// 413.
    #[default]
    Refuse,
    /// Forwarded, marked `unprotected`.
    Unprotected,
}

/// Which answers are kept, which say that nothing was done; everything else is unknown.
#[derive(Clone, Debug)]
pub struct StatusPolicy {
    /// Kept and replayed.
    pub store: Vec<StatusPattern>,
    /// The upstream did nothing: the key is free again. Looked at first.
    pub release: Vec<StatusPattern>,
}

/// A set of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPattern {
    /// `2xx`: the hundreds digit.
    Class(u16),
    /// `500`.
    Exactly(StatusCode),
    /// `503+retry-after`: the status, and the answer carries `Retry-After`.
    WithRetryAfter(StatusCode),
}

impl StatusPattern {
    /// Whether an answer is in the set.
    pub fn matches(self, status: StatusCode, has_retry_after: bool) -> bool {
        match self {
            Self::Class(hundreds) => status.as_u16() / 100 == hundreds,
            Self::Exactly(exactly) => status == exactly,
            Self::WithRetryAfter(exactly) => status == exactly && has_retry_after,
        }
    }
}

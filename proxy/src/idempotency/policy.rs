//! What a route promises for keyed requests: the validated policy. Pure data; [`crate::config`] builds it, [`super::layer`] obeys it.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, Method};
use saga_config::{
    expr::Expression,
    template::{CallTarget, Template, ValueTemplate},
    units::ByteCount,
};

pub use super::{
    fingerprint::{FingerprintRules, JsonBody},
    key::{KeyForm, KeyFormat, KeyPattern},
    marker::Dialect,
    pointer::JsonPointer,
    verdict::{StatusPattern, StatusPolicy},
};

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
    /// Response headers that are not replayed, beside those that never are. `Set-Cookie` is dropped if it is in this list.
    pub drop_headers: Vec<HeaderName>,
}

impl Policy {
    /// The policy of trusted saga calls on a route where idempotency is off: they are protected all the same.
    pub fn of_steps(max_execution: Duration) -> Self {
        let key = KeyRules { headers: Vec::new(), from: None, required: false, form: KeyForm::default() };
        Self::plain(max_execution, Scope::Global, key)
    }

    /// The policy of a saga's trigger where no route has one: the rules that a file begins with.
    pub fn of_triggers() -> Self {
        const MAX_EXECUTION: Duration = Duration::from_secs(60);
        let headers = vec![crate::headers::IDEMPOTENCY_KEY, crate::headers::X_IDEMPOTENCY_KEY];
        let key = KeyRules { headers, from: None, required: false, form: KeyForm::default() };
        Self::plain(MAX_EXECUTION, Scope::Authorization, key)
    }

    fn plain(max_execution: Duration, scope: Scope, key: KeyRules) -> Self {
        const LEASE: Duration = Duration::from_secs(3);
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        const BODY: ByteCount = ByteCount::new(1024 * 1024).expect("a MiB is within the bounds");
        Self {
            dialect: Dialect::Ietf,
            methods: Vec::new(),
            key,
            scope,
            fingerprint: FingerprintRules::default(),
            dedupe: Dedupe::Key,
            ttl: DAY.max(max_execution.saturating_mul(2).saturating_add(LEASE)),
            lease: LEASE,
            max_execution,
            on_in_flight: OnInFlight::Conflict,
            on_unknown: UnknownPolicy::Hold,
            on_store_loss: OnStoreLoss::Closed,
            statuses: StatusPolicy::default(),
            max_request_body: BODY,
            over_request_body: OverBody::Refuse,
            max_stored_body: BODY,
            drop_headers: vec![http::header::SET_COOKIE],
        }
    }
}

/// Where the key is, whether there must be one, and what it may look like.
#[derive(Clone, Debug)]
pub struct KeyRules {
    /// Header names, in the order in which they are looked for.
    pub headers: Vec<HeaderName>,
    /// An expression over the request that gives the key where no header does. Names: `request`.
    pub from: Option<Expression>,
    /// Whether a request without a key is refused (400).
    pub required: bool,
    /// What a key may look like.
    pub form: KeyForm,
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

impl Scope {
    /// As in the configuration, for logs.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Authorization => "authorization",
            Self::Global => "global",
            Self::Expression(template) => template.source(),
        }
    }
}

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
    /// The probe's request: GET or HEAD, and path and query. Names: `key`, `request`.
    pub call: CallTarget,
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

//! `idempotency`, at the top and of a route.

use saga_config::units::{ByteCount, DurationText};
use schemars::JsonSchema;
use serde::Deserialize;

use super::text::{Header, MethodName, Pattern, Place, Statuses};

/// What keyed requests are promised.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Idempotency {
    Off(Off),
    On(Box<Rules>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Off {
    /// Keys mean nothing here; requests pass through.
    Off,
}

/// What keyed requests are promised. What is left out is as the preset has it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rules {
    /// Whose customs are followed: a set of the choices below, and how answers are marked. Any single choice can be changed.
    #[schemars(extend("default" = "ietf"))]
    pub(in crate::config) preset: Option<Preset>,
    /// Which methods a key protects. On others a key is ignored, and the answer says so.
    #[schemars(length(min = 1, max = 64), extend("default" = ["POST", "PATCH"]))]
    pub(in crate::config) methods: Option<Vec<MethodName>>,
    /// Where the key is, and what it may look like.
    pub(in crate::config) key: Option<Key>,
    /// Whose keys are apart from whose: two clients with the same key in different scopes do not meet. `authorization` tells them apart
    /// by the `Authorization` header, `global` not at all, a text with `${…}` over `claims` and `request` by what it renders to.
    #[schemars(extend("default" = "authorization"))]
    pub(in crate::config) scope: Option<Scope>,
    /// What makes a request the same request, beside method, path and query. The same key with another one is refused.
    pub(in crate::config) fingerprint: Option<Fingerprint>,
    /// What counts as a duplicate.
    #[schemars(extend("default" = "key"))]
    pub(in crate::config) dedupe: Option<Dedupe>,
    /// How long a record is kept, and a retry answered from it. Longer than `max_execution` and `lease` together.
    #[schemars(extend("default" = "24h"))]
    pub(in crate::config) ttl: Option<DurationText>,
    /// How long a claim holds if its owner dies. Renewed at a third. At least 200ms.
    #[schemars(extend("default" = "3s"))]
    pub(in crate::config) lease: Option<DurationText>,
    /// How long a request may still act after it was sent; it is given up then, and its outcome is unknown. Absent: the upstream's.
    #[schemars(extend("default" = "5m"))]
    pub(in crate::config) max_execution: Option<DurationText>,
    /// What a duplicate of a running request gets.
    #[schemars(extend("default" = "conflict"))]
    pub(in crate::config) on_in_flight: Option<OnInFlight>,
    /// What a request gets whose earlier outcome nobody knows. To an upstream with `refrain: true` the default is `resend`.
    #[schemars(extend("default" = "hold"))]
    pub(in crate::config) on_unknown: Option<OnUnknown>,
    /// What happens while the store cannot be reached.
    #[schemars(extend("default" = "closed"))]
    pub(in crate::config) on_store_loss: Option<OnStoreLoss>,
    /// Which answers are kept, and which say that nothing was done. After any other the outcome is unknown.
    pub(in crate::config) store: Option<Kept>,
    /// The largest request body that is protected.
    #[schemars(extend("default" = "1MiB"))]
    pub(in crate::config) max_request_body: Option<MaxRequestBody>,
    /// The largest response body that is kept. Over it the request still executes once, but its answer is not replayed.
    #[schemars(extend("default" = "1MiB"))]
    pub(in crate::config) max_stored_body: Option<ByteCount>,
    /// Response headers that are not replayed, beside those that describe one connection or one moment.
    #[schemars(length(max = 100), extend("default" = ["set-cookie"]))]
    pub(in crate::config) drop_headers: Option<Vec<Header>>,
}

/// A named set of choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(in crate::config) enum Preset {
    /// draft-ietf-httpapi-idempotency-key-header-07.
    #[serde(rename = "ietf")]
    Ietf,
    /// As Stripe's API: POST only; another payload under a key is 400.
    #[serde(rename = "stripe")]
    Stripe,
    /// As the idempot-js middleware: a key of 21 to 255 characters is required, scope is global, and so is de-duplication by payload.
    #[serde(rename = "idempot-js")]
    IdempotJs,
}

/// Where the key is, and what it may look like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Key {
    /// The headers that may hold it, in the order in which they are looked for.
    #[schemars(length(max = 16), extend("default" = ["Idempotency-Key", "X-Idempotency-Key"]))]
    pub(in crate::config) headers: Option<Vec<Header>>,
    /// One `${…}` over `request` and `claims` that gives the key where no header does, such as `${request.body.request_id}`.
    pub(in crate::config) from: Option<String>,
    /// Whether a request without a key is refused: 400.
    #[schemars(extend("default" = false))]
    pub(in crate::config) required: Option<bool>,
    /// Whether bare tokens are refused, so that only strings in double quotes are keys (RFC 8941, section 3.3.3).
    #[schemars(extend("default" = false))]
    pub(in crate::config) strict: Option<bool>,
    /// In characters.
    #[schemars(range(min = 1, max = 1024), extend("default" = 1))]
    pub(in crate::config) min_length: Option<u16>,
    /// In characters.
    #[schemars(range(min = 1, max = 1024), extend("default" = 255))]
    pub(in crate::config) max_length: Option<u16>,
    /// What its characters must be.
    #[schemars(extend("default" = "any"))]
    pub(in crate::config) format: Option<KeyFormat>,
    /// Whether a comma is refused: it most often stands between two keys.
    #[schemars(extend("default" = false))]
    pub(in crate::config) no_comma: Option<bool>,
}

/// What a key's characters must be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum KeyFormat {
    /// Visible ASCII and spaces.
    Any,
    /// A UUID (RFC 9562, section 4).
    Uuid,
    /// A regular expression that the whole key matches.
    Regex(Pattern),
}

/// Whose keys are apart from whose.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Scope {
    Word(ScopeWord),
    Text(String),
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ScopeWord {
    /// Apart by the `Authorization` header.
    Authorization,
    /// All clients share their keys.
    Global,
}

/// What makes a request the same request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Fingerprint {
    /// How JSON bodies count.
    #[schemars(extend("default" = "canonical"))]
    pub(in crate::config) json: Option<Json>,
    /// JSON pointers (RFC 6901) to what does not count, such as `/sent_at`.
    #[schemars(length(max = 100), extend("default" = []))]
    pub(in crate::config) exclude: Option<Vec<Place>>,
    /// Request headers that count too.
    #[schemars(length(max = 100), extend("default" = []))]
    pub(in crate::config) headers: Option<Vec<Header>>,
}

/// How JSON bodies count.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Json {
    /// The order of members and white space do not count; numbers count as written.
    Canonical,
    /// Every byte counts.
    Raw,
}

/// What counts as a duplicate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Dedupe {
    /// The same key.
    Key,
    /// The same key, and the same payload under another key: 409.
    Payload,
}

/// What a duplicate of a running request gets.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnInFlight {
    /// 409 with `Retry-After`.
    Conflict,
    /// It waits for the answer, this long at most.
    Wait(DurationText),
}

/// What a request gets whose earlier outcome nobody knows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnUnknown {
    /// 409: it is never sent again.
    Hold,
    /// It is sent again with the same key. Only for services that make keyed requests happen once themselves.
    Resend,
    /// The service is asked whether it acted.
    Probe(Box<Probe>),
}

/// How the service is asked whether it acted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Probe {
    /// One `${…}` over `key` and `request`: for which requests the probe can tell. For others the outcome stays unknown. Needed where
    /// `call` uses `key`, for any client can send any key, unless the route is for saga calls only.
    pub(in crate::config) when: Option<String>,
    /// What to ask: `GET` or `HEAD` and a path with `${…}` over `key` and `request`.
    #[schemars(required)]
    pub(in crate::config) call: Option<String>,
    /// "Not done" is believed only this long after the request was sent. Absent: `max_execution`.
    pub(in crate::config) after: Option<DurationText>,
    /// One `${…}` over `key`, `request` and `response` (`status`, `headers`, `body`): whether the service has acted.
    #[schemars(required)]
    pub(in crate::config) done: Option<String>,
    /// What is recorded then. Absent: the probe's own answer.
    pub(in crate::config) response: Option<ProbeResponse>,
    /// How long one probe may take.
    #[schemars(extend("default" = "5s"))]
    pub(in crate::config) timeout: Option<DurationText>,
}

/// The response built from a probe's answer. Names in `${…}`: `key`, `request`, `response`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ProbeResponse {
    /// Its status: a number or one `${…}`.
    #[schemars(required)]
    pub(in crate::config) status: Option<ProbeStatus>,
    /// Its JSON body; every text in it may have `${…}`.
    #[schemars(required)]
    pub(in crate::config) body: Option<serde_json::Value>,
}

/// A status, known or computed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum ProbeStatus {
    Number(#[schemars(range(min = 200, max = 599))] u16),
    Text(String),
}

/// What happens while the store cannot be reached.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnStoreLoss {
    /// 503 with `Retry-After`.
    Closed,
    /// The request is forwarded without protection, and marked so.
    Open,
}

/// Which answers are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Kept {
    /// Answers that are the outcome: kept and replayed. `2xx`, `500`, `503+retry-after` (with that header).
    #[schemars(length(max = 100), extend("default" = ["2xx", "3xx", "4xx", 500]))]
    pub(in crate::config) statuses: Option<Vec<StatusSet>>,
    /// Answers that say that nothing was done: the key is free again. These are looked at first.
    #[schemars(length(max = 100), extend("default" = [401, 403, 407, 408, 425, 429, "503+retry-after"]))]
    pub(in crate::config) release: Option<Vec<StatusSet>>,
}

/// One status or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum StatusSet {
    One(#[schemars(range(min = 200, max = 599))] u16),
    Some(Statuses),
}

/// The largest request body that is protected.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum MaxRequestBody {
    /// Over it, 413.
    Size(ByteCount),
    Full(FullMaxRequestBody),
}

/// The largest request body that is protected, and what becomes of a larger one.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FullMaxRequestBody {
    /// The largest request body that is protected.
    #[schemars(extend("default" = "1MiB"))]
    pub(in crate::config) size: Option<ByteCount>,
    /// What becomes of a larger one.
    #[schemars(extend("default" = "refuse"))]
    pub(in crate::config) over: Option<Over>,
}

/// What becomes of a request body over the limit.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Over {
    /// 413.
    Refuse,
    /// The request is forwarded without protection, and marked so.
    Unprotected,
}

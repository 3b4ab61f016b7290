//! `upstreams`.

use saga_config::units::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Secret, text::Endpoint};

/// A service that requests go to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Upstream {
    /// Where it is: scheme, host, port, and a path that stands before every request's, if any. Several are endpoints of the same
    /// service.
    #[schemars(required)]
    pub(in crate::config) url: Option<Url>,
    /// Whether this is the service that this Refrain stands beside. What no route matches goes there. At most one.
    #[schemars(extend("default" = false))]
    pub(in crate::config) local: Option<bool>,
    /// Whether it has a Refrain of its own, which makes it safe to send a request again: `on_unknown` is `resend` then.
    #[schemars(extend("default" = false))]
    pub(in crate::config) refrain: Option<bool>,
    /// Which HTTP version it is spoken to in.
    #[schemars(extend("default" = "auto"))]
    pub(in crate::config) protocol: Option<Protocol>,
    /// How long setting up one connection may take, TLS included.
    #[schemars(extend("default" = "2s"))]
    pub(in crate::config) connect_timeout: Option<DurationText>,
    /// How long a caller waits for an answer to begin. The request itself goes on until `max_execution`, and a retry with the same key
    /// gets its result.
    #[schemars(extend("default" = "30s"))]
    pub(in crate::config) response_timeout: Option<DurationText>,
    /// How long a request may still act after it was sent. What says that nothing was done is only believed after that.
    #[schemars(extend("default" = "5m"))]
    pub(in crate::config) max_execution: Option<DurationText>,
    /// How many requests may be under way at once, in this process. Absent: as many as `limits.in_flight` lets in.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_in_flight: Option<u32>,
    /// Idle connections that are kept, per endpoint and core.
    #[schemars(extend("default" = 64))]
    pub(in crate::config) max_idle: Option<u32>,
    /// How long an idle connection is kept. Many servers close theirs after 5 s, and a request that meets the closing has an unknown
    /// outcome: stay below what the service does.
    #[schemars(extend("default" = "4s"))]
    pub(in crate::config) idle_timeout: Option<DurationText>,
    /// Open HTTP/1.1 connections per endpoint, in this process.
    #[schemars(range(min = 1), extend("default" = 1024))]
    pub(in crate::config) max_connections: Option<u32>,
    /// When calls of sagas leave it alone. Absent: never.
    pub(in crate::config) breaker: Option<Breaker>,
    /// How long it remembers the keys of saga calls by itself. A step is not sent again after that.
    pub(in crate::config) idempotency_window: Option<DurationText>,
    /// Its own credentials, for steps that say `auth: service`.
    pub(in crate::config) auth: Option<Auth>,
}

/// When an upstream is left alone for a while.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Breaker {
    /// After so many failures in a row: no connection, no answer in time, or a 5xx.
    #[schemars(range(min = 1))]
    pub(in crate::config) failures: Option<u32>,
    /// For how long; then one call tries.
    pub(in crate::config) open_for: Option<DurationText>,
}

/// Credentials.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Auth {
    /// Where the token is that goes out as `Authorization: Bearer TOKEN` (RFC 6750).
    Bearer(Secret),
}

/// One endpoint or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Url {
    One(Endpoint),
    Many(#[schemars(length(min = 1, max = 64))] Vec<Endpoint>),
}

/// An HTTP version.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Protocol {
    /// HTTP/1.1, and HTTP/2 for gRPC.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; over `http://` with prior knowledge (RFC 9113, section 3.3).
    Http2,
}

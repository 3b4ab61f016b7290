//! `routes`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    idempotency::Idempotency,
    text::{Host, MethodName},
};

/// A route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Route {
    /// Which requests take it.
    #[schemars(required)]
    pub(in crate::config) r#match: Option<Match>,
    /// The name of the upstream they go to. Absent: the one that is `local`.
    pub(in crate::config) upstream: Option<String>,
    /// Who may use it.
    #[schemars(extend("default" = "public"))]
    pub(in crate::config) access: Option<Access>,
    /// What differs from `idempotency` at the top for keyed requests, or `off`. A `preset` here replaces what the top says of the same
    /// choices.
    pub(in crate::config) idempotency: Option<Idempotency>,
}

/// Which requests: all that is given has to fit. At most one of `path`, `template` and `prefix`; none of them: every path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Match {
    /// Exactly this path. Paths are compared decoded and without dot segments.
    pub(in crate::config) path: Option<String>,
    /// A path with placeholders, such as `/orders/{id}/`: each stands for one segment that is not empty.
    pub(in crate::config) template: Option<String>,
    /// Paths that begin so.
    pub(in crate::config) prefix: Option<String>,
    /// Only these methods. Absent: all.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) methods: Option<Vec<MethodName>>,
    /// Only this host, without port. Absent: all.
    pub(in crate::config) host: Option<Host>,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Access {
    /// Everybody.
    Public,
    /// Saga calls of trusted peers only.
    Saga,
    /// Nobody: 403.
    Deny,
}

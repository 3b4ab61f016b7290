//! `authentication`.

use saga_config::units::DurationText;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    route::Match,
    text::{Algorithm, Header, Host, KeysUrl, MethodName},
};

/// Who callers are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Authentication {
    /// How bearer tokens (RFC 6750) that are JSON Web Tokens (RFC 7519) are verified.
    #[schemars(required)]
    pub(in crate::config) jwt: Option<Jwt>,
}

/// How tokens are verified.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Jwt {
    /// Who issues the tokens that count: what `iss` has to be, letter by letter.
    #[schemars(required, length(min = 1, max = 1024))]
    pub(in crate::config) issuer: Option<String>,
    /// Whom the tokens are for: `aud` has to hold this, or one of these. Absent: `aud` is not looked at.
    pub(in crate::config) audience: Option<Audience>,
    /// Where the keys are that tokens are verified with: a JWK Set (RFC 7517). Exactly one of `call`, `url` and `file`.
    #[schemars(required)]
    pub(in crate::config) jwks: Option<Jwks>,
    /// The only algorithms that a token may be signed with: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA.
    #[schemars(length(min = 1, max = 9), extend("default" = ["RS256"]))]
    pub(in crate::config) algorithms: Option<Vec<Algorithm>>,
    /// How far the clocks of who issues and who verifies may be apart: for `exp`, `nbf` and `iat`. At most 10m.
    #[schemars(extend("default" = "30s"))]
    pub(in crate::config) leeway: Option<DurationText>,
    /// The header by which the service gets the payload of a verified token, base64url without padding as it is in the token. A client's
    /// own is stripped from every request.
    #[schemars(extend("default" = "X-JWT-Payload"))]
    pub(in crate::config) payload_header: Option<Header>,
    /// Which requests must carry a token that counts: 401 otherwise. Elsewhere a good one gives its claims, and a bad one none. Of
    /// several that match, every `check` has to hold.
    #[schemars(length(max = 1000), extend("default" = []))]
    pub(in crate::config) required_on: Option<Vec<RequiredOn>>,
    /// How it is found out whether a token was revoked. Absent: it counts until it expires.
    pub(in crate::config) revoked: Option<Revoked>,
}

/// One audience or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Audience {
    One(#[schemars(length(min = 1, max = 1024))] String),
    Many(#[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 1024)))] Vec<String>),
}

/// Where keys are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Jwks {
    /// A call to one of the upstreams, such as `auth GET /jwks/`; without a name, to the one that is `local`.
    pub(in crate::config) call: Option<String>,
    /// A URL, http:// or https://.
    pub(in crate::config) url: Option<KeysUrl>,
    /// The path of a file; a relative one is relative to the configuration.
    #[schemars(length(min = 1))]
    pub(in crate::config) file: Option<String>,
    /// After this time the keys are read again. Until they are there, the old ones count. A key that is not known is asked for at once.
    #[schemars(extend("default" = "5m"))]
    pub(in crate::config) refresh: Option<DurationText>,
}

/// Requests that must carry a token: all that is given has to fit. At most one of `path`, `template` and `prefix`; none of them: every
/// path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RequiredOn {
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
    /// One `${…}` over `claims` and `request` (without its body) that has to be true as well: 403 otherwise.
    pub(in crate::config) check: Option<String>,
}

impl RequiredOn {
    /// What stands beside `check`.
    pub(in crate::config) fn to_match(&self) -> Match {
        Match {
            path: self.path.clone(),
            template: self.template.clone(),
            prefix: self.prefix.clone(),
            methods: self.methods.clone(),
            host: self.host.clone(),
        }
    }
}

/// How it is found out whether a token was revoked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Revoked {
    /// What is asked, GET or HEAD, with `${…}` over `claims`: `auth GET /jwt/blacklist/${claims.jti}/`.
    #[schemars(required)]
    pub(in crate::config) call: Option<String>,
    /// One `${…}` over `claims` and `response` that is true where the token was revoked. An answer of 500 and more, or none, tells
    /// nothing: the request is refused with 503.
    #[schemars(required)]
    pub(in crate::config) when: Option<String>,
    /// How long "not revoked" is believed. After a request with an effect under the same token it is asked again.
    #[schemars(extend("default" = "5s"))]
    pub(in crate::config) cache: Option<DurationText>,
    /// How long one question may take.
    #[schemars(extend("default" = "1s"))]
    pub(in crate::config) timeout: Option<DurationText>,
}

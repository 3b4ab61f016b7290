//! The validated configuration: types that cannot hold nonsense.
//!
//! [`load()`](load::load) turns YAML, flags and environment into a [`Config`], or into every error there is, each with its place and
//! what would be right. The serde mirror of the file is private to `raw`; `read` fills it, one module for each part of the file checks
//! it, and `findings` collects what they say. Nothing else reads the file, and no secret of it is ever shown: `masking` sees to that.

mod authentication;
pub mod check;
mod expressions;
pub mod files;
mod findings;
mod idempotency;
mod limits;
pub mod load;
mod masking;
mod overrides;
mod paths;
mod raw;
mod read;
mod reload;
mod routes;
mod sagas;
mod schema;
mod secrets;
mod store;
#[cfg(test)]
mod tests;
mod together;
mod unsupported;
mod upstreams;
mod workers;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, Method, Uri};
use saga_config::{expr::Expression, names::UpstreamName, saga::Saga, template::CallTarget, units::ByteCount};

pub use self::{files::FilePattern, secrets::Secrets};
pub use crate::{headers::Forwarded, idempotency::seal::EncryptionKey};

use crate::idempotency::policy::Policy;

pub use schema::{saga_schema, schema};

/// Everything `refrain run` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. At least one.
    pub listeners: Vec<SocketAddr>,
    /// Where the admin side listens.
    pub admin: SocketAddr,
    /// How many cores serve. At least 1.
    pub workers: usize,
    /// Where records are kept.
    pub store: StoreConfig,
    /// The upstreams; routes refer to them by index.
    pub upstreams: Vec<Arc<UpstreamConfig>>,
    /// The routes, in the order of the file. What none of them matches goes to `fallback`.
    pub routes: Vec<Arc<RouteConfig>>,
    /// The route of everything else. `None`: 404 (there is no local upstream).
    pub fallback: Option<Arc<RouteConfig>>,
    /// What is bounded, and how.
    pub limits: Limits,
    /// What upstreams are told about the way here.
    pub forwarded: Forwarded,
    /// Whose saga calls are believed.
    pub saga_peers: SagaPeers,
    /// Whether every request gets a log line.
    pub access_log: bool,
    /// What sagas name as `secret('name')`.
    pub secrets: Arc<Secrets>,
    /// Whose tokens are verified, and where there must be one; `None`: nobody's, and `claims` is empty.
    pub authentication: Option<Arc<JwtConfig>>,
    /// The sagas, and how they are run.
    pub sagas: SagasConfig,
    /// What requests that start a saga are promised where their route has no policy, or there is no route.
    pub trigger_policy: Arc<Policy>,
    /// Where clients reach this Refrain: the base of `Location`; `None`: locations are paths.
    pub public_url: Option<Uri>,
}

/// How bearer tokens (RFC 6750) that are JWTs (RFC 7519) are verified.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtConfig {
    /// What `iss` has to be.
    pub issuer: String,
    /// What `aud` has to hold one of; empty: `aud` is not looked at.
    pub audience: Vec<String>,
    /// Where the keys are.
    pub keys: KeySource,
    /// After this time the keys are read again; until they are there, the old ones count.
    pub refresh: Duration,
    /// The only algorithms that a token may be signed with. At least one, and never one with a shared secret.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// How far clocks may be apart, for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// The header by which the upstream gets the payload of a verified token. A client's own is stripped.
    pub payload_header: HeaderName,
    /// Where there must be a token. Elsewhere a good one gives its claims, and a bad one none.
    pub required_on: Vec<RequiredOn>,
    /// How it is found out whether a token was revoked; `None`: it counts until it expires.
    pub revoked: Option<RevocationCheck>,
}

/// Where the keys are that tokens are verified with: a JWK Set (RFC 7517, section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file, which is read again like one by HTTP.
    File(PathBuf),
    /// An upstream of the file's, by index, is asked by GET for this path and query.
    Upstream(usize, Uri),
    /// What a URL names is asked by GET for its path and query. The upstream is this source's own.
    Url(Arc<UpstreamConfig>, Uri),
}

/// What a token may be signed with (RFC 7518, section 3.1; RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the RFC")]
pub enum SignatureAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// Requests that must carry a token.
#[derive(Clone, Debug)]
pub struct RequiredOn {
    /// Which requests.
    pub matcher: RouteMatch,
    /// What its claims must be as well; otherwise 403. Names: `claims`, `request` (without `body`).
    pub check: Option<Expression>,
}

/// How it is found out whether a token was revoked.
#[derive(Clone, Debug)]
pub struct RevocationCheck {
    /// Who is asked: an index into [`Config::upstreams`].
    pub upstream: usize,
    /// What is asked: GET or HEAD. Names: `claims`.
    pub call: CallTarget,
    /// Whether the answer says that the token was revoked. Asked of answers below 500 only: others tell nothing, and the request is
    /// refused with 503. Names: `claims`, `response`.
    pub when: Expression,
    /// How long "not revoked" is believed. A request with an effect forgets it, and "revoked" stays until the token expires.
    pub cache: Duration,
    /// How long one question may take.
    pub timeout: Duration,
}

/// The sagas, and how they are run.
#[derive(Clone, Debug)]
pub struct SagasConfig {
    /// The definitions that new sagas run by. Their names are unique, and so are their triggers.
    pub definitions: Vec<Arc<Saga>>,
    /// How long a driver has a saga without renewing its lease.
    pub lease: Duration,
    /// Into how many partitions a Redis store divides the sagas; fixed once there are any.
    pub partitions: u16,
    /// How long an ended saga is kept.
    pub retention: Duration,
    /// Where the definitions are read from.
    pub files: Vec<FilePattern>,
}

impl Default for SagasConfig {
    /// No sagas; 2 s, 16, 7 days.
    fn default() -> Self {
        Self {
            definitions: Vec::new(),
            lease: Duration::from_secs(2),
            partitions: 16,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            files: Vec::new(),
        }
    }
}

/// When an upstream is left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// After this many failures in a row.
    pub failures: u32,
    /// For this long; then one call tries.
    pub open_for: Duration,
}

/// An upstream's own credentials, for steps with `auth: service`: the whole value of `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAuth {
    /// The value. Never journalled.
    pub authorization: Secret,
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Which backend, and where.
    pub url: StoreUrl,
    /// How long one operation may take.
    pub timeout: Duration,
    /// The keys that seal what is stored; the first one writes. Empty: nothing is sealed.
    pub encryption: Vec<EncryptionKey>,
    /// Whether a Redis that may evict records is accepted.
    pub allow_eviction: bool,
    /// As [`SagasConfig::partitions`].
    pub saga_partitions: u16,
}

/// Which backend, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`: gone with the process.
    Memory,
    /// `embedded:PATH`: one file, one process.
    Embedded(PathBuf),
    /// `redis://…` or `rediss://…`.
    Redis(Secret),
}

/// A text that must not be shown: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text that must not be shown.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Never log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// An upstream service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Its name. Part of every record's name.
    pub name: UpstreamName,
    /// Its endpoints, at least one: scheme and authority, and a path prefix if there is one.
    pub endpoints: Vec<Uri>,
    /// Whether this is the service that this sidecar stands beside.
    pub local: bool,
    /// Whether it has a Refrain of its own.
    pub refrain: bool,
    /// Which HTTP version it is spoken to in.
    pub protocol: Protocol,
    /// For one connection to one endpoint, TLS included.
    pub connect_timeout: Duration,
    /// How long a caller waits for the head of the answer.
    pub response_timeout: Duration,
    /// How long a request may still act after it was sent.
    pub max_execution: Duration,
    /// How many requests may be under way at once, in this process; `None`: no bound of its own.
    pub max_in_flight: Option<usize>,
    /// Idle connections kept per endpoint and core.
    pub max_idle: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Open HTTP/1 connections per endpoint, in this process.
    pub max_connections: usize,
    /// When saga calls leave it alone; `None`: never.
    pub breaker: Option<BreakerConfig>,
    /// How long it remembers the keys of saga calls, if that is known.
    pub idempotency_window: Option<Duration>,
    /// Its own credentials, for saga calls that ask for them.
    pub auth: Option<ServiceAuth>,
}

/// Which HTTP version an upstream is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1, and HTTP/2 for gRPC.
    #[default]
    Auto,
    /// HTTP/1.1 always.
    Http1,
    /// HTTP/2 always (over `http://` with prior knowledge, RFC 9113 section 3.3).
    Http2,
}

/// One route.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// How it is called in metrics and logs: its pattern.
    pub label: String,
    /// What it matches.
    pub matcher: RouteMatch,
    /// Its upstream: an index into [`Config::upstreams`].
    pub upstream: usize,
    /// What keyed requests get; `None`: idempotency is off.
    pub policy: Option<Arc<Policy>>,
    /// Who may use it.
    pub access: Access,
}

/// What a route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// Which paths.
    pub path: PathMatch,
    /// Which methods; empty: all.
    pub methods: Vec<Method>,
    /// Which host (without port, lower case); `None`: all.
    pub host: Option<String>,
}

/// What a saga's trigger matches (see [`saga_config::saga::Trigger::path`]).
///
/// # Errors
///
/// What is wrong with the path, in words.
pub fn trigger_path(text: &str) -> Result<PathMatch, String> {
    paths::trigger(text).map_err(|mistake| format!("{}: {}", mistake.message, mistake.help))
}

/// Which paths a route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// Exactly this path.
    Exact(String),
    /// `/orders/{id}/`: segments, each literal or any one non-empty segment.
    Template(Vec<Segment>),
    /// Paths that begin so.
    Prefix(String),
}

/// One segment of a path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// Any one non-empty segment; the name is for people.
    Any(String),
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Public,
    /// Saga calls of trusted peers only.
    Saga,
    /// Nobody (403).
    Deny,
}

/// What is bounded, and how. Per process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The head of a request; over it, 431.
    pub header_bytes: ByteCount,
    /// Header lines of a request; over it, 431.
    pub headers: usize,
    /// Open client connections; over it, 503 and close.
    pub connections: usize,
    /// Requests under way; over it, 503.
    pub in_flight: usize,
    /// Bytes of bodies held by all protected exchanges together; over it, 503.
    pub buffered: ByteCount,
    /// How long a client may take to send a head; over it, 408.
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Duration,
    /// How long a drain may take.
    pub drain: Duration,
}

/// Whose saga calls are believed. Empty: nobody's.
#[derive(Clone, Debug, Default)]
pub struct SagaPeers {
    /// The shared key that signs the headers of a saga call.
    pub key: Option<Secret>,
    /// Networks whose TCP peers are believed.
    pub networks: Vec<ipnet::IpNet>,
}

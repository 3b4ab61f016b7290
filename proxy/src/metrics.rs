//! All metrics, in one place. Base units; labels come from the configuration and from enums, never from a request.
//!
//! What a request touches is looked up when its route is built, so that counting is one atomic addition.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use crate::idempotency::marker::Status as IdempotencyStatus;

pub use self::authentication::{Authentication, AuthenticationResult, KeyFetch};
pub use self::sagas::{CallDirection, CallOutcome, CallbackOutcome, Sagas};

/// Label values as they are shown: lower case, words apart by `_`.
macro_rules! label_values {
    ($name:ident { $($variant:ident => $text:literal,)* }) => {
        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                EncodeLabelValue::encode(&match self { $(Self::$variant => $text,)* }, encoder)
            }
        }
    };
}

mod authentication;
mod sagas;

/// Upper bounds of the latency buckets, in seconds.
const LATENCY_BUCKETS: [f64; 14] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Every metric of the process. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counters>);

/// What [`Metrics`] share.
#[derive(Debug)]
pub struct Counters {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    claims: Family<ClaimLabels, Counter>,
    unknowns: Family<UnknownLabels, Counter>,
    store_errors: Family<StoreErrorLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    /// Requests refused because too many were under way, or too many bytes held, or too many connections open.
    pub overloaded: Family<OverloadLabels, Counter>,
    /// Answers that came after their caller was told to ask again.
    pub late_replies: Counter,
    /// Completions that another owner's fence refused.
    pub fenced_completions: Counter,
    breakers: Family<UpstreamLabel, Gauge>,
    /// Who callers are.
    pub authentication: Authentication,
    /// What sagas do.
    pub sagas: Sagas,
    gauges: Gauges,
}

/// What is read just before the metrics are shown.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Open client connections.
    pub connections: Gauge,
    /// Requests under way.
    pub in_flight: Gauge,
    /// Bytes of bodies held by protected exchanges.
    pub buffered_bytes: Gauge,
    /// Records whose outcome is unknown, as far as this process has seen.
    pub unknown_open: Gauge,
    /// Writes that wait for the store to come back.
    pub backlog: Gauge,
    /// 1 if the store answers.
    pub store_ready: Gauge,
    /// Round trips to the store, since the start.
    pub store_round_trips: Gauge,
    /// Connections to upstreams.
    pub upstream_connections: Family<ConnectionLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Arc<str>,
    status: StatusClass,
    idempotency: IdempotencyLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabel {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClaimLabels {
    result: ClaimResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnknownLabels {
    cause: UnknownCause,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreErrorLabels {
    operation: StoreOperation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: ReloadResult,
}

/// Which bound was met.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OverloadLabels {
    /// The bound.
    pub limit: Limit,
}

/// Which connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConnectionLabels {
    /// The upstream's name.
    pub upstream: String,
    /// In use or not.
    pub state: ConnectionState,
}

/// Bounds of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Limit {
    Connections,
    InFlight,
    Buffered,
    Upstream,
    Streams,
}

/// The state of a connection to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ConnectionState {
    Busy,
    Idle,
}

/// What a claim found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of crate::store::Claimed")]
pub enum ClaimResult {
    Fresh,
    Retake,
    Replay,
    Mismatch,
    Sealed,
    InFlight,
    Unknown,
    Probe,
    /// Of an undo.
    NothingToUndo,
}

/// Why an outcome became unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnknownCause {
    /// The connection broke after the send began.
    Broken,
    /// No answer within `max_execution`.
    TimedOut,
    /// The upstream's answer does not tell.
    Status,
    /// The exchange died.
    Abandoned,
}

/// An operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of crate::store::Store's methods")]
pub enum StoreOperation {
    HashKey,
    Claim,
    Complete,
    Extend,
    Doubt,
    Release,
    Undo,
    Settle,
    Reserve,
    Create,
    Append,
    ExtendSagas,
    Lease,
    Due,
    Attach,
    Command,
}

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReloadResult {
    /// The new configuration is in force.
    Applied,
    /// It was refused; the old one stays.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct StatusClass(u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct IdempotencyLabel(Option<IdempotencyStatus>);

label_values!(Limit {
    Connections => "connections",
    InFlight => "in_flight",
    Buffered => "buffered",
    Upstream => "upstream",
    Streams => "streams",
});
label_values!(ConnectionState {
    Busy => "busy",
    Idle => "idle",
});
label_values!(ClaimResult {
    Fresh => "fresh",
    Retake => "retake",
    Replay => "replay",
    Mismatch => "mismatch",
    Sealed => "sealed",
    InFlight => "in_flight",
    Unknown => "unknown",
    Probe => "probe",
    NothingToUndo => "nothing_to_undo",
});
label_values!(UnknownCause {
    Broken => "broken",
    TimedOut => "timed_out",
    Status => "status",
    Abandoned => "abandoned",
});
label_values!(StoreOperation {
    HashKey => "hash_key",
    Claim => "claim",
    Complete => "complete",
    Extend => "extend",
    Doubt => "doubt",
    Release => "release",
    Undo => "undo",
    Settle => "settle",
    Reserve => "reserve",
    Create => "create",
    Append => "append",
    ExtendSagas => "extend_sagas",
    Lease => "lease",
    Due => "due",
    Attach => "attach",
    Command => "command",
});
label_values!(ReloadResult {
    Applied => "applied",
    Refused => "refused",
});

impl EncodeLabelValue for StatusClass {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&["other", "1xx", "2xx", "3xx", "4xx", "5xx"][usize::from(self.0)], encoder)
    }
}

impl EncodeLabelValue for IdempotencyLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0.map_or("none", IdempotencyStatus::as_str), encoder)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let latency: fn() -> Histogram = || Histogram::new(LATENCY_BUCKETS);
        let counters = Counters {
            registry: Mutex::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latency),
            claims: Family::default(),
            unknowns: Family::default(),
            store_errors: Family::default(),
            reloads: Family::default(),
            overloaded: Family::default(),
            late_replies: Counter::default(),
            fenced_completions: Counter::default(),
            breakers: Family::default(),
            authentication: Authentication::default(),
            sagas: Sagas::default(),
            gauges: Gauges::default(),
        };
        counters.register();
        Self(Arc::new(counters))
    }
}

impl std::ops::Deref for Metrics {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

impl Counters {
    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let at = registry.sub_registry_with_prefix("refrain");
        at.register("requests", "Requests, by route, status class and Idempotency-Status", self.requests.clone());
        let seconds = self.request_seconds.clone();
        at.register_with_unit("request_duration", "From a request's head to its answer's end", Unit::Seconds, seconds);
        at.register("claims", "Claims, by result", self.claims.clone());
        at.register("unknown_outcomes", "Outcomes that became unknown, by cause", self.unknowns.clone());
        at.register("store_errors", "Store operations that failed", self.store_errors.clone());
        at.register("config_reloads", "Reloads of the configuration", self.reloads.clone());
        at.register("overloaded", "Requests or connections refused at a bound", self.overloaded.clone());
        at.register("late_replies", "Answers recorded after their caller was told to ask again", self.late_replies.clone());
        at.register(
            "fenced_completions",
            "Completions refused, for another owner had the record",
            self.fenced_completions.clone(),
        );
        at.register("upstream_breaker_open", "Whether saga calls leave an upstream alone", self.breakers.clone());
        self.authentication.register(at);
        self.sagas.register(at);
        let gauges = self.gauges.clone();
        at.register("connections", "Open client connections", gauges.connections);
        at.register("requests_in_flight", "Requests under way", gauges.in_flight);
        at.register_with_unit("buffered", "Bodies held by protected exchanges", Unit::Bytes, gauges.buffered_bytes);
        at.register("unknown_open", "Records with an unknown outcome that this process has seen", gauges.unknown_open);
        at.register("store_backlog", "Writes that wait for the store", gauges.backlog);
        at.register("store_ready", "Whether the store answers", gauges.store_ready);
        at.register("store_round_trips", "Round trips to the store since the start", gauges.store_round_trips);
        at.register("upstream_connections", "Connections to upstreams", gauges.upstream_connections);
        at.register("build", "What runs here", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    }

    /// The counters of one route.
    pub fn route(&self, label: &str) -> RouteMetrics {
        let route: Arc<str> = label.into();
        let seconds = self.request_seconds.get_or_create_owned(&RouteLabel { route: Arc::clone(&route) });
        RouteMetrics { route, requests: self.requests.clone(), found: Box::default(), seconds }
    }

    /// Counts a claim.
    pub fn claimed(&self, result: ClaimResult) {
        self.claims.get_or_create(&ClaimLabels { result }).inc();
    }

    /// Counts an outcome that became unknown.
    pub fn became_unknown(&self, cause: UnknownCause) {
        self.unknowns.get_or_create(&UnknownLabels { cause }).inc();
    }

    /// Counts a failed store operation.
    pub fn store_failed(&self, operation: StoreOperation) {
        self.store_errors.get_or_create(&StoreErrorLabels { operation }).inc();
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: ReloadResult) {
        self.reloads.get_or_create(&ReloadLabels { result }).inc();
    }

    /// Shows whether an upstream's breaker is open.
    pub fn breaker(&self, upstream: &str, is_open: bool) {
        self.breakers.get_or_create_owned(&UpstreamLabel { upstream: upstream.to_owned() }).set(i64::from(is_open));
    }

    /// Counts a refusal at a bound.
    pub fn refused_at(&self, limit: Limit) {
        self.overloaded.get_or_create(&OverloadLabels { limit }).inc();
    }

    /// What is read just before the metrics are shown.
    pub const fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// All of it, as OpenMetrics text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        match encode(&mut text, &registry) {
            Ok(()) => text,
            Err(std::fmt::Error) => String::from("# EOF\n"),
        }
    }
}

/// The counters of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    route: Arc<str>,
    requests: Family<RequestLabels, Counter>,
    /// What has been looked up of them, by status class and `Idempotency-Status`: a counter is shown once it has counted something.
    found: Box<[[OnceLock<Counter>; STATUSES]; CLASSES]>,
    seconds: Histogram,
}

/// Status classes, with one for what is none.
const CLASSES: usize = 6;
/// The values of `Idempotency-Status`, and none.
const STATUSES: usize = IdempotencyStatus::ALL.len() + 1;

impl RouteMetrics {
    /// Counts an answer.
    pub fn answered(&self, status: StatusCode, idempotency: Option<IdempotencyStatus>, seconds: f64) {
        let class = status.as_u16() / 100;
        let class = if usize::from(class) < CLASSES { class } else { 0 };
        let found = &self.found[usize::from(class)][idempotency.map_or(0, |status| status as usize + 1)];
        let counter = found.get_or_init(|| {
            let (route, idempotency) = (Arc::clone(&self.route), IdempotencyLabel(idempotency));
            self.requests.get_or_create_owned(&RequestLabels { route, status: StatusClass(class), idempotency })
        });
        counter.inc();
        self.seconds.observe(seconds);
    }
}

//! The admin side, on a listener of its own: health, metrics, and the records and sagas that an operator
//! has to decide about.
//!
//! It shows no key, no body and no credential. What changes something takes JSON only, so that no web page can send it unasked
//! (a cross-origin request with a JSON body needs a permission that is never given).

mod records;
mod sagas;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{
    Json,
    extract::State as Shown,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::Table,
    idempotency::context::Context,
    metrics::{ConnectionLabels, ConnectionState},
    saga::{call::directory::Directory, leases::SagaLeases, operate::Operations},
    server::Shared,
    store::{Store, backend::Backend},
};

/// How long the store may take to count sagas, before the metrics are shown without it.
const COUNTED_WITHIN: Duration = Duration::from_millis(500);

/// What the admin side shows.
#[derive(Clone, Debug)]
pub struct State {
    /// The store and what hangs on it.
    pub context: Arc<Context<Backend>>,
    /// The routes in force.
    pub table: Arc<ArcSwap<Table>>,
    /// The upstreams in force.
    pub directory: Arc<ArcSwap<Directory>>,
    /// Shows sagas, and speaks to them.
    pub operations: Operations<Backend>,
    /// The sagas that this process drives.
    pub driven: SagaLeases,
    /// Connections, and whether a drain is on.
    pub shared: Shared,
    /// Requests under way.
    pub in_flight: Arc<AtomicUsize>,
}

/// Serves the admin side until `stop`.
pub async fn serve(listener: TcpListener, state: State, stop: CancellationToken) {
    let router = axum::Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/records", get(records::list))
        .route("/records/{name}", get(records::show).delete(records::forget))
        .route("/records/{name}/resolve", post(records::resolve))
        .route("/sagas", get(sagas::list).post(sagas::say_to_all))
        .route("/sagas/{id}", get(sagas::show).post(sagas::say))
        .with_state(state);
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = serving.await {
        tracing::error!(%error, "the admin side stopped");
    }
}

/// `/readyz`: whether requests should be sent here, and if not, why.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    reasons: Vec<String>,
    store: StoreReadiness,
}

#[derive(Debug, Serialize)]
struct StoreReadiness {
    ready: bool,
    durability: String,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_may_be_lost_since_ms: Option<u64>,
}

async fn ready(Shown(state): Shown<State>) -> Response {
    let health = state.context.store.health();
    let mut reasons = Vec::new();
    if state.shared.drain.is_cancelled() {
        reasons.push("draining".to_owned());
    }
    if let Err(reason) = &health.ready {
        reasons.push(format!("store: {reason}"));
    }
    let readiness = Readiness {
        ready: reasons.is_empty(),
        reasons,
        store: StoreReadiness {
            ready: health.ready.is_ok(),
            durability: health.durability.clone(),
            warnings: health.warnings.clone(),
            writes_may_be_lost_since_ms: health.writes_may_be_lost_since.map(crate::time::Timestamp::as_unix_ms),
        },
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics(Shown(state): Shown<State>) -> Response {
    let context = &state.context;
    let gauges = context.metrics.gauges();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let health = context.store.health();
    gauges.connections.set(count(state.shared.connections.load(Ordering::Relaxed)));
    gauges.in_flight.set(count(state.in_flight.load(Ordering::Relaxed)));
    gauges.buffered_bytes.set(i64::try_from(context.budget.used()).unwrap_or(i64::MAX));
    gauges.unknown_open.set(count(context.unknowns.len()));
    gauges.backlog.set(count(context.backlog.waiting()));
    gauges.store_ready.set(i64::from(health.ready.is_ok()));
    gauges.store_round_trips.set(i64::try_from(health.round_trips).unwrap_or(i64::MAX));
    context.metrics.sagas.driven.set(count(state.driven.len()));
    // Absent rather than wrong, where the store does not answer in time. Without sagas, it is not asked.
    let has_sagas = !state.table.load().sagas.definitions.is_empty();
    if has_sagas
        && let Ok(Ok(counts)) = tokio::time::timeout(COUNTED_WITHIN, state.operations.count()).await {
        context.metrics.sagas.show_stored(counts);
    }
    for upstream in state.directory.load().upstreams() {
        let (open, idle) = upstream.connections();
        for (state, number) in [(ConnectionState::Busy, open.saturating_sub(idle)), (ConnectionState::Idle, idle)] {
            let labels = ConnectionLabels { upstream: upstream.config().name.to_string(), state };
            gauges.upstream_connections.get_or_create(&labels).set(count(number));
        }
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], context.metrics.render()).into_response()
}

//! What answers a client's request: the stack, in request order.
//!
//! in-flight bound → a saga's callback → route → access → whose saga call it is → who the caller is → a saga's status or trigger →
//! what the way here adds and takes from the headers → idempotency, or pass-through → the same on the way back → counted, logged, and
//! done when the answer's last byte is gone.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::Layer as _;

use crate::{
    authentication::{Authenticated, Authenticator},
    body::{Body, OnEnd},
    config::{Access, Forwarded},
    headers,
    idempotency::{
        context::Context,
        layer::{Idempotency, IdempotencyLayer, Protected},
        marker::Status as IdempotencyStatus,
        policy::Policy,
    },
    metrics::{Limit, RouteMetrics},
    pass::{answer, pass, wants_upgrade},
    peers::{Peers, StepCall, Trust},
    problem::{Problem, ProblemName},
    router::{Route, Router},
    saga::{
        call::http_caller::HttpCaller, callback::without_token, callbacks::called, engine::Engine, plan::Plan, service::Starting,
        status::asked_for,
    },
    server::{Busy, Handler, Peer, Shared},
    store::{Store, journal::Journal},
    upstream::{Call, Send as SendCall},
};

/// What a reload replaces.
#[derive(Debug)]
pub struct Table {
    /// The routes in force.
    pub router: Router,
    /// What upstreams are told about the way here.
    pub forwarded: Forwarded,
    /// Whose saga calls are believed.
    pub peers: Peers,
    /// Who callers are; `None`: nobody's token is looked at.
    pub authentication: Option<Arc<Authenticator>>,
    /// What sagas go by.
    pub sagas: Arc<Plan>,
    /// What requests that start a saga are promised where their route has no policy, or there is no route.
    pub trigger_policy: Arc<Policy>,
    /// Whether every request gets a log line.
    pub access_log: bool,
}

impl Table {
    /// The route that the trigger of a saga would take: its policy says whose sagas are whose.
    fn route_of_trigger(&self, saga: &str, host: Option<&str>) -> Option<&Arc<Route>> {
        let trigger = &self.sagas.named(saga)?.trigger;
        let path = trigger.path.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment });
        let uri = path.collect::<Vec<_>>().join("/").parse().ok()?;
        self.router.find(&trigger.method, &uri, host)
    }
}

/// What runs the sagas of one core.
pub type Sagas<S> = Engine<S, HttpCaller<S, SendCall>>;

/// Answers the requests of one core.
#[derive(Debug)]
pub struct Gateway<S> {
    core: usize,
    table: Arc<ArcSwap<Table>>,
    idempotency: Idempotency<S, SendCall>,
    sagas: Sagas<S>,
    shared: Shared,
    in_flight: Arc<AtomicUsize>,
}

impl<S> Clone for Gateway<S> {
    fn clone(&self) -> Self {
        Self {
            core: self.core,
            table: Arc::clone(&self.table),
            idempotency: self.idempotency.clone(),
            sagas: self.sagas.clone(),
            shared: self.shared.clone(),
            in_flight: Arc::clone(&self.in_flight),
        }
    }
}

impl<S: Store + Journal> Gateway<S> {
    /// The gateway of one core.
    pub fn new(
        core: usize,
        table: Arc<ArcSwap<Table>>,
        context: Arc<Context<S>>,
        sagas: Sagas<S>,
        shared: Shared,
        in_flight: Arc<AtomicUsize>,
    ) -> Self {
        let idempotency = IdempotencyLayer::new(context, shared.clone()).layer(SendCall);
        Self { core, table, idempotency, sagas, shared, in_flight }
    }

    async fn dispatch(
        &self,
        table: &Table,
        route: Option<&Arc<Route>>,
        mut request: Request<Body>,
        peer: Peer,
    ) -> Response<Body> {
        // Whoever has the URL may call back: no route says otherwise.
        if let Some(called) = called(&table.sagas, request.uri().path()) {
            return self.sagas.called_back(called, request).await;
        }
        let access = route.map_or(Access::Public, |route| route.config.access);
        let call_of = match self.admit(table, access, &mut request, peer) {
            Ok(call_of) => call_of,
            Err(problem) => return answer(problem),
        };
        // Held until there is an answer, and no longer: the caller may act on it at once.
        let _caller = match self.caller(table, &call_of, &mut request).await {
            Ok(caller) => caller,
            Err(problem) => return answer(problem),
        };
        if call_of == CallOf::Client
            && let Some(response) = self.saga(table, route, &mut request).await
        {
            return response;
        }
        match route {
            Some(route) => self.forward(table, route, request, call_of, peer).await,
            None => answer(Problem::new(ProblemName::NotFound, "no route matches, and there is no local upstream")),
        }
    }

    /// Who the caller is. A saga's call has no token: its peer is trusted, and nobody else is its caller.
    async fn caller(
        &self,
        table: &Table,
        call_of: &CallOf,
        request: &mut Request<Body>,
    ) -> Result<Option<Authenticated>, Problem> {
        let Some(authenticator) = &table.authentication else { return Ok(None) };
        match call_of {
            CallOf::Client => {
                let host = host_of(request).map(str::to_owned);
                authenticator.authenticate(request, self.core, host.as_deref()).await.map(Some)
            }
            CallOf::Step(_) | CallOf::Reading => {
                authenticator.strip(request.headers_mut());
                Ok(None)
            }
        }
    }

    /// Whether the request may take its route, and whose call it is.
    fn admit(&self, table: &Table, access: Access, request: &mut Request<Body>, peer: Peer) -> Result<CallOf, Problem> {
        if access == Access::Deny {
            return Err(Problem::new(ProblemName::Denied, "this path is not to be used"));
        }
        match table.peers.trust(request, peer.address.ip()) {
            Trust::Step(step) => Ok(CallOf::Step(Box::new(step))),
            Trust::Reading => Ok(CallOf::Reading),
            Trust::Plain if access == Access::Saga => {
                Err(Problem::new(ProblemName::Denied, "this path is for the saga calls of trusted peers"))
            }
            Trust::Plain => Ok(CallOf::Client),
            Trust::Untrusted => {
                Err(Problem::new(ProblemName::UntrustedPeer, "this peer is not among those whose saga calls are taken"))
            }
        }
    }

    /// The answer of a saga, if the request starts one or asks how one stands. A saga's own calls never get here.
    async fn saga(&self, table: &Table, route: Option<&Arc<Route>>, request: &mut Request<Body>) -> Option<Response<Body>> {
        let policy = |route: Option<&Arc<Route>>| {
            route.and_then(|route| route.config.policy.clone()).unwrap_or_else(|| Arc::clone(&table.trigger_policy))
        };
        if let Some(id) = asked_for(&table.sagas, request.method(), request.uri()) {
            let host = host_of(request).map(str::to_owned);
            let of_trigger = |name: &str| policy(table.route_of_trigger(name, host.as_deref()));
            return Some(self.sagas.status(id, request, of_trigger).await);
        }
        let saga = Arc::clone(table.sagas.triggers.find(request.method(), request.uri())?);
        let starting = Starting { request: std::mem::take(request), saga, policy: policy(route) };
        Some(self.sagas.answer(starting).await)
    }

    async fn forward(
        &self,
        table: &Table,
        route: &Arc<Route>,
        mut request: Request<Body>,
        call_of: CallOf,
        peer: Peer,
    ) -> Response<Body> {
        self.on_the_way_there(table, &mut request, peer);
        let call = Call { upstream: Arc::clone(&route.upstream), core: self.core, request, gate: None };
        let policy = route.config.policy.clone();
        // A trusted saga call is protected, whatever the route says of it; one without effect needs no protection.
        let of_steps = || Arc::new(Policy::of_steps(route.upstream.config().max_execution));
        let (policy, step) = match call_of {
            CallOf::Client => (policy, None),
            CallOf::Step(step) => (Some(policy.unwrap_or_else(of_steps)), Some(*step)),
            CallOf::Reading => (None, None),
        };
        let mut response = match policy {
            None => pass(SendCall, call, &self.shared).await,
            Some(policy) => {
                let protected = Protected { call, policy, step };
                self.idempotency.handle(protected).await
            }
        };
        if table.forwarded.via {
            headers::append_via(response.headers_mut(), http::Version::HTTP_11);
        }
        response
    }

    fn on_the_way_there(&self, table: &Table, request: &mut Request<Body>, peer: Peer) {
        let host = host_of(request).map(str::to_owned);
        let version = request.version();
        if let Some(authority) = request.uri().authority()
            && let Ok(value) = http::HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(header::HOST, value);
        }
        if version == http::Version::HTTP_2 {
            headers::join_cookies(request.headers_mut());
        }
        if wants_upgrade(request) {
            headers::strip_all_but_upgrade(request.headers_mut());
        } else {
            headers::strip_hop_by_hop(request.headers_mut());
        }
        let hop = headers::Hop { peer: peer.address.ip(), scheme: headers::Scheme::Http, host: host.as_deref(), version };
        headers::apply_forwarded(request.headers_mut(), table.forwarded, &hop);
    }
}

impl<S: Store + Journal> Handler for Gateway<S> {
    async fn handle(&self, request: Request<Incoming>, peer: Peer, busy: Busy) -> Response<Body> {
        let began = Instant::now();
        let place = Place::take(&self.in_flight);
        let table = self.table.load_full();
        let request = request.map(Body::from);
        let version = request.version();
        let route = table.router.find(request.method(), request.uri(), host_of(&request)).cloned();
        let line = table.access_log.then(|| Line::of(&request, peer));
        let response = if !has_one_host(&request) {
            answer(Problem::new(ProblemName::Malformed, "there must be one Host (RFC 9112, section 3.2)"))
        } else if place.number > self.shared.limits.in_flight {
            self.shared.metrics.refused_at(Limit::InFlight);
            answer(Problem::new(ProblemName::Overloaded, "too many requests are under way"))
        } else {
            let answering = AssertUnwindSafe(self.dispatch(&table, route.as_ref(), request, peer)).catch_unwind();
            answering.await.unwrap_or_else(|_panic| {
                let route = route.as_ref().map_or("none", |route| route.config.label.as_str());
                tracing::error!(route, "a request's task panicked");
                answer(Problem::new(ProblemName::Internal, "the request met a fault of the proxy"))
            })
        };
        let seen = Seen {
            began,
            status: response.status(),
            idempotency: IdempotencyStatus::said_by(response.headers()),
            metrics: route.as_ref().map(|route| route.metrics.clone()),
            line,
            complete: false,
            _place: place,
            _busy: busy,
        };
        finish(response, seen, version)
    }
}

/// Whose call a request is.
#[derive(Debug, PartialEq, Eq)]
enum CallOf {
    /// A client's.
    Client,
    /// A step's, of a trusted peer.
    Step(Box<StepCall>),
    /// Of a trusted peer's saga, without effect.
    Reading,
}

/// Whether two readers would find the same host (RFC 9112, section 3.2): HTTP/1.1 needs one line, no version has two.
fn has_one_host<B>(request: &Request<B>) -> bool {
    match request.headers().get_all(header::HOST).iter().count() {
        0 => request.version() != http::Version::HTTP_11,
        lines => lines == 1,
    }
}

/// The host that was asked for: a target's own counts more than the header (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1).
fn host_of<B>(request: &Request<B>) -> Option<&str> {
    let in_target = request.uri().authority().map(http::uri::Authority::as_str);
    in_target.or_else(|| request.headers().get(header::HOST).and_then(|host| host.to_str().ok()))
}

/// Nothing hop-by-hop comes back but an upgrade's own headers; HTTP/2 has none at all (RFC 9113, section 8.2.2).
fn finish(mut response: Response<Body>, seen: Seen, client: http::Version) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        headers::strip_all_but_upgrade(response.headers_mut());
    } else {
        headers::strip_hop_by_hop(response.headers_mut());
    }
    *response.version_mut() = if client == http::Version::HTTP_2 { client } else { http::Version::HTTP_11 };
    response.map(|body| body.guarded(Box::new(seen)))
}

/// What is left to do when an answer's last byte is gone, or its client.
struct Seen {
    began: Instant,
    status: StatusCode,
    idempotency: Option<IdempotencyStatus>,
    metrics: Option<RouteMetrics>,
    line: Option<Line>,
    complete: bool,
    _place: Place,
    _busy: Busy,
}

/// What the access log says of a request. No query, no header, no body, no token of a callback: they are or may hold secrets.
struct Line {
    method: http::Method,
    path: String,
    peer: Peer,
}

impl Line {
    fn of<B>(request: &Request<B>, peer: Peer) -> Self {
        Self { method: request.method().clone(), path: without_token(request.uri().path()).into_owned(), peer }
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("status", &self.status).finish_non_exhaustive()
    }
}

impl OnEnd for Seen {
    fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        if let Some(metrics) = &self.metrics {
            metrics.answered(self.status, self.idempotency, took.as_secs_f64());
        }
        if let Some(Line { method, path, peer }) = &self.line {
            tracing::info!(
                target: "refrain::access",
                %method,
                path,
                client = %peer.address,
                status = self.status.as_u16(),
                idempotency = self.idempotency.map(IdempotencyStatus::as_str),
                duration_ms = took.as_secs_f64() * 1e3,
                complete = self.complete,
            );
        }
    }
}

/// A place among the requests under way; given back on drop.
struct Place {
    all: Arc<AtomicUsize>,
    number: usize,
}

impl Place {
    fn take(all: &Arc<AtomicUsize>) -> Self {
        Self { number: all.fetch_add(1, Ordering::Relaxed) + 1, all: Arc::clone(all) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

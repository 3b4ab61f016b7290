//! What answers a client's request: the stack, in request order.
//!
//! in-flight bound → a saga's callback → route → access → whose saga call it is → who the caller is → a saga's status or trigger →
//! what the way here adds and takes from the headers → idempotency, or pass-through → the same on the way back → counted, logged, and
//! done when the answer's last byte is gone.

use std::{
    borrow::Borrow,
    future::ready,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use futures_util::{FutureExt as _, future::Either};
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
        layer::{Answering, Idempotency, IdempotencyLayer, Protected},
        marker::Status as IdempotencyStatus,
        policy::Policy,
    },
    metrics::Limit,
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

/// Answers the requests of one core. Cloning it is cheap.
#[derive(Debug)]
pub struct Gateway<S>(Arc<Core<S>>);

/// What the requests of one core share.
#[derive(Debug)]
struct Core<S> {
    core: usize,
    table: Arc<ArcSwap<Table>>,
    idempotency: Idempotency<S, SendCall>,
    sagas: Sagas<S>,
    shared: Shared,
    in_flight: Arc<AtomicUsize>,
}

impl<S> Clone for Gateway<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Borrow<Shared> for Gateway<S> {
    fn borrow(&self) -> &Shared {
        &self.0.shared
    }
}

/// How a request is answered.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made, and the rest is boxed already")]
enum Way<P> {
    /// At once.
    Answered(Response<Body>),
    /// By its upstream, with nothing on the way.
    Pass(P),
    /// By its upstream, once.
    Protected(Answering),
    /// Otherwise: its future is large.
    Long(Answering),
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
        Self(Arc::new(Core { core, table, idempotency, sagas, shared, in_flight }))
    }

    /// Finds the way of a request. Most take the shortest, and nothing is held or allocated for the others.
    fn way(
        &self,
        table: &Guard<Arc<Table>>,
        route: Option<&Arc<Route>>,
        mut request: Request<Body>,
        peer: &Peer,
    ) -> Way<impl Future<Output = Response<Body>> + Send + use<S>> {
        // Whoever has the URL may call back: no route says otherwise.
        if let Some(called) = called(&table.sagas, request.uri().path()) {
            let this = self.clone();
            return Way::Long(Box::pin(async move { this.0.sagas.called_back(called, request).await }));
        }
        let access = route.map_or(Access::Public, |route| route.config.access);
        let call_of = match admit(table, access, &mut request, peer) {
            Ok(call_of) => call_of,
            Err(problem) => return Way::Answered(answer(problem)),
        };
        let is_plain = call_of == CallOf::Client && table.authentication.is_none() && !is_saga(table, &request);
        match route {
            Some(route) if is_plain => match route.config.policy.as_ref().filter(|policy| !leaves_alone(policy, &request)) {
                None => Way::Pass(pass(SendCall, self.0.call(table, route, request, peer), self.clone())),
                Some(policy) => {
                    let call = self.0.call(table, route, request, peer);
                    Way::Protected(self.0.idempotency.handle(Protected { call, policy: Arc::clone(policy), step: None }))
                }
            },
            None if is_plain => Way::Answered(no_route()),
            _ => Way::Long(Box::pin(self.clone().dispatch(Arc::clone(table), route.cloned(), request, call_of, peer.clone()))),
        }
    }

    async fn dispatch(
        self,
        table: Arc<Table>,
        route: Option<Arc<Route>>,
        mut request: Request<Body>,
        call_of: CallOf,
        peer: Peer,
    ) -> Response<Body> {
        let this = &*self.0;
        // Held until there is an answer, and no longer: the caller may act on it at once.
        let _caller = match this.caller(&table, &call_of, &mut request).await {
            Ok(caller) => caller,
            Err(problem) => return answer(problem),
        };
        if call_of == CallOf::Client
            && let Some(response) = this.saga(&table, route.as_ref(), &mut request).await
        {
            return response;
        }
        match route {
            Some(route) => this.forward(&table, &route, request, call_of, &peer).await,
            None => no_route(),
        }
    }
}

impl<S: Store + Journal> Core<S> {
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
        request: Request<Body>,
        call_of: CallOf,
        peer: &Peer,
    ) -> Response<Body> {
        let call = self.call(table, route, request, peer);
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

    /// A request as it goes to its route's upstream.
    fn call(&self, table: &Table, route: &Route, mut request: Request<Body>, peer: &Peer) -> Call {
        on_the_way_there(table, &mut request, peer);
        Call { upstream: Arc::clone(&route.upstream), core: self.core, request, gate: None }
    }
}

impl<S: Store + Journal> Handler for Gateway<S> {
    fn handle(self, request: Request<Incoming>, peer: Peer, busy: Busy) -> impl Future<Output = Response<Body>> + Send {
        let began = Instant::now();
        let place = Place::take(&self.0.in_flight);
        let table = self.0.table.load();
        let request = request.map(Body::from);
        let version = request.version();
        let route = table.router.find(request.method(), request.uri(), host_of(&request)).cloned();
        let line = table.access_log.then(|| Line::of(&request, &peer));
        let way = if !has_one_host(&request) {
            Way::Answered(answer(Problem::new(ProblemName::Malformed, "there must be one Host (RFC 9112, section 3.2)")))
        } else if place.number > self.0.shared.limits.in_flight {
            self.0.shared.metrics.refused_at(Limit::InFlight);
            Way::Answered(answer(Problem::new(ProblemName::Overloaded, "too many requests are under way")))
        } else {
            let found = AssertUnwindSafe(|| self.way(&table, route.as_ref(), request, &peer));
            catch_unwind(found).unwrap_or_else(|_panic| Way::Answered(fault(route.as_deref())))
        };
        let via = table.forwarded.via && matches!(way, Way::Pass(_) | Way::Protected(_));
        // Boxed but once, from here on until the last byte of the answer is gone.
        let mut seen = Box::new(Seen {
            began,
            status: StatusCode::OK,
            idempotency: None,
            route,
            line,
            complete: false,
            _place: place,
            _busy: busy,
        });
        let answering = match way {
            Way::Answered(response) => Either::Left(ready(response)),
            Way::Pass(passing) => Either::Right(Either::Left(passing)),
            Way::Protected(answering) | Way::Long(answering) => Either::Right(Either::Right(answering)),
        };
        AssertUnwindSafe(answering).catch_unwind().map(move |answered| {
            let mut response = answered.unwrap_or_else(|_panic| fault(seen.route.as_deref()));
            if via {
                headers::append_via(response.headers_mut(), http::Version::HTTP_11);
            }
            seen.status = response.status();
            seen.idempotency = IdempotencyStatus::said_by(response.headers());
            finish(response, seen, version)
        })
    }
}

/// What became of a request whose task panicked.
fn fault(route: Option<&Route>) -> Response<Body> {
    let route = route.map_or("none", |route| route.config.label.as_str());
    tracing::error!(route, "a request's task panicked");
    answer(Problem::new(ProblemName::Internal, "the request met a fault of the proxy"))
}

fn no_route() -> Response<Body> {
    answer(Problem::new(ProblemName::NotFound, "no route matches, and there is no local upstream"))
}

/// Whether a request starts a saga or asks how one stands.
fn is_saga(table: &Table, request: &Request<Body>) -> bool {
    asked_for(&table.sagas, request.method(), request.uri()).is_some()
        || table.sagas.triggers.find(request.method(), request.uri()).is_some()
}

/// Whether a client's request is none that its route's policy has anything to say about: no key, where none is needed.
fn leaves_alone(policy: &Policy, request: &Request<Body>) -> bool {
    let is_asked_for = || policy.methods.contains(request.method()) && (policy.key.required || policy.key.from.is_some());
    !policy.key.headers.iter().any(|name| request.headers().contains_key(name)) && !is_asked_for()
}

/// Whether the request may take its route, and whose call it is.
fn admit(table: &Table, access: Access, request: &mut Request<Body>, peer: &Peer) -> Result<CallOf, Problem> {
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

fn on_the_way_there(table: &Table, request: &mut Request<Body>, peer: &Peer) {
    let version = request.version();
    if let Some(authority) = request.uri().authority()
        && let Ok(value) = http::HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(header::HOST, value);
    }
    let host = request.headers().get(header::HOST).cloned();
    if version == http::Version::HTTP_2 {
        headers::join_cookies(request.headers_mut());
    }
    if wants_upgrade(request) {
        headers::strip_all_but_upgrade(request.headers_mut());
    } else {
        headers::strip_hop_by_hop(request.headers_mut());
    }
    let hop = headers::Hop {
        peer: peer.address.ip(),
        peer_line: Some(&peer.line),
        scheme: headers::Scheme::Http,
        host: host.as_ref().and_then(|host| host.to_str().ok()),
        version,
    };
    headers::apply_forwarded(request.headers_mut(), table.forwarded, &hop);
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
fn finish(mut response: Response<Body>, seen: Box<Seen>, client: http::Version) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        headers::strip_all_but_upgrade(response.headers_mut());
    } else {
        headers::strip_hop_by_hop(response.headers_mut());
    }
    *response.version_mut() = if client == http::Version::HTTP_2 { client } else { http::Version::HTTP_11 };
    response.map(|body| body.guarded(seen))
}

/// What is left to do when an answer's last byte is gone, or its client.
struct Seen {
    began: Instant,
    status: StatusCode,
    idempotency: Option<IdempotencyStatus>,
    route: Option<Arc<Route>>,
    line: Option<Line>,
    complete: bool,
    _place: Place,
    _busy: Busy,
}

/// What the access log says of a request. No query, no header, no body, no token of a callback: they are or may hold secrets.
struct Line {
    method: http::Method,
    path: String,
    client: SocketAddr,
}

impl Line {
    fn of<B>(request: &Request<B>, peer: &Peer) -> Self {
        Self { method: request.method().clone(), path: without_token(request.uri().path()).into_owned(), client: peer.address }
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
        if let Some(route) = &self.route {
            route.metrics.answered(self.status, self.idempotency, took.as_secs_f64());
        }
        if let Some(Line { method, path, client }) = &self.line {
            tracing::info!(
                target: "refrain::access",
                %method,
                path,
                %client,
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

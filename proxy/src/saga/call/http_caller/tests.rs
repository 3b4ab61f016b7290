//! A caller before a scripted service: what reaches it, and what comes back.
#![allow(clippy::unwrap_used)]

use std::{
    pin::Pin,
    sync::{Mutex, atomic::AtomicUsize},
    task::{Context as TaskContext, Poll},
};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::{
    config::{BreakerConfig, Config, Secret},
    idempotency::{
        backlog::Backlog,
        barrier::{Barrier, StepRoute},
        context::Unknowns,
        lease::Leases,
        seal::Sealer,
    },
    ids::SagaId,
    metrics::Metrics,
    peers::{Peers, Trust},
    router::{Route, Router},
    saga::entry::{Direction, FrozenRequest, Which},
    store::{memory::MemoryStore, wakes::Wakes},
    upstream::Upstream,
};

const CONFIG: &str = r#"
upstreams:
  orders: {url: 'http://127.0.0.1:1/base', local: true}
  billing: {url: 'http://127.0.0.1:2/api', refrain: true}
  psp: {url: 'http://127.0.0.1:3'}
saga_peers: {key: {env: PEERS}}
routes:
  - match: {prefix: /probed/}
    idempotency:
      on_unknown: {probe: {when: "${request.method == 'POST'}", call: 'GET /lookup?key=${key}', after: 0s, done: '${response.status == 200}'}}
  - match: {prefix: /off/}
    idempotency: off
  - match: {prefix: /psp/}
    upstream: psp
"#;

/// What the service does with a request.
#[derive(Clone, Debug)]
enum Deed {
    Answer(u16, &'static [(&'static str, &'static str)], Bytes),
    NotSent(NotSent),
    /// The first byte leaves, and then nothing comes.
    Silence,
    /// Nothing leaves and nothing comes.
    NoConnection,
    Lost,
}

fn ok() -> Deed {
    Deed::Answer(201, &[("content-type", "application/json")], Bytes::from_static(br#"{"id":7}"#))
}

/// What arrived.
#[derive(Clone, Debug)]
struct Arrived {
    upstream: String,
    head: String,
    headers: http::HeaderMap,
    body: Bytes,
}

#[derive(Clone, Debug, Default)]
struct Service(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    deeds: Mutex<Vec<Deed>>,
    arrived: Mutex<Vec<Arrived>>,
    in_silence: Notify,
}

impl Service {
    fn will(&self, deeds: impl IntoIterator<Item = Deed>) {
        self.0.deeds.lock().unwrap().extend(deeds);
    }

    fn arrived(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.0.arrived.lock().unwrap())
    }

    async fn handle(self, mut call: Call) -> Result<Response<Body>, SendError> {
        let deed = {
            let mut deeds = self.0.deeds.lock().unwrap();
            if deeds.is_empty() { ok() } else { deeds.remove(0) }
        };
        let is_sent = !matches!(deed, Deed::NotSent(_) | Deed::NoConnection);
        if is_sent && call.gate.as_ref().is_some_and(|gate| !gate.open()) {
            return Err(SendError::NotSent(NotSent::GateClosed, Some(Box::new(call))));
        }
        if is_sent {
            let body = std::mem::take(call.request.body_mut()).collect().await.unwrap().to_bytes();
            let arrived = Arrived {
                upstream: call.upstream.config().name.to_string(),
                head: format!("{} {}", call.request.method(), call.request.uri()),
                headers: call.request.headers().clone(),
                body,
            };
            self.0.arrived.lock().unwrap().push(arrived);
        }
        match deed {
            Deed::Answer(status, lines, body) => {
                let mut response = Response::new(Body::full(body));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                for (name, value) in lines {
                    response.headers_mut().insert(*name, value.parse().unwrap());
                }
                Ok(response)
            }
            Deed::NotSent(reason) => Err(SendError::NotSent(reason, Some(Box::new(call)))),
            Deed::Silence | Deed::NoConnection => {
                self.0.in_silence.notify_one();
                std::future::pending().await
            }
            Deed::Lost => Err(SendError::Unknown("the connection broke at 10.0.0.1".to_owned())),
        }
    }
}

impl tower::Service<Call> for Service {
    type Response = Response<Body>;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, SendError>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(self.clone().handle(call))
    }
}

struct World {
    service: Service,
    caller: HttpCaller<MemoryStore, Service>,
    metrics: Metrics,
    peers: Peers,
}

fn config() -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refrain.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    let env = |name: &str| match name {
        "PEERS" => Some("a key that both sidecars share".to_owned()),
        "HOME" => Some("/home/shop".to_owned()),
        _ => None,
    };
    crate::config::load::load(Some(&file), &crate::config::load::Overrides::default(), &env).unwrap().config
}

fn world() -> World {
    world_with(|_| {})
}

fn world_with(change: impl Fn(&mut UpstreamConfig)) -> World {
    let mut config = config();
    config.upstreams.iter_mut().for_each(|upstream| change(Arc::make_mut(upstream)));
    let metrics = Metrics::new();
    let upstreams: Vec<_> =
        config.upstreams.iter().map(|upstream| Arc::new(Upstream::new(Arc::clone(upstream), 1).unwrap())).collect();
    let route = |route: &Arc<crate::config::RouteConfig>| {
        let upstream = Arc::clone(&upstreams[route.upstream]);
        Arc::new(Route { config: Arc::clone(route), upstream, metrics: metrics.route(&route.label) })
    };
    let router = Router::new(config.routes.iter().map(route).collect(), config.fallback.as_ref().map(route));
    let directory =
        Directory::new(&upstreams, &router, Peers::new(&config.saga_peers), Arc::clone(&config.secrets), &metrics, None);
    let wakes = Wakes::default();
    let (backlog, _owed) = Backlog::new(16);
    let barrier = Barrier::default();
    barrier.expect(config.upstreams.iter().map(|upstream| StepRoute {
        upstream: upstream.name.as_str(),
        max_execution: upstream.max_execution,
        policy: None,
    }));
    let context = Arc::new(Context {
        store: MemoryStore::new(wakes.clone()),
        wakes,
        leases: Leases::new(backlog.clone(), metrics.clone()),
        backlog,
        barrier,
        sealer: Arc::new(Sealer::new(&[]).unwrap()),
        budget: Budget::new(64 << 20),
        metrics: metrics.clone(),
        unknowns: Unknowns::default(),
    });
    let shared = Shared {
        limits: config.limits,
        connections: Arc::<AtomicUsize>::default(),
        drain: CancellationToken::new(),
        cut: CancellationToken::new(),
        tasks: TaskTracker::new(),
        metrics: metrics.clone(),
    };
    let service = Service::default();
    let caller = HttpCaller::new(0, Arc::new(ArcSwap::from_pointee(directory)), context, shared, service.clone());
    World { service, caller, metrics, peers: Peers::new(&config.saga_peers) }
}

fn saga() -> CallContext {
    CallContext { id: SagaId::from_bytes([7; 16]), name: "create-order".parse().unwrap(), traceparent: None, gate: None }
}

fn to(upstream: Option<&str>, target: &str, key: &str) -> SendEffect {
    SendEffect {
        of: Which { step: "pay".parse().unwrap(), direction: Direction::Forward, generation: 1 },
        key: key.to_owned(),
        attempt: 1,
        request: FrozenRequest {
            upstream: upstream.map(str::to_owned),
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            secret_headers: Vec::new(),
            body: Some(r#"{"amount":1}"#.to_owned()),
        },
        service_auth: false,
        effect: StepEffect::Once,
        resend: false,
        resolve: false,
        first_sent: None,
        undo: None,
        reads: Reads::ALL,
        timeout: Duration::from_secs(5),
    }
}

impl World {
    async fn send(&self, effect: SendEffect) -> Answer {
        self.caller.send(&saga(), effect).await
    }
}

#[track_caller]
fn replied(answer: Answer) -> crate::saga::turn::Reply {
    match answer {
        Answer::Replied(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn unreachable() -> NotSent {
    NotSent::Connect { endpoint: "10.0.0.1:80".to_owned(), reason: "refused".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_own_service_passes_the_own_layer_and_executes_once() {
    let world = world();
    for (upstream, target) in [(None, "/orders/"), (Some("orders"), "/off/orders/")] {
        let first = replied(world.send(to(upstream, target, target)).await);
        let again = replied(world.send(SendEffect { attempt: 2, ..to(upstream, target, target) }).await);
        assert_eq!((first.status, &first.response["body"]), (201, &serde_json::json!({"id": 7})));
        assert_eq!(again.response["body"], first.response["body"]);
        assert_eq!(again.response["headers"]["idempotency-status"], "replayed");
        assert!(first.only_send && again.only_send && first.remembered_for.is_some());
        let [arrived] = world.service.arrived().try_into().unwrap();
        assert_eq!((arrived.upstream.as_str(), arrived.head.as_str()), ("orders", &*format!("POST {target}")));
        assert_eq!(arrived.headers["idempotency-key"], target);
        assert_eq!(arrived.headers["saga-id"], "07070707070707070707070707070707");
        assert!(!arrived.headers.contains_key("saga-step-key") && !arrived.headers.contains_key("saga-signature"));
        assert_eq!(arrived.body, r#"{"amount":1}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn another_request_under_the_steps_key_is_never_taken_for_the_step() {
    let world = world();
    replied(world.send(to(None, "/orders/", "k")).await);
    assert_eq!(world.send(to(None, "/others/", "k")).await, Answer::Wrong { reason: "a Refrain answered key-reused".to_owned() });
    assert_eq!(world.service.arrived().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_the_own_service_is_resolved_by_its_routes_probe() {
    let world = world();
    let found = Deed::Answer(200, &[], Bytes::from_static(b"found"));
    world.service.will([Deed::Lost, found]);
    assert!(matches!(world.send(to(None, "/probed/", "k")).await, Answer::NotYet { .. }));
    let reply = replied(world.send(to(None, "/probed/", "k")).await);
    let heads: Vec<_> = world.service.arrived().into_iter().map(|arrived| arrived.head).collect();
    assert_eq!((reply.status, &reply.response["body"]), (200, &serde_json::json!("found")), "the probe's own answer");
    assert_eq!(heads, ["POST /probed/", "GET /lookup?key=k"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_effect_is_made_each_time_and_carries_no_key() {
    let world = world();
    for _ in 0..2 {
        replied(world.send(SendEffect { effect: StepEffect::None, ..to(None, "/orders/", "k") }).await);
    }
    let arrived = world.service.arrived();
    assert_eq!(arrived.len(), 2);
    assert!(arrived.iter().all(|arrived| !arrived.headers.contains_key("idempotency-key")));
}

#[tokio::test(start_paused = true)]
async fn another_refrain_believes_the_call() {
    let world = world();
    replied(world.send(to(Some("billing"), "/pay?a=b", "k")).await);
    let [arrived] = world.service.arrived().try_into().unwrap();
    // The upstream's path stands before the request's when it arrives.
    let mut request = Request::builder().method("POST").uri("/api/pay?a=b").body(()).unwrap();
    *request.headers_mut() = arrived.headers.clone();
    match world.peers.trust(&mut request, "192.0.2.1".parse().unwrap()) {
        Trust::Step(step) => assert_eq!((step.key.as_str(), step.resend, step.resolve), ("k", false, false)),
        other => panic!("{other:?}"),
    }
    assert_eq!(arrived.head, "POST /pay?a=b");
}

#[tokio::test(start_paused = true)]
async fn another_refrain_believes_a_call_that_has_no_key() {
    let world = world();
    let get = FrozenRequest { method: "GET".to_owned(), body: None, ..to(Some("billing"), "/accounts/1", "k").request };
    replied(world.send(SendEffect { effect: StepEffect::None, request: get.clone(), ..to(Some("billing"), "/", "k") }).await);
    let check = CheckEffect { of: to(None, "/", "k").of, request: get, service_auth: false, timeout: Duration::from_secs(1) };
    assert!(matches!(world.caller.check(&saga(), check).await, Finding::Replied(_)));
    for arrived in world.service.arrived() {
        let arriving = |path: &str| {
            let mut request = Request::builder().method("GET").uri(path).body(()).unwrap();
            *request.headers_mut() = arrived.headers.clone();
            (world.peers.trust(&mut request, "192.0.2.1".parse().unwrap()), request.headers().contains_key("saga-id"))
        };
        assert_eq!(arriving("/api/accounts/1"), (Trust::Reading, true));
        assert_eq!(arriving("/api/accounts/2"), (Trust::Plain, false), "the signature is about another path");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_upstream_gets_a_key_and_no_signature() {
    let world = world();
    replied(world.send(to(Some("psp"), "/captures", "k")).await);
    let [arrived] = world.service.arrived().try_into().unwrap();
    assert_eq!(arrived.headers["idempotency-key"], "k");
    assert!(!arrived.headers.contains_key("saga-signature") && !arrived.headers.contains_key("saga-step-key"));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_told_from_what_is_unknown_without_saying_where_the_upstream_is() {
    let world = world();
    let full = NotSent::TooManyInFlight { upstream: "psp".to_owned() };
    world.service.will([Deed::NotSent(unreachable()), Deed::NotSent(full), Deed::Lost]);
    let send = || world.send(to(Some("psp"), "/captures", "k"));
    assert_eq!(send().await, Answer::NotSent { reason: "psp cannot be reached".to_owned(), retry_after: None });
    let reason = "too many requests to psp are under way".to_owned();
    assert_eq!(send().await, Answer::NotSent { reason, retry_after: Some(WHEN_BUSY) });
    assert_eq!(send().await, Answer::Unknown { reason: "the answer of psp was lost".to_owned() });
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_unknown_once_the_first_byte_may_have_left_and_not_before() {
    let world = world();
    world.service.will([Deed::NoConnection, Deed::Silence]);
    let send = || world.send(to(Some("psp"), "/captures", "k"));
    assert_eq!(send().await, Answer::NotSent { reason: "no connection within 5s".to_owned(), retry_after: None });
    assert_eq!(send().await, Answer::Unknown { reason: "no answer within 5s".to_owned() });
    world.service.will([Deed::Silence]);
    let own = world.send(to(None, "/orders/", "k")).await;
    assert_eq!(own, Answer::Unknown { reason: "no answer within 5s".to_owned() });
    let asked_again = world.send(to(None, "/orders/", "k")).await;
    assert!(matches!(asked_again, Answer::NotYet { reason, .. } if reason == "in-flight"), "the exchange goes on");
}

#[derive(Debug)]
struct Closed;

impl Gate for Closed {
    fn open(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_under_a_drivers_lease_that_is_too_short() {
    let world = world();
    let saga = CallContext { gate: Some(Arc::new(Closed)), ..saga() };
    let answer = world.caller.send(&saga, to(Some("psp"), "/captures", "k")).await;
    assert_eq!(answer, Answer::NotSent { reason: "the lease was too short to begin".to_owned(), retry_after: None });
    assert!(world.service.arrived().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_fails_again_and_again_is_left_alone_for_a_while() {
    let open_for = Duration::from_secs(15);
    let world = world_with(|upstream| upstream.breaker = Some(BreakerConfig { failures: 2, open_for }));
    world.service.will([Deed::NotSent(unreachable()), Deed::Answer(503, &[], Bytes::new())]);
    let send = || world.send(to(Some("psp"), "/captures", "k"));
    send().await;
    send().await;
    let refused = send().await;
    let Answer::NotSent { reason, retry_after: Some(left) } = refused else { panic!("{refused:?}") };
    assert!(reason == "the breaker of psp is open" && left <= open_for);
    assert_eq!(world.service.arrived().len(), 1, "one was not sent, one was answered, one was not let through");
    assert!(world.metrics.render().contains("refrain_upstream_breaker_open{upstream=\"psp\"} 1"));
    assert!(world.metrics.render().contains("refrain_upstream_breaker_open{upstream=\"orders\"} 0"));
    replied(world.send(to(Some("billing"), "/pay", "k")).await);
}

#[tokio::test(start_paused = true)]
async fn a_service_gets_its_own_credentials_where_the_step_asks_for_them_and_never_goes_without() {
    let authorization = || Secret::new("Bearer own".to_owned());
    let world = world_with(|upstream| {
        upstream.auth = (!upstream.local).then(|| ServiceAuth { authorization: authorization() });
    });
    let with = |upstream, service_auth| SendEffect { service_auth, ..to(upstream, "/a", "k") };
    replied(world.send(with(Some("psp"), true)).await);
    replied(world.send(with(Some("psp"), false)).await);
    let seen: Vec<_> = world.service.arrived().iter().map(|arrived| arrived.headers.get("authorization").cloned()).collect();
    assert_eq!(seen, [Some("Bearer own".parse().unwrap()), None]);
    assert!(matches!(world.send(with(None, true)).await, Answer::NotSent { .. }));
    assert!(world.service.arrived().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_larger_answer_than_is_read_is_done_and_not_kept() {
    let world = world();
    let large = Bytes::from(vec![b'x'; usize::try_from(MAX_ANSWER_BYTES).unwrap() + 1]);
    world.service.will([200, 404].map(|status| Deed::Answer(status, &[], large.clone())));
    assert_eq!(world.send(to(Some("psp"), "/a", "k")).await, Answer::NotKept);
    assert_eq!(replied(world.send(to(Some("psp"), "/a", "k")).await).status, 404);
    world.service.will([Deed::Answer(200, &[("content-type", "text/event-stream")], Bytes::new())]);
    assert_eq!(world.send(to(Some("psp"), "/a", "k")).await, Answer::NotKept);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_gone_is_waited_for() {
    let world = world();
    let reason = "there is no upstream gone in the configuration".to_owned();
    assert_eq!(world.send(to(Some("gone"), "/a", "k")).await, Answer::NotSent { reason, retry_after: None });
    let check = CheckEffect {
        of: to(None, "/", "k").of,
        request: to(Some("gone"), "/", "k").request,
        service_auth: false,
        timeout: Duration::from_secs(1),
    };
    assert!(matches!(world.caller.check(&saga(), check).await, Finding::CannotTell { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_probe_goes_straight_to_the_service_and_says_what_it_found_or_why_not() {
    let world = world();
    let check = |upstream: Option<&str>| {
        let request = FrozenRequest { method: "GET".to_owned(), body: None, ..to(upstream, "/lookup", "k").request };
        CheckEffect { of: to(None, "/", "k").of, request, service_auth: false, timeout: Duration::from_secs(1) }
    };
    world.service.will([
        ok(),
        ok(),
        Deed::Lost,
        Deed::Silence,
        Deed::NotSent(unreachable()),
        Deed::Answer(500, &[], Bytes::new()),
    ]);
    let mut found = Vec::new();
    for upstream in [None, Some("psp"), Some("psp"), Some("psp"), Some("psp"), Some("psp")] {
        found.push(match world.caller.check(&saga(), check(upstream)).await {
            Finding::Replied(reply) => format!("{}", reply.response["body"]),
            Finding::CannotTell { reason } => reason,
        });
    }
    assert_eq!(
        found,
        [
            r#"{"id":7}"#,
            r#"{"id":7}"#,
            "the answer of psp was lost",
            "no answer within 1s",
            "psp cannot be reached",
            "the service answered 500",
        ]
    );
    assert!(world.service.arrived().iter().all(|arrived| !arrived.headers.contains_key("idempotency-key")));
}

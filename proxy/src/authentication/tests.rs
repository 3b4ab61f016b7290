//! What a request gets that carries a token, or should.
#![allow(clippy::unwrap_used)]

pub(super) mod fixture;

use std::time::Duration;

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use saga_config::{
    expr::{Expression, Names},
    template::CallTarget,
};
use serde_json::{Value, json};

use self::fixture::{Origin, Signer, jwks, upstream};
use super::*;
use crate::config::{PathMatch, RouteMatch};

const PAYLOAD: HeaderName = HeaderName::from_static("x-jwt-payload");

struct World {
    origin: Origin,
    upstream: Arc<Upstream>,
    authenticator: Arc<Authenticator>,
    metrics: Metrics,
    one: Signer,
}

fn required(prefix: &str, check: Option<&str>) -> RequiredOn {
    let path = PathMatch::Prefix(prefix.to_owned());
    let names = Names::new(&["claims", "request"]);
    RequiredOn {
        matcher: RouteMatch { path, methods: Vec::new(), host: None },
        check: check.map(|check| Expression::compile(check, &names).unwrap()),
    }
}

fn config() -> JwtConfig {
    let admin = "claims.role == 'admin' && request.method != 'DELETE'";
    JwtConfig { required_on: vec![required("/orders/", None), required("/admin/", Some(admin))], ..fixture::config() }
}

fn with_revocation() -> JwtConfig {
    let call = CallTarget::parse("GET /jwt/blacklist/${claims.jti}/", &Names::new(&["claims"])).unwrap();
    let when = Expression::compile("response.status == 200", &Names::new(&["claims", "response"])).unwrap();
    let (cache, timeout) = (Duration::from_secs(300), Duration::from_secs(1));
    JwtConfig { revoked: Some(RevocationCheck { upstream: 0, call, when, cache, timeout }), ..config() }
}

/// Claims that count now.
fn current(more: Value) -> Value {
    let now = wall_now().as_unix_ms() / 1000;
    let mut claims = fixture::claims(json!({"exp": now + 3600, "iat": now}));
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

impl World {
    /// With the key `one`.
    async fn start(config: JwtConfig) -> Self {
        let mut origin = Origin::start().await;
        let (upstream, metrics, one) = (upstream(&origin.url), Metrics::new(), Signer::ed25519());
        let config = Arc::new(config);
        let authenticator = Authenticator::new(&config, &[Arc::clone(&upstream)], 2, &metrics, None).unwrap();
        authenticator.tend(1);
        authenticator.tend(0);
        origin.asked().await.answer(200, &jwks(&[one.jwk("one")]));
        Self { origin, upstream, authenticator, metrics, one }
    }

    fn token(&self, more: Value) -> String {
        self.one.token("one", &current(more))
    }

    async fn authenticate(&self, request: &mut Request<Body>) -> Result<Authenticated, Problem> {
        self.authenticator.authenticate(request, 0, Some("shop.example:8080")).await
    }

    /// The status of the problem, or 200.
    async fn outcome(&self, method: &str, path: &str, token: Option<&str>) -> (u16, Request<Body>) {
        let mut request = request(method, path, token);
        let outcome = self.authenticate(&mut request).await;
        (outcome.err().map_or(200, |problem| problem.into_response(Default::default()).status().as_u16()), request)
    }

    fn counted(&self) -> Vec<String> {
        let all = self.metrics.render();
        let lines = all.lines().filter(|line| line.starts_with("refrain_authentications_total"));
        let mut lines: Vec<_> = lines.map(|line| line["refrain_authentications_total{result=".len()..].to_owned()).collect();
        lines.sort();
        lines
    }
}

fn request(method: &str, path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::empty()).unwrap()
}

fn said<T: std::fmt::Debug>(outcome: Result<T, Problem>) -> String {
    let problem = outcome.unwrap_err();
    let response = problem.into_response(Default::default());
    let document: Value = serde_json::from_slice(response.body()).unwrap();
    let name = response.headers()["refrain-problem"].to_str().unwrap();
    format!("{} {name}: {}", response.status().as_u16(), document["detail"].as_str().unwrap())
}

#[tokio::test]
async fn a_good_token_gives_claims_and_payload_and_is_verified_once() {
    let mut world = World::start(config()).await;
    let token = world.token(json!({"user_id": 7}));
    for path in ["/orders/", "/elsewhere/"] {
        let (status, request) = world.outcome("GET", path, Some(&token)).await;
        assert_eq!(status, 200);
        assert_eq!(Claims::of(&request)["user_id"], 7);
        assert_eq!(request.headers()[PAYLOAD], token.split('.').nth(1).unwrap());
    }
    assert!(world.authenticator.remembered(&TokenHash::of(&token)).is_some());
    assert!(world.origin.is_left_alone());
    assert_eq!(world.counted(), ["\"verified\"} 2"]);
}

#[tokio::test]
async fn where_a_token_is_required_one_has_to_count() {
    let world = World::start(config()).await;
    let old = world.token(json!({"exp": wall_now().as_unix_ms() / 1000 - 60}));
    let of = |token: Option<&str>, path: &str| request("POST", path, token);
    assert_eq!(said(world.authenticate(&mut of(None, "/orders/")).await), "401 token-missing: there is no bearer token");
    assert_eq!(said(world.authenticate(&mut of(Some(&old), "/orders/7/")).await), "401 token-invalid: the token has expired");
    let mut basic = of(None, "/orders/");
    basic.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
    assert!(said(world.authenticate(&mut basic).await).starts_with("401 token-missing"));
    for disguise in ["/%6frders/", "//orders/", "/a/../orders/", "/./orders/x"] {
        assert_eq!(world.outcome("GET", disguise, None).await.0, 401, "{disguise}");
    }
    assert_eq!(world.counted(), ["\"invalid\"} 1", "\"missing\"} 6"]);
}

#[tokio::test]
async fn elsewhere_a_bad_token_gives_no_claims_and_the_request_goes_on() {
    let world = World::start(config()).await;
    let mallory = Signer::ed25519().token("one", &current(json!({})));
    for token in [None, Some("opaque"), Some(&*mallory)] {
        let (status, request) = world.outcome("POST", "/login/", token).await;
        assert_eq!(status, 200);
        assert_eq!(Claims::of(&request), &json!({}));
        assert!(!request.headers().contains_key(PAYLOAD));
    }
    assert_eq!(world.counted(), ["\"invalid\"} 2"], "no token is none of our business");
}

#[tokio::test]
async fn a_clients_own_payload_never_goes_on() {
    let world = World::start(config()).await;
    let token = world.token(json!({}));
    for (path, token, expected) in [("/login/", None, None), ("/orders/", Some(&*token), token.split('.').nth(1))] {
        let mut request = request("POST", path, token);
        for name in ["x-jwt-payload", "x_jwt_payload", "X-Jwt_Payload"] {
            request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("forged"));
        }
        request.headers_mut().insert("connection", HeaderValue::from_static("x-jwt-payload"));
        let _caller = world.authenticate(&mut request).await.unwrap();
        crate::headers::strip_hop_by_hop(request.headers_mut());
        let lines: Vec<_> = request.headers().get_all(PAYLOAD).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(lines, Vec::from_iter(expected));
        assert!(!format!("{:?}", request.headers()).contains("forged"));
    }
}

#[tokio::test]
async fn claims_have_to_be_what_a_route_wants_of_them() {
    let world = World::start(config()).await;
    let admin = world.token(json!({"role": "admin"}));
    let user = world.token(json!({"role": "user"}));
    let nobody = world.token(json!({}));
    assert_eq!(world.outcome("GET", "/admin/x", Some(&admin)).await.0, 200);
    assert_eq!(world.outcome("DELETE", "/admin/x", Some(&admin)).await.0, 403);
    assert_eq!(
        said(world.authenticate(&mut request("GET", "/admin/x", Some(&user))).await),
        "403 claims-refused: the token's claims do not allow this request"
    );
    assert_eq!(
        said(world.authenticate(&mut request("GET", "/admin/x", Some(&nobody))).await),
        "403 claims-refused: what this request needs of the token's claims cannot be had: `claims` has no field `role`"
    );
    assert_eq!(world.outcome("GET", "/orders/", Some(&nobody)).await.0, 200);
    assert_eq!(world.outcome("GET", "/admin/x", None).await.0, 401);
    assert_eq!(world.counted(), ["\"forbidden\"} 3", "\"missing\"} 1", "\"verified\"} 2"]);
}

#[tokio::test]
async fn every_match_counts_and_not_only_the_first() {
    let mut config = config();
    config.required_on.insert(0, required("/", None));
    let world = World::start(config).await;
    assert_eq!(world.outcome("GET", "/admin/x", Some(&world.token(json!({})))).await.0, 403);
}

#[tokio::test]
async fn without_keys_nothing_passes_that_would_need_them() {
    let metrics = Metrics::new();
    let mut origin = Origin::start().await;
    let upstream = upstream(&origin.url);
    let authenticator = Authenticator::new(&Arc::new(config()), &[upstream], 1, &metrics, None).unwrap();
    let token = Signer::ed25519().token("one", &current(json!({})));
    let waiting = tokio::spawn({
        let (authenticator, token) = (Arc::clone(&authenticator), token.clone());
        async move { authenticator.authenticate(&mut request("GET", "/orders/", Some(&token)), 0, None).await }
    });
    origin.asked().await.answer(500, "");
    let expected = "503 authentication-unavailable: the keys that tokens are verified with cannot be had";
    assert_eq!(said(waiting.await.unwrap()), expected);
    for path in ["/orders/", "/login/"] {
        assert_eq!(said(authenticator.authenticate(&mut request("GET", path, Some(&token)), 0, None).await), expected);
    }
    let _without = authenticator.authenticate(&mut request("GET", "/login/", None), 0, None).await.unwrap();
    let bad = authenticator.authenticate(&mut request("GET", "/login/", Some("bad")), 0, None).await;
    assert!(bad.is_ok(), "whatever the keys are, it does not count");
}

#[tokio::test]
async fn a_key_that_is_taken_back_takes_its_tokens_along() {
    let mut world = World::start(JwtConfig { refresh: Duration::from_secs(60), ..config() }).await;
    let token = world.token(json!({}));
    assert_eq!(world.outcome("GET", "/orders/", Some(&token)).await.0, 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    let other = Signer::ed25519();
    assert_eq!(world.outcome("GET", "/orders/", Some(&token)).await.0, 200, "until the new keys are here");
    let keys = jwks(&[other.jwk("two")]);
    let before = world.authenticator.keys.generation();
    world.origin.asked().await.answer(200, &keys);
    while world.authenticator.keys.generation() == before {
        tokio::task::yield_now().await;
    }
    // Its key is unknown now, and looked for once more.
    let waiting = tokio::spawn({
        let (authenticator, token) = (Arc::clone(&world.authenticator), token.clone());
        async move { authenticator.authenticate(&mut request("GET", "/orders/", Some(&token)), 0, None).await }
    });
    world.origin.asked().await.answer(200, &keys);
    assert_eq!(said(waiting.await.unwrap()), "401 token-invalid: the token's key is not one of its issuer's");
}

#[tokio::test]
async fn a_remembered_token_still_expires() {
    let world = World::start(JwtConfig { leeway: Duration::ZERO, ..config() }).await;
    let expires = wall_now().as_unix_ms() + 300;
    let token = world.token(json!({"exp": expires as f64 / 1000.0}));
    assert_eq!(world.outcome("GET", "/orders/", Some(&token)).await.0, 200);
    while wall_now().as_unix_ms() < expires {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        said(world.authenticate(&mut request("GET", "/orders/", Some(&token))).await),
        "401 token-invalid: the token has expired"
    );
}

#[tokio::test]
async fn a_revoked_token_does_not_count_and_after_an_effect_it_is_asked_again() {
    let mut world = World::start(with_revocation()).await;
    let token = world.token(json!({}));
    let go = |authenticator: &Arc<Authenticator>, method: &'static str| {
        let (authenticator, token) = (Arc::clone(authenticator), token.clone());
        tokio::spawn(async move { authenticator.authenticate(&mut request(method, "/orders/", Some(&token)), 0, None).await })
    };
    let first = go(&world.authenticator, "GET");
    let asked = world.origin.asked().await;
    assert_eq!(asked.line, "GET /jwt/blacklist/j-1/");
    asked.answer(404, "");
    drop(first.await.unwrap().unwrap());
    for method in ["GET", "HEAD", "OPTIONS"] {
        drop(go(&world.authenticator, method).await.unwrap().unwrap());
    }
    let logout = go(&world.authenticator, "POST").await.unwrap().unwrap();
    drop(go(&world.authenticator, "GET").await.unwrap().unwrap());
    assert!(world.origin.is_left_alone(), "believed until the request with an effect is answered");
    drop(logout);
    let after = go(&world.authenticator, "GET");
    world.origin.asked().await.answer(200, "{}");
    assert_eq!(said(after.await.unwrap()), "401 token-invalid: the token was revoked");
    let (status, request) = world.outcome("GET", "/elsewhere/", Some(&token)).await;
    assert_eq!((status, Claims::of(&request)), (200, &json!({})), "elsewhere it gives no claims");
    assert_eq!(world.counted(), ["\"revoked\"} 2", "\"verified\"} 6"]);
}

#[tokio::test]
async fn where_nobody_can_say_whether_a_token_was_revoked_it_does_not_pass() {
    let mut world = World::start(with_revocation()).await;
    let token = world.token(json!({}));
    for path in ["/orders/", "/elsewhere/"] {
        let waiting = tokio::spawn({
            let (authenticator, token) = (Arc::clone(&world.authenticator), token.clone());
            async move { authenticator.authenticate(&mut request("GET", path, Some(&token)), 0, None).await }
        });
        world.origin.asked().await.answer(503, "");
        let expected = "503 authentication-unavailable: it cannot be found out whether the token was revoked";
        assert_eq!(said(waiting.await.unwrap()), expected);
    }
    let nameless = world.one.token("one", &{
        let mut claims = current(json!({}));
        claims.as_object_mut().unwrap().remove("jti");
        claims
    });
    let refused = said(world.authenticate(&mut request("GET", "/orders/", Some(&nameless))).await);
    assert!(refused.starts_with("401 token-invalid: the token lacks a claim"), "{refused}");
}

#[tokio::test]
async fn a_reload_that_changes_nothing_of_it_keeps_keys_and_what_is_remembered() {
    let world = World::start(with_revocation()).await;
    let again = |config: JwtConfig, upstream: &Arc<Upstream>| {
        let upstreams = [Arc::clone(upstream)];
        Authenticator::new(&Arc::new(config), &upstreams, 2, &world.metrics, Some(&world.authenticator)).unwrap()
    };
    let is_kept = |other: &Arc<Authenticator>| Arc::ptr_eq(other, &world.authenticator);
    assert!(is_kept(&again(with_revocation(), &world.upstream)));
    let mut others = vec![
        again(config(), &world.upstream),
        again(with_revocation(), &upstream(&world.origin.url)),
        again(JwtConfig { issuer: "other".to_owned(), ..with_revocation() }, &world.upstream),
        again(JwtConfig { leeway: Duration::ZERO, ..with_revocation() }, &world.upstream),
        again(JwtConfig { required_on: vec![required("/orders/", None)], ..with_revocation() }, &world.upstream),
    ];
    let mut check = with_revocation();
    check.required_on[1] = required("/admin/", Some("claims.role == 'user'"));
    others.push(again(check, &world.upstream));
    let mut when = with_revocation();
    if let Some(check) = &mut when.revoked {
        check.when = Expression::compile("response.status == 204", &Names::new(&["response"])).unwrap();
    }
    others.push(again(when, &world.upstream));
    let mut call = with_revocation();
    if let Some(check) = &mut call.revoked {
        check.call = CallTarget::parse("GET /revoked/", &Names::new(&["claims"])).unwrap();
    }
    others.push(again(call, &world.upstream));
    assert!(!others.iter().any(is_kept));
}

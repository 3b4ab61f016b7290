//! What is a key, and whose.

use super::{order, pair};
use crate::support::{
    client::Call,
    origin::{Origin, Reply},
    refrain::{Refrain, yaml},
};

#[tokio::test]
async fn a_key_is_the_same_with_and_without_quotes_and_under_either_name() {
    let (origin, refrain) = pair("").await;
    let request = |name: &str, key: &str| Call::post(&refrain.url("/orders")).header(name, key).body("x");
    assert_eq!(request("idempotency-key", "\"a:b\"").send().await.how(), "executed");
    assert_eq!(request("idempotency-key", "a:b").send().await.how(), "replayed");
    assert_eq!(request("x-idempotency-key", "\"a:b\"").send().await.how(), "replayed");
    assert_eq!(request("idempotency-key", "a:b").header("x-idempotency-key", "a:b").send().await.how(), "replayed");
    assert_eq!(request("idempotency-key", "a%3Ab").send().await.how(), "executed", "but no other spelling is");
    assert_eq!(origin.effects(), 2);
}

#[tokio::test]
async fn what_is_no_key_is_refused_with_its_reason_and_nothing_is_sent() {
    let (origin, refrain) = pair("routes: [{match: {prefix: /}, idempotency: {key: {required: true}}}]").await;
    let post = || Call::post(&refrain.url("/orders")).body("x");
    let long = "k".repeat(256);
    let cases = [
        (post(), "key-missing", ""),
        (post().key(""), "key-invalid", "empty"),
        (post().key("\"\""), "key-invalid", "empty"),
        (post().key("a").key("b"), "key-invalid", "more than once"),
        (post().key("a").key("a"), "key-invalid", "more than once"),
        (post().key("a").header("x-idempotency-key", "b"), "key-invalid", "different keys"),
        (post().key("\"a"), "key-invalid", "closing quote"),
        (post().key("a b"), "key-invalid", "double quotes"),
        (post().key("\"a\tb\""), "key-invalid", "control character"),
        (post().header("idempotency-key", b"caf\xe9"), "key-invalid", "not ASCII"),
        (post().key(&long), "key-invalid", "256 characters"),
    ];
    for (request, problem, why) in cases {
        let shown = format!("{request:?}");
        let answer = request.send().await;
        assert_eq!((answer.status, answer.problem()), (400, problem), "{shown}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let said = answer.json();
        assert!(said["detail"].as_str().unwrap().contains(why), "{shown}: {said}");
        assert_eq!(
            (said["status"].clone(), said["retryable"].clone(), said["retry"].clone()),
            (400.into(), false.into(), "new-key".into())
        );
        assert!(said["type"].as_str().unwrap().ends_with(problem), "{said}");
        assert!(said["instance"].as_str().unwrap().starts_with("urn:uuid:"));
        assert!(answer.header("link").unwrap().contains("rel=\"describedby\""));
    }
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(post().key(&long[..255]).send().await.status, 201, "255 characters are a key");
}

#[tokio::test]
async fn a_route_can_insist_on_quotes_on_a_form_and_on_a_length() {
    let rest = "
routes:
  - {match: {prefix: /strict}, idempotency: {key: {strict: true}}}
  - {match: {prefix: /uuid}, idempotency: {key: {format: uuid}}}
  - {match: {prefix: /regex}, idempotency: {key: {format: {regex: 'ord-[0-9]+'}}}}
  - {match: {prefix: /long}, idempotency: {key: {min_length: 4}}}
";
    let (_origin, refrain) = pair(rest).await;
    let cases = [
        ("/strict", "a", 400),
        ("/strict", "\"a\"", 201),
        ("/uuid", "a", 400),
        ("/uuid", "8e03978e-40d5-43dd-bc93-6894a57f9324", 201),
        ("/regex", "ord-", 400),
        ("/regex", "ord-17", 201),
        ("/regex", "xord-17", 400),
        ("/long", "abc", 400),
        ("/long", "abcd", 201),
    ];
    for (path, key, status) in cases {
        assert_eq!(Call::post(&refrain.url(path)).key(key).send().await.status, status, "{path} {key}");
    }
}

#[tokio::test]
async fn a_key_on_a_method_that_takes_none_is_ignored_and_the_answer_says_so() {
    let (origin, refrain) = pair("").await;
    for method in ["GET", "PUT", "DELETE"] {
        for _ in 0..2 {
            let answer = Call::new(method, &refrain.url("/orders")).key("k").send().await;
            assert_eq!((answer.status, answer.how()), (201, "ignored"), "{method}");
        }
    }
    assert_eq!(origin.effects(), 6);
    assert_eq!(Call::get(&refrain.url("/orders")).send().await.header("idempotency-status"), None);
    let patch = || Call::new("PATCH", &refrain.url("/orders")).key("k").body("x");
    assert_eq!(patch().send().await.how(), "executed");
    assert_eq!(patch().send().await.how(), "replayed");
}

#[tokio::test]
async fn a_request_without_a_key_is_passed_through_where_none_is_required() {
    let (origin, refrain) = pair("").await;
    for _ in 0..2 {
        let answer = Call::post(&refrain.url("/orders")).body("x").send().await;
        assert_eq!((answer.status, answer.header("idempotency-status")), (201, None));
    }
    assert_eq!(origin.effects(), 2);
}

#[tokio::test]
async fn a_key_can_come_from_the_body() {
    let (origin, refrain) = pair("idempotency: {key: {from: '${request.body.request_id}', required: true}}").await;
    let post = |body: &'static str| Call::post(&refrain.url("/orders")).json(body).send();
    assert_eq!(post(r#"{"request_id":"r-1","n":1}"#).await.how(), "executed");
    assert_eq!(post(r#"{"n":1,"request_id":"r-1"}"#).await.how(), "replayed");
    assert_eq!(post(r#"{"request_id":"r-1","n":2}"#).await.problem(), "key-reused");
    assert_eq!(post(r#"{"n":2}"#).await.problem(), "key-missing");
    assert_eq!(origin.effects(), 1);
}

#[tokio::test]
async fn two_users_with_one_key_never_see_each_others_answer() {
    let (origin, refrain) = pair("").await;
    let of = |user: &str| order(&refrain, "k").header("authorization", format!("Bearer {user}")).send();
    let (alice, bob) = (of("alice").await, of("bob").await);
    assert_eq!((alice.how(), bob.how()), ("executed", "executed"));
    assert_ne!(alice.body, bob.body);
    assert_eq!(of("alice").await.body, alice.body);
    assert_eq!(of("bob").await.body, bob.body);
    assert_eq!(order(&refrain, "k").send().await.how(), "executed", "nobody is somebody else too");
    assert_eq!(origin.effects(), 3);
}

#[tokio::test]
async fn whose_keys_are_apart_is_the_routes_to_say() {
    let rest = "
routes:
  - {match: {prefix: /all}, idempotency: {scope: global}}
  - {match: {prefix: /tenant}, idempotency: {scope: \"${request.headers['x-tenant']}\"}}
";
    let (_origin, refrain) = pair(rest).await;
    let post = |path: &str, user: &str, tenant: &str| {
        Call::post(&refrain.url(path)).key("k").header("authorization", user).header("x-tenant", tenant).body("x").send()
    };
    assert_eq!(post("/all", "alice", "t1").await.how(), "executed");
    assert_eq!(post("/all", "bob", "t2").await.how(), "replayed");
    // The key is the upstream's, whatever the route: another key, then.
    let post = |user: &str, tenant: &str| {
        Call::post(&refrain.url("/tenant")).key("k2").header("authorization", user).header("x-tenant", tenant).body("x").send()
    };
    assert_eq!(post("alice", "t1").await.how(), "executed");
    assert_eq!(post("bob", "t1").await.how(), "replayed");
    assert_eq!(post("bob", "t2").await.how(), "executed");
    let without = Call::post(&refrain.url("/tenant")).key("k2").body("x").send().await;
    assert_eq!((without.status, without.problem()), (400, "key-invalid"), "without the header there is no scope");
}

#[tokio::test]
async fn one_key_at_two_services_is_two_keys() {
    let (one, other) = (Origin::start(), Origin::start());
    let text = format!(
        "store: {{url: 'memory:'}}
upstreams:
  one: {{url: '{}', local: true}}
  other: {{url: '{}'}}
routes: [{{match: {{prefix: /other/}}, upstream: other}}]
",
        one.url(),
        other.url()
    );
    let refrain = Refrain::start(&text).await;
    other.on("/other/", Reply::status(200).body("other"));
    let send = |path: &str| Call::post(&refrain.url(path)).key("k").body("x").send();
    assert_eq!(send("/").await.how(), "executed");
    let (first, second) = (send("/other/").await, send("/other/").await);
    assert_eq!((first.how(), second.how(), second.text()), ("executed", "replayed", "other"));
    assert_eq!((one.effects(), other.effects()), (1, 1));
}

#[tokio::test]
async fn keys_and_bodies_are_not_in_the_log() {
    let origin = Origin::start();
    let text = yaml("memory:", &origin, "access_log: true\n");
    let refrain = Refrain::start(&text).await;
    origin.on("/orders", Reply::reset());
    Call::post(&refrain.url("/orders?card=4711")).key("my-secret-key").body("my-secret-body").send().await;
    refrain.logged(&["refrain::access", "/orders"]).await;
    for line in refrain.stderr() {
        assert!(!line.contains("secret") && !line.contains("4711"), "{line}");
    }
}

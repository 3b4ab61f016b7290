//! The customs of others: what their clients rely on.

use super::support::{
    client::Call,
    origin::{Origin, Reply},
    redis::RedisServer,
    refrain::{Refrain, yaml},
};

const DRAFT: &str = "https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07#section-";
/// 21 characters: the fewest that idempot-js takes.
const KEY: &str = "key-of-21-characters-";

async fn pair(preset: &str) -> (Origin, Refrain) {
    let origin = Origin::start();
    let refrain = Refrain::start(&yaml("memory:", &origin, &format!("idempotency: {{preset: {preset}}}"))).await;
    (origin, refrain)
}

fn post(refrain: &Refrain, key: &str, body: &'static str) -> Call {
    Call::post(&refrain.url("/orders")).key(key).json(body)
}

#[tokio::test]
async fn stripes_clients_find_stripes_marker_and_statuses() {
    let (origin, refrain) = pair("stripe").await;
    assert_eq!(Call::post(&refrain.url("/orders")).send().await.status, 201, "a key is optional");
    origin.on("/orders", Reply::status(500));
    let first = post(&refrain, "k", "{}").send().await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (500, None));
    let second = post(&refrain, "k", "{}").send().await;
    assert_eq!((second.status, second.header("idempotent-replayed")), (500, Some("true")), "a 500 is an outcome");
    let other = post(&refrain, "k", "{\"a\":1}").send().await;
    assert_eq!((other.status, other.problem()), (400, "key-reused"));
    assert_eq!(other.json()["status"], 400);

    let gate = origin.gate("/orders");
    let pending = post(&refrain, "k2", "{}").start();
    gate.started(1).await;
    let during = post(&refrain, "k2", "{}").send().await;
    assert_eq!((during.status, during.problem()), (409, "in-flight"));
    gate.open();
    pending.answer().await;

    assert_eq!(post(&refrain, &"k".repeat(255), "{}").send().await.status, 500);
    assert_eq!(post(&refrain, &"k".repeat(256), "{}").send().await.status, 400);
    let patch = || Call::new("PATCH", &refrain.url("/orders")).key("k").send();
    assert_eq!((patch().await.how(), patch().await.how()), ("ignored", "ignored"), "POST only");
    let of = |user: &str| post(&refrain, "k", "{}").header("authorization", user).send();
    assert_eq!((of("alice").await.how(), of("bob").await.how()), ("executed", "executed"), "apart by Authorization");
}

#[tokio::test]
async fn idempot_js_clients_must_send_a_key_of_some_length_and_find_the_drafts_sections() {
    let (origin, refrain) = pair("idempot-js").await;
    let missing = Call::post(&refrain.url("/orders")).send().await;
    assert_eq!((missing.status, missing.problem()), (400, "key-missing"));
    assert_eq!(missing.json()["type"], format!("{DRAFT}2.1"));
    let empty = post(&refrain, "", "{}").send().await;
    assert_eq!((empty.status, empty.json()["idempotency_key"].clone()), (400, "".into()), "also when it was empty");
    let comma = "key-of,21-characters-";
    for key in [&KEY[1..], comma, &"k".repeat(256)] {
        let refused = post(&refrain, key, "{}").send().await;
        assert_eq!((refused.status, refused.problem()), (400, "key-invalid"), "{key}");
        let said = refused.json();
        assert_eq!((said["type"].clone(), said["retryable"].clone()), (format!("{DRAFT}2.1").into(), false.into()));
        assert!(said["instance"].as_str().unwrap().starts_with("urn:uuid:"));
    }
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn idempot_js_clients_find_their_marker_and_the_drafts_sections() {
    let (origin, refrain) = pair("idempot-js").await;
    let gate = origin.gate("/orders");
    let first = post(&refrain, KEY, "{\"n\":1}").header("authorization", "alice").start();
    gate.started(1).await;
    let during = post(&refrain, KEY, "{\"n\":1}").send().await;
    assert_eq!(
        (during.status, during.json()["type"].clone(), during.json()["retryable"].clone()),
        (409, format!("{DRAFT}2.6").into(), true.into())
    );
    gate.open();
    assert_eq!(first.answer().await.header("x-idempotent-replayed"), None);
    let replayed = post(&refrain, KEY, "{\"n\":1}").header("authorization", "bob").send().await;
    assert_eq!((replayed.status, replayed.header("x-idempotent-replayed")), (201, Some("true")), "all users share their keys");
    let reused = post(&refrain, KEY, "{\"n\":2}").send().await;
    assert_eq!((reused.status, reused.json()["type"].clone()), (422, format!("{DRAFT}2.2").into()));
    assert_eq!(reused.json()["idempotency_key"], KEY);
    let patch = Call::new("PATCH", &refrain.url("/orders")).key(&format!("{KEY}-of-patch")).body("x");
    assert_eq!(patch.send().await.how(), "executed", "PATCH takes keys too");
}

#[tokio::test]
async fn idempot_js_starts_without_its_store_and_says_that_it_is_worth_a_retry() {
    let (origin, redis) = (Origin::start(), RedisServer::not_started(&[]));
    let text = yaml(&redis.url(), &origin, "idempotency: {preset: idempot-js}");
    let refrain = Refrain::start_not_ready(&text).await;
    let lost = post(&refrain, KEY, "{}").send().await;
    assert_eq!((lost.status, lost.problem(), lost.json()["retryable"].clone()), (503, "store-lost", true.into()));
    assert_eq!(origin.requests().len(), 0);
}

/// What `dedupe: payload` promises, whatever the store.
async fn same_payload(store: &str) {
    let origin = Origin::start();
    let refrain = Refrain::start(&yaml(store, &origin, "idempotency: {preset: idempot-js}")).await;
    let (one, other) = (format!("{KEY}1"), format!("{KEY}2"));
    let gate = origin.gate("/orders");
    let first = post(&refrain, &one, "{\"n\":1}").start();
    gate.started(1).await;
    let during = post(&refrain, &other, "{\"n\":1}").send().await;
    assert_eq!((during.status, during.problem()), (409, "duplicate-payload"));
    assert_eq!(during.json()["retryable"], false);
    gate.open();
    assert_eq!(first.answer().await.status, 201);
    assert_eq!(post(&refrain, &other, "{\"n\":1}").send().await.problem(), "duplicate-payload");
    assert_eq!(post(&refrain, &one, "{\"n\":1}").send().await.how(), "replayed");
    assert_eq!(post(&refrain, &other, "{\"n\":2}").send().await.how(), "executed", "the refused key was not used up");
    assert_eq!(origin.effects(), 2);

    // What was not done can be done under another key.
    origin.on("/orders", Reply::status(429).without_effect());
    assert_eq!(post(&refrain, &format!("{KEY}3"), "{\"n\":3}").send().await.status, 429);
    origin.on("/orders", Reply::status(201));
    assert_eq!(post(&refrain, &format!("{KEY}4"), "{\"n\":3}").send().await.how(), "executed");
}

#[tokio::test]
async fn the_same_payload_under_another_key_is_refused_in_memory() {
    same_payload("memory:").await;
}

#[tokio::test]
async fn the_same_payload_under_another_key_is_refused_with_a_file() {
    same_payload("embedded:./refrain.db").await;
}

#[tokio::test]
async fn the_same_payload_under_another_key_is_refused_with_redis() {
    same_payload(&RedisServer::start().url()).await;
}

#[tokio::test]
async fn any_single_choice_of_a_preset_can_be_changed() {
    let origin = Origin::start();
    let rest = "idempotency: {preset: idempot-js, dedupe: key, key: {min_length: 1}}";
    let refrain = Refrain::start(&yaml("memory:", &origin, rest)).await;
    assert_eq!(post(&refrain, "a", "{}").send().await.how(), "executed");
    assert_eq!(post(&refrain, "b", "{}").send().await.how(), "executed");
    assert_eq!(Call::post(&refrain.url("/orders")).send().await.status, 400, "the rest stays");
}

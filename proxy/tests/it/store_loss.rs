//! The store is away: at the start, for a while, and at the worst moment.

use std::time::Duration;

use tokio::time::Instant;

use super::support::{
    client::{Answer, Call},
    origin::Origin,
    redis::RedisServer,
    refrain::{Refrain, yaml},
    within,
};

/// As [`RedisServer::start`] has it.
const KEEPS: [&str; 2] = ["--appendonly", "yes"];
/// How long a caller may be kept waiting for a store whose operations may take a second.
const BOUND: Duration = Duration::from_secs(5);
/// The route that goes on without a store.
const REST: &str = "routes: [{match: {prefix: /open}, idempotency: {on_store_loss: open}}]";

fn post(refrain: &Refrain, path: &str, key: &str) -> Call {
    Call::post(&refrain.url(path)).key(key).body("x")
}

/// That keyed requests are refused, in time, and nothing is sent, but where the route goes on without protection.
async fn is_lost(refrain: &Refrain, origin: &Origin) {
    let before = origin.requests().len();
    let asked = Instant::now();
    let refused = post(refrain, "/orders", "k").send().await;
    assert!(asked.elapsed() < BOUND, "refused after {:?}", asked.elapsed());
    assert_eq!((refused.status, refused.problem()), (503, "store-lost"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!((refused.json()["retryable"].clone(), refused.json()["retry"].clone()), (true.into(), "same-key".into()));
    assert_eq!(origin.requests().len(), before, "nothing was sent");
    for number in 1..=2 {
        let open = post(refrain, "/open", "k-open").send().await;
        assert_eq!((open.status, open.how()), (201, "unprotected"));
        assert_eq!(origin.requests().len(), before + number);
    }
    assert_eq!(Call::get(&refrain.url("/orders")).send().await.status, 201, "what needs no store passes");
}

/// The answer once the store is back. Every core has a connection of its own, and the last may be back later than the first.
async fn when_back(call: impl Fn() -> Call) -> Answer {
    within("the store to be used again", async {
        loop {
            let answer = call().send().await;
            if !["store-lost", "in-flight"].contains(&answer.problem()) && answer.how() != "unprotected" {
                return answer;
            }
        }
    })
    .await
}

/// That keyed requests are executed and replayed.
async fn works(refrain: &Refrain, key: &str) {
    for path in ["/orders", "/open"] {
        let key = format!("{key}{path}");
        assert_eq!(when_back(|| post(refrain, path, &key)).await.how(), "executed");
        assert_eq!(when_back(|| post(refrain, path, &key)).await.how(), "replayed");
    }
}

#[tokio::test]
async fn without_its_store_nothing_keyed_is_sent_and_when_it_is_back_it_is_used_without_a_restart() {
    let (origin, mut redis) = (Origin::start(), RedisServer::start());
    let refrain = Refrain::start(&yaml(&redis.url(), &origin, REST)).await;
    assert_eq!(post(&refrain, "/orders", "earlier").send().await.how(), "executed");
    redis.kill();
    is_lost(&refrain, &origin).await;
    let unready = refrain.until_admin("/readyz", |answer| answer.status == 503).await;
    assert!(unready.json()["reasons"][0].as_str().unwrap().starts_with("store: "), "{}", unready.text());
    redis.restart();
    refrain.ready().await;
    works(&refrain, "later").await;
    assert_eq!(when_back(|| post(&refrain, "/orders", "earlier")).await.how(), "replayed");
}

#[tokio::test]
async fn a_store_that_keeps_silent_is_waited_for_within_a_bound() {
    let (origin, redis) = (Origin::start(), RedisServer::start());
    let refrain = Refrain::start(&yaml(&redis.url(), &origin, REST)).await;
    works(&refrain, "before").await;
    redis.freeze();
    is_lost(&refrain, &origin).await;
    redis.thaw();
    refrain.ready().await;
    works(&refrain, "after").await;
}

#[tokio::test]
async fn it_starts_without_its_store_says_why_it_is_not_ready_and_recovers() {
    let (origin, mut redis) = (Origin::start(), RedisServer::not_started(&KEEPS));
    let refrain = Refrain::start_not_ready(&yaml(&redis.url(), &origin, REST)).await;
    assert_eq!(refrain.admin("/livez").await.status, 200);
    let unready = refrain.admin("/readyz").await;
    assert_eq!(unready.status, 503);
    assert!(unready.json()["reasons"][0].as_str().unwrap().starts_with("store: "), "{}", unready.text());
    is_lost(&refrain, &origin).await;
    redis.restart();
    refrain.ready().await;
    works(&refrain, "k").await;
}

#[tokio::test]
async fn an_answer_that_comes_while_the_store_is_away_reaches_its_caller_and_is_recorded_when_the_store_is_back() {
    let (origin, mut redis) = (Origin::start(), RedisServer::start());
    let refrain = Refrain::start(&yaml(&redis.url(), &origin, "idempotency: {lease: 600ms}")).await;
    let gate = origin.gate("/orders");
    let first = post(&refrain, "/orders", "k").start();
    gate.started(1).await;
    redis.kill();
    gate.open();
    let first = first.answer().await;
    assert_eq!((first.status, first.how()), (201, "executed"));
    assert_eq!(refrain.metric("refrain_store_backlog").await, 1.0);
    redis.restart();
    refrain.until_admin("/metrics", |metrics| metrics.text().contains("\nrefrain_store_backlog 0\n")).await;
    let replayed = when_back(|| post(&refrain, "/orders", "k")).await;
    assert_eq!((replayed.status, replayed.how(), &replayed.body), (201, "replayed", &first.body));
    assert_eq!(origin.effects(), 1);
}

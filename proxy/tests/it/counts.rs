//! How often the store is asked: twice for a first keyed request, once for a replay, never for what passes through.

use crate::support::{client::Call, origin::Origin, redis::RedisServer, refrain::Refrain};

const ROUND_TRIPS: &str = "refrain_store_round_trips";

/// A Refrain whose own round trips (renewals, checks) do not come within a test.
async fn with_store(url: &str, origin: &Origin) -> Refrain {
    let idempotency = "idempotency: {lease: 60s}\n";
    Refrain::start(&format!(
        "workers: 1\nstore: {{url: \"{url}\"}}\nupstreams: {{app: {{url: \"{}\", local: true}}}}\n{idempotency}",
        origin.url()
    ))
    .await
}

/// Round trips that a request causes, counted by the program itself.
async fn cost(refrain: &Refrain, call: Call, how: &str) -> f64 {
    let before = refrain.metric(ROUND_TRIPS).await;
    let answer = call.send().await;
    assert_eq!((answer.status, answer.how()), (201, how));
    refrain.metric(ROUND_TRIPS).await - before
}

/// Asks once, so that what is asked once for all (the hash key) has been.
async fn warm_up(refrain: &Refrain) {
    Call::post(&refrain.url("/orders")).key("warm-up").send().await;
}

async fn assert_costs(refrain: &Refrain) {
    let post = || Call::post(&refrain.url("/orders"));
    assert_eq!(cost(refrain, post().key("k"), "executed").await, 2.0, "first");
    for _ in 0..3 {
        assert_eq!(cost(refrain, post().key("k"), "replayed").await, 1.0, "replay");
    }
    assert_eq!(cost(refrain, post(), "").await, 0.0, "without a key");
    assert_eq!(cost(refrain, Call::get(&refrain.url("/orders")).key("k"), "ignored").await, 0.0, "a key on GET");
}

#[tokio::test]
async fn a_request_costs_as_few_round_trips_to_redis_as_promised() {
    let (redis, origin) = (RedisServer::start(), Origin::start());
    let refrain = with_store(&redis.url(), &origin).await;
    warm_up(&refrain).await;
    assert_costs(&refrain).await;
}

#[tokio::test]
async fn redis_counts_the_same() {
    let (redis, origin) = (RedisServer::start(), Origin::start());
    let refrain = with_store(&redis.url(), &origin).await;
    warm_up(&refrain).await;
    let scripts = || redis.calls("evalsha") + redis.calls("eval") + redis.calls("fcall");
    let before = scripts();
    Call::post(&refrain.url("/orders")).key("k").send().await;
    assert_eq!(scripts() - before, 2, "first");
    Call::post(&refrain.url("/orders")).key("k").send().await;
    assert_eq!(scripts() - before, 3, "replay");
    for _ in 0..20 {
        Call::post(&refrain.url("/orders")).send().await;
    }
    assert_eq!(scripts() - before, 3, "without a key");
}

#[tokio::test]
async fn an_embedded_store_is_asked_as_rarely() {
    let origin = Origin::start();
    let refrain = with_store("embedded:./records.db", &origin).await;
    warm_up(&refrain).await;
    assert_costs(&refrain).await;
}

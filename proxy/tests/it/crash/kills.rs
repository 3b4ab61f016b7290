//! A proxy that is killed while a request is with the service.

use super::{order, stays_unknown, when_settled};
use crate::support::{
    origin::{Gate, Origin, Reply},
    redis::RedisServer,
    refrain::{Refrain, yaml},
};

const EMBEDDED: &str = "embedded:./refrain.db";

/// A Refrain that was killed while the service, which has acted, held its answer back; and started again.
async fn killed(origin: &Origin, store: &str, on_unknown: &str) -> Refrain {
    let rest = format!("idempotency: {{lease: 400ms, on_unknown: {on_unknown}}}");
    let mut refrain = Refrain::start(&yaml(store, origin, &rest)).await;
    let gate: Gate = origin.gate("/orders");
    // The caller's connection dies with the proxy.
    let caller = tokio::spawn(order(&refrain).try_open());
    gate.started(1).await;
    refrain.kill9();
    assert!(caller.await.unwrap().is_err());
    refrain.restart().await;
    gate.open();
    refrain
}

async fn hold(store: &str) {
    let origin = Origin::start();
    let mut refrain = killed(&origin, store, "hold").await;
    stays_unknown(|| order(&refrain)).await;
    refrain.restart().await;
    stays_unknown(|| order(&refrain)).await;
    assert_eq!(origin.requests().len(), 1, "never sent again");
}

async fn resend(store: &str) {
    let origin = Origin::start();
    let refrain = killed(&origin, store, "resend").await;
    let again = when_settled(|| order(&refrain)).await;
    assert_eq!((again.status, again.how(), again.header("idempotency-attempt")), (201, "executed", Some("2")));
    let replayed = order(&refrain).send().await;
    assert_eq!((replayed.how(), replayed.header("idempotency-attempt")), ("replayed", Some("2")));
    assert_eq!(replayed.body, again.body);
    let keys: Vec<_> = origin.requests().iter().map(|seen| seen.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys, ["k", "k"], "once more, and under the same key");
}

#[tokio::test]
async fn after_a_kill_the_outcome_is_unknown_and_the_request_is_never_sent_again_with_a_file() {
    hold(EMBEDDED).await;
}

#[tokio::test]
async fn after_a_kill_the_outcome_is_unknown_and_the_request_is_never_sent_again_with_redis() {
    hold(&RedisServer::start().url()).await;
}

#[tokio::test]
async fn after_a_kill_a_service_that_bears_it_gets_the_request_once_more_with_a_file() {
    resend(EMBEDDED).await;
}

#[tokio::test]
async fn after_a_kill_a_service_that_bears_it_gets_the_request_once_more_with_redis() {
    resend(&RedisServer::start().url()).await;
}

#[tokio::test]
async fn what_was_recorded_before_a_kill_is_replayed_after_it() {
    let redis = RedisServer::start();
    for store in [EMBEDDED.to_owned(), redis.url()] {
        let origin = Origin::start();
        let mut refrain = Refrain::start(&yaml(&store, &origin, "")).await;
        origin.on("/orders", Reply::status(201).header("x-bytes", b"\xff").body(vec![0, 159, 146, 150]));
        let first = order(&refrain).send().await;
        assert_eq!(first.how(), "executed");
        refrain.restart().await;
        let replayed = order(&refrain).send().await;
        assert_eq!((replayed.how(), replayed.status, &replayed.body), ("replayed", 201, &first.body));
        assert_eq!(replayed.all("x-bytes"), [b"\xff"]);
        assert_eq!(origin.requests().len(), 1);
    }
}
